//! What commands do, told through their replies.

use bytes::Bytes;

use super::*;
use crate::command::{Work, find};
use crate::data::scan::{Cursor, Filter, Kinds, Scan};
use crate::data::strings::{self, StringRead};
use crate::resp::{Args, Protocol, Request};

/// A keyspace of all slots with a clock of its own.
struct Bench {
    keyspace: Keyspace,
    now: u64,
    index: LogIndex,
}

impl Bench {
    fn new() -> Self {
        Self { keyspace: Keyspace::new(0..16_384), now: 1_000_000, index: LogIndex::ZERO }
    }

    /// Runs one command line and tells its reply, as version 2 writes it, without line ends.
    fn run(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        let request = Request::of(&words);
        let args = request.args();
        let reply = self.reply(args).unwrap_or_else(Reply::from);
        let bytes = reply.to_bytes(Protocol::Resp2);
        String::from_utf8(bytes.to_vec()).unwrap().trim_end().replace("\r\n", " ")
    }

    fn reply(&mut self, args: Args<'_>) -> Result<Reply, CommandError> {
        Ok(match find(args)?.work {
            Work::Write(parse) => {
                let write = parse(args)?;
                self.index = self.index.next();
                self.keyspace.advance(self.index, UnixMillis(self.now));
                let reply = self.keyspace.write(&write);
                self.keyspace.assert_invariants();
                reply
            }
            Work::Read(parse) => {
                self.keyspace.read(&parse(args)?, UnixMillis(self.now), Dice::new(self.now))
            }
            Work::Survey(_) | Work::Talk(_) | Work::Transaction(_) | Work::Subcommand => {
                panic!("no command on keys")
            }
        })
    }

    /// Runs lines of the form `command => reply`; `wait MS` moves the clock.
    fn story(&mut self, story: &str) {
        for line in story.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if let Some(millis) = line.strip_prefix("wait ") {
                self.now += millis.parse::<u64>().unwrap();
                continue;
            }
            let (command, expected) = line.split_once(" => ").unwrap();
            assert_eq!(self.run(command), expected, "{line}");
        }
    }
}

impl Keyspace {
    fn assert_invariants(&self) {
        let entries = || self.entries.values().flat_map(Chain::entries);
        assert_eq!(self.len, entries().count());
        assert_eq!(self.counts.iter().sum::<u32>() as usize, self.len);
        let mut deadlines = BTreeSet::new();
        for (place, chain) in &self.entries {
            for entry in chain.entries() {
                assert_eq!(self.place(&entry.key), *place);
                deadlines.extend(entry.deadline.map(|deadline| (deadline, *place)));
            }
        }
        assert_eq!(self.deadlines, deadlines);
    }

    /// All keys go to one of two places per slot.
    fn colliding() -> Self {
        Self { hash: |key| key.len() as u64 % 2, ..Self::new(0..16_384) }
    }
}

#[test]
fn set_stores_and_get_finds() {
    Bench::new().story(
        "GET k => $-1
        SET k v => +OK
        GET k => $1 v
        STRLEN k => :1
        STRLEN none => :0
        TYPE k => +string
        TYPE none => +none
        EXISTS k k none => :2
        GETSET k w => $1 v
        GETDEL k => $1 w
        GETDEL k => $-1
        DEL k => :0
        MSET a 1 b 2 a 3 => +OK
        MGET a b c => *3 $1 3 $1 2 $-1
        DEL a b c a => :2
        MSET a 1 b => -ERR wrong number of arguments for 'mset' command",
    );
}

#[test]
fn set_heeds_its_conditions() {
    Bench::new().story(
        "SET k v XX => $-1
        SET k v NX => +OK
        SET k w NX => $-1
        SET k w NX GET => $1 v
        SET k w XX GET => $1 v
        SET none w XX GET => $-1
        EXISTS none => :0
        SET fresh 1 NX GET => $-1
        GET fresh => $1 1
        GET k => $1 w
        SETNX k x => :0
        SETNX other x => :1",
    );
}

#[test]
fn a_key_is_gone_at_its_deadline() {
    Bench::new().story(
        "SET k v PX 10 => +OK
        PTTL k => :10
        wait 9
        PTTL k => :1
        TTL k => :0
        GET k => $1 v
        wait 1
        GET k => $-1
        PTTL k => :-2
        SET k w NX => +OK
        TTL k => :-1
        DEL k => :1",
    );
}

