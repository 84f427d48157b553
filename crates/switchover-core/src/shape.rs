//! The form that JSON texts of a column have, where the target keeps them as objects with declared properties.
//!
//! Invariant: what [`Shape::read`] gives comes back with the same value, or there is a reason. So null (which such a store takes
//! for missing), keys that are not declared or occur twice, lists of several kinds and numbers that binary64 does not hold are refused. The order
//! of keys and white space between the parts do not come back: they are no part of the value. Absent: finding the form out.

use crate::codec::Unfit;
use crate::decimal;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The largest magnitude of an integer that binary64 holds with all below it.
const INT_MAX: u64 = 1 << 53;

/// A value's form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Shape {
    /// A value of one kind.
    Kind(Kind),
    /// An object with these properties, each of which may be missing.
    Object(BTreeMap<String, Shape>),
    /// A list of objects of one form.
    Objects([Box<Shape>; 1]),
}

/// A kind of plain values, or of lists of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Texts.
    #[serde(rename = "text")]
    Text,
    /// Integers up to 2^53.
    #[serde(rename = "int")]
    Int,
    /// Numbers that binary64 holds.
    #[serde(rename = "number")]
    Number,
    /// Truth values.
    #[serde(rename = "boolean")]
    Boolean,
    /// Lists of texts.
    #[serde(rename = "text[]")]
    Texts,
    /// Lists of integers.
    #[serde(rename = "int[]")]
    Ints,
    /// Lists of numbers.
    #[serde(rename = "number[]")]
    Numbers,
    /// Lists of truth values.
    #[serde(rename = "boolean[]")]
    Booleans,
}

impl Kind {
    /// All of them, by name.
    pub const ALL: [(&str, Kind); 8] = [
        ("text", Kind::Text),
        ("int", Kind::Int),
        ("number", Kind::Number),
        ("boolean", Kind::Boolean),
        ("text[]", Kind::Texts),
        ("int[]", Kind::Ints),
        ("number[]", Kind::Numbers),
        ("boolean[]", Kind::Booleans),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Kind::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// What its lists hold; `None` for a kind that is no list.
    fn element(self) -> Option<Kind> {
        match self {
            Kind::Texts => Some(Kind::Text),
            Kind::Ints => Some(Kind::Int),
            Kind::Numbers => Some(Kind::Number),
            Kind::Booleans => Some(Kind::Boolean),
            Kind::Text | Kind::Int | Kind::Number | Kind::Boolean => None,
        }
    }
}

fn unfit<T>(why: impl Into<String>) -> Result<T, Unfit> {
    Err(Unfit(why.into()))
}

impl Shape {
    /// The value that a text says, if it has this form.
    pub fn read(&self, text: &[u8]) -> Result<Value, Unfit> {
        // Keys that occur twice, nesting without end, and what is no JSON.
        let by_value = |unfit: crate::json::Unfit| Unfit(unfit.0.replace("jsonb", "JSON by value"));
        crate::json::canonical(text, &mut Vec::new()).map_err(by_value)?;
        match serde_json::from_slice::<&RawValue>(text) {
            Ok(raw) => self.value(raw, "the value"),
            Err(error) => unfit(format!("not valid JSON: {error}")),
        }
    }

    /// The properties of its objects; `None` where it is of plain values.
    pub fn properties(&self) -> Option<&BTreeMap<String, Shape>> {
        match self {
            Shape::Object(properties) => Some(properties),
            Shape::Objects([inner]) => inner.properties(),
            Shape::Kind(_) => None,
        }
    }

    fn value(&self, raw: &RawValue, at: &str) -> Result<Value, Unfit> {
        match self {
            Shape::Kind(kind) => plain(*kind, raw, at),
            Shape::Object(properties) => object(properties, raw, at),
            Shape::Objects([inner]) => {
                let list: Vec<&RawValue> = list_of(raw, at)?;
                list.into_iter()
                    .map(|raw| inner.value(raw, at))
                    .collect::<Result<Vec<_>, _>>()
                    .map(Value::Array)
            }
        }
    }
}

fn list_of<'a>(raw: &'a RawValue, at: &str) -> Result<Vec<&'a RawValue>, Unfit> {
    serde_json::from_str(raw.get()).or_else(|_| unfit(format!("{at} is no list, and a list is declared")))
}

