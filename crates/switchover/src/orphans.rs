//! Foreign keys, checked while the census reads: is every child's key among the parent's?
//!
//! Parents are read first; their keys are kept as 64-bit hashes, and a child's key that is not among
//! them makes its foreign key a suspect. The store itself then names the orphans. A doubt of any kind (a
//! parent too large to keep, a cycle, columns that compare by other rules than bytes) is a suspect too.
//! An orphan escapes only if its hash meets another key's (2^-64 a pair), and then the target's own
//! validation of the constraint stops the run: nothing wrong is reported as done.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use switchover_core::codec::Codec;
use switchover_core::digest;
use switchover_core::schema::{Catalog, ForeignKey, Table};
use switchover_core::value::{Row, Rows, Value};

/// Keys that are kept of one parent: 16 MiB of hashes. A larger parent is left to the store.
pub(crate) const KEYS_MAX: usize = 500_000;

/// The hashes are hashes already.
#[derive(Debug, Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |sum, byte| sum.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

type Hashes = HashSet<u64, BuildHasherDefault<AsIs>>;
type ParentKey = (String, Vec<String>);

/// The keys of all parents that were read.
#[derive(Debug)]
pub(crate) struct Keys {
    wanted: BTreeSet<ParentKey>,
    /// `None` for a parent that is too large.
    known: BTreeMap<ParentKey, Option<Hashes>>,
}

/// What is watched while one table is read.
pub(crate) struct Watch<'a> {
    /// Keys to keep, as a parent.
    parent: Vec<(ParentKey, Vec<usize>, Option<Hashes>)>,
    /// Keys to look up, as a child: the foreign key, its fields, the parent's hashes.
    child: Vec<(usize, Vec<usize>, Option<&'a Hashes>, bool)>,
    cells: Vec<u8>,
}

/// Whether equal bytes are what the store would call equal, and unlike bytes unlike.
pub(crate) fn compares_by_bytes(catalog: &Catalog, table: &Table, key: &ForeignKey) -> bool {
    let Some(parent) = catalog.table(&key.parent) else { return false };
    key.columns.len() == key.parent_columns.len()
        && key.columns.iter().zip(&key.parent_columns).all(|(child, own)| {
            match (table.column(child), parent.column(own)) {
                (Some(child), Some(own)) => {
                    child.affinity == own.affinity && child.collation == "BINARY" && own.collation == "BINARY"
                }
                _ => false,
            }
        })
}

impl Keys {
    /// What the foreign keys of a catalog ask for.
    pub(crate) fn of(catalog: &Catalog) -> Keys {
        let mut wanted = BTreeSet::new();
        for table in &catalog.tables {
            for key in table.foreign_keys.iter().filter(|key| compares_by_bytes(catalog, table, key)) {
                wanted.insert((key.parent.clone(), key.parent_columns.clone()));
            }
        }
        Keys { wanted, known: BTreeMap::new() }
    }

    /// The tables, parents before children as far as cycles allow.
    pub(crate) fn parents_first<'a>(&self, catalog: &'a Catalog) -> Vec<&'a Table> {
        let mut order: Vec<&Table> = Vec::with_capacity(catalog.tables.len());
        let mut left: Vec<&Table> = catalog.tables.iter().collect();
        while !left.is_empty() {
            let waits = |table: &&Table| {
                table
                    .foreign_keys
                    .iter()
                    .any(|key| key.parent != table.name && left.iter().any(|other| other.name == key.parent))
            };
            // In a cycle the first one goes: its foreign key is a suspect.
            let at = left.iter().position(|table| !waits(table)).unwrap_or(0);
            order.push(left.remove(at));
        }
        order
    }

    /// What to watch while a table is read.
    pub(crate) fn watch(&self, table: &Table) -> Watch<'_> {
        let fields = |names: &[String]| -> Option<Vec<usize>> {
            names.iter().map(|name| table.columns.iter().position(|column| column.name == *name)).collect()
        };
        let own = self.wanted.iter().filter(|(parent, _)| *parent == table.name);
        let parent =
            own.filter_map(|key| Some((key.clone(), fields(&key.1)?, Some(Hashes::default())))).collect();
        let child = table.foreign_keys.iter().enumerate().filter_map(|(at, key)| {
            let known =
                self.known.get(&(key.parent.clone(), key.parent_columns.clone())).and_then(Option::as_ref);
            // What is not known is a suspect from the start.
            Some((at, fields(&key.columns)?, known, known.is_none()))
        });
        Watch { parent, child: child.collect(), cells: Vec::new() }
    }

    /// Keeps what a table gave, and the foreign keys that may have orphans.
    pub(crate) fn keep(&mut self, table: &Table, kept: Kept, suspects: &mut BTreeSet<(String, usize)>) {
        suspects.extend(kept.suspects.into_iter().map(|at| (table.name.clone(), at)));
        self.known.extend(kept.parent);
    }
}

/// What a table gave.
pub(crate) struct Kept {
    parent: Vec<(ParentKey, Option<Hashes>)>,
    suspects: Vec<usize>,
}

impl Watch<'_> {
    /// Takes a batch into account.
    pub(crate) fn observe(&mut self, rows: &Rows) {
        if self.parent.is_empty() && self.child.iter().all(|(.., suspect)| *suspect) {
            return;
        }
        for row in rows.iter() {
            for (_, fields, known, suspect) in &mut self.child {
                if let (Some(known), false) = (*known, *suspect) {
                    *suspect = hash(row, fields, &mut self.cells).is_some_and(|hash| !known.contains(&hash));
                }
            }
            for (_, fields, hashes) in &mut self.parent {
                if let (Some(kept), Some(hash)) = (hashes.as_mut(), hash(row, fields, &mut self.cells)) {
                    kept.insert(hash);
                    if kept.len() > KEYS_MAX {
                        *hashes = None;
                    }
                }
            }
        }
    }

    /// Ends the watch.
    pub(crate) fn end(self) -> Kept {
        Kept {
            parent: self.parent.into_iter().map(|(key, _, hashes)| (key, hashes)).collect(),
            suspects: self.child.iter().filter(|(.., suspect)| *suspect).map(|(at, ..)| *at).collect(),
        }
    }
}

/// The hash of a key; `None` when a part is NULL, which refers to nothing.
fn hash(row: Row<'_>, fields: &[usize], cells: &mut Vec<u8>) -> Option<u64> {
    cells.clear();
    for field in fields {
        match row.value(*field) {
            Value::Null => return None,
            // The codec of plain values always gives bytes.
            value => drop(Codec::Int.canonical_source(value, cells)),
        }
    }
    Some(digest::of_bytes(cells) as u64)
}
