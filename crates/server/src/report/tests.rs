//! What is found, how it is said, and what the document looks like.

use std::time::Duration;

use engine::{EngineStatus, GroupStatus, HaltReason, Health};
use raft_core::Role;
use routing::RoutingTable;
use types::{ClusterId, Generation, GroupId, LogIndex, NodeId, ReplicaId, Term};

use super::look::{Look, explain};
use super::*;
use crate::front::fake::{ME, OTHER, healthy_engine};
use crate::front::{Member, Topology};

const THIRD: NodeId = NodeId(3);

/// Three nodes, and that many groups.
fn topology(groups: u32) -> Topology {
    let nodes = [ME, OTHER, THIRD];
    let member = |port| Member { host: "10.0.0.1".to_owned(), port, peer_port: port + 10_000 };
    Topology {
        cluster: ClusterId::new("test").unwrap(),
        me: ME,
        members: [(ME, member(7001)), (OTHER, member(7002)), (THIRD, member(7003))].into(),
        table: RoutingTable::uniform(16_384, groups, &nodes, 3).unwrap(),
    }
}

/// The engine of [`ME`], connected with `up`.
fn engine(up: &[NodeId]) -> EngineStatus {
    let mut engine = healthy_engine();
    let link = engine.links.peers.remove(&OTHER).unwrap();
    engine.links.peers.extend(up.iter().map(|node| (*node, link.clone())));
    engine
}

/// A group that [`ME`] leads, with 10 entries that everybody has.
fn led(group: u64) -> GroupStatus {
    GroupStatus {
        group: GroupId(group),
        generation: Generation(1),
        replica: ReplicaId(1),
        role: Role::Leader,
        term: Term(4),
        leader: Some(ME),
        leader_is_fresh: true,
        last: LogIndex(10),
        persisted: LogIndex(10),
        commit: LogIndex(10),
        applied: LogIndex(10),
        snapshot: LogIndex(0),
        voters: vec![ME, OTHER, THIRD],
        learners: Vec::new(),
        matched: vec![(OTHER, LogIndex(10)), (THIRD, LogIndex(10))],
        vshards: 1,
        transferee: None,
        halted: None,
    }
}

/// A group that [`ME`] follows.
fn followed(group: u64, leader: Option<NodeId>, leader_is_fresh: bool) -> GroupStatus {
    let role = Role::Follower;
    GroupStatus { role, leader, leader_is_fresh, matched: Vec::new(), ..led(group) }
}

/// What EXPLAIN says of the only group.
fn explained(engine: &EngineStatus, group: Option<GroupStatus>) -> Vec<String> {
    let (topology, groups) = (topology(1), Vec::from_iter(group));
    explain(&Look { topology: &topology, engine, groups: &groups, uptime_seconds: 5 }, GroupId(1))
}

/// Level and words of the only group in a table.
fn told(engine: &EngineStatus, group: Option<GroupStatus>) -> (Level, Option<String>) {
    let (topology, groups) = (topology(1), Vec::from_iter(group));
    let look = Look { topology: &topology, engine, groups: &groups, uptime_seconds: 5 };
    let group = look.report(1, 0).groups.remove(0);
    (group.level, group.problem)
}

fn sick(words: &str) -> (Level, Option<String>) {
    (Level::Sick, Some(words.to_owned()))
}

const LEADS: &str = "Node 1, this one, leads group 1 in term 4; nodes 1, 2 and 3 vote.";

#[test]
fn a_healthy_group_is_called_healthy() {
    let engine = engine(&[OTHER, THIRD]);
    assert_eq!(explained(&engine, Some(led(1))), [LEADS, "It is healthy."]);
    assert_eq!(told(&engine, Some(led(1))), (Level::Ok, None));
    assert_eq!(
        explained(&engine, Some(followed(1, Some(OTHER), true))),
        [
            "Node 2 leads, as far as node 1 knows, group 1 in term 4; nodes 1, 2 and 3 vote.",
            "It is healthy.",
            "Its leader knows more: MULTIRAFT EXPLAIN 1 to 10.0.0.1:7002.",
        ]
    );
}

