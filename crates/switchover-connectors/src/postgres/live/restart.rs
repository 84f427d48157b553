//! The steps after the copy in the order of a live run, and tables that go back to copy.

use super::PostgresLive;
use super::gate::LOCK_WAIT;
use super::objects::{self, CHANGES, LIVE, WATCH};
use super::references::{self, Declared};
use super::session::{Session, begin_ours, busy};
use super::watch::{self, Part, Watch};
use crate::postgres::quote::{ident, qualified};
use crate::postgres::steps::{self, TableSteps, create_table};
use crate::postgres::{ledger, standing};
use std::collections::BTreeSet;
use switchover_core::connector::{BuildStage, BuildStep};
use switchover_core::failpoint;
use switchover_core::live::LiveStage;
use switchover_core::plan::{KeyPlan, Plan, TablePlan};
use switchover_core::{Error, Kind, Result};

/// The steps of the foreign keys, by which `restart` forgets them.
const WAITING: &str = "waiting keys";
const PROOF: &str = "proof of the waiting keys";

/// All steps after the copy. They are the ordinary ones, but for the keys, which come one kind at a time, the
/// foreign keys, which have the waiting form, and the numbering, which the decision sets. Of tables that were there they
/// are what was taken down for the copy.
pub(super) fn live_steps(plan: &Plan) -> Vec<(LiveStage, BuildStep)> {
    let mut all: Vec<(LiveStage, BuildStep)> = Vec::new();
    let stood = plan.options.existing.is_some();
    for step in steps::build_steps(plan) {
        let primary = step.table.and_then(|at| {
            let key = plan.tables[at].primary_key.as_ref()?;
            Some(step.id == format!("{at}:index {}", key.name))
        });
        let stage = match step.stage {
            BuildStage::Indexes if primary == Some(true) => LiveStage::Keys,
            BuildStage::Indexes => LiveStage::Uniques,
            BuildStage::Keys if stood => LiveStage::Uniques,
            BuildStage::Statistics => LiveStage::Last,
            BuildStage::Finish if step.table.is_none() => LiveStage::Last,
            BuildStage::Finish | BuildStage::Keys | BuildStage::ForeignKeys | BuildStage::Validation => {
                continue;
            }
        };
        all.push((stage, step));
    }
    for (at, table) in plan.tables.iter().enumerate() {
        let name = qualified(&plan.options.schema, &table.target);
        let mut add = |live: LiveStage, stage: BuildStage, id: &str, clauses: &[String]| {
            let mut made = Vec::new();
            TableSteps { at, table, steps: &mut made }.alter(stage, id, &name, clauses);
            all.extend(made.into_iter().map(|step| (live, step)));
        };
        let over = |kind: &str, key: &KeyPlan| {
            format!("ADD CONSTRAINT {0} {kind} USING INDEX {0}", ident(&key.name))
        };
        if stood {
            continue;
        }
        let primary: Vec<String> = table.primary_key.iter().map(|key| over("PRIMARY KEY", key)).collect();
        add(LiveStage::Keys, BuildStage::Keys, "primary key", &primary);
        let uniques: Vec<String> = table.uniques.iter().map(|key| over("UNIQUE", key)).collect();
        add(LiveStage::Uniques, BuildStage::Keys, "unique constraints", &uniques);
    }
    for keys in references::declared(plan) {
        let (at, table) = (keys.home, &plan.tables[keys.home]);
        let name = qualified(&plan.options.schema, &keys.child);
        let [waiting, proof] = steps_of(plan, &keys);
        let mut made = Vec::new();
        let mut of_table = TableSteps { at, table, steps: &mut made };
        of_table.alter(BuildStage::ForeignKeys, &waiting, &name, &keys.declared);
        of_table.alter(BuildStage::Validation, &proof, &name, &keys.proven);
        for (step, remarks) in made.iter_mut().zip([&keys.remarks, &Vec::new()]) {
            remarks.iter().for_each(|remark| step.sql.push_str(&format!("; {remark}")));
        }
        all.extend(made.into_iter().map(|step| (LiveStage::References, step)));
    }
    all.sort_by_key(|(live, step)| (*live, step.stage));
    all
}

/// The names of the two steps of a child's foreign keys, at the table where they stand.
fn steps_of(plan: &Plan, keys: &Declared) -> [String; 2] {
    let own = plan.tables[keys.home].target == keys.child;
    [WAITING, PROOF].map(|step| if own { step.to_owned() } else { format!("{step} of {}", keys.child) })
}

/// Empties a table that was there before the run, and takes down what was taken down for the first copy. Everything else
/// of it stays.
fn emptied_again(schema: &str, table: &TablePlan) -> String {
    let rebuilt = table.standing.iter().flat_map(|standing| &standing.rebuilt);
    let down: String = rebuilt.map(|rebuilt| format!("{};", standing::down(rebuilt, schema))).collect();
    format!("{down}TRUNCATE ONLY {};", qualified(schema, &table.target))
}

