//! The same commands to a node of ours and to Redis itself, and the same bytes back.
//!
//! Needs redis-server 7.0.15 on the path; where there is none, there is nothing to compare with,
//! and the test says so. `DIFFERENTIAL_COMMANDS=200000` compares for longer, `DIFFERENTIAL_SEED=n`
//! something else. What differs on purpose (docs/redis.md) is not drawn.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use server::command::{COMMANDS, Group, Keys};
use server::config::Config;
use server::config::raw::{RawCommit, RawConfig, RawLimits, RawTiming};
use server::node::{Node, Sockets};
use server::resp::{Reply, decode};
use tokio::runtime::Runtime;

/// How many commands are compared in each version of the protocol.
const COMPARED: u64 = 6_000;
/// How many are under way at a time.
const PIPELINE: usize = 200;
/// How many commands before one with another reply are shown.
const SHOWN: usize = 15;
/// No test waits longer for anything.
const BOUND: Duration = Duration::from_secs(60);

/// One side: a connection to a server.
struct Side {
    name: &'static str,
    stream: BufReader<TcpStream>,
    received: BytesMut,
}

impl Side {
    fn connect(name: &'static str, port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(BOUND)).unwrap();
        Self { name, stream: BufReader::new(stream), received: BytesMut::new() }
    }

    fn send(&mut self, commands: &[Vec<Vec<u8>>]) {
        let mut bytes = Vec::new();
        for words in commands {
            bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
            for word in words {
                bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
                bytes.extend_from_slice(word);
                bytes.extend_from_slice(b"\r\n");
            }
        }
        self.stream.get_mut().write_all(&bytes).unwrap();
    }

    /// The bytes of the next reply.
    fn reply(&mut self) -> Bytes {
        loop {
            let seen = Bytes::copy_from_slice(&self.received);
            if let Some((_, len)) = decode(&seen).unwrap_or_else(|e| panic!("{}: {e}", self.name)) {
                return self.received.split_to(len).freeze();
            }
            let mut chunk = [0; 16 << 10];
            let len = self.stream.read(&mut chunk).unwrap();
            assert!(len > 0, "{} has hung up", self.name);
            self.received.extend_from_slice(&chunk[..len]);
        }
    }

    fn ask(&mut self, line: &str) -> Bytes {
        self.send(&[line.split(' ').map(|word| word.as_bytes().to_vec()).collect()]);
        self.reply()
    }
}

/// Redis as a cluster of one.
struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    /// None if it is not installed.
    fn start(folder: &Path) -> Option<Self> {
        // Its cluster bus listens 10,000 above: both must be free.
        let port = free_port();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--save", "", "--cluster-enabled", "yes"]);
        command.arg("--dir").arg(folder).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().ok()?;
        let redis = Self { child, port };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < BOUND, "Redis does not listen");
            std::thread::yield_now();
        }
        let mut side = Side::connect("redis", port);
        assert_eq!(side.ask("CLUSTER ADDSLOTSRANGE 0 16383"), "+OK\r\n");
        while !side.ask("CLUSTER INFO").starts_with(b"$") || !is_ok(&side.ask("CLUSTER INFO")) {
            assert!(began.elapsed() < BOUND, "Redis does not serve its slots");
        }
        Some(redis)
    }
}

fn is_ok(info: &Bytes) -> bool {
    String::from_utf8_lossy(info).contains("cluster_state:ok")
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    loop {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        if port < 55_000 && TcpListener::bind(("127.0.0.1", port + 10_000)).is_ok() {
            return port;
        }
    }
}

/// A node of ours that serves all slots alone.
struct Ours {
    runtime: Runtime,
    node: Node,
    port: u16,
}

impl Ours {
    fn start(folder: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let clients = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = clients.local_addr().unwrap().port();
        let raw = RawConfig {
            cluster_id: "differential".to_owned(),
            node_id: 1,
            data_dir: folder.to_owned(),
            redis_addr: clients.local_addr().unwrap().to_string(),
            peer_addr: "127.0.0.1:1".to_owned(),
            announce_addr: None,
            groups: 4,
            commit: RawCommit::default(),
            nodes: Vec::new(),
            // A node alone that hands over for a slow disk has nobody to hand over to.
            timing: RawTiming { disk_stall_ms: 600_000, ..RawTiming::default() },
            limits: RawLimits::default(),
        };
        let config = Config::new(raw).unwrap();
        let sockets = Sockets { clients, peers: None };
        let node = runtime.block_on(async {
            let node = Node::start(&config, sockets).await.unwrap();
            tokio::time::timeout(BOUND, node.led()).await.unwrap();
            node
        });
        Self { runtime, node, port }
    }

