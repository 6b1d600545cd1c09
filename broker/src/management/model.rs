//! What the management API says, as both its server and the command line know it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The body of every answer that is not a success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// One word for programs: `unavailable`, `not_found`, `not_authorised`, …
    pub error: String,
    /// A sentence for people.
    pub reason: String,
}

/// `GET /health` of a node that serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthView {
    /// Always `ok`.
    pub status: String,
    /// The node's name.
    pub node: String,
    /// What holds publishers back on all nodes: `node-2: disk`.
    #[serde(default)]
    pub alarms: Vec<String>,
}

/// `GET /api/nodes`: the cluster as the asked node sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterView {
    /// The cluster's name.
    pub cluster: String,
    /// Who answers.
    pub answered_by: String,
    /// Who leads the catalog, if it is known.
    pub raft_leader: Option<String>,
    /// All nodes, by name.
    pub nodes: Vec<NodeRow>,
}

/// One node of the cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeRow {
    /// Its configured name.
    pub name: String,
    /// Its identity, in hexadecimal.
    pub id: String,
    /// Its disk's identity, in hexadecimal.
    pub incarnation: String,
    /// Its latest registered start.
    pub boot: u64,
    /// The version that it runs, if it lives.
    pub version: Option<String>,
    /// Whether gossip holds it for alive.
    pub alive: bool,
    /// Its part in the catalog: `leader`, `follower` or `learner`.
    pub raft: String,
    /// What it may be lost together with, as configured.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub zone: String,
    /// Where clients connect.
    pub amqp: String,
    /// Where its management API is.
    pub http: String,
    /// Queues that it leads.
    pub leads: u64,
    /// An operator does not want it to lead (`warren node drain`).
    #[serde(default)]
    pub drained: bool,
    /// What it is alarmed about: `memory`, `disk`, `max-lag: which queues`.
    pub alarms: Vec<String>,
}

/// How far a node's drain is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainView {
    /// The node's name.
    pub node: String,
    /// Whether it is drained.
    pub drained: bool,
    /// Queues that it leads and another node is about to.
    pub moving: u64,
    /// Queues that it leads until another replica has caught up.
    pub waiting: u64,
    /// Queues that it leads because no other replica is there: `QUEUE in VHOST`.
    pub stuck: Vec<String>,
}

/// A queue that gets another leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveRow {
    /// The queue.
    pub queue: String,
    /// Its virtual host.
    pub vhost: String,
    /// Who leads it.
    pub from: String,
    /// Who is to.
    pub to: String,
}

/// One queue, cluster-wide.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueueRow {
    /// Its name.
    pub name: String,
    /// Its virtual host.
    pub vhost: String,
    /// Its identity; a re-declared queue of the same name has another.
    pub id: u64,
    /// The mode of its plan: `mirror`.
    pub mode: String,
    /// The node that leads it, if one does.
    pub leader: Option<String>,
    /// The other nodes that should hold it.
    pub mirrors: Vec<String>,
    /// The nodes that have all of it, the leader among them.
    pub in_sync: Vec<String>,
    /// What those that trail within `max-lag` lack of what is confirmed: what a
    /// failure of the leader would cost now.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub trailing: BTreeMap<String, LagRow>,
    /// Those that are not in sync, as the leader sees them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lagging: BTreeMap<String, LaggingRow>,
    /// The last takeover by a replica that may have lacked something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unclean: Option<UncleanRow>,
    /// The leader's reign.
    pub epoch: u64,
    /// `running`, or one word for what it is instead.
    pub state: String,
    /// Why, if it is not simply running; and why mirrors are not in sync.
    pub why: String,
    /// Messages ready to be delivered.
    pub ready: u64,
    /// Messages delivered and not acknowledged.
    pub unacked: u64,
    /// Consumers on all nodes.
    pub consumers: u32,
    /// Bytes of ready and unacknowledged messages.
    pub bytes: u64,
    /// Messages a second, lately.
    pub rates: Rates,
    /// What other sites have of it: it is counted in `unacked`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sites: Vec<SiteShare>,
}

/// How far a backup trails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LagRow {
    /// Messages.
    pub messages: u64,
    /// Bytes of log.
    pub bytes: u64,
    /// Since the oldest of them was confirmed.
    pub seconds: f64,
    /// As much as `max-lag` allows: confirms wait for the backup.
    pub at_limit: bool,
}

/// A mirror that is not in sync.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaggingRow {
    /// `unsynchronised`: its copy waits for `warren queues sync`; `syncing`;
    /// `comparing`; `unreachable`.
    pub state: String,
    /// The same in a sentence.
    pub why: String,
    /// The last entry of the queue's log that it is known to have.
    pub entry: u64,
    /// The last entry of the log.
    pub of: u64,
}

