//! The leader side of a stream: words of entry nodes in, proposals for the log
//! and what readers read out. Nobody holds a message, so there is nothing to
//! claim back and nothing that needs a lease: whatever a reader is given is
//! committed in every reign (§6.8).
//!
//! - `pages.rs` parts of the log in memory, which all readers share
//! - `fetching.rs` from a reader's place to the entries that hold it

mod fetching;
mod pages;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use warren_queue::stream::{Readers, Retention, Span};
use warren_queue::{Kind, Rules};
use warren_replication::ledger::Ledger;
use warren_replication::message::{
    Closing, ConsumeOutcome, ConsumerSpec, Message, ReadFrom, SettleReason, ToEntry, ToLeader,
};
use warren_replication::replica::Replica;
use warren_replication::step::{Committed, Proposal, Terms};
use warren_replication::types::{ConsumerKey, Epoch, Index, Moment, NodeId, Offset, Process, Session};

use crate::bodies::Budget;
use crate::known;
use crate::leader::{Departed, Log, origins, with_origins};
use crate::outbox::Outboxes;
use crate::settings::Settings;
use crate::world::World;
use fetching::Fetching;
use pages::Pages;

/// How often retention is looked at, in microseconds.
const RETENTION_EVERY: u64 = 1_000_000;

#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) epoch: Epoch,
    /// The last index of the log as this reign begins, the epoch's start included.
    inherited: Index,
    rules: Arc<Rules>,
    retention: Retention,
    /// Made when the inherited log is committed.
    readers: Option<Readers<ConsumerKey>>,
    pages: Pages,
    fetching: Fetching,
    outboxes: Outboxes,
    /// Said when the lease turned out to be lost: it goes when there is one again.
    held_back: Vec<(NodeId, ToEntry)>,
    /// Words that wait for the inherited log. As many as entry nodes have consumers
    /// and unanswered questions: each is said once.
    waiting: VecDeque<(Process, ToLeader)>,
    departed: Departed,
    /// When retention was last looked at, and whether anything came since.
    looked: Option<Moment>,
    grown: bool,
    /// What is below has been proposed to go.
    kept_from: u64,
    pub(crate) totals: (u64, u64, u64),
}

/// The first message that is kept.
fn first(ledger: &Ledger) -> u64 {
    ledger.live().first().unwrap_or(ledger.next_offset().0)
}

impl Stream {
    /// If these are the rules of a stream.
    pub(crate) fn new(epoch: Epoch, inherited: Index, rules: &Arc<Rules>) -> Option<Self> {
        let Kind::Stream { max_age } = rules.kind else { return None };
        Some(Self {
            epoch,
            inherited,
            rules: Arc::clone(rules),
            retention: Retention { max_bytes: rules.max_bytes, max_age },
            readers: None,
            pages: Pages::default(),
            fetching: Fetching::default(),
            outboxes: Outboxes::default(),
            held_back: Vec::new(),
            waiting: VecDeque::new(),
            departed: Departed::default(),
            looked: None,
            grown: true,
            kept_from: 0,
            totals: (0, 0, 0),
        })
    }

    /// The rules may have changed.
    pub(crate) fn adopt(&mut self, rules: &Arc<Rules>) {
        self.rules = Arc::clone(rules);
        if let Kind::Stream { max_age } = rules.kind {
            self.retention = Retention { max_bytes: rules.max_bytes, max_age };
            self.grown = true;
        }
    }

    /// Readers and what they have not acknowledged, once the inherited log is committed.
    pub(crate) fn counts(&self) -> Option<(u32, u64)> {
        self.readers.as_ref().map(|readers| (readers.len() as u32, readers.unacked()))
    }

    /// Whether anything here goes on as time passes.
    pub(crate) fn wants_ticks(&self) -> bool {
        self.readers.is_none()
            || !self.waiting.is_empty()
            || !self.held_back.is_empty()
            || self.retention.max_age.is_some()
            || (self.grown && self.retention.is_bounded())
    }

    /// A link broke: its entry node will say anew where its readers are, and ask
    /// what it asked.
    pub(crate) fn link_down(&mut self, node: NodeId) {
        self.waiting.retain(|(from, _)| from.node != node);
        self.held_back.retain(|(to, _)| *to != node);
        self.detach(|process| process.node == node);
    }

    /// Whose process is gone reads no more.
    pub(crate) fn look_for_gone(&mut self, world: &World<'_>) {
        self.waiting.retain(|(from, _)| !world.is_gone(*from));
        self.detach(|process| world.is_gone(process));
    }

    /// A later boot of a node is registered.
    pub(crate) fn registered(&mut self) {
        self.departed.registered();
    }

    fn detach(&mut self, whose: impl Fn(Process) -> bool) {
        let Some(readers) = &mut self.readers else { return };
        for key in readers.keys() {
            if whose(key.process) {
                readers.detach(&key);
                self.fetching.forget(&key);
            }
        }
    }

