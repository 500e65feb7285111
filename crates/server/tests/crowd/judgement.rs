//! The end of a run: everything is read once more, and one order has to explain it all.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sim::history::{Action, Ending, History, HistoryError, Limits};

use super::client::{Client, Ended};
use super::{CLIENTS, Crowd};
use crate::processes::cluster::{Cluster, NODES};

/// How long everything is looked for in the end.
const FINAL_READS_WITHIN: Duration = Duration::from_secs(60);
/// Above the numbers of all other clients.
const LAST_CLIENT_FIRST: u32 = 1_000_000;

/// Reads every key that anybody asked for, and fails unless one order explains everything that
/// clients were told: nothing acknowledged was lost, nothing stale was read, nothing done twice.
pub(crate) fn expect_one_order(history: History, cluster: &Cluster, crowd: &Crowd, seed: u64) {
    if let Err(error) = judge(history, cluster, crowd, seed) {
        panic!("{error}");
    }
}

/// Reads every key that anybody asked for, and looks for an order that explains everything.
pub(crate) fn judge(
    mut history: History,
    cluster: &Cluster,
    crowd: &Crowd,
    seed: u64,
) -> Result<(), HistoryError> {
    history.merge(read_everything(cluster, crowd, &keys_of(&history), seed));
    describe(&history);
    let began = Instant::now();
    let checked = history.check(Limits::default())?;
    println!("{checked:?} in {} ms", began.elapsed().as_millis());
    Ok(())
}

fn keys_of(history: &History) -> Vec<String> {
    let keys = history.operations().iter().map(|operation| operation.key.clone());
    keys.collect::<BTreeSet<String>>().into_iter().collect()
}

/// Reads every key that anybody asked for, each from one node or another.
fn read_everything(cluster: &Cluster, crowd: &Crowd, keys: &[String], seed: u64) -> History {
    let addresses = cluster.addresses();
    let began = Instant::now();
    let read = |number: u32| {
        let mut client = Client::new(
            LAST_CLIENT_FIRST + number,
            seed,
            crowd.clock,
            addresses,
            FINAL_READS_WITHIN,
        );
        for (at, key) in keys.iter().enumerate().skip(number as usize).step_by(CLIENTS as usize) {
            // What is refused, or lost with its connection, is asked again.
            while !matches!(
                client.ask(Some(at % NODES), key, Action::Get).ended,
                Ended::Returned(_)
            ) {
                assert!(began.elapsed() < FINAL_READS_WITHIN, "nobody answers for {key}");
            }
        }
        client.history
    };
    std::thread::scope(|scope| {
        let readers: Vec<_> =
            (0..CLIENTS).map(|number| scope.spawn(move || read(number))).collect();
        let mut history = History::default();
        readers.into_iter().for_each(|reader| history.merge(reader.join().unwrap()));
        history
    })
}

fn describe(history: &History) {
    let (mut returned, mut refused, mut open) = (0, 0, 0);
    for operation in history.operations() {
        match operation.ending {
            Ending::Returned { .. } => returned += 1,
            Ending::Refused { .. } => refused += 1,
            Ending::Open => open += 1,
        }
    }
    println!("{returned} operations returned, {refused} were refused, of {open} nobody knows");
}
