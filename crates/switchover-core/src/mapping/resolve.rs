//! A mapping held against a catalog: names that are there, one meaning each, and a mapped catalog.
//!
//! Invariant: nothing of the catalog is gone from the mapped one without a line in its `skipped`,
//! and no two tables of it have one name on the target without an error here. What tables and
//! columns become is in [`super::derive`].

use super::bare;
use super::declared;
use super::derive::{self, Derived};
use super::ids;
use super::{Mapping, TableMap, key_of};
use crate::Result;
use crate::plan::PlanOptions;
use crate::relation::Relations;
use crate::schema::{Catalog, ForeignKey, Skipped, Table};
use std::collections::{BTreeMap, BTreeSet};

/// Names that a hint lists.
const NAMES_LISTED: usize = 20;

/// A catalog after its mapping.
#[derive(Debug, Clone, Default)]
pub struct Mapped {
    /// As if the source had these tables; their names are those that the plan calls the source's.
    pub catalog: Catalog,
    /// How those are read that the source does not have as they are.
    pub relations: Relations,
}

/// Maps a catalog.
///
/// # Errors
/// `Config` when the mapping names what the catalog has not, or contradicts itself; the error says
/// where that stands. `Refused` when nothing tells the columns of any table.
pub fn resolve(catalog: Catalog, options: &PlanOptions) -> Result<Mapped> {
    let mapping = &options.mapping;
    let catalog = bare::told(catalog, mapping)?;
    if mapping.is_empty() {
        return Ok(Mapped { catalog, relations: Relations::new() });
    }
    let order = order(&catalog, mapping)?;
    let mut mapped = Mapped::default();
    let mut made = Vec::new();
    let mut heirs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, map, parts) in order {
        for part in &parts {
            heirs.entry(part.name.clone()).or_default().push(name.clone());
        }
        let derived = match map {
            Some(map) => derive::table(mapping, &name, map, &parts)?,
            None => Derived { table: parts[0].clone(), relation: None, lines: Vec::new() },
        };
        mapped.relations.extend(derived.relation.map(|relation| (name.clone(), relation)));
        mapped.catalog.skipped.extend(derived.lines);
        made.push(derived.table);
    }
    for (source, names) in heirs.iter().filter(|(source, names)| names.as_slice() != [source.as_str()]) {
        mapped.catalog.skipped.push(Skipped {
            kind: "table".into(),
            name: source.clone(),
            why: format!("it is read as {}", names.join(" and ")),
        });
    }
    for table in &mut made {
        redirect(table, &heirs, &mut mapped.catalog.skipped);
    }
    declared::add(mapping, &mut made, &mut mapped.catalog.skipped)?;
    ids::add(mapping, &mut made)?;
    one_name_each(&made, options)?;
    let skipped = std::mem::take(&mut mapped.catalog.skipped);
    mapped.catalog = Catalog { tables: made, ..catalog };
    mapped.catalog.skipped.extend(skipped);
    Ok(mapped)
}

type Ordered<'a> = (String, Option<&'a TableMap>, Vec<&'a Table>);

/// The tables of the mapped catalog, each in the place of the first that it is read from.
fn order<'a>(catalog: &'a Catalog, mapping: &'a Mapping) -> Result<Vec<Ordered<'a>>> {
    let base = |name: &str, key: &str| {
        let found = catalog.tables.iter().find(|table| table.name == name);
        found
            .or_else(|| catalog.tables.iter().find(|table| table.name.eq_ignore_ascii_case(name)))
            .ok_or_else(|| {
                let names = catalog.tables.iter().map(|table| table.name.as_str());
                mapping
                    .error(key, format!("the source has no table '{name}'"))
                    .hint(format!("it has {}", listed(names)))
            })
    };
    let mut own = BTreeSet::new();
    let mut derived: Vec<(String, &TableMap, Vec<&Table>)> = Vec::new();
    for (name, map) in &mapping.tables {
        let key = key_of(&["table", name]);
        if map.from.is_empty() {
            let table = base(name, &key)?;
            if !own.insert(table.name.clone()) {
                let why = format!("two sections are about the table '{}'", table.name);
                return Err(mapping.error(&key, why).hint("keep one of them"));
            }
            continue;
        }
        let key = format!("{key}.from");
        let mut parts: Vec<&Table> = Vec::new();
        for from in &map.from {
            let table = base(from, &key)?;
            if parts.iter().any(|part| part.name == table.name) {
                return Err(mapping.error(&key, format!("it names '{from}' twice")).hint("name it once"));
            }
            parts.push(table);
        }
        let taken = catalog.tables.iter().find(|table| table.name.eq_ignore_ascii_case(name));
        if let Some(taken) = taken.filter(|taken| !parts.iter().any(|part| part.name == taken.name)) {
            return Err(mapping
                .error(&key, format!("the source has a table '{}' of its own", taken.name))
                .hint("give the new table another name here, and the one that it is to have as `to`"));
        }
        derived.push((name.clone(), map, parts));
    }
    let used: BTreeSet<&str> =
        derived.iter().flat_map(|(_, _, parts)| parts.iter().map(|part| part.name.as_str())).collect();
    let mut order = Vec::new();
    for table in &catalog.tables {
        let own = mapping.table(&table.name).filter(|map| map.from.is_empty());
        if own.is_some() || !used.contains(table.name.as_str()) {
            order.push((table.name.clone(), own, vec![table]));
        }
        let begins = |parts: &[&Table]| parts.first().is_some_and(|first| first.name == table.name);
        let here = derived.iter().filter(|(_, _, parts)| begins(parts));
        order.extend(here.map(|(name, map, parts)| (name.clone(), Some(*map), parts.clone())));
    }
    Ok(order)
}

pub(super) fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<&str> = names.collect();
    let more = all.len().saturating_sub(NAMES_LISTED);
    let shown = all[..all.len() - more].join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

/// Foreign keys go on to what their parents became, where that is one table.
fn redirect(table: &mut Table, heirs: &BTreeMap<String, Vec<String>>, skipped: &mut Vec<Skipped>) {
    let (own, mut kept): (&str, Vec<ForeignKey>) = (&table.name, Vec::new());
    for mut key in std::mem::take(&mut table.foreign_keys) {
        match heirs.get(&key.parent).map(Vec::as_slice) {
            Some([one]) => key.parent.clone_from(one),
            Some(names) if !names.contains(&key.parent) => {
                skipped.push(Skipped {
                    kind: "foreign key".into(),
                    name: format!("{own}({}) → {}", key.columns.join(", "), key.parent),
                    why: format!("its parent becomes {}: a foreign key has one parent", names.join(" and ")),
                });
                continue;
            }
            _ => {}
        }
        kept.push(key);
    }
    table.foreign_keys = kept;
}

/// No two tables that the mapping gives one name.
fn one_name_each(tables: &[Table], options: &PlanOptions) -> Result<()> {
    let mapping = &options.mapping;
    let named = |table: &Table| mapping.table(&table.name).and_then(|map| map.to.clone());
    for table in tables {
        let Some(to) = named(table) else { continue };
        let other = tables.iter().find(|other| {
            other.name != table.name && named(other).unwrap_or_else(|| other.name.clone()) == to
        });
        if let Some(other) = other {
            let key = key_of(&["table", &table.name, "to"]);
            return Err(mapping
                .error(&key, format!("'{}' and '{}' would both be '{to}'", table.name, other.name))
                .hint(format!(
                    "to make one table of both, write [table.{}] from = [\"{}\", \"{}\"]",
                    key_of(&[&to]),
                    table.name,
                    other.name
                )));
        }
    }
    Ok(())
}
