//! Real applications' schemas, as their own migrations make them on both stores: what `data/applications` holds.
//!
//! Each is refused without what its administrator has to say, then migrated by a plain owner of the tables, compared by
//! clients that share no code with the product, used as the application would, and taken back, in both ways of loading.

use crate::app::App;
use crate::application_file;
use crate::common::run;
use crate::compare;
use crate::fill;
use crate::known::{JUPYTERHUB, Known, MLFLOW, OPTUNA, SHIORI, WAGTAIL};
use rusqlite::Connection;
use std::collections::BTreeSet;

/// An application, and what a plan says without its administrator's words.
struct Application {
    known: Known,
    workload: &'static str,
    /// Words of each refusal when nothing is said.
    refusals: &'static [&'static str],
    /// What must be done on the target first, and undone at the end.
    around: [&'static str; 2],
    /// What the statements answer, a line a row.
    answers: &'static str,
    /// Whether the source has all tables of the application, which are filled here.
    whole: bool,
}

fn check(application: &Application) {
    let known = &application.known;
    let app = App::owned(known.source, known.target);
    let refused = if application.refusals.is_empty() { String::new() } else { app.refusals(&[]) };
    for words in application.refusals {
        assert!(refused.contains(words), "{words} in {refused}");
    }
    std::fs::write(app.folder.path().join("switchover.toml"), known.mapping).expect("a mapping");
    if application.whole {
        fill::fill(&app.open(), known.left, known.words);
    }
    let original = app.dump();
    let seeded = application.whole.then(|| others(&app, known));
    app.psql(application.around[0]);
    let before = app.dump();
    for rebuild in [&[][..], &["--rebuild"]] {
        let said = [known.said, rebuild].concat();
        run(&mut app.migrate(&said)).exits(0);
        if let Some(seeded) = &seeded {
            for (at, (table, columns)) in moved(&app, known).iter().enumerate() {
                let others = compare::beside(&app.open(), &app.database, table, columns);
                let was = |row| seeded[at].contains(row);
                assert!(others.iter().all(was), "{table} holds what neither store did: {others:?}");
            }
        }
        run(&mut app.on_both("verify", &said)).exits(0);
        run(&mut app.verb("rollback", &[])).exits(0);
        assert_eq!(app.dump(), before, "a rollback leaves what was there");
    }
    run(&mut app.migrate(known.said)).exits(0);
    app.psql(application.around[1]);
    let answers = app.psql(application.workload).replace('\t', "|");
    assert_eq!(answers, application.answers, "the application goes on");
    // What the application wrote since is not lost by accident.
    app.psql(application.around[0]);
    run(&mut app.verb("rollback", &[])).exits(1).says("the stores differ now");
    run(&mut app.verb("rollback", &["--discard-target-changes"])).exits(0);
    app.psql(application.around[1]);
    assert_eq!(app.dump(), original);
    app.drop_owner();
}

/// The tables that are moved as they are, with their columns.
fn moved(app: &App, known: &Known) -> Vec<(String, Vec<String>)> {
    let store = app.open();
    let names = fill::tables(&store).into_iter().filter(|name| !known.left.contains(&name.as_str()));
    names.map(|name| (name.clone(), columns(&store, &name))).collect()
}

fn columns(store: &Connection, table: &str) -> Vec<String> {
    let mut statement = store.prepare("SELECT name FROM pragma_table_info(?1)").expect("a query");
    let names = statement.query_map([table], |row| row.get(0)).expect("columns");
    names.collect::<Result<_, _>>().expect("columns")
}

/// What the target holds before, for each table that is moved.
fn others(app: &App, known: &Known) -> Vec<BTreeSet<Vec<Option<String>>>> {
    let empty = Connection::open_in_memory().expect("a store");
    let rows = moved(app, known).into_iter().map(|(table, columns)| {
        let list: Vec<String> = columns.iter().map(|name| format!("\"{name}\"")).collect();
        empty.execute_batch(&format!("CREATE TABLE \"{table}\" ({})", list.join(", "))).expect("a table");
        compare::beside(&empty, &app.database, &table, &columns).into_iter().collect()
    });
    rows.collect()
}

const NOTHING: [&str; 2] = ["SELECT", "SELECT"];

#[test]
fn optuna() {
    check(&Application {
        known: OPTUNA,
        workload: application_file!("optuna", "workload.sql"),
        refusals: &[
            "version_info |",
            "the target's table holds 1 rows already: version_info_id=1",
            "--on-conflict",
        ],
        around: NOTHING,
        answers: "51\n42\nMINIMIZE MAXIMIZE\n7",
        whole: true,
    });
}

