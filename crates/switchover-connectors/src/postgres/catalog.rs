//! The tables of a schema that an application's migrations made: exact types, keys, constraints, indexes,
//! triggers, sequences and rights, from `pg_catalog`.
//!
//! Definitions are asked for with an empty search path, so that every name in them is qualified and the
//! same wherever they are run again. The run's own records are no part of the answer. Reads only.

use super::{connect::Connection, quote};
use std::collections::{BTreeMap, HashMap};
use switchover_core::existing::{
    Apart, HISTORY_ROWS_MAX, Holds, ROWS_BEFORE_MAX, Rule, RuleKind, TargetColumn, TargetForeignKey,
    TargetIndex, TargetSchema, TargetSequence, TargetTable, TargetTrigger, history_of,
};
use switchover_core::plan::{Element, KeyPlan, LogicalType};
use switchover_core::{Error, Kind, Result};
use tokio_postgres::GenericClient;

const OPERATION: &str = "look at the target's tables";

type Answer<T> = std::result::Result<T, tokio_postgres::Error>;

/// Digits of a second's fraction that a time without a precision keeps.
const FRACTION_DIGITS: u8 = 6;

/// Length and precision stand in a type's modifier above this offset (`VARHDRSZ`).
const MODIFIER_OFFSET: i32 = 4;

/// All tables of a schema.
pub(super) async fn tables(connection: &mut Connection, schema: &str) -> Result<TargetSchema> {
    let label = connection.label().to_owned();
    let fail = |error: tokio_postgres::Error| {
        super::error::classify(&error, OPERATION).store(label.clone()).because(error)
    };
    let transaction = connection.client_mut().transaction().await.map_err(fail)?;
    let found = read(&transaction, schema).await.map_err(fail)?;
    transaction.rollback().await.map_err(fail)?;
    found.ok_or_else(|| {
        Error::new(Kind::Corrupt, OPERATION)
            .store(label.clone())
            .detail("a row of a migration-history table is no JSON object")
    })
}

/// The same within a transaction, whose search path it empties. `None` when a history cannot be read.
pub(super) async fn read<C: GenericClient + Sync>(client: &C, schema: &str) -> Answer<Option<TargetSchema>> {
    let mut found = definitions(client, schema).await?;
    for table in &mut found.tables {
        if table.obstacles.is_empty() && !rows(client, schema, table).await? {
            return Ok(None);
        }
    }
    Ok(Some(found))
}

/// The same without rows and histories.
pub(super) async fn definitions<C: GenericClient + Sync>(client: &C, schema: &str) -> Answer<TargetSchema> {
    client.batch_execute("SET LOCAL search_path = ''").await?;
    let mut found = TargetSchema::default();
    let mut by_oid: HashMap<u32, TargetTable> = HashMap::new();
    for row in client.query(RELATIONS, &[&schema]).await? {
        let (oid, name, kind): (u32, String, String) = (row.get(0), row.get(1), row.get(2));
        match kind.as_str() {
            "v" => found.others.push(("view".into(), name)),
            "m" => found.others.push(("materialized view".into(), name)),
            _ => {
                let obstacles: Vec<Option<String>> = row.get(4);
                let table = TargetTable {
                    name,
                    partitioned: kind == "p",
                    owned: row.get(3),
                    obstacles: obstacles.into_iter().flatten().collect(),
                    ..TargetTable::default()
                };
                by_oid.insert(oid, table);
            }
        }
    }
    columns(client, schema, &mut by_oid).await?;
    constraints(client, schema, &mut by_oid).await?;
    rules(client, schema, &mut by_oid).await?;
    for row in client.query(ACTING, &[&schema]).await? {
        if let Some(table) = by_oid.get_mut(&row.get(0)) {
            table.acting.push(row.get(1));
        }
    }
    indexes(client, schema, &mut by_oid).await?;
    primary_indexes(client, schema, &mut by_oid).await?;
    for row in client.query(TRIGGERS, &[&schema]).await? {
        if let Some(table) = by_oid.get_mut(&row.get(0)) {
            let (own, place, on): (bool, String, String) = (row.get(4), row.get(5), row.get(6));
            table.triggers.push(TargetTrigger {
                name: row.get(1),
                on: if own { quote::ident(&on) } else { quote::qualified(&place, &on) },
                definition: row.get(2),
                harmless: row.get(3),
            });
        }
    }
    found.tables = by_oid.into_values().collect();
    found.tables.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Relations with rows, and what keeps the role from loading them.
const RELATIONS: &str = "SELECT c.oid, c.relname::text, c.relkind::text,
        pg_catalog.pg_has_role(c.relowner, 'USAGE'),
        ARRAY[CASE WHEN c.relkind = 'f' THEN 'it is a foreign table' END,
            CASE WHEN c.relkind = 'r' AND EXISTS (SELECT 1 FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid)
                THEN 'other tables inherit from it' END,
            CASE WHEN EXISTS (SELECT 1 FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid AND c.relkind IN ('r', 'p'))
                THEN 'rules rewrite what is done to it' END,
            CASE WHEN pg_catalog.row_security_active(c.oid) THEN 'row level security hides rows from the role' END,
            CASE WHEN NOT (pg_catalog.has_table_privilege(c.oid, 'SELECT')
                    AND pg_catalog.has_table_privilege(c.oid, 'INSERT')
                    AND pg_catalog.has_table_privilege(c.oid, 'DELETE'))
                THEN 'the role lacks SELECT, INSERT or DELETE on it' END]
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'f', 'v', 'm') AND NOT c.relispartition
        AND pg_catalog.left(c.relname::text, 12) <> '_switchover_'
        AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
    ORDER BY c.relname";

