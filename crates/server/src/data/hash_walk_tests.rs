//! What walking and drawing give.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::command::{Work, find};
use crate::resp::{Protocol, Request};

/// A keyspace with one hash called `h`.
struct Bench {
    keyspace: Keyspace,
    seed: u64,
}

impl Bench {
    /// A hash of so many fields, `f0` with the value `v0` and so on.
    fn of(fields: usize) -> Self {
        let mut bench = Self { keyspace: Keyspace::new(0..16_384), seed: 0 };
        for n in 0..fields {
            bench.run(&format!("HSET h f{n} v{n}"));
        }
        bench
    }

    fn reply(&mut self, line: &str) -> Reply {
        let words: Vec<&str> = line.split(' ').collect();
        let request = Request::of(&words);
        let args = request.args();
        self.seed += 1;
        match find(args).unwrap().work {
            Work::Write(parse) => self.keyspace.write(&parse(args).unwrap()),
            Work::Read(parse) => match parse(args) {
                Ok(read) => self.keyspace.read(&read, UnixMillis(0), Dice::new(self.seed)),
                Err(error) => error.into(),
            },
            Work::Survey(_) | Work::Talk(_) | Work::Transaction(_) | Work::Subcommand => {
                panic!("no command on keys")
            }
        }
    }

    fn run_as(&mut self, line: &str, protocol: Protocol) -> String {
        let bytes = self.reply(line).to_bytes(protocol);
        String::from_utf8(bytes.to_vec()).unwrap().trim_end().replace("\r\n", " ")
    }

    fn run(&mut self, line: &str) -> String {
        self.run_as(line, Protocol::Resp2)
    }

    /// One call of HSCAN: the cursor, and the fields with their values.
    fn scan(&mut self, line: &str) -> (String, Vec<(Bytes, Bytes)>) {
        let Reply::Array(parts) = self.reply(line) else { panic!("{line}") };
        let [Reply::Bulk(cursor), Reply::Array(found)] = &parts[..] else { panic!("{parts:?}") };
        let bulk = |reply: &Reply| {
            let Reply::Bulk(bytes) = reply else { panic!("{reply:?}") };
            bytes.clone()
        };
        let pairs = found.chunks(2).map(|pair| (bulk(&pair[0]), bulk(&pair[1]))).collect();
        (String::from_utf8(cursor.to_vec()).unwrap(), pairs)
    }
}

