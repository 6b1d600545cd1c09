//! How a process gets its place in a cluster: it forms one, joins one, or finds
//! its old place again; then it registers its boot.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use openraft::BasicNode;
use tokio::net::lookup_host;
use tokio::time::{Instant, timeout};
use warren_peer::catalog::JoinRequest;
use warren_replication::types::NodeId;
use warren_store::ClusterId;

use crate::MembershipError;
use crate::catalog::{Addresses, Command};
use crate::controller::voters_wanted;
use crate::core::Core;
use crate::gossip::Seen;
use crate::office::Denied;
use crate::propose::{ProposeError, persist};
use crate::raft::log::Log;
use crate::service::to_wire;

/// How often a node that waits looks around without being called.
const LOOK: Duration = Duration::from_millis(100);
/// In so many rounds of gossip two nodes have found each other alive.
const ROUNDS: u32 = 6;
/// How long a node may take to admit another.
const ADMISSION: Duration = Duration::from_secs(5);
/// How often a node says what it waits for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Gets this process into its cluster and registers it there; answers when the
/// catalog applied here says so.
pub(crate) async fn join(core: &Arc<Core>) -> Result<(), MembershipError> {
    let mut new = false;
    if core.peers.cluster().is_some() {
        look_around(core).await?;
    } else {
        new = true;
        let log = Log::new(core.database.clone());
        if log.is_pristine().map_err(|error| MembershipError::Catalog(error.to_string()))? {
            enter(core).await?;
        } else {
            // It formed the cluster and fell before it could write down which:
            // nobody else has heard of that one yet.
            belong(core, draw()).await?;
        }
    }
    register(core).await?;
    if new {
        await_company(core).await;
    }
    await_liveness(core).await;
    Ok(())
}

/// A folder that already belongs to a cluster must not start among strangers:
/// hears, for a moment, who is here.
async fn look_around(core: &Core) -> Result<(), MembershipError> {
    let own = core.address.to_string();
    let meets_somebody = core.config.seeds.iter().any(|seed| *seed != own);
    if let (true, Some(mut roster)) = (meets_somebody, core.gossip().map(crate::gossip::Gossip::roster)) {
        let company = roster.wait_for(|roster| roster.len() > 1);
        // Nobody may be there, or yet.
        let _ = timeout(core.config.timing.gossip * ROUNDS, company).await;
    }
    is_anybody_ours(core)
}

/// Waits until every registered node was heard of, or is late: what is declared
/// here names those that are live.
async fn await_liveness(core: &Core) {
    let mut live = core.liveness.live();
    let all = live.wait_for(|live| core.catalog.state().nodes().all(|node| live.contains(&node.process)));
    // Whoever is late is dead by then.
    let _ = timeout(core.config.timing.detector(), all).await;
}

/// Forms a cluster or joins one, whichever gossip shows to be the thing to do.
async fn enter(core: &Arc<Core>) -> Result<(), MembershipError> {
    let Some(mut roster) = core.gossip().map(crate::gossip::Gossip::roster) else {
        return Err(MembershipError::Stopped);
    };
    let mut reminder = Reminder::new();
    loop {
        let seen = roster.borrow_and_update().clone();
        let formed: Vec<&Seen> = seen.values().filter(|seen| seen.record.cluster().is_some()).collect();
        let clusters: BTreeSet<ClusterId> = formed.iter().filter_map(|seen| seen.record.cluster()).collect();
        if clusters.len() > 1 {
            let found = clusters.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
            return Err(MembershipError::SeveralClusters { name: core.config.cluster_name.clone(), found });
        }
        if formed.is_empty() {
            let nodes: BTreeSet<NodeId> = seen.keys().map(|process| process.node).collect();
            if nodes.len() >= core.config.expected_size && is_first_seed(core).await {
                return form(core).await;
            }
            reminder.say(|| {
                tracing::info!(
                    seen = nodes.len(),
                    expected = core.config.expected_size,
                    "waiting for the cluster to form"
                );
            });
        } else {
            for other in formed {
                if let Some(cluster) = ask_to_join(core, other).await? {
                    return belong(core, cluster).await;
                }
            }
            reminder.say(|| tracing::info!("waiting to be admitted to the cluster"));
        }
        // Running out of time is as good a reason to look again.
        let _ = timeout(LOOK, roster.changed()).await;
    }
}

/// Whether this node is the one that forms the cluster; so is one that is told
/// of nobody else.
async fn is_first_seed(core: &Core) -> bool {
    let Some(first) = core.config.seeds.first() else { return true };
    if first.parse::<SocketAddr>().is_ok_and(|address| address == core.address) {
        return true;
    }
    match lookup_host(first.as_str()).await {
        Ok(mut addresses) => addresses.any(|address| address == core.address),
        Err(_) => false,
    }
}

/// Forms the cluster with this node alone; the others join it.
async fn form(core: &Arc<Core>) -> Result<(), MembershipError> {
    let Some(raft) = core.raft() else { return Err(MembershipError::Stopped) };
    let alone =
        [(core.node().0, BasicNode::new(core.address))].into_iter().collect::<std::collections::BTreeMap<_, _>>();
    raft.initialize(alone).await.map_err(|error| MembershipError::Catalog(error.to_string()))?;
    let cluster = draw();
    tracing::info!(%cluster, "forming the cluster");
    belong(core, cluster).await
}

fn draw() -> ClusterId {
    ClusterId(rand::random::<u64>().max(1))
}

