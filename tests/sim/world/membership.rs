//! Who is reachable, who counts as live, what the catalog says where, leases
//! and elections.

use std::collections::{BTreeMap, BTreeSet};

use warren_membership::catalog::Command;
use warren_replication::replica::Replica;
use warren_replication::types::{Boot, Incarnation, Moment, NodeId, Process, QueueId};
use warren_shard::Shard;
use warren_shard::step::{Input, Wish};

use super::{Event, MS, Mutation, Up, World};
use crate::clients::{Client, Kind};
use crate::sites::Link;
use crate::streams::Reader;

impl World {
    /// The nodes that `node` is in contact with, over others if need be.
    pub(super) fn component(&self, node: usize) -> Vec<usize> {
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

    pub(super) fn has_majority(&self, node: usize) -> bool {
        let joined = |index: &&usize| self.nodes[**index].joined;
        let all = self.nodes.iter().filter(|node| node.joined).count();
        self.component(node).iter().filter(joined).count() * 2 > all
    }

    pub(super) fn boot(&mut self, node: usize) {
        if !self.nodes[node].alive || self.nodes[node].up.is_some() {
            return;
        }
        if !self.has_majority(node) {
            self.at(50 * MS, node, Event::Boot);
            return;
        }
        self.nodes[node].boot += 1;
        let (incarnation, boot) = (Incarnation(self.nodes[node].incarnation), Boot(self.nodes[node].boot));
        let process = match self.catalog.register(NodeId(node as u64 + 1), incarnation, boot) {
            Ok(process) => process,
            Err(why) => return self.oracle.fail(|| format!("node {} is refused: {}", node + 1, why.text())),
        };
        self.nodes[node].joined = true;
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
            leading: BTreeMap::new(),
            links: BTreeMap::new(),
            live: BTreeSet::new(),
            seen: BTreeMap::new(),
        });
        self.at(1, node, Event::Turn);
        self.at(2, node, Event::Tick);
        self.at(3, node, Event::LeaseAsk);
        if self.catalog.queues.is_empty() && self.nodes.iter().all(|node| node.up.is_some() || !node.joined) {
            self.declare();
        }
        self.catalog_changed();
        let queues: Vec<QueueId> = self.catalog.queues.keys().copied().collect();
        let count = if self.calm { 0 } else { self.rng.between(1, 4) };
        let queues = if queues.is_empty() { vec![QueueId(1)] } else { queues };
        let delayed = self.oracle.delayed();
        for n in 0..count {
            let index = self.clients.len();
            if let Some(mut client) = Client::new(index, node, process, (&queues, &delayed), &mut self.rng, n % 2 == 0)
            {
                if n % 2 == 1 && self.catalog.is_stream(client.queue()) {
                    client.kind = Kind::Reader(Reader::any(&mut self.rng));
                }
                self.clients.push(Some(client));
                self.at(100 * MS, node, Event::Client(index));
            }
        }
        let shared = self.rng.pick(&queues).filter(|queue| !delayed.contains(queue) && !self.catalog.is_stream(*queue));
        if !self.calm
            && self.rng.percent(30)
            && let Some(queue) = shared
        {
            let index = self.clients.len();
            let link = Link::any(&mut self.rng);
            self.clients.push(Some(Client::link(index, node, process, queue, link)));
            self.at(100 * MS, node, Event::Client(index));
        }
    }

    pub(super) fn catalog_changed(&mut self) {
        for node in 0..self.nodes.len() {
            let slow = self.nodes[node].slow_catalog_until.saturating_sub(self.now);
            let delay = slow
                + if self.rng.percent(3) { self.rng.between(MS, 300 * MS) } else { self.rng.between(500, 20 * MS) };
            self.at(delay, node, Event::Apply);
        }
    }

    pub(super) fn apply(&mut self, node: usize) {
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

    pub(super) fn lease_ask(&mut self, node: usize) {
        if self.has_majority(node) {
            let until = self.nodes[node].moment(self.now) + 600 * MS;
            let applied = self.catalog.log.len();
            let delay =
                if self.rng.percent(5) { self.rng.between(MS, 500 * MS) } else { self.rng.between(500, 10 * MS) };
            self.at(delay, node, Event::LeaseGrant { until, applied });
        }
        let delay = self.rng.between(100, 200) * MS;
        self.at(delay, node, Event::LeaseAsk);
    }

    pub(super) fn grants(&mut self, node: usize) {
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

    pub(super) fn tick(&mut self, node: usize) {
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
    pub(super) fn excuse_the_cut_off(&mut self) {
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
                // The nodes look again a tick later.
                self.oracle.excuse(process, now + 100 * MS);
            }
        }
    }

    pub(super) fn control(&mut self) {
        self.at(70 * MS, 0, Event::Controller);
        let now = self.now;
        let able = |node: &usize| {
            self.nodes[*node].up.as_ref().is_some_and(|up| up.applied == self.catalog.log.len())
                && self.nodes[*node].frozen_until <= now
                && self.has_majority(*node)
        };
        let Some(node) = (0..self.nodes.len()).find(able) else { return };
        let Some(live) = self.nodes[node].up.as_ref().map(|up| up.live.clone()) else { return };
        for command in self.catalog.decide(&live) {
            self.commit(&command);
            if let Command::Retire { queue, .. } = command {
                self.sleep_at_a_bad_moment(queue);
            }
        }
        if !self.calm && self.rng.percent(10) {
            self.hand_over();
        }
        // In the end an operator wants all copies.
        if self.rng.percent(if self.calm { 20 } else { 3 }) {
            let on = self.calm || self.rng.percent(70);
            if let Some(command) = self.catalog.synchronize(&live, on, &mut self.rng) {
                self.commit(&command);
            }
        }
    }

    /// What the catalog refuses, it refuses; who asked finds out by what is applied.
    pub(super) fn commit(&mut self, command: &Command) {
        let before = self.catalog.log.len();
        let outcome = self.catalog.commit(command);
        self.note(|| format!("{command:?}: {outcome:?}"));
        if self.catalog.log.len() != before {
            self.catalog_changed();
        }
    }

    pub(super) fn wish(&mut self, node: usize, queue: QueueId, wish: Wish) {
        if !self.has_majority(node) || self.rng.percent(5) {
            return;
        }
        let Some(up) = &self.nodes[node].up else { return };
        match wish {
            Wish::Isr { from, isr, trailing } => {
                self.commit(&Command::ChangeIsr { queue, epoch: from.epoch, version: from.version, isr, trailing });
            }
            Wish::Resign(from) => {
                let live = up.live.iter().copied().collect();
                let (epoch, version) = (from.epoch, from.version);
                self.commit(&Command::Resign { queue, epoch, version, live, released: false });
            }
            Wish::Offer { .. } => self.oracle.fail(|| format!("{queue:?} has no plan that may lose anything")),
            Wish::HandOver { from, to } => {
                let live = up.live.iter().copied().collect();
                let (epoch, version) = (from.epoch, from.version);
                self.commit(&Command::Handover { queue, epoch, version, to: Some(to), live, released: true });
                self.handovers += u64::from(self.catalog.queues.get(&queue).is_some_and(|now| now.epoch > from.epoch));
                // What is asked for may reach the catalog again, and late.
                if self.rng.percent(20) {
                    let delay = self.rng.between(MS, 60 * MS);
                    self.at(delay, node, Event::Wish { queue, wish: Wish::HandOver { from, to } });
                }
            }
            Wish::KeepLeading(from) => {
                self.commit(&Command::KeepLeading { queue, epoch: from.epoch, version: from.version });
            }
            Wish::DeleteUnused(_) => self.oracle.fail(|| format!("{queue:?} is not of the kind that deletes itself")),
        }
    }
}
