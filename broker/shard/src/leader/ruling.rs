//! What the rules of a queue demand: messages expire, make room, are rejected or
//! come back too often, and then move on or are gone (§4.7: each is the leader's
//! decision, and final by a record); and a queue that nobody uses goes.

use std::sync::Arc;

use warren_queue::{Kind, Reason, Rules};
use warren_replication::message::SettleReason;
use warren_replication::mutation::{self, Mutation};
use warren_replication::step::Proposal;
use warren_replication::types::{Moment, Offset, Process};

use super::{Leader, Log};
use crate::world::World;

/// How a message of which nobody wants to hear any more leaves the queue.
fn settle_reason(reason: Reason) -> SettleReason {
    match reason {
        Reason::Rejected => SettleReason::Rejected,
        Reason::Expired => SettleReason::Expired,
        Reason::MaxLength | Reason::DeliveryLimit => SettleReason::Dropped,
        Reason::Due => SettleReason::DeadLettered,
    }
}

impl Leader {
    /// The applied catalog says that other rules hold.
    pub(crate) fn adopt(&mut self, rules: &Arc<Rules>, log: &mut Log<'_>) {
        if self.rules == *rules {
            return;
        }
        self.rules = Arc::clone(rules);
        if let Some(queue) = &mut self.queue {
            queue.adopt(rules);
        }
        self.intake.adopt(Arc::clone(rules), self.queue.as_mut(), log.ledger());
        if rules.dead_letter.is_none() {
            for (reason, ranges) in self.moves.give_up() {
                log.propose(Proposal::SettleRanges { ranges, reason: settle_reason(reason) });
            }
        }
    }

    /// Messages that left the queue for this reason: they move on, or are gone.
    pub(super) fn bury(&mut self, mut offsets: Vec<u64>, reason: Reason, log: &mut Log<'_>) {
        if offsets.is_empty() {
            return;
        }
        if reason == Reason::Due || self.rules.dead_letter.is_some() {
            if mutation::on(Mutation::SettleBeforeArrival) {
                let offsets = offsets.iter().copied().map(Offset).collect();
                log.propose(Proposal::Settle { offsets, reason: SettleReason::DeadLettered });
            }
            self.moves.add(reason, offsets);
        } else {
            offsets.sort_unstable();
            let offsets = offsets.into_iter().map(Offset).collect();
            log.propose(Proposal::Settle { offsets, reason: settle_reason(reason) });
        }
    }

    /// An entry node gives messages up that are dead now. It, and whoever else
    /// had them, hears of it once they are settled.
    pub(super) fn kill(&mut self, from: Process, offsets: &[Offset], reason: Reason, log: &mut Log<'_>) {
        let Some(queue) = &mut self.queue else { return };
        let mut dead = Vec::with_capacity(offsets.len());
        for offset in offsets {
            if !queue.contains(offset.0) {
                self.outboxes.to(from).settled.push(*offset);
                continue;
            }
            let holder = queue.holder(offset.0).map(|holder| holder.key.process);
            if queue.doom(offset.0) {
                dead.push(offset.0);
            }
            let askers = self.askers.entry(offset.0).or_default();
            for process in holder.into_iter().chain([from]) {
                if !askers.contains(&process) {
                    askers.push(process);
                }
            }
        }
        self.bury(dead, reason, log);
    }

    /// Messages whose time is over leave, wherever they are in the queue; those
    /// from `fresh` on only the next time.
    pub(super) fn expire(&mut self, fresh: u64, log: &mut Log<'_>, world: &World<'_>) {
        let Some(queue) = &mut self.queue else { return };
        let Some(next) = queue.next_due() else { return };
        // Never behind the time that entries carry (§3).
        let now = world.wall.max(log.ledger().time());
        if next <= now {
            let due = queue.take_due(now, fresh);
            let delayed = self.rules.kind == Kind::Delayed;
            self.bury(due, if delayed { Reason::Due } else { Reason::Expired }, log);
        }
    }

    /// The next messages make room for the latest.
    pub(super) fn shorten(&mut self, log: &mut Log<'_>) {
        if self.rules.max_length.is_none() && self.rules.max_bytes.is_none() {
            return;
        }
        let Some(queue) = &mut self.queue else { return };
        let excess = queue.take_excess(&self.rules);
        self.bury(excess, Reason::MaxLength, log);
    }

    /// Whoever moves messages on says that these have arrived.
    pub(crate) fn transferred(&mut self, offsets: Vec<Offset>, log: &mut Log<'_>) {
        offsets.iter().for_each(|offset| self.moves.over(offset.0));
        log.propose(Proposal::Settle { offsets, reason: SettleReason::DeadLettered });
    }

    /// Whether a queue that expires has been without use for long enough.
    pub(super) fn is_forgotten(&self, now: Moment) -> bool {
        let expires = self.rules.expires;
        expires.is_some_and(|expires| now.micros_since(self.used) >= expires.saturating_mul(1_000))
    }
}
