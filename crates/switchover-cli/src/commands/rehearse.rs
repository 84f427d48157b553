//! `rehearse`: a live run from its beginning to its end, on a copy of the source and a target of its own.
//!
//! Invariants: the real stores are only read; what was made for it is removed, whatever comes of it. What stays is a text with the
//! times, of one that came to its end.

use super::Context;
use crate::registry;
use crate::registry::scratch::{self, Made};
use crate::render::{output, rehearse as render};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use switchover::Migration;
use switchover::live::rehearse::{Rehearsal, Stores, rehearse};
use switchover::settings::Settings;
use switchover_core::plan::Plan;
use switchover_core::{Error, Kind, Result};

/// Where the times of rehearsals stay, in the state folder.
const KEPT: &str = "rehearsals";

/// What lists all refusals: this verb has no such flag.
const LISTS: &str = "`switchover start … --dry-run`";

/// Exit code 1 when `start` would be refused.
pub(crate) async fn run(context: &Context) -> Result<u8> {
    let (rehearsal, copied) = engine(context).await?;
    context.screen.end();
    let times = render::render(&rehearsal, copied);
    let kept = keep(context, &times);
    output::data(&times)?;
    match kept {
        Ok(path) => output::data(&format!("These times are kept in {}\n", path.display()))?,
        // The rehearsal is what was asked for.
        Err(error) => output::note(&error.to_string()),
    }
    Ok(0)
}

/// Keeps the times for later, with the stores that they are of.
fn keep(context: &Context, times: &str) -> Result<PathBuf> {
    let resolved = &context.resolved;
    let folder = resolved.settings.state_dir.join(KEPT);
    std::fs::create_dir_all(&folder).map_err(|cause| unkept(&folder, &cause))?;
    let now = jiff::Timestamp::now();
    let path = folder.join(format!("{}.txt", now.strftime("%Y%m%dt%H%M%S")));
    let text = format!(
        "rehearsal of {} to {}, {}, by switchover {}\n\n{times}",
        resolved.source()?.label(),
        resolved.target()?.label(),
        now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        env!("CARGO_PKG_VERSION")
    );
    std::fs::write(&path, text).map_err(|cause| unkept(&path, &cause))?;
    Ok(path)
}

fn unkept(path: &Path, cause: &std::io::Error) -> Error {
    Error::new(Kind::Io, "keep the times").store(path.display().to_string()).detail(cause.to_string())
}

async fn engine(context: &Context) -> Result<(Rehearsal, f64)> {
    // Against the real stores, so that what would stop `start` stops here.
    let plan = context.migration()?.live_plan().await?;
    if let Some(refused) = switchover::migration::refusal(&plan, LISTS) {
        return Err(refused);
    }
    if plan.options.existing.is_some() {
        return Err(Error::new(Kind::Refused, "rehearse")
            .detail("a rehearsal has a schema of its own, in which only the application's migrations could make its tables")
            .hint("have the migrations make another database, and `start` into that one with a copy of the source"));
    }
    let name = name();
    let folder = context.resolved.settings.state_dir.join(&name);
    std::fs::create_dir_all(&folder).map_err(|cause| io("make the rehearsal's folder", &folder, cause))?;
    let told = on_scratch(context, &plan, &folder, &name).await;
    let removed =
        std::fs::remove_dir_all(&folder).map_err(|cause| io("remove the rehearsal's folder", &folder, cause));
    both(told, removed)
}

/// What came of it, and of removing what was made for it: neither hides the other.
fn both<T>(told: Result<T>, removed: Result<()>) -> Result<T> {
    match (told, removed) {
        (Ok(told), removed) => removed.map(|()| told),
        (Err(error), Ok(())) => Err(error),
        (Err(error), Err(left)) => {
            let why = format!("{}; what was made for it could not be removed: {}", error.why(), left.why());
            let todo = left.what_to_do().to_owned();
            Err(error.detail(why).hint(todo))
        }
    }
}

async fn on_scratch(context: &Context, plan: &Plan, folder: &Path, name: &str) -> Result<(Rehearsal, f64)> {
    let resolved = &context.resolved;
    let begun = Instant::now();
    let source = scratch::source(resolved.source()?, folder).await?;
    let copied = begun.elapsed().as_secs_f64();
    context.shutdown.check("rehearse")?;
    let target = scratch::target(resolved.target()?, folder, name, &resolved.environment).await?;
    let told = between(context, plan, folder, &source, &target).await;
    let removed = target.store.remove().await;
    let removed = source.store.remove().await.and(removed);
    both(told, removed).map(|told| (told, copied))
}

async fn between(
    context: &Context,
    plan: &Plan,
    folder: &Path,
    source: &Made,
    target: &Made,
) -> Result<Rehearsal> {
    let resolved = &context.resolved;
    let mut settings =
        Settings { state_dir: PathBuf::from(folder), backup: false, ..resolved.settings.clone() };
    settings.plan.schema.clone_from(&target.schema);
    let environment = &resolved.environment;
    let migration = Migration::new(
        registry::source(&source.reference, None, environment)?,
        registry::target(&target.reference, environment)?,
    )
    .settings(settings)
    .progress(Arc::new(context.screen.clone()))
    .shutdown(context.shutdown.clone());
    let stores = Stores { source: Arc::clone(&source.store), target: Arc::clone(&target.store) };
    rehearse(&migration, plan, &stores).await
}

/// A name that no other rehearsal has: of this process, now. It is a schema's too, and part of a socket's short path.
fn name() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("rehearsal_{:x}_{:x}", std::process::id(), now.as_millis())
}

fn io(operation: &str, path: &Path, cause: std::io::Error) -> Error {
    Error::new(Kind::Io, operation).store(path.display().to_string()).because(cause)
}
