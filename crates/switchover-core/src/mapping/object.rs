//! What only a store of objects has: the names that ids are made in, and how a property is found.
//!
//! Such keys stand in the mapping and are refused by targets that have no objects (the planner asks the dialect).
//! Nothing said is the target's own rule: an id in the collection's name, indexes where the source has them.

use super::{ColumnMap, Mapping, TableMap};
use serde::{Deserialize, Serialize};

/// How a text is cut into words, by the names that Weaviate has for it. The last four need modules of the server's.
pub const TOKENIZATIONS: [&str; 9] =
    ["word", "lowercase", "whitespace", "field", "trigram", "gse", "gse_ch", "kagome_ja", "kagome_kr"];

/// What becomes of a table's rows as objects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectMap {
    /// The text that stands before the key's in the name of a UUIDv5; the collection's name where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Whether a key that is a UUID is the object's id itself: `true` means a text in the usual form too; where nothing is
    /// said, a key of that type is, and no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_uuid: Option<bool>,
    /// The alias by which readers find the collection once all is verified. Where the table has no name of its own on the
    /// target (`to`), the collection is called by the alias and the day of the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Whether an alias of that name that leads elsewhere is moved; a rollback brings it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub move_alias: Option<bool>,
    /// The module of the server's that makes the objects' vectors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vectorizer: Option<String>,
    /// The module's own settings for the collection, as the server's documentation has them; no secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vectorizer_config: Option<serde_json::Map<String, serde_json::Value>>,
}

impl ObjectMap {
    /// This one, with the other's keys where it has none of its own.
    pub(super) fn over(self, lower: ObjectMap) -> ObjectMap {
        ObjectMap {
            namespace: self.namespace.or(lower.namespace),
            keep_uuid: self.keep_uuid.or(lower.keep_uuid),
            alias: self.alias.or(lower.alias),
            move_alias: self.move_alias.or(lower.move_alias),
            vectorizer: self.vectorizer.or(lower.vectorizer),
            vectorizer_config: self.vectorizer_config.or(lower.vectorizer_config),
        }
    }
}

impl Mapping {
    /// What is said of a table's objects.
    pub fn object(&self, table: &str) -> ObjectMap {
        self.table(table).and_then(|map| map.object.clone()).unwrap_or_default()
    }
}

impl ColumnMap {
    /// The keys about how a property is found that are given.
    pub fn object_keys(&self) -> Vec<&'static str> {
        let given = [
            ("tokenization", self.tokenization.is_some()),
            ("filterable", self.filterable.is_some()),
            ("searchable", self.searchable.is_some()),
            ("range", self.range.is_some()),
            ("reference", self.reference.is_some()),
            ("nested", self.nested.is_some()),
        ];
        given.into_iter().filter(|(_, given)| *given).map(|(key, _)| key).collect()
    }
}

impl TableMap {
    /// The keys below the table's that only a store of objects understands, as paths.
    pub fn object_keys(&self) -> Vec<Vec<String>> {
        let own = self.object.iter().map(|_| vec!["object".to_owned()]);
        let columns = self.columns.iter().flat_map(|(column, map)| {
            let path = |key: &str| vec!["column".to_owned(), column.clone(), key.to_owned()];
            map.object_keys().into_iter().map(path).collect::<Vec<_>>()
        });
        own.chain(columns).collect()
    }
}
