//! The types of a plan's columns, free of any store's spelling, and their one text.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A column's type, free of any store's spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogicalType {
    /// Truth values.
    Bool,
    /// 64-bit integers.
    Int8,
    /// Binary64.
    Float8,
    /// Decimal numbers, with precision and scale where limited.
    Numeric(Option<(u32, u32)>),
    /// Text.
    Text,
    /// Text of at most so many characters.
    Varchar(u32),
    /// Bytes.
    Bytea,
    /// UUIDs.
    Uuid,
    /// Dates.
    Date,
    /// Timestamps without a zone.
    Timestamp,
    /// Instants.
    TimestampTz,
    /// JSON by value.
    Jsonb,
    /// 16-bit integers.
    Int2,
    /// 32-bit integers.
    Int4,
    /// Binary32.
    Float4,
    /// Text of so many characters, padded with spaces.
    Char(u32),
    /// JSON as text.
    Json,
    /// Times of day.
    Time,
    /// Arrays of texts.
    TextArray,
    /// Arrays of other values.
    Array(Element),
    /// Addresses of the Internet Protocol, with the bits that count.
    Inet,
    /// Networks of the Internet Protocol.
    Cidr,
    /// Addresses of network cards, of 6 bytes.
    Macaddr,
    /// Spans of time ([`crate::interval`]).
    Interval,
    /// Vectors of binary32, as stores for nearness search have them.
    Vector,
    /// As the source declares it ([`super::ColumnPlan::declared`]), where both stores are of one kind.
    Declared,
    /// Values of every storage class, in stores that type values and not columns.
    Any,
}

/// What an array holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// Texts, of at most so many characters where limited.
    Varchar(Option<u32>),
    /// 16-bit integers.
    Int2,
    /// 32-bit integers.
    Int4,
    /// 64-bit integers.
    Int8,
    /// Truth values.
    Bool,
    /// Binary64.
    Float8,
    /// Decimal numbers, with precision and scale where limited.
    Numeric(Option<(u32, u32)>),
    /// UUIDs.
    Uuid,
    /// Timestamps without a zone.
    Timestamp,
    /// Instants.
    TimestampTz,
}

impl Element {
    /// The type of a column that holds one.
    pub fn of(self) -> LogicalType {
        match self {
            Element::Varchar(None) => LogicalType::Text,
            Element::Varchar(Some(chars)) => LogicalType::Varchar(chars),
            Element::Int2 => LogicalType::Int2,
            Element::Int4 => LogicalType::Int4,
            Element::Int8 => LogicalType::Int8,
            Element::Bool => LogicalType::Bool,
            Element::Float8 => LogicalType::Float8,
            Element::Numeric(limits) => LogicalType::Numeric(limits),
            Element::Uuid => LogicalType::Uuid,
            Element::Timestamp => LogicalType::Timestamp,
            Element::TimestampTz => LogicalType::TimestampTz,
        }
    }
}

impl fmt::Display for LogicalType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogicalType::Bool => f.write_str("boolean"),
            LogicalType::Int8 => f.write_str("bigint"),
            LogicalType::Float8 => f.write_str("double precision"),
            LogicalType::Numeric(None) => f.write_str("numeric"),
            LogicalType::Numeric(Some((precision, scale))) => write!(f, "numeric({precision},{scale})"),
            LogicalType::Text => f.write_str("text"),
            LogicalType::Varchar(chars) => write!(f, "varchar({chars})"),
            LogicalType::Bytea => f.write_str("bytea"),
            LogicalType::Uuid => f.write_str("uuid"),
            LogicalType::Date => f.write_str("date"),
            LogicalType::Timestamp => f.write_str("timestamp"),
            LogicalType::TimestampTz => f.write_str("timestamptz"),
            LogicalType::Jsonb => f.write_str("jsonb"),
            LogicalType::Int2 => f.write_str("smallint"),
            LogicalType::Int4 => f.write_str("integer"),
            LogicalType::Float4 => f.write_str("real"),
            LogicalType::Char(chars) => write!(f, "char({chars})"),
            LogicalType::Json => f.write_str("json"),
            LogicalType::Time => f.write_str("time"),
            LogicalType::TextArray => f.write_str("text[]"),
            LogicalType::Array(Element::Varchar(None)) => f.write_str("varchar[]"),
            LogicalType::Array(element) => write!(f, "{}[]", element.of()),
            LogicalType::Inet => f.write_str("inet"),
            LogicalType::Cidr => f.write_str("cidr"),
            LogicalType::Macaddr => f.write_str("macaddr"),
            LogicalType::Interval => f.write_str("interval"),
            LogicalType::Vector => f.write_str("vector"),
            LogicalType::Declared => f.write_str("declared"),
            LogicalType::Any => f.write_str("any"),
        }
    }
}

