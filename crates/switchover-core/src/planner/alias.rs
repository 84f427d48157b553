//! Aliases by which readers find collections: whether they can be what the mapping asks for.
//!
//! An alias is set when all is verified, so what speaks against it is found here, before anything is written. Invariant: an alias that
//! is there and leads elsewhere is moved only if the mapping says so. Absent: setting it, which is the connector's.

use super::object::at;
use super::{Draft, RESERVED_PREFIX};
use crate::connector::{Dialect, Named, TargetState};
use crate::mapping::Mapping;
use crate::plan::{Fate, Plan, PlanOptions, Refusal, TablePlan};
use std::collections::BTreeSet;

const HINT: &str = "give the alias another name, or leave it out";

/// The name of the collection behind an alias, where the mapping gives none: the day of the plan tells it from those of
/// other days.
pub(super) fn collection(alias: &str, made_at: &str) -> String {
    let day: String = made_at.chars().take(10).filter(char::is_ascii_digit).collect();
    format!("{alias}_{day}")
}

/// What is wrong with the aliases of a plan.
pub fn faults(plan: &Plan, target: &TargetState, dialect: &dyn Dialect) -> Vec<Refusal> {
    let mut draft = Draft::default();
    check(target, &plan.tables, dialect, &plan.options, &mut draft);
    draft.refusals
}

/// Looks at all aliases, and says what becomes of each.
pub(super) fn check(
    target: &TargetState,
    tables: &[TablePlan],
    dialect: &dyn Dialect,
    options: &PlanOptions,
    draft: &mut Draft,
) {
    if dialect.objects().is_none() {
        // Refused with the other keys about objects.
        return;
    }
    let mapping = &options.mapping;
    let mut taken: BTreeSet<String> = tables.iter().map(|table| dialect.folded(&table.target)).collect();
    for table in tables {
        let map = mapping.object(&table.source);
        if map.alias.is_none() && map.move_alias.is_some() {
            let key = at(mapping, &table.source, &["object", "move_alias"]);
            draft.refuse(
                &table.source,
                "",
                format!("{key}: no alias is asked for"),
                "say `alias = \"NAME\"` as well, or leave it out",
            );
        }
        let Some(alias) = map.alias else { continue };
        let key = at(mapping, &table.source, &["object", "alias"]);
        match found(&alias, table, target, dialect, mapping, &mut taken) {
            Ok(from) => {
                let from =
                    from.map(|from| format!("; it leads to {from} now, and a rollback brings that back"));
                let why = format!(
                    "leads to {} when all is verified{}",
                    table.target,
                    from.clone().unwrap_or_default()
                );
                draft.outcome("alias", alias, if from.is_some() { Fate::Changed } else { Fate::Moved }, why);
            }
            Err((why, hint)) => draft.refuse(&table.source, "", format!("{key}: {why}"), hint),
        }
    }
}

/// Where the alias leads now, if it is there and may be moved; else why it cannot be set.
fn found(
    alias: &str,
    table: &TablePlan,
    target: &TargetState,
    dialect: &dyn Dialect,
    mapping: &Mapping,
    taken: &mut BTreeSet<String>,
) -> Result<Option<String>, (String, &'static str)> {
    let fail = |why: String| Err((why, HINT));
    let Some(aliases) = &target.aliases else {
        return fail("the server has no aliases: they came with Weaviate 1.32".into());
    };
    let max = dialect.identifier_bytes_max();
    if alias.is_empty() || alias.len() > max {
        return fail(format!("the alias has {} bytes; a name has 1 to {max}", alias.len()));
    }
    if let Some(fault) = dialect.name_fault(Named::Table, alias) {
        return fail(fault);
    }
    if dialect.is_reserved_name(alias) || alias.starts_with(RESERVED_PREFIX) {
        return fail("names like that are kept for the tool's own records".into());
    }
    let folded = dialect.folded(alias);
    if !taken.insert(folded.clone()) {
        return fail(format!(
            "\"{alias}\" is a collection or another alias of this plan; with `to` the collection gets a name of its own"
        ));
    }
    match aliases.iter().find(|(name, _)| dialect.folded(name) == folded) {
        Some((_, leads_to)) if *leads_to == table.target => Ok(None),
        Some((_, leads_to)) if mapping.object(&table.source).move_alias == Some(true) => {
            Ok(Some(leads_to.clone()))
        }
        Some((name, leads_to)) => Err((
            format!("the alias {name} is there, leads to {leads_to}, and is not of this run"),
            "`move_alias = true` beside it has it moved, and a rollback brings it back",
        )),
        None if target.taken.contains(&folded) => {
            fail(format!("a collection is called {alias} already, and an alias cannot share its name"))
        }
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_collection_is_told_by_its_day() {
        assert_eq!(super::collection("Message", "2026-11-21T16:00:00Z"), "Message_20261121");
    }
}
