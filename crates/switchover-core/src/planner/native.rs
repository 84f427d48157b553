//! Codecs by a column's own type: which of the source's values a column that is there already takes.
//!
//! The type is given; the evidence only chooses the form (which of a UUID's spellings, which format
//! of time), so that what differs from it is named as an exception. Deliberately absent: choosing a type.

use super::mapped::{ids_why, uuid};
use crate::census::{ColumnCensus, Interest};
use crate::codec::Codec;
use crate::connector::Choice;
use crate::datetime::{Fraction, Separator, TimeFormat, Zone};
use crate::existing::{ExistingOptions, Holds, TargetColumn};
use crate::expr::Affinity;
use crate::ids::Namespace;
use crate::native::Native;
use crate::plan::{Element, LogicalType};
use crate::schema::Column;

/// Digits of a second's fraction that a column keeps without a precision of its own.
const FRACTION_DIGITS: u8 = 6;

/// What the column's type makes worth looking for.
pub(super) fn interest(column: &TargetColumn) -> Interest {
    match &column.holds {
        Holds::Values(ty, _) => Interest::from(*ty),
        Holds::Labels(_) | Holds::Unsupported => Interest::Plain,
    }
}

/// The type and codec for a column that is there, or why no value can be written into it.
pub(super) fn choose(
    target: &TargetColumn,
    column: &Column,
    census: &ColumnCensus,
    asked: &ExistingOptions,
) -> Result<Choice, String> {
    let name = &target.type_name;
    let (ty, digits) = match &target.holds {
        Holds::Values(ty, digits) => (*ty, *digits),
        Holds::Labels(labels) => {
            let codec = Codec::Native(Native::Label { labels: labels.clone() });
            let why = format!("the target's {name}, an enumeration of {} labels", labels.len());
            return Ok(Choice { r#type: LogicalType::Text, codec, why });
        }
        Holds::Unsupported => {
            return Err(format!(
                "the target's type {name} is none that values are written into{}",
                why_not(name)
            ));
        }
    };
    let mut why = format!("the target's {name}");
    let codec = match ty {
        LogicalType::Bool => boolean(census),
        LogicalType::Int2 => Codec::Native(Native::Int { bytes: 2 }),
        LogicalType::Int4 => Codec::Native(Native::Int { bytes: 4 }),
        LogicalType::Int8 => Codec::Int,
        LogicalType::Float4 => Codec::Native(Native::Float4),
        LogicalType::Float8 => Codec::Float,
        LogicalType::Numeric(limits) => Codec::Decimal { limits },
        LogicalType::Text => Codec::Text { chars_max: None },
        LogicalType::Varchar(chars) => Codec::Text { chars_max: Some(chars) },
        LogicalType::Char(chars) => Codec::Native(Native::Padded { chars }),
        LogicalType::Bytea if census.texts > census.blobs => {
            why.push_str(", which takes the bytes of the texts");
            Codec::TextBytes
        }
        LogicalType::Bytea => Codec::Bytes,
        LogicalType::Uuid => uuid(census),
        LogicalType::Date => Codec::Date,
        LogicalType::Timestamp | LogicalType::TimestampTz => {
            moment(ty == LogicalType::TimestampTz, digits, column, census, asked, &mut why)
        }
        LogicalType::Time => Codec::Native(Native::TimeOfDay { digits }),
        LogicalType::Json => Codec::Native(Native::JsonText),
        LogicalType::Jsonb => Codec::Json,
        LogicalType::TextArray => Codec::Native(Native::TextArray { nulls: true, chars: None }),
        LogicalType::Array(element @ (Element::Timestamp | Element::TimestampTz)) => {
            Codec::Native(Native::List { of: element.of(), digits, utc: asked.utc, nulls: true })
        }
        LogicalType::Array(element) => Codec::Native(Native::array(element)),
        LogicalType::Inet => Codec::Native(Native::Inet),
        LogicalType::Cidr => Codec::Native(Native::Cidr),
        LogicalType::Macaddr => Codec::Native(Native::Macaddr),
        LogicalType::Interval => Codec::Native(Native::Interval { epoch: asked.epoch }),
        LogicalType::Declared | LogicalType::Any | LogicalType::Vector => {
            Codec::Any { affinity: column.affinity }
        }
    };
    if !codec.is_exact() && !matches!(codec, Codec::Native(Native::Moment { .. })) {
        why.push_str("; compared by value");
    }
    if target.generated.is_some() && column.generated.is_none() {
        why.push_str("; the target computes it, and the source's values must be the same");
    }
    Ok(Choice { r#type: ty, codec, why })
}

/// Why nothing is written into columns of a type, where that is to be said.
fn why_not(type_name: &str) -> &'static str {
    match type_name {
        "money" => ": what a number of it means depends on the server's setting lc_monetary",
        name if name.ends_with("range") || name.ends_with("range[]") => {
            ": a range has two ends, and no one value of the source is both"
        }
        _ => "",
    }
}

/// The codec of ids that become UUIDs, in a column that is there.
pub(super) fn ids(target: &TargetColumn, namespace: Namespace) -> Result<Choice, String> {
    let (ty, text) = match target.holds {
        Holds::Values(LogicalType::Uuid, _) => (LogicalType::Uuid, false),
        Holds::Values(ty, _) => (ty, true),
        Holds::Labels(_) | Holds::Unsupported => (LogicalType::Any, true),
    };
    let codec = Codec::Uuid5 { namespace, text };
    if !crate::judge::makes(&codec, ty) {
        return Err(format!(
            "its ids become UUIDs, and the target's column is {}, not uuid, text, varchar(36) or char(36)",
            target.type_name
        ));
    }
    Ok(Choice {
        r#type: ty,
        codec,
        why: format!("the target's {}; {}", target.type_name, ids_why(namespace)),
    })
}

fn boolean(census: &ColumnCensus) -> Codec {
    let text = |no: &str, yes: &str| Codec::BoolText { no: no.into(), yes: yes.into() };
    match census.boolean_texts {
        [letters, words, _] if letters > words && letters > census.integers => text("f", "t"),
        [_, words, _] if words > census.integers => text("false", "true"),
        _ => Codec::BoolInt,
    }
}

/// Texts of one format come back as they were written; others by their value.
fn moment(
    zoned: bool,
    digits: u8,
    column: &Column,
    census: &ColumnCensus,
    asked: &ExistingOptions,
    why: &mut String,
) -> Codec {
    let all_texts = census.texts == census.present() && census.timestamps == census.texts && census.texts > 0;
    if let (true, FRACTION_DIGITS, Some(format)) = (all_texts, digits, census.time.format())
        && (format.zone != Zone::None) == zoned
    {
        return Codec::Timestamp { format };
    }
    why.push_str("; times compare by value, the way in which each is written does not come back");
    if asked.utc {
        why.push_str("; without a zone they are UTC");
    }
    if let Some(epoch) = asked.epoch {
        why.push_str(&format!("; numbers count {} since 1970", epoch.word()));
    }
    if asked.cut_fractions {
        why.push_str(&format!("; cut to {digits} digits of a second's fraction"));
    }
    let (utc, epoch, cut) = (asked.utc, asked.epoch, asked.cut_fractions);
    let back = if asked.live { back(zoned, column, census, asked) } else { None };
    Codec::Native(Native::Moment { zoned, digits, utc, epoch, cut, back })
}

/// How a time is written that comes back to the source: as all of its texts are, else with the zone of the first, in the form
/// that the common libraries read alike; `None` where it is a number.
fn back(zoned: bool, column: &Column, census: &ColumnCensus, asked: &ExistingOptions) -> Option<TimeFormat> {
    let numbers = match census.present() {
        0 => column.affinity == Affinity::Integer,
        _ => census.integers > census.texts,
    };
    if numbers && asked.epoch.is_some() {
        return None;
    }
    let read = |zone: Zone| asked.utc || (zone != Zone::None) == zoned;
    let (separator, zone) = match census.time.first() {
        Some((separator, zone)) if read(zone) => (separator, zone),
        // Texts that are none of the usual forms have offsets of their own.
        None if asked.utc && census.texts > 0 => (Separator::Space, Zone::Offset),
        _ if zoned && !asked.utc => (Separator::Space, Zone::Offset),
        _ => (Separator::Space, Zone::None),
    };
    let usual = TimeFormat { separator, fraction: Fraction::OmitZero(FRACTION_DIGITS), zone };
    Some(census.time.format().filter(|format| read(format.zone)).unwrap_or(usual))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::census::TableCensus;
    use crate::value::{Rows, Value};

    fn check(holds: Holds, values: &[Value<'_>], asked: &ExistingOptions, expected: &str, misfits: usize) {
        let target = TargetColumn {
            name: "c".into(),
            type_name: "t".into(),
            holds,
            not_null: false,
            default: None,
            generated: None,
            identity: false,
            sequence: None,
        };
        let column = Column::plain("c", "");
        let mut rows = Rows::new(0, 1);
        values.iter().for_each(|value| rows.push(*value));
        let mut census = TableCensus::new(1);
        census.observe(&rows, &[interest(&target)]);
        let chosen = choose(&target, &column, &census.columns[0], asked).expect("a codec");
        let text = serde_json::to_string(&chosen.codec).expect("JSON");
        assert!(text.contains(expected), "{text}");
        assert!(crate::judge::makes(&chosen.codec, chosen.r#type));
        let mut scratch = Vec::new();
        let found = values.iter().filter(|value| chosen.codec.encode(**value, &mut scratch).is_err()).count();
        assert_eq!(found, misfits, "{text} {values:?}");
    }

    #[test]
    fn the_evidence_chooses_the_form_and_the_rest_are_misfits() {
        use LogicalType::{Bool, Int4, Timestamp, TimestampTz, Uuid};
        use Value::{Int, Text};
        let plain = ExistingOptions::default();
        let utc = ExistingOptions { utc: true, ..ExistingOptions::default() };
        let of = |ty| Holds::Values(ty, 6);
        check(of(Bool), &[Int(1), Int(0), Int(2)], &plain, "bool_int", 1);
        check(of(Bool), &[Text(b"t"), Text(b"f"), Text(b"")], &plain, "\"t\"", 1);
        check(of(Int4), &[Int(1), Int(1 << 31)], &plain, "\"int\"", 1);
        let (dashed, plain_form) =
            (b"0188d9c2-af00-7fff-0102-030405060708", b"0188d9c2af007fff0102030405060708");
        check(of(Uuid), &[Text(dashed), Text(dashed), Text(plain_form)], &plain, "lower_dashed", 1);
        check(of(Timestamp), &[Text(b"2024-01-01 00:00:00")], &plain, "\"timestamp\"", 0);
        check(of(TimestampTz), &[Text(b"2024-01-01 00:00:00")], &plain, "moment", 1);
        check(of(TimestampTz), &[Text(b"2024-01-01 00:00:00")], &utc, "moment", 0);
        check(
            of(TimestampTz),
            &[Text(b"2024-01-01T00:00:00Z"), Text(b"2024-01-01 00:00:00+01:00")],
            &plain,
            "moment",
            0,
        );
        check(Holds::Values(Timestamp, 3), &[Text(b"2024-01-01 00:00:00.1234")], &plain, "moment", 1);
        check(Holds::Labels(vec!["a".into()]), &[Text(b"a"), Text(b"b")], &plain, "label", 1);
    }
}
