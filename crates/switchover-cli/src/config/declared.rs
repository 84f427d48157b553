//! `[[table.NAME.foreign_key]]` and `[[table.NAME.index]]`: keys and indexes that the source does not declare.
//!
//! In messages the sections of a list are numbered from 1: `table.users.index.2.columns`.

use super::file::kind;
use super::mapping::{Section, Value};
use super::near;
use switchover_core::Result;
use switchover_core::mapping::{Action, ForeignKeyMap, IndexMap, IndexMethod, LANGUAGES};

const FOREIGN_KEY_KEYS: [&str; 6] = ["name", "columns", "parent", "parent_columns", "on_delete", "on_update"];
const INDEX_KEYS: [&str; 5] = ["name", "columns", "unique", "method", "full_text"];

const ACTIONS: &[(&str, Action)] = &[
    ("no action", Action::NoAction),
    ("restrict", Action::Restrict),
    ("set null", Action::SetNull),
    ("set default", Action::SetDefault),
    ("cascade", Action::Cascade),
];

const METHODS: &[(&str, IndexMethod)] = &[("btree", IndexMethod::Btree), ("gin", IndexMethod::Gin)];

impl Section<'_, '_> {
    /// The sections of a list, each with its place.
    pub(super) fn list<T>(
        &mut self,
        offset: usize,
        value: Value<'_, '_>,
        read: impl Fn(&mut Self, usize, Value<'_, '_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let Some(values) = value.get_ref().as_array() else {
            let found = kind(value.get_ref());
            return Err(self
                .wrong(offset, format!("it is {found}; it must be a list of sections"))
                .hint(format!("write [[{}]] with its keys below", self.key())));
        };
        let mut all = Vec::with_capacity(values.len());
        for (number, value) in values.iter().enumerate() {
            let at = value.span().start;
            all.push(self.inside(&(number + 1).to_string(), at, |this| read(this, at, value))?);
        }
        Ok(all)
    }

    fn language(&self, offset: usize, value: Value<'_, '_>) -> Result<String> {
        let word = self.text(offset, value)?;
        match LANGUAGES.contains(&word.as_str()) {
            true => Ok(word),
            false => {
                let why = format!("'{word}' is no language that every PostgreSQL knows");
                Err(self.wrong(offset, why).hint(near::hint(&word, &LANGUAGES)))
            }
        }
    }

    fn lacks(&self, offset: usize, what: &str, key: &str) -> switchover_core::Error {
        self.wrong(offset, format!("{what} needs `{key}`")).hint(format!("add `{key} = …`"))
    }

    pub(super) fn foreign_key(&mut self, offset: usize, value: Value<'_, '_>) -> Result<ForeignKeyMap> {
        let mut map = ForeignKeyMap::default();
        for (key, value) in self.keys(offset, value)? {
            let (word, at) = (key.get_ref().as_ref(), key.span().start);
            self.inside(word, at, |this| {
                match word {
                    "name" => map.name = Some(this.text(at, value)?),
                    "columns" => map.columns = this.names(at, value)?,
                    "parent" => map.parent = this.text(at, value)?,
                    "parent_columns" => map.parent_columns = this.names(at, value)?,
                    "on_delete" => map.on_delete = this.word(at, value, ACTIONS)?,
                    "on_update" => map.on_update = this.word(at, value, ACTIONS)?,
                    _ => return Err(this.unknown(at, "a foreign key", word, &FOREIGN_KEY_KEYS)),
                }
                Ok(())
            })?;
        }
        match (map.columns.is_empty(), map.parent.is_empty()) {
            (true, _) => Err(self.lacks(offset, "a foreign key", "columns")),
            (false, true) => Err(self.lacks(offset, "a foreign key", "parent")),
            (false, false) => Ok(map),
        }
    }

    pub(super) fn index(&mut self, offset: usize, value: Value<'_, '_>) -> Result<IndexMap> {
        let mut map = IndexMap::default();
        let mut method = None;
        for (key, value) in self.keys(offset, value)? {
            let (word, at) = (key.get_ref().as_ref(), key.span().start);
            self.inside(word, at, |this| {
                match word {
                    "name" => map.name = Some(this.text(at, value)?),
                    "columns" => map.columns = this.names(at, value)?,
                    "unique" => map.unique = this.boolean(at, value)?,
                    "method" => method = Some(this.word(at, value, METHODS)?),
                    "full_text" => map.full_text = Some(this.language(at, value)?),
                    _ => return Err(this.unknown(at, "an index", word, &INDEX_KEYS)),
                }
                Ok(())
            })?;
        }
        if map.columns.is_empty() {
            return Err(self.lacks(offset, "an index", "columns"));
        }
        if map.full_text.is_some() && method == Some(IndexMethod::Btree) {
            return Err(self
                .wrong(offset, "an index of words has the method gin")
                .hint("write method = \"gin\", or leave it out"));
        }
        let words = map.full_text.is_some().then_some(IndexMethod::Gin);
        map.method = words.or(method).unwrap_or_default();
        Ok(map)
    }
}