/// Empties a table that is there, and takes its keys and indexes away: rows are loaded first, and sorted once.
/// Its rights and what else was done to it stay.
fn emptied(schema: &str, table: &TablePlan) -> String {
    let name = qualified(schema, &table.target);
    let keys: Vec<&KeyPlan> = table.primary_key.iter().chain(&table.uniques).collect();
    let mut sql = String::new();
    for key in &keys {
        sql.push_str(&format!("ALTER TABLE {name} DROP CONSTRAINT IF EXISTS {};", ident(&key.name)));
    }
    let indexes = keys.iter().map(|key| &key.name).chain(table.indexes.iter().map(|index| &index.name));
    for index in indexes {
        sql.push_str(&format!("DROP INDEX IF EXISTS {};", qualified(schema, index)));
    }
    sql.push_str(&format!("TRUNCATE ONLY {name};"));
    sql
}

impl PostgresLive {
    pub(super) async fn restart_with(&self, session: &mut Session, tables: &[usize]) -> Result<()> {
        let operation = "send tables back to copy";
        for table in tables {
            self.shape(*table)?;
        }
        begin_ours(session, &self.run, operation).await?;
        let (plan, schema) = (&*self.run.plan, self.schema());
        let watch = Watch::read(session, plan).await;
        let watch = watch.map_err(|error| session.connection.classify(error, operation))?;
        let gone = tables.iter().find(|at| !watch.has(plan, **at, Part::Columns));
        if let Some(at) = gone.filter(|_| plan.options.existing.is_some()) {
            return Err(Error::new(Kind::NotFound, operation)
                .store(session.connection.label())
                .table(plan.tables[*at].target.clone())
                .detail("the table was there before the run, and is not there any more: only the application's migrations can make it")
                .hint("put it back as it was, or take the run back with `switchover rollback`"));
        }
        let work = async {
            session.client().batch_execute(LOCK_WAIT).await?;
            let mut sql = String::new();
            let mut steps: Vec<String> = Vec::new();
            let again: BTreeSet<usize> = tables.iter().copied().collect();
            // Every foreign key of a table and to it goes; a child's are made together, so all of its go.
            let restarts = |name: &String| again.iter().any(|at| plan.tables[*at].target == *name);
            let found = references::read(session.client(), schema).await?;
            for keys in references::declared(plan) {
                let tables: BTreeSet<&String> = found.keys().map(|(table, _)| table).collect();
                if !restarts(&keys.child) && !keys.parents.iter().any(restarts) {
                    continue;
                }
                if tables.contains(&keys.child) {
                    keys.down.iter().for_each(|down| sql.push_str(&format!("{down};")));
                }
                steps.extend(steps_of(plan, &keys).map(|step| format!("{}:{step}", keys.home)));
            }
            for at in &again {
                let table = &plan.tables[*at];
                if plan.options.existing.is_some() {
                    sql.push_str(&emptied_again(schema, table));
                    sql.push_str(&objects::no_gate(schema, table));
                } else if watch.has(plan, *at, Part::Columns) {
                    sql.push_str(&emptied(schema, table));
                    sql.push_str(&objects::no_gate(schema, table));
                } else {
                    sql.push_str(&create_table(schema, table));
                    sql.push(';');
                }
                sql.push_str(&objects::gate(schema, &self.run.run, table));
            }
            session.client().batch_execute(&sql).await?;
            let numbers: Vec<i32> = again.iter().map(|at| *at as i32).collect();
            let client = session.client();
            let checkpoints = format!(
                "DELETE FROM {} WHERE run = $1 AND table_no = ANY ($2)",
                ledger::table(schema, ledger::CHECKPOINT)
            );
            client.execute(&checkpoints, &[&self.run.run, &numbers]).await?;
            let forget = format!(
                "DELETE FROM {} WHERE run = $1
                    AND (step = ANY ($2) OR pg_catalog.split_part(step, ':', 1) = ANY ($3))",
                ledger::table(schema, ledger::STEP)
            );
            let own: Vec<String> = again.iter().map(usize::to_string).collect();
            client.execute(&forget, &[&self.run.run, &steps, &own]).await?;
            // Its capture is made anew with the next `capture`, and is then no loss.
            let unwatch = format!("DELETE FROM {} WHERE t = ANY ($1)", qualified(schema, WATCH));
            client.execute(&unwatch, &[&numbers]).await?;
            if super::gate::is_there(client, schema, CHANGES).await? {
                let unlog = format!("DELETE FROM {} WHERE t = ANY ($1)", qualified(schema, CHANGES));
                client.execute(&unlog, &[&numbers]).await?;
            }
            if again.len() == plan.tables.len() {
                let sql = format!("UPDATE {} SET applied = NULL WHERE run = $1", qualified(schema, LIVE));
                client.execute(&sql, &[&self.run.run]).await?;
            }
            let again: Vec<usize> = again.into_iter().collect();
            watch::keep(session, plan, &again, &[Part::Columns, Part::Gate]).await
        };
        work.await.map_err(|error| busy(error, &session.connection, operation))?;
        failpoint::hit("live-restart-before-commit");
        self.commit(session, operation).await?;
        failpoint::hit("live-restart-after-commit");
        Ok(())
    }
}
