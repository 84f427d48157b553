//! Configuration: parse first, resolve second, do third.
//!
//! Flags, environment and file each become a [`Layer`] of raw values that remember their
//! [`Origin`]; [`resolve()`] takes, key by key, the first layer that has a value (flag, environment,
//! file) and gives it its meaning, so an error can say where the value stands. One table, [`KEYS`],
//! says how a key is spelt in each layer. Absent on purpose: opening anything that is named here.

mod cutover;
mod declared;
mod environment;
mod file;
mod mapping;
mod near;
pub(crate) mod preset;
mod resolve;
mod section;
mod size;
pub(crate) mod span;
mod store_ref;
mod watch;

pub(crate) use environment::Environment;
pub(crate) use near::nearest;
pub(crate) use resolve::{ProgressMode, Request, Resolved, resolve};
pub(crate) use store_ref::{StoreRef, scrub, scrub_quoted};

use std::collections::BTreeMap;
use std::fmt;
use switchover_core::mapping::Mapping;
use switchover_core::{Error, Kind};

/// What can be configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    From,
    FromEnv,
    FromSchema,
    To,
    ToEnv,
    Schema,
    Names,
    Tables,
    Exclude,
    Policy,
    Preset,
    Into,
    OnConflict,
    Rebuild,
    NaiveTimes,
    Epoch,
    Fractions,
    Backup,
    StateDir,
    OnFailure,
    Jobs,
    MemoryLimit,
    BatchSize,
    MaxRetries,
    RetryDelay,
    ValidationSample,
    ApiKeyFile,
    Report,
    LogFile,
    Progress,
    Route,
}

/// How a key's value is written in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Text,
    List,
    Boolean,
    Integer,
    /// A whole number, or a word in its place.
    Count,
    /// A number of seconds, or text with a unit.
    Seconds,
    /// An integer of bytes, or text with a unit.
    Size,
}

/// How a key is spelt in each layer.
#[derive(Debug)]
pub(crate) struct Spelling {
    pub(crate) key: Key,
    /// In the file; a dot means a table.
    pub(crate) file: &'static [&'static str],
    /// In the environment.
    pub(crate) variable: &'static str,
    /// On the command line.
    pub(crate) flag: &'static str,
    pub(crate) shape: Shape,
}

const fn spelling(
    key: Key,
    file: &'static [&'static str],
    variable: &'static str,
    flag: &'static str,
    shape: Shape,
) -> Spelling {
    Spelling { key, file, variable, flag, shape }
}

