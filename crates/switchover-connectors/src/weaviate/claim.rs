//! The lock that keeps two processes off one server: a collection of each that wants it, and a look at the others'.
//!
//! Making a collection and listing all goes through the server's consensus, so of two processes that each make their own and
//! look then, the later one sees the earlier one's: it takes its own away again. Each removes only what is its own, or a dead one's, by a name that nobody
//! else ever has; so no process can take the lock from one that has just got it. The collection's description says who it is. It outlives a process that is killed, so each
//! process also locks a file of its own machine, which the system unlocks with it: one whose file is there and free
//! is dead. So is one of this machine from before its last start, which may have emptied the folder of that file. On another
//! machine, or where that file is gone, nobody can tell, and a person must.

use super::client::Client;
use super::ledger::PREFIX;
use crate::blocking::blocking;
use crate::place;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use switchover_core::connector::Claim;
use switchover_core::{Error, Kind, Result};

/// How often it is tried again where another process wants it at the same instant: both step back then.
const TRIES: u32 = 10;

/// The shortest pause before it is tried again, and how many times it is at most: two that stepped back together are
/// apart then.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSES: u32 = 8;

/// Linux's number of the machine, made when the system was installed, and that of its last start.
const MACHINE_FILE: &str = "/etc/machine-id";
const BOOT_FILE: &str = "/proc/sys/kernel/random/boot_id";

fn prefix() -> String {
    format!("{PREFIX}lock")
}

/// Who holds it, or wants to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    run: String,
    token: String,
    host: String,
    process: u32,
    /// The file whose lock shows that the process lives.
    file: PathBuf,
    /// The start of the machine that it is of, where that has a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<Start>,
}

/// One start of one machine. Two machines may have the same name, so the machine's own number belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Start {
    machine: String,
    boot: String,
}

impl Start {
    /// This one; none where the system keeps no such numbers.
    fn current() -> Option<Start> {
        let line = |path: &str| {
            let text = std::fs::read_to_string(path).ok()?;
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        blocking(|| Some(Start { machine: line(MACHINE_FILE)?, boot: line(BOOT_FILE)? }))
    }

    /// Whether it is an earlier or later start of the same machine.
    fn is_another_of_the_same(&self, other: &Start) -> bool {
        self.machine == other.machine && self.boot != other.boot
    }
}

impl Holder {
    fn collection(&self) -> String {
        format!("{}_{}", prefix(), self.token)
    }
}

/// The hold on a server.
pub(super) struct WeaviateClaim {
    client: Arc<Client>,
    holder: Holder,
    file: Option<place::Lock>,
}

impl WeaviateClaim {
    /// Takes it, or says who is busy.
    pub(super) async fn take(client: &Arc<Client>, run: &str) -> Result<WeaviateClaim> {
        let mut tries = 1;
        loop {
            if let Some(other) = another(client, None)? {
                return Err(busy(client, &other));
            }
            let claim = WeaviateClaim::make(client, run)?;
            // From here on whoever comes later sees it, and whoever came earlier is seen.
            let Some(other) = another(client, Some(&claim.holder))? else { return Ok(claim) };
            let number = uuid::Uuid::parse_str(&claim.holder.token).map_or(0, |token| token.as_u128());
            drop(claim);
            if tries == TRIES {
                return Err(busy(client, &other));
            }
            tries += 1;
            let pauses = u32::try_from(number % u128::from(PAUSES)).unwrap_or(0) + 1;
            tokio::time::sleep(PAUSE * pauses).await;
        }
    }

    fn make(client: &Arc<Client>, run: &str) -> Result<WeaviateClaim> {
        let token = uuid::Uuid::new_v4().simple().to_string();
        let file = std::env::temp_dir().join(format!("switchover-{token}"));
        let own = place::Lock::take(&file)?;
        let (run, process) = (run.to_owned(), std::process::id());
        let holder = Holder { run, token, host: host(), process, file, start: Start::current() };
        let description = serde_json::to_string(&holder)
            .map_err(|error| Error::new(Kind::Internal, "lock the target").because(error))?;
        let class = json!({ "class": holder.collection(), "vectorizer": "none", "description": description,
            "properties": [{ "name": "none", "dataType": ["text"], "tokenization": "field",
                             "indexFilterable": false, "indexSearchable": false }] });
        // Before it is made: an answer that is lost leaves it behind too.
        let claim = WeaviateClaim { client: Arc::clone(client), holder, file: Some(own) };
        client.create_collection(&class)?;
        Ok(claim)
    }
}

/// Another process that holds it or wants to. The locks of dead ones are removed.
fn another(client: &Client, own: Option<&Holder>) -> Result<Option<Holder>> {
    for collection in client.schema()? {
        if !collection.name.starts_with(&prefix()) {
            continue;
        }
        let text = collection.definition["description"].as_str().unwrap_or_default();
        let holder: Holder = serde_json::from_str(text).map_err(crate::records::unreadable)?;
        if own.is_some_and(|own| *own == holder) {
            continue;
        }
        if !is_dead(&holder) {
            return Ok(Some(holder));
        }
        client.delete_collection(&collection.name)?;
        blocking(|| place::sweep(&holder.file));
    }
    Ok(None)
}

/// Whether the holder's process has ended, for certain: it locked a file of this machine and no longer does, or the machine
/// was started anew since.
fn is_dead(holder: &Holder) -> bool {
    let restarted = match (&holder.start, Start::current()) {
        (Some(then), Some(now)) => now.is_another_of_the_same(then),
        _ => false,
    };
    holder.host == host() && (restarted || blocking(|| place::is_locked(&holder.file)) == Some(false))
}

fn busy(client: &Client, holder: &Holder) -> Error {
    Error::new(Kind::Busy, "lock the target")
        .store(client.config().redacted())
        .detail(format!(
            "the run {} is at work on this server, in process {} of {}",
            holder.run, holder.process, holder.host
        ))
        .hint(format!(
            "wait until it ends; if that process is gone for certain, remove the collection {} from the server",
            holder.collection()
        ))
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[async_trait]
impl Claim for WeaviateClaim {
    async fn check(&self) -> Result<()> {
        match self.client.collection(&self.holder.collection())? {
            Some(_) => Ok(()),
            None => Err(Error::new(Kind::Busy, "check the lock on the target")
                .store(self.client.config().redacted())
                .detail("another process has taken the lock over")
                .hint("let the other process end; `switchover status` shows the run")),
        }
    }
}

impl Drop for WeaviateClaim {
    fn drop(&mut self) {
        // One that cannot be removed locks nobody out: its file stays, and shows that nobody holds it.
        if self.client.delete_collection(&self.holder.collection()).is_err()
            && let Some(file) = self.file.take()
        {
            file.leave();
        }
    }
}
