//! Whatever happens to the gates, the capture or the tables is noticed, and says where.

use crate::reverse::start;
use crate::stage::{Stage, kind, run};
use switchover_core::Kind;

/// What somebody does, and whether it concerns the columns, which nothing but a new copy mends.
const HURTS: [(&str, bool); 21] = [
    ("ALTER TABLE app.parent DISABLE TRIGGER _switchover_log_insert", false),
    ("ALTER TABLE app.parent DISABLE TRIGGER USER", false),
    ("ALTER TABLE app.parent DISABLE TRIGGER USER; ALTER TABLE app.parent ENABLE TRIGGER USER", false),
    ("ALTER TABLE app.parent DISABLE TRIGGER _switchover_gate", false),
    ("ALTER TABLE app.parent ENABLE TRIGGER _switchover_log_delete", false),
    ("DROP TRIGGER _switchover_log_update ON app.parent", false),
    ("DROP TRIGGER _switchover_log_truncate ON app.parent", false),
    ("DROP TRIGGER _switchover_gate ON app.parent", false),
    ("DROP TRIGGER _switchover_fence ON app.parent", false),
    ("ALTER TRIGGER _switchover_log_insert ON app.parent RENAME TO gone", false),
    (
        "CREATE OR REPLACE FUNCTION app._switchover_log_0() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        false,
    ),
    (
        "CREATE OR REPLACE FUNCTION app._switchover_gate() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        false,
    ),
    ("ALTER TABLE app._switchover_changes DISABLE TRIGGER _switchover_log_guard", false),
    (
        "ALTER TABLE app._switchover_changes DISABLE TRIGGER USER; TRUNCATE app._switchover_changes;
         ALTER TABLE app._switchover_changes ENABLE ALWAYS TRIGGER _switchover_log_guard",
        false,
    ),
    ("DROP TRIGGER _switchover_log_guard ON app._switchover_changes", false),
    (
        "CREATE OR REPLACE FUNCTION app._switchover_log_guard() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        false,
    ),
    ("CREATE TABLE app.heir() INHERITS (app.parent)", false),
    ("CREATE RULE no AS ON DELETE TO app.parent DO INSTEAD NOTHING", false),
    ("ALTER TABLE app.parent DROP COLUMN n", true),
    ("ALTER TABLE app.parent RENAME COLUMN n TO m", true),
    ("ALTER TABLE app.parent ALTER COLUMN n TYPE real", true),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_that_is_not_whole_is_noticed_by_changes_and_by_capture() {
    let stage = Stage::owning().await;
    let parent = stage.at("parent");
    assert_eq!(parent, 0, "the function that is replaced is the table's");
    for (hurt, column) in HURTS.iter().filter(|(_, column)| !column) {
        stage.log(&start()).await.unwrap();
        stage.database.psql(hurt).unwrap();
        let error = stage.log(&start()).await.unwrap_err();
        assert_eq!((error.kind(), &*error.subject().table), (Kind::Changed, "parent"), "{hurt}: {error}");
        assert!(!column);
        stage.live.enter().await.unwrap();
        assert_eq!(kind(stage.log(&start()).await), Kind::Changed, "entering again hides nothing: {hurt}");
        let doubts = stage.live.doubts().await.unwrap();
        assert!(doubts.contains(&parent), "{hurt}: {doubts:?}");
        assert_eq!(kind(stage.live.capture(&[], &[]).await), Kind::Changed, "{hurt}");
        assert!(!stage.live.capture(&doubts, &[]).await.unwrap().new, "{hurt}");
        assert_eq!(stage.live.doubts().await.unwrap(), Vec::<usize>::new(), "{hurt}");
        stage.log(&start()).await.unwrap();
        let undo = "DROP TABLE IF EXISTS app.heir; DROP RULE IF EXISTS no ON app.parent;
            DROP TRIGGER IF EXISTS gone ON app.parent";
        stage.database.psql(undo).unwrap();
        let doubts = stage.live.doubts().await.unwrap();
        stage.live.capture(&doubts, &[]).await.unwrap();
    }
    let session = stage.session().await;
    assert_eq!(run(&session, "INSERT INTO app.parent VALUES (90, 'after', 1)").await, None);
    assert_eq!(crate::stage::keys_of(&stage.log(&start()).await.unwrap(), parent).unwrap(), ["90"]);
}

/// The server's own flags say so until the next VACUUM.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_or_a_rule_that_is_gone_again_is_no_loss() {
    let stage = Stage::owning().await;
    for (hurt, undo) in [
        ("CREATE TABLE app.heir() INHERITS (app.parent)", "DROP TABLE app.heir"),
        ("CREATE RULE no AS ON DELETE TO app.parent DO INSTEAD NOTHING", "DROP RULE no ON app.parent"),
    ] {
        stage.database.psql(hurt).unwrap();
        assert_eq!(kind(stage.log(&start()).await), Kind::Changed, "{hurt}");
        stage.database.psql(undo).unwrap();
        stage.log(&start()).await.unwrap_or_else(|error| panic!("{undo}: {error}"));
        assert_eq!(stage.live.doubts().await.unwrap(), Vec::<usize>::new(), "{undo}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plans_column_that_changes_is_named() {
    for (hurt, _) in HURTS.iter().filter(|(_, column)| *column) {
        let stage = Stage::owning().await;
        stage.database.psql(hurt).unwrap();
        for error in [
            stage.log(&start()).await.map(drop).unwrap_err(),
            stage.live.capture(&[0], &[]).await.map(drop).unwrap_err(),
        ] {
            assert_eq!(error.kind(), Kind::Changed, "{hurt}: {error}");
            assert_eq!((&*error.subject().table, &*error.subject().column), ("parent", "n"), "{hurt}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_goes_away_or_is_another_one_is_named() {
    for hurt in [
        "ALTER TABLE app.loose RENAME TO tight",
        "DROP TABLE app.loose",
        "ALTER TABLE app.loose SET SCHEMA public",
        "ALTER TABLE app.loose RENAME TO tight; CREATE TABLE app.loose(x text, y bigint)",
    ] {
        let stage = Stage::owning().await;
        stage.database.psql(hurt).unwrap();
        let error = stage.log(&start()).await.unwrap_err();
        assert_eq!((error.kind(), &*error.subject().table), (Kind::Changed, "loose"), "{hurt}: {error}");
    }
    let stage = Stage::owning().await;
    stage.database.psql("DROP TABLE app._switchover_changes").unwrap();
    let error = stage.log(&start()).await.unwrap_err();
    assert!(error.kind() == Kind::Changed && error.why().contains("finish --abandon-source"), "{error}");
    let doubts = stage.live.doubts().await.unwrap();
    assert_eq!(doubts.len(), stage.plan.tables.len());
    assert!(stage.live.capture(&doubts, &[]).await.unwrap().new);
    stage.log(&start()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_column_and_ordinary_work_are_no_loss() {
    let stage = Stage::owning().await;
    let parent = stage.at("parent");
    for ddl in [
        "ALTER TABLE app.parent ADD COLUMN extra text DEFAULT 'e'",
        "CREATE INDEX ON app.parent(n)",
        "VACUUM FULL app.parent",
        "VACUUM FULL pg_trigger",
        "ANALYZE",
        "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA app TO PUBLIC",
        "ALTER TABLE app.parent ADD CONSTRAINT c CHECK (n < 1000)",
        "CREATE FUNCTION app.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
         CREATE TRIGGER mine BEFORE UPDATE ON app.parent FOR EACH ROW EXECUTE FUNCTION app.f()",
    ] {
        for statement in ddl.split(";\n") {
            stage.database.psql(statement).unwrap();
        }
        stage.log(&start()).await.unwrap_or_else(|error| panic!("{ddl}: {error}"));
        assert_eq!(stage.live.doubts().await.unwrap(), Vec::<usize>::new(), "{ddl}");
        stage.live.capture(&[], &[]).await.unwrap();
    }
    let session = stage.session().await;
    assert_eq!(run(&session, "INSERT INTO app.parent VALUES (90, 'new', 1, 'more')").await, None);
    let changes = stage.log(&start()).await.unwrap();
    let rows = &changes.tables.iter().find(|change| change.table == parent).unwrap().rows;
    assert_eq!((rows.len(), rows.row(0).width()), (1, 3), "the plan's columns still go back");
}
