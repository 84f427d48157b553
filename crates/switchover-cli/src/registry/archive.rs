//! Backups of any store by one set of calls, so that the verbs name no connector.
//!
//! Invariant: nothing here reads or writes a backup itself; each connector keeps its own promises
//! (a file with a note is whole, nothing is overwritten).

use super::{Store, postgres, store};
use crate::config::{Environment, StoreRef};
use std::path::Path;
use std::sync::Arc;
use switchover::progress::{Event, Phase, Progress};
use switchover::shutdown::{self, Shutdown};
use switchover_connectors::json::backup as json;
use switchover_connectors::json::config::JsonConfig;
use switchover_connectors::postgres::backup as pg;
use switchover_connectors::postgres::config::PgConfig;
use switchover_connectors::sidecar::{Listed, Sidecar};
use switchover_connectors::sqlite::backup as lite;
use switchover_connectors::sqlite::config::SqliteConfig;
use switchover_connectors::sqlite::restore;
use switchover_core::{Error, Kind, Result};

/// A store of which there are backups, or are to be.
pub(crate) enum Archive {
    Sqlite(SqliteConfig),
    Postgres(Box<PgConfig>),
    Json(JsonConfig),
}

/// The archive of a store. Nothing is opened.
pub(crate) fn archive(reference: &StoreRef, environment: &Environment) -> Result<Archive> {
    Ok(match store(reference)? {
        Store::Sqlite => Archive::Sqlite(SqliteConfig::parse(reference.expose())?),
        Store::Postgres => Archive::Postgres(Box::new(postgres(reference, environment)?)),
        Store::Json => Archive::Json(JsonConfig::parse(reference.expose())?),
        Store::Weaviate => {
            return Err(Error::new(Kind::Unsupported, "back the store up")
                .store(reference.label())
                .detail("a Weaviate server backs itself up, by its own backup modules")
                .hint("see the server's documentation on backups"));
        }
    })
}

/// The finished backups of all stores in a folder, the newest first. No folder holds no backups.
pub(crate) fn list(folder: &Path) -> Result<Vec<Listed>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut found = lite::list(folder)?;
    for other in pg::list(folder)?.into_iter().chain(json::list(folder)?) {
        // One whose note cannot be read belongs to nobody, and all list it.
        if found.iter().all(|known| known.path != other.path) {
            found.push(other);
        }
    }
    let when = |listed: &Listed| listed.sidecar.as_ref().map(|note| note.created_at);
    found.sort_by(|left, right| when(right).cmp(&when(left)).then_with(|| right.path.cmp(&left.path)));
    Ok(found)
}

/// Checks a backup of whichever store its note names.
pub(crate) async fn verify(file: &Path) -> Result<Sidecar> {
    let note = Sidecar::read(file)?;
    if note.store == pg::STORE {
        return Ok(pg::verify(file).await?.sidecar);
    }
    let file = file.to_owned();
    if note.store == json::STORE {
        return blocking(move || json::verify(&file)).await;
    }
    Ok(blocking(move || lite::verify(&file)).await?.sidecar)
}

impl Archive {
    /// The store's name in notes, without secrets.
    pub(crate) fn label(&self) -> String {
        match self {
            Archive::Sqlite(config) => config.label(),
            Archive::Postgres(config) => config.redacted(),
            Archive::Json(config) => config.label(),
        }
    }

    /// Bytes that a backup has to read, where they are known before.
    pub(crate) fn size_bytes(&self) -> u64 {
        match self {
            Archive::Sqlite(config) => size_of(config.path()),
            Archive::Json(config) => size_of(config.path()),
            Archive::Postgres(_) => 0,
        }
    }

    /// Whether the note of a backup is of this store. A file is the same file by whatever path it was named.
    pub(crate) fn is_of(&self, backup: &Path, note: &Sidecar) -> bool {
        let (own, scheme) = match self {
            Archive::Sqlite(config) => (config.path(), "sqlite:"),
            Archive::Json(config) => (config.path(), "json:"),
            Archive::Postgres(_) => return note.source == self.label(),
        };
        let same = |path: &str| {
            let (ours, theirs) = (std::fs::canonicalize(own), std::fs::canonicalize(path));
            ours.is_ok() && ours.ok() == theirs.ok()
        };
        let named = || note.source == self.label() || note.source.strip_prefix(scheme).is_some_and(same);
        note.is_of_file(backup, own).unwrap_or_else(named)
    }

