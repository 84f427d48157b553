//! Views.
//!
//! Aggregates are translated where they are exact: `count`, `sum` of integers (both stop where it
//! exceeds 64 bits), `min` and `max`. `avg` is floating point in SQLite and numeric here. SQLite lets
//! a view select a column that it neither groups by nor aggregates; PostgreSQL does not, and nor is
//! it translated; the same holds of its ORDER BY. NULL is least in SQLite, so every ORDER BY says where NULLs go.
//!
//! A truth that is computed is the number 0 or 1, as in SQLite; a column of truth values is what the target has.
//! The ON of an inner join is a part of WHERE in SQLite, and may name tables that are joined after it: then it is one here.

use std::collections::BTreeMap;
use switchover_core::expr::Expr;
use switchover_core::names;
use switchover_core::view::{View, ViewJoin};

use super::node::Renderer;
use super::value::Coll;
use super::{Scope, Ty};
use crate::postgres::dialect::IDENTIFIER_BYTES_MAX;
use crate::postgres::quote;

/// Renders the SELECT of a view. `scope` is asked with the alias that a table has in the view and
/// answers `"alias"."column"`; `table` gives a table's qualified and quoted name on the target.
///
/// # Errors
/// With the reason, if the view would show anything else than in SQLite.
pub fn render_view(
    view: &View,
    scope: &dyn Scope,
    table: &dyn Fn(&str) -> Option<String>,
) -> Result<String, String> {
    let r = Renderer { scope };
    let ordered_by = || view.order_by.iter().map(|(by, _)| by);
    let mut shown_or_ordered = view.outputs.iter().map(|output| &output.expr).chain(ordered_by());
    let grouping = !view.group_by.is_empty() || shown_or_ordered.any(is_aggregate);
    let loose = |expr: &Expr| grouping && !is_aggregate(expr) && !view.group_by.contains(expr);
    if ordered_by().any(loose) {
        return Err("the view is ordered by what it does not group by".to_owned());
    }
    if let Some((one, other)) = named_alike(view) {
        return Err(format!(
            "the columns {one} and {other} would have one name: a name ends at {IDENTIFIER_BYTES_MAX} bytes"
        ));
    }
    let mut outputs = Vec::with_capacity(view.outputs.len());
    for output in &view.outputs {
        if loose(&output.expr) {
            return Err(format!("the view shows {}, which it does not group by", output.name));
        }
        outputs.push(format!("{} AS {}", shown(&r, &output.expr)?, quote::ident(&output.name)));
    }
    let mut sql = format!("SELECT {} FROM", outputs.join(", "));
    let mut conditions = Vec::new();
    for (at, joined) in view.tables.iter().enumerate() {
        let name = table(&joined.table).ok_or_else(|| format!("the table {} is not moved", joined.table))?;
        let name = format!("{name} AS {}", quote::ident(&joined.alias));
        let mut on = joined.on.as_ref().map(|on| r.truth(on)).transpose()?;
        if let Some(later) = joined.on.as_ref().and_then(|on| later_table(view, at, on)) {
            if joined.join == ViewJoin::Left {
                let alias = &joined.alias;
                return Err(format!(
                    "the ON of the LEFT JOIN of {alias} names {later}, which is joined after it"
                ));
            }
            conditions.extend(on.take());
        }
        sql.push_str(&match (at, joined.join, on) {
            (0, _, _) => format!(" {name}"),
            (_, ViewJoin::Inner, None) => format!(" CROSS JOIN {name}"),
            (_, ViewJoin::Inner, Some(on)) => format!(" JOIN {name} ON {on}"),
            (_, ViewJoin::Left, on) => {
                format!(" LEFT JOIN {name} ON {}", on.unwrap_or_else(|| "true".to_owned()))
            }
        });
    }
    conditions.extend(view.filter.as_ref().map(|filter| r.truth(filter)).transpose()?);
    if !conditions.is_empty() {
        sql.push_str(&format!(" WHERE {}", conditions.join(" AND ")));
    }
    let groups = view.group_by.iter().map(|by| grouped(&r, by)).collect::<Result<Vec<_>, _>>()?;
    if !groups.is_empty() {
        sql.push_str(&format!(" GROUP BY {}", groups.join(", ")));
    }
    let order =
        view.order_by.iter().map(|(by, desc)| ordered(&r, by, *desc)).collect::<Result<Vec<_>, _>>()?;
    if !order.is_empty() {
        sql.push_str(&format!(" ORDER BY {}", order.join(", ")));
    }
    Ok(sql)
}

