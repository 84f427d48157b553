//! Groups of options that several verbs share, with their headings.
//!
//! Each group says in [`add_to`](Stores::add_to) which configuration keys its flags are, so that a
//! flag and a line of the file are read by the same rule. Absent on purpose: defaults.

use crate::config::{Key, Layer};
use clap::{ArgAction, Args};
use std::path::PathBuf;

/// Options of every verb.
#[derive(Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// Read the configuration from there [default: ./switchover.toml, when it exists].
    #[arg(short, long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Folder of the journal, backups and reports [default: .switchover].
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) state_dir: Option<String>,
    /// How progress looks on standard error [default: auto].
    #[arg(long, value_name = "HOW", global = true, value_parser = ["auto", "json", "none"])]
    pub(crate) progress: Option<String>,
    /// Write what -v says to this file as well, behind what it holds.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) log_file: Option<String>,
    /// Say more on standard error; twice says everything.
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
}

impl Global {
    /// These flags as configuration.
    pub(crate) fn add_to(&self, layer: &mut Layer) {
        layer.flag(Key::StateDir, &self.state_dir);
        layer.flag(Key::LogFile, &self.log_file);
        layer.flag(Key::Progress, &self.progress);
    }
}

/// The two stores.
#[derive(Args)]
#[command(next_help_heading = "Stores")]
pub(crate) struct Stores {
    /// The source: sqlite:app.db, json:dump.json, postgres://…, or env:NAME for a URL in a variable or .env.
    #[arg(long, value_name = "URL")]
    pub(crate) from: Option<String>,
    /// The schema of a PostgreSQL source [default: public].
    #[arg(long, value_name = "NAME")]
    pub(crate) from_schema: Option<String>,
    /// The target: postgres://…, "host=… dbname=…", sqlite:new.db, json:new.json, weaviate://…, or env:NAME. Keep passwords in PGPASSWORD,
    /// ~/.pgpass or env:NAME: what stands on a command line is visible to other users.
    #[arg(long, value_name = "URL")]
    pub(crate) to: Option<String>,
    /// The file that holds the API key of a Weaviate target, and nothing else
    /// [default: WEAVIATE_API_KEY].
    #[arg(long, value_name = "FILE")]
    pub(crate) api_key_file: Option<String>,
}

impl Stores {
    /// These flags as configuration.
    pub(crate) fn add_to(&self, layer: &mut Layer) {
        layer.flag(Key::From, &self.from);
        layer.flag(Key::FromSchema, &self.from_schema);
        layer.flag(Key::To, &self.to);
        layer.flag(Key::ApiKeyFile, &self.api_key_file);
    }
}

/// What a plan is made from.
#[derive(Args)]
#[command(next_help_heading = "What is moved")]
pub(crate) struct Mapping {
    /// The mapping for a known application (`switchover presets` lists them); switchover.toml
    /// wins over it.
    #[arg(long, value_name = "NAME")]
    pub(crate) preset: Option<String>,
    /// The schema on a PostgreSQL target [default: public].
    #[arg(long, value_name = "NAME")]
    pub(crate) schema: Option<String>,
    /// What becomes of names: keep them, or CustomerId to customer_id [default: keep].
    #[arg(long, value_name = "HOW", value_parser = ["keep", "snake"])]
    pub(crate) names: Option<String>,
    /// Move only these tables.
    #[arg(long, value_name = "GLOB", num_args = 1..)]
    pub(crate) tables: Vec<String>,
    /// Leave these tables.
    #[arg(long, value_name = "GLOB", num_args = 1..)]
    pub(crate) exclude: Vec<String>,
    /// What to do with values the target cannot hold: refuse the run, keep them exactly in a side table,
    /// or keep texts as bytes or with escapes in their column [default: refuse].
    #[arg(long, value_name = "WHAT", value_parser = ["refuse", "quarantine", "bytea", "escape"])]
    pub(crate) policy: Option<String>,
    /// Make the tables, or fill those that the application's migrations made [default: new].
    #[arg(long, value_name = "WHAT", value_parser = ["new", "existing"])]
    pub(crate) into: Option<String>,
    /// Into existing tables: where both stores have a row of one key, refuse the run, replace the
    /// target's row, or keep it [default: refuse].
    #[arg(long, value_name = "WHAT", value_parser = ["refuse", "replace", "keep"])]
    pub(crate) on_conflict: Option<String>,
    /// Into existing tables: drop foreign keys and secondary indexes for the load, and make them
    /// again after it.
    #[arg(long)]
    pub(crate) rebuild: bool,
    /// Into existing tables: refuse times without a zone for columns that keep one, and the other
    /// way, or take them for UTC [default: refuse].
    #[arg(long, value_name = "WHAT", value_parser = ["refuse", "utc"])]
    pub(crate) naive_times: Option<String>,
    /// Into existing tables: what numbers in columns of times count since 1970 [default: none is taken].
    #[arg(long, value_name = "UNIT", value_parser = ["seconds", "millis", "micros"])]
    pub(crate) epoch: Option<String>,
    /// Into existing tables: refuse times with more digits of a second than their column keeps, or
    /// cut those off [default: refuse].
    #[arg(long, value_name = "WHAT", value_parser = ["refuse", "cut"])]
    pub(crate) fractions: Option<String>,
}

