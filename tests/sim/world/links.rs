//! How links come up and break, and who hears of it when.

use warren_replication::types::NodeId;
use warren_shard::step::Input;

use super::{Event, MS, Node, World};

impl World {
    pub(super) fn connect(&mut self, a: usize, b: usize) {
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

    pub(super) fn link_up(&mut self, node: usize, peer: usize, session: u64) {
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
    pub(super) fn break_link(&mut self, a: usize, b: usize, notice: u64) {
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

    pub(super) fn link_down(&mut self, node: usize, peer: usize, session: u64) {
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
}
