//! The triggers of capture and of the fence, as text. Pure: the same shape gives the same text, which is how a
//! changed trigger is noticed.
//!
//! A change logs the key of each row that it leaves other than it was: the new key, the old one where it is
//! another, and the keys of rows that REPLACE removes, for which SQLite fires nothing. A key too many costs a
//! look at one row; a key too few would cost a row. So the guards, which run before the statement's own conflict
//! clause is known, log whoever may be removed.
//!
//! Whether a row is removed, or has another key now, is a trigger's WHEN: an INSERT with a SELECT into a table that has an INSERT trigger,
//! as the log has, goes through a table of SQLite's own, and would cost that for every row (decision 26).
//!
//! Names in a trigger's program are not qualified: SQLite finds them in the trigger's own file, also where an
//! application has attached it under another name.

use super::super::quote::ident;
use super::new_row;
use super::shape::{Part, Shape, Unique};
use std::collections::BTreeMap;

/// How the names of all triggers begin.
pub(super) const PREFIX: &str = "_switchover_live_";

/// The log's name.
pub(super) const LOG: &str = "_switchover_changes";

/// What somebody reads who would take entries out of the log.
const KEPT_MESSAGE: &str = "switchover: this log is not changed by hand, because it holds what the other store does not have yet; `switchover status` shows the run";

/// What the application reads when it writes to a fenced store.
pub(in super::super) const FENCE_MESSAGE: &str = "switchover: this store does not take writes now, because its data is moving to another store; ask `switchover route` which";

/// A trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TriggerText {
    /// Its name.
    pub(super) name: String,
    /// Its table.
    pub(super) table: String,
    /// Its statement, as the file keeps it.
    pub(super) sql: String,
}

fn trigger(number: usize, table: &str, what: &str, event: &str, body: &[String]) -> TriggerText {
    trigger_when(number, table, what, (event, ""), body)
}

/// With a condition, which is empty or begins with a blank and WHEN.
fn trigger_when(
    number: usize,
    table: &str,
    what: &str,
    (event, when): (&str, &str),
    body: &[String],
) -> TriggerText {
    let name = format!("{PREFIX}{what}_{number}");
    let sql = format!(
        "CREATE TRIGGER {} {event} ON {}{when} BEGIN {}; END",
        ident(&name),
        ident(table),
        body.join("; ")
    );
    TriggerText { name, table: table.to_owned(), sql }
}

fn insert(shape: &Shape, rest: &str) -> String {
    let keys = (1..=shape.key.len()).map(|at| format!(", k{at}")).collect::<String>();
    format!("INSERT INTO {} (t{keys}) {rest}", ident(LOG))
}

fn cells(shape: &Shape, row: &str) -> String {
    shape.key.iter().map(|column| format!(", {row}{}", ident(&column.name))).collect()
}

/// The triggers that capture a table.
pub(super) fn capture(shape: &Shape) -> Vec<TriggerText> {
    let number = shape.number;
    let of_table = |what: &str, event: &str, body: &[String]| trigger(number, &shape.name, what, event, body);
    let of = |row: &str| insert(shape, &format!("VALUES ({number}{})", cells(shape, row)));
    let mut all = vec![
        of_table("insert", "AFTER INSERT", &[of("NEW.")]),
        of_table("update", "AFTER UPDATE", &[of("NEW.")]),
        of_table("delete", "AFTER DELETE", &[of("OLD.")]),
    ];
    // Without a key the whole table is meant already.
    if !shape.key.is_empty() {
        let moved: Vec<String> = shape
            .key
            .iter()
            .map(|column| {
                let name = ident(&column.name);
                // What the key holds for one may be two values to the other store.
                match shape.key_is_rowid {
                    true => format!("OLD.{name} IS NOT NEW.{name}"),
                    false => format!(
                        "OLD.{name} IS NOT NEW.{name} COLLATE BINARY OR typeof(OLD.{name}) <> typeof(NEW.{name})"
                    ),
                }
            })
            .collect();
        let when = format!(" WHEN ({})", moved.join(" OR "));
        let event = ("AFTER UPDATE", &*when);
        all.push(trigger_when(number, &shape.name, "update_key", event, &[of("OLD.")]));
        all.extend(guard(shape, "replace_by_insert", false));
        all.extend(guard(shape, "replace_by_update", true));
    }
    all
}

/// The trigger that logs the rows which the new row may remove, where there can be any.
fn guard(shape: &Shape, what: &str, update: bool) -> Option<TriggerText> {
    let mut removed: Vec<String> = shape.uniques.iter().map(|unique| meets(shape, unique, update)).collect();
    // Another row may have the number that a statement gives to a row whose key is another.
    removed.extend(shape.rowid.map(|rowid| {
        let moved = if update { format!(" AND NEW.{rowid} IS NOT OLD.{rowid}") } else { String::new() };
        format!("{rowid} = NEW.{rowid}{moved}")
    }));
    if removed.is_empty() {
        return None;
    }
    let (number, from) = (shape.number, from(shape));
    let other = if update { format!(" AND {}", other_row(shape)) } else { String::new() };
    let rows = |list: &str, condition: &String| format!("SELECT {list} FROM {from} WHERE {condition}{other}");
    let list = format!("{number}{}", cells(shape, ""));
    let mut body: Vec<String> =
        removed.iter().map(|condition| insert(shape, &rows(&list, condition))).collect();
    if update {
        body.extend(named(&shape.bases));
    }
    let any: Vec<String> =
        removed.iter().map(|condition| format!("EXISTS ({})", rows("1", condition))).collect();
    let event = if update { "BEFORE UPDATE" } else { "BEFORE INSERT" };
    let when = format!(" WHEN ({})", any.join(" OR "));
    Some(trigger_when(number, &shape.name, what, (event, &*when), &body))
}

