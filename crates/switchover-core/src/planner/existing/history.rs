//! Migration histories of the application's own tool: set aside, and held against each other.
//!
//! Absent: which tables are histories, and what their rows say, which is [`crate::existing`].

use super::names::{Match, find};
use crate::existing::{self, TargetSchema};
use crate::names::Naming;
use crate::plan::PlanOptions;
use crate::schema::{Catalog, Skipped, Table};

/// Takes migration-history tables out of what is moved, unless `--tables` names them, and gives them.
pub fn set_aside(catalog: &mut Catalog, options: &PlanOptions) -> Vec<Table> {
    let (histories, rest): (Vec<Table>, Vec<Table>) =
        std::mem::take(&mut catalog.tables).into_iter().partition(|table| {
            existing::history_of(&table.name).is_some() && !options.tables.contains(&table.name)
        });
    catalog.tables = rest;
    for table in &histories {
        let tool = existing::history_of(&table.name).unwrap_or_default();
        catalog.skipped.push(Skipped {
            kind: "table".into(),
            name: table.name.clone(),
            why: format!("the migration history of {tool}: the target keeps its own"),
        });
    }
    histories
}

/// The refusal of two stores whose migrations stand at different versions.
pub fn drift(
    table: &Table,
    source: &[existing::TextRow],
    target: &TargetSchema,
) -> Option<crate::plan::Refusal> {
    let Match::One(own) = find(&target.tables, |t| &t.name, &table.name, Naming::Keep) else { return None };
    let (here, there) = (
        existing::versions(&table.name, source)?,
        existing::versions(&table.name, own.history.as_deref().unwrap_or_default())?,
    );
    if here == there {
        return None;
    }
    let only = |a: &[String], b: &[String]| {
        let found: Vec<&str> = a.iter().filter(|v| !b.contains(v)).map(String::as_str).collect();
        let shown: Vec<&str> = found.iter().rev().take(VERSIONS_SHOWN).rev().copied().collect();
        match found.len() {
            0 => "nothing more".to_owned(),
            many if many > VERSIONS_SHOWN => format!("{many} more, the last {}", shown.join(", ")),
            _ => shown.join(", "),
        }
    };
    Some(crate::plan::Refusal {
        table: table.name.clone(),
        key: String::new(),
        column: String::new(),
        value: String::new(),
        why: format!(
            "the stores stand at different migrations: only the source has {}; only the target has {}",
            only(&here, &there),
            only(&there, &here)
        ),
        hint: format!(
            "bring both to one version of the application, or say --exclude {} when the difference means nothing",
            table.name
        ),
    })
}

/// Versions that a refusal names.
const VERSIONS_SHOWN: usize = 5;
