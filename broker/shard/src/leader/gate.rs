//! What is let in: publishes that a queue has no room for, or knows already by
//! the value of their header. The decision is made where sequences are looked up
//! (§4.8), so that it is made once, and is a record like any other.

use std::collections::VecDeque;

use warren_queue::{Overflow, Reason, Rules};
use warren_replication::message::Message;
use warren_replication::step::{Origin, Proposal, Terms};
use warren_replication::types::Session;

use super::{Leader, Log};
use crate::{known, origin};

/// What is on its way into the log.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// Bytes of bodies, and the offset at which they are committed.
    bodies: VecDeque<(u64, u64)>,
    bytes: u64,
    /// Messages that were refused and kept are sorted out up to here.
    sorted: u64,
}

impl Gate {
    /// Publishes were proposed, after which the log ends here.
    pub(super) fn proposed(&mut self, end: u64, bytes: u64) {
        if self.bodies.back().is_none_or(|(last, _)| *last < end) {
            self.bodies.push_back((end, bytes));
            self.bytes += bytes;
        }
    }

    /// Everything below this offset is committed.
    pub(super) fn committed(&mut self, next: u64) {
        while let Some((_, bytes)) = self.bodies.pop_front_if(|(end, _)| *end <= next) {
            self.bytes -= bytes;
        }
    }
}

/// Whether publishes are refused by what is in the queue.
fn refuses(rules: &Rules) -> bool {
    rules.overflow != Overflow::DropHead && (rules.max_length.is_some() || rules.max_bytes.is_some())
}

impl Leader {
    /// Whether it must be known how many bytes are on their way into the log.
    pub(super) fn weighs_publishes(&self) -> bool {
        refuses(&self.rules) && self.rules.max_bytes.is_some()
    }

    /// On what terms these publishes are taken.
    pub(super) fn terms(&self, messages: &[(u64, Message)], log: &Log<'_>) -> Option<Box<Terms>> {
        let refuses = refuses(&self.rules);
        let knows = known::asks(&self.rules);
        if !refuses && !knows {
            return None;
        }
        let mut terms = Terms::default();
        if refuses {
            let ledger = log.ledger();
            let ready = self.queue.as_ref().map_or(ledger.live().len(), |queue| queue.counts().ready);
            let coming = log.replica.next_offset().0 - ledger.next_offset().0;
            let bodies = self.queue.as_ref().map_or(0, |queue| queue.body_bytes()) + self.gate.bytes;
            let room = |max: Option<u64>, used: u64| max.map_or(u64::MAX, |max| max.saturating_sub(used));
            terms.room = Some((room(self.rules.max_length, ready + coming), room(self.rules.max_bytes, bodies)));
            terms.keep = self.rules.overflow == Overflow::RejectPublishDeadLetter && self.rules.dead_letter.is_some();
        }
        if knows {
            known::terms(&self.rules, messages, &mut terms);
        }
        Some(Box::new(terms))
    }

    /// Refused messages that were kept move on.
    pub(super) fn turn_away(&mut self, log: &mut Log<'_>) {
        let Some(queue) = &mut self.queue else { return };
        if log.ledger().doomed().is_empty() {
            return;
        }
        let mut dead = Vec::new();
        for offset in log.ledger().doomed().iter_from(self.gate.sorted).flatten() {
            if self.intake.awaits(offset) {
                break;
            }
            self.gate.sorted = offset + 1;
            if queue.doom(offset) {
                dead.push(offset);
            }
        }
        self.bury(dead, Reason::MaxLength, log);
    }
}

/// Where the publishes of a link to another site come from; nobody else's
/// messages are looked at. A queue there that was made anew under its name has
/// forgotten what went before, and so does this one.
pub(crate) fn origins(session: Session, messages: &mut [(u64, Message)], log: &mut Log<'_>) -> Vec<Option<Origin>> {
    if !session.brings_origins() {
        return Vec::new();
    }
    let origins = origin::take(messages);
    let mut last = None;
    for Origin { session, .. } in origins.iter().flatten() {
        if last != Some(session) && log.ledger().sessions().get(session).is_none() {
            let outdated: Vec<Session> = log.ledger().sessions().outdated(session).copied().collect();
            for session in outdated {
                log.propose(Proposal::EndSession(session));
            }
        }
        last = Some(session);
    }
    origins
}

/// The terms, and what is known of the origins.
pub(crate) fn with_origins(terms: Option<Box<Terms>>, origins: Vec<Option<Origin>>) -> Option<Box<Terms>> {
    if origins.is_empty() {
        return terms;
    }
    let mut terms = terms.unwrap_or_default();
    terms.origins = origins;
    Some(terms)
}