/// Columns with the type below their domains.
const COLUMNS: &str = "WITH RECURSIVE walk AS (
        SELECT a.attrelid, a.attnum, a.atttypid AS type, a.atttypmod AS modifier, a.attnotnull AS not_null
        FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'f') AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL
        SELECT w.attrelid, w.attnum, t.typbasetype,
            CASE WHEN t.typtypmod >= 0 THEN t.typtypmod ELSE w.modifier END, w.not_null OR t.typnotnull
        FROM walk w JOIN pg_catalog.pg_type t ON t.oid = w.type WHERE t.typtype = 'd')
    SELECT w.attrelid, w.attnum::int4, a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod),
        w.not_null, pg_catalog.pg_get_expr(d.adbin, d.adrelid), a.attgenerated::text, a.attidentity::text,
        CASE WHEN tn.nspname = 'pg_catalog' OR t.typname = 'citext' THEN t.typname::text ELSE '' END, w.modifier,
        (SELECT pg_catalog.array_agg(e.enumlabel::text ORDER BY e.enumsortorder)
            FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid)
    FROM walk w JOIN pg_catalog.pg_type t ON t.oid = w.type AND t.typtype <> 'd'
        JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace
        JOIN pg_catalog.pg_attribute a ON a.attrelid = w.attrelid AND a.attnum = w.attnum
        LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = w.attrelid AND d.adnum = w.attnum
    ORDER BY w.attrelid, w.attnum";

/// Sequences behind columns: owned ones (serial, identity), and those that a default names.
const SEQUENCES: &str = "SELECT DISTINCT o.attrelid, o.attnum, sn.nspname::text, s.relname::text, q.seqincrement, q.seqmax,
        pg_catalog.has_sequence_privilege(s.oid, 'SELECT') AND pg_catalog.has_sequence_privilege(s.oid, 'UPDATE')
    FROM (SELECT d.refobjid AS attrelid, d.refobjsubid AS attnum, d.objid AS sequence FROM pg_catalog.pg_depend d
            WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('a', 'i')
        UNION
        SELECT f.adrelid, f.adnum, d.refobjid FROM pg_catalog.pg_depend d
            JOIN pg_catalog.pg_attrdef f ON f.oid = d.objid
            WHERE d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
                AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass) o
        JOIN pg_catalog.pg_class s ON s.oid = o.sequence AND s.relkind = 'S'
        JOIN pg_catalog.pg_sequence q ON q.seqrelid = s.oid
        JOIN pg_catalog.pg_namespace sn ON sn.oid = s.relnamespace
        JOIN pg_catalog.pg_class c ON c.oid = o.attrelid
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 ORDER BY 1, 2";

