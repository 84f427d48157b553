//! What a schema of the source holds: tables with their columns, keys, indexes and rules, from `pg_catalog`.
//!
//! All statements run in the snapshot's own transaction. What this catalog cannot say is a line of
//! `leftovers` or of the table's own part here; nothing is dropped without one. Switchover's own records
//! and what belongs to an extension are nobody's data and have none.

mod queries;

use super::connect::Connection;
use super::deparsed::{self, Class};
use super::shape::{Base, Form, Shape};
use super::{leftovers, quote};
use queries::{COLUMNS, CONSTRAINTS, DOMAINS, INDEXES, RELATIONS, SEQUENCES};
use std::collections::BTreeMap;
use switchover_core::digest::{self, Hex};
use switchover_core::expr::{Affinity, Expr};
use switchover_core::plan::LogicalType;
use switchover_core::schema::{
    Catalog, Check, Column, Default, ForeignKey, Generated, Index, IndexPart, Locator, PrimaryKey, Skipped,
    StoreInfo, Table, Unique,
};
use switchover_core::{Error, Kind, Result};
use tokio_postgres::{Client, Row};

const OPERATION: &str = "read the schema of the source";

/// A schema's catalog, and how each table of it is read.
#[derive(Debug)]
pub(super) struct Structure {
    pub(super) catalog: Catalog,
    pub(super) shapes: BTreeMap<String, Shape>,
    /// Tables whose rows the role cannot read, or not all of them.
    pub(super) locked: BTreeMap<String, Locked>,
}

/// Why rows cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Locked {
    /// The role has not been granted SELECT.
    Right,
    /// Row-level security would hide rows from the role.
    RowSecurity,
}

impl Locked {
    /// What is wrong, and what to do.
    pub(super) fn told(self) -> (&'static str, &'static str) {
        match self {
            Locked::Right => (
                "the role may not read the table",
                "grant SELECT on it, name another role, or leave the table with --exclude",
            ),
            Locked::RowSecurity => (
                "row-level security would hide rows of the table from the role",
                "connect as the table's owner, give the role BYPASSRLS, or leave the table with --exclude",
            ),
        }
    }
}

/// A table while it is gathered.
struct Draft {
    oid: u32,
    locked: Option<Locked>,
    table: Table,
    shape: Shape,
    /// Of each column: its type below domains, and what its comparison is.
    bases: Vec<(Base, Class)>,
    /// Columns whose default is the next number of a sequence, with that default.
    numbered: Vec<(String, String)>,
}

impl Draft {
    fn class(&self, name: &str) -> Option<Class> {
        let at = self.table.columns.iter().position(|column| column.name == name)?;
        Some(self.bases[at].1)
    }

    fn condition(&self, text: &str, value: Option<&str>) -> Expr {
        deparsed::condition(text, &deparsed::Scope { column: &|name| self.class(name), value })
    }
}

/// Reads the schema.
pub(super) async fn read(connection: &Connection, schema: &str, store: StoreInfo) -> Result<Structure> {
    let client = connection.client();
    let exists = client
        .query_opt("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1", &[&schema])
        .await
        .map_err(|error| connection.classify(error, OPERATION))?;
    if exists.is_none() {
        return Err(Error::new(Kind::NotFound, OPERATION)
            .store(connection.label())
            .detail(format!("the database has no schema \"{schema}\""))
            .hint("name the schema that holds the tables with --from-schema"));
    }
    let gathered = gather(client, schema).await;
    let (drafts, mut skipped) = gathered.map_err(|error| connection.classify(error, OPERATION))?;
    let more = leftovers::of(client, schema).await.map_err(|error| connection.classify(error, OPERATION))?;
    skipped.extend(more);
    let mut catalog = Catalog { store, skipped, ..Catalog::default() };
    let mut shapes = BTreeMap::new();
    let mut locked = BTreeMap::new();
    for draft in drafts {
        if let Some(why) = draft.locked {
            locked.insert(draft.table.name.clone(), why);
        }
        shapes.insert(draft.table.name.clone(), draft.shape);
        catalog.tables.push(draft.table);
    }
    catalog.schema_hash = hash(&catalog)?;
    Ok(Structure { catalog, shapes, locked })
}

/// Equal schemas have equal hashes: what a sequence gave out last is no part of it.
fn hash(catalog: &Catalog) -> Result<String> {
    let mut tables = catalog.tables.clone();
    tables.iter_mut().for_each(|table| table.sequence = None);
    let text = serde_json::to_vec(&(tables, &catalog.skipped))
        .map_err(|error| Error::new(Kind::Internal, OPERATION).because(error))?;
    Ok(Hex(digest::of_bytes(&text)).to_string())
}

