//! Values of every form there and back, at their edges.

use super::*;
use crate::codec::Codec;

fn comes_back(native: &Native, value: Value<'_>) -> bool {
    let codec = Codec::Native(native.clone());
    let (mut scratch, mut other) = (Vec::new(), Vec::new());
    let Ok(encoded) = codec.encode(value, &mut scratch) else { return false };
    let (mut source, mut target) = (Vec::new(), Vec::new());
    let _ = codec.canonical_source(value, &mut source);
    codec.canonical_target(encoded, &mut other, &mut target);
    assert_eq!(source, target, "{native:?} {value:?}");
    true
}

fn moment(zoned: bool, utc: bool, epoch: Option<EpochUnit>) -> Native {
    Native::Moment { zoned, digits: 6, utc, epoch, cut: false, back: None }
}

#[test]
fn what_fits_comes_back() {
    let label = Native::Label { labels: vec!["on".into(), "off".into()] };
    for (native, value) in [
        (Native::Int { bytes: 2 }, Value::Int(-32_768)),
        (Native::Int { bytes: 4 }, Value::Int(2_147_483_647)),
        (Native::Float4, Value::Float(0.5)),
        (Native::Float4, Value::Int(16_777_216)),
        (Native::Float4, Value::Float(f64::NEG_INFINITY)),
        (Native::Padded { chars: 3 }, Value::Text(b"ab")),
        (label, Value::Text(b"off")),
        (Native::TextArray { nulls: false, chars: None }, Value::Text(b"[]")),
        (Native::Unicode, Value::Text(b"a\0b")),
        (Native::Safe, Value::Int(-(1 << 53))),
        (Native::Digits, Value::Int(i64::MIN)),
        (Native::Finite, Value::Float(-0.0)),
        (Native::Finite, Value::Int(1 << 53)),
        (Native::SomeBytes, Value::Bytes(b"\0")),
        (Native::Vector { from: VectorForm::Float32, length: None }, Value::Bytes(&(-0.0f32).to_le_bytes())),
        (Native::Vector { from: VectorForm::Json, length: Some(3) }, Value::Text(b"[1, -0.1, 3e-40]")),
        (Native::JsonText, Value::Text(b"{ \"a\": 1 }")),
        (Native::JsonText, Value::Text(b"{\"a\": \"\\u0000\", \"a\": 1e999999}")),
        (moment(true, false, None), Value::Text(b"2024-01-02 03:04:05.123456700+02:00")),
        (moment(false, false, None), Value::Text(b"2024-01-02T03:04:05")),
        (moment(false, true, None), Value::Text(b"2024-01-02T03:04:05Z")),
        (moment(true, false, Some(EpochUnit::Millis)), Value::Int(1_700_000_000_123)),
        (Native::TimeOfDay { digits: 6 }, Value::Text(b"23:59:59.5")),
        (Native::array(Element::Varchar(Some(2))), Value::Text("[\"ab\", null, \"éß\"]".as_bytes())),
        (Native::array(Element::Int2), Value::Text(b"[32767, -32768, null]")),
        (Native::array(Element::Int4), Value::Text(b" [2147483647,-2147483648] ")),
        (Native::array(Element::Int8), Value::Text(b"[9223372036854775807, -9223372036854775808]")),
        (Native::Inet, Value::Text(b"10.0.0.1/8")),
        (Native::Inet, Value::Text(b"2001:db8::1")),
        (Native::Cidr, Value::Text(b"10.0.0.1/32")),
        (Native::Macaddr, Value::Text(b"08:00:2b:01:02:ff")),
        (Native::Interval { epoch: None }, Value::Text(b"1 mon -3 days 04:05:06.7")),
        (Native::Interval { epoch: Some(EpochUnit::Micros) }, Value::Int(-1)),
        (Native::array(Element::Float8), Value::Text(b"[0.1, -0.0, null]")),
        (Native::array(Element::Uuid), Value::Text(b"[\"0188d9c2-af00-7fff-0102-030405060708\"]")),
        (Native::array(Element::TimestampTz), Value::Text(b"[\"2024-01-02 03:04:05.123+02:00\"]")),
        (Native::TextArray { nulls: true, chars: None }, Value::Text(b"[\"a\", null]")),
    ] {
        let expected = native != moment(true, false, None);
        assert_eq!(comes_back(&native, value), expected, "{native:?} {value:?}");
    }
    assert!(comes_back(&moment(true, false, None), Value::Text(b"2024-01-02 03:04:05.123456000+02:00")));
}

