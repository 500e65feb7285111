//! Files that are right, and what is said of those that are not.

use std::collections::BTreeSet;

use serde_json::Value;

use super::raw::{RawCommit, RawLimits, RawTiming};
use super::*;

const THREE: &str = r#"
cluster_id = "c"
node_id = 2
data_dir = "data"
redis_addr = "0.0.0.0:7002"
peer_addr = "0.0.0.0:17002"
groups = 4

[[nodes]]
id = 1
peer_addr = "10.0.0.1:17001"
redis_addr = "10.0.0.1:7001"

[[nodes]]
id = 2
peer_addr = "10.0.0.2:17002"
redis_addr = "10.0.0.2:7002"

[[nodes]]
id = 3
peer_addr = "10.0.0.3:17003"
redis_addr = "10.0.0.3:7003"
"#;

const ONE: &str = r#"
cluster_id = "c"
node_id = 1
data_dir = "data"
redis_addr = "127.0.0.1:7001"
peer_addr = "127.0.0.1:17001"
"#;

fn parse(text: &str) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("node.toml");
    std::fs::write(&file, text).unwrap();
    let prefix = format!("{}: ", file.display());
    Config::load(&file).map_err(|error| {
        let text = error.to_string();
        text.strip_prefix(&prefix).expect("the file is named first").to_owned()
    })
}

/// What is said of the file with one piece of it replaced.
fn refused(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from}");
    parse(&text.replacen(from, to, 1)).unwrap_err()
}

#[test]
fn three_nodes_share_the_slots() {
    let config = parse(THREE).unwrap();
    assert_eq!(config.topology.me, NodeId(2));
    assert_eq!(config.topology.table.group_count(), 4);
    let nodes = config.topology.table.replicas_of(types::GroupId(1)).len();
    assert_eq!((nodes, config.topology.members.len()), (3, 3));
    let member = Member { host: "10.0.0.2".to_owned(), port: 7002, peer_port: 17_002 };
    assert_eq!(config.topology.members[&NodeId(2)], member);
    let peers: Vec<String> = config.peers.iter().map(|(_, peer)| peer.to_string()).collect();
    assert_eq!(peers, ["10.0.0.1:17001", "10.0.0.3:17003"]);
    assert_eq!(config.redis_addr.to_string(), "0.0.0.0:7002");
}

#[test]
fn one_node_alone_serves_all_slots() {
    let config = parse(ONE).unwrap();
    assert_eq!(config.topology.table.group_count(), 16);
    assert_eq!(config.topology.members.len(), 1);
    assert!(config.peers.is_empty());
    let everywhere = ONE.replace("127.0.0.1:", "0.0.0.0:");
    let announced = format!("announce_addr = \"example.org:7001\"\n{everywhere}");
    assert_eq!(parse(&announced).unwrap().topology.members[&NodeId(1)].host, "example.org");
    let error = parse(&everywhere).unwrap_err();
    assert!(error.starts_with("nodes[0].redis_addr is \"0.0.0.0:7001\", allowed is"), "{error}");
    assert!(error.contains("announce_addr"), "{error}");
}

#[test]
fn defaults_are_those_of_the_parts() {
    let config = parse(ONE).unwrap();
    assert_eq!(config.client_limits(), ClientLimits::default());
    assert_eq!(config.limits.request(), crate::resp::RequestLimits::default());
}

#[test]
fn the_example_shows_every_field_with_its_default() {
    let text = include_str!("../../node.example.toml");
    let shown: RawConfig = toml::from_str(text).unwrap();
    assert_eq!(shown.timing, RawTiming::default());
    assert_eq!(shown.limits, RawLimits::default());
    assert_eq!((shown.groups, shown.commit), (16, RawCommit::default()));
    Config::new(shown).unwrap();
}

