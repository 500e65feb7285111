//! What the server answers, read by a library that clients use: whatever we mean by a reply, both
//! versions of the protocol say it so that others understand the same.

use bytes::Bytes;
use proptest::prelude::*;
use redis_protocol::resp2::types::OwnedFrame as Frame2;
use redis_protocol::resp3::types::OwnedFrame as Frame3;
use redis_protocol::{resp2, resp3};
use server::resp::{Protocol, Reply};

/// A reply as both sides understand it.
#[derive(Clone, PartialEq, PartialOrd, Debug)]
enum Meaning {
    Null,
    Status(String),
    Error(String),
    Integer(i64),
    Double(f64),
    Boolean(bool),
    Bytes(Vec<u8>),
    Verbatim(Vec<u8>),
    Array(Vec<Self>),
    /// Sorted, since order does not count.
    Set(Vec<Self>),
    /// Sorted, since order does not count.
    Map(Vec<(Self, Self)>),
}

fn sorted<T: PartialOrd>(mut items: Vec<T>) -> Vec<T> {
    items.sort_by(|a, b| a.partial_cmp(b).expect("no reply here is a NaN"));
    items
}

/// What a reply means in version 3.
fn meaning(reply: &Reply) -> Meaning {
    let all = |items: &[Reply]| items.iter().map(meaning).collect();
    match reply {
        Reply::Status(text) => Meaning::Status(text.to_string()),
        Reply::Error(text) => Meaning::Error(text.to_string()),
        Reply::Integer(number) => Meaning::Integer(*number),
        Reply::Bulk(bytes) => Meaning::Bytes(bytes.to_vec()),
        Reply::Null | Reply::NullArray => Meaning::Null,
        Reply::Array(items) => Meaning::Array(all(items)),
        Reply::Set(items) => Meaning::Set(sorted(all(items))),
        Reply::Map(pairs) => {
            Meaning::Map(sorted(pairs.iter().map(|(k, v)| (meaning(k), meaning(v))).collect()))
        }
        Reply::Pairs(pairs) => {
            let pair = |(one, two): &(_, _)| Meaning::Array(vec![meaning(one), meaning(two)]);
            Meaning::Array(pairs.iter().map(pair).collect())
        }
        Reply::Double(number) => Meaning::Double(*number),
        Reply::Boolean(value) => Meaning::Boolean(*value),
        Reply::Verbatim(bytes) => Meaning::Verbatim(bytes.to_vec()),
        Reply::Encoded(_) => unreachable!("none is drawn"),
    }
}

/// The nearest that version 2 has.
fn in_version_2(reply: &Reply) -> Meaning {
    let all = |items: &[Reply]| Meaning::Array(items.iter().map(in_version_2).collect());
    match reply {
        Reply::Array(items) | Reply::Set(items) => all(items),
        Reply::Map(pairs) | Reply::Pairs(pairs) => {
            let flat = pairs.iter().flat_map(|(k, v)| [in_version_2(k), in_version_2(v)]);
            Meaning::Array(flat.collect())
        }
        Reply::Double(number) => Meaning::Bytes(number.to_string().into_bytes()),
        Reply::Boolean(value) => Meaning::Integer(i64::from(*value)),
        Reply::Verbatim(bytes) => Meaning::Bytes(bytes.to_vec()),
        Reply::Status(_)
        | Reply::Error(_)
        | Reply::Integer(_)
        | Reply::Bulk(_)
        | Reply::Null
        | Reply::NullArray
        | Reply::Encoded(_) => meaning(reply),
    }
}

fn read_2(frame: Frame2) -> Meaning {
    match frame {
        Frame2::SimpleString(text) => Meaning::Status(utf8(text)),
        Frame2::Error(text) => Meaning::Error(text),
        Frame2::Integer(number) => Meaning::Integer(number),
        Frame2::BulkString(bytes) => Meaning::Bytes(bytes),
        Frame2::Array(items) => Meaning::Array(items.into_iter().map(read_2).collect()),
        Frame2::Null => Meaning::Null,
    }
}

fn read_3(frame: Frame3) -> Meaning {
    let all = |items: Vec<Frame3>| items.into_iter().map(read_3).collect();
    match frame {
        Frame3::SimpleString { data, .. } => Meaning::Status(utf8(data)),
        Frame3::SimpleError { data, .. } => Meaning::Error(data),
        Frame3::Number { data, .. } => Meaning::Integer(data),
        Frame3::BlobString { data, .. } => Meaning::Bytes(data),
        Frame3::Null => Meaning::Null,
        Frame3::Double { data, .. } => Meaning::Double(data),
        Frame3::Boolean { data, .. } => Meaning::Boolean(data),
        Frame3::VerbatimString { data, .. } => Meaning::Verbatim(data),
        Frame3::Array { data, .. } => Meaning::Array(all(data)),
        Frame3::Set { data, .. } => Meaning::Set(sorted(all(data.into_iter().collect()))),
        Frame3::Map { data, .. } => {
            let pairs = data.into_iter().map(|(key, value)| (read_3(key), read_3(value)));
            Meaning::Map(sorted(pairs.collect()))
        }
        other @ (Frame3::BlobError { .. }
        | Frame3::BigNumber { .. }
        | Frame3::Push { .. }
        | Frame3::Hello { .. }
        | Frame3::ChunkedString(_)) => panic!("we never send {other:?}"),
    }
}

fn utf8(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("a status is text")
}

fn leaf() -> impl Strategy<Value = Reply> {
    prop_oneof![
        "[A-Za-z ]{0,12}".prop_map(|text| Reply::Status(text.into())),
        "[A-Z]{1,8} [a-z']{0,20}".prop_map(Reply::error),
        any::<i64>().prop_map(Reply::Integer),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Reply::Bulk(bytes.into())),
        Just(Reply::Null),
        Just(Reply::NullArray),
        (-1e9..1e9).prop_map(Reply::Double),
        any::<bool>().prop_map(Reply::Boolean),
        "[ -~]{0,20}".prop_map(|text| Reply::Verbatim(Bytes::from(text))),
    ]
}

/// What stands in sets and before values of maps: none twice.
fn distinct(count: usize) -> impl Strategy<Value = Vec<Reply>> {
    prop::collection::btree_set(any::<i32>(), 0..count)
        .prop_map(|numbers| numbers.into_iter().map(|n| Reply::Integer(n.into())).collect())
}

fn reply() -> impl Strategy<Value = Reply> {
    leaf().prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Reply::Array),
            distinct(5).prop_map(Reply::Set),
            prop::collection::vec((inner.clone(), inner.clone()), 0..4).prop_map(Reply::Pairs),
            (distinct(5), prop::collection::vec(inner, 5))
                .prop_map(|(keys, values)| Reply::Map(keys.into_iter().zip(values).collect())),
        ]
    })
}

proptest! {
    #[test]
    fn version_2_is_read_as_it_was_meant(reply in reply()) {
        let bytes = reply.to_bytes(Protocol::Resp2);
        let (frame, len) = resp2::decode::decode(&bytes).unwrap().expect("a whole reply");
        prop_assert_eq!(len, bytes.len());
        prop_assert_eq!(read_2(frame), in_version_2(&reply));
    }

    #[test]
    fn version_3_is_read_as_it_was_meant(reply in reply()) {
        let bytes = reply.to_bytes(Protocol::Resp3);
        let (frame, len) = resp3::decode::complete::decode(&bytes).unwrap().expect("a whole reply");
        prop_assert_eq!(len, bytes.len());
        prop_assert_eq!(read_3(frame), meaning(&reply));
    }
}
