//! What of the rows that a run wrote only the target has: columns that the source does not, or that came to tables of the
//! run's own, and rows of other tables that came to refer to them.
//!
//! | record | holds | written |
//! |---|---|---|
//! | `_switchover_undo`, kind `own columns` | the digest of a table's whole rows, as the load left them | a step after the load |
//!
//! A comparison with the source sees neither, and a rollback would undo both in silence: so it looks here first. Absent: what
//! is done about it, which is the caller's.

use super::connect::Connection;
use super::quote::{ident, literal, qualified};
use super::standing::{UNDO, before, body};
use super::{error, ledger};
use switchover_core::Result;
use switchover_core::existing::Standing;
use switchover_core::plan::{Plan, TablePlan};

const OPERATION: &str = "look for what was changed since the run";

/// What the record is called.
const KIND: &str = "own columns";

/// The digest of all rows of a table, in any order.
fn digest(name: &str, standing: &Standing) -> String {
    let body = body(&standing.stored_columns, "t");
    format!(
        "SELECT pg_catalog.count(*)::text || ' ' || coalesce(pg_catalog.sum(pg_catalog.hashtextextended({body}, 0)::numeric), 0)::text AS digest
         FROM {name} t"
    )
}

/// Whether the target has columns that the source does not, and holds what is in them.
fn has_own(table: &TablePlan, standing: &Standing) -> bool {
    let moved = |name: &String| table.columns.iter().any(|column| column.target == *name);
    !standing.stored_columns.iter().all(moved)
}

/// The statement that records the digest, for a table that needs one.
pub(super) fn record(schema: &str, at: usize, table: &TablePlan, standing: &Standing) -> Option<String> {
    if !has_own(table, standing) {
        return None;
    }
    let (undo, name) = (ledger::table(schema, UNDO), qualified(schema, &table.target));
    // Steps run side by side: each table has a place of its own, below those of `prepare`.
    Some(format!(
        "INSERT INTO {undo} (ordinal, kind, name, down, up) SELECT -{}, {}, {}, d.digest, '' FROM ({}) d",
        at + 1,
        literal(KIND),
        literal(&name),
        digest(&name, standing)
    ))
}

/// Foreign keys of other tables that refer to one of the plan's: the child, and both sides' columns.
const REFERRING: &str = "SELECT r.conrelid::pg_catalog.regclass::text,
        ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(r.conkey) WITH ORDINALITY k(n, o)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = r.conrelid AND a.attnum = k.n ORDER BY k.o),
        ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(r.confkey) WITH ORDINALITY k(n, o)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = r.confrelid AND a.attnum = k.n ORDER BY k.o)
    FROM pg_catalog.pg_constraint r
    WHERE r.contype = 'f' AND r.conparentid = 0 AND r.confrelid = $1::text::pg_catalog.regclass
        AND r.conrelid <> ALL ($2::text[]::pg_catalog.regclass[]::pg_catalog.oid[])
    ORDER BY 1, 2";

/// The columns of a table that hold what was written into them.
const COLUMNS: &str = "SELECT attname::text FROM pg_catalog.pg_attribute
    WHERE attrelid = $1::text::pg_catalog.regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
    ORDER BY attnum";

/// What was changed since, in words.
pub(super) async fn touched(connection: &mut Connection, plan: &Plan) -> Result<Vec<String>> {
    let label = connection.label().to_owned();
    let fail =
        |error: tokio_postgres::Error| error::classify(&error, OPERATION).store(label.clone()).because(error);
    let schema = &plan.options.schema;
    let names: Vec<String> = plan.tables.iter().map(|table| qualified(schema, &table.target)).collect();
    let transaction = connection.client_mut().transaction().await.map_err(fail)?;
    let mut found = Vec::new();
    for (index, table) in plan.tables.iter().enumerate() {
        let name = &names[index];
        let Some(standing) = &table.standing else {
            let columns = transaction.query(COLUMNS, &[name]).await.map_err(fail)?;
            found.extend(table.added(columns.iter().map(|row| row.get::<_, &str>(0))));
            continue;
        };
        let kept = format!("SELECT down FROM {} WHERE kind = $1 AND name = $2", ledger::table(schema, UNDO));
        let kept = transaction.query_opt(&kept, &[&KIND, name]).await.map_err(fail)?;
        if let Some(kept) = kept {
            let now = transaction.query_one(&digest(name, standing), &[]).await.map_err(fail)?;
            if now.get::<_, String>(0) != kept.get::<_, String>(0) {
                let own = standing
                    .stored_columns
                    .iter()
                    .filter(|own| table.columns.iter().all(|column| column.target != **own));
                let own: Vec<&str> = own.map(String::as_str).collect();
                found.push(format!(
                    "rows of \"{}\" are not what the run left, in what only the target has ({})",
                    table.target,
                    own.join(", ")
                ));
            }
        }
        for row in transaction.query(REFERRING, &[name, &names]).await.map_err(fail)? {
            let (child, columns, parents): (String, Vec<String>, Vec<String>) =
                (row.get(0), row.get(1), row.get(2));
            let meets = |alias: &str| {
                let pairs = parents.iter().zip(&columns);
                let equal: Vec<String> = pairs
                    .map(|(own, other)| format!("{alias}.{} = c.{}", ident(own), ident(other)))
                    .collect();
                equal.join(" AND ")
            };
            let mut sql = format!(
                "SELECT pg_catalog.count(*) FROM {child} c WHERE EXISTS (SELECT 1 FROM {name} t WHERE {})",
                meets("t")
            );
            if standing.rows_before > 0 {
                let saved = qualified(schema, &before(index));
                sql.push_str(&format!(" AND NOT EXISTS (SELECT 1 FROM {saved} b WHERE {})", meets("b")));
            }
            let count: i64 = transaction.query_one(&sql, &[]).await.map_err(fail)?.get(0);
            if count > 0 {
                found.push(format!(
                    "{count} rows of {child} refer to rows of \"{}\" that the run wrote",
                    table.target
                ));
            }
        }
    }
    transaction.rollback().await.map_err(fail)?;
    Ok(found)
}
