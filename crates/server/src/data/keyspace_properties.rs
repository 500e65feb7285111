//! What holds of any commands in any order: of replicas, collisions, scans and digests.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

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
        (key, 0..3_u8).prop_map(|(key, value)| format!("APPEND {key} {value}")),
        (key, key).prop_map(|(a, b)| format!("RENAME {a} {b}")),
        (key, key).prop_map(|(a, b)| format!("COPY {a} {b} REPLACE")),
        (key, "[x-z]", 0..9_u8)
            .prop_map(|(key, field, value)| format!("HSET {key} {field} {value}")),
        (key, "[x-z]").prop_map(|(key, field)| format!("HDEL {key} {field}")),
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
                let read = StringRead::Get { key: b"a" }.into();
                second.keyspace.read(&read, UnixMillis(u64::MAX), Dice::new(7));
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
            let filter = Filter { pattern: Some(b"s*"), kinds: Kinds::All };
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
    /// Every key with its value, its deadline and its last change, and what was removed.
    fn dump(&self) -> String {
        let entries = self.keyspace.entries.values().flat_map(Chain::entries);
        let entries: BTreeMap<&[u8], _> =
            entries.map(|e| (&*e.key, (&e.value, e.deadline, e.changed))).collect();
        format!("{entries:?} {}", self.keyspace.removals.digest())
    }
}
