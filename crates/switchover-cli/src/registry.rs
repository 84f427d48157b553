//! From a URL's scheme to its connector: the only place of the program that names connectors.
//!
//! Invariants: a scheme that is not known is an error with the nearest known one, before anything is
//! opened. Absent on purpose: what a URL's parts mean, which is the connector's own configuration.

pub(crate) mod archive;
pub(crate) mod numbers;
pub(crate) mod scratch;

use crate::config::{Environment, Origin, StoreRef, nearest};
use std::path::Path;
use std::sync::Arc;
use switchover_connectors::json::config::JsonConfig;
use switchover_connectors::json::source::JsonSource;
use switchover_connectors::json::{self, target::JsonTarget};
use switchover_connectors::postgres::config::PgConfig;
use switchover_connectors::postgres::source::PostgresSource;
use switchover_connectors::postgres::target::PostgresTarget;
use switchover_connectors::sqlite::config::SqliteConfig;
use switchover_connectors::sqlite::source::SqliteSource;
use switchover_connectors::sqlite::target::{self, SqliteTarget};
pub(crate) use switchover_connectors::weaviate::look::{Answer, By, Hit, Question};
use switchover_connectors::weaviate::target::WeaviateTarget;
use switchover_connectors::weaviate::{self, WeaviateConfig};
use switchover_core::connector::{Source, Target};
use switchover_core::{Error, Kind, Result};

/// The stores there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    /// A SQLite file.
    Sqlite,
    /// A PostgreSQL server.
    Postgres,
    /// A dump in JSON.
    Json,
    /// A Weaviate server.
    Weaviate,
}

/// Schemes as users have them; SQLAlchemy's `+driver` is gone by then.
const SCHEMES: &[(&str, Store)] = &[
    ("sqlite", Store::Sqlite),
    ("sqlite3", Store::Sqlite),
    ("file", Store::Sqlite),
    ("postgres", Store::Postgres),
    ("postgresql", Store::Postgres),
    ("json", Store::Json),
    ("weaviate", Store::Weaviate),
    ("weaviates", Store::Weaviate),
];

/// Which store a reference means.
pub(crate) fn store(reference: &StoreRef) -> Result<Store> {
    // A variable that holds no URL may hold a password.
    let hidden = matches!(reference.origin, Origin::Variable(_)) && !reference.expose().contains("://");
    let shown = if hidden { reference.origin.to_string() } else { reference.label() };
    let error = || Error::new(Kind::Config, "tell which store this is").store(shown.clone());
    let Some(scheme) = reference.scheme() else {
        if reference.is_key_value() {
            return Ok(Store::Postgres);
        }
        let file = if hidden { "FILE" } else { &shown };
        let hint = format!("for a SQLite file write sqlite:{file}; for PostgreSQL postgres://…");
        return Err(error().detail(format!("{} is no URL", reference.origin)).hint(hint));
    };
    if let Some((_, store)) = SCHEMES.iter().find(|(known, _)| *known == scheme) {
        return Ok(*store);
    }
    let hint = match nearest(&scheme, SCHEMES.iter().map(|(known, _)| *known)) {
        Some(near) => format!("did you mean '{near}:'?"),
        None => "URLs begin with sqlite:, json:, postgres://, postgresql:// or weaviate://".into(),
    };
    let detail = match hidden {
        true => "no store has URLs that begin as its value does".to_owned(),
        false => format!("no store has URLs that begin with '{scheme}:'"),
    };
    Err(error().detail(detail).hint(hint))
}

/// Opens the side that data comes from.
pub(crate) fn source(
    reference: &StoreRef,
    schema: Option<&str>,
    environment: &Environment,
) -> Result<Arc<dyn Source>> {
    match (store(reference)?, schema) {
        (Store::Sqlite, None) => Ok(Arc::new(SqliteSource::new(SqliteConfig::parse(reference.expose())?))),
        (Store::Json, None) => Ok(Arc::new(JsonSource::new(JsonConfig::parse(reference.expose())?))),
        (Store::Postgres, schema) => {
            let config = postgres(reference, environment)?;
            Ok(Arc::new(PostgresSource::new(config, schema.map(str::to_owned))))
        }
        (Store::Weaviate, None) => Err(Error::new(Kind::Unsupported, "read the source")
            .store(reference.label())
            .detail("Weaviate is a target only")
            .hint("name a SQLite file, PostgreSQL or a dump in JSON with --from")),
        (_, Some(schema)) => Err(Error::new(Kind::Config, "read the source's schema")
            .store(reference.label())
            .detail(format!("the schema \"{schema}\" is asked for, and only PostgreSQL has schemas"))
            .hint("leave --from-schema out")),
    }
}

/// Whether the store is a folder of JSON, and the file would be a table in it.
pub(crate) fn is_table_of(reference: &StoreRef, file: &Path) -> bool {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let is_there = |config: JsonConfig| match (config.path().canonicalize(), folder.canonicalize()) {
        (Ok(dump), Ok(folder)) => dump == folder,
        _ => false,
    };
    let ending = file.extension().and_then(|ending| ending.to_str());
    matches!(ending, Some("json" | "jsonl" | "ndjson" | "gz"))
        && store(reference).is_ok_and(|store| store == Store::Json)
        && JsonConfig::parse(reference.expose()).is_ok_and(is_there)
}

