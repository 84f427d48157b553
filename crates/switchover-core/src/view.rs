//! A neutral view: one SELECT over joined tables, free of any store's syntax.
//!
//! A source's connector reads its view into this, or says why it does not fit; a target's connector
//! renders it, or says why it would mean something else. Compound queries, subqueries, windows,
//! DISTINCT, HAVING and LIMIT have no place here on purpose.

use serde::{Deserialize, Serialize};

use crate::expr::Expr;

/// A view. Its columns are all [`Expr::Qualified`] by the alias of their table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// Its name.
    pub name: String,
    /// What it selects, in order.
    pub outputs: Vec<ViewOutput>,
    /// What it selects from, in order.
    pub tables: Vec<ViewTable>,
    /// WHERE.
    pub filter: Option<Expr>,
    /// GROUP BY.
    pub group_by: Vec<Expr>,
    /// ORDER BY, and whether DESC.
    pub order_by: Vec<(Expr, bool)>,
}

/// A column of a view.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ViewOutput {
    /// Its name.
    pub name: String,
    /// What it shows. A call of `count`, `sum`, `min` or `max` with at most one argument is an aggregate.
    pub expr: Expr,
}

/// A table of a view.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ViewTable {
    /// The table.
    pub table: String,
    /// The name that it has in the view.
    pub alias: String,
    /// How it is joined to the tables before it.
    pub join: ViewJoin,
    /// ON.
    pub on: Option<Expr>,
}

/// How a table is joined to those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ViewJoin {
    /// The first table, or a comma, JOIN, INNER JOIN or CROSS JOIN.
    Inner,
    /// LEFT JOIN.
    Left,
}
