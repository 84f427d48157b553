//! What looks at a row by itself, as a question: checks, checks of domains, partitions, and foreign keys to tables that the run
//! does not fill.
//!
//! The server's own expression is asked of the batch with the columns that it looks at: those that rows bring, the defaults of
//! those that they do not, and what the server computes from them. A check that says neither yes nor no lets a row pass,
//! as SQL has it. Nothing is written. Absent: checks that look at a whole row, or at what a row is only in its table; such a
//! question the server does not understand, and only the load asks it.

use super::{Asked, BATCH, HeldAgainst, Making, NUMBER, OPERATION};
use crate::postgres::quote::ident;
use switchover_core::Result;
use switchover_core::existing::{Rule, RuleKind};

const OF_TABLE: &str = "SELECT pg_catalog.pg_get_expr(r.conbin, r.conrelid) FROM pg_catalog.pg_constraint r
    WHERE r.contype = 'c' AND r.conrelid = $1::text::pg_catalog.regclass AND r.conname = $2";

/// The value is called `VALUE` there, which is no reserved word: it is found as a column of that name.
const OF_DOMAIN: &str = "SELECT pg_catalog.pg_get_expr(r.conbin, 0) FROM pg_catalog.pg_constraint r
    WHERE r.contype = 'c' AND r.contypid = $1::text::pg_catalog.regtype AND r.conname = $2";

/// What a domain's checks call the value.
const VALUE: &str = "value";

/// A row needs one partition that takes it; a table without any takes none.
const OF_PARTITIONS: &str = "SELECT coalesce(pg_catalog.string_agg(
        '(' || coalesce(pg_catalog.pg_get_partition_constraintdef(t.relid), 'true') || ')', ' OR '), 'false')
    FROM pg_catalog.pg_partition_tree($1::text::pg_catalog.regclass) t WHERE t.isleaf";

/// The comparison is the key's own, by the parent's collation. NULL in a part asks for no parent, or, where the key says so,
/// NULL in all of them.
const OF_PARENT: &str = "SELECT pg_catalog.format('(%s OR EXISTS (SELECT 1 FROM %s p WHERE %s))',
        pg_catalog.string_agg(pg_catalog.format('b.%I IS NULL', c.attname),
            CASE WHEN r.confmatchtype = 'f' THEN ' AND ' ELSE ' OR ' END),
        r.confrelid::pg_catalog.regclass,
        pg_catalog.string_agg(pg_catalog.format('p.%I OPERATOR(%I.%s) b.%I', p.attname, s.nspname, o.oprname, c.attname)
            || CASE WHEN l.oid IS NULL THEN '' ELSE pg_catalog.format(' COLLATE %I.%I', ls.nspname, l.collname) END, ' AND '))
    FROM pg_catalog.pg_constraint r
        CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(r.conkey), pg_catalog.unnest(r.confkey), pg_catalog.unnest(r.conpfeqop))
            k(child, parent, equal)
        JOIN pg_catalog.pg_attribute c ON c.attrelid = r.conrelid AND c.attnum = k.child
        JOIN pg_catalog.pg_attribute p ON p.attrelid = r.confrelid AND p.attnum = k.parent
        JOIN pg_catalog.pg_operator o ON o.oid = k.equal JOIN pg_catalog.pg_namespace s ON s.oid = o.oprnamespace
        LEFT JOIN (pg_catalog.pg_collation l JOIN pg_catalog.pg_namespace ls ON ls.oid = l.collnamespace)
            ON l.oid = p.attcollation
    WHERE r.contype = 'f' AND r.conrelid = $1::text::pg_catalog.regclass AND r.conname = $2
    GROUP BY r.oid, r.confmatchtype, r.confrelid";

