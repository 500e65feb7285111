//! The menu of faults: every class can be switched off by itself.

use std::fmt;

/// A class of faults.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Class {
    /// Frames are lost.
    Loss,
    /// Frames arrive twice.
    Repeat,
    /// Frames overtake each other.
    Reorder,
    /// A way between two nodes takes long for a while.
    Delay,
    /// One direction between two nodes is cut.
    OneWayCut,
    /// Nodes are cut off from each other, in two camps or one from all.
    FullCut,
    /// Each node reaches but its neighbours in a ring.
    RingCut,
    /// Only one node reaches all others, and does not lead.
    HubCut,
    /// A leader reaches nobody, and of the others only one that is behind reaches all.
    ConstrainedCut,
    /// Each node reaches but its neighbours in a chain.
    ChainCut,
    /// The ways from nodes are clogged one after the other, and open again in another order.
    Clog,
    /// The queue between two nodes holds but a few frames.
    Overflow,
    /// Frames of long ago come again, those of earlier starts included.
    Replay,
    /// A byte of a frame is altered.
    Corrupt,
    /// A frame ends too early.
    Truncate,
    /// A frame is larger than its receiver takes.
    Oversize,
    /// A connection breaks, with what is on its way, and its sender is told.
    Reset,
    /// Messages of another group, life of a group or replica come in.
    Stranger,
    /// A node loses power, and what was not synced with it, in part.
    Crash,
    /// All nodes lose power at once.
    Blackout,
    /// A process dies, and the system keeps what it had written.
    Kill,
    /// A process stands still, with its clock's ticks.
    Pause,
    /// A leader stands still until another may have been elected; about when it goes on it is asked,
    /// and then hears what was answered to it before.
    Absence,
    /// A process dies again and again, soon after each start.
    Storm,
    /// Whoever begins to lead soon falls: he dies, stands still, or reaches but a minority.
    Coup,
    /// Every turn of a node takes long.
    Slow,
    /// A node is told that it must not lead, and after a while that it may again.
    Unfit,
    /// A node comes back with an empty disk, as another store.
    Wipe,
    /// Clocks run at rates up to a fifth off.
    Skew,
    /// A clock jumps forward, by up to an hour.
    JumpForward,
    /// A clock falls back by up to five seconds.
    JumpBack,
    /// Ticks are withheld while everything else goes on, then come all at once.
    Starve,
    /// A sync fails; whether it was written is not known.
    SyncError,
    /// A write fails, and nothing of it is there.
    WriteError,
    /// A read fails.
    ReadError,
    /// A sync takes seconds.
    Stall,
    /// State machines take long to apply.
    SlowApply,
    /// A bit flips on a disk at rest; where storage is a model, a group cannot be read any more.
    BitFlip,
    /// Two blocks of a disk change places; as above.
    Misdirect,
    /// Clients ask again what they got no answer to.
    Retry,
    /// Clients stop waiting.
    Cancel,
    /// Leaders are told to hand groups over.
    Transfer,
    /// Disks have no room for a while: one, a minority, a majority, or all of them. A node without room
    /// goes on as far as what it has to write fits. While all disks are full nothing is demanded of
    /// groups but what needs no room: they may be unable to elect a leader, and so to read, until there
    /// is some.
    Full,
}

impl Class {
    /// The whole menu.
    pub const ALL: [Self; 43] = [
        Self::Loss,
        Self::Repeat,
        Self::Reorder,
        Self::Delay,
        Self::OneWayCut,
        Self::FullCut,
        Self::RingCut,
        Self::HubCut,
        Self::ConstrainedCut,
        Self::ChainCut,
        Self::Clog,
        Self::Overflow,
        Self::Replay,
        Self::Corrupt,
        Self::Truncate,
        Self::Oversize,
        Self::Reset,
        Self::Stranger,
        Self::Crash,
        Self::Blackout,
        Self::Kill,
        Self::Pause,
        Self::Absence,
        Self::Storm,
        Self::Coup,
        Self::Slow,
        Self::Unfit,
        Self::Wipe,
        Self::Skew,
        Self::JumpForward,
        Self::JumpBack,
        Self::Starve,
        Self::SyncError,
        Self::WriteError,
        Self::ReadError,
        Self::Stall,
        Self::SlowApply,
        Self::BitFlip,
        Self::Misdirect,
        Self::Retry,
        Self::Cancel,
        Self::Transfer,
        Self::Full,
    ];

    /// The name that the command line knows it by.
    #[must_use]
    pub fn name(self) -> String {
        let name = format!("{self:?}");
        let mut out = String::new();
        for (position, letter) in name.chars().enumerate() {
            if letter.is_uppercase() && position > 0 {
                out.push('-');
            }
            out.push(letter.to_ascii_lowercase());
        }
        out
    }

    /// Finds a class by its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }

    const fn bit(self) -> u64 {
        1 << self as u64
    }
}

/// Some of the menu.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Classes(u64);

impl Classes {
    /// The whole menu.
    #[must_use]
    pub fn all() -> Self {
        Class::ALL.into_iter().fold(Self::default(), Self::with)
    }

    /// Whether a class is among them.
    #[must_use]
    pub const fn contains(self, class: Class) -> bool {
        self.0 & class.bit() != 0
    }

    /// These and one more.
    #[must_use]
    pub const fn with(self, class: Class) -> Self {
        Self(self.0 | class.bit())
    }

    /// These but for one.
    #[must_use]
    pub const fn without(self, class: Class) -> Self {
        Self(self.0 & !class.bit())
    }

    /// All of them, in the order of the menu.
    pub fn iter(self) -> impl Iterator<Item = Class> {
        Class::ALL.into_iter().filter(move |class| self.contains(*class))
    }
}

impl fmt::Debug for Classes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_menu_lists_every_class_once_and_in_order() {
        let places = Class::ALL.iter().map(|class| *class as usize);
        assert!(places.eq(0..Class::ALL.len()));
        assert_eq!(Class::named("one-way-cut"), Some(Class::OneWayCut));
        assert_eq!(Class::named("One-way-cut"), None);
    }

    #[test]
    fn classes_are_switched_one_by_one() {
        let some = Classes::default().with(Class::Loss).with(Class::Cancel).without(Class::Loss);
        assert_eq!(some.iter().collect::<Vec<_>>(), [Class::Cancel]);
        assert_eq!(format!("{some:?}"), "{Cancel}");
    }
}
