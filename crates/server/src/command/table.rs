//! The rows.

use super::spec::{Command, Flags, Group, Keys, Survey, Transaction, Work};
use crate::data::{bits, hash_walk, hashes, keys, strings};
use crate::front::{clients, cluster, commands, info, operate, talk};

const DENYOOM: Flags = Flags::DENYOOM;
const FAST: Flags = Flags::FAST;
/// What commands have that are always answered.
const ALWAYS: Flags = Flags::LOADING.and(Flags::STALE);
const NOSCRIPT: Flags = ALWAYS.and(Flags::NOSCRIPT);
const ADMIN: Flags = NOSCRIPT.and(Flags::ADMIN);
/// What commands have that begin or end a conversation.
const GREETING: Flags = NOSCRIPT.and(FAST).and(Flags::NO_AUTH).and(Flags::ALLOW_BUSY);

/// What commands have that begin or end a transaction.
const TRANSACTION: Flags = NOSCRIPT.and(FAST).and(Flags::ALLOW_BUSY);
/// A connection does not change while its transaction is done.
const NO_MULTI: Flags = Flags::NO_MULTI;

const ACCESS: &[&str] = &["RO", "access"];
const LOOK: &[&str] = &["RO"];
const UPDATE: &[&str] = &["RW", "update"];
const ACCESS_UPDATE: &[&str] = &["RW", "access", "update"];
const ACCESS_DELETE: &[&str] = &["RW", "access", "delete"];
const OVERWRITE: &[&str] = &["OW", "update"];
const INSERT: &[&str] = &["OW", "insert"];
const DELETE: &[&str] = &["RM", "delete"];

const SUM: &[&str] = &["request_policy:multi_shard", "response_policy:agg_sum"];
const SPREAD: &[&str] = &["request_policy:multi_shard"];
const SPREAD_ALL: &[&str] = &["request_policy:multi_shard", "response_policy:all_succeeded"];
const VARYING: &[&str] = &["nondeterministic_output"];
const VARYING_ORDER: &[&str] = &["nondeterministic_output_order"];

