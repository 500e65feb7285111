//! The layout is for ever, and nothing else passes for it.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::resp::Request;

/// What a transaction says, in memory of its own.
type Said = (Protocol, Vec<(Vec<u8>, u64, bool)>, Vec<Vec<Vec<u8>>>);

fn encoded((protocol, watched, commands): &Said) -> Bytes {
    let watched: Vec<Watched<'_>> = watched
        .iter()
        .map(|(key, since, existed)| Watched { key, since: LogIndex(*since), existed: *existed })
        .collect();
    let requests: Vec<Request> = commands.iter().map(|words| Request::of(words)).collect();
    let commands = requests.iter().map(Request::args);
    encode_transaction(UnixMillis(7), *protocol, &watched, commands)
}

#[test]
fn the_layouts_never_change() {
    let command = encode(UnixMillis(0x0102), Request::of(&["GET", "k"]).args());
    let expected = b"\x01\x02\x01\0\0\0\0\0\0\x02\0\0\0\x03\0\0\0GET\x01\0\0\0k";
    assert_eq!(&command[..], expected);

    let set = Request::of(&["SET", "k", "v"]);
    let ping = Request::of(&["GET", "k"]);
    let watched = [
        Watched { key: b"k", since: LogIndex(0x0304), existed: true },
        Watched { key: b"", since: LogIndex(5), existed: false },
    ];
    let commands = [set.args(), ping.args()].into_iter();
    let stamp = UnixMillis(0x0102);
    let transaction = encode_transaction(stamp, Protocol::Resp3, &watched, commands);
    let expected = b"\x02\x02\x01\0\0\0\0\0\0\x03\
        \x02\0\0\0\x04\x03\0\0\0\0\0\0\x01\x01\0\0\0k\x05\0\0\0\0\0\0\0\0\0\0\0\0\
        \x02\0\0\0\x03\0\0\0\x03\0\0\0SET\x01\0\0\0k\x01\0\0\0v\
        \x02\0\0\0\x03\0\0\0GET\x01\0\0\0k";
    assert_eq!(&transaction[..], expected);

    assert_eq!(&encode_sweep(stamp)[..], b"\x03\x02\x01\0\0\0\0\0\0");
}

#[test]
fn commands_that_are_laid_out_together_share_the_memory_foretold() {
    let requests = [Request::of(&["SET", "key", "value"]), Request::of(&["DEL", "key"])];
    let len: usize = requests.iter().map(|request| command_len(request.args())).sum();
    let mut memory = BytesMut::with_capacity(len);
    let mut at = memory.as_ptr();
    for request in &requests {
        let payload = encode_into(&mut memory, UnixMillis(1), request.args());
        assert_eq!((payload.as_ptr(), &payload), (at, &encode(UnixMillis(1), request.args())));
        at = payload.as_ptr_range().end;
    }
}

#[test]
fn lengths_are_as_foretold() {
    let request = Request::of(&["SET", "key", "value"]);
    let command = encode(UnixMillis(1), request.args());
    assert_eq!(command.len(), HEADER_BYTES + arguments_len(request.args()));
    let said = |watched: &[&str]| {
        let watched = watched.iter().map(|key| (key.as_bytes().to_vec(), 1, true)).collect();
        encoded(&(Protocol::Resp2, watched, Vec::new())).len()
    };
    assert_eq!(said(&["key"]) - said(&[]), watched_len(b"key"));
}

#[test]
fn bytes_that_choose_nothing_are_refused() {
    let said = (Protocol::Resp2, vec![(b"k".to_vec(), 1, true)], Vec::new());
    let mut bytes = encoded(&said).to_vec();
    let mut scratch = Scratch::default();
    bytes[22] = 2;
    let error = decode(&bytes, &mut scratch).map(|_| ()).unwrap_err();
    assert_eq!(error, EntryError::Choice { what: "whether a key existed", found: 2 });
    bytes[9] = 4;
    let error = decode(&bytes, &mut scratch).map(|_| ()).unwrap_err();
    assert_eq!(error, EntryError::Choice { what: "the version of the protocol", found: 4 });
}

fn words() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(vec(any::<u8>(), 0..9), 1..5)
}

fn said() -> impl Strategy<Value = Said> {
    let protocol = prop_oneof![Just(Protocol::Resp2), Just(Protocol::Resp3)];
    let watched = vec((vec(any::<u8>(), 0..9), any::<u64>(), any::<bool>()), 0..4);
    (protocol, watched, vec(words(), 0..4))
}

proptest! {
    #[test]
    fn commands_read_back(stamp: u64, args in words()) {
        let request = Request::of(&args);
        let bytes = encode(UnixMillis(stamp), request.args());
        let mut scratch = Scratch::default();
        let (read_stamp, content) = decode(&bytes, &mut scratch).unwrap();
        prop_assert_eq!(read_stamp, UnixMillis(stamp));
        let Content::Command(read) = content else { panic!("{content:?}") };
        let read: Vec<Vec<u8>> = read.from(0).map(<[u8]>::to_vec).collect();
        prop_assert_eq!(read, args);
    }

    #[test]
    fn transactions_read_back(said in said()) {
        let bytes = encoded(&said);
        let mut scratch = Scratch::default();
        let Content::Transaction(read) = decode(&bytes, &mut scratch).unwrap().1 else { panic!() };
        let watched = read.watched.iter().map(|it| (it.key.to_vec(), it.since.0, it.existed));
        let words = |args: Args<'_>| args.from(0).map(<[u8]>::to_vec).collect();
        let read = (read.protocol, watched.collect(), read.commands().map(words).collect());
        prop_assert_eq!(read, said);
    }

    #[test]
    fn a_cut_or_longer_payload_is_refused(args in words(), said in said(), extra in 1..9_usize) {
        let command = encode(UnixMillis(7), Request::of(&args).args());
        let mut scratch = Scratch::default();
        for whole in [command, encoded(&said), encode_sweep(UnixMillis(7))] {
            let mut bytes = whole.to_vec();
            for end in 0..bytes.len() {
                prop_assert!(decode(&bytes[..end], &mut scratch).is_err());
            }
            bytes.resize(bytes.len() + extra, 0);
            let refused = decode(&bytes, &mut scratch).map(|_| ()).unwrap_err();
            prop_assert_eq!(refused, EntryError::Trailing { extra });
        }
    }

    #[test]
    fn random_bytes_never_panic(mut bytes in vec(any::<u8>(), 1..60)) {
        for kind in 0..=4 {
            bytes[0] = kind;
            let _ = decode(&bytes, &mut Scratch::default());
        }
    }
}