#[test]
fn set_replaces_or_keeps_a_time_to_live() {
    Bench::new().story(
        "SETEX k 10 v => +OK
        TTL k => :10
        SET k w KEEPTTL => +OK
        TTL k => :10
        INCR n => :1
        SET k x => +OK
        TTL k => :-1
        PSETEX k 1500 v => +OK
        TTL k => :2
        GETSET k w => $1 v
        TTL k => :-1
        SET k v EXAT 1010 => +OK
        EXPIRETIME k => :1010
        PEXPIRETIME k => :1010000
        SET k v PXAT 1 => +OK
        GET k => $-1
        SETEX k 0 v => -ERR invalid expire time in 'setex' command
        SET k v EX 9223372036854775 => -ERR invalid expire time in 'set' command
        PSETEX k 9223372036854775807 v => -ERR invalid expire time in 'psetex' command",
    );
}

#[test]
fn expire_heeds_its_conditions() {
    Bench::new().story(
        "EXPIRE k 10 => :0
        SET k v => +OK
        EXPIRE k 10 XX => :0
        EXPIRE k 10 GT => :0
        EXPIRE k 10 LT => :1
        EXPIRE k 10 NX => :0
        EXPIRE k 20 LT => :0
        EXPIRE k 20 GT => :1
        EXPIRE k 5 GT => :0
        EXPIRE k 30 XX GT => :1
        PTTL k => :30000
        PERSIST k => :1
        PERSIST k => :0
        TTL k => :-1
        PEXPIREAT k 1000001 => :1
        PEXPIRETIME k => :1000001
        EXPIREAT k 1 => :1
        EXISTS k => :0
        SET k v => +OK
        EXPIRE k -1 => :1
        EXISTS k => :0
        EXPIRE k x => -ERR value is not an integer or out of range
        EXPIRE k 1 FOO => -ERR Unsupported option FOO
        EXPIRE k 1 NX LT => -ERR NX and XX, GT or LT options at the same time are not compatible
        EXPIRE k 1 GT LT => -ERR GT and LT options at the same time are not compatible
        EXPIRE k 9223372036854775807 => -ERR invalid expire time in 'expire' command
        PEXPIRE k 9223372036854775807 => -ERR invalid expire time in 'pexpire' command",
    );
}

#[test]
fn counters_stay_within_their_range() {
    Bench::new().story(
        "INCR n => :1
        INCRBY n 41 => :42
        DECR n => :41
        DECRBY n 50 => :-9
        SET n 9223372036854775807 => +OK
        INCR n => -ERR increment or decrement would overflow
        GET n => $19 9223372036854775807
        DECRBY n -9223372036854775808 => -ERR decrement would overflow
        INCRBY n 1.5 => -ERR value is not an integer or out of range
        SET n 012 => +OK
        INCR n => -ERR value is not an integer or out of range
        SET n 5 PX 100 => +OK
        INCR n => :6
        PTTL n => :100",
    );
}

#[test]
fn fractions_are_added_as_redis_adds_them() {
    Bench::new().story(
        "INCRBYFLOAT n 1.5 => $3 1.5
        INCRBYFLOAT n 0.1 => $3 1.6
        INCRBYFLOAT n -1.6 => $1 0
        INCRBYFLOAT n 5e+3 => $4 5000
        INCRBYFLOAT n 0x.8 => $6 5000.5
        INCRBYFLOAT n 1e-19 => $6 5000.5
        INCRBYFLOAT n inf => -ERR increment would produce NaN or Infinity
        INCRBYFLOAT n nan => -ERR value is not a valid float
        INCRBYFLOAT n 1x => -ERR value is not a valid float
        GET n => $6 5000.5
        SET n 1 PX 100 => +OK
        INCRBYFLOAT n .5 => $3 1.5
        PTTL n => :100
        SET s x => +OK
        INCRBYFLOAT s 1 => -ERR value is not a valid float
        HSET h f x => :1
        INCRBYFLOAT h x => -WRONGTYPE Operation against a key holding the wrong kind of value
        HINCRBYFLOAT h new 10.5 => $4 10.5
        HINCRBYFLOAT h new 0.1 => $4 10.6
        HINCRBYFLOAT h f 1 => -ERR hash value is not a float
        HINCRBYFLOAT h new x => -ERR value is not a valid float
        HINCRBYFLOAT h new inf => -ERR value is NaN or Infinity
        HSET h inf inf => :1
        HINCRBYFLOAT h inf 1 => -ERR increment would produce NaN or Infinity
        HINCRBYFLOAT s f x => -ERR value is not a valid float
        HINCRBYFLOAT s f 1 => -WRONGTYPE Operation against a key holding the wrong kind of value
        HGET h new => $4 10.6",
    );
}

