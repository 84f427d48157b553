//! The walk over the tree. Every node is named: there is no default that lets one through.

use switchover_core::expr::{Affinity, BinaryOp, Expr, UnaryOp};

use super::value::{Coll, Constant, INT64, Value};
use super::{Scope, Ty, call, constant, pattern};
use crate::postgres::quote;

/// A walk with its scope.
pub(super) struct Renderer<'s> {
    /// The columns that names mean.
    pub(super) scope: &'s dyn Scope,
}

impl Renderer<'_> {
    /// Renders a value that fits its type.
    pub(super) fn value(&self, expr: &Expr) -> Result<Value, String> {
        let value = self.wide(expr)?;
        if value.wide {
            return Err("integer arithmetic can exceed 64 bits, where SQLite continues in floating point \
                        and PostgreSQL stops"
                .to_owned());
        }
        if value.explicit.is_some() {
            return Err("COLLATE inside an expression is not translated".to_owned());
        }
        Ok(value)
    }

    /// Renders an operand of a comparison: it may carry a COLLATE, and be wider than 64 bits.
    pub(super) fn wide(&self, expr: &Expr) -> Result<Value, String> {
        match expr {
            Expr::Null => Ok(Value::null()),
            Expr::Int(n) => Ok(constant::int(*n)),
            Expr::Float(f) => Ok(constant::float(*f)),
            Expr::Text(s) => Ok(constant::text(s)),
            Expr::Blob(b) => Ok(Value::of(quote::bytes(b), Ty::Bytes)),
            Expr::Bool(b) => Ok(Value::bool(b.to_string())),
            Expr::Column(name) => self.column(None, name),
            Expr::Qualified(table, name) => self.column(Some(table), name),
            Expr::Now(_) => Err("the present time is translated in a default alone".to_owned()),
            Expr::Unary(op, inner) => self.unary(*op, inner),
            Expr::Binary(op, left, right) => self.binary(*op, left, right),
            Expr::IsNull(inner, not) => self.is_null(inner, *not),
            Expr::In(needle, items, not) => self.in_list(needle, items, *not),
            Expr::Between(x, low, high, not) => self.between(x, low, high, *not),
            Expr::Like(x, like, escape, not) => {
                let x = self.value(x)?;
                pattern::like(&x, like, escape.as_deref(), *not)
            }
            Expr::Glob(x, glob, not) => {
                let x = self.value(x)?;
                pattern::glob(&x, glob, *not)
            }
            Expr::Case(base, arms, otherwise) => self.case(base.as_deref(), arms, otherwise.as_deref()),
            Expr::Cast(inner, declared) => self.cast(inner, declared),
            Expr::Call(name, args) => call::call(self, name, args),
            Expr::Collate(inner, name) => {
                let mut value = self.wide(inner)?;
                // The outermost COLLATE is the one that holds.
                value.explicit = Some(Coll::named(name)?);
                Ok(value)
            }
            Expr::Opaque(text, reason) => Err(format!("{text}: {reason}")),
        }
    }

    /// Renders a condition.
    pub(super) fn truth(&self, expr: &Expr) -> Result<String, String> {
        let value = self.value(expr)?;
        match value.ty {
            None => Ok("NULL::boolean".to_owned()),
            Some(Ty::Bool) => Ok(value.text),
            Some(Ty::Int | Ty::Float | Ty::Numeric) => Ok(format!("({} <> 0)", value.text)),
            Some(
                Ty::Text { .. }
                | Ty::Bytes
                | Ty::Uuid
                | Ty::Date
                | Ty::Time
                | Ty::Timestamp
                | Ty::TimestampTz
                | Ty::Json
                | Ty::Other,
            ) => Err(format!("{} stands where a condition is expected", value.describe())),
        }
    }

    fn column(&self, table: Option<&str>, name: &str) -> Result<Value, String> {
        match self.scope.column(table, name) {
            Some(column) => Value::column(column),
            None => Err(format!("the column {name} is not in the target's table")),
        }
    }

    fn unary(&self, op: UnaryOp, inner: &Expr) -> Result<Value, String> {
        match op {
            UnaryOp::Not => Ok(Value::bool(format!("(NOT {})", self.truth(inner)?))),
            // It takes the affinity away and leaves the collation.
            UnaryOp::Plus => Ok(Value { affinity: None, ..self.wide(inner)? }),
            UnaryOp::Minus => {
                let value = self.value(inner)?;
                match value.ty {
                    Some(Ty::Int) if value.bounds.0 > INT64.0 => {
                        let bounds = (-value.bounds.1, -value.bounds.0);
                        Ok(Value::int(format!("(- {})", value.int8()), bounds))
                    }
                    Some(Ty::Int) => Ok(Value {
                        wide: true,
                        ..Value::int(format!("(- ({})::numeric)", value.text), INT64)
                    }),
                    Some(Ty::Float) => Ok(Value::of(format!("(- {})", value.text), Ty::Float)),
                    _ => Err(format!("minus before {} is not translated", value.describe())),
                }
            }
            UnaryOp::BitNot => {
                let value = self.value(inner)?;
                if !value.is_int() {
                    return Err(format!("~ before {} is not translated", value.describe()));
                }
                Ok(Value::int(format!("(~ {})", value.int8()), INT64))
            }
        }
    }

    fn binary(&self, op: BinaryOp, left: &Expr, right: &Expr) -> Result<Value, String> {
        match op {
            BinaryOp::And => Ok(Value::bool(format!("({} AND {})", self.truth(left)?, self.truth(right)?))),
            BinaryOp::Or => Ok(Value::bool(format!("({} OR {})", self.truth(left)?, self.truth(right)?))),
            BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge => {
                self.compare(op, left, right)
            }
            BinaryOp::Is | BinaryOp::IsNot => self.is(left, right, op == BinaryOp::IsNot),
            BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul => {
                self.arithmetic(op, &self.value(left)?, &self.value(right)?)
            }
            BinaryOp::Div | BinaryOp::Rem => self.division(op, &self.value(left)?, &self.value(right)?),
            BinaryOp::Concat => self.concat(&self.value(left)?, &self.value(right)?),
            BinaryOp::BitAnd | BinaryOp::BitOr | BinaryOp::Shl | BinaryOp::Shr => {
                self.bits(op, &self.value(left)?, &self.value(right)?)
            }
            BinaryOp::JsonGet | BinaryOp::JsonGetText => {
                Err("-> and ->> answer other types in PostgreSQL".to_owned())
            }
        }
    }

    fn arithmetic(&self, op: BinaryOp, left: &Value, right: &Value) -> Result<Value, String> {
        let countable = |v: &Value| v.is_int() || v.ty == Some(Ty::Bool);
        if !countable(left) || !countable(right) {
            return Err(format!(
                "arithmetic on {} and {} is not translated: PostgreSQL stops where SQLite has Infinity or NULL",
                left.describe(),
                right.describe()
            ));
        }
        let ((a, b), (c, d)) = (left.bounds, right.bounds);
        let (sign, bounds) = match op {
            BinaryOp::Add => ("+", (a + c, b + d)),
            BinaryOp::Sub => ("-", (a - d, b - c)),
            BinaryOp::Mul => {
                let corners = [a * c, a * d, b * c, b * d];
                let low = corners.iter().copied().min().unwrap_or(i128::MIN);
                ("*", (low, corners.iter().copied().max().unwrap_or(i128::MAX)))
            }
            _ => return Err("the operator is no sum, difference or product".to_owned()),
        };
        if INT64.0 <= bounds.0 && bounds.1 <= INT64.1 {
            return Ok(Value::int(format!("({} {sign} {})", left.int8(), right.int8()), bounds));
        }
        let text = format!("({}::numeric {sign} {}::numeric)", left.int8(), right.int8());
        Ok(Value { wide: true, ..Value::int(text, bounds) })
    }

    fn division(&self, op: BinaryOp, left: &Value, right: &Value) -> Result<Value, String> {
        let sign = if op == BinaryOp::Div { "/" } else { "%" };
        match right.constant {
            // Zero is NULL in SQLite and an error here; -1 overflows for the least integer.
            Some(Constant::Int(n)) if n != 0 && n != -1 && left.is_int() => {
                let bound =
                    if op == BinaryOp::Div { INT64 } else { (-i128::from(n).abs(), i128::from(n).abs()) };
                Ok(Value::int(format!("({} {sign} {})", left.int8(), right.int8()), bound))
            }
            _ => Err(format!(
                "{} {sign} {} is translated only for an integer and a constant other than 0 and -1",
                left.describe(),
                right.describe()
            )),
        }
    }

    fn concat(&self, left: &Value, right: &Value) -> Result<Value, String> {
        let side = |v: &Value| match v.ty {
            Some(Ty::Text { .. }) => Ok(v.text.clone()),
            Some(Ty::Int) => Ok(format!("({})::text", v.text)),
            None => Ok("NULL::text".to_owned()),
            _ => Err(format!("{} is written otherwise when it is joined to text", v.describe())),
        };
        Ok(Value::text(format!("({} || {})", side(left)?, side(right)?)))
    }

    fn bits(&self, op: BinaryOp, left: &Value, right: &Value) -> Result<Value, String> {
        if !left.is_int() || !right.is_int() {
            return Err("operators on bits are translated for integers alone".to_owned());
        }
        let text = match op {
            BinaryOp::BitAnd => format!("({} & {})", left.int8(), right.int8()),
            BinaryOp::BitOr => format!("({} | {})", left.int8(), right.int8()),
            BinaryOp::Shl | BinaryOp::Shr
                if (0..64).contains(&right.bounds.0) && right.constant.is_some() =>
            {
                let sign = if op == BinaryOp::Shl { "<<" } else { ">>" };
                format!("({} {sign} {})", left.int8(), right.text)
            }
            _ => return Err("a shift by other than a constant from 0 to 63 is not translated".to_owned()),
        };
        // What is masked with a number that is not negative is no greater than it.
        let mask = [left, right].iter().filter(|v| v.bounds.0 >= 0).map(|v| v.bounds.1).min();
        let bounds = match (op, mask) {
            (BinaryOp::BitAnd, Some(most)) => (0, most),
            _ => INT64,
        };
        Ok(Value::int(text, bounds))
    }

    fn is_null(&self, inner: &Expr, not: bool) -> Result<Value, String> {
        let word = if not { "IS NOT NULL" } else { "IS NULL" };
        // A column's NULL is a NULL whatever its type.
        let text = match inner {
            Expr::Column(name) => self.any_column(None, name)?,
            Expr::Qualified(table, name) => self.any_column(Some(table), name)?,
            other => self.value(other)?.text,
        };
        Ok(Value::bool(format!("({text} {word})")))
    }

    fn any_column(&self, table: Option<&str>, name: &str) -> Result<String, String> {
        self.scope
            .column(table, name)
            .map(|column| column.quoted)
            .ok_or_else(|| format!("the column {name} is not in the target's table"))
    }

    fn case(
        &self,
        base: Option<&Expr>,
        arms: &[(Expr, Expr)],
        otherwise: Option<&Expr>,
    ) -> Result<Value, String> {
        let mut results = Vec::with_capacity(arms.len() + 1);
        let mut conditions = Vec::with_capacity(arms.len());
        for (when, then) in arms {
            conditions.push(match base {
                Some(base) => self.compare(BinaryOp::Eq, base, when)?.text,
                None => self.truth(when)?,
            });
            results.push(self.value(then)?);
        }
        results.push(otherwise.map_or_else(|| Ok(Value::null()), |e| self.value(e))?);
        let mut unified = call::unify(&results)?;
        let mut text = "(CASE".to_owned();
        for (condition, result) in conditions.iter().zip(&unified.texts) {
            text.push_str(&format!(" WHEN {condition} THEN {result}"));
        }
        if let Some(last) = unified.texts.last() {
            text.push_str(&format!(" ELSE {last}"));
        }
        text.push_str(" END)");
        unified.value.text = text;
        Ok(unified.value)
    }

    fn cast(&self, inner: &Expr, declared: &str) -> Result<Value, String> {
        let value = self.value(inner)?;
        let affinity = Affinity::of_declared(declared);
        let cast = match (value.ty, affinity) {
            (Some(Ty::Text { .. }), Affinity::Text) => Value::text(value.text.clone()),
            (Some(Ty::Int), Affinity::Text) => Value::text(format!("({})::text", value.text)),
            (Some(Ty::Int), Affinity::Integer | Affinity::Numeric) => {
                Value::int(value.text.clone(), value.bounds)
            }
            (Some(Ty::Bool), Affinity::Integer | Affinity::Numeric) => {
                Value::int(format!("({})::int", value.text), (0, 1))
            }
            (Some(Ty::Float | Ty::Int), Affinity::Real) => {
                Value::of(format!("({})::float8", value.text), Ty::Float)
            }
            (Some(Ty::Bytes), Affinity::Blob) => Value::of(value.text.clone(), Ty::Bytes),
            _ => return Err(format!("a CAST of {} to {declared} is not translated", value.describe())),
        };
        // A CAST gives its type's affinity and keeps the collation of what it is about.
        Ok(Value { affinity: Some(affinity), implicit: value.implicit.filter(|_| cast.is_text()), ..cast })
    }
}