/// What stands in the example: by field, with its table, its value and the comment above it. Fields
/// without one share that of the field before.
fn shown() -> BTreeMap<String, (String, String)> {
    let mut shown = BTreeMap::new();
    let (mut table, mut comment, mut is_new) = (String::new(), String::new(), true);
    for line in include_str!("../../node.example.toml").lines() {
        if let Some(words) = line.strip_prefix("# ") {
            let above = if is_new { String::new() } else { comment + " " };
            (comment, is_new) = (above + words, false);
        } else if let Some(name) = line.strip_prefix('[') {
            table = name.trim_matches(['[', ']']).to_owned() + ".";
        } else if let Some((name, value)) = line.split_once(" = ") {
            shown.insert(format!("{table}{name}"), (value.to_owned(), comment.clone()));
            is_new = true;
        } else {
            assert_eq!(line, "");
            // A table's own comment stands above its name.
            is_new = true;
        }
    }
    shown
}

/// Every field that there is, with its table.
fn fields(name: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            let dot = if name.is_empty() { "" } else { "." };
            for (field, value) in fields {
                self::fields(&format!("{name}{dot}{field}"), value, found);
            }
        }
        Value::Array(items) => fields(name, &items[0], found),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            found.push(name.to_owned());
        }
    }
}

#[test]
fn the_example_says_of_every_field_what_is_allowed_and_what_breaks() {
    let text = include_str!("../../node.example.toml");
    let raw: RawConfig = toml::from_str(text).unwrap();
    let mut all = Vec::new();
    fields("", &serde_json::to_value(raw).unwrap(), &mut all);
    let shown = shown();
    assert_eq!(shown.keys().cloned().collect::<BTreeSet<_>>(), all.iter().cloned().collect());
    let units = ["bytes", "milliseconds", "seconds", "ticks", "groups", "connections", "commands"];
    let units = [&units[..], &["arguments", "keys"]].concat();
    let ranges =
        ["or more", " to ", "more than", "at least", "\"one-phase\"", "host:port", "a folder"];
    for (field, (value, comment)) in &shown {
        let says = |words: &[&str]| {
            let comment = comment.to_lowercase();
            assert!(words.iter().any(|word| comment.contains(word)), "{field}: none of {words:?}");
        };
        says(&["default"]);
        says(&ranges);
        let is_of_a_part = field.starts_with("timing.") || field.starts_with("limits.");
        if is_of_a_part || field == "groups" {
            says(&units);
            says(&[&format!("default {value}")]);
            says(&["too small"]);
            says(&["too large:"]);
        } else {
            // What else happens stands behind a colon or in a sentence of its own.
            says(&["refuse", "does not start", "nobody finds", "must agree", "goes unnoticed"]);
        }
    }
}

#[test]
fn a_wrong_field_is_named_with_what_is_allowed() {
    for (from, to, expected) in [
        (
            "\"c\"",
            "\"a b\"",
            "cluster_id is \"a b\", allowed is a cluster id has only ASCII letters, digits, '-', \
             '_' and '.', found ' '",
        ),
        (
            "10.0.0.3:17003",
            "0.0.0.0:17003",
            "nodes[2].peer_addr is \"0.0.0.0:17003\", allowed is an address that others can connect \
             to; a node that listens on all addresses says in announce_addr which one",
        ),
        ("node_id = 2", "node_id = 0", "node_id is \"0\", allowed is 1 or more"),
        (
            "node_id = 2",
            "node_id = 9",
            "node_id is \"9\", allowed is one of the ids under [[nodes]]: 1, 2, 3",
        ),
        ("\"data\"", "\"\"", "data_dir is \"\", allowed is a folder that the node may write to"),
        ("groups = 4", "groups = 0", "groups is \"0\", allowed is 1 to 16384"),
        ("groups = 4", "groups = 16385", "groups is \"16385\", allowed is 1 to 16384"),
        ("id = 3", "id = 1", "nodes[2].id is \"1\", allowed is an id that no other node has"),
        (
            "10.0.0.3:7003",
            "10.0.0.1:17001",
            "nodes[2].redis_addr is \"10.0.0.1:17001\", allowed is an address of its own, \
             nodes[0].peer_addr has the same",
        ),
        (
            "groups = 4",
            "announce_addr = \"10.0.0.9:7002\"",
            "announce_addr is \"10.0.0.9:7002\", allowed is 10.0.0.2:7002, the redis_addr of node \
             2 under [[nodes]]: clients must be told the same by every node",
        ),
    ] {
        assert_eq!(refused(THREE, from, to), expected);
    }
}

