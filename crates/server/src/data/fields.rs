//! The fields of a hash.

use bytes::Bytes;
use indexmap::IndexMap;

/// Up to so many fields, a field that goes leaves the others in their order, as a small hash of
/// Redis does; beyond, the last one takes its place, because moving all would take too long.
const ORDERED_MAX: usize = 128;
/// In Redis, a hash with a longer field or value than this is a hash table.
const SHORT_BYTES_MAX: usize = 64;

/// Fields with a value each, in the order in which they came. Walking them, and what removing one
/// does to the order, is the same on every replica.
#[derive(Clone, Default, Debug)]
pub(crate) struct Fields(IndexMap<Bytes, Bytes>);

impl Fields {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn get(&self, field: &[u8]) -> Option<&Bytes> {
        self.0.get(field)
    }

    /// Sets a field; answers whether it is new.
    pub(crate) fn set(&mut self, field: &[u8], value: Bytes) -> bool {
        if let Some(before) = self.0.get_mut(field) {
            *before = value;
            return false;
        }
        self.0.insert(Bytes::copy_from_slice(field), value);
        true
    }

    /// Removes a field; answers whether it was there.
    pub(crate) fn remove(&mut self, field: &[u8]) -> bool {
        let removed = if self.0.len() <= ORDERED_MAX {
            self.0.shift_remove(field)
        } else {
            self.0.swap_remove(field)
        };
        removed.is_some()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Bytes, &Bytes)> {
        self.0.iter()
    }

    /// The field at that place of the order, counted from 0.
    pub(crate) fn at(&self, place: usize) -> Option<(&Bytes, &Bytes)> {
        self.0.get_index(place)
    }

    /// Whether Redis would keep such fields in a list, which it gives away only whole.
    pub(crate) fn is_small(&self) -> bool {
        let is_short = |bytes: &Bytes| bytes.len() <= SHORT_BYTES_MAX;
        self.len() <= ORDERED_MAX
            && self.iter().all(|(field, value)| is_short(field) && is_short(value))
    }

    /// What OBJECT ENCODING calls it: what Redis would keep such fields in.
    pub(crate) fn encoding(&self) -> &'static str {
        if self.is_small() { "listpack" } else { "hashtable" }
    }
}

impl PartialEq for Fields {
    /// In order, since replicas agree on it.
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Fields {}
