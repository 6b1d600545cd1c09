//! When messages are due: to expire, or to move on. Compact, for millions may
//! wait: consecutive messages of one time are one run of 24 bytes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Run {
    time: u64,
    first: u64,
    count: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Timetable {
    runs: BinaryHeap<Reverse<Run>>,
    /// The last one put in: it may grow yet.
    last: Option<Run>,
    /// Runs at which it is looked through for messages that are gone.
    sweep_at: usize,
}

/// Below so many runs nothing is looked through.
const FEW: usize = 1_024;

impl Timetable {
    pub(crate) fn put(&mut self, offset: u64, time: u64) {
        if let Some(run) = &mut self.last {
            if run.time == time && run.first + u64::from(run.count) == offset && run.count < u32::MAX {
                run.count += 1;
                return;
            }
            self.runs.push(Reverse(*run));
        }
        self.last = Some(Run { time, first: offset, count: 1 });
    }

    /// When the next message is due.
    pub(crate) fn next(&self) -> Option<u64> {
        let first = self.runs.peek().map(|Reverse(run)| run.time);
        let last = self.last.map(|run| run.time);
        first.into_iter().chain(last).min()
    }

    /// Takes out messages that are due at this time, some of which may be gone.
    pub(crate) fn take(&mut self, now: u64) -> Option<Range<u64>> {
        if let Some(run) = self.last.take_if(|run| run.time <= now) {
            self.runs.push(Reverse(run));
        }
        if self.runs.peek()?.0.time > now {
            return None;
        }
        let Reverse(run) = self.runs.pop()?;
        Some(run.first..run.first + u64::from(run.count))
    }

    /// Forgets messages that are gone, if the table has grown enough since it
    /// last did.
    pub(crate) fn sweep(&mut self, lives: impl Fn(u64) -> bool) {
        if self.runs.len() < self.sweep_at.max(FEW) {
            return;
        }
        self.runs.retain(|Reverse(run)| (run.first..run.first + u64::from(run.count)).any(&lives));
        self.runs.shrink_to(self.runs.len() * 2);
        self.sweep_at = self.runs.len() * 2;
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(table: &mut Timetable, now: u64) -> Vec<u64> {
        std::iter::from_fn(|| table.take(now)).flatten().collect()
    }

    #[test]
    fn messages_are_due_by_time_whatever_their_order() {
        let mut table = Timetable::default();
        for (offset, time) in [(0, 50), (1, 50), (2, 10), (3, 70), (4, 10)] {
            table.put(offset, time);
        }
        assert_eq!((table.next(), due(&mut table, 9)), (Some(10), vec![]));
        assert_eq!(due(&mut table, 60), [2, 4, 0, 1]);
        assert_eq!((table.next(), due(&mut table, 70)), (Some(70), vec![3]));
        assert_eq!(table.next(), None);
    }

    #[test]
    fn a_million_messages_of_one_time_are_one_run() {
        let mut table = Timetable::default();
        (0..1_000_000).for_each(|offset| table.put(offset, 5));
        assert_eq!((table.take(5), table.take(5)), (Some(0..1_000_000), None));
    }

    #[test]
    fn what_is_gone_is_not_kept_for_long() {
        let mut table = Timetable::default();
        for offset in 0..100_000u64 {
            table.put(offset, 1_000_000 + offset);
            table.sweep(|other| other + 10 > offset);
        }
        assert!(table.runs.len() <= 2 * FEW, "{} runs", table.runs.len());
    }
}
