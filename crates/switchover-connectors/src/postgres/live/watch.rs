//! Whether the gates and the capture are as this run has left them, and the tables as they were then.
//!
//! What the server says of them is kept as a text when they are made (`_switchover_watch`) and compared later, in the
//! read point of every reading of the log. A text that differs is a doubt, and a doubt is a loss.

use super::objects::{self, WATCH};
use super::session::Session;
use crate::postgres::quote;
use std::collections::HashMap;
use switchover_core::plan::{Plan, TablePlan};
use switchover_core::{Error, Kind, Result};

/// What is kept of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// The relation, and those of its columns that the plan has.
    Columns,
    /// The gate.
    Gate,
    /// The capture.
    Log,
}

const PARTS: [(Part, &str); 3] = [(Part::Columns, "columns"), (Part::Gate, "gate"), (Part::Log, "log")];

/// A table's texts.
#[derive(Debug, Default, Clone)]
struct Print {
    columns: String,
    gate: Option<String>,
    log: Option<String>,
}

impl Print {
    fn part(&self, part: Part) -> Option<&str> {
        match part {
            Part::Columns => Some(&self.columns),
            Part::Gate => self.gate.as_deref(),
            Part::Log => self.log.as_deref(),
        }
    }
}

/// What is there now, and what was kept.
#[derive(Debug)]
pub(super) struct Watch {
    found: HashMap<String, Print>,
    kept: HashMap<(usize, Part), String>,
}

/// A table that is not as it was left.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) table: usize,
    pub(super) column: Option<usize>,
    pub(super) what: String,
}

/// What is asked about: the plan's tables, and the columns of each.
fn asked(plan: &Plan) -> (Vec<&str>, Vec<String>) {
    let columns = |table: &TablePlan| {
        table.columns.iter().map(|column| column.target.as_str()).collect::<Vec<_>>().join("\u{1}")
    };
    plan.tables.iter().map(|table| (table.target.as_str(), columns(table))).unzip()
}

/// Where the store's mark is kept, among the prints: at no table's number (docs/decisions/0027).
pub(super) const MARKS: i32 = -1;
pub(super) const MARK: &str = "mark";
/// The mark of the last position up to which the log was forgotten, beside it.
pub(super) const SETTLED: &str = "settled";

/// The digest of what is there and of what was kept: two that are equal stand for the same. The log is read many
/// times a second, and what did not change since it was compared need not be told again.
pub(super) async fn digest(session: &mut Session, plan: &Plan) -> Result<String, tokio_postgres::Error> {
    let schema = &plan.options.schema;
    let sql = format!(
        "SELECT pg_catalog.md5(pg_catalog.concat(
            (SELECT pg_catalog.string_agg(p::text, E'\\n' ORDER BY p.relname)
                FROM ({}) p(relname, relation, columns, gate, log)),
            (SELECT pg_catalog.string_agg(w::text, E'\\n' ORDER BY w.t, w.part) FROM {} w WHERE w.t >= 0)))",
        objects::PRINTS,
        quote::qualified(schema, WATCH)
    );
    let (names, columns) = asked(plan);
    let statement = session.prepared(&sql).await?;
    Ok(session.client().query_one(&statement, &[schema, &names, &columns]).await?.get(0))
}

impl Watch {
    /// Reads both, in the session's transaction.
    pub(super) async fn read(session: &mut Session, plan: &Plan) -> Result<Watch, tokio_postgres::Error> {
        let schema = &plan.options.schema;
        let kept = format!("SELECT t, part, print FROM {} WHERE t >= 0", quote::qualified(schema, WATCH));
        let (names, columns) = asked(plan);
        let prints = session.prepared(objects::PRINTS).await?;
        let kept = session.prepared(&kept).await?;
        let client = session.client();
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [schema, &names, &columns];
        let (found, kept) = tokio::join!(client.query(&prints, &parameters), client.query(&kept, &[]));
        let found = found?
            .iter()
            .map(|row| {
                let (relation, columns): (&str, Option<&str>) = (row.get(1), row.get(2));
                let columns = format!("{relation}\n{}", columns.unwrap_or_default());
                (row.get(0), Print { columns, gate: row.get(3), log: row.get(4) })
            })
            .collect();
        let kept = kept?
            .iter()
            .filter_map(|row| {
                let table = usize::try_from(row.get::<_, i32>(0)).ok()?;
                let (part, _) = PARTS.iter().find(|(_, word)| *word == row.get::<_, &str>(1))?;
                Some(((table, *part), row.get(2)))
            })
            .collect();
        Ok(Watch { found, kept })
    }

