//! In which form each column of the source is read, and by what order its rows are.
//!
//! Invariants: every type is read exactly, in the server's binary form where this program has a value for
//! it and as PostgreSQL's own text elsewhere; the order of a locator is total and is the server's for
//! numbers and times, and that of the bytes for text, whatever collation the column has.

use super::quote;
use switchover_core::plan::LogicalType;
use switchover_core::reverse;
use switchover_core::schema::Locator;
use switchover_core::value::OwnedValue;
use switchover_core::{Error, Kind, Result};

/// What the type of a column is, below all domains.
#[derive(Debug, Clone, Default)]
pub(super) struct Base {
    /// Its name, where it is of `pg_catalog`; `citext` too, wherever that extension is.
    pub(super) name: String,
    /// Its modifier; -1 without one.
    pub(super) modifier: i32,
    /// An enumeration's labels, in its order.
    pub(super) labels: Option<Vec<String>>,
}

/// How a column is read.
#[derive(Debug, Clone)]
pub(super) struct Form {
    /// The column's name.
    pub(super) name: String,
    /// What the values are.
    pub(super) kind: LogicalType,
    /// The binary form that comes.
    pub(super) wire: LogicalType,
    /// The select item, `{}` for the column.
    select: &'static str,
    /// What it is ordered and compared by.
    order: &'static str,
    /// The type of a literal that it is compared with.
    literal: &'static str,
}

/// A table as it is read.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    /// Its schema and name, quoted, with `ONLY` before them where other tables may inherit from it.
    pub(super) from: String,
    /// Its columns.
    pub(super) columns: Vec<Form>,
    /// How its rows are found again.
    pub(super) locator: Locator,
}

/// What `varchar(n)` and `numeric(p,s)` keep of their limits is so much larger.
const MODIFIER_OFFSET: i32 = 4;

const SAME: &str = "{}";
const TEXT: &str = "{}::pg_catalog.text";
const TEXT_ORDER: &str = "({}::pg_catalog.text) COLLATE \"C\"";
/// What the type itself writes: a cast may say it otherwise (`inet` adds its mask). A composite value with a
/// field that is NULL is no NULL, and IS NOT NULL is false of it.
const OUTPUT: &str = "CASE WHEN {} IS DISTINCT FROM NULL THEN pg_catalog.format('%s', {}) END";
const OUTPUT_ORDER: &str =
    "(CASE WHEN {} IS DISTINCT FROM NULL THEN pg_catalog.format('%s', {}) END) COLLATE \"C\"";
/// Of a padded text every byte: a cast would cut the padding off.
const PADDED_ORDER: &str = "pg_catalog.convert_from(pg_catalog.bpcharsend({}), 'UTF8') COLLATE \"C\"";
const INT8: &str = "{}::pg_catalog.int8";
const FLOAT8: &str = "{}::pg_catalog.float8";
const NUMERIC: &str = "{}::pg_catalog.numeric";
/// An array as JSON; one of several dimensions, or that does not begin at 1, as PostgreSQL's own text,
/// which is never a JSON array. It is ordered by that text: what a locator has is compared with it.
macro_rules! array {
    () => {
        "CASE WHEN pg_catalog.array_ndims({}) IS NULL AND {} IS NOT NULL THEN '[]'
    WHEN pg_catalog.array_ndims({}) = 1 AND pg_catalog.array_lower({}, 1) = 1
    THEN pg_catalog.array_to_json({})::pg_catalog.text ELSE {}::pg_catalog.text END"
    };
}
const ARRAY: &str = array!();
const ARRAY_ORDER: &str = concat!("(", array!(), ") COLLATE \"C\"");

impl Form {
    /// The form of a column of that type.
    pub(super) fn of(name: String, base: &Base) -> Form {
        let length = u32::try_from(base.modifier - MODIFIER_OFFSET).ok();
        let form = |kind, wire, select, order, literal| Form {
            name: name.clone(),
            kind,
            wire,
            select,
            order,
            literal,
        };
        let own = |kind, literal| form(kind, kind, SAME, SAME, literal);
        let chars = length.map_or(LogicalType::Text, LogicalType::Varchar);
        match base.name.as_str() {
            "bool" => own(LogicalType::Bool, "pg_catalog.bool"),
            "int8" => own(LogicalType::Int8, "pg_catalog.int8"),
            "int2" | "int4" => form(LogicalType::Int8, LogicalType::Int8, INT8, SAME, "pg_catalog.int8"),
            "oid" => form(LogicalType::Int8, LogicalType::Int8, INT8, INT8, "pg_catalog.int8"),
            "float8" => own(LogicalType::Float8, "pg_catalog.float8"),
            "float4" => form(LogicalType::Float8, LogicalType::Float8, FLOAT8, FLOAT8, "pg_catalog.float8"),
            "numeric" => own(LogicalType::Numeric(limits(length)), "pg_catalog.numeric"),
            "money" => {
                let kind = LogicalType::Numeric(None);
                form(kind, kind, NUMERIC, NUMERIC, "pg_catalog.numeric")
            }
            "bytea" => own(LogicalType::Bytea, "pg_catalog.bytea"),
            "uuid" => own(LogicalType::Uuid, "pg_catalog.uuid"),
            "date" => own(LogicalType::Date, "pg_catalog.date"),
            "timestamp" => own(LogicalType::Timestamp, "pg_catalog.timestamp"),
            "timestamptz" => own(LogicalType::TimestampTz, "pg_catalog.timestamptz"),
            "text" => form(LogicalType::Text, LogicalType::Text, SAME, TEXT_ORDER, "pg_catalog.text"),
            "varchar" => form(chars, LogicalType::Text, SAME, TEXT_ORDER, "pg_catalog.text"),
            "bpchar" => form(chars, LogicalType::Text, SAME, PADDED_ORDER, "pg_catalog.text"),
            "json" | "jsonb" => {
                form(LogicalType::Jsonb, LogicalType::Text, TEXT, TEXT_ORDER, "pg_catalog.text")
            }
            "_text" | "_varchar" | "_int2" | "_int4" | "_int8" | "_bool" | "_uuid" | "_numeric" => {
                form(LogicalType::Jsonb, LogicalType::Text, ARRAY, ARRAY_ORDER, "pg_catalog.text")
            }
            // PostgreSQL's own text says all of it.
            _ => form(LogicalType::Text, LogicalType::Text, OUTPUT, OUTPUT_ORDER, "pg_catalog.text"),
        }
    }

