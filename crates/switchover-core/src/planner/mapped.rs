//! What a mapping says of single columns, taken up by the plan: types, and texts that do not fit.
//!
//! A type that was asked for is taken whatever the values are; the codec is the one that suits most
//! of them, and the census then names those that do not fit. Nothing is converted: a text of digits
//! is no integer. Both sides of a foreign key keep their texts in one form, or they would not meet.

use super::Draft;
use crate::census::ColumnCensus;
use crate::codec::Codec;
use crate::connector::{Choice, Dialect, Named};
use crate::datetime::{Fraction, Separator, TimeFormat, Zone};
use crate::expr::Affinity;
use crate::ids::Namespace;
use crate::mapping::{ColumnMap, NaiveTimes};
use crate::native::{Native, VectorForm};
use crate::plan::{ColumnPlan, Fate, LogicalType, PlanOptions, Policy, TablePlan};
use crate::schema::Catalog;
use crate::shape::{Kind, Shape};
use crate::uuid_text::UuidForm;

/// Digits of a second's fraction that the target's times keep.
const FRACTION_DIGITS: u8 = 6;

/// The codec for a type that was asked for.
pub(super) fn choice(ty: LogicalType, map: &ColumnMap, census: &ColumnCensus) -> Choice {
    let asked = "the mapping asks for this type".to_owned();
    if matches!(ty, LogicalType::Timestamp | LogicalType::TimestampTz)
        && (map.naive_times.is_some() || map.epoch.is_some())
    {
        let (zoned, utc) = (ty == LogicalType::TimestampTz, map.naive_times.is_some_and(NaiveTimes::is_utc));
        let codec = Codec::Native(Native::Moment {
            zoned,
            digits: FRACTION_DIGITS,
            utc,
            epoch: map.epoch,
            cut: false,
            back: None,
        });
        let utc = if utc { "; without a zone they are UTC" } else { "" };
        let unit = map.epoch.map(|unit| format!("; numbers count {} since 1970", unit.word()));
        let why = format!("{asked}; times compare by value{utc}{}", unit.unwrap_or_default());
        return Choice { r#type: ty, codec, why };
    }
    let codec = match ty {
        LogicalType::Bool => boolean(census),
        LogicalType::Int8 => Codec::Int,
        LogicalType::Float8 => Codec::Float,
        LogicalType::Numeric(limits) => Codec::Decimal { limits },
        LogicalType::Text => Codec::Text { chars_max: None },
        LogicalType::Varchar(chars) => Codec::Text { chars_max: Some(chars) },
        LogicalType::Bytea if census.texts > census.blobs => Codec::TextBytes,
        LogicalType::Bytea => Codec::Bytes,
        LogicalType::Uuid => uuid(census),
        LogicalType::Date => Codec::Date,
        LogicalType::Timestamp => Codec::Timestamp { format: time(census, Zone::None) },
        LogicalType::TimestampTz => Codec::Timestamp { format: time(census, Zone::Offset) },
        LogicalType::Jsonb => Codec::Json,
        LogicalType::Int2 => Codec::Native(Native::Int { bytes: 2 }),
        LogicalType::Int4 => Codec::Native(Native::Int { bytes: 4 }),
        LogicalType::Float4 => Codec::Native(Native::Float4),
        LogicalType::Char(chars) => Codec::Native(Native::Padded { chars }),
        LogicalType::Json => Codec::Native(Native::JsonText),
        LogicalType::Time => Codec::Native(Native::TimeOfDay { digits: 6 }),
        LogicalType::TextArray => Codec::Native(Native::TextArray { nulls: true, chars: None }),
        LogicalType::Array(element) => Codec::Native(Native::array(element)),
        LogicalType::Inet => Codec::Native(Native::Inet),
        LogicalType::Cidr => Codec::Native(Native::Cidr),
        LogicalType::Macaddr => Codec::Native(Native::Macaddr),
        LogicalType::Interval => Codec::Native(Native::Interval { epoch: map.epoch }),
        LogicalType::Vector => {
            let json = census.texts > census.blobs;
            let from = if json { VectorForm::Json } else { VectorForm::Float32 };
            // How long they are the engine counts, which looks at the rows.
            Codec::Native(Native::Vector { from, length: None })
        }
        LogicalType::Declared | LogicalType::Any => Codec::Any { affinity: Affinity::Blob },
    };
    Choice { r#type: ty, codec, why: asked }
}

/// The codec for JSON texts of a declared form.
pub(super) fn nested(
    table: &str,
    column: &str,
    options: &PlanOptions,
    dialect: &dyn Dialect,
    draft: &mut Draft,
) -> Choice {
    let map = options.mapping.column(table, column).cloned().unwrap_or_default();
    let shape = map.nested.unwrap_or(Shape::Kind(Kind::Text));
    let mut faults = Vec::new();
    if map.r#type.is_some_and(|ty| ty != LogicalType::Jsonb) {
        faults.push("an object has no `type` beside it".to_owned());
    }
    match shape.properties() {
        Some(_) => names(&shape, dialect, &mut faults),
        None => faults.push("it is `{ … }` for an object, or `[{ … }]` for a list of objects".to_owned()),
    }
    for why in faults {
        let key = super::object::at(&options.mapping, table, &["column", column, "nested"]);
        draft.refuse(
            table,
            column,
            format!("{key}: {why}"),
            "leave the key out: the JSON is kept as the text that it is",
        );
    }
    let why = "an object of the declared form, by value: the order of keys and white space do not come back";
    Choice { r#type: LogicalType::Jsonb, codec: Codec::Native(Native::Nested { shape }), why: why.into() }
}

/// Names of properties that the target would not take, however deep.
fn names(shape: &Shape, dialect: &dyn Dialect, faults: &mut Vec<String>) {
    let Some(properties) = shape.properties() else { return };
    if properties.is_empty() {
        faults.push("an object without a property".to_owned());
    }
    for (name, inner) in properties {
        // Inside an object nothing is called so by the server itself.
        let own = dialect.name_fault(Named::Column, &format!("{name}_"));
        faults.extend(own.map(|_| format!("\"{name}\" is no name there: a property's name begins with a small letter or _ and goes on with letters, digits and _")));
        names(inner, dialect, faults);
    }
}

/// The codec for a column of ids that become UUIDs: the target's own type for them, or text.
pub(super) fn ids(namespace: Namespace, dialect: &dyn Dialect) -> Choice {
    let own = Codec::Uuid5 { namespace, text: false };
    let (r#type, codec) = match dialect.takes(LogicalType::Uuid, &own) {
        true => (LogicalType::Uuid, own),
        false => (LogicalType::Text, Codec::Uuid5 { namespace, text: true }),
    };
    Choice { r#type, codec, why: ids_why(namespace) }
}

/// The codec for the ids as they were: whatever their column was declared, they are texts or integers.
pub(super) fn originals(census: &ColumnCensus) -> Choice {
    let (r#type, codec) = match census.integers > census.texts {
        true => (LogicalType::Int8, Codec::Int),
        false => (LogicalType::Text, Codec::Text { chars_max: None }),
    };
    Choice { r#type, codec, why: "the ids as they were".into() }
}

/// What the plan says of such a column.
pub(super) fn ids_why(namespace: Namespace) -> String {
    format!(
        "its ids become UUIDs: those that are such themselves, the rest UUIDv5 in the namespace {namespace}"
    )
}

fn boolean(census: &ColumnCensus) -> Codec {
    let [letters, words, _] = census.boolean_texts;
    let text = |no: &str, yes: &str| Codec::BoolText { no: no.into(), yes: yes.into() };
    match census.integers >= letters + words {
        true => Codec::BoolInt,
        false if letters > words => text("f", "t"),
        false => text("false", "true"),
    }
}

/// How UUIDs are written, by what most of them are.
pub(super) fn uuid(census: &ColumnCensus) -> Codec {
    if census.blobs > census.texts {
        return Codec::UuidBytes;
    }
    // The first of the most frequent (`max_by_key` would give the last): digits alone are the same in both cases, and are
    // counted as lower.
    let forms = [UuidForm::LowerDashed, UuidForm::UpperDashed, UuidForm::LowerPlain, UuidForm::UpperPlain];
    let most = forms.into_iter().zip(census.uuids).rev().max_by_key(|(_, count)| *count);
    Codec::UuidText { form: most.map_or(UuidForm::LowerDashed, |(form, _)| form) }
}

/// The format of all times, or the one that SQLite's own functions write.
fn time(census: &ColumnCensus, zone: Zone) -> TimeFormat {
    let own = census.time.format().filter(|format| (format.zone == Zone::None) == (zone == Zone::None));
    own.unwrap_or(TimeFormat { separator: Separator::Space, fraction: Fraction::OmitZero(6), zone })
}

/// By the policies `bytea` and `escape`: columns with texts that the target's text cannot hold take
/// another form, and with them the columns that they refer to or are referred to by.
pub(super) fn texts(catalog: &Catalog, tables: &mut [TablePlan], draft: &mut Draft) {
    let wants = |column: &ColumnPlan| {
        let needs = column.census.texts_with_nul > 0 || column.census.texts_invalid > 0;
        let plain = matches!(column.codec, Codec::Text { .. });
        (needs && plain && matches!(column.policy, Policy::Bytea | Policy::Escape)).then_some(column.policy)
    };
    let mut todo: Vec<(usize, usize, Policy)> = Vec::new();
    for (t, table) in tables.iter().enumerate() {
        for (c, column) in table.columns.iter().enumerate() {
            todo.extend(wants(column).map(|policy| (t, c, policy)));
        }
    }
    let mut by_own = todo.len();
    while let Some((t, c, policy)) = (!todo.is_empty()).then(|| todo.remove(0)) {
        let own = by_own > 0;
        by_own = by_own.saturating_sub(1);
        let table = tables[t].source.clone();
        let column = &mut tables[t].columns[c];
        let Codec::Text { chars_max } = column.codec else { continue };
        let because = if own {
            "some texts hold NUL characters or invalid UTF-8"
        } else {
            "a foreign key joins it to such a column"
        };
        let how = if policy == Policy::Bytea {
            (column.r#type, column.codec) = (LogicalType::Bytea, Codec::TextBytes);
            "the bytes of its texts"
        } else {
            column.codec = Codec::TextEscaped { chars_max };
            "its texts with escapes (\u{241b}00 is NUL, \u{241b}\u{241b} is \u{241b})"
        };
        column.why = format!("{how}: {because}");
        let name = format!("{table}.{}", column.source);
        draft.outcome("column", name, Fate::Changed, column.why.clone());
        let source = column.source.clone();
        todo.extend(joined(catalog, tables, &table, &source).into_iter().map(|(t, c)| (t, c, policy)));
    }
}

/// The columns that a foreign key joins to this one.
fn joined(catalog: &Catalog, tables: &[TablePlan], table: &str, column: &str) -> Vec<(usize, usize)> {
    let place = |table: &str, column: &str| {
        let t = tables.iter().position(|plan| plan.source == table)?;
        Some((t, tables[t].columns.iter().position(|plan| plan.source == column)?))
    };
    let mut found = Vec::new();
    for child in &catalog.tables {
        for key in &child.foreign_keys {
            for (own, parent) in key.columns.iter().zip(&key.parent_columns) {
                if child.name == table && own == column {
                    found.extend(place(&key.parent, parent));
                }
                if key.parent == table && parent == column {
                    found.extend(place(&child.name, own));
                }
            }
        }
    }
    found
}
