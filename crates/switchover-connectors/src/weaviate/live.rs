//! The server as the target of a live run: it follows, and its readers can be switched to it; it never owns the data.
//!
//! There are no transactions and no triggers. So the position of the log is written after all objects of a batch were
//! acknowledged, and a batch whose position was not written is written again: states are applied, not a history. The
//! application's own writes to the server could not be captured, so writes stay with the source, and what a cutover
//! changes is where reads go.
//!
//! A request that an engine had under way when it was killed, or whose answer was lost, may be carried out late, and nothing on the
//! server orders it behind what is written next. So whoever goes on waits [`SOON`] before it writes anything, and there is no verdict
//! before a comparison of every row that began [`LATE`] later, when such a request is either done or was ended by the server; what it
//! undid is written again ([`LiveTarget::unsettled`]). The records of engines are one each, so that a late one hides no newer one.

use super::alias;
use super::client::Client;
use super::ledger::{self, Label, Of, Records, RunRecord};
use super::made;
use super::reader;
use super::rows::Table;
use super::store::Sending;
use super::writer::WeaviateWriter;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use switchover_core::connector::{BuildStep, Position};
use switchover_core::live::{
    Beside, Captured, Changes, Fenced, Limit, LiveRun, LiveStage, LiveStore, LiveTarget, Ownership, Pressure,
    TableChanges, encode_keys,
};
use switchover_core::plan::Refusal;
use switchover_core::value::{OwnedValue, Rows, Value};
use switchover_core::{Error, Kind, Remedy, Result, failpoint};

/// How long a request whose answer was lost, or whose engine was killed, usually is at work on the server: its connection is gone,
/// and the largest batch that an engine sends takes a tenth of this.
pub(super) const SOON: Duration = Duration::from_secs(2);

/// How long it may be at the longest: this goes with each request that writes as its deadline.
const LATE: Duration = Duration::from_secs(60);

/// Engines behind this one whose records would be seen: a process that dies before it enters leaves out a number.
const NEWER: i64 = 16;

/// Bytes of a request.
const REQUEST_BYTES: usize = 4 << 20;

/// What an engine of a live run leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct LiveRecord {
    /// The engine.
    attempt: i64,
    /// How far the server is in the source's log.
    position: Option<Position>,
    /// Whether it stopped with nothing under way.
    at_rest: bool,
}

/// The server's side of a live run.
pub(super) struct WeaviateLive {
    client: Arc<Client>,
    run: LiveRun,
    /// When the run was taken over from an engine that did not stop in order.
    taken_over: Mutex<Option<Instant>>,
}

fn late() -> Duration {
    Duration::from_millis(failpoint::number("live-target-late-ms", LATE.as_millis() as u64))
}

fn key(attempt: i64) -> String {
    attempt.to_string()
}

impl WeaviateLive {
    pub(super) fn new(client: Arc<Client>, run: &LiveRun) -> WeaviateLive {
        client.write_within(late());
        WeaviateLive { client, run: run.clone(), taken_over: Mutex::default() }
    }

    fn store(&self) -> String {
        self.client.config().redacted()
    }

    /// The records of this engine and of those behind it.
    async fn newest(&self) -> Result<Option<LiveRecord>> {
        let keys: Vec<String> = (self.run.attempt..=self.run.attempt + NEWER).map(key).collect();
        let found: Vec<LiveRecord> = ledger::by_keys(&self.client, &self.run.run, Of::Live, &keys).await?;
        Ok(found.into_iter().max_by_key(|record| record.attempt))
    }

    async fn keep(&self, record: &LiveRecord) -> Result<()> {
        let mut records = Records::new(&self.client);
        records.add(&self.run.run, Of::Live, &key(record.attempt), record)?;
        records.put(&self.client).await
    }

    /// This engine's record, if it is the one that may write.
    async fn own(&self) -> Result<LiveRecord> {
        match self.newest().await? {
            Some(record) if record.attempt == self.run.attempt => Ok(record),
            _ => Err(Error::new(Kind::Busy, "write to the target")
                .store(self.store())
                .detail("another process has taken this run over, or rolled it back")
                .hint("let the other process end; `switchover status` shows the run")),
        }
    }

    fn taken_over(&self) -> MutexGuard<'_, Option<Instant>> {
        self.taken_over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn never(&self, operation: &str) -> Error {
        Error::new(Kind::Unsupported, operation)
            .store(self.store())
            .detail("Weaviate follows the source, and does not become the owner of the data: its readers are switched")
            .hint("`switchover cutover` sends all reads to it, and `switchover rollback` takes them back")
    }

