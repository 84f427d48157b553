//! The planner: a catalog, its census and a target's dialect in, a plan out. Pure.
//!
//! It decides and says why; it never looks at a store. What needs a look at rows (which rows are
//! exceptions, which have no parent) is asked for by the engine and handed in, or appended to the
//! plan's refusals.

pub mod alias;
mod computed;
mod constraints;
mod default;
pub mod existing;
pub mod given;
mod kept;
pub mod layout;
mod length;
mod mapped;
mod named;
mod native;
mod object;
mod occupied;
mod reference;
pub mod vectorizer;

use self::named::{collision_refusals, table_names, target_name};
pub use self::occupied::{MISSING_RIGHT, occupied};
use crate::census::TableCensus;
use crate::codec::Codec;
use crate::connector::{Dialect, Named, ScopeColumn, TargetState};
use crate::existing::TargetSchema;
use crate::expr::Expr;
use crate::names;
use crate::plan::{
    ColumnPlan, DiskPlan, Fate, Fingerprint, LogicalType, Outcome, PLAN_FORMAT, Plan, PlanOptions, Policy,
    Refusal, TablePlan, ViewPlan,
};
use crate::schema::{Catalog, Column, Index, Locator, PrimaryKey, Table, View};
use std::collections::{BTreeMap, BTreeSet};

/// Names that the project keeps for itself on a target.
pub const RESERVED_PREFIX: &str = "_switchover_";

/// Everything that the planner is told.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// What the source holds, restricted to the tables that are to be moved.
    pub catalog: &'a Catalog,
    /// What the cells hold, by table.
    pub census: &'a BTreeMap<String, TableCensus>,
    /// The digest of the source's content.
    pub content_hash: String,
    /// What the target holds.
    pub target: &'a TargetState,
    /// The target's own tables, where they are filled.
    pub existing: Option<&'a TargetSchema>,
    /// The program's version.
    pub made_by: String,
    /// The time, in RFC 3339.
    pub made_at: String,
}

/// What the parts of the planner gather.
#[derive(Debug, Default)]
struct Draft {
    outcomes: Vec<Outcome>,
    refusals: Vec<Refusal>,
    /// Names of relations on the target, as it compares them: tables, indexes and constraints that are
    /// indexes.
    relations: BTreeSet<String>,
    /// Whether source and target are of one kind.
    native: bool,
}

impl Draft {
    fn outcome(&mut self, kind: &str, name: impl Into<String>, fate: Fate, why: impl Into<String>) {
        self.outcomes.push(Outcome { kind: kind.into(), name: name.into(), fate, why: why.into() });
    }

    /// A relation's name that is not taken: the one wanted, or with a number behind it.
    fn relation(&mut self, wanted: &str, dialect: &dyn Dialect) -> String {
        let wanted = if dialect.is_reserved_name(wanted) { format!("x_{wanted}") } else { wanted.to_owned() };
        names::unique_as(&wanted, &mut self.relations, dialect.identifier_bytes_max(), |name| {
            dialect.folded(name)
        })
    }

    fn refuse(&mut self, table: &str, column: &str, why: impl Into<String>, hint: impl Into<String>) {
        self.refusals.push(Refusal {
            table: table.into(),
            key: String::new(),
            column: column.into(),
            value: String::new(),
            why: why.into(),
            hint: hint.into(),
        });
    }
}

