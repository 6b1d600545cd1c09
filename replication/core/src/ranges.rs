//! A set of numbers kept as disjoint ranges: live offsets, taken sequences.
//! Costs by the number of ranges, not of numbers.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::BytesMut;

use crate::codec::{Malformed, Reader, Writer};

/// A set of `u64` as disjoint, non-adjacent half-open ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RangeSet {
    /// Start to end (exclusive).
    ranges: BTreeMap<u64, u64>,
    /// How many numbers.
    len: u64,
}

impl RangeSet {
    /// The empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many numbers are in it.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many ranges it takes: what it costs in memory.
    #[must_use]
    pub fn fragments(&self) -> usize {
        self.ranges.len()
    }

    /// The lowest number.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        self.ranges.first_key_value().map(|(&start, _)| start)
    }

    /// The highest number.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.ranges.last_key_value().map(|(_, &end)| end - 1)
    }

    /// Whether the number is in it.
    #[must_use]
    pub fn contains(&self, value: u64) -> bool {
        self.ranges.range(..=value).next_back().is_some_and(|(_, &end)| value < end)
    }

    /// Adds all numbers of the range that are not there yet.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        // The usual case: the next number after the last, or beyond it.
        if let Some(mut last) = self.ranges.last_entry()
            && range.start == *last.get()
        {
            *last.get_mut() = range.end;
            self.len += range.end - range.start;
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        if let Some((&before, &before_end)) = self.ranges.range(..=start).next_back()
            && before_end >= start
        {
            start = before;
        }
        while let Some((&other, &other_end)) = self.ranges.range(start..=end).next() {
            self.ranges.remove(&other);
            self.len -= other_end - other;
            end = end.max(other_end);
        }
        self.ranges.insert(start, end);
        self.len += end - start;
    }

    /// Removes all numbers of the range.
    pub fn remove(&mut self, range: Range<u64>) {
        self.take(range, |_| {});
    }

    /// Removes all numbers of the range and hands out, ascending, what was there.
    pub fn take(&mut self, range: Range<u64>, mut removed: impl FnMut(Range<u64>)) {
        if range.is_empty() {
            return;
        }
        let mut cut = |this: &mut Self, start: u64, end: u64| {
            if end > range.end {
                this.ranges.insert(range.end, end);
            }
            let gone = start..end.min(range.end);
            this.len -= gone.end - gone.start;
            removed(gone);
        };
        // One that begins below the range keeps what lies below.
        if let Some((_, end)) = self.ranges.range_mut(..range.start).next_back()
            && *end > range.start
        {
            let end = std::mem::replace(end, range.start);
            cut(self, range.start, end);
        }
        while let Some((&start, &end)) = self.ranges.range(range.clone()).next() {
            self.ranges.remove(&start);
            cut(self, start, end);
        }
    }

    /// The ranges, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Range<u64>> + '_ {
        self.ranges.iter().map(|(&start, &end)| start..end)
    }

    /// The ranges' parts at or above `from`, ascending.
    pub fn iter_from(&self, from: u64) -> impl Iterator<Item = Range<u64>> + '_ {
        let straddling =
            self.ranges.range(..from).next_back().filter(|&(_, &end)| end > from).map(|(_, &end)| from..end);
        straddling.into_iter().chain(self.ranges.range(from..).map(|(&start, &end)| start..end))
    }

    /// Writes count, then gap and length of each range.
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_varint(self.ranges.len() as u64);
        let mut at = 0;
        for (&start, &end) in &self.ranges {
            out.put_varint(start - at);
            out.put_varint(end - start);
            at = end;
        }
    }

    /// The inverse of `encode`.
    pub(crate) fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut set = Self::new();
        let mut at = 0u64;
        for nth in 0..from.count(2)? {
            let gap = from.varint()?;
            let length = from.varint()?;
            let start = at.checked_add(gap).ok_or(Malformed("range overflows"))?;
            let end = start.checked_add(length).ok_or(Malformed("range overflows"))?;
            if length == 0 || (nth > 0 && gap == 0) {
                return Err(Malformed("ranges are not disjoint"));
            }
            set.ranges.insert(start, end);
            set.len += length;
            at = end;
        }
        Ok(set)
    }
}

impl FromIterator<Range<u64>> for RangeSet {
    fn from_iter<T: IntoIterator<Item = Range<u64>>>(ranges: T) -> Self {
        let mut set = Self::new();
        for range in ranges {
            set.insert(range);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::single_range_in_vec_init)]

    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Op {
        Insert(Range<u64>),
        Remove(Range<u64>),
    }

    fn op() -> impl Strategy<Value = Op> {
        (any::<bool>(), 0u64..60, 0u64..12).prop_map(|(insert, start, length)| {
            if insert { Op::Insert(start..start + length) } else { Op::Remove(start..start + length) }
        })
    }

    proptest! {
        #[test]
        fn behaves_like_a_set_of_numbers(ops in proptest::collection::vec(op(), 0..60), from in 0u64..70) {
            let mut set = RangeSet::new();
            let mut model = BTreeSet::new();
            for op in ops {
                match op {
                    Op::Insert(range) => {
                        model.extend(range.clone());
                        set.insert(range);
                    }
                    Op::Remove(range) => {
                        let mut gone = Vec::new();
                        set.take(range.clone(), |part| gone.extend(part));
                        let expected: Vec<u64> = model.iter().copied().filter(|v| range.contains(v)).collect();
                        prop_assert_eq!(gone, expected);
                        model.retain(|v| !range.contains(v));
                    }
                }
                prop_assert_eq!(set.iter().flatten().collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
                prop_assert_eq!(set.len(), model.len() as u64);
                // Maximal ranges: adjacent ones are joined.
                let ranges: Vec<_> = set.iter().collect();
                prop_assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
            }
            prop_assert_eq!(set.first(), model.first().copied());
            prop_assert_eq!(set.last(), model.last().copied());
            prop_assert_eq!(
                set.iter_from(from).flatten().collect::<Vec<_>>(),
                model.iter().copied().filter(|v| *v >= from).collect::<Vec<_>>()
            );
            for value in 0..75 {
                prop_assert_eq!(set.contains(value), model.contains(&value));
            }
            let mut bytes = BytesMut::new();
            set.encode(&mut bytes);
            prop_assert_eq!(RangeSet::decode(&mut Reader::new(&bytes)).unwrap(), set);
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = RangeSet::decode(&mut Reader::new(&bytes));
        }
    }

    #[test]
    fn settling_in_order_keeps_one_range() {
        let mut set: RangeSet = [0..1000].into_iter().collect();
        for value in 0..500 {
            set.remove(value..value + 1);
        }
        assert_eq!((set.fragments(), set.len(), set.first()), (1, 500, Some(500)));
    }
}
