//! What clients and operators write.

use bytes::{Bytes, BytesMut};
use server::config::Config;
use server::data::entry::{Content, Scratch};
use server::data::watched::Watched;
use server::data::{UnixMillis, entry};
use server::resp::{Parser, Protocol, ProtocolError, Request, RequestLimits, decode};
use types::LogIndex;

use super::{Target, is_read};

pub(super) const CONFIG_FILE: Target = Target {
    name: "config-file",
    run: config_file,
    seeds: config_file_seeds,
    memory_max: Some(config_file_memory),
};
pub(super) const LOG_ENTRY: Target = Target {
    name: "log-entry",
    run: log_entry,
    seeds: log_entry_seeds,
    memory_max: Some(log_entry_memory),
};
pub(super) const REPLY: Target =
    Target { name: "reply", run: reply, seeds: reply_seeds, memory_max: Some(reply_memory) };
pub(super) const REQUEST: Target = Target {
    name: "request",
    run: request,
    seeds: request_seeds,
    memory_max: Some(request_memory),
};

const LIMITS: RequestLimits = RequestLimits {
    args_max: 64,
    arg_bytes_max: 1024,
    line_bytes_max: 256,
    request_bytes_max: 4096,
};

fn config_file_memory(bytes: usize) -> usize {
    // The tree of a TOML document, its error with the line quoted, and a checked configuration of
    // up to 16,384 groups.
    100 * bytes + (4 << 20)
}

fn config_file(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| is_read(Config::parse(text)))
}

fn config_file_seeds() -> Vec<Vec<u8>> {
    vec![include_bytes!("../../../crates/server/node.example.toml").to_vec()]
}

fn log_entry_memory(bytes: usize) -> usize {
    // 4 bytes make an argument, which is a span of 16, and 8 a command; the same is then written.
    24 * bytes + 1024
}

fn log_entry(bytes: &[u8]) -> bool {
    let mut scratch = Scratch::default();
    is_read(entry::decode(bytes, &mut scratch).map(|(stamp, content)| {
        let written = match content {
            Content::Command(args) => entry::encode(stamp, args),
            Content::Transaction(it) => {
                let commands: Vec<_> = it.commands().collect();
                let commands = commands.into_iter();
                entry::encode_transaction(stamp, it.protocol, &it.watched, commands)
            }
            Content::Sweep => entry::encode_sweep(stamp),
        };
        assert_eq!(written, bytes, "what is read is what is written");
    }))
}

fn log_entry_seeds() -> Vec<Vec<u8>> {
    let mut input = BytesMut::from(&b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n"[..]);
    let request = Parser::new(LIMITS).next(&mut input).ok().flatten().expect("a whole request");
    let (stamp, args) = (UnixMillis(1), request.args());
    let watched = [Watched { key: b"k", since: LogIndex(7), existed: true }];
    let commands = [args, args].into_iter();
    let transaction = entry::encode_transaction(stamp, Protocol::Resp2, &watched, commands);
    let all = [entry::encode(stamp, args), transaction, entry::encode_sweep(stamp)];
    all.iter().map(|bytes| bytes.to_vec()).collect()
}

fn request_memory(bytes: usize) -> usize {
    // What all requests of an input hold, and what is copied to compare two readings.
    24 * bytes + 2 * LIMITS.request_bytes_max + 16 * 1024
}

/// The first byte says into pieces of which size the rest is cut.
fn request(bytes: &[u8]) -> bool {
    let Some((piece, bytes)) = bytes.split_first() else { return false };
    let piece = usize::from(*piece).max(1);
    let (cut, whole) = (requests(bytes, piece), requests(bytes, usize::MAX));
    assert_eq!(cut, whole, "requests read alike however they are cut");
    !cut.0.is_empty()
}

type Requests = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>);

/// The arguments of each request, and what was wrong behind the last one.
fn requests(bytes: &[u8], piece: usize) -> Requests {
    let mut parser = Parser::new(LIMITS);
    let mut input = BytesMut::new();
    let mut requests = Vec::new();
    for piece in bytes.chunks(piece.min(bytes.len().max(1))) {
        input.extend_from_slice(piece);
        loop {
            match parser.next(&mut input) {
                Ok(Some(request)) => requests.push(arguments(&request)),
                Ok(None) => break,
                Err(error) => return (requests, Some(error)),
            }
        }
    }
    (requests, None)
}

fn arguments(request: &Request) -> Vec<Vec<u8>> {
    request.args().from(0).map(<[u8]>::to_vec).collect()
}

fn request_seeds() -> Vec<Vec<u8>> {
    [
        &b"\x03*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$4\r\nPING\r\n"[..],
        b"\x02SET k \"a b\\n\" 'c'\r\n\r\nPING\n",
        b"\xff*0\r\n*-1\r\n*3\r\n$3\r\nSET\r\n$0\r\n\r\n$2\r\n\r\n\r\n",
    ]
    .map(<[u8]>::to_vec)
    .to_vec()
}

fn reply_memory(bytes: usize) -> usize {
    // One byte of a line may stand for an answer in memory; and twice for the two encodings.
    64 * bytes + 1024
}

fn reply(bytes: &[u8]) -> bool {
    let read = decode(&Bytes::copy_from_slice(bytes));
    let Some((reply, len)) =
        read.inspect_err(|error| assert!(!error.to_string().is_empty())).ok().flatten()
    else {
        return false;
    };
    assert!(len <= bytes.len() && len > 0);
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let written = reply.to_bytes(protocol);
        let again = decode(&written).expect("what we write, we read");
        let (_, all) = again.expect("and it is whole");
        assert_eq!(all, written.len());
    }
    true
}

fn reply_seeds() -> Vec<Vec<u8>> {
    [
        &b"+OK\r\n"[..],
        b"-ERR no\r\n",
        b"*3\r\n:1\r\n$-1\r\n$5\r\nhello\r\n",
        b"%1\r\n+a\r\n~2\r\n#t\r\n,1.5\r\n",
        b"=7\r\ntxt:abc\r\n",
        b"_\r\n",
    ]
    .map(<[u8]>::to_vec)
    .to_vec()
}
