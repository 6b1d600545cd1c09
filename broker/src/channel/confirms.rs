//! The confirm book of one channel: which publishes still wait for which
//! queues, and which answers to the client are due. Pure.
//!
//! Every publish takes a sequence number, also on channels without confirms:
//! the number is what queues de-duplicate by (REPLICATION.md §4.8), and what is
//! not answered yet is what the connection's publish budget counts.

use std::collections::VecDeque;
use std::sync::Arc;

use warren_replication::types::QueueId;

/// What the channel tells its publisher, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `basic.ack` of this tag, and of all below it if `multiple`.
    Ack {
        /// The publish's number, as the client counts.
        tag: u64,
        /// Whether everything below is meant too.
        multiple: bool,
    },
    /// `basic.nack` of this tag alone.
    Nack {
        /// The publish's number, as the client counts.
        tag: u64,
    },
}

/// Publishes that queues have not answered yet, and answers not sent yet.
#[derive(Debug)]
pub struct ConfirmBook {
    /// The sequence of `slots[0]`.
    first: u64,
    slots: VecDeque<Slot>,
    /// Sequence before the first one that the client counts; `None` before
    /// `confirm.select`.
    base: Option<u64>,
    /// Answered by all queues since the last [`ConfirmBook::answers`]: sequence
    /// and whether it is to be confirmed.
    due: Vec<(u64, bool)>,
    /// How many publishes, and how many bytes of them, wait for a queue.
    waiting: usize,
    weight: usize,
}

#[derive(Debug)]
struct Slot {
    waits: Waits,
    refused: bool,
    weight: u32,
}

/// The queues that a publish waits for. Nearly always one.
#[derive(Debug)]
enum Waits {
    None,
    One(QueueId),
    Many(Box<Fanout>),
}

#[derive(Debug)]
struct Fanout {
    /// Sorted; shared with the route that it was found by.
    targets: Arc<[QueueId]>,
    /// One bit a target, set once it has answered.
    answered: Vec<u64>,
    left: usize,
}

impl Waits {
    fn new(targets: &Arc<[QueueId]>) -> Self {
        match targets.len() {
            0 => Self::None,
            1 => Self::One(targets[0]),
            left => Self::Many(Box::new(Fanout {
                targets: Arc::clone(targets),
                answered: vec![0; left.div_ceil(64)],
                left,
            })),
        }
    }

    /// Strikes a queue out; true if it was still waited for.
    fn strike(&mut self, queue: QueueId) -> bool {
        match self {
            Self::None => false,
            Self::One(waited) => {
                let hit = *waited == queue;
                if hit {
                    *self = Self::None;
                }
                hit
            }
            Self::Many(fanout) => {
                let Ok(place) = fanout.targets.binary_search(&queue) else { return false };
                let (word, bit) = (place / 64, 1u64 << (place % 64));
                if fanout.answered[word] & bit != 0 {
                    return false;
                }
                fanout.answered[word] |= bit;
                fanout.left -= 1;
                if fanout.left == 0 {
                    *self = Self::None;
                }
                true
            }
        }
    }
}

impl ConfirmBook {
    /// An empty book whose first publish gets this sequence number.
    #[must_use]
    pub fn new(first: u64) -> Self {
        Self { first, slots: VecDeque::new(), base: None, due: Vec::new(), waiting: 0, weight: 0 }
    }

    /// `confirm.select`: from now on the client counts, from 1. Again: no change.
    pub fn select(&mut self) {
        let before_next = self.next_sequence() - 1;
        self.base.get_or_insert(before_next);
    }

    /// Whether the client counts.
    #[must_use]
    pub fn is_selected(&self) -> bool {
        self.base.is_some()
    }

    /// The number that the next publish will get.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    /// Enters a publish to these queues (sorted, each once), weighing so many
    /// bytes. To no queue at all it is confirmed at once.
    pub fn publish(&mut self, targets: &Arc<[QueueId]>, weight: usize) -> u64 {
        let sequence = self.next_sequence();
        let waits = Waits::new(targets);
        if matches!(waits, Waits::None) {
            self.due.push((sequence, true));
            self.slots.push_back(Slot { waits, refused: false, weight: 0 });
        } else {
            self.waiting += 1;
            let weight = u32::try_from(weight).unwrap_or(u32::MAX);
            self.weight += weight as usize;
            self.slots.push_back(Slot { waits, refused: false, weight });
        }
        sequence
    }

