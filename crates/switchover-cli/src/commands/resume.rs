//! `resume`: goes on with a run of the journal. The stores must be named again, since the journal
//! holds no passwords.

use super::{Context, absent};
use switchover::report::Report;
use switchover_core::Result;

/// The newest run, or the one whose name begins so.
pub(crate) async fn run(context: &Context, run: Option<&str>) -> Result<u8> {
    context.finish(&engine(context, run).await?)
}

async fn engine(context: &Context, _run: Option<&str>) -> Result<Report> {
    let (_source, _target) = context.stores().await?;
    // PLUG IN: the engine's resume, from settings.state_dir.
    Err(absent("resume the run"))
}
