//! Which logical type a column becomes, and by which codec, from its declaration and what it holds.
//!
//! Declaration and evidence decide together: a declared meaning (boolean, time, UUID, JSON, decimal)
//! is taken only when every value supports it and comes back; else the storage classes decide, and
//! the reason is kept. Values of a class that the chosen type does not hold are never converted:
//! they are exceptions, to be refused or quarantined. The types are PostgreSQL's; a dialect of fewer types
//! starts from this choice too ([`crate::connector::Dialect::adapt`]).

use crate::census::{ColumnCensus, Interest};
use crate::codec::Codec;
use crate::connector::Choice;
use crate::datetime::{Fraction, Separator, TimeFormat, Zone};
use crate::plan::LogicalType;
use crate::schema::{Affinity, Column};
use crate::uuid_text::UuidForm;

/// The longest `varchar(n)` that PostgreSQL takes (`MaxAttrSize`).
const VARCHAR_CHARS_MAX: u32 = 10_485_760;

/// The largest precision of `numeric(p,s)` (its documentation, 8.1.2).
const NUMERIC_PRECISION_MAX: u32 = 1000;

/// The type and codec of a column.
pub fn choose(column: &Column, census: &ColumnCensus) -> Choice {
    let mut choice = match declared(column, census) {
        Ok(choice) => choice,
        Err(reason) => {
            let mut choice = stored(column, census);
            if !reason.is_empty() {
                choice.why = format!("{}; {reason}", choice.why);
            }
            choice
        }
    };
    if column.affinity == Affinity::Integer && census.reals_beyond_integer > 0 {
        choice.why = format!(
            "{}; of integers beyond 64 bits SQLite keeps reals, to 15 to 17 digits ({} here)",
            choice.why, census.reals_beyond_integer
        );
    }
    choice
}

