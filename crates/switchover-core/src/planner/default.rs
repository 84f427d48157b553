//! What a column's default says of the column's type.
//!
//! A default is a value that the column will hold, so it is evidence as the rows are: a limit that it does not
//! keep to gives way, as it does for a row. Of a computed default neither length nor digits are known, so
//! every limit does. A default never changes what kind of type a column has: one that the type does not
//! hold is left out with its reason. Absent on purpose: a type that the mapping asks for, which stays, and
//! defaults of stores with types of their own, which that store holds already.

use super::Draft;
use crate::affinity;
use crate::census::{ColumnCensus, Interest};
use crate::codec::{Codec, Unfit};
use crate::connector::{Choice, Dialect};
use crate::expr::{Affinity, Expr, NowKind, UnaryOp};
use crate::plan::{Fate, LogicalType};
use crate::schema::Column;
use crate::value::{OwnedValue, Value};

/// The type and codec of a column that is to hold its default too.
pub(super) fn choose(
    table: &str,
    column: &Column,
    census: &ColumnCensus,
    dialect: &dyn Dialect,
    draft: &mut Draft,
) -> Choice {
    let choice = dialect.choose(column, census);
    match wider(column, census, &choice, dialect) {
        Some(wider) => {
            let why = format!("{}: {}", wider.r#type, wider.why);
            draft.outcome("type", format!("{table}.{}", column.name), Fate::Changed, why);
            wider
        }
        None => choice,
    }
}

/// The choice that holds the default too, where the one for the values does not.
fn wider(column: &Column, census: &ColumnCensus, choice: &Choice, dialect: &dyn Dialect) -> Option<Choice> {
    let default = column.default.as_ref().filter(|_| column.kind.is_none())?;
    if let Some(value) = stored(column) {
        let Unfit(unfit) = holds(&choice.codec, value.borrow()).err()?;
        let wider = census.with(value.borrow(), Interest::of_declared(&column.declared));
        let wider = dialect.choose(column, &wider);
        let alike = std::mem::discriminant(&wider.codec) == std::mem::discriminant(&choice.codec);
        let why = format!("{}; its default {} decides too: {unfit}", wider.why, default.text);
        return (alike && holds(&wider.codec, value.borrow()).is_ok()).then_some(Choice { why, ..wider });
    }
    let (ty, codec) = match &choice.codec {
        Codec::Text { chars_max: Some(max) }
            if present_chars(&default.expr).is_none_or(|chars| chars > *max) =>
        {
            (LogicalType::Text, Codec::Text { chars_max: None })
        }
        Codec::Decimal { limits: Some(_) } => (LogicalType::Numeric(None), Codec::Decimal { limits: None }),
        _ => return None,
    };
    // One that is left out in any case limits nothing.
    dialect.translate_default(column, ty).ok()?;
    let why = format!(
        "declared {}, but its default {} is computed, and may be longer",
        column.declared, default.text
    );
    Some(Choice { r#type: ty, codec, why })
}

/// Why the column's default would not be stored as the same value, where that is known.
pub(super) fn fault(column: &Column, codec: &Codec) -> Option<String> {
    let value = stored(column).filter(|_| column.kind.is_none())?;
    holds(codec, value.borrow()).err().map(|Unfit(why)| why)
}

/// Whether the codec carries the value over as what the default is written as.
fn holds(codec: &Codec, value: Value<'_>) -> Result<(), Unfit> {
    let mut scratch = Vec::new();
    let encoded = codec.encode(value, &mut scratch)?;
    match codec {
        Codec::TextEscaped { .. } if encoded != value => {
            Err(Unfit("a text that the column holds with escapes".into()))
        }
        _ => Ok(()),
    }
}

/// What SQLite stores in the column for a constant default; `None` for a computed one.
fn stored(column: &Column) -> Option<OwnedValue> {
    let value = constant(&column.default.as_ref()?.expr)?;
    let numeric = column.affinity.is_numeric();
    let value = match value {
        OwnedValue::Text(text) if numeric && affinity::is_number(text.as_bytes()) => {
            let digits = text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\u{b}');
            match digits.parse() {
                Ok(whole) => OwnedValue::Int(whole),
                Err(_) => OwnedValue::FloatBits(digits.parse::<f64>().ok()?.to_bits()),
            }
        }
        other => other,
    };
    Some(match (column.affinity, value) {
        (Affinity::Text, OwnedValue::Int(whole)) => OwnedValue::Text(whole.to_string()),
        // SQLite's own text of a real is not known here.
        (Affinity::Text, OwnedValue::FloatBits(_)) => return None,
        (Affinity::Real, OwnedValue::Int(whole)) => OwnedValue::FloatBits((whole as f64).to_bits()),
        (Affinity::Real, OwnedValue::FloatBits(bits)) => {
            let float = f64::from_bits(bits);
            // A column of reals holds no negative zero.
            OwnedValue::FloatBits(if float == 0.0 { 0 } else { bits })
        }
        (Affinity::Integer | Affinity::Numeric, OwnedValue::FloatBits(bits))
            if affinity::is_integral(f64::from_bits(bits)) =>
        {
            OwnedValue::Int(f64::from_bits(bits) as i64)
        }
        (_, value) => value,
    })
}

/// The value of a literal, with its sign.
fn constant(expr: &Expr) -> Option<OwnedValue> {
    Some(match expr {
        Expr::Null => OwnedValue::Null,
        Expr::Int(whole) => OwnedValue::Int(*whole),
        Expr::Bool(truth) => OwnedValue::Int(i64::from(*truth)),
        Expr::Float(float) => OwnedValue::FloatBits(float.to_bits()),
        Expr::Text(text) => OwnedValue::Text(text.clone()),
        Expr::Blob(bytes) => OwnedValue::Bytes(bytes.clone()),
        Expr::Unary(UnaryOp::Plus, inner) => constant(inner)?,
        Expr::Unary(UnaryOp::Minus, inner) => match constant(inner)? {
            OwnedValue::Int(whole) => OwnedValue::Int(whole.checked_neg()?),
            OwnedValue::FloatBits(bits) => OwnedValue::FloatBits((-f64::from_bits(bits)).to_bits()),
            _ => return None,
        },
        _ => return None,
    })
}

/// Characters of the present as SQLite writes it, where the default is that.
fn present_chars(expr: &Expr) -> Option<u32> {
    let now = |arguments: &[Expr]| match arguments {
        [] => true,
        [Expr::Text(text)] => text.eq_ignore_ascii_case("now"),
        _ => false,
    };
    let kind = match expr {
        Expr::Now(kind) => *kind,
        Expr::Call(name, arguments) if now(arguments) => match name.as_str() {
            "datetime" => NowKind::Timestamp,
            "date" => NowKind::Date,
            "time" => NowKind::Time,
            _ => return None,
        },
        _ => return None,
    };
    Some(match kind {
        NowKind::Timestamp => 19,
        NowKind::Date => 10,
        NowKind::Time => 8,
    })
}
