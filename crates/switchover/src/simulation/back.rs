//! Older states of a store that are put in its place, and a crash behind which the last commits are gone.
//!
//! What goes with a store is all that is in it: rows, log, numbers, marks, the run's records. What stays lies outside: the other store,
//! the engines, and the run's folder. A store that is put down breaks the sessions that it had, and drops their requests.
//!
//! Invariant: what only a state knew that is gone is the choice of whoever put the older one there, or had commits not wait for the disk;
//! `truth` says it no more. What is acknowledged afterwards counts like all else.
//!
//! Absent: a target that is put back to before a change of the owner that nobody was told of yet, for the engine was killed; one that owned
//! the data and is put back where the source owns it now, for it lets writes in by itself; a source that is put back while its fence goes up
//! or comes down; a server whose place another takes without one broken session.

use super::world::{Broken, Data, Inner, Side1, World};
use crate::live::{Announce, SwitchReport};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use switchover_core::chunk::Checkpoint;
use switchover_core::live::{Ownership, Side};
use switchover_core::{Error, Kind, Result};

/// States that are kept of each store.
const KEPT_MAX: usize = 6;

/// What a target says that lacks the mark of a position, or has forgotten what a follower lacks; the run is held with it.
pub(super) const SET_BACK: &str = "it was set back";

/// A state of a store.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    side: Side,
    store: Side1,
    /// What else is in the target.
    ownership: Ownership,
    checkpoints: Vec<Checkpoint>,
    steps: BTreeSet<String>,
    uniques: bool,
    repeats: BTreeSet<(usize, i64)>,
    /// What was acknowledged by then.
    truth: Data,
    /// Changes of the owner that its decision row knows.
    reign: u64,
}

/// What is known of set backs.
#[derive(Debug, Default)]
pub(super) struct Backs {
    /// Once in so many times, the application's commit does not wait for the disk; 0 is never.
    pub(super) soon: u64,
    /// Whether nobody writes for a while.
    pub(super) rests: bool,
    /// Once in so many decisions, an older state of the target is put there in that very moment; 0 is never.
    pub(super) fails_over: u64,
    /// How each store is on the disk, where that is behind what it shows; by store, as all else here.
    disk: [Option<Box<Kept>>; 2],
    /// Older states.
    kept: [Vec<Kept>; 2],
    /// How often each store was put down.
    pub(super) downs: [u64; 2],
    /// The same, as the engines' sessions know it, by store and attempt.
    sessions: BTreeMap<(usize, i64), u64>,
    /// Changes of the owner so far, and those that the decision row knows.
    reign: u64,
    pub(super) row_reign: u64,
    /// What was acknowledged before the last set back: a store that has all of it may be the owner as well.
    before: Option<Data>,
    /// Somebody has given up what the target alone has.
    pub(super) given_up: bool,
    /// Set backs, crashes of the source and of the target that lost commits, states given up, and newest states put back.
    pub(super) counts: [u64; 5],
    /// What the run's folder says: the last change of the owner, the largest epoch that was told, and how followers differ.
    last: Option<SwitchReport>,
    told: u64,
    /// Changes of the owner that the application was told.
    told_reign: u64,
    differs: Option<(u64, String)>,
}

fn at(side: Side) -> usize {
    usize::from(side == Side::Target)
}

impl Backs {
    /// Whether a store was ever put down.
    pub(super) fn any(&self) -> bool {
        self.downs != [0; 2]
    }

    /// Nothing was lost but what a crash of the target takes, of which a mark that is on the disk leaves the run nothing to wait for.
    pub(super) fn is_unhurt(&self) -> bool {
        self.counts[0] == 0 && self.counts[1] == 0
    }

    /// The target is as it was before the owner last changed.
    pub(super) fn is_across(&self) -> bool {
        self.row_reign != self.reign
    }
}

impl Inner {
    /// The state of a store.
    fn keep(&mut self, side: Side) -> Kept {
        Kept {
            side,
            store: self.side(side).clone(),
            ownership: self.ownership,
            checkpoints: self.checkpoints.clone(),
            steps: self.steps.clone(),
            uniques: self.uniques,
            repeats: self.repeats.clone(),
            truth: self.truth.clone(),
            reign: self.backs.row_reign,
        }
    }