    /// Whether a table has something of that part now.
    pub(super) fn has(&self, plan: &Plan, table: usize, part: Part) -> bool {
        self.found.get(&plan.tables[table].target).is_some_and(|print| print.part(part).is_some())
    }

    /// Whether something of that part was kept of a table.
    pub(super) fn is_kept(&self, table: usize, part: Part) -> bool {
        self.kept.contains_key(&(table, part))
    }

    /// The tables that are not as they were left: all parts that were kept are compared.
    pub(super) fn losses(&self, plan: &Plan) -> Vec<Loss> {
        let mut losses = Vec::new();
        for (table, planned) in plan.tables.iter().enumerate() {
            let found = self.found.get(&planned.target);
            for (part, word) in PARTS {
                let Some(kept) = self.kept.get(&(table, part)) else { continue };
                let Some(found) = found else {
                    losses.push(Loss { table, column: None, what: "the table is not there".into() });
                    break;
                };
                if found.part(part) == Some(kept) {
                    continue;
                }
                losses.push(match part {
                    Part::Columns => drift(plan, table, &found.columns, kept),
                    Part::Gate | Part::Log if found.part(part).is_none() => {
                        Loss { table, column: None, what: format!("its triggers of the {word} were removed") }
                    }
                    Part::Gate | Part::Log => Loss {
                        table,
                        column: None,
                        what: format!("its triggers of the {word} were switched off or changed"),
                    },
                });
                break;
            }
        }
        losses
    }

    /// That nothing was lost, and that everything is watched.
    pub(super) fn check(&self, plan: &Plan, label: &str, operation: &str) -> Result<()> {
        if let Some(loss) = self.losses(plan).into_iter().next() {
            return Err(loss.error(plan, label, operation));
        }
        match (0..plan.tables.len()).find(|table| !self.is_kept(*table, Part::Log)) {
            Some(table) => {
                let what = "its changes are not captured".to_owned();
                Err(Loss { table, column: None, what }.error(plan, label, operation))
            }
            None => Ok(()),
        }
    }
}

impl Loss {
    /// The error that it is where it cannot be repaired.
    pub(super) fn error(&self, plan: &Plan, label: &str, operation: &str) -> Error {
        let table = &plan.tables[self.table];
        let error = Error::new(Kind::Changed, operation)
            .store(label)
            .table(table.target.clone())
            .detail(format!("{}: what changed in it since is unknown", self.what))
            .hint("the table has to be copied again; leave the tables and triggers as they are while the run lasts");
        match self.column {
            Some(column) => error.column(table.columns[column].target.clone()),
            None => error,
        }
    }
}

/// What became of a table's columns.
fn drift(plan: &Plan, table: usize, found: &str, kept: &str) -> Loss {
    let columns = &plan.tables[table].columns;
    let line = |text: &str, name: &str| -> Option<String> {
        let start = format!("{name} ");
        text.lines().skip(1).find(|line| line.starts_with(&start)).map(str::to_owned)
    };
    let differs = |name: &str| line(found, name) != line(kept, name);
    let column = columns.iter().position(|column| differs(&column.target));
    let what = match column {
        Some(at) if line(found, &columns[at].target).is_none() => "the column is not there".to_owned(),
        Some(_) => "the column is another one, or of another type".to_owned(),
        None => {
            "the table is another one, or has got rules, policies or tables that inherit from it".to_owned()
        }
    };
    Loss { table, column, what }
}

/// Keeps what the tables' parts are now.
pub(super) async fn keep(
    session: &mut Session,
    plan: &Plan,
    tables: &[usize],
    parts: &[Part],
) -> Result<(), tokio_postgres::Error> {
    let watch = Watch::read(session, plan).await?;
    let sql = format!(
        "INSERT INTO {} (t, part, print) VALUES ($1, $2, $3)
         ON CONFLICT (t, part) DO UPDATE SET print = EXCLUDED.print",
        quote::qualified(&plan.options.schema, WATCH)
    );
    let insert = session.prepared(&sql).await?;
    for table in tables {
        let found = watch.found.get(&plan.tables[*table].target);
        for (part, word) in PARTS.iter().filter(|(part, _)| parts.contains(part)) {
            let Some(print) = found.and_then(|found| found.part(*part)) else { continue };
            // The plan's tables are few: their numbers fit.
            session.client().execute(&insert, &[&(*table as i32), word, &print]).await?;
        }
    }
    Ok(())
}
