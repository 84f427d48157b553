//! Tables that were there before the run: what is kept of them, what is dropped around the load, and how a
//! rollback puts all of it back.
//!
//! | record | holds | written |
//! |---|---|---|
//! | `_switchover_before_N` | every row that table N of the plan held, as it was | `prepare`, before any row goes |
//! | `_switchover_undo` | how each dropped definition, each sequence and each table's rows come back | `prepare`, before anything is dropped |
//!
//! Both are in one transaction with what they undo, and the tables are locked against writers while it
//! runs, so a crash leaves either the schema as it was or the record that restores it. Definitions are
//! the server's own words. Nothing here needs more than the ownership of the tables.

use super::audit::Fault;
use super::connect::{Holds, path_of_application};
use super::quote::{ident, literal, qualified};
use super::steps::TableSteps;
use super::{catalog, keys, ledger, live, own};
use std::collections::BTreeSet;
use switchover_core::connector::{BuildStage, BuildStep};
use switchover_core::existing::{Rebuilt, RebuiltKind, SequencePlan, Standing};
use switchover_core::plan::{Plan, TablePlan};
use switchover_core::{Error, Kind, Result};
use tokio_postgres::{GenericClient, Transaction};

/// How everything comes back.
pub(super) const UNDO: &str = "_switchover_undo";

/// Marks a saved row whose place another takes; no application's column has this name.
const REPLACED: &str = "_switchover_replaced";

const OPERATION: &str = "prepare the target's tables";

type Answer<T> = std::result::Result<T, tokio_postgres::Error>;

/// The relation that keeps a table's rows.
pub(super) fn before(index: usize) -> String {
    format!("_switchover_before_{index}")
}

/// The condition by which a saved row stays in its table.
pub(super) fn stays() -> String {
    format!("NOT {}", ident(REPLACED))
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| ident(name)).collect::<Vec<_>>().join(", ")
}

fn of(names: &[String], alias: &str) -> String {
    names.iter().map(|name| format!("{alias}.{}", ident(name))).collect::<Vec<_>>().join(", ")
}

/// Text that is equal exactly when all fields are.
pub(super) fn body(names: &[String], alias: &str) -> String {
    format!("ROW({})::text COLLATE pg_catalog.\"C\"", of(names, alias))
}

fn same_key(key: &[String], a: &str, b: &str) -> String {
    let equal: Vec<String> = key.iter().map(|name| format!("{a}.{0} = {b}.{0}", ident(name))).collect();
    equal.join(" AND ")
}

impl Sql for Rebuilt {
    fn down(&self, schema: &str) -> String {
        match self.kind {
            RebuiltKind::ForeignKey | RebuiltKind::Constraint => format!(
                "ALTER TABLE {} DROP CONSTRAINT IF EXISTS {}",
                qualified(schema, &self.table),
                ident(&self.name)
            ),
            // Its index may be there already, and the constraint not yet.
            RebuiltKind::PrimaryKey => format!(
                "ALTER TABLE {} DROP CONSTRAINT IF EXISTS {}; DROP INDEX IF EXISTS {}",
                qualified(schema, &self.table),
                ident(&self.name),
                qualified(schema, &self.name)
            ),
            RebuiltKind::Index => format!("DROP INDEX IF EXISTS {}", qualified(schema, &self.name)),
        }
    }

    fn up(&self, schema: &str) -> String {
        let table = qualified(schema, &self.table);
        let make = match self.kind {
            RebuiltKind::ForeignKey | RebuiltKind::PrimaryKey | RebuiltKind::Constraint => {
                format!("ALTER TABLE {table} ADD CONSTRAINT {} {}", ident(&self.name), self.definition)
            }
            RebuiltKind::Index => self.definition.clone(),
        };
        match self.remark(schema) {
            Some(remark) => format!("{make}; {remark}"),
            None => make,
        }
    }

