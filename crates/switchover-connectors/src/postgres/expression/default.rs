//! Defaults of columns.
//!
//! The value must be what the source's default becomes when it is stored in the source's column (its
//! affinity converts) and is then moved into the target's type. The present is that of the statement,
//! as in SQLite (`statement_timestamp()`), in UTC, with the precision that SQLite writes.

use switchover_core::expr::{Affinity, BinaryOp, Expr, NowKind};

use super::node::Renderer;
use super::value::EXACT_INT_MAX;
use super::{ColumnRef, Ty, constant};
use crate::postgres::quote;

/// Seconds since 1970, rounded down as SQLite does.
const EPOCH: &str = "floor(extract(epoch from statement_timestamp()))::int8";
/// The present without its zone.
const UTC: &str = "timezone('utc', statement_timestamp())";

/// Renders the default of a column of the type `ty`, whose source has the affinity given.
///
/// # Errors
/// With the reason, if PostgreSQL would store another value than SQLite, or one that the column's
/// type cannot hold.
pub fn render_default(expr: &Expr, ty: Ty, affinity: Affinity) -> Result<String, String> {
    match expr {
        Expr::Null => Ok("NULL".to_owned()),
        Expr::Int(n) => integer(*n, ty, affinity),
        Expr::Bool(b) => integer(i64::from(*b), ty, affinity),
        Expr::Float(f) => float(*f, ty, affinity),
        Expr::Text(s) => text(s, ty, affinity),
        Expr::Blob(b) => match ty {
            Ty::Bytes => Ok(quote::bytes(b)),
            other => Err(format!("a blob is the default of a column that is {other} in PostgreSQL")),
        },
        Expr::Now(kind) => now(*kind, ty),
        Expr::Call(..) | Expr::Cast(..) | Expr::Binary(BinaryOp::Mul, ..) => match present(expr)? {
            Some(Present::Now(kind)) => now(kind, ty),
            Some(Present::Epoch { times, text }) => epoch(times, text, ty, affinity),
            Some(Present::Format(format)) => formatted(&format, ty),
            None => constant_expression(expr, ty, affinity),
        },
        Expr::Unary(..)
        | Expr::Binary(..)
        | Expr::Case(..)
        | Expr::IsNull(..)
        | Expr::In(..)
        | Expr::Between(..)
        | Expr::Like(..)
        | Expr::Glob(..)
        | Expr::Collate(..) => constant_expression(expr, ty, affinity),
        Expr::Column(name) | Expr::Qualified(_, name) => Err(format!("a default names the column {name}")),
        Expr::Opaque(text, reason) => Err(format!("{text}: {reason}")),
    }
}

fn mismatch(what: &str, ty: Ty) -> String {
    format!("the default {what} is no value of a column that is {ty} in PostgreSQL")
}

fn integer(n: i64, ty: Ty, affinity: Affinity) -> Result<String, String> {
    let small = i128::from(n).abs() <= EXACT_INT_MAX;
    match ty {
        Ty::Bool if n == 0 || n == 1 => Ok((n == 1).to_string()),
        Ty::Int if affinity != Affinity::Text => Ok(constant::int(n).text),
        Ty::Float | Ty::Numeric if small && affinity != Affinity::Text => Ok(constant::int(n).text),
        Ty::Text { .. } if affinity == Affinity::Text => Ok(quote::literal(&n.to_string())),
        _ => Err(mismatch(&n.to_string(), ty)),
    }
}

fn float(f: f64, ty: Ty, affinity: Affinity) -> Result<String, String> {
    if affinity == Affinity::Text {
        return Err("a floating point number as the default of text is written otherwise".to_owned());
    }
    let integral = f.fract() == 0.0 && f.abs() <= EXACT_INT_MAX as f64;
    match ty {
        Ty::Float => Ok(constant::float(f).text),
        Ty::Numeric if f.abs() <= EXACT_INT_MAX as f64 => Ok(format!("{f}")),
        // A whole number is stored as an integer in these.
        Ty::Int if integral && matches!(affinity, Affinity::Integer | Affinity::Numeric) => {
            Ok(format!("{f:.0}"))
        }
        Ty::Bool if f == 0.0 || f == 1.0 => Ok((f == 1.0).to_string()),
        _ => Err(mismatch(&f.to_string(), ty)),
    }
}

