//! Taking a run back from the server, or accepting it there: what goes in which order, and how far that came.
//!
//! Invariants: nothing goes before everything that could refuse the whole was asked; the run's record says that it is being taken back
//! when the first of it is gone, and not before, so that of one that was stopped earlier others ask again whether it is as it was moved (who is
//! stopped between the two is asked, too, and needs a word for it); the records go last, for by them one that was stopped finds the rest.

use super::before;
use super::client::Client;
use super::ledger::{self, Of, RunRecord};
use super::live::SOON;
use super::{alias, made, restore};
use std::time::Duration;
use switchover_core::connector::Remains;
use switchover_core::{Result, failpoint};

/// What is there of a run. Its own record is asked for by its id: a listing may lack it.
pub(super) async fn remains(client: &Client, run: &str) -> Result<Remains> {
    match ledger::known(client, run)? {
        Some(record) if record.going => Ok(Remains::Part),
        Some(_) => Ok(Remains::All),
        None if ledger::of_run(client, run).await?.is_empty() => Ok(Remains::Nothing),
        None => Ok(Remains::All),
    }
}

/// Removes what a run made, and gives back what it replaced, by the process that has this attempt of it. Gives whether there was something.
pub(super) async fn discard(client: &Client, run: &str, attempt: i64) -> Result<bool> {
    ledger::of_this_tenant(client, run)?;
    let (own, others): (Vec<_>, Vec<_>) =
        ledger::all(client).await?.into_iter().partition(|record| record.run == run);
    let there = client.schema()?;
    ledger::lists_all_known(client, &there, run, &own, before::names(client, run).await?)?;
    if own.is_empty() {
        if others.is_empty() {
            // A run that was stopped before its first record leaves their collection.
            client.delete_collection(ledger::RECORDS)?;
        }
        return Ok(false);
    }
    failpoint::hit("discard-before-commit");
    let named = |of| own.iter().filter(move |record| record.is(of)).map(|record| &*record.key);
    let known = run_record(client, &own).await?;
    let was_at_rest = attempt == 1 || known.as_ref().is_some_and(|record| record.at_rest);
    let at_rest = was_at_rest && client.lost_at().is_none();
    let attempts = known.map_or(0, |record| record.attempt);
    if !at_rest {
        // A request that nobody waits for would come behind what is done here, when nobody knows any more that it is the run's.
        let soon = failpoint::number("discard-soon-ms", SOON.as_millis() as u64);
        tokio::time::sleep(Duration::from_millis(soon)).await;
    }
    let made = made::own(client, run, named(Of::Collection).rev())?;
    alias::lead_back(client, run).await?;
    if !made.is_empty() {
        failpoint::hit("discard-going");
    }
    for (at, name) in made.into_iter().enumerate() {
        client.delete_own(name)?;
        // A server whose disk is full takes no object, and drops collections all the same. Whoever is stopped then is asked again.
        if at == 0
            && let Err(error) = ledger::going(client, run).await
        {
            tracing::warn!(%error, run, "it cannot be noted that the run is being taken back");
        }
    }
    failpoint::hit("discard-dropped");
    let standing: Vec<&str> = named(Of::Standing).collect();
    if !standing.is_empty() {
        // Where this is stopped and the run goes on instead, the objects that went are copied again.
        let chunks = own.iter().filter(|record| record.is(Of::Checkpoint));
        client.delete_proven(ledger::RECORDS, &chunks.map(|record| record.id).collect::<Vec<_>>()).await?;
    }
    restore::restore(client, run, &standing, attempts, at_rest).await?;
    if !at_rest {
        // A request that made one of the run's collections may have come in between all the same; and a server that makes
        // collections by itself has made one for objects that came, of which a person must say whose they are.
        for name in made::own(client, run, named(Of::Collection).rev())? {
            client.delete_own(name)?;
        }
    }
    // The records last: a discard that was stopped finds the rest by them.
    drop_records(client, run, &own, others.is_empty()).await?;
    Ok(true)
}

/// Removes a run's records.
pub(super) async fn forget(client: &Client, run: &str) -> Result<()> {
    ledger::of_this_tenant(client, run)?;
    let (own, others): (Vec<_>, Vec<_>) =
        ledger::all(client).await?.into_iter().partition(|record| record.run == run);
    drop_records(client, run, &own, others.is_empty()).await
}

/// What is known of the run that these records are of.
pub(super) async fn run_record(client: &Client, own: &[ledger::Label]) -> Result<Option<RunRecord>> {
    let ids: Vec<[u8; 16]> = own.iter().filter(|label| label.is(Of::Run)).map(|label| label.id).collect();
    ledger::bodies(client, ledger::RECORDS, &ids).await?.first().map(ledger::Record::read).transpose()
}

/// Removes a run's records; the collections of records go with the last run that has some. First what has a rollback restore: behind it
/// one that is done again only forgets the rest.
async fn drop_records(client: &Client, run: &str, own: &[ledger::Label], last: bool) -> Result<()> {
    let of = |which: &dyn Fn(&&ledger::Label) -> bool| -> Vec<[u8; 16]> {
        own.iter().filter(which).map(|record| record.id).collect()
    };
    client.delete_proven(ledger::RECORDS, &of(&|record| record.is(Of::Standing))).await?;
    failpoint::hit("existing-restorable-no-more");
    if last {
        client.delete_collection(before::BEFORE)?;
        failpoint::hit("existing-forgotten");
        return client.delete_collection(ledger::RECORDS);
    }
    before::forget(client, run, |_| true).await?;
    failpoint::hit("existing-forgotten");
    // Its own record last: it says how far the run is.
    client.delete_proven(ledger::RECORDS, &of(&|record| !record.is(Of::Run))).await?;
    client.delete_proven(ledger::RECORDS, &of(&|record| record.is(Of::Run))).await
}
