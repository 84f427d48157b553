//! Plans for tables that the target has already: matched by name, converted to the column's type.
//!
//! Invariants: nothing is matched by position, and nothing by a guess (two candidates are a refusal);
//! a column's type is the target's, and what its values cannot be is a refusal or an exception, never
//! a conversion. Deliberately absent: any DDL of our own. What is dropped for the load is named with
//! the target's own definition.

mod around;
mod history;
mod live;
mod names;
pub mod objects;

pub(super) use self::around::parents_first;
use self::around::{relations, surroundings};
pub use self::history::{drift, set_aside};
use self::names::{Match, find_column, find_table};
use super::{Draft, Evidence, native, policy};
use crate::census::{Interest, TableCensus};
use crate::codec::Codec;
use crate::existing::{
    self, Apart, ExistingOptions, Holds, Rule, RuleKind, SequencePlan, Standing, TargetColumn, TargetSchema,
    TargetTable,
};
use crate::ids::{ORIGINAL, UUID};
use crate::mapping::{IndexMethod, NaiveTimes};
use crate::native::Native;
use crate::plan::{CheckPlan, ColumnPlan, Fate, IndexPlan, LogicalType, PlanOptions, TablePlan};
use crate::schema::Table;
use std::collections::{BTreeMap, BTreeSet};

/// What the columns of a table are worth looking at for, given the target's types.
pub fn interests(table: &Table, schema: &TargetSchema, options: &PlanOptions) -> Vec<Interest> {
    let own = match find_table(schema, &table.name, options) {
        Match::One(own) => Some(own),
        Match::None | Match::Several(_) => None,
    };
    table
        .columns
        .iter()
        .map(|column| {
            let found = own.map(|own| find_column(own, &table.name, &column.name, options));
            match found {
                Some(Match::One(target)) => native::interest(target),
                _ => Interest::of_declared(&column.declared),
            }
        })
        .collect()
}

/// Plans all tables, parents before children.
pub(super) fn tables(
    evidence: &Evidence<'_>,
    schema: &TargetSchema,
    options: &PlanOptions,
    asked: &ExistingOptions,
    draft: &mut Draft,
) -> Vec<TablePlan> {
    let mut plans = Vec::new();
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    for table in &evidence.catalog.tables {
        let own = match find_table(schema, &table.name, options) {
            Match::One(own) => own,
            Match::Several(names) => {
                let why = format!("several tables of the target could be meant: {}", names.join(", "));
                draft.refuse(&table.name, "", why, "rename one of them, or leave the table with --exclude");
                continue;
            }
            Match::None => {
                let kind = schema.others.iter().find(|(_, name)| *name == table.name);
                let why = match kind {
                    Some((kind, _)) => {
                        format!("on the target it is a {kind}, which holds no rows of its own")
                    }
                    None => format!("the target's schema \"{}\" has no such table", options.schema),
                };
                let hint = match &table.id_map {
                    Some(_) => format!(
                        "the map of ids needs a table: CREATE TABLE \"{}\" ({ORIGINAL} …, {UUID} uuid NOT NULL UNIQUE), with the type of the ids; or leave it with --exclude",
                        table.name
                    ),
                    None if table.virtual_module.is_some() => INDEX_OF_WORDS.to_owned(),
                    None => "run the application's migrations on the target first, or leave the table with --exclude".to_owned(),
                };
                draft.refuse(&table.name, "", why, hint);
                continue;
            }
        };
        if let Some(other) = taken.insert(&own.name, &table.name) {
            let why = format!("the table \"{}\" of the target is meant by {other} as well", own.name);
            draft.refuse(&table.name, "", why, "leave one of the two with --exclude");
            continue;
        }
        let census = evidence.census.get(&table.name).cloned().unwrap_or_default();
        plans.push(table_plan(table, own, &census, options, asked, draft));
    }
    relations(&mut plans, schema, asked, draft);
    let mut plans = parents_first(plans);
    surroundings(&mut plans, schema, asked);
    if asked.live {
        live::refuse(&plans, evidence.catalog, schema, draft);
    }
    for view in &evidence.catalog.views {
        let there = schema.others.iter().any(|(_, name)| name.eq_ignore_ascii_case(&view.name));
        let why =
            if there { "the target has its own" } else { "the target's schema is its own, and has none" };
        draft.outcome("view", &view.name, if there { Fate::Moved } else { Fate::LeftOut }, why);
    }
    plans
}

/// What to do about a full-text table of the source that the target has not.
const INDEX_OF_WORDS: &str = "it is SQLite's own index of words: leave it with --exclude; where the target keeps its texts in columns of another table, the mapping computes them there (`value = …`)";

