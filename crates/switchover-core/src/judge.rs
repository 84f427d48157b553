//! What becomes of one row: it is clean, some of its cells go to quarantine, or all of it does.
//!
//! One pure function, asked by the plan (which rows are exceptions), the copy (what to write) and the
//! verification (what must be there), so that the three cannot disagree.

use crate::census::ColumnCensus;
use crate::chunk::LocatorValue;
use crate::codec::Codec;
use crate::datetime::Zone;
use crate::expr::Affinity;
use crate::limits::FIELD_BYTES_MAX;
use crate::plan::{ColumnPlan, LogicalType, OrphanPlan, TablePlan};
use crate::value::{Row, Value};
use std::collections::HashMap;

/// What becomes of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Every cell fits.
    Clean,
    /// These cells (by field, with the reason) do not fit; NULL stands in their place.
    CellsOut(Vec<(usize, String)>),
    /// This cell does not fit where NULL is not allowed: the row as a whole is out.
    RowOut(usize, String),
}

/// Judges the rows of one table: by their values, and by the plan's list of rows without a parent.
#[derive(Debug, Clone, Default)]
pub struct Judge {
    orphans: HashMap<LocatorValue, (Vec<usize>, String)>,
}

impl Judge {
    /// The judge of a table.
    pub fn new(table: &TablePlan) -> Judge {
        let field = |name: &String| table.columns.iter().position(|column| column.source == *name);
        let entry = |orphan: &OrphanPlan| {
            let fields = orphan.columns.iter().filter_map(field).collect();
            (orphan.locator.clone(), (fields, orphan.why.clone()))
        };
        Judge { orphans: table.orphans.iter().map(entry).collect() }
    }

    /// Judges a row whose fields are those of `columns`.
    pub fn row(&self, row: Row<'_>, columns: &[ColumnPlan], scratch: &mut Vec<u8>) -> Fate {
        let by_values = values(row, columns, scratch);
        if self.orphans.is_empty() {
            return by_values;
        }
        let Some((fields, why)) = self.orphans.get(&row.locator()) else { return by_values };
        let mut out = match by_values {
            Fate::RowOut(..) => return by_values,
            Fate::Clean if fields.is_empty() => return Fate::RowOut(0, why.clone()),
            Fate::CellsOut(_) if fields.is_empty() => return Fate::RowOut(0, why.clone()),
            Fate::Clean => Vec::new(),
            Fate::CellsOut(cells) => cells,
        };
        for field in fields {
            if row.value(*field) != Value::Null && !out.iter().any(|(other, _)| other == field) {
                out.push((*field, why.clone()));
            }
        }
        if out.is_empty() { Fate::Clean } else { Fate::CellsOut(out) }
    }
}

/// Judges a row by its values alone.
pub fn values(row: Row<'_>, columns: &[ColumnPlan], scratch: &mut Vec<u8>) -> Fate {
    let mut out = Vec::new();
    for (field, column) in columns.iter().enumerate() {
        let Some(why) = misfit(row.value(field), column, scratch) else { continue };
        if column.not_null || column.whole_row {
            return Fate::RowOut(field, why);
        }
        out.push((field, why));
    }
    if out.is_empty() { Fate::Clean } else { Fate::CellsOut(out) }
}

/// Every cell of a row that does not fit, also where one of them keeps the whole row out.
pub fn misfits(row: Row<'_>, columns: &[ColumnPlan], scratch: &mut Vec<u8>) -> Vec<(usize, String)> {
    let cells = columns.iter().enumerate();
    cells.filter_map(|(field, column)| Some((field, misfit(row.value(field), column, scratch)?))).collect()
}

/// Why a cell does not fit its column.
fn misfit(value: Value<'_>, column: &ColumnPlan, scratch: &mut Vec<u8>) -> Option<String> {
    match (value, column.not_null) {
        // The target computes it: what it computes is verified, not judged.
        _ if column.generated.is_some() => None,
        (Value::Null, true) => Some("NULL in a column that the target keeps free of it".into()),
        (value, _) if value.payload_bytes() > FIELD_BYTES_MAX => {
            Some(format!("{} bytes; a field ends at {FIELD_BYTES_MAX}", value.payload_bytes()))
        }
        (value, _) => column.codec.encode(value, scratch).err().map(|unfit| unfit.0),
    }
}

