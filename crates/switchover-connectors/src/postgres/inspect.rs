//! What a target is and holds, before anything is written to it.

use super::connect::Connection;
use super::{dialect, ledger, live, room};
use switchover_core::connector::TargetState;
use switchover_core::schema::StoreInfo;
use switchover_core::{Error, Kind, Result};
use tokio_postgres::GenericClient;

/// Settings that change what is stored, or how fast and how safely.
const SETTINGS: [&str; 10] = [
    "server_version",
    "server_encoding",
    "lc_collate",
    "fsync",
    "synchronous_commit",
    "wal_level",
    "max_wal_size",
    "shared_buffers",
    "maintenance_work_mem",
    "max_connections",
];

/// The oldest server that is supported.
const VERSION_MIN: u32 = 130_000;

const OPERATION: &str = "inspect the target";

/// That the server is one that this program knows.
pub(super) fn supported(connection: &Connection, operation: &str) -> Result<()> {
    if connection.server_version_num() < VERSION_MIN {
        return Err(Error::new(Kind::Unsupported, operation)
            .store(connection.label())
            .detail(format!("the server is version {}", connection.server_version_num() / 10_000))
            .hint("PostgreSQL 13 or newer is needed"));
    }
    Ok(())
}

/// What the server is and how it is set.
pub(super) async fn store(connection: &Connection) -> Result<StoreInfo> {
    let fail = |error| connection.classify(error, "read the server's settings");
    let client = connection.client();
    let mut store =
        StoreInfo { kind: "postgres".into(), label: connection.label().to_owned(), ..StoreInfo::default() };
    let rows = client
        .query(
            "SELECT name, setting FROM pg_catalog.pg_settings WHERE name = ANY($1)",
            &[&SETTINGS.as_slice()],
        )
        .await
        .map_err(fail)?;
    for row in rows {
        store.settings.insert(row.get(0), row.get(1));
    }
    store.version = store.settings.get("server_version").cloned().unwrap_or_default();
    store.encoding = store.settings.get("server_encoding").cloned().unwrap_or_default();
    let sql = "SELECT pg_catalog.pg_database_size(pg_catalog.current_database())";
    let size: i64 = client.query_one(sql, &[]).await.map_err(fail)?.get(0);
    store.size_bytes = u64::try_from(size).unwrap_or(0);
    Ok(store)
}

/// The state of a schema.
pub(super) async fn state(connection: &Connection, schema: &str) -> Result<TargetState> {
    let fail = |error| connection.classify(error, OPERATION);
    supported(connection, OPERATION)?;
    let store = store(connection).await?;
    if dialect::schema_fault(schema).is_some() {
        // The server would not even answer about such a name; the plan refuses it.
        return Ok(TargetState { store, ..TargetState::default() });
    }
    let client = connection.client();
    let sql = "SELECT n.oid IS NOT NULL,
            coalesce(pg_catalog.has_schema_privilege(n.oid, 'CREATE'), false),
            pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')
        FROM (SELECT 1) one LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = $1";
    let row = client.query_one(sql, &[&schema]).await.map_err(fail)?;
    let (exists, may_create, may_make): (bool, bool, bool) = (row.get(0), row.get(1), row.get(2));
    let mut missing_rights = Vec::new();
    if exists && !may_create {
        missing_rights.push(format!(
            "the role may not create tables in the schema \"{schema}\" (CREATE on the schema)"
        ));
    }
    if !exists && !may_make {
        missing_rights.push(format!(
            "the schema \"{schema}\" does not exist and the role may not make it (CREATE on the database)"
        ));
    }
    if store.encoding != "UTF8" {
        missing_rights.push(format!(
            "the database's encoding is {}, which does not hold all text: make one with ENCODING 'UTF8' TEMPLATE template0",
            store.encoding
        ));
    }
    let run = if exists { run(connection, schema).await.map_err(fail)? } else { None };
    let owner = if run.is_some() { live::owner(client, schema).await.map_err(fail)? } else { None };
    Ok(TargetState {
        store,
        schema_exists: exists,
        objects: objects(client, schema).await.map_err(fail)?,
        taken: of_extensions(client, schema).await.map_err(fail)?,
        aliases: None,
        modules: Vec::new(),
        runs: run.into_iter().collect(),
        owner,
        free_bytes: room::free_bytes(connection).await,
        missing_rights,
    })
}

async fn run(
    connection: &Connection,
    schema: &str,
) -> std::result::Result<Option<String>, tokio_postgres::Error> {
    let client = connection.client();
    let sql = "SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relname = $2 AND pg_catalog.has_table_privilege(c.oid, 'SELECT')";
    if client.query_opt(sql, &[&schema, &ledger::RUN]).await?.is_none() {
        return Ok(None);
    }
    let sql = format!("SELECT run FROM {} LIMIT 1", ledger::table(schema, ledger::RUN));
    Ok(client.query_opt(&sql, &[]).await?.map(|row| row.get(0)))
}

/// What extensions have in a schema, with whose names nothing can be made.
async fn of_extensions<C: GenericClient + Sync>(
    client: &C,
    schema: &str,
) -> std::result::Result<Vec<String>, tokio_postgres::Error> {
    let sql = "SELECT c.relname::pg_catalog.text
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND EXISTS (SELECT 1 FROM pg_catalog.pg_depend d
            WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')
        ORDER BY 1";
    Ok(client.query(sql, &[&schema]).await?.iter().map(|row| row.get(0)).collect())
}

/// What a schema holds, other than what belongs to an extension.
pub(super) async fn objects<C: GenericClient + Sync>(
    client: &C,
    schema: &str,
) -> std::result::Result<Vec<String>, tokio_postgres::Error> {
    let sql = "SELECT CASE c.relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'view ' WHEN 'S' THEN 'sequence '
                WHEN 'c' THEN 'type ' ELSE 'table ' END || c.relname
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
          AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.objid = c.oid
            AND (d.deptype = 'e' OR (c.relkind = 'S' AND d.deptype IN ('a', 'i'))))
        ORDER BY c.relkind, c.relname";
    Ok(client.query(sql, &[&schema]).await?.iter().map(|row| row.get(0)).collect())
}
