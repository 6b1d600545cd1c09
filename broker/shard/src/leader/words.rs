//! The words of entry nodes, as a leader takes them: at once, or when it may.

use std::collections::BTreeMap;

use warren_queue::{Leave, Ready, Reason};
use warren_replication::ledger::Ledger;
use warren_replication::message::{ConsumeOutcome, ConsumerSpec, Held, SettleReason, ToEntry, ToLeader};
use warren_replication::mutation::{self, Mutation};
use warren_replication::step::Proposal;
use warren_replication::types::{Offset, Process};

use super::questions::Question;
use super::{Leader, Log, options, origins, with_origins};
use crate::takeover::Waits;
use crate::world::World;

impl Leader {
    /// A word of an entry node, meant for this epoch.
    pub(crate) fn word(&mut self, from: Process, word: ToLeader, log: &mut Log<'_>, world: &World<'_>) {
        match word {
            // It is said again, or refused with all others once the queue is gone.
            ToLeader::Publish { .. } if self.is_closed() => {}
            ToLeader::Publish { session, floor, prev, mut messages } => {
                let origins = origins(session, &mut messages, log);
                let terms = with_origins(self.terms(&messages, log), origins);
                let weighs = self.weighs_publishes();
                let bodies = if weighs { messages.iter().map(|(_, m)| m.body.len() as u64).sum() } else { 0 };
                let entry = log.propose(Proposal::Publish { session, floor, prev, messages, terms });
                self.questions.publishing(from, entry);
                if weighs {
                    self.gate.proposed(log.replica.next_offset().0, bodies);
                }
            }
            ToLeader::EndSession { session } => {
                if log.ledger().sessions().get(&session).is_some() {
                    log.propose(Proposal::EndSession(session));
                }
            }
            ToLeader::Written { consumer, messages } => {
                if let Some(queue) = &mut self.queue {
                    queue.written(&consumer, messages);
                }
            }
            ToLeader::Claim { .. } => {
                // It says everything that still counts; what is unanswered follows.
                self.waiting.retain(|(process, _)| *process != from);
                self.claimed_before.remove(&from.node);
                self.waiting.push_back((from, word));
                self.work_off(log, world);
            }
            word => {
                if self.waiting.is_empty() && self.may(&word, world) {
                    self.take(from, word, log);
                } else {
                    self.waiting.push_back((from, word));
                }
            }
        }
    }

    /// Whether this word may be taken now (§6.4).
    fn may(&mut self, word: &ToLeader, world: &World<'_>) -> bool {
        match (word, self.waits(world)) {
            (ToLeader::Consume { .. }, None) => !self.is_closed(),
            (_, None) => true,
            (ToLeader::Claim { .. }, Some(waits)) => waits != Waits::Log && self.queue.is_some(),
            (ToLeader::Settle { .. } | ToLeader::Return { .. }, Some(waits)) => waits == Waits::Claims,
            _ => false,
        }
    }

    /// Takes what waited and need not any more.
    pub(super) fn work_off(&mut self, log: &mut Log<'_>, world: &World<'_>) {
        for _ in 0..self.waiting.len() {
            let Some((from, word)) = self.waiting.pop_front() else { return };
            if self.may(&word, world) {
                self.take(from, word, log);
                if self.claimed_before.remove(&from.node) {
                    self.suspend(from.node);
                }
            } else {
                self.waiting.push_back((from, word));
            }
        }
    }

    fn take(&mut self, from: Process, word: ToLeader, log: &mut Log<'_>) {
        let Some(queue) = &mut self.queue else { return };
        match word {
            ToLeader::Claim { consumers, held, .. } => self.claim(from, &consumers, &held, log.ledger()),
            ToLeader::Consume { spec } => {
                let outcome = match queue.attach(spec.key, options(&spec, &mut self.sites)) {
                    Ok(()) => ConsumeOutcome::Attached,
                    Err(_) => ConsumeOutcome::ExclusiveUse,
                };
                self.left_unused = false;
                let word = ToEntry::Consuming { consumer: spec.key, outcome };
                self.outboxes.to(from).consuming.push(word);
            }
            ToLeader::Cancel { consumer } => {
                self.left_unused |= queue.detach(&consumer);
            }
            ToLeader::Settle { offsets, reason } => self.settle(from, offsets, reason, log),
            ToLeader::Return { offsets, unused } => {
                let limit = self.rules.delivery_limit.unwrap_or(u32::MAX);
                let mut dead = Vec::new();
                let mut counting = Vec::with_capacity(offsets.len());
                for (offset, count) in offsets {
                    // A return counts only from its holder, as the next count (§6.8).
                    let holder = queue.holder(offset.0).filter(|holder| {
                        holder.key.process == from && holder.count + 1 == count
                            || mutation::on(Mutation::CountForeignReturn)
                    });
                    match holder {
                        // The holder hears of what is on its way.
                        Some(holder) if holder.leaving => {}
                        // What a site may have is not dead before it says so.
                        Some(_) if count > limit && !queue.is_consigned(offset.0) => dead.push(offset),
                        Some(_) => {
                            queue.give_back(offset.0);
                            counting.push((offset, count));
                        }
                        None => self.outboxes.to(from).returned.push(offset),
                    }
                }
                if unused || mutation::on(Mutation::TakeBackReturned) {
                    let theirs = counting.iter().map(|(offset, _)| *offset);
                    // An earlier link may have made something of it, and lost the acknowledgement.
                    let trusted = |offset: &Offset| {
                        queue.is_first_sent(offset.0)
                            || queue.is_consigned(offset.0) && mutation::on(Mutation::TrustLaterLink)
                    };
                    let theirs: Vec<Offset> = theirs.filter(trusted).collect();
                    if !theirs.is_empty() {
                        log.propose(Proposal::Reclaim { offsets: theirs });
                    }
                }
                if !counting.is_empty() {
                    let entry = log.propose(Proposal::Return { offsets: counting });
                    self.questions.returning(from, entry);
                }
                self.kill(from, &dead, Reason::DeliveryLimit, log);
            }
            ToLeader::Get { key } => self.ask(from, Question::Get(key), log),
            ToLeader::Purge { request } => self.ask(from, Question::Purge(request), log),
            ToLeader::Count { request } => self.ask(from, Question::Count(request), log),
            ToLeader::Close { request, if_unused, if_empty } => {
                self.ask(from, Question::Close { request, if_unused, if_empty }, log);
            }
            // A stream's, which this is not.
            ToLeader::Credit { .. } => {}
            ToLeader::Publish { .. } | ToLeader::EndSession { .. } | ToLeader::Written { .. } => {}
        }
    }

