//! The keys, and what a client does to them next.

use routing::hash_slot;

use super::distribution::Sampler;
use crate::data::dice::Dice;

/// One thing that a client asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Operation {
    /// The number of the key.
    pub(crate) key: u32,
    /// Whether it reads; else it writes.
    pub(crate) is_read: bool,
}

/// All keys with their slots.
#[derive(Debug)]
pub(crate) struct Keys {
    /// By number.
    slots: Vec<u16>,
}

impl Keys {
    /// So many keys.
    pub(crate) fn new(count: u32) -> Self {
        let slot = |key| hash_slot(&name(key));
        Self { slots: (0..count).map(slot).collect() }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.slots.len()).expect("they were counted by a u32")
    }

    /// The slot of a key.
    pub(crate) fn slot(&self, key: u32) -> u16 {
        self.slots[key as usize]
    }
}

/// What keys begin with.
pub(crate) const PREFIX: &[u8] = b"multiraft-bench:";
/// How long every key is, its prefix included: all are alike, so that all requests are.
pub(crate) const NAME_BYTES: usize = PREFIX.len() + DIGITS;
const DIGITS: usize = 8;

/// The name of a key: a prefix, and its number in eight digits.
pub(crate) fn name(key: u32) -> [u8; NAME_BYTES] {
    let mut name = [b'0'; NAME_BYTES];
    name[..PREFIX.len()].copy_from_slice(PREFIX);
    let mut rest = key;
    for digit in name[PREFIX.len()..].iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).expect("a digit is below ten");
        rest /= 10;
    }
    name
}

/// What one client asks for, batch by batch.
#[derive(Debug)]
pub(crate) struct Draw {
    sampler: Sampler,
    dice: Dice,
    read_share: f64,
}

impl Draw {
    /// Differs between clients by `seed` alone.
    pub(crate) const fn new(sampler: Sampler, read_share: f64, seed: u64) -> Self {
        Self { sampler, dice: Dice::new(seed), read_share }
    }

    /// Puts the next operations into `batch`, which is empty: `count` of them, all of one place. The
    /// first one decides on the place, and others are drawn again until they are of it too; so places
    /// and keys come as often as the distribution says. Fewer if a place has next to no keys.
    pub(crate) fn fill(
        &mut self,
        batch: &mut Vec<Operation>,
        count: usize,
        place: impl Fn(u32) -> usize,
    ) {
        let mut tries = 0;
        let mut chosen = None;
        while batch.len() < count && tries < count * TRIES {
            tries += 1;
            let key = self.sampler.draw(&mut self.dice);
            let found = place(key);
            if *chosen.get_or_insert(found) == found {
                let is_read = self.dice.fraction() < self.read_share;
                batch.push(Operation { key, is_read });
            }
        }
    }
}

/// How often an operation is drawn at most until it is of the right place, on average over a batch:
/// far more often than there are nodes.
const TRIES: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_long_as_they_say_and_all_different() {
        assert_eq!(name(0), *b"multiraft-bench:00000000");
        assert_eq!(name(12_345), *b"multiraft-bench:00012345");
        let keys = Keys::new(100);
        assert_eq!((keys.count(), keys.slot(7)), (100, hash_slot(b"multiraft-bench:00000007")));
    }

    #[test]
    fn a_batch_is_of_one_place_and_all_keys_come_as_often_as_they_should() {
        let sampler = Sampler::new("hot:0.5".parse().unwrap(), 4);
        let mut draw = Draw::new(sampler, 0.25, 3);
        let mut counts = [0_u32; 4];
        let mut reads = 0;
        let mut batch = Vec::new();
        for _ in 0..10_000 {
            batch.clear();
            draw.fill(&mut batch, 8, |key| (key % 2) as usize);
            assert_eq!(batch.len(), 8);
            let place = batch[0].key % 2;
            assert!(batch.iter().all(|operation| operation.key % 2 == place));
            batch.iter().for_each(|operation| counts[operation.key as usize] += 1);
            reads += batch.iter().filter(|operation| operation.is_read).count();
        }
        let share = |count: u32| f64::from(count) / 80_000.0;
        assert!((share(counts[0]) - 0.5).abs() < 0.02, "{counts:?}");
        assert!(counts[1..].iter().all(|count| (share(*count) - 1.0 / 6.0).abs() < 0.02));
        assert!((19_000..21_000).contains(&reads), "{reads}");
    }

    #[test]
    fn a_place_with_next_to_no_keys_does_not_stop_a_client() {
        let sampler = Sampler::new("uniform".parse().unwrap(), 1_000_000);
        let mut draw = Draw::new(sampler, 0.0, 3);
        let mut batch = Vec::new();
        // Every key has a place of its own.
        draw.fill(&mut batch, 64, |key| key as usize);
        assert!((1..64).contains(&batch.len()), "{}", batch.len());
    }
}
