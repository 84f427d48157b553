//! `verify`: compares the stores at any time; `--repair` makes the target right and compares again.

use super::{Context, absent, migrate};
use switchover::report::Report;
use switchover_core::Result;
use switchover_core::plan::Plan;

/// The exit code is the verdict's.
pub(crate) async fn run(context: &Context, sample: Option<u64>, repair: bool) -> Result<u8> {
    let given = context.resolved.plan.as_deref().map(migrate::read_plan).transpose()?;
    context.finish(&engine(context, given, sample, repair).await?)
}

async fn engine(
    context: &Context,
    _given: Option<Plan>,
    _sample: Option<u64>,
    _repair: bool,
) -> Result<Report> {
    let (_source, _target) = context.stores().await?;
    // PLUG IN: the engine's verification, of the given plan or one made now.
    Err(absent("verify"))
}
