//! A set of offsets as ascending ranges: the ready messages, in queue order.

use std::collections::BTreeMap;
use std::ops::Range;

/// Offsets as disjoint ranges that do not touch; first in, first out by offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// Start to end (exclusive).
    ranges: BTreeMap<u64, u64>,
    len: u64,
}

impl Ready {
    /// How many offsets are in it.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The lowest offset.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        self.ranges.first_key_value().map(|(start, _)| *start)
    }

    /// The lowest offset that is not below `offset`.
    #[must_use]
    pub fn first_from(&self, offset: u64) -> Option<u64> {
        if self.contains(offset) {
            return Some(offset);
        }
        self.ranges.range(offset..).next().map(|(start, _)| *start)
    }

    /// Whether the offset is in it.
    #[must_use]
    pub fn contains(&self, offset: u64) -> bool {
        self.ranges.range(..=offset).next_back().is_some_and(|(_, end)| offset < *end)
    }

    /// How many offsets below this one are in it.
    #[must_use]
    pub fn len_below(&self, offset: u64) -> u64 {
        self.ranges.range(..offset).map(|(start, end)| offset.min(*end) - start).sum()
    }

    /// The ranges, ascending.
    pub fn ranges(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.ranges.iter().map(|(start, end)| *start..*end)
    }

    /// Takes the lowest offset out.
    pub fn pop_first(&mut self) -> Option<u64> {
        let (start, end) = self.ranges.pop_first()?;
        if start + 1 < end {
            self.ranges.insert(start + 1, end);
        }
        self.len -= 1;
        Some(start)
    }

    /// Adds one offset; false if it was there.
    pub fn insert(&mut self, offset: u64) -> bool {
        let before = self.len;
        self.insert_range(offset..offset + 1);
        self.len != before
    }

    /// Adds a range, whatever of it is there already.
    pub fn insert_range(&mut self, range: Range<u64>) {
        let (mut start, mut end) = (range.start, range.end);
        if start >= end {
            return;
        }
        // What touches or overlaps is swallowed, from the right.
        while let Some((&s, &e)) = self.ranges.range(..=end).next_back() {
            if e < start {
                break;
            }
            self.ranges.remove(&s);
            self.len -= e - s;
            start = start.min(s);
            end = end.max(e);
        }
        self.len += end - start;
        self.ranges.insert(start, end);
    }

    /// Takes one offset out; false if it was not there.
    pub fn remove(&mut self, offset: u64) -> bool {
        let Some((&start, &end)) = self.ranges.range(..=offset).next_back() else { return false };
        if offset >= end {
            return false;
        }
        if start == offset {
            self.ranges.remove(&start);
        } else {
            self.ranges.insert(start, offset);
        }
        if offset + 1 < end {
            self.ranges.insert(offset + 1, end);
        }
        self.len -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_as_a_set(steps in prop::collection::vec((0u8..4, 0u64..40, 1u64..6), 1..200)) {
            let mut ready = Ready::default();
            let mut model = BTreeSet::new();
            for (kind, offset, length) in steps {
                match kind {
                    0 => prop_assert_eq!(ready.insert(offset), model.insert(offset)),
                    1 => prop_assert_eq!(ready.remove(offset), model.remove(&offset)),
                    2 => {
                        ready.insert_range(offset..offset + length);
                        model.extend(offset..offset + length);
                    }
                    _ => prop_assert_eq!(ready.pop_first(), model.pop_first()),
                }
                prop_assert_eq!(ready.len(), model.len() as u64);
                prop_assert_eq!(ready.first(), model.first().copied());
                prop_assert_eq!(ready.contains(offset), model.contains(&offset));
                prop_assert_eq!(ready.len_below(offset), model.range(..offset).count() as u64);
                prop_assert_eq!(ready.first_from(offset), model.range(offset..).next().copied());
                let all: Vec<u64> = ready.ranges().flatten().collect();
                prop_assert_eq!(all, model.iter().copied().collect::<Vec<_>>());
                // Ranges never touch, so a queue in order is one range.
                let ends: Vec<Range<u64>> = ready.ranges().collect();
                prop_assert!(ends.windows(2).all(|w| w[0].end < w[1].start));
            }
        }
    }
}