async fn columns<C: GenericClient + Sync>(
    client: &C,
    schema: &str,
    tables: &mut HashMap<u32, TargetTable>,
) -> Answer<()> {
    let mut sequences: BTreeMap<(u32, i32), TargetSequence> = BTreeMap::new();
    for row in client.query(SEQUENCES, &[&schema]).await? {
        let mut sequence = TargetSequence {
            schema: row.get(2),
            name: row.get(3),
            step: row.get(4),
            max: row.get(5),
            last: 0,
            called: false,
            settable: row.get(6),
        };
        if sequence.settable {
            let name = quote::qualified(&sequence.schema, &sequence.name);
            let state = client.query_one(&format!("SELECT last_value, is_called FROM {name}"), &[]).await?;
            (sequence.last, sequence.called) = (state.get(0), state.get(1));
        }
        sequences.insert((row.get(0), row.get(1)), sequence);
    }
    for row in client.query(COLUMNS, &[&schema]).await? {
        let (oid, number): (u32, i32) = (row.get(0), row.get(1));
        let Some(table) = tables.get_mut(&oid) else { continue };
        let labels: Option<Vec<String>> = row.get(10);
        let (kind, modifier): (String, i32) = (row.get(8), row.get(9));
        let (generated, identity): (String, String) = (row.get(6), row.get(7));
        let expression: Option<String> = row.get(5);
        table.columns.push(TargetColumn {
            name: row.get(2),
            type_name: row.get(3),
            holds: labels.map_or_else(|| holds(&kind, modifier), Holds::Labels),
            not_null: row.get(4),
            default: expression.clone().filter(|_| generated.is_empty()),
            generated: expression.filter(|_| !generated.is_empty()),
            identity: !identity.is_empty(),
            sequence: sequences.remove(&(oid, number)),
        });
    }
    Ok(())
}

/// Precision and scale of a `numeric`; `None` for what is no decimal(p,s) of SQL: scales below zero or beyond the
/// precision (PostgreSQL 15).
fn numeric(modifier: Option<u32>) -> Option<Option<(u32, u32)>> {
    let Some(packed) = modifier else { return Some(None) };
    let (precision, scale) = (packed >> 16, packed & 0x7ff);
    (scale <= precision).then_some(Some((precision, scale)))
}

/// What a type of `pg_catalog` holds, with the modifier that limits it.
fn holds(kind: &str, modifier: i32) -> Holds {
    let length = u32::try_from(modifier - MODIFIER_OFFSET).ok();
    let digits = u8::try_from(modifier).unwrap_or(FRACTION_DIGITS);
    let plain = |ty| Holds::Values(ty, FRACTION_DIGITS);
    match (kind, length) {
        ("bool", _) => plain(LogicalType::Bool),
        ("int2", _) => plain(LogicalType::Int2),
        ("int4", _) => plain(LogicalType::Int4),
        ("int8", _) => plain(LogicalType::Int8),
        ("float4", _) => plain(LogicalType::Float4),
        ("float8", _) => plain(LogicalType::Float8),
        ("numeric", length) => match numeric(length) {
            Some(limits) => plain(LogicalType::Numeric(limits)),
            None => Holds::Unsupported,
        },
        ("text" | "citext", _) | ("varchar", None) => plain(LogicalType::Text),
        ("varchar", Some(chars)) => plain(LogicalType::Varchar(chars)),
        ("bpchar", Some(chars)) => plain(LogicalType::Char(chars)),
        ("bytea", _) => plain(LogicalType::Bytea),
        ("uuid", _) => plain(LogicalType::Uuid),
        ("date", _) => plain(LogicalType::Date),
        ("time", _) => Holds::Values(LogicalType::Time, digits),
        ("timestamp", _) => Holds::Values(LogicalType::Timestamp, digits),
        ("timestamptz", _) => Holds::Values(LogicalType::TimestampTz, digits),
        ("json", _) => plain(LogicalType::Json),
        ("jsonb", _) => plain(LogicalType::Jsonb),
        ("_text", _) => plain(LogicalType::TextArray),
        ("_varchar", chars) => plain(LogicalType::Array(Element::Varchar(chars))),
        ("_int2", _) => plain(LogicalType::Array(Element::Int2)),
        ("_int4", _) => plain(LogicalType::Array(Element::Int4)),
        ("_int8", _) => plain(LogicalType::Array(Element::Int8)),
        ("inet", _) => plain(LogicalType::Inet),
        ("cidr", _) => plain(LogicalType::Cidr),
        ("macaddr", _) => plain(LogicalType::Macaddr),
        // A modifier limits an interval to some of its fields, or its fraction: what it cuts it does not say.
        ("interval", None) => plain(LogicalType::Interval),
        ("_bool", _) => plain(LogicalType::Array(Element::Bool)),
        ("_float8", _) => plain(LogicalType::Array(Element::Float8)),
        ("_uuid", _) => plain(LogicalType::Array(Element::Uuid)),
        ("_timestamp", _) => Holds::Values(LogicalType::Array(Element::Timestamp), digits),
        ("_timestamptz", _) => Holds::Values(LogicalType::Array(Element::TimestampTz), digits),
        ("_numeric", length) => match numeric(length) {
            Some(limits) => plain(LogicalType::Array(Element::Numeric(limits))),
            None => Holds::Unsupported,
        },
        _ => Holds::Unsupported,
    }
}

