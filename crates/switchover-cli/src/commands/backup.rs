//! `backup`: create, verify, restore, list.

use super::Context;
use crate::args::BackupVerb;
use crate::registry;
use crate::render::layout::{bytes, columns};
use crate::render::output;
use serde::Serialize;
use switchover_core::{Error, Kind, Result};

/// A backup as it is listed.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Backup {
    /// Its file.
    pub(crate) path: String,
    /// Its store, without secrets.
    pub(crate) store: String,
    /// When it was made, in RFC 3339.
    pub(crate) made_at: String,
    /// Its size.
    pub(crate) bytes: u64,
    /// The BLAKE3 digest of the file.
    pub(crate) blake3: String,
}

/// Carries out a verb.
pub(crate) async fn run(context: &Context, verb: &BackupVerb) -> Result<u8> {
    if !matches!(verb, BackupVerb::List { .. }) {
        registry::store(context.resolved.source()?)?;
    }
    let backups = engine(context, verb).await?;
    context.screen.end();
    if matches!(verb, BackupVerb::List { json: true, .. }) {
        let text = serde_json::to_string_pretty(&backups);
        let text = text.map_err(|error| Error::new(Kind::Internal, "list the backups").because(error))?;
        output::data(&(text + "\n"))?;
    } else {
        output::data(&table(&backups))?;
    }
    Ok(0)
}

fn table(backups: &[Backup]) -> String {
    use crate::render::layout::shown;
    let row = |b: &Backup| [shown(&b.made_at), bytes(b.bytes), shown(&b.path)];
    columns(0, [24, 10, 0], &backups.iter().map(row).collect::<Vec<_>>())
}

/// The backups that a verb made, checked, put back or found.
async fn engine(_context: &Context, verb: &BackupVerb) -> Result<Vec<Backup>> {
    // PLUG IN: by verb, with settings.state_dir, resolved.source() and the verb's file.
    Err(Error::new(
        Kind::Unsupported,
        match verb {
            BackupVerb::Create { .. } => "make the backup",
            BackupVerb::Verify { .. } => "check the backup",
            BackupVerb::Restore { .. } => "restore the backup",
            BackupVerb::List { .. } => "list the backups",
        },
    ))
}
