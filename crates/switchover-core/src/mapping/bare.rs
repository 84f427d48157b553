//! Tables without a row, of a store that knows columns only by its rows.
//!
//! A fresh application's dump is `{"users": [], …}`: its tables are there, and nothing in it tells their columns. A
//! mapping that names them does, so a preset makes the same tables as it would with rows. Columns that only it knows
//! are texts, unless it says a type. A table that no mapping tells of is left out with its line, as before.

use super::{Mapping, TableMap};
use crate::schema::{Affinity, Catalog, Column, Locator, Table};
use crate::{Error, Kind, Result};

/// What the rows of such a store are found by; there is none.
const ROW: &str = "row";

/// The type of a column of which nothing else is known.
const TEXT: &str = "TEXT";

/// The catalog with the tables that the mapping tells of.
///
/// # Errors
/// `Refused` when there is no table of which anything is told.
pub(super) fn told(mut catalog: Catalog, mapping: &Mapping) -> Result<Catalog> {
    for name in std::mem::take(&mut catalog.bare) {
        let columns = mapping.table(&name).filter(|map| map.from.is_empty()).map(columns).unwrap_or_default();
        if columns.is_empty() {
            catalog.bare.push(name);
            continue;
        }
        catalog.skipped.retain(|skipped| skipped.kind != "table" || skipped.name != name);
        catalog.tables.push(table(name, columns));
    }
    if catalog.tables.is_empty() && !catalog.bare.is_empty() && catalog.unreadable.is_empty() {
        return Err(Error::new(Kind::Refused, "read the source's tables")
            .store(catalog.store.label.clone())
            .detail("the dump holds no rows, so nothing tells its tables and columns")
            .hint("check that it is the file that you mean; where it is, say the columns of its tables with --preset or in the mapping"));
    }
    Ok(catalog)
}

/// Every column of the source that a section names: those of the key first, as they stand there.
fn columns(map: &TableMap) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let of_keys = map.foreign_keys.iter().flatten().flat_map(|key| &key.columns);
    let of_indexes = map.indexes.iter().flatten().flat_map(|index| &index.columns);
    let own = map.columns.iter().filter(|(_, column)| column.value.is_none()).map(|(name, _)| name);
    let computed =
        |name: &str| super::by_name(&map.columns, name).is_some_and(|column| column.value.is_some());
    for name in map.primary_key.iter().chain(own).chain(of_keys).chain(of_indexes) {
        if !computed(name) && !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            names.push(name.clone());
        }
    }
    names
}

fn table(name: String, columns: Vec<String>) -> Table {
    let column = |name: String| Column {
        name,
        declared: TEXT.into(),
        affinity: Affinity::of_declared(TEXT),
        kind: None,
        not_null: false,
        default: None,
        generated: None,
        collation: "BINARY".into(),
        ids: None,
        added: false,
    };
    Table {
        name,
        columns: columns.into_iter().map(column).collect(),
        primary_key: None,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::ColumnMap;
    use crate::schema::Skipped;

    #[test]
    fn only_what_a_mapping_tells_becomes_a_table() {
        let line = |name: &str| Skipped { kind: "table".into(), name: name.into(), why: "empty".into() };
        let catalog = Catalog {
            bare: vec!["users".into(), "other".into()],
            skipped: vec![line("users"), line("other")],
            ..Catalog::default()
        };
        let mut mapping = Mapping::default();
        let refused = told(catalog.clone(), &mapping).expect_err("nothing is told");
        assert_eq!(refused.kind(), Kind::Refused);
        let computed = ColumnMap { value: Some("1".into()), ..ColumnMap::default() };
        let users = TableMap {
            primary_key: vec!["id".into()],
            columns: [("name".to_owned(), ColumnMap::default()), ("one".to_owned(), computed)].into(),
            ..TableMap::default()
        };
        mapping.tables.insert("users".into(), users);
        let found = told(catalog, &mapping).expect("a catalog");
        let names: Vec<&str> = found.tables[0].columns.iter().map(|column| &*column.name).collect();
        assert_eq!((names, found.bare), (vec!["id", "name"], vec!["other".to_owned()]));
        assert_eq!(found.skipped, [line("other")]);
    }
}
