//! What a schema of the source holds: tables with their columns, keys, indexes and rules, from `pg_catalog`.
//!
//! All statements run in the snapshot's own transaction. What this catalog cannot say is a line of
//! `leftovers` or of the table's own part here; nothing is dropped without one. Switchover's own records
//! and what belongs to an extension are nobody's data and have none.

use super::connect::Connection;
use super::deparsed::{self, Class};
use super::shape::{Base, Form, Shape};
use super::{leftovers, quote};
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
}

/// A table while it is gathered.
struct Draft {
    oid: u32,
    table: Table,
    shape: Shape,
    /// Of each column: its type below domains, and what its comparison is.
    bases: Vec<(Base, Class)>,
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

/// Tables with rows of their own; `relkind` tells those whose rows lie in partitions.
const RELATIONS: &str = "SELECT c.oid, c.relname::text, c.relkind::text,
        pg_catalog.has_table_privilege(c.oid, 'SELECT')
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition
        AND NOT pg_catalog.starts_with(c.relname::text, '_switchover_')
        AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d
            WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY c.relname::text COLLATE \"C\"";

/// Columns with the type below their domains.
const COLUMNS: &str = "WITH RECURSIVE walk AS (
        SELECT a.attrelid, a.attnum, a.atttypid AS type, a.atttypmod AS modifier, a.attnotnull AS not_null,
            NULL::text COLLATE \"C\" AS domain_default
        FROM pg_catalog.pg_attribute a WHERE a.attrelid = ANY($1) AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL
        SELECT w.attrelid, w.attnum, t.typbasetype,
            CASE WHEN t.typtypmod >= 0 THEN t.typtypmod ELSE w.modifier END, w.not_null OR t.typnotnull,
            coalesce(w.domain_default, pg_catalog.pg_get_expr(t.typdefaultbin, 0) COLLATE \"C\")
        FROM walk w JOIN pg_catalog.pg_type t ON t.oid = w.type WHERE t.typtype = 'd')
    SELECT w.attrelid, a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod), w.not_null,
        pg_catalog.pg_get_expr(d.adbin, d.adrelid), w.domain_default, a.attgenerated::text,
        CASE WHEN tn.nspname = 'pg_catalog' OR t.typname = 'citext' THEN t.typname::text ELSE '' END, w.modifier,
        (SELECT pg_catalog.array_agg(e.enumlabel::text ORDER BY e.enumsortorder)
            FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid),
        coalesce(l.collisdeterministic, true)
    FROM walk w JOIN pg_catalog.pg_type t ON t.oid = w.type AND t.typtype <> 'd'
        JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace
        JOIN pg_catalog.pg_attribute a ON a.attrelid = w.attrelid AND a.attnum = w.attnum
        LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
        LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = w.attrelid AND d.adnum = w.attnum
    ORDER BY w.attrelid, w.attnum";

/// Sequences that a column owns, and the number that each gave out last.
const SEQUENCES: &str = "SELECT d.refobjid, a.attname::text, n.nspname::text, s.relname::text,
        pg_catalog.has_sequence_privilege(s.oid, 'SELECT')
    FROM pg_catalog.pg_depend d
        JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
        JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace
        JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('a', 'i')
        AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = ANY($1)";

const CONSTRAINTS: &str = "SELECT r.conrelid, r.contype::text, r.conname::text,
        ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(r.conkey) WITH ORDINALITY k(n, o)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = r.conrelid AND a.attnum = k.n ORDER BY k.o),
        CASE WHEN p.relnamespace = r.connamespace THEN p.relname::text ELSE r.confrelid::pg_catalog.regclass::text END,
        ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(r.confkey) WITH ORDINALITY k(n, o)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = r.confrelid AND a.attnum = k.n ORDER BY k.o),
        r.confdeltype::text, r.confupdtype::text, r.condeferrable, r.condeferred, r.confmatchtype::text,
        pg_catalog.pg_get_expr(r.conbin, r.conrelid), pg_catalog.pg_get_constraintdef(r.oid),
        coalesce((pg_catalog.to_jsonb(i) ->> 'indnullsnotdistinct')::bool, false)
    FROM pg_catalog.pg_constraint r LEFT JOIN pg_catalog.pg_class p ON p.oid = r.confrelid
        LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = r.conindid AND r.contype IN ('p', 'u')
    WHERE r.conrelid = ANY($1) AND r.contype IN ('p', 'u', 'f', 'c', 'x', 't') ORDER BY r.conrelid, r.conname";

/// Rules of the domains that columns are of.
const DOMAINS: &str = "WITH RECURSIVE walk AS (
        SELECT a.attrelid, a.attnum, a.attname::text AS name, a.atttypid AS type
        FROM pg_catalog.pg_attribute a WHERE a.attrelid = ANY($1) AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL
        SELECT w.attrelid, w.attnum, w.name, t.typbasetype
        FROM walk w JOIN pg_catalog.pg_type t ON t.oid = w.type WHERE t.typtype = 'd')
    SELECT w.attrelid, w.name, pg_catalog.pg_get_expr(r.conbin, 0)
    FROM walk w JOIN pg_catalog.pg_constraint r ON r.contypid = w.type AND r.contype = 'c'
    ORDER BY w.attrelid, w.attnum, r.conname";

