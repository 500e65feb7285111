//! Whether there is room on the disk: what is low, what is too little, and when the reserve goes.
//!
//! A write that finds no room poisons redb, and with it the node. So every commit asks first, with
//! the most that it may take, and is refused with nothing written if there is less. Long before
//! that the disk is *low*: whoever owns the store then stops making new work, and what is left,
//! with the reserve behind it, is for what makes room again.
//!
//! The file is a part of the disk that gives nothing back: what was deleted is written again, so
//! the log may fall and rise within the file's length as often as it likes. But which pages redb
//! takes is not ours to say; sooner or later it has written to every one, and then the disk has to
//! have had room for the whole length. And when redb finds no page that fits, it doubles the file,
//! or adds 4 GiB once it has that many. So the disk is low unless it has room for the whole length,
//! and either there is room within the length or the disk has it for a file that grew. What was so
//! remains so, whatever the log does: after a pause, once enough was released, it goes on.
//!
//! With `R` for `disk_reserve_bytes`, and the reserve's own bytes counted as room of the disk,
//! since making it or giving it up changes nothing:
//!
//! | disk is | beside the file's length | within it, or beside it when it has grown |
//! |---|---|---|
//! | low as soon as it has less than | 2 R | R, or 2 R |
//! | not low any more, or from the start, once it has | 2 R + R / 4 | R + R / 4, or 2 R + R / 4 |
//!
//! The last half of the reserve is only for commits without commands, so that a log which went on
//! against all advice can still be released.

use std::io;
use std::sync::Arc;

use crate::room::{Found, Room};

/// How much room there is, as of the last look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DiskSpace {
    /// Bytes free on the disk, without those that the log's file may still take within its length.
    /// The highest number if nobody knows or wants to know.
    pub free_bytes: u64,
    /// Bytes that the reserve file holds: 0 while it is given up.
    pub reserve_bytes: u64,
    /// Whether it is time to make no new work. Turns true when less than `disk_reserve_bytes` are
    /// free, when the log has filled its file and there is no room for a longer one, and with every
    /// refusal; false again only with a quarter more, so that it does not flicker.
    pub is_low: bool,
    /// Bytes that have to be free for it not to be low any more, if the log stays as it is; 0 if
    /// nobody knows or wants to know.
    pub needed_bytes: u64,
    /// Whether it is time to take no entries from anybody either: less is left for them than a
    /// quarter of `disk_reserve_bytes`, beside the half of the reserve that they have to leave. What
    /// is under way still finds room, and what else there is to write is not held up behind entries
    /// that do not. False again once there is half as much.
    pub is_full: bool,
}

/// Nobody knows or wants to know.
const UNKNOWN: DiskSpace = DiskSpace {
    free_bytes: u64::MAX,
    reserve_bytes: 0,
    is_low: false,
    needed_bytes: 0,
    is_full: false,
};

/// Keeps an eye on the room of one store.
#[derive(Debug)]
pub(crate) struct Space {
    /// None if it is not asked for.
    room: Option<Arc<dyn Room>>,
    /// How large the reserve is to be.
    reserve_bytes: u64,
    last: DiskSpace,
}

/// What a commit does to the log in the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Effect {
    /// It has commands.
    Grows,
    /// It has none: it is small, or shortens the log, or is what replicas cannot agree without.
    /// There is no other way out of a full disk.
    MakesRoom,
}

/// Why something may not be written.
#[derive(Debug)]
pub(crate) enum Shortage {
    /// It may take more than there is.
    Full { needed: u64, free: u64 },
    /// The disk failed when it was asked.
    Failed(io::Error),
}

impl From<io::Error> for Shortage {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl Space {
    /// Watches that room. If the reserve is to have no bytes, it is removed and nobody watches.
    pub(crate) fn new(room: Option<Arc<dyn Room>>, reserve_bytes: u64) -> io::Result<Self> {
        if reserve_bytes == 0
            && let Some(room) = &room
            && room.look()?.reserve_bytes > 0
        {
            room.give_up_reserve()?;
        }
        let room = room.filter(|_| reserve_bytes > 0);
        let last = DiskSpace { is_low: room.is_some(), ..UNKNOWN };
        Ok(Self { room, reserve_bytes, last })
    }

    /// The room that is watched; none if nobody watches.
    pub(crate) fn room(&self) -> Option<Arc<dyn Room>> {
        self.room.clone()
    }

    /// What the last look found.
    pub(crate) const fn last(&self) -> DiskSpace {
        self.last
    }

    /// Looks how much room there is, and makes the reserve where it is missing and there is room.
    /// `used_bytes` are those of the file that are not free within it.
    pub(crate) fn look(&mut self, used_bytes: u64) -> io::Result<DiskSpace> {
        self.survey(used_bytes)?;
        Ok(self.last)
    }

