//! A run that dies at a place by `kill -9`, between any pair of stores: afterwards `resume` ends it with the target equal to
//! the source, or `rollback` leaves the target as it was.

use super::case::{Case, Goal, Origin, Pair, SOON_SETTLED};
use super::{files, run};
use std::process::Command;

/// Places of `migrate`, before and after each durable effect, in their order.
pub(crate) const PLACES: &[&str] = &[
    "journal-before-plan=return",
    "journal-before-header=return",
    "journal-before-line=return",
    "journal-torn-line=return",
    "after-planned=return",
    "backup-before-publish=return",
    "backup-before-note=return",
    "backup-after-note=return",
    "prepare-before-commit=return",
    "prepare-after-commit=return",
    "after-prepare=return",
    "journal-before-line=1*off->return",
    "journal-torn-line=1*off->return",
    "copy-before-rows=return",
    "copy-before-rows=20*off->return",
    "copy-before-commit=return",
    "copy-before-commit=3*off->return",
    "copy-before-commit=11*off->return",
    "copy-before-commit=40*off->return",
    "copy-after-commit=return",
    "copy-after-commit=3*off->return",
    "copy-after-commit=25*off->return",
    "after-copy=return",
    "journal-before-line=2*off->return",
    "build-before-commit=return",
    "build-after-commit=return",
    "after-build=return",
    "before-done=return",
    "report-before=return",
    "report-after=return",
    "journal-before-line=4*off->return",
    "journal-after-line=4*off->return",
];

/// Places that only one target passes, or passes so often.
pub(crate) const PLACES_OF_ONE: &[(Goal, &str)] = &[
    (Goal::Postgres, "quarantine-before-commit=return"),
    (Goal::Postgres, "quarantine-before-commit=7*off->return"),
    (Goal::Postgres, "build-before-commit=4*off->return"),
    (Goal::Postgres, "build-after-commit=8*off->return"),
    (Goal::Sqlite, "build-before-commit=1*off->return"),
    (Goal::Sqlite, "build-after-commit=1*off->return"),
    (Goal::Sqlite, "publish-after-link=return"),
    (Goal::Json, "publish-after-link=return"),
    (Goal::Json, "record-before-rename=return"),
    (Goal::Json, "record-before-rename=4*off->return"),
];

/// Whether a run of that pair comes by that place: what a dump holds has only its rows' keys, which SQLite makes
/// with the table, and a server builds while rows come.
pub(crate) fn passes((origin, goal): Pair, place: &str) -> bool {
    !place.starts_with("build-") || (origin, goal) != (Origin::Json, Goal::Sqlite) && goal != Goal::Server
}

pub(crate) fn at<'a>(command: &'a mut Command, place: &str) -> &'a mut Command {
    command.env("FAILPOINTS", place)
}

/// Whether the run is known to the journal: before that, nothing was written to the target, and a new
/// `migrate` is what there is to do.
pub(crate) fn begun(place: &str) -> bool {
    !matches!(place, "journal-before-plan=return" | "journal-before-header=return")
}

/// Finishes the run of a case, which was killed at `place`.
#[track_caller]
pub(crate) fn finish(case: &Case, place: &str) {
    let done = place == "journal-after-line=4*off->return";
    match (begun(place), done) {
        (false, _) => drop(run(&mut case.migrate(&["--jobs", "2"])).exits(0)),
        (true, true) => drop(run(&mut case.verb("resume")).exits(2).says("it is done and verified")),
        (true, false) => drop(run(case.verb("resume").args(["--jobs", "2"])).exits(0)),
    }
    case.is_equal();
    assert_eq!(case.state_of_run(), "done", "{place}");
}

/// Killed there, it goes on and ends equal.
pub(crate) fn goes_on(pair: Pair, place: &str) {
    let case = Case::of(pair);
    run(at(&mut case.migrate(&["--jobs", "2"]), place)).was_killed();
    finish(&case, place);
}

/// Killed there, it goes back to what was there; and the way is free again.
pub(crate) fn goes_back(pair: Pair, place: &str) {
    let case = Case::of(pair);
    let before = case.dump();
    run(at(&mut case.migrate(&["--jobs", "2"]), place)).was_killed();
    if begun(place) {
        run(&mut case.verb("rollback")).exits(0);
        assert_eq!(case.state_of_run(), "rolled back", "{place}");
    }
    assert_eq!(case.dump(), before, "{place}");
    run(&mut case.migrate(&["--no-backup"])).exits(0);
    case.is_equal();
}

/// `rollback --dry-run`, of a run that was killed and of one that is done, says what it would do and changes nothing.
pub(crate) fn only_says_what_a_rollback_would_do(goal: Goal) {
    let case = Case::to(goal);
    let before = case.dump();
    let dry = |more: &[&str]| run(case.verb("rollback").arg("--dry-run").args(more));
    let known = || files(&case.state()).into_iter().map(|path| std::fs::read(path).ok()).collect::<Vec<_>>();
    let places = "copy-after-commit=9*off->return";
    let places = if goal == Goal::Server { format!("{SOON_SETTLED};{places}") } else { places.to_owned() };
    for killed in [true, false] {
        match killed {
            true => run(case.migrate(&[]).env("FAILPOINTS", &places)).was_killed(),
            false => run(&mut case.verb("resume")).exits(0),
        };
        // A file whose writer was killed is folded by whoever opens it, the dry run too: its rows are what counts.
        let held = || match (goal, killed) {
            (Goal::Sqlite, true) => case.counts(
                "SELECT (SELECT count(*) FROM messages), (SELECT count(*) FROM _switchover_checkpoint)",
            ),
            _ => case.dump(),
        };
        let (before, journal) = (held(), known());
        let ran = dry(&[]).exits(0);
        assert!(ran.out.contains("a rollback would") && ran.out.contains("nothing was changed"), "{ran}");
        assert!(held() == before && known() == journal, "{goal:?}, killed: {killed}");
    }
    dry(&["--when-ready"]).exits(2).says("--when-ready is about a change of the owner");
    run(case.verb("rollback").args(["--write-budget", "1s"])).exits(2).says("--write-budget is about");
    if goal == Goal::Postgres {
        case.database.psql("DELETE FROM log").expect("a change of the target");
        dry(&[]).exits(1).says("the stores differ now").says("--discard-target-changes");
        dry(&["--discard-target-changes"]).exits(0);
        run(case.verb("rollback").arg("--discard-target-changes")).exits(0);
    } else {
        run(&mut case.verb("rollback")).exits(0);
    }
    assert!(case.dump() == before, "{goal:?}");
    let ran = dry(&[]).exits(0);
    assert!(ran.out.starts_with("nothing of the run"), "{ran}");
}
