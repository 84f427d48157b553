//! The source as a mapping shows it: one read point, from which every phase reads.
//!
//! Invariant: a phase that reads for a plan reads through the plan's own mapping, whether the plan was
//! made now, given, or taken from the journal; so no phase can see rows that another does not.

use crate::id_maps::with_id_maps;
use std::sync::Arc;
use switchover_core::Result;
use switchover_core::connector::Snapshot;
use switchover_core::mapping::{self, Mapped};
use switchover_core::plan::PlanOptions;
use switchover_core::schema::Catalog;

/// A read point with its mapping.
pub(crate) struct Sight {
    /// In which names mean what the mapping says.
    pub(crate) snapshot: Arc<dyn Snapshot>,
    /// As if the source had been mapped already.
    pub(crate) catalog: Catalog,
    /// The same read point as it is.
    pub(crate) plain: Arc<dyn Snapshot>,
}

impl Sight {
    /// Looks at a read point through a mapping.
    ///
    /// # Errors
    /// When the mapping does not fit the source; the error says where it stands.
    pub(crate) async fn of(plain: Arc<dyn Snapshot>, options: &PlanOptions) -> Result<Sight> {
        let Mapped { catalog, relations } = mapping::resolve(plain.catalog().await?, options)?;
        let snapshot = match relations.is_empty() {
            true => Arc::clone(&plain),
            false => plain.mapped(Arc::new(relations)).await?,
        };
        let snapshot = with_id_maps(snapshot, &catalog);
        Ok(Sight { snapshot, catalog, plain })
    }
}
