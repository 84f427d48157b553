//! `status`: the runs of the journal, and of a live one what its engine told last. Opens no store.

use super::Context;
use crate::render::live::old;
use crate::render::output;
use crate::render::status::{RUNNING, RunStatus, render};
use switchover::journal::{self, State, Summary};
use switchover::live::{self, Verification};
use switchover_core::live::Side;
use switchover_core::{Error, Kind, Result};

/// All runs, or the one whose name begins so.
pub(crate) async fn run(context: &Context, run: Option<&str>, json: bool) -> Result<u8> {
    let runs = engine(context, run).await?;
    if json {
        let text = serde_json::to_string_pretty(&runs);
        let text = text.map_err(|error| Error::new(Kind::Internal, "write the status").because(error))?;
        output::data(&(text + "\n"))?;
    } else {
        output::data(&render(&runs, &context.resolved.settings.state_dir.display().to_string()))?;
    }
    Ok(0)
}

async fn engine(context: &Context, run: Option<&str>) -> Result<Vec<RunStatus>> {
    let state_dir = &context.resolved.settings.state_dir;
    let mut runs = journal::list(state_dir)?;
    runs.reverse();
    let asked = runs.iter().filter(|found| run.is_none_or(|run| found.header.run.starts_with(run)));
    let found: Vec<RunStatus> = asked
        .map(|summary| {
            let live = match summary.header.live {
                true => live::status(state_dir, Some(&summary.header.run))?,
                false => None,
            };
            let mut shown = shown(summary);
            if let Some(live) = live.as_ref().filter(|live| live.ownership.owner == Side::Target)
                && summary.active
            {
                let differs = matches!(live.verification, Verification::Different { .. });
                shown.next = next_of_target(&shown.run, differs);
            }
            // Of a run that is over, lag and load say nothing any more.
            let over = summary.entries.last().is_some_and(|last| !last.state.can_resume());
            let mut live = live.filter(|_| !over);
            if let (false, Some(live)) = (summary.active, &mut live) {
                live.forget_lag();
            }
            let old = live.as_ref().and_then(|live| old(live, summary.active));
            Ok(RunStatus { old, live, ..shown })
        })
        .collect::<Result<_>>()?;
    match run {
        Some(run) if found.is_empty() => Err(Error::new(Kind::NotFound, "find the run")
            .store(state_dir.display().to_string())
            .detail(format!("no run's name begins with {run}"))
            .hint("`switchover status` shows all runs")),
        _ => Ok(found),
    }
}

/// What can be done with a run that is at work while the target owns the data. Where the source differs, it is not gone back to unasked.
fn next_of_target(run: &str, differs: bool) -> String {
    let back = if differs { " --discard-target-changes" } else { "" };
    format!(
        "switchover status --watch --run {run}, switchover rollback --run {run}{back}, or switchover finish --run {run}"
    )
}

fn shown(summary: &Summary) -> RunStatus {
    let last = summary.entries.last();
    let state = match (summary.active, last.map(|entry| entry.state)) {
        (true, _) => RUNNING,
        (false, Some(State::Done)) => "done",
        (false, Some(State::Different)) => "different",
        (false, Some(State::RolledBack)) => "rolled back",
        (false, Some(State::CleaningUp)) => "cleaning up",
        (false, Some(State::CleanedUp)) => "cleaned up",
        (false, Some(State::Failed)) => "failed",
        (false, _) => "stopped",
    };
    let run = &summary.header.run;
    let next = match state {
        RUNNING if summary.header.live => {
            format!("switchover status --watch --run {run}, or switchover cutover --run {run}")
        }
        "stopped" | "failed" | "different" => {
            format!("switchover resume --run {run}, or switchover rollback --run {run}")
        }
        "done" => format!("switchover rollback --run {run}, or switchover cleanup --run {run}"),
        "cleaning up" => format!("switchover cleanup --run {run}"),
        _ => String::new(),
    };
    let reached = summary.entries.iter().rev().find(|entry| entry.detail.is_empty()).map(|entry| entry.state);
    RunStatus {
        run: run.clone(),
        state: state.into(),
        phase: reached.map(|state| state.name().to_owned()).unwrap_or_default(),
        detail: last.map(|entry| entry.detail.clone()).unwrap_or_default(),
        started_at: summary.header.started_at.clone(),
        source: summary.header.source.clone(),
        target: summary.header.target.clone(),
        next,
        old: None,
        live: None,
    }
}
