//! Live runs as people read them.

use super::layout::{bytes, columns, count, seconds, shown};
use switchover::live::{
    Answer, Cause, End, GuardSaid, LivePhase, LiveStatus, Slowed, SwitchReport, Verification,
};
use switchover::watch::Window;
use switchover_core::{Error, Kind, Result};

/// What is known of stores that the process which takes a run up has not looked at yet.
const NOT_LOOKED: &str = "not looked at since the run was taken up";

/// What a run tells, as lines.
pub(crate) fn status(status: &LiveStatus, alive: bool) -> String {
    let engine = match alive {
        true => format!("driven by process {}", status.pid),
        false => "no engine is running: `switchover resume` takes it up".into(),
    };
    let mut told: Vec<[String; 2]> = old(status, alive).map(|why| ["old".into(), why]).into_iter().collect();
    told.extend(rows(status, alive));
    format!("run {}: {engine}\n{}", shown(&status.run), columns(2, [8, 0], &told))
}

/// That what is shown is old, of an engine that is alive: since when, and why that may be.
pub(crate) fn old(status: &LiveStatus, alive: bool) -> Option<String> {
    let silent = status.silent_s().filter(|_| alive)?;
    Some(format!(
        "what is shown was so at {}, {} ago; the engine is alive and has written no status since: the state folder may be full or \
         not writable (look there first), or the engine is at one long step, or waits for a store or its own limit",
        shown(&status.at),
        seconds(silent)
    ))
}

/// The same, as rows of a table; whether an engine is at work says whether anybody would know of a difference.
pub(crate) fn rows(status: &LiveStatus, alive: bool) -> Vec<[String; 2]> {
    let mut rows = vec![
        ["phase".into(), status.phase.name().to_owned()],
        ["owner".into(), format!("{} (epoch {})", status.ownership.owner, status.ownership.epoch)],
        ["copied".into(), copied(status)],
        ["taken".into(), format!("{} changed rows", status.rows_taken)],
        ["lag".into(), lag(status)],
        ["equal".into(), equal(status, alive)],
        [
            "bears".into(),
            format!(
                "{} bytes of log, {} changes logged, reads of {:.0} ms at most",
                status.pressure.wal_bytes, status.pressure.log_entries, status.read_ms_max
            ),
        ],
    ];
    if let Some(seconds) = status.switch_s {
        rows.push(["switch".into(), format!("would take about {seconds:.1} s")]);
    }
    if status.phase == LivePhase::Copying {
        rows.insert(3, ["left".into(), left(status)]);
    }
    rows.extend(status.slowed.iter().map(|slowed| ["slowed".into(), slow(slowed)]));
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

/// What is copied, of what the plan counted.
fn copied(status: &LiveStatus) -> String {
    let rows = format!("{} of {} rows", count(status.rows_copied), count(status.rows_planned));
    match status.bytes_planned {
        0 => rows,
        planned => format!("{rows}, {} of {}", bytes(status.bytes_copied), bytes(planned)),
    }
}

/// How long the copy will take from now on, as far as that can be told.
fn left(status: &LiveStatus) -> String {
    match status.copy_left_s {
        Some(left) => format!("about {}, estimated from the rate so far", seconds(left)),
        None if status.paused => "unknown while it is paused".into(),
        None => "unknown: too little is copied yet to estimate it".into(),
    }
}

/// What holds it back, and what it does because of it.
fn slow(slowed: &Slowed) -> String {
    let why = shown(&slowed.why);
    match slowed.cause {
        Cause::Wal | Cause::Busy | Cause::Commit => {
            format!("{why}; it waits {} ms behind each read", slowed.wait_ms)
        }
        Cause::Log => why,
    }
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
        _ if status.phase == LivePhase::Entering => NOT_LOOKED.into(),
        _ => "unknown".into(),
    }
}

/// Whether the stores are equal, as far as the process that drives the run knows.
fn equal(status: &LiveStatus, alive: bool) -> String {
    match (status.phase, &status.verification) {
        (LivePhase::Entering, Verification::Unproven) => NOT_LOOKED.into(),
        (_, Verification::Same { rows, at }) if !alive => {
            format!("was so at {at}, of {rows} rows; nobody has looked since the engine ended")
        }
        (_, verification) => verdict(verification),
    }
}

