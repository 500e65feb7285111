//! A public cluster client library with its default settings, while nodes are killed as processes:
//! no operation fails, and nothing acknowledged is lost.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod processes;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{AsyncCommands, ProtocolVersion, RedisResult};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use processes::BOUND;
use processes::cluster::{Cluster, NODES};

/// Clients of each version of the protocol.
const CLIENTS: usize = 4;
/// How many operations every client does before the next thing happens.
const STEP: u64 = 100;
/// How many keys each client reads and writes: some of every group.
const KEYS: usize = 40;

#[test]
fn no_operation_of_a_cluster_client_fails_while_nodes_are_killed() {
    let mut cluster = Cluster::start();
    let crowd = Crowd::start(&cluster);
    crowd.expect_step("the start");
    for node in 0..NODES {
        cluster.kill(&[node]);
        crowd.expect_step("the kill of a node");
        cluster.restart(node);
        cluster.wait_until_serving(node);
        crowd.expect_step("the start of a node");
    }
    crowd.end();
    cluster.stop();
}

/// Clients who work until it is over.
struct Crowd {
    runtime: Runtime,
    /// How many operations each has done.
    done: Arc<Vec<AtomicU64>>,
    is_over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Duration>>,
}

impl Crowd {
    fn start(cluster: &Cluster) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let versions = [[ProtocolVersion::RESP2; CLIENTS], [ProtocolVersion::RESP3; CLIENTS]];
        let versions = versions.concat();
        let done: Arc<Vec<AtomicU64>> =
            Arc::new(versions.iter().map(|_| AtomicU64::new(0)).collect());
        let is_over = Arc::new(AtomicBool::new(false));
        let start = |(number, version)| {
            let mut client = runtime.block_on(Client::connect(number, cluster, version));
            let (done, is_over) = (Arc::clone(&done), Arc::clone(&is_over));
            runtime.spawn(async move { client.work(&done[number], &is_over).await })
        };
        let clients = versions.into_iter().enumerate().map(start).collect();
        Self { runtime, done, is_over, clients }
    }

    /// Waits until every client has done a step more, and fails if one of them has failed.
    fn expect_step(&self, after: &str) {
        let began = Instant::now();
        let counts = || self.done.iter().map(|done| done.load(Ordering::Relaxed));
        let goals: Vec<u64> = counts().map(|count| count + STEP).collect();
        while counts().zip(&goals).any(|(count, goal)| count < *goal) {
            let has_failed = self.clients.iter().any(JoinHandle::is_finished);
            assert!(!has_failed, "an operation failed after {after}");
            assert!(began.elapsed() < BOUND, "a client does not go on after {after}");
            std::thread::yield_now();
        }
        println!("a step {} ms after {after}", began.elapsed().as_millis());
    }

    fn end(self) {
        self.is_over.store(true, Ordering::Relaxed);
        let longest = self.clients.into_iter().map(|it| self.runtime.block_on(it).unwrap()).max();
        let count: u64 = self.done.iter().map(|done| done.load(Ordering::Relaxed)).sum();
        println!("{count} operations, none failed; the longest took {longest:?}");
    }
}

/// A client with keys of its own, so that it knows what it must read.
struct Client {
    number: usize,
    connection: ClusterConnection,
    /// Of each key, what was acknowledged last.
    values: [Option<u64>; KEYS],
    sum: u64,
}

impl Client {
    async fn connect(number: usize, cluster: &Cluster, version: ProtocolVersion) -> Self {
        let urls = cluster.addresses().map(|address| format!("redis://{address}"));
        let client = ClusterClient::builder(urls).use_protocol(version).build().unwrap();
        let connection = client.get_async_connection().await.unwrap();
        Self { number, connection, values: [None; KEYS], sum: 0 }
    }

    /// Works until it is over; tells how long the longest operation took.
    async fn work(&mut self, done: &AtomicU64, is_over: &AtomicBool) -> Duration {
        let mut longest = Duration::ZERO;
        while !is_over.load(Ordering::Relaxed) {
            let (at, began) = (done.load(Ordering::Relaxed), Instant::now());
            if let Err(error) = self.step(at).await {
                let after = began.elapsed().as_millis();
                panic!("client {}: operation {at} failed after {after} ms: {error}", self.number);
            }
            longest = longest.max(began.elapsed());
            done.fetch_add(1, Ordering::Relaxed);
        }
        longest
    }

    /// One operation: a write, a read of what was written, or a count.
    async fn step(&mut self, at: u64) -> RedisResult<()> {
        let key = usize::try_from(at / 3).unwrap() % KEYS;
        let name = format!("{}-{key}", self.number);
        match at % 3 {
            0 => {
                let () = self.connection.set(&name, at).await?;
                self.values[key] = Some(at);
            }
            1 => {
                let found: Option<u64> = self.connection.get(&name).await?;
                assert_eq!(found, self.values[key], "{name} after {at} operations");
            }
            _ => {
                let sum: u64 = self.connection.incr(format!("{}-sum", self.number), 1).await?;
                // The library sends again what it has no reply to, so that one count may have been
                // made twice; none may be missing.
                assert!(sum > self.sum, "{sum} after {}", self.sum);
                self.sum = sum;
            }
        }
        Ok(())
    }
}
