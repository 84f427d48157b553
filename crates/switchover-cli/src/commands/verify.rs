//! `verify`: compares the stores at any time; `--repair` makes the target right and compares again.

use super::{Context, migrate};
use switchover::Sample;
use switchover::report::Report;
use switchover_core::plan::Plan;
use switchover_core::{Error, Kind, Result};

/// The exit code is the verdict's. `chosen` says that tables were chosen on the command line.
pub(crate) async fn run(
    context: &Context,
    sample: Option<u64>,
    seed: Option<u64>,
    repair: bool,
    chosen: bool,
) -> Result<u8> {
    by_the_plan_on_record(context, chosen)?;
    let given = context.resolved.plan.as_deref().map(migrate::read_plan).transpose()?;
    let sample = sample.map(|rows| match seed {
        Some(seed) => Sample { rows, seed },
        None => Sample::of(rows),
    });
    context.finish(&engine(context, given, sample, repair).await?)
}

/// That tables which were chosen are those of the run on record: by its plan the stores are compared, and not by the options.
fn by_the_plan_on_record(context: &Context, chosen: bool) -> Result<()> {
    if !chosen || context.resolved.plan.is_some() {
        return Ok(());
    }
    let wanted = &context.resolved.settings.plan;
    match engine_plan(context)? {
        Some(plan) if (&plan.options.tables, &plan.options.exclude) != (&wanted.tables, &wanted.exclude) => {
            Err(Error::new(Kind::Config, "choose the tables to compare")
                .detail("the stores' newest run is on record: its plan says which tables are compared")
                .hint("leave --tables and --exclude out, or compare by a plan of your own: `switchover plan -o FILE` with them, then --plan FILE"))
        }
        _ => Ok(()),
    }
}

fn engine_plan(context: &Context) -> Result<Option<Plan>> {
    context.migration()?.newest_plan()
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
