//! Weaviate, as a target: objects in collections, over REST for the schema and gRPC for objects.
//!
//! | file | holds |
//! |---|---|
//! | `config` | the URL, the key, other headers |
//! | `client`, `value`, `error` | the wire: requests and replies, one property's value, what a status means |
//! | `names`, `dialect`, `schema`, `costs` | what a source's schema becomes, and what its indexes cost |
//! | `ids`, `cells`, `rows` | a row as an object, and back |
//! | `made` | the collections that a run makes, and how they are known again |
//! | `alias` | the names by which readers find collections |
//! | `store`, `writer`, `reader`, `target` | the target |
//! | `touched` | what others added since |
//! | `ledger`, `before`, `quarantine`, `claim` | the runs' own records, and who works on the server |
//! | `discard`, `restore` | taking a run back |
//! | `live` | the server following a source that is written |
//! | `examine` | what `doctor` says |
//! | `look` | a search, to see that the data is searchable |
//! | `queries` | questions as an application asks them |
//!
//! The server's acknowledgement is no proof that an object is stored, it has no transactions, and every number is a
//! double there; the parts named above say what follows from that.

mod alias;
mod before;
mod cells;
mod claim;
pub mod client;
pub mod config;
mod costs;
mod dialect;
mod discard;
mod error;
mod examine;
mod ids;
mod ledger;
mod live;
pub mod look;
mod made;
mod names;
mod quarantine;
mod queries;
mod reader;
mod restore;
mod rows;
mod schema;
mod store;
pub mod target;
mod touched;
pub mod value;
mod writer;
mod written;

pub use config::WeaviateConfig;
