//! What is shown of one healthy and one sick cluster, small and large.

use std::collections::BTreeMap;

use super::*;
use crate::report::{Counts, GroupReport, GroupRole, NodeReport, OwnReport};

fn node(id: u64, me: u64) -> NodeReport {
    let own = OwnReport {
        version: "0.1.0".to_owned(),
        uptime_seconds: 60,
        followers: 2,
        candidates: 0,
        learners: 0,
        founding: 0,
        log_bytes: 3 << 20,
        log_bytes_max: 8 << 30,
        log_commits: 17,
        log_entries: Some(34),
        commit_p50_us: Some(512),
        commit_p99_us: Some(3_100),
    };
    NodeReport {
        id,
        host: "10.0.0.1".to_owned(),
        port: 7000 + u16::try_from(id).unwrap(),
        up: true,
        level: Level::Ok,
        problem: None,
        leads: 1,
        lag: 0,
        own: (id == me).then_some(own),
    }
}

fn group(id: u64, leader: u64, me: u64) -> GroupReport {
    let is_leader = leader == me;
    GroupReport {
        id,
        role: if is_leader { GroupRole::Leader } else { GroupRole::Follower },
        leader: Some(leader),
        term: 2,
        commit: 9,
        applied: 9,
        persisted: 9,
        last: 9,
        lag: if is_leader {
            [(1, 0), (2, 0), (3, 0)].into_iter().filter(|(node, _)| *node != me).collect()
        } else {
            BTreeMap::new()
        },
        transferee: None,
        level: Level::Ok,
        problem: None,
    }
}

/// What node `me` of three says, each of which leads one of three groups.
fn report(me: u64) -> Report {
    Report {
        schema: SCHEMA,
        cluster: "test".to_owned(),
        node: me,
        nodes: (1..=3).map(|id| node(id, me)).collect(),
        counts: Counts { total: 3, led: 1, with_leader: 3, degraded: 0, sick: 0 },
        offset: 0,
        groups: (1..=3).map(|id| group(id, id, me)).collect(),
    }
}

fn answers(reports: Vec<Report>) -> Vec<Answer> {
    reports.into_iter().map(|report| Answer { node: report.node, report: Ok(report) }).collect()
}

#[test]
fn a_healthy_cluster_is_shown_whole() {
    let view = merge::merge(report(1), answers(vec![report(2), report(3)]), 20);
    assert_eq!(view.level, Level::Ok);
    assert_eq!(
        table::print(&view, false),
        "\
cluster test: ok, 3 nodes, 3 groups, 3 led

NODE  ADDRESS        UP   LEADS  FOLLOWS  LAG  LOG    FSYNC P99  VERSION  PROBLEM
1     10.0.0.1:7001  yes  1      2        0    3 MiB  3.1 ms     0.1.0    -
2     10.0.0.1:7002  yes  1      2        0    3 MiB  3.1 ms     0.1.0    -
3     10.0.0.1:7003  yes  1      2        0    3 MiB  3.1 ms     0.1.0    -

GROUP  LEADER  TERM  COMMIT  APPLIED  LAST  LAG  PROBLEM
1      1       2     9       9        9     0    -
2      2       2     9       9        9     0    -
3      3       2     9       9        9     0    -
"
    );
}

#[test]
fn what_is_worst_stands_first_and_the_rest_is_counted() {
    let mut first = report(1);
    first.counts = Counts { total: 16_384, led: 8_000, with_leader: 16_380, degraded: 2, sick: 1 };
    first.nodes[2].lag = 40;
    first.groups = vec![
        GroupReport {
            leader: None,
            role: GroupRole::Candidate,
            level: Level::Sick,
            problem: Some("no leader: an election is under way".to_owned()),
            ..group(700, 2, 1)
        },
        GroupReport { lag: [(2, 0), (3, 40)].into(), last: 49, ..group(5, 1, 1) },
    ];
    let gone = Answer { node: 3, report: Err("cannot connect".to_owned()) };
    let view = merge::merge(first, vec![gone], 2);
    assert_eq!(view.level, Level::Sick);
    assert_eq!(
        table::print(&view, true),
        "\
cluster test: sick, 3 nodes, 16384 groups, 8000 led

NODE  ADDRESS        UP   LEADS  FOLLOWS  LAG  LOG    FSYNC P99  VERSION  CANDIDATES  LEARNERS  FOUNDING  UPTIME  FSYNC P50  COMMITS  ENTRIES  PROBLEM
3     10.0.0.1:7003  no   1      -        40   -      -          -        -           -         -         -       -          -        -        does not answer: cannot connect
1     10.0.0.1:7001  yes  1      2        0    3 MiB  3.1 ms     0.1.0    0           0         0         60s     512 us     17       34       -
2     10.0.0.1:7002  yes  1      -        0    -      -          -        -           -         -         -       -          -        -        -

GROUP  LEADER  TERM  COMMIT  APPLIED  LAST  LAG  SEEN AS    PERSISTED  LAG OF    HANDED TO  PROBLEM
700    -       2     9       9        9     0    candidate  9          -         -          no leader: an election is under way
5      1       2     9       9        49    40   leader     9          2:0,3:40  -          -
and 16382 more groups, none worse; --groups N shows more
"
    );
}

#[test]
fn a_leader_s_word_counts_and_of_two_that_of_the_later_term() {
    let sick = |report: &mut Report, term| {
        let group = &mut report.groups[0];
        (group.term, group.level) = (term, Level::Sick);
    };
    let mut other = report(2);
    sick(&mut other, 7);
    let view = merge::merge(report(1), answers(vec![other]), 20);
    assert_eq!((view.groups[0].id, view.level), (1, Level::Ok), "node 1 leads group 1");
    let mut later = report(2);
    sick(&mut later, 7);
    later.groups[0].role = GroupRole::Leader;
    let view = merge::merge(report(1), answers(vec![later]), 20);
    assert_eq!((view.groups[0].term, view.level), (7, Level::Sick));
}

#[test]
fn another_schema_is_refused_by_its_number() {
    let text = serde_json::to_string(&report(1)).unwrap();
    assert_eq!(parse(text.as_bytes()), Ok(report(1)));
    let later = text.replace("\"schema\":1", "\"schema\":2");
    let expected = "its status has schema 2, expected 1: run the same release here and there";
    assert_eq!(parse(later.as_bytes()), Err(expected.to_owned()));
    assert!(parse(b"hello").unwrap_err().starts_with("its answer is no status: "));
}

#[test]
fn a_view_reads_back_as_written() {
    let view = merge::merge(report(1), Vec::new(), 1);
    let text = serde_json::to_string(&view).unwrap();
    assert!(
        text.starts_with(r#"{"schema":1,"cluster":"test","level":"ok","nodes":[{"id":1,"#),
        "{text}"
    );
    assert_eq!(serde_json::from_str::<View>(&text).unwrap(), view);
}
