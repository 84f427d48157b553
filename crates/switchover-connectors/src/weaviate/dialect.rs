//! What Weaviate can say of a source's schema: the planner's view of it. Pure.
//!
//! A server of objects: it knows types and indexes, and no rules between rows. Every number is binary64 there, so
//! integers beyond 2^53 become the text of their digits; times are instants, so a time without a zone is kept as
//! one of UTC and comes back as it was written; JSON stays the text that it is. What it cannot hold at all (numbers
//! that are not finite, empty blobs, text that is no UTF-8) is refused or quarantined by policy.
//!
//! An index is made only where the source has one, or the mapping asks for it: each costs time and memory ([`costs`]).

use super::{costs, names};
use switchover_core::census::ColumnCensus;
use switchover_core::codec::Codec;
use switchover_core::connector::{Choice, Dialect, Named, Objects, ScopeColumn};
use switchover_core::expr::Expr;
use switchover_core::mapping::{ColumnMap, IndexMap};
use switchover_core::native::Native;
use switchover_core::plan::{ColumnPlan, Element, LogicalType, TablePlan};
use switchover_core::schema::{Column, Generated, Index, View};
use switchover_core::typing;

/// Properties of one collection. The server sets no limit; each takes a bucket of files of its own.
const COLUMNS_MAX: usize = 1000;

const NO_RULES: &str = "the server keeps objects, and no rules about them";

/// What an index of a property finds; the word stands behind the property's name in an index's parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finds {
    /// Objects with a value.
    Equal,
    /// Objects with a value in a range.
    Range,
    /// Objects with words in a text.
    Words,
}

impl Finds {
    const ALL: [(Finds, &str); 3] =
        [(Finds::Equal, "filterable"), (Finds::Range, "range filters"), (Finds::Words, "searchable")];

    /// A part of an index, as the plan holds it.
    fn part(self, property: &str) -> String {
        let word = Finds::ALL.iter().find(|(finds, _)| *finds == self).map_or("", |(_, word)| word);
        format!("{property} {word}")
    }

    /// The property of a part, and what is found.
    pub(super) fn of_part(part: &str) -> Option<(&str, Finds)> {
        let (property, word) = part.split_once(' ')?;
        Finds::ALL.iter().find(|(_, known)| *known == word).map(|(finds, _)| (property, *finds))
    }
}

/// The dialect of a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct WeaviateDialect;

fn ranged(ty: LogicalType) -> bool {
    matches!(
        ty,
        LogicalType::Int8
            | LogicalType::Float8
            | LogicalType::Date
            | LogicalType::Timestamp
            | LogicalType::TimestampTz
    )
}

/// Whether the server has lists of such elements. Of integers it has one width.
fn is_list(element: Element) -> bool {
    matches!(
        element,
        Element::Int8
            | Element::Float8
            | Element::Bool
            | Element::Uuid
            | Element::Timestamp
            | Element::TimestampTz
    )
}

/// Digits of a second's fraction that are kept.
const FRACTION_DIGITS: u8 = 6;

/// Bytes of the longest text from which on a text counts as long: below it an index is little beside the object.
const LONG_TEXT_BYTES: u64 = 100;

impl Objects for WeaviateDialect {
    fn parts(&self, column: &ColumnPlan, map: &ColumnMap) -> Result<Vec<String>, (&'static str, String)> {
        let ty = column.r#type;
        let texts = super::schema::data_type(ty).starts_with("text");
        let none = matches!(ty, LogicalType::Bytea | LogicalType::Vector | LogicalType::Jsonb);
        let refused = |key, what: &str| Err((key, format!("a property of type {ty} {what}")));
        let mut parts = Vec::new();
        if map.tokenization.is_some() && (!texts || none) {
            return refused("tokenization", "has no words");
        }
        if map.filterable == Some(true) {
            match none {
                true => return refused("filterable", "has no index on the server"),
                false => parts.push(Finds::Equal.part(&column.target)),
            }
        }
        if map.searchable == Some(true) {
            match texts && !none {
                true => parts.push(Finds::Words.part(&column.target)),
                false => return refused("searchable", "has no words to find"),
            }
        }
        if map.range == Some(true) {
            match ranged(ty) {
                true => parts.push(Finds::Range.part(&column.target)),
                false => return refused("range", "is in no range: numbers and times are"),
            }
        }
        Ok(parts)
    }

    fn keeps(&self, part: &str, column: &ColumnPlan, map: &ColumnMap) -> bool {
        let Some((_, finds)) = Finds::of_part(part).filter(|(property, _)| *property == column.target) else {
            return true;
        };
        let asked = match finds {
            Finds::Equal => map.filterable,
            Finds::Words => map.searchable,
            Finds::Range => map.range,
        };
        asked != Some(false)
    }

