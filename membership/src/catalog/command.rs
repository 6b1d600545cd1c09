//! What the cluster can be asked to agree on, and what comes of it. Commands
//! travel in the Raft log (several an entry) and are applied in its order by
//! every node; everything that is not the same on all nodes (time, chance, who
//! seems alive) is therefore inside the command, put there by its proposer.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use warren_replication::plan::{Group, Policy};
use warren_replication::types::{Boot, Epoch, Incarnation, LogEnd, Member, NodeId, Process, QueueId, Version};

use super::kinds::ExchangeKind;
use super::limits::{UserLimits, VhostLimits};
use super::nodes::Addresses;
use super::parameters::ParameterKey;
use super::topology::Destination;
use super::users::{Permissions, TopicPermissions};
use super::value::Arguments;

/// A connection of a process: who owns an exclusive queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// The entry node's process.
    pub process: Process,
    /// The connection on it, never reused there; 0 for the HTTP interface.
    pub connection: u64,
}

/// `queue.declare`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclareQueue {
    /// Where.
    pub vhost: String,
    /// Its name, never empty: the server's own names are made by the proposer.
    pub name: String,
    /// True if the proposer made the name (`amq.gen-…` is then allowed).
    pub server_named: bool,
    /// Survives its node's restart.
    pub durable: bool,
    /// Belongs to the declaring connection.
    pub exclusive: bool,
    /// Goes with its last consumer.
    pub auto_delete: bool,
    /// As received.
    pub arguments: Arguments,
    /// Who declares.
    pub owner: Owner,
    /// The processes that the proposer holds for live, itself included.
    pub live: Vec<Process>,
}

/// `exchange.declare`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclareExchange {
    /// Where.
    pub vhost: String,
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: ExchangeKind,
    /// As declared.
    pub durable: bool,
    /// Goes with its last binding.
    pub auto_delete: bool,
    /// Clients may not publish to it.
    pub internal: bool,
    /// As received.
    pub arguments: Arguments,
    /// Who declares; what an exchange keeps messages in is placed by it.
    pub owner: Owner,
    /// The processes that the proposer holds for live, itself included.
    pub live: Vec<Process>,
}

/// `queue.bind` and `queue.unbind`; with an exchange as destination,
/// `exchange.bind` and `exchange.unbind`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// Where.
    pub vhost: String,
    /// The source exchange.
    pub exchange: String,
    /// The destination's name.
    pub destination: DestinationName,
    /// The binding key.
    pub routing_key: String,
    /// As received.
    pub arguments: Arguments,
    /// Who asks (exclusive queues are bound by their owner only).
    pub owner: Owner,
}

/// A binding's destination as clients say it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DestinationName {
    /// A queue.
    Queue(String),
    /// An exchange.
    Exchange(String),
}

