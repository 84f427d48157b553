//! `doctor`: checks what a migration needs, and changes nothing.

use super::Context;
use crate::registry;
use crate::render::layout::{columns, plural, shown};
use crate::render::output;
use switchover::doctor;
use switchover_core::finding::{Finding, Level};
use switchover_core::{Error, Kind, Result};

/// Exit code 1 when there is a fault.
pub(crate) async fn run(context: &Context, json: bool) -> Result<u8> {
    let resolved = &context.resolved;
    if resolved.from.is_none() && resolved.to.is_none() {
        resolved.source()?;
    }
    let findings = engine(context).await?;
    context.screen.end();
    if json {
        let text = serde_json::to_string_pretty(&findings);
        let text = text.map_err(|error| Error::new(Kind::Internal, "write the findings").because(error))?;
        output::data(&(text + "\n"))?;
    } else {
        output::data(&render(&findings))?;
    }
    Ok(u8::from(findings.iter().any(|finding| finding.level == Level::Fault)))
}

async fn engine(context: &Context) -> Result<Vec<Finding>> {
    let resolved = &context.resolved;
    let source = {
        let open = |from| registry::source(from, resolved.from_schema.as_deref(), &resolved.environment);
        resolved.from.as_ref().map(open).transpose()?
    };
    let target = resolved.to.as_ref().map(|to| registry::target(to, &resolved.environment)).transpose()?;
    Ok(doctor::examine(source.as_deref(), target.as_deref(), &resolved.settings).await)
}

fn render(findings: &[Finding]) -> String {
    let row = |finding: &Finding| {
        let level = match finding.level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Fault => "FAULT",
        };
        let todo = if finding.todo.is_empty() { String::new() } else { format!(" -- {}", finding.todo) };
        [level.to_owned(), shown(&finding.what), shown(&format!("{}{todo}", finding.found))]
    };
    let count = |level| findings.iter().filter(|finding| finding.level == level).count() as u64;
    let (faults, warnings) = (count(Level::Fault), count(Level::Warning));
    let verdict = match (faults, warnings) {
        (0, 0) => "ready".to_owned(),
        (0, some) => format!("ready, with {}", plural(some, "warning")),
        (some, _) => format!("NOT ready: {}", plural(some, "fault")),
    };
    columns(0, [8, 26, 0], &findings.iter().map(row).collect::<Vec<_>>()) + &format!("\n{verdict}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_decides() {
        let mut findings = vec![Finding::ok("source: file", "1 page")];
        assert!(render(&findings).ends_with("\nready\n"));
        findings.push(Finding::warning("target: version", "PostgreSQL 99", "rehearse"));
        assert!(render(&findings).ends_with("\nready, with 1 warning\n"));
        findings.push(Finding::fault("target: rights", "none", "grant"));
        assert!(render(&findings).contains("FAULT") && render(&findings).ends_with("NOT ready: 1 fault\n"));
    }
}
