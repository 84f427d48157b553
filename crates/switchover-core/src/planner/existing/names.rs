//! Which table or column of the target one of the source is: by the mapping, else by its name.
//!
//! Nothing is matched by position, and nothing by a guess: two candidates are [`Match::Several`].

use crate::existing::{TargetColumn, TargetSchema, TargetTable};
use crate::names::Naming;
use crate::plan::PlanOptions;

/// What a name of the source leads to.
pub(super) enum Match<'a, T> {
    One(&'a T),
    None,
    Several(Vec<String>),
}

/// The target's table for one of the source: the one that the mapping names, or the one that bears its name.
pub(super) fn find_table<'a>(
    schema: &'a TargetSchema,
    table: &str,
    options: &PlanOptions,
) -> Match<'a, TargetTable> {
    match options.mapping.table(table).and_then(|map| map.to.as_deref()) {
        Some(named) => schema.table(named).map_or(Match::None, Match::One),
        None => find(&schema.tables, |own| &own.name, table, options.names),
    }
}

/// The same for a column.
pub(super) fn find_column<'a>(
    own: &'a TargetTable,
    table: &str,
    column: &str,
    options: &PlanOptions,
) -> Match<'a, TargetColumn> {
    match options.mapping.column(table, column).and_then(|map| map.to.as_deref()) {
        Some(named) => own.columns.iter().find(|c| c.name == named).map_or(Match::None, Match::One),
        None => find(&own.columns, |c| &c.name, column, options.names),
    }
}

/// Finds a name: as written, by the naming rule, then without regard to case.
pub(super) fn find<'a, T>(
    all: &'a [T],
    name: impl Fn(&T) -> &str,
    wanted: &str,
    naming: Naming,
) -> Match<'a, T> {
    // The target cuts no name of its own, so a cut one can only be met as it is.
    let ruled = naming.apply(wanted, usize::MAX);
    for exact in [wanted, &*ruled] {
        if let Some(one) = all.iter().find(|candidate| name(candidate) == exact) {
            return Match::One(one);
        }
    }
    let lower = |text: &str| text.to_lowercase();
    let near: Vec<&T> = all
        .iter()
        .filter(|candidate| {
            let own = lower(name(candidate));
            own == lower(wanted) || own == lower(&ruled)
        })
        .collect();
    match near.as_slice() {
        [] => Match::None,
        [one] => Match::One(one),
        several => Match::Several(several.iter().map(|one| name(one).to_owned()).collect()),
    }
}
