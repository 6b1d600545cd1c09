//! Who seems alive, where, how loaded (chitchat over UDP). A verdict of gossip
//! is local and may differ from node to node: it triggers, it never decides.
//!
//! One key holds what a process says of itself for its whole life and of the
//! cluster that it belongs to; load, usage and alarms have their own, for they
//! change often. Queue lists are never gossiped.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chitchat::transport::UdpTransport;
use chitchat::{
    ChitchatConfig, ChitchatHandle, ChitchatId, FailureDetectorConfig, NodeState, ProtocolVersion, spawn_chitchat,
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use warren_replication::types::{Boot, Incarnation, NodeId, Process};
use warren_store::ClusterId;

use crate::config::{MembershipConfig, Timing};

const RECORD: &str = "node";
const LOAD: &str = "load";
const ALARMS: &str = "alarms";
const USAGE: &str = "usage";
const LINKS: &str = "links";

/// What a node is remembered for after its death; longer than a partition.
const MEMORY: Duration = Duration::from_secs(24 * 60 * 60);

/// What a process says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) node: u64,
    pub(crate) incarnation: u64,
    pub(crate) boot: u64,
    pub(crate) version: String,
    pub(crate) catalog: SocketAddr,
    pub(crate) peer: SocketAddr,
    pub(crate) amqp: String,
    pub(crate) http: String,
    /// The cluster that its data belongs to, once it does.
    pub(crate) cluster: Option<u64>,
    /// It is stopping on purpose: no longer alive to anybody.
    pub(crate) leaving: bool,
}

impl Record {
    pub(crate) fn process(&self) -> Process {
        Process { node: NodeId(self.node), incarnation: Incarnation(self.incarnation), boot: Boot(self.boot) }
    }

    pub(crate) fn cluster(&self) -> Option<ClusterId> {
        self.cluster.map(ClusterId)
    }
}

/// How much a node has to do, for show and placement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Queues whose leader it is.
    pub queues_led: u64,
    /// Client connections.
    pub connections: u64,
}

/// What clients of a node use of what is limited: only vhosts and users that have
/// a limit are in it, so that it stays small.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Client connections by vhost.
    pub vhosts: BTreeMap<String, u64>,
    /// Client connections and channels by user.
    pub users: BTreeMap<String, (u64, u64)>,
}

impl Usage {
    /// Adds what another node's clients use.
    pub fn add(&mut self, other: &Self) {
        for (vhost, connections) in &other.vhosts {
            *self.vhosts.entry(vhost.clone()).or_default() += connections;
        }
        for (user, (connections, channels)) in &other.users {
            let sum = self.users.entry(user.clone()).or_default();
            *sum = (sum.0 + connections, sum.1 + channels);
        }
    }
}

/// A process as gossip knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// When it started, by its own wall clock: of two processes of one node the
    /// later one counts.
    pub(crate) started: u64,
    pub(crate) record: Record,
    pub(crate) load: Load,
    pub(crate) alarms: Vec<String>,
    pub(crate) usage: Usage,
    /// The nodes that it has a link to.
    pub(crate) links: BTreeSet<NodeId>,
}

/// The processes that gossip holds for live, this one always among them. There
/// may be several of one node: an earlier start is missed a while later, and
/// nodes of other clusters may have the same name.
pub(crate) type Roster = BTreeMap<Process, Seen>;

/// This node's part in gossip; ends when dropped.
pub(crate) struct Gossip {
    handle: ChitchatHandle,
    own: parking_lot::Mutex<Record>,
    roster: watch::Receiver<Arc<Roster>>,
}

