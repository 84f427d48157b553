//! The target's numbering: where it goes on when the target becomes the owner, and how far it came until the owner changes back.
//!
//! Invariant: a sequence is moved on and never back, so that no number is given twice.

use super::session::Session;
use crate::postgres::quote::{ident, literal, qualified};
use switchover_core::plan::Plan;

/// A column that is numbered.
struct Numbered<'a> {
    /// Its table, by index in the plan.
    at: usize,
    column: &'a str,
    /// What finds its sequence, as an expression of `regclass`.
    sequence: String,
    /// The sequence as a relation, where its name is known: one that was there may begin, and stand, wherever its migration says.
    relation: Option<String>,
    /// The number behind which it goes on at least, as the plan has it.
    least: i64,
    /// Whether the source numbers it as well.
    assigned: bool,
}

fn numbered(plan: &Plan) -> Vec<Numbered<'_>> {
    let schema = &plan.options.schema;
    let mut all = Vec::new();
    for (at, table) in plan.tables.iter().enumerate() {
        for column in &table.columns {
            let Some(next) = column.identity_next else { continue };
            // The sequence's name is the server's choice, so it is asked for.
            let sequence = format!(
                "pg_catalog.pg_get_serial_sequence({}, {})::pg_catalog.regclass",
                literal(&qualified(schema, &table.target)),
                literal(&column.target)
            );
            let (column, least) = (column.target.as_str(), next.saturating_sub(1));
            all.push(Numbered { at, column, sequence, relation: None, least, assigned: true });
        }
        for own in table.standing.iter().flat_map(|standing| &standing.sequences) {
            if !table.columns.iter().any(|column| column.target == own.column) {
                continue;
            }
            let name = qualified(&own.schema, &own.name);
            all.push(Numbered {
                at,
                column: &own.column,
                sequence: format!("{}::pg_catalog.regclass", literal(&name)),
                relation: Some(name),
                least: own.next.map_or(0, |next| next.saturating_sub(1)),
                assigned: own.assigned,
            });
        }
    }
    all
}

/// The statements that have all numbering go on behind the largest number that either store ever gave or holds.
pub(super) fn moved_on(plan: &Plan, numbering: &[(usize, i64)]) -> String {
    let mut sql = String::new();
    for own in numbered(plan) {
        let given = numbering.iter().filter(|(table, _)| *table == own.at && own.assigned);
        let least = given.map(|(_, number)| *number).max().unwrap_or(0).max(own.least);
        let name = qualified(&plan.options.schema, &plan.tables[own.at].target);
        let (sequence, column) = (&own.sequence, ident(own.column));
        match &own.relation {
            None => sql.push_str(&format!(
                "SELECT pg_catalog.setval(s.seq, GREATEST(s.most, 1), s.most >= 1)
                 FROM (SELECT q.seq, GREATEST({least}, (SELECT max({column}) FROM {name}),
                         pg_catalog.pg_sequence_last_value(q.seq)) AS most
                     FROM (SELECT {sequence} AS seq) q) s;"
            )),
            Some(relation) => sql.push_str(&format!(
                "SELECT pg_catalog.setval({sequence}, s.most, true)
                 FROM (SELECT GREATEST({least}, (SELECT max({column}) FROM {name})::pg_catalog.int8) AS most) s, {relation} q
                 WHERE s.most >= 1 AND (q.last_value < s.most OR (q.last_value = s.most AND NOT q.is_called));"
            )),
        }
    }
    sql
}

/// The largest numbers that the target gave, where the source numbers the same.
pub(super) async fn given(
    session: &Session,
    plan: &Plan,
) -> Result<Vec<(usize, i64)>, tokio_postgres::Error> {
    let mut numbers = Vec::new();
    for own in numbered(plan).into_iter().filter(|own| own.assigned) {
        let sql = format!("SELECT pg_catalog.pg_sequence_last_value({})", own.sequence);
        if let Some(number) = session.client().query_one(&sql, &[]).await?.get(0) {
            numbers.push((own.at, number));
        }
    }
    Ok(numbers)
}
