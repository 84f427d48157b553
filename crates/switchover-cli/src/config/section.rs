//! A section of the file whose keys are its own: each is understood, or an error that names the nearest one.

use super::file::{Reader, kind};
use super::{Origin, invalid, near, span};
use std::time::Duration;
use switchover_core::{Error, Result};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A key of a section, with its value and its place.
pub(super) struct Entry<'a, 'i> {
    reader: &'a Reader<'a>,
    /// As messages call it, such as `cutover.env_file`.
    pub(super) path: String,
    /// The key alone.
    pub(super) word: &'a str,
    offset: usize,
    value: &'a Spanned<DeValue<'i>>,
}

/// The keys of a section.
pub(super) fn entries<'a, 'i>(
    reader: &'a Reader<'a>,
    path: &str,
    table: &'a DeTable<'i>,
) -> impl Iterator<Item = Entry<'a, 'i>> {
    table.iter().map(move |(key, value)| {
        let word = key.get_ref().as_ref();
        Entry { reader, path: format!("{path}.{word}"), word, offset: key.span().start, value }
    })
}

impl<'a, 'i> Entry<'a, 'i> {
    pub(super) fn origin(&self) -> Origin {
        self.reader.at(self.offset)
    }

    pub(super) fn wrong(&self, detail: impl AsRef<str>) -> Error {
        invalid(self.origin()).detail(format!("{}: {}", self.path, detail.as_ref()))
    }

    fn must_be(&self, wanted: &str) -> Error {
        self.wrong(format!("it is {}; it must be {wanted}", kind(self.value.get_ref())))
    }

    pub(super) fn unknown(&self, known: &[&str]) -> Error {
        let section = self.path.rsplit_once('.').map_or("", |(section, _)| section);
        invalid(self.origin())
            .detail(format!("unknown key '{}' in [{section}]", self.word))
            .hint(near::hint(self.word, known))
    }

    pub(super) fn text(&self) -> Result<String> {
        self.value.get_ref().as_str().map(str::to_owned).ok_or_else(|| self.must_be("text in quotes"))
    }

    pub(super) fn boolean(&self) -> Result<bool> {
        self.value.get_ref().as_bool().ok_or_else(|| self.must_be("true or false"))
    }

    pub(super) fn number(&self) -> Result<f64> {
        let number = match self.value.get_ref() {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().parse().ok(),
            DeValue::Float(number) => number.as_str().replace('_', "").parse().ok(),
            _ => None,
        };
        number.filter(|number: &f64| number.is_finite()).ok_or_else(|| self.must_be("a number"))
    }

    pub(super) fn whole(&self) -> Result<u64> {
        match self.value.get_ref() {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().parse().ok(),
            _ => None,
        }
        .ok_or_else(|| self.must_be("a whole number that is not negative"))
    }

    pub(super) fn span(&self) -> Result<Duration> {
        let text =
            self.value.get_ref().as_str().ok_or_else(|| self.must_be("a length of time, such as \"30s\""))?;
        span::parse(text).map_err(|why| self.wrong(why))
    }

    /// The items of a list; each has the list's path and its number from 1.
    pub(super) fn list(&self, wanted: &str) -> Result<Vec<Entry<'a, 'i>>> {
        let items = self.value.get_ref().as_array().ok_or_else(|| self.must_be(wanted))?;
        let item = |(at, value): (usize, &'a Spanned<DeValue<'i>>)| Entry {
            reader: self.reader,
            path: format!("{}.{}", self.path, at + 1),
            word: self.word,
            offset: value.span().start,
            value,
        };
        Ok(items.iter().enumerate().map(item).collect())
    }

    pub(super) fn is_list(&self) -> bool {
        self.value.get_ref().is_array()
    }

    /// The keys of a section within.
    pub(super) fn section(&self, wanted: &str) -> Result<Vec<Entry<'a, 'i>>> {
        let table = self.value.get_ref().as_table().ok_or_else(|| self.must_be(wanted))?;
        Ok(entries(self.reader, &self.path, table).collect())
    }
}
