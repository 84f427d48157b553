//! What a live run makes in the target's schema, as statements: records, functions and triggers.
//!
//! | object | what it is |
//! |---|---|
//! | `_switchover_live` | one row: who owns the data (the decision), and how far the source's changes are taken |
//! | `_switchover_watch` | what the gate and the capture of each table were when they were made |
//! | `_switchover_changes` | the reverse log: the key of each row that the application changed, with its transaction |
//! | `_switchover_gate` | before each statement that writes: refuses it while the source owns the data |
//! | `_switchover_fence` | the same without asking; it is enabled from a rollback's fence on, see `decide` |
//! | `_switchover_log_*` | after each statement that writes: puts keys into the log |
//! | `_switchover_log_guard` | on the log: refuses whoever would take entries out of it, but for the run |
//!
//! Invariants: every trigger fires in sessions of every `session_replication_role`; none fires for the engine's
//! own transactions, by its condition; the functions run with their owner's rights, so that what the application's
//! role may do to its tables is all that it needs.

use super::session::MARK;
use super::shape::base;
use crate::postgres::quote::{ident, literal, qualified};
use switchover_core::plan::{LogicalType, Plan, TablePlan};

pub(super) const LIVE: &str = "_switchover_live";
pub(super) const WATCH: &str = "_switchover_watch";
pub(super) const CHANGES: &str = "_switchover_changes";
pub(super) const GATE: &str = "_switchover_gate";
pub(super) const FENCE: &str = "_switchover_fence";
/// What the functions and triggers of the log begin with.
pub(super) const LOG: &str = "_switchover_log_";
/// What keeps the entries of the log; a name of the log's functions.
const GUARD: &str = "_switchover_log_guard";

/// The tables, in the order in which they are removed.
pub(crate) const TABLES: [&str; 3] = [LIVE, WATCH, CHANGES];

/// The events of the log, each with the transition tables that it has.
const EVENTS: [(&str, &str); 4] = [
    ("insert", "REFERENCING NEW TABLE AS switchover_new"),
    ("update", "REFERENCING OLD TABLE AS switchover_old NEW TABLE AS switchover_new"),
    ("delete", "REFERENCING OLD TABLE AS switchover_old"),
    ("truncate", ""),
];

/// The condition of every trigger: the transaction is not the engine's.
fn when(run: &str) -> String {
    format!("WHEN (pg_catalog.current_setting({}, true) IS DISTINCT FROM {})", literal(MARK), literal(run))
}

/// The records, where they are not there.
pub(super) fn records(schema: &str) -> String {
    let [live, watch, _] = TABLES.map(|name| qualified(schema, name));
    format!(
        "CREATE TABLE IF NOT EXISTS {live} (run text PRIMARY KEY, applied text, owner text NOT NULL,
            pending boolean NOT NULL, epoch bigint NOT NULL);
         CREATE TABLE IF NOT EXISTS {watch} (t int NOT NULL, part text NOT NULL, print text NOT NULL,
            PRIMARY KEY (t, part));"
    )
}

/// The reverse log. `x` is the transaction that wrote the entry: numbers are not given in the order of commits,
/// so a position is a snapshot of transactions and not a number.
pub(super) fn log(schema: &str) -> String {
    format!(
        "CREATE TABLE {} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, t int NOT NULL,
            x xid8 NOT NULL DEFAULT pg_catalog.pg_current_xact_id(), k text[] COLLATE pg_catalog.\"C\")",
        qualified(schema, CHANGES)
    )
}

/// What keeps the log from being emptied by hand, made anew (decision 26). Entries only come by INSERT, at which it does not
/// fire, so that the application's writes pay nothing for it.
pub(super) fn guard(schema: &str, run: &str) -> String {
    let (name, log) = (qualified(schema, GUARD), qualified(schema, CHANGES));
    let body = "    RAISE EXCEPTION USING ERRCODE = 'read_only_sql_transaction',
        MESSAGE = pg_catalog.format('\"%s\" is not changed by hand: it holds what the source does not have yet', TG_TABLE_NAME),
        HINT = 'the live run takes entries out when the source has them; `switchover status` shows it';";
    format!(
        "DROP FUNCTION IF EXISTS {name}() CASCADE; {}
         CREATE TRIGGER {GUARD} BEFORE UPDATE OR DELETE OR TRUNCATE ON {log}
            FOR EACH STATEMENT {} EXECUTE FUNCTION {name}();
         ALTER TABLE {log} ENABLE ALWAYS TRIGGER {GUARD};",
        function(schema, GUARD, "", body),
        when(run)
    )
}

fn function(schema: &str, name: &str, settings: &str, body: &str) -> String {
    let name = qualified(schema, name);
    let body = format!("\nBEGIN\n{body}\n    RETURN NULL;\nEND\n");
    format!(
        "CREATE FUNCTION {name}() RETURNS pg_catalog.trigger LANGUAGE plpgsql SECURITY DEFINER
            SET search_path = pg_catalog, pg_temp{settings} AS {};
         REVOKE ALL ON FUNCTION {name}() FROM PUBLIC;",
        literal(&body)
    )
}

