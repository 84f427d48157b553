//! `switchover.toml`: text into a [`Layer`], with the line of every value.
//!
//! Invariants: every key of the file is either understood or an error that names file, line, key
//! and the nearest key there is; a key that is there twice under two spellings is an error. No
//! message quotes a line of the file, which may hold a password. The format is described in
//! docs/reference/config.md.

use super::{Given, KEYS, Layer, Origin, Raw, Shape, Spelling, invalid, near};
use switchover_core::Result;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The tables of the file that group keys.
const GROUPS: &[&str] = &["source", "target"];

/// Reads the text of a file; `name` is what messages call it.
pub(super) fn parse(text: &str, name: &str) -> Result<Layer> {
    let reader = Reader { text, name };
    let document = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| reader.line(span.start));
        invalid(Origin::File(name.to_owned(), line)).detail(format!("it is not TOML: {}", error.message()))
    })?;
    let mut layer = Layer::default();
    for (key, value) in document.get_ref() {
        let word = key.get_ref().as_ref();
        match value.get_ref() {
            DeValue::Table(tables) if word == "table" => {
                super::mapping::read(&reader, tables, &mut layer.mapping)?
            }
            DeValue::Table(table) if word == "cutover" => super::cutover::read(&reader, table, &mut layer)?,
            DeValue::Table(table) if word == "watch" => super::watch::read(&reader, table, &mut layer.watch)?,
            DeValue::Table(_) if word == "tables" => {
                let detail =
                    "'tables' is the list of tables to take; what becomes of one stands in [table.NAME]";
                return Err(invalid(reader.at(key.span().start)).detail(detail).hint("write [table.NAME]"));
            }
            DeValue::Table(group) if GROUPS.contains(&word) => {
                for (inner, value) in group {
                    let path = format!("{word}.{}", inner.get_ref());
                    reader.value(&path, inner.span().start, value, &mut layer)?;
                }
            }
            _ => reader.value(word, key.span().start, value, &mut layer)?,
        }
    }
    Ok(layer)
}

pub(super) struct Reader<'a> {
    text: &'a str,
    name: &'a str,
}

impl Reader<'_> {
    pub(super) fn name(&self) -> &str {
        self.name
    }

    fn line(&self, offset: usize) -> usize {
        1 + self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
    }

    pub(super) fn at(&self, offset: usize) -> Origin {
        Origin::File(self.name.to_owned(), self.line(offset))
    }

    /// One key with its value into the layer.
    fn value(
        &self,
        path: &str,
        offset: usize,
        value: &Spanned<DeValue<'_>>,
        layer: &mut Layer,
    ) -> Result<()> {
        let origin = self.at(offset);
        let Some(spelling) = KEYS.iter().find(|spelling| spelling.file.contains(&path)) else {
            return Err(unknown(path, &origin));
        };
        let Some(raw) = raw(spelling, value.get_ref()) else {
            let detail = match (kind(value.get_ref()), wanted(spelling.shape)) {
                (found, wanted) if wanted.starts_with(found) => format!("'{path}' must be {wanted}"),
                (found, wanted) => format!("'{path}' is {found}; it must be {wanted}"),
            };
            return Err(invalid(origin).detail(detail));
        };
        if let Some(earlier) = layer.given.get(&spelling.key) {
            let detail = format!("'{path}' says again what stands in {}", earlier.origin);
            return Err(invalid(origin).detail(detail).hint("keep one of the two"));
        }
        layer.given.insert(spelling.key, Given { raw, origin });
        Ok(())
    }
}

fn unknown(path: &str, origin: &Origin) -> switchover_core::Error {
    let group = path.split_once('.').map(|(group, _)| group);
    let mut known: Vec<&str> = match group {
        Some(group) => {
            let all = KEYS.iter().flat_map(|spelling| spelling.file);
            all.filter_map(|file| file.strip_prefix(group)?.strip_prefix('.')).collect()
        }
        None => KEYS
            .iter()
            .flat_map(|spelling| spelling.file)
            .copied()
            .filter(|file| !file.contains('.'))
            .collect(),
    };
    if group.is_none() {
        known.extend(GROUPS);
        known.extend(["table", "cutover", "watch"]);
    }
    let word = path.split_once('.').map_or(path, |(_, word)| word);
    let place = group.map(|group| format!(" in [{group}]")).unwrap_or_default();
    let detail = if known.contains(&word) {
        format!("'{word}' must be a table")
    } else {
        format!("unknown key '{word}'{place}")
    };
    let error = invalid(origin).detail(detail);
    if known.contains(&word) { error } else { error.hint(near::hint(word, &known)) }
}

fn raw(spelling: &Spelling, value: &DeValue<'_>) -> Option<Raw> {
    let text = |text: &str| Some(Raw::Text(text.to_owned()));
    match (spelling.shape, value) {
        (Shape::Text | Shape::Size | Shape::Count | Shape::Seconds, DeValue::String(value)) => text(value),
        (Shape::Integer | Shape::Size | Shape::Count | Shape::Seconds, DeValue::Integer(value))
            if value.radix() == 10 =>
        {
            text(value.as_str())
        }
        (Shape::Seconds, DeValue::Float(value)) => text(value.as_str()),
        (Shape::Boolean, DeValue::Boolean(value)) => text(if *value { "true" } else { "false" }),
        (Shape::List, DeValue::Array(values)) => {
            let texts = values.iter().map(|value| value.get_ref().as_str().map(str::to_owned));
            texts.collect::<Option<Vec<_>>>().map(Raw::List)
        }
        _ => None,
    }
}

fn wanted(shape: Shape) -> &'static str {
    match shape {
        Shape::Text => "text in quotes",
        Shape::List => "a list of texts, such as [\"chat_*\"]",
        Shape::Boolean => "true or false",
        Shape::Integer => "a whole number",
        Shape::Count => "a whole number, or \"auto\"",
        Shape::Seconds => "a number of seconds, or text such as \"500ms\"",
        Shape::Size => "text such as \"100MB\", or a number of bytes",
    }
}

pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
