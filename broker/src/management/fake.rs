//! A cluster in memory: one node, a catalog without Raft, queues that say what
//! they are told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use warren_membership::catalog::{Addresses, Command, Outcome, State};
use warren_replication::types::{Boot, Incarnation, NodeId, Process, QueueId};
use warren_shard::step::QueueStatus;
use warren_store::CommitStats;

use super::model::NodeRow;
use super::{Answer, Cluster, Numbers, Resources};
use crate::auth::Passwords;
use crate::connection::ports::{Proposal, ProposalError};
use crate::connection::tally::Tally;
use crate::remote::{LinkKey, LinkPlan, Snapshot};

pub(crate) struct FakeCluster {
    state: RwLock<State>,
    answers: AtomicBool,
    healthy: AtomicBool,
    statuses: Mutex<Vec<QueueStatus>>,
    passwords: Passwords,
    loopback_users: Vec<String>,
}

/// The only process.
pub(crate) fn process() -> Process {
    Process { node: NodeId(1), incarnation: Incarnation(1), boot: Boot(1) }
}

/// A queue that is led here and runs.
pub(crate) fn status(queue: QueueId) -> QueueStatus {
    QueueStatus {
        queue,
        leading: true,
        state: ("running", String::new()),
        ready: 0,
        unacked: 0,
        bytes: 0,
        consumers: 0,
        wanting: false,
        sites: Vec::new(),
        log: (0, 0, 0),
        lagging: Vec::new(),
        lags: Vec::new(),
        totals: (0, 0, 0),
    }
}

impl FakeCluster {
    /// A cluster with a registered node `here` and the vhost `/`.
    pub(crate) fn new() -> Self {
        let fake = Self {
            state: RwLock::default(),
            answers: AtomicBool::new(true),
            healthy: AtomicBool::new(true),
            statuses: Mutex::default(),
            passwords: Passwords::default(),
            loopback_users: vec!["guest".to_owned()],
        };
        fake.agree(&Command::Register {
            name: "here".to_owned(),
            process: process(),
            nonce: 1,
            addresses: Addresses::default(),
            voter: true,
        });
        fake.agree(&Command::PutVhost { name: "/".to_owned() });
        fake
    }

    /// Applies a command that must not be refused.
    pub(crate) fn agree(&self, command: &Command) -> Outcome {
        self.state.write().apply(command).0.unwrap()
    }

    /// Whether proposals are answered.
    pub(crate) fn answer(&self, yes: bool) {
        self.answers.store(yes, Ordering::Relaxed);
    }

    pub(crate) fn set_health(&self, healthy: bool) {
        self.healthy.store(healthy, Ordering::Relaxed);
    }

    pub(crate) fn set_statuses(&self, statuses: Vec<QueueStatus>) {
        *self.statuses.lock() = statuses;
    }
}

impl Cluster for FakeCluster {
    fn name(&self) -> &str {
        "here"
    }

    fn cluster(&self) -> &str {
        "fake"
    }

    fn health(&self) -> Result<(), String> {
        if self.healthy.load(Ordering::Relaxed) { Ok(()) } else { Err("waits for the cluster".to_owned()) }
    }

    fn nodes(&self) -> Vec<NodeRow> {
        vec![NodeRow {
            name: "here".to_owned(),
            id: "1".to_owned(),
            incarnation: "1".to_owned(),
            boot: 1,
            version: Some("0".to_owned()),
            alive: true,
            raft: "leader".to_owned(),
            zone: String::new(),
            amqp: "127.0.0.1:1".to_owned(),
            http: "127.0.0.1:2".to_owned(),
            leads: 0,
            drained: false,
            alarms: vec!["disk".to_owned()],
        }]
    }

    fn live(&self) -> Vec<Process> {
        vec![process()]
    }

    fn catalog(&self) -> RwLockReadGuard<'_, State> {
        self.state.read()
    }

    fn propose(&self, command: Command) -> Proposal {
        let result = if self.answers.load(Ordering::Relaxed) {
            self.state.write().apply(&command).0.map_err(ProposalError::Refused)
        } else {
            Err(ProposalError::Unavailable("no majority".to_owned()))
        };
        Box::pin(std::future::ready(result))
    }

    fn forget(&self, node: NodeId, force: bool) -> Answer<'_, Result<(), ProposalError>> {
        Box::pin(async move { self.propose(Command::Forget { node, live: self.live(), force }).await.map(drop) })
    }

    fn statuses(&self) -> Answer<'_, Vec<QueueStatus>> {
        Box::pin(std::future::ready(self.statuses.lock().clone()))
    }

    fn passwords(&self) -> &Passwords {
        &self.passwords
    }

    fn loopback_users(&self) -> &[String] {
        &self.loopback_users
    }

    fn links(&self) -> Vec<(Arc<LinkPlan>, Snapshot)> {
        Vec::new()
    }

    fn restart_link(&self, _: &LinkKey) -> bool {
        false
    }

    fn numbers(&self) -> Numbers {
        let mut by_time = CommitStats::default().by_time;
        (by_time[3], by_time[14]) = (4, 1);
        Numbers {
            connections: 3,
            lease_left: 500_000,
            links_up: 2,
            channels: 4,
            tally: Tally { published: 7, ..Tally::default() },
            commits: CommitStats { commits: 5, total: 500_000, by_time, ..CommitStats::default() },
            resources: Resources { memory_used: 1, memory_limit: 2, disk_free: 3, disk_free_limit: 4 },
        }
    }
}
