//! Rows that the copy brought more than once, because they moved at the source while it read by place.
//!
//! Such a row was deleted and put in again, or replaced, since the capture: its key is in the log, and the changes that are
//! taken next put the one that is kept right. So this comes before them, and before there is a key.

use super::PostgresLive;
use super::session::{Session, begin_ours, busy};
use crate::postgres::quote;
use switchover_core::plan::TablePlan;
use switchover_core::{Result, failpoint};

/// Keeps one row of each key. Sorting beats looking up: no index of the key is there yet.
fn sql(schema: &str, table: &TablePlan) -> String {
    let name = quote::qualified(schema, &table.target);
    let key: Vec<String> =
        table.key_fields().iter().map(|at| quote::ident(&table.columns[*at].target)).collect();
    let met: Vec<String> = key.iter().map(|column| format!("t.{column} = k.{column}")).collect();
    format!(
        "DELETE FROM ONLY {name} t USING (SELECT {0}, pg_catalog.max(ctid) AS kept FROM ONLY {name}
            GROUP BY {0} HAVING count(*) > 1) k WHERE {1} AND t.ctid <> k.kept",
        key.join(", "),
        met.join(" AND ")
    )
}

impl PostgresLive {
    pub(super) async fn drop_repeats_with(&self, session: &mut Session) -> Result<()> {
        let operation = "drop rows that were copied twice";
        for table in self.run.plan.tables.iter().filter(|table| table.is_read_by_place()) {
            if table.key_fields().is_empty() {
                // It is carried as a whole whenever it changes.
                continue;
            }
            begin_ours(session, &self.run, operation).await?;
            let sql = format!("SET LOCAL enable_hashjoin = on; {}", sql(self.schema(), table));
            let done = session.client().batch_execute(&sql).await;
            done.map_err(|error| busy(error, &session.connection, operation).table(table.source.clone()))?;
            failpoint::hit("live-repeats-before-commit");
            self.commit(session, operation).await?;
        }
        Ok(())
    }
}
