//! What a schema of the source holds besides tables: a line for each thing that is not moved.

use switchover_core::schema::Skipped;
use tokio_postgres::Client;

/// What belongs to no extension.
macro_rules! own {
    ($class:literal, $oid:literal) => {
        concat!(
            " AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.",
            $class,
            "'::pg_catalog.regclass AND d.objid = ",
            $oid,
            " AND d.deptype = 'e')"
        )
    };
}

/// Each gives a kind, a name and a reason.
const QUERIES: [&str; 11] = [
    concat!(
        "SELECT CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table'
            WHEN 'S' THEN 'sequence' ELSE 'partition' END, c.relname::text,
        CASE c.relkind WHEN 'v' THEN 'its query is not translated: ' || pg_catalog.pg_get_viewdef(c.oid)
            WHEN 'm' THEN 'its query is not translated: ' || pg_catalog.pg_get_viewdef(c.oid)
            WHEN 'f' THEN 'its rows lie in another store'
            WHEN 'S' THEN 'no column owns it'
            ELSE 'its rows are moved with the table that it is a part of' END
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND (c.relkind IN ('v', 'm', 'f') OR c.relkind IN ('r', 'p') AND c.relispartition
            OR c.relkind = 'S' AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d
                WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
                    AND d.deptype IN ('a', 'i')))
        AND NOT pg_catalog.starts_with(c.relname::text, '_switchover_')",
        own!("pg_class", "c.oid"),
        " ORDER BY 1, 2"
    ),
    "SELECT 'inheritance', c.relname::text || ' of ' || p.relname::text,
        'its rows are in its own table alone: a query of ' || p.relname::text || ' does not find them on the target'
    FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
        JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
        JOIN pg_catalog.pg_namespace n ON n.oid = p.relnamespace
    WHERE n.nspname = $1 AND c.relkind IN ('r', 'f') AND NOT c.relispartition ORDER BY 2",
    "SELECT CASE r.contype WHEN 'c' THEN 'check' WHEN 'p' THEN 'primary key' WHEN 'u' THEN 'unique'
            WHEN 'f' THEN 'foreign key' ELSE 'constraint' END, r.conname::text || ' on ' || c.relname::text,
        pg_catalog.pg_get_constraintdef(r.oid) || ': it is the rule of a partition alone'
    FROM pg_catalog.pg_constraint r JOIN pg_catalog.pg_class c ON c.oid = r.conrelid
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relispartition AND r.conislocal AND r.conparentid = 0
        AND r.contype IN ('c', 'p', 'u', 'f', 'x') ORDER BY 2",
    "SELECT 'trigger', t.tgname::text || ' on ' || c.relname::text,
        'a trigger''s program is not translated: write it for the target'
    FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND NOT t.tgisinternal ORDER BY 2",
    concat!(
        "SELECT CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END,
        p.oid::pg_catalog.regprocedure::text, 'the target keeps no programs'
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = $1",
        own!("pg_proc", "p.oid"),
        " ORDER BY 2"
    ),
    concat!(
        "SELECT CASE t.typtype WHEN 'e' THEN 'enumeration' WHEN 'd' THEN 'domain' WHEN 'r' THEN 'range type'
            ELSE 'composite type' END, t.typname::text,
        'the target has no types of its own; its columns keep the values'
    FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
        LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
    WHERE n.nspname = $1 AND (t.typtype IN ('e', 'd', 'r') OR t.typtype = 'c' AND c.relkind = 'c')",
        own!("pg_type", "t.oid"),
        " ORDER BY 2"
    ),
    "SELECT 'policy', p.polname::text || ' on ' || c.relname::text, 'the target gives no rights to single rows'
    FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 ORDER BY 2",
    "SELECT 'rule', r.rulename::text || ' on ' || c.relname::text, 'the target rewrites no statements'
    FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND r.rulename <> '_RETURN' ORDER BY 2",
    "SELECT 'statistics', s.stxname::text, 'the target''s planner keeps its own'
    FROM pg_catalog.pg_statistic_ext s JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace
    WHERE n.nspname = $1 ORDER BY 2",
    "SELECT 'comments', pg_catalog.count(*)::text, 'the target keeps no comments on tables and columns'
    FROM pg_catalog.pg_description d JOIN pg_catalog.pg_class c ON c.oid = d.objoid
            AND d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 HAVING pg_catalog.count(*) > 0",
    // They are the database's and no schema's; only their numbers are in columns, which may be of another type.
    "SELECT 'large objects', coalesce(pg_catalog.string_agg(c.relname::text || '.' || a.attname::text, ', '
            ORDER BY c.relname, a.attnum), 'of the database'),
        'they stay in the database, and of a column that names them only their numbers are moved: '
            || 'export what is needed of them (lo_export), or put it into columns of bytea'
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = $1
        JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
            AND (t.oid = 'pg_catalog.oid'::pg_catalog.regtype OR t.typname = 'lo')
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
    HAVING EXISTS (SELECT 1 FROM pg_catalog.pg_largeobject_metadata)",
];

/// The lines.
pub(super) async fn of(client: &Client, schema: &str) -> Result<Vec<Skipped>, tokio_postgres::Error> {
    let mut lines = Vec::new();
    for sql in QUERIES {
        for row in client.query(sql, &[&schema]).await? {
            let why: String = row.get(2);
            let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
            lines.push(Skipped { kind: row.get(0), name: row.get(1), why });
        }
    }
    Ok(lines)
}