#[test]
fn parts_of_strings_are_read_and_written() {
    Bench::new().story(
        "APPEND k hello => :5
        APPEND k _you => :9
        GETRANGE k 0 4 => $5 hello
        GETRANGE k -3 -1 => $3 you
        SUBSTR k 5 100 => $4 _you
        GETRANGE k 7 3 => $0
        GETRANGE k -1 -3 => $0
        GETRANGE none 0 -1 => $0
        SETRANGE k 6 me => :9
        GET k => $9 hello_meu
        SETRANGE k -1 x => -ERR offset is out of range
        SETRANGE k 524288 x => -ERR string exceeds maximum allowed size (proto-max-bulk-len)
        SETEX t 10 a => +OK
        APPEND t b => :2
        SETRANGE t 1 c => :2
        PTTL t => :10000
        GETEX t PERSIST => $2 ac
        TTL t => :-1
        GETEX t EX 5 => $2 ac
        PTTL t => :5000
        GETEX t => $2 ac
        PTTL t => :5000
        GETEX t EX 0 => -ERR invalid expire time in 'getex' command
        GETEX none EX 0 => $-1
        GETEX t PERSIST EX 1 => -ERR syntax error
        GETEX t PXAT 1 => $2 ac
        EXISTS t => :0
        MSETNX a 1 b 2 => :1
        MSETNX b 3 c 4 => :0
        MGET a b c => *3 $1 1 $1 2 $-1",
    );
}

#[test]
fn bits_are_counted_from_the_highest_of_the_first_byte() {
    Bench::new().story(
        "SETBIT k 7 1 => :0
        SETBIT k 7 1 => :1
        SETBIT k 17 1 => :0
        STRLEN k => :3
        GETBIT k 7 => :1
        GETBIT k 8 => :0
        GETBIT k 4000 => :0
        BITCOUNT k => :2
        BITCOUNT k 0 0 => :1
        BITCOUNT k 8 -1 BIT => :1
        BITCOUNT k 5 => -ERR syntax error
        BITCOUNT none x => :0
        BITPOS k 1 => :7
        BITPOS k 1 1 => :17
        BITPOS k 1 1 1 => :-1
        BITPOS k 0 => :0
        BITPOS none 0 => :0
        BITPOS none 1 => :-1
        BITPOS k 2 => -ERR The bit argument must be 1 or 0.
        BITPOS k 1 8 17 BIT => :17
        BITPOS k 1 -5 -12 => :7
        BITPOS k 1 -5 -12 BIT => :-1
        BITCOUNT k -5 -12 => :0
        SETBIT k 4194304 1 => -ERR bit offset is not an integer or out of range
        SETBIT k 1 2 => -ERR bit is not an integer or out of range
        SET a abc => +OK
        SET b ab => +OK
        BITOP AND to a b none => :3
        BITOP XOR to a b => :3
        GETRANGE to 2 2 => $1 c
        BITOP OR to none1 none2 => :0
        EXISTS to => :0
        BITOP NOT to a b => -ERR BITOP NOT must be called with a single source key.
        SET ones 11 => +OK
        BITOP NOT to ones => :2
        BITOP NOT to to => :2
        GET to => $2 11",
    );
}

#[test]
fn keys_are_renamed_and_copied_with_their_time_to_live() {
    Bench::new().story(
        "RENAME none a => -ERR no such key
        SETEX a 10 1 => +OK
        SET b 2 => +OK
        RENAME a b => +OK
        GET b => $1 1
        PTTL b => :10000
        EXISTS a => :0
        RENAME b b => +OK
        RENAMENX b b => :0
        SET a 3 => +OK
        RENAMENX b a => :0
        COPY b a => :0
        COPY b a REPLACE => :1
        PTTL a => :10000
        COPY none a REPLACE => :0
        GET a => $1 1
        COPY a a => -ERR source and destination objects are the same
        COPY a b DB 1 => -ERR Copying to another database is not allowed in cluster mode
        COPY a b DB 16 => -ERR DB index is out of range
        COPY a b FOO => -ERR syntax error
        OBJECT ENCODING a => $3 int
        OBJECT ENCODING none => $-1
        OBJECT REFCOUNT a => :1
        HSET h f v => :1
        OBJECT ENCODING h => $8 listpack",
    );
}

