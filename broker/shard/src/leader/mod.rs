//! The leader side of a queue: words of entry nodes in, proposals for the log
//! and words for entry nodes out; and what commits, carried into the queue.
//! What is let in, what comes in, what stands ready to go out, what moves on, what was asked, and
//! who has gone are kept apart (`gate`, `intake`, `supply`, `moves`, `questions`,
//! `departed`); what the rules of the queue demand is in `ruling`.

mod closing;
mod departed;
mod gate;
mod intake;
mod log;
mod moves;
mod questions;
mod ruling;
mod supply;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use warren_queue::{Kind, Leave, Options, Queue, Ready, Reason, Rules};
use warren_replication::ledger::Ledger;
use warren_replication::message::{ConsumeOutcome, ConsumerSpec, Delivery, Held, SettleReason, ToEntry, ToLeader};
use warren_replication::step::{Committed, Proposal};
use warren_replication::types::{
    Assignment, Boot, ConsumerKey, Epoch, Index, Moment, NodeId, Offset, Process, Session,
};

use crate::bodies::Budget;
use crate::cell::Reader;
use crate::outbox::Outboxes;
use crate::seek::Wanted;
use crate::settings::Settings;
use crate::step::Wish;
use crate::takeover::{Takeover, Waits};
use crate::world::World;
use closing::Closed;
pub(crate) use departed::Departed;
use gate::Gate;
pub(crate) use gate::{origins, with_origins};
use intake::Intake;
pub(crate) use log::Log;
use moves::Moves;
use questions::{Question, Questions};
use supply::Supply;

#[derive(Debug)]
pub(crate) struct Leader {
    pub(crate) epoch: Epoch,
    /// The queue's entry in the applied catalog.
    assignment: Arc<Assignment>,
    rules: Arc<Rules>,
    takeover: Takeover,
    /// Made when the inherited log is committed.
    queue: Option<Queue<ConsumerKey>>,
    intake: Intake,
    gate: Gate,
    pub(crate) supply: Supply,
    pub(crate) moves: Moves,
    /// From here on messages became ready in this turn: who waits for them gets
    /// them first, and only then is looked whether their time is over.
    fresh: u64,
    /// When it was last used, for queues that expire.
    used: Moment,
    outboxes: Outboxes,
    /// Said when the lease turned out to be lost: it goes when there is one again.
    held_back: Vec<(NodeId, ToEntry)>,
    /// Words that have to wait (§6.4). As many as the entry nodes have unacked
    /// messages and unanswered questions: each keeps what it said, and says it once.
    waiting: VecDeque<(Process, ToLeader)>,
    /// Who else wants to hear that an offset is settled, beside its holder.
    askers: FxHashMap<u64, Vec<Process>>,
    questions: Questions,
    departed: Departed,
    /// The last consumer may have left, and for good.
    left_unused: bool,
    unused_said: Option<Moment>,
    /// Nothing comes in: it is to be deleted.
    closed: Option<Closed>,
    pub(crate) totals: (u64, u64, u64),
}

impl Leader {
    /// `inherited` and `next` are the log's last index (the epoch's start
    /// included) and next offset as this reign begins.
    pub(crate) fn new(
        assignment: &Arc<Assignment>,
        rules: Arc<Rules>,
        world: &World<'_>,
        inherited: Index,
        next: u64,
    ) -> Self {
        let mut takeover = Takeover::new(world.me, world.now, assignment, world.settings, inherited, next);
        for (node, boot) in world.boots {
            takeover.registered(*node, *boot);
        }
        Self {
            epoch: assignment.epoch,
            assignment: Arc::clone(assignment),
            intake: Intake::new(Arc::clone(&rules)),
            rules,
            takeover,
            queue: None,
            gate: Gate::default(),
            supply: Supply::default(),
            moves: Moves::default(),
            fresh: u64::MAX,
            used: world.now,
            outboxes: Outboxes::default(),
            held_back: Vec::new(),
            waiting: VecDeque::new(),
            askers: FxHashMap::default(),
            questions: Questions::default(),
            departed: Departed::default(),
            left_unused: false,
            unused_said: None,
            closed: None,
            totals: (0, 0, 0),
        }
    }