/// Whether the census alone proves that every cell fits, so that no row needs to be judged.
pub fn surely_fits(column: &ColumnPlan) -> bool {
    let census = &column.census;
    let only = |count: u64| count == census.present();
    let sizes = census.text_bytes_max.max(census.blob_bytes_max) as usize <= FIELD_BYTES_MAX;
    sizes && !(column.not_null && census.nulls > 0) && only_fitting(&column.codec, census, only)
}

fn only_fitting(codec: &Codec, census: &ColumnCensus, only: impl Fn(u64) -> bool) -> bool {
    match codec {
        Codec::Int => only(census.integers),
        Codec::Float => only(census.integers + census.reals) && census.integers_beyond_float == 0,
        Codec::Text { chars_max } => {
            only(census.texts)
                && census.texts_invalid == 0
                && census.texts_with_nul == 0
                && chars_max.is_none_or(|max| census.text_chars_max <= u64::from(max))
        }
        // What the census counts are characters before they are escaped.
        Codec::TextEscaped { chars_max } => only(census.texts) && chars_max.is_none(),
        Codec::TextBytes => only(census.texts),
        Codec::Bytes => only(census.blobs),
        Codec::BoolInt => only(census.integers) && census.integers_not_boolean == 0,
        Codec::BoolText { no, yes } => {
            only(census.texts)
                && match (no.as_str(), yes.as_str()) {
                    ("f", "t") => census.boolean_texts[0] == census.texts,
                    ("false", "true") => census.boolean_texts[1] == census.texts,
                    _ => census.texts == 0,
                }
        }
        Codec::Decimal { limits } => {
            let (before, behind) = census.decimal_digits;
            only(census.integers + census.reals)
                && census.reals_infinite == 0
                && limits.is_none_or(|(p, s)| {
                    // Digits are counted only for declared decimals; zeros may mean "not counted".
                    before <= u64::from(p.saturating_sub(s))
                        && behind <= u64::from(s)
                        && (before, behind) != (0, 0)
                        || census.present() == 0
                })
        }
        Codec::UuidText { form } => {
            only(census.texts) && (census.texts == 0 || census.uuid_form() == Some(*form))
        }
        Codec::UuidBytes => {
            only(census.blobs)
                && (census.blobs == 0 || (census.blob_bytes_max == 16 && census.blob_bytes_min == Some(16)))
        }
        Codec::Uuid5 { .. } => only(census.integers + census.texts),
        Codec::Date => only(census.texts) && census.dates == census.texts,
        Codec::Timestamp { format } => {
            only(census.texts)
                && (census.texts == 0
                    || (census.timestamps == census.texts && census.time.format() == Some(*format)))
        }
        Codec::Json => only(census.texts) && census.json_fit == census.texts,
        Codec::Native(native) => native.surely_fits(census),
        Codec::Reverse { of } => {
            only(census.typed) && (!matches!(**of, Codec::Decimal { .. }) || census.decimals_long == 0)
        }
        Codec::Any { .. } if census.reals_nan > 0 => false,
        Codec::Plain => census.texts_invalid + census.typed == 0,
        // Which texts a dump cannot hold, only the texts themselves say.
        Codec::JsonText => census.present() == 0,
        Codec::Any { affinity } => keeps(*affinity, census),
    }
}

/// Whether a column of that affinity would keep all values as they are.
pub fn keeps(affinity: Affinity, census: &ColumnCensus) -> bool {
    match affinity {
        Affinity::Blob => census.typed == 0,
        Affinity::Text => census.integers + census.reals + census.typed == 0,
        Affinity::Real => {
            census.integers + census.reals_negative_zero + census.texts_numeric + census.typed == 0
        }
        Affinity::Integer | Affinity::Numeric => {
            census.reals_integral + census.texts_numeric + census.typed == 0
        }
    }
}

/// Characters of a UUID as text.
const UUID_CHARS: u32 = 36;

