//! A schema for a rehearsal, beside all others of the database.
//!
//! Invariants: it is made under a name that was free, with a comment that says what it is, and only a schema with that
//! comment is removed. Rows are written by a session like an application's, so that gate and log see it.

use super::config::PgConfig;
use super::connect::{Connection, connect};
use super::error::classify;
use super::quote::{ident, literal, qualified};
use async_trait::async_trait;
use switchover_core::live::{Scratch, touched};
use switchover_core::plan::TablePlan;
use switchover_core::{Error, Kind, Result};
use tokio::sync::Mutex;
use tokio_postgres::error::SqlState;

/// What the schema's comment says.
const COMMENT: &str = "made for a rehearsal by Switchover; can be dropped when none is under way";

/// How often the schema is dropped where that meets a deadlock: with a statement of the engine that was stopped, which the server
/// still works on. Each time takes a second, and one of the two is over then.
const DROP_TRIES: usize = 5;

/// A schema of a rehearsal.
pub struct ScratchSchema {
    config: PgConfig,
    name: String,
    application: Mutex<Option<Connection>>,
}

impl ScratchSchema {
    /// Makes it.
    ///
    /// # Errors
    /// When the server cannot be reached, or the role may not make schemas in the database.
    pub async fn make(config: PgConfig, name: &str) -> Result<ScratchSchema> {
        let operation = "make a schema for the rehearsal";
        let connection = connect(&config).await?;
        let sql = format!(
            "BEGIN; CREATE SCHEMA {}; COMMENT ON SCHEMA {} IS {}; COMMIT",
            ident(name),
            ident(name),
            literal(COMMENT)
        );
        let made = connection.client().batch_execute(&sql).await;
        made.map_err(|error| {
            let denied = error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE);
            let error = connection.classify(error, operation);
            match denied {
                true => error.hint("GRANT CREATE ON DATABASE to the role, or rehearse on another server"),
                false => error,
            }
        })?;
        Ok(ScratchSchema { config, name: name.to_owned(), application: Mutex::default() })
    }

    fn statement(&self, table: &TablePlan, rows: u64) -> Option<String> {
        let (key, written) = touched(table)?;
        let name = |at: usize| ident(&table.columns[at].target);
        let key: Vec<String> = key.into_iter().map(name).collect();
        let (key, written, from) = (key.join(", "), name(written), qualified(&self.name, &table.target));
        Some(format!(
            "UPDATE {from} SET {written} = {written} WHERE ({key}) IN (SELECT {key} FROM {from} LIMIT {rows})"
        ))
    }
}

#[async_trait]
impl Scratch for ScratchSchema {
    async fn touch(&self, table: &TablePlan, rows: u64) -> Result<bool> {
        let Some(statement) = self.statement(table, rows) else { return Ok(true) };
        let mut application = self.application.lock().await;
        let connection = match application.take() {
            Some(connection) => connection,
            None => connect(&self.config).await?,
        };
        match connection.client().execute(&statement, &[]).await {
            Ok(_) => {
                *application = Some(connection);
                Ok(true)
            }
            // The gate's answer.
            Err(error) if error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => {
                *application = Some(connection);
                Ok(false)
            }
            Err(error) => Err(classify(&error, "write to the rehearsal's schema")
                .store(connection.label())
                .because(error)),
        }
    }

    async fn remove(&self) -> Result<()> {
        let operation = "remove the rehearsal's schema";
        if let Some(application) = self.application.lock().await.take() {
            application.close().await;
        }
        let connection = connect(&self.config).await?;
        let sql = "SELECT pg_catalog.obj_description(oid, 'pg_namespace') FROM pg_catalog.pg_namespace WHERE nspname = $1";
        let found = connection.client().query_opt(sql, &[&self.name]).await;
        let Some(row) = found.map_err(|error| connection.classify(error, operation))? else { return Ok(()) };
        if row.get::<_, Option<String>>(0).as_deref() != Some(COMMENT) {
            return Err(Error::new(Kind::Refused, operation)
                .store(connection.label())
                .detail(format!("the schema \"{}\" is not the rehearsal's any more", self.name))
                .hint("look at what is in it, and drop it by hand"));
        }
        let sql = format!("SET client_min_messages = warning; DROP SCHEMA {} CASCADE", ident(&self.name));
        for _ in 1..DROP_TRIES {
            match connection.client().batch_execute(&sql).await {
                Err(error) if error.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED) => {}
                dropped => return dropped.map_err(|error| connection.classify(error, operation)),
            }
        }
        let dropped = connection.client().batch_execute(&sql).await;
        dropped.map_err(|error| connection.classify(error, operation))
    }
}
