//! How long the values of an expression can be, from the longest values of its columns.
//!
//! An upper bound for every expression that a dialect translates; what none translates has none to keep. A column of numbers
//! counts as nothing by itself, and as much as their texts take where it becomes a part of one.

use crate::expr::{BinaryOp, Expr};
use crate::plan::TablePlan;

/// A number as text: a sign, 17 digits, a point and an exponent, or 20 digits.
const NUMBER_BYTES: u64 = 24;

/// The bytes of the longest value.
pub(super) fn longest(plan: &TablePlan, expr: &Expr) -> u64 {
    let of = |expr: &Expr| longest(plan, expr);
    let text = |expr: &Expr| of(expr).max(NUMBER_BYTES);
    let max = |parts: &mut dyn Iterator<Item = &Expr>| parts.map(of).max().unwrap_or(NUMBER_BYTES);
    match expr {
        Expr::Column(name) | Expr::Qualified(_, name) => {
            let column = plan.columns.iter().find(|column| column.source.eq_ignore_ascii_case(name));
            let bytes = column.map(|column| column.census.text_bytes_max.max(column.census.blob_bytes_max));
            bytes.unwrap_or(0)
        }
        Expr::Text(text) => text.len() as u64,
        Expr::Blob(bytes) => bytes.len() as u64,
        Expr::Binary(BinaryOp::Concat, a, b) => text(a).saturating_add(text(b)),
        Expr::Unary(_, a) | Expr::Cast(a, _) | Expr::Collate(a, _) => of(a),
        Expr::Case(_, arms, otherwise) => {
            max(&mut arms.iter().map(|(_, then)| then).chain(otherwise.as_deref()))
        }
        Expr::Call(name, args) => match (name.as_str(), args.as_slice()) {
            ("length" | "instr", _) => NUMBER_BYTES,
            ("hex", [x]) => text(x).saturating_mul(2),
            ("replace", [x, Expr::Text(from), to]) => {
                let times = text(x) / (from.len() as u64).max(1);
                text(x).saturating_add(times.saturating_mul(text(to)))
            }
            // All others give one of their arguments, or a part of one.
            _ => max(&mut args.iter()),
        },
        _ => NUMBER_BYTES,
    }
}
