//! A cluster in one thread: the real shards, catalog and controller, and around
//! them a modelled network, disks, clocks and Raft. Everything that happens is an
//! event in one queue, by time; chance comes from the seed alone.

mod faults;
mod links;
mod membership;
mod turns;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use warren_replication::message::{QueueWord, ReadFrom};
use warren_replication::plan::Policy;
use warren_replication::replica::Replica;
use warren_replication::types::{Epoch, NodeId, Offset, Process, QueueId};
use warren_shard::step::{Effects, Input, Local, Wish};
use warren_shard::{Settings, Shard};

use crate::catalog::Catalog;
use crate::clients::{Client, Kind};
use crate::disk::Disk;
use crate::net::Net;
use crate::oracle::Oracle;
use crate::rng::Rng;
use crate::runner::Case;
use crate::sites::{Link, SITES};
use crate::streams::{self, Reader};

const MS: u64 = 1_000;

/// A rule of the surroundings to break, to show that it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// The driver says that a write is on disk when it is not.
    PersistedTooEarly,
    /// A new leader does not wait for its predecessor's lease.
    NoLeaseWait,
    /// A new leader does not wait for claims.
    NoGrace,
    /// Nobody looks whether the lease still runs.
    IgnoreLease,
    /// A link loses a word and nobody notices.
    SilentLoss,
}

#[derive(Debug)]
enum Event {
    Turn,
    Leave,
    Sync,
    Arrive {
        from: Process,
        from_node: usize,
        session: u64,
        words: Vec<(QueueId, QueueWord)>,
    },
    LinkUp {
        peer: usize,
        session: u64,
    },
    LinkDown {
        peer: usize,
        session: u64,
    },
    Connect {
        peer: usize,
    },
    Apply,
    Tick,
    LeaseAsk,
    LeaseGrant {
        until: u64,
        applied: usize,
    },
    Wish {
        queue: QueueId,
        wish: Wish,
    },
    Read {
        request: u64,
        queue: QueueId,
        first: warren_replication::types::Index,
        max_bytes: usize,
    },
    Client(usize),
    /// Messages that moved on have arrived.
    Moved {
        queue: QueueId,
        epoch: Epoch,
        offsets: Vec<Offset>,
    },
    Boot,
    Controller,
    Fault,
    /// Policies that were in force before.
    PutBack(Vec<Policy>),
    Crash,
}

/// When, in what order, on which node, in which life of it.
type Scheduled = Reverse<(u64, u64, usize, u64, usize)>;

#[derive(Debug)]
struct Up {
    process: Process,
    shard: Shard,
    mailbox: Vec<Input>,
    turning: bool,
    syncing: bool,
    applied: usize,
    /// On the node's own clock.
    lease: u64,
    grants: Vec<(usize, u64)>,
    /// Effects of a turn that the node was frozen after.
    leaving: Option<Effects>,
    /// The queues that it led when the turn began.
    leading: BTreeMap<QueueId, Epoch>,
    /// The sessions that the shard has been told of: what it says goes over them,
    /// and over no later ones.
    links: BTreeMap<usize, u64>,
    live: BTreeSet<Process>,
    seen: BTreeMap<Process, u64>,
}

#[derive(Debug)]
struct Node {
    incarnation: u64,
    boot: u64,
    /// Grows with each crash, so that events of an earlier life are void.
    life: u64,
    alive: bool,
    /// Belongs to the cluster, up or not.
    joined: bool,
    up: Option<Up>,
    disk: Disk,
    clock: (u64, u64),
    /// How far its wall clock is ahead, in milliseconds.
    skew: u64,
    frozen_until: u64,
    slow_disk_until: u64,
    slow_catalog_until: u64,
    /// Whom it wrongly takes for dead.
    suspects: BTreeMap<usize, u64>,
}

impl Node {
    fn moment(&self, now: u64) -> u64 {
        self.clock.0 + now / 1_000 * self.clock.1 + now % 1_000 * self.clock.1 / 1_000
    }

    /// The wall clock: kept right by somebody, more or less.
    fn wall(&self, now: u64) -> u64 {
        1_700_000_000_000 + now / MS + self.skew
    }
}

