//! CREATE VIEW, where it is one SELECT over tables.
//!
//! Everything else is an error with its reason: a view is small, and a reader translates it better
//! than a guess does.

use sqlite3_parser::ast::{
    As, Expr as Sql, FromClause, JoinConstraint, JoinOperator, JoinType, OneSelect, ResultColumn, Select,
    SelectTable, SortOrder, SortedColumn, Stmt,
};
use switchover_core::expr::Expr;
use switchover_core::view::{View, ViewJoin, ViewOutput, ViewTable};

use super::convert::{self, Names};
use super::name::{plain, plain_id};

/// Parses a CREATE VIEW. `columns_of` gives the visible columns of a table, in order, and `None` for
/// what is no table (a view may select from another view; that is not translated).
///
/// # Errors
/// With the reason, if it is no single SELECT over tables, joined by ON, with named outputs.
pub fn parse_view(sql: &str, columns_of: &dyn Fn(&str) -> Option<Vec<String>>) -> Result<View, String> {
    super::with_statement(sql, |statement| match statement {
        Stmt::CreateView { view_name, columns, select, temporary, .. } => {
            if *temporary {
                return Err("it is a temporary view".to_owned());
            }
            let named = columns.map(|names| names.iter().map(|c| plain(&c.col_name)).collect());
            view(plain(&view_name.name), named, select, columns_of)
        }
        _ => Err("it is no CREATE VIEW".to_owned()),
    })
}

/// A table of the view with its columns, before any expression is read.
struct Source<'s, 'b> {
    table: String,
    alias: String,
    columns: Vec<String>,
    join: ViewJoin,
    on: Option<&'s Sql<'b>>,
}

fn view(
    name: String,
    named: Option<Vec<String>>,
    select: &Select<'_>,
    columns_of: &dyn Fn(&str) -> Option<Vec<String>>,
) -> Result<View, String> {
    let no = |what: &str| Err(format!("a view with {what} is not translated"));
    if select.with.is_some() || select.body.compounds.is_some() {
        return no("WITH, UNION, EXCEPT or INTERSECT");
    }
    if select.limit.is_some() {
        return no("LIMIT");
    }
    let (columns, from, where_clause, group_by) = match &select.body.select {
        OneSelect::Values(_) => return no("VALUES"),
        OneSelect::Select { distinctness: Some(_), .. } => return no("DISTINCT"),
        OneSelect::Select { having: Some(_), .. } => return no("HAVING"),
        OneSelect::Select { window_clause: Some(_), .. } => return no("a window"),
        OneSelect::Select { columns, from, where_clause, group_by, .. } => {
            (columns, from, where_clause, group_by)
        }
    };
    let Some(from) = from else { return no("no table") };
    let sources = sources(from, columns_of)?;
    let called = columns.iter().filter_map(|column| match column {
        ResultColumn::Expr(_, alias) => alias.as_ref().map(label),
        ResultColumn::Star | ResultColumn::TableStar(_) => None,
    });
    let tables = sources.iter().map(|s| (s.alias.as_str(), s.columns.as_slice()));
    let names = Names::of_view(tables.collect(), called.collect());
    let outputs = outputs(columns, named, &sources, &names)?;
    let group_by =
        group_by.unwrap_or(&[]).iter().map(|e| term(e, &outputs, &names, false)).collect::<Result<_, _>>()?;
    let order_by = select.order_by.unwrap_or(&[]);
    let order_by = order_by.iter().map(|by| order(by, &outputs, &names)).collect::<Result<_, _>>()?;
    let filter = where_clause.map(|e| convert::expr(e, &names));
    let tables = sources.iter().map(|s| ViewTable {
        table: s.table.clone(),
        alias: s.alias.clone(),
        join: s.join,
        on: s.on.map(|e| convert::expr(e, &names)),
    });
    Ok(View { name, tables: tables.collect(), outputs, filter, group_by, order_by })
}

fn sources<'s, 'b>(
    from: &'s FromClause<'b>,
    columns_of: &dyn Fn(&str) -> Option<Vec<String>>,
) -> Result<Vec<Source<'s, 'b>>, String> {
    let first = from.select.ok_or_else(|| "a view with no table is not translated".to_owned())?;
    let mut all: Vec<Source<'s, 'b>> = vec![source(first, ViewJoin::Inner, None, columns_of)?];
    for joined in from.joins.iter().flatten() {
        let join = match joined.operator {
            JoinOperator::Comma | JoinOperator::TypedJoin(None) => ViewJoin::Inner,
            JoinOperator::TypedJoin(Some(kind)) if kind == JoinType::INNER => ViewJoin::Inner,
            JoinOperator::TypedJoin(Some(kind)) if kind == JoinType::INNER | JoinType::CROSS => {
                ViewJoin::Inner
            }
            JoinOperator::TypedJoin(Some(kind)) if kind == JoinType::LEFT | JoinType::OUTER => ViewJoin::Left,
            JoinOperator::TypedJoin(Some(_)) => {
                return Err("a view with a NATURAL, RIGHT or FULL join is not translated".to_owned());
            }
        };
        let on = match &joined.constraint {
            None => None,
            Some(JoinConstraint::On(expr)) => Some(expr),
            Some(JoinConstraint::Using(_)) => {
                return Err("a view with USING is not translated".to_owned());
            }
        };
        let next = source(&joined.table, join, on, columns_of)?;
        if all.iter().any(|s| s.alias.eq_ignore_ascii_case(&next.alias)) {
            return Err(format!("two tables of the view are called {}", next.alias));
        }
        all.push(next);
    }
    Ok(all)
}

