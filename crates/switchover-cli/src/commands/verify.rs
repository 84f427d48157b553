//! `verify`: compares the stores at any time; `--repair` makes the target right and compares again.

use super::{Context, migrate};
use switchover::report::Report;
use switchover_core::plan::Plan;
use switchover_core::{Error, Kind, Result};

/// The exit code is the verdict's.
pub(crate) async fn run(context: &Context, sample: Option<u64>, repair: bool) -> Result<u8> {
    let given = context.resolved.plan.as_deref().map(migrate::read_plan).transpose()?;
    context.finish(&engine(context, given, sample, repair).await?)
}

async fn engine(context: &Context, given: Option<Plan>, sample: Option<u64>, repair: bool) -> Result<Report> {
    if sample.is_some() {
        return Err(Error::new(Kind::Unsupported, "verify a sample")
            .hint("leave --sample away: all rows are compared"));
    }
    context.migration()?.verify(given, repair).await
}
