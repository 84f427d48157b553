//! Asking for a while, by one client or several, and what came of it.

use super::Stores;
use super::choose::{Subject, digests};
use super::report::Timed;
use crate::shutdown::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};
use switchover_core::digest::Side;
use switchover_core::plan::Plan;
use switchover_core::query::Queries;
use switchover_core::{Error, Kind, Result};

/// Failures after which a client gives up: a store that is gone answers fast, and often.
const ERRORS_MAX: u64 = 100;

/// What one client saw.
#[derive(Default)]
pub(super) struct Tally {
    /// How long each right answer took.
    pub(super) nanos: Vec<u64>,
    pub(super) differing: u64,
    pub(super) errors: u64,
    pub(super) first_error: Option<String>,
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.nanos.extend(other.nanos);
        self.differing += other.differing;
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
    }
}

/// Has a store asked by so many clients, each by a connection of its own, for so long.
pub(super) async fn measure(
    stores: &Stores,
    subject: &Arc<Subject>,
    side: Side,
    clients: usize,
    time: Duration,
    shutdown: &Shutdown,
) -> Result<Timed> {
    let mut ready = Vec::with_capacity(clients);
    for _ in 0..clients {
        let mut client = stores.client(side).await?;
        // Connected, and with its statement prepared, as an application's clients are. What is wrong with the answer is
        // seen when it counts.
        drop(client.ask(&subject.questions[0].query).await);
        ready.push(client);
    }
    let begun = Instant::now();
    let until = begun + time;
    let mut tasks = Vec::with_capacity(clients);
    for (number, client) in ready.into_iter().enumerate() {
        let (plan, subject, shutdown) = (Arc::clone(&stores.plan), Arc::clone(subject), shutdown.clone());
        let from = number * subject.questions.len() / clients;
        tasks.push(tokio::spawn(ask(client, plan, subject, side, from, until, shutdown)));
    }
    let mut tally = Tally::default();
    for task in tasks {
        let one = task.await;
        tally.add(one.map_err(|error| Error::new(Kind::Internal, "ask questions").because(error))?);
    }
    Ok(Timed::of(side, clients, begun.elapsed(), tally))
}

async fn ask(
    mut client: Box<dyn Queries>,
    plan: Arc<Plan>,
    subject: Arc<Subject>,
    side: Side,
    from: usize,
    until: Instant,
    shutdown: Shutdown,
) -> Tally {
    let table = &plan.tables[subject.table];
    let mut tally = Tally::default();
    for question in subject.questions.iter().cycle().skip(from) {
        let begun = Instant::now();
        // Everybody asks once at least, however short the time is.
        let asked = !tally.nanos.is_empty() || tally.differing > 0 || tally.errors > 0;
        if asked && (begun >= until || shutdown.is_requested() || tally.errors == ERRORS_MAX) {
            break;
        }
        let answer = client.ask(&question.query).await;
        let took = begun.elapsed();
        match answer {
            Ok(rows) if question.is_answered(&digests(table, side, &rows)) => {
                tally.nanos.push(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
            }
            Ok(_) => tally.differing += 1,
            Err(error) => {
                tally.errors += 1;
                tally.first_error.get_or_insert_with(|| format!("{error}: {}", error.why()));
            }
        }
    }
    tally
}