#[test]
fn hrandfield_is_as_with_redis() {
    let mut bench = Bench::of(2);
    bench.run("SET s v");
    for (line, expected) in [
        ("HRANDFIELD none", "$-1"),
        ("HRANDFIELD none 5", "*0"),
        ("HRANDFIELD none x", "-ERR value is not an integer or out of range"),
        ("HRANDFIELD none x foo", "-ERR value is not an integer or out of range"),
        ("HRANDFIELD none 5 foo", "-ERR syntax error"),
        ("HRANDFIELD none 5 withvalues foo", "-ERR syntax error"),
        ("HRANDFIELD none 9223372036854775807", "*0"),
        ("HRANDFIELD none -9223372036854775807 withvalues", "-ERR value is out of range"),
        (
            "HRANDFIELD none -9223372036854775808",
            "-ERR value is out of range, value must between -9223372036854775807 and \
             9223372036854775807",
        ),
        ("HRANDFIELD s", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("HRANDFIELD s 1", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("HRANDFIELD s 1 foo", "-ERR syntax error"),
        ("HRANDFIELD h 0", "*0"),
        ("HRANDFIELD h 2", "*2 $2 f0 $2 f1"),
        ("HRANDFIELD h 5 WithValues", "*4 $2 f0 $2 v0 $2 f1 $2 v1"),
    ] {
        assert_eq!(bench.run(line), expected, "{line}");
    }
    let pairs = bench.run_as("HRANDFIELD h 5 WITHVALUES", Protocol::Resp3);
    assert_eq!(pairs, "*2 *2 $2 f0 $2 v0 *2 $2 f1 $2 v1");
    assert_eq!(bench.run_as("HRANDFIELD none", Protocol::Resp3), "_");
}

#[test]
fn every_field_is_drawn_some_time_and_a_value_with_its_field() {
    let mut bench = Bench::of(5);
    let mut drawn = BTreeSet::new();
    for _ in 0..100 {
        drawn.insert(bench.run("HRANDFIELD h"));
        let Reply::Pairs(pairs) = bench.reply("HRANDFIELD h -7 WITHVALUES") else { panic!() };
        assert_eq!(pairs.len(), 7);
        for pair in pairs {
            let (Reply::Bulk(field), Reply::Bulk(value)) = pair else { panic!() };
            assert_eq!(field[1..], value[1..]);
        }
        let Reply::Array(three) = bench.reply("HRANDFIELD h 3") else { panic!() };
        let texts: BTreeSet<String> = three.iter().map(|field| format!("{field:?}")).collect();
        assert_eq!(texts.len(), 3, "without repetition");
    }
    assert_eq!(drawn.len(), 5);
}

#[test]
fn drawing_ends_when_the_reply_is_as_large_as_it_may_be() {
    let error = "-ERR the reply is larger than 67108864 bytes: ask for fewer fields";
    let mut bench = Bench::of(1);
    assert_eq!(bench.run("HRANDFIELD h -9223372036854775807"), error);
    assert_eq!(bench.run("HRANDFIELD h -4611686018427387903 WITHVALUES"), error);
}

#[test]
fn hscan_is_as_with_redis() {
    let mut bench = Bench::of(2);
    bench.run("SET s v");
    let whole = "*2 $1 0 *4 $2 f0 $2 v0 $2 f1 $2 v1";
    let empty = "*2 $1 0 *0";
    for (line, expected) in [
        ("HSCAN h 0", whole),
        ("HSCAN h 5 COUNT 1", whole),
        ("HSCAN h -1", whole),
        ("HSCAN h +0", whole),
        ("HSCAN h 0\0x", whole),
        ("HSCAN h 0 MATCH *1", "*2 $1 0 *2 $2 f1 $2 v1"),
        ("HSCAN h x", "-ERR invalid cursor"),
        ("HSCAN none x", "-ERR invalid cursor"),
        ("HSCAN none 0 FOO", empty),
        ("HSCAN s 0 FOO", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("HSCAN h 0 FOO", "-ERR syntax error"),
        ("HSCAN h 0 COUNT", "-ERR syntax error"),
        ("HSCAN h 0 COUNT x", "-ERR value is not an integer or out of range"),
        ("HSCAN h 0 COUNT 0", "-ERR syntax error"),
        ("HSCAN h 0 TYPE hash", "-ERR syntax error"),
    ] {
        assert_eq!(bench.run(line), expected, "{line}");
    }
    // Both versions write the fields in one row.
    assert_eq!(bench.run_as("HSCAN h 0", Protocol::Resp3), whole);
}

#[test]
fn a_large_hash_is_walked_in_pieces() {
    let mut bench = Bench::of(300);
    let mut cursor = "0".to_owned();
    let mut seen = Vec::new();
    let mut calls = 0;
    loop {
        let (next, found) = bench.scan(&format!("HSCAN h {cursor} COUNT 7"));
        assert!(found.len() <= 7);
        seen.extend(found);
        calls += 1;
        cursor = next;
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(calls, 43);
    let different: BTreeSet<&(Bytes, Bytes)> = seen.iter().collect();
    assert_eq!((seen.len(), different.len()), (300, 300), "each once, since nothing was written");
    assert_eq!(bench.scan("HSCAN h 0").1.len(), 10);
    assert_eq!(bench.scan("HSCAN h 18446744073709551615 COUNT 1000").1.len(), 300);
}

#[test]
fn cursors_are_read_by_the_rules_of_strtoul() {
    let parse = |text: &str| parse_cursor(text.as_bytes()).ok();
    assert_eq!(parse(""), Some(0));
    assert_eq!(parse("-1"), Some(u64::MAX));
    assert_eq!(parse("-18446744073709551615"), Some(1));
    assert_eq!(parse("18446744073709551615"), Some(u64::MAX));
    assert_eq!(parse("007"), Some(7));
    assert_eq!(parse("+7"), Some(7));
    for text in
        ["x", "-", "+", "+-1", "--1", " 1", "1 ", "18446744073709551616", "-18446744073709551616"]
    {
        assert_eq!(parse(text), None, "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_field_that_stays_is_passed_over(
        noise in prop::collection::vec((any::<bool>(), 0..300_usize), 0..400),
        count in 1..40_usize,
        size in 100..300_usize,
    ) {
        // Every third field stays; the others come and go between the calls.
        let mut bench = Bench::of(size);
        let mut noise = noise.into_iter();
        let mut seen = BTreeSet::new();
        let mut cursor = "0".to_owned();
        loop {
            let (next, found) = bench.scan(&format!("HSCAN h {cursor} COUNT {count}"));
            seen.extend(found.into_iter().map(|(field, _)| field));
            cursor = next;
            if cursor == "0" {
                break;
            }
            for (is_new, n) in noise.by_ref().take(12) {
                if is_new {
                    bench.run(&format!("HSET h n{n} v"));
                } else if n % 3 != 0 {
                    bench.run(&format!("HDEL h f{n} n{n}"));
                }
            }
        }
        for n in (0..size).step_by(3) {
            prop_assert!(seen.contains(format!("f{n}").as_bytes()), "f{n}");
        }
    }
}
