//! Live runs as people read them.

use super::layout::{columns, shown};
use switchover::live::{Answer, End, GuardSaid, LiveStatus, SwitchReport, Verification};
use switchover::watch::Window;
use switchover_core::{Error, Kind, Result};

/// What a run tells, as lines.
pub(crate) fn status(status: &LiveStatus, alive: bool) -> String {
    let engine = match alive {
        true => format!("driven by process {}", status.pid),
        false => "no engine is running: `switchover resume` takes it up".into(),
    };
    format!("run {}: {engine}\n{}", shown(&status.run), columns(2, [8, 0], &rows(status)))
}

/// The same, as rows of a table.
pub(crate) fn rows(status: &LiveStatus) -> Vec<[String; 2]> {
    let mut rows = vec![
        ["phase".into(), status.phase.name().to_owned()],
        ["owner".into(), format!("{} (epoch {})", status.ownership.owner, status.ownership.epoch)],
        ["copied".into(), format!("{} of {} rows", status.rows_copied, status.rows_planned)],
        ["taken".into(), format!("{} changed rows", status.rows_taken)],
        ["lag".into(), lag(status)],
        ["equal".into(), verdict(&status.verification)],
        [
            "bears".into(),
            format!(
                "{} bytes of log, {} changes logged",
                status.pressure.wal_bytes, status.pressure.log_entries
            ),
        ],
    ];
    if let Some(seconds) = status.switch_s {
        rows.push(["switch".into(), format!("would take about {seconds:.1} s")]);
    }
    if status.paused {
        rows.push(["paused".into(), "`switchover resume` goes on".into()]);
    }
    if status.waiting {
        rows.push(["waits".into(), "a change of the owner, until it can be made".into()]);
    }
    if status.recopied > 0 {
        rows.push(["again".into(), format!("{} tables were copied again", status.recopied)]);
    }
    if let Some(report) = &status.switched {
        rows.push(["changed".into(), switched(report)]);
    }
    rows.extend(status.guards.iter().map(|said| ["guard".into(), guard(said)]));
    if !status.untold.is_empty() {
        rows.push(["untold".into(), untold(&status.untold)]);
    }
    if !status.alarm.is_empty() {
        rows.push(["alarm".into(), shown(&status.alarm)]);
    }
    if !status.held.is_empty() {
        let since = status.held_since.as_ref().map(|at| format!("since {at}: ")).unwrap_or_default();
        rows.push(["held".into(), since + &shown(&status.held)]);
    }
    rows
}

fn guard(said: &GuardSaid) -> String {
    let window = match &said.window {
        Window::Within(value) => format!("{value}, within its limit"),
        Window::Over(value) => format!("{value}, above its limit"),
        Window::Silent(why) => format!("says nothing: {}", shown(why)),
    };
    format!("{}: {window}", shown(&said.guard))
}

/// How far the follower is behind, as far as it is known.
fn lag(status: &LiveStatus) -> String {
    match (status.lag_entries, status.lag_s) {
        (Some(entries), Some(seconds)) => format!("{entries} changes, {seconds:.2} s"),
        (None, Some(seconds)) => format!("{seconds:.2} s"),
        _ => "unknown".into(),
    }
}

/// What a run tells, for programs: one document a line.
pub(crate) fn json(status: &LiveStatus, alive: bool) -> Result<String> {
    let fail = |error: serde_json::Error| Error::new(Kind::Internal, "write the status").because(error);
    let mut value = serde_json::to_value(status).map_err(fail)?;
    if let Some(fields) = value.as_object_mut() {
        fields.insert("alive".into(), alive.into());
    }
    serde_json::to_string(&value).map(|text| text + "\n").map_err(fail)
}

fn verdict(verification: &Verification) -> String {
    match verification {
        Verification::Unproven => "not proven yet".into(),
        Verification::Running { rows, table } => format!("{rows} rows compared so far, in {}", shown(table)),
        Verification::Same { rows, at } => {
            format!("yes: {rows} rows compared by {at}, changes read back since")
        }
        Verification::Different { why } => format!("no: {}", shown(why)),
    }
}

/// What the live verification found.
pub(crate) fn verification(status: &LiveStatus) -> String {
    format!("{}\n", verdict(&status.verification))
}

fn switched(report: &SwitchReport) -> String {
    let because =
        report.because.as_ref().map(|why| format!(", by itself: {}", shown(why))).unwrap_or_default();
    format!(
        "to the {} at {}; writes were unavailable for {:.0} ms{because}",
        report.to, report.at, report.unavailable_ms
    )
}

fn untold(why: &str) -> String {
    format!("the application does not know yet who owns the data; it is tried again: {}", shown(why))
}

/// The answer to a request.
pub(crate) fn answer(answer: &Answer) -> String {
    match answer {
        Answer::Done => "done\n".into(),
        Answer::Reads { percent } => {
            format!("{percent}% of reads go to the target now; writes stay with the source\n")
        }
        Answer::Ready => "it could be done now\n".into(),
        Answer::Ended => "done: the run is over\n".into(),
        Answer::Switched(report) => {
            let untold = report.untold.as_ref().map(|why| untold(why) + "\n").unwrap_or_default();
            format!("the owner changed {}\n{untold}", switched(report))
        }
    }
}

/// How an engine ended.
pub(crate) fn end(end: End) -> String {
    match end {
        End::Stopped => "stopped; the source's log keeps all changes: `switchover resume` goes on\n",
        End::TakenBack => "taken back: nothing of the run is left\n",
        End::Finished => "finished: the target is the application's alone\n",
    }
    .into()
}
