//! Where the log meets the keys: one keyspace per group, shared between the thread that applies
//! entries and the connections that read.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{RwLock, RwLockReadGuard};
use routing::{HASH_SLOTS, RoutingTable};
use types::GroupId;

use super::{CommandError, Keyspace, entry};
use crate::command::{Work, find};
use crate::resp::{Protocol, Reply, Span};

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
        Some(Applier { keyspace, spans: Vec::new() })
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
    /// Scratch for arguments.
    spans: Vec<Span>,
}

impl Applier {
    /// Applies payloads in log order and tells the result of each, as version 3 of the protocol
    /// writes it. Readers see all of them or none.
    pub fn apply_payloads<'a>(&mut self, payloads: impl Iterator<Item = &'a [u8]>) -> Vec<Bytes> {
        let mut keyspace = self.keyspace.write();
        let spans = &mut self.spans;
        payloads.map(|payload| to_result(&apply(&mut keyspace, payload, spans))).collect()
    }
}

/// Applies one payload. One that makes no sense has that as its result, the same everywhere.
fn apply(keyspace: &mut Keyspace, payload: &[u8], spans: &mut Vec<Span>) -> Reply {
    let (stamp, args) = match entry::decode(payload, spans) {
        Ok(decoded) => decoded,
        Err(error) => return CommandError::from(error).into(),
    };
    let parse = match find(args) {
        Ok(command) => match command.work {
            Work::Write(parse) => parse,
            Work::Read(_) | Work::Survey(_) | Work::Talk(_) | Work::Subcommand => {
                return CommandError::NoWrite { command: command.name }.into();
            }
        },
        Err(error) => return error.into(),
    };
    match parse(args) {
        Ok(write) => {
            keyspace.advance(stamp);
            keyspace.write(&write)
        }
        Err(error) => error.into(),
    }
}

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

    fn payload(stamp: u64, line: &str) -> Bytes {
        let words: Vec<&str> = line.split(' ').collect();
        entry::encode(UnixMillis(stamp), Request::of(&words).args())
    }

    #[test]
    fn entries_are_applied_in_order_and_seen_by_readers() {
        let keyspaces = keyspaces();
        let mut applier = keyspaces.applier(GroupId(1)).unwrap();
        let payloads = [payload(1, "SET k 1"), payload(2, "incr k"), payload(3, "GETDEL none")];
        let results = applier.apply_payloads(payloads.iter().map(|payload| &payload[..]));
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
        let payloads = [&b""[..], b"\x02", &get, &unknown, &short, &bad];
        let results = applier.apply_payloads(payloads.into_iter());
        let expected = [
            "-ERR malformed log entry: version None, expected 1\r\n",
            "-ERR malformed log entry: version Some(2), expected 1\r\n",
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
        keyspaces.applier(GroupId(1)).unwrap().apply_payloads([&entry[..]].into_iter());
        assert_eq!(keyspaces.look(GroupId(1)).unwrap().len(UnixMillis(0)), 1);
        keyspaces.applier(GroupId(1)).unwrap();
        assert!(keyspaces.look(GroupId(1)).unwrap().is_empty(UnixMillis(0)));
        assert!(keyspaces.applier(GroupId(2)).is_none());
        assert!(keyspaces.look(GroupId(0)).is_none());
    }
}