    /// Makes sure that what may take `bytes` can be written, by giving up the reserve if it takes
    /// that. What makes the log longer has to leave the last half of the reserve.
    pub(crate) fn find(
        &mut self,
        bytes: u64,
        effect: Effect,
        used_bytes: u64,
    ) -> Result<(), Shortage> {
        let Some(mut found) = self.survey(used_bytes)? else { return Ok(()) };
        let left_alone = match effect {
            Effect::Grows => self.reserve_bytes / 2,
            Effect::MakesRoom => 0,
        };
        let needed = bytes.saturating_add(left_alone);
        let view = View { found, reserve: self.reserve_bytes, used_bytes };
        let free = match effect {
            Effect::Grows => view.free_to_grow(),
            Effect::MakesRoom => view.outside(),
        };
        if free >= needed && found.free_bytes < bytes {
            found = self.give_up_reserve(used_bytes)?.unwrap_or(found);
        }
        if free < needed || found.free_bytes < bytes {
            self.last.is_low = true;
            return Err(Shortage::Full { needed, free });
        }
        Ok(())
    }

    /// As [`Space::look`]; returns what was found, none if nobody is to ask.
    fn survey(&mut self, used_bytes: u64) -> io::Result<Option<Found>> {
        let Some(room) = &self.room else { return Ok(None) };
        let mut found = room.look()?;
        let wanted = self.reserve_bytes;
        let outside = found.free_bytes.saturating_add(found.reserve_bytes);
        let is_right = (wanted..wanted + RESERVE_EXCESS_MAX).contains(&found.reserve_bytes);
        if !is_right && outside >= wanted + wanted / 4 {
            match room.make_reserve(wanted) {
                Ok(()) => {}
                // Somebody else took the room since we looked.
                Err(error) if is_full(&error) => {}
                Err(error) => return Err(error),
            }
            found = room.look()?;
        }
        self.judge(found, used_bytes);
        Ok(Some(found))
    }

    fn give_up_reserve(&mut self, used_bytes: u64) -> io::Result<Option<Found>> {
        let Some(room) = &self.room else { return Ok(None) };
        room.give_up_reserve()?;
        let found = room.look()?;
        self.judge(found, used_bytes);
        Ok(Some(found))
    }

    fn judge(&mut self, found: Found, used_bytes: u64) {
        let view = View { found, reserve: self.reserve_bytes, used_bytes };
        let is_low = if self.last.is_low { !view.is_ample() } else { view.is_low() };
        self.last = DiskSpace {
            free_bytes: view.free_bytes(),
            reserve_bytes: found.reserve_bytes,
            is_low,
            needed_bytes: view.needed_bytes(),
            is_full: view.is_full(self.last.is_full),
        };
    }
}

/// What was found, seen by what it is for.
#[derive(Clone, Copy)]
struct View {
    found: Found,
    /// How large the reserve is to be.
    reserve: u64,
    /// Bytes of the file that are not free within it.
    used_bytes: u64,
}

impl View {
    /// What the disk has for whoever writes, the reserve included.
    const fn outside(&self) -> u64 {
        self.found.free_bytes.saturating_add(self.found.reserve_bytes)
    }

    /// What the file may still take without getting longer.
    const fn holes(&self) -> u64 {
        self.found.file_len.saturating_sub(self.found.file_bytes)
    }

    /// What remains of the disk when the file has taken its length.
    const fn beside(&self) -> u64 {
        self.outside().saturating_sub(self.holes())
    }

    /// The same once the file has grown.
    fn beside_grown(&self) -> u64 {
        self.beside().saturating_sub(self.found.file_len.min(GROWTH_BYTES_MAX))
    }

    /// What can be written before the file grows.
    const fn within(&self) -> u64 {
        self.found.file_len.saturating_sub(self.used_bytes)
    }

    const fn free_bytes(&self) -> u64 {
        self.found.free_bytes.saturating_sub(self.holes())
    }

    fn is_low(&self) -> bool {
        let two = 2 * self.reserve;
        self.beside() < two || (self.within() < self.reserve && self.beside_grown() < two)
    }

    /// Not low, with a quarter of the reserve to spare.
    fn is_ample(&self) -> bool {
        let spare = self.reserve / 4;
        let two = 2 * self.reserve + spare;
        self.beside() >= two
            && (self.within() >= self.reserve + spare || self.beside_grown() >= two)
    }