/// Every command, sorted by name.
#[rustfmt::skip]
pub static COMMANDS: &[Command] = &[
    Command::write("append", 3, Keys::First, &["RW", "insert"], strings::append).flags(DENYOOM.and(FAST))
        .docs(Group::String, "2.0.0", "O(N) with the value's length.", "Puts bytes behind a value; a missing key counts as empty."),
    Command::talk("asking", 1, talk::asking).flags(FAST)
        .docs(Group::Cluster, "3.0.0", "O(1)", "Accepted for clients that send it; keys never move between groups."),
    Command::read("bitcount", -2, Keys::First, ACCESS, bits::bitcount).slow()
        .docs(Group::Bitmap, "2.6.0", "O(N) with the value's length.", "How many bits of a value are 1."),
    Command::write("bitop", -4, Keys::FromSecond, OVERWRITE, bits::bitop).flags(DENYOOM).rest(ACCESS)
        .docs(Group::Bitmap, "2.6.0", "O(N) with the longest value.", "Combines the bits of several values into another key."),
    Command::read("bitpos", -3, Keys::First, ACCESS, bits::bitpos).slow()
        .docs(Group::Bitmap, "2.8.7", "O(N) with the value's length.", "Where the first 1 or 0 of a value is."),
    Command::family("client", -2, Work::Subcommand, CLIENT)
        .docs(Group::Connection, "2.4.0", "Depends on subcommand.", "What the node knows about its clients."),
    Command::family("cluster", -2, Work::Subcommand, CLUSTER)
        .docs(Group::Cluster, "3.0.0", "Depends on subcommand.", "Which node serves which slots."),
    Command::family("command", -1, Work::Talk(commands::command), COMMAND).flags(ALWAYS).tips(VARYING_ORDER)
        .docs(Group::Server, "2.8.13", "O(N) with the number of commands.", "What every command takes and does."),
    Command::family("config", -2, Work::Subcommand, CONFIG)
        .docs(Group::Server, "2.0.0", "Depends on subcommand.", "What the node is set to."),
    Command::write("copy", -3, Keys::FirstTwo, ACCESS, keys::copy).flags(DENYOOM).rest(OVERWRITE)
        .docs(Group::Generic, "6.2.0", "O(N) with the size of a hash, O(1) for a string.", "Copies a key of a slot to another one."),
    Command::survey("dbsize", 1, Survey::Size).flags(Flags::READONLY.and(FAST))
        .tips(&["request_policy:all_shards", "response_policy:agg_sum"])
        .docs(Group::Server, "1.0.0", "O(N) with the groups that the node leads.", "How many keys the groups have that this node leads."),
    Command::write("decr", 2, Keys::First, ACCESS_UPDATE, strings::decr).flags(DENYOOM.and(FAST))
        .docs(Group::String, "1.0.0", "O(1)", "Subtracts one from an integer; a missing key counts as 0."),
    Command::write("decrby", 3, Keys::First, ACCESS_UPDATE, strings::decrby).flags(DENYOOM.and(FAST))
        .docs(Group::String, "1.0.0", "O(1)", "Subtracts from an integer; a missing key counts as 0."),
    Command::write("del", -2, Keys::All, DELETE, keys::delete).tips(SUM)
        .docs(Group::Generic, "1.0.0", "O(N) with the keys named.", "Deletes keys of one slot and tells how many there were."),
    Command::transaction("discard", 1, Transaction::Discard).flags(TRANSACTION)
        .docs(Group::Transactions, "2.0.0", "O(N) with the commands queued.", "Forgets what MULTI has queued and WATCH watches."),
    Command::talk("echo", 2, talk::echo).flags(ALWAYS.and(FAST))
        .docs(Group::Connection, "1.0.0", "O(1)", "Says what it is told."),
    Command::transaction("exec", 1, Transaction::Exec).flags(NOSCRIPT.and(Flags::SKIP_SLOWLOG))
        .docs(Group::Transactions, "1.2.0", "Depends on the commands queued.", "Does what was queued as one, or nothing if a watched key has changed."),
    Command::read("exists", -2, Keys::All, LOOK, keys::exists).tips(SUM)
        .docs(Group::Generic, "1.0.0", "O(N) with the keys named.", "How many of the keys of one slot exist."),
    Command::write("expire", -3, Keys::First, UPDATE, keys::expire).flags(FAST)
        .docs(Group::Generic, "1.0.0", "O(1)", "Lets a key live for that many seconds more."),
    Command::write("expireat", -3, Keys::First, UPDATE, keys::expireat).flags(FAST)
        .docs(Group::Generic, "1.2.0", "O(1)", "Lets a key live until that second."),
    Command::read("expiretime", 2, Keys::First, ACCESS, keys::expiretime)
        .docs(Group::Generic, "7.0.0", "O(1)", "The second until which a key lives."),
    Command::read("get", 2, Keys::First, ACCESS, strings::get)
        .docs(Group::String, "1.0.0", "O(1)", "The value of a key."),
    Command::read("getbit", 3, Keys::First, ACCESS, bits::getbit)
        .docs(Group::Bitmap, "2.2.0", "O(1)", "One bit of a value."),
    Command::write("getdel", 2, Keys::First, ACCESS_DELETE, strings::getdel).flags(FAST)
        .docs(Group::String, "6.2.0", "O(1)", "The value of a key, which is deleted."),
    Command::write("getex", -2, Keys::First, ACCESS_UPDATE, strings::getex).flags(FAST)
        .docs(Group::String, "6.2.0", "O(1)", "The value of a key, whose time to live changes."),
    Command::read("getrange", 4, Keys::First, ACCESS, strings::getrange).slow()
        .docs(Group::String, "2.4.0", "O(1)", "A part of a value."),
    Command::write("getset", 3, Keys::First, ACCESS_UPDATE, strings::getset).flags(DENYOOM.and(FAST))
        .docs(Group::String, "1.0.0", "O(1)", "The value of a key before it is set to another."),
    Command::write("hdel", -3, Keys::First, &["RW", "delete"], hashes::hdel).flags(FAST)
        .docs(Group::Hash, "2.0.0", "O(N) with the fields named; up to 128 steps for each.", "Deletes fields and tells how many there were."),
    Command::talk("hello", -1, talk::hello).flags(GREETING.and(NO_MULTI))
        .docs(Group::Connection, "6.0.0", "O(1)", "Agrees on a version of the protocol."),
    Command::read("hexists", 3, Keys::First, LOOK, hashes::hexists)
        .docs(Group::Hash, "2.0.0", "O(1)", "Whether a hash has a field."),
    Command::read("hget", 3, Keys::First, ACCESS, hashes::hget)
        .docs(Group::Hash, "2.0.0", "O(1)", "The value of a field."),
    Command::read("hgetall", 2, Keys::First, ACCESS, hashes::hgetall).slow().tips(VARYING_ORDER)
        .docs(Group::Hash, "2.0.0", "O(N) with the size of the hash.", "All fields and their values."),
    Command::write("hincrby", 4, Keys::First, ACCESS_UPDATE, hashes::hincrby).flags(DENYOOM.and(FAST))
        .docs(Group::Hash, "2.0.0", "O(1)", "Adds to an integer in a field; a missing one counts as 0."),
    Command::write("hincrbyfloat", 4, Keys::First, ACCESS_UPDATE, hashes::hincrbyfloat).flags(DENYOOM.and(FAST))
        .docs(Group::Hash, "2.6.0", "O(1)", "Adds to a number in a field; a missing one counts as 0."),
    Command::read("hkeys", 2, Keys::First, ACCESS, hashes::hkeys).slow().tips(VARYING_ORDER)
        .docs(Group::Hash, "2.0.0", "O(N) with the size of the hash.", "All fields."),
    Command::read("hlen", 2, Keys::First, LOOK, hashes::hlen)
        .docs(Group::Hash, "2.0.0", "O(1)", "How many fields a hash has."),
    Command::read("hmget", -3, Keys::First, ACCESS, hashes::hmget)
        .docs(Group::Hash, "2.0.0", "O(N) with the fields named.", "The values of fields."),
    Command::write("hmset", -4, Keys::First, UPDATE, hashes::hmset).flags(DENYOOM.and(FAST))
        .docs(Group::Hash, "2.0.0", "O(N) with the fields named.", "Sets fields."),
    Command::read("hrandfield", -2, Keys::First, ACCESS, hash_walk::hrandfield).slow().tips(VARYING)
        .docs(Group::Hash, "6.2.0", "O(N) with the fields asked for.", "Some fields of a hash, drawn by chance."),
    Command::read("hscan", -3, Keys::First, ACCESS, hash_walk::hscan).slow().tips(VARYING)
        .docs(Group::Hash, "2.8.0", "O(N) with the fields looked at.", "Walks the fields of a hash; a small one is given whole."),
    Command::write("hset", -4, Keys::First, UPDATE, hashes::hset).flags(DENYOOM.and(FAST))
        .docs(Group::Hash, "2.0.0", "O(N) with the fields named.", "Sets fields and tells how many are new."),
    Command::write("hsetnx", 4, Keys::First, &["RW", "insert"], hashes::hsetnx).flags(DENYOOM.and(FAST))
        .docs(Group::Hash, "2.0.0", "O(1)", "Sets a field that does not exist."),
    Command::read("hstrlen", 3, Keys::First, LOOK, hashes::hstrlen)
        .docs(Group::Hash, "3.2.0", "O(1)", "How many bytes the value of a field has."),
    Command::read("hvals", 2, Keys::First, ACCESS, hashes::hvals).slow().tips(VARYING_ORDER)
        .docs(Group::Hash, "2.0.0", "O(N) with the size of the hash.", "All values."),
    Command::write("incr", 2, Keys::First, ACCESS_UPDATE, strings::incr).flags(DENYOOM.and(FAST))
        .docs(Group::String, "1.0.0", "O(1)", "Adds one to an integer; a missing key counts as 0."),
    Command::write("incrby", 3, Keys::First, ACCESS_UPDATE, strings::incrby).flags(DENYOOM.and(FAST))
        .docs(Group::String, "1.0.0", "O(1)", "Adds to an integer; a missing key counts as 0."),
    Command::write("incrbyfloat", 3, Keys::First, ACCESS_UPDATE, strings::incrbyfloat).flags(DENYOOM.and(FAST))
        .docs(Group::String, "2.6.0", "O(1)", "Adds to a number; a missing key counts as 0."),
    Command::talk("info", -1, info::info).flags(ALWAYS)
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])
        .docs(Group::Server, "1.0.0", "O(N) with the groups of the node.", "How the node is, as text."),
    Command::survey("keys", 2, Survey::Keys).flags(Flags::READONLY)
        .tips(&["request_policy:all_shards", "nondeterministic_output_order"])
        .docs(Group::Generic, "1.0.0", "O(N) with the keys of the groups that this node leads.", "All keys that match a pattern, of the groups that this node leads."),
    Command::read("mget", -2, Keys::All, ACCESS, strings::mget).tips(SPREAD)
        .docs(Group::String, "1.0.0", "O(N) with the keys named.", "The values of keys of one slot."),
    Command::write("mset", -3, Keys::Pairs, OVERWRITE, strings::mset).flags(DENYOOM).tips(SPREAD_ALL)
        .docs(Group::String, "1.0.1", "O(N) with the keys named.", "Sets keys of one slot, all at once."),
    Command::write("msetnx", -3, Keys::Pairs, INSERT, strings::msetnx).flags(DENYOOM)
        .tips(&["request_policy:multi_shard", "response_policy:agg_min"])
        .docs(Group::String, "1.0.1", "O(N) with the keys named.", "Sets keys of one slot, all at once, if none of them exists."),
    Command::transaction("multi", 1, Transaction::Multi).flags(TRANSACTION)
        .docs(Group::Transactions, "1.2.0", "O(1)", "Begins to queue commands, on keys of one slot, for EXEC."),
    Command::family("multiraft", -2, Work::Subcommand, MULTIRAFT)
        .docs(Group::Server, "7.0.0", "Depends on subcommand.", "How the node and its groups are, and who leads them."),
    Command::family("object", -2, Work::Subcommand, OBJECT)
        .docs(Group::Generic, "2.2.3", "Depends on subcommand.", "What a key's value would be kept in."),
    Command::write("persist", 2, Keys::First, UPDATE, keys::persist).flags(FAST)
        .docs(Group::Generic, "2.2.0", "O(1)", "Lets a key live for ever."),
    Command::write("pexpire", -3, Keys::First, UPDATE, keys::pexpire).flags(FAST)
        .docs(Group::Generic, "2.6.0", "O(1)", "Lets a key live for that many milliseconds more."),
    Command::write("pexpireat", -3, Keys::First, UPDATE, keys::pexpireat).flags(FAST)
        .docs(Group::Generic, "2.6.0", "O(1)", "Lets a key live until that millisecond."),
    Command::read("pexpiretime", 2, Keys::First, ACCESS, keys::pexpiretime)
        .docs(Group::Generic, "7.0.0", "O(1)", "The millisecond until which a key lives."),
    Command::talk("ping", -1, talk::ping).flags(FAST)
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .docs(Group::Connection, "1.0.0", "O(1)", "Answers."),
    Command::write("psetex", 4, Keys::First, OVERWRITE, strings::psetex).flags(DENYOOM)
        .docs(Group::String, "2.6.0", "O(1)", "Sets a key that lives for that many milliseconds."),
    Command::read("pttl", 2, Keys::First, ACCESS, keys::pttl).tips(VARYING)
        .docs(Group::Generic, "2.6.0", "O(1)", "How many milliseconds a key has left."),
    Command::talk("quit", -1, talk::quit).flags(GREETING)
        .docs(Group::Connection, "1.0.0", "O(1)", "Closes the connection."),
    Command::survey("randomkey", 1, Survey::RandomKey).flags(Flags::READONLY)
        .tips(&["request_policy:all_shards", "nondeterministic_output"])
        .docs(Group::Generic, "1.0.0", "O(N) with the groups that this node leads.", "Some key of the groups that this node leads."),
    Command::talk("readonly", 1, talk::readonly).flags(ALWAYS.and(FAST).and(NO_MULTI))
        .docs(Group::Cluster, "3.0.0", "O(1)", "Accepted for clients that send it; reads still go to leaders."),
    Command::talk("readwrite", 1, talk::readwrite).flags(ALWAYS.and(FAST).and(NO_MULTI))
        .docs(Group::Cluster, "3.0.0", "O(1)", "Undoes READONLY."),
    Command::write("rename", 3, Keys::FirstTwo, ACCESS_DELETE, keys::rename).rest(OVERWRITE)
        .docs(Group::Generic, "1.0.0", "O(1)", "Gives a key another name within its slot."),
    Command::write("renamenx", 3, Keys::FirstTwo, ACCESS_DELETE, keys::renamenx).flags(FAST).rest(INSERT)
        .docs(Group::Generic, "1.0.0", "O(1)", "Gives a key another name within its slot that no key has."),
    Command::talk("reset", 1, talk::reset).flags(GREETING)
        .docs(Group::Connection, "6.2.0", "O(1)", "Makes the connection as new."),
    Command::survey("scan", -2, Survey::Scan).flags(Flags::READONLY)
        .tips(&["nondeterministic_output", "request_policy:special"])
        .docs(Group::Generic, "2.8.0", "O(N) with the keys looked at.", "Walks the keys of the groups that this node leads."),
    Command::talk("select", 2, talk::select).flags(ALWAYS.and(FAST))
        .docs(Group::Connection, "1.0.0", "O(1)", "There is only database 0."),
    Command::write("set", -3, Keys::First, &["RW", "access", "update", "variable_flags"], strings::set).flags(DENYOOM)
        .docs(Group::String, "1.0.0", "O(1)", "Sets a key, with conditions and a time to live."),
    Command::write("setbit", 4, Keys::First, ACCESS_UPDATE, bits::setbit).flags(DENYOOM)
        .docs(Group::Bitmap, "2.2.0", "O(N) with the value's length.", "Sets one bit of a value and tells what it was."),
    Command::write("setex", 4, Keys::First, OVERWRITE, strings::setex).flags(DENYOOM)
        .docs(Group::String, "2.0.0", "O(1)", "Sets a key that lives for that many seconds."),
    Command::write("setnx", 3, Keys::First, INSERT, strings::setnx).flags(DENYOOM.and(FAST))
        .docs(Group::String, "1.0.0", "O(1)", "Sets a key that does not exist."),
    Command::write("setrange", 4, Keys::First, UPDATE, strings::setrange).flags(DENYOOM)
        .docs(Group::String, "2.2.0", "O(N) with the value's length.", "Puts bytes into a value from an offset on."),
    Command::read("strlen", 2, Keys::First, LOOK, strings::strlen)
        .docs(Group::String, "2.2.0", "O(1)", "How many bytes a value has."),
    Command::read("substr", 4, Keys::First, ACCESS, strings::getrange).slow()
        .docs(Group::String, "1.0.0", "O(1)", "A part of a value; GETRANGE is the same."),
    Command::talk("time", 1, talk::time).flags(ALWAYS.and(FAST)).tips(VARYING)
        .docs(Group::Server, "2.6.0", "O(1)", "The node's clock: seconds and microseconds."),
    Command::read("touch", -2, Keys::All, LOOK, keys::exists).tips(SUM)
        .docs(Group::Generic, "3.2.1", "O(N) with the keys named.", "How many of the keys of one slot exist; nothing is remembered."),
    Command::read("ttl", 2, Keys::First, ACCESS, keys::ttl).tips(VARYING)
        .docs(Group::Generic, "1.0.0", "O(1)", "How many seconds a key has left."),
    Command::read("type", 2, Keys::First, LOOK, keys::kind)
        .docs(Group::Generic, "1.0.0", "O(1)", "What kind of value a key has."),
    Command::write("unlink", -2, Keys::All, DELETE, keys::delete).flags(FAST).tips(SUM)
        .docs(Group::Generic, "4.0.0", "O(N) with the keys named.", "Deletes keys of one slot and tells how many there were."),
    Command::transaction("unwatch", 1, Transaction::Unwatch).flags(TRANSACTION)
        .docs(Group::Transactions, "2.2.0", "O(1)", "Watches no key any more."),
    Command::talk("wait", 3, talk::wait).flags(Flags::NOSCRIPT)
        .tips(&["request_policy:all_shards", "response_policy:agg_min"])
        .docs(Group::Generic, "3.0.0", "O(1)", "How many other nodes are sure to have every acknowledged write."),
    Command::transaction("watch", -2, Transaction::Watch).keys(Keys::All, LOOK).flags(TRANSACTION)
        .docs(Group::Transactions, "2.2.0", "O(N) with the keys named.", "Lets EXEC do nothing if one of these keys changes before it."),
];

