//! The delivery tags of one channel: what its client holds and may acknowledge,
//! reject or recover. Pure.

use std::collections::VecDeque;

use warren_replication::types::{Offset, QueueId};

/// A message that the client holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// From where.
    pub queue: QueueId,
    /// Which.
    pub offset: Offset,
    /// The consumer's number; `None` = it was got.
    pub consumer: Option<u64>,
    /// It went back as its consumer was cancelled: the client may settle it, and
    /// nothing comes of that.
    pub gone: bool,
}

/// The client named a tag that it does not hold (406).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownTag(pub u64);

/// Delivery tags: growing from 1 on a channel, each held until settled.
#[derive(Debug, Default)]
pub struct Unacked {
    last_tag: u64,
    /// Ascending tags; `None` = settled out of turn, swept when they are many.
    entries: VecDeque<(u64, Option<Held>)>,
    held: usize,
    /// Those of them that consumers were given.
    of_consumers: usize,
}

impl Unacked {
    /// The tag of a delivery that needs no acknowledgement.
    pub fn pass(&mut self) -> u64 {
        self.last_tag += 1;
        self.last_tag
    }

    /// The tag of a delivery that the client now holds.
    pub fn hold(&mut self, held: Held) -> u64 {
        let tag = self.pass();
        self.entries.push_back((tag, Some(held)));
        self.count(held);
        tag
    }

    /// The tag given last.
    #[must_use]
    pub fn last_tag(&self) -> u64 {
        self.last_tag
    }

    /// The first tag that is held.
    #[must_use]
    pub fn first_held(&self) -> Option<u64> {
        self.entries.iter().find(|(_, held)| held.is_some()).map(|&(tag, _)| tag)
    }