#[test]
fn a_majority_that_is_unreachable_is_named() {
    let engine = engine(&[]);
    let group = followed(1, None, false);
    assert_eq!(
        explained(&engine, Some(group.clone())),
        [
            "Node 1 knows of no leader of group 1 in term 4; nodes 1, 2 and 3 vote.",
            "It has no leader, since 2 of its 3 voters cannot be reached from here: nodes 2 and 3. \
             It needs 2; start them, or mend the network between them and this node.",
        ]
    );
    let words = "no leader: 2 of 3 voters unreachable (nodes 2 and 3)";
    assert_eq!(told(&engine, Some(group)), sick(words));
    // A leader that was known does not hide it.
    assert_eq!(told(&engine, Some(followed(1, Some(OTHER), false))), sick(words));
}

#[test]
fn an_election_and_a_silent_leader_differ() {
    let engine = engine(&[THIRD]);
    assert_eq!(
        told(&engine, Some(followed(1, None, false))),
        sick("no leader: an election is under way")
    );
    let silent = followed(1, Some(OTHER), false);
    assert_eq!(told(&engine, Some(silent.clone())), sick("leader silent: node 2"));
    assert!(explained(&engine, Some(silent)).contains(
        &"Its leader, node 2, has not been heard from within one election timeout: unless it is \
          soon, another is elected."
            .to_owned()
    ));
}

#[test]
fn a_group_that_waits_to_be_founded_names_who_is_missing() {
    assert_eq!(
        explained(&engine(&[OTHER]), None),
        [
            "Group 1 is not founded yet.",
            "It waits to be founded, which takes all of its nodes once: node 3 has not been heard \
             from. Start it with the same cluster_id and [[nodes]].",
        ]
    );
    assert_eq!(told(&engine(&[]), None), sick("not founded: nodes 2 and 3 not heard from"));
    assert_eq!(told(&engine(&[OTHER, THIRD]), None), sick("being founded"));
}

#[test]
fn disks_that_do_not_answer_or_are_full_are_named() {
    let mut engine = engine(&[OTHER, THIRD]);
    engine.health = Health::Stalled { waited: Duration::from_millis(1_500) };
    assert_eq!(told(&engine, Some(led(1))), sick("disk does not answer for 1500 ms"));
    engine.health = Health::DiskFull { free_bytes: 3, needed_bytes: 10, is_waiting: false };
    assert_eq!(told(&engine, Some(led(1))), sick("disk full: 3 bytes free, 10 needed"));
    assert_eq!(
        explained(&engine, Some(led(1)))[1],
        "It takes no writes, since the disk of this node, which leads, has 3 bytes free and needs \
         10. Make room; writes then go on by themselves."
    );
    // What another node leads does not wait for this disk.
    assert_eq!(told(&engine, Some(followed(1, Some(OTHER), true))), (Level::Ok, None));
    engine.health = Health::Healthy;
    engine.peers_low = vec![OTHER];
    assert_eq!(told(&engine, Some(led(1))), (Level::Ok, None));
    engine.peers_low = vec![OTHER, THIRD];
    assert_eq!(told(&engine, Some(led(1))), sick("disks full: nodes 2 and 3"));
}

#[test]
fn what_is_under_way_is_told_with_its_entries() {
    let engine = engine(&[OTHER]);
    let group = GroupStatus {
        last: LogIndex(20),
        persisted: LogIndex(19),
        commit: LogIndex(12),
        applied: LogIndex(11),
        matched: vec![(OTHER, LogIndex(12)), (THIRD, LogIndex(0))],
        transferee: Some(OTHER),
        ..led(1)
    };
    assert_eq!(
        explained(&engine, Some(group.clone())),
        [
            LEADS,
            "It serves, with fewer copies than it should have: node 3 cannot be reached.",
            "Leadership is being handed to node 2: writes wait until that node leads, at most for \
             one election timeout.",
            "1 entry waits for this node's disk.",
            "7 entries wait for a majority of its voters to have stored them.",
            "1 entry waits to be applied here.",
            "Node 2 lacks 8 entries.",
            "Node 3 lacks 20 entries.",
        ]
    );
    let words = Some("unreachable: node 3".to_owned());
    assert_eq!(told(&engine, Some(group)), (Level::Degraded, words));
}

