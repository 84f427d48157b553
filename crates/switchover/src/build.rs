//! The build phase: indexes, keys, sequences, by stages, several at a time.

use crate::progress::{Event, Phase, Progress};
use crate::retry::Tries;
use crate::settings::Retries;
use crate::shutdown::Shutdown;
use std::sync::Arc;
use std::time::Instant;
use switchover_core::connector::{BuildStage, BuildStep, Target};
use switchover_core::plan::Plan;
use switchover_core::{Error, Kind, Result};
use tokio::task::JoinSet;

/// What makes the target whole.
pub(crate) const STRUCTURE: &[BuildStage] = &[
    BuildStage::Indexes,
    BuildStage::Keys,
    BuildStage::ForeignKeys,
    BuildStage::Validation,
    BuildStage::Finish,
];

/// What may be done while rows are only read.
pub(crate) const STATISTICS: &[BuildStage] = &[BuildStage::Statistics];

/// What steps are carried out with.
pub(crate) struct Work<'a> {
    pub(crate) plan: &'a Arc<Plan>,
    pub(crate) run: &'a str,
    pub(crate) target: &'a Arc<dyn Target>,
    pub(crate) progress: &'a Arc<dyn Progress>,
    pub(crate) shutdown: &'a Shutdown,
    pub(crate) retries: Retries,
    pub(crate) jobs: usize,
}

impl Work<'_> {
    /// Carries out all steps of the target's that belong to these stages.
    pub(crate) async fn run(&self, stages: &[BuildStage]) -> Result<()> {
        let mut steps = self.target.build_steps(self.plan);
        steps.retain(|step| stages.contains(&step.stage));
        // Statistics are taken within another phase.
        let shown = stages != STATISTICS;
        let started = Instant::now();
        if shown {
            let (phase, rows) = (Phase::Build, steps.len() as u64);
            self.progress.event(Event::PhaseStarted { phase, rows, bytes: 0 });
        }
        self.carry_out(steps, shown).await?;
        if shown {
            let seconds = started.elapsed().as_secs_f64();
            self.progress.event(Event::PhaseFinished { phase: Phase::Build, seconds });
        }
        Ok(())
    }

    /// Carries out steps, stage by stage, of a phase whose begin and end the caller tells; with `shown`, each of them counts there. The
    /// largest tables come first within a stage, so that the last to end is small.
    pub(crate) async fn carry_out(&self, mut steps: Vec<BuildStep>, shown: bool) -> Result<()> {
        let rows = |step: &BuildStep| step.table.map_or(0, |table| self.plan.tables[table].rows);
        steps.sort_by_key(|step| (step.stage, std::cmp::Reverse(rows(step))));
        for stage in steps.chunk_by(|one, next| one.stage == next.stage) {
            self.stage(stage, shown).await?;
        }
        Ok(())
    }

    /// Carries out steps that may run side by side.
    async fn stage(&self, steps: &[BuildStep], shown: bool) -> Result<()> {
        let mut queue: Vec<BuildStep> = steps.iter().rev().cloned().collect();
        let mut running: JoinSet<Result<()>> = JoinSet::new();
        let mut failed = None;
        loop {
            while failed.is_none() && running.len() < self.jobs {
                let Some(step) = queue.pop() else { break };
                if let Err(error) = self.shutdown.check("make indexes and keys") {
                    failed = Some(error);
                    break;
                }
                let (plan, run, target, progress, shutdown) = (
                    Arc::clone(self.plan),
                    self.run.to_owned(),
                    Arc::clone(self.target),
                    Arc::clone(self.progress),
                    self.shutdown.clone(),
                );
                let retries = self.retries;
                running.spawn(async move {
                    let mut tries = Tries::new(retries, &*progress, &shutdown);
                    while let Err(error) = target.build(&plan, &run, &step).await {
                        tries.again(error).await?;
                    }
                    if shown {
                        let (phase, table) = (Phase::Build, String::new());
                        progress.event(Event::Advanced { phase, table, rows: 1, bytes: 0 });
                    }
                    Ok(())
                });
            }
            match running.join_next().await {
                None => break,
                Some(ended) => {
                    let ended =
                        ended.map_err(|e| Error::new(Kind::Internal, "make indexes and keys").because(e));
                    if let Err(error) = ended.and_then(|result| result) {
                        failed.get_or_insert(error);
                    }
                }
            }
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}