/// What to do about a column into which nothing is written.
fn unfit_hint(target: &TargetColumn) -> &'static str {
    match target.type_name.as_str() {
        "tsvector" => {
            "the target makes its index of words by itself: say `drop = true` for the column in the mapping where a default or a trigger fills it, else leave the table with --exclude and have the application build its index anew"
        }
        _ => {
            "give the column another type on the target, say `drop = true` for it in the mapping, or leave the table with --exclude"
        }
    }
}

fn table_plan(
    table: &Table,
    own: &TargetTable,
    census: &TableCensus,
    options: &PlanOptions,
    asked: &ExistingOptions,
    draft: &mut Draft,
) -> TablePlan {
    for obstacle in &own.obstacles {
        draft.refuse(
            &table.name,
            "",
            obstacle,
            "have the tables' owner change that, or leave the table with --exclude",
        );
    }
    for trigger in own.triggers.iter().filter(|trigger| !trigger.harmless) {
        let why = format!(
            "the trigger {} of the target would run for each row: {}",
            trigger.name, trigger.definition
        );
        let hint = format!(
            "turn it off for the migration (ALTER TABLE {} DISABLE TRIGGER \"{}\"), and on again after it",
            trigger.on, trigger.name
        );
        draft.refuse(&table.name, "", why, hint);
    }
    takes_along(&table.name, own, asked, draft);
    let mut columns = Vec::with_capacity(table.columns.len());
    let mut taken: BTreeSet<&str> = BTreeSet::new();
    for (at, column) in table.columns.iter().enumerate() {
        let target = match find_column(own, &table.name, &column.name, options) {
            Match::One(target) => target,
            Match::Several(names) => {
                let why = format!("several columns of the target could be meant: {}", names.join(", "));
                draft.refuse(&table.name, &column.name, why, "rename one of them on either side");
                continue;
            }
            Match::None => {
                let why = format!("the target's table \"{}\" has no such column", own.name);
                let hint = "run the application's migrations on the target first, or say `drop = true` for it in the mapping";
                draft.refuse(&table.name, &column.name, why, hint);
                continue;
            }
        };
        if !taken.insert(&target.name) {
            let why =
                format!("the column \"{}\" of the target is meant by another column as well", target.name);
            draft.refuse(&table.name, &column.name, why, "rename one of them on the source");
            continue;
        }
        let census = census.columns.get(at).cloned().unwrap_or_default();
        let map = options.mapping.column(&table.name, &column.name).cloned().unwrap_or_default();
        let asked = ExistingOptions {
            utc: map.naive_times.map_or(asked.utc, NaiveTimes::is_utc),
            epoch: map.epoch.or(asked.epoch),
            ..asked.clone()
        };
        let chosen = match column.ids {
            Some(namespace) => native::ids(target, namespace),
            None => native::choose(target, column, &census, &asked),
        };
        let choice = match chosen {
            Ok(choice) => choice,
            Err(why) => {
                draft.refuse(&table.name, &column.name, why, unfit_hint(target));
                continue;
            }
        };
        if matches!(&choice.codec, Codec::Native(Native::Moment { cut: true, .. })) {
            let name = format!("{}.{}", table.name, column.name);
            let why = "times are cut to the digits of a second's fraction that the target's column keeps";
            draft.outcome("column", name, Fate::Changed, why);
        }
        if let Some(ty) = map.r#type.filter(|ty| !is_type_of(target, *ty)) {
            let why = format!("the mapping asks for {ty}, and the target's column is {}", target.type_name);
            draft.refuse(
                &table.name,
                &column.name,
                why,
                "the types of tables that are there are the target's: take `type` out of the mapping",
            );
        }
        columns.push(ColumnPlan {
            source: column.name.clone(),
            target: target.name.clone(),
            declared: column.declared.clone(),
            collation: column.collation.clone(),
            added: column.added,
            r#type: choice.r#type,
            codec: choice.codec,
            not_null: target.not_null || map.not_null == Some(true),
            whole_row: false,
            default: None,
            generated: target.generated.clone(),
            generated_virtual: false,
            identity_next: None,
            identity_sequence: None,
            policy: policy(table, column, options),
            exceptions: 0,
            why: choice.why,
            census,
        });
    }
    extra_columns(table, own, &taken, asked.live, draft);
    declared_indexes(table, options, draft);
    let sequences = sequences(table, own, &columns, draft);
    let mapped = |names: &[String]| names.iter().all(|name| taken.contains(name.as_str()));
    let (fate, why) = match own.name == table.name {
        true => (Fate::Moved, format!("{} rows into the target's own table", census.rows)),
        false => {
            (Fate::Changed, format!("{} rows into the target's own table \"{}\"", census.rows, own.name))
        }
    };
    draft.outcome("table", &table.name, fate, why);
    TablePlan {
        source: table.name.clone(),
        target: own.name.clone(),
        rows: census.rows,
        bytes: census.bytes,
        locator: table.locator.clone(),
        columns,
        primary_key: own.primary_key.clone().filter(|key| mapped(&key.columns)),
        uniques: own.uniques.iter().filter(|key| mapped(&key.columns)).cloned().collect(),
        indexes: own.indexes.iter().filter(|index| !index.constraint).map(index_plan).collect(),
        foreign_keys: Vec::new(),
        checks: own
            .checks
            .iter()
            .filter(|(_, definition)| !definition.ends_with("NOT VALID"))
            .map(|(name, definition)| CheckPlan { name: name.clone(), sql: definition.clone() })
            .collect(),
        clauses: Vec::new(),
        orphans: Vec::new(),
        parts: super::parts(table, options),
        preview: Vec::new(),
        standing: Some(Standing {
            rows_before: own.rows,
            rows_staying: own.rows,
            sequences,
            rules: own
                .primary_index
                .iter()
                .chain(&own.indexes)
                .filter_map(apart)
                .chain(own.rules.clone())
                .collect(),
            stored_columns: own
                .columns
                .iter()
                .filter(|column| column.generated.is_none())
                .map(|column| column.name.clone())
                .collect(),
            owned: own.owned,
            ..Standing::default()
        }),
    }
}

