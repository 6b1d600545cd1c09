//! What stands ready to go out: the bodies that come next, the horizon below
//! which they may be delivered, and what the inherited ones weigh.

use std::ops::Range;

use bytes::Bytes;
use warren_queue::Queue;
use warren_replication::ledger::Ledger;
use warren_replication::message::{Message, SettleReason};
use warren_replication::mutation::{self, Mutation};
use warren_replication::record;
use warren_replication::step::Proposal;
use warren_replication::types::{ConsumerKey, Offset};

use super::Log;
use crate::bodies::{Bodies, Budget};
use crate::settings::Settings;

#[derive(Debug, Default)]
pub(crate) struct Supply {
    pub(crate) bodies: Bodies,
    /// The horizon as far as proposed.
    horizon: u64,
    /// The message at which a sample of the inherited ones is to be read, for
    /// nobody knows what they weigh.
    unweighed: Option<Offset>,
    /// Live messages that were found without their bodies.
    hollow: Vec<Range<u64>>,
}

impl Supply {
    /// The queue is as it was inherited.
    pub(super) fn inherit(&mut self, queue: &Queue<ConsumerKey>) {
        self.horizon = queue.horizon();
        self.unweighed = queue.first_ready().map(Offset);
    }

    /// Messages at or above the horizon are never delivered, so it is put well
    /// ahead of the one that is next, but only while somebody wants more: it says
    /// what may have been delivered, should this node die (§6.8).
    pub(super) fn raise_horizon(&mut self, queue: &mut Queue<ConsumerKey>, log: &mut Log<'_>, settings: &Settings) {
        let first = queue.head().unwrap_or(queue.next_offset());
        if self.horizon < first + settings.horizon_ahead.div_ceil(2) {
            self.horizon = first + settings.horizon_ahead;
            log.propose(Proposal::Horizon(Offset(self.horizon)));
            if mutation::on(Mutation::DeliverAboveHorizon) {
                queue.set_horizon(self.horizon);
            }
        }
    }

    /// What was read is looked through for messages that have no body here though
    /// they are live: they were settled, by a leader that an unclean election has
    /// left behind, and stored anew without them before (§6.3).
    pub(super) fn look_for_hollow(&mut self, entries: &[Bytes], ledger: &Ledger) {
        for gone in entries.iter().filter_map(|entry| record::gone(entry).ok()).flatten() {
            let live = ledger.live().iter_from(gone.start).take_while(|range| range.start < gone.end);
            self.hollow.extend(live.map(|range| range.start..range.end.min(gone.end)));
        }
    }

    /// Those stay settled.
    pub(super) fn settle_hollow(&mut self, log: &mut Log<'_>) {
        if !self.hollow.is_empty() {
            let ranges = std::mem::take(&mut self.hollow);
            log.propose(Proposal::SettleRanges { ranges, reason: SettleReason::Acked });
        }
    }

    /// The message that goes out next, if it may and its body is here; not kept.
    pub(super) fn next(&mut self, queue: &Queue<ConsumerKey>, budget: &mut Budget) -> Option<(Offset, Message)> {
        let offset = queue.deliverable()?;
        let message = self.bodies.take(offset, budget);
        if message.is_none() {
            self.bodies.miss(offset);
        }
        message.map(|message| (Offset(offset), message))
    }

    /// Where a sample of messages is to be read, if one is; said once.
    pub(crate) fn unweighed(&mut self) -> Option<Offset> {
        self.unweighed.take()
    }
}

/// About what a message of the queue weighs by a sample, which begins at or a
/// little before the first one: what is gone already counts only if nothing
/// else was met.
pub(super) fn typical_weight(queue: &Queue<ConsumerKey>, sample: &[Bytes]) -> Option<u32> {
    let (mut here, mut gone) = ((0, 0), (0, 0));
    for entry in sample {
        let Ok(sampled) = record::messages(entry) else { break };
        for (offset, message) in sampled {
            let (bytes, messages) = if queue.contains(offset.0) { &mut here } else { &mut gone };
            *bytes += message.weight() as u64;
            *messages += 1;
        }
    }
    let (bytes, messages): (u64, u64) = if here.1 > 0 { here } else { gone };
    let typical = bytes.checked_div(messages)?;
    Some(u32::try_from(typical).unwrap_or(u32::MAX))
}
