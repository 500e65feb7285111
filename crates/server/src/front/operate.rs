//! Commands for operators: MULTIRAFT STATUS, EXPLAIN, TRANSFER and LOG.

use engine::{TransferError, TransferRefusal};
use types::{GroupId, NodeId};

use super::service::{Ask, Service};
use crate::data::CommandError;
use crate::data::error::quote;
use crate::log::{self, LogFilter};
use crate::report::look::{self, Look};
use crate::resp::number::parse_integer;
use crate::resp::{Args, Reply};

/// How many groups STATUS tells of if it is not told how many.
pub const LIMIT: usize = 128;
/// How many groups STATUS tells of at most, so that its reply stays below a few hundred KiB.
pub const LIMIT_MAX: usize = 1_024;
/// How much of a client's own text an error repeats, in bytes.
const QUOTED_BYTES_MAX: usize = 64;

/// `MULTIRAFT STATUS [LIMIT count] [OFFSET count]`
pub(crate) async fn status(service: &Service, args: Args<'_>) -> Reply {
    let (limit, offset) = match parse_page(args) {
        Ok(page) => page,
        Err(error) => return error,
    };
    let (engine, groups) = (service.replication.status(), service.replication.group_statuses());
    let groups = groups.await;
    let report = look_at(service, &engine, &groups).report(limit, offset);
    match serde_json::to_string(&report) {
        Ok(text) => Reply::text(text),
        Err(error) => Reply::error(format!("ERR the status cannot be written as JSON: {error}")),
    }
}

/// `MULTIRAFT EXPLAIN group`
pub(crate) async fn explain(service: &Service, args: Args<'_>) -> Reply {
    let group = match parse_group(service, args.at(2)) {
        Ok(group) => group,
        Err(error) => return error,
    };
    let (engine, groups) = (service.replication.status(), service.replication.group_statuses());
    let groups = groups.await;
    let lines = look::explain(&look_at(service, &engine, &groups), group);
    Reply::Array(lines.into_iter().map(Reply::text).collect())
}

/// `MULTIRAFT TRANSFER group node`
pub(crate) async fn transfer(service: &Service, args: Args<'_>) -> Reply {
    let group = match parse_group(service, args.at(2)) {
        Ok(group) => group,
        Err(error) => return error,
    };
    let node = match parse_node(service, args.at(3)) {
        Ok(node) => node,
        Err(error) => return error,
    };
    match service.replication.transfer(group, node).await {
        Ok(()) => Reply::OK,
        Err(error) => Reply::error(refusal(service, group, error)),
    }
}

/// `MULTIRAFT LOG [filter]`: the filter of the process's log, before and after.
pub(crate) fn log(ask: &mut Ask<'_>, args: Args<'_>) -> Reply {
    let changed = match args.get(2) {
        _ if args.len() > 3 => {
            return CommandError::Arity { command: "multiraft|log".to_owned() }.into();
        }
        None => log::current().map(|now| (now.clone(), now)),
        Some(text) => match String::from_utf8_lossy(text).parse::<LogFilter>() {
            Ok(filter) => log::change(filter.clone()).map(|was| (was, filter)),
            Err(error) => return Reply::error(format!("ERR {error}")),
        },
    };
    match changed {
        Ok((was, now)) => {
            if was != now {
                let client = ask.session.client.id;
                tracing::info!(%was, %now, client, "the log's filter was changed");
            }
            let (was, now) = (Reply::text(was.to_string()), Reply::text(now.to_string()));
            Reply::Map(vec![(Reply::text("was"), was), (Reply::text("now"), now)])
        }
        Err(error) => Reply::error(format!("ERR {error}")),
    }
}

fn look_at<'a>(
    service: &'a Service,
    engine: &'a engine::EngineStatus,
    groups: &'a [engine::GroupStatus],
) -> Look<'a> {
    let uptime_seconds = service.started.elapsed().as_secs();
    Look { topology: &service.topology, engine, groups, uptime_seconds }
}

/// Limit and offset.
fn parse_page(args: Args<'_>) -> Result<(usize, usize), Reply> {
    let (mut limit, mut offset) = (LIMIT, 0);
    let mut at = 2;
    while let Some(name) = args.get(at) {
        let value = args.get(at + 1).ok_or(CommandError::Syntax)?;
        if name.eq_ignore_ascii_case(b"limit") {
            limit = parse_count("LIMIT", value, LIMIT_MAX)?;
        } else if name.eq_ignore_ascii_case(b"offset") {
            offset = parse_count("OFFSET", value, usize::MAX)?;
        } else {
            return Err(CommandError::Syntax.into());
        }
        at += 2;
    }
    Ok((limit, offset))
}