fn choice(r#type: LogicalType, codec: Codec, why: impl Into<String>) -> Choice {
    Choice { r#type, codec, why: why.into() }
}

/// The numbers in the brackets of a declared type.
fn arguments(declared: &str) -> Vec<u32> {
    let inside =
        declared.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map_or("", |(inside, _)| inside);
    let numbers: Result<Vec<u32>, _> = inside.split(',').map(|number| number.trim().parse()).collect();
    numbers.unwrap_or_default()
}

/// The declared meaning, when the values support it; the reason against it otherwise.
fn declared(column: &Column, census: &ColumnCensus) -> Result<Choice, String> {
    let only_texts = census.texts == census.present();
    let only_integers = census.integers == census.present();
    let empty = census.present() == 0;
    match Interest::of_declared(&column.declared) {
        Interest::Plain => Err(String::new()),
        Interest::Boolean => {
            let [letters, words, _] = census.boolean_texts;
            let text = |no: &str, yes: &str| Codec::BoolText { no: no.into(), yes: yes.into() };
            if only_integers && census.integers_not_boolean == 0 {
                Ok(choice(LogicalType::Bool, Codec::BoolInt, "declared boolean, all values are 0 or 1"))
            } else if only_texts && letters == census.texts {
                Ok(choice(LogicalType::Bool, text("f", "t"), "declared boolean, all values are 't' or 'f'"))
            } else if only_texts && words == census.texts {
                Ok(choice(
                    LogicalType::Bool,
                    text("false", "true"),
                    "declared boolean, all values are 'true' or 'false'",
                ))
            } else {
                Err("declared boolean, but other values than truth values occur".into())
            }
        }
        Interest::Uuid => {
            let blobs_fit = census.blobs == census.present()
                && census.blob_bytes_max == 16
                && census.blob_bytes_min == Some(16);
            if empty {
                let codec = Codec::UuidText { form: UuidForm::LowerDashed };
                Ok(choice(LogicalType::Uuid, codec, "declared UUID, no values yet"))
            } else if let (true, Some(form)) = (only_texts, census.uuid_form()) {
                Ok(choice(
                    LogicalType::Uuid,
                    Codec::UuidText { form },
                    "declared UUID, all values are UUIDs of one form",
                ))
            } else if blobs_fit {
                Ok(choice(LogicalType::Uuid, Codec::UuidBytes, "declared UUID, all values are 16 bytes"))
            } else {
                Err("declared UUID, but not all values are UUIDs of one form".into())
            }
        }
        Interest::Temporal => temporal(column, census, only_texts, empty),
        Interest::Json => {
            if only_texts && census.json_fit == census.texts {
                Ok(choice(
                    LogicalType::Jsonb,
                    Codec::Json,
                    "declared JSON, all values survive in jsonb by value; white space, the order of keys and the sign of a zero do not",
                ))
            } else {
                let reason = census.json_unfit.as_deref().unwrap_or("other values than text occur");
                Err(format!("declared JSON, but jsonb would not hold all values: {reason}"))
            }
        }
        Interest::Decimal => decimal(column, census),
    }
}

/// A column takes no type that holds less than its declaration speaks of, though all its values would fit: of later
/// values the target would drop the time of day, or the zone, and say nothing.
fn temporal(column: &Column, census: &ColumnCensus, only_texts: bool, empty: bool) -> Result<Choice, String> {
    let upper = column.declared.to_ascii_uppercase();
    let day = upper.split('(').next().unwrap_or_default().trim() == "DATE";
    let zoned = upper.contains("TZ") || upper.contains("WITH TIME ZONE") || upper.contains("OFFSET");
    if empty {
        // No text to learn from: the form that SQLite's own functions write.
        let zone = if zoned { Zone::Offset } else { Zone::None };
        let format = TimeFormat { separator: Separator::Space, fraction: Fraction::OmitZero(6), zone };
        return Ok(match (day, zoned) {
            (true, _) => choice(LogicalType::Date, Codec::Date, "declared date, no values yet"),
            (_, true) => choice(
                LogicalType::TimestampTz,
                Codec::Timestamp { format },
                "declared as an instant, no values yet",
            ),
            (_, false) => choice(
                LogicalType::Timestamp,
                Codec::Timestamp { format },
                "declared timestamp, no values yet",
            ),
        });
    }
    if !only_texts {
        return Err(if census.integers + census.reals == census.present() {
            "declared as a time, but the values are numbers, whose unit only the application knows".into()
        } else {
            "declared as a time, but values of several kinds occur".into()
        });
    }
    if census.dates == census.texts {
        return match day {
            true => Ok(choice(LogicalType::Date, Codec::Date, "declared date, all values are dates")),
            false => Err(format!(
                "declared {}, but they are dates, and a date would drop the time of day of later ones",
                column.declared
            )),
        };
    }
    match census.time.format().filter(|_| census.timestamps == census.texts) {
        Some(format) if format.zone == Zone::None && zoned => Err(format!(
            "declared {}, but they are times without a zone, and a type without one would drop that of later ones",
            column.declared
        )),
        Some(format) if format.zone == Zone::None => Ok(choice(
            LogicalType::Timestamp,
            Codec::Timestamp { format },
            "declared as a time, all values are timestamps of one format without a zone",
        )),
        Some(format) => Ok(choice(
            LogicalType::TimestampTz,
            Codec::Timestamp { format },
            "declared as a time, all values are timestamps in UTC of one format",
        )),
        None => {
            Err("declared as a time, but the values are not all timestamps of one format within microseconds"
                .into())
        }
    }
}

fn decimal(column: &Column, census: &ColumnCensus) -> Result<Choice, String> {
    if census.integers + census.reals != census.present() {
        return Err("declared decimal, but other values than numbers occur".into());
    }
    if census.reals_infinite > 0 {
        return Err("declared decimal, but infinite values occur".into());
    }
    let limits = match arguments(&column.declared).as_slice() {
        [precision] => Some((*precision, 0)),
        [precision, scale] => Some((*precision, *scale)),
        _ => None,
    };
    let (before, behind) = census.decimal_digits;
    let (ty, limits, why) = match limits {
        Some((p, s)) if p == 0 || p > NUMERIC_PRECISION_MAX || s > p => (
            LogicalType::Numeric(None),
            None,
            format!("declared decimal({p},{s}), which PostgreSQL does not take"),
        ),
        Some((p, s)) if before <= u64::from(p - s) && behind <= u64::from(s) => (
            LogicalType::Numeric(Some((p, s))),
            Some((p, s)),
            "declared decimal, all values fit; compared by value".into(),
        ),
        Some((p, s)) => (
            LogicalType::Numeric(None),
            None,
            format!(
                "declared decimal({p},{s}), but values have up to {before} digits before and {behind} behind the point; compared by value"
            ),
        ),
        None => {
            (LogicalType::Numeric(None), None, "declared decimal without limits; compared by value".into())
        }
    };
    Ok(choice(ty, Codec::Decimal { limits }, why))
}

/// The type that the storage classes ask for.
fn stored(column: &Column, census: &ColumnCensus) -> Choice {
    let classes = census.classes();
    match classes.as_slice() {
        [] => of_affinity(column),
        [("integer", _)] => choice(LogicalType::Int8, Codec::Int, "all values are integers"),
        [("real", _)] => choice(LogicalType::Float8, Codec::Float, "all values are reals"),
        [("text", _)] => text(column, census),
        [("blob", _)] => choice(LogicalType::Bytea, Codec::Bytes, "all values are blobs"),
        [("integer", _), ("real", _)] => numbers(census),
        _ => mixed(column, census, &classes),
    }
}

fn of_affinity(column: &Column) -> Choice {
    let why = "no values yet: the declared type decides";
    let declared = column.declared.trim();
    match column.affinity {
        Affinity::Integer => choice(LogicalType::Int8, Codec::Int, why),
        Affinity::Real => choice(LogicalType::Float8, Codec::Float, why),
        Affinity::Text => Choice { why: why.into(), ..text(column, &ColumnCensus::default()) },
        Affinity::Blob if declared.is_empty() => {
            choice(LogicalType::Text, Codec::Text { chars_max: None }, "no declared type and no values yet")
        }
        Affinity::Blob => choice(LogicalType::Bytea, Codec::Bytes, why),
        Affinity::Numeric if declared.eq_ignore_ascii_case("STRING") => {
            choice(LogicalType::Text, Codec::Text { chars_max: None }, why)
        }
        Affinity::Numeric => choice(LogicalType::Numeric(None), Codec::Decimal { limits: None }, why),
    }
}

fn text(column: &Column, census: &ColumnCensus) -> Choice {
    let head = column.declared.split('(').next().unwrap_or_default().trim().to_ascii_uppercase();
    let sized = matches!(
        head.as_str(),
        "VARCHAR"
            | "NVARCHAR"
            | "CHAR"
            | "NCHAR"
            | "CHARACTER"
            | "VARCHAR2"
            | "NVARCHAR2"
            | "CHARACTER VARYING"
            | "VARYING CHARACTER"
            | "NATIVE CHARACTER"
    );
    match arguments(&column.declared).as_slice() {
        [chars] if sized && (1..=VARCHAR_CHARS_MAX).contains(chars) => {
            if census.text_chars_max <= u64::from(*chars) {
                choice(
                    LogicalType::Varchar(*chars),
                    Codec::Text { chars_max: Some(*chars) },
                    format!(
                        "declared {}, the longest value has {} characters",
                        column.declared, census.text_chars_max
                    ),
                )
            } else {
                choice(
                    LogicalType::Text,
                    Codec::Text { chars_max: None },
                    format!(
                        "declared {}, but the longest value has {} characters",
                        column.declared, census.text_chars_max
                    ),
                )
            }
        }
        _ => choice(LogicalType::Text, Codec::Text { chars_max: None }, "all values are text"),
    }
}

fn numbers(census: &ColumnCensus) -> Choice {
    if census.integers_beyond_float == 0 {
        choice(
            LogicalType::Float8,
            Codec::Float,
            "integers and reals: doubles hold all of them; compared by value",
        )
    } else if census.reals_infinite == 0 {
        choice(
            LogicalType::Numeric(None),
            Codec::Decimal { limits: None },
            "reals and integers beyond 2^53: decimal numbers hold all of them; compared by value",
        )
    } else {
        choice(
            LogicalType::Float8,
            Codec::Float,
            "reals, infinities and integers beyond 2^53: no type holds all of them, the integers are exceptions",
        )
    }
}

fn mixed(column: &Column, census: &ColumnCensus, classes: &[(&'static str, u64)]) -> Choice {
    let home: &[&str] = match column.affinity {
        Affinity::Integer => &["integer"],
        Affinity::Real => &["real"],
        Affinity::Text => &["text"],
        // NUMERIC is also the affinity of every name without a rule (JSON, UUID, DATE): only a name of
        // numbers makes numbers the column's own.
        Affinity::Numeric => match Interest::of_declared(&column.declared) {
            Interest::Decimal | Interest::Boolean => &["integer", "real"],
            Interest::Plain | Interest::Temporal | Interest::Uuid | Interest::Json => &[],
        },
        Affinity::Blob => &[],
    };
    let at_home = classes.iter().find(|(class, _)| home.contains(class));
    let Some((class, _)) = at_home.or_else(|| classes.iter().max_by_key(|(_, count)| *count)) else {
        return of_affinity(column);
    };
    let mut chosen = match *class {
        "integer" | "real" if census.integers > 0 && census.reals > 0 => numbers(census),
        "integer" => choice(LogicalType::Int8, Codec::Int, ""),
        "real" => choice(LogicalType::Float8, Codec::Float, ""),
        "text" => text(column, census),
        _ => choice(LogicalType::Bytea, Codec::Bytes, ""),
    };
    let counts: Vec<String> = classes.iter().map(|(class, count)| format!("{count} {class}")).collect();
    chosen.why = format!(
        "values of several storage classes ({}); the column takes {}",
        counts.join(", "),
        chosen.r#type
    );
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::census::TableCensus;
    use crate::digest::{RowDigester, Side};
    use crate::value::{Rows, Value};

    fn check(declared: &str, values: &[Value<'_>], expected: &str) {
        let mut rows = Rows::new(0, 1);
        values.iter().for_each(|value| rows.push(*value));
        let mut census = TableCensus::new(1);
        let interest = Interest::of_declared(declared);
        census.observe(&rows, &[interest]);
        let mut digester =
            RowDigester::new(vec![ColumnCensus::predicted(interest)], Vec::new(), Side::Source);
        rows.iter().for_each(|row| {
            digester.digest(row, |_| false);
        });
        census.columns[0].note_json(&digester.json()[0]);
        let column = Column::plain("c", declared);
        let chosen = choose(&column, &census.columns[0]);
        assert_eq!(chosen.r#type.to_string(), expected, "{declared} {values:?}: {}", chosen.why);
    }

    #[test]
    fn declaration_and_evidence_decide_together() {
        use Value::{Bytes, Float, Int, Text};
        check("INTEGER", &[Int(1)], "bigint");
        check("INTEGER", &[Int(1), Text(b"12abc")], "bigint");
        check("INTEGER", &[Text(b"12abc")], "text");
        check("TINYINT(1)", &[Int(0), Int(1)], "bigint");
        check("BOOLEAN", &[Int(0), Int(1), Value::Null], "boolean");
        check("BOOLEAN", &[Int(2)], "bigint");
        check("BOOLEAN", &[Text(b"t"), Text(b"f")], "boolean");
        check("BOOLEAN", &[Text(b"t"), Text(b"false")], "text");
        check("BOOLEAN", &[], "boolean");
        check("BOOLEAN", &[Text(b"")], "text");
        check("NVARCHAR(3)", &[Text("äöü".as_bytes())], "varchar(3)");
        check("NVARCHAR(3)", &[Text(b"abcd")], "text");
        check("CHAR(2)", &[Text(b"a ")], "varchar(2)");
        check("BLOB SUB_TYPE TEXT", &[], "text");
        check("BLOB", &[Text(b"x")], "text");
        check("BLOB", &[Text(b"x"), Bytes(b"y"), Bytes(b"z")], "bytea");
        check("TEXT", &[Bytes(b"y"), Bytes(b"z"), Text(b"x")], "text");
        check("DATETIME", &[Text(b"2009-01-01 00:00:00")], "timestamp");
        check("DATETIME", &[Text(b"2009-01-01T00:00:00Z")], "timestamptz");
        check("DATETIME", &[Text(b"2009-01-01T00:00:00.123456789Z")], "text");
        check("DATETIME", &[Text(b"0000-00-00 00:00:00")], "text");
        check("DATETIME", &[Int(1_700_000_000_000)], "bigint");
        check("DATE", &[Text(b"2009-01-01")], "date");
        check("date", &[Text(b"2009-01-01")], "date");
        check("DATETIME", &[Text(b"2009-01-01")], "text");
        check("TIMESTAMP", &[Text(b"2009-01-01"), Value::Null], "text");
        check("TIMESTAMPTZ", &[Text(b"2009-01-01")], "text");
        check("TIMESTAMPTZ", &[Text(b"2009-01-01 00:00:00")], "text");
        check("TIMESTAMP WITHOUT TIME ZONE", &[Text(b"2009-01-01 00:00:00")], "timestamp");
        check("DATE", &[Text(b"2009-01-01 10:30:00")], "timestamp");
        check("NUMERIC(10,2)", &[Float(1.25), Int(3)], "numeric(10,2)");
        check("NUMERIC(10,2)", &[Float(1.255)], "numeric");
        check("NUMERIC(10,2)", &[Float(f64::INFINITY)], "double precision");
        check("FLOAT", &[Float(0.1)], "double precision");
        check("ANY", &[Float(0.1), Int(1 << 60)], "numeric");
        check("UUID", &[Text(b"0188d9c2-af00-7fff-0102-030405060708")], "uuid");
        check("UUID", &[Text(b"0188d9c2-af00-7fff-0102-030405060708"), Text(b"x")], "text");
        check("UUID", &[Bytes(&[0; 16])], "uuid");
        check("JSON", &[Text(b"{}")], "jsonb");
        check("JSON", &[Text(b"{\"a\":1,\"a\":2}")], "text");
        check("STRING", &[], "text");
        check("JSON", &[Int(7), Text(b"{}"), Text(b"[]")], "text");
        check("NUMERIC", &[Int(7), Text(b"a"), Text(b"b")], "bigint");
    }
}