    /// Puts a state in the store's place; gives the one that was there.
    pub(super) fn put(&mut self, kept: Kept) -> Kept {
        let side = kept.side;
        let newest = self.keep(side);
        let owned = self.ownership.owner == side;
        self.backs.downs[at(side)] += 1;
        self.backs.disk[at(side)] = None;
        *self.side(side) = kept.store;
        match side {
            // What moved rows since is undone, and the file is another than the capture was made on.
            Side::Source => self.source.vacuums += 1,
            Side::Target => {
                self.ownership = kept.ownership;
                self.checkpoints = kept.checkpoints;
                self.steps = kept.steps;
                self.uniques = kept.uniques;
                self.repeats = kept.repeats;
                self.backs.row_reign = kept.reign;
            }
        }
        if owned && self.ownership.owner == side {
            self.backs.before = Some(std::mem::replace(&mut self.truth, kept.truth));
        }
        self.remember(format!("the {side} is as it was at epoch {}", kept.ownership.epoch));
        newest
    }

    /// Keeps a state of a store for later.
    pub(super) fn keep_one(&mut self, side: Side) {
        if self.is_under_way()
            && !(side == Side::Source && self.source.fenced == (self.ownership.owner == side))
        {
            let kept = self.keep(side);
            let states = &mut self.backs.kept[at(side)];
            if states.len() == KEPT_MAX {
                states.remove(0);
            }
            states.push(kept);
        }
    }

    /// The run has begun, and has not begun to end.
    fn is_under_way(&self) -> bool {
        let entered = self.source.entered && self.target.entered && self.source.captured;
        entered && !self.left && !self.forgotten && !self.loose
    }

    /// Puts one of the older states in the place of the store; gives the newest one.
    pub(super) fn set_back(&mut self, side: Side) -> Option<Kept> {
        if !self.is_under_way() || self.backs.is_across() || (side == Side::Source && self.ownership.pending)
        {
            return None;
        }
        let (reign, target_owns) = (self.backs.reign, self.ownership.owner == Side::Target);
        let on_record = self.backs.told_reign == reign;
        let mut states = self.backs.kept[at(side)].clone();
        states.retain(|kept| {
            let across =
                side == Side::Target && target_owns && on_record && kept.ownership.owner == Side::Source;
            kept.reign == reign || across
        });
        let which = self.dice.below(states.len() as u64);
        let kept = states.into_iter().nth(usize::try_from(which).ok()?)?;
        self.backs.counts[0] += 1;
        Some(self.put(kept))
    }

    /// The server of the target goes down before a decision, and another takes its place, which lacks what came last.
    pub(super) fn fail_over(&mut self, decides: bool) {
        let fails_over = self.backs.fails_over;
        if fails_over == 0 {
            return;
        }
        if decides && self.dice.one_in(fails_over) {
            drop(self.set_back(Side::Target));
        } else {
            self.keep_one(Side::Target);
        }
    }

    /// The machine of a store goes down, and comes back with what is on its disk.
    pub(super) fn fall(&mut self, side: Side) {
        if !self.is_under_way() || self.backs.is_across() || (side == Side::Source && self.ownership.pending)
        {
            return;
        }
        match self.backs.disk[at(side)].take() {
            Some(kept) => {
                self.backs.counts[1 + at(side)] += 1;
                drop(self.put(*kept));
                if side == Side::Source {
                    // Rows lie where they lay: nothing but its last commits is gone.
                    self.source.vacuums -= 1;
                }
            }
            None => self.backs.downs[at(side)] += 1,
        }
    }

    /// A commit that waits for the disk: all before it is there, too.
    pub(super) fn sure(&mut self, side: Side) {
        self.backs.disk[at(side)] = None;
    }

    /// A commit that does not wait for the disk. Before it is made.
    pub(super) fn soon(&mut self, side: Side) {
        if self.backs.disk[at(side)].is_none() {
            self.backs.disk[at(side)] = Some(Box::new(self.keep(side)));
        }
    }

