//! `doctor`: checks what a migration needs, and changes nothing.

use super::Context;
use crate::registry;
use crate::render::layout::{columns, shown};
use crate::render::output;
use serde::Serialize;
use switchover_core::{Error, Kind, Result};

/// One thing that was checked.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Finding {
    /// `ok`, `warning` or `fault`.
    pub(crate) level: String,
    /// What was checked, such as `source: WAL mode`.
    pub(crate) what: String,
    /// What was found, and what to do.
    pub(crate) found: String,
}

/// Exit code 1 when there is a fault.
pub(crate) async fn run(context: &Context, json: bool) -> Result<u8> {
    if context.resolved.from.is_none() && context.resolved.to.is_none() {
        context.resolved.source()?;
    }
    for reference in [&context.resolved.from, &context.resolved.to].into_iter().flatten() {
        registry::store(reference)?;
    }
    let findings = engine(context).await?;
    if json {
        let text = serde_json::to_string_pretty(&findings);
        let text = text.map_err(|error| Error::new(Kind::Internal, "write the findings").because(error))?;
        output::data(&(text + "\n"))?;
    } else {
        let row = |f: &Finding| [shown(&f.level), shown(&f.what), shown(&f.found)];
        output::data(&columns(0, [8, 28, 0], &findings.iter().map(row).collect::<Vec<_>>()))?;
    }
    Ok(u8::from(findings.iter().any(|finding| finding.level == "fault")))
}

async fn engine(_context: &Context) -> Result<Vec<Finding>> {
    // PLUG IN: the checks of whichever stores are named.
    Err(Error::new(Kind::Unsupported, "check the stores"))
}
