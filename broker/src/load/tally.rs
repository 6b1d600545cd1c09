//! Which messages there were: a bit a message, so that millions are counted in
//! little memory, and order as it is seen.

use super::Stamp;

/// A set of sequence numbers.
#[derive(Clone, Debug, Default)]
pub struct Bits {
    words: Vec<u64>,
    count: u64,
}

impl Bits {
    /// Sequences from here on are taken for damaged: no run is this long.
    const LIMIT: u64 = 1 << 33;

    /// Adds a number; false if it was there (or cannot be).
    #[inline]
    pub fn insert(&mut self, number: u64) -> bool {
        let Some(word) = usize::try_from(number / 64).ok().filter(|_| number < Self::LIMIT) else { return false };
        if word >= self.words.len() {
            self.words.resize(word + 1 + word / 2, 0);
        }
        let bit = 1 << (number % 64);
        match self.words.get_mut(word) {
            Some(word) if *word & bit == 0 => *word |= bit,
            _ => return false,
        }
        self.count += 1;
        true
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many of these are not in `other`.
    #[must_use]
    pub fn missing_from(&self, other: &Bits) -> u64 {
        let theirs = other.words.iter().copied().chain(std::iter::repeat(0));
        self.words.iter().zip(theirs).map(|(ours, theirs)| u64::from((ours & !theirs).count_ones())).sum()
    }

    /// Adds all of `other`; how many were there already.
    pub fn merge(&mut self, other: &Bits) -> u64 {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        let mut both = 0;
        for (ours, theirs) in self.words.iter_mut().zip(&other.words) {
            both += u64::from((*ours & theirs).count_ones());
            *ours |= theirs;
        }
        self.count += other.count - both;
        both
    }
}

/// What consumers saw.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    publishers: Vec<Seen>,
    /// Deliveries marked as redelivered.
    pub redelivered: u64,
    /// Deliveries without a stamp of this run.
    pub foreign: u64,
}

/// What consumers saw of one publisher.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Which messages.
    pub delivered: Bits,
    /// Seen more than once.
    pub duplicated: u64,
    /// Seen for the first time after a later one, and not marked as redelivered.
    pub out_of_order: u64,
    /// One more than the highest sequence.
    next: u64,
}

/// Publishers from here on are taken for damaged.
const PUBLISHERS: usize = 1 << 20;

impl Tally {
    /// Counts a delivery; true if it is the first of its message.
    #[inline]
    pub fn deliver(&mut self, stamp: &Stamp, redelivered: bool) -> bool {
        self.redelivered += u64::from(redelivered);
        let Some(publisher) = usize::try_from(stamp.publisher).ok().filter(|publisher| *publisher < PUBLISHERS) else {
            self.foreign += 1;
            return false;
        };
        if publisher >= self.publishers.len() {
            self.publishers.resize_with(publisher + 1, Seen::default);
        }
        let Some(seen) = self.publishers.get_mut(publisher) else { return false };
        if !seen.delivered.insert(stamp.sequence) {
            seen.duplicated += 1;
            return false;
        }
        if stamp.sequence < seen.next {
            seen.out_of_order += u64::from(!redelivered);
        } else {
            seen.next = stamp.sequence + 1;
        }
        true
    }

    /// Adds what another consumer saw.
    pub fn merge(&mut self, other: &Tally) {
        if self.publishers.len() < other.publishers.len() {
            self.publishers.resize_with(other.publishers.len(), Seen::default);
        }
        for (ours, theirs) in self.publishers.iter_mut().zip(&other.publishers) {
            ours.duplicated += theirs.duplicated + ours.delivered.merge(&theirs.delivered);
            ours.out_of_order += theirs.out_of_order;
        }
        self.redelivered += other.redelivered;
        self.foreign += other.foreign;
    }

    /// What was seen of a publisher, if anything.
    #[must_use]
    pub fn publisher(&self, publisher: u32) -> Option<&Seen> {
        self.publishers.get(usize::try_from(publisher).ok()?)
    }

    /// Different messages.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.publishers.iter().map(|seen| seen.delivered.len()).sum()
    }

    /// Deliveries of messages that were seen before.
    #[must_use]
    pub fn duplicated(&self) -> u64 {
        self.publishers.iter().map(|seen| seen.duplicated).sum()
    }

    /// Messages seen after later ones of the same publisher.
    #[must_use]
    pub fn out_of_order(&self) -> u64 {
        self.publishers.iter().map(|seen| seen.out_of_order).sum()
    }

    /// How many of a publisher's confirmed messages were never seen.
    #[must_use]
    pub fn lost(&self, publisher: u32, confirmed: &Bits) -> u64 {
        self.publisher(publisher).map_or(confirmed.len(), |seen| confirmed.missing_from(&seen.delivered))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(sequences: &[(u64, bool)]) -> Tally {
        let mut tally = Tally::default();
        for (sequence, redelivered) in sequences {
            tally.deliver(&Stamp { run: 0, publisher: 1, sequence: *sequence, intended: 0 }, *redelivered);
        }
        tally
    }

    #[test]
    fn loss_is_what_was_confirmed_and_not_seen() {
        let confirmed = (0..200).fold(Bits::default(), |mut bits, n| {
            bits.insert(n);
            bits
        });
        let all: Vec<(u64, bool)> = (0..200).filter(|n| ![3, 64, 199].contains(n)).map(|n| (n, false)).collect();
        let tally = tally(&all);
        assert_eq!((tally.lost(1, &confirmed), tally.lost(0, &confirmed), tally.lost(9, &confirmed)), (3, 200, 200));
        assert_eq!((tally.delivered(), tally.duplicated(), tally.out_of_order()), (197, 0, 0));
    }

    #[test]
    fn duplicates_and_order_are_told_apart() {
        let seen = tally(&[(0, false), (2, false), (1, false), (2, false), (2, true), (4, false), (3, true)]);
        assert_eq!((seen.duplicated(), seen.out_of_order(), seen.redelivered), (2, 1, 2));
    }

    #[test]
    fn what_two_consumers_saw_is_a_duplicate() {
        let mut one = tally(&[(0, false), (1, false), (70, false)]);
        one.merge(&tally(&[(1, false), (2, false)]));
        assert_eq!((one.delivered(), one.duplicated(), one.out_of_order()), (4, 1, 0));
    }

    #[test]
    fn damaged_numbers_cost_no_memory() {
        let damaged = tally(&[(u64::MAX, false)]);
        assert_eq!((damaged.delivered(), damaged.duplicated()), (0, 1));
    }
}
