//! Comparisons: which two texts compare in PostgreSQL as the two values compare in SQLite.

use switchover_core::expr::{Affinity, BinaryOp, Expr};

use super::node::Renderer;
use super::value::{Coll, Constant, EXACT_INT_MAX, Value};
use super::{Ty, constant};

impl Renderer<'_> {
    /// `=`, `<>`, `<`, `<=`, `>` and `>=`.
    pub(super) fn compare(&self, op: BinaryOp, left: &Expr, right: &Expr) -> Result<Value, String> {
        let (sign, ordered) = match op {
            BinaryOp::Eq => ("=", false),
            BinaryOp::Ne => ("<>", false),
            BinaryOp::Lt => ("<", true),
            BinaryOp::Le => ("<=", true),
            BinaryOp::Gt => (">", true),
            BinaryOp::Ge => (">=", true),
            _ => return Err("the operator compares nothing".to_owned()),
        };
        let (left, right) = (self.wide(left)?, self.wide(right)?);
        if left.ty.is_none() || right.ty.is_none() {
            return Ok(Value::bool("NULL::boolean".to_owned()));
        }
        let (l, r) = sides(&left, &right, ordered)?;
        Ok(Value::bool(format!("({l} {sign} {r})")))
    }

    /// `IS` and `IS NOT`.
    pub(super) fn is(&self, left: &Expr, right: &Expr, not: bool) -> Result<Value, String> {
        // Beside a bare TRUE or FALSE it asks for truth and not for equality.
        if let Expr::Bool(wanted) = right {
            let word = if *wanted { "TRUE" } else { "FALSE" };
            let not = if not { "NOT " } else { "" };
            return Ok(Value::bool(format!("({} IS {not}{word})", self.truth(left)?)));
        }
        let (left, right) = (self.wide(left)?, self.wide(right)?);
        let (l, r) = match (left.ty, right.ty) {
            (None, _) | (_, None) => (left.text, right.text),
            (Some(_), Some(_)) => sides(&left, &right, false)?,
        };
        let word = if not { "IS DISTINCT FROM" } else { "IS NOT DISTINCT FROM" };
        Ok(Value::bool(format!("({l} {word} {r})")))
    }

    /// `BETWEEN`: two comparisons, each with its own affinity and collation.
    pub(super) fn between(&self, x: &Expr, low: &Expr, high: &Expr, not: bool) -> Result<Value, String> {
        let from = self.compare(BinaryOp::Ge, x, low)?.text;
        let to = self.compare(BinaryOp::Le, x, high)?.text;
        Ok(Value::bool(if not { format!("(NOT ({from} AND {to}))") } else { format!("({from} AND {to})") }))
    }

    /// `IN (…)`: an equality each; the items have no affinity and no collation of their own.
    pub(super) fn in_list(&self, needle: &Expr, items: &[Expr], not: bool) -> Result<Value, String> {
        let needle = self.wide(needle)?;
        if items.is_empty() {
            return Ok(Value::bool(not.to_string()));
        }
        if needle.ty.is_none() {
            return Ok(Value::bool("NULL::boolean".to_owned()));
        }
        let mut pairs = Vec::with_capacity(items.len());
        for item in items {
            let mut item = self.wide(item)?;
            if item.explicit.is_some() {
                return Err("COLLATE inside a list is not translated".to_owned());
            }
            (item.affinity, item.implicit) = (None, None);
            pairs.push(if item.ty.is_none() {
                (None, item.text)
            } else {
                let (l, r) = sides(&needle, &item, false)?;
                (Some(l), r)
            });
        }
        let first = pairs.iter().find_map(|(l, _)| l.clone());
        let Some(left) = first else { return Ok(Value::bool("NULL::boolean".to_owned())) };
        let alike = pairs.iter().all(|(l, _)| l.as_ref().is_none_or(|l| *l == left));
        let word = if not { "NOT IN" } else { "IN" };
        if alike {
            let list: Vec<String> = pairs.into_iter().map(|(_, r)| r).collect();
            return Ok(Value::bool(format!("({left} {word} ({}))", list.join(", "))));
        }
        let each: Vec<String> = pairs
            .into_iter()
            .map(|(l, r)| l.map_or_else(|| "NULL::boolean".to_owned(), |l| format!("({l} = {r})")))
            .collect();
        let any = format!("({})", each.join(" OR "));
        Ok(Value::bool(if not { format!("(NOT {any})") } else { any }))
    }
}

