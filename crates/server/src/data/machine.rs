//! Where the log meets the keys: one keyspace per group, shared between the thread that applies
//! entries and the connections that read.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{RwLock, RwLockReadGuard};
use routing::{HASH_SLOTS, RoutingTable};
use types::{GroupId, LogIndex};

use super::dice::Dice;
use super::entry::{Content, Scratch, Transaction};
use super::{CommandError, Keyspace, Write, entry};
use crate::command::{Work, find};
use crate::resp::{Args, Protocol, Reply};

/// The keyspaces of all groups of a table.
#[derive(Debug)]
pub struct Keyspaces {
    /// The one of group n stands at n - 1.
    groups: Vec<Arc<RwLock<Keyspace>>>,
}

impl Keyspaces {
    /// Empty ones, each for the slots that the table gives its group.
    ///
    /// # Panics
    /// If the table has other vshards than the 16,384 slots: then keys have no place in it.
    pub fn new(table: &RoutingTable) -> Self {
        assert_eq!(table.vshards(), HASH_SLOTS, "a slot's vshard is its number");
        let slot = |vshard| u16::try_from(vshard).expect("a slot has 14 bits");
        let keyspace = |group| {
            let vshards = table.vshards_of(group);
            Keyspace::new(slot(vshards.start)..slot(vshards.end))
        };
        let groups = table.groups().map(|group| Arc::new(RwLock::new(keyspace(group)))).collect();
        Self { groups }
    }

    /// Looks at a group's keys; nothing if the table does not have the group. Applying waits
    /// meanwhile, so that the caller must not.
    pub fn look(&self, group: GroupId) -> Option<RwLockReadGuard<'_, Keyspace>> {
        self.keyspace(group).map(|keyspace| keyspace.read())
    }

    /// The one that applies a group's entries from the first on, to an empty keyspace; nothing if
    /// the table does not have the group.
    pub fn applier(&self, group: GroupId) -> Option<Applier> {
        let keyspace = Arc::clone(self.keyspace(group)?);
        let slots = keyspace.read().slots().clone();
        *keyspace.write() = Keyspace::new(slots);
        Some(Applier { keyspace, scratch: Scratch::default() })
    }

    fn keyspace(&self, group: GroupId) -> Option<&Arc<RwLock<Keyspace>>> {
        let at = usize::try_from(group.0.checked_sub(1)?).ok()?;
        self.groups.get(at)
    }
}

/// Applies the entries of one group.
#[derive(Debug)]
pub struct Applier {
    keyspace: Arc<RwLock<Keyspace>>,
    scratch: Scratch,
}

impl Applier {
    /// Applies payloads in log order, each with its place in the log, and tells the result of each:
    /// of a command as version 3 of the protocol writes it, of a transaction in the version that it
    /// asks for. Readers see all of them or none.
    pub fn apply_payloads<'a>(
        &mut self,
        payloads: impl Iterator<Item = (LogIndex, &'a [u8])>,
    ) -> Vec<Bytes> {
        let mut keyspace = self.keyspace.write();
        let scratch = &mut self.scratch;
        payloads.map(|(index, payload)| apply(&mut keyspace, index, payload, scratch)).collect()
    }
}

/// Applies one payload. One that makes no sense has that as its result, the same everywhere.
fn apply(keyspace: &mut Keyspace, index: LogIndex, payload: &[u8], scratch: &mut Scratch) -> Bytes {
    match entry::decode(payload, scratch) {
        Ok((stamp, Content::Command(args))) => to_result(&match parse_write(args) {
            Ok(write) => {
                keyspace.advance(index, stamp);
                keyspace.write(&write)
            }
            Err(error) => error.into(),
        }),
        Ok((stamp, Content::Transaction(transaction))) => {
            keyspace.advance(index, stamp);
            let reply = keyspace.transact(&transaction);
            reply.to_bytes(transaction.protocol)
        }
        Ok((stamp, Content::Sweep)) => {
            keyspace.sweep(index, stamp);
            to_result(&Reply::OK)
        }
        Err(error) => to_result(&CommandError::from(error).into()),
    }
}

fn parse_write(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    let command = find(args)?;
    match command.work {
        Work::Write(parse) => parse(args),
        Work::Read(_)
        | Work::Survey(_)
        | Work::Talk(_)
        | Work::Transaction(_)
        | Work::Subcommand => Err(CommandError::NoWrite { command: command.name }),
    }
}

impl Keyspace {
    /// Does all commands of a transaction, reads too, or none if a key that it watches has changed.
    /// A command that fails has that as its reply, and the others are done, as in Redis.
    fn transact(&mut self, transaction: &Transaction<'_>) -> Reply {
        if !transaction.watched.iter().all(|watched| self.is_unchanged(watched)) {
            return Reply::NullArray;
        }
        let mut bytes = 0;
        let mut replies = Vec::new();
        for (place, args) in transaction.commands().enumerate() {
            // Chance that is the same on every replica.
            let seed = self.applied().0.rotate_left(32) ^ place as u64;
            let reply = self.run(args, Dice::new(seed)).unwrap_or_else(Reply::from);
            bytes += reply.cost();
            if bytes <= RESULT_BYTES_MAX {
                replies.push(reply);
            }
        }
        if bytes > RESULT_BYTES_MAX {
            return CommandError::ResultTooLarge { bytes_max: RESULT_BYTES_MAX }.into();
        }
        Reply::Array(replies)
    }