    /// Puts the newest state back, unless the owner has changed since.
    pub(super) fn put_newest(&mut self, newest: Kept) {
        let same_fence = newest.side == Side::Target
            || !self.ownership.pending && newest.store.fenced == self.source.fenced;
        if self.is_under_way() && same_fence && newest.reign == self.backs.reign {
            self.backs.counts[4] += 1;
            drop(self.put(newest));
        }
    }

    /// Whether the application's next commit does not wait.
    pub(super) fn is_soon(&mut self) -> bool {
        let soon = self.backs.soon;
        soon > 0 && self.dice.one_in(soon)
    }

    /// A source that holds all that was acknowledged before the target was set back is right, too, as long as nothing came since.
    pub(super) fn has_all_before(&mut self, side: Side) -> bool {
        match self.backs.before.take() {
            Some(before) if side == Side::Source && self.source.data == before => {
                self.truth = before;
                true
            }
            _ => false,
        }
    }

    /// The owner has changed.
    pub(super) fn reigns(&mut self) {
        if std::mem::take(&mut self.backs.given_up) && self.ownership.owner == Side::Source {
            self.backs.counts[3] += 1;
            self.truth = self.source.data.clone();
        }
        self.backs.reign += 1;
        self.backs.row_reign = self.backs.reign;
    }

    /// The engine's session with a store, which the store ends when it is put down.
    pub(super) fn session(&mut self, side: Side, attempt: i64) -> Result<()> {
        let now = self.backs.downs[at(side)];
        match self.backs.sessions.insert((at(side), attempt), now) {
            Some(known) if known != now => {
                Err(Error::new(Kind::Unavailable, "go on").detail("the store was put down"))
            }
            _ => Ok(()),
        }
    }

    /// That a target has the mark of the position which its follower has, and has not forgotten what that one lacks.
    pub(super) fn check_mark(&self, mark: u64) -> Result<()> {
        if mark > self.target.mark && self.broken != Broken::Mark {
            return Err(Error::new(Kind::Changed, "look at the mark").detail(SET_BACK));
        }
        Ok(())
    }
}

impl World {
    /// A call on a store, by a session.
    pub(super) async fn call_at<T>(
        &self,
        side: Side,
        what: &str,
        work: impl FnOnce(&mut Inner) -> Result<T>,
    ) -> Result<T> {
        let attempt = self.attempt;
        self.call(what, |world| world.session(side, attempt).and_then(|()| work(world))).await
    }
}

/// The run's folder, which no store has.
pub(super) struct Folder(pub(super) World);

#[async_trait]
impl Announce for Folder {
    async fn told(&self, ownership: &Ownership, _: bool, _: &str) -> Result<()> {
        let mut world = self.0.look();
        world.backs.told = world.backs.told.max(ownership.epoch);
        if !ownership.pending {
            world.backs.told_reign = world.backs.row_reign;
        }
        Ok(())
    }

    async fn changed(&self, report: &SwitchReport) -> Result<()> {
        // The engine may be killed before and behind it.
        let _ = self.0.call("keep the change of the owner", |_| Ok(())).await;
        self.0.look().backs.last = Some(report.clone());
        let _ = self.0.call("go on", |_| Ok(())).await;
        Ok(())
    }

    async fn last_change(&self) -> Result<Option<(SwitchReport, u64)>> {
        let world = self.0.look();
        Ok(world.backs.last.clone().map(|last| (last.clone(), world.backs.told.max(last.epoch))))
    }

    async fn differs(&self, epoch: u64, why: &str) -> Result<()> {
        self.0.look().backs.differs = Some((epoch, why.to_owned()));
        Ok(())
    }

    async fn known_difference(&self, epoch: u64) -> Result<Option<String>> {
        let world = self.0.look();
        let changed = world.backs.last.as_ref().map_or(0, |last| last.epoch);
        let found = world.backs.differs.as_ref().filter(|(found, _)| (changed..=epoch).contains(found));
        Ok(found.map(|(_, why)| why.clone()))
    }
}
