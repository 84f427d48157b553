//! `bench queries`: the same questions to both stores, whether the answers are alike, and how fast they come.

use super::Context;
use crate::args::QueriesArgs;
use crate::render::{output, queries, report};
use switchover::Sample;
use switchover::queries::{QueriesOptions, QueriesReport};
use switchover_core::Result;

/// Exit code 1 when answers differ, 2 when questions failed.
pub(crate) async fn queries(context: &Context, args: &QueriesArgs) -> Result<u8> {
    let options = QueriesOptions {
        tables: args.table.clone(),
        by: args.by.clone(),
        time: args.seconds,
        samples: args.samples as usize,
        rows: args.rows,
        clients: args.clients as usize,
        seed: args.seed.unwrap_or_else(|| Sample::of(1).seed),
    };
    let found = engine(context, &options).await?;
    context.screen.end();
    output::data(&if args.json { queries::json(&found)? } else { queries::render(&found) })?;
    if let Some(path) = &context.resolved.report {
        report::write_as(path, || switchover::queries::markdown(&found), || queries::json(&found))?;
    }
    Ok(report::exit_code(found.verdict))
}

async fn engine(context: &Context, options: &QueriesOptions) -> Result<QueriesReport> {
    context.migration()?.queries(options).await
}
