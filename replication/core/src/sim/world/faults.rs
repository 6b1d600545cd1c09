//! What goes wrong in the world, and how it comes right again.

use bytes::Bytes;

use super::super::disk::Disk;
use super::super::publisher::Publisher;
use super::{Moment, NodeId, QUEUE, Replica, Verdict, What, World, settings};
use crate::message::MirrorMessage;
use crate::step::Event;
use crate::types::{Incarnation, Member};

impl World {
    pub(super) fn fault(&mut self) -> Verdict {
        if !self.faults {
            return Ok(());
        }
        self.later(20, 250, What::Fault);
        let count = self.nodes.len() as u64;
        let node = self.rng.below(count) as usize;
        let other = self.rng.below(count) as usize;
        if self.catalog.called.is_some() && self.rng.permille(100) {
            let on = self.rng.permille(700);
            self.catalog.synchronize(on);
        }
        match self.rng.below(12) {
            0 | 1 => self.crash(node),
            2..=4 => {
                let down: Vec<usize> = (0..self.nodes.len()).filter(|&nth| self.nodes[nth].replica.is_none()).collect();
                if let Some(&nth) = self.rng.pick(&down) {
                    return self.restart(nth);
                }
            }
            5 => {
                self.blocked.insert((node, other));
                if self.rng.permille(500) {
                    self.blocked.insert((other, node));
                    self.step(node, Event::LinkDown(NodeId(other as u64)))?;
                }
            }
            6 | 7 => {
                self.blocked.clear();
                if self.nodes[other].replica.is_some() {
                    let process = self.nodes[other].process;
                    self.step(node, Event::LinkUp(process))?;
                }
            }
            8 => self.nodes[node].cut_from_catalog = true,
            9 => self.nodes.iter_mut().for_each(|node| node.cut_from_catalog = false),
            10 => self.nodes[node].stalled = true,
            _ => self.nodes.iter_mut().for_each(|node| node.stalled = false),
        }
        Ok(())
    }

    pub(super) fn crash(&mut self, node: usize) {
        if self.nodes[node].replica.take().is_none() {
            return;
        }
        self.tally.crashes += 1;
        self.nodes[node].disk.crash(&mut self.rng);
        self.nodes[node].syncing = false;
        self.nodes[node].stalled = false;
        // A disk may be lost while another that counts is whole (promise 1).
        let now = self.catalog.now();
        let whole = now.isr.iter().chain(&now.eligible).chain(&now.trailing).any(|member| {
            member.node.0 as usize != node && self.nodes[member.node.0 as usize].process.member() == *member
        });
        if whole && self.rng.permille(100) {
            // A wish of its own on the way could still make it the only member.
            let process = self.nodes[node].process;
            self.agenda.retain(|_, what| !matches!(what, What::ProposeIsr { by, .. } if *by == process));
            self.nodes[node].disk = Disk::default();
            self.nodes[node].applied = self.catalog.history.len();
            self.nodes[node].process.incarnation = Incarnation(1_000 + self.now);
            self.log(|| format!("{node} loses its disk"));
        }
        if self.rng.permille(700) {
            self.tell_links(node, Event::LinkDown(NodeId(node as u64)));
        }
    }

    fn tell_links(&mut self, node: usize, event: Event) {
        for at in (0..self.nodes.len()).filter(|&at| at != node) {
            self.later(0, 60, What::Link { at, event: event.clone() });
        }
    }

    /// A new boot, registered before it answers anybody (§1).
    fn restart(&mut self, node: usize) -> Verdict {
        self.nodes[node].process.boot = self.nodes[node].process.boot.next();
        let process = self.nodes[node].process;
        self.catalog.register(process);
        let recovery = self.nodes[node].disk.recover(QUEUE, self.now.is_multiple_of(2))?;
        let replica = Replica::new(process, recovery, settings());
        self.log(|| format!("{node} is back with {:?}, applied {:?}", replica.last(), replica.commit()));
        self.nodes[node].replica = Some(replica);
        // Of its catalog it has what it had applied, and maybe what came since; a
        // new disk has joined anew.
        let newest = self.catalog.history.len() as u64 - 1;
        let known = (self.nodes[node].applied as u64).saturating_sub(1).min(newest);
        self.nodes[node].applied = self.rng.between(known, newest) as usize;
        self.tell_links(node, Event::LinkUp(process));
        self.apply_catalog(node)
    }

    /// A network may hold words back for as long as it likes: those of an earlier
    /// reign come in the next one.
    pub(super) fn hear_again(&mut self, node: usize) {
        let Some(reports) = self.reports.get(node).filter(|_| self.faults).cloned() else { return };
        for (from, message) in reports {
            if self.rng.permille(500) {
                self.later(1, 100, What::Deliver { to: node, from, message });
            }
        }
    }

    /// Flips a bit in one of the entries on their way.
    pub(super) fn damage(&mut self, message: MirrorMessage) -> MirrorMessage {
        match message {
            MirrorMessage::Append { epoch, version, prev, commit, unclean, mut entries } => {
                let nth = self.rng.below(entries.len() as u64) as usize;
                if let Some(entry) = entries.get_mut(nth) {
                    let mut bytes = entry.to_vec();
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 4;
                    *entry = Bytes::from(bytes);
                }
                MirrorMessage::Append { epoch, version, prev, commit, unclean, entries }
            }
            other => other,
        }
    }

    pub(super) fn heal(&mut self) -> Verdict {
        self.faults = false;
        self.blocked.clear();
        // With every disk that there is.
        self.later(400, 600, What::Synchronize);
        for node in 0..self.nodes.len() {
            self.nodes[node].cut_from_catalog = false;
            self.nodes[node].stalled = false;
            if self.nodes[node].replica.is_none() {
                self.restart(node)?;
            } else {
                self.tell_links(node, Event::LinkUp(self.nodes[node].process));
            }
        }
        Ok(())
    }

    /// Promise 10: everybody in sync, everything confirmed and known everywhere.
    pub(super) fn has_converged(&self) -> bool {
        let now = self.catalog.now();
        let trailing = |member: &Member| now.max_lag.is_some() && now.trailing.contains(member);
        let full = self.nodes.iter().map(|node| node.process.member()).all(|m| now.isr.contains(&m) || trailing(&m));
        let replicas = || self.nodes.iter().filter_map(|node| node.replica.as_ref());
        full && replicas().filter(|replica| replica.is_leading()).count() == 1
            && self.publishers.iter().all(Publisher::is_idle)
            && replicas()
                .all(|replica| replica.commit() == self.oracle.head() && replica.commit() == replica.last().index)
            && replicas().all(|replica| *replica.ledger() == self.oracle.ledger)
            && replicas().filter(|replica| replica.is_leading()).all(Replica::is_quiet)
    }

    pub(super) fn why_not_converged(&self) -> String {
        let mut text = format!("not converged: {:?}, head {}", self.catalog.now(), self.oracle.head());
        for node in &self.nodes {
            let Some(replica) = &node.replica else { continue };
            text += &format!(
                "\n  {:?} leads {} known {} last {:?} base {:?} durable {} commit {} quiet {} {:?}",
                node.process,
                replica.is_leading(),
                replica.known_epoch(),
                replica.last(),
                replica.base(),
                replica.durable(),
                replica.commit(),
                replica.is_quiet(),
                replica.mirrors(Moment(self.now)),
            );
        }
        for publisher in &self.publishers {
            text += &format!("\n  publisher {:?} idle {}", publisher.session, publisher.is_idle());
        }
        text
    }
}
