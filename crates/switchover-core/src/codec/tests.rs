//! What each codec takes, and that it comes back.

use super::*;
use proptest::prelude::*;

fn comes_back(codec: &Codec, value: Value<'_>) -> bool {
    let (mut scratch, mut other) = (Vec::new(), Vec::new());
    let Ok(encoded) = codec.encode(value, &mut scratch) else { return false };
    let (mut source, mut target) = (Vec::new(), Vec::new());
    let _ = codec.canonical_source(value, &mut source);
    codec.canonical_target(encoded, &mut other, &mut target);
    assert_eq!(source, target, "{codec:?} {value:?}");
    true
}

fn ids(text: bool) -> Codec {
    Codec::Uuid5 { namespace: Namespace::of_column("users", "id"), text }
}

#[test]
fn another_uuid_is_another_id() {
    let (mut scratch, mut source, mut target) = (Vec::new(), Vec::new(), Vec::new());
    ids(true).canonical_source(Value::Text(b"alice"), &mut source).expect("known");
    for other in [&b"alice"[..], b"0188d9c2-af00-7fff-0102-030405060708"] {
        target.clear();
        ids(true).canonical_target(Value::Text(other), &mut scratch, &mut target);
        assert_ne!(source, target);
    }
}

#[test]
fn a_uuid_that_is_none_is_told_from_one_in_another_form() {
    let codec = Codec::UuidText { form: UuidForm::LowerDashed };
    let why = |text: &[u8]| codec.encode(Value::Text(text), &mut Vec::new()).expect_err("unfit").0;
    assert!(why(b"0188D9C2-AF00-7FFF-0102-030405060708").contains("another form than the rest"));
    assert!(why(b"0188D9c2-af00-7fff-0102-030405060708").contains("in capitals and small letters"));
    assert!(why(b"0188d9c2").contains("no UUID"));
}

#[test]
fn what_fits_comes_back() {
    let stamp = TimeFormat {
        separator: datetime::Separator::T,
        fraction: datetime::Fraction::Fixed(3),
        zone: datetime::Zone::Z,
    };
    for (codec, value) in [
        (Codec::Int, Value::Int(i64::MIN)),
        (Codec::Float, Value::Float(-0.0)),
        (Codec::Float, Value::Float(f64::INFINITY)),
        (Codec::Float, Value::Int(-(1 << 53))),
        (Codec::BoolInt, Value::Int(1)),
        (Codec::BoolText { no: "f".into(), yes: "t".into() }, Value::Text(b"f")),
        (Codec::Decimal { limits: Some((5, 2)) }, Value::Float(123.45)),
        (Codec::Decimal { limits: None }, Value::Float(1e300)),
        (Codec::UuidText { form: UuidForm::UpperPlain }, Value::Text(b"0188D9C2AF007FFF0102030405060708")),
        (Codec::UuidBytes, Value::Bytes(&[9; 16])),
        (ids(false), Value::Text(b"alice")),
        (ids(true), Value::Int(-7)),
        (ids(true), Value::Text(b"0188D9C2-AF00-7FFF-0102-030405060708")),
        (Codec::Date, Value::Text(b"2024-02-29")),
        (Codec::Timestamp { format: stamp }, Value::Text(b"2024-02-29T12:00:00.120Z")),
        (Codec::Json, Value::Text(b"{\"a\": [1, 2.0]}")),
        (Codec::JsonText, Value::Text(b" {\"a\": [1.0, \"\\ud800 \"], \"a\":1} ")),
        (Codec::Plain, Value::Text(b"a\0")),
        (Codec::Plain, Value::Float(f64::NEG_INFINITY)),
        (Codec::Plain, Value::Bytes(b"\xff")),
        (Codec::Text { chars_max: Some(2) }, Value::Text("éé".as_bytes())),
        (Codec::TextEscaped { chars_max: Some(4) }, Value::Text(b"a\0")),
        (Codec::TextEscaped { chars_max: None }, Value::Text("\u{241b}00\u{fffd}".as_bytes())),
        (Codec::TextBytes, Value::Text(b"\xff\0")),
        (Codec::Any { affinity: Affinity::Blob }, Value::Float(-0.0)),
        (Codec::Any { affinity: Affinity::Text }, Value::Text(b"a\0\xff")),
        (Codec::Any { affinity: Affinity::Integer }, Value::Bytes(b"1")),
    ] {
        assert!(comes_back(&codec, value), "{codec:?} {value:?}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    for (codec, value) in [
        (Codec::Int, Value::Text(b"12abc")),
        (Codec::Int, Value::Float(1.0)),
        (Codec::Float, Value::Int((1 << 53) + 1)),
        (Codec::BoolInt, Value::Int(2)),
        (Codec::BoolText { no: "f".into(), yes: "t".into() }, Value::Text(b"")),
        (Codec::Text { chars_max: None }, Value::Text(b"a\0")),
        (Codec::Text { chars_max: None }, Value::Text(b"\xff")),
        (Codec::Text { chars_max: Some(1) }, Value::Text(b"ab")),
        (Codec::Text { chars_max: None }, Value::Bytes(b"ab")),
        (Codec::Bytes, Value::Text(b"ab")),
        (Codec::TextEscaped { chars_max: Some(3) }, Value::Text(b"a\0")),
        (Codec::TextEscaped { chars_max: None }, Value::Bytes(b"ab")),
        (Codec::TextBytes, Value::Bytes(b"ab")),
        (Codec::Decimal { limits: Some((5, 2)) }, Value::Float(1.234)),
        (Codec::Decimal { limits: Some((5, 2)) }, Value::Int(1234)),
        (Codec::Decimal { limits: None }, Value::Float(f64::NEG_INFINITY)),
        (Codec::UuidText { form: UuidForm::LowerDashed }, Value::Text(b"0188d9c2af007fff0102030405060708")),
        (Codec::UuidBytes, Value::Bytes(&[1; 15])),
        (ids(false), Value::Bytes(&[1; 16])),
        (ids(true), Value::Float(1.5)),
        (Codec::Date, Value::Text(b"0000-00-00")),
        (Codec::Json, Value::Text(b"{")),
        (Codec::JsonText, Value::Text(b"{")),
        (Codec::JsonText, Value::Text(b" null")),
        (Codec::JsonText, Value::Text(b"{\"$switchover.blob\":\"\"}")),
        (Codec::JsonText, Value::Int(1)),
        (Codec::Plain, Value::Text(b"\xff")),
        (Codec::Plain, Value::Bool(true)),
        (Codec::Any { affinity: Affinity::Text }, Value::Int(1)),
        (Codec::Any { affinity: Affinity::Numeric }, Value::Text(b"1")),
        (Codec::Any { affinity: Affinity::Blob }, Value::Bool(true)),
    ] {
        assert!(!comes_back(&codec, value), "{codec:?} {value:?}");
    }
}

proptest! {
    #[test]
    fn any_text_comes_back_from_bytes_and_from_escapes(text in any::<Vec<u8>>()) {
        for codec in [Codec::TextEscaped { chars_max: None }, Codec::TextBytes] {
            prop_assert!(comes_back(&codec, Value::Text(&text)));
        }
    }

    #[test]
    fn any_number_comes_back_by_value(f in any::<f64>(), i in any::<i64>()) {
        let codec = Codec::Decimal { limits: None };
        if f.is_finite() {
            prop_assert!(comes_back(&codec, Value::Float(f)));
        }
        prop_assert!(comes_back(&codec, Value::Int(i)));
    }
}
