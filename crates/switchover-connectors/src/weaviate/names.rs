//! Names of collections and properties: what the server takes, and what becomes of a source's names. Pure.
//!
//! The server changes the first letter's case by itself (collections begin with a capital, properties with a small
//! letter) and compares names without their case, so names are made in its form before it sees them, and two that
//! it would take for one collide in the plan. Rules: `entities/schema/validation.go` of the server, version 1.39.

use switchover_core::connector::Named;

/// Letters of the longest property name (`PropertyNameMaxLength`).
pub(super) const PROPERTY_BYTES_MAX: usize = 231;

/// Properties that the server keeps for itself.
const RESERVED: [&str; 4] = ["id", "_id", "_additional", "vector"];

/// What a source's own id is called, which the server's `id` is not.
const ORIGINAL_ID: &str = "original_id";

/// The name in the server's form.
pub(super) fn named(what: Named, name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    let name: String = name.chars().map(plain).collect();
    match what {
        Named::Table => match name.as_bytes().first() {
            Some(first) if first.is_ascii_alphabetic() => with_first(&name, |c| c.to_ascii_uppercase()),
            Some(_) => format!("T{name}"),
            None => name,
        },
        Named::Column => match name.as_bytes().first() {
            _ if name.eq_ignore_ascii_case("id") || name.eq_ignore_ascii_case("_id") => {
                ORIGINAL_ID.to_owned()
            }
            _ if RESERVED.contains(&name.to_ascii_lowercase().as_str()) => {
                format!("{}_", name.to_ascii_lowercase())
            }
            Some(first) if first.is_ascii_digit() => format!("_{name}"),
            Some(_) => with_first(&name, |c| c.to_ascii_lowercase()),
            None => name,
        },
    }
}

/// What keeps the server from taking a name as it is.
pub(super) fn fault(what: Named, name: &str) -> Option<String> {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let first = name.bytes().next()?;
    let because = match what {
        Named::Table if !plain || !first.is_ascii_uppercase() => {
            "a collection's name begins with a capital and goes on with letters, digits and _"
        }
        Named::Column if RESERVED.contains(&name) => "the server keeps that name for itself",
        Named::Column if !plain || !(first.is_ascii_lowercase() || first == b'_') => {
            "a property's name begins with a small letter or _ and goes on with letters, digits and _"
        }
        _ => return None,
    };
    Some(format!("\"{name}\" is no name there: {because}"))
}

fn with_first(name: &str, change: impl Fn(char) -> char) -> String {
    let mut chars = name.chars();
    chars.next().map(change).into_iter().chain(chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_get_the_servers_form() {
        for (what, name, wanted) in [
            (Named::Table, "messages", "Messages"),
            (Named::Table, "chat messages", "Chat_messages"),
            (Named::Table, "_x", "T_x"),
            (Named::Table, "Größe", "Gr__e"),
            (Named::Column, "id", "original_id"),
            (Named::Column, "ID", "original_id"),
            (Named::Column, "vector", "vector_"),
            (Named::Column, "UserId", "userId"),
            (Named::Column, "2nd", "_2nd"),
            (Named::Column, "_x", "_x"),
        ] {
            assert_eq!(named(what, name), wanted);
            assert_eq!(fault(what, wanted), None, "{wanted}");
        }
    }

    #[test]
    fn names_of_a_mapping_are_looked_at() {
        for (what, name) in [
            (Named::Table, "messages"),
            (Named::Table, "A-B"),
            (Named::Column, "id"),
            (Named::Column, "vector"),
            (Named::Column, "Name"),
            (Named::Column, "a b"),
        ] {
            assert!(fault(what, name).is_some(), "{name}");
        }
    }
}
