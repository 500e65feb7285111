//! The sentences of the Raft paper (Ongaro and Ousterhout, extended version) and of those sections
//! of the dissertation (Ongaro 2014) that are built, each as a test that cites its section.
//!
//! Where the engine deviates on purpose, the test says so. The deviations in short:
//! - A campaign begins with pre-votes (dissertation 9.6).
//! - Whoever hears a living leader does not even weigh a vote request (dissertation 4.2.3), so it
//!   does not enter that request's term.
//! - Entry 1 is the founding configuration, of term 0, the same everywhere and committed from birth:
//!   the paper's index n is index n + 1 here.
//! - A request of an older term is refused by a heartbeat answer of the newer one.
//! - A refused append is answered with a hint, so that a whole term is skipped at once (end of 5.3).
//!
//! Figure 3's five properties are held against every replica in every test of this crate by the
//! harness's oracle, random schedules (`random.rs`) above all. Section 7 (snapshots) and the changes
//! of section 6 are not built.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails loudly, and asks only about the messages it means"
)]

mod harness;

mod paper {
    mod clients;
    mod crashes;
    mod durability;
    mod elections;
    mod membership;
    mod pre_vote;
    mod replication;
    mod safety;
    mod terms;

    use raft_core::{Message, MessageBody, Role};

    use crate::harness::{Cluster, message};

    /// What replica `n` says now; nothing that it writes becomes durable.
    fn said(cluster: &mut Cluster, n: u32) -> Vec<Message> {
        while cluster.collect(n) {}
        cluster.take_messages()
    }

    /// What replica `n` says by the time everything that it writes is durable.
    fn said_durably(cluster: &mut Cluster, n: u32) -> Vec<Message> {
        while cluster.collect(n) || cluster.persist_all(n) {}
        cluster.take_messages()
    }

    /// Gives `body` from replica `from` in `term` to replica `n`; its whole answer.
    fn answer(
        cluster: &mut Cluster,
        from: u32,
        n: u32,
        term: u64,
        body: MessageBody,
    ) -> Vec<Message> {
        cluster.node(n).step(message(from, n, term, body)).unwrap();
        said_durably(cluster, n)
    }

    fn bodies(messages: Vec<Message>) -> Vec<MessageBody> {
        messages.into_iter().map(|message| message.body).collect()
    }

    /// Makes replica 1 a candidate by pre-votes of everybody; nothing of it is durable or delivered.
    fn make_candidate(cluster: &mut Cluster) {
        let next = cluster.node(1).term().0 + 1;
        cluster.node(1).campaign();
        let others: Vec<u32> = cluster.hosts.keys().copied().filter(|n| *n != 1).collect();
        for other in others {
            let next_term = types::Term(next);
            let granted = MessageBody::PreVoteResponse { next_term, granted: true };
            cluster.node(1).step(message(other, 1, next - 1, granted)).unwrap();
        }
        assert_eq!(cluster.node(1).role(), Role::Candidate);
        assert_eq!(cluster.node(1).term().0, next);
    }

    /// Delivers, writes and applies until nothing is left to do, showing every message before.
    fn exchange(cluster: &mut Cluster, mut look: impl FnMut(&Message)) {
        let ids: Vec<u32> = cluster.hosts.keys().copied().collect();
        for _ in 0..1_000 {
            for n in &ids {
                while cluster.collect(*n) | cluster.persist_all(*n) | cluster.apply_all(*n) {}
            }
            let messages = cluster.take_messages();
            if messages.is_empty() {
                return;
            }
            for message in messages {
                look(&message);
                cluster.deliver(message).ok();
            }
        }
        panic!("the cluster does not come to rest");
    }
}
