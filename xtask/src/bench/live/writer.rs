//! The application: it writes transactions to the store that takes them, in a process of its own.
//!
//! Three in five statements insert a message, two change one that is there; a prober writes one row into a table
//! of its own. A write that a fence refuses is tried at the other store, and back, until one acknowledges it.
//! Invariants: a transaction's time is from its first statement to the acknowledgement; a gap is from the last
//! acknowledgement of one store to the first of the other, so it is never told too short.

use std::io::{Read, stdin};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::store::{Lite, Psql, Refusal, Statement};
use crate::Result;
use crate::chat::Dice;

/// Between two tries while neither store takes writes.
const TRY_AGAIN: Duration = Duration::from_micros(500);
/// Messages that are there from the beginning, of which some are changed.
const MESSAGES: u64 = 1_000_000;
/// A message's text: about what a message of the chat database has.
const TEXT: &str = "a release plan moves data tomorrow with careful review and nobody expected that server to answer \
so quickly because our index fits memory please check build logs before merging café naïve größer done ✅ question \
follows about latency budget per request";

const PROBE: &str = "INSERT INTO probe (id, at) VALUES (?, ?)";
const INSERT: &str = "INSERT INTO messages (id, conversation_id, sender_id, content, timestamp, metadata) \
    VALUES (?, ?, ?, ?, '2026-01-01 10:00:00.000000', ?)";
const UPDATE: &str = "UPDATE messages SET content = ?, metadata = ? WHERE id = ?";

/// What to write.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The SQLite file.
    #[arg(long)]
    source: PathBuf,
    /// SQLite's `synchronous`.
    #[arg(long, default_value = "normal")]
    synchronous: String,
    /// `psql`, where the other store is to be written too.
    #[arg(long)]
    psql: Option<PathBuf>,
    /// Where it logs in.
    #[arg(long, default_value = "")]
    conninfo: String,
    /// Rows in one transaction.
    #[arg(long)]
    rows: u64,
    /// Transactions a second; as many as possible without it.
    #[arg(long)]
    per_s: Option<f64>,
    /// Seconds; without it and without a number of rows, until its input ends.
    #[arg(long)]
    seconds: Option<f64>,
    /// Rows after which it ends.
    #[arg(long)]
    most: Option<u64>,
    /// It makes its rows its own.
    #[arg(long)]
    seed: u64,
    /// Write rows of the table `probe` only.
    #[arg(long)]
    probe: bool,
    /// Begin with the server.
    #[arg(long)]
    at_server: bool,
}

struct Writer<'a> {
    args: &'a Args,
    dice: Dice,
    made: u64,
    lite: Lite,
    server: Option<Psql>,
    at_server: bool,
}

impl Writer<'_> {
    fn transaction(&mut self) -> Vec<Statement> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        (0..self.args.rows).map(|_| self.statement(now)).collect()
    }

    fn statement(&mut self, now: u128) -> Statement {
        self.made += 1;
        let own = self.args.seed << 32 | self.made;
        let own = i64::try_from(own).unwrap_or(i64::MAX);
        if self.args.probe {
            let now = i64::try_from(now).unwrap_or(i64::MAX);
            return Statement { sql: PROBE, values: vec![own.into(), now.into()] };
        }
        let text = format!("{TEXT} {own}");
        if self.made % 5 < 3 {
            let values = vec![
                Dice::uuid(5, own.unsigned_abs()).into(),
                Dice::uuid(3, self.dice.below(15_000)).into(),
                Dice::uuid(1, self.dice.below(2_500)).into(),
                text.into(),
                format!("{{\"tokens\": {}}}", self.made % 1000).into(),
            ];
            return Statement { sql: INSERT, values };
        }
        let id = Dice::uuid(4, self.dice.below(MESSAGES));
        Statement {
            sql: UPDATE,
            values: vec![text.into(), format!("{{\"edited\": {own}}}").into(), id.into()],
        }
    }

    fn write(&mut self, statements: &[Statement]) -> std::result::Result<(), Refusal> {
        match &mut self.server {
            Some(server) if self.at_server => server.write(statements),
            _ => self.lite.write(statements),
        }
    }
}

/// Writes, and prints what became of it as one line of JSON.
pub(crate) fn run(args: &Args) -> Result {
    let server = args.psql.as_ref().map(|psql| Psql::open(psql, &args.conninfo)).transpose()?;
    let lite = Lite::open(&args.source, &args.synchronous)?;
    let dice = Dice::new(args.seed);
    let mut writer = Writer { args, dice, made: 0, lite, server, at_server: args.at_server };
    let stop = Arc::new(AtomicBool::new(false));
    if args.seconds.is_none() && args.most.is_none() {
        let stop = Arc::clone(&stop);
        thread::spawn(move || {
            drop(stdin().read_to_end(&mut Vec::new()));
            stop.store(true, Ordering::Relaxed);
        });
    }
    let pause = args.per_s.map(|rate| Duration::from_secs_f64(1.0 / rate));
    let begun = Instant::now();
    let end = args.seconds.map(|seconds| begun + Duration::from_secs_f64(seconds));
    let mut due = begun;
    let (mut took, mut gaps, mut refused, mut rows) = (Vec::new(), Vec::new(), 0u64, 0u64);
    let mut last = begun;
    let over = |rows: u64| {
        stop.load(Ordering::Relaxed)
            || end.is_some_and(|end| Instant::now() >= end)
            || args.most.is_some_and(|most| rows >= most)
    };
    while !over(rows) {
        if let Some(pause) = pause {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            // What was missed while no store took writes is not made up for.
            due = due.max(Instant::now() - pause * 4) + pause;
        }
        let statements = writer.transaction();
        let first = writer.at_server;
        let mut tries = 0u64;
        let acknowledged = loop {
            let started = Instant::now();
            match writer.write(&statements) {
                Ok(()) => {
                    let now = Instant::now();
                    took.push((now - started).as_micros() as u64);
                    break now;
                }
                Err(Refusal::Other(why)) => return Err(why.into()),
                Err(Refusal::Fenced) if over(rows) => break started,
                Err(Refusal::Fenced) => {
                    refused += 1;
                    tries += 1;
                    writer.at_server = writer.server.is_some() && !writer.at_server;
                    if tries.is_multiple_of(2) {
                        thread::sleep(TRY_AGAIN);
                    }
                }
            }
        };
        if tries > 0 {
            let to = if writer.at_server { "target" } else { "source" };
            gaps.push(json!({
                "to": to, "moved": writer.at_server != first, "ms": (acknowledged - last).as_secs_f64() * 1e3
            }));
        }
        last = acknowledged;
        rows += args.rows;
    }
    let seconds = begun.elapsed().as_secs_f64();
    took.sort_unstable();
    let at = |share: f64| took.get((took.len() as f64 * share) as usize).or(took.last()).copied();
    println!(
        "{}",
        json!({
            "rows": rows, "commits": took.len(), "seconds": seconds, "refused": refused, "gaps": gaps,
            "p50_us": at(0.50), "p99_us": at(0.99), "max_us": took.last(),
        })
    );
    Ok(())
}
