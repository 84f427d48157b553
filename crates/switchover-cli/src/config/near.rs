//! "Did you mean": the nearest of the names that would have been right.

/// How alike two names must be (Jaro–Winkler, 0 to 1) before one is offered for the other. At 0.8
/// transposed, missing and doubled letters are offered, and different words are not.
const ALIKE_MIN: f64 = 0.8;

/// The candidate most like what was written, if any is like it at all.
pub(crate) fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = written.to_lowercase().replace('-', "_");
    candidates
        .into_iter()
        .map(|candidate| {
            (strsim::jaro_winkler(&folded, &candidate.to_lowercase().replace('-', "_")), candidate)
        })
        .filter(|(alike, _)| *alike >= ALIKE_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// A hint: the nearest candidate, or else all of them.
pub(crate) fn hint(written: &str, candidates: &[&str]) -> String {
    match nearest(written, candidates.iter().copied()) {
        Some(near) => format!("did you mean '{near}'?"),
        None => format!("it can be {}", candidates.join(", ")),
    }
}
