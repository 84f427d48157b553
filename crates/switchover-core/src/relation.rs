//! Relations: what a mapping makes of the source's tables, as the source itself is to read them.
//!
//! A relation has a name of its own and reads like a table: a part of a table, columns that the
//! source computes, or several tables one after the other. A snapshot that was told its relations
//! ([`crate::connector::Snapshot::mapped`]) means them wherever their names occur, so that the
//! census, the copy, the foreign keys and the verification cannot see different rows.
//! Absent on purpose: any SQL but the fragments that the user wrote.

use crate::schema::Locator;
use std::collections::BTreeMap;

/// The column that numbers the parts of a relation of several.
pub const PART_COLUMN: &str = "_switchover_part";

/// The column that numbers a row within its part.
pub const ROW_COLUMN: &str = "_switchover_row";

/// Relations by name.
pub type Relations = BTreeMap<String, Relation>;

/// A table that the source does not have, but can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// What it is read from; a row of each part is a row of it.
    pub parts: Vec<Part>,
}

impl Relation {
    /// How its rows are found, given how those of its one part are.
    pub fn locator(&self) -> Locator {
        match self.parts.as_slice() {
            [one] => one.locator.clone(),
            _ => Locator::Key(vec![PART_COLUMN.into(), ROW_COLUMN.into()]),
        }
    }
}

/// One table that a relation is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The table of the source.
    pub table: String,
    /// How its rows are found.
    pub locator: Locator,
    /// Which rows, when not all.
    pub filter: Option<Fragment>,
    /// The relation's columns, in the same order in each part.
    pub cells: Vec<Cell>,
}

impl Part {
    /// The first expression that the source is to evaluate.
    pub fn fragment(&self) -> Option<&Fragment> {
        self.fragments().next()
    }

    /// All expressions that the source is to evaluate.
    pub fn fragments(&self) -> impl Iterator<Item = &Fragment> {
        let computed = self.cells.iter().filter_map(|cell| match &cell.from {
            CellFrom::Computed(fragment) => Some(fragment),
            CellFrom::Column(_) => None,
        });
        self.filter.iter().chain(computed)
    }
}

/// A column of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// Its name in the relation.
    pub name: String,
    /// What it holds.
    pub from: CellFrom,
}

/// What a column of a part holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CellFrom {
    /// A column of the part's table, by its name there.
    Column(String),
    /// What the source computes.
    Computed(Fragment),
}

/// An expression in the source's own language, as the user wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// The text.
    pub text: String,
    /// The key that holds it, such as `table.users.where`.
    pub key: String,
    /// Where that stands, such as `switchover.toml, line 12`; may be empty.
    pub place: String,
}

impl Fragment {
    /// An error about it, which says where it stands.
    pub fn error(&self, detail: impl Into<String>) -> crate::Error {
        crate::Error::new(crate::Kind::Config, "use the mapping").store(self.place.clone()).detail(format!(
            "{} = \"{}\": {}",
            self.key,
            shortened(&self.text),
            detail.into()
        ))
    }
}

/// Characters of an expression that a message repeats.
const SHOWN_CHARS: usize = 60;

fn shortened(text: &str) -> String {
    let flat: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match flat.char_indices().nth(SHOWN_CHARS) {
        Some((at, _)) => format!("{}…", &flat[..at]),
        None => flat,
    }
}
