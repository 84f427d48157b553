//! The schema that a target has already: what an application's own migrations made, and what the
//! plan does with it.
//!
//! [`TargetSchema`] is what a connector finds; [`ExistingOptions`] is what the user asks for;
//! [`Standing`] is the plan's part. Definitions of constraints and indexes are the target's own
//! words, never rendered again by us, so that what is dropped around a load comes back as it was.
//! Deliberately absent: statements. Only a connector writes its target's language.

use crate::moment::EpochUnit;
use crate::plan::{KeyPlan, LogicalType};
use crate::value::OwnedValue;
use serde::{Deserialize, Serialize};

/// Rows of a target's table that may be there before a run. A seeded table is small; the keys of its rows
/// are held in memory and its replaced ones in the plan.
pub const ROWS_BEFORE_MAX: u64 = 100_000;

/// Versions that a migration-history table may hold for its content to be compared.
pub const HISTORY_ROWS_MAX: usize = 10_000;

/// What the names begin with that a run gives to objects of its own.
pub const RECORDS: &str = "_switchover_";

/// What is done with a row of the target whose key a row of the source has too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// Any row in a table that is to be loaded refuses the run.
    #[default]
    Refuse,
    /// The source's row takes its place.
    Replace,
    /// The target's row stays; the source's goes to quarantine and into the report.
    Keep,
}

/// What is asked for where the target's tables are there already.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExistingOptions {
    /// Rows that are on both sides.
    #[serde(default)]
    pub on_conflict: OnConflict,
    /// Whether foreign keys and secondary indexes are dropped for the load and made again after it.
    #[serde(default)]
    pub rebuild: bool,
    /// Whether a time without a zone is one of UTC, and an instant is written as UTC where the column
    /// keeps no zone.
    #[serde(default)]
    pub utc: bool,
    /// What numbers in columns of times count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<EpochUnit>,
    /// Whether digits of a second's fraction that a column does not keep are cut off.
    #[serde(default)]
    pub cut_fractions: bool,
    /// Whether the source is written while rows come: then nothing of the target's may act on a row, or refuse it, that
    /// is right a moment later. Not the user's to say: a live run's plan has it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub live: bool,
}

/// A target's schema as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TargetSchema {
    /// Its tables.
    pub tables: Vec<TargetTable>,
    /// Views and other relations that hold no rows of their own, as `kind name`.
    pub others: Vec<(String, String)>,
}

impl TargetSchema {
    /// The table of that name, as written.
    pub fn table(&self, name: &str) -> Option<&TargetTable> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// The same with these keys as they were found, in whatever form a live run has them. Where another key has taken the name of one, that
    /// one stays: the schema is another then.
    #[must_use]
    pub fn with_keys<'a>(mut self, keys: impl IntoIterator<Item = &'a StandingKey>) -> TargetSchema {
        for table in &mut self.tables {
            table.foreign_keys.retain(|key| !key.name.starts_with(RECORDS));
        }
        for found in keys {
            let Some(table) = self.tables.iter_mut().find(|table| table.name == found.table) else {
                continue;
            };
            if table.foreign_keys.iter().any(|key| key.name == found.key.name && !found.is(key)) {
                continue;
            }
            table.foreign_keys.retain(|key| key.name != found.key.name);
            table.foreign_keys.push(found.key.clone());
            table.foreign_keys.sort_by(|a, b| a.name.cmp(&b.name));
        }
        self
    }

    /// The first of these keys whose name another one has, with that one.
    pub fn replaced<'a>(
        &'a self,
        keys: impl IntoIterator<Item = &'a StandingKey>,
    ) -> Option<(&'a StandingKey, &'a TargetForeignKey)> {
        keys.into_iter().find_map(|own| {
            let table = self.tables.iter().find(|table| table.name == own.table)?;
            let other = table.foreign_keys.iter().find(|key| key.name == own.key.name && !own.is(key))?;
            Some((own, other))
        })
    }

    /// A digest of all definitions, without what changes as rows come and go.
    pub fn fingerprint(&self) -> String {
        let mut bare = self.clone();
        for table in &mut bare.tables {
            table.rows = 0;
            table.history = None;
            for sequence in table.columns.iter_mut().filter_map(|column| column.sequence.as_mut()) {
                sequence.last = 0;
                sequence.called = false;
            }
        }
        // Plain data with string keys: there is nothing that JSON cannot say.
        let text = serde_json::to_vec(&bare).unwrap_or_default();
        crate::digest::Hex(crate::digest::of_bytes(&text)).to_string()
    }
}

