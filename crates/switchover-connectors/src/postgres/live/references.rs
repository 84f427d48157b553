//! Foreign keys in the two forms that they have in a live run.
//!
//! While the target follows, rows are removed and put in again within one transaction, so nothing may cascade and
//! every check must be able to wait: the *waiting* form. When the target owns the data, the key's own form counts.
//!
//! - A key that acts on nothing has one constraint in both: it is deferrable while the target follows, which
//!   changes nothing for an application that does not ask for it. So the decision leaves it alone.
//! - A key with an action has a constraint of another name while the target follows. The decision adds its
//!   own, unproven, which no reader waits for; the proof, and the end of the other one, follow it (`prove`).
//!
//! The own form is the plan's, or, of tables that were there, the server's words as they were found; those may belong to a child
//! that is not in the plan. Pure but for reading what is there.

use crate::postgres::quote::{ident, literal, qualified};
use crate::postgres::steps::add_foreign_key;
use std::collections::{BTreeSet, HashMap};
use switchover_core::existing::StandingKey;
use switchover_core::plan::{ForeignKeyPlan, Plan};
use tokio_postgres::{Client, Row};

/// A constraint that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Present {
    deferrable: bool,
    valid: bool,
}

/// The foreign keys of the schema's tables that are there, by table and name.
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

/// A key of the run, in both forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// The table of the plan at which it stands: its child, else its parent.
    pub(super) home: usize,
    /// The table that it is of.
    pub(crate) child: String,
    /// The table that it leads to.
    pub(super) parent: String,
    /// Its name.
    name: String,
    /// The name of the waiting form; the same where the key acts on nothing.
    waiting_name: String,
    /// The clause that adds its own form.
    own: String,
    /// The clause that adds the waiting form.
    waiting: String,
    /// What is said about it, as a statement.
    remark: Option<String>,
    acts: bool,
    deferrable: bool,
}

impl Key {
    /// The statement that removes it, in whichever forms it is there.
    pub(crate) fn down(&self, schema: &str) -> String {
        let clauses = [Some(&self.name), self.acts.then_some(&self.waiting_name)].into_iter().flatten();
        let clauses: Vec<String> =
            clauses.map(|name| format!("DROP CONSTRAINT IF EXISTS {}", ident(name))).collect();
        format!("ALTER TABLE {} {}", qualified(schema, &self.child), clauses.join(", "))
    }

    /// The statement that makes it as it was.
    pub(crate) fn up(&self, schema: &str) -> String {
        let remark = self.remark.iter().map(|remark| format!("; {remark}")).collect::<String>();
        format!("ALTER TABLE {} {}{remark}", qualified(schema, &self.child), self.own)
    }

