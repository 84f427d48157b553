//! Which of a cluster's places answer: asked by REST and by gRPC, of which each place has both.
//!
//! A place that does not answer is passed over for [`AWAY`], so that not every call waits for it, and is asked again then.
//! Invariant: none is given up for good; where all are away they are asked all the same, so that the error is the servers' own.
//! Absent on purpose: balancing by load; lanes are spread over the places by their numbers.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use switchover_core::failpoint;

/// How long a place that did not answer is passed over: a server that was restarted is ready after some seconds.
const AWAY: Duration = Duration::from_secs(10);

/// How long an answer is waited for where another place can be asked. A node that asked its cluster's leader something when that
/// one died never answers, and answers the next question at once; a batch of the size that is sent takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long an answer is waited for that may take so long: less where there are several places.
pub(super) fn patience(places: usize, at_most: Duration) -> Duration {
    let several =
        Duration::from_millis(failpoint::number("weaviate-patience-ms", PATIENCE.as_millis() as u64));
    if places > 1 { at_most.min(several) } else { at_most }
}

/// The places, by their numbers in the URL.
#[derive(Debug)]
pub(super) struct Places {
    /// When each was last without an answer.
    away: Vec<Mutex<Option<Instant>>>,
}

impl Places {
    /// So many, none of which is known to be away.
    pub(super) fn new(count: usize) -> Places {
        Places { away: (0..count).map(|_| Mutex::default()).collect() }
    }

    /// All of them: first those that are not known to be away, beginning with this one and going round; then the others.
    pub(super) fn order(&self, first: usize) -> Vec<usize> {
        let count = self.away.len();
        let round = (0..count).map(|step| (first + step) % count);
        let (near, far): (Vec<usize>, Vec<usize>) = round.partition(|at| !self.is_away(*at));
        near.into_iter().chain(far).collect()
    }

    /// The place of a lane: lanes are spread over those that are not away.
    pub(super) fn of_lane(&self, lane: usize) -> usize {
        let near: Vec<usize> = (0..self.away.len()).filter(|at| !self.is_away(*at)).collect();
        match near.is_empty() {
            true => lane % self.away.len().max(1),
            false => near[lane % near.len()],
        }
    }

    fn is_away(&self, at: usize) -> bool {
        self.held(at).is_some_and(|since| since.elapsed() < AWAY)
    }

    /// It did not answer, or showed less than there is, as a node does that was away.
    pub(super) fn missed(&self, at: usize) {
        *self.held(at) = Some(Instant::now());
    }

    /// It answered.
    pub(super) fn answered(&self, at: usize) {
        *self.held(at) = None;
    }

    fn held(&self, at: usize) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.away[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_away_is_asked_last_and_gets_no_lane() {
        let places = Places::new(3);
        assert_eq!(places.order(0), [0, 1, 2]);
        assert_eq!([0, 1, 2, 3].map(|lane| places.of_lane(lane)), [0, 1, 2, 0]);
        places.missed(0);
        assert_eq!((places.order(0), places.order(2)), (vec![1, 2, 0], vec![2, 1, 0]));
        assert_eq!([0, 1, 2, 3].map(|lane| places.of_lane(lane)), [1, 2, 1, 2]);
        places.missed(1);
        places.missed(2);
        assert_eq!((places.order(0), places.of_lane(4)), (vec![0, 1, 2], 1));
        places.answered(2);
        assert_eq!((places.order(0), places.of_lane(7)), (vec![2, 0, 1], 2));
    }
}
