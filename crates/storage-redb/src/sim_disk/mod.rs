//! A disk in memory that loses power on demand: what redb writes to in the tests.
//!
//! Until a sync returns, a write may be lost, kept, torn or overtaken by a later one when the power
//! goes; after it, it stays. [`SimDisk::restart`] decides by a seed what survived, so that a seed
//! tells the whole story. The same handle never comes back after a cut: whoever still holds it (a
//! database that is being dropped, say) gets errors for ever, as a process that died would.
//!
//! It has as much room as it is given: a block takes room when it is first written to, and gives
//! it back when the file is cut off before it; somebody else may take the rest.
//!
//! Invariants: `durable` is what survives in any case; `current`, what readers see, is `durable`
//! with `unsynced` applied in order, and with what a failed sync lost.

mod fate;
mod image;

use std::io;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use redb::StorageBackend;

use crate::room::{Disk, Found, Room};
use fate::{Change, Dice, befall};
use image::Image;

/// What was asked of a disk so far.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct DiskCounters {
    /// Writes and changes of length that were accepted.
    pub writes: u64,
    /// Bytes in those writes.
    pub bytes_written: u64,
    /// Syncs that succeeded.
    pub syncs: u64,
    /// Writes that were refused because the disk was full.
    pub refused_writes: u64,
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
    /// Told when syncs that are held may go on, or the power is gone.
    released: Arc<Condvar>,
}

#[derive(Debug, Default)]
struct State {
    current: Image,
    durable: Image,
    unsynced: Vec<Change>,
    shelf: Shelf,
    is_dark: bool,
    cut_in: Option<u64>,
    cut_in_syncs: Option<u64>,
    write_fault_in: Option<u64>,
    sync_fault_in: Option<u64>,
    read_fault_in: Option<u64>,
    look_fault_in: Option<u64>,
    holds_syncs: bool,
    /// How many syncs stand still.
    held_syncs: usize,
    counters: DiskCounters,
}

/// The room on the disk.
#[derive(Clone, Copy, Default, Debug)]
struct Shelf {
    /// What the file's blocks, the reserve and others may take together; none if there is no end.
    capacity: Option<u64>,
    /// What the reserve holds, as the machine sees it and as it survives in any case.
    reserve_bytes: u64,
    reserve_bytes_durable: u64,
}

