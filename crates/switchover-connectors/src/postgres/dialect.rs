//! What PostgreSQL can say of a source's schema: the planner's view of this connector. Pure.

use super::expression::{self, ColumnRef, Ty};
use super::{inside, quote};
use switchover_core::census::ColumnCensus;
use switchover_core::codec::Codec;
use switchover_core::connector::{Choice, Dialect, ScopeColumn};
use switchover_core::expr::Expr;
use switchover_core::limits::POSTGRES_COLUMNS_MAX;
use switchover_core::mapping::IndexMap;
use switchover_core::plan::{ColumnPlan, LogicalType, TablePlan};
use switchover_core::schema::{Column, Generated, Index, View};
use switchover_core::typing;

/// PostgreSQL's dialect.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PostgresDialect;

/// `NAMEDATALEN - 1`, as every packaged server is built.
pub(super) const IDENTIFIER_BYTES_MAX: usize = 63;

/// What the names of the server's own schemas begin with.
const RESERVED_SCHEMAS: &str = "pg_";

/// Columns of an index (`INDEX_MAX_KEYS`).
const INDEX_COLUMNS_MAX: usize = 32;

/// A btree entry ends here (`BTMaxItemSize` with 8 KiB pages).
const BTREE_ENTRY_BYTES_MAX: u64 = 2704;

/// Bytes of a heap page that one tuple may fill (`MaxHeapTupleSize` with 8 KiB pages).
const TUPLE_BYTES_MAX: u64 = 8160;

/// What is wrong with the name of a schema.
pub(super) fn schema_fault(schema: &str) -> Option<String> {
    if schema.is_empty() || schema.contains('\0') {
        return Some("the schema's name is empty or holds a NUL character".into());
    }
    if schema.len() > IDENTIFIER_BYTES_MAX {
        let bytes = schema.len();
        return Some(format!(
            "the schema's name \"{schema}\" has {bytes} bytes; a name ends at {IDENTIFIER_BYTES_MAX}"
        ));
    }
    let kept = schema.starts_with(RESERVED_SCHEMAS);
    kept.then(|| {
        format!(
            "the server keeps the schema \"{schema}\" for itself, as all whose names begin with {RESERVED_SCHEMAS}"
        )
    })
}

/// The type as the expression renderer knows it.
fn ty(ty: LogicalType, collation: &str) -> Ty {
    match ty {
        LogicalType::Bool => Ty::Bool,
        LogicalType::Int8 => Ty::Int,
        LogicalType::Float8 => Ty::Float,
        LogicalType::Numeric(_) => Ty::Numeric,
        LogicalType::Text | LogicalType::Varchar(_) => match collation {
            "BINARY" => Ty::Text { nocase: false },
            "NOCASE" => Ty::Text { nocase: true },
            _ => Ty::Other,
        },
        LogicalType::Bytea => Ty::Bytes,
        LogicalType::Uuid => Ty::Uuid,
        LogicalType::Date => Ty::Date,
        LogicalType::Timestamp => Ty::Timestamp,
        LogicalType::TimestampTz => Ty::TimestampTz,
        LogicalType::Jsonb => Ty::Json,
        // Only columns that are there already have these, and nothing is translated for them.
        LogicalType::Int2
        | LogicalType::Int4
        | LogicalType::Float4
        | LogicalType::Char(_)
        | LogicalType::Json
        | LogicalType::Time
        | LogicalType::TextArray
        | LogicalType::Array(_)
        | LogicalType::Inet
        | LogicalType::Cidr
        | LogicalType::Macaddr
        | LogicalType::Interval => Ty::Other,
        // Not of this target: see `Dialect::takes`.
        LogicalType::Declared | LogicalType::Any | LogicalType::Vector => Ty::Other,
    }
}

struct Columns<'a>(&'a [ScopeColumn]);

impl expression::Scope for Columns<'_> {
    fn column(&self, table: Option<&str>, name: &str) -> Option<ColumnRef> {
        if table.is_some() {
            return None;
        }
        let column = self.0.iter().find(|column| column.source.eq_ignore_ascii_case(name))?;
        Some(ColumnRef {
            quoted: column.computed.clone().unwrap_or_else(|| quote::ident(&column.target)),
            ty: if column.exact { ty(column.r#type, &column.collation) } else { Ty::Other },
            affinity: column.affinity,
        })
    }
}

/// The columns of a view's tables, by alias.
struct ViewScope<'a> {
    view: &'a switchover_core::view::View,
    tables: &'a [TablePlan],
}