#[test]
fn what_a_column_does_not_keep_of_a_second_is_cut_only_when_that_is_said() {
    for (digits, text, kept) in [
        (6, "2024-01-02 03:04:05.123456789+02:00", "2024-01-02 03:04:05.123456+02:00"),
        (0, "2024-01-02 03:04:05.9+02:00", "2024-01-02 03:04:05+02:00"),
        (3, "1969-12-31 23:59:59.9999Z", "1969-12-31 23:59:59.999Z"),
    ] {
        let of = |cut| Native::Moment { zoned: true, digits, utc: false, epoch: None, cut, back: None };
        assert!(!comes_back(&of(false), Value::Text(text.as_bytes())), "{text}");
        assert!(comes_back(&of(true), Value::Text(text.as_bytes())), "{text}");
        assert_eq!(
            of(true).encode(Value::Text(text.as_bytes()), &mut Vec::new()),
            of(false).encode(Value::Text(kept.as_bytes()), &mut Vec::new())
        );
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    for (native, value) in [
        (Native::Int { bytes: 2 }, Value::Int(32_768)),
        (Native::Int { bytes: 4 }, Value::Int(-2_147_483_649)),
        (Native::Int { bytes: 4 }, Value::Float(1.0)),
        (Native::Float4, Value::Float(0.1)),
        (Native::Float4, Value::Int(16_777_217)),
        (Native::Padded { chars: 3 }, Value::Text(b"a ")),
        (Native::Padded { chars: 3 }, Value::Text(b"abcd")),
        (Native::Label { labels: vec!["on".into()] }, Value::Text(b"On")),
        (Native::JsonText, Value::Text(b"{")),
        (moment(true, false, None), Value::Text(b"2024-01-02 03:04:05")),
        (moment(false, false, None), Value::Text(b"2024-01-02 03:04:05Z")),
        (moment(true, true, None), Value::Int(1)),
        (moment(true, true, Some(EpochUnit::Seconds)), Value::Int(1_700_000_000_000)),
        (
            Native::Moment { zoned: false, digits: 3, utc: false, epoch: None, cut: false, back: None },
            Value::Text(b"2024-01-02 03:04:05.0001"),
        ),
        (Native::TimeOfDay { digits: 6 }, Value::Text(b"24:00:00")),
        (Native::array(Element::Varchar(Some(2))), Value::Text(b"[\"abc\"]")),
        (Native::array(Element::Int2), Value::Text(b"[32768]")),
        (Native::array(Element::Int4), Value::Text(b"[-2147483649]")),
        (Native::array(Element::Int8), Value::Text(b"[9223372036854775808]")),
        (Native::array(Element::Int8), Value::Text(b"[1.0]")),
        (Native::array(Element::Int8), Value::Text(b"[[1]]")),
        (Native::array(Element::Int8), Value::Text(b"{1}")),
        (Native::array(Element::Int8), Value::Int(1)),
        (Native::Inet, Value::Text(b"10.0.0.1/32")),
        (Native::Inet, Value::Text(b"localhost")),
        (Native::Cidr, Value::Text(b"10.0.0.1/8")),
        (Native::Cidr, Value::Text(b"10.0.0.1")),
        (Native::Macaddr, Value::Text(b"08:00:2B:01:02:03")),
        (Native::Macaddr, Value::Text(b"08-00-2b-01-02-03")),
        (Native::Interval { epoch: None }, Value::Int(1)),
        (Native::Interval { epoch: None }, Value::Text(b"a while")),
        (Native::Interval { epoch: Some(EpochUnit::Seconds) }, Value::Int(i64::MAX)),
        (Native::array(Element::Bool), Value::Text(b"[0]")),
        (Native::array(Element::TimestampTz), Value::Text(b"[\"2024-01-02 03:04:05\"]")),
        (Native::TextArray { nulls: true, chars: None }, Value::Text(b"[1]")),
        (Native::TextArray { nulls: true, chars: None }, Value::Text(b"[\"\\u0000\"]")),
        (Native::TextArray { nulls: false, chars: None }, Value::Text(b"[null]")),
        (Native::Unicode, Value::Text(b"\xff")),
        (Native::Unicode, Value::Int(1)),
        (Native::Safe, Value::Int((1 << 53) + 1)),
        (Native::Safe, Value::Float(1.0)),
        (Native::Finite, Value::Float(f64::NAN)),
        (Native::Finite, Value::Float(f64::INFINITY)),
        (Native::Finite, Value::Int(-(1 << 53) - 1)),
        (Native::Digits, Value::Float(1.0)),
        (Native::SomeBytes, Value::Bytes(b"")),
        (Native::Vector { from: VectorForm::Float32, length: None }, Value::Bytes(b"abc")),
        (Native::Vector { from: VectorForm::Float32, length: None }, Value::Bytes(b"")),
        (Native::Vector { from: VectorForm::Float32, length: None }, Value::Bytes(&f32::NAN.to_le_bytes())),
        (Native::Vector { from: VectorForm::Json, length: None }, Value::Text(b"[1e40]")),
        (Native::Vector { from: VectorForm::Json, length: None }, Value::Text(b"[null]")),
        (Native::Vector { from: VectorForm::Json, length: Some(3) }, Value::Text(b"[1, 2]")),
        (Native::Vector { from: VectorForm::Float32, length: Some(3) }, Value::Bytes(&[0; 16])),
    ] {
        assert!(!comes_back(&native, value), "{native:?} {value:?}");
    }
}
