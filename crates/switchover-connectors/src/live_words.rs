//! What both kinds of store that can own the data say alike.

/// The store that follows is an older one than this one's records know.
pub(crate) const FOLLOWER_SET_BACK: &str = "the source was set back: this store has forgotten changes that the source had taken, and by its position the source lacks them. An \
    older state of it was put in its place, such as a backup. Put the newest state back, and the run goes on by itself; where there is none, stop the engine, and \
    `switchover finish --abandon-source` ends the run with the target alone";

/// What to do then.
pub(crate) const FOLLOWER_SET_BACK_HINT: &str = "put the newest state of the source back, and the run goes on by itself; the target keeps every row";

/// The store is an older one than the other store's records know.
pub(crate) const SET_BACK: &str = "it was set back: the other store has changes that were read from it, and it has not the mark which was \
    kept in it before they went there. An older state of it was put in its place, such as a backup or a standby that lagged; which rows the \
    source lacks cannot be told. Put the newest state back, and the run goes on by itself; where there is none, stop the engine, and \
    `switchover finish --abandon-source` ends the run with the target alone";

/// What to do then.
pub(crate) const SET_BACK_HINT: &str = "put the newest state of the target back, and the run goes on by itself; nothing of the source was changed by it, and \
    it has the rows that the target lost";
