//! What keeps a PostgreSQL target from live work with a plan.

use super::PostgresLive;
use super::session::Session;
use switchover_core::Result;
use switchover_core::plan::Refusal;

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
            refusals.push(refusal(
                "",
                "a live migration makes the target's tables; it does not fill tables that are there".into(),
                "leave out --into existing, or stop the application and use `switchover migrate`",
            ));
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
}
