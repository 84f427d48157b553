//! What befalls the stores in a story, and what a person does about it: puts the newest state back, gives up what the target alone has,
//! or leaves all as it is.

use super::back::{Kept, SET_BACK};
use super::stores::NOT_WHOLE;
use super::world::{Dice, World};
use crate::live::{LiveStatus, Request, SwitchOptions, Verification};
use switchover_core::live::Side;

/// Older states that are put in the place of a store in one story.
const SET_BACKS_MAX: u64 = 2;

/// What befalls the stores of one story.
pub(super) struct Mishaps {
    /// Once in so many rounds; 0 is never.
    often: u64,
    left: u64,
    /// The newest state of the store that was set back, and rounds until somebody does something about it.
    newest: Option<(Kept, u64)>,
}

impl Mishaps {
    pub(super) fn new(often: u64, dice: &mut Dice) -> Mishaps {
        let left = if often > 0 { dice.below(SET_BACKS_MAX + 1) } else { 0 };
        Mishaps { often, left, newest: None }
    }

    /// One round. Whether all engines went down with it.
    pub(super) fn befall(&mut self, world: &World) -> bool {
        let mut world = world.look();
        if self.often == 0 {
            return false;
        }
        if world.dice.one_in(8) {
            world.backs.rests = !world.backs.rests;
        }
        let side = if world.dice.one_in(2) { Side::Source } else { Side::Target };
        if world.dice.one_in(4) {
            world.keep_one(side);
        }
        let often = self.often;
        if self.newest.is_some() || !world.dice.one_in(often) {
            return false;
        }
        if world.dice.one_in(2) {
            world.fall(side);
            // The engine's own machine is the one that has the source's file.
            return side == Side::Source;
        }
        if self.left == 0 {
            return false;
        }
        let wait = world.dice.below(150);
        self.newest = world.set_back(side).map(|newest| (newest, wait));
        self.left -= u64::from(self.newest.is_some());
        self.newest.is_some() && world.dice.one_in(2)
    }

    /// Whether somebody is still to do something about it.
    pub(super) fn is_open(&self) -> bool {
        self.newest.is_some()
    }

    /// What is done about it; gives what is asked of the engine for that.
    pub(super) fn mend(&mut self, world: &World) -> Option<Request> {
        let (newest, wait) = self.newest.take()?;
        let mut world = world.look();
        if wait > 0 {
            self.newest = Some((newest, wait - 1));
            return None;
        }
        if world.backs.is_across() && (world.backs.given_up || world.dice.one_in(3)) {
            world.backs.given_up = true;
            self.newest = Some((newest, 0));
            let options = SwitchOptions { accept_difference: true, ..SwitchOptions::default() };
            return Some(Request::Rollback(options));
        }
        if world.dice.one_in(2) {
            world.put_newest(newest);
        }
        None
    }
}

/// Whether the run waits for a person because a store was set back.
pub(super) fn is_hurt(world: &World, status: Option<&LiveStatus>) -> bool {
    let Some(status) = status.filter(|_| world.look().backs.any()) else { return false };
    let says = |whys: &[&str]| whys.iter().any(|why| status.held.contains(why));
    // A source that lost rows which the target has gives their unique values to others.
    let refused = status.ownership.owner == Side::Source && says(&["a unique value is there", "duplicates"]);
    refused
        || says(&[SET_BACK, NOT_WHOLE, "the target was set back"])
        || matches!(status.verification, Verification::Different { .. })
}
