//! Sending a table's rows as objects, and what becomes of those whose references lead to nothing yet.
//!
//! The server refuses an object with a reference to one that is not there, inside one request too. Parents come first,
//! but a parent may be in the same request (a table that refers to itself), or may have been acknowledged and lost. Such
//! an object is written without its references, and with them once all others of the call are there. Where the parent is
//! still missing it stays without: the row then compares as different, and is mended or makes the verdict.
//! Invariant: an object is written whole each time, so nothing is repeated in it.

use super::client::{Batch, BatchWriter, Client, Refused};
use super::rows::{References, Table};
use switchover_core::planner::layout::shown_row;
use switchover_core::value::Rows;
use switchover_core::{Error, Kind, Result};

pub(super) const TOO_LARGE: &str = "leave the column or the row out by the mapping (`drop`, `where`), or raise GRPC_MAX_MESSAGE_SIZE of the server where \
     that is what bounds it; a blob takes a third more than its bytes";

/// Why a batch was not sent, or not answered.
pub(super) enum Unsent {
    /// One object alone is larger than a message may be.
    TooLarge {
        index: usize,
        bytes: usize,
        most: usize,
    },
    Failed(Error),
}

/// How rows are sent.
pub(super) struct Sending<'a> {
    pub(super) client: &'a Client,
    /// The connection.
    pub(super) lane: usize,
    /// Bytes at which a request is sent.
    pub(super) request_bytes: usize,
    /// Whether an object may be written without references that lead to nothing; otherwise it is an error.
    pub(super) may_wait: bool,
    /// What is done, for messages.
    pub(super) operation: &'a str,
}

impl Sending<'_> {
    /// Writes the rows at these places, of the source's values, each with its object's id where that is known; cells for which
    /// `is_null` holds (by row and field) stay away. Gives the objects' ids. Once this returns, each was acknowledged.
    pub(super) async fn rows(
        &self,
        table: &mut Table,
        rows: &Rows,
        places: impl Iterator<Item = (usize, Option<[u8; 16]>)>,
        is_null: &(dyn Fn(usize, usize) -> bool + Sync),
    ) -> Result<Vec<[u8; 16]>> {
        let mut ids = Vec::new();
        let mut batch = self.client.writer(&table.table().target);
        let (mut sent, mut late) = (Vec::new(), Vec::new());
        for (at, id) in places {
            let row = rows.row(at);
            let references = match table.refers_to_itself(row) {
                true => {
                    late.push(at);
                    References::Without
                }
                false => References::With,
            };
            ids.push(table.write(row, id, |field| is_null(at, field), references, &mut batch)?);
            sent.push(at);
            if batch.bytes() > self.request_bytes {
                let refused = self.send(table, rows, &mut batch, &mut sent, table.refers()).await?;
                late.extend(self.bare(table, rows, refused, is_null).await?);
            }
        }
        let refused = self.send(table, rows, &mut batch, &mut sent, table.refers()).await?;
        late.extend(self.bare(table, rows, refused, is_null).await?);
        for at in late {
            table.write(rows.row(at), None, |field| is_null(at, field), References::With, &mut batch)?;
            sent.push(at);
            if batch.bytes() > self.request_bytes {
                self.send(table, rows, &mut batch, &mut sent, true).await?;
            }
        }
        // What is refused now stands there without.
        self.send(table, rows, &mut batch, &mut sent, true).await?;
        Ok(ids)
    }

    /// Writes rows without their references.
    async fn bare(
        &self,
        table: &mut Table,
        rows: &Rows,
        places: Vec<usize>,
        is_null: &(dyn Fn(usize, usize) -> bool + Sync),
    ) -> Result<Vec<usize>> {
        let mut batch = self.client.writer(&table.table().target);
        let mut sent = places.clone();
        for at in &places {
            table.write(rows.row(*at), None, |field| is_null(*at, field), References::Without, &mut batch)?;
        }
        self.send(table, rows, &mut batch, &mut sent, false).await?;
        Ok(places)
    }

    /// Sends what was gathered, of the rows at `sent`. Gives those that the server refuses, where that may be for a reference;
    /// else they are an error.
    async fn send(
        &self,
        table: &Table,
        rows: &Rows,
        batch: &mut BatchWriter,
        sent: &mut Vec<usize>,
        for_references: bool,
    ) -> Result<Vec<usize>> {
        let places = std::mem::take(sent);
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let planned = table.table();
        let refused = match fitting(self.client, self.lane, &batch.take()).await {
            Ok(refused) => refused,
            Err(Unsent::Failed(error)) => return Err(error.table(planned.source.clone())),
            Err(Unsent::TooLarge { index, bytes, most }) => {
                let key = places.get(index).map(|at| shown_row(planned, &rows.row(*at)));
                return Err(Error::new(Kind::Refused, self.operation)
                    .store(self.client.config().redacted())
                    .table(planned.source.clone())
                    .key(key.unwrap_or_default())
                    .detail(format!(
                        "the object has {bytes} bytes as a message, and the server takes {most} at most"
                    ))
                    .hint(TOO_LARGE));
            }
        };
        let Some(first) = refused.first() else { return Ok(Vec::new()) };
        if for_references && self.may_wait {
            return Ok(refused.iter().filter_map(|refused| places.get(refused.index).copied()).collect());
        }
        let key = places.get(first.index).map(|at| shown_row(planned, &rows.row(*at)));
        let more = match refused.len() {
            1 => String::new(),
            count => format!(" (and {} more objects of the batch)", count - 1),
        };
        Err(Error::new(Kind::Rejected, self.operation)
            .store(self.client.config().redacted())
            .table(planned.source.clone())
            .key(key.unwrap_or_default())
            .detail(format!("the server refuses the object: {}{more}", first.why))
            .hint(self.hint(table)))
    }

    /// Where a module of the server's makes the vectors, an object is refused for what that module met.
    fn hint(&self, table: &Table) -> String {
        match table.plan.options.mapping.object(&table.table().source).vectorizer {
            None => "see whether a shard is read-only, and the server's log".to_owned(),
            Some(module) => format!(
                "the server's module {module} refuses it, or fails: see the key in headers_file, whether the server reaches the \
                 provider, and its log; a module that counts tokens loads files from the network for that (`panic` here means \
                 that it could not), and text2vec-cohere, -huggingface and -ollama do not"
            ),
        }
    }
}

/// Sends a batch, in parts where it is larger than a message may be. Gives the objects that the server refuses.
pub(super) async fn fitting(client: &Client, lane: usize, batch: &Batch) -> Result<Vec<Refused>, Unsent> {
    let most = client.meta().message_bytes_max;
    let mut refused = Vec::new();
    let mut parts: Vec<std::ops::Range<usize>> = std::iter::once(0..batch.len()).collect();
    while let Some(range) = parts.pop() {
        let part = batch.part(range.clone());
        if part.bytes() <= most {
            let said = client.batch(lane, &part).await.map_err(Unsent::Failed)?;
            refused.extend(said.into_iter().map(|one| Refused { index: one.index + range.start, ..one }));
        } else if range.len() == 1 {
            return Err(Unsent::TooLarge { index: range.start, bytes: part.bytes(), most });
        } else {
            let middle = range.start + range.len() / 2;
            parts.extend([middle..range.end, range.start..middle]);
        }
    }
    Ok(refused)
}
