//! What commands do, told through their replies.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::data::scan::{Cursor, Scan};
use crate::data::{read, write};
use crate::resp::{Protocol, Request};

/// A keyspace of all slots with a clock of its own.
struct Bench {
    keyspace: Keyspace,
    now: u64,
}

impl Bench {
    fn new() -> Self {
        Self { keyspace: Keyspace::new(0..16_384), now: 1_000_000 }
    }

    /// Runs one command line and tells its reply, as version 2 writes it, without line ends.
    fn run(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        let request = Request::of(&words);
        let args = request.args();
        let reply = match parse(args) {
            Err(error) => Reply::from(error),
            Ok(Parsed::Write(write)) => {
                self.keyspace.advance(UnixMillis(self.now));
                let reply = self.keyspace.write(&write);
                self.keyspace.assert_invariants();
                reply
            }
            Ok(Parsed::Read(read)) => self.keyspace.read(&read, UnixMillis(self.now)),
        };
        let bytes = reply.to_bytes(Protocol::Resp2);
        String::from_utf8(bytes.to_vec()).unwrap().trim_end().replace("\r\n", " ")
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

enum Parsed<'a> {
    Write(Write<'a>),
    Read(Read<'a>),
}

fn parse(args: Args<'_>) -> Result<Parsed<'_>, CommandError> {
    Ok(match args.at(0) {
        b"SET" => Parsed::Write(write::set(args)?),
        b"SETNX" => Parsed::Write(write::setnx(args)?),
        b"SETEX" => Parsed::Write(write::setex(args)?),
        b"PSETEX" => Parsed::Write(write::psetex(args)?),
        b"GETSET" => Parsed::Write(write::getset(args)?),
        b"MSET" => Parsed::Write(write::mset(args)?),
        b"DEL" => Parsed::Write(write::delete(args)?),
        b"GETDEL" => Parsed::Write(write::getdel(args)?),
        b"INCR" => Parsed::Write(write::incr(args)?),
        b"DECR" => Parsed::Write(write::decr(args)?),
        b"INCRBY" => Parsed::Write(write::incrby(args)?),
        b"DECRBY" => Parsed::Write(write::decrby(args)?),
        b"EXPIRE" => Parsed::Write(write::expire(args)?),
        b"PEXPIRE" => Parsed::Write(write::pexpire(args)?),
        b"EXPIREAT" => Parsed::Write(write::expireat(args)?),
        b"PEXPIREAT" => Parsed::Write(write::pexpireat(args)?),
        b"PERSIST" => Parsed::Write(write::persist(args)?),
        b"GET" => Parsed::Read(read::get(args)?),
        b"MGET" => Parsed::Read(read::mget(args)?),
        b"EXISTS" => Parsed::Read(read::exists(args)?),
        b"STRLEN" => Parsed::Read(read::strlen(args)?),
        b"TYPE" => Parsed::Read(read::kind(args)?),
        b"TTL" => Parsed::Read(read::ttl(args)?),
        b"PTTL" => Parsed::Read(read::pttl(args)?),
        b"EXPIRETIME" => Parsed::Read(read::expiretime(args)?),
        b"PEXPIRETIME" => Parsed::Read(read::pexpiretime(args)?),
        name => panic!("no command {}", name.escape_ascii()),
    })
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
    let reply = keyspace.write(&write::set(request.args()).unwrap());
    let slot = hash_slot(b"k");
    assert_eq!(reply, Reply::from(CommandError::ForeignSlot { slot }));
    let request = Request::of(&["INCR", "k"]);
    assert!(keyspace.write(&write::incr(request.args()).unwrap()).is_error());
    let request = Request::of(&["MSET", "k", "v"]);
    assert!(keyspace.write(&write::mset(request.args()).unwrap()).is_error());
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
    assert_eq!(parse("SCAN 0 COUNT 0"), Err(CommandError::Syntax));
    assert_eq!(parse("SCAN 0 COUNT x"), Err(CommandError::NotInteger));
    assert_eq!(parse("SCAN 0 COUNT"), Err(CommandError::Syntax));
    assert_eq!(parse("SCAN 0 FOO 1"), Err(CommandError::Syntax));
}

/// Commands over a few keys, so that they meet.
fn commands() -> impl Strategy<Value = String> {
    let key = "(\\{x\\})?[a-f]{1,2}";
    prop_oneof![
        (key, 0..9_u8).prop_map(|(key, value)| format!("SET {key} {value}")),
        (key, 1..30_u32).prop_map(|(key, millis)| format!("SET {key} 7 PX {millis}")),
        (key, key).prop_map(|(a, b)| format!("MSET {a} 1 {b} 2")),
        (key, key).prop_map(|(a, b)| format!("DEL {a} {b}")),
        key.prop_map(|key| format!("INCR {key}")),
        (key, -5..30_i32).prop_map(|(key, millis)| format!("PEXPIRE {key} {millis}")),
        key.prop_map(|key| format!("PERSIST {key}")),
        key.prop_map(|key| format!("GETDEL {key}")),
    ]
}

proptest! {
    #[test]
    fn replicas_that_apply_the_same_are_the_same(
        commands in vec((commands(), 0..8_u64), 1..80),
        read_at in any::<prop::sample::Index>(),
    ) {
        let mut first = Bench::new();
        let mut second = Bench::new();
        let read_at = read_at.index(commands.len());
        for (at, (command, wait)) in commands.iter().enumerate() {
            first.now += wait;
            second.now = first.now;
            if at == read_at {
                // Reads, by whatever clock, leave no trace.
                second.keyspace.read(&Read::Get { key: b"a" }, UnixMillis(u64::MAX));
            }
            prop_assert_eq!(first.run(command), second.run(command));
        }
        prop_assert_eq!(first.keyspace.digest(), second.keyspace.digest());
    }

    #[test]
    fn collisions_do_not_show(commands in vec((commands(), 0..8_u64), 1..80)) {
        let mut plain = Bench::new();
        let mut colliding = Bench { keyspace: Keyspace::colliding(), ..Bench::new() };
        for (command, wait) in &commands {
            plain.now += wait;
            colliding.now = plain.now;
            prop_assert_eq!(plain.run(command), colliding.run(command));
            let now = UnixMillis(plain.now);
            prop_assert_eq!(plain.keyspace.len(now), colliding.keyspace.len(now));
            prop_assert_eq!(plain.keyspace.expiring(now), colliding.keyspace.expiring(now));
        }
        prop_assert_eq!(plain.keyspace.digest(), colliding.keyspace.digest());
    }

    #[test]
    fn a_scan_survives_writes(
        stay in prop::collection::btree_set("s[a-z]{1,3}", 1..60),
        noise in vec("n[a-z]{1,2}", 0..60),
        count in 1..9_usize,
    ) {
        let mut bench = Bench::new();
        for key in &stay {
            bench.run(&format!("SET {key} v"));
        }
        let mut found: BTreeMap<Bytes, usize> = BTreeMap::new();
        let mut noise = noise.iter();
        let mut cursor = Cursor::START;
        loop {
            let filter = crate::data::scan::Filter { pattern: Some(b"s*"), strings: true };
            let page = bench.keyspace.scan(&Scan { cursor, count, filter }, UnixMillis(0));
            for key in page.keys {
                *found.entry(key).or_default() += 1;
            }
            let Some(next) = page.next else { break };
            cursor = next;
            for key in noise.by_ref().take(3) {
                bench.run(&format!("SET {key} v"));
            }
        }
        let expected: BTreeMap<Bytes, usize> =
            stay.into_iter().map(|key| (Bytes::from(key), 1)).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn any_difference_changes_the_digest(command in commands()) {
        let mut bench = Bench::new();
        bench.story("MSET a 1 b 2 {x}c 3 => +OK\nPEXPIRE a 100000 => :1");
        let keys = bench.dump();
        let before = bench.keyspace.digest();
        bench.run(&command);
        prop_assert_eq!(keys == bench.dump(), before == bench.keyspace.digest());
    }
}

impl Bench {
    /// Every key with its value and deadline.
    fn dump(&self) -> BTreeMap<Vec<u8>, (Bytes, Option<Deadline>)> {
        let entries = self.keyspace.entries.values().flat_map(Chain::entries);
        entries.map(|e| (e.key.to_vec(), (e.value.clone(), e.deadline))).collect()
    }
}
