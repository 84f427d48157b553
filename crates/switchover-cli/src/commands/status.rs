//! `status`: the runs of the journal. Opens no store.

use super::{Context, absent};
use crate::render::output;
use crate::render::status::{RunStatus, render};
use switchover_core::{Error, Kind, Result};

/// All runs, or the one whose name begins so.
pub(crate) async fn run(context: &Context, run: Option<&str>, json: bool) -> Result<u8> {
    let runs = engine(context, run).await?;
    if json {
        let text = serde_json::to_string_pretty(&runs);
        let text = text.map_err(|error| Error::new(Kind::Internal, "write the status").because(error))?;
        output::data(&(text + "\n"))?;
    } else {
        output::data(&render(&runs, &context.resolved.settings.state_dir.display().to_string()))?;
    }
    Ok(0)
}

async fn engine(_context: &Context, _run: Option<&str>) -> Result<Vec<RunStatus>> {
    // PLUG IN: the journal's runs in settings.state_dir, the newest first.
    Err(absent("read the journal"))
}
