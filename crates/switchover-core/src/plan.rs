//! The plan: everything that will be done, decided before anything is written.
//!
//! It is a JSON document that a person can read, edit and give back. The dry run, the migration
//! and the verification all start from it; nothing is decided later. [`Plan::source`] ties it
//! to the source that it was made for.

mod types;

pub use self::types::{Element, LogicalType};
use crate::census::ColumnCensus;
use crate::chunk::LocatorValue;
use crate::codec::Codec;
use crate::existing::{ExistingOptions, Standing};
use crate::mapping::{IndexMethod, Mapping};
use crate::names::Naming;
use crate::schema::{Locator, StoreInfo};
use serde::{Deserialize, Serialize};

/// The version of the plan's format. A reader refuses any other.
pub const PLAN_FORMAT: u32 = 2;

/// What to do with a value, row or key that the target cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Refuse the migration, and name it.
    #[default]
    Refuse,
    /// Move it to the quarantine table, exactly, and put NULL in its place (or leave the row out).
    Quarantine,
    /// Where a column has texts that the target's text cannot hold, keep the texts' bytes, in a column
    /// of bytes. What that does not help is refused.
    Bytea,
    /// Where a column has such texts, write what cannot be held with escapes ([`crate::escape`]). What
    /// that does not help is refused.
    Escape,
}

impl Policy {
    /// Whether what does not fit goes to quarantine; otherwise it refuses the run.
    pub fn quarantines(self) -> bool {
        match self {
            Policy::Quarantine => true,
            Policy::Refuse | Policy::Bytea | Policy::Escape => false,
        }
    }
}

/// What the caller asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanOptions {
    /// The schema (or namespace) on the target.
    pub schema: String,
    /// What becomes of names.
    #[serde(default)]
    pub names: Naming,
    /// What to do with values that the target cannot hold.
    #[serde(default)]
    pub policy: Policy,
    /// What becomes of single tables and columns.
    #[serde(default, skip_serializing_if = "Mapping::is_empty")]
    pub mapping: Mapping,
    /// Tables to take, as globs; empty takes all.
    #[serde(default)]
    pub tables: Vec<String>,
    /// Tables to leave, as globs.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Set when the target's own tables are filled; without it the tables are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing: Option<ExistingOptions>,
}

/// Everything that will be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// [`PLAN_FORMAT`].
    pub format: u32,
    /// The version of the program that made it.
    pub made_by: String,
    /// When, in RFC 3339.
    pub made_at: String,
    /// What was asked for.
    pub options: PlanOptions,
    /// The source as it was found.
    pub source: Fingerprint,
    /// The target as it was found.
    pub target: StoreInfo,
    /// The digest of the target's own schema, where its tables are filled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_schema: Option<String>,
    /// The tables, parents before children where there is no cycle.
    pub tables: Vec<TablePlan>,
    /// Views that translate, as statements.
    pub views: Vec<ViewPlan>,
    /// Triggers that are kept, where both stores are of one kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<TriggerPlan>,
    /// What becomes of every object, and why.
    pub outcomes: Vec<Outcome>,
    /// What the target cannot hold. A plan with refusals is not carried out.
    pub refusals: Vec<Refusal>,
    /// Disk: what is needed against what there is.
    pub disk: DiskPlan,
    /// What one value asks for beyond the memory limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryPlan>,
    /// The estimated time of the whole migration.
    pub estimate_s: f64,
}

/// What a source was when it was planned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The store.
    pub store: StoreInfo,
    /// The digest of its schema.
    pub schema_hash: String,
    /// The digest of all its content, by which a later change is noticed.
    pub content_hash: String,
    /// Rows in all tables that are moved.
    pub rows: u64,
    /// Bytes of payload in them.
    pub bytes: u64,
}

/// What becomes of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TablePlan {
    /// Its name on the source.
    pub source: String,
    /// Its name on the target.
    pub target: String,
    /// Rows at planning time.
    pub rows: u64,
    /// Bytes of payload at planning time.
    pub bytes: u64,
    /// How the source finds its rows.
    pub locator: Locator,
    /// Its columns.
    pub columns: Vec<ColumnPlan>,
    /// Its primary key.
    pub primary_key: Option<KeyPlan>,
    /// Its unique constraints.
    pub uniques: Vec<KeyPlan>,
    /// Its indexes.
    pub indexes: Vec<IndexPlan>,
    /// Its foreign keys.
    pub foreign_keys: Vec<ForeignKeyPlan>,
    /// Its checks.
    pub checks: Vec<CheckPlan>,
    /// What else its declaration says, as the target's SQL (`STRICT`, `WITHOUT ROWID`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clauses: Vec<String>,
    /// Rows whose foreign keys find no parent on the target, or whose key an earlier row has, and what becomes of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orphans: Vec<OrphanPlan>,
    /// The source's tables that it is read from, where they are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<String>,
    /// What the mapping does to the first rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preview: Vec<PreviewRow>,
    /// What is done around the load, where the table was there before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<Standing>,
}

