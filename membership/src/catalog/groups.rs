//! Primary-backup groups: the queues of one policy have one primary, the node
//! that leads them all. Which one it is belongs to the group, not to its queues,
//! so that they move together and a new queue follows the others.

use std::collections::{BTreeMap, BTreeSet};

use warren_replication::plan::{Clients, FailBack, Group, PrimaryBackup};
use warren_replication::types::{Epoch, NodeId, Process, QueueId};

use super::State;
use super::command::{Change, Command, Outcome};
use super::nodes::Node;
use super::refusal::Refusal;
use super::replication::Electable;

impl State {
    /// The node that leads the queues of a group.
    #[must_use]
    pub fn primary(&self, group: &Group) -> Option<&Node> {
        self.nodes.get(self.primaries.get(group)?)
    }

    /// All groups with their settings and their primary.
    pub fn groups(&self) -> impl Iterator<Item = (&Group, &PrimaryBackup, NodeId)> {
        self.primaries.iter().filter_map(|(group, primary)| Some((group, self.policies.group(group)?, *primary)))
    }

    /// Whether clients of a vhost are not served by this node: the group that
    /// says so, and its primary.
    #[must_use]
    pub fn turns_away(&self, vhost: &str, node: NodeId) -> Option<(&Group, Option<&Node>)> {
        let mut closed = self.groups().filter(|(group, settings, primary)| {
            group.vhost == vhost && settings.clients == Clients::Primary && *primary != node
        });
        closed.next().map(|(group, ..)| (group, self.primary(group)))
    }

    fn queues_of(&self, group: &Group) -> impl Iterator<Item = (QueueId, &super::Queue)> {
        self.queues().filter(move |(_, queue)| queue.plan.group.as_ref() == Some(group))
    }

    /// In how many of a group's queues that process is in sync, and of how many.
    fn in_sync(&self, group: &Group, process: &Process) -> (usize, usize) {
        let member = process.member();
        self.count(group, |queue| queue.assignment.isr.contains(&member))
    }

    /// The same with those counted in which it trails within `max-lag`.
    fn close(&self, group: &Group, process: &Process) -> (usize, usize) {
        let member = process.member();
        self.count(group, |queue| queue.assignment.isr.contains(&member) || queue.assignment.trailing.contains(&member))
    }

    fn count(&self, group: &Group, is: impl Fn(&super::Queue) -> bool) -> (usize, usize) {
        self.queues_of(group).fold((0, 0), |(some, all), (_, queue)| (some + usize::from(is(queue)), all + 1))
    }

    /// The node that is to be a group's primary once it has everything (§6.5).
    #[must_use]
    pub fn next_primary(&self, group: &Group) -> Option<NodeId> {
        self.moving.get(group).copied()
    }

    /// Gives new groups a primary, and takes it from those that are gone. One
    /// that is still named stays: a new edition of a policy moves nothing.
    pub(super) fn regroup(&mut self, changes: &mut Vec<Change>) {
        let mut primaries = BTreeMap::new();
        for (group, settings) in self.policies.groups() {
            let named = || settings.nodes.iter().filter_map(|name| self.node_named(name)).map(Node::id);
            let stays = self.primaries.get(&group).copied().filter(|primary| named().any(|node| node == *primary));
            if let Some(primary) = stays.or_else(|| named().next()) {
                primaries.insert(group, primary);
            }
        }
        self.moving.retain(|group, node| primaries.get(group).is_some_and(|primary| primary != node));
        if primaries != self.primaries {
            self.primaries = primaries;
            changes.push(Change::Primaries);
        }
    }

    /// Moves groups whose primary may not lead on to the node that is in sync in
    /// most of their queues, the first named of several. Their queues are all
    /// elected for, so that they move together.
    pub(super) fn move_on(&mut self, electable: &Electable, changes: &mut Vec<Change>) -> BTreeSet<QueueId> {
        let mut moved = BTreeMap::new();
        for (group, settings, primary) in self.groups() {
            if electable.contains_key(&primary) {
                continue;
            }
            let named = settings.nodes.iter().filter_map(|name| self.node_named(name));
            let mut best = None;
            for process in named.filter_map(|node| electable.get(&node.id())) {
                let (in_sync, _) = self.close(group, process);
                if best.is_none_or(|(most, _)| in_sync > most) {
                    best = Some((in_sync, process.node));
                }
            }
            if let Some((_, node)) = best {
                moved.insert(group.clone(), node);
            }
        }
        if moved.is_empty() {
            return BTreeSet::new();
        }
        let queues = moved.keys().flat_map(|group| self.queues_of(group)).map(|(id, _)| id).collect();
        self.moving.retain(|group, _| !moved.contains_key(group));
        self.primaries.extend(moved);
        changes.push(Change::Primaries);
        queues
    }

    /// Whether a group's primary is not live while a backup is.
    pub(super) fn needs_primary(&self, live: &BTreeSet<Process>) -> bool {
        let lives = |node: &Node| live.contains(&node.process);
        self.groups().any(|(group, settings, _)| {
            self.primary(group).is_none_or(|primary| !lives(primary))
                && settings.nodes.iter().filter_map(|name| self.node_named(name)).any(lives)
        })
    }

