//! What lies outside both stores: where the application is told to read and write, and who watches it.

use super::record::{self, Proof};
use super::status::{GuardSaid, LiveStatus, SwitchReport};
use crate::journal::Header;
use crate::progress::Event;
use crate::reserve;
use crate::routing::hooks::Told;
use crate::routing::route::{self, ALL};
use crate::routing::{EnvFile, Follower, Moment, Progress, Route, Routing};
use async_trait::async_trait;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use switchover_core::live::{Ownership, Side};
use switchover_core::{Error, Kind, Result};

/// Says in the run's folder whom the application was told to be the owner; nobody while it is being told.
const TOLD: &str = "told.json";

/// Names in the run's folder the environment file and its variables that the run has changed and not put back.
const CHANGED: &str = "changed.json";

/// Says in the run's folder where its route is, unless that is in the state folder, which may be moved.
const ROUTE_AT: &str = "route-at.json";

/// What the run has changed and not put back. What the variables held stands in the file's backup alone: it may be a secret.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Changed {
    /// The environment file, as it was named then.
    file: PathBuf,
    variables: BTreeSet<String>,
}

/// How often it is said how far the follower is, while it takes changes: as often as a router looks.
const NOTED_EVERY: Duration = Duration::from_millis(50);

/// The same, while there are none: only writes that came to nothing wait for it.
const NOTED_IDLE: Duration = Duration::from_secs(1);

/// Tells the application which store is the owner.
#[async_trait]
pub trait Announce: Send + Sync {
    /// Whether the application could be told of this proposal and of what it decides, as far as that can be known before. Changes
    /// nothing: a dry run asks it too.
    async fn may_change(&self, proposed: &Ownership) -> Result<()> {
        let _ = proposed;
        Ok(())
    }
    /// Before anything is fenced: what the decision row will say once it is decided. An error gives the switch up,
    /// and nothing has changed.
    async fn before(&self, decided: &Ownership) -> Result<()> {
        let _ = decided;
        Ok(())
    }
    /// What the decision row says now, and whether the follower holds all rows; where it is known to differ, `why` says how, and is
    /// empty otherwise. May be called again for the same epoch, by another process. Of a proposal, an error gives the switch up; else it
    /// is told, and tried again: the row stands.
    async fn told(&self, ownership: &Ownership, ready: bool, why: &str) -> Result<()> {
        let _ = (ownership, ready, why);
        Ok(())
    }
    /// The owner changed, and so: for the record. An error is told; the row stands.
    async fn changed(&self, report: &SwitchReport) -> Result<()> {
        let _ = report;
        Ok(())
    }
    /// All was done that follows from who owns the data. May be called again. An error is told.
    async fn settled(&self) -> Result<()> {
        Ok(())
    }
    /// The last change of the owner on record, and the largest epoch of which anybody was told; `None` before the first.
    async fn last_change(&self) -> Result<Option<(SwitchReport, u64)>> {
        Ok(None)
    }
    /// Keeps that the follower of this epoch is known to differ, and how: a proof that no later process can make again.
    async fn differs(&self, epoch: u64, why: &str) -> Result<()> {
        let _ = (epoch, why);
        Ok(())
    }
    /// How the follower of this epoch is known to differ, whichever process found it.
    async fn known_difference(&self, epoch: u64) -> Result<Option<String>> {
        let _ = epoch;
        Ok(None)
    }
    /// Keeps what a comparison of all rows came to, for the report of the run; `None` when tables are copied again, and it counts
    /// no more. An error is told.
    async fn proven(&self, proof: Option<&Proof>) -> Result<()> {
        let _ = proof;
        Ok(())
    }
    /// Calls for a person: the run does not go on, or cannot do what a guard demands. An error is told.
    async fn alarm(&self, ownership: &Ownership, why: &str) -> Result<()> {
        let _ = (ownership, why);
        Ok(())
    }
    /// Whether reads could be sent to the target, as far as whoever is told of it goes. Changes nothing.
    async fn may_move_reads(&self) -> Result<()> {
        Ok(())
    }
    /// Sends this share of reads, in percent, to the target. Fails where the target lacks rows.
    async fn move_reads(&self, percent: u8) -> Result<()> {
        let _ = percent;
        Ok(())
    }
    /// The share of reads, in percent, that goes to the target.
    async fn reads_at_target(&self) -> Result<u8> {
        Ok(0)
    }
    /// Keeps that the run is about to be finished, and not taken back, before its records go from the target; or that this came to nothing.
    async fn ending(&self, finished: bool) -> Result<()> {
        let _ = finished;
        Ok(())
    }
    /// The run is over, or is about to be taken back: nothing follows this owner any more. An error is told.
    async fn ended(&self, owner: Side) -> Result<()> {
        let _ = owner;
        Ok(())
    }
    /// The follower has all that the owner of this epoch acknowledged before `upto`, in microseconds since 1970; `moved`
    /// when it took something for that. Called after every batch. What fails costs only reads at the follower.
    async fn equal(&self, epoch: u64, upto: u64, moved: bool) {
        let _ = (epoch, upto, moved);
    }
}

