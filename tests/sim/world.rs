//! A cluster in one thread: real shards, and around them a modelled network,
//! disks, clocks, membership and catalog. Everything that happens is an event
//! in one queue, by time; chance comes from the seed alone.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use warren_replication::message::{QueueWord, ToEntry};
use warren_replication::replica::Replica;
use warren_replication::types::{Boot, Incarnation, Moment, NodeId, Process, QueueId};
use warren_shard::step::{Effects, Input, Local, ToChannel, Wish};
use warren_shard::{Settings, Shard};

use crate::catalog::Catalog;
use crate::clients::{Client, Kind};
use crate::disk::Disk;
use crate::net::Net;
use crate::oracle::Oracle;
use crate::rng::Rng;

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
    Arrive { from: Process, from_node: usize, session: u64, words: Vec<(QueueId, QueueWord)> },
    LinkUp { peer: usize, session: u64 },
    LinkDown { peer: usize, session: u64 },
    Connect { peer: usize },
    Apply,
    Tick,
    LeaseAsk,
    LeaseGrant { until: u64, applied: usize },
    Wish { queue: QueueId, wish: Wish },
    Read { request: u64, queue: QueueId, first: warren_replication::types::Index, max_bytes: usize },
    Client(usize),
    Boot,
    Controller,
    Fault,
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
    up: Option<Up>,
    disk: Disk,
    clock: (u64, u64),
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
    elected: BTreeMap<QueueId, u64>,
    faults_until: u64,
    pub(crate) turns: u64,
    trace: VecDeque<String>,
    tracing: bool,
}

impl World {
    pub(crate) fn new(seed: u64, mutation: Option<Mutation>) -> Self {
        let mut rng = Rng::new(seed);
        let count = if rng.percent(20) { 5 } else { 3 };
        let nodes = (0..count)
            .map(|index| Node {
                incarnation: 100 + index as u64,
                boot: 0,
                life: 0,
                alive: false,
                up: None,
                disk: Disk::default(),
                // Rates within ρ = 1 % of each other, and offsets far apart.
                clock: (rng.between(1, 1_000_000_000), rng.between(996, 1_004)),
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
            ..Settings::default()
        };
        settings.replica.window_bytes = rng.pick(&[512, 8_192, 1 << 20]).unwrap_or(512);
        settings.replica.tail_bytes = rng.pick(&[256, 4_096, 1 << 20]).unwrap_or(256);
        settings.replica.batch_bytes = rng.pick(&[256, 4_096]).unwrap_or(256);
        settings.replica.entry_bytes = rng.pick(&[256, 65_536]).unwrap_or(256);
        settings.replica.checkpoint_bytes = rng.pick(&[2_048, 1 << 20]).unwrap_or(2_048);
        settings.replica.checkpoint_entries = rng.pick(&[8, 64, 4_096]).unwrap_or(8);
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
            elected: BTreeMap::new(),
            faults_until: 0,
            turns: 0,
            trace: VecDeque::new(),
            tracing: std::env::var_os("WARREN_TRACE").is_some(),
        };
        world.begin(count);
        world
    }

    fn begin(&mut self, count: usize) {
        self.faults_until = self.rng.between(2_000, 5_000) * MS;
        for index in 0..count {
            self.nodes[index].alive = true;
            self.at(0, index, Event::Boot);
        }
        for (a, b) in self.net.pairs() {
            self.at(MS, a, Event::Connect { peer: b });
        }
        self.at(50 * MS, 0, Event::Controller);
        self.at(300 * MS, 0, Event::Fault);
    }

