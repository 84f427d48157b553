//! Where a read or a write goes, as pure functions of what is known.
//!
//! Invariants: what is not known for certain goes to the owner; a key that reads at the target at one share does so at every larger
//! one; nobody reads at a follower what it may not have yet.

use crate::routing::route::{ALL, Follower, Progress, Route, Writes};
use switchover_core::live::Side;
use twox_hash::XxHash3_64;

/// Everything that is known about the route.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// The route; `None` before there is a run.
    pub(super) route: Option<Route>,
    /// How far the follower has come.
    pub(super) progress: Option<Progress>,
}

/// What becomes of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Write {
    /// It goes to this store.
    Go(Side),
    /// It waits: the owner is about to change.
    Wait,
}

/// The run and epoch of a route: what a permit is for.
pub(super) type Term = (String, u64);

/// What stands for a key: XXH3, 64 bits, seed 0, as docs/reference/route.md promises to other programs.
pub(super) fn hash(key: &[u8]) -> u64 {
    XxHash3_64::oneshot(key)
}

/// The percent from which on a key reads at the target: 0 to 99.
pub(super) fn place(hash: u64) -> u8 {
    // Less than 100 by construction.
    ((u128::from(hash) * u128::from(ALL)) >> 64) as u8
}

impl Known {
    /// The term of writes now.
    pub(super) fn term(&self) -> Term {
        self.route.as_ref().map_or((String::new(), 0), |route| (route.run.clone(), route.epoch))
    }

    /// The store that owns the data; before any run the source.
    pub(super) fn owner(&self) -> Side {
        self.route.as_ref().map_or(Side::Source, |route| route.owner)
    }

    /// Whether anybody may read at the other store.
    pub(super) fn follows(&self) -> bool {
        self.route.as_ref().is_some_and(|route| route.follower == Follower::Ready)
    }

    /// Where a write goes.
    pub(super) fn write(&self) -> Write {
        match &self.route {
            Some(route) if route.writes == Writes::Held => Write::Wait,
            _ => Write::Go(self.owner()),
        }
    }

    /// Whether the follower has what the owner acknowledged by that time, in microseconds since 1970.
    pub(super) fn has(&self, written: u64) -> bool {
        let known = |(route, progress): (&Route, &Progress)| {
            (&route.run, route.epoch) == (&progress.run, progress.epoch) && progress.upto > written
        };
        self.route.as_ref().zip(self.progress.as_ref()).is_some_and(known)
    }

    /// Where a key is read. `written` is the time of the newest write that the reader must see; a route that is `stale` may
    /// be another by now.
    pub(super) fn read(&self, hash: u64, written: Option<u64>, stale: bool) -> Side {
        let Some(route) = &self.route else { return self.owner() };
        let share = if place(hash) < route.reads_at_target { Side::Target } else { Side::Source };
        let certain = !stale && self.follows() && written.is_none_or(|written| self.has(written));
        if certain { share } else { route.owner }
    }

    /// Takes a route, unless it comes before the one that is known.
    pub(super) fn take(&mut self, route: Route) -> bool {
        let newer = self.route.as_ref().is_none_or(|known| route.is_after(known));
        if newer {
            self.route = Some(route);
        }
        newer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use switchover_core::live::Ownership;

    fn known(owner: Side, follower: Follower, share: u8, upto: Option<u64>) -> Known {
        let route = Route::first("r", "s", "t", Ownership { owner, pending: false, epoch: 3 });
        let route = Route { follower, reads_at_target: share, ..route };
        Known { route: Some(route), progress: upto.map(|upto| Progress { run: "r".into(), epoch: 3, upto }) }
    }

    #[test]
    fn the_place_of_a_key_is_the_same_for_ever() {
        assert_eq!(["user:1", "user:2", ""].map(|key| place(hash(key.as_bytes()))), [23, 41, 17]);
        assert_eq!((place(0), place(u64::MAX)), (0, 99));
    }

    #[test]
    fn a_share_is_a_share_of_keys() {
        for share in [0, 1, 10, 50, 100] {
            let known = known(Side::Source, Follower::Ready, share, None);
            let keys = 0..10_000_u32;
            let there =
                keys.filter(|key| known.read(hash(&key.to_le_bytes()), None, false) == Side::Target).count();
            // Within four standard deviations of a fair hash.
            let share = f64::from(share) / 100.0;
            let spread = 4.0 * (10_000.0 * share * (1.0 - share)).sqrt();
            assert!((there as f64 - 10_000.0 * share).abs() <= spread, "{there} at {share}");
        }
    }

    fn side() -> impl Strategy<Value = Side> {
        prop_oneof![Just(Side::Source), Just(Side::Target)]
    }

    proptest! {
        #[test]
        fn a_larger_share_takes_no_key_back(hash: u64, owner in side(), a in 0u8..=100, b in 0u8..=100) {
            let at = |share| known(owner, Follower::Ready, share, None).read(hash, None, false);
            if at(a.min(b)) == Side::Target {
                prop_assert_eq!(at(a.max(b)), Side::Target);
            }
        }

        #[test]
        fn what_is_not_certain_is_read_at_the_owner(
            hash: u64, owner in side(), share in 0u8..=100, written: Option<u64>, upto: Option<u64>, stale: bool,
            follower in prop_oneof![Just(Follower::Filling), Just(Follower::Ready), Just(Follower::Lost)],
        ) {
            let known = known(owner, follower, share, upto);
            let at = known.read(hash, written, stale);
            if at != owner {
                prop_assert!(!stale && follower == Follower::Ready);
                prop_assert!(written.is_none_or(|written| upto.is_some_and(|upto| upto > written)));
            }
        }

        #[test]
        fn progress_of_another_term_proves_nothing(epoch in 0u64..6, written in 0u64..9) {
            let mut known = known(Side::Source, Follower::Ready, 100, None);
            known.progress = Some(Progress { run: "r".into(), epoch, upto: 9 });
            prop_assert_eq!(known.has(written), epoch == 3);
        }
    }
}