#[rustfmt::skip]
static CLIENT: &[Command] = &[
    Command::talk("client|getname", 2, clients::getname).flags(NOSCRIPT)
        .docs(Group::Connection, "2.6.9", "O(1)", "What the connection calls itself."),
    Command::talk("client|help", 2, commands::help).flags(ALWAYS)
        .docs(Group::Connection, "5.0.0", "O(1)", "Lists the subcommands."),
    Command::talk("client|id", 2, clients::id).flags(NOSCRIPT)
        .docs(Group::Connection, "5.0.0", "O(1)", "The connection's number."),
    Command::talk("client|info", 2, clients::client_info).flags(NOSCRIPT).tips(VARYING)
        .docs(Group::Connection, "6.2.0", "O(1)", "What the node knows about the connection."),
    Command::talk("client|list", -2, clients::list).flags(ADMIN).tips(VARYING)
        .docs(Group::Connection, "2.4.0", "O(N) with the connections.", "What the node knows about all connections."),
    Command::talk("client|no-evict", 3, clients::on_off).flags(ADMIN)
        .docs(Group::Connection, "7.0.0", "O(1)", "Accepted; nobody is ever evicted."),
    Command::talk("client|no-touch", 3, clients::on_off).flags(NOSCRIPT)
        .docs(Group::Connection, "7.2.0", "O(1)", "Accepted; no access is ever remembered."),
    Command::talk("client|setinfo", 4, clients::setinfo).flags(NOSCRIPT.and(NO_MULTI))
        .docs(Group::Connection, "7.2.0", "O(1)", "Which library is talking."),
    Command::talk("client|setname", 3, clients::setname).flags(NOSCRIPT.and(NO_MULTI))
        .docs(Group::Connection, "2.6.9", "O(1)", "Names the connection."),
];

