//! What a search found, for people and as JSON.

use super::layout::{WIDTH, fit, pad, plural, shown};
use crate::registry::{Answer, Hit};
use serde_json::{Map, Value as Json, json};
use switchover_core::{Error, Kind, Result};

/// Width of a property's name.
const NAME_WIDTH: usize = 18;

fn millis(time: std::time::Duration) -> f64 {
    (time.as_secs_f64() * 1e4).round() / 10.0
}

/// A few lines for each object.
pub(crate) fn render(answer: &Answer) -> String {
    let times = format!(
        "first answer {} ms, again {} ms, connected in {} ms",
        millis(answer.first),
        millis(answer.again),
        millis(answer.connect)
    );
    let place = match answer.searched.as_slice() {
        [] => shown(&answer.collection),
        names => format!("{} ({})", shown(&answer.collection), shown(&names.join(", "))),
    };
    let found = match answer.hits.len() as u64 {
        0 => "nothing".to_owned(),
        count => plural(count, "object"),
    };
    let mut out = format!("{}\n  {times}\n", fit(&format!("found {found} in {place}"), WIDTH));
    for hit in &answer.hits {
        out.push_str(&format!("\n{}{}\n", shown(&hit.id), measure(hit)));
        for (name, value) in &hit.properties {
            let value = match value {
                Json::String(text) => shown(text),
                other => shown(&other.to_string()),
            };
            let name = pad(&fit(&shown(name), NAME_WIDTH), NAME_WIDTH);
            out.push_str(&format!("  {name} {}\n", fit(&value, WIDTH - NAME_WIDTH - 3)));
        }
    }
    out
}

fn measure(hit: &Hit) -> String {
    match (hit.score, hit.distance) {
        (Some(score), _) => format!("  score {score:.3}"),
        (None, Some(distance)) => format!("  distance {distance:.4}"),
        (None, None) => String::new(),
    }
}

/// All of it, for programs.
pub(crate) fn json(answer: &Answer) -> Result<String> {
    let objects: Vec<Json> = answer
        .hits
        .iter()
        .map(|hit| {
            let properties: Map<String, Json> = hit.properties.iter().cloned().collect();
            json!({ "id": hit.id, "score": hit.score, "distance": hit.distance, "properties": properties })
        })
        .collect();
    let all = json!({
        "collection": answer.collection,
        "searched": answer.searched,
        "connect_ms": millis(answer.connect),
        "first_ms": millis(answer.first),
        "again_ms": millis(answer.again),
        "objects": objects,
    });
    let text = serde_json::to_string_pretty(&all);
    Ok(text.map_err(|error| Error::new(Kind::Internal, "write what was found").because(error))? + "\n")
}
