//! The specification of cutover and rollback, checked over every interleaving: decision 19.
//!
//! [`model`] holds the stores, writers and engines; here stands what must be true of it, and that each guard is
//! needed: without it the checker finds a counterexample. Absent on purpose: tables, values, time. One row stands
//! for all, since the log and the batches treat rows alike; time is whatever order the checker chooses.

mod model;

use model::{Model as Switch, Store, all};
use stateright::{Checker, Model, Property};

/// Threads of the checker; more than the cores of a small machine only wait for each other.
const THREADS: usize = 2;

/// Fewer states than this, and the model has lost a part that it had.
const STATES_MIN: usize = 100_000;

/// A store accepts a write of the application, or one is under way that it has let in.
fn accepts(model: &Switch, state: &model::State, store: Store) -> bool {
    state.stores[store.at()].open || model.writes().any(|write| state.under_way(write, store))
}

/// I3: at most one store accepts the application's writes at any instant.
fn one_store_accepts(model: &Switch, state: &model::State) -> bool {
    !(accepts(model, state, Store::Source) && accepts(model, state, Store::Target))
}

/// I4: nobody but the one whose compare-and-set succeeded was told that it made an epoch, and the row never
/// goes back.
fn one_decision_an_epoch(_: &Switch, state: &model::State) -> bool {
    !state.torn
}

/// I5: every acknowledged write is in the owner, and in the other store or in its log.
fn nothing_is_lost(model: &Switch, state: &model::State) -> bool {
    let owner = state.owner();
    let (own, other) = (&state.stores[owner.at()], &state.stores[owner.other().at()]);
    model.writes().filter(|write| state.acknowledged(*write)).all(|write| {
        // A run that is held takes nothing by a position that the target's mark is behind, and forgets nothing.
        let held = owner == Store::Target && state.is_held();
        let logged = if held { own.log } else { own.log & !other.taken };
        own.row & write.bit() != 0 && (other.row | logged) & write.bit() != 0
    })
}

impl Model for Switch {
    type State = model::State;
    type Action = model::Action;

    fn init_states(&self) -> Vec<model::State> {
        vec![model::State::first()]
    }

    fn actions(&self, state: &model::State, actions: &mut Vec<model::Action>) {
        self.possible(state, actions);
    }

    fn next_state(&self, state: &model::State, action: model::Action) -> Option<model::State> {
        Some(self.after(state, action))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("I3 one store accepts", one_store_accepts),
            Property::always("I4 one decision an epoch", one_decision_an_epoch),
            Property::always("I5 nothing is lost", nothing_is_lost),
            // The model can do what it is about: else it would hold for want of anything happening.
            Property::sometimes("writes go over and come back", |model: &Switch, state: &model::State| {
                state.owner() == Store::Source
                    && state.decision.epoch > 4
                    && model.writes().all(|write| state.acknowledged(write))
                    && state.stores.iter().all(|store| store.row == model.all_writes())
            }),
            Property::sometimes(
                "a write of a target that was set back waits for a person",
                |model: &Switch, state: &model::State| {
                    let waits = state.is_held() && state.by[1] != 0;
                    !model.sets_back() || (state.was_set_back() && waits)
                },
            ),
            Property::sometimes(
                "a target is set back and nothing was read of it since",
                |model: &Switch, state: &model::State| {
                    !model.sets_back()
                        || (state.was_set_back() && !state.is_held() && state.owner() == Store::Source)
                },
            ),
            Property::sometimes("a write is acknowledged by each store", |_, state: &model::State| {
                state.by[0] != 0 && state.by[1] != 0
            }),
        ]
    }
}

/// The names of the invariants that fail.
fn failing(model: Switch) -> (Vec<&'static str>, usize) {
    let checker =
        model.checker().threads(THREADS).finish_when(stateright::HasDiscoveries::AnyFailures).spawn_bfs();
    let checker = checker.join();
    let mut failing: Vec<&'static str> =
        checker.discoveries().into_keys().filter(|name| name.starts_with('I')).collect();
    failing.sort_unstable();
    (failing, checker.unique_state_count())
}

#[test]
fn the_switch_holds_over_all_interleavings() {
    let checker = Switch::sound().checker().threads(THREADS).spawn_bfs().join();
    checker.assert_properties();
    let states = checker.unique_state_count();
    eprintln!("{states} states, {} steps deep", checker.max_depth());
    assert!(states >= STATES_MIN, "{states} states");
}

#[test]
fn a_target_that_is_set_back_loses_nothing_that_is_acknowledged_later() {
    let checker = Switch::set_back().checker().threads(THREADS).spawn_bfs().join();
    checker.assert_properties();
    eprintln!("{} states, {} steps deep", checker.unique_state_count(), checker.max_depth());
}

#[test]
fn without_any_guard_the_checker_finds_a_counterexample() {
    for broken in all() {
        let (failing, states) = failing(Switch::broken(broken));
        eprintln!("{broken:?}: {failing:?} after {states} states");
        assert!(!failing.is_empty(), "{broken:?}: nothing fails in {states} states");
    }
}