#[rustfmt::skip]
static CLUSTER: &[Command] = &[
    Command::survey("cluster|countkeysinslot", 3, Survey::CountInSlot).flags(Flags::STALE)
        .docs(Group::Cluster, "3.0.0", "O(N) with the keys that have just expired.", "How many keys a slot has, if this node leads it."),
    Command::survey("cluster|getkeysinslot", 4, Survey::KeysInSlot).flags(Flags::STALE).tips(VARYING)
        .docs(Group::Cluster, "3.0.0", "O(N) with the keys asked for.", "Some keys of a slot, if this node leads it."),
    Command::talk("cluster|help", 2, commands::help).flags(ALWAYS)
        .docs(Group::Cluster, "5.0.0", "O(1)", "Lists the subcommands."),
    Command::talk("cluster|info", 2, cluster::cluster_info).flags(Flags::STALE).tips(VARYING)
        .docs(Group::Cluster, "3.0.0", "O(N) with the groups.", "How the cluster is, as text."),
    Command::talk("cluster|keyslot", 3, cluster::keyslot).flags(Flags::STALE)
        .docs(Group::Cluster, "3.0.0", "O(N) with the key's length.", "The slot of a key."),
    Command::talk("cluster|links", 2, cluster::links).flags(Flags::STALE).tips(VARYING)
        .docs(Group::Cluster, "7.0.0", "O(N) with the nodes.", "Always empty: nodes are not joined by Redis's own links."),
    Command::talk("cluster|myid", 2, cluster::myid).flags(Flags::STALE)
        .docs(Group::Cluster, "3.0.0", "O(1)", "What the node is called."),
    Command::talk("cluster|nodes", 2, cluster::nodes).flags(Flags::STALE).tips(VARYING)
        .docs(Group::Cluster, "3.0.0", "O(N) with the groups.", "The nodes and the slots that they lead, as text."),
    Command::talk("cluster|shards", 2, cluster::shards).flags(Flags::STALE).tips(VARYING)
        .docs(Group::Cluster, "7.0.0", "O(N) with the groups.", "The nodes and the slots that they lead."),
    Command::talk("cluster|slots", 2, cluster::slots).flags(Flags::STALE).tips(VARYING)
        .docs(Group::Cluster, "3.0.0", "O(N) with the groups.", "Ranges of slots and who leads them."),
];