/// A foreign key to a partitioned table has a row for each partition too, of its own table: those come and go with it.
const CONSTRAINTS: &str =
    "SELECT r.conrelid, r.contype::text, r.conname::text, pg_catalog.pg_get_constraintdef(r.oid),
        ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(r.conkey) WITH ORDINALITY k(n, o)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = r.conrelid AND a.attnum = k.n ORDER BY k.o),
        CASE WHEN p.relnamespace = r.connamespace THEN p.relname::text END,
        ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(r.confkey) WITH ORDINALITY k(n, o)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = r.confrelid AND a.attnum = k.n ORDER BY k.o),
        pg_catalog.obj_description(r.oid, 'pg_constraint'), r.confdeltype <> 'a' OR r.confupdtype <> 'a', r.condeferrable,
        r.confmatchtype = 'f'
    FROM pg_catalog.pg_constraint r JOIN pg_catalog.pg_class c ON c.oid = r.conrelid
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_catalog.pg_class p ON p.oid = r.confrelid
    WHERE n.nspname = $1 AND r.contype IN ('p', 'u', 'f', 'c', 'x')
        AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_constraint o WHERE o.oid = r.conparentid AND o.conrelid = r.conrelid)
    ORDER BY r.conrelid, r.conname";

/// Foreign keys by which a row that goes changes rows of other tables, where the key is none of those that are read with the
/// schema's tables, or none of the role's. A key to a single partition is one to the whole table.
const ACTING: &str = "SELECT coalesce(pg_catalog.pg_partition_root(p.oid)::pg_catalog.oid, p.oid) AS parent,
        pg_catalog.format('%s of %s', r.conname, r.conrelid::pg_catalog.regclass) AS shown
    FROM pg_catalog.pg_constraint r JOIN pg_catalog.pg_class p ON p.oid = r.confrelid
        JOIN pg_catalog.pg_namespace n ON n.oid = p.relnamespace JOIN pg_catalog.pg_class c ON c.oid = r.conrelid
    WHERE n.nspname = $1 AND r.contype = 'f' AND r.conparentid = 0 AND r.confdeltype IN ('c', 'n', 'd')
        AND coalesce((pg_catalog.to_jsonb(r) ->> 'conenforced')::boolean, true)
        AND (c.relnamespace <> p.relnamespace OR c.relispartition OR p.relispartition
            OR NOT pg_catalog.pg_has_role(c.relowner, 'USAGE'))
    ORDER BY parent, shown";

async fn constraints<C: GenericClient + Sync>(
    client: &C,
    schema: &str,
    tables: &mut HashMap<u32, TargetTable>,
) -> Answer<()> {
    for row in client.query(CONSTRAINTS, &[&schema]).await? {
        let Some(table) = tables.get_mut(&row.get(0)) else { continue };
        let (kind, name, definition): (String, String, String) = (row.get(1), row.get(2), row.get(3));
        let columns: Vec<String> = row.get(4);
        match kind.as_str() {
            "p" => table.primary_key = Some(KeyPlan::plain(name, columns)),
            "u" => table.uniques.push(KeyPlan::plain(name, columns)),
            "f" => table.foreign_keys.push(TargetForeignKey {
                name,
                columns,
                parent: row.get(5),
                parent_columns: row.get(6),
                definition,
                comment: row.get(7),
                acts: row.get(8),
                deferrable: row.get(9),
                full: row.get(10),
            }),
            _ => table.checks.push((name, definition)),
        }
    }
    Ok(())
}

