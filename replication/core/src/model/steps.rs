//! What can happen in a state, and what comes of it.

use std::fmt;
use std::sync::Arc;

use super::bound::Bound;
use super::state::{LATER, Link, NOW, Promise, QUEUE, Shared, State, Word, settings};
use crate::message::{Message, MirrorMessage, SettleReason};
use crate::replica::Replica;
use crate::sim::catalog::Catalog;
use crate::sim::disk::Disk;
use crate::sim::oracle::Allowed;
use crate::sim::publisher::body;
use crate::step::{Action, Event, Proposal};
use crate::types::{Boot, Clock, Epoch, Incarnation, LogEnd, NodeId, Offset, Process, Session};

/// One thing that happens. That a word is lost needs no step: it never arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A word arrives, and does so again if it is not the `last` time.
    Deliver { nth: usize, last: bool, word: Shared<Word> },
    /// What the node has written is on its disk.
    Sync(usize),
    /// The node applies the next change of the catalog.
    Apply(usize),
    /// The publisher sends the leader everything, with one more message if there is one.
    Publish { node: usize, messages: u8 },
    /// A consumer acknowledges the first live message.
    Settle { node: usize, offset: u64 },
    /// Everything that waits for time at a leader is due.
    Tick(usize),
    /// The catalog elects; these are held for alive.
    Elect { live: Vec<usize> },
    /// Nobody is left that has everything: of these the longest log leads (§6.3).
    ElectUnclean { live: Vec<usize> },
    /// The process ends.
    Crash { node: usize, loss: Loss },
    /// A new process.
    Start(usize),
}

/// What a node loses of its disk when its process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Nothing: the system has what was written, and may still lose power.
    Nothing,
    /// All but so many unsynced writes.
    Unsynced(u64),
    /// Everything.
    Disk,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deliver { word, last: true, .. } => f.write_str(&describe(word)),
            Self::Deliver { word, .. } => write!(f, "{}, and stays on its way", describe(word)),
            Self::Sync(node) => write!(f, "{node} has synced"),
            Self::Apply(node) => write!(f, "{node} applies the catalog's next state"),
            Self::Publish { node, messages } => write!(f, "publisher to {node}: messages 1 to {messages}"),
            Self::Settle { node, offset } => write!(f, "consumer to {node}: settles offset {offset}"),
            Self::Tick(node) => write!(f, "time passes at {node}"),
            Self::Elect { live } => write!(f, "the catalog elects, {live:?} are held for alive"),
            Self::ElectUnclean { live } => write!(f, "the catalog elects the longest log of {live:?}"),
            Self::Crash { node, loss: Loss::Nothing } => write!(f, "{node}'s process ends"),
            Self::Crash { node, loss: Loss::Unsynced(survive) } => {
                write!(f, "{node} loses power, {survive} unsynced writes survive")
            }
            Self::Crash { node, loss: Loss::Disk } => write!(f, "{node} ends and loses its disk"),
            Self::Start(node) => write!(f, "{node} starts"),
        }
    }
}

fn session() -> Session {
    let process = Process { node: NodeId(77), incarnation: Incarnation(1), boot: Boot(1) };
    Session { process, connection: 1, channel: 1, opened: 0 }
}

impl State {
    pub(super) fn steps(&self, bound: &Bound, steps: &mut Vec<Step>) {
        if self.violation.is_some() {
            return;
        }
        for words in self.words.values() {
            let reach = 1 + usize::from(bound.overtakes - self.spent.overtaken);
            for (nth, word) in words.iter().enumerate().take(reach) {
                let mut push = |last| {
                    steps.push(Step::Deliver { nth, last, word: word.clone() });
                };
                push(true);
                if self.spent.doubled < bound.doubles {
                    push(false);
                }
            }
        }
        for (nth, node) in self.nodes.iter().enumerate() {
            let Some(replica) = &node.replica else {
                steps.push(Step::Start(nth));
                continue;
            };
            if !node.disk.is_idle() {
                steps.push(Step::Sync(nth));
            }
            if self.applied[nth] < self.catalog.history.len() {
                steps.push(Step::Apply(nth));
            }
            if replica.is_leading() {
                self.steps_of_leader(nth, replica, bound, steps);
            }
            if self.spent.crashed < bound.crashes {
                steps.push(Step::Crash { node: nth, loss: Loss::Nothing });
                for survive in 0..node.disk.unsynced() {
                    steps.push(Step::Crash { node: nth, loss: Loss::Unsynced(survive) });
                }
                if self.spent.disks < bound.disks && self.another_is_whole(nth) {
                    steps.push(Step::Crash { node: nth, loss: Loss::Disk });
                }
            }
        }
        if self.spent.elected < bound.elections {
            self.elections(steps);
        }
        if bound.lag > 0 && self.catalog.now().leader.is_none() {
            self.unclean_elections(steps);
        }
    }

