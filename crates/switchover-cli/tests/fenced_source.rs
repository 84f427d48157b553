//! One-off verbs on a source whose data a live run has handed over: what it holds may be old.

mod engine;
mod program;

use engine::{application, begin, is_same, until};
use program::{done, flat, run};

#[test]
fn a_source_that_does_not_own_its_data_is_not_moved_and_a_comparison_says_so() {
    let (folder, _file) = application();
    let folder = folder.path();
    let copy = ["--from", "sqlite:app.db", "--to", "sqlite:copy.db"];
    let more = ["--from", "sqlite:app.db", "--to", "sqlite:more.db"];
    done(folder, &[&["migrate"][..], &copy].concat());
    let _engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", "sqlite:new.db"]);
    until(folder, is_same);
    let verbs = [&["verify"][..], &["verify", "--sample", "2"]];
    let word = "takes no writes: the live run";
    for verb in verbs {
        // While it owns the data there is nothing to say.
        let same = flat(&done(folder, &[verb, &copy].concat()));
        assert!(same.starts_with("same") && !same.contains(word), "{same}");
    }
    // Past the fence of a store that follows, rows of an older read point would stay there.
    let repair = ["verify", "--repair", "--from", "sqlite:app.db", "--to", "sqlite:new.db"];
    let refused = run(folder, &repair);
    let said = flat(&(refused.out + &refused.err));
    assert!(refused.code == 1 && said.contains("only its engine writes to these tables"), "{said}");
    let refused = run(folder, &[&repair[..], &["--state-dir", "another"]].concat());
    let said = flat(&refused.err);
    assert!(refused.code == 2 && said.contains("is at work on this file"), "{said}");
    done(folder, &["cutover"]);
    for verb in verbs {
        let same = flat(&done(folder, &[verb, &copy].concat()));
        assert!(same.starts_with("same") && same.contains(word), "{verb:?}: {same}");
    }
    let refusing = [
        (&["migrate"][..], more),
        (&["migrate", "--dry-run"][..], more),
        (&["verify", "--repair"][..], copy),
    ];
    for (verb, stores) in refusing {
        let refused = run(folder, &[verb, &stores].concat());
        let said = flat(&(refused.out + &refused.err));
        assert!(refused.code == 1 && said.contains(word), "{verb:?}: {said}");
        assert!(said.contains("from the store that owns it"), "{verb:?}: {said}");
    }
    done(folder, &["rollback", "--when-ready"]);
    done(folder, &[&["migrate"][..], &more].concat());
}
