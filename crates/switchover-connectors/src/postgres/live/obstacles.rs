//! What keeps a PostgreSQL target from live work with a plan.

use super::PostgresLive;
use super::session::Session;
use switchover_core::Result;
use switchover_core::plan::{Plan, Refusal};

fn refusal(table: &str, why: String, hint: &str) -> Refusal {
    Refusal {
        table: table.to_owned(),
        key: String::new(),
        column: String::new(),
        value: String::new(),
        why,
        hint: hint.to_owned(),
    }
}

impl PostgresLive {
    pub(super) async fn obstacles_with(&self, session: &mut Session) -> Result<Vec<Refusal>> {
        let operation = "look for what keeps the target from a live run";
        let plan = &*self.run.plan;
        let mut refusals = Vec::new();
        if plan.options.existing.is_some() {
            let found = self.of_standing(session).await;
            refusals.extend(found.map_err(|error| session.connection.classify(error, operation))?);
        }
        for table in &plan.tables {
            if table.has_exceptions() {
                refusals.push(refusal(
                    &table.source,
                    "some of its rows or values would go to quarantine, which a row that changes later cannot follow"
                        .into(),
                    "change these values on the source, or choose a type that holds them",
                ));
            }
        }
        // From 13 on the server can tell which transactions a snapshot has seen.
        let sql = "SELECT pg_catalog.current_setting('server_version_num')::int >= 130000,
            coalesce((SELECT pg_catalog.has_language_privilege(oid, 'USAGE') FROM pg_catalog.pg_language
                WHERE lanname = 'plpgsql'), false),
            coalesce((SELECT pg_catalog.has_schema_privilege(oid, 'CREATE') FROM pg_catalog.pg_namespace
                WHERE nspname = $1), pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'))";
        let row = session.client().query_one(sql, &[&self.schema()]).await;
        let row = row.map_err(|error| session.connection.classify(error, operation))?;
        let wanted = [
            ("the server is older than PostgreSQL 13", "move to a newer server first"),
            (
                "the role may not use the language plpgsql, in which the gate and the log are written",
                "CREATE EXTENSION plpgsql, or GRANT USAGE ON LANGUAGE plpgsql TO the role",
            ),
            (
                "the role may not make tables and functions in the schema",
                "GRANT CREATE ON SCHEMA to the role, or make the role the schema's owner",
            ),
        ];
        for (at, (why, hint)) in wanted.into_iter().enumerate() {
            if !row.get::<_, bool>(at) {
                refusals.push(refusal("", why.to_owned(), hint));
            }
        }
        Ok(refusals)
    }

    /// What tables that are there have about them that the plan does not tell.
    async fn of_standing(
        &self,
        session: &Session,
    ) -> std::result::Result<Vec<Refusal>, tokio_postgres::Error> {
        let plan = &*self.run.plan;
        let mut refusals = Vec::new();
        let (mut tables, mut columns) = (Vec::new(), Vec::new());
        for table in &plan.tables {
            let staying = table.standing.as_ref().map_or(0, |standing| standing.rows_staying);
            if staying > 0 && !plan.refusals.iter().any(|refusal| refusal.table == table.source) {
                refusals.push(refusal(
                    &table.source,
                    format!(
                        "{staying} rows that only the target has would stay, and a row that the application makes meanwhile may have their key"
                    ),
                    "take these rows out of the target, or have the application make them in the source; --on-conflict replace lets the others give way",
                ));
            }
            for field in table.key_fields() {
                tables.push(table.target.as_str());
                columns.push(table.columns[field].target.as_str());
            }
        }
        let client = session.client();
        let schema = self.schema();
        let sql = "SELECT c.relname::text, a.attname::text FROM pg_catalog.pg_attribute a
                JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
                JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation AND NOT l.collisdeterministic
                JOIN ROWS FROM (pg_catalog.unnest($2::text[]), pg_catalog.unnest($3::text[])) AS k(t, name)
                    ON k.t = c.relname::text AND k.name = a.attname::text
            WHERE n.nspname = $1";
        for row in client.query(sql, &[&schema, &tables, &columns]).await? {
            let (table, column): (&str, &str) = (row.get(0), row.get(1));
            refusals.push(refusal(
                source_of(plan, table),
                format!(
                    "\"{column}\" is part of the primary key, and its collation takes different texts for one"
                ),
                "stop the application, and use `switchover migrate`",
            ));
        }
        let names: Vec<&str> = plan.tables.iter().map(|table| table.target.as_str()).collect();
        let sql = "SELECT p.relname::text, pg_catalog.format('%I.%I', n.nspname, c.relname), r.conname::text
            FROM pg_catalog.pg_constraint r
                JOIN pg_catalog.pg_class p ON p.oid = r.confrelid
                JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace AND pn.nspname = $1
                JOIN pg_catalog.pg_class c ON c.oid = r.conrelid
                JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
            WHERE r.contype = 'f' AND n.oid <> pn.oid AND p.relname::text = ANY ($2)";
        for row in client.query(sql, &[&schema, &names]).await? {
            let (table, child, key): (&str, &str, &str) = (row.get(0), row.get(1), row.get(2));
            refusals.push(refusal(
                source_of(plan, table),
                format!(
                    "the foreign key {key} of {child}, in another schema, acts on rows or checks them at once while they go and come again"
                ),
                "drop that key for the run, or stop the application and use `switchover migrate`",
            ));
        }
        Ok(refusals)
    }
}

/// The source's name of a table of the target.
fn source_of<'a>(plan: &'a Plan, target: &'a str) -> &'a str {
    plan.tables.iter().find(|table| table.target == target).map_or(target, |table| &table.source)
}
