//! The quarantine: values and rows that the collections cannot hold, in the run's records.

use super::client::Client;
use super::ledger::{self, About, Of, Records};
use crate::records::Entry;
use std::collections::HashMap;
use switchover_core::connector::Quarantined;
use switchover_core::plan::{Plan, TablePlan};
use switchover_core::planner::layout::shown_locator;
use switchover_core::{Error, Kind, Result};

/// Adds the record of an entry.
pub(super) fn add(records: &mut Records, run: &str, table: &TablePlan, entry: &Quarantined) -> Result<()> {
    let locator = crate::records::key_text(&Some(entry.locator.clone()))?;
    let key = format!("{}:{locator}:{}", table.source, entry.column);
    let about = About {
        table: table.source.clone(),
        key: shown_locator(table, &entry.locator),
        column: entry.column.clone(),
    };
    records.add_about(about, run, Of::Quarantine, &key, &Entry::of(&table.source, entry))
}

/// Gives the entries of a table of the plan.
///
/// # Errors
/// `NotFound` when there were some, and no run has them on record.
pub(super) async fn of_plan(
    client: &Client,
    plan: &Plan,
    at: usize,
    observe: &mut (dyn FnMut(Quarantined) + Send),
) -> Result<()> {
    let table = &plan.tables[at];
    match ledger::run_of(client, plan).await? {
        Some(run) => {
            let mut found = of_table(client, &run, &table.source).await?;
            // Records lie in the order of their hashes, and a row's entries are to follow each other.
            let mut place = HashMap::new();
            found.iter().for_each(|(_, entry)| {
                let next = place.len();
                place.entry(entry.locator.clone()).or_insert(next);
            });
            found.sort_by_key(|(_, entry)| place.get(&entry.locator).copied());
            found.into_iter().for_each(|(_, entry)| observe(entry));
            Ok(())
        }
        // What had no exceptions needs no list of them.
        None if !table.has_exceptions() => Ok(()),
        None => Err(Error::new(Kind::NotFound, "read the quarantine")
            .store(client.config().redacted())
            .table(table.source.clone())
            .detail("what did not fit is no longer on record: the run was cleaned up or rolled back")
            .hint(
                "`switchover verify` proves a run with exceptions before `switchover cleanup`, not after it",
            )),
    }
}

/// The ids of a run's records of a table, and what they say. Another run may move a table of the same name.
pub(super) async fn of_table(
    client: &Client,
    run: &str,
    table: &str,
) -> Result<Vec<([u8; 16], Quarantined)>> {
    let mut found = Vec::new();
    // A name may begin another's, so the entry says of which table it is.
    let may_be = |key: &str| key.strip_prefix(table).is_some_and(|rest| rest.starts_with(':'));
    for record in ledger::of_kind(client, run, Of::Quarantine, may_be).await? {
        let entry: Entry = record.read()?;
        if entry.table == table {
            found.push((record.label.id, entry.quarantined()));
        }
    }
    Ok(found)
}
