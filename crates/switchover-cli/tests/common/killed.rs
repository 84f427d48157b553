//! A run that dies at a place by `kill -9`, between any pair of stores: afterwards `resume` ends it with the target equal to
//! the source, or `rollback` leaves the target as it was.

use super::case::{Case, Goal, Origin, Pair};
use super::run;
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
