//! The leader side of a queue: words of entry nodes in, proposals for the log
//! and words for entry nodes out; and what commits, carried into the queue.
//!
//! - `words` what entry nodes say, taken at once or when it may be
//! - `gate` what is let in, `closing` that nothing is; `intake` what comes in
//! - `supply` what stands ready to go out, `moves` what moves on
//! - `questions` what was asked, `departed` who has gone
//! - `ruling` what the rules of the queue demand, `consigning` what other sites do

mod closing;
mod consigning;
mod departed;
mod gate;
mod intake;
mod log;
mod moves;
mod questions;
mod ruling;
mod supply;
mod words;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use warren_queue::{Kind, Options, Queue, Reason, Rules};
use warren_replication::ledger::Ledger;
use warren_replication::message::{ConsumerSpec, Delivery, ToEntry, ToLeader};
use warren_replication::mutation::{self, Mutation};
use warren_replication::step::Committed;
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
use consigning::number;
pub(crate) use departed::Departed;
use gate::Gate;
pub(crate) use gate::{origins, with_origins};
use intake::Intake;
pub(crate) use log::Log;
use moves::Moves;
use questions::Questions;
use supply::Supply;

#[derive(Debug)]
pub(crate) struct Leader {
    pub(crate) epoch: Epoch,
    /// The queue's entry in the applied catalog.
    assignment: Arc<Assignment>,
    rules: Arc<Rules>,
    takeover: Takeover,
    /// It gave its lease for the queue up (§6.5).
    pub(crate) released: bool,
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
    /// Nodes whose claim waits, and came over a link that has broken since.
    claimed_before: BTreeSet<NodeId>,
    /// Who else wants to hear that an offset is settled, beside its holder.
    askers: FxHashMap<u64, Vec<Process>>,
    questions: Questions,
    departed: Departed,
    /// Other sites that have or had something here, by the number that the queue
    /// knows them by: as many as the policies name.
    sites: Vec<Bytes>,
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
            released: false,
            queue: None,
            gate: Gate::default(),
            supply: Supply::default(),
            moves: Moves::default(),
            fresh: u64::MAX,
            used: world.now,
            outboxes: Outboxes::default(),
            held_back: Vec::new(),
            waiting: VecDeque::new(),
            claimed_before: BTreeSet::new(),
            askers: FxHashMap::default(),
            questions: Questions::default(),
            departed: Departed::default(),
            sites: Vec::new(),
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
        } else if self.released {
            Some(Waits::Successor)
        } else if !world.leased() {
            Some(Waits::Lease)
        } else if queue.is_some_and(|queue| !queue.is_open()) {
            Some(Waits::Claims)
        } else {
            None
        }
    }

    /// Whether nobody who led before can still hand anything out.
    pub(crate) fn is_alone(&mut self, world: &World<'_>) -> bool {
        self.takeover.predecessor_over(world.now)
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
            || (queue.first_ready().is_some() && (queue.has_room() || self.is_wanted_elsewhere()))
    }

    /// A link broke: its consumers get nothing more until their entry node has
    /// claimed anew; what it asked it will ask again.
    pub(crate) fn link_down(&mut self, node: NodeId) {
        // An answer over the next link would cross with the question asked again.
        self.questions.forget(|process| process.node == node);
        // A claim goes on saying who holds what, and no more than that.
        self.waiting.retain(|(from, word)| from.node != node || matches!(word, ToLeader::Claim { .. }));
        if self.waiting.iter().any(|(from, _)| from.node == node) {
            self.claimed_before.insert(node);
        }
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

    /// The turn's entries are sealed, up to this one.
    pub(crate) fn sealed(&mut self, last: Index) {
        self.questions.sealed(last);
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
            consigned,
            reclaimed,
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
            if index >= self.takeover.inherited || mutation::on(Mutation::ServeBeforeInherited) {
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
        for offset in consigned.into_iter().flat_map(|(_, offsets)| offsets) {
            queue.consigned(offset);
        }
        reclaimed.into_iter().for_each(|offset| queue.reclaimed(offset));
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
        let consigned = ledger.consigned().iter();
        for (offset, site) in consigned.filter(|_| !mutation::on(Mutation::ForgetConsigned)) {
            queue.inherit_consigned(offset, number(&mut self.sites, site));
        }
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
        self.supply.settle_hollow(log);
        let queue = self.queue.as_mut()?;
        if !queue.is_open() && self.takeover.grace_over(world.now, world.live, world.boots) {
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
        let wanted_elsewhere = self.is_wanted_elsewhere();
        if let Some(queue) = &mut self.queue
            && (queue.has_room() || self.questions.has_gets() || wanted_elsewhere)
        {
            self.supply.raise_horizon(queue, log, world.settings);
        }
        self.serve_gets(log, budget);
        self.deliver(log, budget);
        self.consign(log, world);
        self.deliver_to_sites(log, budget);
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
                    let delivery = Delivery { consumer: key, offset, count, redelivered, consignment: None, message };
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
            let redelivered = given.redelivered && !mutation::on(Mutation::SayAgainAsNew);
            let delivery = Delivery { consumer: given.key, offset, count, redelivered, consignment: None, message };
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
        self.supply.look_for_hollow(entries, ledger);
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

/// What a consumer wants, with its site among those known here.
fn options(spec: &ConsumerSpec, sites: &mut Vec<Bytes>) -> Options {
    Options {
        prefetch: spec.prefetch,
        no_ack: spec.no_ack,
        exclusive: spec.exclusive,
        priority: spec.priority,
        site: spec.site.as_ref().map(|site| number(sites, site)),
    }
}

fn weight(message: &warren_replication::message::Message) -> u32 {
    u32::try_from(message.weight()).unwrap_or(u32::MAX)
}
