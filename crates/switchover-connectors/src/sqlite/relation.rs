//! How relations are read: subqueries that stand where a table's name would.
//!
//! SQLite flattens them, so a range of rowids is still a step down the tree. Reading goes part by part
//! and never over an index: with one, the rows of a range would have to be sorted for each chunk.
//! Invariant: the same rows and cells stand behind [`readings`] and [`whole`].

use super::quote::{ident, qualified};
use switchover_core::chunk::{KeyRange, LocatorValue};
use switchover_core::connector::ReadTable;
use switchover_core::relation::{CellFrom, PART_COLUMN, Part, ROW_COLUMN, Relations};
use switchover_core::schema::Locator;
use switchover_core::value::OwnedValue;

/// One thing to read from, and how rows are found in it.
pub(super) struct Reading {
    /// What stands behind FROM.
    pub(super) from: String,
    /// How its rows are found.
    pub(super) locator: Locator,
    /// Its number, where a locator begins with it.
    pub(super) part: Option<i64>,
}

/// What a table is read from, in the order of locators.
pub(super) fn readings(relations: &Relations, table: &ReadTable) -> Vec<Reading> {
    let Some(relation) = relations.get(&table.name) else {
        let indexed = if table.locator == Locator::Ordinal { " NOT INDEXED" } else { "" };
        let from = format!("{}{indexed}", qualified("main", &table.name));
        return vec![Reading { from, locator: table.locator.clone(), part: None }];
    };
    let several = relation.parts.len() > 1;
    // Asked for by its key, which then is the way to its rows, it need not be found by its own locator.
    let by_key = !several && matches!(table.locator, Locator::Key(_));
    let reading = |(number, part): (i64, &Part)| Reading {
        from: format!("({})", select(part, several.then_some(number), !by_key)),
        locator: match &part.locator {
            _ if by_key => table.locator.clone(),
            Locator::RowId(_) => Locator::RowId(ident(ROW_COLUMN)),
            other => other.clone(),
        },
        part: several.then_some(number),
    };
    (0..).zip(&relation.parts).map(reading).collect()
}

/// All of a table at once, for a look that is not by chunks.
pub(super) fn whole(relations: &Relations, name: &str) -> String {
    let Some(relation) = relations.get(name) else { return qualified("main", name) };
    let several = relation.parts.len() > 1;
    let parts: Vec<String> = (0..)
        .zip(&relation.parts)
        .map(|(number, part)| {
            let ordinal = part.locator == Locator::Ordinal;
            select(part, several.then_some(number), ordinal)
        })
        .collect();
    format!("({})", parts.join(" UNION ALL "))
}

/// All of a table in the order of its rows, where that order is all that finds them.
pub(super) fn whole_in_order(relations: &Relations, name: &str, alias: &str) -> String {
    match relations.contains_key(name) {
        true => format!("{} {alias}", whole(relations, name)),
        false => format!("{} {alias} NOT INDEXED", qualified("main", name)),
    }
}

/// The name of a table's rowid in [`whole`].
pub(super) fn rowid(relations: &Relations, table: &str, name: &str) -> String {
    if relations.contains_key(table) { ident(ROW_COLUMN) } else { name.to_owned() }
}

fn select(part: &Part, number: Option<i64>, in_order: bool) -> String {
    let mut cells: Vec<String> = Vec::with_capacity(part.cells.len() + 2);
    cells.extend(number.map(|number| format!("{number} AS {}", ident(PART_COLUMN))));
    if let Locator::RowId(name) = &part.locator {
        cells.push(format!("{name} AS {}", ident(ROW_COLUMN)));
    }
    for cell in &part.cells {
        let from = match &cell.from {
            CellFrom::Column(name) => ident(name),
            // The line break ends a comment that the expression may end with.
            CellFrom::Computed(fragment) => format!("({}\n)", fragment.text),
        };
        cells.push(format!("{from} AS {}", ident(&cell.name)));
    }
    // The key of a table without rowids is an index, and the only way to its rows.
    let by_index = matches!(part.locator, Locator::Key(_));
    let indexed = if in_order && !by_index { " NOT INDEXED" } else { "" };
    let filter = part.filter.as_ref().map(|filter| format!(" WHERE ({}\n)", filter.text));
    format!(
        "SELECT {} FROM {}{indexed}{}",
        cells.join(", "),
        qualified("main", &part.table),
        filter.unwrap_or_default()
    )
}

/// The part of a range that lies in a reading; `None` when none of it does.
pub(super) fn within(part: Option<i64>, range: &KeyRange) -> Option<KeyRange> {
    let Some(part) = part else { return Some(range.clone()) };
    let bound = |bound: &Option<LocatorValue>| match bound.as_deref() {
        Some([OwnedValue::Int(number), rest @ ..]) => Some((*number, rest.to_vec())),
        _ => None,
    };
    let (after, upto) = (bound(&range.after), bound(&range.upto));
    if after.as_ref().is_some_and(|(number, _)| part < *number)
        || upto.as_ref().is_some_and(|(number, _)| part > *number)
    {
        return None;
    }
    let here =
        |bound: Option<(i64, LocatorValue)>| bound.filter(|(number, _)| *number == part).map(|(_, row)| row);
    Some(KeyRange { after: here(after), upto: here(upto) })
}
