//! Function calls, and the common type of several results.

use switchover_core::expr::{Affinity, Expr};

use super::node::Renderer;
use super::value::{Constant, INT64, Value};
use super::{Ty, compare, constant};

/// No text is longer than PostgreSQL's field of 1 GB.
const LENGTH_MAX: i128 = 1 << 30;

/// Renders a call.
pub(super) fn call(r: &Renderer<'_>, name: &str, args: &[Expr]) -> Result<Value, String> {
    match (name, args) {
        ("typeof", [Expr::Column(column)]) => type_of(r, column),
        ("json_valid", [Expr::Column(column)]) => json_valid(r, column),
        ("likely" | "unlikely", [x]) => r.value(x),
        // SQLite folds ASCII alone.
        ("lower", [Expr::Text(s)]) => Ok(constant::text(&s.to_ascii_lowercase())),
        ("upper", [Expr::Text(s)]) => Ok(constant::text(&s.to_ascii_uppercase())),
        ("lower" | "upper", [x]) => Ok(Value::text(format!("{name}({} COLLATE \"C\")", text(r, name, x)?))),
        ("length", [x]) => length(r, x),
        ("trim" | "ltrim" | "rtrim", [x]) => trim(r, name, x, " "),
        ("trim" | "ltrim" | "rtrim", [x, Expr::Text(set)]) => trim(r, name, x, set),
        // An empty pattern leaves the text alone in SQLite even where the replacement is NULL.
        ("replace", [x, Expr::Text(from), to]) if !from.is_empty() => Ok(Value::text(format!(
            "replace({}, {}, {})",
            text(r, name, x)?,
            crate::postgres::quote::literal(from),
            text(r, name, to)?
        ))),
        ("replace", _) => Err("replace() is translated only with a constant that is not empty".to_owned()),
        ("instr", [x, part]) => Ok(Value::int(
            format!("strpos({}, {})", text(r, name, x)?, text(r, name, part)?),
            (0, LENGTH_MAX),
        )),
        ("substr" | "substring", [x, start, rest @ ..]) => substr(r, x, start, rest),
        ("coalesce" | "ifnull", args) if args.len() >= 2 => {
            let values = args.iter().map(|x| r.value(x)).collect::<Result<Vec<_>, _>>()?;
            let mut unified = unify(&values)?;
            unified.value.text = format!("coalesce({})", unified.texts.join(", "));
            Ok(unified.value)
        }
        ("nullif", [a, b]) => nullif(&r.value(a)?, &r.value(b)?),
        ("iif" | "if", [condition, then]) => when(r, condition, then, &Expr::Null),
        ("iif" | "if", [condition, then, otherwise]) => when(r, condition, then, otherwise),
        ("abs", [x]) => abs(&r.value(x)?),
        ("min" | "max", [a, b]) => extreme(name, &r.value(a)?, &r.value(b)?),
        ("hex", [x]) => hex(&r.value(x)?),
        _ => Err(format!("the function {name}() is not translated")),
    }
}

/// Several results brought to one type.
pub(super) struct Unified {
    /// Each result's text, in that type.
    pub(super) texts: Vec<String>,
    /// The type and its bounds; the text is the caller's to set.
    pub(super) value: Value,
}

/// Brings results to one type, if SQLite's mixture of them compares the same.
pub(super) fn unify(values: &[Value]) -> Result<Unified, String> {
    let has = |ty: Ty| values.iter().any(|v| v.ty == Some(ty));
    let small = |v: &Value| v.constant.is_some() && v.is_small();
    let zero_one = |v: &Value| matches!(v.constant, Some(Constant::Int(0 | 1)));
    let of = |ty: Ty, fits: &dyn Fn(&Value) -> Option<String>| {
        let mut texts = Vec::with_capacity(values.len());
        for value in values {
            match value.ty {
                None => texts.push("NULL".to_owned()),
                Some(_) => texts.push(fits(value).ok_or_else(|| {
                    format!("results of different types, here {}, are not translated", value.describe())
                })?),
            }
        }
        let bounds = values.iter().filter(|v| v.ty.is_some()).map(|v| v.bounds);
        let bounds = bounds.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))).unwrap_or(INT64);
        Ok(Unified { texts, value: Value { bounds, ..Value::of(String::new(), ty) } })
    };
    let own = |v: &Value, ty: Ty| (v.ty == Some(ty)).then(|| v.text.clone());
    if values.iter().all(|v| v.ty.is_none()) {
        return Ok(Unified { texts: vec!["NULL".to_owned(); values.len()], value: Value::null() });
    }
    if values.iter().any(Value::is_text) {
        return of(Ty::Text { nocase: false }, &|v| v.is_text().then(|| v.text.clone()));
    }
    if has(Ty::Bool) && values.iter().all(|v| v.ty.is_none_or(|ty| ty == Ty::Bool) || zero_one(v)) {
        return of(Ty::Bool, &|v| match v.constant {
            Some(Constant::Int(n)) => Some((n == 1).to_string()),
            _ => own(v, Ty::Bool),
        });
    }
    if has(Ty::Float) {
        return of(Ty::Float, &|v| match v.ty {
            Some(Ty::Int) if small(v) => Some(format!("({})::float8", v.text)),
            _ => own(v, Ty::Float),
        });
    }
    if has(Ty::Numeric) {
        return of(Ty::Numeric, &|v| match v.ty {
            Some(Ty::Int) if small(v) => Some(v.text.clone()),
            _ => own(v, Ty::Numeric),
        });
    }
    if has(Ty::Int) {
        return of(Ty::Int, &|v| match v.ty {
            Some(Ty::Int | Ty::Bool) => Some(v.int8()),
            _ => None,
        });
    }
    of(Ty::Bytes, &|v| own(v, Ty::Bytes))
}

