//! Leader election: paper 5.2, dissertation 3.4.

use std::collections::BTreeSet;

use raft_core::{Message, MessageBody, Role};
use types::{LogIndex, Term, Tick};

use super::{answer, bodies, make_candidate, said, said_durably};
use crate::harness::{Cluster, append, hard_state, id, log_id, message, settings};

fn is_append(message: &Message) -> bool {
    matches!(message.body, MessageBody::Append { .. })
}

/// 5.2: replicas begin as followers, and so do former leaders that come back (figure 2).
#[test]
fn replicas_start_as_followers() {
    let mut cluster = Cluster::led_by_one(3);
    cluster.crash(1);
    cluster.restart(1, 0);
    for mut cluster in [Cluster::new(3), cluster] {
        assert_eq!(cluster.node(1).role(), Role::Follower);
        assert_eq!(cluster.node(1).leader(), None);
    }
}

/// 5.2: a follower stays one as long as it receives valid messages from a leader.
#[test]
fn a_follower_stays_one_while_it_hears_its_leader() {
    let heartbeat = MessageBody::Heartbeat { commit: LogIndex(2), round: None };
    for body in [heartbeat, append((2, 1), 2, vec![])] {
        let mut cluster = Cluster::led_by_one(3);
        let node = cluster.node(2);
        for _ in 0..20 {
            let due = node.deadline().unwrap();
            node.tick(Tick(due.0 - 1));
            node.step(message(1, 2, 1, body.clone())).unwrap();
            node.tick(due);
            assert_eq!((node.role(), node.leader()), (Role::Follower, Some(id(1))), "{body:?}");
            assert!(node.deadline().unwrap() > due);
        }
    }
}

/// 5.2: a follower that hears nothing over an election timeout assumes that there is no leader, and
/// begins an election; not a tick before.
///
/// Deviation: the election begins with pre-votes.
#[test]
fn an_election_timeout_of_silence_starts_an_election() {
    let mut cluster = Cluster::led_by_one(3);
    let node = cluster.node(2);
    let due = node.deadline().unwrap();
    node.tick(Tick(due.0 - 1));
    assert_eq!(node.role(), Role::Follower);
    node.tick(due);
    assert_eq!((node.role(), node.leader()), (Role::PreCandidate, None));
}

/// 5.2: election timeouts are chosen randomly from a fixed interval, anew for each election.
#[test]
fn every_election_draws_its_timeout_anew_from_the_whole_interval() {
    let mut cluster = Cluster::new(3);
    let node = cluster.node(1);
    let mut now = Tick(0);
    let mut drawn = Vec::new();
    for _ in 0..300 {
        let due = node.deadline().unwrap();
        drawn.push(due.since(now));
        now = due;
        node.tick(now);
    }
    let timing = settings().timing;
    let whole: BTreeSet<u64> =
        (timing.election_ticks_min()..=timing.election_ticks_max()).collect();
    assert_eq!(drawn.iter().copied().collect::<BTreeSet<u64>>(), whole);
    assert!(drawn.windows(2).filter(|pair| pair[0] == pair[1]).count() < 100, "{drawn:?}");
}

/// 5.2, figure 2: to begin an election, a follower increments its term, votes for itself and asks
/// every other voter in parallel; not the learners. The request names its last entry.
#[test]
fn a_candidate_enters_the_next_term_votes_for_itself_and_asks_every_voter() {
    let mut cluster = Cluster::with_learners(5, 1);
    make_candidate(&mut cluster);
    let status = cluster.node(1).status();
    assert_eq!((status.term, status.vote), (Term(1), Some(id(1))));
    cluster.take_messages();
    let requests = said_durably(&mut cluster, 1);
    let vote = MessageBody::Vote { last: log_id((1, 0)), is_ordered: false };
    let asked: Vec<Message> = (2..=5).map(|n| message(1, n, 1, vote.clone())).collect();
    let of_votes = |m: &Message| matches!(m.body, MessageBody::Vote { .. });
    assert_eq!(requests.into_iter().filter(of_votes).collect::<Vec<_>>(), asked);
}

/// 5.2: a replica votes for at most one candidate in a term, first come first served; figure 2: the
/// same candidate is answered the same way again.
#[test]
fn a_vote_goes_to_who_comes_first_and_to_nobody_else() {
    let cases = [(None, 1, true), (None, 2, true), (Some(1), 1, true), (Some(2), 1, false)];
    for (voted, candidate, granted) in cases {
        let mut cluster = Cluster::new(3);
        cluster.crash(3);
        cluster.host(3).disk.hard_state = hard_state(4, voted);
        cluster.restart(3, 0);
        let vote = MessageBody::Vote { last: log_id((1, 0)), is_ordered: false };
        let answers = answer(&mut cluster, candidate, 3, 4, vote);
        let expected = MessageBody::VoteResponse { granted };
        assert_eq!(bodies(answers), [expected], "voted {voted:?}, asked by {candidate}");
        let voted_now = cluster.node(3).status().vote;
        assert_eq!(voted_now, voted.or(Some(candidate)).map(id));
    }
}

