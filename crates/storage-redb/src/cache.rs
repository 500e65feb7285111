//! Records read back not long ago, so that replicas that lag behind together read them once.

use std::collections::BTreeMap;

use bytes::Bytes;
use hashbrown::HashMap;

/// A cache bounded by bytes; the record that was used longest ago goes first. A record that was
/// deleted may linger: nothing asks for it any more.
#[derive(Debug)]
pub(crate) struct RecordCache {
    bytes_max: usize,
    bytes: usize,
    records: HashMap<u64, (Bytes, u64)>,
    /// Time of use -> sequence number.
    by_use: BTreeMap<u64, u64>,
    now: u64,
}

impl RecordCache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, bytes: 0, records: HashMap::new(), by_use: BTreeMap::new(), now: 0 }
    }

    /// A record, if it is here.
    pub(crate) fn get(&mut self, sequence: u64) -> Option<Bytes> {
        let (record, used) = self.records.get_mut(&sequence)?;
        self.now += 1;
        self.by_use.remove(used);
        self.by_use.insert(self.now, sequence);
        *used = self.now;
        Some(record.clone())
    }

    /// Keeps a record that is not here, unless it is too large to be worth it.
    pub(crate) fn insert(&mut self, sequence: u64, record: Bytes) {
        if record.len() > self.bytes_max / 2 || self.records.contains_key(&sequence) {
            return;
        }
        self.now += 1;
        self.bytes += record.len();
        self.by_use.insert(self.now, sequence);
        self.records.insert(sequence, (record, self.now));
        while self.bytes > self.bytes_max {
            let Some((_, oldest)) = self.by_use.pop_first() else { break };
            if let Some((gone, _)) = self.records.remove(&oldest) {
                self.bytes -= gone.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_used_longest_ago_goes_first() {
        let mut cache = RecordCache::new(30);
        let record = |byte| Bytes::from(vec![byte; 10]);
        for sequence in 1..=3 {
            cache.insert(sequence, record(1));
        }
        assert!(cache.get(1).is_some());
        cache.insert(4, record(2));
        assert_eq!(cache.get(4), Some(record(2)));
        assert!(cache.get(2).is_none() && cache.get(3).is_some() && cache.get(1).is_some());
        cache.insert(5, Bytes::from(vec![0; 16]));
        assert!(cache.get(5).is_none(), "a record of more than half the cache is not kept");
    }
}