impl FromStr for LogicalType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(element) = text.strip_suffix("[]") {
            return Ok(match element.trim() {
                "text" => LogicalType::TextArray,
                "varchar" => LogicalType::Array(Element::Varchar(None)),
                other => match other.parse()? {
                    LogicalType::Varchar(chars) => LogicalType::Array(Element::Varchar(Some(chars))),
                    LogicalType::Int2 => LogicalType::Array(Element::Int2),
                    LogicalType::Int4 => LogicalType::Array(Element::Int4),
                    LogicalType::Int8 => LogicalType::Array(Element::Int8),
                    LogicalType::Bool => LogicalType::Array(Element::Bool),
                    LogicalType::Float8 => LogicalType::Array(Element::Float8),
                    LogicalType::Numeric(limits) => LogicalType::Array(Element::Numeric(limits)),
                    LogicalType::Uuid => LogicalType::Array(Element::Uuid),
                    LogicalType::Timestamp => LogicalType::Array(Element::Timestamp),
                    LogicalType::TimestampTz => LogicalType::Array(Element::TimestampTz),
                    _ => return Err(format!("'{text}' is no column type of a plan")),
                },
            });
        }
        let (name, arguments) = match text.split_once('(') {
            Some((name, rest)) => (name, Some(rest.strip_suffix(')').ok_or("a closing bracket is missing")?)),
            None => (text, None),
        };
        let numbers: Vec<u32> = match arguments {
            Some(list) => list
                .split(',')
                .map(|number| number.trim().parse::<u32>().map_err(|_| format!("'{number}' is no length")))
                .collect::<Result<_, _>>()?,
            None => Vec::new(),
        };
        // PostgreSQL's other names of the same types.
        let name = match name.trim() {
            "bool" => "boolean",
            "int2" => "smallint",
            "int" | "int4" => "integer",
            "int8" => "bigint",
            "float4" => "real",
            "float8" => "double precision",
            "decimal" => "numeric",
            "character varying" => "varchar",
            "character" => "char",
            "timestamp without time zone" => "timestamp",
            "timestamp with time zone" => "timestamptz",
            name => name,
        };
        Ok(match (name, numbers.as_slice()) {
            ("boolean", []) => LogicalType::Bool,
            ("bigint", []) => LogicalType::Int8,
            ("double precision", []) => LogicalType::Float8,
            ("numeric", []) => LogicalType::Numeric(None),
            ("numeric", [precision, scale]) => LogicalType::Numeric(Some((*precision, *scale))),
            ("text", []) => LogicalType::Text,
            ("varchar", [chars]) if *chars > 0 => LogicalType::Varchar(*chars),
            ("bytea", []) => LogicalType::Bytea,
            ("uuid", []) => LogicalType::Uuid,
            ("date", []) => LogicalType::Date,
            ("timestamp", []) => LogicalType::Timestamp,
            ("timestamptz", []) => LogicalType::TimestampTz,
            ("jsonb", []) => LogicalType::Jsonb,
            ("smallint", []) => LogicalType::Int2,
            ("integer", []) => LogicalType::Int4,
            ("real", []) => LogicalType::Float4,
            ("char", [chars]) if *chars > 0 => LogicalType::Char(*chars),
            ("json", []) => LogicalType::Json,
            ("time", []) => LogicalType::Time,
            ("inet", []) => LogicalType::Inet,
            ("cidr", []) => LogicalType::Cidr,
            ("macaddr", []) => LogicalType::Macaddr,
            ("interval", []) => LogicalType::Interval,
            ("vector", []) => LogicalType::Vector,
            ("declared", []) => LogicalType::Declared,
            ("any", []) => LogicalType::Any,
            _ => return Err(format!("'{text}' is no column type of a plan")),
        })
    }
}

impl Serialize for LogicalType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LogicalType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_read_back_as_written() {
        for ty in [
            LogicalType::Numeric(Some((10, 2))),
            LogicalType::Varchar(160),
            LogicalType::Float8,
            LogicalType::TimestampTz,
            LogicalType::Numeric(None),
            LogicalType::Char(36),
            LogicalType::TextArray,
            LogicalType::Array(Element::Varchar(None)),
            LogicalType::Array(Element::Varchar(Some(9))),
            LogicalType::Array(Element::Int2),
            LogicalType::Array(Element::Int4),
            LogicalType::Array(Element::Int8),
            LogicalType::Array(Element::Bool),
            LogicalType::Array(Element::Float8),
            LogicalType::Array(Element::Numeric(Some((9, 3)))),
            LogicalType::Array(Element::Uuid),
            LogicalType::Array(Element::TimestampTz),
            LogicalType::Inet,
            LogicalType::Cidr,
            LogicalType::Macaddr,
            LogicalType::Interval,
            LogicalType::Int4,
        ] {
            assert_eq!(ty.to_string().parse(), Ok(ty));
        }
        for (other, ty) in [
            ("int4", LogicalType::Int4),
            ("bool", LogicalType::Bool),
            ("timestamp with time zone", LogicalType::TimestampTz),
            ("character varying(9)", LogicalType::Varchar(9)),
            ("int8[]", LogicalType::Array(Element::Int8)),
        ] {
            assert_eq!(other.parse(), Ok(ty), "{other}");
        }
        for bad in ["integr", "varchar", "varchar(0)", "numeric(1", "numeric(x,1)", ""] {
            assert!(bad.parse::<LogicalType>().is_err(), "{bad}");
        }
    }
}
