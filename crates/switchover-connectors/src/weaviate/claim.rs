//! The lock that keeps two processes off one server: a collection that only one of them can make.
//!
//! Making a collection goes through the server's consensus, so of two that try at once one is refused. The
//! collection's description says who holds it. It outlives a process that is killed, so the holder also locks a file of
//! its own machine, which the system unlocks with the process: a lock whose file is there and free is a dead
//! holder's and is taken over. On another machine, or where that file is gone, nobody can tell, and a person must.

use super::client::Client;
use super::ledger::PREFIX;
use crate::blocking::blocking;
use crate::place;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use switchover_core::connector::Claim;
use switchover_core::{Error, Kind, Result};

/// How often it is tried to take a dead holder's place: others may come between, and the server forgets a collection a
/// moment after it was removed.
const TRIES: usize = 10;

/// The pause between two tries: the server's schema has no event to wait for.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

fn collection() -> String {
    format!("{PREFIX}lock")
}

/// Who holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    run: String,
    token: String,
    host: String,
    process: u32,
    /// The file whose lock shows that the process lives.
    file: PathBuf,
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
        let token = uuid::Uuid::new_v4().simple().to_string();
        let file = std::env::temp_dir().join(format!("switchover-{token}"));
        let own = place::Lock::take(&file)?;
        let holder = Holder { run: run.to_owned(), token, host: host(), process: std::process::id(), file };
        let description = serde_json::to_string(&holder)
            .map_err(|error| Error::new(Kind::Internal, "lock the target").because(error))?;
        let class = json!({ "class": collection(), "vectorizer": "none", "description": description,
            "properties": [{ "name": "none", "dataType": ["text"], "tokenization": "field",
                             "indexFilterable": false, "indexSearchable": false }] });
        let mut tries = 0;
        loop {
            let error = match client.create_collection(&class) {
                Ok(_) => return Ok(WeaviateClaim { client: Arc::clone(client), holder, file: Some(own) }),
                Err(error) => error,
            };
            match found(client)? {
                Some(found) if !is_dead(&found) => return Err(busy(client, &found)),
                Some(_) => client.delete_collection(&collection())?,
                // It went between the two looks, or is still on its way out.
                None => {}
            }
            tries += 1;
            if tries == TRIES {
                return Err(error);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn found(client: &Client) -> Result<Option<Holder>> {
    let class = client.collection(&collection())?;
    let text = class.as_ref().and_then(|class| class.definition["description"].as_str());
    text.map(|text| serde_json::from_str(text).map_err(crate::records::unreadable)).transpose()
}

/// Whether the holder's process has ended, for certain: it locked a file of this machine, and no longer does.
fn is_dead(holder: &Holder) -> bool {
    holder.host == host() && blocking(|| place::is_locked(&holder.file)) == Some(false)
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
            collection()
        ))
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[async_trait]
impl Claim for WeaviateClaim {
    async fn check(&self) -> Result<()> {
        match found(&self.client)? {
            Some(holder) if holder == self.holder => Ok(()),
            _ => Err(Error::new(Kind::Busy, "check the lock on the target")
                .store(self.client.config().redacted())
                .detail("another process has taken the lock over")
                .hint("let the other process end; `switchover status` shows the run")),
        }
    }
}

impl Drop for WeaviateClaim {
    fn drop(&mut self) {
        // One that cannot be removed locks nobody out: its file stays, and shows that nobody holds it.
        if self.client.delete_collection(&collection()).is_err()
            && let Some(file) = self.file.take()
        {
            file.leave();
        }
    }
}
