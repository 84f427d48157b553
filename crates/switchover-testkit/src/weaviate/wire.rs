//! Messages of protobuf in their frames, as far as a line must understand what passes: fields by number, taken apart and
//! put together again.
//!
//! Invariants: what is kept keeps its bytes; what is no message has no fields. Absent: groups, which protobuf 3 does not have.

use bytes::{BufMut, Bytes, BytesMut};

/// A field of a message, with its bytes as they stand there, and its body where it has a length.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) number: u64,
    pub(super) whole: Bytes,
    pub(super) body: Bytes,
}

/// The message in its frame: a flag and its length go before it.
pub(super) fn message(frame: &Bytes) -> Bytes {
    frame.slice(frame.len().min(5)..)
}

pub(super) fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.extend_from_slice(message);
    frame.freeze()
}

pub(super) fn joined(fields: &[Field]) -> Bytes {
    framed(&fields.iter().flat_map(|field| field.whole.to_vec()).collect::<Vec<u8>>())
}

/// A request with those of its objects that are wanted, by place and their number.
pub(super) fn parts(frame: &Bytes, wanted: impl Fn(usize, usize) -> bool) -> Bytes {
    kept(frame, 1, wanted)
}

/// A page with those of its objects that are wanted.
pub(super) fn results(frame: &Bytes, wanted: impl Fn(usize, usize) -> bool) -> Bytes {
    kept(frame, 2, wanted)
}

fn kept(frame: &Bytes, number: u64, wanted: impl Fn(usize, usize) -> bool) -> Bytes {
    let all = fields(&message(frame));
    let count = all.iter().filter(|field| field.number == number).count();
    let mut at = 0;
    let kept: Vec<Field> = all
        .into_iter()
        .filter(|field| {
            if field.number != number {
                return true;
            }
            at += 1;
            wanted(at - 1, count)
        })
        .collect();
    joined(&kept)
}

/// A reply that names one object: `errors` is the second field, its `index` the first and `error` the second.
pub(super) fn blame(index: u64) -> Vec<u8> {
    let mut error = vec![8];
    varint(index, &mut error);
    let words = b"a lie";
    error.extend([18, words.len() as u8]);
    error.extend_from_slice(words);
    let mut reply = vec![18];
    varint(error.len() as u64, &mut reply);
    reply.extend(error);
    reply
}

pub(super) fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 128 {
        out.push(number as u8 | 128);
        number >>= 7;
    }
    out.push(number as u8);
}

/// The fields of a message (protobuf's wire format); none of what is no message.
pub(super) fn fields(message: &Bytes) -> Vec<Field> {
    let number = |at: &mut usize| -> Option<u64> {
        let (mut value, mut shift) = (0_u64, 0);
        loop {
            let byte = *message.get(*at)?;
            *at += 1;
            value |= u64::from(byte & 127) << shift;
            shift += 7;
            if byte < 128 || shift > 63 {
                return Some(value);
            }
        }
    };
    let (mut all, mut at) = (Vec::new(), 0);
    while at < message.len() {
        let begin = at;
        let Some(key) = number(&mut at) else { return Vec::new() };
        let length = match key & 7 {
            0 => number(&mut at).map(|_| 0),
            1 => Some(8),
            2 => number(&mut at).and_then(|length| usize::try_from(length).ok()),
            5 => Some(4),
            _ => None,
        };
        let Some(end) = length.map(|length| at + length).filter(|end| *end <= message.len()) else {
            return Vec::new();
        };
        all.push(Field { number: key >> 3, whole: message.slice(begin..end), body: message.slice(at..end) });
        at = end;
    }
    all
}

/// The number in a field of that kind (a varint), `None` for another kind.
pub(super) fn number_of(field: &Field) -> Option<u64> {
    let key = field.whole.iter().position(|byte| *byte < 128)? + 1;
    let mut value = 0_u64;
    for (at, byte) in field.whole.get(key..)?.iter().enumerate().take(10) {
        value |= u64::from(byte & 127).checked_shl(7 * u32::try_from(at).ok()?)?;
        if *byte < 128 {
            return Some(value);
        }
    }
    None
}

/// A count as the server answers it: `single_result` is the second field, its `objects_count` the first.
pub(super) fn counted(count: u64) -> Vec<u8> {
    let mut single = vec![8];
    varint(count, &mut single);
    let mut reply = vec![18];
    varint(single.len() as u64, &mut reply);
    reply.extend(single);
    reply
}

/// The count that such an answer holds.
pub(super) fn count_of(reply: &Bytes) -> Option<u64> {
    let single = fields(&message(reply)).into_iter().find(|field| field.number == 2)?;
    fields(&single.body).iter().find(|field| field.number == 1).and_then(number_of)
}

/// A request to delete that only looks what there is to delete: `dry_run` is the fourth field.
pub(super) fn only_seen(frame: &Bytes) -> Bytes {
    framed(&[message(frame).as_ref(), &[4 << 3, 1]].concat())
}

/// The answer to a deletion that found as many as that one, and deleted all of them or none: `matches` is the third field,
/// `successful` the fourth.
pub(super) fn deleted(frame: &Bytes, all: bool) -> Bytes {
    let found = fields(&message(frame)).iter().find(|field| field.number == 3).and_then(number_of);
    let mut reply = Vec::new();
    for (number, count) in
        [(3, found.unwrap_or_default()), (4, if all { found.unwrap_or_default() } else { 0 })]
    {
        reply.push(number << 3);
        varint(count, &mut reply);
    }
    framed(&reply)
}

/// The UUID of a page's object: `metadata` is its second field, `id_as_bytes` there the twentieth.
pub(super) fn uuid_of(result: &Field) -> Option<Bytes> {
    let metadata = fields(&result.body).into_iter().find(|field| field.number == 2)?;
    fields(&metadata.body).into_iter().find(|field| field.number == 20).map(|id| id.body)
}