    /// A queue answered these sequences (inclusive ranges): `kept`, or refused
    /// for good. What it was not asked, or has answered before, is ignored.
    pub fn answered(&mut self, queue: QueueId, ranges: &[(u64, u64)], kept: bool) {
        let end = self.next_sequence();
        for &(low, high) in ranges {
            for sequence in low.max(self.first)..high.saturating_add(1).min(end) {
                let slot = &mut self.slots[(sequence - self.first) as usize];
                if !slot.waits.strike(queue) {
                    continue;
                }
                slot.refused |= !kept;
                if matches!(slot.waits, Waits::None) {
                    self.waiting -= 1;
                    self.weight -= slot.weight as usize;
                    self.due.push((sequence, !slot.refused));
                }
            }
        }
    }

    /// Publishes that wait for a queue.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Their bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// Whether [`ConfirmBook::answers`] has anything to do.
    #[must_use]
    pub fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// How many confirms and refusals the client is told next.
    #[must_use]
    pub fn due(&self) -> (u64, u64) {
        if self.base.is_none() {
            return (0, 0);
        }
        let confirmed = self.due.iter().filter(|(_, kept)| *kept).count();
        (confirmed as u64, (self.due.len() - confirmed) as u64)
    }

    /// Takes the answers that are due, nacks first: a multiple ack covers all
    /// numbers below it that the client still waits for, so it may neither pass
    /// a publish that a queue still owes an answer, nor a nack not yet sent.
    pub fn answers(&mut self, mut send: impl FnMut(Answer)) {
        self.due.sort_unstable();
        while self.slots.front().is_some_and(|slot| matches!(slot.waits, Waits::None)) {
            self.slots.pop_front();
            self.first += 1;
        }
        if let Some(base) = self.base {
            for &(sequence, _) in self.due.iter().filter(|&&(sequence, kept)| sequence > base && !kept) {
                send(Answer::Nack { tag: sequence - base });
            }
            let mut acks = self.due.iter().filter(|&&(sequence, kept)| sequence > base && kept).peekable();
            let mut last_below = None;
            let mut below = 0;
            while let Some(&&(sequence, _)) = acks.peek() {
                if sequence >= self.first {
                    break;
                }
                last_below = Some(sequence);
                below += 1;
                acks.next();
            }
            if let Some(sequence) = last_below {
                send(Answer::Ack { tag: sequence - base, multiple: below > 1 });
            }
            for &(sequence, _) in acks {
                send(Answer::Ack { tag: sequence - base, multiple: false });
            }
        }
        self.due.clear();
        if self.due.capacity() > IDLE_CAPACITY && self.waiting == 0 {
            self.due.shrink_to(IDLE_CAPACITY);
            self.slots.shrink_to(IDLE_CAPACITY);
        }
    }
}

