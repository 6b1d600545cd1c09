//! Which of a replica's writes have reached the disk: the only ground on which
//! anything is reported durable (§1).

use std::collections::VecDeque;

use crate::types::{Index, Moment};

/// A write that the store has not confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Waiting {
    ordinal: u64,
    /// Where the log ends once it is on disk.
    end: Index,
    since: Moment,
}

/// The writes of a replica's life, numbered from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Disk {
    issued: u64,
    persisted: u64,
    durable: Index,
    waiting: VecDeque<Waiting>,
    barrier: u64,
}

impl Disk {
    /// A write was handed to the store, after which the log ends at `end`.
    pub(crate) fn issue(&mut self, now: Moment, end: Index) {
        self.issued += 1;
        self.waiting.push_back(Waiting { ordinal: self.issued, end, since: now });
    }

    /// Nothing is reported durable before the write just issued is (§1: the
    /// epoch, a truncation).
    pub(crate) fn bar(&mut self) {
        self.barrier = self.issued;
    }

    /// The log was cut: earlier writes vouch for no more than this.
    pub(crate) fn clip(&mut self, end: Index) {
        self.durable = self.durable.min(end);
        for waiting in &mut self.waiting {
            waiting.end = waiting.end.min(end);
        }
    }

    /// All writes up to this one are on disk.
    pub(crate) fn persisted(&mut self, ordinal: u64) {
        self.persisted = self.persisted.max(ordinal.min(self.issued));
        while self.waiting.front().is_some_and(|waiting| waiting.ordinal <= self.persisted) {
            if let Some(done) = self.waiting.pop_front() {
                self.durable = self.durable.max(done.end);
            }
        }
    }

    /// Takes so much for durable that nobody has synced: only a mutation does so.
    pub(crate) fn trust(&mut self, end: Index) {
        self.durable = end;
    }

    /// Up to here the log is on disk.
    pub(crate) fn durable(&self) -> Index {
        self.durable
    }

    /// Whether epoch and truncations are on disk too, so that `durable` may be
    /// told to anybody.
    pub(crate) fn may_report(&self) -> bool {
        self.persisted >= self.barrier
    }

    /// The ordinal of the last write.
    pub(crate) fn issued(&self) -> u64 {
        self.issued
    }

    /// Whether the write of this ordinal, and all before it, are on disk.
    pub(crate) fn has(&self, ordinal: u64) -> bool {
        self.persisted >= ordinal
    }

    /// For how long (µs) the oldest unconfirmed write has been waiting.
    pub(crate) fn oldest_wait(&self, now: Moment) -> u64 {
        self.waiting.front().map_or(0, |waiting| now.micros_since(waiting.since))
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether anything was ever written in this life.
    pub(crate) fn is_untouched(&self) -> bool {
        self.issued == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// §1 †: what was durable of a log that is cut vouches for nothing behind
    /// the cut, and nothing is reported before the cut itself is durable.
    #[test]
    fn a_cut_log_vouches_for_no_more_than_the_cut() {
        let mut disk = Disk::default();
        disk.issue(Moment(0), Index(9));
        disk.clip(Index(6));
        disk.issue(Moment(1), Index(6));
        disk.bar();
        disk.issue(Moment(2), Index(7));
        disk.persisted(1);
        assert_eq!((disk.durable(), disk.may_report()), (Index(6), false));
        disk.persisted(2);
        assert_eq!((disk.durable(), disk.may_report()), (Index(6), true));
        disk.persisted(3);
        assert_eq!((disk.durable(), disk.is_idle()), (Index(7), true));
    }
}