    fn remark(&self, schema: &str) -> Option<String> {
        let what = match self.kind {
            RebuiltKind::ForeignKey | RebuiltKind::PrimaryKey | RebuiltKind::Constraint => {
                format!("CONSTRAINT {} ON {}", ident(&self.name), qualified(schema, &self.table))
            }
            RebuiltKind::Index => format!("INDEX {}", qualified(schema, &self.name)),
        };
        self.comment.as_ref().map(|comment| format!("COMMENT ON {what} IS {}", literal(comment)))
    }

    fn proven_apart(&self) -> bool {
        let unproven = ["NOT VALID", "NOT ENFORCED"].iter().any(|end| self.definition.ends_with(end));
        !unproven && !self.at_once
    }
}

/// The statement that drops what was taken down for a load, where it is there.
pub(super) fn down(rebuilt: &Rebuilt, schema: &str) -> String {
    rebuilt.down(schema)
}

trait Sql {
    /// Drops it, if it is there.
    fn down(&self, schema: &str) -> String;
    /// Makes it as it was.
    fn up(&self, schema: &str) -> String;
    /// Says about it what was said.
    fn remark(&self, schema: &str) -> Option<String>;
    /// Whether it can be declared first and proven afterwards.
    fn proven_apart(&self) -> bool;
}

fn standing(table: &TablePlan) -> impl Iterator<Item = &Standing> {
    table.standing.iter()
}

/// The steps after the copy into tables that were there. As for tables of our own, a foreign key is declared first
/// and proven afterwards, side by side: the proof locks no parent.
pub(super) fn build_steps(plan: &Plan) -> Vec<BuildStep> {
    let schema = &plan.options.schema;
    let mut steps = Vec::new();
    for (at, table) in plan.tables.iter().enumerate() {
        let mut of_table = TableSteps { at, table, steps: &mut steps };
        for standing in standing(table) {
            let (keys, others): (Vec<&Rebuilt>, Vec<&Rebuilt>) =
                standing.rebuilt.iter().partition(|rebuilt| rebuilt.kind == RebuiltKind::ForeignKey);
            for rebuilt in others {
                if rebuilt.kind == RebuiltKind::PrimaryKey {
                    primary_key(&mut of_table, schema, rebuilt);
                    continue;
                }
                // A constraint locks its table as no index does.
                let is_index = rebuilt.kind == RebuiltKind::Index;
                let stage = if is_index { BuildStage::Indexes } else { BuildStage::Keys };
                let id = format!("again {}.{}", rebuilt.table, rebuilt.name);
                of_table.add(
                    stage,
                    &id,
                    format!("{} of {}", rebuilt.name, rebuilt.table),
                    rebuilt.up(schema),
                );
            }
            let children: BTreeSet<&str> = keys.iter().map(|key| &*key.table).collect();
            for child in children {
                let keys: Vec<&Rebuilt> = keys.iter().copied().filter(|key| key.table == child).collect();
                foreign_keys(&mut of_table, schema, child, &keys);
            }
            for sequence in &standing.sequences {
                let Some(next) = sequence.next else { continue };
                let id = format!("sequence {}", sequence.column);
                let what = format!("sequence of {}", table.source);
                of_table.add(
                    BuildStage::Finish,
                    &id,
                    what,
                    forward(sequence, next, &qualified(schema, &table.target)),
                );
            }
            if let Some(sql) = own::record(schema, at, table, standing) {
                let what = format!("digest of what only the target has in {}", table.source);
                of_table.add(BuildStage::Finish, "own columns", what, sql);
            }
            if standing.owned {
                let what = format!("statistics of {}", table.source);
                let sql = format!("ANALYZE {}", qualified(schema, &table.target));
                of_table.add(BuildStage::Statistics, "analyze", what, sql);
            }
        }
    }
    steps
}

