//! The source side of PostgreSQL: one schema of a database, and read points of it.
//!
//! Only reads: every session is in a read-only transaction, and the backup is PostgreSQL's own `pg_dump`.
//! Absent: capture and fence, which a live migration from here would need.

use super::backup;
use super::config::PgConfig;
use super::connect::connect;
use super::examine;
use super::snapshot::PostgresSnapshot;
use crate::disk;
use async_trait::async_trait;
use std::path::Path;
use std::sync::Arc;
use switchover_core::Result;
use switchover_core::connector::{BackupRecord, Snapshot, Source};
use switchover_core::finding::{Finding, Needs};

/// The schema that is read when none is named.
pub const SCHEMA: &str = "public";

/// A PostgreSQL schema to read from.
#[derive(Debug, Clone)]
pub struct PostgresSource {
    config: PgConfig,
    schema: String,
}

impl PostgresSource {
    /// A schema of the database of that configuration: the one given, else the one that the configuration
    /// names, else `public`. Nothing is opened yet.
    pub fn new(config: PgConfig, schema: Option<String>) -> PostgresSource {
        let schema = schema.or_else(|| config.schema.clone()).unwrap_or_else(|| SCHEMA.to_owned());
        PostgresSource { config, schema }
    }

    /// The configuration.
    pub fn config(&self) -> &PgConfig {
        &self.config
    }
}

#[async_trait]
impl Source for PostgresSource {
    fn label(&self) -> String {
        self.config.redacted_with(&self.schema)
    }

    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        Ok(Arc::new(PostgresSnapshot::begin(&self.config, &self.schema).await?))
    }

    async fn backup(&self, directory: &Path, name: &str) -> Result<BackupRecord> {
        let made = backup::ensure(&self.config, directory, name).await?;
        Ok(BackupRecord { path: made.path, bytes: made.sidecar.bytes, blake3: made.sidecar.blake3 })
    }

    fn backup_room(&self, directory: &Path) -> Option<u64> {
        disk::free_bytes(directory)
    }

    async fn examine(&self, needs: &Needs) -> Vec<Finding> {
        let connection = match connect(&self.config).await {
            Ok(connection) => connection,
            Err(error) => return vec![Finding::of_error("connection", &error)],
        };
        let mut found = vec![examine::transport(&connection, &self.config)];
        drop(connection);
        let looked = match PostgresSnapshot::begin(&self.config, &self.schema).await {
            Ok(snapshot) => match snapshot.catalog().await {
                Ok(catalog) => snapshot.locked().await.map(|locked| (catalog, locked.clone())),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        match looked {
            Ok((catalog, locked)) => {
                found.push(examine::version_of(&catalog.store));
                let tables = catalog.tables.len();
                found.push(match tables {
                    0 => Finding::warning(
                        "schema",
                        format!("\"{}\" holds no table", self.schema),
                        "name the schema that holds the tables with --from-schema",
                    ),
                    _ => Finding::ok("schema", format!("\"{}\" holds {tables} tables", self.schema)),
                });
                for (table, locked) in &locked {
                    let (why, todo) = locked.told();
                    if needs.tables.as_ref().is_none_or(|moved| moved.contains(table)) {
                        found.push(Finding::fault("rights", format!("\"{table}\": {why}"), todo));
                    }
                }
            }
            Err(error) => found.push(Finding::of_error("schema", &error)),
        }
        found
    }
}
