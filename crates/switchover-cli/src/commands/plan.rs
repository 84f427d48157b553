//! `plan`: reads only, and says all that a migration would do.

use super::Context;
use crate::render::{output, plan as render};
use std::path::{Path, PathBuf};
use switchover_core::plan::Plan;
use switchover_core::{Error, Kind, Result};

/// Exit code 1 when the plan holds refusals: it would not be carried out.
pub(crate) async fn run(context: &Context, out: Option<&Path>) -> Result<u8> {
    let plan = engine(context).await?;
    context.screen.end();
    if out == Some(Path::new("-")) {
        output::data(&json(&plan)?)?;
    } else {
        let path = out.map_or_else(|| dated(&plan), Path::to_owned);
        let failed =
            |error| Error::new(Kind::Io, "write the plan").store(path.display().to_string()).because(error);
        std::fs::write(&path, json(&plan)?).map_err(failed)?;
        output::data(&format!("{}\nwritten to {}\n", render::render(&plan), path.display()))?;
    }
    Ok(exit_code(&plan))
}

/// Makes the plan. Shared with `migrate --dry-run`.
pub(crate) async fn engine(context: &Context) -> Result<Plan> {
    context.migration()?.plan().await
}

/// What a plan alone answers.
pub(crate) fn exit_code(plan: &Plan) -> u8 {
    u8::from(!plan.refusals.is_empty())
}

fn json(plan: &Plan) -> Result<String> {
    let text = serde_json::to_string_pretty(plan);
    Ok(text.map_err(|error| Error::new(Kind::Internal, "write the plan").because(error))? + "\n")
}

/// `migration-plan-2026-01-31.json`.
fn dated(plan: &Plan) -> PathBuf {
    PathBuf::from(format!("migration-plan-{}.json", plan.made_at.get(..10).unwrap_or("undated")))
}