fn parse_count(name: &str, value: &[u8], most: usize) -> Result<usize, Reply> {
    let number = parse_integer(value).and_then(|value| usize::try_from(value).ok());
    number.filter(|number| *number <= most).ok_or_else(|| {
        let allowed =
            if most == usize::MAX { "0 or more".to_owned() } else { format!("0 to {most}") };
        let found = quote(value, QUOTED_BYTES_MAX);
        Reply::error(format!("ERR {name} is '{found}', allowed is {allowed}"))
    })
}

fn parse_group(service: &Service, text: &[u8]) -> Result<GroupId, Reply> {
    let count = service.topology.table.group_count();
    let number = parse_integer(text).and_then(|value| value.try_into().ok()).map(GroupId);
    let is_known = |group: &GroupId| !service.topology.table.replicas_of(*group).is_empty();
    number.filter(is_known).ok_or_else(|| {
        let found = quote(text, QUOTED_BYTES_MAX);
        Reply::error(format!("ERR there is no group '{found}', groups are 1 to {count}"))
    })
}

fn parse_node(service: &Service, text: &[u8]) -> Result<NodeId, Reply> {
    let members = &service.topology.members;
    let number = parse_integer(text).and_then(|value| value.try_into().ok()).map(NodeId);
    number.filter(|node| members.contains_key(node)).ok_or_else(|| {
        let found = quote(text, QUOTED_BYTES_MAX);
        let known: Vec<String> = members.keys().map(ToString::to_string).collect();
        let known = known.join(", ");
        Reply::error(format!("ERR there is no node '{found}', nodes are {known}"))
    })
}

