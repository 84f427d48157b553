//! Sizes: what a row and a table take on the target, and how long it may take.

use super::Draft;
use crate::census::TableCensus;
use crate::connector::Dialect;
use crate::plan::{LogicalType, TablePlan};
use crate::schema::Locator;
use crate::value::{OwnedValue, Row};

/// A tuple's header.
const TUPLE_HEADER_BYTES: u64 = 24;
/// What a value moved out of line leaves behind (`TOAST_POINTER_SIZE`).
const TOAST_POINTER_BYTES: u64 = 18;
/// Bytes on the target for a byte of payload, with write-ahead log; measured at 2.1 for chat messages.
const TARGET_FACTOR: f64 = 2.2;
/// Bytes of overhead a row, with its index entries.
const TARGET_ROW_BYTES: u64 = 120;
/// Payload that a machine with two cores copies, indexes and verifies in a second, on the safe side.
const BYTES_PER_SECOND: f64 = 60e6;
/// Rows, likewise.
const ROWS_PER_SECOND: f64 = 150_000.0;
/// Bytes of a file that are backed up and checked in a second.
const BACKUP_BYTES_PER_SECOND: f64 = 250e6;

/// Bytes that a source of that size will take on the target: a guess for before there is a census.
pub fn target_bytes_about(source_bytes: u64) -> u64 {
    (source_bytes as f64 * TARGET_FACTOR) as u64
}

/// Refuses what does not fit a page, or is too wide.
pub(super) fn check(
    table: &TablePlan,
    census: Option<&TableCensus>,
    dialect: &dyn Dialect,
    draft: &mut Draft,
) {
    let columns = table.columns.len();
    if columns > dialect.columns_max() {
        draft.refuse(
            &table.source,
            "",
            format!("{columns} columns; a table of the target ends at {}", dialect.columns_max()),
            "split the table on the source, or leave it with --exclude",
        );
        return;
    }
    let Some(max) = dialect.row_bytes_max() else { return };
    let widths: u64 = table.columns.iter().map(least_width).sum();
    // The widest row is known for tables of many columns, where each may be wide in another row.
    let widest = census.and_then(|census| census.row_width_max).unwrap_or(u64::MAX);
    let bytes: u64 = TUPLE_HEADER_BYTES + columns.div_ceil(8) as u64 + widths.min(widest);
    if bytes > max {
        draft.refuse(
            &table.source,
            "",
            format!("its longest row takes at least {bytes} bytes on a page, which ends at {max}"),
            "split the table on the source, or leave it with --exclude",
        );
    }
}

/// What the column's largest value keeps within the page.
fn least_width(column: &crate::plan::ColumnPlan) -> u64 {
    let present = column.census.present() > 0;
    match column.r#type {
        _ if !present => 0,
        LogicalType::Bool => 1,
        LogicalType::Int8
        | LogicalType::Float8
        | LogicalType::Time
        | LogicalType::Timestamp
        | LogicalType::TimestampTz => 8,
        LogicalType::Int2 => 2,
        LogicalType::Int4 | LogicalType::Float4 | LogicalType::Date => 4,
        LogicalType::Uuid => 16,
        LogicalType::Numeric(_) => 10,
        LogicalType::Text
        | LogicalType::Varchar(_)
        | LogicalType::Char(_)
        | LogicalType::Bytea
        | LogicalType::Json
        | LogicalType::Jsonb
        | LogicalType::TextArray
        | LogicalType::Array(_)
        | LogicalType::Inet
        | LogicalType::Cidr
        | LogicalType::Macaddr
        | LogicalType::Interval
        | LogicalType::Vector
        | LogicalType::Declared
        | LogicalType::Any => {
            (column.census.text_bytes_max.max(column.census.blob_bytes_max) + 1).min(TOAST_POINTER_BYTES)
        }
    }
}

/// Bytes that the target will take.
pub(super) fn target_bytes(tables: &[TablePlan]) -> u64 {
    tables
        .iter()
        .map(|table| (table.bytes as f64 * TARGET_FACTOR) as u64 + table.rows * TARGET_ROW_BYTES)
        .sum()
}

/// Seconds that the whole migration may take.
pub(super) fn estimate_s(tables: &[TablePlan], file_bytes: u64) -> f64 {
    let (rows, bytes) = tables.iter().fold((0, 0), |(rows, bytes), t| (rows + t.rows, bytes + t.bytes));
    let work = (bytes as f64 / BYTES_PER_SECOND).max(rows as f64 / ROWS_PER_SECOND);
    work + file_bytes as f64 / BACKUP_BYTES_PER_SECOND
}

/// A row's key as messages name it, by the source's columns; `None` in a table without one.
pub fn shown_key(plan: &TablePlan, row: &Row<'_>) -> Option<String> {
    let fields = plan.key_fields();
    let cells =
        fields.iter().map(|field| format!("{}={}", plan.columns[*field].source, row.value(*field).shown()));
    (!fields.is_empty()).then(|| cells.collect::<Vec<_>>().join(", "))
}

/// A row as messages name it: by its locator, or by its key where it came without one, as changes do.
pub fn shown_row(plan: &TablePlan, row: &Row<'_>) -> String {
    let locator = row.locator();
    match locator.is_empty() {
        true => shown_key(plan, row).unwrap_or_default(),
        false => shown_locator(plan, &locator),
    }
}

/// A row's locator as messages name it.
pub fn shown_locator(plan: &TablePlan, locator: &[OwnedValue]) -> String {
    let values = locator.iter().map(|value| value.borrow().shown());
    match &plan.locator {
        Locator::RowId(name) => {
            format!("{}={}", name.trim_matches('"'), values.collect::<Vec<_>>().join(","))
        }
        Locator::Ordinal => format!("row {}", values.collect::<Vec<_>>().join(",")),
        Locator::Key(_) if !plan.parts.is_empty() => match locator {
            [OwnedValue::Int(part), row] => {
                let part = usize::try_from(*part).ok().and_then(|part| plan.parts.get(part));
                let part = part.map_or("an unknown table", String::as_str);
                format!("{part} rowid={}", row.borrow().shown())
            }
            _ => values.collect::<Vec<_>>().join(","),
        },
        Locator::Key(names) => {
            let pairs: Vec<String> =
                names.iter().zip(values).map(|(name, value)| format!("{name}={value}")).collect();
            pairs.join(", ")
        }
    }
}
