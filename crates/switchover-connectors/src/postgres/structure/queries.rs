//! What is asked of `pg_catalog` about tables. All names stand with their schema: `search_path` is empty.

/// Tables with rows of their own; `relkind` tells those whose rows lie in partitions.
pub(super) const RELATIONS: &str = "SELECT c.oid, c.relname::text, c.relkind::text,
        pg_catalog.has_table_privilege(c.oid, 'SELECT'), pg_catalog.row_security_active(c.oid)
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition
        AND NOT pg_catalog.starts_with(c.relname::text, '_switchover_')
        AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d
            WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY c.relname::text COLLATE \"C\"";

/// Columns with the type below their domains.
pub(super) const COLUMNS: &str = "WITH RECURSIVE walk AS (
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

/// Sequences that a column owns, how each counts, and whether it says what it gave out last.
pub(super) const SEQUENCES: &str = "SELECT d.refobjid, a.attname::text, n.nspname::text, s.relname::text,
        pg_catalog.has_sequence_privilege(s.oid, 'SELECT'), q.seqincrement, q.seqmax, q.seqcycle
    FROM pg_catalog.pg_depend d
        JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
        JOIN pg_catalog.pg_sequence q ON q.seqrelid = s.oid
        JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace
        JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('a', 'i')
        AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = ANY($1)";

/// Constraints of tables, with the columns of both sides by name. A foreign key to a partitioned table has a row for each partition
/// too, of its own table: it is one key.
pub(super) const CONSTRAINTS: &str = "SELECT r.conrelid, r.contype::text, r.conname::text,
        ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(r.conkey) WITH ORDINALITY k(n, o)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = r.conrelid AND a.attnum = k.n ORDER BY k.o),
        CASE WHEN p.relnamespace = r.connamespace THEN p.relname::text ELSE r.confrelid::pg_catalog.regclass::text END,
        ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(r.confkey) WITH ORDINALITY k(n, o)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = r.confrelid AND a.attnum = k.n ORDER BY k.o),
        r.confdeltype::text, r.confupdtype::text, r.condeferrable, r.condeferred, r.confmatchtype::text,
        pg_catalog.pg_get_expr(r.conbin, r.conrelid), pg_catalog.pg_get_constraintdef(r.oid),
        coalesce((pg_catalog.to_jsonb(i) ->> 'indnullsnotdistinct')::bool, false), r.convalidated,
        coalesce(i.indnatts > i.indnkeyatts, false)
    FROM pg_catalog.pg_constraint r LEFT JOIN pg_catalog.pg_class p ON p.oid = r.confrelid
        LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = r.conindid AND r.contype IN ('p', 'u')
    WHERE r.conrelid = ANY($1) AND r.contype IN ('p', 'u', 'f', 'c', 'x', 't')
        AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_constraint o WHERE o.oid = r.conparentid AND o.conrelid = r.conrelid)
    ORDER BY r.conrelid, r.conname";

/// Rules of the domains that columns are of.
pub(super) const DOMAINS: &str = "WITH RECURSIVE walk AS (
        SELECT a.attrelid, a.attnum, a.attname::text AS name, a.atttypid AS type
        FROM pg_catalog.pg_attribute a WHERE a.attrelid = ANY($1) AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL
        SELECT w.attrelid, w.attnum, w.name, t.typbasetype
        FROM walk w JOIN pg_catalog.pg_type t ON t.oid = w.type WHERE t.typtype = 'd')
    SELECT w.attrelid, w.name, pg_catalog.pg_get_expr(r.conbin, 0), r.convalidated, r.conname::text
    FROM walk w JOIN pg_catalog.pg_constraint r ON r.contypid = w.type AND r.contype = 'c'
    ORDER BY w.attrelid, w.attnum, r.conname";

/// Indexes that are no constraint's: each key part as written, with its order.
pub(super) const INDEXES: &str = "SELECT i.indrelid, x.relname::text, i.indisunique, m.amname::text,
        ARRAY(SELECT pg_catalog.pg_get_indexdef(i.indexrelid, k::int4, false)
            FROM pg_catalog.generate_series(1, i.indnkeyatts) k),
        ARRAY(SELECT i.indkey[k - 1] = 0 FROM pg_catalog.generate_series(1, i.indnkeyatts) k),
        ARRAY(SELECT i.indoption[k - 1] & 1 = 1 FROM pg_catalog.generate_series(1, i.indnkeyatts) k),
        ARRAY(SELECT a.attname::text FROM pg_catalog.generate_series(1, i.indnkeyatts) k
            LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k - 1] ORDER BY k),
        pg_catalog.pg_get_expr(i.indpred, i.indrelid), pg_catalog.pg_get_indexdef(i.indexrelid),
        coalesce((pg_catalog.to_jsonb(i) ->> 'indnullsnotdistinct')::bool, false), i.indisvalid,
        i.indnatts > i.indnkeyatts,
        ARRAY(SELECT i.indoption[k - 1] & 2 = 2 FROM pg_catalog.generate_series(1, i.indnkeyatts) k)
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
        JOIN pg_catalog.pg_am m ON m.oid = x.relam
    WHERE i.indrelid = ANY($1) AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_constraint r
        WHERE r.conindid = x.oid AND r.contype IN ('p', 'u', 'x'))
    ORDER BY i.indrelid, x.relname::text COLLATE \"C\"";