#[test]
fn times_and_limits_must_fit_together() {
    for (line, expected) in [
        ("timing.tick_ms = 0", "timing.tick_ms is \"0\", allowed is 1 to 10000"),
        ("timing.disk_stall_ms = 9", "timing.disk_stall_ms is \"9\", allowed is 10 to 600000"),
        (
            "timing.election_ticks_min = 3",
            "timing.election_ticks_min is \"3\", allowed is 4 or more: twice heartbeat_ticks",
        ),
        (
            "timing.election_ticks_max = 9",
            "timing.election_ticks_max is \"9\", allowed is 10 to 100000",
        ),
        (
            "limits.entry_bytes_max = 524288",
            "limits.entry_bytes_max is \"524288\", allowed is 525312 or more: it must hold \
             value_bytes_max and what surrounds it",
        ),
        (
            "limits.disk_reserve_bytes = 1",
            "limits.disk_reserve_bytes is \"1\", allowed is 0, or 4194304 to 1099511627776",
        ),
        (
            "limits.clients_bytes_max = 272629759",
            "limits.clients_bytes_max is \"272629759\", allowed is 272629760 or more: four times \
             reply_bytes_max and request_bytes_max together",
        ),
        (
            "limits.client_keepalive_s = 32768",
            "limits.client_keepalive_s is \"32768\", allowed is 0 to 32767",
        ),
        ("limits.clients_max = 0", "limits.clients_max is \"0\", allowed is 1 or more"),
    ] {
        assert_eq!(parse(&format!("{line}\n{ONE}")).unwrap_err(), expected);
    }
}

#[test]
fn unknown_and_missing_fields_are_shown_in_their_line() {
    let error = refused(ONE, "node_id", "node_ids");
    assert!(error.contains("line 3") && error.contains("unknown field `node_ids`"), "{error}");
    assert!(error.ends_with("; did you mean `node_id`?"), "{error}");
    let error = parse(&format!("tick_ms = 3\n{ONE}")).unwrap_err();
    assert!(error.ends_with("; tick_ms belongs under [timing]"), "{error}");
    let error = parse(&format!("commit = \"two\"\n{ONE}")).unwrap_err();
    assert!(error.contains("unknown variant `two`"), "{error}");
    let error = refused(ONE, "node_id = 1", "");
    assert!(error.contains("missing field `node_id`"), "{error}");
    let error = parse(&format!("{ONE}\n[limits]\nfoo = 1")).unwrap_err();
    assert!(error.contains("unknown field `foo`"), "{error}");
    let error = refused(ONE, "node_id = 1", "node_id = -1");
    assert!(error.contains("node_id = -1"), "{error}");
    let error = refused(ONE, "node_id = 1", "node_id = \"one\"");
    assert!(error.contains("node_id = \"one\"") && error.contains("line 3"), "{error}");
    assert!(error.ends_with("; allowed is a whole number without quotes, 0 or more"), "{error}");
    let missing = Config::load(Path::new("/nowhere/node.toml")).unwrap_err().to_string();
    assert!(
        missing.starts_with("/nowhere/node.toml: cannot read the configuration: "),
        "{missing}"
    );
    let advice = "; `multiraft config example` prints one to begin with";
    assert!(missing.ends_with(advice), "{missing}");
    let folder = Config::load(Path::new("/")).unwrap_err().to_string();
    assert!(!folder.ends_with(advice), "{folder}");
}

#[test]
fn more_nodes_than_replicas_make_sense_are_refused() {
    let mut text = ONE.to_owned();
    for id in 1..=8 {
        text.push_str(&format!(
            "[[nodes]]\nid = {id}\npeer_addr = \"h{id}:1\"\nredis_addr = \"h{id}:2\"\n"
        ));
    }
    let error = parse(&text).unwrap_err();
    assert!(error.starts_with("nodes is \"8\", allowed is at most 7 nodes"), "{error}");
}