/// `POST /api/queues/{vhost}/{name}/actions`, as in RabbitMQ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueAction {
    /// `sync` or `cancel_sync`.
    pub action: String,
}

/// A takeover after which messages may be missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UncleanRow {
    /// The node that took over.
    pub node: String,
    /// From which one.
    pub former: Option<String>,
    /// The epoch that began with it.
    pub epoch: u64,
    /// Milliseconds since 1970.
    pub time: u64,
    /// All messages below this offset are there, unless it is 0.
    pub kept_below: u64,
    /// Offsets from here on were given out afterwards.
    pub next_from: u64,
    /// No more than this is missing: messages, bytes, milliseconds; `null` is no bound.
    pub at_most: Option<[Option<u64>; 3]>,
    /// The same in a sentence.
    pub says: String,
}

/// Messages a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Taken from publishers.
    pub publish: f64,
    /// Handed to consumers.
    pub deliver: f64,
    /// Gone for good.
    pub settle: f64,
}

/// What a node knows of the queues that it leads, by queue id:
/// `GET /api/local/queues`, for the other nodes.
pub type LocalQueues = BTreeMap<u64, LocalQueue>;

/// The leader's part of a [`QueueRow`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LocalQueue {
    /// `running`, or one word for what it is instead.
    pub state: String,
    /// Why.
    pub why: String,
    /// Nodes that are not in sync.
    pub lagging: BTreeMap<String, LaggingRow>,
    /// Nodes that trail within `max-lag`.
    pub trailing: BTreeMap<String, LagRow>,
    /// Messages ready to be delivered.
    pub ready: u64,
    /// Messages delivered and not acknowledged.
    pub unacked: u64,
    /// Consumers on all nodes.
    pub consumers: u32,
    /// Bytes of ready and unacknowledged messages.
    pub bytes: u64,
    /// Messages a second, lately.
    pub rates: Rates,
    /// What other sites have of it.
    pub sites: Vec<SiteShare>,
}

/// What another site has of a queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteShare {
    /// Its name.
    pub site: String,
    /// Messages consigned to it.
    pub consigned: u64,
    /// Whether a link of it is here.
    pub linked: bool,
}

/// `POST /api/policies`: a whole policy file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyText {
    /// The file's name, for its mistakes.
    pub file: String,
    /// What it says.
    pub text: String,
}

/// The answer to a policy file that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoliciesApplied {
    /// The revision in force.
    pub revision: u64,
    /// Policies in force.
    pub policies: usize,
    /// False if the same policies were in force before.
    pub changed: bool,
}

/// `POST /api/policies/diff`: what a policy file would change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyDiff {
    /// Policies that would be gone, as `name in vhost v`.
    pub removed: Vec<String>,
    /// New ones.
    pub added: Vec<String>,
    /// Those that would say something else.
    pub changed: Vec<String>,
    /// Queues that would have another plan.
    pub queues: Vec<PlanDiff>,
}

/// A queue whose plan would be another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanDiff {
    /// Its name.
    pub queue: String,
    /// Where.
    pub vhost: String,
    /// What holds now, in sentences.
    pub now: String,
    /// What would hold.
    pub then: String,
}

/// `PUT /api/policies/primary`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovePrimary {
    /// The policy's vhost.
    pub vhost: String,
    /// A primary-backup policy.
    pub policy: String,
    /// The name of the node that leads its queues from now on.
    pub node: String,
}

/// `GET /api/policies`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoliciesView {
    /// The revision in force.
    pub revision: u64,
    /// In the order in which they are tried.
    pub policies: Vec<PolicyRow>,
}

/// One policy in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRow {
    /// Its name.
    pub name: String,
    /// Its virtual host.
    pub vhost: String,
    /// Which queues' names it is for.
    pub pattern: String,
    /// What it applies to: `queues`, …
    pub apply_to: String,
    /// The higher one wins.
    pub priority: i64,
    /// Its mode: `mirror`.
    pub mode: String,
    /// What it asks for, in words.
    pub definition: String,
}

/// `GET /api/policies/explain`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The queue's name.
    pub queue: String,
    /// Its virtual host.
    pub vhost: String,
    /// The policy that won, if one did.
    pub policy: Option<String>,
    /// Why that one, in sentences.
    pub because: Vec<String>,
    /// The plan that it gives, in words.
    pub plan: String,
    /// What the queue has now, if it exists.
    pub now: Option<String>,
}

/// `PUT /api/parameters/{component}/{vhost}/{name}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParameterValue {
    /// What the component understands.
    pub value: serde_json::Value,
}

/// One runtime parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParameterRow {
    /// Whose: `shovel`, `federation-upstream`, …
    pub component: String,
    /// Its virtual host.
    pub vhost: String,
    /// Its name.
    pub name: String,
    /// What it says.
    pub value: serde_json::Value,
}

