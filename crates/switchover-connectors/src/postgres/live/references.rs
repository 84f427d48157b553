//! Foreign keys in the two forms that they have in a live run.
//!
//! While the target follows, rows are removed and put in again within one transaction, so nothing may cascade and
//! every check must be able to wait: the *waiting* form. When the target owns the data, the plan's own form counts.
//!
//! - A key that acts on nothing has one constraint in both: it is deferrable while the target follows, which
//!   changes nothing for an application that does not ask for it. So the decision leaves it alone.
//! - A key with an action has a constraint of another name while the target follows. The decision adds the plan's
//!   own, unproven, which no reader waits for; the proof, and the end of the other one, follow it (`prove`).
//!
//! Pure but for reading what is there.

use crate::postgres::quote::{ident, qualified};
use crate::postgres::steps::add_foreign_key;
use std::collections::HashMap;
use switchover_core::plan::{ForeignKeyPlan, Plan};
use tokio_postgres::{Client, Row};

/// A constraint that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Present {
    deferrable: bool,
    valid: bool,
}

/// The foreign keys of the plan's tables that are there, by table and name.
pub(super) type Found = HashMap<(String, String), Present>;

/// Asks for [`Found`]; its parameter is the schema.
pub(super) const FOUND: &str = "SELECT r.relname::text, c.conname::text, c.condeferrable, c.convalidated
    FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_class r ON r.oid = c.conrelid
    WHERE c.contype = 'f'
        AND c.connamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1)";

pub(super) fn found(rows: &[Row]) -> Found {
    let one = |row: &Row| ((row.get(0), row.get(1)), Present { deferrable: row.get(2), valid: row.get(3) });
    rows.iter().map(one).collect()
}

/// Reads [`Found`].
pub(super) async fn read(client: &Client, schema: &str) -> Result<Found, tokio_postgres::Error> {
    Ok(found(&client.query(FOUND, &[&schema]).await?))
}

/// Whether a change of the parent acts on the key's rows, or is checked without waiting.
fn acts(key: &ForeignKeyPlan) -> bool {
    let acts = |action: &str| matches!(action, "RESTRICT" | "SET NULL" | "SET DEFAULT" | "CASCADE");
    acts(&key.on_delete) || acts(&key.on_update)
}

/// The key's waiting form. Beside the plan's own it must find what that one's actions have done, so it waits for
/// the commit.
fn waiting(key: &ForeignKeyPlan, table: usize, at: usize) -> ForeignKeyPlan {
    let acts = acts(key);
    ForeignKeyPlan {
        name: if acts { format!("_switchover_key_{table}_{at}") } else { key.name.clone() },
        on_delete: "NO ACTION".into(),
        on_update: "NO ACTION".into(),
        deferrable: true,
        initially_deferred: acts || key.initially_deferred,
        ..key.clone()
    }
}

/// Statements that change the keys' forms, in their order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Forms {
    /// New constraints, unproven, and changes of deferrability.
    pub(super) first: String,
    /// Proofs.
    pub(super) proofs: Vec<String>,
    /// What goes, by the qualified name of the table that it is of.
    pub(super) last: Vec<(String, String)>,
}

/// Each table's clauses, gathered.
fn forms(
    plan: &Plan,
    mut one: impl FnMut(usize, usize, &ForeignKeyPlan, &str, &mut [Vec<String>; 3]),
) -> Forms {
    let schema = &plan.options.schema;
    let mut forms = Forms::default();
    for (table, planned) in plan.tables.iter().enumerate() {
        let mut clauses: [Vec<String>; 3] = Default::default();
        for (at, key) in planned.foreign_keys.iter().enumerate() {
            one(table, at, key, &planned.target, &mut clauses);
        }
        let name = qualified(schema, &planned.target);
        let alter = |clauses: &[String]| format!("ALTER TABLE {name} {};", clauses.join(", "));
        let [first, proofs, last] = &clauses;
        // Deferrability is changed by a statement of its own.
        for clause in first.iter().filter(|clause| clause.starts_with("ALTER")) {
            forms.first.push_str(&alter(std::slice::from_ref(clause)));
        }
        let added: Vec<String> =
            first.iter().filter(|clause| !clause.starts_with("ALTER")).cloned().collect();
        if !added.is_empty() {
            forms.first.push_str(&alter(&added));
        }
        if !proofs.is_empty() {
            forms.proofs.push(alter(proofs));
        }
        if !last.is_empty() {
            forms.last.push((name.clone(), alter(last)));
        }
    }
    forms
}

fn add(schema: &str, key: &ForeignKeyPlan) -> String {
    format!("{} NOT VALID", add_foreign_key(schema, key))
}

fn prove(name: &str) -> String {
    format!("VALIDATE CONSTRAINT {}", ident(name))
}

fn drop(name: &str) -> String {
    format!("DROP CONSTRAINT {}", ident(name))
}

/// The waiting forms of those that are there: a key that no step has made yet is the steps' to make.
pub(super) fn to_follow(plan: &Plan, found: &Found) -> Forms {
    let schema = &plan.options.schema;
    forms(plan, |table, at, key, target, [first, proofs, last]| {
        let waiting = waiting(key, table, at);
        let there = |name: &str| found.get(&(target.to_owned(), name.to_owned())).copied();
        match (there(&waiting.name), there(&key.name)) {
            (None, None) => return,
            (None, Some(_)) => first.push(add(schema, &waiting)),
            (Some(present), _) if !present.deferrable => {
                first.push(format!("ALTER CONSTRAINT {} DEFERRABLE", ident(&waiting.name)));
            }
            (Some(_), _) => {}
        }
        if acts(key) && there(&key.name).is_some() {
            if there(&waiting.name).is_none_or(|present| !present.valid) {
                proofs.push(prove(&waiting.name));
            }
            last.push(drop(&key.name));
        }
    })
}

/// The plan's own forms, from whatever is there: `first` is the decision's; the rest, asked for again behind it, may
/// follow it. A key that the owner of the data has dropped since is not proven.
pub(super) fn to_own(plan: &Plan, found: &Found) -> Forms {
    let schema = &plan.options.schema;
    forms(plan, |table, at, key, target, [first, proofs, last]| {
        let waiting = waiting(key, table, at);
        let there = |name: &str| found.get(&(target.to_owned(), name.to_owned())).copied();
        let own = there(&key.name);
        if own.is_none() {
            first.push(add(schema, key));
        }
        if own.is_some_and(|present| !present.valid) {
            proofs.push(prove(&key.name));
        }
        if acts(key) {
            if own.is_some() && there(&waiting.name).is_some() {
                last.push(drop(&waiting.name));
            }
        } else if own.is_some_and(|present| present.deferrable) && !key.deferrable {
            last.push(format!("ALTER CONSTRAINT {} NOT DEFERRABLE", ident(&key.name)));
        }
    })
}

/// The clauses of a table's waiting forms, unproven, and of their proofs.
pub(super) fn declared(plan: &Plan, table: usize) -> (Vec<String>, Vec<String>) {
    let keys = plan.tables[table].foreign_keys.iter().enumerate();
    keys.map(|(at, key)| {
        let waiting = waiting(key, table, at);
        (add(&plan.options.schema, &waiting), prove(&waiting.name))
    })
    .unzip()
}
