//! A file that is set back between the reading of its changes and the mark of what was read. The places of failpoints are the process's, so
//! this is one by itself.
#![cfg(feature = "failpoints")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "sqlite_live/harness.rs"]
#[expect(dead_code, clippy::panic, reason = "shared with others")]
mod harness;

use harness::{ALL, App, Pair, connect};
use rusqlite::backup::Progress;
use switchover_core::Kind;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_before_a_file_was_set_back_is_not_marked_in_it() {
    let pair = Pair::start(App::new("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")).await;
    pair.backfill(1 << 20, &mut || {}).await.unwrap();
    pair.cut_over().await;
    let mut new = connect(&pair.new_path());
    let older = pair.app.folder.path().join("older.db");
    // Marked once, and something behind it that is not read when the file is kept.
    new.execute_batch("INSERT INTO t VALUES (1, 'read')").unwrap();
    pair.back(ALL).await.unwrap();
    new.execute_batch("INSERT INTO t VALUES (2, 'later')").unwrap();
    new.backup("main", &older, None::<fn(Progress)>).unwrap();
    new.execute_batch("INSERT INTO t VALUES (3, 'gone'), (4, 'gone')").unwrap();
    // Behind the reading the older state comes into the file, and is written to until its numbers are as large again.
    let path = pair.new_path();
    let back = std::sync::atomic::AtomicBool::new(false);
    fail::cfg_callback("live-target-read", move || {
        if !back.swap(true, std::sync::atomic::Ordering::SeqCst) {
            let mut new = connect(&path);
            new.restore("main", &older, None::<fn(Progress)>).unwrap();
            new.execute_batch("INSERT INTO t VALUES (5, 'kept'), (6, 'kept'), (7, 'kept')").unwrap();
        }
    })
    .unwrap();
    pair.back(ALL).await.unwrap();
    fail::remove("live-target-read");
    pair.assert_equal();
    let ids: String = pair
        .app
        .connect()
        .query_row("SELECT group_concat(id) FROM (SELECT id FROM t ORDER BY id)", [], |row| row.get(0))
        .unwrap();
    assert_eq!(ids, "1,2,5,6,7");
    // One that is set back behind its mark is told from it.
    let position = pair.source.applied().await.unwrap().unwrap();
    let older = pair.app.folder.path().join("older.db");
    new.restore("main", &older, None::<fn(Progress)>).unwrap();
    let refused = pair.target.changes(&position, ALL, None).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Changed);
}