/// What looks at a row by itself: checks (those that are not proven for old rows are so for new ones), checks of domains and
/// of those below them, and partitions, any of which a row must fit. Kind, name, definition, columns, domain.
const RULES: &str = "WITH RECURSIVE own AS (
        SELECT c.oid, c.relname::text AS name FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition),
    walk AS (
        SELECT a.attrelid, a.attname::text AS name, a.attnum, a.atttypid AS type
        FROM pg_catalog.pg_attribute a JOIN own ON own.oid = a.attrelid WHERE a.attnum > 0 AND NOT a.attisdropped
        UNION ALL
        SELECT w.attrelid, w.name, w.attnum, t.typbasetype
        FROM walk w JOIN pg_catalog.pg_type t ON t.oid = w.type WHERE t.typtype = 'd')
    SELECT own.oid, 'c', r.conname::text, pg_catalog.pg_get_constraintdef(r.oid) AS definition,
        ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(r.conkey) WITH ORDINALITY k(n, o)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = r.conrelid AND a.attnum = k.n ORDER BY k.o) AS columns, NULL::text
    FROM own JOIN pg_catalog.pg_constraint r ON r.conrelid = own.oid AND r.contype = 'c'
    UNION ALL
    SELECT w.attrelid, 'd', r.conname::text, pg_catalog.pg_get_constraintdef(r.oid), ARRAY[w.name],
        pg_catalog.format_type(w.type, NULL)
    FROM walk w JOIN pg_catalog.pg_constraint r ON r.contypid = w.type AND r.contype = 'c'
    UNION ALL
    SELECT own.oid, 'p', own.name, pg_catalog.concat('PARTITION BY ', pg_catalog.pg_get_partkeydef(own.oid)),
        ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
            WHERE a.attrelid = own.oid AND a.attnum > 0 AND NOT a.attisdropped AND EXISTS (
                SELECT 1 FROM pg_catalog.pg_partition_tree(own.oid) l
                    JOIN pg_catalog.pg_partitioned_table p ON p.partrelid = l.relid
                    LEFT JOIN pg_catalog.pg_attribute o ON o.attrelid = l.relid AND o.attnum = ANY (p.partattrs::int2[])
                WHERE p.partexprs IS NOT NULL OR o.attname = a.attname)
            ORDER BY a.attnum), NULL
    FROM own JOIN pg_catalog.pg_partitioned_table p ON p.partrelid = own.oid
    ORDER BY 1, 2, 3, columns";

async fn rules<C: GenericClient + Sync>(
    client: &C,
    schema: &str,
    tables: &mut HashMap<u32, TargetTable>,
) -> Answer<()> {
    for row in client.query(RULES, &[&schema]).await? {
        let Some(table) = tables.get_mut(&row.get(0)) else { continue };
        let (kind, definition): (String, String) = (row.get(1), row.get(3));
        if definition.ends_with("NOT ENFORCED") {
            continue;
        }
        let kind = match (kind.as_str(), row.get(5)) {
            ("d", Some(domain)) => RuleKind::Domain { domain },
            ("p", _) => RuleKind::Partitions,
            _ => RuleKind::Check,
        };
        table.rules.push(Rule { name: row.get(2), definition, columns: row.get(4), kind });
    }
    Ok(())
}

