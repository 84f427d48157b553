//! The collection that a table becomes, as the server's schema has it. Pure.

use super::client::Collection;
use super::dialect::Finds;
use serde_json::{Map, Value as Json, json};
use switchover_core::codec::Codec;
use switchover_core::existing::{Holds, TargetColumn, TargetTable};
use switchover_core::native::Native;
use switchover_core::plan::{ColumnPlan, Element, LogicalType, Plan, TablePlan};
use switchover_core::planner::existing::objects::UNNAMED_VECTOR;
use switchover_core::planner::vectorizer::VECTOR;
use switchover_core::shape::Shape;

/// How words of a searchable text are found: the server's default, which drops case and what is no letter or digit.
const TOKENIZATION_WORDS: &str = "word";

/// How a text is found that is only looked up as a whole.
const TOKENIZATION_WHOLE: &str = "field";

/// The definition of a table's collection.
pub(super) fn collection(plan: &Plan, table: &TablePlan) -> Json {
    let vectors: Vec<&ColumnPlan> = table.columns.iter().filter(|column| is_vector(column)).collect();
    let plain = table.columns.iter().filter(|column| !is_vector(column));
    let references =
        table.foreign_keys.iter().map(|key| json!({ "name": key.name, "dataType": [key.parent] }));
    let properties: Vec<Json> = plain.map(|column| property(plan, table, column)).chain(references).collect();
    let mut class = Map::new();
    class.insert("class".into(), json!(table.target));
    class.insert("properties".into(), Json::Array(properties));
    let object = plan.options.mapping.object(&table.source);
    match (vectors.as_slice(), object.vectorizer) {
        (_, Some(module)) => {
            let settings = object.vectorizer_config.unwrap_or_default();
            let config = json!({ VECTOR: { "vectorizer": { module: settings }, "vectorIndexType": "hnsw" } });
            class.insert("vectorConfig".into(), config);
        }
        ([] | [_], None) => {
            class.insert("vectorizer".into(), json!("none"));
        }
        (several, None) => {
            let of = |column: &&ColumnPlan| {
                let config = json!({ "vectorizer": { "none": {} }, "vectorIndexType": "hnsw" });
                (column.target.clone(), config)
            };
            class.insert("vectorConfig".into(), Json::Object(several.iter().map(of).collect()));
        }
    }
    Json::Object(class)
}

/// Whether a column is a vector of its object, and no property.
pub(super) fn is_vector(column: &ColumnPlan) -> bool {
    column.r#type == LogicalType::Vector
}

/// The name of the vector that a column becomes: the object's only one has none.
pub(super) fn vector_name<'a>(table: &TablePlan, column: &'a ColumnPlan) -> &'a str {
    if table.standing.is_some() {
        // The collection's own, which the plan has by name.
        return if column.target == UNNAMED_VECTOR { "" } else { &column.target };
    }
    match table.columns.iter().filter(|column| is_vector(column)).count() {
        0 | 1 => "",
        _ => &column.target,
    }
}

/// The server's type of a column.
pub(super) fn data_type(ty: LogicalType) -> &'static str {
    match ty {
        LogicalType::Bool => "boolean",
        LogicalType::Int8 => "int",
        LogicalType::Float8 => "number",
        LogicalType::Bytea => "blob",
        LogicalType::Uuid => "uuid",
        LogicalType::Date | LogicalType::Timestamp | LogicalType::TimestampTz => "date",
        LogicalType::TextArray => "text[]",
        LogicalType::Array(Element::Int8) => "int[]",
        LogicalType::Array(Element::Float8) => "number[]",
        LogicalType::Array(Element::Bool) => "boolean[]",
        LogicalType::Array(Element::Uuid) => "uuid[]",
        LogicalType::Array(Element::Timestamp | Element::TimestampTz) => "date[]",
        // The dialect takes none of the others.
        _ => "text",
    }
}