    fn run(&mut self, args: Args<'_>, dice: Dice) -> Result<Reply, CommandError> {
        match find(args)?.work {
            Work::Read(parse) => Ok(self.read(&parse(args)?, self.time(), dice)),
            Work::Write(_)
            | Work::Survey(_)
            | Work::Talk(_)
            | Work::Transaction(_)
            | Work::Subcommand => Ok(self.write(&parse_write(args)?)),
        }
    }
}

/// How large the replies of one transaction may be together, in bytes. Replicas gather them too, so
/// that all must agree when there are too many, though nothing but the replies depends on it.
const RESULT_BYTES_MAX: usize = 64 << 20;

/// The most frequent results need no memory of their own.
fn to_result(reply: &Reply) -> Bytes {
    const FREQUENT: [(Reply, &[u8]); 4] = [
        (Reply::OK, b"+OK\r\n"),
        (Reply::Null, b"_\r\n"),
        (Reply::Integer(0), b":0\r\n"),
        (Reply::Integer(1), b":1\r\n"),
    ];
    let known = FREQUENT.iter().find(|(known, _)| known == reply);
    known.map_or_else(|| reply.to_bytes(Protocol::Resp3), |(_, text)| Bytes::from_static(text))
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod replay_tests;

#[cfg(test)]
mod tests {
    use types::NodeId;

    use super::*;
    use crate::data::UnixMillis;
    use crate::data::dice::Dice;
    use crate::data::strings::StringRead;
    use crate::resp::Request;

    fn keyspaces() -> Keyspaces {
        Keyspaces::new(&RoutingTable::uniform(HASH_SLOTS, 1, &[NodeId(1)], 1).unwrap())
    }

    impl Applier {
        /// Applies payloads behind what was applied.
        fn apply_all<'a>(&mut self, payloads: impl Iterator<Item = &'a [u8]>) -> Vec<Bytes> {
            let first = self.keyspace.read().applied().0 + 1;
            self.apply_payloads((first..).map(LogIndex).zip(payloads))
        }
    }

    fn payload(stamp: u64, line: &str) -> Bytes {
        let words: Vec<&str> = line.split(' ').collect();
        entry::encode(UnixMillis(stamp), Request::of(&words).args())
    }

    #[test]
    fn entries_are_applied_in_order_and_seen_by_readers() {
        let keyspaces = keyspaces();
        let mut applier = keyspaces.applier(GroupId(1)).unwrap();
        let payloads = [payload(1, "SET k 1"), payload(2, "incr k"), payload(3, "GETDEL none")];
        let results = applier.apply_all(payloads.iter().map(|payload| &payload[..]));
        assert_eq!(results, ["+OK\r\n", ":2\r\n", "_\r\n"]);
        let read = StringRead::Get { key: b"k" }.into();
        let look = keyspaces.look(GroupId(1)).unwrap();
        assert_eq!(look.read(&read, UnixMillis(0), Dice::new(0)), Reply::text("2"));
        assert_eq!(look.time(), UnixMillis(3));
    }

    #[test]
    fn nonsense_in_the_log_is_a_result_and_changes_nothing() {
        let keyspaces = keyspaces();
        let mut applier = keyspaces.applier(GroupId(1)).unwrap();
        let before = keyspaces.look(GroupId(1)).unwrap().digest();
        let get = payload(9, "GET k");
        let unknown = payload(9, "FOO k");
        let short = payload(9, "SET k");
        let bad = payload(9, "SET k v EX 0");
        let payloads = [&b""[..], b"\x04", &get, &unknown, &short, &bad];
        let results = applier.apply_all(payloads.into_iter());
        let expected = [
            "-ERR malformed log entry: kind None, expected 1 to 3\r\n",
            "-ERR malformed log entry: kind Some(4), expected 1 to 3\r\n",
            "-ERR malformed log entry: 'get' changes nothing\r\n",
            "-ERR unknown command 'FOO', with args beginning with: 'k' \r\n",
            "-ERR wrong number of arguments for 'set' command\r\n",
            "-ERR invalid expire time in 'set' command\r\n",
        ];
        assert_eq!(results, expected);
        assert_eq!(keyspaces.look(GroupId(1)).unwrap().digest(), before);
    }

    #[test]
    fn a_new_applier_begins_with_an_empty_keyspace() {
        let keyspaces = keyspaces();
        let entry = payload(1, "SET k 1");
        keyspaces.applier(GroupId(1)).unwrap().apply_all([&entry[..]].into_iter());
        assert_eq!(keyspaces.look(GroupId(1)).unwrap().len(UnixMillis(0)), 1);
        keyspaces.applier(GroupId(1)).unwrap();
        assert!(keyspaces.look(GroupId(1)).unwrap().is_empty(UnixMillis(0)));
        assert!(keyspaces.applier(GroupId(2)).is_none());
        assert!(keyspaces.look(GroupId(0)).is_none());
    }
}
