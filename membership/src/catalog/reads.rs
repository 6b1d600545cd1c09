//! What others ask the catalog: names to things, permissions, listings.

use std::collections::BTreeSet;

use warren_replication::types::{Boot, Incarnation, Member, NodeId, Process, QueueId};

use super::policies::Policies;
use super::queues::Queue;
use super::refusal::Refusal;
use super::topology::{Binding, Exchange, Vhost};
use super::users::{TopicPermissions, User, Verb};
use super::{Node, Resource, State};

/// The name that RabbitMQ's permissions know the default exchange by.
const DEFAULT_EXCHANGE: &str = "amq.default";

impl State {
    /// The cluster's id, once it has formed.
    #[must_use]
    pub fn cluster(&self) -> Option<&str> {
        self.cluster.as_deref()
    }

    /// Queue ids at or above this were not given yet: a queue unknown here with
    /// an id below is deleted, with one at or above is not yet heard of (§5.6).
    #[must_use]
    pub const fn next_queue(&self) -> QueueId {
        self.last_queue.next()
    }

    /// A queue by its id.
    #[must_use]
    pub fn queue(&self, queue: QueueId) -> Option<&Queue> {
        self.queues.get(&queue)
    }

    /// All queues, by id.
    pub fn queues(&self) -> impl ExactSizeIterator<Item = (QueueId, &Queue)> {
        self.queues.iter().map(|(id, queue)| (*id, queue))
    }

    /// A queue by its name.
    pub fn queue_named(&self, vhost: &str, name: &str) -> Result<(QueueId, &Queue), Refusal> {
        let id = self.vhost(vhost)?.queues.get(name);
        id.and_then(|id| Some((*id, self.queues.get(id)?)))
            .ok_or_else(|| Refusal::NotFound(Resource::queue(vhost, name)))
    }

    /// A vhost by its name.
    pub fn vhost(&self, name: &str) -> Result<&Vhost, Refusal> {
        self.vhosts.get(name).ok_or_else(|| Refusal::UnknownVhost(name.to_owned()))
    }

    /// All vhosts, by name.
    pub fn vhosts(&self) -> impl ExactSizeIterator<Item = (&str, &Vhost)> {
        self.vhosts.iter().map(|(name, vhost)| (name.as_str(), vhost))
    }

    /// An exchange by its name; `""` is the default one.
    pub fn exchange(&self, vhost: &str, name: &str) -> Result<&Exchange, Refusal> {
        let exchange = self.vhost(vhost)?.exchanges.get(name);
        exchange.ok_or_else(|| Refusal::NotFound(Resource::exchange(vhost, name)))
    }

    /// The bindings of a vhost: source exchange and binding. The default
    /// exchange's, one a queue by its name, are not listed.
    pub fn bindings<'a>(&'a self, vhost: &str) -> impl Iterator<Item = (&'a str, &'a Binding)> {
        let exchanges = self.vhosts.get(vhost).into_iter().flat_map(|vhost| &vhost.exchanges);
        exchanges.flat_map(|(name, exchange)| exchange.bindings.iter().map(move |binding| (name.as_str(), binding)))
    }

    /// A user by its name.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name)
    }

    /// All users, by name.
    pub fn users(&self) -> impl ExactSizeIterator<Item = (&str, &User)> {
        self.users.iter().map(|(name, user)| (name.as_str(), user))
    }

    /// Whether the user may enter the vhost at all.
    #[must_use]
    pub fn may_enter(&self, user: &str, vhost: &str) -> bool {
        self.vhosts.contains_key(vhost) && self.users.get(user).is_some_and(|user| user.permissions.contains_key(vhost))
    }

    /// Whether the user may do that to the queue or exchange of that name.
    #[must_use]
    pub fn may(&self, user: &str, vhost: &str, verb: Verb, name: &str) -> bool {
        let permissions = self.users.get(user).and_then(|user| user.permissions.get(vhost));
        permissions.is_some_and(|permissions| {
            let pattern = match verb {
                Verb::Configure => &permissions.configure,
                Verb::Write => &permissions.write,
                Verb::Read => &permissions.read,
            };
            let name = if name.is_empty() { DEFAULT_EXCHANGE } else { name };
            pattern.allows(name)
        })
    }

    /// Which routing keys the user may use with a topic exchange; `None` = all.
    #[must_use]
    pub fn topic_permissions(&self, user: &str, vhost: &str, exchange: &str) -> Option<&TopicPermissions> {
        self.users.get(user)?.topics.get(vhost)?.get(exchange)
    }

    /// A node by its id.
    #[must_use]
    pub fn node(&self, node: NodeId) -> Option<&Node> {
        self.nodes.get(&node)
    }

    /// A node by its name.
    #[must_use]
    pub fn node_named(&self, name: &str) -> Option<&Node> {
        self.nodes.values().find(|node| node.name == name)
    }

    /// All nodes, by id.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &Node> {
        self.nodes.values()
    }

    /// Disks that nodes had before, or that forgotten nodes had.
    pub fn retired(&self) -> impl Iterator<Item = Member> {
        self.retired.iter().copied()
    }

    /// Whether this process is the one that its node registered last. Only such
    /// a process is granted a lease, and only such a one leads (§4.0, §6.7).
    #[must_use]
    pub fn is_registered(&self, process: &Process) -> bool {
        self.nodes.get(&process.node).is_some_and(|node| node.process == *process)
    }

    /// The boot that a node registered last.
    #[must_use]
    pub fn boot(&self, node: NodeId) -> Option<Boot> {
        self.nodes.get(&node).map(|node| node.process.boot)
    }

    /// The policies in force.
    #[must_use]
    pub const fn policies(&self) -> &Policies {
        &self.policies
    }

    /// Queues that nobody leads.
    pub fn down(&self) -> impl ExactSizeIterator<Item = QueueId> {
        self.index.down.iter().copied()
    }

    /// How many queues a node leads.
    #[must_use]
    pub fn led_by(&self, node: NodeId) -> usize {
        let of = |incarnation, boot| Process { node, incarnation: Incarnation(incarnation), boot: Boot(boot) };
        self.index.led.range(of(0, 0)..=of(u64::MAX, u64::MAX)).map(|(_, queues)| queues.len()).sum()
    }

    /// How many queues have a copy on a node.
    #[must_use]
    pub fn hosted_by(&self, node: NodeId) -> usize {
        self.index.hosted.get(&node).map_or(0, BTreeSet::len)
    }

    /// Whether some queue's leader is not a registered, live process, or is
    /// missing: whether [`super::Command::Elect`] has work to do.
    #[must_use]
    pub fn needs_election(&self, live: &BTreeSet<Process>) -> bool {
        let leads = |process: &Process| live.contains(process) && self.is_registered(process);
        self.needs_primary(live)
            || self.index.led.keys().any(|leader| !leads(leader))
            || self.index.down.iter().any(|id| self.could_lead(*id, live))
    }

    /// Whether a member that may lead the queue is live.
    pub(super) fn could_lead(&self, queue: QueueId, live: &BTreeSet<Process>) -> bool {
        self.queues.get(&queue).is_some_and(|queue| {
            let assignment = &queue.assignment;
            live.iter().any(|process| {
                let member = process.member();
                self.is_registered(process)
                    && (assignment.isr.contains(&member) || assignment.eligible.contains(&member))
            })
        })
    }
}
