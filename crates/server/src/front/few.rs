//! A map for few keys, mostly one.

use std::hash::Hash;

use hashbrown::HashMap;

/// A map that needs no memory of its own for its first key: most pipelines have one slot and one
/// group. What is in it stays.
#[derive(Debug)]
pub(crate) struct Few<K, V> {
    first: Option<(K, V)>,
    others: HashMap<K, V>,
}

impl<K, V> Default for Few<K, V> {
    fn default() -> Self {
        Self { first: None, others: HashMap::default() }
    }
}

impl<K: Copy + Eq + Hash, V: Copy> Few<K, V> {
    /// The value of a key.
    pub(crate) fn get(&self, key: K) -> Option<V> {
        match &self.first {
            Some((first, value)) if *first == key => Some(*value),
            Some(_) => self.others.get(&key).copied(),
            None => None,
        }
    }

    /// Gives a key a value, whether it had one or not.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        match &mut self.first {
            Some((first, before)) if *first == key => *before = value,
            Some(_) => {
                self.others.insert(key, value);
            }
            None => self.first = Some((key, value)),
        }
    }

    /// The value of a key; if it has none, `value` says which it gets.
    pub(crate) fn get_or_insert_with(&mut self, key: K, value: impl FnOnce() -> V) -> V {
        self.get(key).unwrap_or_else(|| {
            let value = value();
            self.insert(key, value);
            value
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_what_a_map_holds(inserts in prop::collection::vec((0..4_u8, any::<u8>()), 0..12)) {
            let (mut few, mut map) = (Few::default(), HashMap::new());
            for (key, value) in inserts {
                if value % 2 == 0 {
                    few.insert(key, value);
                    map.insert(key, value);
                } else {
                    let expected = *map.entry(key).or_insert(value);
                    prop_assert_eq!(few.get_or_insert_with(key, || value), expected);
                }
                for key in 0..4 {
                    prop_assert_eq!(few.get(key), map.get(&key).copied());
                }
            }
        }
    }
}