/// Indexes that are no constraint's: each key part as written, with its order.
const INDEXES: &str = "SELECT i.indrelid, x.relname::text, i.indisunique, m.amname::text,
        ARRAY(SELECT pg_catalog.pg_get_indexdef(i.indexrelid, k::int4, false)
            FROM pg_catalog.generate_series(1, i.indnkeyatts) k),
        ARRAY(SELECT i.indkey[k - 1] = 0 FROM pg_catalog.generate_series(1, i.indnkeyatts) k),
        ARRAY(SELECT i.indoption[k - 1] & 1 = 1 FROM pg_catalog.generate_series(1, i.indnkeyatts) k),
        ARRAY(SELECT a.attname::text FROM pg_catalog.generate_series(1, i.indnkeyatts) k
            LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k - 1] ORDER BY k),
        pg_catalog.pg_get_expr(i.indpred, i.indrelid), pg_catalog.pg_get_indexdef(i.indexrelid),
        coalesce((pg_catalog.to_jsonb(i) ->> 'indnullsnotdistinct')::bool, false), i.indisvalid
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
        JOIN pg_catalog.pg_am m ON m.oid = x.relam
    WHERE i.indrelid = ANY($1) AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_constraint r
        WHERE r.conindid = x.oid AND r.contype IN ('p', 'u', 'x'))
    ORDER BY i.indrelid, x.relname::text COLLATE \"C\"";

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
    let (drafts, mut skipped) = gathered.map_err(|error| match error {
        Failed::Server(error) => connection.classify(error, OPERATION),
        Failed::Right(table) => Error::new(Kind::Permission, OPERATION)
            .store(connection.label())
            .table(table)
            .detail("the role may not read the table")
            .hint("grant SELECT on it, or name another role"),
    })?;
    let more = leftovers::of(client, schema).await.map_err(|error| connection.classify(error, OPERATION))?;
    skipped.extend(more);
    let mut catalog = Catalog { store, skipped, ..Catalog::default() };
    let mut shapes = BTreeMap::new();
    for draft in drafts {
        shapes.insert(draft.table.name.clone(), draft.shape);
        catalog.tables.push(draft.table);
    }
    catalog.schema_hash = hash(&catalog)?;
    Ok(Structure { catalog, shapes })
}

enum Failed {
    Server(tokio_postgres::Error),
    Right(String),
}

impl From<tokio_postgres::Error> for Failed {
    fn from(error: tokio_postgres::Error) -> Failed {
        Failed::Server(error)
    }
}

/// Equal schemas have equal hashes: what a sequence gave out last is no part of it.
fn hash(catalog: &Catalog) -> Result<String> {
    let mut tables = catalog.tables.clone();
    tables.iter_mut().for_each(|table| table.sequence = None);
    let text = serde_json::to_vec(&(tables, &catalog.skipped))
        .map_err(|error| Error::new(Kind::Internal, OPERATION).because(error))?;
    Ok(Hex(digest::of_bytes(&text)).to_string())
}

async fn gather(client: &Client, schema: &str) -> std::result::Result<(Vec<Draft>, Vec<Skipped>), Failed> {
    let mut drafts = Vec::new();
    for row in client.query(RELATIONS, &[&schema]).await? {
        let (name, kind): (String, String) = (row.get(1), row.get(2));
        if !row.get::<_, bool>(3) {
            return Err(Failed::Right(name));
        }
        // The rows of partitions are the table's; those of tables that inherit are their own.
        let only = if kind == "p" { "" } else { "ONLY " };
        let from = format!("{only}{}", quote::qualified(schema, &name));
        drafts.push(Draft {
            oid: row.get(0),
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
            },
            bases: Vec::new(),
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
        if readable {
            let sequence = quote::qualified(&row.get::<_, String>(2), &row.get::<_, String>(3));
            let sql = format!("SELECT CASE WHEN is_called THEN last_value END FROM {sequence}");
            draft.table.sequence = client.query_one(&sql, &[]).await?.get(0);
        }
    }
    Ok((drafts, skipped))
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
        // Its sequence says it already.
        Some(text) if text.starts_with("nextval(") => (None, None),
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
    });
    draft.shape.columns.push(form);
    draft.bases.push((base, class));
}

fn action(code: &str) -> &'static str {
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
            draft.table.primary_key =
                Some(PrimaryKey { name: Some(name), columns, assigned: false, autoincrement: false });
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
            draft.table.uniques.push(Unique { name: Some(name), columns });
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
    let mut line = |why: &str| {
        let why = format!("{text}: {why}");
        skipped.push(Skipped { kind: "index".into(), name: format!("{name} on {}", draft.table.name), why });
    };
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