/// The texts to put on the two sides of the operator.
pub(super) fn sides(left: &Value, right: &Value, ordered: bool) -> Result<(String, String), String> {
    if left.wide || right.wide {
        return wide_sides(left, right);
    }
    match (left.ty, right.ty) {
        (Some(Ty::Text { .. }), Some(Ty::Text { .. })) => text_sides(left, right, ordered),
        (Some(Ty::Bool), Some(Ty::Int)) => Ok(bool_sides(left, right, ordered)),
        (Some(Ty::Int), Some(Ty::Bool)) => {
            let (r, l) = bool_sides(right, left, ordered);
            Ok((l, r))
        }
        (Some(Ty::Numeric), _) | (_, Some(Ty::Numeric)) => {
            Ok((numeric_side(left, right)?, numeric_side(right, left)?))
        }
        (Some(Ty::Int), Some(Ty::Float)) => int_float(left, right),
        (Some(Ty::Float), Some(Ty::Int)) => int_float(right, left).map(|(r, l)| (l, r)),
        (Some(Ty::Bool), Some(Ty::Bool))
        | (Some(Ty::Int), Some(Ty::Int))
        | (Some(Ty::Float), Some(Ty::Float))
        | (Some(Ty::Bytes), Some(Ty::Bytes)) => Ok((left.text.clone(), right.text.clone())),
        _ => Err(format!(
            "SQLite compares {} with {} by its own rules for mixed types",
            left.describe(),
            right.describe()
        )),
    }
}

/// A sum that may exceed 64 bits, beside a number that is far below that.
fn wide_sides(left: &Value, right: &Value) -> Result<(String, String), String> {
    let other = if left.wide { right } else { left };
    if other.ty == Some(Ty::Int) && other.is_small() {
        return Ok((left.text.clone(), right.text.clone()));
    }
    Err("integer arithmetic can exceed 64 bits, where SQLite continues in floating point: it is translated \
         only beside a number within ±2^53"
        .to_owned())
}

fn bool_sides(bool: &Value, int: &Value, ordered: bool) -> (String, String) {
    match int.constant {
        Some(Constant::Int(n @ (0 | 1))) if !ordered => (bool.text.clone(), (n == 1).to_string()),
        _ => (format!("({})::int", bool.text), int.text.clone()),
    }
}

/// An integer and a double, compared without rounding the integer.
fn int_float(int: &Value, float: &Value) -> Result<(String, String), String> {
    if int.is_small() {
        return Ok((format!("({})::float8", int.text), float.text.clone()));
    }
    if let Some(Constant::Float(f)) = float.constant {
        let exact = constant::exact_numeric(f)
            .ok_or_else(|| "an integer beside an infinity is not translated".to_owned())?;
        return Ok((int.text.clone(), exact));
    }
    Err("PostgreSQL rounds an integer that it compares with a floating point number; SQLite does not"
        .to_owned())
}

/// A side of a comparison with a numeric: the numeric itself, or a constant within ±2^53.
fn numeric_side(side: &Value, other: &Value) -> Result<String, String> {
    match (side.ty, &side.constant) {
        (Some(Ty::Numeric), _) if other.ty != Some(Ty::Numeric) => Ok(side.text.clone()),
        (Some(Ty::Int), Some(Constant::Int(_))) if side.is_small() => Ok(side.text.clone()),
        (Some(Ty::Float), Some(Constant::Float(f))) if f.abs() <= EXACT_INT_MAX as f64 => {
            constant::exact_numeric(*f).ok_or_else(|| "an infinity is no numeric".to_owned())
        }
        _ => Err(
            "a numeric holds what SQLite holds as an integer or a double, which are equal to one another \
                  by other rules: it is compared only with a constant within ±2^53"
                .to_owned(),
        ),
    }
}

fn text_sides(left: &Value, right: &Value, ordered: bool) -> Result<(String, String), String> {
    let numeric = |v: &Value| v.affinity.is_some_and(Affinity::is_numeric);
    if numeric(left) || numeric(right) {
        for side in [left, right] {
            // Text that a numeric column holds is no number; any other text may be one.
            let safe = numeric(side)
                || matches!(&side.constant, Some(Constant::Text(s)) if !constant::looks_numeric(s));
            if !safe {
                return Err(
                    "the column's declared type makes SQLite read text beside it as a number".to_owned()
                );
            }
        }
    }
    let coll = left.explicit.or(right.explicit).or(left.implicit).or(right.implicit).unwrap_or(Coll::Binary);
    let (l, r) = (coll.key(left), coll.key(right));
    // One explicit collation decides for both sides.
    Ok(if ordered { (format!("{l} COLLATE \"C\""), r) } else { (l, r) })
}