/// A primary key as for a table of our own: its index beside the others, which the constraint then takes over.
fn primary_key(of_table: &mut TableSteps<'_>, schema: &str, key: &Rebuilt) {
    let (table, name) = (qualified(schema, &key.table), ident(&key.name));
    let columns = key.definition.trim_start_matches("PRIMARY KEY");
    let what = format!("{} of {}", key.name, key.table);
    let sql = format!("CREATE UNIQUE INDEX {name} ON {table}{columns}");
    of_table.add(BuildStage::Indexes, &format!("index {}", key.name), what.clone(), sql);
    let take = format!("ALTER TABLE {table} ADD CONSTRAINT {name} PRIMARY KEY USING INDEX {name}");
    let sql = [Some(take), key.remark(schema)].into_iter().flatten().collect::<Vec<_>>().join("; ");
    of_table.add(BuildStage::Keys, &format!("again {}.{}", key.table, key.name), what, sql);
}

/// Declares one table's foreign keys in one statement, and proves them in another.
fn foreign_keys(of_table: &mut TableSteps<'_>, schema: &str, child: &str, keys: &[&Rebuilt]) {
    let name = qualified(schema, child);
    let mut declared = Vec::new();
    let mut proven: Vec<String> = Vec::new();
    for key in keys {
        let unproven = if key.proven_apart() { " NOT VALID" } else { "" };
        declared.push(format!("ADD CONSTRAINT {} {}{unproven}", ident(&key.name), key.definition));
        proven.extend(key.proven_apart().then(|| format!("VALIDATE CONSTRAINT {}", ident(&key.name))));
    }
    let mut sql = vec![format!("ALTER TABLE {name} {}", declared.join(", "))];
    sql.extend(keys.iter().filter_map(|key| key.remark(schema)));
    let what = format!("foreign keys of {child}");
    of_table.add(BuildStage::ForeignKeys, &format!("foreign keys of {child}"), what, sql.join("; "));
    of_table.alter(BuildStage::Validation, &format!("proof of the foreign keys of {child}"), &name, &proven);
}

/// Moves a sequence on, never back, behind the rows that came and those that stayed. At its end it stands behind its last
/// value, so that the next one is refused and not given twice.
fn forward(sequence: &SequencePlan, next: i64, table: &str) -> String {
    let name = qualified(&sequence.schema, &sequence.name);
    let (last, relation) = (next - 1, format!("{}::pg_catalog.regclass", literal(&name)));
    format!(
        "SELECT pg_catalog.setval({relation}, n.last, true)
         FROM (SELECT LEAST(q.seqmax, GREATEST({last}, (SELECT max({}) FROM {table})::pg_catalog.numeric))::pg_catalog.int8 AS last
             FROM pg_catalog.pg_sequence q WHERE q.seqrelid = {relation}) n, {name} s
         WHERE n.last >= 1 AND (s.last_value < n.last OR (s.last_value = n.last AND NOT s.is_called))",
        ident(&sequence.column)
    )
}

