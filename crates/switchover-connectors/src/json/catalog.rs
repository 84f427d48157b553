//! The catalog of a dump: what the survey found, in the words that every store uses.
//!
//! Keys are not guessed from names, with one exception: `id`, when every row has one. Others are for
//! the mapping to declare, because a foreign key that only looks like one would refuse good rows.

use super::survey::{Dump, ID, Surveyed};
use std::collections::BTreeMap;
use switchover_core::digest::{self, Hex};
use switchover_core::schema::{Catalog, Column, Locator, PrimaryKey, Skipped, StoreInfo, Table};
use switchover_core::{Error, Kind, Result};

/// What the store is called.
pub const STORE: &str = "json";

/// The name of a row's number, by which it is found again.
const ROW: &str = "row";

/// The catalog.
pub(super) fn catalog(dump: &Dump, label: &str) -> Result<Catalog> {
    let mut skipped = dump.skipped.clone();
    let mut tables = Vec::with_capacity(dump.tables.len());
    for surveyed in &dump.tables {
        tables.push(table(surveyed, &mut skipped));
    }
    let text = serde_json::to_vec(&tables)
        .map_err(|error| Error::new(Kind::Internal, "read the JSON source's catalog").because(error))?;
    Ok(Catalog {
        store: StoreInfo {
            kind: STORE.into(),
            label: label.into(),
            version: "RFC 8259".into(),
            encoding: "UTF-8".into(),
            size_bytes: dump.bytes,
            settings: BTreeMap::new(),
            content: Some(dump.blake3.clone()),
            fenced_by: None,
        },
        schema_hash: Hex(digest::of_bytes(&text)).to_string(),
        tables,
        skipped,
        unreadable: dump.unreadable.clone(),
        bare: dump.bare.iter().map(|table| table.begins.name.clone()).collect(),
        ..Catalog::default()
    })
}

fn table(surveyed: &Surveyed, skipped: &mut Vec<Skipped>) -> Table {
    let name = &surveyed.begins.name;
    for column in &surveyed.columns {
        let absent = surveyed.absent(column);
        if absent > 0 {
            skipped.push(Skipped {
                kind: "absent key".into(),
                name: format!("{name}.{}", column.name),
                why: format!(
                    "{absent} of {} rows have no such key, and become as those with null",
                    surveyed.rows
                ),
            });
        }
    }
    Table {
        name: name.clone(),
        columns: surveyed
            .columns
            .iter()
            .map(|column| Column::plain(&column.name, column.kind.declared()))
            .collect(),
        primary_key: primary_key(surveyed, skipped),
        locator: Locator::RowId(ROW.into()),
        uniques: Vec::new(),
        indexes: Vec::new(),
        foreign_keys: Vec::new(),
        checks: Vec::new(),
        strict: false,
        sequence: None,
        virtual_module: None,
        id_map: None,
    }
}

fn primary_key(surveyed: &Surveyed, skipped: &mut Vec<Skipped>) -> Option<PrimaryKey> {
    let key = |columns: Vec<String>| Some(PrimaryKey::plain(None, columns));
    let id = surveyed.columns.iter().find(|column| column.name == ID)?;
    let absent = surveyed.absent(id);
    if absent == 0 && id.evidence.identifies() && surveyed.repeated.is_some() {
        return key(vec![ID.into()]);
    }
    let why = match absent + id.evidence.nulls {
        0 => "its values are not all texts or integers".to_owned(),
        lacking => format!("{lacking} of {} rows have none", surveyed.rows),
    };
    skipped.push(Skipped {
        kind: "primary key".into(),
        name: format!("{}.{ID}", surveyed.begins.name),
        why: format!("{why}, so it does not identify rows"),
    });
    None
}
