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

/// The ids of a table's records, and what they say.
pub(super) async fn of_table(client: &Client, table: &str) -> Result<Vec<(String, [u8; 16], Quarantined)>> {
    let mut found = Vec::new();
    for record in ledger::all(client).await?.iter().filter(|record| record.is(Of::Quarantine)) {
        let entry: Entry = record.read()?;
        if entry.table == table {
            found.push((record.run.clone(), record.id, entry.quarantined()));
        }
    }
    Ok(found)
}
