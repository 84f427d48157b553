//! Stores that exist for a rehearsal only: an application is played on them, and then they go.

use crate::error::Result;
use crate::plan::TablePlan;
use async_trait::async_trait;

/// A store made for a rehearsal.
#[async_trait]
pub trait Scratch: Send + Sync {
    /// Writes some rows of a table as they are, by an application's connection, so that triggers, log and fence see
    /// it and no value changes. `false` when the store does not take writes now.
    async fn touch(&self, table: &TablePlan, rows: u64) -> Result<bool>;
    /// Removes it. May be called again.
    async fn remove(&self) -> Result<()>;
}

/// The columns by which some rows of a table are found, and the one that is written, by their place in the plan; `None`
/// where a table has no key.
pub fn touched(table: &TablePlan) -> Option<(Vec<usize>, usize)> {
    let key = table.key_fields();
    let first = *key.first()?;
    let other = |at: &usize| {
        let column = &table.columns[*at];
        !key.contains(at) && column.generated.is_none() && column.identity_next.is_none()
    };
    let written = (0..table.columns.len()).find(other).unwrap_or(first);
    Some((key, written))
}
