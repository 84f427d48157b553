//! Which run is meant, and who holds one.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

#[test]
fn a_lock_ends_with_its_holder_though_a_starting_program_has_the_handle() {
    let folder = tempfile::tempdir().unwrap();
    let held = lock(folder.path()).unwrap();
    let _inherited = held.0.try_clone().unwrap();
    assert_eq!(lock(folder.path()).unwrap_err().kind(), Kind::Busy);
    drop(held);
    lock(folder.path()).unwrap();
}

fn known(run: &str, live: bool, active: bool, states: &[State]) -> Summary {
    let header = Header {
        run: run.into(),
        started_at: String::new(),
        source: "sqlite:a.db".into(),
        target: "sqlite:b.db".into(),
        on_failure: crate::settings::OnFailure::Keep,
        backup: false,
        live,
    };
    let entry = |state: &State| Entry { at: String::new(), state: *state, detail: String::new() };
    Summary { header, entries: states.iter().map(entry).collect(), active }
}

#[test]
fn of_live_runs_that_are_not_over_one_may_be_meant_without_its_name() {
    let (planned, begun) = (&[State::Planned][..], &[State::Planned, State::Prepared][..]);
    let over = &[State::Planned, State::Prepared, State::CleanedUp][..];
    let first = known("r1", true, true, begun);
    for (newest, is_one) in [
        (known("r2", true, true, begun), false),
        (known("r2", true, false, begun), false),
        (known("r2", true, true, planned), false),
        // It would be taken, though nothing came of it.
        (known("r2", true, false, planned), false),
        (known("r2", true, false, over), true),
        (known("r2", false, false, begun), true),
    ] {
        let refused = one_live(&[first.clone(), newest.clone()]).err();
        assert_eq!(refused.is_none(), is_one, "{newest:?}");
        let Some(refused) = refused else { continue };
        let said = refused.to_string();
        assert!(refused.kind() == Kind::Refused && said.contains("r1") && said.contains("r2"), "{said}");
    }
    one_live(&[known("r0", true, false, planned), first]).unwrap();
}

#[test]
fn without_a_name_the_live_run_is_meant_that_is_not_over() {
    let (planned, begun) = (&[State::Planned][..], &[State::Planned, State::Prepared][..]);
    let over = &[State::Planned, State::Prepared, State::RolledBack][..];
    for (older, newest, meant) in [
        (known("r1", true, true, begun), known("r2", true, false, over), "r1"),
        (known("r1", true, false, begun), known("r2", true, false, over), "r1"),
        (known("r1", true, false, planned), known("r2", true, false, over), "r2"),
        (known("r1", true, false, over), known("r2", true, false, over), "r2"),
        (known("r1", true, false, over), known("r2", true, true, begun), "r2"),
        // One that is no live run is done, or stopped, and may be taken back.
        (known("r1", true, true, begun), known("r2", false, false, over), "r2"),
        (known("r1", true, true, begun), known("r2", false, false, begun), "r2"),
        (known("r1", false, false, begun), known("r2", true, false, over), "r2"),
    ] {
        let runs = [older, newest];
        assert_eq!(unnamed(&runs).map(|header| header.run.as_str()), Some(meant), "{runs:?}");
    }
    assert_eq!(unnamed(&[]), None);
}

/// So often that a look that kept others away would be met.
const TRIES: usize = 2_000;

#[test]
fn who_only_looks_keeps_nobody_from_taking_a_run_up() {
    let folder = tempfile::tempdir().unwrap();
    let over = std::sync::atomic::AtomicBool::new(false);
    let taken = std::thread::scope(|scope| {
        let (looks, looked) = std::sync::mpsc::channel();
        let (over, path) = (&over, folder.path());
        scope.spawn(move || {
            while !over.load(std::sync::atomic::Ordering::SeqCst) {
                is_held(path).unwrap();
                // Nobody listens but for the first.
                looks.send(()).ok();
            }
        });
        looked.recv().unwrap();
        let taken: Vec<_> = (0..TRIES).map(|_| lock(folder.path()).map(drop)).collect();
        // Before any assertion: a panic here would wait for the other for ever.
        over.store(true, std::sync::atomic::Ordering::SeqCst);
        taken
    });
    taken.into_iter().for_each(Result::unwrap);
    assert!(!is_held(folder.path()).unwrap());
    let _held = lock(folder.path()).unwrap();
    assert!(is_held(folder.path()).unwrap());
}
