//! A disk in memory that loses power on demand: what redb writes to in the tests.
//!
//! Until a sync returns, a write may be lost, kept, torn or overtaken by a later one when the power
//! goes; after it, it stays. [`SimDisk::restart`] decides by a seed what survived, so that a seed
//! tells the whole story. The same handle never comes back after a cut: whoever still holds it (a
//! database that is being dropped, say) gets errors for ever, as a process that died would.
//!
//! Invariants: `durable` is what survives in any case; `current`, what readers see, is `durable`
//! with `unsynced` applied in order, and with what a failed sync lost.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::StorageBackend;

/// What was asked of a disk so far.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct DiskCounters {
    /// Writes and changes of length that were accepted.
    pub writes: u64,
    /// Bytes in those writes.
    pub bytes_written: u64,
    /// Syncs that succeeded.
    pub syncs: u64,
}

impl DiskCounters {
    /// Writes and syncs together: the moments at which [`SimDisk::cut_power_in`] can strike.
    pub const fn operations(&self) -> u64 {
        self.writes + self.syncs
    }
}

/// A simulated disk; clones share it.
#[derive(Clone, Debug, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    current: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
    is_dark: bool,
    cut_in: Option<u64>,
    cut_in_syncs: Option<u64>,
    write_fault_in: Option<u64>,
    sync_fault_in: Option<u64>,
    counters: DiskCounters,
}

/// Something that was done to the disk and not yet synced.
#[derive(Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

impl SimDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// A disk that holds `image`, all of it durable.
    pub fn from_image(image: Vec<u8>) -> Self {
        let state = State { current: image.clone(), durable: image, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// A copy of what a reader sees, for comparing and for opening it elsewhere.
    pub fn image(&self) -> Vec<u8> {
        self.state.lock().current.clone()
    }

    /// What was asked of it so far.
    pub fn counters(&self) -> DiskCounters {
        self.state.lock().counters
    }

    /// Cuts the power at a write or sync to come: 0 is the next one. That operation fails; a write
    /// that it strikes may still reach the disk, in part or whole.
    pub fn cut_power_in(&self, operations: u64) {
        self.state.lock().cut_in = Some(operations);
    }

    /// Cuts the power at a sync to come: 0 is the next one. Everything is written then, and may be
    /// there although nobody was told so.
    pub fn cut_power_in_syncs(&self, syncs: u64) {
        self.state.lock().cut_in_syncs = Some(syncs);
    }

    /// Takes back a cut that has not struck yet.
    pub fn keep_power(&self) {
        let mut state = self.state.lock();
        state.cut_in = None;
        state.cut_in_syncs = None;
    }

    /// Cuts the power at once.
    pub fn cut_power(&self) {
        self.state.lock().is_dark = true;
    }

    /// Whether the power is gone.
    pub fn is_dark(&self) -> bool {
        self.state.lock().is_dark
    }

    /// Lets a write to come fail once, with nothing written: 0 is the next one.
    pub fn fail_write_in(&self, writes: u64) {
        self.state.lock().write_fault_in = Some(writes);
    }

    /// Lets a sync to come fail once: 0 is the next one. What was to be synced stays visible, is
    /// never written again, and is lost with the next cut: what Linux does to dirty pages whose
    /// write-back failed.
    pub fn fail_sync_in(&self, syncs: u64) {
        self.state.lock().sync_fault_in = Some(syncs);
    }

    /// Flips one bit at rest: damage that no cut explains.
    ///
    /// # Panics
    /// If the disk is not that long.
    pub fn flip_bit(&self, offset: usize, bit: u32) {
        let mut state = self.state.lock();
        for image in state.images() {
            image[offset] ^= 1 << (bit % 8);
        }
    }

    /// Exchanges two ranges of `len` bytes at rest: what a misdirected write leaves behind.
    ///
    /// # Panics
    /// If the ranges overlap or the disk is not that long.
    pub fn swap(&self, a: usize, b: usize, len: usize) {
        let (low, high) = (a.min(b), a.max(b));
        let mut state = self.state.lock();
        for image in state.images() {
            let (left, right) = image.split_at_mut(high);
            left[low..low + len].swap_with_slice(&mut right[..len]);
        }
    }

    /// What the machine finds when the power is back: a new disk, on which every unsynced write
    /// was kept, lost, torn or reordered as `seed` has it. This one stays dark.
    #[must_use]
    pub fn restart(&self, seed: u64) -> Self {
        let mut state = self.state.lock();
        state.is_dark = true;
        let mut dice = Dice::new(seed);
        Self::from_image(state.survivors(&mut dice))
    }
}

impl State {
    fn images(&mut self) -> [&mut Vec<u8>; 2] {
        [&mut self.current, &mut self.durable]
    }

    /// Counts down to the cut; false once the power is gone.
    fn is_powered(&mut self) -> bool {
        self.is_dark |= strikes(&mut self.cut_in);
        !self.is_dark
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.current.len() < end {
            self.current.resize(end, 0);
            self.unsynced.push(Change::Length(end));
        }
        self.current[offset..end].copy_from_slice(bytes);
        self.unsynced.push(Change::Write { offset, bytes: bytes.to_vec() });
    }

    fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            match change {
                Change::Write { offset, bytes } => put(&mut self.durable, offset, &bytes),
                Change::Length(len) => self.durable.resize(len, 0),
            }
        }
        debug_assert_eq!(self.durable.len(), self.current.len());
    }

    /// Decides the fate of everything unsynced.
    fn survivors(&mut self, dice: &mut Dice) -> Vec<u8> {
        let mut image = std::mem::take(&mut self.durable);
        let mut changes = std::mem::take(&mut self.unsynced);
        let mood = Mood::draw(dice);
        if mood == Mood::Reordered {
            for last in (1..changes.len()).rev() {
                changes.swap(last, dice.below(last + 1));
            }
        }
        let struck = dice.below(changes.len() + 1);
        for (position, change) in changes.iter().enumerate() {
            let fate = match mood {
                Mood::AllLost => Fate::Lost,
                Mood::AllKept => Fate::Kept,
                Mood::InOrder => match position.cmp(&struck) {
                    std::cmp::Ordering::Less => Fate::Kept,
                    std::cmp::Ordering::Equal => Fate::draw_torn(dice),
                    std::cmp::Ordering::Greater => Fate::Lost,
                },
                Mood::Each | Mood::Reordered => Fate::draw(dice),
                Mood::Sectors => Fate::Scattered { grain: SECTOR_BYTES },
            };
            survive(&mut image, change, fate, dice);
        }
        image
    }
}

