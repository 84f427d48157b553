//! The quarantine: values and rows that the collections cannot hold, in the run's records.

use super::client::Client;
use super::ledger::{self, Of, Records};
use crate::records::Entry;
use switchover_core::Result;
use switchover_core::connector::Quarantined;

/// Adds the record of an entry.
pub(super) fn add(records: &mut Records, run: &str, table: &str, entry: &Quarantined) -> Result<()> {
    let key = format!("{table}:{}:{}", crate::records::key_text(&Some(entry.locator.clone()))?, entry.column);
    records.add(run, Of::Quarantine, &key, &Entry::of(table, entry))
}

/// The ids of a run's records of a table, and what they say. Another run may move a table of the same name.
pub(super) async fn of_table(
    client: &Client,
    run: &str,
    table: &str,
) -> Result<Vec<([u8; 16], Quarantined)>> {
    let mut found = Vec::new();
    for record in ledger::of_run(client, run).await?.iter().filter(|record| record.is(Of::Quarantine)) {
        let entry: Entry = record.read()?;
        if entry.table == table {
            found.push((record.id, entry.quarantined()));
        }
    }
    Ok(found)
}
