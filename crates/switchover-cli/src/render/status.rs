//! The runs of a journal, as `status` shows them.

use super::layout::{columns, shown};
use serde::Serialize;
use switchover::live::LiveStatus;

/// One run of the journal.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RunStatus {
    /// Its name.
    pub(crate) run: String,
    /// Where it is: `running`, `stopped`, `failed`, `done`, `rolled back`.
    pub(crate) state: String,
    /// The last state that it reached by itself.
    pub(crate) phase: String,
    /// Why it ended so; may be empty.
    pub(crate) detail: String,
    /// When it began, in RFC 3339.
    pub(crate) started_at: String,
    /// The source without secrets.
    pub(crate) source: String,
    /// The target without secrets.
    pub(crate) target: String,
    /// What the user can do next, as a command; may be empty.
    pub(crate) next: String,
    /// That what the engine of a live run told last is old, though it is alive, and why that may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) old: Option<String>,
    /// What the engine of a live run told last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) live: Option<LiveStatus>,
}

/// The state of a run that a process has under way.
pub(crate) const RUNNING: &str = "running";

/// The runs, the newest first.
pub(crate) fn render(runs: &[RunStatus], state_dir: &str) -> String {
    if runs.is_empty() {
        return format!("no runs in {}\n", shown(state_dir));
    }
    let mut out = String::new();
    for run in runs {
        out.push_str(&format!("run {}: {}\n", shown(&run.run), shown(&run.state)));
        let mut rows = vec![
            ["began".into(), shown(&run.started_at)],
            ["reached".into(), shown(&run.phase)],
            ["source".into(), shown(&run.source)],
            ["target".into(), shown(&run.target)],
        ];
        if !run.detail.is_empty() {
            rows.push(["why".into(), shown(&run.detail)]);
        }
        if !run.next.is_empty() {
            rows.push(["next".into(), shown(&run.next)]);
        }
        if let Some(old) = &run.old {
            rows.push(["old".into(), old.clone()]);
        }
        if let Some(live) = &run.live {
            rows.extend(super::live::rows(live, run.state == RUNNING));
        }
        out.push_str(&columns(2, [8, 0], &rows));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_run_says_how_to_go_on() {
        let run = RunStatus {
            run: "0197c0de".into(),
            state: "stopped".into(),
            phase: "prepared".into(),
            detail: "it was asked to stop".into(),
            started_at: "2026-01-31T10:00:00Z".into(),
            source: "sqlite:app.db".into(),
            target: "postgres://app@db/app".into(),
            old: None,
            live: None,
            next: "switchover resume --run 0197c0de".into(),
        };
        insta::assert_snapshot!(render(&[run], ".switchover"));
        assert_eq!(render(&[], ".switchover"), "no runs in .switchover\n");
    }
}