    fn stop(self) {
        self.runtime.block_on(async {
            tokio::time::timeout(BOUND, self.node.stop()).await.unwrap().unwrap();
        });
    }
}

/// A small generator (SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }

    /// Few keys, so that commands meet; those of one tag share a slot.
    fn key(&mut self, tag: u64) -> String {
        format!("{{{tag}}}{}", self.one_of(&["a", "b", "c", "d", "h", "g"]))
    }

    fn value(&mut self) -> String {
        match self.below(8) {
            0..3 => {
                self.one_of(&["", "x", "hello", "\u{0}\u{ff}bits", "-0", " 7", "007"]).to_owned()
            }
            3 => "long ".repeat(self.below(30).try_into().unwrap()),
            4 => self.one_of(&["9223372036854775807", "-9223372036854775808", "1.5"]).to_owned(),
            _ => self.number(),
        }
    }

    fn number(&mut self) -> String {
        let small = i64::try_from(self.below(40)).unwrap() - 12;
        match self.below(12) {
            0 => self.one_of(&["x", "", "9223372036854775807", "99999999999999999999"]).to_owned(),
            _ => small.to_string(),
        }
    }

    /// A number with a fraction, or what looks like one.
    fn fraction(&mut self) -> String {
        let sign = self.one_of(&["", "-", "+"]);
        let (whole, part) = (self.below(1 << 40), self.next());
        match self.below(8) {
            0 => self
                .one_of(&["inf", "-inf", "nan", "1e", ".", "x", "", " 1", "0x", "-0"])
                .to_owned(),
            1 => format!("{sign}{}.{}", whole % 1000, part % 10_u64.pow(17)),
            2 => format!("{sign}{whole}.{}", part % 1000),
            3 => format!("{sign}{whole}e{sign}{}", part % 30),
            4 => format!("{sign}0x{whole:x}.{part:x}p{sign}{}", whole % 20),
            5 => format!("{sign}.{part}"),
            _ => format!("{sign}{}.5", whole % 100),
        }
    }

    /// The same, of any size.
    fn any_fraction(&mut self) -> String {
        match self.below(12) {
            0 => format!("{}e{}", self.next(), self.below(5_000)),
            1 => format!("{}e-{}", self.next(), self.below(5_000)),
            2 => self.one_of(&["1e4932", "-1e4932", "2e4932", "1e-4950", "0x1p-16445"]).to_owned(),
            3 => format!("{}.{}", "9".repeat(50), self.next()),
            _ => self.fraction(),
        }
    }

    /// A moment so far away that no test sees it, or long past.
    fn moment(&mut self) -> &'static str {
        self.one_of(&["4000000000", "4000000001", "1", "0", "-5", "x", "9223372036854775807"])
    }
}

