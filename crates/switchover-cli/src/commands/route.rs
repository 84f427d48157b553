//! `route` and `reads`: the file that tells programs where the data is. Opens no store.

use super::Context;
use crate::args::ReadsArgs;
use crate::render::{output, route::render};
use std::path::{Path, PathBuf};
use switchover::journal;
use switchover::live::{self, Verification};
use switchover::routing::route::{self, ALL, Follower, Route};
use switchover_core::live::Side;
use switchover_core::{Error, Kind, Result};

/// Prints the route.
pub(crate) async fn show(context: &Context, json: bool) -> Result<u8> {
    let (path, route) = engine(context, None).await?;
    print(&path, &route, json)
}

/// Moves reads.
pub(crate) async fn move_reads(context: &Context, args: &ReadsArgs) -> Result<u8> {
    let (path, route) = engine(context, Some((percent(&args.share)?, args))).await?;
    print(&path, &route, args.json)
}

/// Where the route is.
pub(crate) fn path(context: &Context) -> PathBuf {
    let default = || route::default_path(&context.resolved.settings.state_dir);
    context.resolved.routing.route.clone().unwrap_or_else(default)
}

async fn engine(context: &Context, reads: Option<(u8, &ReadsArgs)>) -> Result<(PathBuf, Route)> {
    let path = path(context);
    let none = || {
        Error::new(Kind::NotFound, "find the route")
            .store(path.display().to_string())
            .detail("no live run has written one")
            .hint("`switchover start` does; --route or --state-dir names another place")
    };
    let route = match reads {
        None => route::read(&path)?.ok_or_else(none)?,
        // Asked first, so that a folder that is only named wrongly is not made.
        Some((percent, args)) => {
            let before = route::read(&path)?.ok_or_else(none)?;
            is_meant(context, &path, &before, args)?;
            may_move(context, &before, percent)?;
            route::change(&path, |route| route.ok_or_else(none)?.with_reads(percent))?
        }
    };
    Ok((path, route))
}

/// Refuses the route of another run than the one named; and where neither a run nor a file is named, while several live runs are not over.
fn is_meant(context: &Context, path: &Path, route: &Route, args: &ReadsArgs) -> Result<()> {
    let state_dir = &context.resolved.settings.state_dir;
    let Some(run) = args.run.id.as_deref() else {
        return match args.route {
            Some(_) => Ok(()),
            // A journal that cannot be read says nothing.
            None => journal::one_live(&journal::list(state_dir).unwrap_or_default()),
        };
    };
    let meant = journal::meant(state_dir, Some(run))?.run;
    if meant == route.run {
        return Ok(());
    }
    Err(Error::new(Kind::Refused, "move reads")
        .store(path.display().to_string())
        .detail(format!("it is the route of the run {}, not of {meant}", route.run))
        .hint("name that run's file with --route or SWITCHOVER_ROUTE"))
}

/// Refuses where the run is over by its journal, whose end may not have been written into the route; and a share at the target while
/// its rows are known to be others than the source's, or while nothing brings it those that are written.
fn may_move(context: &Context, route: &Route, percent: u8) -> Result<()> {
    let state_dir = &context.resolved.settings.state_dir;
    // A journal that cannot be read says nothing; the route itself still does.
    let runs = journal::list(state_dir).unwrap_or_default();
    let Some(own) = runs.iter().find(|known| known.header.run == route.run) else { return Ok(()) };
    if let Some(last) = own.entries.last().filter(|last| !last.state.can_resume()) {
        return Err(route.over(last.state.name()));
    }
    let is_at_owner = route.owner == Side::Target && percent == ALL;
    // Of a store that lacks rows, or follows no more, the route itself says so.
    if percent == 0 || is_at_owner || route.follower != Follower::Ready {
        return Ok(());
    }
    if !own.active {
        return Err(Error::new(Kind::NotFound, "move reads")
            .store(route.run.clone())
            .detail("no engine is running: rows that are written now do not reach the store that follows")
            .hint("`switchover resume` takes the run up; `switchover reads 0%` is taken all the same"));
    }
    match live::status(state_dir, Some(&route.run))?.map(|status| status.verification) {
        // The application may not have been told yet.
        Some(Verification::Different { why }) => Err(route.differs(&why)),
        _ => Ok(()),
    }
}

/// `10%`, or `10`.
fn percent(text: &str) -> Result<u8> {
    let number = text.trim().strip_suffix('%').unwrap_or(text.trim()).trim_end();
    number.parse().ok().filter(|percent| *percent <= ALL).ok_or_else(|| {
        Error::new(Kind::Config, "move reads")
            .detail(format!("'{text}' is no share of reads"))
            .hint("give a whole number from 0% to 100%")
    })
}

fn print(path: &Path, route: &Route, json: bool) -> Result<u8> {
    if json {
        let text = serde_json::to_string_pretty(route);
        let text = text.map_err(|error| Error::new(Kind::Internal, "write the route").because(error))?;
        output::data(&(text + "\n"))?;
    } else {
        output::data(&render(route, &path.display().to_string()))?;
    }
    Ok(0)
}