/// The world of one seed.
pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) now: u64,
    next: u64,
    agenda: BinaryHeap<Scheduled>,
    events: Vec<Option<Event>>,
    free: Vec<usize>,
    nodes: Vec<Node>,
    net: Net,
    catalog: Catalog,
    clients: Vec<Option<Client>>,
    pub(crate) oracle: Oracle,
    settings: Settings,
    mutation: Option<Mutation>,
    calm: bool,
    /// How long a node must be unreachable to count as dead.
    detect: u64,
    faults_until: u64,
    /// How many there were, those left out included.
    pub(crate) faults: u64,
    /// The policies in force before the last change.
    before: Option<Vec<Policy>>,
    case: Case,
    pub(crate) turns: u64,
    /// Planned ones that came true.
    pub(crate) handovers: u64,
    trace: VecDeque<String>,
    /// Every word is noted.
    tracing: bool,
    /// What happens is noted.
    telling: bool,
}

impl World {
    /// The same, and what happens is noted.
    pub(crate) fn telling(case: &Case) -> Self {
        let mut world = Self::new(case);
        world.telling = true;
        world
    }

    pub(crate) fn new(case: &Case) -> Self {
        let mutation = case.mutation;
        let mut rng = Rng::new(case.seed);
        let founders = if rng.percent(20) { 5 } else { 3 };
        // One may come later.
        let count = founders + usize::from(rng.percent(20));
        let nodes = (0..count)
            .map(|index| Node {
                incarnation: 100 + index as u64,
                boot: 0,
                life: 0,
                alive: false,
                joined: index < founders,
                up: None,
                disk: Disk::default(),
                // Rates within ρ = 1 % of each other, and offsets far apart.
                clock: (rng.between(1, 1_000_000_000), rng.between(996, 1_004)),
                skew: rng.between(0, 200),
                frozen_until: 0,
                slow_disk_until: 0,
                slow_catalog_until: 0,
                suspects: BTreeMap::new(),
            })
            .collect();
        let mut settings = Settings {
            horizon_ahead: rng.pick(&[4, 16, 64]).unwrap_or(4),
            queue_cache: rng.pick(&[256, 2_048, 65_536]).unwrap_or(256),
            shard_cache: rng.pick(&[512, 4_096, 65_536]).unwrap_or(512),
            read_bytes: rng.pick(&[128, 1_024]).unwrap_or(128),
            resend_bytes: rng.pick(&[64, 4_096]).unwrap_or(64),
            confirm_timeout: 8_000 * MS,
            window: warren_queue::Window { messages: 8, bytes: 600 },
            transfer_messages: rng.pick(&[2, 10, 1_000]).unwrap_or(2),
            transfer_bytes: rng.pick(&[100, 1 << 20]).unwrap_or(100),
            drain_timeout: rng.pick(&[5 * MS, 50 * MS, 5_000 * MS]).unwrap_or(MS),
            ..Settings::default()
        };
        settings.replica.window_bytes = rng.pick(&[512, 8_192, 1 << 20]).unwrap_or(512);
        settings.replica.tail_bytes = rng.pick(&[256, 4_096, 1 << 20]).unwrap_or(256);
        settings.replica.batch_bytes = rng.pick(&[256, 4_096]).unwrap_or(256);
        settings.replica.entry_bytes = rng.pick(&[256, 65_536]).unwrap_or(256);
        settings.replica.checkpoint_bytes = rng.pick(&[2_048, 1 << 20]).unwrap_or(2_048);
        settings.replica.checkpoint_entries = rng.pick(&[8, 64, 4_096]).unwrap_or(8);
        settings.replica.disk_stall_timeout = rng.pick(&[300, 1_000, 5_000]).unwrap_or(300) * MS;
        settings.replica.hollow_bytes = rng.pick(&[512, 4_096, 32 << 20]).unwrap_or(512);
        match mutation {
            Some(Mutation::NoLeaseWait) => settings.lease = 0,
            Some(Mutation::NoGrace) => settings.reattach_grace = 0,
            _ => {}
        }
        let detect = rng.pick(&[150, 300, 500]).unwrap_or(500) * MS;
        let mut world = Self {
            rng,
            now: 0,
            next: 0,
            agenda: BinaryHeap::new(),
            events: Vec::new(),
            free: Vec::new(),
            nodes,
            net: Net::new(count),
            catalog: Catalog::default(),
            clients: Vec::new(),
            oracle: Oracle::default(),
            settings,
            mutation,
            calm: false,
            detect,
            faults_until: 0,
            faults: 0,
            before: None,
            case: case.clone(),
            turns: 0,
            handovers: 0,
            trace: VecDeque::new(),
            tracing: std::env::var_os("WARREN_TRACE").is_some(),
            telling: false,
        };
        world.begin(count);
        world
    }

