//! Commands that look at several groups, or at one by its slot instead of by a key.
//!
//! They see the groups that this node leads: asked of every node, they see every key once. Each
//! group is looked at only with a permit, so that what was acknowledged before is seen.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use bytes::Bytes;
use types::GroupId;

use super::join::join_all;
use super::operate;
use super::replication::ReadError;
use super::service::Service;
use crate::command::Survey;
use crate::data::scan::{COUNT_MAX, Cursor, Filter, Kinds, Page, Scan, parse_slot};
use crate::data::{CommandError, Keyspace};
use crate::resp::number::parse_integer;
use crate::resp::{Args, Reply};

/// How many groups one call of SCAN looks at, so that many empty ones do not hold it up for long.
const GROUPS_PER_SCAN_MAX: usize = 16;

/// Answers a survey.
pub(crate) async fn answer(service: &Service, survey: Survey, args: Args<'_>) -> Reply {
    let answered = match survey {
        Survey::Size => size(service).await,
        Survey::Scan => match Scan::parse(args) {
            Ok(scan) => scan_from(service, scan).await,
            Err(error) => return error.into(),
        },
        Survey::CountInSlot => match parse_slot(args.at(2)) {
            Ok(slot) => count_in_slot(service, slot).await,
            Err(error) => return error.into(),
        },
        Survey::KeysInSlot => match parse_slot_and_count(args) {
            Ok((slot, count)) => keys_in_slot(service, slot, count).await,
            Err(error) => return error.into(),
        },
        Survey::Keys => keys(service, args.at(1)).await,
        Survey::RandomKey => random_key(service).await,
        Survey::Status => return operate::status(service, args).await,
        Survey::Explain => return operate::explain(service, args).await,
        Survey::Transfer => return operate::transfer(service, args).await,
    };
    answered.unwrap_or_else(refusal)
}

/// What a client is told whose read was not permitted.
pub(crate) fn refusal(error: ReadError) -> Reply {
    match error {
        ReadError::NotLeader => Reply::error("CLUSTERDOWN The slot's group has no leader"),
        ReadError::Overloaded { budget } => overloaded(budget),
        ReadError::Stopped => Reply::error("CLUSTERDOWN The node is stopping"),
    }
}

/// A code of its own, since clients send again by themselves what they are told to try again.
pub(crate) fn overloaded(budget: &str) -> Reply {
    Reply::error(format!("OVERLOADED the {budget} budget is used up, nothing was done; ask later"))
}

/// Looks at a group with a permit; nothing if this node does not lead it.
async fn look<T>(
    service: &Service,
    group: GroupId,
    look: impl FnOnce(&Keyspace) -> T,
) -> Result<Option<T>, ReadError> {
    if !service.replication.leader(group).is_self {
        return Ok(None);
    }
    let vshard = service.topology.first_vshard(group);
    match service.replication.read(vshard).await {
        Ok(()) => Ok(service.keyspaces.look(group).map(|keyspace| look(&keyspace))),
        Err(ReadError::NotLeader) => Ok(None),
        Err(error @ (ReadError::Overloaded { .. } | ReadError::Stopped)) => Err(error),
    }
}

async fn size(service: &Service) -> Result<Reply, ReadError> {
    let groups: Vec<GroupId> = service.led().collect();
    let permit = |group: &GroupId| service.replication.read(service.topology.first_vshard(*group));
    let permits = join_all(groups.iter().map(permit).collect()).await;
    let now = service.now();
    let mut keys = 0;
    for (group, permit) in groups.into_iter().zip(permits) {
        match permit {
            Ok(()) => keys += service.keyspaces.look(group).map_or(0, |it| it.len(now)),
            Err(ReadError::NotLeader) => {}
            Err(error @ (ReadError::Overloaded { .. } | ReadError::Stopped)) => return Err(error),
        }
    }
    Ok(Reply::count(keys))
}

async fn scan_from(service: &Service, mut scan: Scan<'_>) -> Result<Reply, ReadError> {
    let now = service.now();
    let mut keys: Vec<Bytes> = Vec::new();
    let mut groups = 0;
    let mut at = Some(service.topology.group_of(scan.cursor.slot()));
    while let Some(group) = at {
        if groups == GROUPS_PER_SCAN_MAX || scan.count == 0 {
            return Ok(page(scan.cursor, keys));
        }
        if let Some(Page { keys: more, seen, next }) =
            look(service, group, |keyspace| keyspace.scan(&scan, now)).await?
        {
            groups += 1;
            keys.extend(more);
            scan.count = scan.count.saturating_sub(seen);
            if let Some(next) = next {
                return Ok(page(next, keys));
            }
        }
        at = next_group(service, group);
        if let Some(group) = at {
            scan.cursor = start_of(service, group);
        }
    }
    Ok(page(Cursor::START, keys))
}