/// How a command is drawn: `k` a key, `v` a value, `w` a short one (a hash with a longer one has an
/// order of its own in Redis), `n` a number, `x` a number with a fraction, `y` one of any size, `t` a
/// moment, `f` a field, `?..` one of those options or nothing; anything else as it is.
#[rustfmt::skip]
const SHAPES: &[&str] = &[
    "SET k v", "SET k v", "SET k v ?NX,XX,GET,KEEPTTL,EX", "SET k v EXAT t ?NX,XX,GET",
    "SET k v PXAT t", "SETNX k v", "GETSET k v", "GET k", "GETDEL k", "GETEX k ?PERSIST,EX,BAD",
    "GETEX k EXAT t", "GETEX k PXAT t ?PERSIST", "MSET k v k v", "MSETNX k v k v", "MGET k k k",
    "STRLEN k", "APPEND k v", "GETRANGE k n n", "SUBSTR k n n", "SETRANGE k n v", "INCR k",
    "DECR k", "INCRBY k n", "DECRBY k n", "DEL k k", "UNLINK k", "EXISTS k k", "TOUCH k k",
    "TYPE k", "RENAME k k", "RENAMENX k k", "COPY k k ?REPLACE,BAD", "COPY k k DB n",
    "EXPIREAT k t ?NX,XX,GT,LT,BAD", "PEXPIREAT k t ?NX,XX,GT,LT", "PERSIST k", "EXPIRETIME k",
    "PEXPIRETIME k", "SETBIT k n n", "GETBIT k n", "BITCOUNT k", "BITCOUNT k n n ?BYTE,BIT,BAD",
    "BITCOUNT k n", "BITPOS k n", "BITPOS k n n", "BITPOS k n n n ?BYTE,BIT,BAD",
    "BITOP ?AND,OR,XOR,NOT k k", "BITOP ?AND,OR,XOR,NOT,BAD k k k k", "HSET k f w", "HSET k f w f w",
    "HSET k f w f", "HMSET k f w f w", "HSETNX k f w", "HGET k f", "HMGET k f f f", "HDEL k f f",
    "HLEN k", "HSTRLEN k f", "HEXISTS k f", "HKEYS k", "HVALS k", "HGETALL k", "HINCRBY k f n",
    "OBJECT FREQ k", "OBJECT REFCOUNT none", "GET", "SET k", "HSET k f", "BITOP AND k", "FOO k v",
    "SCAN n COUNT n", "OBJECT FOO k", "INCRBYFLOAT k y", "INCRBYFLOAT k x", "HINCRBYFLOAT k f x",
    "HRANDFIELD k", "HRANDFIELD k n ?WITHVALUES,BAD", "HRANDFIELD k n", "HRANDFIELD k n WITHVALUES",
    "HSCAN k 0", "HSCAN k n MATCH f?1,2,3", "HSCAN k 0 COUNT n", "HSCAN k v ?MATCH,COUNT,BAD",
];

/// How many slots the keys of a run lie in.
const TAGS: u64 = 40;

/// What a client sends next: a command, or a transaction with what belongs to it. Its keys are of
/// one slot, but for a few that are refused.
fn draw(dice: &mut Dice) -> Vec<Vec<Vec<u8>>> {
    let tag = dice.below(TAGS);
    if dice.below(8) > 0 {
        return vec![draw_command(dice, tag)];
    }
    let fixed = |line: &str| line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
    let mut commands = Vec::new();
    let watches = dice.below(2) == 0;
    if watches {
        commands.push(fixed(&format!("WATCH {} {}", dice.key(tag), dice.key(tag))));
        // What comes here may change what is watched.
        for _ in 0..dice.below(4) {
            commands.push(draw_command(dice, tag));
        }
        let unwatch = (dice.below(8) == 0).then(|| fixed("UNWATCH"));
        commands.extend(unwatch);
    }
    commands.push(fixed("MULTI"));
    for _ in 0..dice.below(7) {
        // Redis lets keys be watched in one slot and changed in another, and forgets which slots
        // there were once a watched key has changed.
        let tag = if !watches && dice.below(60) == 0 { tag + 1 } else { tag };
        let command = match dice.below(40) {
            0 => fixed("PING"),
            1 => fixed("MULTI"),
            2 => fixed("UNWATCH"),
            3 => fixed(&format!("WATCH {}", dice.key(tag))),
            4 => fixed("ECHO hi"),
            5 => fixed("MSET a 1 b 2"),
            _ => draw_command(dice, tag),
        };
        // What chance decides cannot be told from the rest of the reply; SCAN is refused by us;
        // and with watched keys, OBJECT names a key of another slot.
        let is_left_out = match &command[0][..] {
            b"HRANDFIELD" | b"SCAN" => true,
            b"OBJECT" => watches,
            _ => false,
        };
        commands.extend((!is_left_out).then_some(command));
    }
    commands
        .push(fixed(dice.one_of(&["EXEC", "EXEC", "EXEC", "EXEC", "EXEC", "EXEC x", "DISCARD"])));
    commands.extend((dice.below(30) == 0).then(|| fixed("EXEC")));
    commands
}