fn property(plan: &Plan, table: &TablePlan, column: &ColumnPlan) -> Json {
    let parts =
        || table.indexes.iter().flat_map(|index| &index.parts).filter_map(|part| Finds::of_part(part));
    let has = |wanted: Finds| parts().any(|(name, finds)| name == column.target && finds == wanted);
    if let Codec::Native(Native::Nested { shape }) = &column.codec {
        return nested(&column.target, shape);
    }
    let ty = data_type(column.r#type);
    let mut property = Map::new();
    property.insert("name".into(), json!(column.target));
    property.insert("dataType".into(), json!([ty]));
    property.insert("indexFilterable".into(), json!(has(Finds::Equal)));
    property.insert("indexSearchable".into(), json!(has(Finds::Words)));
    if has(Finds::Range) {
        property.insert("indexRangeFilters".into(), json!(true));
    }
    if ty.starts_with("text") {
        let words = if has(Finds::Words) { TOKENIZATION_WORDS } else { TOKENIZATION_WHOLE };
        let asked = plan.options.mapping.column(&table.source, &column.source);
        let asked = asked.and_then(|map| map.tokenization.as_deref());
        property.insert("tokenization".into(), json!(asked.unwrap_or(words)));
    }
    Json::Object(property)
}

/// A property of that form, without any index.
fn nested(name: &str, shape: &Shape) -> Json {
    let mut property = Map::new();
    property.insert("name".into(), json!(name));
    let ty = match shape {
        Shape::Kind(kind) => kind.name(),
        Shape::Object(_) => "object",
        Shape::Objects(_) => "object[]",
    };
    property.insert("dataType".into(), json!([ty]));
    property.insert("indexFilterable".into(), json!(false));
    property.insert("indexSearchable".into(), json!(false));
    if ty.starts_with("text") {
        property.insert("tokenization".into(), json!(TOKENIZATION_WHOLE));
    }
    if let Some(inner) = shape.properties() {
        let inner: Vec<Json> = inner.iter().map(|(name, shape)| nested(name, shape)).collect();
        property.insert("nestedProperties".into(), Json::Array(inner));
    }
    Json::Object(property)
}

/// What a property can be other than the plan wants.
const COMPARED: [&str; 5] =
    ["dataType", "indexFilterable", "indexSearchable", "indexRangeFilters", "tokenization"];

/// What a collection is not that the plan wants: its properties, their types and indexes, and its references.
pub(super) fn faults(plan: &Plan, table: &TablePlan, class: &Json) -> Vec<String> {
    let none = Vec::new();
    let there = class["properties"].as_array().unwrap_or(&none);
    let wanted = collection(plan, table);
    let mut faults = Vec::new();
    for property in wanted["properties"].as_array().unwrap_or(&none) {
        let name = property["name"].as_str().unwrap_or_default();
        let Some(found) = there.iter().find(|found| found["name"] == property["name"]) else {
            faults.push(format!("the collection {} has no property {name}", table.target));
            continue;
        };
        // Of a reference only the collection that it leads to is said, and a collection that was there has its own indexes.
        let reference = table.foreign_keys.iter().any(|key| property["name"] == *key.name);
        let standing = table.standing.is_some();
        let compared = if reference || standing { &COMPARED[..1] } else { &COMPARED[..] };
        for what in compared {
            let is = |json: &Json| if json.is_null() { json!(false) } else { json.clone() };
            if is(&found[*what]) != is(&property[*what]) {
                faults.push(format!(
                    "the property {}.{name} has {what} {}, and the plan has {}",
                    table.target, found[*what], property[*what]
                ));
            }
        }
    }
    faults
}

/// A collection that is there, as a plan for filling it sees it.
pub(super) fn standing(collection: &Collection, rows: u64, tenant: bool) -> TargetTable {
    let column = |name: &str, type_name: String| TargetColumn {
        name: name.to_owned(),
        type_name,
        holds: Holds::Unsupported,
        not_null: false,
        default: None,
        generated: None,
        identity: false,
        sequence: None,
    };
    let mut columns: Vec<TargetColumn> = collection
        .properties
        .iter()
        .map(|property| column(&property.name, property.kinds.join(" or ")))
        .collect();
    let named = collection.vectors.iter().map(|name| column(name, "vector".into()));
    columns.extend(named);
    let mut obstacles = Vec::new();
    match (collection.tenants, tenant) {
        (true, false) => obstacles.push(format!(
            "the collection {} has tenants, and the URL names none (tenant=NAME)",
            collection.name
        )),
        (false, true) => {
            obstacles
                .push(format!("the collection {} has no tenants, and the URL names one", collection.name));
        }
        _ => {}
    }
    if collection.vectors.is_empty() {
        columns.push(column(UNNAMED_VECTOR, "vector".into()));
    } else if collection.vectors.iter().any(|name| name == UNNAMED_VECTOR) {
        obstacles
            .push(format!("a vector of the collection {} is named \"{UNNAMED_VECTOR}\"", collection.name));
    }
    TargetTable { name: collection.name.clone(), obstacles, rows, columns, ..TargetTable::default() }
}