    pub(crate) fn queue(&self) -> Option<&Queue<ConsumerKey>> {
        self.queue.as_ref()
    }

    /// The catalog says more of this epoch.
    pub(crate) fn assigned(&mut self, assignment: &Arc<Assignment>) {
        self.takeover.assigned(assignment);
        self.assignment = Arc::clone(assignment);
        self.open_again();
    }

    /// What consumers wait for, if they do.
    pub(crate) fn waits(&mut self, world: &World<'_>) -> Option<Waits> {
        let queue = self.queue.as_ref();
        if queue.is_none() || self.intake.is_inheriting() {
            Some(Waits::Log)
        } else if !self.takeover.predecessor_over(world.now) {
            Some(Waits::Predecessor)
        } else if !world.leased() {
            Some(Waits::Lease)
        } else if queue.is_some_and(|queue| !queue.is_open()) {
            Some(Waits::Claims)
        } else {
            None
        }
    }

    /// Whether anything here goes on as time passes.
    pub(crate) fn wants_ticks(&self) -> bool {
        let Some(queue) = &self.queue else { return true };
        !queue.is_open()
            || !self.held_back.is_empty()
            || !self.waiting.is_empty()
            || !self.departed.is_empty()
            || self.questions.wants_ticks()
            || self.left_unused
            || self.is_closed()
            || queue.next_due().is_some()
            || self.rules.expires.is_some()
            || (queue.first_ready().is_some() && queue.has_room())
    }

    /// A link broke: its consumers get nothing more until their entry node has
    /// claimed anew; what it asked it will ask again.
    pub(crate) fn link_down(&mut self, node: NodeId) {
        // An answer over the next link would cross with the question asked again.
        self.questions.forget(|process| process.node == node);
        // A claim goes on saying who holds what.
        self.waiting.retain(|(from, word)| from.node != node || matches!(word, ToLeader::Claim { .. }));
        self.held_back.retain(|(to, _)| *to != node);
        self.suspend(node);
    }

    fn suspend(&mut self, node: NodeId) {
        let Some(queue) = &mut self.queue else { return };
        for key in queue.consumers() {
            if key.process.node == node {
                queue.suspend(&key);
            }
        }
    }

    /// Membership or the catalog says that a boot is over, or a process is not
    /// live and not within reach: its clients' deliveries come back (§6.8).
    pub(crate) fn look_for_gone(&mut self, world: &World<'_>) {
        self.waiting.retain(|(from, _)| !world.is_gone(*from));
        self.questions.forget(|process| world.is_gone(process));
        let Some(queue) = &mut self.queue else { return };
        self.departed.look(queue, world);
    }

