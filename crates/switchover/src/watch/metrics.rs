//! Numbers in the answers of endpoints: JSON by pointer, and Prometheus' text format.
//!
//! Invariant: a number that is not there, or is no number, is said and never taken for 0.

use serde_json::Value;

/// The number at a JSON pointer.
pub(super) fn json_number(body: &str, pointer: &str) -> Result<f64, String> {
    let value: Value = serde_json::from_str(body).map_err(|_| "the answer is not JSON".to_owned())?;
    let found = value.pointer(pointer).ok_or_else(|| format!("the answer has nothing at {pointer}"))?;
    found
        .as_f64()
        .filter(|number| number.is_finite())
        .ok_or_else(|| format!("there is no number at {pointer}"))
}

/// Names and values.
type Labels<'a> = Vec<(&'a str, String)>;

/// One line of the text format.
struct Sample<'a> {
    name: &'a str,
    labels: Labels<'a>,
    value: f64,
}

/// The sum of all series of a metric; of `name{label="value"}` those with these labels.
pub(super) fn series(body: &str, wanted: &str) -> Result<f64, String> {
    let (name, labels) = selector(wanted)?;
    let found: Vec<f64> = samples(body)
        .filter(|sample| sample.name == name && labels.iter().all(|label| sample.labels.contains(label)))
        .map(|sample| sample.value)
        .collect();
    match found.iter().sum::<f64>() {
        _ if found.is_empty() => Err(format!("the answer has no metric {wanted}")),
        sum if sum.is_finite() => Ok(sum),
        _ => Err(format!("{wanted} is no number")),
    }
}

/// A histogram's counters by upper bound, over all series, ascending.
pub(super) fn buckets(body: &str, wanted: &str) -> Result<Vec<(f64, f64)>, String> {
    let (name, labels) = selector(wanted)?;
    let mut found: Vec<(f64, f64)> = Vec::new();
    for sample in samples(body).filter(|sample| sample.name.strip_suffix("_bucket") == Some(name)) {
        if !labels.iter().all(|label| sample.labels.contains(label)) {
            continue;
        }
        let bound = sample.labels.iter().find(|(name, _)| *name == "le").and_then(|(_, bound)| number(bound));
        let (Some(bound), true) = (bound, sample.value.is_finite()) else {
            return Err(format!("{wanted} has a bucket without a bound or a number"));
        };
        match found.iter_mut().find(|(there, _)| *there == bound) {
            Some((_, count)) => *count += sample.value,
            None => found.push((bound, sample.value)),
        }
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    match found.last() {
        Some((bound, _)) if *bound == f64::INFINITY => Ok(found),
        Some(_) => Err(format!("{wanted} has no bucket with le=\"+Inf\"")),
        None => Err(format!("the answer has no histogram {wanted}")),
    }
}

/// The value below which this part of the window's observations is, between the bounds of its bucket, and their number.
pub(super) fn quantile(
    before: &[(f64, f64)],
    now: &[(f64, f64)],
    part: f64,
) -> Result<(f64, f64), &'static str> {
    const ANEW: &str = "the histogram began anew";
    if before.len() != now.len() {
        return Err(ANEW);
    }
    let mut grown = Vec::with_capacity(now.len());
    for ((bound, earlier), (now_bound, count)) in before.iter().zip(now) {
        if bound != now_bound || count < earlier {
            return Err(ANEW);
        }
        grown.push((*bound, count - earlier));
    }
    let total = grown.last().map_or(0.0, |(_, count)| *count);
    if total <= 0.0 {
        return Err("there were no requests");
    }
    let rank = total * part;
    let at = grown.iter().position(|(_, count)| *count >= rank).unwrap_or(grown.len() - 1);
    let (low, below) = if at == 0 { (0.0, 0.0) } else { grown[at - 1] };
    let (high, upto) = grown[at];
    // Beyond the last bound nothing is known but that it is above it.
    let value = if high.is_infinite() { low } else { low + (high - low) * ((rank - below) / (upto - below)) };
    Ok((value, total))
}

/// `name`, or `name{label="value",…}`.
fn selector(text: &str) -> Result<(&str, Labels<'_>), String> {
    let fail = || format!("'{text}' is no metric, such as requests_total or requests_total{{code=\"500\"}}");
    let (name, rest) = name_of(text.trim());
    if name.is_empty() {
        return Err(fail());
    }
    match rest.trim().strip_prefix('{') {
        None if rest.trim().is_empty() => Ok((name, Vec::new())),
        Some(inner) => match labels(inner) {
            Some((labels, rest)) if rest.trim().is_empty() => Ok((name, labels)),
            _ => Err(fail()),
        },
        None => Err(fail()),
    }
}