/// One thing to agree on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Name the cluster, once, when it forms; refused when it has another name.
    Form {
        /// The cluster's id.
        cluster: String,
    },
    /// Make a vhost with its default exchanges; exists already = done.
    PutVhost {
        /// Its name.
        name: String,
    },
    /// Remove a vhost and all that is in it.
    DeleteVhost {
        /// Its name.
        name: String,
    },
    /// Make or change a user.
    PutUser {
        /// Its name.
        name: String,
        /// The PHC string of its password, made by the proposer.
        password_hash: String,
        /// `administrator`, `monitoring`, …
        tags: BTreeSet<String>,
    },
    /// Remove a user and its permissions.
    DeleteUser {
        /// Its name.
        name: String,
    },
    /// What a user may do in a vhost.
    SetPermissions {
        /// Who.
        user: String,
        /// Where.
        vhost: String,
        /// What.
        permissions: Permissions,
    },
    /// The user may no longer enter the vhost.
    ClearPermissions {
        /// Who.
        user: String,
        /// Where.
        vhost: String,
    },
    /// Make an exchange, or check that it is the same.
    DeclareExchange(DeclareExchange),
    /// Remove an exchange; absent = done.
    DeleteExchange {
        /// Where.
        vhost: String,
        /// Its name.
        name: String,
        /// Refuse if anything is bound to it.
        if_unused: bool,
    },
    /// Make a queue, or check that it is the same.
    DeclareQueue(DeclareQueue),
    /// Remove a queue by its id; absent = done. Exclusive ownership is the caller's
    /// to check, and `if-unused` and `if-empty` its leader's.
    DeleteQueue {
        /// Which.
        queue: QueueId,
        /// Compared, if its leader has closed it for this.
        compared: Option<(Epoch, Version)>,
    },
    /// A connection is gone: remove its exclusive queues.
    DropOwned {
        /// Whose.
        owner: Owner,
    },
    /// A process is gone for good: remove its exclusive queues and the
    /// transient ones that only it held. (Also part of [`Command::Register`].)
    DropProcess {
        /// Which.
        process: Process,
    },
    /// Bind; bound already = done.
    Bind(Bind),
    /// Unbind; not bound = done.
    Unbind(Bind),
    /// Make or change a runtime parameter.
    SetParameter {
        /// Which.
        key: ParameterKey,
        /// JSON, checked by the proposer.
        value: String,
    },
    /// Remove a runtime parameter.
    ClearParameter {
        /// Which.
        key: ParameterKey,
    },
    /// Replace the whole set of policies, and plan every queue anew.
    ApplyPolicies {
        /// Must be above the one in force.
        revision: u64,
        /// All of them.
        policies: Vec<Policy>,
    },
    /// A process starts serving under this boot (§1). A later boot of a node
    /// drops the exclusive and transient queues of its earlier ones; a new
    /// incarnation also leaves every in-sync and eligible set (§5.5). Queues
    /// that an earlier boot led stay as they are until the next `Elect`, which
    /// treats their leader as dead whether it is listed or not.
    Register {
        /// The configured name.
        name: String,
        /// Who.
        process: Process,
        /// Drawn at random by the process at its start: tells a repeated
        /// proposal from a copied folder.
        nonce: u64,
        /// Where it listens.
        addresses: Addresses,
        /// Whether it votes in the catalog.
        voter: bool,
    },
    /// Take a node out of the cluster for good.
    Forget {
        /// Which.
        node: NodeId,
        /// Who is live.
        live: Vec<Process>,
        /// Even if queues lose their last copy (they are deleted).
        force: bool,
    },
    /// The leader's change of the in-sync set (§4.3): compare-and-set over the
    /// whole entry.
    ChangeIsr {
        /// Which queue.
        queue: QueueId,
        /// Compared.
        epoch: Epoch,
        /// Compared.
        version: Version,
        /// The whole in-sync set wanted.
        isr: BTreeSet<Member>,
        /// The whole trailing set wanted (§4.2).
        trailing: BTreeSet<Member>,
    },
    /// What a replica would lead with although something may be missing (§6.3).
    Offer {
        /// Which queue.
        queue: QueueId,
        /// Of the epoch that nobody leads.
        epoch: Epoch,
        /// Whose.
        process: Process,
        /// Where its log ends.
        end: LogEnd,
    },
    /// Nobody who has everything is live: the longest of the logs offered leads
    /// (§6.3). Where somebody is, that one is elected.
    ElectUnclean {
        /// Queues, if still in this epoch; and whether any replica may lead, or
        /// only one that trails within `max-lag`.
        queues: Vec<(QueueId, Epoch, bool)>,
        /// Who is live.
        live: Vec<Process>,
        /// When, by the proposer's clock: milliseconds since 1970.
        time: u64,
    },
    /// Give every queue that needs one a leader (§6.2): those led by the dead
    /// or by a boot that is over, those that are down, and those listed.
    Elect {
        /// Who is dead; also leaves the in-sync sets that others lead.
        dead: Vec<Process>,
        /// Who is live; only these are elected.
        live: Vec<Process>,
        /// Not to lead now (draining).
        unwilling: Vec<NodeId>,
        /// Further queues to elect for, if still in this epoch.
        queues: Vec<(QueueId, Epoch)>,
    },
    /// Planned: lead from there from now on (§6.5). Refused if the target (any
    /// other in-sync member that is live, if none is named) cannot.
    Handover {
        /// Which queue.
        queue: QueueId,
        /// Compared.
        epoch: Epoch,
        /// Compared.
        version: Version,
        /// To whom.
        to: Option<NodeId>,
        /// Who is live.
        live: Vec<Process>,
        /// Whether the leader gave its lease for the queue up, and nobody before it
        /// can still have one: then nobody waits (§6.7).
        released: bool,
    },
    /// Another node leads the queues of a group from now on: planned, refused
    /// unless it is in sync in all of them.
    MovePrimary {
        /// Which group.
        group: Group,
        /// Which node.
        to: NodeId,
        /// Who is live.
        live: Vec<Process>,
    },
    /// The leader will not lead (§4.6): another one, or nobody.
    Resign {
        /// Which queue.
        queue: QueueId,
        /// Compared.
        epoch: Epoch,
        /// Compared.
        version: Version,
        /// Who is live.
        live: Vec<Process>,
        /// Whether it gave its lease for the queue up.
        released: bool,
    },
    /// One step of a reconfiguration (§6.6): a leaving node goes.
    Retire {
        /// Which queue.
        queue: QueueId,
        /// Compared.
        epoch: Epoch,
        /// Compared.
        version: Version,
        /// Which node, not the leader's.
        node: NodeId,
    },
    /// Replace a vhost's limits.
    LimitVhost {
        /// Its name.
        name: String,
        /// All of them.
        limits: VhostLimits,
    },
    /// Replace a user's limits.
    LimitUser {
        /// Its name.
        name: String,
        /// All of them.
        limits: UserLimits,
    },
    /// Which routing keys a user may use with a topic exchange.
    SetTopicPermissions {
        /// Who.
        user: String,
        /// Where.
        vhost: String,
        /// The exchange's name; it need not be there.
        exchange: String,
        /// What.
        permissions: TopicPermissions,
    },
    /// The user may use all routing keys again: with one topic exchange, or with
    /// all of the vhost.
    ClearTopicPermissions {
        /// Who.
        user: String,
        /// Where.
        vhost: String,
        /// `None` = all.
        exchange: Option<String>,
    },
    /// An operator's word: a drained node is given no queues to lead and no new
    /// copies, and what it leads goes to others (§6.5).
    Drain {
        /// Which.
        node: NodeId,
        /// False: it may again.
        drained: bool,
    },
    /// The process is about to stop: until its node's next boot it is as one
    /// that is drained.
    Stop {
        /// Which.
        process: Process,
    },
    /// The process stops now: it leaves the in-sync sets that others lead.
    Depart {
        /// Which.
        process: Process,
    },
    /// These queues are to be led by those nodes; their leaders hand them over
    /// when they can (§6.5). What does not fit is left as it is.
    PlanHandovers {
        /// Queue, its epoch, the next leader.
        moves: Vec<(QueueId, Epoch, NodeId)>,
    },
    /// An operator's word (§5.3): replicas that wait for it get a copy, or those for
    /// whom it was said wait again.
    Synchronize {
        /// Which queue.
        queue: QueueId,
        /// False: no more.
        on: bool,
        /// Who is live: nobody else is meant.
        live: Vec<Process>,
    },
    /// The leader could not hand over in time and goes on (§6.5).
    KeepLeading {
        /// Which queue.
        queue: QueueId,
        /// Compared.
        epoch: Epoch,
        /// Compared.
        version: Version,
    },
}

