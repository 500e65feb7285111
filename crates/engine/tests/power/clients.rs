//! Clients: they write and read all the time, at whoever says that it leads.
//!
//! A client whose machine loses power knows nothing of what it asked for: an answer that comes later
//! did not leave the machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use engine::{Applied, ProposeError};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use types::{GroupId, VShardId};

use crate::cluster::{Cluster, Seat, Seats};
use crate::dice::Dice;
use crate::ledger::{Ledger, payload};
use crate::storm::PATIENCE;

/// How often a client asks, at most.
const PACE: Duration = Duration::from_millis(1);
/// How many writes it makes at once, at most.
const WRITES_MAX: u64 = 6;
/// Once in so many times it asks whomever, whether he leads or not.
const LOST_ONE_IN: u64 = 100;

/// A client of one group.
pub(crate) struct Client {
    seats: Arc<Seats>,
    ledger: Arc<Ledger>,
    group: GroupId,
    vshard: VShardId,
    dice: Dice,
    pace: Interval,
}

/// What clients share with the storm.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) is_over: AtomicBool,
    /// How many reads were allowed.
    pub(crate) reads: AtomicU64,
}

impl Client {
    pub(crate) fn new(cluster: &Cluster, group: GroupId, dice: Dice) -> Self {
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            seats: cluster.seats.clone(),
            ledger: cluster.ledger.clone(),
            group,
            vshard: cluster.vshard_of(group),
            dice,
            pace,
        }
    }

    /// Writes until it is over; gives up, and says why, if it is left without an answer.
    pub(crate) async fn write(mut self, shared: Arc<Shared>) -> Result<(), String> {
        while !shared.is_over.load(Ordering::Relaxed) {
            self.pace.tick().await;
            let count = 1 + self.dice.below(WRITES_MAX);
            if let Some(seat) = self.whom() {
                self.write_to(&seat, count).await?;
            }
        }
        Ok(())
    }

    /// Writes once, wherever it takes.
    ///
    /// # Errors
    /// Nobody takes it in time.
    pub(crate) async fn write_one(mut self) -> Result<(), String> {
        let before = self.ledger.acknowledged_of(self.group);
        let late = format!("group {} takes no write within {PATIENCE:?}", self.group);
        let write = async {
            while self.ledger.acknowledged_of(self.group) == before {
                self.pace.tick().await;
                if let Some(seat) = self.whom() {
                    self.write_to(&seat, 1).await?;
                }
            }
            Ok(())
        };
        timeout(PATIENCE, write).await.unwrap_or(Err(late))
    }

    /// Reads until it is over, as [`Client::write`].
    pub(crate) async fn read(mut self, shared: Arc<Shared>) -> Result<(), String> {
        while !shared.is_over.load(Ordering::Relaxed) {
            self.pace.tick().await;
            let Some(seat) = self.whom() else { continue };
            let acknowledged = self.ledger.acknowledged_last(self.group);
            let Some(answer) = self.asked(&seat, seat.engine.read(self.vshard)).await? else {
                continue;
            };
            if let Ok(permit) = answer {
                let applied = seat.witness.applied(self.group);
                let (life, group) = (&seat.life, self.group);
                self.ledger.read(life, group, acknowledged, applied);
                if applied < permit.index {
                    let permit = permit.index;
                    return Err(format!("{life} allowed a read at {permit}, holds {applied}"));
                }
                shared.reads.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// A machine that says that it leads the group; now and then any other.
    fn whom(&mut self) -> Option<Arc<Seat>> {
        let is_lost = self.dice.one_in(LOST_ONE_IN);
        let group = self.group;
        let answers =
            |seat: &&Arc<Seat>| seat.life.is_on() && (is_lost || seat.engine.leader(group).is_self);
        let seats: Vec<Arc<Seat>> = self.seats.lock().values().filter(answers).cloned().collect();
        if seats.is_empty() { None } else { Some(self.dice.pick(&seats).clone()) }
    }

    /// Proposes `count` new writes, one by one or together.
    async fn write_to(&self, seat: &Seat, count: u64) -> Result<(), String> {
        let group = self.group;
        let numbers = self.ledger.make(group, count, &seat.life);
        let data = |number: &u64| Bytes::from(payload(group, *number));
        let outcomes = match &numbers[..] {
            [only] => {
                let write = seat.engine.propose(self.vshard, data(only));
                self.asked(seat, async { vec![write.await] }).await?
            }
            all => {
                let writes = all.iter().map(|number| (self.vshard, data(number))).collect();
                self.asked(seat, seat.engine.propose_many(writes)).await?
            }
        };
        for (number, outcome) in numbers.into_iter().zip(outcomes.unwrap_or_default()) {
            match outcome {
                Ok(Applied { index, result, .. }) => {
                    self.ledger.acknowledged(group, number, index, &result);
                }
                Err(ProposeError::Uncertain) => {}
                Err(_) => self.ledger.refused(group, number),
            }
        }
        Ok(())
    }

    /// Waits for an answer; none if the machine lost its power before it came.
    ///
    /// # Errors
    /// There is power and no answer.
    async fn asked<T>(
        &self,
        seat: &Seat,
        answer: impl Future<Output = T>,
    ) -> Result<Option<T>, String> {
        tokio::select! {
            biased;
            () = seat.life.off() => Ok(None),
            answer = timeout(PATIENCE, answer) => match answer {
                Ok(answer) => Ok(seat.life.is_on().then_some(answer)),
                Err(_) => Err(format!("{} does not answer within {PATIENCE:?}", seat.life)),
            },
        }
    }
}