fn text(s: &str, ty: Ty, affinity: Affinity) -> Result<String, String> {
    let quoted = quote::literal(s);
    let refusal = || Err(mismatch(&quoted, ty));
    if affinity.is_numeric() && constant::looks_numeric(s) {
        // The column stores the number that the text says.
        return match (s.trim().parse::<i64>(), s.trim().parse::<f64>()) {
            (Ok(n), _) => integer(n, ty, affinity),
            (Err(_), Ok(f)) if f.is_finite() => float(f, ty, affinity),
            _ => refusal(),
        };
    }
    match ty {
        Ty::Text { .. } => Ok(quoted),
        Ty::Bool if matches!(s, "t" | "true") => Ok("true".to_owned()),
        Ty::Bool if matches!(s, "f" | "false") => Ok("false".to_owned()),
        // Whatever else is valid may have keys twice, or numbers, that jsonb holds otherwise.
        Ty::Json if matches!(s, "{}" | "[]" | "null" | "true" | "false" | "\"\"") => Ok(quoted),
        Ty::Uuid if is_uuid(s) => Ok(format!("{quoted}::uuid")),
        Ty::Date if is_shaped(s, "dddd-dd-dd") && s.parse::<jiff::civil::Date>().is_ok() => {
            Ok(format!("{quoted}::date"))
        }
        Ty::Timestamp
            if is_shaped(s, "dddd-dd-dd dd:dd:dd") && s.parse::<jiff::civil::DateTime>().is_ok() =>
        {
            Ok(format!("{quoted}::timestamp"))
        }
        Ty::Time if is_shaped(s, "dd:dd:dd") && s.parse::<jiff::civil::Time>().is_ok() => {
            Ok(format!("{quoted}::time"))
        }
        _ => refusal(),
    }
}

fn is_shaped(s: &str, shape: &str) -> bool {
    s.len() == shape.len()
        && s.bytes()
            .zip(shape.bytes())
            .all(|(b, want)| if want == b'd' { b.is_ascii_digit() } else { b == want })
}

fn is_uuid(s: &str) -> bool {
    s.len() == 36
        && s.bytes()
            .enumerate()
            .all(|(at, b)| if matches!(at, 8 | 13 | 18 | 23) { b == b'-' } else { b.is_ascii_hexdigit() })
}

fn now(kind: NowKind, ty: Ty) -> Result<String, String> {
    Ok(match (kind, ty) {
        (NowKind::Timestamp, Ty::Text { .. }) => format!("to_char({UTC}, 'YYYY-MM-DD HH24:MI:SS')"),
        (NowKind::Date, Ty::Text { .. }) => format!("to_char({UTC}, 'YYYY-MM-DD')"),
        (NowKind::Time, Ty::Text { .. }) => format!("to_char({UTC}, 'HH24:MI:SS')"),
        (NowKind::Timestamp, Ty::Timestamp) => format!("date_trunc('second', {UTC})"),
        (NowKind::Timestamp, Ty::TimestampTz) => "date_trunc('second', statement_timestamp())".to_owned(),
        (NowKind::Date, Ty::Timestamp) => format!("date_trunc('day', {UTC})"),
        (NowKind::Date, Ty::Date) => format!("({UTC})::date"),
        (NowKind::Time, Ty::Time) => format!("(date_trunc('second', {UTC}))::time"),
        (kind, ty) => return Err(mismatch(&format!("{kind:?} of the present"), ty)),
    })
}

fn epoch(times: i64, text: bool, ty: Ty, affinity: Affinity) -> Result<String, String> {
    let seconds = if times == 1 { EPOCH.to_owned() } else { format!("({EPOCH} * {times})") };
    match ty {
        Ty::Int if affinity.is_numeric() || (!text && affinity == Affinity::Blob) => Ok(seconds),
        Ty::Float | Ty::Numeric if affinity.is_numeric() => Ok(seconds),
        Ty::Text { .. } if affinity == Affinity::Text || (text && affinity == Affinity::Blob) => {
            Ok(format!("({seconds})::text"))
        }
        _ => Err(mismatch("of seconds since 1970", ty)),
    }
}

/// A strftime format that SQLite writes and PostgreSQL can write the same.
fn formatted(format: &str, ty: Ty) -> Result<String, String> {
    match ty {
        Ty::Text { .. } => Ok(format!("to_char({UTC}, {})", quote::literal(&to_char(format)?))),
        Ty::Timestamp | Ty::TimestampTz => {
            let precision = match format.trim_end_matches('Z') {
                "%Y-%m-%d %H:%M:%S" | "%Y-%m-%dT%H:%M:%S" => "second",
                "%Y-%m-%d %H:%M:%f" | "%Y-%m-%dT%H:%M:%f" => "milliseconds",
                _ => return Err(mismatch(&format!("strftime('{format}', 'now')"), ty)),
            };
            let present = if ty == Ty::Timestamp { UTC } else { "statement_timestamp()" };
            Ok(format!("date_trunc('{precision}', {present})"))
        }
        Ty::Date if format == "%Y-%m-%d" => now(NowKind::Date, ty),
        other => Err(mismatch(&format!("strftime('{format}', 'now')"), other)),
    }
}

