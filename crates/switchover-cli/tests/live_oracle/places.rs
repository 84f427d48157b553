//! The places at which engines die, before and after each durable effect.

use super::Goal;

/// Where an engine dies on its way to following. Each is the next engine's place.
pub(crate) const TO_FOLLOWING: &[&str] = &[
    "after-planned=return",
    "after-prepare=return",
    "live-enter-before-commit=return",
    "live-enter-after-commit=return",
    "live-source-enter-before-commit=return",
    "live-source-enter-after-commit=return",
    "live-entered-source=return",
    "live-source-capture-before-commit=return",
    "live-source-capture-after-commit=return",
    "live-captured=return",
    "copy-before-commit=2*off->return",
    "copy-after-commit=3*off->return",
    "live-copied=return",
    "build-before-commit=1*off->return",
    "build-after-commit=2*off->return",
    "live-steps=return",
    "live-read=return",
    "live-target-enter-before-commit=return",
    "live-target-enter-after-commit=return",
    "live-target-apply-before-commit=return",
    "live-target-apply-after-commit=return",
    "live-apply-before-commit=return",
    "live-apply-after-commit=return",
    "live-applied=return",
    "live-source-settle-before-commit=return",
    "live-source-settle-after-commit=return",
    "live-settled=3*off->return",
];

/// Where it dies while the owner changes, whichever way.
pub(crate) const SWITCHING: &[&str] = &[
    "switch-captured=return",
    "live-decide-before-commit=return",
    "live-decide-after-commit=return",
    "switch-proposed=return",
    "switch-fenced=return",
    "switch-drained=return",
    "live-decide-before-commit=1*off->return",
    "live-decide-after-commit=1*off->return",
    "switch-asked=return",
    "switch-decided=return",
    "live-owner-settled=1*off->return",
    // Once as it was, then for the proposal, then for the decision.
    "live-route-before=1*off->return",
    "live-route-after=1*off->return",
    "live-route-before=2*off->return",
    "live-route-after=2*off->return",
    // Before, at and after the change.
    "live-hook-before=return",
    "live-hook-after=return",
    "live-hook-before=1*off->return",
    "live-hook-after=1*off->return",
    "live-hook-before=2*off->return",
    "live-hook-after=2*off->return",
];

/// The first of the same places at which an engine dies that takes the change up: twice in a row.
pub(crate) fn again(place: &str) -> String {
    let name = place.split_once('=').map_or(place, |(name, _)| name);
    format!("{name}=return")
}

/// Where it dies when the owner changes for the first time, which later changes do not come to again.
pub(crate) const FIRST: &[&str] =
    &["live-target-capture-before-commit=return", "live-target-capture-after-commit=return"];

/// What the places of a server's own begin with; those of a file that is the target begin with the side's name.
const OF_SERVER: [&str; 8] = [
    "live-enter-",
    "live-apply-",
    "live-decide-",
    "live-capture-",
    "live-fence-",
    "live-settle-",
    "live-mark-",
    "live-follow-",
];

/// Where it dies besides, on the way to the target,
pub(crate) const TO_TARGET: &[&str] = &[
    "live-source-fence-before-commit=return",
    "live-source-fence-after-commit=return",
    "live-capture-before-commit=return",
    "live-capture-after-commit=return",
    "live-target-decide-before-commit=1*off->return",
    "live-target-decide-after-commit=1*off->return",
    "live-env-before-backup=return",
    "live-env-before-file=return",
    "live-env-after-file=return",
];

/// and on the way back.
pub(crate) const TO_SOURCE: &[&str] = &[
    "live-fence-before-commit=return",
    "live-fence-after-commit=return",
    "live-target-fence-before-commit=return",
    "live-target-fence-after-commit=return",
    "live-target-mark-before-commit=return",
    "live-target-mark-after-commit=return",
    "live-mark-before-commit=return",
    "live-mark-after-commit=return",
    "live-target-settle-before-commit=return",
    "live-target-settle-after-commit=return",
    "live-target-follow-before-commit=return",
    "live-target-follow-after-commit=return",
    "live-source-apply-before-commit=return",
    "live-source-apply-after-commit=return",
    "live-settle-before-commit=return",
    "live-settle-after-commit=return",
    "switch-numbered=return",
    "live-source-unfence-before-commit=return",
    "live-source-unfence-after-commit=return",
    "live-follow-before-commit=return",
    "live-follow-after-commit=return",
    "live-env-before-restore=return",
    "live-env-after-restore=return",
    "live-env-forgotten=return",
];

/// The places at which engines of such runs die.
pub(crate) fn of(goal: Goal, lists: &[&[&'static str]]) -> Vec<&'static str> {
    let server = matches!(goal, Goal::Postgres | Goal::Existing);
    let is_own = |place: &&&str| match server {
        true => !place.starts_with("live-target-"),
        false => !OF_SERVER.iter().any(|own| place.starts_with(own)),
    };
    lists.iter().flat_map(|list| list.iter()).filter(is_own).copied().collect()
}
