//! The engine of Switchover: one runner over the connector traits.
//!
//! [`Migration`] is the way in, and it can all that the command line can: [`plan`](Migration::plan),
//! [`migrate`](Migration::migrate), [`resume`](Migration::resume), [`verify`](Migration::verify),
//! [`verify_sample`](Migration::verify_sample), [`rollback`](Migration::rollback),
//! [`cleanup`](Migration::cleanup); [`doctor::examine`] looks at the stores before, and
//! [`migration::status`] at the runs so far. Stores come in as the traits of
//! [`switchover_core::connector`]: the engine names none. Nothing here prints; who
//! wants to see what happens gives a [`Progress`](progress::Progress), and who wants to stop it holds a
//! [`Shutdown`](shutdown::Shutdown).
//!
//! ```
//! use std::sync::Arc;
//! use switchover::{Migration, Sample, report, report::Verdict, settings::Settings};
//! use switchover_connectors::postgres::{config::PgConfig, target::PostgresTarget};
//! use switchover_connectors::sqlite::{config::SqliteConfig, source::SqliteSource};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let file = folder.path().join("app.db");
//! # rusqlite::Connection::open(&file)?.execute_batch(
//! #     "CREATE TABLE note(id INTEGER PRIMARY KEY, body TEXT NOT NULL);
//! #      INSERT INTO note(body) VALUES ('first'), ('zwölf'), ('last');",
//! # )?;
//! # let database = switchover_testkit::Cluster::shared()?.fresh_database("doctest")?;
//! # let (url, state) = (database.url(), folder.path().join("state"));
//! // `file` is a SQLite database, `url` names an empty PostgreSQL database.
//! let source = SqliteSource::new(SqliteConfig::from_path(&file));
//! let target = PostgresTarget::new(PgConfig::parse(&url, &|name| std::env::var(name).ok())?);
//! let migration = Migration::new(Arc::new(source), Arc::new(target))
//!     .settings(Settings { state_dir: state, ..Settings::default() });
//!
//! // Reads only: what would become of each table and column, and why.
//! let plan = migration.plan().await?;
//! assert!(plan.refusals.is_empty());
//! assert_eq!(plan.tables[0].columns[1].r#type.to_string(), "text");
//!
//! // Carries out that plan: backup, schema, rows, keys, and the comparison of every field.
//! let done = migration.migrate(Some(plan)).await?;
//! assert_eq!((done.verdict, done.tables[0].target_rows), (Verdict::Same, 3));
//! println!("{}", report::markdown(&done));
//!
//! // The stores can be compared again at any time; a look at some rows says how little it proves.
//! assert_eq!(migration.verify(None, false).await?.verdict, Verdict::Same);
//! let look = migration.verify_sample(None, Sample::of(2)).await?;
//! assert_eq!(look.sample.map(|proof| (proof.rows, proof.of)), Some((2, 3)));
//!
//! // Takes back exactly what the run made; it refuses once the target holds newer rows.
//! assert!(migration.rollback(None, false).await?);
//! # Ok(())
//! # }
//! ```
//!
//! A run writes its journal into [`Settings::state_dir`](settings::Settings::state_dir). A process that
//! was killed is gone on with by [`Migration::resume`], from any process with the same folder and stores.

mod build;
mod clock;
mod copy;
pub mod doctor;
mod duplicates;
mod evidence;
mod exceptions;
mod id_maps;
pub mod journal;
pub mod live;
mod mapped;
pub mod migration;
mod orphans;
pub mod progress;
pub mod queries;
pub mod report;
mod reserve;
mod retry;
pub mod router;
pub mod routing;
mod same_ids;
mod scan;
mod seeded;
pub mod settings;
pub mod shutdown;
mod sight;
#[cfg(test)]
mod simulation;
mod stray_ids;
mod trial;
mod vectors;
mod verify;
pub mod watch;

pub use migration::{Foreseen, Migration};
pub use verify::sample::Sample;

pub use switchover_core as core;
