//! Indexes of what is within values: keys of JSON, elements of arrays, words of texts (GIN). Pure.
//!
//! A mapping asks for them by structure, so nothing of it is pasted into SQL but quoted names. What the
//! server would refuse once the rows are there (a language that it does not know, a text with more words
//! than it takes) is known here, and the index is left out with its reason.

use super::quote::{ident, literal};
use switchover_core::mapping::{IndexMap, LANGUAGES};
use switchover_core::plan::{ColumnPlan, LogicalType};

/// The words of one text take at most 1 MiB (`MAXSTRPOS`). A word takes up to its bytes, a length and a
/// position, padded: less than three times what it takes in the text.
const TEXT_BYTES_MAX: u64 = (1 << 20) / 3;

/// An element of an array in a GIN index ends here (`GinMaxItemSize` with 8 KiB pages, less its own header).
const ELEMENT_BYTES_MAX: u64 = 2_680;

/// The parts of the index as SQL, or why it is left out.
pub(super) fn parts(index: &IndexMap, columns: &[&ColumnPlan]) -> Result<Vec<String>, String> {
    match &index.full_text {
        Some(language) => words(language, columns).map(|sql| vec![sql]),
        None => columns.iter().map(|column| within(column)).collect(),
    }
}

fn within(column: &ColumnPlan) -> Result<String, String> {
    match column.r#type {
        LogicalType::Jsonb => Ok(ident(&column.target)),
        LogicalType::TextArray if column.census.text_bytes_max > ELEMENT_BYTES_MAX => Err(format!(
            "arrays of up to {} bytes: an element of a GIN index ends at {ELEMENT_BYTES_MAX}, and one may be longer",
            column.census.text_bytes_max
        )),
        LogicalType::TextArray => Ok(ident(&column.target)),
        other => Err(format!(
            "{} is {other}: a GIN index is over jsonb or text[], or with `full_text` over texts",
            column.target
        )),
    }
}

fn words(language: &str, columns: &[&ColumnPlan]) -> Result<String, String> {
    if !LANGUAGES.contains(&language) {
        return Err(format!(
            "'{language}' is no language that every server knows; they are {}",
            LANGUAGES.join(", ")
        ));
    }
    let is_text =
        |column: &&&ColumnPlan| matches!(column.r#type, LogicalType::Text | LogicalType::Varchar(_));
    if let Some(column) = columns.iter().find(|column| !is_text(column)) {
        return Err(format!("{} is {}, and words are in texts", column.target, column.r#type));
    }
    let bytes: u64 = columns.iter().map(|column| column.census.text_bytes_max).sum();
    if bytes > TEXT_BYTES_MAX {
        return Err(format!(
            "texts of up to {bytes} bytes; the words of one may take 1 MiB, which {TEXT_BYTES_MAX} bytes surely keep"
        ));
    }
    // Written as an application's query would be, the server finds the index for it.
    let text = match columns {
        [one] => ident(&one.target),
        several => {
            let each = |column: &&ColumnPlan| format!("coalesce({}, '')", ident(&column.target));
            several.iter().map(each).collect::<Vec<_>>().join(" || ' ' || ")
        }
    };
    Ok(format!("to_tsvector({}, {text})", literal(language)))
}