fn source<'s, 'b>(
    table: &SelectTable<'b>,
    join: ViewJoin,
    on: Option<&'s Sql<'b>>,
    columns_of: &dyn Fn(&str) -> Option<Vec<String>>,
) -> Result<Source<'s, 'b>, String> {
    let (name, alias) = match table {
        SelectTable::Table(name, alias, _) => (plain(&name.name), alias.as_ref().map(label)),
        SelectTable::TableCall(..) => return Err("a view over a table function is not translated".to_owned()),
        SelectTable::Select(..) => return Err("a view over a subquery is not translated".to_owned()),
        SelectTable::Sub(..) => return Err("a view over a join in parentheses is not translated".to_owned()),
    };
    let columns =
        columns_of(&name).ok_or_else(|| format!("the view selects from {name}, which is no table"))?;
    Ok(Source { alias: alias.unwrap_or_else(|| name.clone()), table: name, columns, join, on })
}

fn label(alias: &As<'_>) -> String {
    match alias {
        As::As(name) | As::Elided(name) => plain(name),
    }
}

fn outputs(
    columns: &[ResultColumn<'_>],
    named: Option<Vec<String>>,
    sources: &[Source<'_, '_>],
    names: &Names<'_>,
) -> Result<Vec<ViewOutput>, String> {
    let mut found: Vec<(Option<String>, Expr)> = Vec::new();
    for column in columns {
        match column {
            ResultColumn::Star => found.extend(star(sources, None)),
            ResultColumn::TableStar(table) => found.extend(star(sources, Some(&plain(table)))),
            ResultColumn::Expr(sql, alias) => {
                let expr = convert::expr(sql, names);
                let own = match &expr {
                    Expr::Qualified(_, column) => Some(column.clone()),
                    _ => None,
                };
                found.push((alias.as_ref().map(label).or(own), expr));
            }
        }
    }
    finish(found, named)
}

/// The columns that `*` or `table.*` stands for.
fn star(sources: &[Source<'_, '_>], wanted: Option<&str>) -> Vec<(Option<String>, Expr)> {
    sources
        .iter()
        .filter(|source| wanted.is_none_or(|alias| alias.eq_ignore_ascii_case(&source.alias)))
        .flat_map(|source| {
            source
                .columns
                .iter()
                .map(|column| (Some(column.clone()), Expr::Qualified(source.alias.clone(), column.clone())))
        })
        .collect()
}

fn finish(found: Vec<(Option<String>, Expr)>, named: Option<Vec<String>>) -> Result<Vec<ViewOutput>, String> {
    if named.as_ref().is_some_and(|names| names.len() != found.len()) {
        return Err("the view names another number of columns than it selects".to_owned());
    }
    let mut outputs: Vec<ViewOutput> = Vec::with_capacity(found.len());
    for (at, (own, expr)) in found.into_iter().enumerate() {
        let name = named
            .as_ref()
            .and_then(|names| names.get(at).cloned())
            .or(own)
            .ok_or_else(|| "a column of the view is an expression without a name".to_owned())?;
        if outputs.iter().any(|output| output.name.eq_ignore_ascii_case(&name)) {
            return Err(format!("two columns of the view are called {name}"));
        }
        outputs.push(ViewOutput { name, expr });
    }
    Ok(outputs)
}

/// A term of GROUP BY or ORDER BY: a position, the name of an output, or an expression. In ORDER BY
/// the output's name comes before a column's, in GROUP BY the column's comes first.
fn term(sql: &Sql<'_>, outputs: &[ViewOutput], names: &Names<'_>, ordering: bool) -> Result<Expr, String> {
    let expr = convert::expr(sql, names);
    if let Expr::Int(position) = expr {
        return usize::try_from(position)
            .ok()
            .and_then(|p| outputs.get(p.checked_sub(1)?))
            .map(|output| output.expr.clone())
            .ok_or_else(|| format!("the view has no column {position}"));
    }
    if let Sql::Id(id) = sql
        && (ordering || matches!(expr, Expr::Opaque(..) | Expr::Text(_)))
        && let Some(output) = outputs.iter().find(|o| o.name.eq_ignore_ascii_case(&plain_id(id)))
    {
        return Ok(output.expr.clone());
    }
    Ok(expr)
}

fn order(by: &SortedColumn<'_>, outputs: &[ViewOutput], names: &Names<'_>) -> Result<(Expr, bool), String> {
    if by.nulls.is_some() {
        return Err("a view with NULLS FIRST or LAST is not translated".to_owned());
    }
    Ok((term(&by.expr, outputs, names, true)?, by.order == Some(SortOrder::Desc)))
}
