//! What is between a link's two ends: which messages were published and not yet
//! answered, and which of the source's may be acknowledged. Pure.

use std::collections::VecDeque;

/// Messages that the target has, and the source has not forgotten.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// The target's sequence number of the first one pending.
    first: u64,
    pending: VecDeque<Pending>,
    unanswered: usize,
    /// Passed over before the first one pending.
    passed: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    /// The source's delivery tag.
    tag: u64,
    /// The last one that was passed over behind it, else its own.
    through: u64,
    answer: Option<bool>,
}

/// What to tell the source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    /// Acknowledge all up to this tag.
    pub(super) through: Option<u64>,
    /// How many messages that forgets.
    pub(super) taken: u64,
    /// To be returned to the queue first.
    pub(super) refused: Vec<u64>,
}

impl Flow {
    pub(super) fn new() -> Self {
        Self { first: 1, ..Self::default() }
    }

    /// The source's delivery `tag` was published with the next sequence number.
    pub(super) fn published(&mut self, tag: u64) {
        self.pending.push_back(Pending { tag, through: tag, answer: None });
        self.unanswered += 1;
    }

    /// The source's delivery `tag` is forgotten without a publish, in its turn.
    pub(super) fn passed_over(&mut self, tag: u64) {
        match self.pending.back_mut() {
            // It has no sequence number of the target: it goes with the one before.
            Some(before) => before.through = tag,
            None => self.passed = Some(tag),
        }
    }

    /// Messages that the target has not answered.
    pub(super) fn unanswered(&self) -> usize {
        self.unanswered
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.passed.is_none()
    }

    /// The target answered a publish, or all up to it.
    pub(super) fn answered(&mut self, sequence: u64, multiple: bool, taken: bool) {
        let index = sequence.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        let Some(last) = index.filter(|index| *index < self.pending.len()) else { return };
        let first = if multiple { 0 } else { last };
        for pending in self.pending.range_mut(first..=last) {
            // What was answered by itself before is not meant by a word about all.
            if pending.answer.is_none() {
                pending.answer = Some(taken);
                self.unanswered -= 1;
            }
        }
    }

    /// What the answers so far allow to tell the source: everything answered
    /// before the first one that is not.
    pub(super) fn settle(&mut self) -> Settled {
        let mut settled = Settled { through: self.passed.take(), ..Settled::default() };
        while let Some(Pending { tag, through, answer: Some(taken) }) = self.pending.front().copied() {
            self.pending.pop_front();
            self.first += 1;
            if taken {
                settled.through = Some(through);
                settled.taken += 1;
            } else {
                settled.refused.push(tag);
                if through > tag {
                    settled.through = Some(through);
                }
            }
        }
        settled
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_source_forgets_only_what_was_confirmed_before_a_gap() {
        let mut flow = Flow::new();
        (11..=15).for_each(|tag| flow.published(tag));
        flow.answered(2, false, true);
        assert_eq!(flow.settle(), Settled::default());
        flow.answered(1, false, true);
        assert_eq!(flow.settle(), Settled { through: Some(12), taken: 2, refused: vec![] });
        flow.answered(3, false, false);
        flow.answered(4, true, true);
        assert_eq!(flow.settle(), Settled { through: Some(14), taken: 1, refused: vec![13] });
        assert_eq!(flow.unanswered(), 1);
    }

    #[test]
    fn what_is_passed_over_waits_for_those_before_it() {
        let mut flow = Flow::new();
        flow.passed_over(1);
        assert_eq!(flow.settle(), Settled { through: Some(1), ..Settled::default() });
        flow.published(2);
        flow.passed_over(3);
        flow.published(4);
        assert_eq!(flow.settle(), Settled::default());
        flow.answered(1, false, false);
        assert_eq!(flow.settle(), Settled { through: Some(3), taken: 0, refused: vec![2] });
        flow.answered(2, false, true);
        assert_eq!(flow.settle(), Settled { through: Some(4), taken: 1, refused: vec![] });
        assert!(flow.is_empty());
    }

    proptest! {
        #[test]
        fn each_message_is_settled_once_and_never_before_its_answer(
            answers in prop::collection::vec((1u64..40, any::<bool>(), any::<bool>()), 0..60),
        ) {
            let mut flow = Flow::new();
            (101..=130).for_each(|tag| flow.published(tag));
            let mut answered = [false; 31];
            let mut next = 101;
            for (sequence, multiple, taken) in answers {
                flow.answered(sequence, multiple, taken);
                // A sequence that was never used means nothing.
                if let Some(to) = usize::try_from(sequence).ok().filter(|to| *to <= 30) {
                    answered[if multiple { 1 } else { to }..=to].fill(true);
                }
                let settled = flow.settle();
                let count = settled.taken + settled.refused.len() as u64;
                for tag in next..next + count {
                    prop_assert!(answered[usize::try_from(tag - 100).unwrap_or(0)]);
                }
                next += count;
                prop_assert!(settled.through.is_none_or(|tag| tag < next));
            }
        }
    }
}