/// Makes the plan.
pub fn plan(evidence: &Evidence<'_>, dialect: &dyn Dialect, options: &PlanOptions) -> Plan {
    let mut draft = Draft { native: dialect.speaks(&evidence.catalog.store), ..Draft::default() };
    let (mut tables, views) = match (evidence.existing, &options.existing) {
        (Some(schema), Some(asked)) if dialect.objects().is_none() => {
            draft.native = false;
            (existing::tables(evidence, schema, options, asked, &mut draft), Vec::new())
        }
        _ => new_tables(evidence, dialect, options, &mut draft),
    };
    for table in &mut tables {
        object::add(table, dialect, options, &mut draft);
        let census = evidence.census.get(&table.source);
        layout::check(table, census, dialect, &mut draft);
    }
    if let (Some(schema), Some(objects), Some(asked)) =
        (evidence.existing, dialect.objects(), &options.existing)
    {
        existing::objects::no_such(asked, &mut draft);
        existing::objects::hold(&mut tables, schema, objects, &mut draft);
    }
    let triggers = kept::triggers(evidence.catalog, &tables, &views, dialect, options, &mut draft);
    leftovers(evidence.catalog, &mut draft);
    kept::settings(evidence.catalog, dialect, &mut draft);
    occupied::faults(evidence.target, &tables, dialect, options, &mut draft);
    alias::check(evidence.target, &tables, dialect, options, &mut draft);
    vectorizer::check(evidence.target, &tables, dialect, options, &mut draft);
    let (rows, bytes) = tables.iter().fold((0, 0), |(rows, bytes), t| (rows + t.rows, bytes + t.bytes));
    Plan {
        format: PLAN_FORMAT,
        made_by: evidence.made_by.clone(),
        made_at: evidence.made_at.clone(),
        options: options.clone(),
        source: Fingerprint {
            store: evidence.catalog.store.clone(),
            schema_hash: evidence.catalog.schema_hash.clone(),
            content_hash: evidence.content_hash.clone(),
            rows,
            bytes,
        },
        target: evidence.target.store.clone(),
        target_schema: evidence.existing.map(TargetSchema::fingerprint),
        disk: DiskPlan {
            backup_needed_bytes: evidence.catalog.store.size_bytes,
            backup_free_bytes: None,
            target_needed_bytes: layout::target_bytes(&tables),
            target_free_bytes: evidence.target.free_bytes,
        },
        memory: None,
        estimate_s: layout::estimate_s(&tables, evidence.catalog.store.size_bytes),
        tables,
        views,
        triggers,
        outcomes: draft.outcomes,
        refusals: draft.refusals,
    }
}

/// Tables and views that are to be made.
fn new_tables(
    evidence: &Evidence<'_>,
    dialect: &dyn Dialect,
    options: &PlanOptions,
    draft: &mut Draft,
) -> (Vec<TablePlan>, Vec<ViewPlan>) {
    let names = table_names(evidence, dialect, options, draft);
    let mut tables: Vec<TablePlan> = evidence
        .catalog
        .tables
        .iter()
        .map(|table| {
            let census = evidence.census.get(&table.name).cloned().unwrap_or_default();
            table_plan(table, &census, &names, dialect, options, draft)
        })
        .collect();
    mapped::texts(evidence.catalog, &mut tables, draft);
    for (table, plan) in evidence.catalog.tables.iter().zip(&mut tables) {
        identity(table, &plan.target, &mut plan.columns, dialect, draft);
        expressions(table, &mut plan.columns, dialect, draft);
    }
    constraints::add(evidence, &mut tables, dialect, options, draft);
    if dialect.objects().is_some() {
        reference::add(evidence, &mut tables, dialect, options, draft);
    }
    let views = views(evidence.catalog, &tables, dialect, options, draft);
    (tables, views)
}

fn policy(table: &Table, column: &Column, options: &PlanOptions) -> Policy {
    // What does not fit the map does not fit the table whose ids it keeps.
    let (table, column) = match &table.id_map {
        Some(map) => (&map.table, &map.column),
        None => (&table.name, &column.name),
    };
    let own = options.mapping.column(table, column).and_then(|map| map.policy);
    own.unwrap_or(options.policy)
}