    fn ask(&mut self, from: Process, question: Question, log: &mut Log<'_>) {
        let is_empty = self.queue.as_ref().is_none_or(|queue| queue.first_ready().is_none());
        if let Some(question) = self.questions.ask(from, question, is_empty) {
            self.answer(from, question, log);
        }
    }

    /// A question is taken: answered at once, or as soon as its answer is known.
    pub(super) fn answer(&mut self, from: Process, question: Question, log: &mut Log<'_>) {
        let Some(queue) = &mut self.queue else { return };
        match question {
            Question::Get(key) => {
                self.used = log.clock.now;
                self.questions.get(key);
            }
            Question::Purge(request) => {
                if self.questions.is_purging(from, request) {
                    return;
                }
                let ranges = queue.purge();
                let mut rest = Ready::default();
                for range in &ranges {
                    rest.insert_range(range.clone());
                }
                log.propose(Proposal::SettleRanges { ranges, reason: SettleReason::Purged });
                self.questions.purge(from, request, rest);
                self.answer_purges();
            }
            Question::Count(request) => {
                self.used = log.clock.now;
                let counts = queue.counts();
                let word = ToEntry::Counted { request, ready: counts.ready, consumers: counts.consumers };
                self.outboxes.to(from).answers.push(word);
            }
            Question::Close { request, if_unused, if_empty } => {
                let closing = self.close(if_unused, if_empty, log);
                self.outboxes.to(from).answers.push(ToEntry::Closed { request, closing });
            }
        }
    }

    fn settle(&mut self, from: Process, mut offsets: Vec<Offset>, reason: SettleReason, log: &mut Log<'_>) {
        if reason == SettleReason::Rejected && self.rules.dead_letter.is_some() {
            return self.kill(from, &offsets, Reason::Rejected, log);
        }
        let Some(queue) = &mut self.queue else { return };
        offsets.retain(|offset| {
            // The holder hears of the commit anyway.
            let holds = queue.holder(offset.0).is_some_and(|holder| holder.key.process == from);
            match queue.settle(offset.0) {
                Leave::Unknown => {
                    // Settled before, and committed: it is told so.
                    self.outboxes.to(from).settled.push(*offset);
                    false
                }
                leave => {
                    if mutation::on(Mutation::SettleUncommitted) {
                        self.outboxes.to(from).settled.push(*offset);
                    }
                    if !holds {
                        self.askers.entry(offset.0).or_default().push(from);
                    }
                    leave == Leave::Leaving
                }
            }
        });
        if !offsets.is_empty() {
            log.propose(Proposal::Settle { offsets, reason });
        }
    }

    /// A claim sets everything of its process to what it says (§6.8): it is the
    /// first word of an epoch, or of a link over which nothing else is on its way.
    fn claim(&mut self, from: Process, consumers: &[ConsumerSpec], held: &[Held], ledger: &Ledger) {
        let Some(queue) = &mut self.queue else { return };
        self.takeover.claimed(from);
        self.departed.claimed(from);
        self.questions.forget(|process| process == from);
        for key in queue.consumers() {
            if key.process == from && !consumers.iter().any(|spec| spec.key == key) {
                self.left_unused |= queue.detach(&key);
            }
        }
        for spec in consumers {
            // Whoever was attached stays attached; two who want the queue alone
            // were never both attached.
            let _ = queue.attach(spec.key, options(spec, &mut self.sites));
        }
        let claimed: BTreeMap<u64, u32> = held.iter().map(|held| (held.offset.0, held.count)).collect();
        for (offset, count) in queue.held_by(|key| key.process == from) {
            // This delivery never arrived there, whatever became of earlier ones:
            // no client has seen it.
            let vouched = claimed.get(&offset);
            if vouched != Some(&count) && !(vouched.is_some() && mutation::on(Mutation::ClaimAnyDelivery)) {
                queue.release(offset);
            }
        }
        for held in held.iter().filter(|_| !mutation::on(Mutation::ForgetClaims)) {
            queue.claim(held.offset.0, held.consumer, held.count, ledger.count(held.offset));
        }
    }
}