    /// What has to be free, counted as [`Self::free_bytes`] does, for it to be ample.
    fn needed_bytes(&self) -> u64 {
        let spare = self.reserve / 4;
        let has_to_grow = self.within() < self.reserve + spare;
        let growth = if has_to_grow { self.found.file_len.min(GROWTH_BYTES_MAX) } else { 0 };
        (2 * self.reserve + spare + growth).saturating_sub(self.found.reserve_bytes)
    }

    /// Whether entries would soon be refused; with a quarter of the reserve to spare if `was_full`.
    fn is_full(&self, was_full: bool) -> bool {
        let quarter = self.reserve / 4;
        self.free_to_grow() < if was_full { 4 * quarter } else { 3 * quarter }
    }

    /// What there is for entries: if the file may not grow, no more than there is within it.
    fn free_to_grow(&self) -> u64 {
        if self.beside_grown() >= 2 * self.reserve {
            self.outside()
        } else {
            self.outside().min(self.within())
        }
    }
}

/// How much larger the reserve may be than it is to be: file systems count their own notes in.
const RESERVE_EXCESS_MAX: u64 = 1 << 20;

/// How much longer redb makes the file at once.
const GROWTH_BYTES_MAX: u64 = 4 << 30;

/// Whether an operation found no room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use redb::StorageBackend;

    use super::*;
    use crate::room::Disk;
    use crate::sim_disk::SimDisk;

    const MIB: u64 = 1 << 20;

    fn space_on(disk: &SimDisk) -> Space {
        Space::new(disk.room(), 8 * MIB).unwrap()
    }

    #[test]
    fn the_disk_is_low_below_the_reserve_and_until_there_is_a_quarter_more() {
        let disk = SimDisk::new();
        disk.leave_free(30 * MIB);
        let mut space = space_on(&disk);
        let mut is_low = |free| {
            disk.leave_free(free);
            space.look(0).unwrap().is_low
        };
        assert!(!is_low(22 * MIB), "the reserve is made of it");
        assert!(!is_low(8 * MIB));
        assert!(is_low(8 * MIB - 1));
        assert!(is_low(10 * MIB - 1));
        assert!(!is_low(10 * MIB));
        assert!(!is_low(8 * MIB));
        assert_eq!(disk.reserve_bytes(), 8 * MIB);
    }

    #[test]
    fn the_reserve_goes_only_for_what_it_is_enough_for_and_comes_back() {
        let disk = SimDisk::new();
        disk.leave_free(20 * MIB);
        let mut space = space_on(&disk);
        space.find(MIB, Effect::MakesRoom, 0).unwrap();
        disk.leave_free(MIB);
        space.find(MIB, Effect::MakesRoom, 0).unwrap();
        let refused = space.find(9 * MIB + 1, Effect::MakesRoom, 0).unwrap_err();
        let Shortage::Full { needed, free } = refused else { panic!("{refused:?}") };
        assert_eq!((needed, free), (9 * MIB + 1, 9 * MIB));
        assert_eq!(space.last().reserve_bytes, 8 * MIB, "it would have gone for nothing");
        space.find(9 * MIB, Effect::MakesRoom, 0).unwrap();
        assert_eq!((disk.free_bytes(), disk.reserve_bytes()), (9 * MIB, 0));
        assert!(space.last().is_low && space.last().reserve_bytes == 0);
        disk.leave_free(10 * MIB - 1);
        assert_eq!(space.look(0).unwrap().reserve_bytes, 0);
        disk.leave_free(18 * MIB);
        let whole = space.look(0).unwrap();
        let expected = DiskSpace {
            free_bytes: 10 * MIB,
            reserve_bytes: 8 * MIB,
            is_low: false,
            needed_bytes: 10 * MIB,
            is_full: false,
        };
        assert_eq!(whole, expected);
    }

    #[test]
    fn what_has_entries_leaves_half_of_the_reserve() {
        let disk = SimDisk::new();
        let mut space = space_on(&disk);
        space.look(0).unwrap();
        // An empty file need not grow, so this is about the disk's own room.
        disk.leave_free(8 * MIB);
        let refused = space.find(12 * MIB + 1, Effect::Grows, 0).unwrap_err();
        let Shortage::Full { needed, free } = refused else { panic!("{refused:?}") };
        assert_eq!((needed, free, disk.reserve_bytes()), (16 * MIB + 1, 16 * MIB, 8 * MIB));
        assert!(space.last().is_low, "every refusal is a warning");
        space.find(12 * MIB, Effect::Grows, 0).unwrap();
        assert_eq!((disk.free_bytes(), disk.reserve_bytes()), (16 * MIB, 0));
        disk.leave_free(4 * MIB);
        assert!(space.find(1, Effect::Grows, 0).is_err());
        space.find(4 * MIB, Effect::MakesRoom, 0).unwrap();
    }