/// Says that nothing follows this owner any more. What cannot be said stops no end of a run.
pub(super) async fn say_ended(
    announce: &dyn Announce,
    owner: Side,
    progress: &dyn crate::progress::Progress,
) {
    if let Err(error) = announce.ended(owner).await {
        let text =
            format!("{error}; programs that follow the route are not told that all reads go to the {owner}");
        progress.event(Event::Note { text });
    }
}

/// What keeps the environment file from being changed when the owner has changed: that stands, so what there is to do is told with it.
fn owed(error: Error) -> Error {
    let why =
        format!("{}: {}. `switchover resume` has it tried again at once", error.why(), error.what_to_do());
    error.detail(why)
}

/// Where the route of a run is that has a place of its own.
fn kept_route(folder: &Path) -> Result<Option<PathBuf>> {
    record::kept::<Option<PathBuf>>(folder, ROUTE_AT).map(Option::flatten)
}

/// The same path from wherever the program is started. It may not be there.
fn whole(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Watches the application in the reverse window.
#[async_trait]
pub trait Watch: Send + Sync {
    /// Why to go back now, if there is a reason. Called often: who measures keeps the time itself.
    async fn look(&self, status: &LiveStatus) -> Option<String>;
    /// Whether what it gave as a reason still holds: no window has ended since that says otherwise.
    async fn demands(&self) -> bool {
        false
    }
    /// What was measured last, for people.
    async fn said(&self) -> Vec<GuardSaid> {
        Vec::new()
    }
}

/// Tells nobody, and watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nobody;

#[async_trait]
impl Announce for Nobody {}

#[async_trait]
impl Watch for Nobody {
    async fn look(&self, _status: &LiveStatus) -> Option<String> {
        None
    }
}

/// Tells by the route's file, an environment file and commands, as the configuration has it.
#[derive(Debug)]
pub struct Announcer {
    routing: Routing,
    route: PathBuf,
    state_dir: PathBuf,
    header: Header,
    folder: PathBuf,
    noted: Mutex<Noted>,
}

/// When it was last said how far the follower is.
#[derive(Debug, Default)]
struct Noted {
    at: Option<Instant>,
    /// Whether it took something since.
    owed: bool,
}

impl Noted {
    /// Whether it is time to say it again.
    fn due(&mut self, moved: bool) -> bool {
        self.owed |= moved;
        let every = if self.owed { NOTED_EVERY } else { NOTED_IDLE };
        let due = self.at.is_none_or(|at| at.elapsed() >= every);
        if due {
            *self = Noted { at: Some(Instant::now()), owed: false };
        }
        due
    }
}

impl Announcer {
    /// For a run, whose folder is given. Its route is the one that is named now, or else the one that it has had.
    ///
    /// # Errors
    /// When it cannot be read where the route of the run is.
    pub fn new(routing: Routing, state_dir: &Path, header: &Header, folder: &Path) -> Result<Announcer> {
        let route = match &routing.route {
            Some(named) => named.clone(),
            None => kept_route(folder)?.unwrap_or_else(|| route::default_path(state_dir)),
        };
        Ok(Announcer {
            routing,
            route,
            state_dir: state_dir.to_owned(),
            header: header.clone(),
            folder: folder.to_owned(),
            noted: Mutex::default(),
        })
    }

    /// Keeps where the route is, before it is there.
    fn keep_route(&self) -> Result<()> {
        let default = whole(&route::default_path(&self.state_dir));
        let path = Some(whole(&self.route)).filter(|path| *path != default);
        if kept_route(&self.folder)? == path {
            return Ok(());
        }
        record::keep(&self.folder, ROUTE_AT, &path)
    }

    /// The route of this run.
    ///
    /// # Errors
    /// `NotFound` when there is none there, or another run's.
    fn own(&self, route: Option<Route>) -> Result<Route> {
        let run = &self.header.run;
        let why = match route {
            Some(route) if route.run == *run => return Ok(route),
            Some(route) => format!("it is the route of the run {}, not of {run}", route.run),
            None => "no route was written yet".to_owned(),
        };
        let hint = "name the run's own file with `route` in [cutover] or SWITCHOVER_ROUTE, stop the engine, `switchover resume`, and ask again";
        Err(Error::new(Kind::NotFound, "move reads")
            .store(self.route.display().to_string())
            .detail(why)
            .hint(hint))
    }

    /// The owner of which the application was told last: in the beginning the source. None when that was begun and did not come
    /// to its end: then it may have heard of either.
    fn told_owner(&self) -> Result<Option<Side>> {
        Ok(record::kept::<Option<Side>>(&self.folder, TOLD)?.unwrap_or(Some(Side::Source)))
    }

    /// What the run has changed and not put back. Refuses where it is in another file than this configuration names, or in variables that
    /// it does not: nobody would put them back.
    fn not_put_back(&self) -> Result<Changed> {
        let changed: Changed = record::kept(&self.folder, CHANGED)?.unwrap_or_default();
        if changed.variables.is_empty() {
            return Ok(changed);
        }
        let listed = |names: &mut dyn Iterator<Item = &String>| {
            names.map(String::as_str).collect::<Vec<_>>().join(", ")
        };
        let names = match &self.routing.env_file {
            // One that was brought elsewhere has its backup beside it.
            Some(file) if whole(&file.path) == changed.file || file.keeps_before(&self.header.run)? => {
                let is_named = |name: &String| file.set.iter().any(|(named, _)| named == name);
                let mut lacking = changed.variables.iter().filter(|name| !is_named(name)).peekable();
                if lacking.peek().is_none() {
                    return Ok(changed);
                }
                format!("no {} in `set`", listed(&mut lacking))
            }
            Some(file) => format!("the file {}", file.path.display()),
            None => "no such file".to_owned(),
        };
        Err(Error::new(Kind::Config, "change the owner")
            .detail(format!(
                "the run has set {} in the application's environment file {}, and [cutover] names {names} now",
                listed(&mut changed.variables.iter()),
                changed.file.display()
            ))
            .hint("have [cutover] say `env_file` and `set` as at the cutover, stop the engine, `switchover resume`, and ask again"))
    }

    /// Has the environment file name this owner's store.
    fn change_file(&self, file: &EnvFile, owner: Side) -> Result<()> {
        let run = &self.header.run;
        let mut changed = self.not_put_back().map_err(owed)?;
        match owner {
            Side::Target => {
                // Before it is changed, so that one that was killed in between knows of it.
                changed.variables.extend(file.lacking().map_err(owed)?);
                changed.file = whole(&file.path);
                record::keep(&self.folder, CHANGED, &changed)?;
                reserve::with(&self.folder, || file.apply(run)).map_err(owed)?;
                Ok(())
            }
            Side::Source => {
                file.knows_before(run, &changed.variables).map_err(owed)?;
                reserve::with(&self.folder, || file.restore(run)).map_err(owed)?;
                record::keep(&self.folder, CHANGED, &Changed::default())
            }
        }
    }

    /// The stores, as the route names them.
    fn stores(&self) -> (&str, &str) {
        (self.header.source.as_str(), self.header.target.as_str())
    }

    async fn hooks(&self, moment: Moment, ownership: &Ownership, why: &str) -> Result<()> {
        let secrets: Vec<SecretString> = self
            .routing
            .env_file
            .iter()
            .flat_map(|file| file.set.iter().map(|(_, value)| value.clone()))
            .collect();
        let told = Told {
            run: &self.header.run,
            owner: ownership.owner,
            epoch: ownership.epoch,
            why,
            folder: &self.folder,
            secrets: &secrets,
        };
        self.routing.hooks.run(moment, &told).await
    }
}

#[async_trait]
impl Announce for Announcer {
    async fn may_change(&self, proposed: &Ownership) -> Result<()> {
        let (path, run) = (&self.route, &self.header.run);
        // What the tries need goes again, and stays for the change itself.
        reserve::with(&self.folder, || {
            let may_take = |other: &Route| route::may_take(path, &self.state_dir, other);
            route::may_publish(path, run, self.stores(), *proposed, may_take)?;
            match (&self.routing.env_file, proposed.decided().owner) {
                (Some(file), Side::Target) => file.may_apply(run),
                (Some(file), Side::Source) => {
                    file.knows_before(run, &self.not_put_back()?.variables)?;
                    file.may_restore(run)
                }
                (None, Side::Source) => self.not_put_back().map(drop),
                (None, Side::Target) => Ok(()),
            }
        })
    }

    async fn before(&self, decided: &Ownership) -> Result<()> {
        // A finish that came to nothing was of the owner before.
        self.ending(false).await?;
        // Before anything is decided: whoever is killed behind that leaves no time to say so.
        let owes = (decided.owner == Side::Source).then_some(decided.epoch);
        reserve::with(&self.folder, || record::keep_owed(&self.folder, owes))?;
        self.hooks(Moment::Before, decided, "").await
    }

    async fn settled(&self) -> Result<()> {
        reserve::with(&self.folder, || record::keep_owed(&self.folder, None))
    }

    async fn told(&self, ownership: &Ownership, ready: bool, why: &str) -> Result<()> {
        let follower = if ready { Follower::Ready } else { Follower::Filling };
        // Two may have begun at once, or one goes on with another configuration than it began with.
        let run = &self.header.run;
        reserve::with(&self.folder, || {
            let may_take = |other: &Route| route::may_take(&self.route, &self.state_dir, other);
            self.keep_route()?;
            route::publish_where(&self.route, run, self.stores(), *ownership, (follower, why), may_take)
        })?;
        if ownership.pending || self.told_owner()? == Some(ownership.owner) {
            return Ok(());
        }
        // Before any of it, so that whoever tells of the other owner next does all of it.
        record::keep(&self.folder, TOLD, &None::<Side>)?;
        match &self.routing.env_file {
            Some(file) => self.change_file(file, ownership.owner)?,
            None if ownership.owner == Side::Source => drop(self.not_put_back().map_err(owed)?),
            None => {}
        }
        self.hooks(Moment::At, ownership, "").await?;
        self.hooks(Moment::After, ownership, "").await?;
        // After all of it, so that whoever was killed before does it again.
        record::keep(&self.folder, TOLD, &Some(ownership.owner))
    }

    async fn changed(&self, report: &SwitchReport) -> Result<()> {
        record::add(&self.folder, report)
    }

    async fn last_change(&self) -> Result<Option<(SwitchReport, u64)>> {
        let Some(last) = record::all(&self.folder)?.pop() else { return Ok(None) };
        // A change that was given up has a larger one, which programs may know. A route that cannot be read is told where it is written.
        let route = route::read(&self.route).ok().flatten().filter(|route| route.run == self.header.run);
        let told = route.map_or(0, |route| route.epoch).max(last.epoch);
        Ok(Some((last, told)))
    }

    async fn differs(&self, epoch: u64, why: &str) -> Result<()> {
        record::keep_difference(&self.folder, epoch, why)
    }

    async fn known_difference(&self, epoch: u64) -> Result<Option<String>> {
        record::difference(&self.folder, epoch)
    }

    async fn proven(&self, proof: Option<&Proof>) -> Result<()> {
        record::keep_proof(&self.folder, proof)
    }

    async fn alarm(&self, ownership: &Ownership, why: &str) -> Result<()> {
        self.hooks(Moment::Alarm, ownership, why).await
    }

    async fn may_move_reads(&self) -> Result<()> {
        self.own(route::read(&self.route)?)?.with_reads(ALL).map(drop)
    }

    async fn move_reads(&self, percent: u8) -> Result<()> {
        // None of them are sent there by it: as where the run is over, or the file is gone.
        if percent == 0 && self.reads_at_target().await? == 0 {
            return Ok(());
        }
        route::change(&self.route, |route| self.own(route)?.with_reads(percent)).map(drop)
    }

    async fn reads_at_target(&self) -> Result<u8> {
        let route = route::read(&self.route)?.filter(|route| route.run == self.header.run);
        Ok(route.map_or(0, |route| route.reads_at_target))
    }

    async fn ending(&self, finished: bool) -> Result<()> {
        if record::ending(&self.folder)? == Some(finished) {
            return Ok(());
        }
        reserve::with(&self.folder, || record::keep_ending(&self.folder, finished))
    }

    async fn ended(&self, owner: Side) -> Result<()> {
        reserve::with(&self.folder, || route::end(&self.route, &self.header.run, owner))
    }

    async fn equal(&self, epoch: u64, upto: u64, moved: bool) {
        if !self.noted.lock().unwrap_or_else(PoisonError::into_inner).due(moved) {
            return;
        }
        let progress = Progress { run: self.header.run.clone(), epoch, upto };
        if let Err(error) = route::note_progress(&self.route, &progress) {
            tracing::warn!(%error, "programs cannot be told how far the follower is; they read at the owner");
        }
    }
}