impl Gossip {
    /// Starts gossiping.
    ///
    /// # Errors
    /// If the UDP port cannot be bound.
    pub(crate) async fn start(config: &MembershipConfig, listen: SocketAddr, record: Record) -> Result<Self, String> {
        let started = unix_millis();
        let chitchat = ChitchatConfig {
            // Unique to the process even if its disk is new and counts boots
            // from 1 again; grows with every start unless the clock is set back.
            chitchat_id: ChitchatId::new(record.name.clone(), started, record.catalog),
            cluster_id: config.cluster_name.clone(),
            gossip_interval: config.timing.gossip,
            listen_addr: listen,
            seed_nodes: config.seeds.clone(),
            failure_detector_config: detector(&config.timing),
            marked_for_deletion_grace_period: MEMORY,
            catchup_callback: None,
            extra_liveness_predicate: None,
            protocol_version: ProtocolVersion::V1,
        };
        let keys = vec![(RECORD.to_owned(), to_json(&record)), (LOAD.to_owned(), to_json(&Load::default()))];
        let handle = spawn_chitchat(chitchat, keys, &UdpTransport).await.map_err(|error| format!("{error:#}"))?;
        let live = handle.with_chitchat(|chitchat| chitchat.live_nodes_watcher()).await;
        let own = Seen {
            started,
            record: record.clone(),
            load: Load::default(),
            alarms: Vec::new(),
            usage: Usage::default(),
            links: BTreeSet::new(),
        };
        let (sender, roster) = watch::channel(Arc::new(Roster::from([(own.record.process(), own)])));
        tokio::spawn(follow(live, sender));
        Ok(Self { handle, own: parking_lot::Mutex::new(record), roster })
    }

    /// Who seems alive, now and whenever that or what they say changes.
    pub(crate) fn roster(&self) -> watch::Receiver<Arc<Roster>> {
        self.roster.clone()
    }

    /// Tells the others something new of this process.
    pub(crate) async fn amend(&self, change: impl FnOnce(&mut Record)) {
        let record = {
            let mut own = self.own.lock();
            change(&mut own);
            to_json(&*own)
        };
        self.set(RECORD, record).await;
    }

    /// Tells the others how loaded this node is.
    pub(crate) async fn set_load(&self, load: &Load) {
        self.set(LOAD, to_json(load)).await;
    }

    /// Tells the others this node's alarms.
    pub(crate) async fn set_alarms(&self, alarms: &[String]) {
        self.set(ALARMS, to_json(alarms)).await;
    }

    /// Tells the others what this node's clients use of what is limited.
    pub(crate) async fn set_usage(&self, usage: &Usage) {
        self.set(USAGE, to_json(usage)).await;
    }

    /// Tells the others which nodes this one has a link to.
    pub(crate) async fn set_links(&self, links: &BTreeSet<NodeId>) {
        self.set(LINKS, to_json(links)).await;
    }

    async fn set(&self, key: &'static str, value: String) {
        self.handle.with_chitchat(|chitchat| chitchat.self_node_state().set(key, &value)).await;
    }
}

impl Drop for Gossip {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

fn detector(timing: &Timing) -> FailureDetectorConfig {
    FailureDetectorConfig {
        phi_threshold: timing.phi,
        sampling_window_size: 200,
        max_interval: timing.gossip * 10,
        initial_interval: timing.gossip,
        dead_node_grace_period: MEMORY,
    }
}

/// Keeps the roster as chitchat's live nodes are.
async fn follow(mut live: watch::Receiver<BTreeMap<ChitchatId, NodeState>>, sender: watch::Sender<Arc<Roster>>) {
    loop {
        let mut roster = Roster::new();
        for (id, state) in live.borrow_and_update().iter() {
            if let Some(seen) = seen(id, state).filter(|seen| !seen.record.leaving) {
                roster.insert(seen.record.process(), seen);
            }
        }
        if !roster.is_empty() {
            sender.send_if_modified(|current| {
                let changed = **current != roster;
                if changed {
                    *current = Arc::new(roster);
                }
                changed
            });
        }
        if live.changed().await.is_err() || sender.is_closed() {
            return;
        }
    }
}

fn seen(id: &ChitchatId, state: &NodeState) -> Option<Seen> {
    Some(Seen {
        started: id.generation_id,
        record: from_json(state.get(RECORD)?)?,
        load: state.get(LOAD).and_then(from_json).unwrap_or_default(),
        alarms: state.get(ALARMS).and_then(from_json).unwrap_or_default(),
        usage: state.get(USAGE).and_then(from_json).unwrap_or_default(),
        links: state.get(LINKS).and_then(from_json).unwrap_or_default(),
    })
}

fn to_json<T: Serialize + ?Sized>(value: &T) -> String {
    // Strings, numbers and addresses always have a JSON form.
    serde_json::to_string(value).unwrap_or_default()
}

fn from_json<T: for<'a> Deserialize<'a>>(text: &str) -> Option<T> {
    serde_json::from_str(text).ok()
}

fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
