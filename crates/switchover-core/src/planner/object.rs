//! What a mapping says of objects: indexes of single properties, and refusals where the target has no objects.

use super::Draft;
use crate::connector::{Dialect, Objects};
use crate::mapping::{ColumnMap, IndexMethod, Mapping, key_of};
use crate::plan::{Fate, IndexPlan, LogicalType, PlanOptions, TablePlan};

/// Takes up what is said of a table's objects.
pub(super) fn add(plan: &mut TablePlan, dialect: &dyn Dialect, options: &PlanOptions, draft: &mut Draft) {
    let mapping = &options.mapping;
    match dialect.objects() {
        Some(objects) => {
            identity(plan, mapping, draft);
            indexes(plan, objects, mapping, draft);
        }
        None => refuse(plan, mapping, draft),
    }
}

/// Where a key stands, and the key.
pub(super) fn at(mapping: &Mapping, table: &str, path: &[&str]) -> String {
    let key = key_of(&[&["table", table], path].concat());
    match mapping.place(&key) {
        place if place.is_empty() => key,
        place => format!("{place}: {key}"),
    }
}

fn refuse(plan: &TablePlan, mapping: &Mapping, draft: &mut Draft) {
    let Some(map) = mapping.table(&plan.source) else { return };
    for path in map.object_keys() {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let column = if path.len() > 1 { path[1] } else { "" };
        let key = at(mapping, &plan.source, &path);
        let why = format!("{key}: only Weaviate has objects and properties");
        draft.refuse(&plan.source, column, why, "leave the key out for this target");
    }
}

fn identity(plan: &TablePlan, mapping: &Mapping, draft: &mut Draft) {
    if mapping.object(&plan.source).keep_uuid != Some(true) {
        return;
    }
    let uuid = |field: &usize| matches!(plan.columns[*field].r#type, LogicalType::Uuid | LogicalType::Text);
    match plan.key_fields().as_slice() {
        [field] if uuid(field) => {}
        _ => {
            let key = at(mapping, &plan.source, &["object", "keep_uuid"]);
            let why =
                format!("{key}: the table has no primary key of one column of type uuid or text to be kept");
            draft.refuse(&plan.source, "", why, "leave keep_uuid out: the id is then made of the key");
        }
    }
}

/// Indexes that single columns ask for, and none where they ask for none.
fn indexes(plan: &mut TablePlan, objects: &dyn Objects, mapping: &Mapping, draft: &mut Draft) {
    let table = plan.source.clone();
    let own = |name: &str| mapping.column(&table, name).cloned().unwrap_or_default();
    let maps: Vec<ColumnMap> = plan.columns.iter().map(|column| own(&column.source)).collect();
    for index in &mut plan.indexes {
        let parts = std::mem::take(&mut index.parts);
        let (kept, gone): (Vec<String>, Vec<String>) = parts.into_iter().partition(|part| {
            plan.columns.iter().zip(&maps).all(|(column, map)| objects.keeps(part, column, map))
        });
        index.parts = kept;
        if !gone.is_empty() {
            let why = format!("the mapping switches it off: {}", gone.join(", "));
            draft.outcome("index", format!("{} on {table}", index.source), Fate::LeftOut, why);
        }
    }
    plan.indexes.retain(|index| !index.parts.is_empty());
    for (column, map) in plan.columns.iter().zip(&maps) {
        match objects.parts(column, map) {
            Err((key, why)) => {
                let key = at(mapping, &table, &["column", &column.source, key]);
                let hint = "leave the key out, or give the column another type";
                draft.refuse(&table, &column.source, format!("{key}: {why}"), hint);
            }
            Ok(parts) => {
                let has = |part: &String| plan.indexes.iter().any(|index| index.parts.contains(part));
                let parts: Vec<String> = parts.into_iter().filter(|part| !has(part)).collect();
                if !parts.is_empty() {
                    let label = format!("{} on {table}", column.source);
                    draft.outcome("index", label, Fate::Moved, format!("({})", parts.join(", ")));
                    plan.indexes.push(IndexPlan {
                        source: column.source.clone(),
                        name: column.target.clone(),
                        unique: false,
                        method: IndexMethod::Btree,
                        parts,
                        predicate: None,
                        cost: String::new(),
                    });
                }
            }
        }
    }
    for at in 0..plan.indexes.len() {
        let costs: Vec<String> = plan.indexes[at]
            .parts
            .iter()
            .filter_map(|part| plan.columns.iter().find_map(|column| objects.cost(part, column)))
            .collect();
        plan.indexes[at].cost = costs.join("; ");
    }
}
