//! What matters about a server for a migration into it. Reads only.

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