/// The refusal of an application's write, and what to do where the store that owns the data is not another one.
fn refusal(why: &str, or: &str) -> String {
    format!(
        "    RAISE EXCEPTION USING ERRCODE = 'read_only_sql_transaction',
        MESSAGE = pg_catalog.format('\"%s\" takes no writes: {why}', TG_TABLE_NAME),
        HINT = 'write to the store that owns the data; `switchover status` says which one that is{or}';"
    )
}

/// The function of the gate.
pub(super) fn gate_function(schema: &str, run: &str) -> String {
    let body = format!(
        "    IF EXISTS (SELECT FROM {} WHERE run = {} AND owner = 'target') THEN
        RETURN NULL;
    END IF;\n{}",
        qualified(schema, LIVE),
        literal(run),
        refusal("a live migration fills it, and the source owns the data", "")
    );
    function(schema, GATE, "", &body)
}

/// The function of the fence.
pub(super) fn fence_function(schema: &str) -> String {
    // Its trigger is enabled by `ALTER TABLE … ENABLE TRIGGER ALL`, too.
    let or = ". Where that is this one, somebody switched this trigger on: an engine of the run switches it off (`switchover resume`)";
    function(
        schema,
        FENCE,
        "",
        &refusal("its data is being handed over, or was handed back, to the source", or),
    )
}

/// The gate and the fence of a table; the fence is not enabled.
pub(super) fn gate(schema: &str, run: &str, table: &TablePlan) -> String {
    let name = qualified(schema, &table.target);
    let trigger = |trigger: &str| {
        format!(
            "CREATE TRIGGER {trigger} BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {name}
                FOR EACH STATEMENT {} EXECUTE FUNCTION {}();",
            when(run),
            qualified(schema, trigger)
        )
    };
    format!(
        "{}{}ALTER TABLE {name} ENABLE ALWAYS TRIGGER {GATE}, DISABLE TRIGGER {FENCE};",
        trigger(GATE),
        trigger(FENCE)
    )
}

/// Removes a table's gate and fence.
pub(super) fn no_gate(schema: &str, table: &TablePlan) -> String {
    let name = qualified(schema, &table.target);
    format!("DROP TRIGGER IF EXISTS {GATE} ON {name}; DROP TRIGGER IF EXISTS {FENCE} ON {name};")
}

/// Enables or disables the fences of all tables, in one message.
pub(super) fn fences(plan: &Plan, enabled: bool) -> String {
    let word = if enabled { "ENABLE ALWAYS" } else { "DISABLE" };
    let one = |table: &TablePlan| {
        format!("ALTER TABLE {} {word} TRIGGER {FENCE};", qualified(&plan.options.schema, &table.target))
    };
    plan.tables.iter().map(one).collect()
}

/// The name of a table's function of the log.
pub(super) fn log_function(at: usize) -> String {
    format!("{LOG}{at}")
}

/// The settings on which a key's text depends, as a function's clauses.
fn settings(types: &[LogicalType]) -> String {
    let mut settings = String::new();
    let mut when = |any: bool, clause: &str| {
        if any {
            settings.push_str(clause);
        }
    };
    let has = |wanted: &[LogicalType]| types.iter().any(|ty| wanted.contains(ty));
    let times = [LogicalType::Date, LogicalType::Timestamp, LogicalType::TimestampTz, LogicalType::Time];
    when(has(&times), " SET datestyle = 'ISO, YMD' SET timezone = 'UTC'");
    when(has(&[LogicalType::Float4, LogicalType::Float8]), " SET extra_float_digits = 3");
    when(has(&[LogicalType::Bytea]), " SET bytea_output = 'hex'");
    settings
}

