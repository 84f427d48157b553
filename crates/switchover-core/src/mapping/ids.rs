//! Columns of ids that become UUIDs: which they are, what refers to them, and the tables that keep the maps.
//!
//! Invariants: ids become UUIDs only where each is a row's own (a key), and every column that a foreign key
//! joins to them becomes the same UUIDs, or the mapping is an error: rows would lose their parents. Each such
//! column has a map, a table of the mapped catalog like every other, so that it is planned, written, verified
//! and rolled back as they are. Absent: the UUIDs themselves ([`crate::ids`]).

use super::resolve::listed;
use super::{ColumnMap, Mapping, declared, key_of};
use crate::Result;
use crate::ids::{Namespace, ORIGINAL, UUID};
use crate::plan::LogicalType;
use crate::schema::{Column, IdMap, PrimaryKey, Table, Unique};
use std::collections::BTreeMap;

/// A column, by the indexes of its table and of itself.
type Place = (usize, usize);

/// Marks the columns, and adds the maps.
pub(super) fn add(mapping: &Mapping, tables: &mut Vec<Table>) -> Result<()> {
    let work = Work { mapping, tables };
    let asked = work.asked()?;
    if asked.is_empty() {
        return Ok(());
    }
    let mut namespaces: BTreeMap<Place, Namespace> = BTreeMap::new();
    let mut roots = Vec::new();
    for (place, map) in &asked {
        if work.parents(*place).is_empty() {
            work.root(*place)?;
            namespaces.insert(*place, work.namespace(*place, map));
            roots.push(*place);
        }
    }
    work.children(&mut namespaces)?;
    for (place, map) in &asked {
        if !namespaces.contains_key(place) {
            return Err(work.without_parent(*place, &namespaces));
        }
        work.child_keys(*place, map, &roots)?;
    }
    let mut maps = Vec::new();
    for place in &roots {
        maps.push(work.map(*place, namespaces[place], &maps)?);
    }
    for ((table, column), namespace) in namespaces {
        let table = &mut tables[table];
        let name = table.columns[column].name.clone();
        table.columns[column].ids = Some(namespace);
        // The target numbers no UUIDs.
        if let Some(key) = table.primary_key.as_mut().filter(|key| key.columns.contains(&name)) {
            (key.assigned, key.autoincrement) = (false, false);
        }
    }
    tables.extend(maps);
    Ok(())
}

struct Work<'a> {
    mapping: &'a Mapping,
    tables: &'a [Table],
}