#[test]
fn hashes_hold_fields_in_their_order() {
    Bench::new().story(
        "HSET h b 1 a 2 b 3 => :2
        HGETALL h => *4 $1 b $1 3 $1 a $1 2
        HMSET h c 4 => +OK
        HDEL h b none => :1
        HKEYS h => *2 $1 a $1 c
        HVALS h => *2 $1 2 $1 4
        HLEN h => :2
        HSETNX h a 9 => :0
        HSETNX h d 9 => :1
        HGET h d => $1 9
        HGET h none => $-1
        HMGET h a none c => *3 $1 2 $-1 $1 4
        HEXISTS h a => :1
        HSTRLEN h a => :1
        HSTRLEN none a => :0
        HINCRBY h a 40 => :42
        HINCRBY h new -1 => :-1
        HINCRBY h a 9223372036854775807 => -ERR increment or decrement would overflow
        HSET h text x => :1
        HINCRBY h text 1 => -ERR hash value is not an integer
        HSET h a => -ERR wrong number of arguments for 'hset' command
        TYPE h => +hash
        HDEL h a c d new text => :5
        EXISTS h => :0
        HGETALL h => *0",
    );
}

#[test]
fn a_command_for_another_kind_of_value_changes_nothing() {
    let mut bench = Bench::new();
    bench.story("SET s v => +OK\nHSET h f v => :1");
    let before = bench.keyspace.digest();
    let of_strings = ["GET", "STRLEN", "INCR", "GETDEL", "GETEX", "BITCOUNT"];
    let of_hashes = ["HGETALL", "HLEN", "HKEYS", "HVALS"];
    let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    for (commands, key) in [(&of_strings[..], "h"), (&of_hashes[..], "s")] {
        for command in commands {
            assert_eq!(bench.run(&format!("{command} {key}")), wrong, "{command}");
        }
    }
    for line in [
        "GETSET h v",
        "SET h v GET",
        "APPEND h v",
        "SETRANGE h 0 v",
        "GETRANGE h 0 1",
        "SETBIT h 0 1",
        "GETBIT h 0",
        "BITPOS h 1",
        "BITOP NOT to h",
        "HSET s f v",
        "HSETNX s f v",
        "HDEL s f",
        "HINCRBY s f 1",
        "HGET s f",
        "HMGET s f",
        "HEXISTS s f",
        "HSTRLEN s f",
    ] {
        assert_eq!(bench.run(line), wrong, "{line}");
    }
    assert_eq!(bench.keyspace.digest(), before);
    // MGET finds nothing, and SET replaces whatever there is.
    bench.story("MGET h s => *2 $-1 $1 v\nSET h v => +OK\nGET h => $1 v");
}

#[test]
fn the_group_time_never_falls() {
    let mut bench = Bench::new();
    bench.story("SET k v PX 10 => +OK\nwait 10\nSET other v => +OK");
    bench.now -= 10;
    // A leader whose clock is behind does not bring the key back, nor does a read by that clock.
    bench.story("GET k => $-1\nSET k w NX => +OK\nEXPIRETIME k => :-1");
    assert_eq!(bench.keyspace.time(), UnixMillis(1_000_010));
}

#[test]
fn writes_clear_away_what_has_expired() {
    let mut bench = Bench::new();
    for n in 0..20 {
        bench.run(&format!("SET k{n} v PX {}", 10 + n));
    }
    bench.now += 1000;
    assert_eq!(bench.keyspace.len, 20);
    assert_eq!(bench.keyspace.len(UnixMillis(bench.now)), 0);
    assert_eq!(bench.keyspace.expiring(UnixMillis(bench.now)), 0);
    bench.run("DEL none");
    assert_eq!(bench.keyspace.len, 20 - REAPED_PER_WRITE_MAX);
    bench.run("DEL none");
    bench.run("DEL none");
    assert_eq!(bench.keyspace.len, 0);
}

