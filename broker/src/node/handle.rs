//! The running node as its listeners see it: what connections ([`Broker`]) and
//! operators ([`Cluster`]) ask of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::RwLockReadGuard;
use tokio::sync::watch;
use warren_membership::catalog::{Command, State};
use warren_membership::{Membership, ProposeError, RaftRole, Usage, clock};
use warren_replication::types::{Epoch, NodeId, Offset, Process, QueueId};
use warren_shard::step::{Local, QueueStatus};

use crate::auth::Passwords;
use crate::config::Config;
use crate::connection::Front;
use crate::connection::ports::{Broker, Events, Proposal, ProposalError, Routing};
use crate::direct::Direct;
use crate::management::model::NodeRow;
use crate::management::{Answer, Cluster, Numbers, Resources};
use crate::peer::Links;
use crate::remote::{self, LinkKey, LinkPlan, Snapshot};
use crate::routing::Routes;
use crate::shard::Shards;
use crate::transfer::Surroundings;

/// A node that has its parts together.
pub(super) struct Node {
    pub(super) config: Config,
    pub(super) membership: Membership,
    pub(super) shards: Shards,
    /// Links to the other nodes, once this one has its place in the cluster.
    pub(super) links: OnceLock<Links>,
    pub(super) routes: Arc<Routes>,
    pub(super) direct: Arc<Direct>,
    /// Shovels and federation that run here.
    pub(super) remote: Arc<remote::Links>,
    pub(super) passwords: Passwords,
    pub(super) blocked: watch::Receiver<Option<Arc<str>>>,
    pub(super) resources: watch::Receiver<Resources>,
    /// Clients are taken.
    pub(super) serving: AtomicBool,
    /// The AMQP side, once it is there.
    pub(super) front: OnceLock<Arc<Front>>,
}

impl Node {
    fn propose(&self, command: Command) -> Proposal {
        let membership = self.membership.clone();
        Box::pin(async move { membership.propose(command).await.map_err(proposal_error) })
    }

    fn live(&self) -> Vec<Process> {
        self.membership.live().borrow().iter().copied().collect()
    }
}

fn proposal_error(error: ProposeError) -> ProposalError {
    match error {
        ProposeError::Refused(refusal) => ProposalError::Refused(refusal),
        other => ProposalError::Unavailable(other.to_string()),
    }
}

impl Broker for Node {
    fn process(&self) -> Process {
        self.membership.process()
    }

    fn live(&self) -> Vec<Process> {
        self.live()
    }

    fn cluster_number(&self) -> u64 {
        // Clients are served by nodes that have their place in a cluster.
        self.membership.cluster().map_or(0, |cluster| cluster.0)
    }

    fn submit(&self, batch: Vec<(QueueId, Local)>) {
        self.shards.submit(batch);
    }

    fn register(&self, connection: u64, to: Events) {
        self.shards.register(connection, to);
    }

    fn unregister(&self, connection: u64) {
        self.shards.unregister(connection);
    }

    fn catalog(&self) -> RwLockReadGuard<'_, State> {
        self.membership.state()
    }

    fn propose(&self, command: Command) -> Proposal {
        self.propose(command)
    }

    fn usage_elsewhere(&self) -> Usage {
        self.membership.usage_elsewhere()
    }

    fn routing(&self) -> Arc<dyn Routing> {
        Arc::clone(&self.routes) as Arc<dyn Routing>
    }

    fn passwords(&self) -> &Passwords {
        &self.passwords
    }

    fn direct(&self) -> &Direct {
        &self.direct
    }

    fn blocked(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.blocked.clone()
    }
}

impl Surroundings for Node {
    fn catalog(&self) -> RwLockReadGuard<'_, State> {
        self.membership.state()
    }

    fn register(&self, connection: u64, to: Events) {
        self.shards.register(connection, to);
    }

    fn submit(&self, batch: Vec<(QueueId, Local)>) {
        self.shards.submit(batch);
    }

    fn transferred(&self, arrived: Vec<(QueueId, Epoch, Vec<Offset>)>) {
        self.shards.transferred(arrived);
    }
}

impl Cluster for Node {
    fn name(&self) -> &str {
        &self.config.node.name
    }

    fn cluster(&self) -> &str {
        &self.config.cluster.name
    }

    fn health(&self) -> Result<(), String> {
        match self.serving.load(Ordering::Acquire) {
            true => Ok(()),
            false => Err("the node is starting or stopping: it takes no clients".to_owned()),
        }
    }

    fn nodes(&self) -> Vec<NodeRow> {
        // Before the lock is taken here: membership takes it for itself.
        let views = self.membership.nodes();
        let state = self.membership.state();
        let row = |view: warren_membership::NodeView| NodeRow {
            id: format!("{:016x}", view.node.0),
            incarnation: format!("{:016x}", view.process.incarnation.0),
            boot: view.process.boot.0,
            version: view.version,
            alive: view.alive,
            raft: match view.role {
                RaftRole::Leader => "leader",
                RaftRole::Voter => "follower",
                RaftRole::Learner => "learner",
                RaftRole::None => "none",
            }
            .to_owned(),
            leads: state.led_by(view.node) as u64,
            zone: view.addresses.zone,
            drained: state.node(view.node).is_some_and(|node| node.drained),
            amqp: view.addresses.amqp,
            http: view.addresses.http,
            alarms: view.alarms,
            name: view.name,
        };
        views.into_iter().map(row).collect()
    }

    fn live(&self) -> Vec<Process> {
        self.live()
    }

    fn catalog(&self) -> RwLockReadGuard<'_, State> {
        self.membership.state()
    }

    fn propose(&self, command: Command) -> Proposal {
        self.propose(command)
    }

    fn forget(&self, node: NodeId, force: bool) -> Answer<'_, Result<(), ProposalError>> {
        Box::pin(async move { self.membership.forget(node, force).await.map_err(proposal_error) })
    }

    fn statuses(&self) -> Answer<'_, Vec<QueueStatus>> {
        Box::pin(self.shards.statuses())
    }

    fn passwords(&self) -> &Passwords {
        &self.passwords
    }

    fn loopback_users(&self) -> &[String] {
        &self.config.users.loopback_only
    }

    fn links(&self) -> Vec<(Arc<LinkPlan>, Snapshot)> {
        self.remote.all()
    }

    fn restart_link(&self, key: &LinkKey) -> bool {
        self.remote.restart(key)
    }

    fn numbers(&self) -> Numbers {
        let front = self.front.get();
        Numbers {
            connections: front.map_or(0, |front| front.registry.connections() as u64),
            channels: front.map_or(0, |front| front.registry.channels()),
            tally: front.map(|front| front.tallies.sum()).unwrap_or_default(),
            lease_left: self.membership.lease().borrow().micros_since(clock::now()),
            links_up: self.links.get().map_or(0, |links| links.view().iter().filter(|link| link.up).count() as u64),
            commits: self.shards.commit_stats(),
            resources: *self.resources.borrow(),
        }
    }
}