/// Room that an idle channel's book may keep after a burst.
const IDLE_CAPACITY: usize = 1024;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn queues(ids: &[u64]) -> Arc<[QueueId]> {
        ids.iter().copied().map(QueueId).collect()
    }

    fn answers(book: &mut ConfirmBook) -> Vec<Answer> {
        let mut out = Vec::new();
        book.answers(|answer| out.push(answer));
        out
    }

    #[test]
    fn contiguous_confirms_become_one_multiple_ack() {
        let mut book = ConfirmBook::new(1);
        book.select();
        for _ in 0..5 {
            book.publish(&queues(&[7]), 10);
        }
        book.answered(QueueId(7), &[(1, 3)], true);
        assert_eq!(answers(&mut book), [Answer::Ack { tag: 3, multiple: true }]);
        assert_eq!((book.waiting(), book.weight()), (2, 20));
        book.answered(QueueId(7), &[(5, 5)], true);
        assert_eq!(answers(&mut book), [Answer::Ack { tag: 5, multiple: false }]);
        book.answered(QueueId(7), &[(4, 4)], true);
        assert_eq!(answers(&mut book), [Answer::Ack { tag: 4, multiple: false }]);
        assert_eq!((book.waiting(), book.weight()), (0, 0));
    }

    #[test]
    fn one_refusal_among_several_queues_is_a_nack_once_all_have_answered() {
        let mut book = ConfirmBook::new(1);
        book.select();
        book.publish(&queues(&[1, 2]), 1);
        book.answered(QueueId(1), &[(1, 1)], false);
        assert_eq!(answers(&mut book), []);
        book.answered(QueueId(2), &[(1, 1)], true);
        assert_eq!(answers(&mut book), [Answer::Nack { tag: 1 }]);
    }

    #[test]
    fn numbers_count_from_the_select_and_earlier_publishes_stay_silent() {
        let mut book = ConfirmBook::new(41);
        assert_eq!(book.publish(&queues(&[1]), 1), 41);
        book.select();
        assert_eq!(book.publish(&queues(&[1]), 1), 42);
        book.select();
        book.answered(QueueId(1), &[(1, 100)], true);
        assert_eq!(answers(&mut book), [Answer::Ack { tag: 1, multiple: false }]);
    }

    #[test]
    fn a_publish_to_no_queue_is_confirmed_at_once() {
        let mut book = ConfirmBook::new(1);
        book.select();
        book.publish(&queues(&[]), 9);
        assert_eq!(book.weight(), 0);
        assert_eq!(answers(&mut book), [Answer::Ack { tag: 1, multiple: false }]);
    }

    #[test]
    fn answers_of_strangers_and_repeated_answers_count_for_nothing() {
        let mut book = ConfirmBook::new(5);
        book.select();
        book.publish(&queues(&[1, 2]), 1);
        for _ in 0..2 {
            book.answered(QueueId(1), &[(0, 3), (5, 5), (9, u64::MAX)], true);
            book.answered(QueueId(3), &[(5, 5)], false);
        }
        assert_eq!(answers(&mut book), []);
        assert_eq!(book.waiting(), 1);
    }

    /// What a publisher does in the test below.
    #[derive(Clone, Debug)]
    enum Step {
        Publish(BTreeSet<u64>),
        Answer { queue: u64, low: u64, length: u64, kept: bool },
        Send,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            proptest::collection::btree_set(1u64..5, 0..4).prop_map(Step::Publish),
            (1u64..6, 0u64..40, 0u64..10, proptest::bool::weighted(0.8))
                .prop_map(|(queue, low, length, kept)| Step::Answer { queue, low, length, kept }),
            Just(Step::Send),
        ]
    }

    proptest! {
        /// The client's side as an oracle: each publish gets exactly one answer,
        /// the right one, and never before all its queues have spoken.
        #[test]
        fn every_publish_is_answered_exactly_once_and_never_early(steps in proptest::collection::vec(step(), 0..200)) {
            let mut book = ConfirmBook::new(1);
            book.select();
            let mut pending: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
            let mut refused: BTreeSet<u64> = BTreeSet::new();
            let mut unanswered: BTreeSet<u64> = BTreeSet::new();
            let mut published = 0;
            for step in steps.into_iter().chain((1..5).map(|queue| Step::Answer { queue, low: 0, length: 1000, kept: true })).chain([Step::Send]) {
                match step {
                    Step::Publish(targets) => {
                        let ids: Vec<u64> = targets.iter().copied().collect();
                        published = book.publish(&queues(&ids), 3);
                        unanswered.insert(published);
                        pending.insert(published, targets);
                    }
                    Step::Answer { queue, low, length, kept } => {
                        book.answered(QueueId(queue), &[(low, low + length)], kept);
                        for (sequence, waits) in pending.range_mut(low..=low + length) {
                            if waits.remove(&queue) && !kept {
                                refused.insert(*sequence);
                            }
                        }
                    }
                    Step::Send => {
                        let mut sent = Vec::new();
                        book.answers(|answer| sent.push(answer));
                        for answer in sent {
                            let (covered, kept): (Vec<u64>, bool) = match answer {
                                Answer::Ack { tag, multiple: true } => (unanswered.range(..=tag).copied().collect(), true),
                                Answer::Ack { tag, multiple: false } => (vec![tag], true),
                                Answer::Nack { tag } => (vec![tag], false),
                            };
                            for sequence in covered {
                                prop_assert!(unanswered.remove(&sequence), "answered twice: {sequence}");
                                prop_assert!(pending[&sequence].is_empty(), "answered early: {sequence}");
                                prop_assert_eq!(kept, !refused.contains(&sequence));
                            }
                        }
                        let open = pending.values().filter(|waits| !waits.is_empty()).count();
                        prop_assert_eq!(book.waiting(), open);
                        prop_assert_eq!(book.weight(), 3 * open);
                        prop_assert_eq!(unanswered.len(), open);
                    }
                }
            }
            prop_assert_eq!(book.next_sequence(), published + 1);
            prop_assert!(unanswered.is_empty());
        }
    }
}