/// A table of the target.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TargetTable {
    /// Its name.
    pub name: String,
    /// Why rows cannot be loaded into it, whatever they are; empty when they can.
    pub obstacles: Vec<String>,
    /// Whether the role may change its definition.
    pub owned: bool,
    /// Whether it is divided into partitions.
    pub partitioned: bool,
    /// Rows in it.
    pub rows: u64,
    /// Its columns, in order.
    pub columns: Vec<TargetColumn>,
    /// Its primary key.
    pub primary_key: Option<KeyPlan>,
    /// Its unique constraints and plain unique indexes.
    pub uniques: Vec<KeyPlan>,
    /// Foreign keys.
    pub foreign_keys: Vec<TargetForeignKey>,
    /// Indexes and unique constraints besides the primary key.
    pub indexes: Vec<TargetIndex>,
    /// The primary key's index, with the constraint's definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_index: Option<TargetIndex>,
    /// Checks and other constraints, by name and definition.
    pub checks: Vec<(String, String)>,
    /// What a row must keep by itself: checks of the table and of its columns' domains, and the bounds of its partitions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// Foreign keys that act on rows elsewhere when a row of this table goes, and that a run cannot take down: of tables in
    /// other schemas, of others' tables, of single partitions and to them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acting: Vec<String>,
    /// Triggers of users that are on.
    pub triggers: Vec<TargetTrigger>,
    /// For a migration-history table its rows, by column, as text.
    pub history: Option<Vec<TextRow>>,
}

/// A row as text: a cell a column, by its name.
pub type TextRow = Vec<(String, Option<String>)>;

/// A column of the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetColumn {
    /// Its name.
    pub name: String,
    /// Its type, as the target writes it.
    pub type_name: String,
    /// What it holds.
    pub holds: Holds,
    /// Whether it refuses NULL, by itself or by its domain.
    pub not_null: bool,
    /// Its default, when it has one.
    pub default: Option<String>,
    /// Its expression, when it is generated.
    pub generated: Option<String>,
    /// Whether the target numbers it by itself.
    pub identity: bool,
    /// The sequence that numbers it.
    pub sequence: Option<TargetSequence>,
}

/// What a column holds, free of any store's spelling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holds {
    /// Values of a type; for times also the digits of a second's fraction.
    Values(LogicalType, u8),
    /// Labels of an enumeration.
    Labels(Vec<String>),
    /// Something that this version does not write.
    Unsupported,
}

/// A sequence behind a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetSequence {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Its step.
    pub step: i64,
    /// The largest value that it gives.
    pub max: i64,
    /// Where it stands.
    pub last: i64,
    /// Whether that value was given out.
    pub called: bool,
    /// Whether the role may set it.
    pub settable: bool,
}

/// A foreign key of the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetForeignKey {
    /// Its name.
    pub name: String,
    /// The child's columns.
    pub columns: Vec<String>,
    /// The parent, when it is in the same schema.
    pub parent: Option<String>,
    /// The parent's columns.
    pub parent_columns: Vec<String>,
    /// Its definition, as the target writes it.
    pub definition: String,
    /// What is said about it.
    pub comment: Option<String>,
    /// Whether a change of the parent acts on the child's rows, or is checked without waiting for the end of the
    /// transaction whatever is asked for.
    #[serde(default)]
    pub acts: bool,
    /// Whether its check can be asked to wait.
    #[serde(default)]
    pub deferrable: bool,
    /// Whether a row that is NULL in a part of it only is refused.
    #[serde(default)]
    pub full: bool,
}

impl TargetForeignKey {
    /// Whether the target vouches for every row of it.
    pub fn is_proven(&self) -> bool {
        !["NOT VALID", "NOT ENFORCED"].iter().any(|end| self.definition.ends_with(end))
    }
}

