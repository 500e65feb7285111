//! Transactions while their leaders are killed as processes, or stand still until others lead: each is done whole and once or not at all,
//! clients are told truly which, and a WATCH lets nothing through that it must not.
//!
//! Clients move amounts between the two accounts of a bank, by EXEC alone, and each transaction also
//! takes its number down in two ledgers. What the accounts hold in the end must follow from the
//! ledgers: an amount that was moved by half, twice, or on the ground of balances that somebody else
//! had changed since, shows there.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bank;
mod client;
#[path = "../processes/mod.rs"]
mod processes;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use routing::{HASH_SLOTS, RoutingTable, hash_slot};
use types::{NodeId, VShardId};

use bank::{Bank, End, Told};
use client::Client;
use processes::BOUND;
use processes::cluster::{Cluster, GROUPS, NODES};
use processes::resp::{Connection, Reply};

/// How many banks there are, each in a slot of its own.
const BANKS: usize = 5;
/// How many clients move amounts, each in all banks.
const CLIENTS: u64 = 6;
/// What both accounts of a bank hold together, at any time.
const TOTAL: i64 = 1_000_000;
/// How many leaders are killed, one after the other, and how many stand still.
const KILLS: usize = 3;
const STANDSTILLS: usize = 3;
/// How many transactions each bank does before the next thing happens.
const STEP: u64 = 20;

#[test]
fn transactions_are_whole_or_absent_whatever_becomes_of_their_leaders() {
    let mut cluster = Cluster::start();
    let bank = |bank| Bank { name: format!("bank-{bank}"), done: AtomicU64::new(0) };
    let banks: Vec<Bank> = (0..BANKS).map(bank).collect();
    banks.iter().for_each(|bank| bank.open(&cluster));
    let (addresses, is_over) = (cluster.addresses(), AtomicBool::new(false));
    let told = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let mut client = Client::new(number, addresses);
                let (banks, is_over) = (&banks, &is_over);
                scope.spawn(move || {
                    client.work(banks, is_over);
                    client.told
                })
            })
            .collect();
        // Clients end whatever happens here: a panic must not wait for them.
        let over = Over(&is_over);
        expect_step(&banks, "the start");
        for kill in 0..KILLS {
            let node = cluster.leader_of(&banks[kill % BANKS].a());
            cluster.kill(&[node]);
            expect_step(&banks, "the kill of a leader");
            cluster.restart(node);
            cluster.wait_until_serving(node);
            expect_step(&banks, "its start");
        }
        for standstill in 0..STANDSTILLS {
            let account = banks[standstill % BANKS].a();
            let node = cluster.leader_of(&account);
            let others: Vec<usize> = (0..NODES).filter(|other| *other != node).collect();
            cluster.stand_still(node);
            cluster.leader_among(&others, &account);
            cluster.go_on(node);
            expect_step(&banks, "a leader stood still");
        }
        drop(over);
        let told = clients.into_iter().map(|client| client.join().unwrap());
        told.flatten().collect::<Vec<Told>>()
    });
    let count = |end| told.iter().filter(|it| it.end == end).count();
    println!(
        "{} done, {} declined, {} refused, {} unknown",
        count(End::Done),
        count(End::Declined),
        count(End::Refused),
        count(End::Unknown)
    );
    for (number, bank) in banks.iter().enumerate() {
        let told = told.iter().filter(|it| it.bank == number).copied();
        bank.judge(&cluster, told.collect());
    }
    assert!(count(End::Declined) > 0, "clients do not get into each other's way");
    assert!(count(End::Unknown) > 0, "nothing was under way when leaders were killed");
    cluster.stop();
}

#[test]
fn a_watch_outlives_a_leader_that_comes_and_is_killed() {
    let mut cluster = Cluster::start();
    let (ours, addresses) = (cluster.leader_of("{k}"), cluster.addresses());
    let mut connections = ["{k}", "{k}changed", "{k}came", "{k}unlike"].map(|key| {
        let mut watcher = Connection::open(addresses[ours], BOUND).unwrap();
        expect(&mut watcher, &["SET", "{k}changed", "before"], "OK");
        expect(&mut watcher, &["WATCH", key, "{k}"], "OK");
        (watcher, key)
    });
    // Another node leads, changes two of the keys, and is killed before it could tell more.
    let theirs = (ours + 1) % NODES;
    hand_over(&cluster, ours, theirs);
    let mut other = Connection::open(addresses[theirs], BOUND).unwrap();
    expect(&mut other, &["SET", "{k}changed", "meanwhile"], "OK");
    expect(&mut other, &["SET", "{k}came", "and"], "OK");
    assert_eq!(ask(&mut other, &["DEL", "{k}came"]), Reply::Integer(1));
    cluster.kill(&[theirs]);
    let left = (ours + 2) % NODES;
    if cluster.leader_among(&[ours, left], "{k}") != ours {
        hand_over(&cluster, left, ours);
    }
    for (watcher, key) in &mut connections {
        expect(watcher, &["MULTI"], "OK");
        expect(watcher, &["SET", "{k}done", key], "QUEUED");
        let changed = *key == "{k}changed" || *key == "{k}came";
        let expected = if changed { Vec::new() } else { vec![Reply::Status("OK".to_owned())] };
        assert_eq!(ask(watcher, &["EXEC"]), Reply::Items(expected), "{key} was watched");
    }
    let (watcher, last) = (&mut connections[0].0, "{k}unlike".to_owned());
    assert_eq!(ask(watcher, &["GET", "{k}done"]), Reply::Text(Some(last)));
    cluster.restart(theirs);
    cluster.wait_until_serving(theirs);
    cluster.stop();
}

/// Lets another node lead the group of the key `{k}`, and waits until it does.
fn hand_over(cluster: &Cluster, from: usize, to: usize) {
    let nodes: Vec<NodeId> = (1..=NODES as u64).map(NodeId).collect();
    let table = RoutingTable::uniform(HASH_SLOTS, GROUPS, &nodes, NODES).unwrap();
    let group = table.group_of(VShardId(u32::from(hash_slot(b"{k}")))).unwrap();
    let (group, node) = (group.0.to_string(), (to + 1).to_string());
    let mut leader = Connection::open(cluster.addresses()[from], BOUND).unwrap();
    let began = Instant::now();
    // A leader that has just been elected, or whose peer has not caught up, says so.
    while ask(&mut leader, &["MULTIRAFT", "TRANSFER", &group, &node])
        != Reply::Status("OK".to_owned())
    {
        assert!(began.elapsed() < BOUND, "group {group} is not handed to node {node}");
        std::thread::yield_now();
    }
    assert_eq!(cluster.leader_among(&[to], "{k}"), to);
}

fn ask(connection: &mut Connection, words: &[&str]) -> Reply {
    connection.ask(words, Instant::now() + BOUND).unwrap()
}

#[track_caller]
fn expect(connection: &mut Connection, words: &[&str], status: &str) {
    assert_eq!(ask(connection, words), Reply::Status(status.to_owned()), "{words:?}");
}

/// Waits until every bank has done some transactions more.
fn expect_step(banks: &[Bank], after: &str) {
    let began = Instant::now();
    let counts = || banks.iter().map(|bank| bank.done.load(Ordering::Relaxed));
    let goals: Vec<u64> = counts().map(|count| count + STEP).collect();
    while counts().zip(&goals).any(|(count, goal)| count < *goal) {
        assert!(began.elapsed() < BOUND, "a bank does not go on after {after}");
        std::thread::yield_now();
    }
    println!("a step {} ms after {after}", began.elapsed().as_millis());
}

/// Says that it is over when it goes.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
