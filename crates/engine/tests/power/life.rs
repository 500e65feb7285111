//! One life of a machine: from the moment its power comes on to the moment it goes.
//!
//! Disk, link and clients of a node all look at its [`Life`], so that everything ends at one moment:
//! after it the engine's threads may do what they like, but nothing that they hold reaches the disk,
//! another node or a client any more. What the disk holds then, the simulated disk decides.
//!
//! A sync takes a while, as on a real disk: otherwise hardly a cut would strike while a commit is
//! under way.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use storage_redb::sim_disk::SimDisk;
use storage_redb::{Disk, StorageBackend};
use tokio::sync::watch;
use transport::{Class, Link, LinkCounters, Stopped};
use types::NodeId;

use crate::dice::Dice;

/// Nearly all syncs are done within this many microseconds,
const SYNC_MICROS_MAX: u64 = 1_200;
/// and one in so many takes ten times as long.
const SLOW_SYNC_ONE_IN: u64 = 50;

/// See the module.
pub(crate) struct Life {
    pub(crate) node: NodeId,
    /// Which one of the node's lives.
    pub(crate) number: u64,
    platter: SimDisk,
    is_off: Mutex<bool>,
    went_off: Condvar,
    told_off: watch::Sender<bool>,
    link: Mutex<Option<Arc<dyn Link>>>,
}

impl Life {
    /// Switches a machine on.
    pub(crate) fn begin(node: NodeId, number: u64, platter: SimDisk) -> Arc<Self> {
        Arc::new(Self {
            node,
            number,
            platter,
            is_off: Mutex::new(false),
            went_off: Condvar::new(),
            told_off: watch::Sender::new(false),
            link: Mutex::new(None),
        })
    }

    /// The disk itself, which outlives the machine's lives.
    pub(crate) const fn platter(&self) -> &SimDisk {
        &self.platter
    }

    pub(crate) fn is_on(&self) -> bool {
        !*self.is_off.lock()
    }

    /// Cuts the power; again is no harm.
    pub(crate) fn cut(&self) {
        {
            let mut is_off = self.is_off.lock();
            *is_off = true;
            self.platter.cut_power();
            self.went_off.notify_all();
        }
        self.told_off.send_replace(true);
        if let Some(link) = self.link.lock().take() {
            // Nobody says goodbye: what waits in its queues is gone, and the peers see it go.
            drop(link.shutdown());
        }
    }

    /// Ends when the power is gone.
    pub(crate) async fn off(&self) {
        // An error cannot be: the sender is in `self`.
        let _ = self.told_off.subscribe().wait_for(|is_off| *is_off).await;
    }

    /// Does something to what outlives the machine, unless the power is gone; a cut waits for it.
    pub(crate) fn while_on<T>(&self, change: impl FnOnce() -> T) -> Option<T> {
        let is_off = self.is_off.lock();
        (!*is_off).then(change)
    }

    /// Waits as long as a disk is busy, or until the power is gone.
    fn busy(&self, time: Duration) {
        let end = Instant::now() + time;
        let mut is_off = self.is_off.lock();
        while !*is_off && !self.went_off.wait_until(&mut is_off, end).timed_out() {}
    }
}

/// A machine's disk, as its store sees it.
#[derive(Debug)]
pub(crate) struct PoweredDisk {
    life: Arc<Life>,
    dice: Mutex<Dice>,
    /// Whether it says that it has synced, and has not.
    lies: bool,
}

impl PoweredDisk {
    pub(crate) fn new(life: &Arc<Life>, dice: Dice, lies: bool) -> Self {
        Self { life: life.clone(), dice: Mutex::new(dice), lies }
    }

    /// A disk on which an operation met the end of the power takes the whole machine along.
    fn done<T>(&self, result: Result<T, io::Error>) -> Result<T, io::Error> {
        if result.is_err() && self.life.platter.is_dark() {
            self.life.cut();
        }
        result
    }

    fn sync_time(&self) -> Duration {
        let mut dice = self.dice.lock();
        let slowness = if dice.one_in(SLOW_SYNC_ONE_IN) { 10 } else { 1 };
        Duration::from_micros(dice.below(SYNC_MICROS_MAX) * slowness)
    }
}

impl Disk for PoweredDisk {}

impl StorageBackend for PoweredDisk {
    fn len(&self) -> Result<u64, io::Error> {
        self.done(self.life.platter.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.done(self.life.platter.read(offset, out))
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.done(self.life.platter.set_len(len))
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.life.busy(self.sync_time());
        if self.lies && self.life.is_on() {
            return Ok(());
        }
        self.done(self.life.platter.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.done(self.life.platter.write(offset, data))
    }
}

/// A machine's link, as its engine sees it.
pub(crate) struct PoweredLink {
    life: Arc<Life>,
    link: Arc<dyn Link>,
}

impl PoweredLink {
    pub(crate) fn new(life: &Arc<Life>, link: Arc<dyn Link>) -> Self {
        *life.link.lock() = Some(link.clone());
        if !life.is_on() {
            // Cut before it was there to be cut off.
            life.cut();
        }
        Self { life: life.clone(), link }
    }
}

impl Link for PoweredLink {
    fn send(&self, to: NodeId, body: Bytes, class: Class) {
        if self.life.is_on() {
            self.link.send(to, body, class);
        }
    }

    fn counters(&self) -> LinkCounters {
        self.link.counters()
    }

    fn shutdown(&self) -> Stopped {
        self.link.shutdown()
    }
}

impl std::fmt::Debug for Life {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "life {} of node {}", self.number, self.node)
    }
}

impl std::fmt::Display for Life {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node {} in its life {}", self.node, self.number)
    }
}