/// Saves what is there, drops what the plan drops, and takes out the rows whose places others take.
pub(super) async fn prepare(
    transaction: &Transaction<'_>,
    plan: &Plan,
    run: &str,
    label: &str,
) -> Result<()> {
    let fail =
        |error: tokio_postgres::Error| super::error::classify(&error, OPERATION).store(label).because(error);
    let schema = &plan.options.schema;
    let names: Vec<String> = plan.tables.iter().map(|table| qualified(schema, &table.target)).collect();
    if !names.is_empty() {
        let lock = format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", names.join(", "));
        transaction.batch_execute(&lock).await.map_err(fail)?;
    }
    let changed = |what: String| {
        Error::new(Kind::Changed, OPERATION)
            .store(label)
            .detail(what)
            .hint("stop the application on the target, and plan again")
    };
    let now = catalog::read(transaction, schema).await.map_err(fail)?.unwrap_or_default();
    if Some(now.fingerprint()) != plan.target_schema {
        return Err(changed(format!("the schema \"{schema}\" is not what it was when the plan was made")));
    }
    for table in &plan.tables {
        let rows = now.table(&table.target).map_or(0, |own| own.rows);
        let planned = table.standing.as_ref().map_or(0, |standing| standing.rows_before);
        if rows != planned {
            let what =
                format!("\"{}\" holds {rows} rows, and held {planned} when the plan was made", table.target);
            return Err(changed(what).table(table.source.clone()));
        }
    }
    records(transaction, plan, run).await.map_err(fail)?;
    // A foreign key rests on the index of another table: the keys go first.
    for key in live::keys(plan) {
        transaction.batch_execute(&key.down(schema)).await.map_err(fail)?;
    }
    let rebuilt = || plan.tables.iter().flat_map(standing).flat_map(|standing| &standing.rebuilt);
    let is_foreign = |rebuilt: &&Rebuilt| rebuilt.kind == RebuiltKind::ForeignKey;
    for rebuilt in rebuilt().filter(is_foreign).chain(rebuilt().filter(|rebuilt| !is_foreign(rebuilt))) {
        transaction.batch_execute(&rebuilt.down(schema)).await.map_err(fail)?;
    }
    for index in 0..plan.tables.len() {
        take_out(transaction, plan, index).await?;
    }
    if plan.options.existing.as_ref().is_some_and(|existing| existing.live) {
        // From the moment on at which they were found as planned, nobody writes to them but the run: what a rollback takes
        // out is then the run's own.
        transaction.batch_execute(&live::closed(plan, run)).await.map_err(fail)?;
    }
    Ok(())
}

/// Takes out the rows whose places others take.
async fn take_out(transaction: &Transaction<'_>, plan: &Plan, index: usize) -> Result<()> {
    let table = &plan.tables[index];
    let replaced = table.standing.as_ref().map_or(&[][..], |standing| &standing.replaced);
    if replaced.is_empty() {
        return Ok(());
    }
    let matched = keys::load(transaction.client(), plan, index, replaced, OPERATION).await?;
    let (name, saved) =
        (qualified(&plan.options.schema, &table.target), qualified(&plan.options.schema, &before(index)));
    let keys = keys::TABLE;
    let sql = format!(
        "UPDATE {saved} t SET {} = true FROM {keys} k WHERE {matched};
         DELETE FROM {name} t USING {keys} k WHERE {matched}; DROP TABLE {keys}",
        ident(REPLACED)
    );
    transaction
        .batch_execute(&sql)
        .await
        .map_err(|error| super::error::classify(&error, OPERATION).table(table.source.clone()).because(error))
}

