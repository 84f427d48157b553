//! The row that a statement writes, as a guard must see it: with its columns' affinities and collations, and with
//! what REPLACE puts in the place of NULL. Pure text.
//!
//! In a trigger that runs before, `NEW.x` has the value that will be stored already, and the collation of its column,
//! but in a comparison it counts as a value of no affinity: `NEW.n = '5'` is false where `n = '5'` is true of the stored row. An
//! index's expression over it would have another value than in the index, and the row that goes would not be seen.
//! A scalar subquery of two parts has the affinity of its last part, and the value of the one that gives a row
//! (SQLite's `sqlite3ExprAffinity`).
//!
//! And `NEW.x` is NULL where REPLACE will put a default, and generated columns are computed of that NULL. So where a
//! default may come under them they are computed here once more.
//!
//! A text here must stay flat: SQLite up to 3.45 parses no more than a hundred levels, and a trigger that it cannot parse
//! keeps the application from its file.

use super::super::quote::ident;
use super::formula::Formula;
use super::shape::{Asked, Column, Condition, Shape};
use super::triggers::from;
use switchover_core::schema::Affinity;

/// That a column of the table equals the new row's, behind its collation.
pub(super) fn equals(shape: &Shape, name: &str) -> String {
    match refilled(shape, name) {
        // Either of the two: a row too many costs a look.
        Some(formula) => format!("IN (NEW.{}, {})", ident(name), value(shape, formula)),
        None => format!("= {}", plain(shape, name)),
    }
}

/// Conditions of which one holds if the new row has another value in a column than the old one.
pub(super) fn moved(shape: &Shape, name: &str, collation: &str) -> Vec<String> {
    let quoted = ident(name);
    let mut moved = vec![format!("{} IS NOT OLD.{quoted} COLLATE {collation}", plain(shape, name))];
    if refilled(shape, name).is_some() {
        moved.extend(shape.defaults.iter().map(|(name, _)| format!("NEW.{} IS NULL", ident(name))));
    }
    moved
}

/// The value of an index's expression over the new row; NULL where SQLite does not compute it, because the row is refused before,
/// or the index does not hold it. One that fails there would end a statement that ends otherwise without
/// the guard. By CASE: conditions in a WHERE are asked in any order, and both sides of an AND wherever it is no condition.
pub(super) fn indexed(shape: &Shape, formula: &Formula, predicate: Option<&Formula>, update: bool) -> String {
    let computed = value(shape, formula);
    if !formula.may_fail || (shape.asked.is_empty() && predicate.is_none()) {
        return computed;
    }
    let refused: String = shape.asked.iter().map(|asked| refused(shape, asked, update)).collect();
    let held =
        predicate.map_or(" ELSE".to_owned(), |held| format!(" WHEN {} THEN", whether(shape, "", held)));
    format!("CASE{refused}{held} {computed} END")
}

/// The branch for rows that a condition refuses. An UPDATE asks it where it sets one of its columns: a row that breaks it otherwise,
/// since before it was declared, may stay, and replace others.
fn refused(shape: &Shape, Asked { condition, by_number }: &Asked, update: bool) -> String {
    // Of -1 an INSERT cannot tell whether it is the number.
    let known = by_number.as_ref().filter(|_| !update);
    let known = known.map(|name| format!("NEW.{} <> -1 AND ", ident(name))).unwrap_or_default();
    let is_refused = match condition {
        Condition::NotNull(name) => {
            let moved = if update { format!(" AND OLD.{} IS NOT NULL", ident(name)) } else { String::new() };
            format!("NEW.{} IS NULL{moved}", ident(name))
        }
        Condition::Check(check) => {
            let moved = |name: &String| format!("NEW.{0} IS NOT OLD.{0} COLLATE BINARY", ident(name));
            let moved: Vec<String> = check.columns.iter().filter(|_| update).map(moved).collect();
            let moved = if update { format!("({}) AND ", moved.join(" OR ")) } else { String::new() };
            format!("{moved}{}", whether(shape, "NOT ", check))
        }
    };
    format!(" WHEN {known}{is_refused} THEN NULL")
}

/// Whether a condition, or what `not` makes of it, is true of the new row.
fn whether(shape: &Shape, not: &str, condition: &Formula) -> String {
    let text = format!("CASE WHEN {not}({}\n) THEN 1 END", condition.text);
    value(shape, &Formula { text, ..condition.clone() })
}

/// The value of an expression over the new row.
pub(super) fn value(shape: &Shape, formula: &Formula) -> String {
    let read = shape.columns.iter().filter(|column| formula.columns.contains(&column.name));
    let mut cells: Vec<String> = read
        .map(|column| {
            let new = plain(shape, &column.name);
            let cell = if formula.compares { typed(shape, column, &new) } else { new };
            format!("{cell} AS {}", ident(&column.name))
        })
        .collect();
    if cells.is_empty() {
        cells.push("1".to_owned());
    }
    // A table of one row, of the table's own name: the text means there what it means in the index.
    format!("(SELECT {}\n FROM (SELECT {}) AS {})", formula.text, cells.join(", "), ident(&shape.name))
}

/// A value as a column of an affinity stores it.
pub(super) fn stored(affinity: Affinity, value: &str) -> String {
    // What equals the number by the affinity is what the affinity converts.
    let number = |class: &str| {
        let like = format!("(SELECT {value} UNION ALL SELECT CAST(NULL AS NUMERIC) WHERE 0)");
        format!("CASE WHEN {like} = CAST({value} AS {class}) THEN CAST({value} AS {class}) ELSE {value} END")
    };
    match affinity {
        Affinity::Blob => value.to_owned(),
        Affinity::Text => {
            let is_number = format!("typeof({value}) IN ('integer', 'real')");
            format!("CASE WHEN {is_number} THEN CAST({value} AS TEXT) ELSE {value} END")
        }
        Affinity::Integer | Affinity::Numeric => number("NUMERIC"),
        Affinity::Real => number("REAL"),
    }
}

/// A column's value in the row as it will be stored, where no default comes under a generated one.
fn plain(shape: &Shape, name: &str) -> String {
    let new = format!("NEW.{}", ident(name));
    match shape.defaults.iter().find(|(column, _)| column == name) {
        Some((_, default)) => format!("ifnull({new}, {default})"),
        None => new,
    }
}

/// The expression of a generated column under which a default may come.
fn refilled<'a>(shape: &'a Shape, name: &str) -> Option<&'a Formula> {
    shape.columns.iter().find(|column| column.name == name)?.refilled.as_ref()
}

/// A value with the affinity and the collation of a column.
fn typed(shape: &Shape, column: &Column, value: &str) -> String {
    let like = format!("SELECT {} FROM {} WHERE 0", ident(&column.name), from(shape));
    format!("(SELECT {value} UNION ALL {like}) COLLATE {}", ident(&column.collation))
}