/// What the mapping does to one row, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviewRow {
    /// The row.
    pub row: String,
    /// Whether it is taken at all.
    pub taken: bool,
    /// The columns that the mapping changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cells: Vec<PreviewCell>,
}

/// What the mapping does to one value, for people: shortened and escaped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviewCell {
    /// The column on the source; empty for one that is new.
    pub from: String,
    /// Its value there.
    pub before: String,
    /// The column on the target; empty for one that is dropped.
    pub to: String,
    /// Its value there.
    pub after: String,
}

/// A row that goes to quarantine, in part or as a whole, because of other rows: it has no parent, or its key
/// is an earlier row's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrphanPlan {
    /// The row's locator on the source.
    pub locator: LocatorValue,
    /// The columns, by their names on the source, that go to quarantine; empty when the row does.
    pub columns: Vec<String>,
    /// Why.
    pub why: String,
}

impl TablePlan {
    /// The fields, by index, that identify a row on both sides; empty when there is no key.
    pub fn key_fields(&self) -> Vec<usize> {
        let Some(key) = &self.primary_key else { return Vec::new() };
        let find = |name: &String| self.columns.iter().position(|column| column.target == *name);
        key.columns.iter().map(find).collect::<Option<Vec<usize>>>().unwrap_or_default()
    }

    /// What the target's table has beside the plan's columns, in words: somebody else made it, and a rollback would take it along.
    pub fn added<'a>(&self, there: impl Iterator<Item = &'a str>) -> Option<String> {
        let strange = |name: &&str| self.columns.iter().all(|column| column.target != **name);
        let names: Vec<String> = there.filter(strange).map(|name| format!("\"{name}\"")).collect();
        (!names.is_empty()).then(|| {
            format!("\"{}\" has columns that the run did not make ({})", self.target, names.join(", "))
        })
    }

    /// What finds a row by its key on the source, whatever else it is found by; `None` without a key.
    pub fn key_locator(&self) -> Option<Locator> {
        let fields = self.key_fields();
        let names: Vec<String> = fields.iter().map(|at| self.columns[*at].source.clone()).collect();
        match (&self.locator, names.as_slice()) {
            (_, []) => None,
            // The key is the row's own number.
            (Locator::RowId(name), [only]) if name.trim_matches('"') == only => Some(self.locator.clone()),
            _ => Some(Locator::Key(names)),
        }
    }

    /// Whether the copy finds rows by where they lie: by a number that the source may give to another row.
    pub fn is_read_by_place(&self) -> bool {
        matches!(self.locator, Locator::RowId(_)) && self.key_locator().as_ref() != Some(&self.locator)
    }

    /// Whether a value of this table may have to be quarantined.
    pub fn has_exceptions(&self) -> bool {
        !self.orphans.is_empty() || self.columns.iter().any(|column| column.exceptions > 0)
    }
}

/// What becomes of a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnPlan {
    /// Its name on the source.
    pub source: String,
    /// Its name on the target.
    pub target: String,
    /// Its declared type on the source.
    pub declared: String,
    /// Its collation on the source, in upper case.
    pub collation: String,
    /// Whether the source's table has no such column: its values are computed there by the mapping, and nothing is carried back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub added: bool,
    /// Its type on the target.
    pub r#type: LogicalType,
    /// How values are carried over.
    #[serde(flatten)]
    pub codec: Codec,
    /// Whether it refuses NULL.
    pub not_null: bool,
    /// Whether a CHECK may fail where NULL stands in the place of its value: a row of which it does not fit is out as a whole.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole_row: bool,
    /// Its default, as the target's SQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Its expression on the target; such a column is verified, not copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generated: Option<String>,
    /// Whether the target computes it when it is read, and does not keep it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub generated_virtual: bool,
    /// The next value, when the target numbers it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_next: Option<i64>,
    /// The name of the sequence that numbers it, which no other relation has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_sequence: Option<String>,
    /// What to do with a value that does not fit.
    pub policy: Policy,
    /// Values that do not fit.
    pub exceptions: u64,
    /// Why this type.
    pub why: String,
    /// What the cells hold.
    pub census: ColumnCensus,
}

/// A primary key or a unique constraint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPlan {
    /// The constraint's name on the target; empty where it has none.
    pub name: String,
    /// Its columns on the target.
    pub columns: Vec<String>,
    /// Whether its one column is in descending order: so an integer is no name of the row's own number.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub descending: bool,
    /// Columns of it that its index holds otherwise than ascending and by their own collation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forms: Vec<KeyForm>,
}

