//! What matters about a server for a migration into it. Nothing is written.

use super::client::{Client, Collection};
use super::ledger;
use switchover_core::Result;
use switchover_core::finding::Finding;

/// All findings.
pub(super) fn findings(schema: Result<()>, client: Result<&Client>) -> Vec<Finding> {
    if let Err(error) = schema {
        return vec![Finding::of_error("schema", &error)];
    }
    let client = match client {
        Ok(client) => client,
        Err(error) => return vec![Finding::of_error("connection", &error)],
    };
    let mut found =
        vec![Finding::ok("server", format!("Weaviate {}, by REST and gRPC", client.meta().version))];
    found.extend(rights(client));
    match client.schema() {
        Ok(classes) => {
            let own = |class: &&Collection| class.name.starts_with(ledger::PREFIX);
            let (runs, all) = (classes.iter().filter(own).count(), classes.len());
            found.push(Finding::ok(
                "collections",
                format!("{} are there; new ones come beside them", all - runs),
            ));
            if runs > 0 {
                found.push(Finding::warning(
                    "an earlier run",
                    "the server holds records of a run",
                    "`switchover status` shows it; it ends with `rollback` or `cleanup`",
                ));
            }
        }
        Err(error) => found.push(Finding::of_error("collections", &error)),
    }
    found
}

/// What the key's user may do.
fn rights(client: &Client) -> Vec<Finding> {
    let todo = "give the key's user the rights to make, change and delete collections and their objects";
    match client.missing_rights() {
        Err(error) => vec![Finding::warning(
            "rights",
            format!("whether the key's user may write is not known: {error}"),
            "see with --dry-run, and with a small table first",
        )],
        Ok(missing) if missing.is_empty() => {
            vec![Finding::ok("rights", "collections may be made and dropped, and objects written")]
        }
        Ok(missing) => missing.into_iter().map(|lack| Finding::fault("rights", lack, todo)).collect(),
    }
}
