//! Names on the target: folding, length, collisions. All found before any DDL.
//!
//! A name is never shortened by the server: one that is too long is cut here, at a character's
//! boundary, and two that meet after folding or cutting are a [`Collision`].

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What becomes of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Naming {
    /// They stay as they are, and are always quoted.
    #[default]
    Keep,
    /// `CustomerId` becomes `customer_id`.
    Snake,
}

/// Two names that would be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collision {
    /// The name on the target.
    pub target: String,
    /// The names on the source.
    pub sources: Vec<String>,
}

impl Naming {
    /// The target's name, of at most so many bytes.
    pub fn apply(self, name: &str, bytes_max: usize) -> String {
        let folded = match self {
            Naming::Keep => name.to_owned(),
            Naming::Snake => snake(name),
        };
        cut(&folded, bytes_max).to_owned()
    }
}

/// The longest beginning of a name that fits.
pub fn cut(name: &str, bytes_max: usize) -> &str {
    if name.len() <= bytes_max {
        return name;
    }
    let mut end = bytes_max;
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

/// A name in words of lower case joined by `_`. A run of capitals is one word (`HTTPPort` is
/// `http_port`), and everything that is neither a letter nor a digit separates words.
pub fn snake(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut out = String::with_capacity(name.len() + 4);
    for (at, c) in chars.iter().enumerate() {
        if !c.is_alphanumeric() {
            if !out.is_empty() && !out.ends_with('_') {
                out.push('_');
            }
            continue;
        }
        let after_lower = at > 0 && (chars[at - 1].is_lowercase() || chars[at - 1].is_numeric());
        let ends_run = at > 0
            && chars[at - 1].is_uppercase()
            && chars.get(at + 1).is_some_and(|next| next.is_lowercase());
        if c.is_uppercase() && (after_lower || ends_run) && !out.is_empty() && !out.ends_with('_') {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    while out.ends_with('_') && out.len() > 1 {
        out.pop();
    }
    if out.is_empty() { name.to_owned() } else { out }
}

/// Names of the source that would be one name on the target.
pub fn collisions<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Collision> {
    let mut by_target: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (source, target) in pairs {
        by_target.entry(target).or_default().push(source.to_owned());
    }
    by_target
        .into_iter()
        .filter(|(_, sources)| sources.len() > 1)
        .map(|(target, sources)| Collision { target: target.to_owned(), sources })
        .collect()
}

/// A name that is not taken yet: `wanted`, or with a number behind it, never longer than allowed.
pub fn unique(wanted: &str, taken: &mut std::collections::BTreeSet<String>, bytes_max: usize) -> String {
    unique_as(wanted, taken, bytes_max, str::to_owned)
}

/// As [`unique`], in a store that compares names in the form that `folded` gives.
pub fn unique_as(
    wanted: &str,
    taken: &mut std::collections::BTreeSet<String>,
    bytes_max: usize,
    folded: impl Fn(&str) -> String,
) -> String {
    let mut name = cut(wanted, bytes_max).to_owned();
    let mut number = 1;
    while !taken.insert(folded(&name)) {
        number += 1;
        let suffix = format!("_{number}");
        name = format!("{}{suffix}", cut(wanted, bytes_max - suffix.len()));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snake_words() {
        for (name, expected) in [
            ("CustomerId", "customer_id"),
            ("HTTPPort", "http_port"),
            ("already_snake", "already_snake"),
            ("Order Details", "order_details"),
            ("Ä2B", "ä2_b"),
            ("_id", "id"),
            ("***", "***"),
            ("PlaylistTrack", "playlist_track"),
        ] {
            assert_eq!(snake(name), expected);
        }
    }

    #[test]
    fn long_names_are_cut_at_characters_and_collide() {
        let (a, b) = (format!("{}é1", "x".repeat(62)), format!("{}é2", "x".repeat(62)));
        let (cut_a, cut_b) = (Naming::Keep.apply(&a, 63), Naming::Keep.apply(&b, 63));
        assert_eq!(cut_a.len(), 62);
        let found = collisions([(a.as_str(), cut_a.as_str()), (b.as_str(), cut_b.as_str()), ("y", "y")]);
        assert_eq!(found, [Collision { target: "x".repeat(62), sources: vec![a.clone(), b.clone()] }]);
    }

    #[test]
    fn made_names_are_never_taken() {
        let mut taken = ["a".repeat(63)].into();
        assert_eq!(unique(&"a".repeat(70), &mut taken, 63), format!("{}_2", "a".repeat(61)));
    }
}
