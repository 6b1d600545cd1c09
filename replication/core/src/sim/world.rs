//! A cluster of replicas of one queue in one thread: a network that loses,
//! doubles, delays and reorders, nodes that crash at any action, disks that
//! lose unsynced writes or are replaced, a catalog that answers late or never,
//! elections on false suspicion. Everything follows from the seed.

mod clients;
mod faults;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::QUEUE;
use super::catalog::Catalog;
use super::disk::Disk;
use super::oracle::{Allowed, Oracle};
use super::publisher::Publisher;
use super::rng::Rng;
use crate::message::{MirrorMessage, SettleReason};
use crate::record;
use crate::replica::Replica;
use crate::settings::Settings;
use crate::step::{Action, Event, Proposal, Write};
use crate::types::{Assignment, Clock, Epoch, Index, Lag, LogEnd, Member, Moment, NodeId, Offset, Process, Session};

const MILLI: u64 = 1_000;
/// Reports to a node that are kept to be heard again.
const REPORTS: usize = 20;

/// Bounds so small that everything happens within seconds.
fn settings() -> Settings {
    Settings {
        window_bytes: 600,
        tail_bytes: 300,
        batch_bytes: 200,
        entry_bytes: 400,
        settle_delay: 5_000,
        mirror_timeout: 300 * MILLI,
        link_timeout: 100 * MILLI,
        disk_stall_timeout: 400 * MILLI,
        proposal_retry: 40 * MILLI,
        resend: 60 * MILLI,
        catch_up_timeout: 500 * MILLI,
        checkpoint_bytes: 1500,
        checkpoint_entries: 10,
        hollow_bytes: 500,
    }
}

struct Node {
    process: Process,
    /// `None` while it is down.
    replica: Option<Replica>,
    disk: Disk,
    /// How much of the catalog's history it has applied.
    applied: usize,
    syncing: bool,
    stalled: bool,
    cut_from_catalog: bool,
}

enum What {
    Tick(usize),
    /// Node and boot: a crash forgets what was under way.
    Sync(Process),
    Deliver {
        to: usize,
        from: Process,
        message: MirrorMessage,
    },
    Link {
        at: usize,
        event: Event,
    },
    Read {
        at: Process,
        event: Event,
        first: Index,
        most: u64,
    },
    Catalog(usize),
    ProposeIsr {
        by: Process,
        from: Arc<Assignment>,
        isr: BTreeSet<Member>,
        trailing: BTreeSet<Member>,
    },
    Offer {
        by: Process,
        to: Arc<Assignment>,
        end: LogEnd,
    },
    Elect {
        unwilling: Option<NodeId>,
    },
    /// An operator wants all copies.
    Synchronize,
    Publish(usize),
    Send {
        to: Process,
        epoch: Epoch,
        proposal: Proposal,
    },
    Answer {
        epoch: Epoch,
        session: Session,
        confirmed: Vec<u64>,
        again: Option<u64>,
    },
    Consume,
    Fault,
}

/// What a run did, to see that a simulation exercises what it is for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) epochs: u64,
    pub(super) crashes: u64,
    pub(super) installs: u64,
    pub(super) truncations: u64,
    pub(super) committed: u64,
    pub(super) confirmed: u64,
    pub(super) repeated: u64,
    pub(super) isr_changes: u64,
    pub(super) unclean: u64,
    pub(super) lost: u64,
    pub(super) aside: u64,
    /// Entries that lost settled messages, and those sent as such.
    pub(super) hollowed: u64,
    pub(super) fed_hollow: u64,
}

/// What the queue's plan lets go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rules {
    /// Nothing: a confirm means every member in sync.
    Sync,
    /// A confirm means the leader, and that nobody trails too far.
    Async,
    /// As `Sync`, but any replica leads if it must.
    LastResort,
}

pub(super) struct World {
    rng: Rng,
    now: u64,
    ordinal: u64,
    agenda: BTreeMap<(u64, u64), What>,
    nodes: Vec<Node>,
    blocked: BTreeSet<(usize, usize)>,
    catalog: Catalog,
    publishers: Vec<Publisher>,
    /// A publisher's words to a leader stay in order.
    sent_until: Vec<u64>,
    oracle: Oracle,
    faults: bool,
    /// By epoch: what an unclean leader was elected with.
    unclean: BTreeMap<Epoch, Allowed>,
    /// How rough it is, per run.
    loss: u64,
    crash: u64,
    /// How often the controller elects without a reason (permille of its looks).
    whim: u64,
    /// How often a word comes a second time, and how much later at most (ms).
    echo: (u64, u64),
    /// In a restless world: what mirrors reported lately, by whom they told it,
    /// to be heard again when that one leads again.
    reports: Vec<VecDeque<(Process, MirrorMessage)>>,
    pub(super) tally: Tally,
    trace: bool,
}

