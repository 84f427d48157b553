//! Live runs into tables that an application's own migrations made (`start --into existing`), by the program itself, while plain
//! clients write.
//!
//! What a run leaves of the target's definitions is compared with `pg_dump` from before, byte for byte: after the cutover, after
//! `finish`, and after a rollback. What the stores hold is compared by clients that share no code with the product.
#![cfg(feature = "failpoints")]
#![expect(clippy::panic, reason = "tests")]

#[path = "../existing/app.rs"]
#[allow(dead_code, clippy::allow_attributes, reason = "a part of it")]
mod app;
mod applications;
#[path = "../common/mod.rs"]
mod common;
#[path = "../existing/compare.rs"]
mod compare;
#[path = "../existing/fill.rs"]
mod fill;
#[path = "../existing/known.rs"]
mod known;
mod refused;
mod scene;
mod types;
