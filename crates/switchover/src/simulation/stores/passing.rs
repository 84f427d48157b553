//! The model's source as the copy reads it, and how rows are read on either side.

use super::super::plan::PLACE;
use super::super::world::{Side1, World};
use super::{CHUNK_ROWS, check_capture, has_moved, index_of, key_of, push, unsupported};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use switchover_core::chunk::LocatorValue;
use switchover_core::connector::{Batch, Offenders, Position, ReadRequest, Snapshot, Source};
use switchover_core::live::Side;
use switchover_core::schema::{Catalog, ForeignKey, Locator, Table};
use switchover_core::value::{OwnedValue, Rows, Value};
use switchover_core::{Error, Kind, Result};

pub(super) fn read_rows(store: &Side1, request: &ReadRequest, mut rows: Rows) -> Batch {
    rows.reset(1, 3);
    let after = request.range.after.as_ref().map_or(Bound::Unbounded, |key| Bound::Excluded(key_of(key)));
    let upto = request.range.upto.as_ref().map_or(Bound::Unbounded, |key| Bound::Included(key_of(key)));
    let empty = matches!((after, upto), (Bound::Excluded(a), Bound::Included(b)) if a >= b);
    let table = index_of(&request.table.name);
    let place = |key: &i64| match is_by_place(request) {
        true => store.places[table].get(key).copied().unwrap_or(i64::MAX),
        false => *key,
    };
    let lying: BTreeMap<i64, i64> = store.data[table].keys().map(|key| (place(key), *key)).collect();
    let mut last = None;
    let mut done = true;
    if !empty {
        for (place, key) in lying.range((after, upto)) {
            if rows.len() == CHUNK_ROWS {
                done = false;
                break;
            }
            rows.push(Value::Int(*place));
            push(&mut rows, *key, store.data[table][key]);
            last = Some(vec![OwnedValue::Int(*place)]);
        }
    }
    Batch { rows, last, done }
}

/// Whether rows are read in the order in which they lie, and not in that of their keys.
pub(super) fn is_by_place(request: &ReadRequest) -> bool {
    matches!(&request.table.locator, Locator::RowId(name) if name == PLACE)
}

/// The model's source as the copy reads it.
#[derive(Clone)]
pub(in super::super) struct Passing(pub(in super::super) World);

#[async_trait]
impl Source for Passing {
    fn label(&self) -> String {
        Side::Source.to_string()
    }

    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        unsupported()
    }

    async fn passing(&self) -> Result<Arc<dyn Snapshot>> {
        Ok(Arc::new(self.clone()))
    }
}

#[async_trait]
impl Snapshot for Passing {
    fn position(&self) -> Position {
        Position(String::new())
    }

    async fn catalog(&self) -> Result<Catalog> {
        unsupported()
    }

    async fn read(&self, request: ReadRequest, rows: Rows) -> Result<Batch> {
        self.0
            .call_at(Side::Source, "read rows", |world| {
                check_capture(&world.source, world.broken)?;
                let often = world.vacuum;
                if world.dice.one_in(often) {
                    world.source.vacuum();
                }
                if is_by_place(&request) && has_moved(&world.source, world.broken) {
                    return Err(Error::new(Kind::Changed, "read rows").detail("rows lie elsewhere"));
                }
                Ok(read_rows(&world.source, &request, rows))
            })
            .await
    }

    async fn count(&self, _: &str) -> Result<u64> {
        unsupported()
    }

    async fn orphans(&self, _: &Table, _: &ForeignKey, _: usize) -> Result<Offenders> {
        unsupported()
    }

    async fn duplicates(&self, _: &Table, _: &[(String, String)], _: usize) -> Result<Offenders> {
        unsupported()
    }

    async fn fetch(
        &self,
        _: &switchover_core::connector::ReadTable,
        _: &LocatorValue,
    ) -> Result<Option<Vec<OwnedValue>>> {
        unsupported()
    }
}
