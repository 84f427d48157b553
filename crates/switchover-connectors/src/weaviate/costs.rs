//! What an index adds to a load, as the plan says it.
//!
//! Measured by `cargo xtask bench weaviate --indexes`, with and without `--vectors`; the figures stand in docs/benchmarks.md, "What an
//! index costs". They are parts of the time that the same objects take without any index, on one machine with the server
//! beside the client: on another they are other seconds, and much the same parts.
//! Absent on purpose: a sum, because indexes of several properties share the server's processors.

/// Parts in a hundred of a load without indexes: words of texts of 250 bytes.
pub(super) const WORDS_OF_LONG: u32 = 140;
/// Words of texts of 36 bytes.
pub(super) const WORDS_OF_SHORT: u32 = 30;
/// Texts of 250 bytes, as a whole.
pub(super) const LONG_AS_A_WHOLE: u32 = 10;
/// Texts of 36 bytes, as a whole.
pub(super) const SHORT_AS_A_WHOLE: u32 = 0;
/// Times and other values, as a whole.
pub(super) const OTHER_AS_A_WHOLE: u32 = 10;
/// Ranges of times.
pub(super) const RANGES: u32 = 0;

/// How many times as long the load of vectors of 384 numbers takes with their index (`hnsw`) as without.
const VECTORS: f64 = 7.7;

/// Of what the costs of long texts were measured.
pub(super) const LONG: &str = ", as measured with texts of 250 bytes";

/// So few parts are not told from none.
const FEW: u32 = 5;

/// In words.
pub(super) fn shown(parts: u32, of: &str) -> String {
    match parts {
        0..FEW => "little of the load's time".to_owned(),
        _ => format!("about {parts} % of the time of a load without indexes{of}"),
    }
}

/// The same of the index of vectors, which is always made.
pub(super) fn of_vectors() -> String {
    format!(
        "their index (hnsw) makes the load about {VECTORS:.0} times as long, as measured with vectors of 384 numbers"
    )
}