/// What a run tells, for programs: one document a line.
pub(crate) fn json(status: &LiveStatus, alive: bool) -> Result<String> {
    let fail = |error: serde_json::Error| Error::new(Kind::Internal, "write the status").because(error);
    let mut value = serde_json::to_value(status).map_err(fail)?;
    if let Some(fields) = value.as_object_mut() {
        fields.insert("alive".into(), alive.into());
        if let Some(old) = old(status, alive) {
            fields.insert("old".into(), old.into());
        }
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

/// What the live verification of this run found.
pub(crate) fn verification(run: &str, status: &LiveStatus) -> String {
    format!("run {}: {}\n", shown(run), verdict(&status.verification))
}

fn switched(report: &SwitchReport) -> String {
    let because = report.because.as_ref().map(|why| format!(", because {}", shown(why))).unwrap_or_default();
    format!(
        "to the {} at {}; writes were unavailable for {:.0} ms{because}",
        report.to, report.at, report.unavailable_ms
    )
}

fn untold(why: &str) -> String {
    format!("the application does not know yet who owns the data; it is tried again: {}", shown(why))
}

fn owed(why: &str) -> String {
    format!("nothing follows it yet, and no write is lost meanwhile: {}", shown(why))
}

/// The answer to a request of this run.
pub(crate) fn answer(run: &str, answer: &Answer) -> String {
    let said: String = match answer {
        Answer::Done => "done\n".into(),
        Answer::Comparing { .. } => "all rows are being compared\n".into(),
        Answer::Reads { percent } => {
            format!("{percent}% of reads go to the target now; writes stay with the source\n")
        }
        Answer::Ready => "it could be done now\n".into(),
        Answer::Ended => "done: the run is over\n".into(),
        Answer::Finished { report } => format!("done: the run is over\nreport: {}\n", shown(report)),
        Answer::Switched(report) => {
            let untold = report.untold.as_ref().map(|why| untold(why) + "\n").unwrap_or_default();
            let owed = report.owed.as_ref().map(|why| owed(why) + "\n").unwrap_or_default();
            format!("the owner changed {}\n{untold}{owed}", switched(report))
        }
    };
    format!("run {}: {said}", shown(run))
}

/// That a run whose folder is lost could be taken back.
pub(crate) fn lost(run: &str) -> String {
    format!(
        "the source owns the data: a rollback would take the run {run} back, unless an engine is at work on it\nnothing was changed\n"
    )
}

/// How an engine ended.
pub(crate) fn end(end: End) -> String {
    match end {
        // Whichever store owns the data by now.
        End::Stopped => "stopped; the owner's log keeps all changes: `switchover resume` goes on\n",
        End::TakenBack => "taken back: nothing of the run is left\n",
        End::Finished => "finished: nothing follows any more, and the store that owns the data is the application's alone\n",
    }
    .into()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// A copy under way, with these fields otherwise.
    fn copying(other: serde_json::Value) -> LiveStatus {
        let mut status = serde_json::json!({
            // Never old.
            "run": "20260131t120000123-0197c0de", "at": "2999-01-31T12:00:00Z", "pid": 7, "phase": "copying",
            "ownership": {"owner": "source", "pending": false, "epoch": 1},
            "rows_planned": 120_000, "bytes_planned": 48_000_000, "rows_copied": 30_000, "bytes_copied": 12_000_000,
            "copy_left_s": null, "rows_taken": 0, "lag_entries": null, "lag_s": null, "rows_per_s": 0.0,
            "switch_s": null, "verification": {"verdict": "unproven"},
            "pressure": {"wal_bytes": 50_500_000, "log_entries": 12}, "paused": false, "recopied": 0
        });
        let fields = status.as_object_mut().unwrap();
        fields.extend(other.as_object().unwrap().clone());
        serde_json::from_value(status).unwrap()
    }

    #[test]
    fn a_status_that_an_engine_wrote_long_ago_is_old_while_it_is_alive() {
        let long_ago = copying(serde_json::json!({"at": "2026-01-31T12:00:00Z"}));
        let said = status(&long_ago, true);
        assert!(said.contains("old") && said.contains("2026-01-31T12:00:00Z"), "{said}");
        assert!(json(&long_ago, true).unwrap().contains("\"old\":\"what is shown was so at"));
        for (told, alive) in [(long_ago, false), (copying(serde_json::json!({})), true)] {
            assert_eq!(old(&told, alive), None);
            assert!(!json(&told, alive).unwrap().contains("\"old\""));
        }
    }

    #[test]
    fn what_a_dead_engine_proved_is_past() {
        let same = serde_json::json!({"verdict": "same", "rows": 7, "at": "2026-01-31T12:00:00Z"});
        let told = copying(serde_json::json!({"phase": "following", "verification": same}));
        assert!(status(&told, true).contains("yes: 7 rows compared by 2026-01-31T12:00:00Z"));
        let dead = status(&told, false);
        assert!(
            dead.contains("was so at 2026-01-31T12:00:00Z, of 7 rows") && !dead.contains("yes"),
            "{dead}"
        );
    }

    #[test]
    fn a_run_that_is_stopped_names_no_log_that_is_not_the_owners() {
        let said = end(End::Stopped);
        assert!(said.contains("the owner's log") && !said.contains("source"), "{said}");
    }

    #[test]
    fn a_copy_says_how_far_it_is_what_is_left_and_what_holds_it_back() {
        let slowed = serde_json::json!([
            {"cause": "wal", "wait_ms": 100, "why": "the owner's write-ahead log has 50 MB and grows"},
            {"cause": "log", "wait_ms": 0, "why": "9000 changes wait, and more come than are taken"}
        ]);
        let told = [
            status(&copying(serde_json::json!({})), true),
            status(&copying(serde_json::json!({"copy_left_s": 83.4, "slowed": slowed})), true),
            status(&copying(serde_json::json!({"paused": true})), true),
        ];
        insta::assert_snapshot!(told.join("\n"));
    }
}