/// Whether a codec makes values of a type: a plan that was edited may say otherwise.
pub fn makes(codec: &Codec, ty: LogicalType) -> bool {
    match (codec, ty) {
        (Codec::Native(native), ty) => native.makes(ty),
        (Codec::Int, LogicalType::Int8)
        | (Codec::Float, LogicalType::Float8)
        | (Codec::Bytes | Codec::TextBytes, LogicalType::Bytea)
        | (Codec::TextEscaped { chars_max: None }, LogicalType::Text)
        | (Codec::BoolInt | Codec::BoolText { .. }, LogicalType::Bool)
        | (Codec::UuidText { .. } | Codec::UuidBytes, LogicalType::Uuid)
        | (Codec::Date, LogicalType::Date)
        | (Codec::Uuid5 { text: false, .. }, LogicalType::Uuid)
        | (Codec::Uuid5 { text: true, .. }, LogicalType::Text | LogicalType::Char(UUID_CHARS))
        | (Codec::Json, LogicalType::Jsonb)
        | (Codec::Any { .. }, LogicalType::Declared)
        | (Codec::Any { affinity: Affinity::Text | Affinity::Numeric }, LogicalType::Jsonb)
        | (
            Codec::Plain,
            LogicalType::Any
            | LogicalType::Int8
            | LogicalType::Float8
            | LogicalType::Text
            | LogicalType::Bytea,
        )
        | (Codec::JsonText, LogicalType::Jsonb)
        | (Codec::Any { affinity: Affinity::Blob }, LogicalType::Any | LogicalType::Bytea)
        | (Codec::Any { affinity: Affinity::Text }, LogicalType::Text | LogicalType::Varchar(_))
        | (Codec::Any { affinity: Affinity::Integer }, LogicalType::Int8)
        | (Codec::Any { affinity: Affinity::Real }, LogicalType::Float8)
        | (Codec::Text { chars_max: None }, LogicalType::Text) => true,
        (Codec::Text { chars_max } | Codec::TextEscaped { chars_max }, LogicalType::Varchar(chars)) => {
            chars_max.is_some_and(|max| max <= chars)
        }
        (Codec::Text { chars_max: Some(_) }, LogicalType::Text) => true,
        (Codec::Uuid5 { text: true, .. }, LogicalType::Varchar(chars)) => chars >= UUID_CHARS,
        (Codec::Decimal { .. }, LogicalType::Numeric(None)) => true,
        (Codec::Decimal { limits }, LogicalType::Numeric(own)) => *limits == own,
        (Codec::Timestamp { format }, LogicalType::Timestamp) => format.zone == Zone::None,
        (Codec::Timestamp { format }, LogicalType::TimestampTz) => format.zone != Zone::None,
        (Codec::Reverse { of }, ty) => match (&**of, ty) {
            (Codec::Text { .. }, LogicalType::Text | LogicalType::Numeric(_)) => true,
            (of, ty) => makes(of, ty),
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::census::ColumnCensus;
    use crate::plan::Policy;

    #[test]
    fn a_field_ends_at_a_gigabyte() {
        let mut column = ColumnPlan {
            source: "v".into(),
            target: "v".into(),
            declared: "BLOB".into(),
            collation: "BINARY".into(),
            added: false,
            r#type: LogicalType::Bytea,
            codec: Codec::Bytes,
            not_null: false,
            whole_row: false,
            default: None,
            generated: None,
            generated_virtual: false,
            identity_next: None,
            identity_sequence: None,
            policy: Policy::Refuse,
            exceptions: 0,
            why: String::new(),
            census: ColumnCensus { blobs: 1, ..ColumnCensus::default() },
        };
        // Zeros that nobody reads take no memory.
        let zeros = vec![0; FIELD_BYTES_MAX + 1];
        let judged = |bytes| misfit(Value::Bytes(bytes), &column, &mut Vec::new());
        assert_eq!(judged(&zeros[1..]), None);
        assert_eq!(judged(&zeros), Some("1073741761 bytes; a field ends at 1073741760".to_owned()));
        column.census.blob_bytes_max = FIELD_BYTES_MAX as u64;
        assert!(surely_fits(&column));
        column.census.blob_bytes_max += 1;
        assert!(!surely_fits(&column), "the rows are looked at");
    }
}