async fn gather(
    client: &Client,
    schema: &str,
) -> std::result::Result<(Vec<Draft>, Vec<Skipped>), tokio_postgres::Error> {
    let mut drafts = Vec::new();
    for row in client.query(RELATIONS, &[&schema]).await? {
        let (name, kind): (String, String) = (row.get(1), row.get(2));
        let locked = match (row.get(3), row.get(4)) {
            (false, _) => Some(Locked::Right),
            (true, true) => Some(Locked::RowSecurity),
            (true, false) => None,
        };
        // The rows of partitions are the table's; those of tables that inherit are their own.
        let only = if kind == "p" { "" } else { "ONLY " };
        let from = format!("{only}{}", quote::qualified(schema, &name));
        drafts.push(Draft {
            oid: row.get(0),
            locked,
            shape: Shape { from, columns: Vec::new(), locator: Locator::Ordinal },
            table: Table {
                name,
                columns: Vec::new(),
                primary_key: None,
                locator: Locator::Ordinal,
                uniques: Vec::new(),
                indexes: Vec::new(),
                foreign_keys: Vec::new(),
                checks: Vec::new(),
                strict: false,
                sequence: None,
                virtual_module: None,
                id_map: None,
            },
            bases: Vec::new(),
            numbered: Vec::new(),
        });
    }
    let oids: Vec<u32> = drafts.iter().map(|draft| draft.oid).collect();
    let mut skipped = Vec::new();
    for row in client.query(COLUMNS, &[&oids]).await? {
        if let Some(draft) = of(&mut drafts, row.get(0)) {
            column(draft, &row, &mut skipped);
        }
    }
    for row in client.query(CONSTRAINTS, &[&oids]).await? {
        if let Some(draft) = of(&mut drafts, row.get(0)) {
            constraint(draft, &row, &mut skipped);
        }
    }
    for row in client.query(DOMAINS, &[&oids]).await? {
        if let Some(draft) = of(&mut drafts, row.get(0)) {
            let (name, text): (String, String) = (row.get(1), row.get(2));
            if !row.get::<_, bool>(3) {
                let rule = format!("{} on {}", row.get::<_, String>(4), draft.table.name);
                skipped.push(not_valid(rule, &text));
                continue;
            }
            let expr = draft.condition(&text, Some(&name));
            draft.table.checks.push(Check {
                name: None,
                expr,
                text: format!("{text}, of the domain of {name}"),
            });
        }
    }
    for row in client.query(INDEXES, &[&oids]).await? {
        if let Some(draft) = of(&mut drafts, row.get(0)) {
            index(draft, &row, &mut skipped);
        }
    }
    for row in client.query(SEQUENCES, &[&oids]).await? {
        let (oid, name, readable): (u32, String, bool) = (row.get(0), row.get(1), row.get(4));
        let Some(draft) = of(&mut drafts, oid) else { continue };
        let label = format!("{}.{name}", draft.table.name);
        let key = draft.table.primary_key.as_mut().filter(|key| key.columns == [name.clone()]);
        let Some(key) = key.filter(|_| matches!(draft.table.locator, Locator::RowId(_))) else {
            let why = "only the one integer column of a primary key is numbered by the target";
            skipped.push(Skipped { kind: "identity".into(), name: label, why: why.into() });
            continue;
        };
        (key.assigned, key.autoincrement) = (true, true);
        let (step, end, again): (i64, i64, bool) = (row.get(5), row.get(6), row.get(7));
        if step != 1 {
            let why = format!("the source counts by {step}, and the target by 1 from the next number on");
            skipped.push(Skipped { kind: "numbering".into(), name: label.clone(), why });
        }
        if again {
            let why = format!("the source's count ends at {end} and begins again, and the target's goes on");
            skipped.push(Skipped { kind: "numbering".into(), name: label, why });
        }
        if readable {
            let sequence = quote::qualified(&row.get::<_, String>(2), &row.get::<_, String>(3));
            let sql = format!("SELECT last_value, is_called FROM {sequence}");
            let row = client.query_one(&sql, &[]).await?;
            let (last, given): (i64, bool) = (row.get(0), row.get(1));
            // The number before the next one, which the target goes on from.
            let next = if given { last.checked_add(step) } else { Some(last) };
            draft.table.sequence = next.and_then(|next| next.checked_sub(1));
        }
    }
    let numbered = |draft: &Draft, name: &str| {
        let key = draft.table.primary_key.as_ref();
        key.is_some_and(|key| key.assigned && key.columns == [name])
    };
    for draft in &drafts {
        for (name, text) in &draft.numbered {
            let label = format!("{}.{name}", draft.table.name);
            let said = |line: &Skipped| line.kind == "identity" && line.name == label;
            if !numbered(draft, name) && !skipped.iter().any(said) {
                let why = format!("{text}: the column does not own that sequence, and the target has none");
                skipped.push(Skipped { kind: "default".into(), name: label, why });
            }
        }
    }
    Ok((drafts, skipped))
}