    fn begin(&mut self, count: usize) {
        for queue in (1..=3).map(QueueId) {
            if self.rng.percent(25) {
                let rules = streams::rules(&mut self.rng);
                self.oracle.stream(queue, &rules);
                self.catalog.rules.insert(queue, rules);
            } else {
                let rules = crate::rules::any(&mut self.rng);
                self.oracle.declare(queue, &rules);
                self.catalog.rules.insert(queue, rules);
            }
        }
        self.faults_until = self.rng.between(2_000, 5_000) * MS;
        for index in 0..count {
            self.nodes[index].alive = true;
            let late = if self.nodes[index].joined { 0 } else { self.rng.between(200, 4_000) * MS };
            self.at(late, index, Event::Boot);
        }
        for (a, b) in self.net.pairs() {
            self.at(MS, a, Event::Connect { peer: b });
        }
        self.at(50 * MS, 0, Event::Controller);
        self.at(300 * MS, 0, Event::Fault);
    }

    fn declare(&mut self) {
        self.change_policy();
        let live: Vec<Process> = self.nodes.iter().filter_map(|node| Some(node.up.as_ref()?.process)).collect();
        for queue in 1..=self.rng.between(1, 3) {
            let Some(by) = self.rng.pick(&live) else { return };
            if let Err(why) = self.catalog.declare(QueueId(queue), by, live.clone()) {
                self.oracle.fail(|| format!("queue {queue} is not declared: {}", why.text()));
            }
        }
        self.catalog_changed();
    }

    /// Queues may be wanted elsewhere, by other rules, while they serve (§6.6).
    fn change_policy(&mut self) {
        let joined = self.nodes.iter().enumerate().filter(|(_, node)| node.joined);
        let nodes: Vec<NodeId> = joined.map(|(index, _)| NodeId(index as u64 + 1)).collect();
        let policy = self.catalog.any_policy(&nodes, &mut self.rng);
        self.commit(&policy);
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        if self.tracing || self.telling {
            let line = format!("{:>9} {}", self.now, what());
            self.trace.push_back(line);
            if self.trace.len() > 20_000 {
                self.trace.pop_front();
            }
        }
    }

    /// The rules of each queue.
    pub(crate) fn rules(&self) -> Vec<String> {
        self.catalog.rules.iter().map(|(queue, rules)| format!("{queue:?}: {rules:?}")).collect()
    }

    /// Notes the state of every shard.
    pub(crate) fn note_shards(&mut self) {
        for node in 0..self.nodes.len() {
            let text = format!("{:?}", self.nodes[node].up.as_ref().map(|up| &up.shard));
            self.note(|| text);
        }
    }

    /// What was noted.
    pub(crate) fn trace(&self) -> impl Iterator<Item = &String> {
        self.trace.iter()
    }

    fn at(&mut self, delay: u64, node: usize, event: Event) {
        let slot = match self.free.pop() {
            Some(slot) => {
                self.events[slot] = Some(event);
                slot
            }
            None => {
                self.events.push(Some(event));
                self.events.len() - 1
            }
        };
        self.next += 1;
        let life = self.nodes[node].life;
        self.agenda.push(Reverse((self.now + delay, self.next, node, life, slot)));
    }