    fn type_name(&self, ty: LogicalType) -> &'static str {
        match ty {
            LogicalType::Vector => "vector",
            ty => super::schema::data_type(ty),
        }
    }

    fn cost(&self, part: &str, column: &ColumnPlan) -> Option<String> {
        let (_, finds) = Finds::of_part(part).filter(|(property, _)| *property == column.target)?;
        let text =
            matches!(column.r#type, LogicalType::Text | LogicalType::TextArray | LogicalType::Numeric(_));
        let long = text && column.census.text_bytes_max >= LONG_TEXT_BYTES;
        Some(match finds {
            Finds::Words if long => costs::shown(costs::WORDS_OF_LONG, costs::LONG),
            Finds::Words => costs::shown(costs::WORDS_OF_SHORT, ""),
            Finds::Equal if long => costs::shown(costs::LONG_AS_A_WHOLE, costs::LONG),
            Finds::Equal if text => costs::shown(costs::SHORT_AS_A_WHOLE, ""),
            Finds::Equal => costs::shown(costs::OTHER_AS_A_WHOLE, ""),
            Finds::Range => costs::shown(costs::RANGES, ""),
        })
    }
}

impl Dialect for WeaviateDialect {
    fn objects(&self) -> Option<&dyn Objects> {
        Some(self)
    }

    fn identifier_bytes_max(&self) -> usize {
        names::PROPERTY_BYTES_MAX
    }

    fn columns_max(&self) -> usize {
        COLUMNS_MAX
    }

    fn takes(&self, logical: LogicalType, codec: &Codec) -> bool {
        use LogicalType::{
            Bool, Bytea, Date, Float8, Int8, Numeric, Text, TextArray, Timestamp, TimestampTz, Uuid, Vector,
        };
        match codec {
            Codec::Native(native) => matches!(
                native,
                Native::Unicode
                    | Native::Safe
                    | Native::Digits
                    | Native::Finite
                    | Native::SomeBytes
                    | Native::TextArray { nulls: false, .. }
                    | Native::List { nulls: false, .. }
                    | Native::Nested { .. }
                    | Native::Vector { .. }
                    | Native::Moment { .. }
            ),
            Codec::Any { .. } | Codec::Reverse { .. } | Codec::Plain | Codec::Uuid5 { text: true, .. } => {
                false
            }
            _ => matches!(
                logical,
                Bool | Bytea
                    | Date
                    | Float8
                    | Int8
                    | Numeric(_)
                    | Text
                    | TextArray
                    | Timestamp
                    | TimestampTz
                    | Uuid
                    | Vector
            ),
        }
    }

    fn place(&self, _: &str) -> (String, &'static str) {
        ("the server".to_owned(), "name another server, or remove what is there")
    }

    fn runs_share(&self) -> bool {
        true
    }

    fn folded(&self, name: &str) -> String {
        name.to_ascii_lowercase()
    }

    fn named(&self, what: Named, name: &str) -> String {
        names::named(what, name)
    }

    fn name_fault(&self, what: Named, name: &str) -> Option<String> {
        names::fault(what, name)
    }

    fn is_reserved_name(&self, name: &str) -> bool {
        name.starts_with(super::ledger::PREFIX)
    }

    fn names_constraints(&self) -> bool {
        false
    }

