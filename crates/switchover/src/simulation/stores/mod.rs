//! The modelled stores behind the production traits; the traits themselves are in the modules.

mod live;
mod passing;
mod requests;
mod target;

pub(super) use self::live::NOT_WHOLE;
pub(super) use self::passing::Passing;
pub(super) use self::target::Hold;
use super::world::{Broken, Row, Side1, World};
use switchover_core::connector::Position;
use switchover_core::live::Side;
use switchover_core::value::{OwnedValue, Rows, Value};
use switchover_core::{Error, Kind, Result};

/// Rows of one chunk: few, so that little data is many chunks.
const CHUNK_ROWS: usize = 4;

/// One of the two stores, as one engine process reaches it.
pub(super) struct Store {
    pub(super) world: World,
    pub(super) side: Side,
}

fn unsupported<T>() -> Result<T> {
    Err(Error::new(Kind::Internal, "be a model").detail("the model does not have this"))
}

fn push(rows: &mut Rows, key: i64, row: Row) {
    [key, row.unique, row.value].into_iter().for_each(|value| rows.push(Value::Int(value)));
}

fn number(value: Value<'_>) -> i64 {
    match value {
        Value::Int(value) => value,
        _ => i64::MIN,
    }
}

fn key_of(key: &[OwnedValue]) -> i64 {
    key.first().map_or(i64::MIN, |value| number(value.borrow()))
}

fn index_of(name: &str) -> usize {
    usize::from(name == "part")
}

fn check_capture(store: &Side1, broken: Broken) -> Result<()> {
    if store.lost.is_empty() || broken == Broken::Capture {
        return Ok(());
    }
    Err(Error::new(Kind::Changed, "read changes").detail("a trigger is gone"))
}

fn has_moved(source: &Side1, broken: Broken) -> bool {
    source.captured && source.vacuums != source.vacuums_known && broken != Broken::Places
}

/// The last entry of the log that a position holds.
pub(super) fn sequence(position: &Position) -> u64 {
    position.0.split('#').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The mark of a position of the target's log.
fn mark_of(position: &Position) -> u64 {
    position.0.split_once('#').and_then(|(_, mark)| mark.parse().ok()).unwrap_or(0)
}