/// A row that gives way is taken out before the other comes: a key that acts on other tables' rows then, and that the run
/// cannot take down, would change them for good, and nobody compares them.
fn takes_along(source: &str, own: &TargetTable, asked: &ExistingOptions, draft: &mut Draft) {
    if asked.on_conflict != existing::OnConflict::Replace
        || asked.live
        || own.rows == 0
        || own.acting.is_empty()
    {
        return;
    }
    let why = format!(
        "rows that give way would take others along: the run cannot take down the foreign key {}",
        own.acting.join(", ")
    );
    let hint = "drop that key, and make it again after `switchover cleanup`; or use --on-conflict keep";
    draft.refuse(source, "", why, hint);
}

fn apart(index: &existing::TargetIndex) -> Option<Rule> {
    let Apart { columns, plain } = index.apart.clone()?;
    let definition = index.words().to_owned();
    Some(Rule { name: index.name.clone(), definition, columns, kind: RuleKind::Apart { plain } })
}

fn index_plan(index: &existing::TargetIndex) -> IndexPlan {
    let unique = index.definition.starts_with("CREATE UNIQUE");
    IndexPlan {
        source: index.name.clone(),
        name: index.name.clone(),
        unique,
        // Its own definition makes it again, whatever its method.
        method: IndexMethod::Btree,
        parts: vec![index.words().to_owned()],
        predicate: None,
        cost: String::new(),
    }
}

/// Indexes that the mapping declares: tables that are there keep their own.
fn declared_indexes(table: &Table, options: &PlanOptions, draft: &mut Draft) {
    let map = options.mapping.table(&table.name);
    for index in map.iter().flat_map(|map| map.indexes.iter().flatten()) {
        let name = format!("{} on {}", index.name_on(&table.name), table.name);
        draft.outcome(
            "index",
            name,
            Fate::LeftOut,
            "a table that is there has the indexes of its own migrations",
        );
    }
}

/// Columns that only the target has.
fn extra_columns(table: &Table, own: &TargetTable, taken: &BTreeSet<&str>, live: bool, draft: &mut Draft) {
    let triggers = own.triggers.iter().any(|trigger| trigger.harmless);
    for column in own.columns.iter().filter(|column| !taken.contains(column.name.as_str())) {
        let name = format!("{}.{}", own.name, column.name);
        let why = if let Some(generated) = &column.generated {
            format!("only on the target, which computes it: {generated}")
        } else if column.identity || column.default.is_some() {
            let default = column.default.as_deref().unwrap_or("its sequence");
            format!("only on the target: left to its default, {default}")
        } else if column.not_null && !(triggers && column.type_name == "tsvector") {
            draft.refuse(
                &table.name,
                &column.name,
                format!("only the target has this column, and it refuses NULL and has no default ({})", column.type_name),
                "bring both stores to one version of the application, or give the column a default on the target",
            );
            continue;
        } else if triggers && column.type_name == "tsvector" {
            "only on the target: left to its trigger".to_owned()
        } else {
            "only on the target: left NULL".to_owned()
        };
        let why = match live && column.generated.is_none() {
            true => {
                format!("{why}; it does not go to the source, and a row that the source changes has it anew")
            }
            false => why,
        };
        draft.outcome("target column", name, Fate::LeftOut, why);
    }
}