impl Mapping {
    /// These flags as configuration.
    pub(crate) fn add_to(&self, layer: &mut Layer) {
        layer.flag(Key::Preset, &self.preset);
        layer.flag(Key::Schema, &self.schema);
        layer.flag(Key::Names, &self.names);
        layer.flag_list(Key::Tables, &self.tables);
        layer.flag_list(Key::Exclude, &self.exclude);
        layer.flag(Key::Policy, &self.policy);
        layer.flag(Key::Into, &self.into);
        layer.flag(Key::OnConflict, &self.on_conflict);
        if self.rebuild {
            layer.flag_as("--rebuild", Key::Rebuild, "true");
        }
        layer.flag(Key::NaiveTimes, &self.naive_times);
        layer.flag(Key::Epoch, &self.epoch);
        layer.flag(Key::Fractions, &self.fractions);
    }
}

/// What keeps a migration reversible.
#[derive(Args)]
#[command(next_help_heading = "Safety")]
pub(crate) struct Safety {
    /// Do not back up the source first.
    #[arg(long, conflicts_with = "backup")]
    pub(crate) no_backup: bool,
    /// Back up the source first, whatever the file says [the default].
    #[arg(long)]
    pub(crate) backup: bool,
    /// What to do when the run fails after it began to write [default: rollback].
    #[arg(long, value_name = "WHAT", value_parser = ["rollback", "keep"])]
    pub(crate) on_failure: Option<String>,
}

impl Safety {
    /// These flags as configuration.
    pub(crate) fn add_to(&self, layer: &mut Layer) {
        if self.no_backup {
            layer.flag_as("--no-backup", Key::Backup, "false");
        } else if self.backup {
            layer.flag_as("--backup", Key::Backup, "true");
        }
        layer.flag(Key::OnFailure, &self.on_failure);
    }
}

/// What becomes of a dump that was moved.
#[derive(Args)]
#[command(next_help_heading = "Safety")]
pub(crate) struct Archive {
    /// When the run is verified, keep a copy of the JSON dump there, with its date in the name.
    #[arg(long = "archive", value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

/// What is looked at after all rows were compared.
#[derive(Args)]
#[command(next_help_heading = "Verification")]
pub(crate) struct Validation {
    /// When all rows were compared, look N rows of each table up by their keys as well [default: 0].
    #[arg(long, value_name = "N")]
    pub(crate) validation_sample: Option<String>,
}

impl Validation {
    /// These flags as configuration.
    pub(crate) fn add_to(&self, layer: &mut Layer) {
        layer.flag(Key::ValidationSample, &self.validation_sample);
    }
}

/// What a run may use.
#[derive(Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct Limits {
    /// Streams into the target [default: one a core, at most 4].
    #[arg(long, value_name = "N", visible_alias = "workers", allow_negative_numbers = true)]
    pub(crate) jobs: Option<String>,
    /// Rows of one chunk, and so of one request to the target, at most; they are bounded by bytes
    /// in any case [default: auto, by bytes alone].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) batch_size: Option<String>,
    /// How often to try again what failed for a while only, once the target has answered
    /// [default: 10].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) max_retries: Option<String>,
    /// The wait before the first of these tries; each further one waits twice as long, up to 10 s
    /// [default: 0.2].
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub(crate) retry_delay: Option<String>,
    /// Resident memory of the whole process, such as 100MB or 1GiB; at least 48MB
    /// [default: 100MiB].
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory_limit: Option<String>,
}

impl Limits {
    /// These flags as configuration.
    pub(crate) fn add_to(&self, layer: &mut Layer) {
        layer.flag(Key::Jobs, &self.jobs);
        layer.flag(Key::BatchSize, &self.batch_size);
        layer.flag(Key::MaxRetries, &self.max_retries);
        layer.flag(Key::RetryDelay, &self.retry_delay);
        layer.flag(Key::MemoryLimit, &self.memory_limit);
    }
}

/// Which run of the journal.
#[derive(Args)]
#[command(next_help_heading = "Run")]
pub(crate) struct Run {
    /// The run, or the beginning of its name [default: the newest; what changes one of several live runs wants its name].
    #[arg(long = "run", value_name = "ID")]
    pub(crate) id: Option<String>,
}