    /// Whatever set of replicas may be held for alive.
    fn believed(&self) -> impl Iterator<Item = Vec<usize>> {
        let running: Vec<usize> = (0..self.nodes.len()).filter(|nth| self.nodes[*nth].replica.is_some()).collect();
        (0_usize..1 << running.len()).map(move |mask| {
            running.iter().enumerate().filter(|(bit, _)| mask >> bit & 1 == 1).map(|(_, nth)| *nth).collect()
        })
    }

    fn unclean_elections(&self, steps: &mut Vec<Step>) {
        let mut seen = Vec::new();
        for live in self.believed() {
            let outcome = self.elected_unclean(&live).map(|(catalog, _)| Arc::clone(catalog.now()));
            if let Some(outcome) = outcome.filter(|outcome| !seen.contains(outcome)) {
                seen.push(outcome);
                steps.push(Step::ElectUnclean { live });
            }
        }
    }

    fn elected_unclean(&self, live: &[usize]) -> Option<(Catalog, LogEnd)> {
        let seen = live.iter().map(|nth| self.nodes[*nth].process).collect();
        let mut catalog = Catalog::clone(&self.catalog);
        let end = catalog.elect_unclean(&seen)?;
        Some((catalog, end))
    }

    fn steps_of_leader(&self, nth: usize, replica: &Replica, bound: &Bound, steps: &mut Vec<Step>) {
        let published = self.spent.published;
        let again = replica.known_epoch() > self.spent.resent && published > 0;
        // An entry node that has seen an epoch speaks to no older leader (§6.8).
        if replica.known_epoch() >= self.spent.resent {
            if published < bound.messages {
                steps.push(Step::Publish { node: nth, messages: published + 1 });
            } else if again {
                steps.push(Step::Publish { node: nth, messages: published });
            }
        }
        if self.spent.settled < bound.settles
            && let Some(offset) = replica.ledger().live().first()
        {
            steps.push(Step::Settle { node: nth, offset });
        }
        if self.spent.ticked < bound.ticks {
            steps.push(Step::Tick(nth));
        }
    }

    /// Of what the controller may believe, only what makes a difference.
    fn elections(&self, steps: &mut Vec<Step>) {
        let mut seen = Vec::new();
        let now = self.catalog.now();
        for live in self.believed() {
            let outcome = self.elected(&live);
            if outcome.now() != now && !seen.iter().any(|other: &Catalog| other.now() == outcome.now()) {
                seen.push(outcome);
                steps.push(Step::Elect { live });
            }
        }
    }

    fn another_is_whole(&self, nth: usize) -> bool {
        let now = self.catalog.now();
        now.isr.iter().chain(&now.eligible).any(|member| {
            let other = member.node.0 as usize;
            other != nth && self.nodes[other].process.member() == *member
        })
    }

    pub(super) fn take(&self, bound: &Bound, step: &Step) -> Option<Self> {
        let mut next = self.clone();
        match step {
            Step::Deliver { nth, last, word } => {
                next.spent.doubled += u8::from(!last);
                next.spent.overtaken += u8::from(*nth > 0);
                next.deliver(&word.link(), *nth, *last);
            }
            Step::Sync(node) => next.sync_once(*node),
            Step::Apply(node) => next.apply_catalog(*node),
            Step::Publish { node, messages } => next.publish(*node, *messages),
            Step::Settle { node, offset } => {
                next.spent.settled += 1;
                let settle = Proposal::Settle { offsets: vec![Offset(*offset)], reason: SettleReason::Acked };
                next.propose(*node, settle);
            }
            Step::Tick(node) => {
                next.spent.ticked += 1;
                next.step(*node, LATER, Event::Tick);
            }
            Step::Elect { live } => {
                next.spent.elected += 1;
                next.catalog = Shared::new(self.elected(live));
            }
            Step::ElectUnclean { live } => {
                let (catalog, end) = self.elected_unclean(live)?;
                let allowed = Allowed { max_lag: catalog.now().max_lag, kept: end.kept };
                next.unclean.insert(catalog.now().epoch, allowed);
                next.catalog = Shared::new(catalog);
            }
            Step::Crash { node, loss } => next.crash(*node, *loss),
            Step::Start(node) => next.start(*node, bound),
        }
        if bound.crashes == next.spent.crashed {
            next.slow_disks = false;
        }
        if !next.slow_disks {
            (0..next.nodes.len()).for_each(|nth| next.sync(nth));
        }
        next.check_members();
        (next != *self).then_some(next)
    }