/// Where the table's sequences go on.
fn sequences(
    table: &Table,
    own: &TargetTable,
    columns: &[ColumnPlan],
    draft: &mut Draft,
) -> Vec<SequencePlan> {
    let mut plans = Vec::new();
    for target in &own.columns {
        let Some(sequence) = &target.sequence else { continue };
        let name = format!("{}.{}", table.name, target.name);
        let column = columns.iter().find(|column| column.target == target.name);
        let key = table.primary_key.as_ref().filter(|key| key.assigned).and_then(|key| key.columns.first());
        let largest = column.and_then(|column| {
            let given = table.sequence.filter(|_| key == Some(&column.source));
            column.census.integer_range.map(|(_, max)| max).max(given)
        });
        let next = match largest.map(|largest| largest.checked_add(1)) {
            Some(Some(next)) if sequence.step > 0 && next - 1 <= sequence.max => Some(next),
            Some(_) if sequence.step > 0 => {
                let why = format!("the sequence ends at {}, which a key has reached", sequence.max);
                draft.outcome("sequence", &name, Fate::LeftOut, why);
                None
            }
            Some(_) => {
                let why =
                    "it counts down, and stays where it stands: set it before the smallest key yourself";
                draft.outcome("sequence", &name, Fate::LeftOut, why);
                None
            }
            None => None,
        };
        if !sequence.settable && column.is_some() {
            draft.refuse(
                &table.name,
                &target.name,
                format!("the role may not set the sequence \"{}\".\"{}\"", sequence.schema, sequence.name),
                "GRANT SELECT, UPDATE ON SEQUENCE … TO the role, or connect as its owner",
            );
        }
        if let Some(next) = next {
            draft.outcome(
                "sequence",
                name,
                Fate::Moved,
                format!("goes on at {next}, or where it stands or a row that stays is beyond that"),
            );
        }
        plans.push(SequencePlan {
            column: target.name.clone(),
            schema: sequence.schema.clone(),
            name: sequence.name.clone(),
            next,
            assigned: column.is_some_and(|column| key == Some(&column.source)),
        });
    }
    plans
}

/// Looks again at a plan that was made earlier, and perhaps edited: what it no longer moves must be something
/// that the target can do without.
pub fn recheck(plan: &mut crate::plan::Plan, schema: &TargetSchema) {
    let mut draft = Draft::default();
    if plan.target_schema.as_deref() != Some(&schema.fingerprint()) {
        draft.refuse("", "", "the target's definitions changed since the plan was made", "plan again");
    }
    if plan.options.existing.as_ref().is_some_and(|existing| existing.live) {
        let why = "it is the plan of a live run, which takes keys down in its own way";
        draft.refuse("", "", why, "plan again with `switchover plan`");
    }
    for table in &mut plan.tables {
        let Some(own) = schema.table(&table.target) else {
            let why = format!("the target has no table \"{}\"", table.target);
            draft.refuse(&table.source, "", why, "plan again");
            continue;
        };
        if let Some(asked) = &plan.options.existing {
            takes_along(&table.source, own, asked, &mut draft);
        }
        let mut taken: BTreeSet<&str> = BTreeSet::new();
        for column in &table.columns {
            match own.columns.iter().find(|candidate| candidate.name == column.target) {
                Some(found) if is_type_of(found, column.r#type) && found.generated == column.generated => {
                    taken.insert(&column.target);
                }
                Some(found) => {
                    let why =
                        format!("the target's column is {}, the plan's {}", found.type_name, column.r#type);
                    draft.refuse(
                        &table.source,
                        &column.source,
                        why,
                        "the types of tables that are there are the target's: plan again",
                    );
                }
                None => {
                    draft.refuse(&table.source, &column.source, "the target has no such column", "plan again")
                }
            }
        }
        let missing = own.columns.iter().filter(|column| {
            !taken.contains(column.name.as_str())
                && column.not_null
                && column.default.is_none()
                && column.generated.is_none()
                && !column.identity
        });
        for column in missing.filter(|column| column.type_name != "tsvector") {
            let why =
                format!("the plan leaves out \"{}\", which refuses NULL and has no default", column.name);
            draft.refuse(&table.source, &column.name, why, "take the column into the plan again");
        }
        if let Some(standing) = &mut table.standing {
            standing.rows_before = own.rows;
            standing.rows_staying = own.rows;
            standing.replaced.clear();
        }
    }
    plan.outcomes.retain(|outcome| outcome.kind != "rows on the target");
    draft.refusals.retain(|refusal| !plan.refusals.contains(refusal));
    plan.refusals.append(&mut draft.refusals);
}

/// Whether a type is one that a plan for this column would have.
fn is_type_of(column: &TargetColumn, ty: LogicalType) -> bool {
    match &column.holds {
        Holds::Values(own, _) => *own == ty,
        Holds::Labels(_) => ty == LogicalType::Text,
        Holds::Unsupported => false,
    }
}
