//! What guards measure: endpoints, and queries of the run's own stores.

use super::{Store, postgres, store};
use crate::config::{Environment, StoreRef};
use switchover::core::live::Side;
use switchover::watch::{Fetch, HttpFetch};
use switchover_connectors::postgres::config::PgConfig;
use switchover_connectors::sqlite::config::SqliteConfig;
use switchover_core::{Error, Kind, Result};

/// A store that can be asked.
enum Asked {
    Sqlite(SqliteConfig),
    Postgres(Box<PgConfig>),
    Nothing,
}

/// Endpoints and both stores.
pub(crate) struct Measures {
    http: HttpFetch,
    source: Asked,
    target: Asked,
}

impl Measures {
    /// For the stores of a run.
    pub(crate) fn new(from: &StoreRef, to: &StoreRef, environment: &Environment) -> Result<Measures> {
        let asked = |reference: &StoreRef| {
            Ok(match store(reference)? {
                Store::Sqlite => Asked::Sqlite(SqliteConfig::parse(reference.expose())?),
                Store::Postgres => Asked::Postgres(Box::new(postgres(reference, environment)?)),
                Store::Json | Store::Weaviate => Asked::Nothing,
            })
        };
        Ok(Measures { http: HttpFetch::new()?, source: asked(from)?, target: asked(to)? })
    }
}

#[async_trait::async_trait]
impl Fetch for Measures {
    async fn http(&self, url: &str) -> Result<String> {
        self.http.http(url).await
    }

    async fn sql(&self, at: Side, query: &str) -> Result<Vec<f64>> {
        let asked = match at {
            Side::Source => &self.source,
            Side::Target => &self.target,
        };
        match asked {
            Asked::Sqlite(config) => switchover_connectors::sqlite::numbers::numbers(config, query).await,
            Asked::Postgres(config) => switchover_connectors::postgres::numbers::numbers(config, query).await,
            Asked::Nothing => Err(Error::new(Kind::Unsupported, "ask a guard's query")
                .detail(format!("the {at} takes no queries"))),
        }
    }
}