impl SimDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// A disk that holds `image`, all of it durable.
    pub fn from_image(image: Vec<u8>) -> Self {
        let image = Image::new(image);
        let state = State { current: image.clone(), durable: image, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), released: Arc::default() }
    }

    /// A copy of what a reader sees, for comparing and for opening it elsewhere.
    pub fn image(&self) -> Vec<u8> {
        self.state.lock().current.bytes().to_vec()
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

    /// Takes back cuts and failures that have not struck yet.
    pub fn keep_power(&self) {
        let mut state = self.state.lock();
        state.cut_in = None;
        state.cut_in_syncs = None;
        state.write_fault_in = None;
        state.sync_fault_in = None;
        state.read_fault_in = None;
        state.look_fault_in = None;
    }

    /// Cuts the power at once.
    pub fn cut_power(&self) {
        self.state.lock().is_dark = true;
        self.released.notify_all();
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

    /// Lets a read to come fail once: 0 is the next one.
    pub fn fail_read_in(&self, reads: u64) {
        self.state.lock().read_fault_in = Some(reads);
    }

    /// Lets a look at the room to come fail once: 0 is the next one.
    pub fn fail_look_in(&self, looks: u64) {
        self.state.lock().look_fault_in = Some(looks);
    }

    /// Lets syncs stand still from now on: they neither succeed nor fail, until they are released or
    /// the power goes. Writes and reads go on.
    pub fn hold_syncs(&self) {
        self.state.lock().holds_syncs = true;
    }

    /// Lets syncs go on, those that stand still first.
    pub fn release_syncs(&self) {
        self.state.lock().holds_syncs = false;
        self.released.notify_all();
    }

    /// How many syncs stand still.
    pub fn held_syncs(&self) -> usize {
        self.state.lock().held_syncs
    }

    /// Gives the disk that much room in all. What is taken already stays; there may be less than
    /// nothing left.
    pub fn limit_to(&self, capacity: u64) {
        self.state.lock().shelf.capacity = Some(capacity);
    }

    /// Somebody else takes room, or makes some, so that exactly that much is left.
    pub fn leave_free(&self, bytes: u64) {
        let mut state = self.state.lock();
        let capacity = state.current.taken_bytes() + state.shelf.reserve_bytes + bytes;
        state.shelf.capacity = Some(capacity);
    }

    /// Gives the disk room without end.
    pub fn unlimit(&self) {
        self.state.lock().shelf.capacity = None;
    }

    /// How many bytes can still be written.
    pub fn free_bytes(&self) -> u64 {
        self.state.lock().free_bytes()
    }

    /// How many bytes the reserve holds.
    pub fn reserve_bytes(&self) -> u64 {
        self.state.lock().shelf.reserve_bytes
    }

    /// Flips one bit at rest: damage that no cut explains.
    ///
    /// # Panics
    /// If the disk is not that long.
    pub fn flip_bit(&self, offset: usize, bit: u32) {
        let mut state = self.state.lock();
        for image in state.images() {
            image.bytes_mut()[offset] ^= 1 << (bit % 8);
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
            let (left, right) = image.bytes_mut().split_at_mut(high);
            left[low..low + len].swap_with_slice(&mut right[..len]);
        }
    }

    /// What the next process finds when this one was killed and the machine is still up: the same
    /// disk with all that was written, synced or not, and with what the system has in memory. This
    /// handle stays dark.
    #[must_use]
    pub fn survive_kill(&self) -> Self {
        let mut state = self.state.lock();
        let held_syncs = state.held_syncs;
        let dark = State { is_dark: true, held_syncs, ..State::default() };
        let survivor = std::mem::replace(&mut *state, dark);
        let State { current, durable, unsynced, shelf, .. } = survivor;
        let survivor = State { current, durable, unsynced, shelf, ..State::default() };
        self.released.notify_all();
        Self { state: Arc::new(Mutex::new(survivor)), released: Arc::default() }
    }

    /// What the machine finds when the power is back: a new disk, on which every unsynced write
    /// was kept, lost, torn or reordered as `seed` has it. This one stays dark.
    #[must_use]
    pub fn restart(&self, seed: u64) -> Self {
        let mut state = self.state.lock();
        state.is_dark = true;
        let mut dice = Dice::new(seed);
        let image = state.survivors(&mut dice);
        let mut shelf = state.shelf;
        if shelf.reserve_bytes != shelf.reserve_bytes_durable && dice.below(2) == 0 {
            shelf.reserve_bytes = shelf.reserve_bytes_durable;
        }
        shelf.reserve_bytes_durable = shelf.reserve_bytes;
        let restarted = State { current: image.clone(), durable: image, shelf, ..State::default() };
        self.released.notify_all();
        Self { state: Arc::new(Mutex::new(restarted)), released: Arc::default() }
    }
}

impl State {
    fn images(&mut self) -> [&mut Image; 2] {
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
            self.current.resize(end);
            self.unsynced.push(Change::Length(end));
        }
        self.current.put(offset, bytes);
        self.unsynced.push(Change::Write { offset, bytes: bytes.to_vec() });
    }

    fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            match change {
                Change::Write { offset, bytes } => self.durable.put(offset, &bytes),
                Change::Length(len) => self.durable.resize(len),
            }
        }
        self.shelf.reserve_bytes_durable = self.shelf.reserve_bytes;
        debug_assert_eq!(self.durable.len(), self.current.len());
    }

    /// Decides the fate of everything unsynced.
    fn survivors(&mut self, dice: &mut Dice) -> Image {
        let mut image = std::mem::take(&mut self.durable);
        befall(&mut image, std::mem::take(&mut self.unsynced), dice);
        image
    }

    fn free_bytes(&self) -> u64 {
        let taken = self.current.taken_bytes() + self.shelf.reserve_bytes;
        self.shelf.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(taken))
    }

    /// Whether there is room for a write.
    fn has_room(&mut self, offset: usize, len: usize) -> bool {
        let has_room = self.current.newly_taken_bytes(offset, len) <= self.free_bytes();
        self.counters.refused_writes += u64::from(!has_room);
        has_room
    }
}

