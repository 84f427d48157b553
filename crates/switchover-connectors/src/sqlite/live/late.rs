//! What SQLite knows of a new row only behind the guards: a default that REPLACE puts in the place of NULL, and the number that it chooses for the
//! row. Where a unique index goes by what is computed of them, and no guard can compute it before, capture is refused. So is it where a generated
//! column may not bear the number that SQLite has before.
//!
//! In a trigger that runs before, the number is -1 where SQLite is to choose it. It chooses one that no row has, so in an index that holds the number
//! itself the new row takes no other's place.

use super::super::inspect::Info;
use super::formula::{Formula, own_number};
use super::shape::{Asked, Condition, Part, Unique, has_default};
use std::collections::BTreeMap;

const REFILLED: &str = "a generated column of a column that is NOT NULL with a DEFAULT: where REPLACE puts the default in the place of NULL";
const NUMBERED: &str = "the row's own number, which SQLite may choose only behind the triggers: where such a row replaces another";

const EARLY: &str = "the row's own number: before any INSERT trigger, a guard or a fence, SQLite computes it of the number -1 where it is to choose one, and where it cannot be computed of that, every INSERT would end with its error";

/// Columns of a new row that a guard sees otherwise than they will be.
pub(super) struct Late {
    /// Generated columns of one in which REPLACE may put a default.
    pub(super) refilled: Vec<String>,
    /// The row's own number by each of its names.
    own: Vec<String>,
    /// The same, and the generated columns of it.
    numbered: Vec<String>,
    /// The column that is the number.
    number: Option<String>,
}

impl Late {
    /// Of a table's columns, the expressions of those that are generated, and the column that is the row's own number.
    pub(super) fn of(
        columns: &[Info],
        generated: &BTreeMap<String, Formula>,
        number: Option<&String>,
    ) -> Late {
        let filled = columns.iter().filter(|column| has_default(column)).map(|column| column.name.clone());
        let own: Vec<String> = own_number(columns).map(str::to_owned).chain(number.cloned()).collect();
        let mut numbered = over(generated, own.clone());
        numbered.extend(own.iter().cloned());
        Late { refilled: over(generated, filled.collect()), own, numbered, number: number.cloned() }
    }

    /// A condition that SQLite asks of a row as a guard can ask it, if it can.
    pub(super) fn asked(&self, condition: Condition) -> Option<Asked> {
        let names = match &condition {
            // SQLite gives it one.
            Condition::NotNull(name) if self.number.as_ref() == Some(name) => return None,
            Condition::NotNull(name) => std::slice::from_ref(name),
            Condition::Check(check) => &check.columns,
        };
        // By another name than its column's the number is in no row that is asked.
        let is_nameless = |name: &String| self.own.contains(name) && self.number.as_ref() != Some(name);
        if names.is_empty() || names.iter().any(|name| self.refilled.contains(name) || is_nameless(name)) {
            return None;
        }
        let is_by_number = names.iter().any(|name| self.numbered.contains(name));
        let by_number = self.number.clone().filter(|_| is_by_number);
        Some(Asked { condition, by_number })
    }

    /// Why the application could not insert beside a trigger that fires before, if it could not.
    pub(super) fn unborne(&self, generated: &BTreeMap<String, Formula>) -> Option<String> {
        let numbered = over(generated, vec![self.number.clone()?]);
        let column = numbered.iter().find(|name| generated.get(*name).is_some_and(|of| of.may_fail))?;
        Some(format!("the generated column {column} is computed of {EARLY}"))
    }

    /// Why it cannot be told which row makes room in an index, if it cannot.
    pub(super) fn untold(&self, generated: &BTreeMap<String, Formula>, unique: &Unique) -> Option<String> {
        let holds_number = unique.parts.iter().any(|(part, _)| match part {
            Part::Column(name) => Some(name) == self.number.as_ref(),
            Part::Expression(_) => false,
        });
        let parts = unique.parts.iter().filter_map(|(part, _)| match part {
            Part::Column(name) => {
                Some((format!("the generated column {name}"), generated.get(name)?, holds_number))
            }
            Part::Expression(formula) => Some((formula.text.clone(), formula, holds_number)),
        });
        // The new row is asked for the predicate only where an expression may fail.
        let predicate = unique.predicate.iter().filter(|_| unique.may_fail());
        let rows = predicate.map(|formula| (format!("rows by {}", formula.text), formula, false));
        parts.chain(rows).find_map(|(what, formula, is_fresh)| {
            let of = match formula.names_one_of(&self.refilled) {
                true => REFILLED,
                false if !is_fresh && formula.names_one_of(&self.numbered) => NUMBERED,
                false => return None,
            };
            let name = &unique.name;
            Some(format!("the unique index {name} holds {what}, which is computed of {of}, it cannot be told which row makes room"))
        })
    }
}

/// The generated columns over some columns, those over these, and so on.
fn over(generated: &BTreeMap<String, Formula>, mut below: Vec<String>) -> Vec<String> {
    let mut found = Vec::new();
    loop {
        let is_next =
            |(name, formula): &(&String, &Formula)| !found.contains(*name) && formula.names_one_of(&below);
        let next: Vec<String> = generated.iter().filter(is_next).map(|(name, _)| name.clone()).collect();
        if next.is_empty() {
            return found;
        }
        below.extend(next.iter().cloned());
        found.extend(next);
    }
}
