//! Stores for a rehearsal, by what the real ones are.

use super::{Store, postgres, store};
use crate::config::{Environment, Origin, StoreRef};
use std::path::Path;
use std::sync::Arc;
use switchover_connectors::postgres::scratch::ScratchSchema;
use switchover_connectors::sqlite::config::SqliteConfig;
use switchover_connectors::sqlite::scratch::ScratchFile;
use switchover_connectors::sqlite::target;
use switchover_core::live::Scratch;
use switchover_core::{Error, Kind, Result};

/// A store of a rehearsal, and how it is named.
pub(crate) struct Made {
    pub(crate) store: Arc<dyn Scratch>,
    pub(crate) reference: StoreRef,
    /// The schema that the run is to use there.
    pub(crate) schema: String,
}

/// A copy of the source, in a folder.
pub(crate) async fn source(from: &StoreRef, folder: &Path) -> Result<Made> {
    match store(from)? {
        Store::Sqlite => {
            let made = ScratchFile::copy_of(&SqliteConfig::parse(from.expose())?, folder).await?;
            file(made)
        }
        Store::Postgres | Store::Json | Store::Weaviate => Err(Error::new(Kind::Unsupported, "rehearse")
            .store(from.label())
            .detail("a live run begins at a SQLite file")
            .hint("`switchover plan` says what `switchover migrate` would do with this source")),
    }
}

/// A target that nothing else uses: a file in the folder, or a schema of that name.
pub(crate) async fn target(
    to: &StoreRef,
    folder: &Path,
    name: &str,
    environment: &Environment,
) -> Result<Made> {
    match store(to)? {
        Store::Sqlite => file(ScratchFile::target(folder)),
        Store::Postgres => {
            let made = ScratchSchema::make(postgres(to, environment)?, name).await?;
            Ok(Made { store: Arc::new(made), reference: to.clone(), schema: name.to_owned() })
        }
        Store::Json => Err(Error::new(Kind::Unsupported, "rehearse")
            .store(to.label())
            .detail("a dump in JSON cannot follow a store")
            .hint("name a SQLite file or PostgreSQL with --to")),
        Store::Weaviate => Err(Error::new(Kind::Unsupported, "rehearse")
            .store(to.label())
            .detail("a rehearsal has no collections of its own on a server")
            .hint("rehearse against a server of your own that holds nothing else")),
    }
}

fn file(made: ScratchFile) -> Result<Made> {
    let path = made.path().to_str().ok_or_else(|| {
        Error::new(Kind::Config, "rehearse")
            .store(made.path().display().to_string())
            .detail("the folder's name is no UTF-8")
            .hint("name another with --state-dir")
    })?;
    let escaped = path.replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    let reference = StoreRef::new(&format!("sqlite:{escaped}"), Origin::Journal);
    Ok(Made { store: Arc::new(made), reference, schema: target::SCHEMA.to_owned() })
}