fn text(r: &Renderer<'_>, name: &str, x: &Expr) -> Result<String, String> {
    let value = r.value(x)?;
    match value.ty {
        Some(Ty::Text { .. }) => Ok(value.text),
        None => Ok("NULL::text".to_owned()),
        Some(_) => Err(format!("{name}() of {} is not translated", value.describe())),
    }
}

fn length(r: &Renderer<'_>, x: &Expr) -> Result<Value, String> {
    let value = r.value(x)?;
    let function = match value.ty {
        Some(Ty::Text { .. }) => "char_length",
        Some(Ty::Bytes) => "octet_length",
        _ => return Err(format!("length() of {} is not translated", value.describe())),
    };
    Ok(Value::int(format!("{function}({})", value.text), (0, LENGTH_MAX)))
}

fn trim(r: &Renderer<'_>, name: &str, x: &Expr, set: &str) -> Result<Value, String> {
    let function = if name == "trim" { "btrim" } else { name };
    Ok(Value::text(format!("{function}({}, {})", text(r, name, x)?, crate::postgres::quote::literal(set))))
}

fn substr(r: &Renderer<'_>, x: &Expr, start: &Expr, rest: &[Expr]) -> Result<Value, String> {
    // From zero or less, and with a negative length, the two count otherwise.
    let most = i64::from(i32::MAX);
    let text = text(r, "substr", x)?;
    match (start, rest) {
        (Expr::Int(from), []) if (1..most).contains(from) => {
            Ok(Value::text(format!("substr({text}, {from})")))
        }
        (Expr::Int(from), [Expr::Int(n)]) if (1..most).contains(from) && (0..most).contains(n) => {
            Ok(Value::text(format!("substr({text}, {from}, {n})")))
        }
        _ => {
            Err("substr() is translated only for a constant start from 1 and a constant length from 0"
                .to_owned())
        }
    }
}

fn nullif(a: &Value, b: &Value) -> Result<Value, String> {
    let Some(ty) = a.ty else { return Ok(Value::null()) };
    if b.ty.is_none() {
        return Ok(Value { affinity: None, implicit: None, ..a.clone() });
    }
    let (l, r) = compare::sides(
        &Value { affinity: None, ..a.clone() },
        &Value { affinity: None, ..b.clone() },
        false,
    )?;
    let text = format!("(CASE WHEN {l} = {r} THEN NULL ELSE {} END)", a.text);
    Ok(Value { bounds: a.bounds, ..Value::of(text, ty) })
}

fn when(r: &Renderer<'_>, condition: &Expr, then: &Expr, otherwise: &Expr) -> Result<Value, String> {
    let mut unified = unify(&[r.value(then)?, r.value(otherwise)?])?;
    let condition = r.truth(condition)?;
    unified.value.text = format!("(CASE WHEN {condition} THEN {} END)", unified.texts.join(" ELSE "));
    Ok(unified.value)
}

fn abs(x: &Value) -> Result<Value, String> {
    match x.ty {
        // Both stop at the least integer.
        Some(Ty::Int) => Ok(Value::int(format!("abs({})", x.int8()), (0, INT64.1))),
        Some(Ty::Float) => Ok(Value::of(format!("abs({})", x.text), Ty::Float)),
        _ => Err(format!("abs() of {} is not translated", x.describe())),
    }
}

fn extreme(name: &str, a: &Value, b: &Value) -> Result<Value, String> {
    if !a.is_int() || !b.is_int() {
        return Err(format!("{name}() of several values is translated for integers alone"));
    }
    let function = if name == "min" { "least" } else { "greatest" };
    // SQLite's is NULL as soon as one of them is; PostgreSQL's leaves the NULLs out.
    let text = format!(
        "(CASE WHEN {} IS NULL OR {} IS NULL THEN NULL ELSE {function}({}, {}) END)",
        a.text,
        b.text,
        a.int8(),
        b.int8()
    );
    Ok(Value::int(text, (a.bounds.0.min(b.bounds.0), a.bounds.1.max(b.bounds.1))))
}

fn hex(x: &Value) -> Result<Value, String> {
    if x.ty != Some(Ty::Bytes) {
        return Err(format!("hex() of {} is not translated", x.describe()));
    }
    Ok(Value::text(format!("coalesce(upper(encode({}, 'hex')), '')", x.text)))
}

/// The class of every cell of a column is known, but for NULL.
fn type_of(r: &Renderer<'_>, name: &str) -> Result<Value, String> {
    let column = r
        .scope
        .column(None, name)
        .ok_or_else(|| format!("the column {name} is not in the target's table"))?;
    let class = match (column.ty, column.affinity) {
        (Ty::Int | Ty::Bool, Affinity::Integer | Affinity::Numeric | Affinity::Blob) => "integer",
        (Ty::Text { .. }, _) => "text",
        (Ty::Bytes, _) => "blob",
        (Ty::Float, Affinity::Real) => "real",
        (ty, _) => return Err(format!("typeof() of a column that is {ty} in PostgreSQL is not known")),
    };
    Ok(Value::text(format!("(CASE WHEN {} IS NULL THEN 'null' ELSE '{class}' END)", column.quoted)))
}

/// A column of type json holds nothing else; NULL stays NULL.
fn json_valid(r: &Renderer<'_>, name: &str) -> Result<Value, String> {
    match r.scope.column(None, name) {
        Some(column) if column.ty == Ty::Json => {
            Ok(Value::bool(format!("(CASE WHEN {} IS NULL THEN NULL ELSE true END)", column.quoted)))
        }
        Some(_) => Err("json_valid() of a column that is no JSON in PostgreSQL is not translated".to_owned()),
        None => Err(format!("the column {name} is not in the target's table")),
    }
}