/// Whether a text names a metric.
pub(super) fn is_selector(text: &str) -> bool {
    selector(text).is_ok()
}

fn samples(body: &str) -> impl Iterator<Item = Sample<'_>> {
    body.lines().filter_map(|line| {
        let line = line.trim();
        if line.starts_with('#') {
            return None;
        }
        let (name, rest) = name_of(line);
        let (labels, rest) = match rest.trim_start().strip_prefix('{') {
            Some(inner) => labels(inner)?,
            None => (Vec::new(), rest),
        };
        // A time may stand behind the value.
        let value = number(rest.split_whitespace().next()?)?;
        (!name.is_empty()).then_some(Sample { name, labels, value })
    })
}

fn name_of(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':').unwrap_or(text.len());
    text.split_at(end)
}

/// Labels up to `}`, and what is behind it.
fn labels(mut rest: &str) -> Option<(Labels<'_>, &str)> {
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start().trim_start_matches(',').trim_start();
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((found, rest));
        }
        let (name, after) = name_of(rest);
        let inner = after.trim_start().strip_prefix('=')?.trim_start().strip_prefix('"')?;
        let (mut value, mut end, mut chars) = (String::new(), None, inner.char_indices());
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    end = Some(at + 1);
                    break;
                }
                '\\' => match chars.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                other => value.push(other),
            }
        }
        found.push((name, value));
        rest = &inner[end?..];
    }
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" | "Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        other => other.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "# HELP requests_total All.\nrequests_total{code=\"200\",path=\"/a\"} 90\n\
        requests_total{code=\"500\",path=\"/a \\\"x\\\"\"} 4 1700000000000\nrequests_total{code=\"500\",path=\"/b\"} 6\n\
        up 1\nbad NaN\nt_bucket{le=\"0.1\"} 50\nt_bucket{le=\"0.5\"} 90\nt_bucket{le=\"+Inf\"} 100\nt_count 100\n";

    #[test]
    fn metrics_are_found_and_summed() {
        for (wanted, value) in [
            ("requests_total", Ok(100.0)),
            ("requests_total{code=\"500\"}", Ok(10.0)),
            ("requests_total{ path=\"/a \\\"x\\\"\" }", Ok(4.0)),
            ("up", Ok(1.0)),
        ] {
            assert_eq!(series(BODY, wanted), value, "{wanted}");
        }
        for wrong in ["nothing", "requests_total{code=\"404\"}", "bad", "up{", "up x", "", "{a=\"b\"}"] {
            assert!(series(BODY, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn json_numbers() {
        let body = r#"{"a":{"p99_ms":12.5},"list":[1,2],"text":"3"}"#;
        assert_eq!(json_number(body, "/a/p99_ms"), Ok(12.5));
        assert_eq!(json_number(body, "/list/1"), Ok(2.0));
        for (body, pointer) in [(body, "/text"), (body, "/none"), (body, "/a"), ("<html>", "/a")] {
            assert!(json_number(body, pointer).is_err(), "{pointer}");
        }
    }

    #[test]
    fn a_quantile_is_that_of_the_window() {
        let before = buckets(BODY, "t").unwrap_or_default();
        assert_eq!(before, [(0.1, 50.0), (0.5, 90.0), (f64::INFINITY, 100.0)]);
        let now = |counts: [f64; 3]| {
            before.iter().zip(counts).map(|((bound, count), more)| (*bound, count + more)).collect::<Vec<_>>()
        };
        // 100 requests, all below 0.1: what was before does not matter.
        assert_eq!(quantile(&before, &now([100.0; 3]), 0.99), Ok((0.099, 100.0)));
        let (value, sample) = quantile(&before, &now([0.0, 100.0, 100.0]), 0.5).unwrap_or_default();
        assert!((value - 0.3).abs() < 1e-9 && sample == 100.0, "{value}");
        // Beyond the last bound: at least that.
        assert_eq!(quantile(&before, &now([0.0, 0.0, 10.0]), 0.99), Ok((0.5, 10.0)));
        assert!(quantile(&before, &now([0.0; 3]), 0.99).is_err());
        assert!(quantile(&before, &now([-1.0; 3]), 0.99).is_err());
        assert!(quantile(&before, &before[1..], 0.99).is_err());
    }
}
