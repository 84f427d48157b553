//! The stores that Switchover moves data between: a module each, and none knows another.
//!
//! Beside them stand the things that they share because they are about text and files and about no store:
//! `uri`, which reads connection texts; [`sidecar`], the note beside a backup; `disk`, which tells how much room
//! there is; `place`, which locks and names a file that is made; `handshake`, why TLS failed; and `blocking`, for work that waits for a disk.

mod blocking;
mod disk;
mod handshake;
pub mod json;
mod live_words;
mod place;
pub mod postgres;
mod records;
pub mod sidecar;
pub mod sqlite;
mod uri;
pub mod weaviate;