    /// Makes the objects of one table exactly these rows. `complete`: nothing of the log is behind them.
    async fn put(&self, changed: &TableChanges, complete: bool) -> Result<()> {
        let planned = &self.run.plan.tables[changed.table];
        let mut table = Table::new(&self.run.plan, changed.table);
        let sending = Sending {
            client: &self.client,
            lane: 0,
            request_bytes: REQUEST_BYTES,
            // Where the log goes on, the parent may stand in what comes next.
            may_wait: complete,
            operation: "take changes",
        };
        let places = (0..changed.rows.len()).map(|at| (at, None));
        let written = sending.rows(&mut table, &changed.rows, places, &|_, _| false).await?;
        let written: HashSet<[u8; 16]> = written.into_iter().collect();
        let mut gone = Vec::new();
        for key in encode_keys(planned, &changed.keys)? {
            let key: Vec<Value<'_>> = key.iter().map(OwnedValue::borrow).collect();
            gone.extend(table.id_of_key(&key).filter(|id| !written.contains(id)));
        }
        if gone.is_empty() {
            return Ok(());
        }
        let deleted = self.client.delete_ids(0, &planned.target, &gone).await;
        deleted.map(drop).map_err(|error| error.table(planned.source.clone()))
    }
}

#[async_trait]
impl LiveStore for WeaviateLive {
    fn label(&self) -> String {
        self.store()
    }

    async fn obstacles(&self, _: bool) -> Result<Vec<Refusal>> {
        let plan = &*self.run.plan;
        let refusal = |table: &str, why: &str, hint: &str| Refusal {
            table: table.to_owned(),
            key: String::new(),
            column: String::new(),
            value: String::new(),
            why: why.into(),
            hint: hint.into(),
        };
        let mut refusals = Vec::new();
        if plan.options.existing.is_some() {
            refusals.push(refusal(
                "",
                "a live migration makes its collections; it does not fill collections that are there",
                "leave out --into existing, or stop the application and use `switchover migrate`",
            ));
        }
        for table in &plan.tables {
            if table.key_fields().is_empty() {
                refusals.push(refusal(
                    &table.source,
                    "the table has no primary key, so its objects cannot be told apart while it changes",
                    "give it a primary key, leave it with --exclude, or use `switchover migrate`",
                ));
            }
            if table.has_exceptions() {
                refusals.push(refusal(
                    &table.source,
                    "some of its rows or values would go to quarantine, which a row that changes later cannot follow",
                    "change those rows, leave the table with --exclude, or use `switchover migrate`",
                ));
            }
        }
        Ok(refusals)
    }

    async fn enter(&self) -> Result<()> {
        let all = ledger::of_kind(&self.client, &self.run.run, Of::Live, |_| true).await?;
        let all: Vec<LiveRecord> = all.iter().map(ledger::Record::read).collect::<Result<_>>()?;
        let before = all.into_iter().max_by_key(|record| record.attempt);
        let position = match before {
            Some(record) if record.attempt == self.run.attempt => return Ok(()),
            Some(record) if record.attempt > self.run.attempt => return self.own().await.map(drop),
            Some(record) => {
                if !record.at_rest {
                    tokio::time::sleep(SOON).await;
                    *self.taken_over() = Some(Instant::now());
                }
                record.position
            }
            // One that was killed before its first record had written nothing else.
            None => None,
        };
        failpoint::hit("live-target-enter-before-commit");
        self.keep(&LiveRecord { attempt: self.run.attempt, position, at_rest: false }).await?;
        failpoint::hit("live-target-enter-after-commit");
        Ok(())
    }

    /// Nobody but the run is to write here, and nothing on the server would tell.
    async fn doubts(&self) -> Result<Vec<usize>> {
        Ok(Vec::new())
    }

    async fn capture(&self, _: &[usize], _: &[usize]) -> Result<Captured> {
        Err(self.never("capture the target's changes"))
    }

    async fn changes(&self, _: &Position, _: Limit, _: Option<&Beside>) -> Result<Changes> {
        Err(self.never("read the target's changes"))
    }

    async fn settle(&self, _: &Position) -> Result<()> {
        Ok(())
    }

    async fn applied(&self) -> Result<Option<Position>> {
        Ok(self.own().await?.position)
    }