/// Every key there is.
pub(crate) const KEYS: &[Spelling] = &[
    spelling(Key::From, &["from", "source.url"], "SWITCHOVER_FROM", "--from", Shape::Text),
    spelling(
        Key::FromEnv,
        &["from_env", "source.url_env"],
        "SWITCHOVER_FROM_ENV",
        "--from env:",
        Shape::Text,
    ),
    spelling(
        Key::FromSchema,
        &["from_schema", "source.schema"],
        "SWITCHOVER_FROM_SCHEMA",
        "--from-schema",
        Shape::Text,
    ),
    spelling(Key::To, &["to", "target.url"], "SWITCHOVER_TO", "--to", Shape::Text),
    spelling(Key::ToEnv, &["to_env", "target.url_env"], "SWITCHOVER_TO_ENV", "--to env:", Shape::Text),
    spelling(Key::Schema, &["schema", "target.schema"], "SWITCHOVER_SCHEMA", "--schema", Shape::Text),
    spelling(Key::Names, &["names"], "SWITCHOVER_NAMES", "--names", Shape::Text),
    spelling(Key::Tables, &["tables"], "SWITCHOVER_TABLES", "--tables", Shape::List),
    spelling(Key::Exclude, &["exclude"], "SWITCHOVER_EXCLUDE", "--exclude", Shape::List),
    spelling(Key::Policy, &["policy"], "SWITCHOVER_POLICY", "--policy", Shape::Text),
    spelling(Key::Into, &["into"], "SWITCHOVER_INTO", "--into", Shape::Text),
    spelling(Key::OnConflict, &["on_conflict"], "SWITCHOVER_ON_CONFLICT", "--on-conflict", Shape::Text),
    spelling(Key::Rebuild, &["rebuild"], "SWITCHOVER_REBUILD", "--rebuild", Shape::Boolean),
    spelling(Key::NaiveTimes, &["naive_times"], "SWITCHOVER_NAIVE_TIMES", "--naive-times", Shape::Text),
    spelling(Key::Epoch, &["epoch"], "SWITCHOVER_EPOCH", "--epoch", Shape::Text),
    spelling(Key::Fractions, &["fractions"], "SWITCHOVER_FRACTIONS", "--fractions", Shape::Text),
    spelling(Key::Preset, &["preset"], "SWITCHOVER_PRESET", "--preset", Shape::Text),
    spelling(Key::Backup, &["backup"], "SWITCHOVER_BACKUP", "--no-backup", Shape::Boolean),
    spelling(Key::StateDir, &["state_dir"], "SWITCHOVER_STATE_DIR", "--state-dir", Shape::Text),
    spelling(Key::OnFailure, &["on_failure"], "SWITCHOVER_ON_FAILURE", "--on-failure", Shape::Text),
    spelling(Key::Jobs, &["jobs", "workers"], "SWITCHOVER_JOBS", "--jobs", Shape::Integer),
    spelling(Key::MemoryLimit, &["memory_limit"], "SWITCHOVER_MEMORY_LIMIT", "--memory-limit", Shape::Size),
    spelling(Key::BatchSize, &["batch_size"], "SWITCHOVER_BATCH_SIZE", "--batch-size", Shape::Count),
    spelling(Key::MaxRetries, &["max_retries"], "SWITCHOVER_MAX_RETRIES", "--max-retries", Shape::Integer),
    spelling(Key::RetryDelay, &["retry_delay"], "SWITCHOVER_RETRY_DELAY", "--retry-delay", Shape::Seconds),
    spelling(
        Key::ValidationSample,
        &["validation_sample"],
        "SWITCHOVER_VALIDATION_SAMPLE",
        "--validation-sample",
        Shape::Integer,
    ),
    spelling(
        Key::ApiKeyFile,
        &["api_key_file", "target.api_key_file"],
        "SWITCHOVER_API_KEY_FILE",
        "--api-key-file",
        Shape::Text,
    ),
    spelling(Key::LogFile, &["log_file"], "SWITCHOVER_LOG_FILE", "--log-file", Shape::Text),
    spelling(Key::Report, &["report"], "SWITCHOVER_REPORT", "--report", Shape::Text),
    spelling(Key::Route, &["cutover.route"], "SWITCHOVER_ROUTE", "--route", Shape::Text),
    spelling(Key::Progress, &["progress"], "SWITCHOVER_PROGRESS", "--progress", Shape::Text),
];

/// Where a value stands, as messages say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// On the command line.
    Flag(&'static str),
    /// In the environment.
    Variable(String),
    /// In a file, at a line.
    File(String, usize),
    /// In the journal of a run.
    Journal,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(flag) => f.write_str(flag),
            Origin::Variable(name) => write!(f, "variable {name}"),
            Origin::File(path, line) => write!(f, "{path}, line {line}"),
            Origin::Journal => f.write_str("the run's journal"),
        }
    }
}

/// A value as written.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Raw {
    Text(String),
    List(Vec<String>),
}

/// A value and where it stands. Not `Debug`: it may be a URL with a password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) raw: Raw,
    pub(crate) origin: Origin,
}

/// What one of flags, environment and file says.
#[derive(Clone, Default)]
pub(crate) struct Layer {
    pub(crate) given: BTreeMap<Key, Given>,
    /// What becomes of single tables and columns.
    pub(crate) mapping: Mapping,
    /// How the application is told where its data is.
    pub(crate) cutover: cutover::Cutover,
    /// What is watched after the cutover.
    pub(crate) watch: switchover::watch::WatchOptions,
}

impl Layer {
    /// Notes a flag, if it was given.
    pub(crate) fn flag(&mut self, key: Key, value: &Option<String>) {
        let flag =
            KEYS.iter().find(|spelling| spelling.key == key).map_or("a flag", |spelling| spelling.flag);
        if let Some(value) = value {
            self.flag_as(flag, key, value);
        }
    }

    /// Notes a flag that is spelt unlike its key.
    pub(crate) fn flag_as(&mut self, flag: &'static str, key: Key, value: &str) {
        let given = Given { raw: Raw::Text(value.to_owned()), origin: Origin::Flag(flag) };
        self.given.insert(key, given);
    }

    /// Notes a flag with several values, if it was given.
    pub(crate) fn flag_list(&mut self, key: Key, values: &[String]) {
        let flag =
            KEYS.iter().find(|spelling| spelling.key == key).map_or("a flag", |spelling| spelling.flag);
        if !values.is_empty() {
            let given = Given { raw: Raw::List(values.to_vec()), origin: Origin::Flag(flag) };
            self.given.insert(key, given);
        }
    }
}

/// The error of a configuration that cannot be understood.
fn invalid(at: impl fmt::Display) -> Error {
    Error::new(Kind::Config, "read the configuration").store(at.to_string())
}

#[cfg(test)]
mod tests;