fn table_plan(
    table: &Table,
    census: &TableCensus,
    names: &BTreeMap<String, String>,
    dialect: &dyn Dialect,
    options: &PlanOptions,
    draft: &mut Draft,
) -> TablePlan {
    let max = dialect.identifier_bytes_max();
    let mut pairs: Vec<(String, String)> = Vec::with_capacity(table.columns.len());
    for column in &table.columns {
        let own = options.mapping.column(&table.name, &column.name).and_then(|map| map.to.as_deref());
        let name = match own {
            None => {
                names::cut(&dialect.named(Named::Column, &options.names.apply(&column.name, usize::MAX)), max)
                    .to_owned()
            }
            Some(own) => target_name(own, &table.name, &column.name, max, draft),
        };
        pairs.push((column.name.clone(), name));
    }
    collision_refusals("column", &table.name, &pairs, dialect, options.names, draft);
    for (source, target) in &pairs {
        if let Some(fault) = dialect.name_fault(Named::Column, target) {
            draft.refuse(&table.name, source, fault, "give the column another name in the mapping (`to`)");
        }
        // SQLite itself takes an empty name, and between two of its files it stays one.
        if target.contains('\0') || (target.is_empty() && !draft.native) {
            draft.refuse(
                &table.name,
                source,
                "the column's name is empty or holds a NUL character",
                "give it another name in the mapping (`to`), or on the source",
            );
        }
    }
    if pairs.is_empty() {
        draft.refuse(
            &table.name,
            "",
            "the table has no column",
            "leave it with --exclude: there is nothing to verify in it",
        );
    }
    let key: &[String] = table.primary_key.as_ref().map_or(&[], |key| &key.columns);
    let mut columns = Vec::with_capacity(table.columns.len());
    for (at, (column, (_, target))) in table.columns.iter().zip(&pairs).enumerate() {
        let census = census.columns.get(at).cloned().unwrap_or_default();
        let map = options.mapping.column(&table.name, &column.name);
        let mut choice = match map.and_then(|map| Some((map.r#type?, map))) {
            _ if original(table, column)
                && !draft.native
                && dialect.takes(LogicalType::Int8, &Codec::Int) =>
            {
                mapped::originals(&census)
            }
            _ if column.ids.is_some() => column
                .ids
                .map_or_else(|| kept::as_declared(column), |namespace| mapped::ids(namespace, dialect)),
            _ if map.is_some_and(|map| map.nested.is_some()) && dialect.objects().is_some() => {
                mapped::nested(&table.name, &column.name, options, dialect, draft)
            }
            Some((ty, map)) if ty != LogicalType::Declared => mapped::choice(ty, map, &census),
            Some(_) => kept::as_declared(column),
            None if draft.native => kept::choice(&table.name, column, &census, options),
            None => default::choose(&table.name, column, &census, dialect, draft),
        };
        choice = dialect.adapt(choice, &census);
        if choice.codec == Codec::Json && is_unique(table, column) {
            // Two texts of one value are two keys, and JSON by value holds them for one.
            choice.r#type = LogicalType::Text;
            choice.codec = Codec::Text { chars_max: None };
            choice.why = "declared JSON, but unique as text".into();
        }
        if !dialect.takes(choice.r#type, &choice.codec) {
            draft.refuse(
                &table.name,
                &column.name,
                format!("the target has no columns of the type {}", choice.r#type),
                "leave the type out of the mapping, or name one that the target has",
            );
        }
        if census.texts_invalid > 0 && !draft.native && matches!(choice.codec, Codec::Any { .. }) {
            let name = format!("{}.{}", table.name, column.name);
            let why = format!(
                "{} texts are no valid UTF-8, as one with a lone surrogate: the target has their bytes as they are",
                census.texts_invalid
            );
            draft.outcome("column", name, Fate::Changed, why);
        }
        if dialect.is_system_column(target) {
            draft.refuse(
                &table.name,
                &column.name,
                "every table of the target has a column of that name",
                "rename the column on the source, or give it another target name in the plan",
            );
        }
        if column.collation != "BINARY" && !draft.native && dialect.keeps_no_rules().is_none() {
            let name = format!("{}.{}", table.name, column.name);
            let why = format!(
                "the column compares by bytes on the target, not by {}; indexes keep the source's equality",
                column.collation
            );
            draft.outcome("collation", name, Fate::Changed, why);
        }
        if draft.native && !matches!(column.collation.as_str(), "BINARY" | "NOCASE" | "RTRIM") {
            let name = format!("{}.{}", table.name, column.name);
            let why = format!(
                "the collation {} is the application's own: the column compares by bytes",
                column.collation
            );
            draft.outcome("collation", name, Fate::Changed, why);
        }
        let in_key = key.iter().any(|name| name.eq_ignore_ascii_case(&column.name));
        columns.push(ColumnPlan {
            source: column.name.clone(),
            target: target.clone(),
            declared: column.declared.clone(),
            collation: column.collation.clone(),
            added: column.added,
            r#type: choice.r#type,
            codec: choice.codec,
            // A key of a SQLite table may hold NULL, and another SQLite table holds it too.
            not_null: dialect.keeps_no_rules().is_none() && (column.not_null || in_key && !draft.native),
            whole_row: false,
            default: None,
            generated: None,
            generated_virtual: draft.native && column.generated.as_ref().is_some_and(|g| !g.stored),
            identity_next: None,
            identity_sequence: None,
            policy: policy(table, column, options),
            exceptions: 0,
            why: choice.why,
            census,
        });
    }
    let target = names.get(&table.name).cloned().unwrap_or_default();
    let (fate, why) = match &table.virtual_module {
        Some(module) => (
            Fate::Changed,
            format!(
                "the content of the {module} table, as a plain table \"{target}\"; its search index is not moved"
            ),
        ),
        None if target == table.name => (Fate::Moved, format!("{} rows", census.rows)),
        None => (Fate::Changed, format!("named \"{target}\", {} rows", census.rows)),
    };
    draft.outcome("table", &table.name, fate, kept_ids(table, why));
    let mut clauses = Vec::new();
    if table.strict && draft.native {
        clauses.push("STRICT".to_owned());
    } else if table.strict && dialect.keeps_no_rules().is_none() {
        draft.outcome("strict", &table.name, Fate::Moved, "the target enforces column types always");
    }
    // Rows that are found by their key, and not by their place among several tables' rows.
    let by_key = |key: &PrimaryKey| matches!(&table.locator, Locator::Key(names) if *names == key.columns);
    if draft.native && table.primary_key.as_ref().is_some_and(by_key) {
        clauses.push("WITHOUT ROWID".to_owned());
    }
    TablePlan {
        source: table.name.clone(),
        target,
        rows: census.rows,
        bytes: census.bytes,
        locator: table.locator.clone(),
        columns,
        primary_key: None,
        uniques: Vec::new(),
        indexes: Vec::new(),
        foreign_keys: Vec::new(),
        checks: Vec::new(),
        clauses,
        orphans: Vec::new(),
        parts: parts(table, options),
        preview: Vec::new(),
        standing: None,
    }
}

/// Whether a column keeps the ids as they were, in a store that gives each value a type of its own.
fn original(table: &Table, column: &Column) -> bool {
    table.id_map.is_some() && column.ids.is_none() && column.kind.is_none()
}

/// The line of a table, with whose ids it keeps.
fn kept_ids(table: &Table, why: String) -> String {
    match &table.id_map {
        Some(map) => format!("{why}: what each id of {}.{} became", map.table, map.column),
        None => why,
    }
}

/// The source's tables that one is read from, where they are several.
fn parts(table: &Table, options: &PlanOptions) -> Vec<String> {
    let from = options.mapping.table(&table.name).map(|map| map.from.clone());
    from.filter(|from| from.len() > 1).unwrap_or_default()
}

/// Whether equal values of the column can make two rows equal for a constraint of the table.
fn is_unique(table: &Table, column: &Column) -> bool {
    let named = |name: &String| name.eq_ignore_ascii_case(&column.name);
    let by_index = |index: &Index| {
        index.unique && index.parts.iter().any(|part| matches!(&part.expr, Expr::Column(name) if named(name)))
    };
    table.primary_key.iter().flat_map(|key| &key.columns).any(named)
        || table.uniques.iter().flat_map(|unique| &unique.columns).any(|(name, _)| named(name))
        || table.indexes.iter().any(by_index)
}

/// An assigned key goes on from the larger of its maximum and what the source last gave out.
fn identity(
    table: &Table,
    target: &str,
    columns: &mut [ColumnPlan],
    dialect: &dyn Dialect,
    draft: &mut Draft,
) {
    // A store of the same kind numbers an assigned key by itself; only what it has given out is to be told.
    let numbered = |key: &&PrimaryKey| key.assigned && (key.autoincrement || !draft.native);
    if dialect.keeps_no_rules().is_some() {
        return;
    }
    let Some(key) = table.primary_key.as_ref().filter(numbered) else { return };
    let Some(column) = columns.iter_mut().find(|column| key.columns.first() == Some(&column.source)) else {
        return;
    };
    if column.r#type != LogicalType::Int8 && !draft.native {
        return;
    }
    let largest =
        column.census.integer_range.map_or(0, |(_, max)| max).max(table.sequence.unwrap_or(0)).max(0);
    match largest.checked_add(1) {
        Some(next) => {
            column.identity_next = Some(next);
            // The server would choose a name of its own, which a later table or index may bear.
            let wanted = format!("{target}_{}_seq", column.target);
            column.identity_sequence = dialect.names_constraints().then(|| draft.relation(&wanted, dialect));
            let name = format!("{}.{}", table.name, column.source);
            draft.outcome("identity", name, Fate::Moved, format!("numbered by the target, from {next} on"));
        }
        None => draft.outcome(
            "identity",
            format!("{}.{}", table.name, column.source),
            Fate::LeftOut,
            "the largest key is the largest integer: there is no next one",
        ),
    }
}

/// Defaults and generated columns.
fn expressions(table: &Table, columns: &mut [ColumnPlan], dialect: &dyn Dialect, draft: &mut Draft) {
    let mut computed = computed::expressions(table, columns, dialect, draft.native);
    for (at, (column, plan)) in table.columns.iter().zip(columns).enumerate() {
        let name = format!("{}.{}", table.name, column.name);
        match computed.remove(&at) {
            Some(Ok(sql)) => {
                let why = format!("computed by the target as {sql}");
                draft.outcome("generated column", &name, Fate::Moved, why);
                plan.generated = Some(sql);
            }
            Some(Err(why)) => {
                let why = format!("its values are kept in a plain column, because {why}");
                draft.outcome("generated column", &name, Fate::Changed, why);
            }
            None => {}
        }
        if let (Some(default), true) = (&column.default, column.ids.is_some()) {
            let why = format!("{}: it is no id of the target's", default.text);
            draft.outcome("default", &name, Fate::LeftOut, why);
        } else if let Some(default) = &column.default {
            let translated = match default::fault(column, &plan.codec).filter(|_| !draft.native) {
                None => dialect.translate_default(column, plan.r#type),
                Some(why) => Err(why),
            };
            match translated {
                Ok(sql) => {
                    draft.outcome("default", &name, Fate::Moved, sql.clone());
                    plan.default = plan.identity_next.is_none().then_some(sql);
                }
                Err(why) => {
                    draft.outcome("default", &name, Fate::LeftOut, format!("{}: {why}", default.text))
                }
            }
        }
    }
}

/// The columns as the target's expressions see them.
fn scope(table: &Table, columns: &[ColumnPlan]) -> Vec<ScopeColumn> {
    table
        .columns
        .iter()
        .zip(columns)
        .map(|(column, plan)| ScopeColumn {
            source: column.name.clone(),
            target: plan.target.clone(),
            r#type: plan.r#type,
            collation: column.collation.clone(),
            affinity: column.affinity,
            kind: column.kind,
            exact: plan.codec.keeps_meaning(),
            computed: None,
        })
        .collect()
}

fn views(
    catalog: &Catalog,
    tables: &[TablePlan],
    dialect: &dyn Dialect,
    options: &PlanOptions,
    draft: &mut Draft,
) -> Vec<ViewPlan> {
    let make = |view: &View| {
        let stays = || kept::names_what_stays(&view.text, catalog).filter(|_| draft.native);
        match kept::names_other_ids(&view.text, catalog).or_else(stays) {
            Some(why) => Err(why),
            None => dialect.translate_view(view, tables, &options.schema),
        }
    };
    let mut made: Vec<(&View, Result<String, String>)> =
        catalog.views.iter().map(|view| (view, make(view))).collect();
    if draft.native {
        kept::views_of_views(&mut made);
    }
    let mut views = Vec::new();
    for (view, made) in made {
        let name = options.names.apply(&view.name, dialect.identifier_bytes_max());
        match made {
            Ok(_) if !draft.relations.insert(dialect.folded(&name)) => {
                draft.outcome("view", &view.name, Fate::LeftOut, format!("the name \"{name}\" is taken"));
            }
            Ok(sql) => {
                draft.outcome("view", &view.name, Fate::Moved, "its query translates");
                views.push(ViewPlan { source: view.name.clone(), name, sql });
            }
            Err(why) => draft.outcome("view", &view.name, Fate::LeftOut, why),
        }
    }
    views
}

fn leftovers(catalog: &Catalog, draft: &mut Draft) {
    for skipped in &catalog.skipped {
        draft.outcome(&skipped.kind, &skipped.name, Fate::LeftOut, &skipped.why);
    }
}
