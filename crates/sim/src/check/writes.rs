//! Acknowledged writes: each is in the committed log, at the index that its client was told, and no
//! write is there twice.

use types::{GroupId, LogIndex};

use crate::breach::{Held, breach};

/// Where each operation stands in the committed logs, by its number.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    places: Vec<Option<(GroupId, LogIndex)>>,
}

impl Writes {
    /// A machine applies a write; by whatever node, each place is seen again and again.
    pub(crate) fn applied(&mut self, operation: u64, group: GroupId, index: LogIndex) -> Held {
        let place = usize::try_from(operation).expect("operations are counted from 1");
        if self.places.len() <= place {
            self.places.resize(place + 1, None);
        }
        let first = *self.places[place].get_or_insert((group, index));
        if first == (group, index) {
            return Ok(());
        }
        let what = format!("operation {operation} at {first:?} and at {:?}", (group, index));
        breach("no write is applied twice", what)
    }

    /// Every write that was applied, by its number, and where it stands.
    pub(crate) fn applied_all(&self) -> impl Iterator<Item = (u64, (GroupId, LogIndex))> {
        let places = (0..).zip(&self.places);
        places.filter_map(|(operation, place)| place.map(|place| (operation, place)))
    }

    /// A client is told that its write was applied at that index.
    pub(crate) fn acknowledged(&self, operation: u64, group: GroupId, index: LogIndex) -> Held {
        let place = usize::try_from(operation).expect("operations are counted from 1");
        let found = self.places.get(place).copied().flatten();
        if found == Some((group, index)) {
            return Ok(());
        }
        let what = format!("operation {operation} told {group} {index}, stands at {found:?}");
        breach("acknowledged writes are in the log", what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_stands_in_one_place_and_that_one_is_told() {
        let mut writes = Writes::default();
        writes.applied(7, GroupId(1), LogIndex(3)).unwrap();
        writes.applied(7, GroupId(1), LogIndex(3)).unwrap();
        writes.acknowledged(7, GroupId(1), LogIndex(3)).unwrap();
        assert!(writes.acknowledged(7, GroupId(1), LogIndex(4)).is_err());
        assert!(writes.acknowledged(8, GroupId(1), LogIndex(4)).is_err());
        assert!(writes.applied(7, GroupId(1), LogIndex(4)).is_err());
    }
}