#[test]
fn slots_are_counted_and_listed() {
    let mut bench = Bench::new();
    bench.story("MSET {a}1 x {a}2 y => +OK\nSET {a}3 z PX 10 => +OK\nSET b x => +OK");
    let slot = hash_slot(b"a");
    let now = UnixMillis(bench.now);
    assert_eq!(bench.keyspace.len_of_slot(slot, now), 3);
    assert_eq!(bench.keyspace.len_of_slot(slot, UnixMillis(bench.now + 10)), 2);
    let mut keys = bench.keyspace.keys_of_slot(slot, 10, now);
    keys.sort();
    assert_eq!(keys, ["{a}1", "{a}2", "{a}3"]);
    assert_eq!(bench.keyspace.keys_of_slot(slot, 2, now).len(), 2);
}

#[test]
fn keys_of_another_group_are_refused() {
    let mut keyspace = Keyspace::new(0..1);
    let request = Request::of(&["SET", "k", "v"]);
    let reply = keyspace.write(&strings::set(request.args()).unwrap());
    let slot = hash_slot(b"k");
    assert_eq!(reply, Reply::from(CommandError::ForeignSlot { slot }));
    let request = Request::of(&["INCR", "k"]);
    assert!(keyspace.write(&strings::incr(request.args()).unwrap()).is_error());
    let request = Request::of(&["MSET", "k", "v"]);
    assert!(keyspace.write(&strings::mset(request.args()).unwrap()).is_error());
    assert_eq!(keyspace.len_of_slot(slot, UnixMillis(0)), 0);
    keyspace.assert_invariants();
}

fn scan_all(keyspace: &Keyspace, options: &str, mut between: impl FnMut()) -> Vec<Bytes> {
    let mut cursor = Cursor::START;
    let mut keys = Vec::new();
    loop {
        let line = format!("SCAN {} {options}", cursor.number());
        let words: Vec<&str> = line.split_whitespace().collect();
        let request = Request::of(&words);
        let page = keyspace.scan(&Scan::parse(request.args()).unwrap(), UnixMillis(0));
        keys.extend(page.keys);
        match page.next {
            None => return keys,
            Some(next) => cursor = next,
        }
        between();
    }
}

#[test]
fn a_scan_gives_what_matches() {
    let mut bench = Bench::new();
    for n in 0..100 {
        bench.run(&format!("SET k{n} v"));
    }
    assert_eq!(scan_all(&bench.keyspace, "", || ()).len(), 100);
    assert_eq!(scan_all(&bench.keyspace, "MATCH k1?", || ()).len(), 10);
    assert_eq!(scan_all(&bench.keyspace, "COUNT 1000 TYPE string", || ()).len(), 100);
    assert_eq!(scan_all(&bench.keyspace, "TYPE list", || ()).len(), 0);
    let mut calls = 1;
    scan_all(&bench.keyspace, "COUNT 7", || calls += 1);
    assert_eq!(calls, 15);
}

#[test]
fn scan_options_are_checked() {
    let parse = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        Scan::parse(Request::of(&words).args()).map(|_| ())
    };
    assert_eq!(parse("SCAN x"), Err(CommandError::InvalidCursor));
    assert_eq!(parse("SCAN 18446744073709551615"), Ok(()));
    assert_eq!(parse("SCAN -1"), Ok(()));
    assert_eq!(parse("SCAN 0 COUNT 0"), Err(CommandError::Syntax));
    assert_eq!(parse("SCAN 0 COUNT x"), Err(CommandError::NotInteger));
    assert_eq!(parse("SCAN 0 COUNT"), Err(CommandError::Syntax));
    assert_eq!(parse("SCAN 0 FOO 1"), Err(CommandError::Syntax));
}

#[test]
fn a_sweep_clears_away_more_than_a_write() {
    let mut bench = Bench::new();
    for n in 0..3_000 {
        bench.run(&format!("SET k{n} v PX 10"));
    }
    bench.now += 10;
    let index = bench.index.next();
    assert!(bench.keyspace.is_due(UnixMillis(bench.now)));
    bench.keyspace.sweep(index, UnixMillis(bench.now));
    bench.keyspace.assert_invariants();
    assert_eq!(bench.keyspace.len, 3_000 - REAPED_PER_WRITE_MAX - REAPED_PER_SWEEP_MAX);
    bench.keyspace.sweep(index, UnixMillis(bench.now));
    assert_eq!(bench.keyspace.len, 0);
    assert!(!bench.keyspace.is_due(UnixMillis(bench.now)));
}

#[path = "keyspace_properties.rs"]
mod properties;
