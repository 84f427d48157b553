//! `migrate`: the whole way, or with `--dry-run` the plan alone.

use super::{Context, keep, plan};
use crate::render::{output, plan as render};
use std::path::Path;
use switchover::report::Report;
use switchover_core::plan::{PLAN_FORMAT, Plan};
use switchover_core::{Error, Kind, Result};

/// Carries out the given plan, or one made now.
pub(crate) async fn run(context: &Context, dry_run: bool, archive: Option<&Path>) -> Result<u8> {
    let given = context.resolved.plan.as_deref().map(read_plan).transpose()?;
    if dry_run {
        let plan = match given {
            Some(plan) => context.migration()?.recheck(plan).await?,
            None => plan::engine(context).await?,
        };
        context.screen.end();
        output::data(&render::render(&plan))?;
        return Ok(plan::exit_code(&plan));
    }
    let kept =
        archive.map(|folder| keep::prepare(context, context.resolved.source()?, folder)).transpose()?;
    let report = engine(context, given).await?;
    let code = context.finish(&report)?;
    if let (Some(kept), Some(folder)) = (&kept, archive) {
        keep::dump(context, kept, folder, &report).await?;
    }
    Ok(code)
}

async fn engine(context: &Context, given: Option<Plan>) -> Result<Report> {
    context.migration()?.migrate(given).await
}

/// A plan that was written by `plan`, perhaps edited since.
pub(crate) fn read_plan(path: &Path) -> Result<Plan> {
    let error = |kind| Error::new(kind, "read the plan").store(path.display().to_string());
    let text = std::fs::read_to_string(path).map_err(|cause| error(Kind::Io).because(cause))?;
    let value: serde_json::Value = serde_json::from_str(&text)
        .map_err(|cause| error(Kind::Config).detail("it is not JSON").because(cause))?;
    // The format is looked at first: another one need not have today's fields.
    let format = value.get("format").and_then(serde_json::Value::as_u64);
    if format != Some(u64::from(PLAN_FORMAT)) {
        let found = format.map_or_else(|| "no plan".to_owned(), |format| format!("of format {format}"));
        let detail = format!("it is {found}; this program reads format {PLAN_FORMAT}");
        return Err(error(Kind::Unsupported).detail(detail).hint("make a new one with `switchover plan`"));
    }
    // Read again from the text: only so does the message have a line and a column.
    serde_json::from_str(&text)
        .map_err(|cause| error(Kind::Config).detail("it is no valid plan").because(cause))
}