impl Making<'_> {
    /// The statement that gives those rows of a range of the batch that a rule refuses, and the columns of the batch that it
    /// looks at; or why there is none.
    pub(super) async fn question(
        &self,
        rule: &Rule,
    ) -> Result<std::result::Result<(String, Vec<String>), String>> {
        let fail = |error| self.connection.classify(error, OPERATION).table(self.table.source.clone());
        let client = self.connection.client();
        let found = match &rule.kind {
            RuleKind::Domain { domain } => client.query_opt(OF_DOMAIN, &[domain, &rule.name]).await,
            RuleKind::Partitions => client.query_opt(OF_PARTITIONS, &[&self.name]).await,
            RuleKind::Parent => client.query_opt(OF_PARENT, &[&self.name, &rule.name]).await,
            RuleKind::Check | RuleKind::Apart { .. } => {
                client.query_opt(OF_TABLE, &[&self.name, &rule.name]).await
            }
        };
        let Some(row) = found.map_err(fail)? else { return Ok(Err("it is gone from the target".into())) };
        let expression: String = row.get(0);
        let n = ident(NUMBER);
        // No row outside the range is looked at, whatever the server finds cheaper: what it says is of rows within.
        let range = format!("FROM {BATCH} WHERE {n} >= $1 AND {n} < $2 OFFSET 0");
        let refused = |rows: String| {
            format!("SELECT b.{n} FROM ({rows}) b WHERE ({expression}) IS FALSE ORDER BY b.{n}")
        };
        if let (RuleKind::Domain { .. }, [column]) = (&rule.kind, &*rule.columns) {
            let rows = format!("SELECT {n}, {} AS {} {range}", ident(column), ident(VALUE));
            return Ok(Ok((refused(rows), vec![column.clone()])));
        }
        let (mut stored, mut computed, mut looked_at) = (vec![n.clone()], Vec::new(), Vec::new());
        // What a computed column is computed from, the server knows.
        let all = self.columns.iter().any(|c| c.generated.is_some() && rule.columns.contains(&c.name));
        for column in &self.columns {
            let needed = rule.columns.contains(&column.name) || all && column.generated.is_none();
            if !needed {
                continue;
            }
            let (name, declared) = (ident(&column.name), &column.declared);
            match (&column.generated, &column.default) {
                _ if self.mapped(&column.name) => {
                    looked_at.push(column.name.clone());
                    stored.push(name);
                }
                (Some(expression), _) => computed.push(format!(", ({expression})::{declared} AS {name}")),
                _ if column.numbered => {
                    return Ok(Err(format!("the target numbers \"{}\" by itself", column.name)));
                }
                (None, default) => {
                    let default = default.as_deref().unwrap_or("NULL");
                    stored.push(format!("({default})::{declared} AS {name}"));
                }
            }
        }
        let mut rows = format!("SELECT {} {range}", stored.join(", "));
        if !computed.is_empty() {
            rows = format!("SELECT s.*{} FROM ({rows}) s", computed.concat());
        }
        Ok(Ok((refused(rows), looked_at)))
    }

    /// Moves the questions that the server does not understand, or not from this role, to those that are not asked.
    pub(super) async fn understood(
        &self,
        asked: &mut Vec<Asked>,
        unasked: &mut Vec<(usize, String)>,
    ) -> Result<()> {
        let fail = |error| self.connection.classify(error, OPERATION).table(self.table.source.clone());
        let client = self.connection.client();
        let mut kept = Vec::with_capacity(asked.len());
        for asked in asked.drain(..) {
            if asked.held != HeldAgainst::Nothing {
                kept.push(asked);
                continue;
            }
            client.batch_execute("SAVEPOINT asked").await.map_err(fail)?;
            // Of no rows.
            match client.query(&asked.sql, &[&0i64, &0i64]).await {
                Ok(_) => kept.push(asked),
                Err(error) => {
                    let Some(why) = error.as_db_error().map(|error| error.message().to_owned()) else {
                        return Err(fail(error));
                    };
                    client.batch_execute("ROLLBACK TO SAVEPOINT asked").await.map_err(fail)?;
                    unasked.push((asked.which, why));
                }
            }
        }
        *asked = kept;
        Ok(())
    }
}