    /// A later boot of a node is registered.
    pub(crate) fn registered(&mut self, node: NodeId, boot: Boot) {
        self.takeover.registered(node, boot);
        self.departed.registered();
    }

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
    fn work_off(&mut self, log: &mut Log<'_>, world: &World<'_>) {
        for _ in 0..self.waiting.len() {
            let Some((from, word)) = self.waiting.pop_front() else { return };
            if self.may(&word, world) {
                self.take(from, word, log);
                if !world.linked(from) {
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
                let outcome = match queue.attach(spec.key, options(&spec)) {
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
            ToLeader::Return { offsets } => {
                let limit = self.rules.delivery_limit.unwrap_or(u32::MAX);
                let mut dead = Vec::new();
                let mut counting = Vec::with_capacity(offsets.len());
                for (offset, count) in offsets {
                    // A return counts only from its holder, as the next count (§6.8).
                    let holder =
                        queue.holder(offset.0).filter(|holder| holder.key.process == from && holder.count + 1 == count);
                    match holder {
                        // The holder hears of what is on its way.
                        Some(holder) if holder.leaving => {}
                        Some(_) if count > limit => dead.push(offset),
                        Some(_) => {
                            queue.give_back(offset.0);
                            counting.push((offset, count));
                        }
                        None => self.outboxes.to(from).returned.push(offset),
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

    /// The turn's entries are sealed, up to this one.
    pub(crate) fn sealed(&mut self, last: Index) {
        self.questions.sealed(last);
    }

    fn ask(&mut self, from: Process, question: Question, log: &mut Log<'_>) {
        let is_empty = self.queue.as_ref().is_none_or(|queue| queue.first_ready().is_none());
        if let Some(question) = self.questions.ask(from, question, is_empty) {
            self.answer(from, question, log);
        }
    }

    /// A question is taken: answered at once, or as soon as its answer is known.
    fn answer(&mut self, from: Process, question: Question, log: &mut Log<'_>) {
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
            let _ = queue.attach(spec.key, options(spec));
        }
        let claimed: BTreeMap<u64, u32> = held.iter().map(|held| (held.offset.0, held.count)).collect();
        for (offset, count) in queue.held_by(|key| key.process == from) {
            // This delivery never arrived there, whatever became of earlier ones:
            // no client has seen it.
            if claimed.get(&offset) != Some(&count) {
                queue.release(offset);
            }
        }
        for held in held {
            queue.claim(held.offset.0, held.consumer, held.count, ledger.count(held.offset));
        }
    }

    /// An entry is committed.
    pub(crate) fn committed(&mut self, committed: Committed, ledger: &Ledger, budget: &mut Budget, world: &World<'_>) {
        let Committed {
            index,
            expiring,
            first_offset,
            weights,
            entry,
            confirmed,
            refused,
            settled,
            returned,
            ignored,
            horizon,
            ..
        } = committed;
        for (session, ranges) in confirmed {
            self.totals.0 += ranges.iter().map(|(first, last)| last - first + 1).sum::<u64>();
            self.outboxes.to(session.process).confirm(session, ranges);
        }
        for (session, ranges) in refused {
            self.outboxes.to(session.process).refuse(session, ranges);
        }
        self.gate.committed(ledger.next_offset().0);
        self.questions.committed(index);
        let Some(queue) = &mut self.queue else {
            if index >= self.takeover.inherited {
                self.inherit(ledger, world);
            }
            return;
        };
        if !weights.is_empty() {
            if let Some(entry) = &entry {
                self.supply.bodies.committed(entry, first_offset.0, queue, budget, world.settings);
            }
            self.intake.committed(queue, first_offset.0, &weights, expiring, entry.as_ref());
            self.fresh = self.fresh.min(first_offset.0);
        }
        queue.set_horizon(horizon.0);
        self.totals.2 += settled.iter().map(|range| range.end - range.start).sum::<u64>();
        let mut last: Option<(Process, Vec<Offset>)> = None;
        let moving = !self.moves.is_idle();
        for offset in settled.into_iter().flatten().map(Offset) {
            if moving {
                self.moves.over(offset.0);
            }
            self.intake.settled(offset.0);
            match queue.settled(offset.0) {
                Some(key) => {
                    // Runs of one holder cost one look-up.
                    match &mut last {
                        Some((process, offsets)) if *process == key.process => offsets.push(offset),
                        _ => {
                            if let Some((process, mut offsets)) = last.replace((key.process, vec![offset])) {
                                self.outboxes.to(process).settled.append(&mut offsets);
                            }
                        }
                    }
                }
                None => {
                    self.supply.bodies.forget(offset.0, budget);
                    self.questions.settled(offset.0);
                }
            }
            if !self.askers.is_empty() {
                for process in self.askers.remove(&offset.0).unwrap_or_default() {
                    self.outboxes.to(process).settled.push(offset);
                }
            }
        }
        if let Some((process, mut offsets)) = last {
            self.outboxes.to(process).settled.append(&mut offsets);
        }
        for (offset, _) in returned {
            if let Some(key) = queue.returned(offset.0) {
                self.outboxes.to(key.process).returned.push(offset);
            }
        }
        for offset in ignored {
            for process in self.askers.remove(&offset.0).unwrap_or_default() {
                self.outboxes.to(process).settled.push(offset);
            }
        }
        self.answer_purges();
    }

    /// The inherited log is committed: the queue is what the ledger says, shut
    /// until everybody has claimed.
    fn inherit(&mut self, ledger: &Ledger, world: &World<'_>) {
        let maybe_delivered = ledger.horizon().0.min(self.takeover.next_offset);
        let next = ledger.next_offset().0;
        let known = self.intake.inherit(ledger);
        let mut queue = Queue::new(world.settings.window, known, next, maybe_delivered);
        queue.adopt(&self.rules);
        queue.set_horizon(ledger.horizon().0);
        self.supply.inherit(&queue);
        self.queue = Some(queue);
    }

    fn answer_purges(&mut self) {
        while let Some((from, word)) = self.questions.purged() {
            self.outboxes.to(from).answers.push(word);
        }
    }

    /// Publishes that were known already (§4.8).
    pub(crate) fn repeated(&mut self, session: Session, confirmed: Vec<(u64, u64)>, refused: Vec<(u64, u64)>) {
        let outbox = self.outboxes.to(session.process);
        outbox.confirm(session, confirmed);
        outbox.refuse(session, refused);
    }

    /// A predecessor is missing (§4.8).
    pub(crate) fn again(&mut self, session: Session, from: u64) {
        self.outboxes.to(session.process).again(session, from);
    }

    /// Everything that can go on now; and what the catalog is asked for, if
    /// anything. `auto_delete`: the queue goes with its last consumer.
    pub(crate) fn pump(
        &mut self,
        log: &mut Log<'_>,
        budget: &mut Budget,
        world: &World<'_>,
        auto_delete: bool,
    ) -> Option<Wish> {
        self.departed.end_sessions(log, world);
        let queue = self.queue.as_mut()?;
        if !queue.is_open() && self.takeover.grace_over(world.now, world.live) {
            queue.open();
        }
        self.work_off(log, world);
        if self.waits(world).is_some() {
            return None;
        }
        if let Some(queue) = &mut self.queue {
            let limit = self.rules.delivery_limit;
            let (left, dead) = self.departed.give_back(queue, limit, log, world);
            self.left_unused |= left;
            self.bury(dead, Reason::DeliveryLimit, log);
        }
        while let Some((from, question)) = self.questions.due() {
            self.answer(from, question, log);
        }
        self.turn_away(log);
        self.expire(self.fresh, log, world);
        if let Some(queue) = &self.queue
            && (queue.has_room() || self.questions.has_gets())
        {
            self.supply.raise_horizon(queue, log, world.settings);
        }
        self.serve_gets(log, budget);
        self.deliver(log, budget);
        self.fresh = u64::MAX;
        self.expire(self.fresh, log, world);
        self.shorten(log);
        self.moves.fill(&mut self.supply.bodies, budget, log.ledger(), world.settings);
        self.wish(world.now, auto_delete)
    }

    fn serve_gets(&mut self, log: &Log<'_>, budget: &mut Budget) {
        let Some(queue) = &mut self.queue else { return };
        let delayed = self.rules.kind == Kind::Delayed;
        while let Some(key) = self.questions.first_get() {
            let word = match if delayed { None } else { self.supply.next(queue, budget) } {
                Some((offset, message)) => {
                    let count = log.ledger().count(offset);
                    let Some(got) = queue.get(key, weight(&message), count) else { return };
                    self.totals.1 += 1;
                    let redelivered = got.redelivered;
                    let delivery = Delivery { consumer: key, offset, count, redelivered, message };
                    ToEntry::Got { delivery, ready: queue.counts().ready }
                }
                // Ready, but above the horizon, or its body is yet to be read.
                None if !delayed && queue.first_ready().is_some() => return,
                None => ToEntry::Empty { key, ready: 0 },
            };
            self.questions.got();
            self.outboxes.to(key.process).answers.push(word);
        }
    }

    fn deliver(&mut self, log: &Log<'_>, budget: &mut Budget) {
        let Some(queue) = &mut self.queue else { return };
        let floor = log.ledger().live().first().map_or(log.ledger().next_offset(), Offset);
        // The delayed are nobody's until they have moved on.
        while queue.has_room() && self.rules.kind != Kind::Delayed {
            let Some((offset, message)) = self.supply.next(queue, budget) else { return };
            let count = log.ledger().count(offset);
            let Some(given) = queue.deliver(weight(&message), count) else { return };
            self.totals.1 += 1;
            let redelivered = given.redelivered;
            let delivery = Delivery { consumer: given.key, offset, count, redelivered, message };
            let outbox = self.outboxes.to(given.key.process);
            outbox.deliveries.push(delivery);
            outbox.floor = floor;
        }
    }

    /// What to read for this reader, if anything.
    pub(crate) fn wanted(&mut self, reader: Reader, settings: &Settings) -> Option<Wanted> {
        let queue = self.queue.as_ref()?;
        match reader {
            Reader::Intake => self.intake.wanted(),
            Reader::Bodies if self.rules.kind != Kind::Delayed => self.supply.bodies.wanted(queue, settings),
            Reader::Moves => self.moves.wanted(settings),
            _ => None,
        }
    }

    /// It is asked for under this number.
    pub(crate) fn asked(&mut self, reader: Reader, request: u64, wanted: Wanted) {
        match reader {
            Reader::Intake => self.intake.seek.asked(request, wanted),
            Reader::Moves => self.moves.seek.asked(request, wanted),
            _ => self.supply.bodies.seek.asked(request, wanted),
        }
    }

    /// Entries that a reader asked for.
    pub(crate) fn read(
        &mut self,
        (reader, request): (Reader, u64),
        entries: &[Bytes],
        ledger: &Ledger,
        budget: &mut Budget,
        settings: &Settings,
    ) {
        let Some(queue) = &mut self.queue else { return };
        match reader {
            Reader::Intake => self.intake.read(request, entries, queue),
            Reader::Moves => self.moves.read(request, entries, ledger, settings),
            _ => self.supply.bodies.read(request, entries, queue, budget, settings),
        }
    }

    /// The sample of inherited messages arrived.
    pub(crate) fn weigh(&mut self, sample: &[Bytes]) {
        if let Some(queue) = &mut self.queue
            && let Some(typical) = supply::typical_weight(queue, sample)
        {
            queue.weighed(typical);
        }
    }

    /// A word that must not leave without a lease.
    pub(crate) fn hold_back(&mut self, to: NodeId, word: ToEntry) {
        self.held_back.push((to, word));
    }

    /// What was held back, now that there is a lease; without messages that were
    /// settled or given to others meanwhile.
    pub(crate) fn release(&mut self, mut say: impl FnMut(NodeId, ToEntry)) {
        let Some(queue) = &self.queue else { return };
        let holds = |delivery: &Delivery| {
            queue.holder(delivery.offset.0).is_some_and(|holder| holder.key == delivery.consumer && !holder.leaving)
        };
        for (to, mut word) in self.held_back.drain(..) {
            match &mut word {
                ToEntry::Deliver { deliveries, .. } => deliveries.retain(holds),
                ToEntry::Got { delivery, .. } if !holds(delivery) => {
                    self.questions.get(delivery.consumer);
                    continue;
                }
                _ => {}
            }
            say(to, word);
        }
    }

    /// Hands out what was gathered for entry nodes within reach; the others ask
    /// again. True if anything of it needs the lease.
    pub(crate) fn flush(&mut self, world: &World<'_>, say: impl FnMut(Process, ToEntry)) -> bool {
        self.outboxes.flush(|process| world.linked(process), say)
    }

    /// It leads no more: what it kept is given up. Whether whoever moves messages
    /// has to hear of it.
    pub(crate) fn end(mut self, budget: &mut Budget) -> bool {
        self.supply.bodies.clear(budget);
        self.moves.has_begun()
    }
}

fn options(spec: &ConsumerSpec) -> Options {
    Options { prefetch: spec.prefetch, no_ack: spec.no_ack, exclusive: spec.exclusive, priority: spec.priority }
}

fn weight(message: &warren_replication::message::Message) -> u32 {
    u32::try_from(message.weight()).unwrap_or(u32::MAX)
}