/// A foreign key that a live run takes down while it copies, and gives another form while it follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingKey {
    /// The child, which need not be a table of the plan.
    pub table: String,
    /// The key as it was found.
    #[serde(flatten)]
    pub key: TargetForeignKey,
}

impl StandingKey {
    /// Whether a key of its name is this one by the target's words, in a form that a live run gives it: not proven yet, or, where its check
    /// could not be asked to wait, with a check that can. When that one waits by itself is taken back with it.
    pub fn is(&self, found: &TargetForeignKey) -> bool {
        let own = self.key.definition.as_str();
        if found.definition == own {
            return true;
        }
        let now = found.definition.strip_suffix(" NOT VALID").unwrap_or(&found.definition);
        let gets_moments = !self.key.acts && !self.key.deferrable;
        match now.strip_prefix(own) {
            Some("") => true,
            Some(" DEFERRABLE" | " DEFERRABLE INITIALLY DEFERRED") => gets_moments,
            _ => false,
        }
    }
}

/// An index of the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetIndex {
    /// Its name.
    pub name: String,
    /// Its definition, as the target writes it.
    pub definition: String,
    /// Whether it is the index of a constraint, whose definition it is then.
    pub constraint: bool,
    /// What is said about it.
    pub comment: Option<String>,
    /// Whether it comes back as it was when it is dropped and made again.
    pub rebuildable: bool,
    /// The columns that it keeps unique for all rows; empty when it does not, or does by an expression.
    pub unique: Vec<String>,
    /// What it keeps rows apart by, where it does: a unique index, or an exclusion constraint's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apart: Option<Apart>,
}

impl TargetIndex {
    /// Its definition from its method on; a constraint's whole.
    pub fn words(&self) -> &str {
        match self.definition.split_once(" USING ") {
            Some((_, rest)) if !self.constraint => rest,
            _ => &self.definition,
        }
    }
}

/// By what rows are kept apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Apart {
    /// The columns that are looked at: in the index's order, then those of its predicate and its expressions.
    pub columns: Vec<String>,
    /// Whether two rows meet exactly where all of these are equal and none is NULL. Else only the target can tell: it
    /// looks at an expression, at some rows only, at letters without their case, or takes NULL for equal.
    pub plain: bool,
}

/// Something of a target's table that refuses rows for what they hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its name: an index's, a constraint's, for partitions the table's.
    pub name: String,
    /// Its definition as the target writes it, an index's from its method on.
    pub definition: String,
    /// The target's columns that it looks at.
    pub columns: Vec<String>,
    /// What it is.
    pub kind: RuleKind,
}

/// What a rule is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleKind {
    /// It keeps rows apart, see [`Apart`].
    Apart {
        /// [`Apart::plain`].
        plain: bool,
    },
    /// A check of the table.
    Check,
    /// A check of a column's domain, or of one below it.
    Domain {
        /// The domain, as the target writes its name.
        domain: String,
    },
    /// Each row needs a partition.
    Partitions,
    /// A foreign key to a table that the run does not fill: each row needs a parent that is there.
    Parent,
}

impl Rule {
    /// Whether it holds rows against others; else each row by itself.
    pub fn is_apart(&self) -> bool {
        matches!(self.kind, RuleKind::Apart { .. })
    }

    /// Whether two rows meet in it exactly where all its columns are equal and none is NULL.
    pub fn is_plain(&self) -> bool {
        matches!(self.kind, RuleKind::Apart { plain: true })
    }
}

/// A trigger of the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetTrigger {
    /// Its name.
    pub name: String,
    /// What it is on, as a statement names it: the table, or one of its partitions.
    pub on: String,
    /// Its definition.
    pub definition: String,
    /// Whether it is known to change nothing but a column of its own that is not moved.
    pub harmless: bool,
}

/// What the plan does around the load of a table that was there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Standing {
    /// Rows that were there.
    pub rows_before: u64,
    /// How many of them stay.
    #[serde(default)]
    pub rows_staying: u64,
    /// Keys of those whose place a row of the source takes, as the target's values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<Vec<OwnedValue>>,
    /// What is dropped for the load and made again after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rebuilt: Vec<Rebuilt>,
    /// Foreign keys to tables of the plan that a live run changes for as long as it lasts: those of this table, and those of
    /// children that are not in the plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<StandingKey>,
    /// Foreign keys that stay, by name and definition: rollback may have to drop them for a moment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<Rebuilt>,
    /// Sequences, by column.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sequences: Vec<SequencePlan>,
    /// What refuses rows: first what keeps them apart, the primary key before all, then what looks at each by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// Columns of the target, in order, that are not computed by it: what a row is restored from.
    #[serde(default)]
    pub stored_columns: Vec<String>,
    /// Whether the role owns the table.
    #[serde(default)]
    pub owned: bool,
}

