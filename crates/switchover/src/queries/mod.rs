//! The same questions to both stores: whether they answer alike, and how fast.
//!
//! The questions are made of the source's own rows, chosen by a seed; what the source answers before anything is measured
//! is what every answer must be, from either store. An answer that differs is counted and its time is not: a fast wrong
//! answer is worth nothing. The stores take turns, first with one client, then with several at a time.
//!
//! Invariants: both stores are only read; times end with `--seconds`, questions with `--samples`, answers with `--rows`.
//! Absent on purpose: joins and aggregates, which applications write differently for each store.

mod choose;
mod measure;
mod report;

pub use self::report::{LeftOut, Lookup, QUERIES_FORMAT, QueriesReport, Timed, markdown};

use self::choose::Chosen;
use crate::Migration;
use crate::clock;
use crate::progress::Event;
use crate::sight::Sight;
use std::sync::Arc;
use std::time::Duration;
use switchover_core::connector::{Source, Target};
use switchover_core::digest::Side;
use switchover_core::mapping;
use switchover_core::plan::Plan;
use switchover_core::query::Queries;
use switchover_core::relation::Relations;
use switchover_core::{Error, Kind, Result};

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct QueriesOptions {
    /// These tables, by their names on either store; none are the largest that can be asked.
    pub tables: Vec<String>,
    /// The column whose value the newest rows are asked for, in place of a foreign key's.
    pub by: Option<String>,
    /// How long each store is asked one kind of question by one number of clients.
    pub time: Duration,
    /// Different questions of a kind.
    pub samples: usize,
    /// Rows of an answer at most.
    pub rows: u32,
    /// Clients at a time, after one alone.
    pub clients: usize,
    /// What the choice is made from: the same seed on the same source asks the same.
    pub seed: u64,
}

/// Both stores, and how a client of each is made.
struct Stores {
    plan: Arc<Plan>,
    relations: Arc<Relations>,
    source: Arc<dyn Source>,
    target: Arc<dyn Target>,
}

impl Stores {
    async fn client(&self, side: Side) -> Result<Box<dyn Queries>> {
        match side {
            Side::Source => self.source.queries(&self.plan, &self.relations).await,
            Side::Target => self.target.queries(&self.plan).await,
        }
    }
}

impl Migration {
    /// Asks both stores the same questions, and says how fast they answered, and whether alike.
    ///
    /// # Errors
    /// When a store cannot be reached, or none of the tables can be asked anything.
    pub async fn queries(&self, options: &QueriesOptions) -> Result<QueriesReport> {
        let started_at = clock::now();
        self.distinct()?;
        let plan = self.plan_on_record().await?;
        let snapshot = self.source.snapshot().await?;
        let relations = Arc::new(mapping::resolve(snapshot.catalog().await?, &plan.options)?.relations);
        let sight = Sight::of(snapshot, &plan.options).await?;
        let stores = Stores {
            plan: Arc::clone(&plan),
            relations,
            source: Arc::clone(&self.source),
            target: Arc::clone(&self.target),
        };
        let Chosen { subjects, left_out } =
            choose::choose(&stores, &sight, options, &self.shutdown, &*self.progress).await?;
        // Nothing is held while others are measured.
        drop(sight);
        if subjects.is_empty() {
            let why: Vec<String> =
                left_out.iter().map(|left| format!("{}: {}", left.table, left.why)).collect();
            return Err(Error::new(Kind::Config, "ask both stores questions")
                .store(self.target.label())
                .detail(format!("there is nothing to ask ({})", why.join("; ")))
                .hint("name tables with a primary key that both stores hold, with --table"));
        }
        let mut lookups = Vec::with_capacity(subjects.len());
        for subject in subjects {
            let subject = Arc::new(subject);
            let mut timed = Vec::with_capacity(4);
            for clients in [1, options.clients] {
                for side in [Side::Source, Side::Target] {
                    self.shutdown.check("ask both stores questions")?;
                    self.progress.event(Event::Note {
                        text: format!(
                            "{} of {}: {} by {clients}",
                            subject.kind.name(),
                            plan.tables[subject.table].source,
                            choose::word(side)
                        ),
                    });
                    timed.push(
                        measure::measure(&stores, &subject, side, clients, options.time, &self.shutdown)
                            .await?,
                    );
                }
            }
            lookups.push(Lookup::of(&plan, &subject, timed));
        }
        let verdict = report::verdict(&lookups);
        Ok(QueriesReport {
            format: QUERIES_FORMAT,
            made_by: env!("CARGO_PKG_VERSION").to_owned(),
            operation: "bench queries".to_owned(),
            started_at,
            finished_at: clock::now(),
            source: self.source.label(),
            target: self.target.label(),
            verdict,
            seed: options.seed,
            seconds_each: options.time.as_secs_f64(),
            rows_max: options.rows,
            lookups,
            left_out,
        })
    }

    /// The plan of the newest run between the stores: what it left out, or called otherwise, only it says.
    async fn plan_on_record(&self) -> Result<Arc<Plan>> {
        match self.newest_plan()? {
            Some(plan) => Ok(Arc::new(plan)),
            None => Ok(Arc::new(self.plan().await?)),
        }
    }
}