/// Makes the records of what was there.
async fn records(transaction: &Transaction<'_>, plan: &Plan, run: &str) -> Answer<()> {
    let schema = &plan.options.schema;
    let undo = ledger::table(schema, UNDO);
    let sql = format!(
        "CREATE TABLE {undo} (ordinal int PRIMARY KEY, kind text NOT NULL, name text NOT NULL, down text NOT NULL, up text NOT NULL)"
    );
    transaction.batch_execute(&sql).await?;
    let mut made = vec![UNDO.to_owned()];
    let mut entries: Vec<(&str, String, String, String)> = Vec::new();
    for key in live::keys(plan) {
        entries.push(("foreign key", key.name().to_owned(), key.down(schema), key.up(schema)));
    }
    for (index, table) in plan.tables.iter().enumerate() {
        let name = qualified(schema, &table.target);
        for standing in standing(table) {
            for rebuilt in standing.rebuilt.iter().chain(&standing.held) {
                let kind = if rebuilt.kind == RebuiltKind::ForeignKey { "foreign key" } else { "index" };
                entries.push((kind, rebuilt.name.clone(), rebuilt.down(schema), rebuilt.up(schema)));
            }
            if standing.rows_before == 0 {
                entries.push(("empty", name.clone(), format!("DELETE FROM {name}"), String::new()));
            } else if let Some(key) = &table.primary_key {
                let saved = qualified(schema, &before(index));
                let sql =
                    format!("CREATE TABLE {saved} AS SELECT t.*, false AS {} FROM {name} t", ident(REPLACED));
                transaction.batch_execute(&sql).await?;
                made.push(before(index));
                let (columns, key) = (&standing.stored_columns, &key.columns);
                let down = format!(
                    "DELETE FROM {name} t WHERE NOT EXISTS (SELECT 1 FROM {saved} b WHERE {} AND {} = {})",
                    same_key(key, "b", "t"),
                    body(columns, "b"),
                    body(columns, "t")
                );
                let up = format!(
                    "INSERT INTO {name} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {saved} b
                     WHERE NOT EXISTS (SELECT 1 FROM {name} t WHERE {})",
                    list(columns),
                    of(columns, "b"),
                    same_key(key, "b", "t")
                );
                entries.push(("rows", name.clone(), down, up));
            }
            for sequence in &standing.sequences {
                let name = qualified(&sequence.schema, &sequence.name);
                let state =
                    transaction.query_one(&format!("SELECT last_value, is_called FROM {name}"), &[]).await?;
                let up = format!(
                    "SELECT pg_catalog.setval({}::pg_catalog.regclass, {}, {})",
                    literal(&name),
                    state.get::<_, i64>(0),
                    state.get::<_, bool>(1)
                );
                entries.push(("sequence", name, String::new(), up));
            }
        }
    }
    let sql = format!("INSERT INTO {undo} (ordinal, kind, name, down, up) VALUES ($1, $2, $3, $4, $5)");
    for (ordinal, (kind, name, down, up)) in (0i32..).zip(&entries) {
        transaction.execute(&sql, &[&ordinal, kind, name, down, up]).await?;
    }
    let sql = format!(
        "INSERT INTO {} (run, ordinal, kind, name) VALUES ($1, $2, 'table', $3)",
        ledger::table(schema, ledger::OBJECT)
    );
    for (ordinal, name) in (0i32..).zip(&made) {
        transaction.execute(&sql, &[&run, &ordinal, name]).await?;
    }
    Ok(())
}

/// Puts everything back as it was, when the run filled tables that were there.
pub(super) async fn restore(transaction: &Transaction<'_>, schema: &str) -> Answer<()> {
    let there = "SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relname = $2";
    if transaction.query_opt(there, &[&schema, &UNDO]).await?.is_none() {
        return Ok(());
    }
    let sql = format!("SELECT kind, name, down, up FROM {} ORDER BY ordinal", ledger::table(schema, UNDO));
    let entries = transaction.query(&sql, &[]).await?;
    let of_kind = |kind: &'static str| entries.iter().filter(move |row| row.get::<_, &str>(0) == kind);
    // Definitions have every name qualified; what they call need not.
    transaction.batch_execute(&path_of_application(schema, Holds::Transaction)).await?;
    for row in of_kind("foreign key").chain(of_kind("index")) {
        transaction.batch_execute(row.get(2)).await?;
    }
    let empty: Vec<&str> = of_kind("empty").map(|row| row.get(1)).collect();
    if !empty.is_empty() {
        if may_truncate(transaction, &empty).await? {
            transaction.batch_execute(&format!("TRUNCATE {}", empty.join(", "))).await?;
        } else {
            // Children stand behind their parents.
            for row in entries.iter().rev().filter(|row| row.get::<_, &str>(0) == "empty") {
                transaction.batch_execute(row.get(2)).await?;
            }
        }
    }
    for row in entries.iter().rev().filter(|row| row.get::<_, &str>(0) == "rows") {
        transaction.batch_execute(row.get(2)).await?;
    }
    let ups =
        of_kind("rows").chain(of_kind("index")).chain(of_kind("foreign key")).chain(of_kind("sequence"));
    for row in ups {
        transaction.batch_execute(row.get(3)).await?;
    }
    Ok(())
}