/// A constraint or an index that is dropped and made again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebuilt {
    /// The target's table that it belongs to.
    pub table: String,
    /// What it is.
    pub kind: RebuiltKind,
    /// Its name.
    pub name: String,
    /// Its definition, as the target wrote it.
    pub definition: String,
    /// What is said about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether it must be proven as it is declared: a foreign key of a partitioned table.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_once: bool,
}

/// What is dropped and made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RebuiltKind {
    /// A foreign key.
    ForeignKey,
    /// A primary key of a table without rows.
    PrimaryKey,
    /// A unique constraint.
    Constraint,
    /// An index.
    Index,
}

/// Where a sequence goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequencePlan {
    /// The column on the target.
    pub column: String,
    /// The sequence's schema.
    pub schema: String,
    /// The sequence's name.
    pub name: String,
    /// The next value at least; `None` leaves it.
    pub next: Option<i64>,
    /// Whether it numbers what the source numbers by itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub assigned: bool,
}

/// Columns that say which migrations were applied, by the name of the history table in lower case. The tool
/// that keeps it is the third part.
const HISTORIES: &[(&str, &[&str], &str)] = &[
    ("alembic_version", &["version_num"], "Alembic"),
    ("django_migrations", &["app", "name"], "Django"),
    ("schema_migrations", &["version"], "Rails or golang-migrate"),
    ("ar_internal_metadata", &[], "Rails"),
    ("_prisma_migrations", &["migration_name"], "Prisma"),
    ("knex_migrations", &["name"], "Knex"),
    ("knex_migrations_lock", &[], "Knex"),
    ("flyway_schema_history", &["version"], "Flyway"),
    ("goose_db_version", &["version_id"], "Goose"),
    ("__efmigrationshistory", &["migrationid"], "Entity Framework"),
    ("_sqlx_migrations", &["version"], "sqlx"),
    ("__diesel_schema_migrations", &["version"], "Diesel"),
    ("diesel_schema_migrations", &["version"], "Diesel"),
    ("sequelizemeta", &["name"], "Sequelize"),
    ("databasechangelog", &["id"], "Liquibase"),
    ("databasechangeloglock", &[], "Liquibase"),
    ("gorp_migrations", &["id"], "sql-migrate"),
    ("migrations", &["name", "migration", "version_after", "version", "id"], "the application"),
    ("migration", &["name", "version", "id"], "the application"),
    ("migration_log", &["migration_id"], "the application"),
    ("schema_version", &["version"], "the application"),
];

/// The tool whose migration history a table of that name is.
pub fn history_of(table: &str) -> Option<&'static str> {
    let lower = table.to_ascii_lowercase();
    HISTORIES.iter().find(|(name, ..)| *name == lower).map(|(_, _, tool)| *tool)
}

/// The versions that a history table's rows name, sorted; `None` when the table says none.
pub fn versions(table: &str, rows: &[TextRow]) -> Option<Vec<String>> {
    let lower = table.to_ascii_lowercase();
    let (_, columns, _) = HISTORIES.iter().find(|(name, ..)| *name == lower)?;
    let cell = |row: &[(String, Option<String>)], wanted: &str| {
        row.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.clone())
    };
    // Django's versions are pairs; of the others the first column that there is.
    let several = lower == "django_migrations";
    let mut found: Vec<String> = rows
        .iter()
        .map(|row| {
            let cells = columns.iter().filter_map(|column| cell(row, column)).flatten();
            if several { cells.collect::<Vec<_>>().join(".") } else { cells.take(1).collect() }
        })
        .filter(|version| !version.is_empty())
        .collect();
    found.sort();
    found.dedup();
    (!columns.is_empty()).then_some(found)
}

#[cfg(test)]
mod tests;
