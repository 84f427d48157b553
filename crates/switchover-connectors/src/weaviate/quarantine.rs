//! The quarantine: values and rows that the collections cannot hold, in the run's records.

use super::client::Client;
use super::ledger::{self, Of, Records};
use serde::{Deserialize, Serialize};
use switchover_core::Result;
use switchover_core::chunk::LocatorValue;
use switchover_core::connector::Quarantined;
use switchover_core::value::OwnedValue;

/// A value in quarantine, as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    table: String,
    locator: LocatorValue,
    column: String,
    value: OwnedValue,
    whole_row: bool,
    why: String,
}

/// Adds the record of an entry.
pub(super) fn add(records: &mut Records, run: &str, table: &str, entry: &Quarantined) -> Result<()> {
    let key = format!("{table}:{}:{}", crate::records::key_text(&Some(entry.locator.clone()))?, entry.column);
    let entry = Entry {
        table: table.to_owned(),
        locator: entry.locator.clone(),
        column: entry.column.clone(),
        value: entry.value.clone(),
        whole_row: entry.whole_row,
        why: entry.why.clone(),
    };
    records.add(run, Of::Quarantine, &key, &entry)
}

/// The ids of a table's records, and what they say.
pub(super) async fn of_table(client: &Client, table: &str) -> Result<Vec<(String, [u8; 16], Quarantined)>> {
    let mut found = Vec::new();
    for record in ledger::all(client).await?.iter().filter(|record| record.is(Of::Quarantine)) {
        let Entry { table: own, locator, column, value, whole_row, why } = record.read()?;
        if own == table {
            let entry = Quarantined { locator, column, value, whole_row, why };
            found.push((record.run.clone(), record.id, entry));
        }
    }
    Ok(found)
}