    /// The select item for the column of that alias.
    pub(super) fn select(&self, alias: &str) -> String {
        self.select.replace("{}", &self.column(alias))
    }

    /// What it is ordered by.
    pub(super) fn order(&self, alias: &str) -> String {
        self.order.replace("{}", &self.column(alias))
    }

    fn column(&self, alias: &str) -> String {
        format!("{alias}.{}", quote::ident(&self.name))
    }

    /// A cell of a locator as a literal that the column is compared with. COPY takes no parameters.
    fn literal(&self, cell: &OwnedValue) -> Result<String> {
        let text = match cell {
            OwnedValue::Int(i) => i.to_string(),
            OwnedValue::Bool(b) => b.to_string(),
            OwnedValue::Text(text) => text.clone(),
            OwnedValue::FloatBits(bits) => match f64::from_bits(*bits) {
                f if f.is_nan() => "NaN".into(),
                f if f.is_infinite() => (if f > 0.0 { "Infinity" } else { "-Infinity" }).into(),
                f => format!("{f:e}"),
            },
            OwnedValue::Decimal(digits) => String::from_utf8_lossy(digits).into_owned(),
            OwnedValue::Bytes(bytes) => return Ok(quote::bytes(bytes)),
            OwnedValue::Uuid(_)
            | OwnedValue::Date(_)
            | OwnedValue::Timestamp(_)
            | OwnedValue::TimestampTz(_) => self.typed(cell)?,
            OwnedValue::Null | OwnedValue::TextBytes(_) | OwnedValue::Time(_) | OwnedValue::Json(_) => {
                return Err(self.odd(cell));
            }
        };
        let collation = if self.wire == LogicalType::Text { " COLLATE \"C\"" } else { "" };
        Ok(format!("{}::{}{collation}", quote::literal(&text), self.literal))
    }

    fn typed(&self, cell: &OwnedValue) -> Result<String> {
        let codec = reverse::of_kind(self.kind).ok_or_else(|| self.odd(cell))?;
        let mut scratch = Vec::new();
        match codec.encode(cell.borrow(), &mut scratch) {
            Ok(switchover_core::value::Value::Text(text)) => Ok(String::from_utf8_lossy(text).into_owned()),
            _ => Err(self.odd(cell)),
        }
    }

    fn odd(&self, cell: &OwnedValue) -> Error {
        Error::new(Kind::Internal, "read rows of the source")
            .column(self.name.clone())
            .detail(format!("{} is no key of this column", cell.borrow().shown()))
    }
}

/// `numeric(p,s)`; scales below zero or beyond the precision (PostgreSQL 15) are no decimal(p,s) of SQL.
fn limits(packed: Option<u32>) -> Option<(u32, u32)> {
    let packed = packed?;
    let (precision, scale) = (packed >> 16, packed & 0x7ff);
    (scale <= precision).then_some((precision, scale))
}

impl Shape {
    /// The form of a column; `None` when there is none of that name.
    pub(super) fn form(&self, name: &str) -> Option<&Form> {
        self.columns.iter().find(|form| form.name == name)
    }

    /// The forms of the locator's columns; empty where rows have only their order.
    pub(super) fn key(&self) -> Result<Vec<&Form>> {
        let find = |name: &String| {
            self.form(name).ok_or_else(|| {
                Error::new(Kind::Changed, "read rows of the source")
                    .detail(format!("the key's column {name} is not there"))
                    .hint("plan again")
            })
        };
        match &self.locator {
            Locator::RowId(name) => Ok(vec![find(name)?]),
            Locator::Key(names) => names.iter().map(find).collect(),
            Locator::Ordinal => Ok(Vec::new()),
        }
    }

    /// A comparison of the key with a locator.
    pub(super) fn compared(&self, alias: &str, operator: &str, locator: &[OwnedValue]) -> Result<String> {
        let key = self.key()?;
        if key.len() != locator.len() {
            return Err(Error::new(Kind::Internal, "read rows of the source")
                .detail("a locator of another length than the table's key"));
        }
        let names: Vec<String> = key.iter().map(|form| form.order(alias)).collect();
        let cells: Result<Vec<String>> =
            key.iter().zip(locator).map(|(form, cell)| form.literal(cell)).collect();
        Ok(format!("({}) {operator} ({})", names.join(", "), cells?.join(", ")))
    }
}