impl StorageBackend for SimDisk {
    fn len(&self) -> Result<u64, io::Error> {
        let state = self.state.lock();
        if state.is_dark { Err(dark()) } else { Ok(state.current.len() as u64) }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let state = self.state.lock();
        if state.is_dark {
            return Err(dark());
        }
        let offset = position(offset)?;
        let found = offset.checked_add(out.len()).and_then(|end| state.current.get(offset..end));
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        let mut state = self.state.lock();
        let len = position(len)?;
        if state.is_dark {
            return Err(dark());
        }
        state.unsynced.push(Change::Length(len));
        if !state.is_powered() {
            return Err(dark());
        }
        state.current.resize(len, 0);
        state.counters.writes += 1;
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let mut state = self.state.lock();
        if !state.is_dark && strikes(&mut state.cut_in_syncs) {
            state.is_dark = true;
        }
        if !state.is_powered() {
            return Err(dark());
        }
        if strikes(&mut state.sync_fault_in) {
            state.unsynced.clear();
            let len = state.current.len();
            state.durable.resize(len, 0);
            return Err(io::Error::other("the simulated disk failed this sync"));
        }
        state.sync();
        state.counters.syncs += 1;
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let mut state = self.state.lock();
        let offset = position(offset)?;
        if state.is_dark {
            return Err(dark());
        }
        if strikes(&mut state.write_fault_in) {
            return Err(io::Error::other("the simulated disk failed this write"));
        }
        state.write(offset, data);
        if !state.is_powered() {
            return Err(dark());
        }
        state.counters.writes += 1;
        state.counters.bytes_written += data.len() as u64;
        Ok(())
    }
}

/// How the whole machine behaved when the power went.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// Nothing had been written back.
    AllLost,
    /// Everything had been written back, only the sync had not returned.
    AllKept,
    /// Written back in order up to one write, which is torn.
    InOrder,
    /// Each write on its own.
    Each,
    /// Each write on its own, and an earlier one may have come last.
    Reordered,
    /// Each sector of each write on its own.
    Sectors,
}

impl Mood {
    fn draw(dice: &mut Dice) -> Self {
        match dice.below(8) {
            0 => Self::AllLost,
            1 => Self::AllKept,
            2 => Self::InOrder,
            3 | 4 => Self::Each,
            5 => Self::Reordered,
            _ => Self::Sectors,
        }
    }
}

/// What became of one write.
#[derive(Clone, Copy)]
enum Fate {
    Kept,
    Lost,
    /// Its first bytes, in whole grains, arrived.
    Head {
        grain: usize,
    },
    /// Only its last bytes, in whole grains, arrived.
    Tail {
        grain: usize,
    },
    /// Some of its grains arrived.
    Scattered {
        grain: usize,
    },
}

impl Fate {
    fn draw(dice: &mut Dice) -> Self {
        match dice.below(4) {
            0 => Self::Lost,
            1 => Self::draw_torn(dice),
            _ => Self::Kept,
        }
    }

    fn draw_torn(dice: &mut Dice) -> Self {
        let grain = [SECTOR_BYTES, SECTOR_BYTES, 64, 1][dice.below(4)];
        match dice.below(3) {
            0 => Self::Head { grain },
            1 => Self::Tail { grain },
            _ => Self::Scattered { grain },
        }
    }
}

