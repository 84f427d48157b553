//! What `doctor` says of a PostgreSQL server, its role and one schema of it. Reads only.

use super::config::PgConfig;
use super::connect::{Connection, connect};
use super::{catalog, dialect, inspect, steps};
use switchover_core::connector::TargetState;
use switchover_core::existing::TargetSchema;
use switchover_core::finding::{Finding, Needs, shown_bytes};
use switchover_core::live::Side;
use switchover_core::schema::StoreInfo;

/// The newest major version that the project was tested on.
const TESTED_MAX: u32 = 18;

/// Sessions besides the streams: the claim, the builder of indexes, the one that asks.
const SESSIONS_BESIDE: i64 = 3;

/// All findings.
pub(super) async fn examine(config: &PgConfig, schema: &str, needs: &Needs) -> Vec<Finding> {
    let mut found: Vec<Finding> = (config.warnings.iter())
        .map(|warning| Finding::warning("connection string", warning, "leave it out, or mend it"))
        .collect();
    let mut connection = match connect(config).await {
        Ok(connection) => connection,
        Err(error) => {
            found.push(Finding::of_error("connection", &error));
            return found;
        }
    };
    found.push(transport(&connection, config));
    let state = match inspect::state(&connection, schema).await {
        Ok(state) => state,
        Err(error) => {
            found.push(Finding::of_error("version", &error));
            return found;
        }
    };
    found.push(version_of(&state.store));
    if let Some(why) = dialect::schema_fault(schema) {
        found.push(Finding::fault("schema", why, "name another schema with --schema"));
        return found;
    }
    found.extend(rights(&state, schema));
    if needs.existing && state.runs.is_empty() {
        found.extend(match catalog::tables(&mut connection, schema).await {
            Ok(own) => standing(&own, schema),
            Err(error) => vec![Finding::of_error("schema", &error)],
        });
    } else {
        found.push(content(&state, schema));
    }
    match settings(&connection, needs).await {
        Ok(more) => found.extend(more),
        Err(error) => {
            let error = connection.classify(error, "read the server's settings");
            found.push(Finding::of_error("settings", &error));
        }
    }
    found.push(room(state.free_bytes, needs));
    found
}

pub(super) fn transport(connection: &Connection, config: &PgConfig) -> Finding {
    let local = |host: &super::config::Host| {
        let loopback = host.name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        host.socket_directory().is_some() || loopback || host.name == "localhost"
    };
    if connection.encrypted() {
        return Finding::ok("connection", format!("{}, over TLS", connection.label()));
    }
    if config.hosts.iter().all(local) {
        return Finding::ok("connection", format!("{}, on this machine, without TLS", connection.label()));
    }
    Finding::warning(
        "connection",
        format!("{}, WITHOUT TLS: who listens on the way can read the data", connection.label()),
        "add sslmode=verify-full (or at least require), and turn ssl on in the server",
    )
}

/// What the version is to this program.
pub(super) fn version_of(store: &StoreInfo) -> Finding {
    let major = store.version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    let found = format!("PostgreSQL {}", store.version);
    if major.is_none_or(|major| major > TESTED_MAX) {
        let todo = format!("rehearse with a copy first: this release was tested on 13 to {TESTED_MAX}");
        return Finding::warning("version", found, todo);
    }
    Finding::ok("version", found)
}

fn rights(state: &TargetState, schema: &str) -> Vec<Finding> {
    let todo = "have an administrator grant it, or make the schema or database as said";
    let mut found: Vec<Finding> =
        state.missing_rights.iter().map(|lack| Finding::fault("rights", lack, todo)).collect();
    if found.is_empty() {
        let how = if state.schema_exists { "may create tables in" } else { "may make" };
        found.push(Finding::ok("rights", format!("the role {how} the schema \"{schema}\"")));
        found.push(Finding::ok(
            "encoding",
            format!("{}, and text columns sort as COLLATE \"C\"", state.store.encoding),
        ));
    }
    found
}

/// What an application's migrations made, where its tables are to be filled.
fn standing(own: &TargetSchema, schema: &str) -> Vec<Finding> {
    if own.tables.is_empty() {
        return vec![Finding::fault(
            "schema",
            format!("\"{schema}\" holds no table"),
            "run the application's migrations on the target first, or leave out --into existing",
        )];
    }
    let (tables, seeded) = (own.tables.len(), own.tables.iter().filter(|table| table.rows > 0).count());
    let mut found = vec![Finding::ok(
        "schema",
        format!("\"{schema}\" holds {tables} tables of the application's own, {seeded} of them with rows"),
    )];
    for table in &own.tables {
        let triggers = table.triggers.iter().filter(|trigger| !trigger.harmless);
        let triggers = triggers.map(|trigger| format!("its trigger {} would run for each row", trigger.name));
        let others = (!table.owned).then(|| "the role does not own it: its keys and indexes stay".to_owned());
        for why in table.obstacles.iter().cloned().chain(triggers).chain(others) {
            let todo = "have the tables' owner change that, or leave the table with --exclude";
            found.push(Finding::warning("table", format!("\"{}\": {why}", table.name), todo));
        }
    }
    found
}