    /// Lets everything happen: faults, then calm; until all is drained, or
    /// something is wrong.
    pub(crate) fn run(&mut self) {
        let mut drain_until = u64::MAX;
        let mut delivered = 0;
        let mut look_at = 0;
        while let Some(Reverse((time, _, node, life, slot))) = self.agenda.pop() {
            let Some(event) = self.events[slot].take() else { continue };
            self.free.push(slot);
            self.now = time;
            if !self.calm && time >= self.faults_until {
                self.end_of_faults();
                drain_until = time + 30_000 * MS;
            }
            self.take(node, life, event);
            if self.oracle.violation.is_some() {
                return;
            }
            if self.calm && self.now >= look_at {
                look_at = self.now + 100 * MS;
                let Err(why) = self.is_drained() else { break };
                // A long queue and one consumer that takes one at a time: it may last.
                if self.oracle.deliveries != delivered && self.now < self.faults_until + 300_000 * MS {
                    delivered = self.oracle.deliveries;
                    drain_until = self.now + 30_000 * MS;
                }
                if self.now > drain_until {
                    self.oracle.fail(|| format!("faults are over, and yet {why}"));
                    return;
                }
            }
        }
        let deleted = self.catalog.deleted.clone();
        self.oracle.finish(&deleted);
    }

    fn take(&mut self, node: usize, life: u64, event: Event) {
        match event {
            Event::Boot => self.boot(node),
            Event::Controller => self.control(),
            Event::Fault => self.fault(),
            Event::Crash if self.calm => {}
            Event::Crash => self.crash(node),
            Event::PutBack(policies) => self.commit(&self.catalog.applying(policies)),
            Event::Connect { peer } => self.connect(node, peer),
            Event::LinkUp { peer, session } => self.link_up(node, peer, session),
            Event::LinkDown { peer, session } => self.link_down(node, peer, session),
            event if self.nodes[node].life == life => {
                let frozen = self.nodes[node].frozen_until;
                if frozen > self.now {
                    // The node is asleep: all that waits for it waits.
                    self.at(frozen - self.now, node, event);
                    return;
                }
                self.take_on(node, event);
            }
            _ => {}
        }
    }

    fn take_on(&mut self, node: usize, event: Event) {
        match event {
            Event::Turn => self.turn(node),
            Event::Leave => self.leave(node),
            Event::Sync => self.sync(node),
            Event::Arrive { from, from_node, session, words } => self.arrive(node, from, from_node, session, words),
            Event::Apply => self.apply(node),
            Event::Tick => self.tick(node),
            Event::LeaseAsk => self.lease_ask(node),
            Event::LeaseGrant { until, applied } => {
                if let Some(up) = &mut self.nodes[node].up {
                    up.grants.push((applied, until));
                }
                self.grants(node);
            }
            Event::Wish { queue, wish } => self.wish(node, queue, wish),
            Event::Read { request, queue, first, max_bytes } => {
                let entries = self.nodes[node].disk.read(queue, first, max_bytes);
                self.mail(node, Input::Read { request, entries });
            }
            Event::Client(client) => self.client(client),
            Event::Moved { queue, epoch, offsets } => self.mail(node, Input::Transferred(queue, epoch, offsets)),
            _ => {}
        }
    }

    fn mail(&mut self, node: usize, input: Input) {
        let delay = self.rng.between(10, 300);
        let Some(up) = &mut self.nodes[node].up else { return };
        up.mailbox.push(input);
        if !std::mem::replace(&mut up.turning, true) {
            self.at(delay, node, Event::Turn);
        }
    }

    fn want(&mut self, node: usize, wants: Vec<(QueueId, Local)>) {
        for (queue, local) in wants {
            self.mail(node, Input::Local(queue, local));
        }
    }

    fn client(&mut self, index: usize) {
        let Some(mut client) = self.clients[index].take() else { return };
        let node = client.node;
        let wants = client.act(index, self.calm, &mut self.rng, &mut self.oracle);
        let delay = match &client.kind {
            Kind::Publisher { .. } => self.rng.between(2, 60) * MS,
            Kind::Consumer(_) | Kind::Reader(_) | Kind::Link(_) => self.rng.between(1, 50) * MS,
        };
        self.clients[index] = Some(client);
        self.want(node, wants);
        self.at(delay, node, Event::Client(index));
    }

    // The disk.