type Verdict = Result<(), String>;

impl World {
    pub(super) fn new(seed: u64, rules: Rules, trace: bool) -> Self {
        let mut rng = Rng::new(seed);
        let count = rng.between(if rules == Rules::Async { 2 } else { 3 }, 5);
        let min_in_sync = rng.between(1, count / 2 + 1) as u32;
        let catalog = match rules {
            // By the seed and not by chance: which history it is stays the same.
            Rules::Sync if seed % 4 == 1 => Catalog::new(count, min_in_sync).manual(),
            Rules::Sync => Catalog::new(count, min_in_sync),
            Rules::LastResort => Catalog::new(count, min_in_sync).losing(None, true),
            Rules::Async => {
                let mut bound = |most: u64| if rng.permille(500) { rng.between(1, most) } else { u64::MAX };
                let max_lag = Lag { messages: bound(20), bytes: bound(3_000), micros: bound(300 * MILLI) };
                Catalog::new(count, 1).losing(Some(max_lag), false)
            }
        };
        // In some worlds leaders come and go, and old words come back long after.
        let restless = rng.permille(250);
        let nodes = catalog.registered.iter().map(|process| Node {
            process: *process,
            replica: Some(Replica::new(*process, crate::recovery::Recovery::empty(QUEUE), settings())),
            disk: Disk::default(),
            applied: 0,
            syncing: false,
            stalled: false,
            cut_from_catalog: false,
        });
        let publishers: Vec<_> = (0..rng.between(1, 3)).map(Publisher::new).collect();
        let mut world = Self {
            now: 1_000 * MILLI,
            ordinal: 0,
            agenda: BTreeMap::new(),
            nodes: nodes.collect(),
            blocked: BTreeSet::new(),
            catalog,
            sent_until: vec![0; publishers.len()],
            publishers,
            oracle: Oracle::default(),
            unclean: BTreeMap::new(),
            faults: true,
            loss: rng.below(80),
            crash: rng.below(4),
            whim: if restless { rng.between(100, 700) } else { 20 },
            reports: if restless { vec![VecDeque::new(); count as usize] } else { Vec::new() },
            echo: if restless { (rng.between(50, 400), rng.between(600, 3_000)) } else { (20, 600) },
            tally: Tally::default(),
            trace,
            rng,
        };
        for node in 0..world.nodes.len() {
            world.later(0, 20, What::Tick(node));
            world.later(0, 20, What::Catalog(node));
        }
        for publisher in 0..world.publishers.len() {
            world.later(0, 50, What::Publish(publisher));
        }
        world.later(50, 100, What::Elect { unwilling: None });
        world.later(5, 50, What::Consume);
        world.later(50, 300, What::Fault);
        world
    }

    /// Faults for a while, then none: everything must come right again.
    pub(super) fn run(&mut self) -> Verdict {
        let calm = self.now + self.rng.between(2_000, 5_000) * MILLI;
        self.run_until(calm, |_| false)?;
        self.heal()?;
        let end = self.now + 15_000 * MILLI;
        if self.run_until(end, Self::has_converged)? { Ok(()) } else { Err(self.why_not_converged()) }
    }

