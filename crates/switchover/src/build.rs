//! The build phase: indexes, keys, sequences, by stages, several at a time.

use crate::progress::{Event, Phase, Progress};
use crate::retry::Tries;
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

/// Carries out all steps of the stages. The largest tables come first within a stage, so that the last to
/// end is small.
pub(crate) async fn run(
    stages: &[BuildStage],
    plan: &Arc<Plan>,
    run: &str,
    target: &Arc<dyn Target>,
    progress: &Arc<dyn Progress>,
    shutdown: &Shutdown,
    jobs: usize,
) -> Result<()> {
    let mut steps = target.build_steps(plan);
    steps.retain(|step| stages.contains(&step.stage));
    let rows = |step: &BuildStep| step.table.map_or(0, |table| plan.tables[table].rows);
    steps.sort_by_key(|step| (step.stage, std::cmp::Reverse(rows(step))));
    let started = Instant::now();
    // Statistics are taken within another phase.
    let shown = stages != STATISTICS;
    if shown {
        progress.event(Event::PhaseStarted { phase: Phase::Build, rows: steps.len() as u64, bytes: 0 });
    }
    for stage in stages {
        let mut queue: Vec<BuildStep> = steps.iter().filter(|step| step.stage == *stage).cloned().collect();
        queue.reverse();
        let mut running: JoinSet<Result<()>> = JoinSet::new();
        let mut failed = None;
        loop {
            while failed.is_none() && running.len() < jobs {
                let Some(step) = queue.pop() else { break };
                if let Err(error) = shutdown.check("make indexes and keys") {
                    failed = Some(error);
                    break;
                }
                let (plan, run, target, progress, shutdown) = (
                    Arc::clone(plan),
                    run.to_owned(),
                    Arc::clone(target),
                    Arc::clone(progress),
                    shutdown.clone(),
                );
                running.spawn(async move {
                    let mut tries = Tries::new(&*progress, &shutdown);
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
        if let Some(error) = failed {
            return Err(error);
        }
    }
    if shown {
        progress
            .event(Event::PhaseFinished { phase: Phase::Build, seconds: started.elapsed().as_secs_f64() });
    }
    Ok(())
}
