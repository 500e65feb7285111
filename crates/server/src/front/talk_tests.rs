//! Commands that are answered at once, exactly as Redis 7.0.15 answers them where it has them.

use super::batch::Batch;
use super::fake::{self, Fake, ME, OTHER};
use super::replication::DiskHealth;
use super::service::{ClientLimits, Service, Session};
use crate::resp::{Protocol, Reply, Request, decode};
use bytes::BytesMut;
use std::sync::Arc;
use std::time::Duration;
use types::GroupId;

struct Bench {
    service: Arc<Service>,
    fake: Arc<Fake>,
    session: Session,
    _seat: super::clients::Seat,
}

impl Bench {
    fn new() -> Self {
        Self::with(ClientLimits::default())
    }

    fn with(limits: ClientLimits) -> Self {
        let (service, fake) = fake::service(limits);
        let (session, seat) = fake::session(&service);
        Self { service, fake, session, _seat: seat }
    }

    fn bytes(&mut self, line: &str) -> BytesMut {
        let words: Vec<&str> = line.split(' ').collect();
        let mut batch = Batch::plan(&self.service, &mut self.session, [Request::of(&words)]);
        let mut out = BytesMut::new();
        batch.drain(&mut out, usize::MAX);
        assert!(batch.is_done(), "{line} is not answered at once");
        out
    }

    /// The reply without line ends.
    fn ask(&mut self, line: &str) -> String {
        String::from_utf8(self.bytes(line).to_vec()).unwrap().trim_end().replace("\r\n", " ")
    }

    /// The reply as a value.
    fn reply(&mut self, line: &str) -> Reply {
        let bytes = self.bytes(line).freeze();
        decode(&bytes).unwrap().unwrap().0
    }

    /// The text of a verbatim reply.
    fn text(&mut self, line: &str) -> String {
        let reply = self.reply(line);
        let (Reply::Bulk(bytes) | Reply::Verbatim(bytes)) = reply else { panic!("{reply:?}") };
        String::from_utf8(bytes.to_vec()).unwrap()
    }
}

#[test]
fn conversation_is_as_with_redis() {
    let mut bench = Bench::new();
    for (line, expected) in [
        ("PING", "+PONG"),
        ("PING a", "$1 a"),
        ("PING a b", "-ERR wrong number of arguments for 'ping' command"),
        ("ECHO hi", "$2 hi"),
        ("SELECT 0", "+OK"),
        ("SELECT 1", "-ERR SELECT is not allowed in cluster mode"),
        ("SELECT x", "-ERR value is not an integer or out of range"),
        ("READONLY", "+OK"),
        ("READWRITE", "+OK"),
        ("ASKING", "+OK"),
        ("WAIT 1 0", ":1"),
        ("WAIT x 0", "-ERR value is not an integer or out of range"),
        ("WAIT 1 x", "-ERR timeout is not an integer or out of range"),
        ("WAIT 1 -1", "-ERR timeout is negative"),
        ("HELLO x", "-ERR Protocol version is not an integer or out of range"),
        ("HELLO 3 FOO", "-ERR Syntax error in HELLO option 'FOO'"),
        ("HELLO 3 SETNAME", "-ERR Syntax error in HELLO option 'SETNAME'"),
        ("HELLO 3 AUTH a b", "-ERR AUTH is not supported: this server has no passwords"),
        ("CLIENT ID", ":1"),
        ("CLIENT GETNAME", "$-1"),
        ("CLIENT SETNAME me", "+OK"),
        ("CLIENT GETNAME", "$2 me"),
        (
            "CLIENT SETNAME a\tb",
            "-ERR Client names cannot contain spaces, newlines or special characters.",
        ),
        ("CLIENT SETINFO LIB-NAME x", "+OK"),
        (
            "CLIENT SETINFO LIB-VER a\tb",
            "-ERR lib-ver cannot contain spaces, newlines or special characters.",
        ),
        ("CLIENT SETINFO FOO x", "-ERR Unrecognized option 'FOO'"),
        ("CLIENT NO-EVICT on", "+OK"),
        ("CLIENT NO-TOUCH foo", "-ERR syntax error"),
        ("CLIENT LIST TYPE foo", "-ERR Unknown client type 'foo'"),
        ("CLIENT LIST ID x", "-ERR Invalid client ID"),
        ("CLIENT LIST foo", "-ERR syntax error"),
        ("CLIENT LIST TYPE replica", "$0"),
        ("RESET", "+RESET"),
        ("CLIENT GETNAME", "$-1"),
        ("CLUSTER KEYSLOT abc", ":7638"),
        ("CLUSTER LINKS", "*0"),
        ("COMMAND GETKEYS GET a b", "-ERR Invalid number of arguments specified for command"),
        ("COMMAND GETKEYS PING a", "-ERR The command has no key arguments"),
        ("COMMAND GETKEYS FOO a", "-ERR Invalid command specified"),
        ("COMMAND GETKEYS MSET a b c d", "*2 $1 a $1 c"),
        ("COMMAND INFO FOO", "*1 $-1"),
        ("COMMAND LIST FILTERBY PATTERN ge?", "*1 $3 get"),
        ("CONFIG GET save", "*2 $4 save $0"),
    ] {
        assert_eq!(bench.ask(line), expected, "{line}");
    }
}

