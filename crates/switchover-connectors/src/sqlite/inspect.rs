//! Reading a SQLite database's catalog.
//!
//! The PRAGMAs say what SQLite made of the schema; the stored DDL says what they leave out
//! (expressions, names of constraints, collations). Where the DDL cannot be read, the table is still
//! moved with what the PRAGMAs say, and the plan gets a line. Nothing is skipped without one.

use super::ddl;
use super::error::classify;
use super::live::records;
use super::quote::{ident, literal, qualified};
use rusqlite::Connection;
use std::path::Path;
use switchover_core::Result;
use switchover_core::expr::Expr;
use switchover_core::schema::{
    Affinity, Catalog, Check, Column, Default, ForeignKey, Generated, Index, IndexPart, Locator, PrimaryKey,
    Skipped, StoreInfo, Table, Trigger, Unique, View,
};

/// PRAGMAs that a report should show, because they change what the data means or how it is written.
const SETTINGS: [&str; 9] = [
    "journal_mode",
    "page_size",
    "page_count",
    "freelist_count",
    "auto_vacuum",
    "user_version",
    "application_id",
    "schema_version",
    "foreign_keys",
];

struct Listed {
    name: String,
    kind: String,
    without_rowid: bool,
    strict: bool,
    sql: String,
}

/// The catalog, as the connection's transaction sees it.
pub(super) fn catalog(connection: &Connection, path: &Path) -> Result<Catalog> {
    let fail = |error| classify(error, "read the schema of the source", path);
    let mut catalog = Catalog { store: store(connection, path)?, ..Catalog::default() };
    let mut hash = blake3::Hasher::new();
    let objects = objects(connection).map_err(fail)?;
    let live: Vec<String> = (objects.iter())
        .filter(|(kind, name, _, sql)| kind == "table" && records::is_record(name, sql))
        .map(|(_, name, ..)| name.clone())
        .collect();
    if [records::LIVE_NAME, records::OBJECT_NAME].iter().all(|name| live.iter().any(|table| table == name)) {
        catalog.store.fenced_by = records::fenced_by(connection).map_err(fail)?;
    }
    for (kind, name, table, sql) in objects {
        // What a live run made in the file is no part of the application's schema.
        if live.contains(&table) || (!live.is_empty() && kind == "trigger" && records::is_trigger(&name)) {
            continue;
        }
        for part in [&kind, &name, &sql] {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        match kind.as_str() {
            "view" => catalog.views.push(View { name, text: sql, query: Err(String::new()) }),
            "trigger" => catalog.triggers.push(Trigger { name, table, text: sql }),
            _ => {}
        }
    }
    catalog.schema_hash = hash.finalize().to_hex().to_string();
    for listed in tables(connection).map_err(fail)? {
        match listed.kind.as_str() {
            "shadow" => catalog.skipped.push(Skipped {
                kind: "shadow table".into(),
                name: listed.name,
                why: "it is the storage of a virtual table, whose content is moved instead".into(),
            }),
            "table" if matches!(listed.name.as_str(), "sqlite_schema" | "sqlite_temp_schema") => {}
            "table" if listed.name.starts_with("sqlite_") => catalog.skipped.push(Skipped {
                kind: "system table".into(),
                why: match listed.name.as_str() {
                    "sqlite_sequence" => "its numbers become the start of identity columns".into(),
                    _ => "SQLite keeps it for itself".into(),
                },
                name: listed.name,
            }),
            "table" if super::ledger::is_record(&listed.name, &listed.sql) => catalog.skipped.push(Skipped {
                kind: "record table".into(),
                name: listed.name,
                why: "an earlier run into this file keeps its records there".into(),
            }),
            "table" if live.contains(&listed.name) => {}
            "table" | "virtual" => {
                let table = table(connection, &listed, &mut catalog.skipped).map_err(fail)?;
                catalog.tables.extend(table);
            }
            _ => {}
        }
    }
    resolve_parents(&mut catalog);
    let Catalog { views, tables, .. } = &mut catalog;
    for view in views {
        let columns_of = |name: &str| {
            let table = tables.iter().find(|table| table.name.eq_ignore_ascii_case(name))?;
            Some(table.columns.iter().map(|column| column.name.clone()).collect())
        };
        view.query = ddl::parse_view(&view.text, &columns_of);
    }
    Ok(catalog)
}

fn store(connection: &Connection, path: &Path) -> Result<StoreInfo> {
    let fail = |error| classify(error, "read the settings of the source", path);
    let mut store = StoreInfo {
        kind: "sqlite".into(),
        label: format!("sqlite:{}", path.display()),
        version: rusqlite::version().to_owned(),
        ..StoreInfo::default()
    };
    for name in SETTINGS {
        let value = connection
            .query_row(&format!("PRAGMA {name}"), [], |row| {
                Ok(match row.get_ref(0)? {
                    rusqlite::types::ValueRef::Integer(i) => i.to_string(),
                    rusqlite::types::ValueRef::Text(t) => String::from_utf8_lossy(t).into_owned(),
                    _ => String::new(),
                })
            })
            .map_err(fail)?;
        store.settings.insert(name.to_owned(), value);
    }
    store.encoding = connection.query_row("PRAGMA encoding", [], |row| row.get(0)).map_err(fail)?;
    let number = |name: &str| store.settings.get(name).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    store.size_bytes = number("page_size") * number("page_count");
    Ok(store)
}

type Object = (String, String, String, String);

fn objects(connection: &Connection) -> rusqlite::Result<Vec<Object>> {
    connection
        .prepare("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema ORDER BY type, name")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
        .collect()
}

fn tables(connection: &Connection) -> rusqlite::Result<Vec<Listed>> {
    connection
        .prepare(
            "SELECT l.name, l.type, l.wr, l.strict, coalesce(s.sql, '') FROM pragma_table_list l
             LEFT JOIN sqlite_schema s ON s.name = l.name AND s.type = 'table'
             WHERE l.schema = 'main' ORDER BY s.rowid",
        )?
        .query_map([], |row| {
            Ok(Listed {
                name: row.get(0)?,
                kind: row.get(1)?,
                without_rowid: row.get(2)?,
                strict: row.get(3)?,
                sql: row.get(4)?,
            })
        })?
        .collect()
}

/// A row of `PRAGMA table_xinfo` (<https://sqlite.org/pragma.html#pragma_table_xinfo>).
pub(super) struct Info {
    pub(super) name: String,
    pub(super) declared: String,
    pub(super) not_null: bool,
    pub(super) default: Option<String>,
    /// The place in the primary key, from 1; 0 outside it.
    pub(super) key: i64,
    pub(super) hidden: i64,
}

fn table(
    connection: &Connection,
    listed: &Listed,
    skipped: &mut Vec<Skipped>,
) -> rusqlite::Result<Option<Table>> {
    let name = &listed.name;
    let is_virtual = listed.kind == "virtual";
    if is_virtual {
        let probe = connection.prepare(&format!("SELECT * FROM {} LIMIT 0", qualified("main", name)));
        if let Err(error) = probe {
            let why = format!("its module cannot be loaded here: {error}");
            skipped.push(Skipped { kind: "virtual table".into(), name: name.clone(), why });
            return Ok(None);
        }
    }
    let infos = infos(connection, name)?;
    let parsed = if is_virtual { None } else { parse(listed, skipped) };
    let readable = |info: &&Info| match unknown_function(connection, name, info) {
        Some(why) => {
            skipped.push(why);
            false
        }
        None => true,
    };
    let columns: Vec<Column> = infos
        .iter()
        .filter(|info| info.hidden != 1)
        .filter(readable)
        .map(|info| column(info, parsed.as_ref(), listed.strict))
        .collect();
    skipped.extend(parsed.iter().flat_map(conflict_clauses));
    let primary_key = primary_key(connection, listed, &infos, parsed.as_ref(), &columns)?;
    let column_names: Vec<String> = infos.iter().map(|info| info.name.clone()).collect();
    Ok(Some(Table {
        name: name.clone(),
        locator: locator(connection, listed, &infos, primary_key.as_ref()),
        uniques: uniques(connection, name, &columns, parsed.as_ref())?,
        indexes: indexes(connection, name, &column_names, skipped)?,
        foreign_keys: match &parsed {
            Some(parsed) => parsed.foreign_keys.iter().map(foreign_key).collect(),
            None => foreign_keys(connection, name)?,
        },
        checks: parsed.iter().flat_map(|parsed| &parsed.checks).map(check).collect(),
        strict: listed.strict,
        sequence: sequence(connection, name)?,
        virtual_module: is_virtual.then(|| module(&listed.sql)),
        id_map: None,
        columns,
        primary_key,
    }))
}

/// A virtual generated column whose expression SQLite cannot compute here: its values are nowhere else, and all
/// others can be read without it.
fn unknown_function(connection: &Connection, table: &str, info: &Info) -> Option<Skipped> {
    if info.hidden != 2 {
        return None;
    }
    let sql = format!("SELECT {} FROM {} LIMIT 0", ident(&info.name), qualified("main", table));
    let error = connection.prepare(&sql).err()?;
    let why = format!("it is computed when it is read, by what only the application has: {error}");
    Some(Skipped { kind: "generated column".into(), name: format!("{table}.{}", info.name), why })
}

fn parse(listed: &Listed, skipped: &mut Vec<Skipped>) -> Option<ddl::TableDdl> {
    match ddl::parse_table(&listed.sql) {
        Ok(parsed) => Some(parsed),
        Err(reason) => {
            skipped.push(Skipped {
                kind: "declaration".into(),
                name: listed.name.clone(),
                why: format!("its CREATE TABLE could not be read ({reason}): checks, generated expressions and collations are unknown"),
            });
            None
        }
    }
}

fn module(sql: &str) -> String {
    let mut words = sql.split_whitespace().skip_while(|word| !word.eq_ignore_ascii_case("using"));
    let word = words.nth(1).unwrap_or_default();
    word.split('(').next().unwrap_or_default().to_ascii_lowercase()
}

/// The columns of a table, hidden ones included.
pub(super) fn infos(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Info>> {
    connection
        .prepare(&format!("PRAGMA main.table_xinfo({})", literal(table)))?
        .query_map([], |row| {
            Ok(Info {
                name: row.get(1)?,
                declared: row.get::<_, Option<String>>(2)?.unwrap_or_default(),
                not_null: row.get(3)?,
                default: row.get(4)?,
                key: row.get(5)?,
                hidden: row.get(6)?,
            })
        })?
        .collect()
}

/// ON CONFLICT clauses, which the catalog cannot say: one line each.
fn conflict_clauses(table: &ddl::TableDdl) -> Vec<Skipped> {
    let keys = table.primary_key.iter().chain(&table.uniques).map(|key| {
        let columns: Vec<&str> = key.columns.iter().map(|column| column.name.as_str()).collect();
        (columns.join(", "), key.conflict.as_ref())
    });
    let columns = table.columns.iter().map(|column| {
        (column.name.clone(), column.not_null.as_ref().and_then(|not_null| not_null.conflict.as_ref()))
    });
    keys.chain(columns)
        .filter_map(|(columns, conflict)| Some((columns, conflict?)))
        .map(|(columns, conflict)| Skipped {
            kind: "conflict clause".into(),
            name: format!("{}({columns})", table.name),
            why: format!(
                "ON CONFLICT {conflict} is not kept: a statement that meets it fails on the target, unless it says so itself"
            ),
        })
        .collect()
}

fn column(info: &Info, parsed: Option<&ddl::TableDdl>, strict: bool) -> Column {
    let written =
        parsed.and_then(|table| table.columns.iter().find(|c| c.name.eq_ignore_ascii_case(&info.name)));
    // 2 and 3 mark generated columns (pragma.html#pragma_table_xinfo).
    let generated = matches!(info.hidden, 2 | 3).then(|| match written.and_then(|c| c.generated.as_ref()) {
        Some(generated) => Generated { expr: generated.expr.clone(), stored: generated.stored },
        None => Generated {
            expr: Expr::Opaque(String::new(), "its expression could not be read".into()),
            stored: info.hidden == 3,
        },
    });
    // `pragma_table_xinfo` appends GENERATED ALWAYS to the type of a generated column.
    let declared = match written {
        Some(written) if generated.is_some() => written.declared_type.clone(),
        _ => info.declared.clone(),
    };
    let affinity = match strict && declared.eq_ignore_ascii_case("ANY") {
        true => Affinity::Blob,
        false => Affinity::of_declared(&declared),
    };
    Column {
        name: info.name.clone(),
        affinity,
        kind: None,
        declared,
        not_null: info.not_null,
        default: info
            .default
            .as_ref()
            .map(|text| Default { text: text.clone(), expr: ddl::parse_default(text) }),
        generated,
        collation: written.and_then(|c| c.collation.clone()).unwrap_or_else(|| "BINARY".into()),
        ids: None,
        added: false,
    }
}

fn primary_key(
    connection: &Connection,
    listed: &Listed,
    infos: &[Info],
    parsed: Option<&ddl::TableDdl>,
    own: &[Column],
) -> rusqlite::Result<Option<PrimaryKey>> {
    let mut keys: Vec<&Info> = infos.iter().filter(|info| info.key > 0).collect();
    if keys.is_empty() {
        return Ok(None);
    }
    keys.sort_by_key(|info| info.key);
    let has_index: bool = connection.query_row(
        &format!("SELECT count(*) FROM pragma_index_list({}) WHERE origin = 'pk'", literal(&listed.name)),
        [],
        |row| row.get(0),
    )?;
    let autoincrement = |table: &ddl::TableDdl| table.columns.iter().any(|column| column.autoincrement);
    let columns: Vec<String> = keys.iter().map(|info| info.name.clone()).collect();
    let (collated, descending) = key_forms(connection, &listed.name, &columns, own)?;
    Ok(Some(PrimaryKey {
        collated,
        descending,
        autoincrement: parsed.is_some_and(autoincrement),
        name: parsed.and_then(|table| table.primary_key.as_ref()).and_then(|key| key.name.clone()),
        columns,
        // Only the rowid itself needs no index to be a primary key.
        assigned: !has_index && !listed.without_rowid && listed.kind == "table",
    }))
}

/// Columns with the collation of each, and those in descending order.
type KeyParts = (Vec<(String, String)>, Vec<String>);

/// What an index compares its columns by, and which of them it holds in descending order.
fn index_parts(connection: &Connection, index: &str) -> rusqlite::Result<KeyParts> {
    let (mut columns, mut descending) = (Vec::new(), Vec::new());
    let mut statement = connection.prepare(&format!(
        "SELECT name, coll, desc FROM pragma_index_xinfo({}) WHERE key = 1 ORDER BY seqno",
        literal(index)
    ))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let name = row.get::<_, Option<String>>(0)?.unwrap_or_default();
        if row.get(2)? {
            descending.push(name.clone());
        }
        columns.push((name, row.get::<_, String>(1)?.to_ascii_uppercase()));
    }
    Ok((columns, descending))
}

/// The columns of the primary key that it compares by another collation than their own, and those in
/// descending order.
fn key_forms(
    connection: &Connection,
    table: &str,
    columns: &[String],
    own: &[Column],
) -> rusqlite::Result<KeyParts> {
    let sql = format!("SELECT name FROM pragma_index_list({}) WHERE origin = 'pk'", literal(table));
    let mut statement = connection.prepare(&sql)?;
    let Some(index) = statement.query_map([], |row| row.get::<_, String>(0))?.next().transpose()? else {
        return Ok(KeyParts::default());
    };
    let (mut parts, descending) = index_parts(connection, &index)?;
    if !parts.iter().map(|(name, _)| name).eq(columns) {
        return Ok(KeyParts::default());
    }
    parts.retain(|(name, named)| own.iter().any(|column| column.name == *name && column.collation != *named));
    Ok((parts, descending))
}

fn locator(connection: &Connection, listed: &Listed, infos: &[Info], key: Option<&PrimaryKey>) -> Locator {
    if let (true, Some(key)) = (listed.without_rowid, key) {
        return Locator::Key(key.columns.clone());
    }
    if let Some(alias) = key.filter(|key| key.assigned).and_then(|key| key.columns.first()) {
        return Locator::RowId(ident(alias));
    }
    let taken = |name: &str| infos.iter().any(|info| info.name.eq_ignore_ascii_case(name));
    let free = ["rowid", "_rowid_", "oid"].into_iter().find(|name| !taken(name));
    let works = |name: &&str| {
        connection.prepare(&format!("SELECT {name} FROM {} LIMIT 0", qualified("main", &listed.name))).is_ok()
    };
    free.filter(works).map_or(Locator::Ordinal, |name| Locator::RowId(name.to_owned()))
}

fn sequence(connection: &Connection, table: &str) -> rusqlite::Result<Option<i64>> {
    let kept: bool = connection.query_row(
        "SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_sequence'",
        [],
        |row| row.get(0),
    )?;
    if !kept {
        return Ok(None);
    }
    let mut statement =
        connection.prepare("SELECT max(CAST(seq AS INTEGER)) FROM sqlite_sequence WHERE name = ?1")?;
    statement.query_row([table], |row| row.get(0))
}

/// The unique constraints, and the primary key's equality where it is another than its columns' own
/// (`PRIMARY KEY (k COLLATE NOCASE)`).
fn uniques(
    connection: &Connection,
    table: &str,
    columns: &[Column],
    parsed: Option<&ddl::TableDdl>,
) -> rusqlite::Result<Vec<Unique>> {
    let mut statement = connection.prepare(&format!(
        "SELECT name, origin FROM pragma_index_list({}) WHERE origin IN ('u', 'pk') ORDER BY seq DESC",
        literal(table)
    ))?;
    let listed: Vec<(String, String)> =
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
    let mut uniques = Vec::new();
    for (index, origin) in listed {
        let unique = unique(connection, &index, parsed)?;
        let is_own = |(name, collation): &(String, String)| {
            columns.iter().any(|column| column.name == *name && column.collation == *collation)
        };
        if origin == "u" || !unique.columns.iter().all(is_own) {
            uniques.push(unique);
        }
    }
    Ok(uniques)
}

fn unique(connection: &Connection, index: &str, parsed: Option<&ddl::TableDdl>) -> rusqlite::Result<Unique> {
    let (columns, descending) = index_parts(connection, index)?;
    let same = |written: &&ddl::KeyDdl| {
        written.columns.len() == columns.len()
            && written.columns.iter().zip(&columns).all(|(a, b)| a.name.eq_ignore_ascii_case(&b.0))
    };
    let name = parsed.and_then(|table| table.uniques.iter().find(same)).and_then(|key| key.name.clone());
    Ok(Unique { name, columns, descending })
}

fn indexes(
    connection: &Connection,
    table: &str,
    columns: &[String],
    skipped: &mut Vec<Skipped>,
) -> rusqlite::Result<Vec<Index>> {
    let mut statement = connection.prepare(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = ?1 AND sql IS NOT NULL ORDER BY rowid",
    )?;
    let found: Vec<(String, String)> = statement
        .query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut indexes = Vec::new();
    for (name, text) in found {
        match ddl::parse_index(&text, columns) {
            Ok(parsed) => {
                let collations: Vec<String> = connection
                    .prepare(&format!(
                        "SELECT coll FROM pragma_index_xinfo({}) WHERE key = 1 ORDER BY seqno",
                        literal(&name)
                    ))?
                    .query_map([], |row| row.get(0))?
                    .collect::<rusqlite::Result<_>>()?;
                let parts = parsed.parts.into_iter().zip(collations).map(|(part, collation)| IndexPart {
                    expr: part.expr,
                    collation: collation.to_ascii_uppercase(),
                    descending: part.desc,
                });
                indexes.push(Index {
                    parts: parts.collect(),
                    name,
                    unique: parsed.unique,
                    predicate: parsed.predicate,
                    text,
                });
            }
            Err(reason) => skipped.push(Skipped {
                kind: "index".into(),
                why: format!("its CREATE INDEX could not be read: {reason}"),
                name,
            }),
        }
    }
    Ok(indexes)
}

fn check(written: &ddl::CheckDdl) -> Check {
    Check { name: written.name.clone(), expr: written.expr.clone(), text: written.text.clone() }
}

fn foreign_key(written: &ddl::FkDdl) -> ForeignKey {
    ForeignKey {
        name: written.name.clone(),
        columns: written.columns.clone(),
        parent: written.parent_table.clone(),
        parent_columns: written.parent_columns.clone(),
        on_delete: written.on_delete.clone(),
        on_update: written.on_update.clone(),
        deferrable: written.deferrable,
        initially_deferred: written.initially_deferred,
    }
}

/// Foreign keys by PRAGMA, for a table whose DDL could not be read.
fn foreign_keys(connection: &Connection, table: &str) -> rusqlite::Result<Vec<ForeignKey>> {
    let mut keys: Vec<(i64, ForeignKey)> = Vec::new();
    let mut statement = connection.prepare(&format!("PRAGMA main.foreign_key_list({})", literal(table)))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        if keys.last().is_none_or(|(last, _)| *last != id) {
            keys.push((
                id,
                ForeignKey {
                    name: None,
                    columns: Vec::new(),
                    parent: row.get(2)?,
                    parent_columns: Vec::new(),
                    on_update: row.get(5)?,
                    on_delete: row.get(6)?,
                    deferrable: false,
                    initially_deferred: false,
                },
            ));
        }
        if let Some((_, key)) = keys.last_mut() {
            key.columns.push(row.get(3)?);
            key.parent_columns.extend(row.get::<_, Option<String>>(4)?);
        }
    }
    Ok(keys.into_iter().map(|(_, key)| key).collect())
}

/// Spells parents as they are declared, and fills in the primary key where a foreign key names none.
fn resolve_parents(catalog: &mut Catalog) {
    let tables: Vec<(String, Vec<String>, Vec<String>)> = catalog
        .tables
        .iter()
        .map(|table| {
            let key = table.primary_key.as_ref().map(|key| key.columns.clone()).unwrap_or_default();
            (table.name.clone(), key, table.columns.iter().map(|column| column.name.clone()).collect())
        })
        .collect();
    for table in &mut catalog.tables {
        let own: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
        for key in &mut table.foreign_keys {
            spell(&mut key.columns, &own);
            if let Some((name, primary, columns)) =
                tables.iter().find(|(name, _, _)| name.eq_ignore_ascii_case(&key.parent))
            {
                key.parent.clone_from(name);
                if key.parent_columns.is_empty() {
                    key.parent_columns.clone_from(primary);
                }
                spell(&mut key.parent_columns, columns);
            }
        }
    }
}

fn spell(names: &mut [String], declared: &[String]) {
    for name in names {
        if let Some(as_declared) = declared.iter().find(|declared| declared.eq_ignore_ascii_case(name)) {
            name.clone_from(as_declared);
        }
    }
}