    /// How many the client holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held
    }

    /// How many it holds for consumers.
    #[must_use]
    pub fn of_consumers(&self) -> usize {
        self.of_consumers
    }

    /// Whether the client holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Takes a tag, and with `multiple` all below it, out of the client's hands,
    /// in the order of delivery. Tag 0 with `multiple` means all.
    ///
    /// # Errors
    /// The tag is not held; nothing is taken.
    pub fn take(&mut self, tag: u64, multiple: bool, mut each: impl FnMut(u64, Held)) -> Result<(), UnknownTag> {
        if multiple && tag == 0 {
            self.take_all(each);
            return Ok(());
        }
        let place = self.entries.binary_search_by_key(&tag, |&(tag, _)| tag).map_err(|_| UnknownTag(tag))?;
        if self.entries[place].1.is_none() {
            return Err(UnknownTag(tag));
        }
        if multiple {
            for (tag, held) in self.entries.drain(..=place).filter_map(|(tag, held)| Some((tag, held?))) {
                self.held -= 1;
                self.of_consumers -= usize::from(held.consumer.is_some());
                each(tag, held);
            }
        } else if let Some(held) = self.entries[place].1.take() {
            self.held -= 1;
            self.of_consumers -= usize::from(held.consumer.is_some());
            each(tag, held);
        }
        self.sweep();
        Ok(())
    }

    /// Everything that the client holds.
    pub fn iter(&self) -> impl Iterator<Item = &Held> {
        self.entries.iter().filter_map(|(_, held)| held.as_ref())
    }

    /// Takes everything (`basic.recover`).
    pub fn take_all(&mut self, mut each: impl FnMut(u64, Held)) {
        self.held = 0;
        self.of_consumers = 0;
        self.entries.drain(..).filter_map(|(tag, held)| Some((tag, held?))).for_each(|(tag, held)| each(tag, held));
    }

    /// What this consumer was given went back to its queue.
    pub fn lose(&mut self, consumer: u64) {
        let held = self.entries.iter_mut().filter_map(|(_, held)| held.as_mut());
        held.filter(|held| held.consumer == Some(consumer)).for_each(|held| held.gone = true);
    }

    /// Gives back what was taken, under its tags (`tx.rollback`).
    pub fn put_back(&mut self, taken: impl IntoIterator<Item = (u64, Held)>) {
        self.entries.retain(|(_, held)| held.is_some());
        for (tag, held) in taken {
            self.entries.push_back((tag, Some(held)));
            self.count(held);
        }
        self.entries.make_contiguous().sort_unstable_by_key(|&(tag, _)| tag);
    }

    /// The client holds one more.
    fn count(&mut self, held: Held) {
        self.held += 1;
        self.of_consumers += usize::from(held.consumer.is_some());
    }

    /// Drops settled places: at the front at once, others when they are the most.
    fn sweep(&mut self) {
        while self.entries.front().is_some_and(|(_, held)| held.is_none()) {
            self.entries.pop_front();
        }
        if self.entries.len() > 64 && self.held < self.entries.len() / 2 {
            self.entries.retain(|(_, held)| held.is_some());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn held(offset: u64) -> Held {
        Held { queue: QueueId(1), offset: Offset(offset), consumer: offset.is_multiple_of(2).then_some(1), gone: false }
    }

    fn take(book: &mut Unacked, tag: u64, multiple: bool) -> Result<Vec<u64>, UnknownTag> {
        let mut out = Vec::new();
        book.take(tag, multiple, |_, held| out.push(held.offset.0)).map(|()| out)
    }

    #[test]
    fn multiple_takes_everything_up_to_the_tag_in_order() {
        let mut book = Unacked::default();
        for offset in 10..15 {
            book.hold(held(offset));
        }
        assert_eq!(take(&mut book, 2, false), Ok(vec![11]));
        assert_eq!(take(&mut book, 4, true), Ok(vec![10, 12, 13]));
        assert_eq!(take(&mut book, 4, true), Err(UnknownTag(4)));
        assert_eq!(take(&mut book, 0, true), Ok(vec![14]));
        assert_eq!(take(&mut book, 0, true), Ok(vec![]));
        assert_eq!(take(&mut book, 0, false), Err(UnknownTag(0)));
    }

    #[test]
    fn a_tag_that_needs_no_ack_cannot_be_acknowledged() {
        let mut book = Unacked::default();
        assert_eq!(book.pass(), 1);
        assert_eq!(book.hold(held(1)), 2);
        assert_eq!(take(&mut book, 1, false), Err(UnknownTag(1)));
        assert_eq!(book.len(), 1);
    }

    #[test]
    fn what_went_back_may_still_be_settled() {
        let mut book = Unacked::default();
        for offset in 10..14 {
            book.hold(held(offset));
        }
        book.lose(1);
        assert_eq!((book.len(), book.of_consumers()), (4, 2));
        let mut gone = Vec::new();
        book.take(4, true, |tag, held| gone.push((tag, held.gone))).unwrap();
        assert_eq!(gone, [(1, true), (2, false), (3, true), (4, false)]);
    }

    #[test]
    fn what_is_put_back_is_held_under_its_tags_again() {
        let mut book = Unacked::default();
        for offset in 10..15 {
            book.hold(held(offset));
        }
        let mut taken = Vec::new();
        book.take(4, false, |tag, held| taken.push((tag, held))).unwrap();
        book.take(2, true, |tag, held| taken.push((tag, held))).unwrap();
        assert_eq!((book.len(), book.of_consumers()), (2, 2));
        book.put_back(taken);
        assert_eq!((book.len(), book.of_consumers()), (5, 3));
        assert_eq!(take(&mut book, 5, true), Ok(vec![10, 11, 12, 13, 14]));
    }

    proptest! {
        /// Against a map: each tag is taken once, unknown ones change nothing, and
        /// settled ones do not pile up behind one that is held forever.
        #[test]
        fn agrees_with_a_plain_map(steps in proptest::collection::vec((0u8..4, 0u64..300), 0..400)) {
            let mut book = Unacked::default();
            let mut model: BTreeMap<u64, u64> = BTreeMap::new();
            for (offset, (kind, tag)) in steps.into_iter().enumerate() {
                let offset = offset as u64;
                match kind {
                    0 | 1 => {
                        let tag = book.hold(held(offset));
                        model.insert(tag, offset);
                    }
                    _ => {
                        let multiple = kind == 3;
                        let expected = match model.contains_key(&tag) {
                            true if multiple => {
                                let rest = model.split_off(&(tag + 1));
                                Ok(std::mem::replace(&mut model, rest).into_values().collect())
                            }
                            true => Ok(model.remove(&tag).into_iter().collect()),
                            false if multiple && tag == 0 => Ok(std::mem::take(&mut model).into_values().collect()),
                            false => Err(UnknownTag(tag)),
                        };
                        prop_assert_eq!(take(&mut book, tag, multiple), expected);
                    }
                }
                prop_assert_eq!(book.len(), model.len());
                prop_assert_eq!(book.of_consumers(), model.values().filter(|offset| offset.is_multiple_of(2)).count());
                prop_assert!(book.entries.len() <= 64.max(2 * book.len() + 1));
            }
        }
    }
}
