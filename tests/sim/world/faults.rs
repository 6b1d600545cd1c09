//! What is thrown at the cluster (§7): crashes, sleep, partitions, broken
//! links, slow disks and catalogs, wrong suspicions, replaced disks, deletions.

use warren_membership::catalog::Command;
use warren_replication::types::{Boot, Incarnation, NodeId, QueueId};

use super::{Event, MS, World};
use crate::disk::Disk;
use crate::rng::Rng;

impl World {
    pub(super) fn fault(&mut self) {
        if self.calm {
            return;
        }
        // Of its own chance, so that those that follow are the same without it.
        let number = self.faults;
        self.faults += 1;
        let mut rng = Rng::new(self.case.seed.wrapping_mul(1_000_003).wrapping_add(number));
        let count = self.nodes.len() as u64;
        let node = rng.below(count) as usize;
        let other = (node + 1 + rng.below(count - 1) as usize) % count as usize;
        let long = rng.between(50, 2_500) * MS;
        let kind = rng.below(100);
        let next = rng.between(50, 900) * MS;
        self.at(next, 0, Event::Fault);
        if self.case.without.contains(&number) {
            return;
        }
        self.note(|| format!("fault {number}, of kind {kind}, node {}, other {}, {long} µs", node + 1, other + 1));
        match kind {
            0..18 => self.crash(node),
            18..22 => self.hand_over(),
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
            82..85 => {
                // Nodes that apply late learn of both at once.
                let before = self.catalog.policies();
                self.change_policy();
                self.at(long / 4, 0, Event::PutBack(before.clone()));
                self.before = Some(before);
            }
            85..89 => {
                let until = self.now + self.rng.between(500, 1_500) * MS;
                for watcher in &mut self.nodes {
                    watcher.suspects.insert(node, until);
                }
            }
            89..93 => self.nodes[node].slow_catalog_until = self.now + long,
            93..96 => self.replace_disk(node),
            96..98 => self.delete_a_queue(),
            98 => self.change_policy(),
            _ => self.hand_over(),
        }
    }

    pub(super) fn crash(&mut self, node: usize) {
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

    pub(super) fn restart(&mut self, node: usize, after: u64) {
        // Alive for the catalog at once, so that a majority can form again.
        self.at(after, node, Event::Boot);
        self.nodes[node].alive = true;
    }

    pub(super) fn freeze(&mut self, node: usize, long: u64) {
        self.note(|| format!("node {} sleeps for {long}", node + 1));
        self.nodes[node].frozen_until = self.nodes[node].frozen_until.max(self.now + long);
        if long > 300 * MS {
            for other in 0..self.nodes.len() {
                if other != node && self.rng.percent(70) {
                    // What comes while it sleeps is in its sockets when it wakes.
                    let late = self.now + self.rng.below(long);
                    let (link, end) = self.net.link(other, node);
                    if link.whole {
                        link.cut_at[end].get_or_insert(late);
                    }
                    self.break_link(node, other, long);
                }
            }
        }
        self.excuse_the_cut_off();
    }

    /// While a leader sleeps, a replica goes and is wanted back; it wakes with old
    /// words of that replica in its sockets, and ends soon.
    pub(super) fn sleep_at_a_bad_moment(&mut self, queue: QueueId) {
        let leader = self.catalog.queues.get(&queue).and_then(|queue| queue.leader);
        let Some(leader) = leader.filter(|_| !self.calm && self.rng.percent(80)) else { return };
        let node = leader.node.0 as usize - 1;
        let long = self.rng.between(5, 300) * MS;
        self.freeze(node, long);
        if let Some(before) = self.before.clone() {
            let soon = self.rng.between(0, long / 2);
            self.at(soon, 0, Event::PutBack(before));
        }
        if self.rng.percent(70) {
            let soon = long + self.rng.between(1, 100) * MS;
            self.at(soon, node, Event::Crash);
        }
    }

    pub(super) fn partition(&mut self, group: &[usize], long: u64, outward: bool, inward: bool) {
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
    pub(super) fn cut(&mut self, a: usize, b: usize) {
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
    pub(super) fn replace_disk(&mut self, node: usize) {
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
        let (incarnation, boot) = (Incarnation(self.nodes[node].incarnation), Boot(1));
        self.nodes[node].boot = 1;
        if let Err(why) = self.catalog.register(id, incarnation, boot) {
            self.oracle.fail(|| format!("node {} is refused: {}", node + 1, why.text()));
        }
        self.catalog_changed();
    }

    pub(super) fn delete_a_queue(&mut self) {
        let queues: Vec<QueueId> = self.catalog.queues.keys().copied().collect();
        if queues.len() > 1
            && let Some(queue) = self.rng.pick(&queues)
        {
            self.note(|| format!("{queue:?} is deleted"));
            self.commit(&Command::DeleteQueue { queue, compared: None });
        }
    }

    /// Somebody plans another leader, on what its node knows (§6.5).
    pub(super) fn hand_over(&mut self) {
        let seen: Vec<usize> = (0..self.nodes.len()).filter(|node| self.nodes[*node].up.is_some()).collect();
        let Some(asked) = self.rng.pick(&seen).filter(|node| self.has_majority(*node)) else { return };
        let Some(live) = self.nodes[asked].up.as_ref().map(|up| up.live.clone()) else { return };
        if let Some(command) = self.catalog.any_handover(&live, &mut self.rng) {
            self.commit(&command);
        }
    }

    pub(super) fn end_of_faults(&mut self) {
        self.calm = true;
        self.note(|| "faults are over".to_owned());
        self.net.heal();
        for node in 0..self.nodes.len() {
            let it = &mut self.nodes[node];
            it.slow_disk_until = 0;
            it.slow_catalog_until = 0;
            it.suspects.clear();
        }
        for command in self.catalog.undrain() {
            self.commit(&command);
        }
        // A process that has said that it stops does.
        for node in self.catalog.stopping() {
            self.crash(node.0 as usize - 1);
        }
        self.catalog_changed();
        self.drainers();
    }
}
