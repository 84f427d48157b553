//! What the quarantine holds of a table: summed up as it is read, because there may be as much of it as of the table.

use crate::report::Exception;
use switchover_core::Result;
use switchover_core::chunk::LocatorValue;
use switchover_core::codec::Codec;
use switchover_core::connector::{Quarantined, Target};
use switchover_core::digest;
use switchover_core::limits::LISTED_MAX;
use switchover_core::plan::{Plan, TablePlan};
use switchover_core::planner::layout::shown_locator;
use switchover_core::value::{OwnedValue, Value};

/// The quarantine's entries of a table, of which only those that are listed are kept.
#[derive(Default)]
pub(crate) struct Aside {
    /// The sum of all entries, and how many there are.
    pub(super) content: (u128, u64),
    /// Values, and rows that are out as a whole, each once.
    pub(crate) listed: u64,
    /// Rows that are out as a whole.
    pub(crate) rows: u64,
    /// All entries of the first that are listed.
    kept: Vec<Quarantined>,
    /// The last row that was out as a whole.
    last: Option<LocatorValue>,
}

impl Aside {
    /// Reads all that the target's quarantine has of a table.
    pub(crate) async fn of(target: &dyn Target, plan: &Plan, table: usize) -> Result<Aside> {
        let mut aside = Aside::default();
        target.quarantined(plan, table, &mut |entry| aside.add(entry)).await?;
        Ok(aside)
    }

    fn add(&mut self, entry: Quarantined) {
        let digest = quarantine_digest(&entry.locator, &entry.column, entry.value.borrow(), entry.whole_row);
        self.content.0 = self.content.0.wrapping_add(digest);
        self.content.1 += 1;
        if !entry.whole_row {
            self.listed += 1;
        } else if self.last.as_ref() != Some(&entry.locator) {
            self.listed += 1;
            self.rows += 1;
            self.last = Some(entry.locator.clone());
        }
        if self.listed <= LISTED_MAX as u64 {
            self.kept.push(entry);
        }
    }

    /// The first of them as the report shows them: of a row that is out as a whole the first of its values stands for all.
    pub(super) fn exceptions(&self, table: &TablePlan) -> Vec<Exception> {
        let same = |a: &Quarantined, b: &Quarantined| a.whole_row && b.whole_row && a.locator == b.locator;
        self.kept.chunk_by(same).map(|entries| exception(table, entries)).collect()
    }
}

/// The digest of an entry.
pub(super) fn quarantine_digest(locator: &[OwnedValue], column: &str, value: Value<'_>, whole: bool) -> u128 {
    let mut cells = Vec::new();
    for part in locator {
        let _ = Codec::Int.canonical_source(part.borrow(), &mut cells);
    }
    // Only JSON can be unfit: the codec of plain values always gives bytes.
    let _ = Codec::Int.canonical_source(Value::Text(column.as_bytes()), &mut cells);
    let _ = Codec::Int.canonical_source(value, &mut cells);
    cells.push(u8::from(whole));
    digest::of_bytes(&cells)
}

/// What the report says of a value, or of a row by its values.
fn exception(table: &TablePlan, entries: &[Quarantined]) -> Exception {
    let entry = &entries[0];
    let cells = || {
        let shown = |cell: &Quarantined| format!("{}={}", cell.column, cell.value.borrow().shown());
        entries.iter().map(shown).collect::<Vec<_>>()
    };
    let (column, value) = match entry.whole_row {
        true => (String::new(), cells().join(", ")),
        false => (entry.column.clone(), entry.value.borrow().shown()),
    };
    Exception {
        key: shown_locator(table, &entry.locator),
        column,
        value,
        done: if entry.whole_row {
            "row in quarantine".into()
        } else {
            "value in quarantine, NULL in its place".into()
        },
        why: entry.why.clone(),
    }
}