fn object(properties: &BTreeMap<String, Shape>, raw: &RawValue, at: &str) -> Result<Value, Unfit> {
    let Ok(fields) = serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(raw.get()) else {
        return unfit(format!("{at} is no object, and an object is declared"));
    };
    if fields.is_empty() {
        return unfit(format!("{at} is an object without a property, which may not come back"));
    }
    if fields.keys().eq(["latitude", "longitude"].iter()) {
        return unfit(format!("{at} is exactly latitude and longitude, which the target takes for a point"));
    }
    let mut object = Map::new();
    for (name, raw) in fields {
        let Some(shape) = properties.get(&*name) else {
            return unfit(format!("{at} has the property {name:?}, which is not declared"));
        };
        let value = shape.value(raw, &format!("{name:?}"))?;
        object.insert(name.into_owned(), value);
    }
    Ok(Value::Object(object))
}

fn plain(kind: Kind, raw: &RawValue, at: &str) -> Result<Value, Unfit> {
    let text = raw.get();
    let other = || unfit(format!("{at} is not of the kind {}, which is declared", kind.name()));
    if let Some(element) = kind.element() {
        let list = list_of(raw, at)?;
        return list
            .into_iter()
            .map(|raw| plain(element, raw, at))
            .collect::<Result<Vec<_>, _>>()
            .map(Value::Array);
    }
    match kind {
        Kind::Text => serde_json::from_str::<String>(text).map(Value::String).or_else(|_| other()),
        Kind::Boolean => serde_json::from_str::<bool>(text).map(Value::Bool).or_else(|_| other()),
        Kind::Int => match text.parse::<i64>() {
            Ok(int) if int.unsigned_abs() <= INT_MAX => Ok(int.into()),
            Ok(_) => unfit(format!("{at} is an integer beyond 2^53, which the target would round")),
            Err(_) => other(),
        },
        // By the text itself: its nearest binary64, if that says the same number.
        _ if !text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) => other(),
        _ => match text
            .parse::<f64>()
            .ok()
            .filter(|number| same_number(text, *number))
            .and_then(Number::from_f64)
        {
            Some(number) => Ok(Value::Number(number)),
            None => unfit(format!("{at} is a number that binary64 does not hold exactly as it is written")),
        },
    }
}

/// Whether the shortest text of a binary64 is the same decimal number.
fn same_number(text: &str, number: f64) -> bool {
    let (mut one, mut other) = (Vec::new(), Vec::new());
    decimal::parse(text.as_bytes(), &mut one)
        && decimal::parse(number.to_string().as_bytes(), &mut other)
        && one == other
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> Shape {
        serde_json::from_str(text).expect("a shape")
    }

    #[test]
    fn values_of_the_form_are_read_and_others_say_why_not() {
        let shape =
            shape(r#"{"a":"text","n":"number","i":"int","b":"boolean","t":"text[]","of":[{"x":"int[]"}]}"#);
        for text in [
            r#"{"a":"x","n":0.1,"i":9007199254740992,"b":true,"t":["",""],"of":[{"x":[1]},{"x":[]}]}"#,
            r#"{ "n" : -1.5e300 }"#,
            r#"{"n":3}"#,
        ] {
            let read = shape.read(text.as_bytes()).expect(text);
            let (mut one, mut other) = (Vec::new(), Vec::new());
            crate::json::canonical(text.as_bytes(), &mut one).expect("JSON");
            crate::json::canonical(read.to_string().as_bytes(), &mut other).expect("JSON");
            assert_eq!(one, other, "{text}");
        }
        for (text, said) in [
            (r#"{"z":1}"#, "not declared"),
            (r#"{"a":null}"#, "not of the kind text"),
            (r#"{"a":"x","a":"y"}"#, "occurs twice"),
            (r#"{"i":9007199254740993}"#, "beyond 2^53"),
            (r#"{"i":1.5}"#, "not of the kind int"),
            (r#"{"n":0.1000000000000000000001}"#, "binary64"),
            (r#"{"n":1e999}"#, "binary64"),
            (r#"{"n":"1"}"#, "not of the kind number"),
            (r#"{"t":["x",null]}"#, "not of the kind text"),
            (r#"{"of":{"x":[1]}}"#, "no list"),
            (r#"[]"#, "no object"),
            ("{}", "without a property"),
            ("x", "not valid JSON"),
        ] {
            let why = shape.read(text.as_bytes()).expect_err(text).0;
            assert!(why.contains(said), "{text}: {why}");
        }
        let point = self::shape(r#"{"latitude":"number","longitude":"number","height":"number"}"#);
        assert!(point.read(br#"{"latitude":1,"longitude":2}"#).is_err());
        assert!(point.read(br#"{"latitude":1,"longitude":2,"height":3}"#).is_ok());
    }
}