#[test]
fn a_halted_replica_says_why() {
    let engine = engine(&[OTHER, THIRD]);
    let reason = HaltReason::LogRolledBack { acknowledged: LogIndex(9), last: LogIndex(7) };
    let group = GroupStatus { halted: Some(reason), ..followed(1, None, false) };
    assert_eq!(
        told(&engine, Some(group.clone())),
        sick("halted: its log lacks what it had acknowledged")
    );
    assert!(
        explained(&engine, Some(group))[1]
            .contains("ends at 7 and it had acknowledged entries up to 9")
    );
}

#[test]
fn the_worst_groups_stand_first_and_pages_fit_together() {
    let topology = topology(16_384);
    let mut groups: Vec<GroupStatus> = (1..=16_384).map(led).collect();
    groups[6].matched = vec![(OTHER, LogIndex(4)), (THIRD, LogIndex(10))];
    groups[9].transferee = Some(OTHER);
    groups[16_000] = followed(16_001, None, false);
    let engine = engine(&[OTHER, THIRD]);
    let look = Look { topology: &topology, engine: &engine, groups: &groups, uptime_seconds: 5 };
    let report = look.report(4, 0);
    let ids = |report: &Report| report.groups.iter().map(|group| group.id).collect::<Vec<_>>();
    assert_eq!(ids(&report), [16_001, 10, 7, 1]);
    assert_eq!(ids(&look.report(2, 2)), [7, 1]);
    assert_eq!(ids(&look.report(2, 16_384)), [0; 0]);
    assert_eq!(
        report.counts,
        Counts { total: 16_384, led: 16_383, with_leader: 16_383, degraded: 1, sick: 1 }
    );
    assert_eq!((report.nodes[0].leads, report.nodes[1].lag), (16_383, 6));
    // A page of the largest size stays small.
    let text = serde_json::to_string(&look.report(1_024, 0)).unwrap();
    assert!(text.len() < 400 << 10, "{}", text.len());
}

#[test]
fn the_document_reads_back_as_written() {
    let (topology, groups) = (topology(1), [led(1)]);
    let mut engine = engine(&[OTHER]);
    engine.refusals.insert(THIRD, "node 3 has a new store".to_owned());
    let look = Look { topology: &topology, engine: &engine, groups: &groups, uptime_seconds: 5 };
    let report = look.report(1, 0);
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(
        text,
        r#"{"schema":1,"cluster":"test","node":1,"nodes":[{"id":1,"host":"10.0.0.1","port":7001,"up":true,"level":"ok","problem":null,"leads":1,"lag":0,"own":{"version":"0.1.0","uptime_seconds":5,"followers":0,"candidates":0,"learners":0,"founding":0,"log_bytes":4096,"log_bytes_max":8192,"log_commits":3,"log_entries":12,"commit_p50_us":400,"commit_p99_us":2500}},{"id":2,"host":"10.0.0.1","port":7002,"up":true,"level":"ok","problem":null,"leads":0,"lag":0,"own":null},{"id":3,"host":"10.0.0.1","port":7003,"up":false,"level":"sick","problem":"refused: node 3 has a new store","leads":0,"lag":0,"own":null}],"counts":{"total":1,"led":1,"with_leader":1,"degraded":1,"sick":0},"offset":0,"groups":[{"id":1,"role":"leader","leader":1,"term":4,"commit":10,"applied":10,"persisted":10,"last":10,"lag":{"2":0,"3":0},"transferee":null,"level":"degraded","problem":"unreachable: node 3"}]}"#
    );
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
}

#[test]
fn a_document_of_an_earlier_build_reads_with_what_it_lacks_absent() {
    let (topology, groups, engine) = (topology(1), [led(1)], engine(&[OTHER, THIRD]));
    let look = Look { topology: &topology, engine: &engine, groups: &groups, uptime_seconds: 5 };
    let text = serde_json::to_string(&look.report(1, 0)).unwrap();
    let added = r#","log_entries":12,"commit_p50_us":400,"commit_p99_us":2500"#;
    assert!(text.contains(added), "{text}");
    let report: Report = serde_json::from_str(&text.replace(added, "")).unwrap();
    let own = report.nodes[0].own.as_ref().unwrap();
    assert_eq!((own.log_entries, own.commit_p50_us, own.commit_p99_us), (None, None, None));
}