#[rustfmt::skip]
static COMMAND: &[Command] = &[
    Command::talk("command|count", 2, commands::count).flags(ALWAYS)
        .docs(Group::Server, "2.8.13", "O(1)", "How many commands there are."),
    Command::talk("command|docs", -2, commands::docs).flags(ALWAYS).tips(VARYING_ORDER)
        .docs(Group::Server, "7.0.0", "O(N) with the commands named.", "What commands are for."),
    Command::talk("command|getkeys", -4, commands::getkeys).flags(ALWAYS)
        .docs(Group::Server, "2.8.13", "O(N) with the arguments.", "Which arguments of a command are keys."),
    Command::talk("command|help", 2, commands::help).flags(ALWAYS)
        .docs(Group::Server, "5.0.0", "O(1)", "Lists the subcommands."),
    Command::talk("command|info", -2, commands::command_info).flags(ALWAYS).tips(VARYING_ORDER)
        .docs(Group::Server, "2.8.13", "O(N) with the commands named.", "What commands take."),
    Command::talk("command|list", -2, commands::list).flags(ALWAYS).tips(VARYING_ORDER)
        .docs(Group::Server, "7.0.0", "O(N) with the number of commands.", "The names of the commands."),
];

#[rustfmt::skip]
static CONFIG: &[Command] = &[
    Command::talk("config|get", -3, info::config_get).flags(ADMIN)
        .docs(Group::Server, "2.0.0", "O(N) with the patterns.", "What the node is set to, in Redis's names."),
    Command::talk("config|help", 2, commands::help).flags(ALWAYS)
        .docs(Group::Server, "5.0.0", "O(1)", "Lists the subcommands."),
    Command::talk("config|resetstat", 2, info::config_resetstat).flags(ADMIN)
        .docs(Group::Server, "2.0.0", "O(1)", "Lets the counts of INFO begin anew."),
];