#[test]
fn clients_are_listed_while_they_are_connected() {
    let mut bench = Bench::new();
    bench.ask("CLIENT SETNAME first");
    let second = bench.service.clients.enter("second".to_owned(), "here".to_owned()).unwrap();
    let list = bench.text("CLIENT LIST");
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with("id=1 addr=peer laddr=local name=first age="), "{list}");
    assert!(lines[0].contains(" cmd=client|list user=default "), "{list}");
    assert!(lines[1].starts_with("id=2 addr=second "), "{list}");
    assert_eq!(bench.text("CLIENT LIST ID 2").lines().count(), 1);
    drop(second);
    assert_eq!(bench.text("CLIENT LIST").lines().count(), 1);
    assert!(bench.text("CLIENT INFO").starts_with("id=1 "));
}

#[test]
fn seats_are_limited_and_given_back() {
    let limits = ClientLimits { clients_max: 2, ..ClientLimits::default() };
    let bench = Bench::with(limits);
    let enter = || bench.service.clients.enter(String::new(), String::new());
    let second = enter().unwrap();
    assert!(enter().is_none());
    drop(second);
    assert!(enter().is_some());
}

#[test]
fn command_tells_cluster_clients_where_keys_are() {
    let mut bench = Bench::new();
    bench.ask("HELLO 3");
    let expected = "*1 *10 $4 mset :-3 ~2 +write +denyoom :1 :-1 :2 ~3 +@write +@string +@slow \
                    ~2 $26 request_policy:multi_shard $29 response_policy:all_succeeded ~1 %3 \
                    $5 flags ~2 +OW +update $12 begin_search %2 $4 type $5 index $4 spec %1 \
                    $5 index :1 $9 find_keys %2 $4 type $5 range $4 spec %3 $7 lastkey :-1 \
                    $7 keystep :2 $5 limit :0 ~0";
    assert_eq!(bench.ask("COMMAND INFO mset"), expected);
    let expected = "*1 *10 $11 client|list :-2 ~4 +admin +noscript +loading +stale :0 :0 :0 ~4 \
                    +@admin +@slow +@dangerous +@connection ~1 $23 nondeterministic_output ~0 ~0";
    assert_eq!(bench.ask("COMMAND INFO client|list"), expected);
    let Reply::Array(all) = bench.reply("COMMAND") else { panic!("no array") };
    assert_eq!(bench.reply("COMMAND COUNT"), Reply::count(all.len()));
    let Reply::Map(docs) = bench.reply("COMMAND DOCS") else { panic!("no map") };
    assert_eq!(docs.len(), all.len());
    let docs = bench.ask("COMMAND DOCS get foo");
    assert!(docs.starts_with("%1 $3 get %5 $7 summary "), "{docs}");
    let key = "%3 $4 name $3 key $4 type $3 key $14 key_spec_index :0";
    assert!(docs.ends_with(&format!(" $9 arguments *1 {key}")), "{docs}");
    let docs = bench.ask("COMMAND DOCS expire");
    let word = |name: &str| {
        let upper = name.to_uppercase();
        format!("%3 $4 name $2 {name} $4 type $10 pure-token $5 token $2 {upper}")
    };
    let expected = format!(
        " *3 {key} %2 $4 name $7 seconds $4 type $7 integer %4 $4 name $9 condition $4 type $5 oneof \
         $5 flags ~1 +optional $9 arguments *4 {}",
        ["nx", "xx", "gt", "lt"].map(word).join(" ")
    );
    assert!(docs.ends_with(&expected), "{docs}");
    let docs = bench.ask("COMMAND DOCS bitop");
    let rest = "%4 $4 name $3 key $4 type $3 key $14 key_spec_index :1 $5 flags ~1 +multiple";
    assert!(docs.ends_with(rest) && docs.contains(" $14 key_spec_index :0 "), "{docs}");
}

#[test]
fn help_lists_subcommands() {
    let mut bench = Bench::new();
    let help = bench.ask("CONFIG HELP");
    let expected = "*7 +CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are: +GET +    ";
    assert!(help.starts_with(expected), "{help}");
}

