//! The seeds of property tests: the same in every ordinary run, new ones in a longer run, one to repeat a failure.

/// The seeds of one property test, in the order in which it takes them.
///
/// - `SWITCHOVER_PROPERTY_SEED` repeats one.
/// - `SWITCHOVER_PROPERTY_CASES` asks for so many that no run had before: they begin at the time of the day, in
///   nanoseconds.
/// - Otherwise they are `1..=ordinary`: whether a change may land depends on the change alone.
#[must_use]
pub fn seeds(ordinary: u64) -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("SWITCHOVER_PROPERTY_SEED") {
        return vec![seed];
    }
    match number("SWITCHOVER_PROPERTY_CASES") {
        None => (1..=ordinary).collect(),
        Some(cases) => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            // As nanoseconds since 1970 they fit until 2554.
            let first = now.map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or(0));
            (0..cases).map(|at| first.wrapping_add(at)).collect()
        }
    }
}