    fn run_until(&mut self, end: u64, done: impl Fn(&Self) -> bool) -> Result<bool, String> {
        while let Some(next) = self.agenda.first_entry() {
            if next.key().0 > end {
                return Ok(false);
            }
            let ((at, _), what) = next.remove_entry();
            self.now = at;
            self.happen(what)?;
            if done(self) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn later(&mut self, low: u64, high: u64, what: What) {
        let at = self.now + self.rng.between(low * MILLI, high * MILLI);
        self.ordinal += 1;
        self.agenda.insert((at, self.ordinal), what);
    }

    fn log(&self, text: impl FnOnce() -> String) {
        if self.trace {
            eprintln!("{:>9} {}", self.now, text());
        }
    }

    fn happen(&mut self, what: What) -> Verdict {
        match what {
            What::Tick(node) => {
                self.later(15, 25, What::Tick(node));
                self.step(node, Event::Tick)?;
                self.seal(node)
            }
            What::Sync(process) => self.sync(process),
            What::Synchronize => {
                self.catalog.synchronize(true);
                Ok(())
            }
            What::Deliver { to, from, message } => {
                self.log(|| format!("{} <- {} {}", to, from.node, brief(&message)));
                self.step(to, Event::Mirror { from, message })
            }
            What::Link { at, event } => {
                // A driver tells of a link's ends in their order.
                let stale = match &event {
                    Event::LinkDown(node) => self.nodes[node.0 as usize].replica.is_some(),
                    _ => false,
                };
                if stale { Ok(()) } else { self.step(at, event) }
            }
            What::Read { at, event, first, most } => {
                let node = at.node.0 as usize;
                if self.nodes[node].process != at {
                    return Ok(());
                }
                let found = self.nodes[node].disk.read(first, most);
                let event = match event {
                    Event::LogRead { reader, first, .. } => Event::LogRead { reader, first, entries: found },
                    other => other,
                };
                self.step(node, event)
            }
            What::Catalog(node) => {
                self.later(2, 30, What::Catalog(node));
                if !self.nodes[node].cut_from_catalog && self.nodes[node].replica.is_some() {
                    let news = self.catalog.history.len() - self.nodes[node].applied;
                    for _ in 0..self.rng.below(news as u64 + 1) {
                        self.apply_catalog(node)?;
                    }
                }
                Ok(())
            }
            What::ProposeIsr { by, from, isr, trailing } => {
                let before = Arc::clone(self.catalog.now());
                self.catalog.propose(by, &from, (isr, trailing));
                let now = self.catalog.now();
                if before.isr != now.isr || before.trailing != now.trailing {
                    self.tally.isr_changes += 1;
                }
                self.log(|| format!("catalog {:?}", self.catalog.now()));
                Ok(())
            }
            What::Offer { by, to, end } => {
                self.catalog.offer(by, &to, end);
                self.log(|| format!("catalog {:?}", self.catalog.now()));
                Ok(())
            }
            What::Elect { unwilling } => self.elect(unwilling),
            What::Publish(publisher) => self.publish(publisher),
            What::Send { to, epoch, proposal } => self.receive(to, epoch, proposal),
            What::Answer { epoch, session, confirmed, again } => self.answer(epoch, session, &confirmed, again),
            What::Consume => self.consume(),
            What::Fault => self.fault(),
        }
    }

    /// Wall clocks are seconds apart, and jump.
    pub(super) fn clock(&self, node: usize) -> Clock {
        let skew = 2_000 * node as u64 + self.now / MILLI % 7 * 300;
        Clock { now: Moment(self.now), wall: 1_000_000 + self.now / MILLI + skew }
    }

    fn step(&mut self, node: usize, event: Event) -> Verdict {
        let now = self.clock(node);
        let mut out = Vec::new();
        let Some(replica) = self.nodes[node].replica.as_mut() else { return Ok(()) };
        replica.step(now, event, &mut out);
        self.carry_out(node, out)
    }

    fn seal(&mut self, node: usize) -> Verdict {
        let now = self.clock(node);
        let mut out = Vec::new();
        let Some(replica) = self.nodes[node].replica.as_mut() else { return Ok(()) };
        replica.seal(now, &mut out);
        self.carry_out(node, out)
    }

    /// The driver's part; a crash may cut it short at any action.
    fn carry_out(&mut self, node: usize, actions: Vec<Action>) -> Verdict {
        let process = self.nodes[node].process;
        let epoch = self.nodes[node].replica.as_ref().map_or(Epoch(0), Replica::known_epoch);
        for action in actions {
            if self.faults && self.rng.permille(self.crash) {
                self.log(|| format!("{node} crashes before {action:?}"));
                self.crash(node);
                return Ok(());
            }
            match action {
                Action::Write(write) => {
                    match &write {
                        Write::Truncate { aside, .. } => {
                            self.tally.truncations += 1;
                            self.tally.aside += u64::from(*aside);
                        }
                        Write::Rewrite { entries, .. } => self.tally.hollowed += entries.len() as u64,
                        Write::Install { aside, .. } => self.tally.aside += u64::from(aside.is_some()),
                        Write::Append { entries, .. } => {
                            for position in entries.iter().filter_map(|entry| record::position(entry).ok()) {
                                self.oracle.on_appended(position, self.now);
                            }
                        }
                        _ => {}
                    }
                    self.nodes[node].disk.write(write);
                    if !self.nodes[node].syncing {
                        self.nodes[node].syncing = true;
                        self.later(1, 12, What::Sync(process));
                    }
                }
                Action::Send { to, message } => self.send(node, to, message),
                Action::Read { reader, first, .. } => {
                    let most = if reader == process.node { self.rng.between(1, 4) } else { self.rng.below(5) };
                    let event = Event::LogRead { reader, first, entries: Vec::new() };
                    self.later(1, 10, What::Read { at: process, event, first, most });
                }
                Action::Offer { to, end } => {
                    if !self.nodes[node].cut_from_catalog && !self.lost() {
                        self.later(1, 30, What::Offer { by: process, to, end });
                    }
                }
                Action::ProposeIsr { from, isr, trailing } => {
                    // The answer is the applied catalog; the wish may be lost or doubled.
                    if !self.nodes[node].cut_from_catalog && !self.lost() {
                        let (from, isr, trailing) = (from.clone(), isr.clone(), trailing.clone());
                        self.later(1, 30, What::ProposeIsr { by: process, from, isr, trailing });
                    }
                    if self.faults && self.rng.permille(100) {
                        self.later(1, 500, What::ProposeIsr { by: process, from, isr, trailing });
                    }
                }
                Action::Leading => {
                    self.tally.epochs += 1;
                    self.log(|| format!("{node} leads epoch {epoch}"));
                    self.hear_again(node);
                    if let Some(replica) = &self.nodes[node].replica {
                        // Whom the catalog elected may have ended before it led.
                        let later = self.unclean.split_off(&epoch.next());
                        if let Some((elected, allowed)) = std::mem::replace(&mut self.unclean, later).pop_last() {
                            self.tally.unclean += 1;
                            self.tally.lost += self.oracle.on_unclean(elected, replica, allowed)?;
                        }
                        self.oracle.on_leading(process, replica)?;
                    }
                }
                Action::Stepped => {}
                Action::Committed(told) => {
                    let stored = self.nodes[node].disk.read(told.index, 1).pop();
                    self.log(|| format!("{node} commits {} in epoch {epoch}", told.index));
                    self.oracle.on_committed(epoch, &told, stored)?;
                    for (session, runs) in &told.confirmed {
                        self.tell(epoch, *session, sequences(runs), None);
                    }
                }
                Action::Repeated { session, confirmed, refused } => {
                    if !refused.is_empty() {
                        return Err(format!("{session:?} {refused:?} refused, which nobody did"));
                    }
                    self.tally.repeated += 1;
                    self.tell(epoch, session, sequences(&confirmed), None);
                }
                Action::Again { session, from } => self.tell(epoch, session, Vec::new(), Some(from)),
                Action::Resign => {
                    if !self.nodes[node].cut_from_catalog {
                        self.later(1, 50, What::Elect { unwilling: Some(process.node) });
                    }
                }
                Action::Broken(text) => return Err(text),
            }
        }
        self.check(node)
    }

    fn check(&self, node: usize) -> Verdict {
        let Node { process, replica, disk, .. } = &self.nodes[node];
        if let Some(what) = &disk.wrong {
            return Err(format!("{process:?}: {what}"));
        }
        match replica {
            Some(replica) => self.oracle.check(*process, replica, disk),
            None => Ok(()),
        }
    }

    fn lost(&mut self) -> bool {
        self.faults && self.rng.permille(self.loss)
    }

    fn send(&mut self, from: usize, to: NodeId, message: MirrorMessage) {
        let target = to.0 as usize;
        if self.blocked.contains(&(from, target)) || self.lost() {
            return;
        }
        match &message {
            MirrorMessage::Install { .. } => self.tally.installs += 1,
            MirrorMessage::Append { entries, .. } => {
                let hollow = entries.iter().filter(|entry| record::gone(entry).is_ok_and(|gone| !gone.is_empty()));
                self.tally.fed_hollow += hollow.count() as u64;
            }
            _ => {}
        }
        let process = self.nodes[from].process;
        if let (MirrorMessage::Durable { .. }, Some(reports)) = (&message, self.reports.get_mut(target)) {
            reports.truncate(REPORTS - 1);
            reports.push_front((process, message.clone()));
        }
        let (often, latest) = self.echo;
        if self.faults && self.rng.permille(often) {
            let late = What::Deliver { to: target, from: process, message: message.clone() };
            self.later(1, latest, late);
        }
        let message = if self.faults && self.rng.permille(15) { self.damage(message) } else { message };
        let slowest = if self.faults && self.rng.permille(50) { 200 } else { 8 };
        self.later(1, slowest, What::Deliver { to: target, from: process, message });
    }

    fn sync(&mut self, process: Process) -> Verdict {
        let node = process.node.0 as usize;
        if self.nodes[node].process != process || self.nodes[node].replica.is_none() {
            return Ok(());
        }
        if self.nodes[node].stalled {
            self.later(50, 50, What::Sync(process));
            return Ok(());
        }
        let most = self.rng.between(1, 20);
        let ordinal = self.nodes[node].disk.sync(most);
        self.nodes[node].syncing = !self.nodes[node].disk.is_idle();
        if self.nodes[node].syncing {
            self.later(1, 12, What::Sync(process));
        }
        self.step(node, Event::Persisted(ordinal))
    }

    fn apply_catalog(&mut self, node: usize) -> Verdict {
        let next = self.nodes[node].applied;
        let Some(assignment) = self.catalog.history.get(next) else { return Ok(()) };
        let event = Event::Assigned(Arc::clone(assignment));
        self.nodes[node].applied += 1;
        self.step(node, event)
    }

    fn live(&self) -> BTreeSet<Process> {
        self.nodes.iter().filter(|node| node.replica.is_some()).map(|node| node.process).collect()
    }

    /// The controller: the leader is gone, or it thinks so.
    fn elect(&mut self, unwilling: Option<NodeId>) -> Verdict {
        let live = self.live();
        let now = self.catalog.now().clone();
        let gone = now.leader.is_none_or(|leader| !live.contains(&leader));
        let whim = self.faults && self.rng.permille(self.whim);
        if unwilling.is_none() {
            self.later(50, 150, What::Elect { unwilling: None });
        }
        // A resignation counts for the reign that it was about only.
        if gone || whim || (unwilling.is_some() && now.leader.map(|leader| leader.node) == unwilling) {
            let mut seen = live.clone();
            if self.faults {
                // False suspicion.
                let rng = &mut self.rng;
                seen.retain(|_| !rng.permille(150));
            }
            let nodes = self.catalog.registered.iter().filter(|process| !seen.contains(process));
            let dead = nodes.map(|process| process.node).collect();
            self.catalog.elect(&seen, &dead, unwilling);
            // Whoever has an answer of all is in no hurry, whoever has one is.
            let now = self.catalog.now();
            let asked = seen.iter().filter(|process| now.last_resort || now.trailing.contains(&process.member()));
            let answered = asked.clone().filter(|process| now.offers.contains_key(process)).count();
            let all = answered == asked.count();
            let max_lag = now.max_lag;
            if answered > 0
                && (all || self.rng.permille(200))
                && let Some(end) = self.catalog.elect_unclean(&seen)
            {
                let allowed = Allowed { max_lag, kept: end.kept };
                self.unclean.insert(self.catalog.now().epoch, allowed);
            }
            self.log(|| format!("elected {:?}", self.catalog.now()));
        }
        Ok(())
    }

    pub(super) fn tally(&self) -> Tally {
        Tally { committed: self.oracle.head().0, ..self.tally }
    }
}

fn sequences(runs: &[(u64, u64)]) -> Vec<u64> {
    runs.iter().flat_map(|&(first, last)| first..=last).collect()
}

fn brief(message: &MirrorMessage) -> String {
    match message {
        MirrorMessage::Append { epoch, prev, commit, entries, .. } => {
            format!("append epoch {epoch} prev {}/{} commit {commit} entries {}", prev.epoch, prev.index, entries.len())
        }
        MirrorMessage::Install { epoch, checkpoint, anew, .. } => {
            format!("install epoch {epoch}, {} bytes, {anew:?}", checkpoint.len())
        }
        other => format!("{other:?}"),
    }
}