/// Asks a node of a cluster to be admitted. `None` to ask another one, or later.
async fn ask_to_join(core: &Core, other: &Seen) -> Result<Option<ClusterId>, MembershipError> {
    let node = other.record.process().node;
    core.peers.heard(node, other.record.catalog);
    let Ok(mut client) = core.peers.client(node) else { return Ok(None) };
    let request = JoinRequest {
        header: Some(core.peers.header(node)),
        process: Some(to_wire(core.process, None)),
        name: core.config.node_name.clone(),
        address: core.address.to_string(),
    };
    match timeout(ADMISSION, client.join(request)).await {
        Ok(Ok(reply)) => Ok(Some(ClusterId(reply.into_inner().cluster))),
        Ok(Err(status)) => match Denied::from(status) {
            Denied::Refused(why) => Err(MembershipError::Refused(why)),
            denied => {
                tracing::debug!(%denied, node = other.record.name, "not admitted yet");
                Ok(None)
            }
        },
        Err(_) => Ok(None),
    }
}

/// Binds the data folder to the cluster, and only then speaks for it.
async fn belong(core: &Arc<Core>, cluster: ClusterId) -> Result<(), MembershipError> {
    let database = core.database.clone();
    let stored = tokio::task::spawn_blocking(move || database.set_cluster(cluster)).await;
    stored.map_err(|error| MembershipError::Catalog(error.to_string()))??;
    core.peers.belong_to(cluster);
    if let Some(gossip) = core.gossip() {
        gossip.amend(|record| record.cluster = Some(cluster.0)).await;
    }
    Ok(())
}

/// Registers this boot (§1), for as long as it takes to find a leader.
async fn register(core: &Arc<Core>) -> Result<(), MembershipError> {
    let mut reminder = Reminder::new();
    loop {
        let deadline = Instant::now() + Duration::from_secs(1);
        match persist(core, registration(core), deadline).await {
            Ok(outcomes) => {
                if let Some(refusal) = outcomes.into_iter().find_map(Result::err) {
                    return Err(MembershipError::Refused(refusal.to_string()));
                }
                break;
            }
            Err(ProposeError::Denied(why)) => return Err(MembershipError::Refused(why)),
            Err(ProposeError::Stopped) => return Err(MembershipError::Stopped),
            Err(ProposeError::Unavailable(why)) => {
                is_anybody_ours(core)?;
                reminder.say(|| tracing::warn!(%why, "waiting for the catalog, to register this start"));
            }
            Err(ProposeError::Refused(refusal)) => return Err(MembershipError::Refused(refusal.to_string())),
        }
    }
    let mut nodes = core.catalog.nodes();
    while !core.catalog.state().is_registered(&core.process) {
        if nodes.changed().await.is_err() {
            return Err(MembershipError::Stopped);
        }
    }
    Ok(())
}

fn registration(core: &Core) -> Vec<Command> {
    let cluster = core.peers.cluster().map(|cluster| Command::Form { cluster: cluster.to_string() });
    let voter = core.raft().is_some_and(|raft| {
        raft.server_metrics().borrow().membership_config.voter_ids().any(|voter| voter == core.node().0)
    });
    let register = Command::Register {
        name: core.config.node_name.clone(),
        process: core.process,
        nonce: core.nonce,
        addresses: Addresses {
            zone: core.config.zone.clone(),
            peer: core.config.peer_address.to_string(),
            amqp: core.config.amqp_address.clone(),
            http: core.config.http_address.clone(),
            gossip: core.address.to_string(),
        },
        voter,
    };
    cluster.into_iter().chain([register]).collect()
}

/// If all who gossip under this cluster's name belong to another cluster than
/// this data folder, then the folder is in the wrong place.
fn is_anybody_ours(core: &Core) -> Result<(), MembershipError> {
    let (Some(own), Some(gossip)) = (core.peers.cluster(), core.gossip()) else { return Ok(()) };
    let roster = gossip.roster().borrow().clone();
    let others = || roster.values().filter(|seen| seen.record.process() != core.process);
    if others().any(|seen| seen.record.cluster() == Some(own)) {
        return Ok(());
    }
    match others().find_map(|seen| seen.record.cluster().map(|cluster| (cluster, seen.record.catalog))) {
        Some((theirs, at)) => Err(MembershipError::OtherCluster { own, theirs, at }),
        None => Ok(()),
    }
}

/// A new node does not serve before the others are there, so that the first
/// queues already get their mirrors.
async fn await_company(core: &Core) {
    let Some(raft) = core.raft() else { return };
    let expected = core.config.expected_size;
    let mut nodes = core.catalog.nodes();
    let mut metrics = raft.server_metrics();
    let complete = async {
        loop {
            let registered = core.catalog.state().nodes().len();
            let voters = metrics.borrow_and_update().membership_config.voter_ids().count();
            if registered >= expected && voters >= voters_wanted(expected) {
                return;
            }
            let moved = async {
                tokio::select! {
                    changed = nodes.changed() => changed.is_ok(),
                    changed = metrics.changed() => changed.is_ok(),
                }
            };
            if !moved.await {
                return;
            }
        }
    };
    if timeout(core.config.timing.form, complete).await.is_err() {
        tracing::warn!(expected, "fewer nodes than expected are there; serving without them");
    }
}

/// Says something now and then.
struct Reminder {
    next: Instant,
}

impl Reminder {
    fn new() -> Self {
        Self { next: Instant::now() + PATIENCE }
    }

    fn say(&mut self, what: impl FnOnce()) {
        if Instant::now() >= self.next {
            self.next = Instant::now() + PATIENCE;
            what();
        }
    }
}