    /// A word of an entry node, meant for this epoch.
    pub(crate) fn word(&mut self, from: Process, word: ToLeader, log: &mut Log<'_>) {
        match word {
            ToLeader::Publish { session, floor, prev, mut messages } => {
                let origins = origins(session, &mut messages, log);
                let terms = known::asks(&self.rules).then(|| {
                    let mut terms = Box::<Terms>::default();
                    known::terms(&self.rules, &messages, &mut terms);
                    terms
                });
                let terms = with_origins(terms, origins);
                log.propose(Proposal::Publish { session, floor, prev, messages, terms });
            }
            ToLeader::EndSession { session } => {
                if log.ledger().sessions().get(&session).is_some() {
                    log.propose(Proposal::EndSession(session));
                }
            }
            // In order: a claim that waits would undo what came after it.
            word if self.readers.is_none() || !self.waiting.is_empty() => self.waiting.push_back((from, word)),
            word => self.take(from, word, log.replica),
        }
    }

    fn take(&mut self, from: Process, word: ToLeader, replica: &Replica) {
        let Some(readers) = &mut self.readers else { return };
        match word {
            ToLeader::Written { consumer, messages } => readers.written(&consumer, messages),
            ToLeader::Credit { consumer, messages } => readers.acked(&consumer, messages),
            ToLeader::Claim { consumers, .. } => {
                self.detach(|process| process == from);
                for spec in &consumers {
                    self.attach(spec, replica);
                }
            }
            ToLeader::Consume { spec } => {
                self.attach(&spec, replica);
                let word = ToEntry::Consuming { consumer: spec.key, outcome: ConsumeOutcome::Attached };
                self.outboxes.to(from).consuming.push(word);
            }
            ToLeader::Cancel { consumer } => {
                readers.detach(&consumer);
                self.fetching.forget(&consumer);
            }
            ToLeader::Count { request } => {
                let (ready, consumers) = (replica.ledger().live().len(), readers.len() as u32);
                self.outboxes.to(from).answers.push(ToEntry::Counted { request, ready, consumers });
            }
            // A stream is deleted whatever is in it.
            ToLeader::Close { request, .. } => {
                let messages = replica.ledger().live().len();
                let Some(at) = replica.assignment().map(|now| (now.epoch, now.version)) else { return };
                let closing = Closing::Closed { at, messages };
                self.outboxes.to(from).answers.push(ToEntry::Closed { request, closing });
            }
            // Channels refuse what would lead to these.
            ToLeader::Get { key } => self.outboxes.to(from).answers.push(ToEntry::Empty { key, ready: 0 }),
            ToLeader::Purge { request } => {
                self.outboxes.to(from).answers.push(ToEntry::Purged { request, messages: 0 });
            }
            ToLeader::Settle { offsets, .. } => self.outboxes.to(from).settled.extend(offsets),
            ToLeader::Return { offsets, .. } => {
                self.outboxes.to(from).returned.extend(offsets.into_iter().map(|(offset, _)| offset));
            }
            ToLeader::Publish { .. } | ToLeader::EndSession { .. } => {}
        }
    }

    /// A reader begins, or goes on where its entry node says that it was.
    fn attach(&mut self, spec: &ConsumerSpec, replica: &Replica) {
        let Some(readers) = &mut self.readers else { return };
        let (from, unacked) = spec.reading.map_or((ReadFrom::Next, 0), |reading| (reading.from, reading.unacked));
        let (first, end) = (first(replica.ledger()), readers.end());
        let next = match from {
            ReadFrom::First => Some(first),
            ReadFrom::Last => Some(end.saturating_sub(1).max(first)),
            ReadFrom::Next => Some(end),
            ReadFrom::Offset(offset) => Some(offset.0.max(first)),
            ReadFrom::Time(_) => None,
        };
        self.fetching.forget(&spec.key);
        readers.attach(spec.key, next, spec.prefetch, unacked);
        match (from, next) {
            (ReadFrom::Time(time), _) => self.fetching.seek(spec.key, time, replica),
            (ReadFrom::Offset(_), _) | (_, None) => {}
            // Should this node die before there is anything to read, the next
            // leader goes on from here.
            (_, Some(next)) => self.outboxes.to(spec.key.process).read(spec.key, next, Vec::new()),
        }
    }

