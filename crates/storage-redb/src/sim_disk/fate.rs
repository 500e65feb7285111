//! What becomes of unsynced writes when the power goes: drawn by a seed.

use super::image::Image;

/// Something that was done to the disk and not yet synced.
#[derive(Debug)]
pub(super) enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

/// Decides the fate of everything unsynced: what `image` holds once the power is back.
pub(super) fn befall(image: &mut Image, mut changes: Vec<Change>, dice: &mut Dice) {
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
        survive(image, change, fate, dice);
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
fn survive(image: &mut Image, change: &Change, fate: Fate, dice: &mut Dice) {
    let (offset, bytes) = match change {
        // A length is one number in the file system's journal: it cannot be torn.
        Change::Length(len) => {
            if matches!(fate, Fate::Kept) || dice.below(2) == 0 {
                image.resize(*len);
            }
            return;
        }
        Change::Write { offset, bytes } => (*offset, bytes),
    };
    let cut = |grain: usize, dice: &mut Dice| dice.below(bytes.len() / grain + 1) * grain;
    match fate {
        Fate::Kept => image.put(offset, bytes),
        Fate::Lost => {}
        Fate::Head { grain } => image.put(offset, &bytes[..cut(grain, dice)]),
        Fate::Tail { grain } => {
            let from = cut(grain, dice);
            image.put(offset + from, &bytes[from..]);
        }
        Fate::Scattered { grain } => {
            for (number, part) in bytes.chunks(grain).enumerate() {
                if dice.below(2) == 0 {
                    image.put(offset + number * grain, part);
                }
            }
        }
    }
}

/// The unit that disks promise to write whole.
const SECTOR_BYTES: usize = 512;

/// A small generator (SplitMix64): the simulation needs variety and repeatability, nothing more.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
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
    pub(super) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).expect("the remainder is below a usize")
    }
}
