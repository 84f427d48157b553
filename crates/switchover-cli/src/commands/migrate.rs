//! `migrate`: the whole way, or with `--dry-run` the plan alone.

use super::{Context, keep, plan};
use crate::config::nearest;
use crate::render::{output, plan as render};
use serde_json::Value;
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
    let text = std::fs::read_to_string(path).map_err(|cause| {
        error(Kind::Io).hint("name a file that `switchover plan --out FILE` has written").because(cause)
    })?;
    let value: Value = serde_json::from_str(&text)
        .map_err(|cause| error(Kind::Config).detail("it is not JSON").because(cause))?;
    // The format is looked at first: another one need not have today's fields.
    let format = value.get("format").and_then(Value::as_u64);
    if format != Some(u64::from(PLAN_FORMAT)) {
        let found = format.map_or_else(|| "no plan".to_owned(), |format| format!("of format {format}"));
        let detail = format!("it is {found}; this program reads format {PLAN_FORMAT}");
        return Err(error(Kind::Unsupported).detail(detail).hint("make a new one with `switchover plan`"));
    }
    // Read again from the text: only so does the message have a line and a column.
    let plan: Plan = serde_json::from_str(&text)
        .map_err(|cause| error(Kind::Config).detail("it is no valid plan").because(cause))?;
    // What was understood is written out again: a key that is not there then was mistyped.
    let understood = serde_json::to_value(&plan)
        .map_err(|cause| error(Kind::Internal).detail("it cannot be written again").because(cause))?;
    match unknown_key(&value, &understood, String::new()) {
        None => Ok(plan),
        Some((place, near)) => {
            let near = near.map(|near| format!("did you mean '{near}'? ")).unwrap_or_default();
            Err(error(Kind::Config)
                .detail(format!("there is no key {place}"))
                .hint(format!("{near}docs/reference/plan.md lists the keys of a plan")))
        }
    }
}

/// The first key of a given plan that means nothing, with its place, and the key that is nearest to it. One that says
/// nothing either (null, false, empty) may be left out when a plan is written.
fn unknown_key(given: &Value, understood: &Value, place: String) -> Option<(String, Option<String>)> {
    match (given, understood) {
        (Value::Object(given), Value::Object(understood)) => given.iter().find_map(|(key, value)| {
            let place = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
            match understood.get(key) {
                Some(own) => unknown_key(value, own, place),
                None if says_nothing(value) => None,
                None => {
                    let known = understood.keys().filter(|known| !given.contains_key(*known));
                    let known: Vec<&str> = known.chain(understood.keys()).map(String::as_str).collect();
                    Some((place, nearest(key, known).map(str::to_owned)))
                }
            }
        }),
        (Value::Array(given), Value::Array(understood)) => {
            let pairs = given.iter().zip(understood).enumerate();
            pairs
                .map(|(at, (one, own))| (format!("{place}[{at}]"), one, own))
                .find_map(|(place, one, own)| unknown_key(one, own, place))
        }
        _ => None,
    }
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(true) => false,
    }
}
