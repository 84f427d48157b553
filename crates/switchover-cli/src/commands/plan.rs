//! `plan`: reads only, and says all that a migration would do.

use super::Context;
use crate::render::{output, plan as render};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use switchover_core::plan::Plan;
use switchover_core::{Error, Kind, Result};

/// Exit code 1 when the plan holds refusals: it would not be carried out.
pub(crate) async fn run(context: &Context, out: Option<&Path>) -> Result<u8> {
    if out != Some(Path::new("-")) {
        context.check_apart(out.unwrap_or(Path::new("migration-plan.json")), "--out")?;
    }
    let plan = engine(context).await?;
    context.screen.end();
    if out == Some(Path::new("-")) {
        output::data(&json(&plan)?)?;
    } else {
        let path = match out {
            Some(path) => std::fs::write(path, json(&plan)?)
                .map(|()| path.to_owned())
                .map_err(|error| unwritten(path, error))?,
            None => write_dated(&plan)?,
        };
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

/// Writes `migration-plan-2026-01-31.json`, or the first of `-2`, `-3`, … that is not there: somebody may have edited an earlier one.
fn write_dated(plan: &Plan) -> Result<PathBuf> {
    let day = plan.made_at.get(..10).unwrap_or("undated");
    let text = json(plan)?;
    let mut path = PathBuf::from(format!("migration-plan-{day}.json"));
    for more in 2.. {
        match std::fs::File::create_new(&path).and_then(|mut file| file.write_all(text.as_bytes())) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                path = PathBuf::from(format!("migration-plan-{day}-{more}.json"));
            }
            written => {
                written.map_err(|error| unwritten(&path, error))?;
                break;
            }
        }
    }
    Ok(path)
}

fn unwritten(path: &Path, error: std::io::Error) -> Error {
    Error::new(Kind::Io, "write the plan").store(path.display().to_string()).because(error)
}