#[test]
fn neighbouring_ranges_of_one_leader_are_merged() {
    let mut bench = Bench::new();
    let (me, other) = (bench.service.topology.name(ME), bench.service.topology.name(OTHER));
    assert_eq!(
        bench.ask("CLUSTER SLOTS"),
        format!("*1 *3 :0 :16383 *4 $8 10.0.0.1 :7001 $40 {me} *0")
    );
    bench.fake.set_leader(GroupId(2), Some(OTHER), true);
    bench.fake.set_leader(GroupId(3), Some(OTHER), true);
    let node = |name: &str, port| format!("*4 $8 10.0.0.1 :{port} $40 {name} *0");
    assert_eq!(
        bench.ask("CLUSTER SLOTS"),
        format!(
            "*3 *3 :0 :4095 {} *3 :4096 :12287 {} *3 :12288 :16383 {}",
            node(&me, 7001),
            node(&other, 7002),
            node(&me, 7001)
        )
    );
    assert_eq!(
        bench.text("CLUSTER NODES"),
        format!(
            "{me} 10.0.0.1:7001@17001 myself,master - 0 0 1 connected 0-4095 12288-16383\n\
             {other} 10.0.0.1:7002@17002 master - 0 0 2 connected 4096-12287\n"
        )
    );
    assert_eq!(bench.text("CLUSTER MYID"), me);
}

#[test]
fn groups_without_a_fresh_leader_are_listed_under_the_answering_node() {
    let mut bench = Bench::new();
    let all_here = bench.ask("CLUSTER SLOTS");
    bench.fake.set_leader(GroupId(2), None, false);
    bench.fake.set_leader(GroupId(3), Some(OTHER), false);
    assert_eq!(bench.ask("CLUSTER SLOTS"), all_here);
    let shards = bench.reply("CLUSTER SHARDS");
    let Reply::Array(shards) = shards else { panic!("no array") };
    assert_eq!(shards.len(), 2);
    let Reply::Array(first) = &shards[0] else { panic!("no flat map") };
    assert_eq!(first[1], Reply::Array(vec![Reply::Integer(0), Reply::Integer(16_383)]));
}

#[test]
fn cluster_state_fails_only_after_the_time_that_commands_wait() {
    let limits = ClientLimits { leader_wait: Duration::ZERO, ..ClientLimits::default() };
    for (mut bench, expected) in
        [(Bench::new(), "cluster_state:ok"), (Bench::with(limits), "cluster_state:fail")]
    {
        assert!(bench.text("CLUSTER INFO").starts_with("cluster_state:ok\r\n"));
        bench.fake.set_leader(GroupId(2), None, false);
        let info = bench.text("CLUSTER INFO");
        assert!(info.starts_with(expected), "{info}");
        assert!(info.contains("cluster_slots_pfail:4096\r\n"), "{info}");
        assert!(info.contains("cluster_known_nodes:2\r\n"), "{info}");
        bench.fake.set_leader(GroupId(2), Some(ME), true);
        assert!(bench.text("CLUSTER INFO").starts_with("cluster_state:ok\r\n"));
    }
}

#[test]
fn info_has_what_tools_look_for() {
    let mut bench = Bench::new();
    let all = bench.text("INFO");
    for field in [
        "redis_version:7.0.15\r\n",
        "cluster_enabled:1\r\n",
        "loading:0\r\n",
        "role:master\r\n",
        "# CPU\r\nused_cpu_sys:0.",
        "# Multiraft\r\n",
        "groups_led:4\r\n",
        "aof_current_size:4096\r\n",
        "nodes_connected:2\r\n",
        "log_commits:3\r\n",
        "total_system_memory_human:",
    ] {
        assert!(all.contains(field), "{field} in {all}");
    }
    let server = bench.text("INFO server");
    assert!(server.starts_with("# Server\r\n") && !server.contains("# Clients"), "{server}");
    let two = bench.text("INFO multiraft CLIENTS");
    assert!(two.starts_with("# Clients\r\n") && two.contains("\r\n\r\n# Multiraft\r\n"), "{two}");
    let sections = |text: String| text.lines().filter(|line| line.starts_with('#')).count();
    let count = sections(all);
    assert_eq!(sections(bench.text("INFO default")), count);
    for everything in
        ["INFO all", "INFO everything", "INFO server all", "INFO default commandstats"]
    {
        assert_eq!(sections(bench.text(everything)), count + 1, "{everything}");
    }
    assert_eq!(bench.text("INFO nonsense"), "");
    bench.ask("HELLO 3");
    assert!(bench.ask("INFO cluster").contains(" txt:# Cluster cluster_enabled:1"));
    assert_eq!(bench.session.protocol, Protocol::Resp3);
}

#[test]
fn info_says_how_the_disk_is() {
    let mut bench = Bench::new();
    let full = |is_waiting| DiskHealth::Full { free_bytes: 5, needed_bytes: 7, is_waiting };
    for (disk, status, fields) in [
        (DiskHealth::Ok, "ok", "disk:ok\r\n"),
        (full(false), "err", "disk:full\r\ndisk_free_bytes:5\r\ndisk_needed_bytes:7\r\n"),
        (full(true), "err", "disk:full-writes-wait\r\n"),
        (DiskHealth::Stalled, "err", "disk:stalled\r\n"),
        (DiskHealth::Failed, "err", "disk:failed\r\n"),
    ] {
        bench.fake.set_disk(disk);
        let info = bench.text("INFO");
        assert!(info.contains(&format!("aof_last_write_status:{status}\r\n")), "{info}");
        assert!(info.contains(fields), "{info}");
    }
}