fn content(state: &TargetState, schema: &str) -> Finding {
    const SHOWN: usize = 5;
    let names = state.objects.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    let more = state.objects.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    match (state.runs.first(), state.objects.is_empty()) {
        (Some(run), _) if state.owner.is_some_and(|owner| owner == Side::Target) => Finding::warning(
            "schema",
            format!("\"{schema}\" holds the data of the live run {run}, which it owns"),
            "remove nothing here; `switchover status` says how far the run is, `rollback` or `finish` ends it",
        ),
        (Some(run), _) => Finding::warning(
            "schema",
            format!("\"{schema}\" holds the records of run {run}"),
            "`switchover status` says how far it is; `switchover resume`, `rollback` or `cleanup` ends it",
        ),
        (None, true) => Finding::ok("schema", format!("\"{schema}\" is empty")),
        (None, false) => Finding::fault(
            "schema",
            format!("\"{schema}\" is not empty: it holds {names}{more}"),
            "name an empty or a new schema with --schema; nothing that is there is ever touched",
        ),
    }
}

async fn settings(connection: &Connection, needs: &Needs) -> Result<Vec<Finding>, tokio_postgres::Error> {
    let sql = "SELECT pg_catalog.pg_is_in_recovery(),
            pg_catalog.current_setting('default_transaction_read_only')::bool,
            pg_catalog.current_setting('fsync')::bool,
            pg_catalog.current_setting('synchronous_commit'),
            pg_catalog.current_setting('max_wal_size'),
            pg_catalog.pg_size_bytes(pg_catalog.current_setting('max_wal_size')),
            pg_catalog.current_setting('maintenance_work_mem'),
            pg_catalog.current_setting('max_connections')::bigint
              - pg_catalog.current_setting('superuser_reserved_connections')::bigint,
            (SELECT count(*) FROM pg_catalog.pg_stat_activity a WHERE a.datid IS NOT NULL),
            (SELECT r.rolconnlimit::bigint FROM pg_catalog.pg_roles r WHERE r.rolname = current_user),
            pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMP')";
    let row = connection.client().query_one(sql, &[]).await?;
    let mut found = Vec::new();
    let (standby, read_only): (bool, bool) = (row.get(0), row.get(1));
    if standby || read_only {
        let why = if standby { "the server is a standby" } else { "default_transaction_read_only is on" };
        found.push(Finding::fault(
            "writes",
            format!("{why}: it takes no writes"),
            "name the primary, or turn it off",
        ));
    }
    let (fsync, synchronous): (bool, String) = (row.get(2), row.get(3));
    found.push(if fsync {
        Finding::ok(
            "durability",
            format!(
                "fsync on; synchronous_commit {synchronous}, which only the copy's own sessions turn off"
            ),
        )
    } else {
        Finding::warning("durability", "fsync is off: a crash can destroy the cluster", "set fsync = on")
    });
    found.push(log_size(row.get(4), row.get(5), needs));
    found.push(Finding::ok(
        "index building",
        format!(
            "maintenance_work_mem is {}; the sessions that build indexes take {}",
            row.get::<_, String>(6),
            steps::MAINTENANCE_WORK_MEM
        ),
    ));
    found.push(sessions(row.get(7), row.get(8), row.get(9), needs));
    if !row.get::<_, bool>(10) {
        found.push(Finding::warning(
            "temporary tables",
            "the role may not make them: `verify --sample` and `--repair` need one",
            "GRANT TEMPORARY ON DATABASE … TO the role",
        ));
    }
    Ok(found)
}

fn log_size(shown: String, bytes: i64, needs: &Needs) -> Finding {
    let wanted = needs.target_bytes.unwrap_or(0);
    if wanted > u64::try_from(bytes).unwrap_or(0) {
        return Finding::warning(
            "max_wal_size",
            format!("{shown}, and about {} will be written: checkpoints come often", shown_bytes(wanted)),
            "raise it while the data is loaded (ALTER SYSTEM SET max_wal_size = '8GB'; a reload suffices)",
        );
    }
    Finding::ok("max_wal_size", shown)
}

fn sessions(allowed: i64, used: i64, of_role: Option<i64>, needs: &Needs) -> Finding {
    let wanted = i64::try_from(needs.jobs).unwrap_or(i64::MAX - SESSIONS_BESIDE) + SESSIONS_BESIDE;
    // This examination's own session is one of those in use.
    let free = allowed - used + 1;
    let free = of_role.filter(|limit| *limit >= 0).map_or(free, |limit| free.min(limit));
    if free < wanted {
        return Finding::fault(
            "connections",
            format!("{wanted} are needed, {} are left", free.max(0)),
            "use fewer --jobs, end idle sessions, or raise max_connections",
        );
    }
    Finding::ok("connections", format!("{wanted} needed, {free} left"))
}

fn room(free: Option<u64>, needs: &Needs) -> Finding {
    let what = "room for the data";
    match (free, needs.target_bytes) {
        (Some(free), Some(needed)) if free < needed => Finding::fault(
            what,
            format!("about {} needed, {} free", shown_bytes(needed), shown_bytes(free)),
            "free space on the server, or leave tables with --exclude",
        ),
        (Some(free), Some(needed)) => {
            Finding::ok(what, format!("about {} needed, {} free", shown_bytes(needed), shown_bytes(free)))
        }
        (Some(free), None) => Finding::ok(what, format!("{} free", shown_bytes(free))),
        (None, needed) => {
            let needed = needed.map(|needed| format!("about {} needed; ", shown_bytes(needed)));
            Finding::warning(
                what,
                format!("{}the server does not tell how much is free", needed.unwrap_or_default()),
                "look at the server's disk yourself",
            )
        }
    }
}