    fn sync_soon(&mut self, node: usize) {
        let slow = self.nodes[node].slow_disk_until.saturating_sub(self.now);
        let Some(up) = &mut self.nodes[node].up else { return };
        if !std::mem::replace(&mut up.syncing, true) {
            let delay = slow + self.rng.between(200, 4 * MS);
            self.at(delay, node, Event::Sync);
        }
    }

    fn sync(&mut self, node: usize) {
        let all = self.nodes[node].disk.unsynced();
        let most = if self.rng.percent(70) { all } else { self.rng.below(all as u64) as usize + 1 };
        let ticket = self.nodes[node].disk.sync(most);
        if let Some(up) = &mut self.nodes[node].up {
            up.syncing = false;
        }
        if let Some(ticket) = ticket {
            self.mail(node, Input::Persisted(ticket));
        }
        if self.nodes[node].disk.unsynced() > 0 {
            self.sync_soon(node);
        }
    }

    /// One more consumer a queue, on some node that is up.
    fn drainers(&mut self) {
        let up: Vec<usize> = (0..self.nodes.len()).filter(|node| self.nodes[*node].up.is_some()).collect();
        for queue in self.catalog.queues.keys().copied().collect::<Vec<_>>() {
            if self.oracle.rules(queue).kind == warren_queue::Kind::Delayed {
                continue;
            }
            let Some(node) = self.rng.pick(&up) else { return };
            let Some(process) = self.nodes[node].up.as_ref().map(|up| up.process) else { return };
            let index = self.clients.len();
            let mut client = Client::drain(index, node, process, queue);
            if self.catalog.is_stream(queue) {
                client.kind = Kind::Reader(Reader::new(20, ReadFrom::First));
            }
            self.clients.push(Some(client));
            self.at(10 * MS, node, Event::Client(index));
            let sites = if self.catalog.is_stream(queue) { &[] } else { &SITES[..] };
            for &site in sites {
                let index = self.clients.len();
                self.clients.push(Some(Client::link(index, node, process, queue, Link::new(site, 50))));
                self.at(10 * MS, node, Event::Client(index));
            }
        }
    }

    /// Whether everything serves, is redundant and empty again (promise 10).
    fn is_drained(&mut self) -> Result<(), String> {
        if self.nodes.iter().any(|node| node.up.is_none()) {
            return Err("a node is not up".to_owned());
        }
        if !self.clients.iter().flatten().any(|client| !matches!(&client.kind, Kind::Publisher { .. })) {
            self.drainers();
        }
        for (index, client) in self.clients.iter().enumerate() {
            if client.as_ref().is_some_and(|client| !client.is_done()) {
                return Err(format!("client {index} still waits: {client:?}"));
            }
        }
        for (queue, assignment) in &self.catalog.queues {
            if assignment.isr.len() != assignment.replicas.len() || !self.catalog.is_settled(*queue) {
                return Err(format!("{queue:?} is short: {assignment:?}"));
            }
            let leading = self.nodes.iter().filter_map(|node| {
                node.up.as_ref().and_then(|up| up.shard.replica(*queue)).filter(|replica| replica.is_leading())
            });
            let leading: Vec<&Replica> = leading.collect();
            let [leader] = leading.as_slice() else {
                return Err(format!("{queue:?} has {} leaders", leading.len()));
            };
            if leader.commit() < leader.last().index {
                return Err(format!("{queue:?} has yet to commit its log"));
            }
            if self.catalog.is_stream(*queue) {
                let end = leader.ledger().next_offset().0;
                let late = self.clients.iter().flatten().find(|client| match &client.kind {
                    Kind::Reader(reader) => client.queue() == *queue && !reader.has_read(end),
                    _ => false,
                });
                if let Some(late) = late {
                    return Err(format!("{queue:?} has messages up to {end}, and {late:?} not"));
                }
                continue;
            }
            if !leader.ledger().live().is_empty() {
                let live: Vec<_> = leader.ledger().live().iter().collect();
                return Err(format!("{queue:?} is not empty: {live:?}, horizon {:?}", leader.ledger().horizon()));
            }
        }
        Ok(())
    }
}
