//! Whether there is room on the disk: what is low, what is too little, and when the reserve goes.
//!
//! A write that finds no room poisons redb, and with it the node. So every commit asks first, with
//! the most that it may take, and is refused with nothing written if there is less. Long before
//! that the disk is *low*: whoever owns the store then stops making new work, and what is left,
//! with the reserve behind it, is for what makes room again.
//!
//! Room within the log's file counts: where records were deleted, redb writes again. But which
//! pages it takes is not ours to say, so a single commit may only count on the disk's own room.
//!
//! With `R` for `disk_reserve_bytes`, and the reserve's own bytes counted as room, since making it
//! or giving it up changes nothing:
//!
//! | disk is | all room | room outside of the file |
//! |---|---|---|
//! | low as soon as it has less than | 2 R | or R / 2 |
//! | not low any more once it has | 2 R + R / 4 | and R |

use std::io;

use crate::room::{Found, Room};

/// How much room there is, as of the last look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DiskSpace {
    /// Bytes that the store can still write: free on the disk, or within the log's own file. The
    /// highest number if nobody knows or wants to know.
    pub free_bytes: u64,
    /// Bytes that the reserve file holds: 0 while it is given up.
    pub reserve_bytes: u64,
    /// Whether it is time to make no new work. Turns true below `disk_reserve_bytes` of room, and
    /// false again only with a quarter more, so that it does not flicker.
    pub is_low: bool,
}

/// Nobody knows or wants to know.
const UNKNOWN: DiskSpace = DiskSpace { free_bytes: u64::MAX, reserve_bytes: 0, is_low: false };

/// Keeps an eye on the room of one store.
#[derive(Debug)]
pub(crate) struct Space {
    /// None if it is not asked for.
    room: Option<Box<dyn Room>>,
    /// How large the reserve is to be.
    reserve_bytes: u64,
    last: DiskSpace,
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
    pub(crate) fn new(room: Option<Box<dyn Room>>, reserve_bytes: u64) -> io::Result<Self> {
        if reserve_bytes == 0
            && let Some(room) = &room
            && room.look()?.reserve_bytes > 0
        {
            room.give_up_reserve()?;
        }
        let room = room.filter(|_| reserve_bytes > 0);
        Ok(Self { room, reserve_bytes, last: UNKNOWN })
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

    /// Makes sure that `needed` bytes can be written, by giving up the reserve if it takes that.
    pub(crate) fn find(&mut self, needed: u64, used_bytes: u64) -> Result<(), Shortage> {
        let Some(mut found) = self.survey(used_bytes)? else { return Ok(()) };
        let outside = found.free_bytes.saturating_add(found.reserve_bytes);
        if found.free_bytes < needed && outside >= needed {
            found = self.give_up_reserve(used_bytes)?.unwrap_or(found);
        }
        if found.free_bytes < needed {
            return Err(Shortage::Full { needed, free: outside });
        }
        Ok(())
    }

    /// As [`Space::look`]; returns what was found, none if nobody is to ask.
    fn survey(&mut self, used_bytes: u64) -> io::Result<Option<Found>> {
        let Some(room) = &self.room else { return Ok(None) };
        let mut found = room.look()?;
        let wanted = self.reserve_bytes;
        let outside = found.free_bytes.saturating_add(found.reserve_bytes);
        if found.reserve_bytes < wanted && outside >= wanted + wanted / 4 {
            match room.make_reserve(wanted) {
                Ok(()) => {}
                // Somebody else took the room since we looked.
                Err(error) if is_full(&error) => {}
                Err(error) => return Err(error),
            }
            found = room.look()?;
        }
        self.last = judge(self.last, found, wanted, used_bytes);
        Ok(Some(found))
    }

    fn give_up_reserve(&mut self, used_bytes: u64) -> io::Result<Option<Found>> {
        let Some(room) = &self.room else { return Ok(None) };
        room.give_up_reserve()?;
        let found = room.look()?;
        self.last = judge(self.last, found, self.reserve_bytes, used_bytes);
        Ok(Some(found))
    }
}

/// What there is to say about what was found, after what was said before.
fn judge(before: DiskSpace, found: Found, reserve: u64, used_bytes: u64) -> DiskSpace {
    let outside = found.free_bytes.saturating_add(found.reserve_bytes);
    let inside = found.file_bytes.saturating_sub(used_bytes);
    let all = outside.saturating_add(inside);
    let is_low = if before.is_low {
        all < 2 * reserve + reserve / 4 || outside < reserve
    } else {
        all < 2 * reserve || outside < reserve / 2
    };
    let free_bytes = found.free_bytes.saturating_add(inside);
    DiskSpace { free_bytes, reserve_bytes: found.reserve_bytes, is_low }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
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
        space.find(MIB, 0).unwrap();
        disk.leave_free(MIB);
        space.find(MIB, 0).unwrap();
        let refused = space.find(9 * MIB + 1, 0).unwrap_err();
        let Shortage::Full { needed, free } = refused else { panic!("{refused:?}") };
        assert_eq!((needed, free), (9 * MIB + 1, 9 * MIB));
        assert_eq!(space.last().reserve_bytes, 8 * MIB, "it would have gone for nothing");
        space.find(9 * MIB, 0).unwrap();
        assert_eq!((disk.free_bytes(), disk.reserve_bytes()), (9 * MIB, 0));
        assert!(space.last().is_low && space.last().reserve_bytes == 0);
        disk.leave_free(10 * MIB - 1);
        assert_eq!(space.look(0).unwrap().reserve_bytes, 0);
        disk.leave_free(18 * MIB);
        let whole = space.look(0).unwrap();
        let expected = DiskSpace { free_bytes: 10 * MIB, reserve_bytes: 8 * MIB, is_low: false };
        assert_eq!(whole, expected);
    }

    #[test]
    fn room_within_the_file_counts_unless_hardly_any_is_left_outside() {
        let found = |free_mib, reserve_mib, file_mib: u64| Found {
            free_bytes: free_mib * MIB,
            reserve_bytes: reserve_mib * MIB,
            file_bytes: file_mib * MIB,
        };
        let judge = |before, found| judge(before, found, 8 * MIB, 100 * MIB);
        let low = judge(UNKNOWN, found(1, 8, 106));
        assert!(low.is_low);
        let inside = judge(low, found(1, 8, 109));
        assert_eq!((inside.is_low, inside.free_bytes), (false, 10 * MIB));
        // A file that takes less than was thought has nothing free within it.
        assert_eq!(judge(UNKNOWN, found(9, 8, 50)).free_bytes, 9 * MIB);
        assert!(!judge(UNKNOWN, found(4, 0, 200)).is_low);
        let outside = judge(UNKNOWN, found(3, 0, 200));
        assert!(outside.is_low, "a commit counts on nothing but this");
        assert!(judge(outside, found(7, 0, 200)).is_low);
        assert!(!judge(outside, found(8, 0, 200)).is_low);
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
        space.find(u64::MAX, 0).unwrap();
    }

    #[test]
    fn a_disk_that_cannot_be_asked_has_failed() {
        let disk = SimDisk::new();
        let mut space = space_on(&disk);
        disk.fail_look_in(0);
        assert!(space.look(0).is_err());
        disk.fail_look_in(0);
        assert!(matches!(space.find(1, 0), Err(Shortage::Failed(_))));
    }
}
