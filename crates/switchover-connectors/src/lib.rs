//! The stores that Switchover moves data between: a module each, and none knows another.
//!
//! Beside them stand the three things that they share because they are about text and files and about
//! no store: `uri`, which reads connection texts, and [`sidecar`], the note beside a backup; and `disk`, which
//! tells how much room there is.

mod blocking;
mod disk;
pub mod json;
mod place;
pub mod postgres;
pub mod sidecar;
pub mod sqlite;
mod uri;