impl<'a> Work<'a> {
    fn table(&self, place: Place) -> &'a Table {
        &self.tables[place.0]
    }

    fn column(&self, place: Place) -> &'a Column {
        &self.tables[place.0].columns[place.1]
    }

    fn shown(&self, place: Place) -> String {
        format!("{}.{}", self.table(place).name, self.column(place).name)
    }

    fn wrong(
        &self,
        place: Place,
        key: &str,
        why: impl Into<String>,
        hint: impl Into<String>,
    ) -> crate::Error {
        let path = ["table", &self.table(place).name, "column", &self.column(place).name, key];
        self.mapping.error(&key_of(&path), why).hint(hint)
    }

    /// The columns with `ids`, each with what else is said of it.
    fn asked(&self) -> Result<Vec<(Place, &'a ColumnMap)>> {
        let mut asked = Vec::new();
        for (t, table) in self.tables.iter().enumerate() {
            for (c, column) in table.columns.iter().enumerate() {
                let Some(map) = self.mapping.column(&table.name, &column.name) else { continue };
                let place = (t, c);
                if map.ids.is_none() {
                    for (key, given) in
                        [("ids_namespace", map.ids_namespace.is_some()), ("ids_map", map.ids_map.is_some())]
                    {
                        if given {
                            let why = "it is about ids that become UUIDs, and the column has no `ids`";
                            return Err(self.wrong(place, key, why, "add ids = \"uuid5\", or take it out"));
                        }
                    }
                    continue;
                }
                self.plain(place)?;
                asked.push((place, map));
            }
        }
        Ok(asked)
    }

    /// A column whose values are the ids, and nothing else's.
    fn plain(&self, place: Place) -> Result<()> {
        let column = self.column(place);
        let ty = self.mapping.column(&self.table(place).name, &column.name).and_then(|map| map.r#type);
        if let Some(ty) = ty.filter(|ty| *ty != LogicalType::Uuid) {
            let why = format!("'{}' has ids that become UUIDs, which are no {ty}", self.shown(place));
            return Err(self.wrong(place, "type", why, "take `type` out of it, or `ids`"));
        }
        if column.generated.is_some() {
            let why = format!("'{}' is computed by the table itself", self.shown(place));
            return Err(self.wrong(place, "ids", why, "give the column a `value` in the mapping"));
        }
        if column.collation != "BINARY" {
            let why = format!(
                "'{}' compares by {}: two spellings of one id would be two UUIDs",
                self.shown(place),
                column.collation
            );
            let hint = "give the column a `value` that is of one spelling, such as \"lower(id)\"";
            return Err(self.wrong(place, "ids", why, hint));
        }
        Ok(())
    }

    /// The columns that foreign keys join to this one from above.
    fn parents(&self, place: Place) -> Vec<Place> {
        let (table, name) = (self.table(place), &self.column(place).name);
        let mut found = Vec::new();
        for key in &table.foreign_keys {
            for (own, of) in key.columns.iter().zip(&key.parent_columns) {
                if !own.eq_ignore_ascii_case(name) {
                    continue;
                }
                let parent = self.tables.iter().position(|table| table.name == key.parent);
                let column = |t: usize| {
                    self.tables[t].columns.iter().position(|column| column.name.eq_ignore_ascii_case(of))
                };
                found.extend(parent.and_then(|t| Some((t, column(t)?))).filter(|parent| *parent != place));
            }
        }
        found
    }

    fn root(&self, place: Place) -> Result<()> {
        let name = self.column(place).name.clone();
        if declared::is_key(self.table(place), std::slice::from_ref(&name)) {
            return Ok(());
        }
        let why = format!("'{}' is no key, and no foreign key says whose ids they are", self.shown(place));
        let hint = format!(
            "write ids at the column that it refers to, and here [[{}]] with columns = [{name:?}]",
            key_of(&["table", &self.table(place).name, "foreign_key"])
        );
        Err(self.wrong(place, "ids", why, hint))
    }

    fn namespace(&self, place: Place, map: &ColumnMap) -> Namespace {
        let own = || Namespace::of_column(&self.table(place).name, &self.column(place).name);
        map.ids_namespace.unwrap_or_else(own)
    }

    /// What refers to a column becomes what it does.
    fn children(&self, namespaces: &mut BTreeMap<Place, Namespace>) -> Result<()> {
        let all: Vec<Place> = (0..self.tables.len())
            .flat_map(|t| (0..self.tables[t].columns.len()).map(move |c| (t, c)))
            .collect();
        loop {
            let mut grown = false;
            for place in &all {
                for parent in self.parents(*place) {
                    match (namespaces.get(&parent).copied(), namespaces.get(place).copied()) {
                        (Some(of), None) => {
                            self.plain(*place)?;
                            namespaces.insert(*place, of);
                            grown = true;
                        }
                        (Some(of), Some(own)) if of != own => {
                            let why = format!("'{}' refers to ids of two kinds", self.shown(*place));
                            let hint = "give both the same `ids_namespace`, where they share their ids";
                            return Err(self.wrong(*place, "ids", why, hint));
                        }
                        _ => {}
                    }
                }
            }
            if !grown {
                return self.all_parents(namespaces, &all);
            }
        }
    }

    /// A column that becomes UUIDs refers to nothing that stays as it is.
    fn all_parents(&self, namespaces: &BTreeMap<Place, Namespace>, all: &[Place]) -> Result<()> {
        for place in all.iter().filter(|place| namespaces.contains_key(place)) {
            if self.parents(*place).iter().any(|parent| !namespaces.contains_key(parent)) {
                return Err(self.without_parent(*place, namespaces));
            }
        }
        Ok(())
    }

    fn without_parent(&self, place: Place, mapped: &BTreeMap<Place, Namespace>) -> crate::Error {
        let mut others = self.parents(place);
        others.retain(|parent| !mapped.contains_key(parent));
        let parents: Vec<String> = others.iter().map(|parent| self.shown(*parent)).collect();
        let why = format!(
            "'{}' refers to {}, whose ids stay as they are",
            self.shown(place),
            parents.join(" and ")
        );
        let hint = match others.first() {
            Some(parent) => {
                let path = ["table", &self.table(*parent).name, "column", &self.column(*parent).name];
                format!("write [{}] ids = \"uuid5\": what refers to it follows", key_of(&path))
            }
            None => "write ids at the column that it refers to".to_owned(),
        };
        self.wrong(place, "ids", why, hint)
    }

    /// A column that refers to another has its namespace and its map.
    fn child_keys(&self, place: Place, map: &ColumnMap, roots: &[Place]) -> Result<()> {
        let own = [("ids_namespace", map.ids_namespace.is_some()), ("ids_map", map.ids_map.is_some())];
        match own.iter().find(|(_, given)| *given && !roots.contains(&place)) {
            Some((key, _)) => {
                let why = format!("'{}' refers to another column, and has that one's", self.shown(place));
                Err(self.wrong(place, key, why, "write it there"))
            }
            None => Ok(()),
        }
    }

    /// The table that keeps what each id became.
    fn map(&self, place: Place, namespace: Namespace, others: &[Table]) -> Result<Table> {
        let (table, column) = (self.table(place), self.column(place));
        let named = self.mapping.column(&table.name, &column.name).and_then(|map| map.ids_map.clone());
        let key = if named.is_some() { "ids_map" } else { "ids" };
        let name = named.unwrap_or_else(|| format!("{}_{}_map", table.name, column.name));
        if name.is_empty() {
            return Err(self.wrong(place, key, "the name is empty", "give it a name, or none"));
        }
        if self.tables.iter().chain(others).any(|other| other.name.eq_ignore_ascii_case(&name)) {
            let names = listed(self.tables.iter().map(|table| table.name.as_str()));
            let why = format!("the map would be named '{name}', as a table is; there are {names}");
            return Err(self.wrong(place, key, why, "give the map another name (`ids_map`)"));
        }
        let cell = |name: &str, ids| Column {
            name: name.to_owned(),
            default: None,
            generated: None,
            ids,
            ..column.clone()
        };
        Ok(Table {
            name,
            columns: vec![cell(ORIGINAL, None), cell(UUID, Some(namespace))],
            primary_key: Some(PrimaryKey::plain(None, vec![ORIGINAL.into()])),
            locator: table.locator.clone(),
            uniques: vec![Unique {
                name: None,
                columns: vec![(UUID.into(), "BINARY".into())],
                descending: Vec::new(),
            }],
            indexes: Vec::new(),
            foreign_keys: Vec::new(),
            checks: Vec::new(),
            strict: false,
            sequence: None,
            virtual_module: None,
            id_map: Some(IdMap { table: table.name.clone(), column: column.name.clone() }),
        })
    }
}