impl KeyPlan {
    /// A key of columns as they are.
    #[must_use]
    pub fn plain(name: String, columns: Vec<String>) -> KeyPlan {
        KeyPlan { name, columns, descending: false, forms: Vec::new() }
    }
}

/// How the index of a key holds one of its columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyForm {
    /// The column on the target.
    pub column: String,
    /// The collation, where it is not the column's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collation: Option<String>,
    /// Whether it is in descending order.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub descending: bool,
}

/// An index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexPlan {
    /// Its name on the source.
    pub source: String,
    /// Its name on the target.
    pub name: String,
    /// Whether it is unique.
    pub unique: bool,
    /// What it finds.
    #[serde(default, skip_serializing_if = "IndexMethod::is_btree")]
    pub method: IndexMethod,
    /// Its parts, as the target's SQL.
    pub parts: Vec<String>,
    /// Its predicate, as the target's SQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicate: Option<String>,
    /// What it costs, in words, where that is known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cost: String,
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKeyPlan {
    /// The constraint's name on the target.
    pub name: String,
    /// The child's columns on the target.
    pub columns: Vec<String>,
    /// The parent on the target.
    pub parent: String,
    /// Its columns on the target.
    pub parent_columns: Vec<String>,
    /// What a delete of the parent does.
    pub on_delete: String,
    /// What a change of its key does.
    pub on_update: String,
    /// Whether it can wait until commit.
    pub deferrable: bool,
    /// Whether it waits until commit unless told otherwise.
    pub initially_deferred: bool,
    /// Rows without a parent, at planning time.
    pub orphans: u64,
    /// Whether it is a reference of that name between objects, beside the key; otherwise it is a constraint.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reference: bool,
}

impl ForeignKeyPlan {
    /// What follows `REFERENCES parent (columns)`, in the words that SQLite and PostgreSQL share; empty or with a space before.
    pub fn clauses(&self) -> String {
        let mut sql = String::new();
        for (event, action) in [("DELETE", &self.on_delete), ("UPDATE", &self.on_update)] {
            // NO ACTION is the default of both.
            if let "RESTRICT" | "SET NULL" | "SET DEFAULT" | "CASCADE" = action.as_str() {
                sql.push_str(&format!(" ON {event} {action}"));
            }
        }
        if self.deferrable {
            sql.push_str(" DEFERRABLE");
            if self.initially_deferred {
                sql.push_str(" INITIALLY DEFERRED");
            }
        }
        sql
    }
}

/// A check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckPlan {
    /// The constraint's name on the target.
    pub name: String,
    /// Its condition, as the target's SQL.
    pub sql: String,
}

/// A view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewPlan {
    /// Its name on the source.
    pub source: String,
    /// Its name on the target.
    pub name: String,
    /// Its query, as the target's SQL.
    pub sql: String,
}

/// A trigger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriggerPlan {
    /// Its name.
    pub name: String,
    /// Its statement, as the target's SQL.
    pub sql: String,
}

/// What becomes of one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// What it is: `table`, `column`, `index` and so on.
    pub kind: String,
    /// Its name on the source, with its table's where it has one.
    pub name: String,
    /// What becomes of it.
    pub fate: Fate,
    /// Why, or as what.
    pub why: String,
}

/// What becomes of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It is there with the same meaning.
    Moved,
    /// It is there in another form, which `why` describes.
    Changed,
    /// It is not there; `why` says why.
    LeftOut,
}

/// Something that the target cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The table on the source.
    pub table: String,
    /// The row, as `name=value`; empty when it concerns all rows.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// The column; empty when it concerns the row or the table.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub column: String,
    /// The value's first bytes, escaped.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// Why.
    pub why: String,
    /// What the user can do.
    pub hint: String,
}

/// Disk: bytes needed against bytes there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskPlan {
    /// Bytes that the backup takes.
    pub backup_needed_bytes: u64,
    /// Bytes free where it goes.
    pub backup_free_bytes: Option<u64>,
    /// Bytes that the target will take, with indexes and write-ahead log.
    pub target_needed_bytes: u64,
    /// Bytes free on the target, where it is on this machine and tells.
    pub target_free_bytes: Option<u64>,
}

/// A value for which the memory limit does not do. A value is whole in memory, whatever the limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPlan {
    /// The table on the source.
    pub table: String,
    /// The column on the source.
    pub column: String,
    /// Bytes of its largest value.
    pub value_bytes: u64,
    /// Resident bytes that the run may take at most, more or less.
    pub needed_bytes: u64,
    /// The limit that was asked for, in bytes.
    pub limit_bytes: u64,
}
