//! What the source says of its own rows: how many there are, and which break a rule.

use super::connect::Connection;
use super::pull::Pulls;
use super::quote;
use super::shape::Shape;
use switchover_core::connector::{Extent, Offenders};
use switchover_core::plan::LogicalType;
use switchover_core::schema::{ForeignKey, Locator};
use switchover_core::value::Rows;
use switchover_core::{Error, Kind, Result};

/// The server's own count.
pub(super) async fn count(connection: &Connection, shape: &Shape) -> Result<u64> {
    let sql = format!("SELECT pg_catalog.count(*) FROM {}", shape.from);
    let row = connection.client().query_one(&sql, &[]).await;
    let counted: i64 =
        row.map_err(|error| connection.classify(error, "count the rows of the source"))?.get(0);
    // A count is never negative.
    Ok(u64::try_from(counted).unwrap_or(0))
}

/// Rows, and the smallest and the largest number of a key.
pub(super) async fn extent(connection: &Connection, shape: &Shape, name: &str) -> Result<Extent> {
    let column = quote::ident(name);
    let sql = format!(
        "SELECT pg_catalog.count(*), pg_catalog.min({column})::pg_catalog.int8, pg_catalog.max({column})::pg_catalog.int8
         FROM {}",
        shape.from
    );
    let row = connection.client().query_one(&sql, &[]).await;
    let row = row.map_err(|error| connection.classify(error, "count the rows of the source"))?;
    let (rows, low, high): (i64, Option<i64>, Option<i64>) = (row.get(0), row.get(1), row.get(2));
    Ok(Extent { rows: u64::try_from(rows).unwrap_or(0), span: low.zip(high) })
}

/// The number of a row of a table without a key, as a column.
const NUMBER: &str = "\"row's number\"";

/// The rows under an alias; those without a key have their number. The order of reading numbers them, as it does where all of
/// them are read.
fn rows_as(shape: &Shape, alias: &str) -> String {
    if shape.locator != Locator::Ordinal {
        return format!("{} {alias}", shape.from);
    }
    let names: Vec<String> = shape.columns.iter().map(|form| quote::ident(&form.name)).collect();
    let names = std::iter::once(NUMBER.to_owned()).chain(names).collect::<Vec<_>>().join(", ");
    format!("(SELECT pg_catalog.row_number() OVER (), t.* FROM {} t) {alias}({names})", shape.from)
}

/// What rows are ordered by.
fn order(shape: &Shape, alias: &str) -> Result<String> {
    let key: Vec<String> = shape.key()?.iter().map(|form| form.order(alias)).collect();
    Ok(if key.is_empty() { format!("{alias}.{NUMBER}") } else { key.join(", ") })
}

/// A column as it is compared: by what the target is given, whatever the type of the source holds for equal.
fn compared(shape: &Shape, name: &str, alias: &str) -> Result<String> {
    let form = shape.form(name).ok_or_else(|| {
        Error::new(Kind::Changed, "compare rows of the source")
            .column(name)
            .detail("the source has no such column")
            .hint("plan again")
    })?;
    Ok(form.order(alias))
}

/// The rows for which a condition on `c` holds.
async fn offenders(pulls: &Pulls, shape: &Shape, condition: &str, limit: usize) -> Result<Offenders> {
    let key = shape.key()?;
    let (items, types) = if key.is_empty() {
        (format!("c.{NUMBER}"), vec![LogicalType::Int8])
    } else {
        let items: Vec<String> = key.iter().map(|form| form.select("c")).collect();
        (items.join(", "), key.iter().map(|form| form.wire).collect())
    };
    let (rows, order) = (rows_as(shape, "c"), order(shape, "c")?);
    let sql = format!("SELECT {items} FROM {rows} WHERE {condition} ORDER BY {order}");
    let mut found = Offenders::default();
    let observe = |rows: &Rows| {
        for row in rows.iter() {
            found.count += 1;
            if found.first.len() < limit {
                found.first.push(row.locator());
            }
        }
    };
    pulls.each(&format!("COPY ({sql}) TO STDOUT (FORMAT binary)"), types, observe).await?;
    Ok(found)
}

/// Rows whose foreign key names no row of the parent: a constraint may not be valid, or not be there. The target holds to it
/// by the values that it is given.
pub(super) async fn orphans(
    pulls: &Pulls,
    child: &Shape,
    parent: &Shape,
    key: &ForeignKey,
    limit: usize,
) -> Result<Offenders> {
    if key.columns.len() != key.parent_columns.len() || key.columns.is_empty() {
        return Err(Error::new(Kind::Refused, "check a foreign key of the source")
            .column(key.columns.join(", "))
            .detail(format!("it names {} columns of {}", key.parent_columns.len(), key.parent)));
    }
    let present: Vec<String> =
        key.columns.iter().map(|name| format!("c.{} IS DISTINCT FROM NULL", quote::ident(name))).collect();
    let mut equal = Vec::with_capacity(key.columns.len());
    for (own, name) in key.parent_columns.iter().zip(&key.columns) {
        equal.push(format!("{} = {}", compared(parent, own, "p")?, compared(child, name, "c")?));
    }
    let condition = format!(
        "{} AND NOT EXISTS (SELECT 1 FROM {} p WHERE {})",
        present.join(" AND "),
        parent.from,
        equal.join(" AND ")
    );
    offenders(pulls, child, &condition, limit).await
}

/// Rows that equal an earlier row in the given columns. The server compares; the collations that are
/// asked for are SQLite's, of which this store has only the bytes.
pub(super) async fn duplicates(
    pulls: &Pulls,
    shape: &Shape,
    columns: &[(String, String)],
    limit: usize,
) -> Result<Offenders> {
    let mut equal = Vec::with_capacity(columns.len());
    for (name, _) in columns {
        equal.push(format!("{} = {}", compared(shape, name, "d")?, compared(shape, name, "c")?));
    }
    let condition = format!(
        "EXISTS (SELECT 1 FROM {} WHERE {} AND ({}) < ({}))",
        rows_as(shape, "d"),
        equal.join(" AND "),
        order(shape, "d")?,
        order(shape, "c")?
    );
    offenders(pulls, shape, &condition, limit).await
}