/// Applies what survives of one change.
fn survive(image: &mut Vec<u8>, change: &Change, fate: Fate, dice: &mut Dice) {
    let (offset, bytes) = match change {
        // A length is one number in the file system's journal: it cannot be torn.
        Change::Length(len) => {
            if matches!(fate, Fate::Kept) || dice.below(2) == 0 {
                image.resize(*len, 0);
            }
            return;
        }
        Change::Write { offset, bytes } => (*offset, bytes),
    };
    let cut = |grain: usize, dice: &mut Dice| dice.below(bytes.len() / grain + 1) * grain;
    match fate {
        Fate::Kept => put(image, offset, bytes),
        Fate::Lost => {}
        Fate::Head { grain } => put(image, offset, &bytes[..cut(grain, dice)]),
        Fate::Tail { grain } => {
            let from = cut(grain, dice);
            put(image, offset + from, &bytes[from..]);
        }
        Fate::Scattered { grain } => {
            for (number, part) in bytes.chunks(grain).enumerate() {
                if dice.below(2) == 0 {
                    put(image, offset + number * grain, part);
                }
            }
        }
    }
}

/// Writes what lies within the image; what a lost change of length cut off has no place.
fn put(image: &mut [u8], offset: usize, bytes: &[u8]) {
    let Some(room) = image.get_mut(offset..) else { return };
    let len = bytes.len().min(room.len());
    room[..len].copy_from_slice(&bytes[..len]);
}

fn strikes(countdown: &mut Option<u64>) -> bool {
    match countdown {
        Some(0) => {
            *countdown = None;
            true
        }
        Some(left) => {
            *left -= 1;
            false
        }
        None => false,
    }
}

fn position(offset: u64) -> Result<usize, io::Error> {
    usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput.into())
}

fn dark() -> io::Error {
    io::Error::other("the simulated disk has no power")
}

/// The unit that disks promise to write whole.
const SECTOR_BYTES: usize = 512;

/// A small generator (SplitMix64): the simulation needs variety and repeatability, nothing more.
struct Dice(u64);

impl Dice {
    const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which is at least 1.
    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).expect("the remainder is below a usize")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk_of(len: u64) -> SimDisk {
        let disk = SimDisk::new();
        disk.set_len(len).unwrap();
        disk.sync_data().unwrap();
        disk
    }

    #[test]
    fn what_was_synced_survives_every_seed() {
        for seed in 0..200 {
            let disk = disk_of(4096);
            disk.write(0, &[1; 1024]).unwrap();
            disk.sync_data().unwrap();
            disk.write(1024, &[2; 1024]).unwrap();
            let after = disk.restart(seed).image();
            assert!(after[..1024].iter().all(|byte| *byte == 1), "seed {seed}");
            assert!(after[2048..].iter().all(|byte| *byte == 0), "seed {seed}");
        }
    }

    #[test]
    fn what_was_not_synced_is_kept_lost_torn_and_reordered() {
        let (mut kept, mut lost, mut torn, mut overtaken) = (0, 0, 0, 0);
        for seed in 0..400 {
            let disk = disk_of(2048);
            disk.write(0, &[1; 2048]).unwrap();
            disk.write(0, &[2; 2048]).unwrap();
            let after = disk.restart(seed).image();
            match (after[0], after.iter().all(|byte| *byte == after[0])) {
                (2, true) => kept += 1,
                (1, true) => overtaken += 1,
                (_, true) => lost += 1,
                (_, false) => torn += 1,
            }
        }
        assert!(kept > 20 && lost > 20 && torn > 20 && overtaken > 20);
    }

    #[test]
    fn a_cut_strikes_the_operation_it_was_set_for_and_all_after_it() {
        let disk = disk_of(512);
        disk.cut_power_in(1);
        disk.write(0, b"a").unwrap();
        assert!(disk.sync_data().is_err());
        assert!(disk.is_dark());
        assert!(disk.write(0, b"b").is_err());
        assert!(disk.read(0, &mut [0]).is_err());
        assert!(disk.len().is_err());
        let restarted = disk.restart(1);
        assert!(restarted.len().is_ok() && disk.len().is_err());
    }

    #[test]
    fn a_failed_sync_loses_what_it_was_for_even_if_the_next_one_succeeds() {
        let disk = disk_of(512);
        disk.write(0, b"lost").unwrap();
        disk.fail_sync_in(0);
        assert!(disk.sync_data().is_err());
        disk.write(8, b"kept").unwrap();
        disk.sync_data().unwrap();
        assert_eq!(&disk.image()[..4], b"lost");
        let after = disk.restart(3).image();
        assert_eq!(&after[..4], &[0; 4]);
        assert_eq!(&after[8..12], b"kept");
    }

    #[test]
    fn a_seed_tells_the_whole_story() {
        let restart = |seed| {
            let disk = disk_of(4096);
            for number in 0..16 {
                disk.write(u64::from(number) * 200, &[number + 1; 700]).unwrap();
            }
            disk.restart(seed).image()
        };
        assert_eq!(restart(7), restart(7));
        assert_ne!(restart(7), restart(8));
    }
}
