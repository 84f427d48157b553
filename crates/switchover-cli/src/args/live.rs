//! The arguments of the verbs of live runs.
//!
//! Absent: what several verbs share, which is `options`, and the verbs themselves, which are with all others.

use super::{Limits, Mapping, Run, Safety, Stores};

/// `route`.
#[derive(clap::Args)]
pub(crate) struct RouteArgs {
    /// The route's file [default: route.json in the state folder].
    #[arg(long, value_name = "FILE", help_heading = "Stores")]
    pub(crate) route: Option<String>,
    /// Print JSON.
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
}

/// `reads`.
#[derive(clap::Args)]
pub(crate) struct ReadsArgs {
    /// Reads that go to the target, from 0% to 100% of keys.
    #[arg(value_name = "SHARE")]
    pub(crate) share: String,
    #[command(flatten)]
    pub(crate) run: Run,
    /// The route's file [default: route.json in the state folder].
    #[arg(long, value_name = "FILE", help_heading = "Stores")]
    pub(crate) route: Option<String>,
    /// Print JSON.
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
}

/// `start`.
#[derive(clap::Args)]
pub(crate) struct StartArgs {
    #[command(flatten)]
    pub(crate) stores: Stores,
    #[command(flatten)]
    pub(crate) mapping: Mapping,
    #[command(flatten)]
    pub(crate) safety: Safety,
    #[command(flatten)]
    pub(crate) limits: Limits,
    /// Run the engine in the background.
    #[arg(long, help_heading = "Output")]
    pub(crate) detach: bool,
    /// Say all that would be done, and write nothing.
    #[arg(long, help_heading = "Safety", conflicts_with = "detach")]
    pub(crate) dry_run: bool,
    /// The route's file [default: route.json in the state folder].
    #[arg(long, value_name = "FILE", help_heading = "Stores")]
    pub(crate) route: Option<String>,
}

/// `rehearse`.
#[derive(clap::Args)]
pub(crate) struct RehearseArgs {
    #[command(flatten)]
    pub(crate) stores: Stores,
    #[command(flatten)]
    pub(crate) mapping: Mapping,
    #[command(flatten)]
    pub(crate) limits: Limits,
}

/// A verb of live runs without options of its own.
#[derive(clap::Args)]
pub(crate) struct LiveArgs {
    #[command(flatten)]
    pub(crate) stores: Stores,
    #[command(flatten)]
    pub(crate) run: Run,
}

/// `finish`.
#[derive(clap::Args)]
pub(crate) struct FinishArgs {
    #[command(flatten)]
    pub(crate) stores: Stores,
    #[command(flatten)]
    pub(crate) run: Run,
    /// End it although the source cannot be brought up to date any more: it is not opened, and stays out of date.
    #[arg(long, help_heading = "Safety")]
    pub(crate) abandon_source: bool,
    /// Do not ask.
    #[arg(short, long, help_heading = "Safety")]
    pub(crate) yes: bool,
}

/// `throttle`.
#[derive(clap::Args)]
pub(crate) struct ThrottleArgs {
    #[command(flatten)]
    pub(crate) run: Run,
    /// `rows_per_s=N` and `commit_ms_max=N`; what is not named has no limit.
    #[arg(value_name = "LIMIT=N")]
    pub(crate) limits: Vec<String>,
}

/// `cutover`.
#[derive(clap::Args)]
pub(crate) struct CutoverArgs {
    #[command(flatten)]
    pub(crate) stores: Stores,
    #[command(flatten)]
    pub(crate) run: Run,
    #[command(flatten)]
    pub(crate) switch: Switch,
}

/// How the owner changes.
#[derive(clap::Args)]
#[command(next_help_heading = "Safety")]
pub(crate) struct Switch {
    /// Say whether it could be done now, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How long no store may take writes: 3s, 500ms [default: 3s].
    #[arg(long, value_name = "TIME")]
    pub(crate) write_budget: Option<String>,
    /// Wait until it can be done, instead of refusing.
    #[arg(long)]
    pub(crate) when_ready: bool,
}

/// `rollback`.
#[derive(clap::Args)]
pub(crate) struct RollbackArgs {
    #[command(flatten)]
    pub(crate) stores: Stores,
    #[command(flatten)]
    pub(crate) run: Run,
    /// Go on although rows on the target were changed by others since, or the source of a live run is known to differ; what the
    /// source lacks is lost.
    #[arg(long, help_heading = "Safety")]
    pub(crate) discard_target_changes: bool,
    #[command(flatten)]
    pub(crate) switch: Switch,
}