/// What a command that was taken came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// Done, or it was so already.
    Done,
    /// The queue, and whether this command made it.
    Queue {
        /// Which.
        queue: QueueId,
        /// False: it was there.
        created: bool,
    },
    /// How many queues have a new leader, and how many are left without.
    Elected {
        /// New leaders.
        led: u32,
        /// Down.
        down: u32,
    },
    /// So many queues are going to be handed over, or replicas to get a copy.
    Planned(u32),
}

/// What a command changed, in order. Observers look the new state up by these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A vhost was made.
    Vhost(String),
    /// A vhost is gone; its exchanges' and queues' ends were told before.
    VhostDeleted(String),
    /// An exchange was made.
    Exchange {
        /// Where.
        vhost: String,
        /// Its name.
        name: String,
    },
    /// An exchange is gone; its bindings' ends were told before.
    ExchangeDeleted {
        /// Where.
        vhost: String,
        /// Its name.
        name: String,
    },
    /// A binding was made.
    Bound(BindingChange),
    /// A binding is gone.
    Unbound(BindingChange),
    /// A queue was made.
    QueueDeclared(QueueId),
    /// A queue's assignment, plan or policy changed; also told after
    /// `QueueDeclared`.
    Queue(QueueId),
    /// A queue is gone; its bindings' ends were told before.
    QueueDeleted {
        /// Which.
        queue: QueueId,
        /// Where it was.
        vhost: String,
        /// Its name.
        name: String,
    },
    /// A node registered this incarnation and boot.
    Node(NodeId, Incarnation, Boot),
    /// A node was forgotten.
    NodeForgotten(NodeId),
    /// A node is drained or about to stop, or is no more.
    Drained(NodeId),
    /// The set of policies is another one.
    Policies,
    /// A group has another primary, or groups came or went.
    Primaries,
    /// A runtime parameter was set or cleared.
    Parameters,
    /// Users, permissions or limits changed.
    Users,
}

/// A binding that came or went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingChange {
    /// Where.
    pub vhost: String,
    /// The source exchange.
    pub exchange: String,
    /// Where it leads.
    pub destination: Destination,
    /// The binding key.
    pub routing_key: String,
    /// As declared.
    pub arguments: Arguments,
}
