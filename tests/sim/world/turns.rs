//! One turn of a shard, and what follows from it.

use std::collections::BTreeMap;

use warren_replication::message::{QueueWord, ToEntry};
use warren_replication::step::Write;
use warren_replication::types::{Clock, Moment, NodeId, Offset, Process, QueueId};
use warren_shard::step::{Effects, Input, ToChannel, Transfers};

use super::{Event, MS, Mutation, Node, World};

impl World {
    pub(super) fn turn(&mut self, node: usize) {
        self.turns += 1;
        let moment = Moment(self.nodes[node].moment(self.now));
        let wall = self.nodes[node].wall(self.now);
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
        let led = |queue: &QueueId| {
            let replica = up.shard.replica(*queue).filter(|replica| replica.is_leading())?;
            Some((*queue, replica.assignment()?.epoch))
        };
        up.leading = self.catalog.queues.keys().filter_map(led).collect();
        up.shard.turn(Clock { now: moment, wall }, inputs, &mut effects);
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

    pub(super) fn leave(&mut self, node: usize) {
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
        let Effects { writes, ticket, words, replies, wishes, transfers, reads, alarms, .. } = effects;
        for (queue, alarm) in alarms {
            self.oracle.fail(|| format!("{queue:?} at {process:?}: {alarm}"));
        }
        if !writes.is_empty() {
            let anew = |write: &Option<Write>| match write {
                Some(Write::Rewrite { entries, .. }) => entries.len() as u64,
                _ => 0,
            };
            self.oracle.hollowed += writes.iter().map(|(_, write)| anew(write)).sum::<u64>();
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
        for (queue, said) in transfers {
            self.transfer(node, queue, said);
        }
        for (queue, wish) in wishes {
            let delay = self.rng.between(MS, 15 * MS);
            self.at(delay, node, Event::Wish { queue, wish });
        }
        for (connection, _, event) in replies {
            self.reply(node, process, connection, event);
        }
    }

    /// Whoever moves messages on: quick, slow, or gone with its node.
    fn transfer(&mut self, node: usize, queue: QueueId, said: Transfers) {
        let Transfers::Move(epoch, transfers) = said else { return };
        let wall = self.nodes[node].wall(self.now);
        for transfer in &transfers {
            self.oracle.moved(queue, transfer, wall);
        }
        let mut offsets: Vec<Offset> = transfers.iter().map(|transfer| transfer.offset).collect();
        while !offsets.is_empty() {
            let some = self.rng.between(1, offsets.len() as u64) as usize;
            let offsets = offsets.drain(..some).collect();
            let slow = if !self.calm && self.rng.percent(5) { 1_000 * MS } else { 3 * MS };
            let delay = self.rng.between(10, slow);
            self.at(delay, node, Event::Moved { queue, epoch, offsets });
        }
    }

    /// The oracle looks at what this node's leaders have committed.
    pub(super) fn look(&mut self, node: usize) {
        let Node { up: Some(up), disk, .. } = &self.nodes[node] else { return };
        for queue in self.catalog.queues.keys().chain(&self.catalog.deleted) {
            let Some(replica) = up.shard.replica(*queue).filter(|replica| replica.is_leading()) else { continue };
            let Some(assignment) = replica.assignment() else { continue };
            self.oracle
                .ledger(*queue, up.process, assignment.epoch, replica.ledger(), |index| disk.entry(*queue, index));
        }
    }

    pub(super) fn send(&mut self, node: usize, process: Process, words: Vec<(NodeId, QueueId, QueueWord)>) {
        let mut batches: BTreeMap<usize, Vec<(QueueId, QueueWord)>> = BTreeMap::new();
        for (to, queue, word) in words {
            if let QueueWord::ToEntry(epoch, said) = &word {
                let offsets: Vec<u64> = match said {
                    ToEntry::Deliver { deliveries, .. } => {
                        deliveries.iter().map(|delivery| delivery.offset.0).collect()
                    }
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
                // With this word, and nothing behind it arrives either.
                link.cut_at[end].get_or_insert(self.now);
                self.break_link(node, to, 20 * MS);
                // Whatever follows what is lost is lost, too.
                let (link, end) = self.net.link(node, to);
                link.cut_at[end] = link.cut_at[end].min(Some(arrival));
                continue;
            }
            if lost {
                continue;
            }
            let later = arrival - self.now;
            self.at(later, to, Event::Arrive { from: process, from_node: node, session, words });
        }
    }

    pub(super) fn arrive(
        &mut self,
        node: usize,
        from: Process,
        from_node: usize,
        session: u64,
        words: Vec<(QueueId, QueueWord)>,
    ) {
        let now = self.now;
        let (link, end) = self.net.link(from_node, node);
        if link.session == session && link.up[1 - end] && link.cut_at[end].is_none_or(|cut| now < cut) {
            self.mail(node, Input::Peer { from, words });
        }
    }

    pub(super) fn reply(&mut self, node: usize, process: Process, connection: u64, event: ToChannel) {
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
            // What comes out of the turn in which it began is its predecessor's.
            && self.nodes[node].up.as_ref().and_then(|up| up.leading.get(queue)) == Some(&assignment.epoch)
        {
            self.oracle.served(*queue, assignment.epoch, process, offset);
        }
        let Some(mut client) = self.clients[index].take() else { return };
        let nodes = &self.nodes;
        let alive =
            |process: Process| nodes.iter().any(|node| node.up.as_ref().is_some_and(|up| up.process == process));
        let now = self.now;
        let wants = client.hear(index, event, now, &mut self.oracle, alive);
        self.clients[index] = Some(client);
        self.want(node, wants);
    }
}