fn next_group(service: &Service, group: GroupId) -> Option<GroupId> {
    let next = GroupId(group.0 + 1);
    (!service.topology.table.vshards_of(next).is_empty()).then_some(next)
}

fn start_of(service: &Service, group: GroupId) -> Cursor {
    let vshard = service.topology.first_vshard(group).0;
    Cursor::slot_start(u16::try_from(vshard).expect("a slot has 14 bits"))
}

fn page(cursor: Cursor, keys: Vec<Bytes>) -> Reply {
    let keys = keys.into_iter().map(Reply::Bulk).collect();
    Reply::Array(vec![Reply::text(cursor.number().to_string()), Reply::Array(keys)])
}

/// All keys that match, of all groups that this node leads.
async fn keys(service: &Service, pattern: &[u8]) -> Result<Reply, ReadError> {
    let mut found = Vec::new();
    let mut bytes = 0;
    for group in service.led().collect::<Vec<_>>() {
        let now = service.now();
        let mut scan = all_of(service, group, Some(pattern));
        loop {
            let page = look(service, group, |keyspace| keyspace.scan(&scan, now)).await?;
            let Some(Page { keys, next, .. }) = page else { break };
            let keys = keys.into_iter().map(Reply::Bulk);
            found.extend(keys.inspect(|key| bytes += key.cost()));
            // The caller refuses what is too large; nothing is gathered beyond.
            if bytes > service.limits.reply_bytes_max {
                return Ok(Reply::Array(found));
            }
            let Some(next) = next else { break };
            scan.cursor = next;
        }
    }
    Ok(Reply::Array(found))
}

/// A key of any group that this node leads, the first one behind a random place; null if there is
/// none.
async fn random_key(service: &Service) -> Result<Reply, ReadError> {
    let now = service.now();
    let groups: Vec<GroupId> = service.led().collect();
    let dice = RandomState::new().hash_one(now.0);
    let skip = usize::try_from(dice % groups.len().max(1) as u64).unwrap_or(0);
    for group in groups.iter().cycle().skip(skip).take(groups.len()).copied() {
        let found = look(service, group, |keyspace| keyspace.some_key(dice, now)).await?;
        if let Some(key) = found.flatten() {
            return Ok(Reply::Bulk(key));
        }
    }
    Ok(Reply::Null)
}

/// A scan of a group from its beginning, in the largest steps that there are.
fn all_of<'a>(service: &Service, group: GroupId, pattern: Option<&'a [u8]>) -> Scan<'a> {
    let pattern = pattern.filter(|pattern| *pattern != b"*");
    let filter = Filter { pattern, kinds: Kinds::All };
    Scan { cursor: start_of(service, group), count: COUNT_MAX, filter }
}

fn parse_slot_and_count(args: Args<'_>) -> Result<(u16, usize), CommandError> {
    parse_integer(args.at(2)).ok_or(CommandError::NotInteger)?;
    let count = parse_integer(args.at(3)).ok_or(CommandError::NotInteger)?;
    let slot = parse_slot(args.at(2)).map_err(|_| CommandError::InvalidSlotOrCount)?;
    let count = usize::try_from(count).map_err(|_| CommandError::InvalidSlotOrCount)?;
    Ok((slot, count))
}

async fn count_in_slot(service: &Service, slot: u16) -> Result<Reply, ReadError> {
    let now = service.now();
    let group = service.topology.group_of(slot);
    let count = look(service, group, |keyspace| keyspace.len_of_slot(slot, now)).await?;
    Ok(Reply::count(count.unwrap_or(0)))
}

async fn keys_in_slot(service: &Service, slot: u16, count: usize) -> Result<Reply, ReadError> {
    let now = service.now();
    let group = service.topology.group_of(slot);
    let keys = look(service, group, |keyspace| keyspace.keys_of_slot(slot, count, now)).await?;
    Ok(Reply::Array(keys.unwrap_or_default().into_iter().map(Reply::Bulk).collect()))
}
