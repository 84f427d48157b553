//! One mapping over another: a file's over a preset's.
//!
//! Each key alone: what the upper one says wins, and what it does not say is the lower one's. Lists are
//! one value each, as in all configuration: `from`, `primary_key`, `index` and `foreign_key` replace each
//! other and are never joined, so an empty `index = []` takes a preset's indexes away.

use super::{ColumnMap, Mapping, PartMap, TableMap};
use std::collections::BTreeMap;

impl Mapping {
    /// This mapping, with the other's keys where it has none of its own.
    #[must_use]
    pub fn over(mut self, lower: Mapping) -> Mapping {
        // The place of a list's part is of no use once the list is replaced.
        let replaced: Vec<String> = self
            .places
            .keys()
            .filter(|key| key.ends_with(".index") || key.ends_with(".foreign_key"))
            .map(|key| format!("{key}."))
            .collect();
        for (key, place) in lower.places {
            if !replaced.iter().any(|list| key.starts_with(list)) {
                self.places.entry(key).or_insert(place);
            }
        }
        self.tables = merged(self.tables, lower.tables, table);
        self
    }
}

fn merged<T>(
    mut upper: BTreeMap<String, T>,
    lower: BTreeMap<String, T>,
    both: impl Fn(T, T) -> T,
) -> BTreeMap<String, T> {
    for (name, below) in lower {
        let own = match upper.contains_key(&name) {
            true => Some(name.clone()),
            false => upper.keys().find(|key| key.eq_ignore_ascii_case(&name)).cloned(),
        };
        match own.and_then(|own| upper.remove_entry(&own)) {
            Some((own, above)) => upper.insert(own, both(above, below)),
            None => upper.insert(name, below),
        };
    }
    upper
}

fn list(upper: Vec<String>, lower: Vec<String>) -> Vec<String> {
    if upper.is_empty() { lower } else { upper }
}

fn table(upper: TableMap, lower: TableMap) -> TableMap {
    TableMap {
        from: list(upper.from, lower.from),
        to: upper.to.or(lower.to),
        filter: upper.filter.or(lower.filter),
        columns: merged(upper.columns, lower.columns, column),
        parts: merged(upper.parts, lower.parts, |upper, lower| PartMap {
            filter: upper.filter.or(lower.filter),
            values: merged(upper.values, lower.values, |upper, _| upper),
        }),
        primary_key: list(upper.primary_key, lower.primary_key),
        foreign_keys: upper.foreign_keys.or(lower.foreign_keys),
        indexes: upper.indexes.or(lower.indexes),
        object: match (upper.object, lower.object) {
            (Some(upper), Some(lower)) => Some(upper.over(lower)),
            (upper, lower) => upper.or(lower),
        },
    }
}

fn column(upper: ColumnMap, lower: ColumnMap) -> ColumnMap {
    if upper.drop {
        // What is dropped has no other keys, whatever the lower one gave it.
        return upper;
    }
    // A key beside it brings a dropped column back: the two contradict each other.
    let silent = upper == ColumnMap::default();
    ColumnMap {
        to: upper.to.or(lower.to),
        drop: lower.drop && silent,
        r#type: upper.r#type.or(lower.r#type),
        policy: upper.policy.or(lower.policy),
        not_null: upper.not_null.or(lower.not_null),
        naive_times: upper.naive_times.or(lower.naive_times),
        epoch: upper.epoch.or(lower.epoch),
        value: upper.value.or(lower.value),
        ids: upper.ids.or(lower.ids),
        ids_namespace: upper.ids_namespace.or(lower.ids_namespace),
        ids_map: upper.ids_map.or(lower.ids_map),
        tokenization: upper.tokenization.or(lower.tokenization),
        filterable: upper.filterable.or(lower.filterable),
        searchable: upper.searchable.or(lower.searchable),
        range: upper.range.or(lower.range),
        reference: upper.reference.or(lower.reference),
        nested: upper.nested.or(lower.nested),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::IndexMap;
    use crate::plan::LogicalType;

    fn mapping(place: &str, table: TableMap) -> Mapping {
        let keys = ["table.t", "table.t.index", "table.t.index.1.columns"];
        let places = keys.map(|key| (key.to_owned(), place.to_owned())).into();
        Mapping { tables: [("t".to_owned(), table)].into(), places }
    }

    #[test]
    fn each_key_alone_and_lists_as_wholes() {
        let index = IndexMap { columns: vec!["a".into()], ..IndexMap::default() };
        let typed = |ty| ColumnMap { r#type: Some(ty), not_null: Some(true), ..ColumnMap::default() };
        let lower = mapping(
            "preset",
            TableMap {
                to: Some("low".into()),
                filter: Some("1".into()),
                primary_key: vec!["id".into()],
                indexes: Some(vec![index]),
                columns: [("a".into(), typed(LogicalType::Uuid)), ("b".into(), typed(LogicalType::Uuid))]
                    .into(),
                ..TableMap::default()
            },
        );
        let drop = ColumnMap { drop: true, ..ColumnMap::default() };
        let upper = Mapping {
            tables: [(
                "T".to_owned(),
                TableMap {
                    to: Some("up".into()),
                    indexes: Some(Vec::new()),
                    columns: [
                        ("A".into(), ColumnMap { r#type: Some(LogicalType::Text), ..ColumnMap::default() }),
                        ("b".into(), drop.clone()),
                    ]
                    .into(),
                    ..TableMap::default()
                },
            )]
            .into(),
            places: [("table.t.index".to_owned(), "file".to_owned())].into(),
        };
        let both = upper.over(lower.clone());
        let table = &both.tables["T"];
        assert_eq!((table.to.as_deref(), table.filter.as_deref()), (Some("up"), Some("1")));
        assert_eq!((table.primary_key.len(), table.indexes.as_ref().map(Vec::len)), (1, Some(0)));
        assert_eq!(table.columns["A"], typed(LogicalType::Text));
        assert_eq!(table.columns["b"], drop);
        assert_eq!(both.place("table.t"), "preset");
        assert_eq!(both.place("table.t.index"), "file");
        assert_eq!(both.place("table.t.index.1.columns"), "");
        assert_eq!(Mapping::default().over(lower.clone()), lower);
        assert_eq!(lower.clone().over(Mapping::default()), lower);
    }
}