/// The capture of a table: its function and its triggers. A table without a key is logged as a whole, and so is
/// one that is emptied by TRUNCATE: which rows another transaction had put there, its own snapshot may not see.
pub(super) fn capture(schema: &str, run: &str, at: usize, table: &TablePlan) -> String {
    let (name, log) = (qualified(schema, &table.target), qualified(schema, CHANGES));
    let key = table.key_fields();
    let whole = format!("INSERT INTO {log} (t, k) VALUES ({at}, NULL);");
    let types: Vec<LogicalType> = key.iter().map(|field| table.columns[*field].r#type).collect();
    let texts: Vec<String> = key
        .iter()
        .map(|field| format!("r.{}::pg_catalog.text", ident(&table.columns[*field].target)))
        .collect();
    let keys = |rows: &str| format!("SELECT {at}, ARRAY[{}] FROM {rows} r", texts.join(", "));
    let insert = |select: String| format!("INSERT INTO {log} (t, k) {select};");
    let body = if key.is_empty() {
        format!("    {whole}")
    } else {
        let (new, old) = (keys("switchover_new"), keys("switchover_old"));
        format!(
            "    IF TG_OP = 'INSERT' THEN\n        {}\n    ELSIF TG_OP = 'UPDATE' THEN\n        {}\n    ELSIF TG_OP = 'DELETE' THEN\n        {}\n    ELSE\n        {whole}\n    END IF;",
            insert(new.clone()),
            insert(format!("{old} UNION {new}")),
            insert(old)
        )
    };
    let mut sql = function(schema, &log_function(at), &settings(&types), &body);
    let mut always: Vec<String> = Vec::new();
    for (event, rows) in EVENTS {
        let rows = if key.is_empty() { "" } else { rows };
        sql.push_str(&format!(
            "CREATE TRIGGER {LOG}{event} AFTER {event} ON {name} {rows}
                FOR EACH STATEMENT {} EXECUTE FUNCTION {}();",
            when(run),
            qualified(schema, &log_function(at))
        ));
        always.push(format!("ENABLE ALWAYS TRIGGER {LOG}{event}"));
    }
    sql.push_str(&format!("ALTER TABLE {name} {};", always.join(", ")));
    sql
}

/// Removes a table's capture.
pub(super) fn no_capture(schema: &str, at: usize) -> String {
    format!("DROP FUNCTION IF EXISTS {}() CASCADE;", qualified(schema, &log_function(at)))
}

/// A key's fields out of the log's texts, as `k0`, `k1`….
pub(super) fn typed(types: &[LogicalType]) -> String {
    let one = |(at, ty): (usize, &LogicalType)| format!("c.k[{}]::{} AS k{at}", at + 1, base(*ty));
    types.iter().enumerate().map(one).collect::<Vec<_>>().join(", ")
}

/// What the triggers, functions and columns of each table are, by table's name: one line each, in an order that
/// does not change. A trigger that was disabled and enabled again is another version of its row. Rules and children are
/// looked for themselves: what `pg_class` says of them stays behind a DROP until the next VACUUM.
pub(super) const PRINTS: &str = "SELECT c.relname::text,
        pg_catalog.format('%s %s %s %s %s', c.oid, c.relkind,
            EXISTS (SELECT FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid),
            EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid), c.relrowsecurity),
        (SELECT pg_catalog.string_agg(pg_catalog.format('%s %s %s %s %s %s', a.attname, a.attnum, a.atttypid,
                a.atttypmod, a.attcollation, a.attgenerated), E'\\n' ORDER BY a.attnum)
            FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                AND a.attname::text = ANY (w.columns)),
        (SELECT pg_catalog.string_agg(pg_catalog.format('%s %s %s %s %s %s', t.tgname, t.oid,
                CASE t.tgname WHEN '_switchover_gate' THEN pg_catalog.concat(t.xmin, t.tgenabled) END,
                p.oid, p.prosecdef, pg_catalog.md5(pg_catalog.concat(p.prosrc, p.proconfig::text))),
                E'\\n' ORDER BY t.tgname)
            FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
            WHERE t.tgrelid = c.oid AND t.tgname IN ('_switchover_gate', '_switchover_fence')),
        (SELECT pg_catalog.string_agg(pg_catalog.format('%s %s %s %s %s %s %s', t.tgname, t.oid, t.xmin, t.tgenabled,
                p.oid, p.prosecdef, pg_catalog.md5(pg_catalog.concat(p.prosrc, p.proconfig::text))),
                E'\\n' ORDER BY t.tgname)
            FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
            WHERE t.tgrelid = c.oid AND pg_catalog.left(t.tgname::text, 16) = '_switchover_log_')
            || (SELECT pg_catalog.concat(E'\\n', l.oid,
                    (SELECT pg_catalog.string_agg(pg_catalog.format(' %s %s %s %s %s', g.oid, g.xmin, g.tgenabled,
                            p.oid, pg_catalog.md5(pg_catalog.concat(p.prosrc, p.proconfig::text))), '')
                        FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_proc p ON p.oid = g.tgfoid
                        WHERE g.tgrelid = l.oid AND g.tgname = '_switchover_log_guard'))
                FROM pg_catalog.pg_class l
                WHERE l.relnamespace = c.relnamespace AND l.relname = '_switchover_changes')
    FROM pg_catalog.pg_class c
    JOIN (SELECT name, pg_catalog.string_to_array(columns, E'\\x01') AS columns
        FROM ROWS FROM (pg_catalog.unnest($2::text[]), pg_catalog.unnest($3::text[])) AS u(name, columns)) w
        ON w.name = c.relname::text
    WHERE c.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_keys_text_depends_on_is_set() {
        assert_eq!(settings(&[LogicalType::Int8, LogicalType::Text]), "");
        assert_eq!(settings(&[LogicalType::Bytea]), " SET bytea_output = 'hex'");
        assert!(settings(&[LogicalType::TimestampTz, LogicalType::Float8]).contains("timezone"));
    }
}
