//! A queue that is to be deleted for what is not in it: `queue.delete` with
//! `if-unused` or `if-empty`, and queues that delete themselves. The leader
//! decides, and from then on the queue is *closed*: publishes are left unanswered
//! (their entry nodes say them again, or nack them when the queue is gone) and
//! consumers wait. The catalog deletes it only if its entry is still the one that
//! the decision was made on, so a deletion that comes late, or from a leader that
//! was succeeded, deletes nothing that came in since.
//!
//! A queue opens again when its entry changes: that ends every deletion decided
//! before. If nothing comes of the deletion, the leader sees to that itself.

use std::sync::Arc;

use warren_replication::message::Closing;
use warren_replication::types::{Moment, Version};

use super::{Leader, Log};
use crate::step::Wish;

/// How long a queue stays closed before its leader has its entry changed, in microseconds.
const LONGEST: u64 = 10_000_000;
/// How often an unused queue is said to be unused, in microseconds.
const UNUSED_RETRY: u64 = 1_000_000;

#[derive(Debug)]
pub(super) struct Closed {
    /// What the decision was made on.
    at: Version,
    since: Moment,
}

impl Leader {
    /// Whether nothing may come in.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// The catalog has another version of the queue: whatever was decided before,
    /// comes to nothing.
    pub(super) fn open_again(&mut self) {
        let version = self.assignment.version;
        self.closed.take_if(|closed| closed.at < version);
    }

    fn close_now(&mut self, now: Moment) {
        let at = self.assignment.version;
        self.closed.get_or_insert(Closed { at, since: now });
    }

    /// Closes the queue, if it is without consumers and messages as far as that is
    /// asked for. What is on its way into the log is in the queue.
    pub(super) fn close(&mut self, if_unused: bool, if_empty: bool, log: &Log<'_>) -> Closing {
        let counts = self.queue.as_ref().map(|queue| queue.counts()).unwrap_or_default();
        let coming = log.replica.next_offset() > log.ledger().next_offset();
        if if_unused && counts.consumers > 0 {
            return Closing::InUse;
        }
        if if_empty && (counts.ready > 0 || coming || self.intake.has_more()) {
            return Closing::NotEmpty;
        }
        self.close_now(log.clock.now);
        Closing::Closed { at: (self.epoch, self.assignment.version), messages: counts.ready }
    }

    /// What the catalog is asked for: to delete a queue that nobody uses any more,
    /// or to change one that has been closed for too long.
    pub(super) fn wish(&mut self, now: Moment, auto_delete: bool) -> Option<Wish> {
        let used = self.queue.as_ref().is_none_or(|queue| queue.counts().consumers > 0);
        self.left_unused &= auto_delete && !used;
        if used {
            self.used = now;
        }
        if let Some(closed) = self.closed.as_mut().filter(|closed| now.micros_since(closed.since) >= LONGEST) {
            closed.since = now;
            let from = Arc::clone(&self.assignment);
            return Some(Wish::Isr { isr: from.isr.clone(), trailing: from.trailing.clone(), from });
        }
        let said_lately = self.unused_said.is_some_and(|at| now.micros_since(at) < UNUSED_RETRY);
        if said_lately || !(self.left_unused || self.is_forgotten(now)) {
            return None;
        }
        self.unused_said = Some(now);
        self.close_now(now);
        Some(Wish::DeleteUnused(Arc::clone(&self.assignment)))
    }
}
