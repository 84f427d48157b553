//! Why rows could not be read: the mapping's expression that fails, or the collation that only the application has.
//!
//! SQLite says what failed, and not where. So when it rejects a statement, the parts of it are tried one by one.
//! Only ever asked after an error, which is given back as it was when no part is found to blame.

use super::quote::{literal, qualified};
use rusqlite::Connection;
use switchover_core::relation::{CellFrom, Fragment, Part, Relations};
use switchover_core::schema::Locator;
use switchover_core::{Error, Kind};

const OPERATION: &str = "read rows of the source";

/// The error with what is to blame for it, where that is found.
pub(super) fn explain(connection: &Connection, relations: &Relations, table: &str, error: Error) -> Error {
    if error.kind() != Kind::Rejected {
        return error;
    }
    let found = match relations.get(table) {
        Some(relation) => relation.parts.iter().find_map(|part| of_part(connection, table, part)),
        None => of_collation(connection, table),
    };
    // Where even that cannot be asked, the first error says more.
    found.unwrap_or(error)
}

/// The first expression of a part that fails.
fn of_part(connection: &Connection, table: &str, part: &Part) -> Option<Error> {
    let own = |cell: &switchover_core::relation::Cell| match &cell.from {
        CellFrom::Computed(fragment) => Some((cell.name.clone(), fragment.clone())),
        CellFrom::Column(_) => None,
    };
    let filter = part.filter.iter().map(|filter| (None, filter.clone()));
    let cells = part.cells.iter().filter_map(own).map(|(name, fragment)| (Some(name), fragment));
    filter.chain(cells).find_map(|(column, fragment)| {
        let (why, key) = failure(connection, part, &fragment, column.is_some())?;
        let error = fragment.error(why).table(table).hint(
            "write it so that every row has a value (iif, CASE, coalesce), or leave such rows with `where`",
        );
        let error = match column {
            Some(column) => error.column(column),
            None => error,
        };
        Some(match key {
            Some(key) => error.key(key),
            None => error,
        })
    })
}

/// What SQLite says of the expression, and the key of the row, where rows have numbers.
fn failure(
    connection: &Connection,
    part: &Part,
    fragment: &Fragment,
    filtered: bool,
) -> Option<(String, Option<String>)> {
    let from = format!("{} NOT INDEXED", qualified("main", &part.table));
    // The line break ends a comment that an expression may end with.
    let filter = part.filter.as_ref().filter(|_| filtered).map(|filter| format!("({}\n)", filter.text));
    let only = filter.as_ref().map(|filter| format!(" WHERE {filter}")).unwrap_or_default();
    let Locator::RowId(rowid) = &part.locator else {
        let from = from.trim_end_matches(" NOT INDEXED");
        let sql = format!("SELECT ({}\n) FROM {from}{only}", fragment.text);
        return Some((walk(connection, &sql).err()?.0, None));
    };
    let sql = format!("SELECT {rowid}, ({}\n) FROM {from}{only} ORDER BY {rowid}", fragment.text);
    let (why, last) = walk(connection, &sql).err()?;
    let mut after: Vec<String> = filter.into_iter().collect();
    after.extend(last.map(|last| format!("{rowid} > {last}")));
    let after = if after.is_empty() { String::new() } else { format!(" WHERE {}", after.join(" AND ")) };
    let sql = format!("SELECT {rowid} FROM {from}{after} ORDER BY {rowid} LIMIT 1");
    let key: Option<i64> = connection.query_row(&sql, [], |row| row.get(0)).ok();
    let name = rowid.trim_matches('"').replace("\"\"", "\"");
    Some((why, key.map(|key| format!("{name}={key}"))))
}

/// Reads all rows. Else what SQLite said, and the number in the first column of the row before.
fn walk(connection: &Connection, sql: &str) -> Result<(), (String, Option<i64>)> {
    let mut last = None;
    let said = |error: rusqlite::Error| error.to_string();
    let mut statement = connection.prepare(sql).map_err(|error| (said(error), None))?;
    let mut rows = statement.query([]).map_err(|error| (said(error), None))?;
    loop {
        match rows.next() {
            Ok(Some(row)) => last = row.get(0).ok(),
            Ok(None) => return Ok(()),
            Err(error) => return Err((said(error), last)),
        }
    }
}

/// A key that is the table itself (WITHOUT ROWID) is read by its collation, or not at all.
fn of_collation(connection: &Connection, table: &str) -> Option<Error> {
    let sql = format!(
        "SELECT x.name, x.coll FROM pragma_index_list({}) i, pragma_index_xinfo(i.name) x
         WHERE i.origin = 'pk' AND x.key AND upper(x.coll) NOT IN ('BINARY', 'NOCASE', 'RTRIM')",
        literal(table)
    );
    let (column, collation): (String, String) =
        connection.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?))).ok()?;
    let detail = format!(
        "its key compares by the collation {collation}, which only the application has, and a table WITHOUT ROWID is \
         read by its key"
    );
    Some(
        Error::new(Kind::Unsupported, OPERATION)
            .table(table)
            .column(column)
            .detail(detail)
            .hint("leave the table with --exclude, or make it anew on the source without that collation"),
    )
}