/// That the two are a pair that data is moved between.
pub(crate) fn is_pair(from: &StoreRef, to: &StoreRef) -> Result<()> {
    match (store(from)?, store(to)?) {
        (Store::Postgres, Store::Postgres) => Err(Error::new(Kind::Unsupported, "move the data")
            .detail("both stores are PostgreSQL")
            .hint("its own pg_dump and pg_restore move everything, with all types and programs")),
        (Store::Postgres, Store::Weaviate) => Err(Error::new(Kind::Unsupported, "move the data")
            .detail("PostgreSQL does not move to Weaviate directly yet")
            .hint("move it to a SQLite file first, and from there to Weaviate")),
        _ => Ok(()),
    }
}

/// Opens the side that data goes to.
pub(crate) fn target(reference: &StoreRef, environment: &Environment) -> Result<Arc<dyn Target>> {
    match store(reference)? {
        Store::Postgres => {
            let config = postgres(reference, environment)?;
            if let Some(schema) = &config.schema {
                return Err(Error::new(Kind::Config, "read the target's URL")
                    .store(reference.label())
                    .detail(format!("it names the schema \"{schema}\""))
                    .hint(format!("leave that out, and write --schema {schema}")));
            }
            Ok(Arc::new(PostgresTarget::new(config)))
        }
        Store::Sqlite => Ok(Arc::new(SqliteTarget::new(SqliteConfig::parse(reference.expose())?))),
        Store::Json => Ok(Arc::new(JsonTarget::new(JsonConfig::parse(reference.expose())?)?)),
        Store::Weaviate => Ok(Arc::new(WeaviateTarget::new(weaviate(reference, environment)?))),
    }
}

/// Whether the URL of a target names the file of its API key; `None` for stores that have no such key.
pub(crate) fn api_key(reference: &StoreRef) -> Option<bool> {
    let query = || reference.expose().split_once('?').map_or("", |(_, query)| query);
    let named = || query().split('&').any(|pair| pair.starts_with("api_key_file="));
    matches!(reference.scheme().as_deref(), Some("weaviate" | "weaviates")).then(named)
}

/// Whether the target that a journal names never owns the data: it only serves reads.
pub(crate) fn serves_reads_only(kept: &str) -> bool {
    store(&StoreRef::new(kept, Origin::Journal)).is_ok_and(|store| store == Store::Weaviate)
}

/// The schema that is meant when none is named; `None` where the store is not known.
pub(crate) fn schema_default(reference: &StoreRef) -> Option<&'static str> {
    match store(reference).ok()? {
        Store::Sqlite => Some(target::SCHEMA),
        Store::Json => Some(json::target::SCHEMA),
        Store::Weaviate => Some(weaviate::target::SCHEMA),
        Store::Postgres => None,
    }
}

/// A PostgreSQL server that a journal names, as a variable of the environment or of `.env` names it: with its password, and with
/// how TLS is checked, which a journal does not hold. Only the same role, hosts and database count.
pub(crate) fn in_environment(kept: &str, environment: &Environment) -> Option<StoreRef> {
    let kept = StoreRef::new(kept, Origin::Journal);
    environment.texts().find_map(|(name, text)| {
        let named = StoreRef::new(text, Origin::Variable(name.to_owned()));
        let both = [&kept, &named].map(|reference| store(reference).ok());
        let label = || postgres(&named, environment).ok().map(|config| config.redacted());
        (both == [Some(Store::Postgres); 2] && label()? == kept.expose()).then_some(named)
    })
}

/// A PostgreSQL configuration, whose defaults come from the same environment as everything else.
pub(crate) fn postgres(reference: &StoreRef, environment: &Environment) -> Result<PgConfig> {
    // A variable that is not UTF-8 is reported where it is used: the look-up itself cannot fail.
    PgConfig::parse(reference.expose(), &|name| environment.get(name).ok().flatten())
}

/// Searches a store, where it is one for that.
pub(crate) async fn look(
    reference: &StoreRef,
    environment: &Environment,
    question: &Question,
) -> Result<Answer> {
    match store(reference)? {
        Store::Weaviate => weaviate::look::look(&weaviate(reference, environment)?, question).await,
        Store::Sqlite | Store::Postgres | Store::Json => Err(Error::new(Kind::Unsupported, "search")
            .store(reference.label())
            .detail("only a Weaviate store is searched by words or vectors")
            .hint("name one with --to weaviate://host:8080?grpc=50051")),
    }
}

/// A Weaviate configuration, whose key comes from the same environment as everything else.
fn weaviate(reference: &StoreRef, environment: &Environment) -> Result<WeaviateConfig> {
    WeaviateConfig::parse(reference.expose(), &|name| environment.get(name).ok().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;

    #[test]
    fn urls_of_all_habits() {
        let check = |url: &str| match store(&StoreRef::new(url, Origin::Flag("--to"))) {
            Ok(store) => format!("{store:?}"),
            Err(error) => format!("{error} [{}]", error.what_to_do()),
        };
        for url in ["sqlite:app.db", "sqlite:///app.db", "sqlite+aiosqlite:///app.db"] {
            assert_eq!(check(url), "Sqlite");
        }
        for url in ["postgres://h/d", "postgresql+asyncpg://h/d", "host=/run dbname=d", "dbname = d"] {
            assert_eq!(check(url), "Postgres");
        }
        let found = ["postgre://u:s3cret@h/d", "app.db", "mysql://h/d", "redis:x"].map(check);
        assert!(!found.join(" ").contains("s3cret"));
        insta::assert_snapshot!(found.join("\n"));
    }
}
