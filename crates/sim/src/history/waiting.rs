//! The items that have no place in the order yet, in the order in which they were invoked.
//!
//! Invariant: places are put back in the reverse of the order in which they were taken out; then
//! each of both costs two links (Knuth's dancing links).

/// A list of places `0..n` from which places are taken out and put back.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Of place p at p + 1; position 0 is before the first and behind the last.
    next: Vec<usize>,
    previous: Vec<usize>,
}

impl Waiting {
    pub(super) fn new(count: usize) -> Self {
        let next = (1..=count).chain([0]).collect();
        let previous = [count].into_iter().chain(0..count).collect();
        Self { next, previous }
    }

    pub(super) fn take_out(&mut self, place: usize) {
        let (before, behind) = (self.previous[place + 1], self.next[place + 1]);
        self.next[before] = behind;
        self.previous[behind] = before;
    }

    /// Puts back the place that was taken out last, of those that are not back.
    pub(super) fn put_back(&mut self, place: usize) {
        let (before, behind) = (self.previous[place + 1], self.next[place + 1]);
        self.next[before] = place + 1;
        self.previous[behind] = place + 1;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        let mut at = 0;
        std::iter::from_fn(move || {
            at = self.next[at];
            at.checked_sub(1)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(waiting: &Waiting) -> Vec<usize> {
        waiting.iter().collect()
    }

    #[test]
    fn what_is_put_back_is_where_it_was() {
        let mut waiting = Waiting::new(5);
        assert_eq!(places(&waiting), [0, 1, 2, 3, 4]);
        for place in [0, 4, 1] {
            waiting.take_out(place);
        }
        assert_eq!(places(&waiting), [2, 3]);
        waiting.put_back(1);
        assert_eq!(places(&waiting), [1, 2, 3]);
        waiting.put_back(4);
        waiting.put_back(0);
        assert_eq!(places(&waiting), [0, 1, 2, 3, 4]);
        assert_eq!(places(&Waiting::new(0)), [0; 0]);
    }
}
