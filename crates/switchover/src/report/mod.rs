//! The report of a run or a verification: what was done, proven, changed and left out.
//!
//! The JSON form is a documented, versioned schema (docs/reference/report.md); the Markdown form is
//! made from it. No field ever holds a secret.

mod markdown;

pub(crate) use markdown::cell;
pub use markdown::markdown;

use crate::live::SwitchReport;
use crate::progress::Phase;
use serde::{Deserialize, Serialize};
use switchover_core::connector::Audit;
use switchover_core::digest::Hex;
use switchover_core::plan::{Outcome, Refusal};

/// The version of the report's format.
pub const REPORT_FORMAT: u32 = 1;

/// The three answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every field of every row is equal.
    Same,
    /// Something differs; the differences name it.
    Different,
    /// It could not be told; `reasons` say why.
    Unproven,
}

/// Everything worth keeping about a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`REPORT_FORMAT`].
    pub format: u32,
    /// The program's version.
    pub made_by: String,
    /// `migrate`, `verify`, `rollback` or `finish`.
    pub operation: String,
    /// The run; empty for a verification on its own.
    pub run: String,
    /// When it began, in RFC 3339.
    pub started_at: String,
    /// When it ended.
    pub finished_at: String,
    /// The source without secrets.
    pub source: String,
    /// The target without secrets.
    pub target: String,
    /// The answer over all tables.
    pub verdict: Verdict,
    /// Why it is not `same`, in sentences.
    pub reasons: Vec<String>,
    /// What a sampled verification proves; `None` when every row was compared.
    pub sample: Option<SampleProof>,
    /// What was looked up by key after all rows were compared, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Validation>,
    /// Seconds by phase. Phases overlap: their sum may exceed `seconds`.
    pub phases: Vec<PhaseTime>,
    /// Seconds in all.
    pub seconds: f64,
    /// The largest resident size of this process, where the system tells.
    pub resident_bytes_max: Option<u64>,
    /// Where the backup is, when one was made.
    pub backup: Option<BackupNote>,
    /// By table.
    pub tables: Vec<TableReport>,
    /// What the target itself says.
    pub audit: Option<Audit>,
    /// What became of every object.
    pub outcomes: Vec<Outcome>,
    /// What was refused.
    pub refusals: Vec<Refusal>,
    /// What a live run was, in the report of its `finish`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<LiveReport>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Report {
    /// What is in quarantine, in words; `None` when nothing is.
    pub fn in_quarantine(&self) -> Option<String> {
        let (all, rows) = self
            .tables
            .iter()
            .fold((0, 0), |(all, rows), table| (all + table.quarantined, rows + table.quarantined_rows));
        let of = |number: u64, word: &str| match number {
            0 => None,
            1 => Some(format!("1 {word}")),
            _ => Some(format!("{number} {word}s")),
        };
        let parts: Vec<String> =
            [of(all.saturating_sub(rows), "value"), of(rows, "row")].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| format!("{} in quarantine", parts.join(" and ")))
    }
}

/// What a live run was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveReport {
    /// When all rows were last compared, each at a read point of its own; none when they never were.
    pub compared_at: Option<String>,
    /// Rows that were compared then.
    pub compared_rows: u64,
    /// The changes of the owner, the oldest first.
    pub owners: Vec<SwitchReport>,
    /// What `finish` removed, in words.
    pub removed: Vec<String>,
    /// What stays, in words.
    pub stays: Vec<String>,
    /// Seconds that `finish` took; of one that was killed, those of the process that ended it.
    pub finish_seconds: f64,
}

/// How long a phase took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PhaseTime {
    /// Which.
    pub phase: Phase,
    /// Wall-clock seconds from its begin to its end.
    pub seconds: f64,
}

/// A backup that a run made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupNote {
    /// Its file.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// The BLAKE3 digest of the file.
    pub blake3: String,
}

/// What a sample proves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleProof {
    /// Rows compared.
    pub rows: u64,
    /// Rows there are.
    pub of: u64,
    /// With 95 % confidence, at most this share of rows differs (3/n for n clean rows of one table;
    /// over several tables the worst case). Means nothing when the sample is not clean.
    pub bad_rate_max: f64,
    /// Rows that were asked for, of each table.
    #[serde(default)]
    pub rows_per_table: u64,
    /// What the choice was made from; the same seed on the same source chooses the same rows.
    #[serde(default)]
    pub seed: u64,
}

/// Rows that were looked up by their keys after all rows were compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validation {
    /// Rows looked up, in all tables.
    pub rows: u64,
    /// Those that differ, or were not found.
    pub differing: u64,
    /// Rows that were asked for, of each table.
    pub rows_per_table: u64,
    /// What the choice was made from, as of a sample.
    pub seed: u64,
    /// Tables none of whose rows could be looked up, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_looked_up: Vec<String>,
}

impl Validation {
    /// It in words.
    pub fn in_words(&self) -> String {
        let rows = if self.rows == 1 { "1 row was".to_owned() } else { format!("{} rows were", self.rows) };
        let found = match self.differing {
            0 => "equal".to_owned(),
            differing => format!("{differing} of them differ"),
        };
        let chosen = format!("up to {} a table, seed {}", self.rows_per_table, self.seed);
        let others = match self.not_looked_up.as_slice() {
            [] => String::new(),
            others => format!("; none of {}", others.join("; of ")),
        };
        format!("{rows} looked up again by key ({chosen}): {found}{others}")
    }
}

/// One table's part of the report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableReport {
    /// Its name on the source.
    pub source: String,
    /// Its name on the target, with the schema.
    pub target: String,
    /// Rows on the source.
    pub source_rows: u64,
    /// Rows on the target.
    pub target_rows: u64,
    /// Bytes of payload.
    pub bytes: u64,
    /// Seconds that copying took; 0 for a verification on its own.
    pub copy_seconds: f64,
    /// Seconds that verifying took.
    pub verify_seconds: f64,
    /// The digest of the source's rows.
    pub source_digest: Option<Hex>,
    /// The digest of the target's rows.
    pub target_digest: Option<Hex>,
    /// The answer.
    pub verdict: Verdict,
    /// Why it is unproven, or what else than rows differs; empty otherwise.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Rows that were compared, when not all were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampled: Option<u64>,
    /// The first differences; all are counted in `differences_total`.
    pub differences: Vec<Difference>,
    /// How many rows differ, are missing, or are extra.
    pub differences_total: u64,
    /// Values in quarantine, and rows that are there as a whole, each of which counts once.
    pub quarantined: u64,
    /// How many of them are whole rows.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub quarantined_rows: u64,
    /// The first of them, for people.
    pub exceptions: Vec<Exception>,
}

/// One row that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// `missing` (not on the target), `extra` (not on the source) or `changed`.
    pub kind: DifferenceKind,
    /// The row, as `name=value`.
    pub key: String,
    /// The fields that differ, for a changed row.
    pub fields: Vec<FieldDifference>,
}

/// How a row differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// The target lacks it.
    Missing,
    /// The source lacks it.
    Extra,
    /// Fields differ.
    Changed,
}

/// One field with both its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldDifference {
    /// The column on the source.
    pub column: String,
    /// The source's value, escaped and shortened.
    pub source: String,
    /// The target's.
    pub target: String,
}

/// A value or row that did not arrive as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    /// The row.
    pub key: String,
    /// The column; empty for a whole row.
    pub column: String,
    /// The value's first bytes, escaped; of a whole row those of each column, as `column=value`.
    pub value: String,
    /// What was done.
    pub done: String,
    /// Why.
    pub why: String,
}
