//! The statements of one table's rows and keys, made once for a run.

use super::session::unnested;
use crate::postgres::copy_encode::{self, Field};
use crate::postgres::{quote, reader};
use switchover_core::plan::{LogicalType, Plan, TablePlan};

/// A table as the live work sees it.
pub(super) struct Shape {
    /// Its qualified name.
    pub(super) name: String,
    /// The key's fields; none when rows have no key.
    pub(super) key: Vec<usize>,
    /// The key's types.
    pub(super) key_types: Vec<LogicalType>,
    /// All columns' types.
    pub(super) types: Vec<LogicalType>,
    /// What is written of a row.
    pub(super) fields: Vec<Field>,
    /// Removes the rows of keys, or all of them when there is no key.
    pub(super) delete: String,
    /// Removes all rows.
    pub(super) delete_all: String,
    /// Takes rows.
    pub(super) copy: String,
    /// Finds the rows of keys.
    pub(super) fetch: String,
    /// All rows.
    pub(super) all: String,
    /// The columns, each as `t.name`.
    pub(super) columns: String,
}

/// Each table's.
pub(super) fn shapes(plan: &Plan) -> Vec<Shape> {
    plan.tables.iter().map(|table| shape(&plan.options.schema, table)).collect()
}

fn shape(schema: &str, table: &TablePlan) -> Shape {
    let name = quote::qualified(schema, &table.target);
    let key = table.key_fields();
    let key_types: Vec<LogicalType> = key.iter().map(|field| table.columns[*field].r#type).collect();
    let met = meet(table, &key);
    let keys = unnested(&key_types);
    let columns: Vec<String> =
        table.columns.iter().map(|column| format!("t.{}", quote::ident(&column.target))).collect();
    let columns = columns.join(", ");
    let fields = copy_encode::unproven(table);
    let written: Vec<String> =
        fields.iter().map(|field| quote::ident(&table.columns[field.index].target)).collect();
    Shape {
        delete: format!("DELETE FROM ONLY {name} AS t USING {keys} WHERE {met}"),
        delete_all: format!("DELETE FROM ONLY {name}"),
        copy: format!("COPY {name} ({}) FROM STDIN (FORMAT binary)", written.join(", ")),
        fetch: format!("SELECT {columns} FROM {keys} JOIN {name} AS t ON {met}"),
        all: format!("SELECT {} FROM {name}", reader::columns(table)),
        types: table.columns.iter().map(|column| column.r#type).collect(),
        name,
        key,
        key_types,
        fields,
        columns,
    }
}

/// The condition by which `t`, the plan's table, and `k`, keys, meet.
pub(super) fn meet(table: &TablePlan, key: &[usize]) -> String {
    let equal = key
        .iter()
        .enumerate()
        .map(|(at, field)| format!("t.{} = k.k{at}", quote::ident(&table.columns[*field].target)));
    equal.collect::<Vec<_>>().join(" AND ")
}

/// The type without its limits, as a key is compared: a cast to a limit would cut.
pub(super) fn base(ty: LogicalType) -> String {
    match ty {
        LogicalType::Varchar(_) => "pg_catalog.varchar".into(),
        LogicalType::Char(_) => "pg_catalog.bpchar".into(),
        LogicalType::Numeric(_) => "pg_catalog.numeric".into(),
        other => other.to_string(),
    }
}