/// Two columns whose names the server cuts to the same.
fn named_alike(view: &View) -> Option<(&str, &str)> {
    let mut taken = BTreeMap::new();
    view.outputs.iter().find_map(|output| {
        let name = names::cut(&output.name, IDENTIFIER_BYTES_MAX);
        taken.insert(name, &*output.name).map(|earlier| (earlier, &*output.name))
    })
}

/// The first table that an ON names and that is joined after its own.
fn later_table<'v>(view: &'v View, at: usize, on: &Expr) -> Option<&'v str> {
    let mut named = Vec::new();
    on.visit(&mut |part| {
        if let Expr::Qualified(alias, _) = part {
            named.push(alias.clone());
        }
    });
    view.tables[at + 1..]
        .iter()
        .map(|table| table.alias.as_str())
        .find(|alias| named.iter().any(|n| n == alias))
}

fn is_aggregate(expr: &Expr) -> bool {
    matches!(expr, Expr::Call(name, args)
        if args.len() <= 1 && matches!(name.as_str(), "count" | "sum" | "min" | "max" | "avg" | "total"
            | "group_concat" | "string_agg"))
}

/// An output: a column of any type as it is, an aggregate, or a value, of which a truth is a number.
fn shown(r: &Renderer<'_>, expr: &Expr) -> Result<String, String> {
    match expr {
        Expr::Qualified(alias, name) => r
            .scope
            .column(Some(alias), name)
            .map(|column| column.quoted)
            .ok_or_else(|| format!("the column {alias}.{name} is not in the target's table")),
        Expr::Call(name, args) if is_aggregate(expr) => aggregated(r, name, args),
        other => {
            let value = r.value(other)?;
            Ok(if value.ty == Some(Ty::Bool) { format!("({})::int", value.text) } else { value.text })
        }
    }
}

fn aggregated(r: &Renderer<'_>, name: &str, args: &[Expr]) -> Result<String, String> {
    let argument = match (name, args) {
        ("count", []) => return Ok("count(*)".to_owned()),
        ("count", [Expr::Qualified(alias, column)]) => {
            let column = shown(r, &Expr::Qualified(alias.clone(), column.clone()))?;
            return Ok(format!("count({column})"));
        }
        (_, [one]) => r.value(one)?,
        _ => return Err(format!("{name}() without an argument is not translated")),
    };
    match (name, argument.ty) {
        ("count", Some(_)) => Ok(format!("count({})", argument.text)),
        ("sum", Some(Ty::Int)) => Ok(format!("(sum({}))::int8", argument.text)),
        ("min" | "max", Some(Ty::Int | Ty::Float)) => Ok(format!("{name}({})", argument.text)),
        ("min" | "max", Some(Ty::Text { .. })) if argument.implicit != Some(Coll::Nocase) => {
            Ok(format!("{name}({} COLLATE \"C\")", argument.text))
        }
        _ => Err(format!("{name}() of {} is not exact in PostgreSQL", argument.describe())),
    }
}

fn grouped(r: &Renderer<'_>, expr: &Expr) -> Result<String, String> {
    let value = r.value(expr)?;
    match value.ty {
        Some(Ty::Text { .. }) if value.implicit == Some(Coll::Nocase) => {
            Err("GROUP BY under NOCASE shows any one of the spellings".to_owned())
        }
        Some(Ty::Bool | Ty::Int | Ty::Text { .. } | Ty::Bytes) if value.constant.is_none() => Ok(value.text),
        _ => Err(format!("GROUP BY {} is not translated", value.describe())),
    }
}

fn ordered(r: &Renderer<'_>, expr: &Expr, desc: bool) -> Result<String, String> {
    let direction = if desc { "DESC NULLS LAST" } else { "ASC NULLS FIRST" };
    if is_aggregate(expr) {
        return Ok(format!("{} {direction}", shown(r, expr)?));
    }
    let value = r.wide(expr)?;
    if value.wide || value.constant.is_some() {
        return Err("ORDER BY a constant or unbounded arithmetic is not translated".to_owned());
    }
    let key = match value.ty {
        Some(Ty::Text { .. }) => {
            let coll = value.explicit.or(value.implicit).unwrap_or(Coll::Binary);
            format!("{} COLLATE \"C\"", coll.key(&value))
        }
        Some(Ty::Bool | Ty::Int | Ty::Float | Ty::Bytes) => value.text,
        _ => return Err(format!("ORDER BY {} is not translated", value.describe())),
    };
    Ok(format!("{key} {direction}"))
}