/// A rule that rows may break which are there already, and that the target would hold them to.
fn not_valid(name: String, text: &str) -> Skipped {
    let why = format!("{text}: it is NOT VALID on the source, where older rows may break it");
    Skipped { kind: "check".into(), name, why }
}

fn of(drafts: &mut [Draft], oid: u32) -> Option<&mut Draft> {
    drafts.iter_mut().find(|draft| draft.oid == oid)
}

fn affinity(kind: LogicalType) -> Affinity {
    match kind {
        LogicalType::Int8 => Affinity::Integer,
        LogicalType::Float8 => Affinity::Real,
        LogicalType::Text | LogicalType::Varchar(_) => Affinity::Text,
        LogicalType::Bytea => Affinity::Blob,
        _ => Affinity::Numeric,
    }
}

fn column(draft: &mut Draft, row: &Row, skipped: &mut Vec<Skipped>) {
    let (name, declared): (String, String) = (row.get(1), row.get(2));
    let base = Base { name: row.get(7), modifier: row.get(8), labels: row.get(9) };
    let class = Class::of(&base, row.get(10));
    let form = Form::of(name.clone(), &base);
    let label = format!("{}.{name}", draft.table.name);
    let mut line = |kind: &str, why: String| {
        skipped.push(Skipped { kind: kind.into(), name: label.clone(), why });
    };
    if base.name == "citext" || !row.get::<_, bool>(10) {
        line("collation", "it holds unequal texts for equal; the target compares them by bytes".into());
    }
    if let Some(labels) = &base.labels {
        line("enumeration", format!("{declared}: a CHECK allows its labels; their order is not kept"));
        let items = labels.iter().map(|label| Expr::Text(label.clone())).collect();
        draft.table.checks.push(Check {
            name: None,
            expr: Expr::In(Box::new(Expr::Column(name.clone())), items, false),
            text: format!("{name} is one of {}", labels.join(", ")),
        });
    }
    let generated: String = row.get(6);
    let text: Option<String> = row.get::<_, Option<String>>(4).or_else(|| row.get(5));
    let (default, generated) = match text {
        Some(text) if !generated.is_empty() => {
            let why = "an expression of PostgreSQL".to_owned();
            let expr = Expr::Opaque(text, why);
            (None, Some(Generated { expr, stored: generated == "s" }))
        }
        // Its sequence says it, where the column owns one.
        Some(text) if text.starts_with("nextval(") => {
            draft.numbered.push((name.clone(), text));
            (None, None)
        }
        Some(text) => {
            let expr = deparsed::default(&text, &base, class);
            (Some(Default { text, expr }), None)
        }
        None => (None, None),
    };
    draft.table.columns.push(Column {
        name,
        declared,
        affinity: affinity(form.kind),
        kind: Some(form.kind),
        not_null: row.get(3),
        default,
        generated,
        collation: "BINARY".into(),
        ids: None,
        added: false,
    });
    draft.shape.columns.push(form);
    draft.bases.push((base, class));
}

/// What a foreign key does, by the catalog's letter.
pub(super) fn action(code: &str) -> &'static str {
    match code {
        "r" => "RESTRICT",
        "c" => "CASCADE",
        "n" => "SET NULL",
        "d" => "SET DEFAULT",
        _ => "NO ACTION",
    }
}