impl expression::Scope for ViewScope<'_> {
    fn column(&self, alias: Option<&str>, name: &str) -> Option<ColumnRef> {
        let alias = alias?;
        let table = self.view.tables.iter().find(|table| table.alias == alias)?;
        let plan = self.tables.iter().find(|plan| plan.source.eq_ignore_ascii_case(&table.table))?;
        let column = plan.columns.iter().find(|column| column.source.eq_ignore_ascii_case(name))?;
        let exact = column.codec.keeps_meaning();
        Some(ColumnRef {
            quoted: format!("{}.{}", quote::ident(alias), quote::ident(&column.target)),
            ty: if exact { ty(column.r#type, &column.collation) } else { Ty::Other },
            affinity: switchover_core::expr::Affinity::of_declared(&column.declared),
        })
    }
}

/// Bytes of what a generated column is computed as. One that names another twice is twice as long: thirty of such would
/// fill the memory, and nobody writes one as long as this.
const GENERATED_BYTES_MAX: usize = 1 << 16;

impl Dialect for PostgresDialect {
    fn identifier_bytes_max(&self) -> usize {
        IDENTIFIER_BYTES_MAX
    }

    fn columns_max(&self) -> usize {
        POSTGRES_COLUMNS_MAX
    }

    fn index_entry_bytes_max(&self) -> Option<u64> {
        Some(BTREE_ENTRY_BYTES_MAX)
    }

    fn index_columns_max(&self) -> Option<usize> {
        Some(INDEX_COLUMNS_MAX)
    }

    fn row_bytes_max(&self) -> Option<u64> {
        Some(TUPLE_BYTES_MAX)
    }

    fn schema_fault(&self, schema: &str) -> Option<String> {
        schema_fault(schema)
    }

    fn takes(&self, logical: LogicalType, codec: &Codec) -> bool {
        !matches!(logical, LogicalType::Declared | LogicalType::Any | LogicalType::Vector)
            && !matches!(codec, Codec::Any { .. } | Codec::Reverse { .. })
    }

    fn is_system_column(&self, name: &str) -> bool {
        matches!(name, "tableoid" | "xmin" | "cmin" | "xmax" | "cmax" | "ctid")
    }

    fn choose(&self, column: &Column, census: &ColumnCensus) -> Choice {
        typing::choose(column, census)
    }

    fn translate_default(&self, column: &Column, logical: LogicalType) -> Result<String, String> {
        match &column.default {
            Some(default) => {
                expression::render_default(&default.expr, ty(logical, "BINARY"), column.affinity)
            }
            None => Err("there is none".into()),
        }
    }

    fn translate_generated(
        &self,
        generated: &Generated,
        logical: LogicalType,
        scope: &[ScopeColumn],
    ) -> Result<String, String> {
        let sql = expression::render_generated(&generated.expr, ty(logical, "BINARY"), &Columns(scope))?;
        match sql.len() {
            ..=GENERATED_BYTES_MAX => Ok(sql),
            _ => Err("it is too long with those of the columns that it is computed from".into()),
        }
    }

    fn translate_check(&self, check: &Expr, scope: &[ScopeColumn]) -> Result<String, String> {
        expression::render_check(check, &Columns(scope))
    }

    fn translate_index(
        &self,
        index: &Index,
        scope: &[ScopeColumn],
    ) -> Result<(Vec<String>, Option<String>), String> {
        // A part that is a column alone names its collation, whatever the column's own is.
        let plain: Vec<ScopeColumn> =
            scope.iter().map(|column| ScopeColumn { collation: "BINARY".into(), ..column.clone() }).collect();
        let (scope, plain) = (Columns(scope), Columns(&plain));
        let parts: Result<Vec<String>, String> = index
            .parts
            .iter()
            .map(|part| {
                let scope = if matches!(part.expr, Expr::Column(_)) { &plain } else { &scope };
                expression::render_index_part(&part.expr, Some(&part.collation), part.descending, scope)
            })
            .collect();
        let predicate =
            index.predicate.as_ref().map(|expr| expression::render_predicate(expr, &scope)).transpose()?;
        Ok((parts?, predicate))
    }

    fn special_index(&self, index: &IndexMap, columns: &[&ColumnPlan]) -> Result<Vec<String>, String> {
        inside::parts(index, columns)
    }

    fn translate_view(&self, view: &View, tables: &[TablePlan], schema: &str) -> Result<String, String> {
        let query = view.query.as_ref().map_err(String::clone)?;
        let table_of = |name: &str| tables.iter().find(|table| table.source.eq_ignore_ascii_case(name));
        let scope = ViewScope { view: query, tables };
        expression::render_view(query, &scope, &|name| {
            table_of(name).map(|table| quote::qualified(schema, &table.target))
        })
    }
}