#[rustfmt::skip]
static MULTIRAFT: &[Command] = &[
    Command::survey("multiraft|explain", 3, Survey::Explain).flags(ADMIN).tips(VARYING)
        .docs(Group::Server, "7.0.0", "O(N) with the groups of the node.", "EXPLAIN group: what a group waits for, in sentences."),
    Command::talk("multiraft|help", 2, commands::help).flags(ALWAYS)
        .docs(Group::Server, "7.0.0", "O(1)", "Lists the subcommands."),
    Command::talk("multiraft|log", -2, operate::log).flags(ADMIN.and(NO_MULTI))
        .docs(Group::Server, "7.0.0", "O(1)", "LOG [filter]: what is logged, or from now on, as with --log: a level, or info,engine=debug."),
    Command::survey("multiraft|status", -2, Survey::Status).flags(ADMIN).tips(VARYING)
        .docs(Group::Server, "7.0.0", "O(N log N) with the groups of the node.", "STATUS [LIMIT count] [OFFSET count]: the node, the others and the groups as JSON, worst first."),
    Command::survey("multiraft|transfer", 4, Survey::Transfer).flags(ADMIN)
        .docs(Group::Server, "7.0.0", "A few round trips, at most about one election timeout.", "TRANSFER group node: hands a group that this node leads to another node."),
];

