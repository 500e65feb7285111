//! What is moved: the accounts and ledgers of a bank, and whether they bear out what clients were told.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use crate::processes::BOUND;
use crate::processes::cluster::Cluster;
use crate::processes::resp::{Connection, Reply};
use crate::{TOTAL, ask, expect};

/// Two accounts and two ledgers in one slot.
pub(crate) struct Bank {
    pub(crate) name: String,
    /// How many transactions were acknowledged.
    pub(crate) done: AtomicU64,
}

/// What a client was told of a transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    pub(crate) bank: usize,
    pub(crate) number: u64,
    pub(crate) amount: i64,
    pub(crate) end: End,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Done,
    /// A watched key had changed.
    Declined,
    /// It was certainly not done.
    Refused,
    /// Nobody knows.
    Unknown,
}

impl Bank {
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{{{}}}{name}", self.name)
    }

    pub(crate) fn a(&self) -> String {
        self.key("a")
    }

    pub(crate) fn b(&self) -> String {
        self.key("b")
    }

    pub(crate) fn open(&self, cluster: &Cluster) {
        let address = cluster.addresses()[cluster.leader_of(&self.a())];
        let mut connection = Connection::open(address, BOUND).unwrap();
        let half = (TOTAL / 2).to_string();
        expect(&mut connection, &["MSET", &self.a(), &half, &self.b(), &half], "OK");
    }

    /// Compares what clients were told with what the bank holds.
    pub(crate) fn judge(&self, cluster: &Cluster, told: Vec<Told>) {
        let address = cluster.addresses()[cluster.leader_of(&self.a())];
        let mut connection = Connection::open(address, BOUND).unwrap();
        let mut read = |words: &[&str]| numbers(ask(&mut connection, words));
        let balances = read(&["MGET", &self.a(), &self.b()]);
        let [out, into] = ["out", "in"].map(|name| {
            let pairs = read(&["HGETALL", &self.key(name)]);
            pairs.chunks(2).map(|pair| (pair[0], pair[1])).collect::<BTreeMap<i64, i64>>()
        });
        assert_eq!(out, into, "{}: a transaction was done by half", self.name);
        for Told { number, amount, end, .. } in told {
            let found = out.get(&i64::try_from(number).unwrap());
            let is_true = match end {
                End::Done => found == Some(&amount),
                End::Declined | End::Refused => found.is_none(),
                End::Unknown => found.is_none_or(|found| *found == amount),
            };
            assert!(is_true, "{}: {number} moved {amount}, {end:?}, {found:?}", self.name);
        }
        let moved: i64 = out.values().sum();
        let expected = [TOTAL / 2 - moved, TOTAL / 2 + moved];
        assert_eq!(balances, expected, "{}: the ledgers say otherwise", self.name);
    }
}

/// The numbers of a list of strings.
pub(crate) fn numbers(reply: Reply) -> Vec<i64> {
    let Reply::Items(items) = reply else { panic!("{reply:?}") };
    let number = |item| match item {
        Reply::Text(Some(text)) => text.parse().unwrap(),
        Reply::Integer(number) => number,
        Reply::Text(None) | Reply::Status(_) | Reply::Error(_) | Reply::Items(_) => {
            panic!("{item:?}")
        }
    };
    items.into_iter().map(number).collect()
}