/// An index comes back as it was when its definition says all of it: no tablespace, clustering, replica
/// identity, statistics target or comment of its own beside a constraint's.
const INDEXES: &str = "SELECT i.indrelid, x.relname::text, r.oid IS NOT NULL,
        coalesce(pg_catalog.pg_get_constraintdef(r.oid), pg_catalog.pg_get_indexdef(x.oid)),
        coalesce(pg_catalog.obj_description(r.oid, 'pg_constraint'),
            CASE WHEN r.oid IS NULL THEN pg_catalog.obj_description(x.oid, 'pg_class') END),
        i.indisvalid AND i.indisready AND NOT i.indisclustered AND NOT i.indisreplident AND x.reltablespace = 0
            AND x.relkind = 'i' AND NOT x.relispartition AND coalesce(r.contype, 'u') = 'u'
            AND (r.oid IS NULL OR (pg_catalog.obj_description(x.oid, 'pg_class') IS NULL AND x.reloptions IS NULL))
            AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_attribute a
                WHERE a.attrelid = x.oid AND coalesce(a.attstattarget, -1) >= 0),
        CASE WHEN i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL THEN
            ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY k(n, o)
                JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.n
                WHERE k.o <= i.indnkeyatts ORDER BY k.o) ELSE ARRAY[]::text[] END,
        ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
                LEFT JOIN LATERAL (SELECT k.o FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY k(n, o)
                    WHERE k.n = a.attnum AND k.o <= i.indnkeyatts LIMIT 1) k ON true
            WHERE a.attrelid = i.indrelid AND a.attnum > 0 AND (i.indisunique OR r.contype = 'x')
                AND (k.o IS NOT NULL OR EXISTS (SELECT 1 FROM pg_catalog.pg_depend d
                    WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = a.attrelid
                        AND d.refobjsubid = a.attnum
                        AND (d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = x.oid
                                AND NOT a.attnum = ANY (i.indkey::int2[])
                            OR d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND d.objid = r.oid
                                AND r.contype = 'x')))
            ORDER BY k.o, a.attnum),
        i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL
            AND NOT coalesce((pg_catalog.to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false)
            AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_opclass o JOIN pg_catalog.pg_namespace p ON p.oid = o.opcnamespace
                WHERE o.oid = ANY (i.indclass::pg_catalog.oid[]) AND p.nspname <> 'pg_catalog')
            AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_collation l
                WHERE l.oid = ANY (i.indcollation::pg_catalog.oid[]) AND NOT l.collisdeterministic)
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
        JOIN pg_catalog.pg_class c ON c.oid = i.indrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_catalog.pg_constraint r ON r.conindid = x.oid AND r.contype IN ('u', 'x')
    WHERE n.nspname = $1 AND NOT i.indisprimary ORDER BY i.indrelid, x.relname";

async fn indexes<C: GenericClient + Sync>(
    client: &C,
    schema: &str,
    tables: &mut HashMap<u32, TargetTable>,
) -> Answer<()> {
    for row in client.query(INDEXES, &[&schema]).await? {
        if let Some(table) = tables.get_mut(&row.get(0)) {
            let columns: Vec<String> = row.get(7);
            let apart = Apart { columns, plain: row.get(8) };
            table.indexes.push(TargetIndex {
                name: row.get(1),
                constraint: row.get(2),
                definition: row.get(3),
                comment: row.get(4),
                rebuildable: row.get(5),
                unique: row.get(6),
                apart: (!apart.columns.is_empty()).then_some(apart),
            });
        }
    }
    Ok(())
}

/// A primary key comes back as it was under the same conditions, and when nothing rests on it that stays: no foreign key
/// of another schema, no view that groups by it, no publication that tells rows by it.
const PRIMARY: &str = "SELECT i.indrelid, x.relname::text, pg_catalog.pg_get_constraintdef(r.oid),
        pg_catalog.obj_description(r.oid, 'pg_constraint'),
        i.indisvalid AND i.indisready AND NOT i.indisclustered AND NOT i.indisreplident AND x.reltablespace = 0
            AND c.relkind = 'r' AND NOT c.relispartition AND x.reloptions IS NULL AND i.indnkeyatts = i.indnatts
            AND NOT r.condeferrable AND pg_catalog.obj_description(x.oid, 'pg_class') IS NULL
            AND x.relname = r.conname
            AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_attribute a
                WHERE a.attrelid = x.oid AND coalesce(a.attstattarget, -1) >= 0)
            AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_constraint f
                WHERE f.contype = 'f' AND f.conindid = x.oid AND f.connamespace <> n.oid)
            AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d
                WHERE d.refclassid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND d.refobjid = r.oid AND d.deptype = 'n')
            AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_publication_tables p
                WHERE p.schemaname = n.nspname AND p.tablename = c.relname),
        ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(r.conkey) WITH ORDINALITY k(n, o)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.n ORDER BY k.o),
        NOT EXISTS (SELECT 1 FROM pg_catalog.pg_opclass o JOIN pg_catalog.pg_namespace p ON p.oid = o.opcnamespace
                WHERE o.oid = ANY (i.indclass::pg_catalog.oid[]) AND p.nspname <> 'pg_catalog')
            AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_collation l
                WHERE l.oid = ANY (i.indcollation::pg_catalog.oid[]) AND NOT l.collisdeterministic)
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
        JOIN pg_catalog.pg_class c ON c.oid = i.indrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_catalog.pg_constraint r ON r.conindid = x.oid AND r.conrelid = c.oid AND r.contype = 'p'
    WHERE n.nspname = $1 AND i.indisprimary";

