//! Examining one or both stores before anything is done. The connectors know what matters; this only asks.

use crate::evidence;
use crate::settings::Settings;
use switchover_core::connector::{Source, Target};
use switchover_core::finding::{Finding, Needs};
use switchover_core::schema::Catalog;

/// What matters about the stores, the source's findings first, each marked with its side.
///
/// Nothing is written, and no error ends it: an obstacle is a finding.
pub async fn examine(
    source: Option<&dyn Source>,
    target: Option<&dyn Target>,
    settings: &Settings,
) -> Vec<Finding> {
    let mut needs = Needs {
        jobs: settings.streams(),
        backup_folder: settings.backup.then(|| settings.backups()),
        target_bytes: None,
        existing: settings.plan.existing.is_some(),
        tables: None,
    };
    let mut found = Vec::new();
    if let Some(source) = source {
        // Why it could not be looked at is a finding of the source's.
        if let Ok(mut catalog) = catalog(source).await {
            let bytes = catalog.store.size_bytes;
            needs.target_bytes = Some(switchover_core::planner::layout::target_bytes_about(bytes));
            if evidence::select(&mut catalog, &settings.plan).is_ok() {
                needs.tables = Some(catalog.tables.into_iter().map(|table| table.name).collect());
            }
        }
        found.extend(marked("source", source.examine(&needs).await));
    }
    if let Some(target) = target {
        found.extend(marked("target", target.examine(&settings.plan.schema, &needs).await));
    }
    found
}

async fn catalog(source: &dyn Source) -> switchover_core::Result<Catalog> {
    source.snapshot().await?.catalog().await
}

fn marked(side: &str, findings: Vec<Finding>) -> impl Iterator<Item = Finding> {
    findings.into_iter().map(move |finding| Finding { what: format!("{side}: {}", finding.what), ..finding })
}