fn draw_command(dice: &mut Dice, tag: u64) -> Vec<Vec<u8>> {
    let shape = dice.one_of(SHAPES);
    let mut words = Vec::new();
    for part in shape.split(' ') {
        match part {
            "k" => words.push(dice.key(tag)),
            "v" => words.push(dice.value()),
            "w" | "n" => words.push(dice.number()),
            "x" => words.push(dice.fraction()),
            "y" => words.push(dice.any_fraction()),
            "t" => words.push(dice.moment().to_owned()),
            "f" => words.push(dice.one_of(&["f1", "f2", "f3", "f4", ""]).to_owned()),
            _ => match part.strip_prefix('?') {
                Some(options) => {
                    let mut options: Vec<&str> = options.split(',').collect();
                    options.push("");
                    let option = dice.one_of(&options);
                    words.extend((!option.is_empty()).then(|| option.to_owned()));
                }
                None => words.push(part.to_owned()),
            },
        }
    }
    // SCAN's order is our own: only its refusals are compared.
    if words[0] == "SCAN" {
        words[1] = "bad".to_owned();
    }
    words.into_iter().map(String::into_bytes).collect()
}

/// Whether chance has a say in the reply.
fn is_drawn(command: &[Vec<u8>], reply: &Bytes) -> bool {
    command[0] == b"HRANDFIELD" && !reply.starts_with(b"-")
}

/// What does not depend on chance: the kind of a reply, and how many parts its parts have.
fn outline(reply: &Bytes) -> (u8, Vec<usize>) {
    let Reply::Array(parts) = decode(reply).unwrap().unwrap().0 else {
        return (reply[0], Vec::new());
    };
    let len = |part: Reply| if let Reply::Array(pair) = part { pair.len() } else { 0 };
    (reply[0], parts.into_iter().map(len).collect())
}

fn shown(command: &[Vec<u8>]) -> String {
    let words: Vec<String> = command.iter().map(|word| word.escape_ascii().to_string()).collect();
    format!("{words:?}")
}

/// Clients learn from COMMAND INFO which arguments are keys: that must be as in Redis too. Redis has
/// notes on two commands, in words of its own.
fn compare_descriptions(redis: &mut Side, ours: &mut Side) {
    let all = COMMANDS.iter().flat_map(|command| command.subcommands.iter().chain([command]));
    let has_notes = |name| ["getex", "set"].contains(&name);
    let is_described =
        |it: &&server::command::Command| it.keys != Keys::None || it.group == Group::Transactions;
    for command in all.filter(is_described).filter(|it| !has_notes(it.name)) {
        let line = format!("COMMAND INFO {}", command.name);
        let (redis, ours) = (redis.ask(&line), ours.ask(&line));
        assert!(
            redis == ours,
            "{line}\n redis: {}\n  ours: {}",
            redis.escape_ascii(),
            ours.escape_ascii()
        );
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn the_same_commands_get_the_same_replies_as_from_redis() {
    let folder = tempfile::tempdir().unwrap();
    let Some(redis) = Redis::start(folder.path()) else {
        println!("redis-server is not installed: nothing was compared");
        return;
    };
    let ours = Ours::start(&folder.path().join("ours"));
    let mut dice = Dice(setting("DIFFERENTIAL_SEED", 1));
    let commands = setting("DIFFERENTIAL_COMMANDS", COMPARED);
    for version in ["2", "3"] {
        let mut expected = Side::connect("redis", redis.port);
        let mut found = Side::connect("ours", ours.port);
        for side in [&mut expected, &mut found] {
            let hello = side.ask(&format!("HELLO {version}"));
            assert!(!hello.starts_with(b"-"), "{hello:?}");
        }
        compare_descriptions(&mut expected, &mut found);
        let mut compared = 0;
        while compared < commands {
            let mut batch = Vec::new();
            while batch.len() < PIPELINE {
                batch.extend(draw(&mut dice));
            }
            expected.send(&batch);
            found.send(&batch);
            for (at, command) in batch.iter().enumerate() {
                let (redis, ours) = (expected.reply(), found.reply());
                assert!(
                    redis == ours
                        || (is_drawn(command, &redis) && outline(&redis) == outline(&ours)),
                    "{}\n redis: {}\n  ours: {}\nafter:\n{}",
                    shown(command),
                    redis.escape_ascii(),
                    ours.escape_ascii(),
                    batch[at.saturating_sub(SHOWN)..at]
                        .iter()
                        .map(|it| shown(it) + "\n")
                        .collect::<String>()
                );
                compared += 1;
            }
        }
        println!("version {version}: {compared} commands, no difference");
    }
    ours.stop();
}