/// Whether the role may truncate all of them, and no other table refers to one.
async fn may_truncate(transaction: &Transaction<'_>, names: &[&str]) -> Answer<bool> {
    let sql = "SELECT bool_and(pg_catalog.has_table_privilege(t.oid, 'TRUNCATE')) AND NOT EXISTS (
            SELECT 1 FROM pg_catalog.pg_constraint r WHERE r.contype = 'f'
                AND r.confrelid = ANY (pg_catalog.array_agg(t.oid)) AND r.conrelid <> ALL (pg_catalog.array_agg(t.oid)))
        FROM (SELECT n::pg_catalog.regclass::pg_catalog.oid AS oid FROM pg_catalog.unnest($1::text[]) n) t";
    Ok(transaction.query_one(sql, &[&names]).await?.get::<_, Option<bool>>(0).unwrap_or(false))
}

/// Whether all definitions of the schema are the plan's, but for the forms that a live run's foreign keys have meanwhile. In a
/// transaction, whose search path it empties.
pub(super) async fn is_as_planned<C: GenericClient + Sync>(client: &C, plan: &Plan) -> Answer<bool> {
    let now = catalog::definitions(client, &plan.options.schema).await?;
    let keys = plan.tables.iter().flat_map(standing).flat_map(|standing| &standing.references);
    Ok(Some(now.with_keys(keys).fingerprint()) == plan.target_schema)
}

/// The first foreign key whose name another one has got while a live run's target follows. In a transaction, whose search path it empties.
pub(super) async fn replaced<C: GenericClient + Sync>(client: &C, plan: &Plan) -> Answer<Option<Fault>> {
    let schema = &plan.options.schema;
    let now = catalog::definitions(client, schema).await?;
    let keys = plan.tables.iter().flat_map(standing).flat_map(|standing| &standing.references);
    let Some((own, other)) = now.replaced(keys) else { return Ok(None) };
    let all = live::keys(plan);
    let key = all.iter().find(|key| key.child == own.table && key.name() == own.key.name);
    let again = key.map(|key| key.again(schema)).unwrap_or_default();
    let why = format!(
        "the foreign key \"{}\" of \"{}\" is {} and should be {}",
        own.key.name, own.table, other.definition, own.key.definition
    );
    let hint = format!("undo that ({again}), and ask again: the cutover gives the key the form that it had");
    Ok(Some(Fault { table: own.table.clone(), why, hint }))
}

/// What differs from what the plan found and the run should have left: definitions, and rows that stay.
pub(super) async fn faults(transaction: &Transaction<'_>, plan: &Plan) -> Answer<Vec<String>> {
    let schema = &plan.options.schema;
    let mut faults = Vec::new();
    if !is_as_planned(transaction, plan).await? {
        faults.push(format!(
            "the definitions in the schema \"{schema}\" are not what they were before the run"
        ));
    }
    for (index, table) in plan.tables.iter().enumerate() {
        let Some(standing) = table.standing.as_ref().filter(|standing| standing.rows_staying > 0) else {
            continue;
        };
        let Some(key) = &table.primary_key else { continue };
        let sql = "SELECT pg_catalog.to_regclass($1) IS NOT NULL";
        let saved = qualified(schema, &before(index));
        if !transaction.query_one(sql, &[&saved]).await?.get::<_, bool>(0) {
            continue;
        }
        let columns = &standing.stored_columns;
        let sql = format!(
            "SELECT pg_catalog.count(*) FROM {saved} b WHERE {} AND NOT EXISTS (SELECT 1 FROM {} t WHERE {} AND {} = {})",
            stays(),
            qualified(schema, &table.target),
            same_key(&key.columns, "b", "t"),
            body(columns, "b"),
            body(columns, "t")
        );
        let lost: i64 = transaction.query_one(&sql, &[]).await?.get(0);
        if lost > 0 {
            faults.push(format!(
                "{lost} rows of \"{}\" that were there before are changed or gone",
                table.target
            ));
        }
    }
    Ok(faults)
}