    /// An entry is committed.
    pub(crate) fn committed(
        &mut self,
        committed: Committed,
        ledger: &Ledger,
        budget: &mut Budget,
        settings: &Settings,
    ) {
        let Committed { index, weights, entry, confirmed, settled, .. } = committed;
        for (session, ranges) in confirmed {
            self.totals.0 += ranges.iter().map(|(first, last)| last - first + 1).sum::<u64>();
            self.outboxes.to(session.process).confirm(session, ranges);
        }
        self.totals.2 += settled.iter().map(|range| range.end - range.start).sum::<u64>();
        self.grown |= !weights.is_empty();
        let Some(readers) = &mut self.readers else {
            if index >= self.inherited {
                self.readers = Some(Readers::new(settings.window, ledger.next_offset().0));
            }
            return;
        };
        if let Some(entry) = entry.filter(|_| !weights.is_empty() && readers.is_one_at_the_end()) {
            self.pages.append(index, &entry, budget, settings);
        }
        readers.extend(ledger.next_offset().0);
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

    /// Everything that can go on now.
    pub(crate) fn pump(&mut self, log: &mut Log<'_>, budget: &mut Budget, world: &World<'_>) {
        self.departed.end_sessions(log, world);
        if self.readers.is_none() {
            return;
        }
        for (from, word) in std::mem::take(&mut self.waiting) {
            self.take(from, word, log.replica);
        }
        self.retain(log, world);
        self.serve(log.ledger());
        if self.readers.as_ref().is_none_or(Readers::is_empty) {
            self.pages.clear(budget);
        }
    }

    /// What is too old or too much goes, as a range.
    fn retain(&mut self, log: &mut Log<'_>, world: &World<'_>) {
        let looked_lately = self.looked.is_some_and(|at| world.now.micros_since(at) < RETENTION_EVERY);
        let grows_old = self.retention.max_age.is_some();
        if !self.retention.is_bounded() || looked_lately || !(self.grown || grows_old) {
            return;
        }
        self.looked = Some(world.now);
        self.grown = false;
        let from = first(log.ledger());
        // What is not committed is not anybody's yet: the newest part is a committed one.
        let end = log.ledger().next_offset();
        let parts = log.replica.parts(Offset(from)).take_while(|(first, ..)| *first < end);
        let spans = parts.map(|(first, bytes, time)| Span { first: first.0, bytes, time });
        let Some(keep) = self.retention.keep_from(world.wall, spans) else { return };
        let from = from.max(self.kept_from);
        if from < keep {
            self.kept_from = keep;
            let reason = if grows_old { SettleReason::Expired } else { SettleReason::Dropped };
            log.propose(Proposal::SettleRanges { ranges: std::iter::once(from..keep).collect(), reason });
        }
    }

    /// Gives readers what is in memory; the others wait for it to be fetched.
    fn serve(&mut self, ledger: &Ledger) {
        let Some(readers) = &mut self.readers else { return };
        let first = first(ledger);
        while let Some(turn) = readers.turn() {
            let next = turn.next.max(first);
            if next >= readers.end() {
                readers.gave(&turn.key, std::iter::empty(), next, false);
                continue;
            }
            let Some(taken) = self.pages.take(next, turn.messages, turn.bytes) else {
                readers.gave(&turn.key, std::iter::empty(), next, true);
                if next > turn.next {
                    self.fetching.unplace(&turn.key);
                }
                self.fetching.want(turn.key);
                continue;
            };
            self.totals.1 += taken.messages.len() as u64;
            readers.gave(&turn.key, taken.messages.iter().map(|(_, message)| weight(message)), taken.next, false);
            match taken.then {
                Some(index) => self.fetching.place(turn.key, index),
                None => self.fetching.unplace(&turn.key),
            }
            self.outboxes.to(turn.key.process).read(turn.key, taken.next, taken.messages);
        }
    }

    /// Asks for the parts of the log that readers wait for, by their first entry
    /// and how many bytes; `ask` says under which number.
    pub(crate) fn fetch(&mut self, replica: &Replica, settings: &Settings, ask: impl FnMut(Index, usize) -> u64) {
        if let Some(readers) = &self.readers {
            self.fetching.ask(readers, first(replica.ledger()), replica, settings, ask);
        }
    }

    /// A part of the log that was asked for.
    pub(crate) fn fetched(
        &mut self,
        request: u64,
        entries: &[Bytes],
        replica: &Replica,
        budget: &mut Budget,
        settings: &Settings,
    ) {
        let Some(readers) = &mut self.readers else { return };
        let first = first(replica.ledger());
        let page = self.fetching.answered(request, entries, readers, first, replica.commit(), |key, next| {
            self.outboxes.to(key.process).read(key, next, Vec::new());
        });
        if let Some(page) = page {
            self.pages.insert(page, budget, settings);
        }
    }

    /// A word that must not leave without a lease.
    pub(crate) fn hold_back(&mut self, to: NodeId, word: ToEntry) {
        self.held_back.push((to, word));
    }

    /// What was held back, now that there is a lease.
    pub(crate) fn release(&mut self, mut say: impl FnMut(NodeId, ToEntry)) {
        self.held_back.drain(..).for_each(|(to, word)| say(to, word));
    }

    /// Hands out what was gathered for entry nodes within reach; the others ask
    /// again. True if anything of it needs the lease.
    pub(crate) fn flush(&mut self, world: &World<'_>, say: impl FnMut(Process, ToEntry)) -> bool {
        self.outboxes.flush(|process| world.linked(process), say)
    }

    /// It leads no more: what it kept is given up.
    pub(crate) fn end(mut self, budget: &mut Budget) {
        self.pages.clear(budget);
    }
}

fn weight(message: &Message) -> u32 {
    u32::try_from(message.weight()).unwrap_or(u32::MAX)
}