impl StorageBackend for SimDisk {
    fn len(&self) -> Result<u64, io::Error> {
        let state = self.state.lock();
        if state.is_dark { Err(dark()) } else { Ok(state.current.len() as u64) }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let mut state = self.state.lock();
        if state.is_dark {
            return Err(dark());
        }
        if strikes(&mut state.read_fault_in) {
            return Err(io::Error::other("the simulated disk failed this read"));
        }
        let offset = position(offset)?;
        let bytes = state.current.bytes();
        let found = offset.checked_add(out.len()).and_then(|end| bytes.get(offset..end));
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        let mut state = self.state.lock();
        let len = position(len)?;
        if state.is_dark {
            return Err(dark());
        }
        state.current.resize(len);
        state.unsynced.push(Change::Length(len));
        if !state.is_powered() {
            return Err(dark());
        }
        state.counters.writes += 1;
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let mut state = self.state.lock();
        state.held_syncs += 1;
        self.released.wait_while(&mut state, |state| state.holds_syncs && !state.is_dark);
        state.held_syncs -= 1;
        if !state.is_dark && strikes(&mut state.cut_in_syncs) {
            state.is_dark = true;
        }
        if !state.is_powered() {
            return Err(dark());
        }
        if strikes(&mut state.sync_fault_in) {
            state.unsynced.clear();
            let len = state.current.len();
            state.durable.resize(len);
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
        if !state.has_room(offset, data.len()) {
            return Err(io::ErrorKind::StorageFull.into());
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

impl Disk for SimDisk {
    fn settle(&self) -> io::Result<()> {
        self.sync_data()?;
        let mut state = self.state.lock();
        state.current = state.durable.clone();
        Ok(())
    }

    fn room(&self) -> Option<Arc<dyn Room>> {
        Some(Arc::new(self.clone()))
    }
}

impl Room for SimDisk {
    fn look(&self) -> io::Result<Found> {
        let mut state = self.state.lock();
        if state.is_dark {
            return Err(dark());
        }
        if strikes(&mut state.look_fault_in) {
            return Err(io::Error::other("the simulated disk failed this look"));
        }
        Ok(Found {
            free_bytes: state.free_bytes(),
            file_len: state.current.len() as u64,
            file_bytes: state.current.taken_bytes(),
            reserve_bytes: state.shelf.reserve_bytes,
        })
    }

    fn make_reserve(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.is_dark {
            return Err(dark());
        }
        state.shelf.reserve_bytes = 0;
        if state.free_bytes() < bytes {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.shelf.reserve_bytes = bytes;
        if state.is_powered() { Ok(()) } else { Err(dark()) }
    }

    fn give_up_reserve(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.is_dark {
            return Err(dark());
        }
        state.shelf.reserve_bytes = 0;
        if !state.is_powered() {
            return Err(dark());
        }
        state.shelf.reserve_bytes_durable = 0;
        Ok(())
    }
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
    fn a_held_sync_comes_back_when_it_is_released_or_the_power_goes() {
        for is_released in [true, false] {
            let disk = disk_of(64);
            disk.write(0, &[7; 64]).unwrap();
            disk.hold_syncs();
            let syncing = std::thread::spawn({
                let disk = disk.clone();
                move || disk.sync_data()
            });
            while disk.held_syncs() == 0 {
                std::thread::yield_now();
            }
            let mut seen = [0; 64];
            disk.read(0, &mut seen).unwrap();
            assert_eq!((seen, disk.counters().syncs), ([7; 64], 1), "nothing else stands still");
            if is_released {
                disk.release_syncs();
            } else {
                disk.cut_power();
            }
            assert_eq!(syncing.join().unwrap().is_ok(), is_released);
            assert_eq!(disk.held_syncs(), 0);
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

    #[test]
    fn room_is_taken_by_blocks_and_given_back_by_cutting_the_file_off() {
        let disk = SimDisk::new();
        disk.limit_to(4 * 4096);
        disk.set_len(1 << 20).unwrap();
        assert_eq!(disk.free_bytes(), 4 * 4096, "a hole takes nothing");
        disk.write(4000, &[1; 200]).unwrap();
        disk.write(4001, &[1; 198]).unwrap();
        assert_eq!(disk.free_bytes(), 2 * 4096);
        let refused = disk.write(8192, &[1; 3 * 4096]).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
        assert_eq!((disk.free_bytes(), disk.counters().refused_writes), (2 * 4096, 1));
        assert!(disk.image()[8192..].iter().all(|byte| *byte == 0), "nothing of it is there");
        disk.write(8192, &[1; 2 * 4096]).unwrap();
        let found = Found { file_len: 1 << 20, file_bytes: 4 * 4096, ..Found::default() };
        assert_eq!(disk.look().unwrap(), found);
        disk.set_len(4096).unwrap();
        assert_eq!(disk.free_bytes(), 3 * 4096);
        disk.leave_free(1);
        assert_eq!(disk.free_bytes(), 1);
        disk.write(0, b"what is there can be written again").unwrap();
        disk.unlimit();
        disk.write(8192, &[1; 3 * 4096]).unwrap();
    }

    #[test]
    fn the_reserve_takes_room_and_gives_it_back() {
        let disk = disk_of(4096);
        disk.leave_free(10_000);
        disk.make_reserve(8000).unwrap();
        assert_eq!((disk.free_bytes(), disk.reserve_bytes()), (2000, 8000));
        disk.make_reserve(6000).unwrap();
        assert_eq!(disk.free_bytes(), 4000);
        let refused = disk.make_reserve(10_001).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
        assert_eq!((disk.free_bytes(), disk.reserve_bytes()), (10_000, 0));
        disk.make_reserve(10_000).unwrap();
        disk.give_up_reserve().unwrap();
        assert_eq!(disk.free_bytes(), 10_000);
    }

    #[test]
    fn a_reserve_made_just_before_a_cut_may_be_there_and_one_given_up_is_not() {
        let (mut there, mut gone) = (0, 0);
        for seed in 0..40 {
            let disk = disk_of(512);
            disk.limit_to(1 << 20);
            disk.make_reserve(4096).unwrap();
            match disk.restart(seed).reserve_bytes() {
                0 => gone += 1,
                _ => there += 1,
            }
            let disk = disk_of(512);
            disk.make_reserve(4096).unwrap();
            disk.sync_data().unwrap();
            assert_eq!(disk.restart(seed).reserve_bytes(), 4096);
            let disk = disk_of(512);
            disk.make_reserve(4096).unwrap();
            disk.give_up_reserve().unwrap();
            assert_eq!(disk.restart(seed).reserve_bytes(), 0);
        }
        assert!(there > 5 && gone > 5, "{there} {gone}");
    }

    #[test]
    fn a_restarted_disk_has_the_room_that_was_left() {
        let disk = SimDisk::new();
        disk.limit_to(10 * 4096);
        disk.set_len(8 * 4096).unwrap();
        disk.write(0, &[1; 3 * 4096]).unwrap();
        disk.sync_data().unwrap();
        let restarted = disk.restart(1);
        assert_eq!((restarted.free_bytes(), restarted.image()), (7 * 4096, disk.image()));
    }

    #[test]
    fn a_read_or_a_look_fails_once() {
        let disk = disk_of(512);
        disk.fail_read_in(1);
        let read = || disk.read(0, &mut [0]).is_ok();
        assert_eq!([read(), read(), read()], [true, false, true]);
        disk.fail_look_in(0);
        assert_eq!([disk.look().is_ok(), disk.look().is_ok()], [false, true]);
    }

    #[test]
    fn a_write_fails_once_with_nothing_written() {
        let disk = disk_of(512);
        disk.fail_write_in(1);
        disk.write(0, b"a").unwrap();
        assert!(disk.write(0, b"b").is_err());
        disk.write(1, b"c").unwrap();
        assert_eq!(&disk.image()[..2], b"ac");
    }

    #[test]
    fn damage_at_rest_is_there_before_and_after_a_restart() {
        let disk = disk_of(1024);
        disk.write(0, &[1; 100]).unwrap();
        disk.write(600, &[2; 100]).unwrap();
        disk.sync_data().unwrap();
        disk.flip_bit(3, 9);
        disk.swap(600, 0, 100);
        for image in [disk.image(), disk.restart(5).image()] {
            assert_eq!(image[..100], [2; 100]);
            assert_eq!((image[602], image[603], image[604]), (1, 3, 1));
        }
    }

    #[test]
    fn a_killed_process_leaves_what_it_wrote_and_settling_makes_it_durable() {
        let disk = disk_of(512);
        disk.write(0, b"seen").unwrap();
        let next = disk.survive_kill();
        assert!(disk.write(0, b"x").is_err() && disk.is_dark());
        assert_eq!(&next.image()[..4], b"seen");
        next.settle().unwrap();
        for seed in 0..20 {
            assert_eq!(&SimDisk::from_image(next.image()).restart(seed).image()[..4], b"seen");
        }
        next.cut_power();
        assert_eq!(&next.restart(1).image()[..4], b"seen");
    }

    #[test]
    fn settling_shows_what_a_failed_sync_has_lost() {
        let disk = disk_of(512);
        disk.write(0, b"lost").unwrap();
        disk.fail_sync_in(0);
        assert!(disk.sync_data().is_err());
        assert_eq!(&disk.survive_kill().image()[..4], b"lost");
        let disk = disk_of(512);
        disk.write(0, b"lost").unwrap();
        disk.fail_sync_in(0);
        assert!(disk.sync_data().is_err());
        disk.settle().unwrap();
        assert_eq!(&disk.image()[..4], &[0; 4]);
    }
}