fn constraint(draft: &mut Draft, row: &Row, skipped: &mut Vec<Skipped>) {
    let (kind, name, columns): (String, String, Vec<String>) = (row.get(1), row.get(2), row.get(3));
    let definition: String = row.get(12);
    let label = format!("{} on {}", name, draft.table.name);
    let mut line = |kind: &str, why: String| {
        skipped.push(Skipped { kind: kind.into(), name: label.clone(), why });
    };
    if matches!(kind.as_str(), "p" | "u") {
        if row.get(8) {
            line("deferrable", format!("{definition}: the target checks it at each row"));
        }
        if row.get(15) {
            line(
                "included columns",
                format!("{definition}: the target's key holds the columns of the key alone"),
            );
        }
    }
    match kind.as_str() {
        "p" => {
            let integer = |name: &String| {
                let base = draft.table.columns.iter().position(|column| column.name == *name);
                base.is_some_and(|at| draft.bases[at].1 == Class::Int)
            };
            let locator = match columns.as_slice() {
                [one] if integer(one) => Locator::RowId(one.clone()),
                _ => Locator::Key(columns.clone()),
            };
            draft.table.locator = locator.clone();
            draft.shape.locator = locator;
            draft.table.primary_key = Some(PrimaryKey::plain(Some(name), columns));
        }
        "u" if row.get::<_, bool>(13) => {
            line(
                "unique",
                format!("{definition}: two NULLs are equal to it, and to the target they are not"),
            );
        }
        "u" => {
            if let Some(other) = columns.iter().find(|name| draft.class(name) == Some(Class::Other)) {
                let base = draft.table.columns.iter().position(|column| column.name == *other);
                if base.is_some_and(|at| draft.bases[at].0.name == "citext") {
                    return line("unique", format!("{definition}: {other} holds unequal texts for equal"));
                }
            }
            let columns = columns.into_iter().map(|name| (name, "BINARY".to_owned())).collect();
            draft.table.uniques.push(Unique { name: Some(name), columns, descending: Vec::new() });
        }
        "f" => {
            if row.get::<_, String>(10) == "f" && columns.len() > 1 {
                line("foreign key", format!("{definition}: of MATCH FULL only MATCH SIMPLE is kept"));
            }
            draft.table.foreign_keys.push(ForeignKey {
                name: Some(name),
                columns,
                parent: row.get(4),
                parent_columns: row.get(5),
                on_delete: action(&row.get::<_, String>(6)).into(),
                on_update: action(&row.get::<_, String>(7)).into(),
                deferrable: row.get(8),
                initially_deferred: row.get(9),
            });
        }
        "c" if !row.get::<_, bool>(14) => {
            skipped.push(not_valid(label, &definition));
        }
        "c" => {
            let text: String = row.get::<_, Option<String>>(11).unwrap_or_default();
            let expr = draft.condition(&text, None);
            draft.table.checks.push(Check { name: Some(name), expr, text });
        }
        "x" => line("exclusion constraint", format!("{definition}: the target has none")),
        _ => {}
    }
}

fn index(draft: &mut Draft, row: &Row, skipped: &mut Vec<Skipped>) {
    let (name, unique, method): (String, bool, String) = (row.get(1), row.get(2), row.get(3));
    let text: String = row.get(9);
    let label = format!("{name} on {}", draft.table.name);
    let mut say = |kind: &str, why: &str| {
        let why = format!("{text}: {why}");
        skipped.push(Skipped { kind: kind.into(), name: label.clone(), why });
    };
    let mut line = |why: &str| say("index", why);
    if method != "btree" {
        return line(&format!("an index of the kind {method} has no like on the target"));
    }
    if !row.get::<_, bool>(11) {
        return line("it is not valid on the source either");
    }
    if unique && row.get::<_, bool>(10) {
        return line("two NULLs are equal to it, and to the target they are not");
    }
    let (written, is_expression, descending): (Vec<String>, Vec<bool>, Vec<bool>) =
        (row.get(4), row.get(5), row.get(6));
    let names: Vec<Option<String>> = row.get(7);
    let mut parts = Vec::new();
    for (at, name) in names.into_iter().enumerate() {
        let expr = match name.filter(|_| !is_expression[at]) {
            Some(name) if unique && draft.class(&name) == Some(Class::Other) && !by_bytes(draft, &name) => {
                return line(&format!("{name} holds unequal values for equal"));
            }
            Some(name) => Expr::Column(name),
            None => Expr::Opaque(written[at].clone(), "an expression of PostgreSQL".into()),
        };
        parts.push(IndexPart { expr, collation: "BINARY".into(), descending: descending[at] });
    }
    if row.get(12) {
        say("included columns", "the target's index holds the columns of its key alone");
    }
    // PostgreSQL's own order is that of NULLs as the largest values.
    let nulls_first: Vec<bool> = row.get(13);
    if parts.iter().zip(nulls_first).any(|(part, first)| part.descending != first) {
        say("order of NULL", "the target's indexes have NULL as the smallest value always");
    }
    let predicate: Option<String> = row.get(8);
    let predicate = predicate.map(|text| draft.condition(&text, None));
    draft.table.indexes.push(Index { name, unique, parts, predicate, text });
}

/// Whether values that are equal on the source are written alike: of the types whose comparison is their
/// own, those that are read as one text for one value.
fn by_bytes(draft: &Draft, name: &str) -> bool {
    let at = draft.table.columns.iter().position(|column| column.name == name);
    at.is_some_and(|at| {
        let (base, _) = &draft.bases[at];
        !matches!(base.name.as_str(), "citext" | "interval" | "jsonb" | "")
    })
}
