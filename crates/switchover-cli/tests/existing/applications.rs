//! Real applications' schemas, as their own migrations make them on both stores: what `data/applications` holds.
//!
//! Each is migrated, verified, used as the application would, and taken back to what it was, in both ways of loading.

use crate::app::App;
use crate::common::run;

/// An application, what its administrator has to say, and what a plan says without that.
struct Application {
    source: &'static str,
    target: &'static str,
    workload: &'static str,
    mapping: &'static str,
    said: &'static [&'static str],
    /// Words of each refusal when nothing is said.
    refusals: &'static [&'static str],
    /// What must be done on the target first, and undone at the end.
    around: [&'static str; 2],
    /// What the statements answer, a line a row.
    answers: &'static str,
}

macro_rules! file {
    ($name:literal, $file:literal) => {
        include_str!(concat!("../data/applications/", $name, "/", $file))
    };
}

fn check(application: &Application) {
    let app = App::new(application.source, application.target);
    let refused = if application.refusals.is_empty() { String::new() } else { app.refusals(&[]) };
    for words in application.refusals {
        assert!(refused.contains(words), "{words} in {refused}");
    }
    std::fs::write(app.folder.path().join("switchover.toml"), application.mapping).expect("a mapping");
    let original = app.dump();
    app.psql(application.around[0]);
    let before = app.dump();
    for rebuild in [&[][..], &["--rebuild"]] {
        let said = [application.said, rebuild].concat();
        run(&mut app.migrate(&said)).exits(0);
        run(&mut app.on_both("verify", &said)).exits(0);
        run(&mut app.verb("rollback", &[])).exits(0);
        assert_eq!(app.dump(), before, "a rollback leaves what was there");
    }
    run(&mut app.migrate(application.said)).exits(0);
    app.psql(application.around[1]);
    let answers = app.psql(application.workload).replace('\t', "|");
    assert_eq!(answers, application.answers, "the application goes on");
    // What the application wrote since is not lost by accident.
    app.psql(application.around[0]);
    run(&mut app.verb("rollback", &[])).exits(1).says("the stores differ now");
    run(&mut app.verb("rollback", &["--discard-target-changes"])).exits(0);
    app.psql(application.around[1]);
    assert_eq!(app.dump(), original);
}

const NOTHING: [&str; 2] = ["SELECT", "SELECT"];

#[test]
fn memos() {
    check(&Application {
        source: file!("memos", "source.sql"),
        target: file!("memos", "target.sql"),
        workload: file!("memos", "workload.sql"),
        mapping: "",
        said: &[],
        refusals: &[],
        around: NOTHING,
        answers: "301\n4\n30",
    });
}

#[test]
fn authelia() {
    check(&Application {
        source: file!("authelia", "source.sql"),
        target: file!("authelia", "target.sql"),
        workload: file!("authelia", "workload.sql"),
        mapping: "into = \"existing\"\nfractions = \"cut\"",
        said: &["--on-conflict", "replace", "--naive-times", "utc"],
        refusals: &[
            "more than 6 digits of a second's fraction",
            "--fractions cut",
            "the target's table holds 1 rows already: id=1",
        ],
        around: NOTHING,
        answers: "201\n3\n0",
    });
}

#[test]
fn shiori() {
    check(&Application {
        source: file!("shiori", "source.sql"),
        target: file!("shiori", "target.sql"),
        workload: file!("shiori", "workload.sql"),
        mapping: file!("shiori", "switchover.toml"),
        said: &[],
        refusals: &["bookmark_content", "account |  | showid", "has no such column"],
        around: NOTHING,
        answers: "101\n5\ntrue|$2a$10$hash\n33|Text von 99",
    });
}

#[test]
fn atuin() {
    check(&Application {
        source: file!("atuin", "source.sql"),
        target: file!("atuin", "target.sql"),
        workload: file!("atuin", "workload.sql"),
        mapping: "",
        said: &["--epoch", "seconds"],
        refusals: &["the trigger tg_user_history_count", "DISABLE TRIGGER", "nothing says what it counts"],
        around: [
            "ALTER TABLE history DISABLE TRIGGER tg_user_history_count",
            "ALTER TABLE history ENABLE TRIGGER tg_user_history_count",
        ],
        answers: "3\n151\n76\n75",
    });
}