/// What the operator is told whose handover was not done, and what to do instead.
fn refusal(service: &Service, group: GroupId, error: TransferError) -> String {
    let refused = match error {
        TransferError::Refused(refused) => refused,
        TransferError::Failed { leader } => {
            let leads = leader.map_or_else(
                || "nobody is known to lead".to_owned(),
                |node| format!("node {node} leads"),
            );
            return format!(
                "ERR the node was not elected in time, {leads} group {group}; MULTIRAFT EXPLAIN \
                 {group} tells more"
            );
        }
        TransferError::Overloaded { budget } => {
            return format!(
                "OVERLOADED the {budget} budget is used up, nothing was done; ask later"
            );
        }
        TransferError::Stopped => return "CLUSTERDOWN The node is stopping".to_owned(),
    };
    match refused {
        TransferRefusal::UnknownGroup { group } => {
            format!(
                "ERR group {group} is not founded here yet; MULTIRAFT EXPLAIN {group} tells why"
            )
        }
        TransferRefusal::NotLeader { leader: Some(leader) } => {
            let member = service.topology.members.get(&leader);
            let place = member.map(|member| format!(" at {}:{}", member.host, member.port));
            let place = place.unwrap_or_default();
            format!("ERR node {leader} leads group {group}: ask it{place}")
        }
        TransferRefusal::NotLeader { leader: None } => format!(
            "ERR nobody is known to lead group {group}; MULTIRAFT EXPLAIN {group} tells why"
        ),
        TransferRefusal::NotAMember { node } => {
            format!("ERR group {group} has no replica on node {node}")
        }
        TransferRefusal::NotVoter { node } => {
            format!("ERR node {node} has no vote in group {group}: choose another node")
        }
        TransferRefusal::Silent { node } => format!(
            "ERR node {node} has not answered within one election timeout: choose another node"
        ),
        TransferRefusal::TooFarBehind { matched, last } => format!(
            "ERR that node's log of group {group} is known to match up to {matched} of {last}: \
             choose another node, or ask later"
        ),
        TransferRefusal::InProgress { to } => {
            let to = to.map(|node| format!(" to node {node}")).unwrap_or_default();
            format!("ERR group {group} is being handed over{to}: wait until that has ended")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Work, find};
    use crate::front::fake::{self, ME, OTHER, service};
    use crate::front::service::ClientLimits;
    use crate::front::survey;
    use crate::report::Report;
    use crate::resp::Request;

    async fn ask(service: &Service, line: &str) -> Reply {
        let words: Vec<&str> = line.split(' ').collect();
        let request = Request::of(&words);
        match find(request.args()).unwrap().work {
            Work::Survey(survey) => survey::answer(service, survey, request.args()).await,
            Work::Talk(talk) => {
                let (mut session, _seat) = fake::session(service);
                talk(&mut Ask { service, session: &mut session }, request.args())
            }
            Work::Write(_) | Work::Read(_) | Work::Transaction(_) | Work::Subcommand => {
                panic!("{line} is no command for operators")
            }
        }
    }

    #[tokio::test]
    async fn status_is_a_document_with_as_many_groups_as_asked_for() {
        let (service, _) = service(ClientLimits::default());
        for (line, groups) in [
            ("MULTIRAFT STATUS", 4),
            ("multiraft status limit 1", 1),
            ("MULTIRAFT STATUS OFFSET 3 LIMIT 1024", 1),
            ("MULTIRAFT STATUS LIMIT 0", 0),
        ] {
            let Reply::Bulk(text) = ask(&service, line).await else { panic!("{line}") };
            let report: Report = serde_json::from_slice(&text).unwrap();
            assert_eq!((report.groups.len(), report.counts.total), (groups, 4), "{line}");
        }
    }

    #[tokio::test]
    async fn what_does_not_exist_is_refused_with_what_does() {
        let (service, _) = service(ClientLimits::default());
        for (line, expected) in [
            ("MULTIRAFT STATUS LIMIT", "ERR syntax error"),
            ("MULTIRAFT STATUS FIRST 3", "ERR syntax error"),
            ("MULTIRAFT STATUS LIMIT 1025", "ERR LIMIT is '1025', allowed is 0 to 1024"),
            ("MULTIRAFT STATUS OFFSET -1", "ERR OFFSET is '-1', allowed is 0 or more"),
            ("MULTIRAFT EXPLAIN 5", "ERR there is no group '5', groups are 1 to 4"),
            ("MULTIRAFT EXPLAIN x", "ERR there is no group 'x', groups are 1 to 4"),
            ("MULTIRAFT TRANSFER 0 2", "ERR there is no group '0', groups are 1 to 4"),
            ("MULTIRAFT TRANSFER 1 9", "ERR there is no node '9', nodes are 1, 2"),
            (
                "MULTIRAFT LOG info,core=debug",
                "ERR 'core' is no part that logs: allowed is engine, server, transport, or a module \
                 of one",
            ),
            (
                "MULTIRAFT LOG info debug",
                "ERR wrong number of arguments for 'multiraft|log' command",
            ),
            ("MULTIRAFT LOG", "ERR this program keeps its log itself: change it there"),
        ] {
            assert_eq!(ask(&service, line).await, Reply::error(expected), "{line}");
        }
    }

    #[tokio::test]
    async fn a_group_is_handed_over_by_its_leader_alone() {
        let (service, fake) = service(ClientLimits::default());
        assert_eq!(ask(&service, "MULTIRAFT TRANSFER 1 2").await, Reply::OK);
        assert_eq!(service.replication.leader(GroupId(1)).node, Some(OTHER));
        let expected = "ERR node 2 leads group 1: ask it at 10.0.0.1:7002";
        assert_eq!(ask(&service, "MULTIRAFT TRANSFER 1 1").await, Reply::error(expected));
        fake.set_leader(GroupId(1), None, false);
        let expected = "ERR nobody is known to lead group 1; MULTIRAFT EXPLAIN 1 tells why";
        assert_eq!(ask(&service, "MULTIRAFT TRANSFER 1 1").await, Reply::error(expected));
    }

    #[test]
    fn every_refusal_says_what_to_do() {
        let (service, _) = service(ClientLimits::default());
        let told = |error| refusal(&service, GroupId(1), error);
        let refused = |refused| told(TransferError::Refused(refused));
        assert_eq!(
            refused(TransferRefusal::Silent { node: OTHER }),
            "ERR node 2 has not answered within one election timeout: choose another node"
        );
        assert_eq!(
            refused(TransferRefusal::InProgress { to: Some(OTHER) }),
            "ERR group 1 is being handed over to node 2: wait until that has ended"
        );
        assert_eq!(
            told(TransferError::Failed { leader: Some(ME) }),
            "ERR the node was not elected in time, node 1 leads group 1; MULTIRAFT EXPLAIN 1 tells \
             more"
        );
    }

    #[tokio::test]
    async fn explain_answers_in_sentences() {
        let (service, _) = service(ClientLimits::default());
        let expected = [
            "Group 2 is not founded yet.",
            "It waits to be founded until all of its nodes have told each other that they know \
             the same stores, which takes a moment. If it takes longer, one of them cannot reach \
             another, or knew it by another disk: ask each of them.",
        ];
        let expected = Reply::Array(expected.iter().map(Reply::text).collect());
        assert_eq!(ask(&service, "MULTIRAFT EXPLAIN 2").await, expected);
    }
}
