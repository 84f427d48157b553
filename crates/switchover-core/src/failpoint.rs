//! Places where a test kills the process: before and after every durable effect.
//!
//! Without the feature `failpoints` a place is an empty function. With it, `FAILPOINTS="name=return"`
//! (the grammar of the crate `fail`, counts included) ends the process there by `kill -9`, so that no
//! destructor, no rollback and no flush runs.

/// A place by its name.
#[cfg(feature = "failpoints")]
pub fn hit(name: &str) {
    fail::fail_point!(name, |_| die());
}

/// Whether a test asks for something at a place, other than the process's end.
#[cfg(feature = "failpoints")]
pub fn asked(name: &str) -> bool {
    fail::fail_point!(name, |_| true);
    false
}

/// Whether a test asks for something at a place, other than the process's end.
#[cfg(not(feature = "failpoints"))]
pub fn asked(_name: &str) -> bool {
    false
}

/// The number that a test wants in the place of this one: `FAILPOINTS="name=return(250)"`.
#[cfg(feature = "failpoints")]
pub fn number(name: &str, otherwise: u64) -> u64 {
    fail::fail_point!(name, |given| given.and_then(|text| text.parse().ok()).unwrap_or(otherwise));
    otherwise
}

/// The number that a test wants in the place of this one.
#[cfg(not(feature = "failpoints"))]
pub fn number(_name: &str, otherwise: u64) -> u64 {
    otherwise
}

/// A place by its name, and what is done there before the process ends.
#[cfg(feature = "failpoints")]
pub fn hit_after(name: &str, before: impl FnOnce()) {
    fail::fail_point!(name, |_| {
        before();
        die();
    });
}

/// A place by its name, and what is done there before the process ends.
#[cfg(not(feature = "failpoints"))]
pub fn hit_after(_name: &str, _before: impl FnOnce()) {}

/// A place by its name.
#[cfg(not(feature = "failpoints"))]
pub fn hit(_name: &str) {}

#[cfg(feature = "failpoints")]
fn die() {
    let id = std::process::id().to_string();
    // A real SIGKILL; should there be no `kill`, an abort runs no destructor either.
    let _ = std::process::Command::new("kill").args(["-9", &id]).status();
    std::process::abort();
}