    pub(super) fn step(&mut self, nth: usize, now: Clock, event: Event) {
        self.act(nth, |replica, out| {
            replica.step(now, event, out);
            replica.seal(now, out);
        });
    }

    fn propose(&mut self, nth: usize, proposal: Proposal) {
        self.act(nth, |replica, out| {
            replica.propose(NOW, proposal, out);
            replica.seal(NOW, out);
        });
    }

    /// The driver's part: what the replica wants done, in order.
    fn act(&mut self, nth: usize, turn: impl FnOnce(&mut Replica, &mut Vec<Action>)) {
        let mut node = self.nodes[nth].clone();
        let mut later = Vec::new();
        node.change(|node| {
            let Some(replica) = node.replica.as_mut() else { return };
            let mut actions = Vec::new();
            turn(replica, &mut actions);
            let mut queue = std::collections::VecDeque::from(actions);
            while let Some(action) = queue.pop_front() {
                match action {
                    Action::Write(write) => node.disk.write(write),
                    // The store answers at once, with what is on its disk.
                    Action::Read { reader, first, .. } => {
                        let entries = node.disk.read(first, 8);
                        let mut more = Vec::new();
                        replica.step(NOW, Event::LogRead { reader, first, entries }, &mut more);
                        queue.extend(more);
                    }
                    other => later.push(other),
                }
            }
        });
        self.nodes[nth] = node.clone();
        let process = node.process;
        let epoch = node.replica.as_ref().map_or(Epoch(0), Replica::known_epoch);
        for action in later {
            match action {
                Action::Send { to, message } => {
                    let to = self.nodes[to.0 as usize].process;
                    self.send(Word::Mirror { to, from: process, message });
                }
                Action::ProposeIsr { from, isr, trailing } => {
                    self.send(Word::Wish { by: process, from, isr, trailing });
                }
                Action::Offer { to, end } => self.send(Word::Offer { by: process, to, end }),
                Action::Leading => {
                    if let Some(replica) = &node.replica {
                        let mut oracle = self.oracle.clone();
                        // Whom the catalog elected may have ended before it led.
                        let later = self.unclean.split_off(&replica.known_epoch().next());
                        if let Some((elected, allowed)) = std::mem::replace(&mut self.unclean, later).pop_last() {
                            let cost = oracle.change(|oracle| oracle.on_unclean(elected, replica, allowed));
                            self.judge(Promise::Bounded, cost.map(|_| ()));
                        }
                        let verdict = oracle.change(|oracle| oracle.on_leading(process, replica));
                        self.oracle = oracle;
                        self.judge(Promise::Leader, verdict);
                    }
                }
                Action::Committed(told) => {
                    let stored = node.disk.read(told.index, 1).pop();
                    let mut oracle = self.oracle.clone();
                    let verdict = oracle.change(|oracle| oracle.on_committed(epoch, &told, stored));
                    self.oracle = oracle;
                    self.judge(Promise::Committed, verdict);
                }
                Action::Repeated { session, confirmed, .. } => {
                    let oracle = self.oracle.clone();
                    for sequence in confirmed.iter().flat_map(|&(first, last)| first..=last) {
                        if !oracle.has_committed(session, sequence) {
                            self.violate(Promise::Committed, format!("{sequence} is confirmed and not committed"));
                        }
                    }
                }
                Action::Broken(text) => self.violate(Promise::Broken, text),
                _ => {}
            }
        }
        if let Some(replica) = &node.replica {
            let verdict = self.oracle.check(process, replica, &node.disk);
            self.judge(Promise::Applied, verdict);
        }
    }

    fn send(&mut self, word: Word) {
        let words = self.words.entry(word.link()).or_default();
        let word = Shared::new(word);
        // What is said again before it was heard says nothing.
        if words.last() != Some(&word) {
            words.push(word);
        }
    }

    pub(super) fn deliver(&mut self, link: &Link, nth: usize, last: bool) {
        let Some(words) = self.words.get_mut(link) else { return };
        let word = words[nth].clone();
        if last {
            words.remove(nth);
            if words.is_empty() {
                self.words.remove(link);
            }
        }
        match &*word {
            Word::Mirror { to, from, message } => {
                let event = Event::Mirror { from: *from, message: message.clone() };
                self.step(to.node.0 as usize, NOW, event);
            }
            Word::Wish { by, from, isr, trailing } => {
                self.catalog.change(|catalog| catalog.propose(*by, from, (isr.clone(), trailing.clone())));
            }
            Word::Offer { by, to, end } => self.catalog.change(|catalog| catalog.offer(*by, to, *end)),
        }
    }