/// 5.2: a candidate wins with the votes of a majority of the full cluster, its own included, and not
/// with one less; when a majority has refused it waits no longer.
#[test]
fn a_majority_of_all_voters_elects_and_one_vote_less_does_not() {
    for voters in 1..=7u32 {
        for granted in 0..voters {
            let mut cluster = Cluster::new(voters);
            make_candidate(&mut cluster);
            said_durably(&mut cluster, 1);
            for n in 2..=voters {
                let vote = MessageBody::VoteResponse { granted: n <= granted + 1 };
                cluster.node(1).step(message(n, 1, 1, vote)).unwrap();
            }
            let wins = 2 * (granted + 1) > voters;
            let expected = if wins { Role::Leader } else { Role::Follower };
            assert_eq!(cluster.node(1).role(), expected, "{granted} others of {voters}");
        }
    }
}

/// 5.2: each voter has one vote, however often it answers; its first answer stands.
#[test]
fn a_voter_that_answers_twice_counts_once() {
    let mut cluster = Cluster::new(5);
    make_candidate(&mut cluster);
    said_durably(&mut cluster, 1);
    for (n, granted) in [(2, true), (2, true), (3, false), (3, true)] {
        cluster.node(1).step(message(n, 1, 1, MessageBody::VoteResponse { granted })).unwrap();
    }
    assert_eq!(cluster.node(1).role(), Role::Candidate, "two of five: itself and 2");
}

/// Figure 2, rules for followers: the election timeout runs from the last word of a leader, or from
/// the vote that was granted last. Who refuses a vote waits no longer for it.
#[test]
fn granting_a_vote_puts_the_own_election_off_and_refusing_does_not() {
    for (last, is_granted) in [((1, 0), true), ((0, 0), false)] {
        let mut cluster = Cluster::with_logs(4, &[&[], &[], &[]]);
        let node = cluster.node(2);
        let due = node.deadline().unwrap();
        node.tick(Tick(due.0 - 1));
        node.step(message(1, 2, 4, MessageBody::Vote { last: log_id(last), is_ordered: false }))
            .unwrap();
        assert_eq!(node.status().vote.is_some(), is_granted);
        assert_eq!(node.deadline().unwrap() > due, is_granted);
    }
}

/// 5.2: once it wins, a leader speaks to all others at once, to establish its authority and prevent
/// new elections.
///
/// Deviation: what it says is the append of its own first entry, not an empty one (section 8).
#[test]
fn a_new_leader_speaks_to_everybody_at_once() {
    let mut cluster = Cluster::with_learners(3, 1);
    make_candidate(&mut cluster);
    said_durably(&mut cluster, 1);
    cluster.node(1).step(message(2, 1, 1, MessageBody::VoteResponse { granted: true })).unwrap();
    let told: Vec<u32> =
        said(&mut cluster, 1).iter().filter(|m| is_append(m)).map(|m| m.to.0).collect();
    assert_eq!(told, [2, 3, 4]);
}

/// 5.2: a candidate that hears from a leader of its own term or a later one follows it, and one that
/// hears from an older one stays a candidate.
#[test]
fn a_candidate_follows_a_leader_of_its_term_and_no_older_one() {
    for (term, role) in [(0, Role::Candidate), (1, Role::Follower), (2, Role::Follower)] {
        let mut cluster = Cluster::new(3);
        make_candidate(&mut cluster);
        cluster.node(1).step(message(2, 1, term, append((1, 0), 1, vec![]))).unwrap();
        assert_eq!(cluster.node(1).role(), role, "leader of term {term}");
        assert_eq!(cluster.node(1).term(), Term(term.max(1)));
    }
}

/// 5.2, 5.1: if votes are split, the term ends without a leader, and candidates time out and start
/// another election in the next term.
#[test]
fn a_split_vote_ends_its_term_without_a_leader_and_the_next_term_begins() {
    let mut cluster = Cluster::new(4);
    cluster.node(1).campaign();
    cluster.node(2).campaign();
    // Whoever asks first gets the vote: 1 asks 3, and 2 asks 4.
    for n in 1..=2 {
        cluster.collect(n);
    }
    while cluster.deliver_one() {
        cluster.collect_all();
    }
    for n in 1..=2 {
        cluster.persist_all(n);
        cluster.collect(n);
    }
    let mut requests = cluster.take_messages();
    requests.sort_by_key(|m| (m.from.0 + 2 != m.to.0, m.to));
    cluster.network.extend(requests);
    cluster.settle();
    let states: Vec<_> = (1..=4).map(|n| cluster.node(n).status()).collect();
    assert!(states.iter().all(|s| s.term == Term(1) && s.role != Role::Leader), "{states:?}");
    let votes: Vec<_> = states.iter().map(|s| s.vote.unwrap().0).collect();
    assert_eq!(votes, [1, 2, 1, 2]);
    let leader = cluster.tick_until_leader();
    assert!(cluster.node(leader).term() >= Term(2));
}

/// 5.2: random timeouts make split votes rare, and those that happen are resolved quickly.
#[test]
fn few_elections_need_a_second_term() {
    let mut cluster = Cluster::new(5);
    let mut leader = cluster.tick_until_leader();
    let rounds = 100;
    let mut second_terms = 0;
    for _ in 0..rounds {
        let before = cluster.node(leader).term();
        cluster.crash(leader);
        let next = cluster.tick_until_leader();
        second_terms += u64::from(cluster.node(next).term().0 > before.0 + 1);
        cluster.restart(leader, 10);
        cluster.tick(11);
        leader = next;
    }
    assert!(second_terms <= rounds / 10, "{second_terms} of {rounds}");
}