    /// A planned change of a group's primary: refused unless the new one is in
    /// sync in all of its queues.
    pub(super) fn move_primary(
        &mut self,
        group: &Group,
        to: NodeId,
        live: &[Process],
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, Refusal> {
        let Some(settings) = self.policies.group(group) else {
            return Err(Refusal::Policy(format!("'{}' is no primary-backup policy", group.policy)));
        };
        let Some(node) = self.nodes.get(&to).filter(|node| settings.nodes.contains(&node.name)) else {
            return Err(Refusal::Policy(format!("node {to} is none of policy '{}'", group.policy)));
        };
        if !live.contains(&node.process) {
            return Err(Refusal::Stale(format!("node '{}' is not live", node.name)));
        }
        let (in_sync, all) = self.in_sync(group, &node.process);
        let trails = settings.max_lag.is_some() && self.close(group, &node.process) == (all, all);
        let (name, electable) = (&node.name, Electable::from([(to, node.process)]));
        if self.primaries.get(group) == Some(&to) && self.moving.contains_key(group) {
            self.set_moving(group, None, changes);
            return Ok(Outcome::Done);
        }
        if in_sync < all && trails {
            // What trails is brought up first: until then confirms wait for it.
            self.set_moving(group, Some(to), changes);
            return Ok(Outcome::Done);
        }
        if in_sync < all {
            let manual = self.queues_of(group).any(|(_, queue)| queue.assignment.manual.is_some());
            let hint = if manual { "; `warren queues sync` gives it the copies that it lacks" } else { "" };
            return Err(Refusal::Stale(format!("node '{name}' is in sync in {in_sync} of {all} queues only{hint}")));
        }
        if !node.is_willing() {
            return Err(Refusal::Policy(format!("node '{}' is drained", node.name)));
        }
        let elsewhere = |queue: &super::Queue| queue.assignment.leader.is_none_or(|leader| leader.node != to);
        let astray: Vec<(QueueId, Epoch, bool)> = self
            .queues_of(group)
            .filter(|(_, queue)| elsewhere(queue))
            .map(|(id, queue)| (id, queue.assignment.epoch, queue.assignment.leader.is_some()))
            .collect();
        if self.primaries.insert(group.clone(), to) != Some(to) {
            changes.push(Change::Primaries);
        }
        self.moving.remove(group);
        for (id, epoch, led) in astray {
            if led {
                self.plan_handovers(&[(id, epoch, to)], changes);
            } else {
                self.elect_one(id, &electable, &BTreeSet::new(), false, changes);
            }
        }
        Ok(Outcome::Done)
    }

    /// Names the node that is to lead a group, or nobody, and lets its queues know.
    fn set_moving(&mut self, group: &Group, to: Option<NodeId>, changes: &mut Vec<Change>) {
        match to {
            Some(to) => self.moving.insert(group.clone(), to),
            None => self.moving.remove(group),
        };
        let queues: Vec<QueueId> = self.queues_of(group).map(|(id, _)| id).collect();
        for id in queues {
            self.amend(id, changes, |_, _| {});
        }
    }

    /// What brings groups to where they should be: a preferred node back into
    /// office where the policy says so, and queues that another node leads to
    /// their primary once it is in sync.
    pub(super) fn group_steps<'a>(&'a self, live: &'a BTreeSet<Process>) -> impl Iterator<Item = Command> + 'a {
        self.groups().flat_map(move |(group, settings, primary)| {
            let named = settings.nodes.iter().filter_map(|name| self.node_named(name));
            let preferred = named.take_while(|node| node.id() != primary).find(|node| {
                let (in_sync, all) = self.close(group, &node.process);
                settings.fail_back == FailBack::Auto
                    && node.is_willing()
                    && live.contains(&node.process)
                    && in_sync == all
            });
            let live: Vec<Process> = live.iter().copied().collect();
            if let Some(to) = self.moving.get(group).and_then(|to| self.nodes.get(to)) {
                let (in_sync, all) = self.in_sync(group, &to.process);
                let settled = in_sync == all && live.contains(&to.process);
                // It comes to that, or to nothing when the node is gone.
                let to = if settled { to.id() } else { primary };
                let due = settled || !live.contains(&self.nodes[&self.moving[group]].process);
                return if due { vec![Command::MovePrimary { group: group.clone(), to, live }] } else { Vec::new() };
            }
            if let Some(to) = preferred {
                return vec![Command::MovePrimary { group: group.clone(), to: to.id(), live }];
            }
            let known: BTreeSet<Process> = live.iter().copied().collect();
            let astray = self.queues_of(group).filter_map(|(id, queue)| {
                let assignment = &queue.assignment;
                let elsewhere = assignment.leader.is_some_and(|leader| leader.node != primary);
                let to = self.successor(queue, &known).filter(|_| elsewhere && queue.handover.is_none())?;
                Some((id, assignment.epoch, to))
            });
            let moves: Vec<_> = astray.collect();
            if moves.is_empty() { Vec::new() } else { vec![Command::PlanHandovers { moves }] }
        })
    }

    /// Whether a process is in sync in all queues of a group.
    pub(super) fn has_all_of(&self, group: &Group, process: &Process) -> bool {
        let (in_sync, all) = self.in_sync(group, process);
        in_sync == all
    }

    /// The same, or trails in some of them within `max-lag`.
    pub(super) fn trails_in_all_of(&self, group: &Group, process: &Process) -> bool {
        let (close, all) = self.close(group, process);
        close == all
    }
}