    /// A file of 100 MiB, all but `holes` taken, on a disk with `free` beside the whole reserve.
    fn view(free: u64, holes: u64, used: u64) -> View {
        let found = Found {
            free_bytes: free * MIB,
            file_len: 100 * MIB,
            file_bytes: (100 - holes) * MIB,
            reserve_bytes: 8 * MIB,
        };
        View { found, reserve: 8 * MIB, used_bytes: used * MIB }
    }

    #[test]
    fn what_the_file_may_still_take_within_its_length_is_not_free() {
        assert!(!view(58, 50, 0).is_low() && !view(60, 50, 0).is_low());
        assert!(view(57, 50, 0).is_low() && !view(59, 50, 0).is_ample());
        assert!(view(60, 50, 0).is_ample());
        assert_eq!(view(58, 50, 0).free_bytes(), 8 * MIB);
        // However much of the holes redb has filled meanwhile.
        for holes in 0..=50 {
            assert!(!view(8 + holes, holes, 0).is_low());
            assert!(view(7 + holes, holes, 0).is_low());
        }
    }

    #[test]
    fn a_file_that_is_used_up_has_to_be_able_to_grow() {
        assert!(!view(8, 0, 92).is_low());
        assert!(view(8, 0, 93).is_low() && !view(10, 0, 92).is_ample());
        assert!(view(10, 0, 90).is_ample());
        assert!(view(107, 0, 99).is_low());
        assert!(!view(108, 0, 99).is_low() && !view(109, 0, 99).is_ample());
        assert!(view(110, 0, 99).is_ample());
        assert_eq!(view(107, 0, 95).free_to_grow(), 5 * MIB);
        assert_eq!(view(108, 0, 95).free_to_grow(), 116 * MIB);
        let huge = Found { file_len: 20 << 30, file_bytes: 20 << 30, ..view(0, 0, 0).found };
        let grown = |free_bytes| {
            let found = Found { free_bytes, ..huge };
            View { found, reserve: 8 * MIB, used_bytes: 20 << 30 }.is_low()
        };
        assert!(grown((4 << 30) + 7 * MIB) && !grown((4 << 30) + 8 * MIB));
    }

    #[test]
    fn the_disk_is_full_while_entries_have_a_quarter_of_the_reserve_left() {
        let disk = SimDisk::new();
        // A file that need not grow for a long time.
        disk.set_len(64 * MIB).unwrap();
        disk.leave_free(30 * MIB);
        let mut space = space_on(&disk);
        let mut is_full = |free| {
            disk.leave_free(free);
            space.look(0).unwrap().is_full
        };
        assert!(!is_full(30 * MIB) && !is_full(0), "there is the reserve");
        disk.give_up_reserve().unwrap();
        assert!(!is_full(6 * MIB));
        assert!(is_full(6 * MIB - 1) && is_full(8 * MIB - 1));
        assert!(!is_full(8 * MIB) && !is_full(6 * MIB));
        // A file that may not grow has no more than is left within it.
        assert!(!view(8, 0, 94).is_full(false) && view(8, 0, 95).is_full(false));
        assert!(view(8, 0, 93).is_full(true) && !view(8, 0, 92).is_full(true));
        assert!(!view(108, 0, 100).is_full(true), "this one may");
    }

    #[test]
    fn what_is_needed_is_what_makes_the_disk_ample() {
        for (holes, used) in [(0, 0), (50, 0), (0, 95), (20, 91)] {
            let needed = view(0, holes, used).needed_bytes() / MIB;
            let with = |free: u64| view(free + holes, holes, used);
            assert!(with(needed).is_ample() && !with(needed - 1).is_ample(), "{holes} {used}");
            assert_eq!(with(needed).free_bytes(), needed * MIB);
        }
    }

    #[test]
    fn with_no_reserve_wanted_nobody_looks_and_an_old_one_is_removed() {
        let disk = SimDisk::new();
        disk.leave_free(20 * MIB);
        space_on(&disk).look(0).unwrap();
        assert_eq!(disk.reserve_bytes(), 8 * MIB);
        let mut space = Space::new(disk.room(), 0).unwrap();
        assert_eq!(disk.reserve_bytes(), 0);
        disk.leave_free(0);
        assert_eq!(space.look(0).unwrap(), UNKNOWN);
        space.find(u64::MAX, Effect::MakesRoom, 0).unwrap();
    }

    #[test]
    fn a_disk_that_cannot_be_asked_has_failed() {
        let disk = SimDisk::new();
        let mut space = space_on(&disk);
        disk.fail_look_in(0);
        assert!(space.look(0).is_err());
        disk.fail_look_in(0);
        assert!(matches!(space.find(1, Effect::MakesRoom, 0), Err(Shortage::Failed(_))));
    }
}
