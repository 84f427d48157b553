//! Answers that no server should give: none is taken for what was asked, and none ends the program.

use proptest::prelude::*;

use super::*;

/// A field of bytes.
fn field(number: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    prost::encoding::encode_varint(body.len() as u64, &mut out);
    out.extend_from_slice(body);
    out
}

/// A field of bytes with a number above 15.
fn far(number: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_varint(u64::from(number) << 3 | 2, &mut out);
    prost::encoding::encode_varint(body.len() as u64, &mut out);
    out.extend_from_slice(body);
    out
}

/// A reply's object of this id, with texts.
fn object(id: u8, texts: &[(&str, &str)]) -> Vec<u8> {
    let mut entries = Vec::new();
    for (name, text) in texts {
        let value = field(13, text.as_bytes());
        let entry = [field(1, name.as_bytes()), field(2, &value)].concat();
        entries.extend(field(1, &entry));
    }
    let properties = field(1, &field(11, &entries));
    let metadata = field(2, &far(20, &[id; 16]));
    field(2, &[properties, metadata].concat())
}

fn page(reply: Vec<u8>) -> Result<Page, Wrong> {
    Page::read(Bytes::from(reply), vec!["a".into(), "b".into()])
}

#[test]
fn properties_stand_where_they_were_asked_for() {
    let page = page([object(1, &[("b", "2"), ("a", "1")]), object(2, &[("b", "")]), object(3, &[])].concat());
    let page = page.expect("a page");
    let found: Vec<Found<'_>> = page.objects().map(|found| found.expect("an object")).collect();
    assert_eq!(found[0].properties, [Some(Wire::Text("1")), Some(Wire::Text("2"))]);
    assert_eq!(found[1].properties, [None, Some(Wire::Text(""))]);
    assert_eq!(found[2].properties, [None, None]);
    assert_eq!((page.len(), page.last()), (3, Some([3; 16])));
}

#[test]
fn what_was_not_asked_for_or_comes_twice_is_an_error() {
    for (texts, wrong) in [
        (&[("c", "")][..], Wrong::Unasked("c".into())),
        (&[("a", "1"), ("a", "1")], Wrong::Twice("a".into())),
    ] {
        let page = page(object(1, texts)).expect("a page");
        assert_eq!(page.objects().next(), Some(Err(wrong)));
    }
    let nameless = field(2, &field(1, &[]));
    assert_eq!(page(nameless).expect_err("no UUID"), Wrong::NoUuid);
}

#[test]
fn a_listing_ascends_from_behind_its_place() {
    for (ids, after, right) in [
        (&[1, 2, 3][..], None, true),
        (&[2, 3], Some(1), true),
        (&[], Some(1), true),
        (&[2, 1], None, false),
        (&[1, 1], None, false),
        (&[1, 2], Some(1), false),
        (&[1], Some(2), false),
    ] {
        let page = page(ids.iter().flat_map(|id| object(*id, &[])).collect()).expect("a page");
        assert_eq!(page.ascends(after.map(|id| [id; 16])).is_ok(), right, "{ids:?} after {after:?}");
    }
}

#[test]
fn objects_within_objects_have_an_end() {
    let nested = |depth: usize| {
        let mut value = field(13, b"x");
        for _ in 0..depth {
            value = field(4, &field(1, &[field(1, b"o"), field(2, &value)].concat()));
        }
        let entry = [field(1, b"a"), field(2, &value)].concat();
        let properties = field(1, &field(11, &field(1, &entry)));
        field(2, &[properties, field(2, &far(20, &[1; 16]))].concat())
    };
    let first = |depth| page(nested(depth)).expect("a page").objects().next().map(|found| found.is_ok());
    assert_eq!(first(50), Some(true));
    assert_eq!(first(50_000), Some(false));
}

proptest! {
    #[test]
    fn no_bytes_end_the_program(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        cut in 0usize..300,
        at in 0usize..300,
    ) {
        let _ = page(bytes.clone()).map(|page| page.objects().count());
        // And a true answer that is cut, or has one byte changed.
        let mut reply = [object(1, &[("a", "text"), ("b", "")]), object(2, &[("a", "more")])].concat();
        reply.truncate(cut);
        if let (Some(byte), Some(other)) = (reply.get_mut(at), bytes.first()) {
            *byte = *other;
        }
        let _ = page(reply).map(|page| page.objects().count());
    }
}