    async fn apply(&self, changes: &Changes, after: Option<&Position>) -> Result<()> {
        let record = self.own().await?;
        if record.position.as_ref() != after {
            return Err(Error::new(Kind::Changed, "take changes")
                .store(self.store())
                .detail("the server is at another position of the log than was expected")
                .hint("another process may drive this run; `switchover status` shows it"));
        }
        failpoint::hit("live-target-apply-before-commit");
        // Parents before their children, in the plan's order.
        let mut tables: Vec<&TableChanges> = changes.tables.iter().collect();
        tables.sort_by_key(|changed| changed.table);
        for changed in tables {
            if let Err(error) = self.put(changed, changes.complete).await {
                if error.kind().remedy() == Remedy::Retry {
                    // The request may still be at work, and is not to come behind what is sent next.
                    tokio::time::sleep(SOON).await;
                }
                return Err(error);
            }
        }
        self.keep(&LiveRecord { position: Some(changes.upto.clone()), ..record }).await?;
        failpoint::hit("live-target-apply-after-commit");
        Ok(())
    }

    async fn fetch(&self, table: usize, keys: &[Vec<OwnedValue>]) -> Result<Rows> {
        // It makes its collections, so nothing was there before.
        reader::by_keys(&self.client, &self.run.plan, table, keys, &HashSet::new()).await
    }

    async fn count(&self, table: usize) -> Result<u64> {
        self.client.count(&self.run.plan.tables[table].target).await
    }

    fn may_lose(&self) -> bool {
        true
    }

    async fn fence(&self, _: Duration) -> Result<Fenced> {
        Err(self.never("fence the target"))
    }

    async fn unfence(&self) -> Result<()> {
        Ok(())
    }

    async fn pressure(&self) -> Result<Pressure> {
        Ok(Pressure::default())
    }

    async fn leave(&self) -> Result<()> {
        failpoint::hit("live-target-leave-before-commit");
        ledger::leave(&self.client, &self.run.run).await?;
        ledger::remove(&self.client, &self.run.run, |record| record.is(Of::Live)).await?;
        failpoint::hit("live-target-leave-after-commit");
        Ok(())
    }
}

#[async_trait]
impl LiveTarget for WeaviateLive {
    fn can_own(&self) -> bool {
        false
    }

    async fn left(&self) -> Result<bool> {
        // The run may have been killed before it made them, or behind their end.
        if self.client.collection(ledger::RECORDS)?.is_none() {
            return Ok(false);
        }
        let record: Option<RunRecord> = ledger::one(&self.client, &self.run.run, Of::Run, "").await?;
        Ok(record.is_some_and(|record| record.left))
    }

    fn unsettled(&self) -> Duration {
        let since = self.taken_over().max(self.client.lost_at());
        since.map_or(Duration::ZERO, |since| late().saturating_sub(since.elapsed()))
    }

    async fn rest(&self) -> Result<()> {
        if !self.unsettled().is_zero() {
            return Ok(());
        }
        let record = self.own().await?;
        self.keep(&LiveRecord { at_rest: true, ..record }).await
    }

    async fn ownership(&self) -> Result<Ownership> {
        Ok(Ownership::FIRST)
    }

    async fn decide(&self, _: &Ownership, _: &Ownership, _: &[(usize, i64)]) -> Result<bool> {
        Err(self.never("change the owner"))
    }

    async fn follow(&self) -> Result<()> {
        Ok(())
    }

    async fn readers(&self, here: bool) -> Result<()> {
        match here {
            true => alias::lead(&self.client, &self.run.plan, &self.run.run).await,
            false => alias::lead_back(&self.client, &self.run.run).await,
        }
    }

    async fn has_readers(&self) -> Result<bool> {
        alias::leads(&self.client, &self.run.run).await
    }

    fn steps(&self) -> Vec<(LiveStage, BuildStep)> {
        Vec::new()
    }

    async fn restart(&self, tables: &[usize]) -> Result<()> {
        let record = self.own().await?;
        failpoint::hit("live-target-restart-before-commit");
        // The checkpoints first: objects without one are written again, and one without its objects would not be.
        let of_tables =
            |record: &Label| tables.iter().any(|table| WeaviateWriter::is_of_table(record, *table));
        ledger::remove(&self.client, &self.run.run, of_tables).await?;
        let (plan, run) = (&self.run.plan, &self.run.run);
        let planned = tables.iter().map(|table| &plan.tables[*table]);
        for name in made::own(&self.client, run, planned.clone().map(|table| &*table.target))? {
            self.client.delete_own(name)?;
        }
        let there = self.client.schema()?;
        for table in planned {
            made::make(&self.client, &there, plan, table, run).await?;
        }
        if tables.len() == self.run.plan.tables.len() {
            self.keep(&LiveRecord { position: None, ..record }).await?;
        }
        failpoint::hit("live-target-restart-after-commit");
        Ok(())
    }
}
