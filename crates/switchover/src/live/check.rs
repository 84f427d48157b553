//! Whether rows of the two stores are equal, by the digests of their canonical cells.
//!
//! Absent: reading whole tables, which is the verification of stores at rest.

use crate::verify::digester;
use std::collections::HashMap;
use switchover_core::digest;
use switchover_core::live::{LiveStore, Side, encode_keys};
use switchover_core::plan::{Plan, TablePlan};
use switchover_core::planner::layout;
use switchover_core::value::{OwnedValue, Rows};
use switchover_core::{Error, Kind, Result};

/// Rows by the hash of their key: how many there are of each content.
pub(super) type Digests = HashMap<u64, Vec<u128>>;

/// The digests of rows. What only a target that owns the data has is NULL in what comes from either store.
pub(super) fn digests(table: &TablePlan, side: Side, rows: &Rows) -> Digests {
    let side = match side {
        Side::Source => digest::Side::Source,
        Side::Target => digest::Side::Target,
    };
    let mut digester = digester(table, side);
    let mut found = Digests::with_capacity(rows.len());
    for row in rows.iter() {
        let digest = digester.digest(row, |_| false);
        found.entry(digest.key).or_default().push(digest.row);
    }
    found.values_mut().for_each(|rows| rows.sort_unstable());
    found
}

/// What the target holds of rows with these keys, given in the source's values.
pub(super) async fn of_target(
    plan: &Plan,
    table: usize,
    store: &dyn LiveStore,
    keys: &[Vec<OwnedValue>],
) -> Result<Digests> {
    let planned = &plan.tables[table];
    let rows = store.fetch(table, &encode_keys(planned, keys)?).await?;
    Ok(digests(planned, Side::Target, &rows))
}

/// What the source holds of rows with these keys, which follows.
pub(super) async fn of_source(
    plan: &Plan,
    table: usize,
    store: &dyn LiveStore,
    keys: &[Vec<OwnedValue>],
) -> Result<Digests> {
    let rows = store.fetch(table, keys).await?;
    Ok(digests(&plan.tables[table], Side::Source, &rows))
}

/// How two sets of rows differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Difference {
    /// A row is not there.
    Missing(u64),
    /// A row is there that should not be.
    Extra(u64),
    /// A row's content differs.
    Other(u64),
}

/// The first difference, by the key's hash; `None` when they are equal.
pub(super) fn first_difference(expected: &Digests, found: &Digests) -> Option<Difference> {
    for (key, rows) in expected {
        match found.get(key) {
            Some(there) if there == rows => {}
            Some(there) if there.len() < rows.len() => return Some(Difference::Missing(*key)),
            Some(there) if there.len() > rows.len() => return Some(Difference::Extra(*key)),
            Some(_) => return Some(Difference::Other(*key)),
            None => return Some(Difference::Missing(*key)),
        }
    }
    found.keys().find(|key| !expected.contains_key(key)).map(|key| Difference::Extra(*key))
}

/// What can be done about a row in which the follower of this owner differs. What is taken is a state and not a history, so whatever
/// logs the row's key once more has the row at the follower made what it is at the owner.
pub(super) fn remedy(owner: Side) -> &'static str {
    match owner {
        Side::Source => {
            "find out what wrote to the target, or which rule of its own the row meets there (a unique index, a default in the place of NULL, a \
             trigger); then write the row once more on the source, such as UPDATE t SET c = c WHERE its key (where \
             the target has a row too many, insert one of its key on the source and delete it), so that it is taken again, and \
             `switchover verify --live` compares all rows again; or `switchover rollback`, and start again"
        }
        Side::Target => {
            "find out what wrote to the source, or which rule of its own the row meets there (a unique index, a default in the place of NULL, a \
             trigger); a row that is written once more on the target, such as UPDATE t SET c = c WHERE its key, is \
             brought there again; `switchover rollback --discard-target-changes` goes back all the same, and what the source lacks then is \
             lost to the application"
        }
    }
}

/// The error of a row that was taken from this owner and is not there, or is another. `rows` are those that were given.
pub(super) fn different(
    table: &TablePlan,
    (owner, follower): (Side, &str),
    difference: Difference,
    rows: &Rows,
) -> Error {
    let (what, hash) = match difference {
        Difference::Missing(hash) => ("a row that was just written is not there", hash),
        Difference::Extra(hash) => ("a row that was just removed is there", hash),
        Difference::Other(hash) => ("a row that was just written reads back as another", hash),
    };
    Error::new(Kind::Different, "read changed rows back")
        .store(follower)
        .table(table.source.clone())
        .key(shown_key(table, rows, hash).unwrap_or_default())
        .detail(what)
        .hint(remedy(owner))
}

/// The key of the row with that hash, as people read it.
pub(super) fn shown_key(table: &TablePlan, rows: &Rows, hash: u64) -> Option<String> {
    let mut digester = digester(table, digest::Side::Source);
    let row = rows.iter().find(|row| digester.digest(*row, |_| false).key == hash)?;
    layout::shown_key(table, &row)
}