/// A step that names columns of the new row, and does nothing else.
///
/// Before an UPDATE SQLite loads a column that the statement leaves as it is only where a trigger names it, and computes generated
/// columns of NULL for the others: what takes another row's place would not be seen, and an expression that fails for NULL
/// would end the statement. Where the step stands makes no difference, nor whether it is come to: names are found before.
fn named(columns: &[String]) -> Option<String> {
    let names: Vec<String> = columns.iter().map(|column| format!("NEW.{}", ident(column))).collect();
    (!names.is_empty()).then(|| format!("SELECT {}", names.join(", ")))
}

/// The table in a guard: with an alias, should it be called NEW or OLD; else without, because an index's own text
/// may name the table.
pub(super) fn from(shape: &Shape) -> String {
    let alias = ["new", "old"].iter().any(|word| shape.name.eq_ignore_ascii_case(word));
    format!("{}{}", ident(&shape.name), if alias { " AS \"_switchover\"" } else { "" })
}

/// That a row is not the one that is updated.
fn other_row(shape: &Shape) -> String {
    let same = shape.key.iter().map(|column| {
        let name = ident(&column.name);
        // The key may be NULL in a file that SQLite lets have it, and then no `=` says that another row is another.
        format!("{name} IS OLD.{name} COLLATE {}", ident(&column.collation))
    });
    format!("NOT ({})", same.collect::<Vec<_>>().join(" AND "))
}

/// The condition under which a row of the table has the new row's place in a unique index.
fn meets(shape: &Shape, unique: &Unique, update: bool) -> String {
    let mut terms = Vec::new();
    let mut moved = Vec::new();
    if let Some(predicate) = &unique.predicate {
        // First, because of a row that the index does not hold an expression may fail.
        terms.push(format!("({}\n)", predicate.text));
    }
    for (part, collation) in &unique.parts {
        let collation = ident(collation);
        match part {
            Part::Column(name) => {
                let quoted = ident(name);
                terms.push(format!("{quoted} COLLATE {collation} {}", new_row::equals(shape, name)));
                moved.extend(new_row::moved(shape, name, &collation));
            }
            Part::Expression(formula) => {
                let value = new_row::indexed(shape, formula, unique.predicate.as_ref(), update);
                terms.push(format!("({}\n) COLLATE {collation} = {value}", formula.text));
                moved.clear();
                moved.push("1".to_owned());
            }
        }
    }
    // With a predicate a row may come into the index without any of its parts changing.
    if unique.predicate.is_none() && update && !moved.iter().any(|term| term == "1") {
        terms.push(format!("({})", moved.join(" OR ")));
    }
    terms.join(" AND ")
}

/// Queries that this SQLite can prepare if and only if it understands the guards' conditions.
pub(super) fn probes(shape: &Shape) -> Vec<String> {
    let row: Vec<String> =
        shape.columns.iter().map(|column| format!("NULL AS {}", ident(&column.name))).collect();
    shape
        .uniques
        .iter()
        .map(|unique| {
            // The table comes within, so that its columns are looked for first, as in a trigger.
            format!(
                "SELECT (SELECT 1 FROM {} WHERE {}) FROM (SELECT {}) AS NEW",
                from(shape),
                meets(shape, unique, false),
                row.join(", ")
            )
        })
        .collect()
}

/// The triggers that refuse every write of the application to a table; `bases` are what its generated columns may be computed of.
pub(super) fn fence(number: usize, table: &str, bases: &[String]) -> Vec<TriggerText> {
    let refuse = format!("SELECT RAISE(ABORT, {})", super::super::quote::literal(FENCE_MESSAGE));
    [("INSERT", "fence_insert"), ("UPDATE", "fence_update"), ("DELETE", "fence_delete")]
        .into_iter()
        .map(|(event, what)| {
            let named = named(bases).filter(|_| event == "UPDATE");
            let body: Vec<String> = [refuse.clone()].into_iter().chain(named).collect();
            trigger(number, table, what, &format!("BEFORE {event}"), &body)
        })
        .collect()
}

/// Whether triggers refuse every write to a table, whatever stands behind the step that does.
pub(super) fn is_fenced(number: usize, table: &str, there: &BTreeMap<String, String>) -> bool {
    fence(number, table, &[]).iter().all(|trigger| {
        let refusing = trigger.sql.strip_suffix("END").unwrap_or(&trigger.sql);
        there.get(&trigger.name).is_some_and(|sql| sql.starts_with(refusing))
    })
}

/// The triggers that keep the log's entries (decision 26). The engine's own connections fire none. Entries come by INSERT without a
/// number, which SQLite gives behind this trigger: so its condition ends with one comparison there.
pub(super) fn kept() -> Vec<TriggerText> {
    let (message, log) = (super::super::quote::literal(KEPT_MESSAGE), ident(LOG));
    let keep = |event: &str, what: &str, when: &str| {
        let name = format!("_switchover_log_{what}");
        let sql = format!(
            "CREATE TRIGGER {} BEFORE {event} ON {log}{when} BEGIN SELECT RAISE(ABORT, {message}); END",
            ident(&name)
        );
        TriggerText { name, table: LOG.to_owned(), sql }
    };
    // REPLACE fires nothing for what it removes.
    let taken = format!(" WHEN NEW.seq > 0 AND EXISTS (SELECT 1 FROM {log} WHERE seq = NEW.seq)");
    vec![keep("DELETE", "delete", ""), keep("UPDATE", "update", ""), keep("INSERT", "insert", &taken)]
}