    fn declare(&mut self) {
        let count = self.nodes.len();
        let min_in_sync = if self.rng.percent(15) { 1 } else { 2 };
        for queue in 1..=self.rng.between(1, 3) {
            let first = self.rng.below(count as u64) as usize;
            let replicas = (0..3).map(|n| NodeId(((first + n) % count) as u64 + 1)).collect();
            self.catalog.declare(QueueId(queue), replicas, min_in_sync);
        }
        self.catalog_changed();
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        if self.tracing {
            let line = format!("{:>9} {}", self.now, what());
            self.trace.push_back(line);
            if self.trace.len() > 20_000 {
                self.trace.pop_front();
            }
        }
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

    // One turn of a shard, and what follows from it.

    fn turn(&mut self, node: usize) {
        self.turns += 1;
        let moment = Moment(self.nodes[node].moment(self.now));
        let Some(up) = &mut self.nodes[node].up else { return };
        if up.leaving.is_some() {
            self.at(100, node, Event::Turn);
            return;
        }
        up.turning = false;
        let inputs = std::mem::take(&mut up.mailbox);
        let mut effects = Effects::default();
        if self.tracing {
            let process = up.process;
            for input in &inputs {
                let line = format!("{:>9} {}/{} <- {input:?}", self.now, process.node, process.boot);
                self.trace.push_back(line);
            }
        }
        for input in &inputs {
            let (peer, up) = match input {
                Input::LinkUp(process) => (process.node.0 as usize - 1, true),
                Input::LinkDown(peer) => (peer.0 as usize - 1, false),
                _ => continue,
            };
            let session = self.net.link(node, peer).0.session;
            let Some(it) = &mut self.nodes[node].up else { return };
            it.links.remove(&peer);
            if up {
                it.links.insert(peer, session);
            }
        }
        let Some(up) = &mut self.nodes[node].up else { return };
        up.shard.turn(moment, inputs, &mut effects);
        up.leaving = Some(effects);
        // Rarely the node falls asleep between the turn and its effects (§6.7).
        if !self.calm && self.rng.below(2_000) == 0 {
            let sleep = self.rng.between(100, 2_000) * MS;
            self.freeze(node, sleep);
            self.at(sleep, node, Event::Leave);
        } else {
            self.leave(node);
        }
    }

    fn leave(&mut self, node: usize) {
        let moment = self.nodes[node].moment(self.now);
        let ignore = self.mutation == Some(Mutation::IgnoreLease);
        let Some(up) = &mut self.nodes[node].up else { return };
        let Some(mut effects) = up.leaving.take() else { return };
        if effects.leased && moment >= up.lease && !ignore {
            up.shard.lease_lost(Moment(moment), &mut effects);
        }
        let process = up.process;
        if self.tracing {
            for word in &effects.words {
                let line = format!("{:>9} {}/{} -> {word:?}", self.now, process.node, process.boot);
                self.trace.push_back(line);
            }
        }
        let Effects { writes, ticket, words, replies, wishes, reads, alarms, .. } = effects;
        for (queue, alarm) in alarms {
            self.oracle.fail(|| format!("{queue:?} at {process:?}: {alarm}"));
        }
        if !writes.is_empty() {
            self.nodes[node].disk.write(ticket, writes);
            self.sync_soon(node);
            if self.mutation == Some(Mutation::PersistedTooEarly) && self.rng.percent(50) {
                self.mail(node, Input::Persisted(ticket));
            }
        }
        self.look(node);
        self.send(node, process, words);
        for read in reads {
            let delay = self.rng.between(50, 3 * MS);
            let (request, queue, first, max_bytes) = (read.request, read.queue, read.first, read.max_bytes);
            self.at(delay, node, Event::Read { request, queue, first, max_bytes });
        }
        for (queue, wish) in wishes {
            let delay = self.rng.between(MS, 15 * MS);
            self.at(delay, node, Event::Wish { queue, wish });
        }
        for (connection, _, event) in replies {
            self.reply(node, process, connection, event);
        }
    }

    /// The oracle looks at what this node's leaders have committed.
    fn look(&mut self, node: usize) {
        let Node { up: Some(up), disk, .. } = &self.nodes[node] else { return };
        for queue in self.catalog.queues.keys().chain(&self.catalog.deleted) {
            let Some(replica) = up.shard.replica(*queue).filter(|replica| replica.is_leading()) else { continue };
            let Some(assignment) = replica.assignment() else { continue };
            self.oracle.ledger(*queue, up.process, assignment.epoch, replica.ledger(), |index| disk.entry(*queue, index));
        }
    }

    fn send(&mut self, node: usize, process: Process, words: Vec<(NodeId, QueueId, QueueWord)>) {
        let mut batches: BTreeMap<usize, Vec<(QueueId, QueueWord)>> = BTreeMap::new();
        for (to, queue, word) in words {
            if let QueueWord::ToEntry(epoch, said) = &word {
                let offsets: Vec<u64> = match said {
                    ToEntry::Deliver { deliveries } => deliveries.iter().map(|delivery| delivery.offset.0).collect(),
                    ToEntry::Got { delivery, .. } => vec![delivery.offset.0],
                    _ => Vec::new(),
                };
                if !offsets.is_empty() || matches!(said, ToEntry::Empty { .. } | ToEntry::Counted { .. }) {
                    self.oracle.served(queue, *epoch, process, offsets);
                }
            }
            batches.entry(to.0 as usize - 1).or_default().push((queue, word));
        }
        for (to, words) in batches {
            let flows = self.net.flows(node, to, self.now);
            let delay = if self.rng.percent(3) { self.rng.between(MS, 60 * MS) } else { self.rng.between(50, MS) };
            let lost = self.mutation == Some(Mutation::SilentLoss) && self.rng.percent(2);
            let broken = !self.calm && self.rng.below(3_000) == 0;
            let told = self.nodes[node].up.as_ref().and_then(|up| up.links.get(&to).copied());
            let (link, end) = self.net.link(node, to);
            if !link.up[end] || told != Some(link.session) {
                continue;
            }
            let session = link.session;
            let arrival = (self.now + delay).max(link.last_arrival[end]).max(link.up_at[1 - end] + 1);
            link.last_arrival[end] = arrival;
            if link.cut_at[end].is_some_and(|cut| arrival >= cut) || !flows {
                continue;
            }
            if broken {
                self.break_link(node, to, 20 * MS);
                continue;
            }
            if lost {
                continue;
            }
            let later = arrival - self.now;
            self.at(later, to, Event::Arrive { from: process, from_node: node, session, words });
        }
    }

    fn arrive(&mut self, node: usize, from: Process, from_node: usize, session: u64, words: Vec<(QueueId, QueueWord)>) {
        let now = self.now;
        let (link, end) = self.net.link(from_node, node);
        if link.session == session && link.up[1 - end] && link.cut_at[end].is_none_or(|cut| now < cut) {
            self.mail(node, Input::Peer { from, words });
        }
    }

    fn reply(&mut self, node: usize, process: Process, connection: u64, event: ToChannel) {
        let index = connection as usize - 1;
        let told = match &event {
            ToChannel::Deliver { queue, offset, .. } => Some((queue, Some(offset.0))),
            ToChannel::Got { queue, found, .. } => Some((queue, found.as_ref().map(|(offset, ..)| offset.0))),
            _ => None,
        };
        if let Some((queue, offset)) = told
            && let Some(replica) = self.nodes[node].up.as_ref().and_then(|up| up.shard.replica(*queue))
            && replica.is_leading()
            && let Some(assignment) = replica.assignment()
        {
            self.oracle.served(*queue, assignment.epoch, process, offset);
        }
        let Some(mut client) = self.clients[index].take() else { return };
        let nodes = &self.nodes;
        let alive = |process: Process| nodes.iter().any(|node| node.up.as_ref().is_some_and(|up| up.process == process));
        let now = self.now;
        let wants = client.hear(index, event, now, &mut self.oracle, alive);
        self.clients[index] = Some(client);
        self.want(node, wants);
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
            Kind::Consumer(_) => self.rng.between(1, 50) * MS,
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

    // Links.

    fn connect(&mut self, a: usize, b: usize) {
        let now = self.now;
        let ready = |node: &Node| node.up.is_some() && node.frozen_until <= now;
        let good = ready(&self.nodes[a]) && ready(&self.nodes[b]) && self.net.flows_both(a, b, now);
        let (link, _) = self.net.link(a, b);
        if link.whole || link.up != [false, false] {
            return;
        }
        if !good {
            self.at(50 * MS, a, Event::Connect { peer: b });
            return;
        }
        let (first, second) = (self.rng.between(1, 10 * MS), self.rng.between(1, 10 * MS));
        let (link, end) = self.net.link(a, b);
        link.session += 1;
        link.whole = true;
        link.cut_at = [None, None];
        link.up_at[end] = now + first;
        link.up_at[1 - end] = now + second;
        let session = link.session;
        self.at(first, a, Event::LinkUp { peer: b, session });
        self.at(second, b, Event::LinkUp { peer: a, session });
    }

    fn link_up(&mut self, node: usize, peer: usize, session: u64) {
        let process = self.nodes[peer].up.as_ref().map(|up| up.process);
        let here = self.nodes[node].up.is_some();
        let (link, end) = self.net.link(node, peer);
        if link.session != session || !link.whole || !here {
            return;
        }
        if let Some(process) = process {
            link.up[end] = true;
            self.mail(node, Input::LinkUp(process));
        }
    }

    /// The session is over; each end hears of it within `notice`.
    fn break_link(&mut self, a: usize, b: usize, notice: u64) {
        let (first, second) = (self.rng.below(notice + 1), self.rng.below(notice + 1));
        let cuts = [self.rng.below(2 * MS), self.rng.below(2 * MS)];
        let now = self.now;
        let (link, _) = self.net.link(a, b);
        if !link.whole {
            return;
        }
        link.whole = false;
        for (cut_at, cut) in link.cut_at.iter_mut().zip(cuts) {
            cut_at.get_or_insert(now + cut);
        }
        let session = link.session;
        self.at(first, a, Event::LinkDown { peer: b, session });
        self.at(second, b, Event::LinkDown { peer: a, session });
    }

    fn link_down(&mut self, node: usize, peer: usize, session: u64) {
        let again = self.rng.between(5, 150) * MS;
        let (link, end) = self.net.link(node, peer);
        if link.session != session {
            return;
        }
        let was_up = std::mem::replace(&mut link.up[end], false);
        if was_up {
            link.down_at[end] = self.now;
        }
        if link.up == [false, false] {
            self.at(again, node, Event::Connect { peer });
        }
        if was_up {
            self.mail(node, Input::LinkDown(NodeId(peer as u64 + 1)));
        }
        self.excuse_the_cut_off();
    }

    // Membership and the catalog.

    /// The nodes that `node` is in contact with, over others if need be.
    fn component(&self, node: usize) -> Vec<usize> {
        let well = |index: usize| self.nodes[index].alive && self.nodes[index].frozen_until <= self.now;
        let mut found = vec![node];
        let mut at = 0;
        while let Some(&one) = found.get(at) {
            at += 1;
            for other in 0..self.nodes.len() {
                if well(other) && !found.contains(&other) && self.net.flows_both(one, other, self.now) {
                    found.push(other);
                }
            }
        }
        found
    }

    fn has_majority(&self, node: usize) -> bool {
        self.component(node).len() * 2 > self.nodes.len()
    }

    fn boot(&mut self, node: usize) {
        if !self.nodes[node].alive || self.nodes[node].up.is_some() {
            return;
        }
        if !self.has_majority(node) {
            self.at(50 * MS, node, Event::Boot);
            return;
        }
        self.nodes[node].boot += 1;
        let (incarnation, boot) = (Incarnation(self.nodes[node].incarnation), Boot(self.nodes[node].boot));
        let process = self.catalog.register(NodeId(node as u64 + 1), incarnation, boot);
        let mut shard = Shard::new(process, self.settings.clone());
        match self.nodes[node].disk.recover() {
            Ok(found) => {
                for (queue, recovery) in found {
                    shard.recover(queue, Replica::new(process, recovery, self.settings.replica.clone()));
                }
            }
            Err(what) => self.oracle.fail(|| format!("{process:?} cannot recover: {what}")),
        }
        self.note(|| format!("{process:?} starts"));
        self.nodes[node].up = Some(Up {
            process,
            shard,
            mailbox: self.catalog.snapshot(),
            turning: true,
            syncing: false,
            applied: self.catalog.log.len(),
            lease: 0,
            grants: Vec::new(),
            leaving: None,
            links: BTreeMap::new(),
            live: BTreeSet::new(),
            seen: BTreeMap::new(),
        });
        self.at(1, node, Event::Turn);
        self.at(2, node, Event::Tick);
        self.at(3, node, Event::LeaseAsk);
        if self.catalog.queues.is_empty() && self.nodes.iter().all(|node| node.up.is_some()) {
            self.declare();
        }
        self.catalog_changed();
        let queues: Vec<QueueId> = self.catalog.queues.keys().copied().collect();
        let count = if self.calm { 0 } else { self.rng.between(1, 4) };
        let queues = if queues.is_empty() { vec![QueueId(1)] } else { queues };
        for n in 0..count {
            let index = self.clients.len();
            if let Some(client) = Client::new(index, node, process, &queues, &mut self.rng, n % 2 == 0) {
                self.clients.push(Some(client));
                self.at(100 * MS, node, Event::Client(index));
            }
        }
    }

    fn catalog_changed(&mut self) {
        for node in 0..self.nodes.len() {
            let slow = self.nodes[node].slow_catalog_until.saturating_sub(self.now);
            let delay = slow + if self.rng.percent(3) { self.rng.between(MS, 300 * MS) } else { self.rng.between(500, 20 * MS) };
            self.at(delay, node, Event::Apply);
        }
    }

    fn apply(&mut self, node: usize) {
        if !self.has_majority(node) {
            return;
        }
        let until = self.catalog.log.len();
        let Some(up) = &mut self.nodes[node].up else { return };
        let news = self.catalog.log.get(up.applied..until).unwrap_or_default().to_vec();
        up.applied = until.max(up.applied);
        for input in news {
            self.mail(node, input);
        }
        self.grants(node);
    }

    fn lease_ask(&mut self, node: usize) {
        if self.has_majority(node) {
            let until = self.nodes[node].moment(self.now) + 600 * MS;
            let applied = self.catalog.log.len();
            let delay = if self.rng.percent(5) { self.rng.between(MS, 500 * MS) } else { self.rng.between(500, 10 * MS) };
            self.at(delay, node, Event::LeaseGrant { until, applied });
        }
        let delay = self.rng.between(100, 200) * MS;
        self.at(delay, node, Event::LeaseAsk);
    }

    fn grants(&mut self, node: usize) {
        let ignore = self.mutation == Some(Mutation::IgnoreLease);
        let Some(up) = &mut self.nodes[node].up else { return };
        let applied = up.applied;
        let mut granted = 0;
        up.grants.retain(|(index, until)| {
            if *index <= applied {
                granted = granted.max(*until);
            }
            *index > applied
        });
        if granted > up.lease {
            up.lease = granted;
            let until = if ignore { u64::MAX } else { granted };
            self.mail(node, Input::Lease(Moment(until)));
        }
    }

    fn tick(&mut self, node: usize) {
        let now = self.now;
        let component = self.component(node);
        let reachable: Vec<Process> = component
            .into_iter()
            .filter(|other| self.nodes[node].suspects.get(other).is_none_or(|until| *until <= now))
            .filter_map(|other| self.nodes[other].up.as_ref().map(|up| up.process))
            .collect();
        let Some(up) = &mut self.nodes[node].up else { return };
        for process in reachable {
            up.seen.insert(process, now);
        }
        up.seen.retain(|_, seen| *seen + self.detect >= now);
        let live: BTreeSet<Process> = up.seen.keys().copied().collect();
        let news = live != up.live;
        up.live.clone_from(&live);
        if news {
            self.mail(node, Input::Live(live));
        }
        self.mail(node, Input::Tick);
        if self.rng.percent(20) {
            self.apply(node);
        }
        self.excuse_the_cut_off();
        self.at(100 * MS, node, Event::Tick);
    }

    /// Clients of a node that others may have given up may see duplicates (§2.7).
    fn excuse_the_cut_off(&mut self) {
        let now = self.now;
        for node in 0..self.nodes.len() {
            let Some(process) = self.nodes[node].up.as_ref().map(|up| up.process) else { continue };
            let lags = self.nodes[node].up.as_ref().is_some_and(|up| up.applied < self.catalog.log.len())
                && self.nodes[node].slow_catalog_until > now;
            let given_up = (0..self.nodes.len()).filter(|other| *other != node).any(|other| {
                let Some(up) = &self.nodes[other].up else { return false };
                let live = up.live.contains(&process);
                let (link, end) = self.net.link(other, node);
                // A leader waits for claims for two seconds, by its clock.
                !live || (!link.up[end] && link.down_at[end] + 1_500 * MS < now)
            });
            if given_up || lags {
                self.oracle.excuse(process, now);
            }
        }
    }

    fn control(&mut self) {
        self.at(70 * MS, 0, Event::Controller);
        let now = self.now;
        let able = |node: &usize| {
            self.nodes[*node].up.as_ref().is_some_and(|up| up.applied == self.catalog.log.len())
                && self.nodes[*node].frozen_until <= now
                && self.has_majority(*node)
        };
        let Some(node) = (0..self.nodes.len()).find(able) else { return };
        let Some(live) = self.nodes[node].up.as_ref().map(|up| up.live.clone()) else { return };
        for (queue, assignment) in self.catalog.queues.clone() {
            let lately = self.elected.get(&queue).is_some_and(|at| at + 200 * MS > now);
            if !lately && assignment.leader.is_none_or(|leader| !live.contains(&leader)) {
                self.elect(queue, &live, None);
            }
        }
    }

    fn elect(&mut self, queue: QueueId, live: &BTreeSet<Process>, unwilling: Option<NodeId>) {
        let before = self.catalog.log.len();
        self.catalog.elect(queue, live, unwilling);
        if self.catalog.log.len() != before {
            self.elected.insert(queue, self.now);
            self.note(|| format!("election of {queue:?}"));
            self.catalog_changed();
        }
    }

    fn wish(&mut self, node: usize, queue: QueueId, wish: Wish) {
        let Some(process) = self.nodes[node].up.as_ref().map(|up| up.process) else { return };
        if !self.has_majority(node) || self.rng.percent(5) {
            return;
        }
        match wish {
            Wish::Isr { from, isr } => {
                self.catalog.change_isr(queue, process, &from, isr);
                self.catalog_changed();
            }
            Wish::Resign(assignment) => {
                let now = self.catalog.queues.get(&queue);
                if now.is_some_and(|now| now.epoch == assignment.epoch) {
                    let live = self.nodes[node].up.as_ref().map(|up| up.live.clone()).unwrap_or_default();
                    self.elect(queue, &live, Some(process.node));
                }
            }
            Wish::DeleteUnused => self.oracle.fail(|| format!("{queue:?} is not of the kind that deletes itself")),
        }
    }

    // Faults.

    fn fault(&mut self) {
        if self.calm {
            return;
        }
        let count = self.nodes.len() as u64;
        let node = self.rng.below(count) as usize;
        let other = (node + 1 + self.rng.below(count - 1) as usize) % count as usize;
        let long = self.rng.between(50, 2_500) * MS;
        match self.rng.below(100) {
            0..22 => self.crash(node),
            22..25 => (0..self.nodes.len()).for_each(|node| self.crash(node)),
            25..37 => self.freeze(node, long),
            37..45 => self.partition(&[node], long, true, true),
            45..52 => self.partition(&[node], long, true, false),
            52..59 => self.partition(&[node], long, false, true),
            59..67 => {
                // A and B cannot hear each other, others reach both.
                self.net.block(node, other, self.now + long);
                if self.rng.percent(60) {
                    self.net.block(other, node, self.now + long);
                }
                self.cut(node, other);
            }
            67..75 => self.break_link(node, other, 200 * MS),
            75..82 => self.nodes[node].slow_disk_until = self.now + long,
            82..89 => {
                let until = self.now + self.rng.between(500, 1_500) * MS;
                for watcher in &mut self.nodes {
                    watcher.suspects.insert(node, until);
                }
            }
            89..93 => self.nodes[node].slow_catalog_until = self.now + long,
            93..96 => self.replace_disk(node),
            96..98 => self.delete_a_queue(),
            _ => {}
        }
        let next = self.rng.between(50, 900) * MS;
        self.at(next, 0, Event::Fault);
    }

    fn crash(&mut self, node: usize) {
        if !self.nodes[node].alive {
            return;
        }
        self.note(|| format!("node {} crashes", node + 1));
        let it = &mut self.nodes[node];
        it.alive = false;
        it.up = None;
        it.life += 1;
        it.frozen_until = 0;
        it.slow_disk_until = 0;
        let mut disk = std::mem::take(&mut self.nodes[node].disk);
        disk.crash(&mut self.rng);
        self.nodes[node].disk = disk;
        for client in &mut self.clients {
            client.take_if(|client| client.node == node);
        }
        for other in 0..self.nodes.len() {
            if other != node {
                let notice = self.rng.pick(&[5 * MS, 100 * MS, 600 * MS]).unwrap_or(MS);
                self.break_link(node, other, notice);
                let (link, end) = self.net.link(node, other);
                link.up[end] = false;
                link.down_at[end] = self.now;
            }
        }
        let down = if self.rng.percent(30) { self.rng.between(1, 30) } else { self.rng.between(30, 2_500) };
        self.restart(node, down * MS);
    }

    fn restart(&mut self, node: usize, after: u64) {
        // Alive for the catalog at once, so that a majority can form again.
        self.at(after, node, Event::Boot);
        self.nodes[node].alive = true;
    }

    fn freeze(&mut self, node: usize, long: u64) {
        self.note(|| format!("node {} sleeps for {long}", node + 1));
        self.nodes[node].frozen_until = self.nodes[node].frozen_until.max(self.now + long);
        if long > 300 * MS {
            for other in 0..self.nodes.len() {
                if other != node && self.rng.percent(70) {
                    self.break_link(node, other, long);
                }
            }
        }
        self.excuse_the_cut_off();
    }

    fn partition(&mut self, group: &[usize], long: u64, outward: bool, inward: bool) {
        self.note(|| format!("partition of {group:?} for {long}, out {outward}, in {inward}"));
        for &inside in group {
            for outside in (0..self.nodes.len()).filter(|node| !group.contains(node)) {
                if outward {
                    self.net.block(inside, outside, self.now + long);
                }
                if inward {
                    self.net.block(outside, inside, self.now + long);
                }
                self.cut(inside, outside);
            }
        }
    }

    /// What is blocked is lost from now on, and noticed some time later.
    fn cut(&mut self, a: usize, b: usize) {
        let now = self.now;
        for (from, to) in [(a, b), (b, a)] {
            if !self.net.flows(from, to, now) {
                let (link, end) = self.net.link(from, to);
                link.cut_at[end].get_or_insert(now);
            }
        }
        self.break_link(a, b, 500 * MS);
    }

    /// A node comes back with an empty disk; only while others have everything.
    fn replace_disk(&mut self, node: usize) {
        let id = NodeId(node as u64 + 1);
        let spared = |queue: &std::sync::Arc<warren_replication::types::Assignment>| {
            queue.isr.iter().any(|member| member.node != id)
        };
        if self.nodes[node].up.is_none() || !self.catalog.queues.values().all(spared) {
            return;
        }
        self.crash(node);
        self.nodes[node].disk = Disk::default();
        self.nodes[node].incarnation += 1_000;
        // The catalog learns of it before anybody counts on the old one.
        let (incarnation, boot) = (Incarnation(self.nodes[node].incarnation), Boot(self.nodes[node].boot + 1));
        self.nodes[node].boot += 1;
        self.catalog.register(id, incarnation, boot);
        self.catalog_changed();
    }

    fn delete_a_queue(&mut self) {
        let queues: Vec<QueueId> = self.catalog.queues.keys().copied().collect();
        if queues.len() > 1
            && let Some(queue) = self.rng.pick(&queues)
        {
            self.note(|| format!("{queue:?} is deleted"));
            self.catalog.delete(queue);
            self.catalog_changed();
        }
    }

    fn end_of_faults(&mut self) {
        self.calm = true;
        self.note(|| "faults are over".to_owned());
        self.net.heal();
        for node in 0..self.nodes.len() {
            let it = &mut self.nodes[node];
            it.slow_disk_until = 0;
            it.slow_catalog_until = 0;
            it.suspects.clear();
        }
        self.catalog_changed();
        self.drainers();
    }

    /// One more consumer a queue, on some node that is up.
    fn drainers(&mut self) {
        let up: Vec<usize> = (0..self.nodes.len()).filter(|node| self.nodes[*node].up.is_some()).collect();
        for queue in self.catalog.queues.keys().copied().collect::<Vec<_>>() {
            let Some(node) = self.rng.pick(&up) else { return };
            let Some(process) = self.nodes[node].up.as_ref().map(|up| up.process) else { return };
            let index = self.clients.len();
            self.clients.push(Some(Client::drain(index, node, process, queue)));
            self.at(10 * MS, node, Event::Client(index));
        }
    }

    /// Whether everything serves, is redundant and empty again (promise 10).
    fn is_drained(&mut self) -> Result<(), String> {
        if self.nodes.iter().any(|node| node.up.is_none()) {
            return Err("a node is not up".to_owned());
        }
        if !self.clients.iter().flatten().any(|client| matches!(&client.kind, Kind::Consumer(_))) {
            self.drainers();
        }
        for (index, client) in self.clients.iter().enumerate() {
            if client.as_ref().is_some_and(|client| !client.is_done()) {
                return Err(format!("client {index} still waits: {client:?}"));
            }
        }
        for (queue, assignment) in &self.catalog.queues {
            if assignment.isr.len() != assignment.replicas.len() {
                return Err(format!("{queue:?} is short: {assignment:?}"));
            }
            let leading = self.nodes.iter().filter_map(|node| {
                node.up.as_ref().and_then(|up| up.shard.replica(*queue)).filter(|replica| replica.is_leading())
            });
            let leading: Vec<&Replica> = leading.collect();
            let [leader] = leading.as_slice() else {
                return Err(format!("{queue:?} has {} leaders", leading.len()));
            };
            if !leader.ledger().live().is_empty() {
                let live: Vec<_> = leader.ledger().live().iter().collect();
                return Err(format!("{queue:?} is not empty: {live:?}, horizon {:?}", leader.ledger().horizon()));
            }
        }
        Ok(())
    }
}