#[test]
fn jupyterhub() {
    check(&Application {
        known: JUPYTERHUB,
        workload: application_file!("jupyterhub", "workload.sql"),
        refusals: &["roles |", "the target's table holds 4 rows already"],
        around: NOTHING,
        answers: "44\n45\n\\000\\377\x01secret\nada grace",
        whole: true,
    });
}

#[test]
fn mlflow() {
    check(&Application {
        known: MLFLOW,
        workload: application_file!("mlflow", "workload.sql"),
        refusals: &[
            "experiments |",
            "the target's table holds 1 rows already: experiment_id=0",
            "workspaces |",
        ],
        around: NOTHING,
        answers: "42\n3|t\n3\nmlflow-artifacts:/0",
        whole: true,
    });
}

#[test]
fn wagtail() {
    check(&Application {
        known: WAGTAIL,
        workload: application_file!("wagtail", "workload.sql"),
        refusals: &[
            "auth_permission |",
            "the target's table holds 167 rows already",
            "wagtailsearch_indexentry |  | title",
            "the target makes its index of words by itself",
            "wagtailsearch_indexentry_fts |",
            "SQLite's own index of words",
        ],
        around: NOTHING,
        answers: "43\npublish_page\nSeite 0 ß\nt",
        whole: true,
    });
}

#[test]
fn authelia() {
    check(&Application {
        known: Known {
            source: application_file!("authelia", "source.sql"),
            target: application_file!("authelia", "target.sql"),
            mapping: "into = \"existing\"\nfractions = \"cut\"",
            said: &["--on-conflict", "replace", "--naive-times", "utc"],
            left: &[],
            words: &[],
        },
        workload: application_file!("authelia", "workload.sql"),
        refusals: &[
            "more than 6 digits of a second's fraction",
            "--fractions cut",
            "the target's table holds 1 rows already: id=1",
        ],
        around: NOTHING,
        answers: "201\n3\n0",
        whole: false,
    });
}

#[test]
fn shiori() {
    check(&Application {
        known: SHIORI,
        workload: application_file!("shiori", "workload.sql"),
        refusals: &["bookmark_content", "account |  | showid", "has no such column"],
        around: NOTHING,
        answers: "101\n5\ntrue|$2a$10$hash\n33|Text von 99",
        whole: false,
    });
}

#[test]
fn atuin() {
    check(&Application {
        known: Known {
            source: application_file!("atuin", "source.sql"),
            target: application_file!("atuin", "target.sql"),
            mapping: "",
            said: &["--epoch", "seconds"],
            left: &[],
            words: &[],
        },
        workload: application_file!("atuin", "workload.sql"),
        refusals: &["the trigger tg_user_history_count", "DISABLE TRIGGER", "nothing says what it counts"],
        around: [
            "ALTER TABLE history DISABLE TRIGGER tg_user_history_count",
            "ALTER TABLE history ENABLE TRIGGER tg_user_history_count",
        ],
        answers: "3\n151\n76\n75",
        whole: false,
    });
}

/// Both stores seeded the same rows, each under numbers of its own: what is done with them is the user's word.
#[test]
fn wagtail_with_seeds_under_other_numbers() {
    let app = App::owned(WAGTAIL.source, WAGTAIL.target);
    std::fs::write(app.folder.path().join("switchover.toml"), WAGTAIL.mapping).expect("a mapping");
    app.source(
        "UPDATE django_content_type SET id = id + 1000; UPDATE auth_permission SET content_type_id = content_type_id + 1000;
         UPDATE wagtailcore_page SET content_type_id = content_type_id + 1000; UPDATE wagtailcore_task SET content_type_id = content_type_id + 1000;
         UPDATE wagtailcore_revision SET content_type_id = content_type_id + 1000, base_content_type_id = base_content_type_id + 1000;
         UPDATE wagtailcore_modellogentry SET content_type_id = content_type_id + 1000; UPDATE wagtailcore_pagelogentry SET content_type_id = content_type_id + 1000;",
    );
    let refused = app.refusals(&[]);
    let meeting = "django_content_type | id=1001 | app_label, model | 'wagtailcore', 'page' | the target's own row id=1";
    assert!(refused.contains(meeting) && refused.contains("emptied there before the run"), "{refused}");
    app.psql("TRUNCATE django_content_type CASCADE");
    let before = app.dump();
    run(&mut app.migrate(&[])).exits(0);
    app.shows(
        "SELECT (SELECT min(id) FROM django_content_type), (SELECT count(*) FROM auth_permission), (SELECT content_type_id > 1000 FROM wagtailcore_page WHERE slug = 's1')",
        "1001|171|t",
    );
    run(&mut app.on_both("verify", &[])).exits(0);
    run(&mut app.verb("rollback", &[])).exits(0);
    assert_eq!(app.dump(), before);
    app.drop_owner();
}
