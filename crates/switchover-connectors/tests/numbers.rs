//! What a guard's query gives, on both kinds of store.

use switchover_connectors::postgres::{self, config::PgConfig};
use switchover_connectors::sqlite::{self, config::SqliteConfig};
use switchover_core::{Kind, Result};
use switchover_testkit::Cluster;

#[track_caller]
fn check(found: &Result<Vec<f64>>, expected: Result<&[f64], Kind>, query: &str) {
    assert_eq!(
        found.as_ref().map(Vec::as_slice).map_err(switchover_core::Error::kind),
        expected,
        "{query}: {found:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_row_of_numbers_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("app.db");
    let made = rusqlite::Connection::open(&file).expect("open");
    let schema = "CREATE TABLE failed(n integer); INSERT INTO failed VALUES (1), (2)";
    made.execute_batch(schema).expect("schema");
    let database = Cluster::shared().expect("a server").fresh_database("numbers").expect("a database");
    let config = PgConfig::parse(&database.url(), &|_| None).expect("a URL");
    let connection = postgres::connect::connect(&config).await.expect("a connection");
    connection.client().batch_execute(&format!("SET search_path = public; {schema}")).await.expect("schema");
    let (lite, both) = (
        SqliteConfig::from_path(&file),
        [
            ("SELECT count(*), 2.5 FROM failed", Ok(&[2.0, 2.5][..])),
            ("SELECT n FROM failed", Err(Kind::Rejected)),
            ("SELECT n FROM failed WHERE n > 2", Err(Kind::Rejected)),
            ("SELECT NULL", Err(Kind::Rejected)),
            ("SELECT 'many'", Err(Kind::Rejected)),
        ],
    );
    for (query, expected) in both {
        check(&sqlite::numbers::numbers(&lite, query).await, expected, query);
        check(&postgres::numbers::numbers(&config, query).await, expected, query);
    }
    // Neither writes.
    let write = "INSERT INTO failed VALUES (3) RETURNING n";
    assert!(sqlite::numbers::numbers(&lite, write).await.is_err());
    assert!(postgres::numbers::numbers(&config, write).await.is_err());
    let count = "SELECT count(*) FROM failed";
    check(&sqlite::numbers::numbers(&lite, count).await, Ok(&[2.0]), count);
    check(&postgres::numbers::numbers(&config, count).await, Ok(&[2.0]), count);
    // Neither waits for ever.
    let forever = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    assert!(sqlite::numbers::numbers(&lite, forever).await.is_err());
    assert!(postgres::numbers::numbers(&config, "SELECT 1 FROM pg_sleep(60)").await.is_err());
}
