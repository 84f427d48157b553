//! `verify`: compares the stores at any time; `--repair` makes the target right and compares again.

use super::{Context, migrate};
use switchover::Sample;
use switchover::report::Report;
use switchover_core::Result;
use switchover_core::plan::Plan;

/// The exit code is the verdict's.
pub(crate) async fn run(
    context: &Context,
    sample: Option<u64>,
    seed: Option<u64>,
    repair: bool,
) -> Result<u8> {
    let given = context.resolved.plan.as_deref().map(migrate::read_plan).transpose()?;
    let sample = sample.map(|rows| match seed {
        Some(seed) => Sample { rows, seed },
        None => Sample::of(rows),
    });
    context.finish(&engine(context, given, sample, repair).await?)
}

async fn engine(
    context: &Context,
    given: Option<Plan>,
    sample: Option<Sample>,
    repair: bool,
) -> Result<Report> {
    let migration = context.migration()?;
    match sample {
        Some(sample) => migration.verify_sample(given, sample).await,
        None => migration.verify(given, repair).await,
    }
}
