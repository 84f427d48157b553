//! What a target's language can say.

use crate::census::ColumnCensus;
use crate::codec::Codec;
use crate::error::Result;
use crate::mapping::ColumnMap;
use crate::plan::{ColumnPlan, LogicalType, TablePlan};
use crate::schema::{Column, Generated, Index, StoreInfo, Trigger, View};

/// How a column should be carried over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The target's type.
    pub r#type: LogicalType,
    /// How values are carried over.
    pub codec: Codec,
    /// Why.
    pub why: String,
}

/// A column as the target's expressions see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeColumn {
    /// Its name on the source.
    pub source: String,
    /// Its name on the target.
    pub target: String,
    /// Its type on the target.
    pub r#type: LogicalType,
    /// Its collation on the source.
    pub collation: String,
    /// What its declared type prefers on the source.
    pub affinity: crate::expr::Affinity,
    /// What every value is on the source, where its store sees to it: then its language is another one too.
    pub kind: Option<LogicalType>,
    /// Whether the target's cells are the source's own values (not booleans from text, for example).
    pub exact: bool,
    /// What the target computes it as, while other generated columns are translated: not every store lets one
    /// name another.
    pub computed: Option<String>,
}

/// What bears a name on a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// A table, or what is one there.
    Table,
    /// A column.
    Column,
}

/// What a target's language can say. Pure: no call touches the store.
///
/// Every `translate_*` gives the target's SQL when the meaning is the same for every row, or the
/// reason why it is left out. It never approximates.
pub trait Dialect: Send + Sync {
    /// Bytes of the longest name.
    fn identifier_bytes_max(&self) -> usize;
    /// Columns of the widest table.
    fn columns_max(&self) -> usize;
    /// Whether every table has a column of that name, so that no other may have it.
    fn is_system_column(&self, name: &str) -> bool {
        let _ = name;
        false
    }
    /// Whether that source is of the target's own kind: then declarations are kept as they are written,
    /// values of every class move as they are, and [`Dialect::choose`] is not asked.
    fn speaks(&self, source: &StoreInfo) -> bool {
        let _ = source;
        false
    }
    /// Whether several runs can have their records beside each other, so that another's keep no run from tables that are not of it.
    fn runs_share(&self) -> bool {
        false
    }
    /// Whether its columns can be of that type, filled by that codec: an edited plan may name another
    /// target's.
    fn takes(&self, ty: LogicalType, codec: &Codec) -> bool {
        let _ = codec;
        !matches!(ty, LogicalType::Declared | LogicalType::Any | LogicalType::Vector)
    }
    /// Where the tables go, as messages name it, and what to do where something is there already.
    fn place(&self, schema: &str) -> (String, &'static str) {
        let place = format!("the target's schema \"{schema}\"");
        (place, "name an empty or new schema with --schema, or empty this one")
    }
    /// What is wrong with the name of a schema there.
    fn schema_fault(&self, schema: &str) -> Option<String> {
        let _ = schema;
        None
    }
    /// The form in which it compares names: two names of one form are one name.
    fn folded(&self, name: &str) -> String {
        name.to_owned()
    }
    /// The name of a table or column there, where the mapping gives it none.
    fn named(&self, what: Named, name: &str) -> String {
        let _ = what;
        name.to_owned()
    }
    /// What is wrong with a name there, other than its length.
    fn name_fault(&self, what: Named, name: &str) -> Option<String> {
        let _ = (what, name);
        None
    }
    /// Whether it keeps names like that for itself.
    fn is_reserved_name(&self, name: &str) -> bool {
        let _ = name;
        false
    }
    /// Whether a constraint must have a name.
    fn names_constraints(&self) -> bool {
        true
    }
    /// Bytes at which an index entry ends, where it does.
    fn index_entry_bytes_max(&self) -> Option<u64> {
        None
    }
    /// Columns that an index can have at most, where that is less than a table can have.
    fn index_columns_max(&self) -> Option<usize> {
        None
    }
    /// Bytes at which a row ends that has all its long values elsewhere, where it does.
    fn row_bytes_max(&self) -> Option<u64> {
        None
    }
    /// Why no rule is kept there (keys, constraints, NOT NULL, numbering), where the store knows none: rows
    /// are told apart by the source's primary key all the same.
    fn keeps_no_rules(&self) -> Option<&'static str> {
        None
    }
    /// Settings of a source of its own kind that are carried over with the data.
    fn settings_kept(&self) -> &'static [&'static str] {
        &[]
    }
    /// The type and codec of a column, from its declaration and what it holds.
    fn choose(&self, column: &Column, census: &ColumnCensus) -> Choice;
    /// What becomes of a choice there: a store of few types has others for some of them.
    fn adapt(&self, choice: Choice, census: &ColumnCensus) -> Choice {
        let _ = census;
        choice
    }
    /// A default.
    fn translate_default(&self, column: &Column, ty: LogicalType) -> Result<String, String>;
    /// A generated column's expression.
    fn translate_generated(
        &self,
        generated: &Generated,
        ty: LogicalType,
        scope: &[ScopeColumn],
    ) -> Result<String, String>;
    /// A CHECK condition.
    fn translate_check(&self, check: &crate::expr::Expr, scope: &[ScopeColumn]) -> Result<String, String>;
    /// An index: its parts and its predicate.
    fn translate_index(
        &self,
        index: &Index,
        scope: &[ScopeColumn],
    ) -> Result<(Vec<String>, Option<String>), String>;
    /// The parts of an index that finds what is within values, which a mapping asks for.
    fn special_index(
        &self,
        index: &crate::mapping::IndexMap,
        columns: &[&ColumnPlan],
    ) -> Result<Vec<String>, String> {
        let _ = (index, columns);
        Err("this kind of target has no indexes of what is within values".into())
    }
    /// What it makes of a mapping's keys about objects, where it keeps such.
    fn objects(&self) -> Option<&dyn Objects> {
        None
    }
    /// A view's query, given all tables that are moved.
    fn translate_view(&self, view: &View, tables: &[TablePlan], schema: &str) -> Result<String, String>;
    /// A trigger's statement, given all tables that are moved.
    fn translate_trigger(&self, trigger: &Trigger, tables: &[TablePlan]) -> Result<String, String> {
        let _ = (trigger, tables);
        Err("a trigger's program is not translated: write it for the target".into())
    }
}

/// The part of a dialect that only stores of objects have. Pure, as all of it.
pub trait Objects: Send + Sync {
    /// The parts of an index that a column's mapping asks for; else the key that asks too much, and why.
    fn parts(&self, column: &ColumnPlan, map: &ColumnMap) -> Result<Vec<String>, (&'static str, String)>;
    /// Whether a part of an index stays, as far as this column's mapping goes.
    fn keeps(&self, part: &str, column: &ColumnPlan, map: &ColumnMap) -> bool;
    /// The type of a property that holds a column of that type, as the target writes it.
    fn type_name(&self, ty: LogicalType) -> &'static str;
    /// What a part of an index of this column costs, in words; `None` for other columns' and where it is little.
    fn cost(&self, part: &str, column: &ColumnPlan) -> Option<String>;
}