#[rustfmt::skip]
static OBJECT: &[Command] = &[
    Command::read("object|encoding", 3, Keys::Second, LOOK, keys::encoding).slow().tips(VARYING)
        .docs(Group::Generic, "2.2.3", "O(N) with the size of a hash, up to 128.", "What Redis would keep the value in."),
    Command::read("object|freq", 3, Keys::Second, LOOK, keys::freq).slow().tips(VARYING)
        .docs(Group::Generic, "4.0.0", "O(1)", "Refused, as by a Redis that evicts nothing."),
    Command::talk("object|help", 2, commands::help).flags(ALWAYS)
        .docs(Group::Generic, "6.2.0", "O(1)", "Lists the subcommands."),
    Command::read("object|refcount", 3, Keys::Second, LOOK, keys::refcount).slow().tips(VARYING)
        .docs(Group::Generic, "2.2.3", "O(1)", "1, if there is such a key."),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = &'static Command> {
        COMMANDS.iter().flat_map(|command| command.subcommands.iter().chain([command]))
    }

    #[test]
    fn rows_are_sorted_and_unique() {
        assert!(COMMANDS.is_sorted_by(|a, b| a.name < b.name));
        for command in COMMANDS {
            assert!(command.subcommands.is_sorted_by(|a, b| a.name < b.name), "{}", command.name);
        }
    }

    #[test]
    fn rows_are_complete_and_agree_with_themselves() {
        for command in all() {
            let name = command.name;
            assert!(!command.summary.is_empty() && !command.since.is_empty(), "{name}");
            assert_eq!(name, name.to_ascii_lowercase());
            let has_keys = command.keys != Keys::None;
            let touches_keys = matches!(
                command.work,
                Work::Write(_) | Work::Read(_) | Work::Transaction(Transaction::Watch)
            );
            assert_eq!(has_keys, touches_keys, "{name}");
            assert_eq!(has_keys, !command.key_use.is_empty(), "{name}");
            let is_write = matches!(command.work, Work::Write(_));
            assert_eq!(is_write, command.flags.has(Flags::WRITE), "{name}");
            // Keys are looked for only after the arity was checked.
            assert!(!has_keys || command.arity.unsigned_abs() >= 2, "{name}");
            let is_family = matches!(command.work, Work::Subcommand);
            assert!(!is_family || !command.subcommands.is_empty(), "{name}");
        }
    }

    #[test]
    fn subcommands_carry_the_name_of_their_command() {
        for command in COMMANDS {
            for subcommand in command.subcommands {
                let family = subcommand.name.split_once('|').map(|(family, _)| family);
                assert_eq!(family, Some(command.name));
            }
        }
    }
}