async fn primary_indexes<C: GenericClient + Sync>(
    client: &C,
    schema: &str,
    tables: &mut HashMap<u32, TargetTable>,
) -> Answer<()> {
    for row in client.query(PRIMARY, &[&schema]).await? {
        if let Some(table) = tables.get_mut(&row.get(0)) {
            let unique: Vec<String> = row.get(5);
            table.primary_index = Some(TargetIndex {
                name: row.get(1),
                constraint: true,
                definition: row.get(2),
                comment: row.get(3),
                rebuildable: row.get(4),
                apart: Some(Apart { columns: unique.clone(), plain: row.get(6) }),
                unique,
            });
        }
    }
    Ok(())
}

/// Triggers that fire when rows come (4) or go (8, 32). Of the server's own functions only those that fill a
/// tsvector are known to leave everything else alone. A partition's own fires for each row (1) that comes through the table; what
/// the server copied there from above is told once.
const TRIGGERS: &str = "SELECT c.oid, t.tgname::text, pg_catalog.pg_get_triggerdef(t.oid),
        pn.nspname = 'pg_catalog' AND p.proname IN ('tsvector_update_trigger', 'tsvector_update_trigger_column'),
        o.relnamespace = n.oid, onn.nspname::text, o.relname::text
    FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class o ON o.oid = t.tgrelid
        JOIN pg_catalog.pg_namespace onn ON onn.oid = o.relnamespace
        JOIN pg_catalog.pg_class c ON c.oid = coalesce(pg_catalog.pg_partition_root(o.oid), o.oid)
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid JOIN pg_catalog.pg_namespace pn ON pn.oid = p.pronamespace
    WHERE n.nspname = $1 AND NOT t.tgisinternal AND pg_catalog.left(t.tgname::text, 12) <> '_switchover_'
        AND t.tgenabled IN ('O', 'A') AND (t.tgtype & 44) <> 0
        AND (o.oid = c.oid OR (t.tgtype & 1) = 1 AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_trigger a
            WHERE a.oid = t.tgparentid AND a.tgenabled IN ('O', 'A')))
    ORDER BY c.oid, o.oid = c.oid DESC, o.relname, t.tgname";

/// How many rows a table has, up to a bound, and a history's content.
async fn rows<C: GenericClient + Sync>(client: &C, schema: &str, table: &mut TargetTable) -> Answer<bool> {
    let name = quote::qualified(schema, &table.name);
    let limit = ROWS_BEFORE_MAX + 1;
    let sql = format!("SELECT pg_catalog.count(*) FROM (SELECT 1 FROM {name} LIMIT {limit}) x");
    let count: i64 = client.query_one(&sql, &[]).await?.get(0);
    table.rows = u64::try_from(count).unwrap_or(0);
    if history_of(&table.name).is_none() {
        return Ok(true);
    }
    let sql = format!("SELECT pg_catalog.to_jsonb(t)::text FROM {name} t LIMIT {HISTORY_ROWS_MAX}");
    let mut history = Vec::new();
    for row in client.query(&sql, &[]).await? {
        let text: String = row.get(0);
        let Ok(serde_json::Value::Object(cells)) = serde_json::from_str(&text) else { return Ok(false) };
        let shown = |value: serde_json::Value| match value {
            serde_json::Value::Null => None,
            serde_json::Value::String(text) => Some(text),
            other => Some(other.to_string()),
        };
        history.push(cells.into_iter().map(|(name, value)| (name, shown(value))).collect());
    }
    table.history = Some(history);
    Ok(true)
}
