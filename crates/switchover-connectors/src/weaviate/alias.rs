//! The names by which readers find the run's collections: set when all is verified, and led back by a rollback.
//!
//! Where an alias led before is on record before it is moved, so that whoever goes on after a kill, or takes the run back, knows
//! it. Invariants: an alias is led back only where it still leads to the run's collection; one that somebody has
//! moved since is left alone. One that led to that collection already, as it does for a tenant after the first, is on record
//! as such, and leads there after a rollback, too: the run did not make it.

use super::client::Client;
use super::ledger::{self, Of, Records};
use serde::{Deserialize, Serialize};
use switchover_core::plan::Plan;
use switchover_core::{Error, Kind, Result, failpoint};

/// Where an alias led, and where it leads by the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Moved {
    from: Option<String>,
    to: String,
}

impl Moved {
    /// Whether it led there already.
    fn stays(&self) -> bool {
        self.from.as_ref() == Some(&self.to)
    }
}

fn fail(client: &Client, kind: Kind, alias: &str, why: String, hint: &str) -> Error {
    Error::new(kind, "lead readers by an alias")
        .store(client.config().redacted())
        .detail(format!("the alias {alias} {why}"))
        .hint(hint)
}

/// Has every alias of the plan lead to its collection.
pub(super) async fn lead(client: &Client, plan: &Plan, run: &str) -> Result<()> {
    for table in &plan.tables {
        let map = plan.options.mapping.object(&table.source);
        let Some(alias) = map.alias else { continue };
        let now = client.alias(&alias)?;
        let noted: Option<Moved> = ledger::one(client, run, Of::Alias, &alias).await?;
        let fresh = Moved { from: now.clone(), to: table.target.clone() };
        let moved = noted.clone().unwrap_or(fresh);
        let elsewhere = now.as_ref().filter(|now| **now != moved.to && Some(*now) != moved.from.as_ref());
        let unknown = noted.is_none() && moved.from.is_some() && !moved.stays();
        if elsewhere.is_some() || unknown && map.move_alias != Some(true) {
            let why = format!("leads to {} now, which the plan did not know", now.unwrap_or_default());
            let hint = "lead it back, or take the run back and plan again";
            return Err(fail(client, Kind::Changed, &alias, why, hint).table(table.source.clone()));
        }
        if noted.is_none() {
            let mut record = Records::new(client);
            record.add(run, Of::Alias, &alias, &moved)?;
            record.put(client).await?;
        }
        failpoint::hit("alias-noted");
        client.set_alias(&alias, &moved.to)?;
        failpoint::hit("alias-set");
        if client.alias(&alias)?.as_ref() != Some(&moved.to) {
            let why = "does not lead where it was set to".into();
            return Err(fail(client, Kind::Different, &alias, why, "see who else sets it, and try again"));
        }
    }
    Ok(())
}

/// Whether an alias leads to a collection of the run's because of it.
pub(super) async fn leads(client: &Client, run: &str) -> Result<bool> {
    for record in ledger::of_kind(client, run, Of::Alias, |_| true).await? {
        if client.alias(&record.label.key)? == Some(record.read::<Moved>()?.to) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Has every alias that the run moved lead where it led before.
pub(super) async fn lead_back(client: &Client, run: &str) -> Result<()> {
    for record in ledger::of_kind(client, run, Of::Alias, |_| true).await? {
        let (alias, moved): (&str, Moved) = (&record.label.key, record.read()?);
        if !moved.stays() && client.alias(alias)?.as_ref() == Some(&moved.to) {
            match &moved.from {
                None => client.delete_alias(alias)?,
                Some(from) if client.collection(from)?.is_none() => {
                    let why = format!("led to {from}, which is gone");
                    let hint = "make that collection again, or remove the alias, and try again";
                    return Err(fail(client, Kind::Changed, alias, why, hint));
                }
                Some(from) => client.set_alias(alias, from)?,
            }
        }
        failpoint::hit("alias-back");
        client.delete_ids(0, ledger::RECORDS, &[record.label.id]).await?;
    }
    Ok(())
}
