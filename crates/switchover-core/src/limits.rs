//! Every bound of the project that more than one part must agree on, with its reason.
//!
//! A bound that only one module needs stands in that module. Units come last in the name.

/// Bytes of row data that one chunk carries: large enough that a commit's round trip and flush are
/// noise beside the rows, small enough that two streams with one chunk each in hand and one in
/// flight stay far below the memory limit.
pub const CHUNK_BYTES: usize = 4 << 20;

/// The default of `--memory-limit`, resident, for the whole process.
pub const MEMORY_BYTES_DEFAULT: u64 = 100 << 20;

/// A PostgreSQL field ends at 1 GiB less its header; so does a SQLite string by default.
pub const FIELD_BYTES_MAX: usize = (1 << 30) - 64;

/// A value longer than this enters a row's digest as its own digest, so that neither side has to
/// hold a second copy of it.
pub const DIGEST_INLINE_BYTES: usize = 64 << 10;

/// Differences and refusals that are listed one by one; the rest is counted.
pub const LISTED_MAX: usize = 100;

/// Which of how many a listed one is, where a list may be cut: "the only such row", "one of 12 such rows".
pub fn one_of(count: u64, what: &str) -> String {
    match count {
        1 => format!("the only such {what}"),
        count => format!("one of {count} such {what}s"),
    }
}

/// Rows without a parent that a plan names one by one, so that copy and verification agree on them;
/// each takes about 100 bytes of the plan. With more, the foreign key is to be mended, not the rows.
pub const ORPHANS_MAX: usize = 100_000;

/// From this size a value gets memory and packets of its own, so that no buffer grows to twice its size.
pub const LARGE_VALUE_BYTES: usize = 64 << 10;

/// Buckets of a table's digest. 1,024 sums of 128 bits are 24 KiB a table, and one differing row in
/// a million leaves a thousand candidates for the drill-down.
pub const DIGEST_BUCKETS: usize = 1024;

/// Row identities that the drill-down holds at a time (32 bytes each and a map's overhead).
pub const DRILL_ROWS_MAX: usize = 200_000;

/// Escaped bytes of a value that a message shows.
pub const SHOWN_BYTES: usize = 48;

/// Columns PostgreSQL allows in a table (`MaxHeapAttributeNumber`).
pub const POSTGRES_COLUMNS_MAX: usize = 1600;