    fn keeps_no_rules(&self) -> Option<&'static str> {
        Some(NO_RULES)
    }

    fn choose(&self, column: &Column, census: &ColumnCensus) -> Choice {
        typing::choose(column, census)
    }

    fn adapt(&self, choice: Choice, census: &ColumnCensus) -> Choice {
        let Choice { r#type, codec, why } = choice;
        let native = |r#type, native, more: &str| {
            let why = if more.is_empty() { why.clone() } else { format!("{why}; {more}") };
            Choice { r#type, codec: Codec::Native(native), why }
        };
        let numbers = census.integers + census.reals;
        match (r#type, &codec) {
            (LogicalType::Int8, Codec::Int) | (LogicalType::Numeric(_), Codec::Decimal { .. })
                if census.integers == numbers && census.integers_beyond_float > 0 =>
            {
                let why =
                    "some are beyond 2^53, and the server keeps numbers as doubles: the text of their digits";
                native(LogicalType::Text, Native::Digits, why)
            }
            (LogicalType::Int8, Codec::Int) => native(LogicalType::Int8, Native::Safe, ""),
            (LogicalType::Numeric(_), Codec::Decimal { .. }) if census.integers == numbers && numbers > 0 => {
                native(LogicalType::Int8, Native::Safe, "")
            }
            (LogicalType::Numeric(_), Codec::Decimal { .. }) if census.integers_beyond_float == 0 => {
                native(LogicalType::Float8, Native::Finite, "as a double, which the source has too")
            }
            (LogicalType::Numeric(_), Codec::Decimal { limits }) => {
                let why = format!("{why}; the server has doubles only: the text of their digits");
                Choice { r#type: LogicalType::Numeric(None), codec: Codec::Decimal { limits: *limits }, why }
            }
            (LogicalType::Float8, Codec::Float) => native(LogicalType::Float8, Native::Finite, ""),
            (LogicalType::Text | LogicalType::Varchar(_), Codec::Text { .. }) => {
                native(LogicalType::Text, Native::Unicode, "")
            }
            (LogicalType::Char(_), _) => native(LogicalType::Text, Native::Unicode, ""),
            (LogicalType::Bytea, Codec::Bytes) => native(LogicalType::Bytea, Native::SomeBytes, ""),
            (LogicalType::Jsonb, Codec::Native(Native::Nested { .. })) => Choice { r#type, codec, why },
            (LogicalType::Jsonb | LogicalType::Json, _) => {
                native(LogicalType::Text, Native::Unicode, "as the text that it is")
            }
            (LogicalType::TextArray, _) => {
                native(r#type, Native::TextArray { nulls: false, chars: None }, "")
            }
            (LogicalType::Array(element), _) if is_list(element) => {
                let times = matches!(element, Element::Timestamp | Element::TimestampTz);
                let more = if times { "the server's dates are instants" } else { "by value" };
                native(
                    r#type,
                    Native::List { of: element.of(), digits: FRACTION_DIGITS, utc: false, nulls: false },
                    more,
                )
            }
            (LogicalType::Vector, _) => {
                let why = format!("{why}; {}", costs::of_vectors());
                Choice { r#type, codec, why }
            }
            (LogicalType::Timestamp, _) => {
                let why = format!("{why}; the server's dates are instants, so it is kept as one of UTC");
                Choice { r#type, codec, why }
            }
            (LogicalType::Date, _) => {
                let why = format!("{why}; the server's dates are instants: midnight of UTC");
                Choice { r#type, codec, why }
            }
            _ => Choice { r#type, codec, why },
        }
    }

    fn translate_default(&self, _: &Column, _: LogicalType) -> Result<String, String> {
        Err(NO_RULES.into())
    }

    fn translate_generated(
        &self,
        _: &Generated,
        _: LogicalType,
        _: &[ScopeColumn],
    ) -> Result<String, String> {
        Err("the server computes nothing: the values are moved as they are".into())
    }

    fn translate_check(&self, _: &Expr, _: &[ScopeColumn]) -> Result<String, String> {
        Err(NO_RULES.into())
    }

    fn translate_index(
        &self,
        index: &Index,
        scope: &[ScopeColumn],
    ) -> Result<(Vec<String>, Option<String>), String> {
        if index.unique {
            return Err(NO_RULES.into());
        }
        let mut parts = Vec::new();
        for part in &index.parts {
            let Expr::Column(name) = &part.expr else {
                return Err("the server indexes properties, and no expressions".into());
            };
            let column = scope.iter().find(|column| column.source.eq_ignore_ascii_case(name));
            let column = column.ok_or_else(|| format!("the column {name} is not moved"))?;
            match column.r#type {
                LogicalType::Bytea | LogicalType::Vector | LogicalType::Jsonb => {
                    return Err(format!("the server has no index of a property of type {}", column.r#type));
                }
                ty if ranged(ty) => {
                    parts.extend([Finds::Equal.part(&column.target), Finds::Range.part(&column.target)])
                }
                _ => parts.push(Finds::Equal.part(&column.target)),
            }
        }
        Ok((parts, None))
    }

    fn special_index(&self, index: &IndexMap, columns: &[&ColumnPlan]) -> Result<Vec<String>, String> {
        let finds = if index.full_text.is_some() { Finds::Words } else { Finds::Equal };
        let texts = |column: &&&ColumnPlan| {
            matches!(column.r#type, LogicalType::Text | LogicalType::Numeric(_) | LogicalType::TextArray)
        };
        if let Some(column) = columns.iter().find(|column| finds == Finds::Words && !texts(column)) {
            return Err(format!("\"{}\" is no text, so it has no words to find", column.target));
        }
        Ok(columns.iter().map(|column| finds.part(&column.target)).collect())
    }

    fn translate_view(&self, _: &View, _: &[TablePlan], _: &str) -> Result<String, String> {
        Err("the server has no views".into())
    }
}