/// `GET /api/sites`: this site of multi-active policies, and the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SitesView {
    /// This cluster's name.
    pub site: String,
    /// `active`; `draining` while something waits for other sites; `drained`.
    pub state: String,
    /// Messages in queues that are shared with other sites.
    pub shared: u64,
    /// Sites that are given up for lost.
    pub lost: Vec<String>,
    /// The others.
    pub sites: Vec<SiteRow>,
}

/// Another site.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SiteRow {
    /// Its name.
    pub site: String,
    /// The vhost here that shares with it.
    pub vhost: String,
    /// Where it is.
    pub hosts: Vec<String>,
    /// The links that take from it; they run here.
    pub inbound: Vec<LinkRow>,
    /// What waits for it; its own links fetch it.
    pub outbound: Vec<Outbound>,
}

/// What waits for another site.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outbound {
    /// The queue here in which it waits.
    pub queue: String,
    /// The queue's state: `running`, or one word for what it is instead.
    pub state: String,
    /// `exchange`: it waits for that site only; `queue`: it has been consigned to it.
    pub scope: String,
    /// Whether the site's link is there.
    pub connected: bool,
    /// Messages that the site does not have for sure.
    pub lag: u64,
    /// Messages a second that it fetches, lately.
    pub rate: f64,
}

/// One link: `GET /api/shovels` and `GET /api/federation-links`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkRow {
    /// `shovel`, `exchange-federation` or `queue-federation`.
    pub kind: String,
    /// The shovel's name, or the federated exchange's or queue's.
    pub name: String,
    /// Its virtual host.
    pub vhost: String,
    /// The upstream's name.
    pub upstream: Option<String>,
    /// `dynamic`: of a parameter; `static`: of the policy file.
    #[serde(rename = "type")]
    pub origin: String,
    /// The node that runs it.
    pub node: String,
    /// `starting`, `running`, `idle`, `blocked`, `waiting` or `terminated`.
    pub state: String,
    /// Why, if it is blocked.
    pub why: String,
    /// Since when it is in that state, in seconds since 1970.
    pub since: u64,
    /// `src_uri`, `src_queue`, `dest_uri`, `dest_exchange`, …
    #[serde(flatten)]
    pub ends: BTreeMap<String, String>,
    /// Messages that arrived, since the link runs on this node.
    pub moved: u64,
    /// Octets taken.
    pub bytes: u64,
    /// Messages a second, lately.
    pub rate: f64,
    /// Messages at the source or on their way, if it is known.
    pub lag: Option<u64>,
    /// Messages published and not confirmed.
    pub unconfirmed: u64,
    /// Refusals of the target.
    pub refused: u64,
    /// Runs that failed.
    pub failures: u64,
    /// Why the last of them failed.
    pub last_error: Option<String>,
    /// When, in seconds since 1970.
    pub last_error_at: Option<u64>,
}

/// `PUT /api/users/{name}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutUser {
    /// The new password; absent = as it is.
    pub password: Option<String>,
    /// Instead of a password: its salted SHA-256 as RabbitMQ exports it.
    #[serde(default)]
    pub password_hash: Option<String>,
    /// The new tags; absent = as they are.
    pub tags: Option<Vec<String>>,
    /// Refuse if the user is there already (`true`) or is not there (`false`).
    pub create: bool,
}

/// One user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRow {
    /// The name.
    pub name: String,
    /// `administrator`, `monitoring`, …
    pub tags: Vec<String>,
    /// What the user may do, by virtual host.
    pub permissions: BTreeMap<String, PermissionsView>,
    /// Which routing keys it may use, by virtual host and topic exchange.
    pub topics: BTreeMap<String, BTreeMap<String, TopicsView>>,
    /// Those that are set: `max-connections`, `max-channels`.
    pub limits: BTreeMap<String, u64>,
}

/// One virtual host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VhostRow {
    /// The name.
    pub name: String,
    /// Those that are set: `max-connections`, `max-queues`.
    pub limits: BTreeMap<String, u64>,
}

/// Regular expressions for the routing keys that a user may use with a topic exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicsView {
    /// Publish with.
    pub write: String,
    /// Bind by.
    pub read: String,
}

/// `PUT /api/topic-permissions/{vhost}/{user}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutTopics {
    /// The exchange.
    pub exchange: String,
    /// What may be done with it.
    #[serde(flatten)]
    pub topics: TopicsView,
}

/// Regular expressions for the names that a user may configure, write and read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermissionsView {
    /// Declare and delete.
    pub configure: String,
    /// Publish and bind to.
    pub write: String,
    /// Consume and bind from.
    pub read: String,
}