    /// What a backup made now is called: the store's own name, the time, and the form's ending.
    pub(crate) fn dated_name(&self, now: jiff::Timestamp) -> String {
        let (stem, ending) = match self {
            Archive::Sqlite(config) => {
                (config.path().file_stem().map(|stem| stem.to_string_lossy()), "sqlite".to_owned())
            }
            Archive::Postgres(config) => (Some(config.database.as_str().into()), "dump".to_owned()),
            Archive::Json(config) => {
                let name = config.path().file_name().map(|name| name.to_string_lossy());
                // The ending says what the file holds, and whether it is packed: the copy keeps it.
                let parts = name.map(|name| match name.split_once('.') {
                    Some((stem, ending)) => (stem.to_owned(), ending.to_owned()),
                    None => (name.into_owned(), "json".to_owned()),
                });
                let (stem, ending) = parts.unwrap_or_default();
                (Some(stem.into()), ending)
            }
        };
        let plain = |c: char| if c.is_alphanumeric() || "-_".contains(c) { c } else { '_' };
        let stem: String = stem.unwrap_or_default().chars().map(plain).collect();
        format!("{stem}-{}.{ending}", now.strftime("%Y%m%dT%H%M%SZ"))
    }

    /// Makes a backup and checks it.
    pub(crate) async fn create(
        &self,
        folder: &Path,
        name: &str,
        progress: Arc<dyn Progress>,
        shutdown: &Shutdown,
    ) -> Result<(std::path::PathBuf, Sidecar)> {
        match self {
            Archive::Sqlite(config) => {
                let (config, folder, name) = (config.clone(), folder.to_owned(), name.to_owned());
                let made = blocking(move || {
                    let (size, mut seen) = (size_of(config.path()), 0);
                    lite::create(&config, &folder, &name, &mut |at| tell(&*progress, size, &mut seen, at))
                });
                let made = made.await?;
                Ok((made.path, made.sidecar))
            }
            Archive::Postgres(config) => {
                let working = pg::create(config, folder, name);
                let made = until_asked(shutdown, "dump the PostgreSQL database", working).await?;
                Ok((made.path, made.sidecar))
            }
            Archive::Json(config) => {
                let (config, folder, name) = (config.clone(), folder.to_owned(), name.to_owned());
                blocking(move || json::create(&config, &folder, &name)).await
            }
        }
    }

    /// Puts a backup in the place of the store.
    pub(crate) async fn restore(&self, file: &Path, force: bool, shutdown: &Shutdown) -> Result<Sidecar> {
        match self {
            Archive::Sqlite(config) => {
                let (file, to) = (file.to_owned(), config.path().to_owned());
                Ok(blocking(move || restore::restore(&file, &to, force)).await?.sidecar)
            }
            Archive::Postgres(config) => {
                let working = pg::restore(file, config, force);
                Ok(until_asked(shutdown, "restore the PostgreSQL database", working).await?.sidecar)
            }
            Archive::Json(_) => Err(Error::new(Kind::Unsupported, "restore the backup")
                .store(self.label())
                .detail("the backup of a dump is a plain copy of it")
                .hint(format!("copy {} to where the dump stood", file.display()))),
        }
    }
}

fn size_of(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |meta| meta.len())
}

/// Pages as bytes, because bytes are what the file's size is known in.
fn tell(progress: &dyn Progress, size: u64, seen: &mut u64, at: lite::Progress) {
    match at {
        lite::Progress::Copying { done, total } => {
            let copied = (size as f64 * done as f64 / total.max(1) as f64) as u64;
            // A write to the source can send the copy back to its start: only what is new is told.
            if copied > *seen {
                let bytes = copied - *seen;
                *seen = copied;
                progress.event(Event::Advanced {
                    phase: Phase::Backup,
                    table: String::new(),
                    rows: 0,
                    bytes,
                });
            }
        }
        lite::Progress::Checking => progress.event(Event::Note { text: "the copy is being checked".into() }),
    }
}

/// What a program of the store's does, which ends when the call is given up. What a thread does here is not: it ends by itself.
async fn until_asked<T>(
    shutdown: &Shutdown,
    operation: &str,
    working: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::select! {
        done = working => done,
        () = shutdown.requested() => Err(shutdown::asked(operation)),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::new(Kind::Internal, "work on the backup").because(error))?
}