fn to_char(format: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut plain = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            if c == '"' || c == '\\' {
                return Err(format!("the strftime format {format} is not translated"));
            }
            plain.push(c);
            continue;
        }
        let field = match chars.next() {
            Some('Y') => "YYYY",
            Some('m') => "MM",
            Some('d') => "DD",
            Some('H') => "HH24",
            Some('M') => "MI",
            Some('S') => "SS",
            Some('f') => "SS.MS",
            Some('F') => "YYYY-MM-DD",
            Some('T') => "HH24:MI:SS",
            Some('j') => "DDD",
            _ => return Err(format!("the strftime format {format} is not translated")),
        };
        flush(&mut plain, &mut out);
        // Two fields that touch may read as a third: SS and SS.MS as SSSSS.
        if field.chars().next().is_some_and(|first| out.ends_with(first)) {
            out.push_str("\"\"");
        }
        out.push_str(field);
    }
    flush(&mut plain, &mut out);
    Ok(out)
}

/// Letters that are no field stand in double quotes, or PostgreSQL reads a field in them.
fn flush(plain: &mut String, out: &mut String) {
    if plain.bytes().all(|b| matches!(b, b'-' | b':' | b' ' | b'.' | b'/')) {
        out.push_str(plain);
    } else {
        out.push('"');
        out.push_str(plain);
        out.push('"');
    }
    plain.clear();
}

enum Present {
    Now(NowKind),
    Epoch { times: i64, text: bool },
    Format(String),
}

/// The present in the forms that schemas write it; `None` if the expression is about something else.
fn present(expr: &Expr) -> Result<Option<Present>, String> {
    match expr {
        Expr::Call(name, args) => call(name, args),
        Expr::Cast(inner, declared) if Affinity::of_declared(declared) == Affinity::Integer => {
            Ok(match present(inner)? {
                Some(Present::Epoch { times, .. }) => Some(Present::Epoch { times, text: false }),
                Some(_) => return Err(format!("a CAST of the present to {declared} is not translated")),
                None => None,
            })
        }
        Expr::Binary(BinaryOp::Mul, left, right) => {
            let (inner, factor) = match (&**left, &**right) {
                (inner, Expr::Int(n)) | (Expr::Int(n), inner) => (inner, *n),
                _ => return Ok(None),
            };
            Ok(match present(inner)? {
                Some(Present::Epoch { times: 1, .. }) if (1..=1_000_000_000).contains(&factor) => {
                    Some(Present::Epoch { times: factor, text: false })
                }
                Some(_) => return Err("arithmetic on the present is not translated".to_owned()),
                None => None,
            })
        }
        _ => Ok(None),
    }
}

fn call(name: &str, args: &[Expr]) -> Result<Option<Present>, String> {
    let is_now = |e: &Expr| matches!(e, Expr::Text(s) if s.eq_ignore_ascii_case("now"));
    let about_now = args.is_empty() || matches!(args, [one] if is_now(one));
    Ok(Some(match (name, args) {
        ("datetime", _) if about_now => Present::Now(NowKind::Timestamp),
        ("date", _) if about_now => Present::Now(NowKind::Date),
        ("time", _) if about_now => Present::Now(NowKind::Time),
        ("unixepoch", _) if about_now => Present::Epoch { times: 1, text: false },
        ("strftime", [Expr::Text(format)]) => format_of(format),
        ("strftime", [Expr::Text(format), when]) if is_now(when) => format_of(format),
        ("julianday" | "datetime" | "date" | "time" | "unixepoch" | "strftime" | "timediff", _) => {
            return Err(format!("{name}() in this form is not translated exactly"));
        }
        ("random" | "randomblob", _) => return Err(random()),
        _ if args.iter().any(is_random) => return Err(random()),
        _ => return Ok(None),
    }))
}

fn format_of(format: &str) -> Present {
    if format == "%s" { Present::Epoch { times: 1, text: true } } else { Present::Format(format.to_owned()) }
}

fn random() -> String {
    "random() and randomblob() have no exact counterpart: PostgreSQL's own random values have another range \
     or fixed bits"
        .to_owned()
}

fn is_random(expr: &Expr) -> bool {
    matches!(expr, Expr::Call(name, args)
        if name == "random" || name == "randomblob" || args.iter().any(is_random))
}

/// An expression without columns and without the present.
fn constant_expression(expr: &Expr, ty: Ty, affinity: Affinity) -> Result<String, String> {
    let nothing = |_: &str| -> Option<ColumnRef> { None };
    let value = Renderer { scope: &nothing }.value(expr)?;
    match (value.ty, ty) {
        (None, _) => Ok("NULL".to_owned()),
        (Some(Ty::Bool), Ty::Bool) => Ok(value.text),
        (Some(Ty::Bool), Ty::Int) if affinity != Affinity::Text => Ok(format!("({})::int", value.text)),
        (Some(Ty::Int), Ty::Int) if affinity != Affinity::Text => Ok(value.text),
        (Some(Ty::Text { .. }), Ty::Text { .. }) if !affinity.is_numeric() => Ok(value.text),
        (Some(Ty::Bytes), Ty::Bytes) => Ok(value.text),
        (Some(have), want) => Err(format!("the default is {have} and its column is {want} in PostgreSQL")),
    }
}