    /// Until nothing is left to write: an answer may lead to more.
    pub(super) fn sync(&mut self, nth: usize) {
        while !self.nodes[nth].disk.is_idle() {
            self.sync_once(nth);
        }
    }

    fn sync_once(&mut self, nth: usize) {
        let ordinal = self.nodes[nth].change(|node| node.disk.sync(u64::MAX));
        self.step(nth, NOW, Event::Persisted(ordinal));
    }

    pub(super) fn apply_catalog(&mut self, nth: usize) {
        let assignment = Arc::clone(&self.catalog.history[self.applied[nth]]);
        self.applied[nth] += 1;
        self.step(nth, NOW, Event::Assigned(assignment));
    }

    /// As an entry node does: in order, and all of it again to a new epoch. It
    /// never heard of a confirm, so that the leader has to know.
    fn publish(&mut self, nth: usize, messages: u8) {
        let epoch = self.nodes[nth].replica.as_ref().map_or(Epoch(0), Replica::known_epoch);
        let first = if epoch > self.spent.resent { 1 } else { u64::from(messages) };
        self.spent.resent = epoch;
        self.spent.published = messages;
        let messages = (first..=messages.into())
            .map(|sequence| (sequence, Message { body: body(&session(), sequence), ..Message::default() }));
        let messages = messages.collect();
        self.propose(nth, Proposal::Publish { session: session(), floor: 1, prev: first - 1, messages, terms: None });
    }

    fn elected(&self, live: &[usize]) -> Catalog {
        let seen = live.iter().map(|nth| self.nodes[*nth].process).collect();
        let dead = (0..self.nodes.len()).filter(|nth| !live.contains(nth)).map(|nth| NodeId(nth as u64)).collect();
        let mut catalog = Catalog::clone(&self.catalog);
        catalog.elect(&seen, &dead, None);
        catalog
    }

    fn crash(&mut self, nth: usize, loss: Loss) {
        self.spent.crashed += 1;
        let incarnation = self.incarnation_of_new_disk();
        let process = self.nodes[nth].process;
        self.nodes[nth].change(|node| {
            node.replica = None;
            match loss {
                Loss::Nothing => node.disk.end_of_process(),
                Loss::Unsynced(survive) => node.disk.power_loss(survive),
                Loss::Disk => {
                    node.disk = Disk::default();
                    node.process.incarnation = incarnation;
                }
            }
        });
        self.spent.disks += u8::from(loss == Loss::Disk);
        // What was on its way to it ends with its connections; of a disk that is
        // lost, no wish to be in sync is left behind (as promise 1 has it).
        self.words.retain(|(from, to), _| match to {
            Some(to) => *to != process,
            None => loss != Loss::Disk || *from != process,
        });
    }

    /// A new boot, registered before it answers anybody (§1).
    fn start(&mut self, nth: usize, bound: &Bound) {
        let verdict = self.nodes[nth].change(|node| {
            node.process.boot = node.process.boot.next();
            let recovery = node.disk.recover(QUEUE, true)?;
            node.replica = Some(Replica::new(node.process, recovery, settings(bound)));
            Ok(())
        });
        self.judge(Promise::Broken, verdict);
        let process = self.nodes[nth].process;
        self.catalog.change(|catalog| catalog.register(process));
        self.applied[nth] = self.catalog.history.len() - 1;
        self.apply_catalog(nth);
        for other in (0..self.nodes.len()).filter(|other| *other != nth) {
            if self.nodes[other].replica.as_ref().is_some_and(Replica::is_leading) {
                self.step(other, NOW, Event::LinkUp(process));
            }
        }
    }
}

fn describe(word: &Word) -> String {
    match word {
        Word::Mirror { to, from, message } => {
            let message = match message {
                MirrorMessage::Append { epoch, prev, commit, entries, .. } => format!(
                    "append of {} after {}/{} in epoch {epoch}, commit {commit}",
                    entries.len(),
                    prev.epoch,
                    prev.index
                ),
                MirrorMessage::Install { epoch, .. } => format!("install in epoch {epoch}"),
                other => format!("{other:?}"),
            };
            format!("{} to {}: {message}", from.node, to.node)
        }
        Word::Wish { by, from, isr, .. } => {
            let isr: Vec<u64> = isr.iter().map(|member| member.node.0).collect();
            format!("{} to the catalog: in sync {isr:?} instead of {}/{}", by.node, from.epoch, from.version)
        }
        Word::Offer { by, end, .. } => format!("{} to the catalog: it would lead with {end:?}", by.node),
    }
}