    /// The statement that puts it in the place of another one of its name while the target follows: in the form in which it waits. One that
    /// acts has a constraint of another name then, and the decision makes its own.
    pub(crate) fn again(&self, schema: &str) -> String {
        let up = if self.acts { String::new() } else { format!(", {}", self.waiting) };
        let remark = self.remark.iter().filter(|_| !self.acts);
        let remark = remark.map(|remark| format!("; {remark}")).collect::<String>();
        format!(
            "ALTER TABLE {} DROP CONSTRAINT {}{up}{remark}",
            qualified(schema, &self.child),
            ident(&self.name)
        )
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

/// The keys of a plan, those of one child side by side.
pub(crate) fn keys(plan: &Plan) -> Vec<Key> {
    let schema = &plan.options.schema;
    let mut keys = Vec::new();
    for (home, table) in plan.tables.iter().enumerate() {
        let Some(standing) = &table.standing else {
            let of_plan = table.foreign_keys.iter().enumerate();
            keys.extend(of_plan.map(|(at, key)| planned(schema, (home, at), &table.target, key)));
            continue;
        };
        let mut found: Vec<Key> = standing
            .references
            .iter()
            .enumerate()
            .map(|(at, key)| standing_key(schema, (home, at), key))
            .collect();
        found.sort_by(|a, b| a.child.cmp(&b.child));
        keys.extend(found);
    }
    keys
}

/// The tables that a change of the keys locks, qualified: the children, and those parents that are the plan's.
pub(super) fn tables(plan: &Plan) -> Vec<String> {
    let planned = |name: &String| plan.tables.iter().any(|table| &table.target == name);
    let names = keys(plan).into_iter().flat_map(|key| {
        let parent = Some(key.parent).filter(planned);
        [Some(key.child), parent].into_iter().flatten()
    });
    let names: BTreeSet<String> = names.collect();
    names.iter().map(|name| qualified(&plan.options.schema, name)).collect()
}

/// The name of a waiting form that is another constraint.
fn waiting_name((home, at): (usize, usize)) -> String {
    format!("_switchover_key_{home}_{at}")
}

/// Whether a key of the plan does anything, and has another name while it waits.
fn acts(key: &ForeignKeyPlan) -> bool {
    let acts = |action: &str| matches!(action, "RESTRICT" | "SET NULL" | "SET DEFAULT" | "CASCADE");
    acts(&key.on_delete) || acts(&key.on_update)
}

/// The waiting form of a key that the run makes. Beside the plan's own form it must find what that one's actions have done, so it waits
/// for the commit.
pub(crate) fn waiting_form(place: (usize, usize), key: &ForeignKeyPlan) -> ForeignKeyPlan {
    let acts = acts(key);
    ForeignKeyPlan {
        name: if acts { waiting_name(place) } else { key.name.clone() },
        on_delete: "NO ACTION".into(),
        on_update: "NO ACTION".into(),
        deferrable: true,
        initially_deferred: acts || key.initially_deferred,
        ..key.clone()
    }
}

/// A key that the run makes.
fn planned(schema: &str, place: (usize, usize), child: &str, key: &ForeignKeyPlan) -> Key {
    let waiting = waiting_form(place, key);
    Key {
        home: place.0,
        child: child.to_owned(),
        parent: key.parent.clone(),
        name: key.name.clone(),
        own: add_foreign_key(schema, key),
        waiting: add_foreign_key(schema, &waiting),
        waiting_name: waiting.name,
        remark: None,
        acts: acts(key),
        deferrable: key.deferrable,
    }
}

/// A key that was there.
fn standing_key(schema: &str, place: (usize, usize), found: &StandingKey) -> Key {
    let key = &found.key;
    let parent = key.parent.clone().unwrap_or_default();
    let list = |names: &[String]| names.iter().map(|name| ident(name)).collect::<Vec<_>>().join(", ");
    let own = format!("ADD CONSTRAINT {} {}", ident(&key.name), key.definition);
    let (name, waiting) = if key.acts {
        let name = waiting_name(place);
        let full = if key.full { " MATCH FULL" } else { "" };
        let clause = format!(
            "ADD CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {} ({}){full} DEFERRABLE INITIALLY DEFERRED",
            ident(&name),
            list(&key.columns),
            qualified(schema, &parent),
            list(&key.parent_columns)
        );
        (name, clause)
    } else {
        (key.name.clone(), format!("{own}{}", if key.deferrable { "" } else { " DEFERRABLE" }))
    };
    let said = |comment: &String| {
        let child = qualified(schema, &found.table);
        format!("COMMENT ON CONSTRAINT {} ON {child} IS {}", ident(&key.name), literal(comment))
    };
    Key {
        home: place.0,
        child: found.table.clone(),
        parent,
        name: key.name.clone(),
        waiting_name: name,
        own,
        waiting,
        remark: key.comment.as_ref().map(said),
        acts: key.acts,
        deferrable: key.deferrable,
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

/// Clauses of one child: what is added, what is altered, remarks, proofs, and what goes.
#[derive(Debug, Default)]
struct Clauses {
    added: Vec<String>,
    /// Deferrability is changed by a statement of its own.
    altered: Vec<String>,
    remarks: Vec<String>,
    proofs: Vec<String>,
    last: Vec<String>,
}

/// Each child's clauses, gathered.
fn forms(plan: &Plan, mut one: impl FnMut(&Key, &mut Clauses)) -> Forms {
    let schema = &plan.options.schema;
    let mut forms = Forms::default();
    for keys in keys(plan).chunk_by(|a, b| a.home == b.home && a.child == b.child) {
        let mut clauses = Clauses::default();
        keys.iter().for_each(|key| one(key, &mut clauses));
        let name = qualified(schema, &keys[0].child);
        let alter = |clauses: &[String]| format!("ALTER TABLE {name} {};", clauses.join(", "));
        for clause in &clauses.altered {
            forms.first.push_str(&alter(std::slice::from_ref(clause)));
        }
        if !clauses.added.is_empty() {
            forms.first.push_str(&alter(&clauses.added));
        }
        clauses.remarks.iter().for_each(|remark| forms.first.push_str(&format!("{remark};")));
        if !clauses.proofs.is_empty() {
            forms.proofs.push(alter(&clauses.proofs));
        }
        if !clauses.last.is_empty() {
            forms.last.push((name.clone(), alter(&clauses.last)));
        }
    }
    forms
}

fn unproven(clause: &str) -> String {
    format!("{clause} NOT VALID")
}

fn prove(name: &str) -> String {
    format!("VALIDATE CONSTRAINT {}", ident(name))
}

fn drop(name: &str) -> String {
    format!("DROP CONSTRAINT {}", ident(name))
}

/// The waiting forms of those that are there: a key that no step has made yet is the steps' to make.
pub(super) fn to_follow(plan: &Plan, found: &Found) -> Forms {
    forms(plan, |key, clauses| {
        let there = |name: &str| found.get(&(key.child.clone(), name.to_owned())).copied();
        match (there(&key.waiting_name), there(&key.name)) {
            (None, None) => return,
            (None, Some(_)) => clauses.added.push(unproven(&key.waiting)),
            (Some(present), _) if !present.deferrable => {
                clauses.altered.push(format!("ALTER CONSTRAINT {} DEFERRABLE", ident(&key.waiting_name)));
            }
            (Some(_), _) => {}
        }
        if key.acts && there(&key.name).is_some() {
            if there(&key.waiting_name).is_none_or(|present| !present.valid) {
                clauses.proofs.push(prove(&key.waiting_name));
            }
            clauses.last.push(drop(&key.name));
        }
    })
}

/// The own forms, from whatever is there: `first` is the decision's; the rest, asked for again behind it, may
/// follow it. A key that the owner of the data has dropped since is not proven.
pub(super) fn to_own(plan: &Plan, found: &Found) -> Forms {
    forms(plan, |key, clauses| {
        let there = |name: &str| found.get(&(key.child.clone(), name.to_owned())).copied();
        let own = there(&key.name);
        if own.is_none() {
            clauses.added.push(unproven(&key.own));
            clauses.remarks.extend(key.remark.clone());
        }
        if own.is_some_and(|present| !present.valid) {
            clauses.proofs.push(prove(&key.name));
        }
        if key.acts {
            if own.is_some() && there(&key.waiting_name).is_some() {
                clauses.last.push(drop(&key.waiting_name));
            }
        } else if own.is_some_and(|present| present.deferrable) && !key.deferrable {
            clauses.last.push(format!("ALTER CONSTRAINT {} NOT DEFERRABLE", ident(&key.name)));
        }
    })
}

/// The waiting forms of one child's keys, as the steps make them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Declared {
    /// The table of the plan at which they stand.
    pub(super) home: usize,
    /// The table that they are of.
    pub(super) child: String,
    /// Whether one of them leads to one of these tables.
    pub(super) parents: Vec<String>,
    /// The clauses that declare them, unproven.
    pub(super) declared: Vec<String>,
    /// What is said about those that keep their name.
    pub(super) remarks: Vec<String>,
    /// The clauses that prove them.
    pub(super) proven: Vec<String>,
    /// The statements that remove them.
    pub(super) down: Vec<String>,
}

/// The waiting forms, by child.
pub(super) fn declared(plan: &Plan) -> Vec<Declared> {
    let schema = &plan.options.schema;
    let keys = keys(plan);
    let of_child = keys.chunk_by(|a, b| a.home == b.home && a.child == b.child);
    of_child
        .map(|keys| Declared {
            home: keys[0].home,
            child: keys[0].child.clone(),
            parents: keys.iter().map(|key| key.parent.clone()).collect(),
            declared: keys.iter().map(|key| unproven(&key.waiting)).collect(),
            remarks: keys.iter().filter(|key| !key.acts).filter_map(|key| key.remark.clone()).collect(),
            proven: keys.iter().map(|key| prove(&key.waiting_name)).collect(),
            down: keys.iter().map(|key| key.down(schema)).collect(),
        })
        .collect()
}
