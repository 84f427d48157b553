//! The names that tables and columns get, and those that two of them would share.
//!
//! Invariant: a name is refused, never cut or changed, where the mapping asked for another one.

use super::{Draft, Evidence, RESERVED_PREFIX, alias};
use crate::connector::{Dialect, Named};
use crate::names::{self, Naming};
use crate::plan::PlanOptions;
use crate::schema::Table;
use std::collections::BTreeMap;

pub(super) fn collision_refusals(
    kind: &str,
    table: &str,
    pairs: &[(String, String)],
    dialect: &dyn Dialect,
    naming: Naming,
    draft: &mut Draft,
) {
    let hint = match naming {
        Naming::Keep => "give one of them another name in the mapping (`to`)",
        Naming::Snake => "give one of them another name in the mapping (`to`), or use --names keep",
    };
    let folded: Vec<String> = pairs.iter().map(|(_, target)| dialect.folded(target)).collect();
    let found =
        names::collisions(pairs.iter().zip(&folded).map(|((source, _), folded)| (&**source, &**folded)));
    for collision in found {
        let subject = if table.is_empty() { collision.sources[0].clone() } else { table.to_owned() };
        draft.refuse(
            &subject,
            "",
            format!("the {kind} names {} all become \"{}\"", collision.sources.join(", "), collision.target),
            hint,
        );
    }
}

pub(super) fn table_names(
    evidence: &Evidence<'_>,
    dialect: &dyn Dialect,
    options: &PlanOptions,
    draft: &mut Draft,
) -> BTreeMap<String, String> {
    let max = dialect.identifier_bytes_max();
    let catalog = evidence.catalog;
    let named = |table: &Table| {
        let own = options.mapping.table(&table.name).and_then(|map| map.to.clone());
        let alias = options.mapping.object(&table.name).alias.filter(|_| dialect.objects().is_some());
        match own.or_else(|| alias.map(|alias| alias::collection(&alias, &evidence.made_at))) {
            None => {
                names::cut(&dialect.named(Named::Table, &options.names.apply(&table.name, usize::MAX)), max)
                    .to_owned()
            }
            Some(own) => target_name(&own, &table.name, "", max, draft),
        }
    };
    let pairs: Vec<(String, String)> = catalog
        .tables
        .iter()
        .map(|table| table.name.clone())
        .zip(catalog.tables.iter().map(named).collect::<Vec<_>>())
        .collect();
    collision_refusals("table", "", &pairs, dialect, options.names, draft);
    for (source, target) in &pairs {
        draft.relations.insert(dialect.folded(target));
        if dialect.is_reserved_name(target) {
            draft.refuse(
                source,
                "",
                format!("the target keeps names like \"{target}\" for itself"),
                "rename the table, or leave it with --exclude",
            );
        }
        if let Some(fault) = dialect.name_fault(Named::Table, target) {
            draft.refuse(source, "", fault, "give the table another name in the mapping (`to`)");
        }
        if source.contains('\0') || target.is_empty() {
            draft.refuse(
                source,
                "",
                "the name is empty or holds a NUL character",
                "rename the table on the source",
            );
        }
        if target.starts_with(RESERVED_PREFIX) {
            draft.refuse(
                source,
                "",
                format!("names that begin with {RESERVED_PREFIX} are kept for the tool's own records"),
                "rename the table, or leave it with --exclude",
            );
        }
    }
    pairs.into_iter().collect()
}

/// The name that the mapping gives. One that is too long is refused: cut, it would be another one than was
/// asked for.
pub(super) fn target_name(own: &str, table: &str, column: &str, max: usize, draft: &mut Draft) -> String {
    if own.len() > max {
        let why = format!("the mapping names it \"{own}\", of {} bytes; a name ends at {max}", own.len());
        draft.refuse(table, column, why, "shorten the name in the mapping");
    }
    names::cut(own, max).to_owned()
}
