//! Nodes with membership only: temp folders, ephemeral ports.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tempfile::TempDir;
use warren_membership::catalog::{Change, Command, DeclareQueue, Outcome, Owner, State};
use warren_membership::{Membership, MembershipConfig, MembershipError, Observer, ProposeError, RaftRole, Timing};
use warren_replication::types::{Assignment, Process, QueueId};
use warren_store::{Database, Options};

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until it is so.
pub(crate) async fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub(crate) fn vhost(name: &str) -> Command {
    Command::PutVhost { name: name.to_owned() }
}

/// Lets changes through unless somebody holds the gate.
#[derive(Default)]
pub(crate) struct Gate {
    gate: Mutex<()>,
    resets: AtomicUsize,
}

impl Gate {
    pub(crate) fn close(&self) -> MutexGuard<'_, ()> {
        self.gate.lock()
    }

    pub(crate) fn resets(&self) -> usize {
        self.resets.load(Ordering::Relaxed)
    }
}

impl Observer for Gate {
    fn reset(&self, _: &State) {
        self.resets.fetch_add(1, Ordering::Relaxed);
        drop(self.gate.lock());
    }

    fn applied(&self, _: &State, _: &[Change]) {
        drop(self.gate.lock());
    }
}

pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) seeds: Vec<String>,
    pub(crate) observer: Arc<Gate>,
    dir: TempDir,
    membership: Option<Membership>,
    database: Option<Arc<Database>>,
}

impl Node {
    fn new(name: &str, seeds: Vec<String>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { name: name.to_owned(), seeds, observer: Arc::default(), dir, membership: None, database: None }
    }

    fn open(&mut self, expected_size: usize, timing: Timing) {
        let database = warren_store::open(self.dir.path(), &Options::new(self.name.clone())).unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let config = MembershipConfig {
            node_name: self.name.clone(),
            cluster_name: "test".to_owned(),
            seeds: self.seeds.clone(),
            expected_size,
            listen: any,
            advertise: None,
            peer_address: any,
            zone: String::new(),
            amqp_address: String::new(),
            http_address: String::new(),
            version: "test".to_owned(),
            timing,
        };
        self.observer = Arc::default();
        self.membership = Some(Membership::open(config, database.clone()).unwrap());
        self.database = Some(database);
    }

    pub(crate) fn is_running(&self) -> bool {
        self.membership.is_some()
    }

    pub(crate) fn membership(&self) -> &Membership {
        self.membership.as_ref().unwrap()
    }

    pub(crate) async fn propose(&self, command: Command) -> Result<Outcome, ProposeError> {
        tokio::time::timeout(PATIENCE, self.membership().propose(command)).await.unwrap()
    }

    pub(crate) fn has_vhost(&self, name: &str) -> bool {
        self.membership().state().vhost(name).is_ok()
    }

    pub(crate) fn declare(&self, name: &str) -> Command {
        let live: Vec<Process> = self.membership().live().borrow().iter().copied().collect();
        Command::DeclareQueue(DeclareQueue {
            vhost: "/".to_owned(),
            name: name.to_owned(),
            server_named: false,
            durable: true,
            exclusive: false,
            auto_delete: false,
            arguments: BTreeMap::new(),
            owner: Owner { process: self.membership().process(), connection: 1 },
            live,
        })
    }

    pub(crate) async fn declare_queue(&self, name: &str) -> QueueId {
        self.propose(vhost("/")).await.unwrap();
        match self.propose(self.declare(name)).await.unwrap() {
            Outcome::Queue { queue, .. } => queue,
            other => panic!("{other:?}"),
        }
    }

    /// Declares queues until one is led by this node.
    pub(crate) async fn declare_queue_led_here(&self) -> QueueId {
        for number in 0..16 {
            let queue = self.declare_queue(&format!("q{number}")).await;
            if self.leader_of(queue) == Some(self.membership().process()) {
                return queue;
            }
        }
        panic!("no queue is led here");
    }

    pub(crate) fn assignment(&self, queue: QueueId) -> Arc<Assignment> {
        self.membership().state().queue(queue).unwrap().assignment.clone()
    }

    pub(crate) fn leader_of(&self, queue: QueueId) -> Option<Process> {
        self.membership().state().queue(queue).and_then(|queue| queue.assignment.leader)
    }

    /// As `kill -9`, as far as the others can tell.
    pub(crate) fn kill(&mut self) {
        if let Some(membership) = self.membership.take() {
            membership.halt();
        }
    }

    pub(crate) async fn shutdown(&mut self) {
        if let Some(membership) = self.membership.take() {
            membership.give_up_lease();
            tokio::time::timeout(PATIENCE, membership.shutdown()).await.unwrap();
        }
    }

    /// Waits until the database is closed.
    async fn close(&mut self) {
        if let Some(database) = self.database.take() {
            eventually("the database to be let go", || Arc::strong_count(&database) == 1).await;
        }
    }

    pub(crate) async fn wipe(&mut self) {
        self.close().await;
        self.dir = tempfile::tempdir().unwrap();
    }
}

pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    size: usize,
    timing: Timing,
}

impl Cluster {
    /// So many nodes that have formed a cluster.
    pub(crate) async fn of(size: usize) -> Self {
        Self::with(size, Timing::default()).await
    }

    pub(crate) async fn with(size: usize, timing: Timing) -> Self {
        let mut nodes: Vec<Node> = Vec::new();
        for name in ["a", "b", "c", "d", "e"].iter().take(size) {
            let seeds = nodes.first().map(|first| first.membership().address().to_string());
            let mut node = Node::new(name, seeds.into_iter().collect());
            node.open(size, timing);
            nodes.push(node);
        }
        let begun = Instant::now();
        let mut cluster = Self { nodes, size, timing };
        cluster.join_all().await;
        println!("{size} node(s) formed a cluster in {:?}", begun.elapsed());
        cluster
    }

    async fn join_all(&mut self) {
        let joining: Vec<_> = self
            .nodes
            .iter()
            .map(|node| {
                let (membership, observer) = (node.membership().clone(), node.observer.clone());
                tokio::spawn(async move { membership.join(observer).await })
            })
            .collect();
        for joined in joining {
            tokio::time::timeout(PATIENCE, joined).await.unwrap().unwrap().unwrap();
        }
        // A node that holds no lease is not waited for.
        let leases: Vec<_> = self.nodes.iter().map(|node| node.membership().lease()).collect();
        eventually("leases", || leases.iter().all(|lease| *lease.borrow() > warren_membership::clock::now())).await;
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.is_running())
    }

    fn addresses(&self) -> Vec<String> {
        self.running().map(|node| node.membership().address().to_string()).collect()
    }

    /// Another node.
    pub(crate) async fn add(&mut self, name: &str) -> Result<usize, MembershipError> {
        let mut node = Node::new(name, self.addresses());
        node.open(self.size, self.timing);
        let joined = tokio::time::timeout(PATIENCE, node.membership().join(node.observer.clone())).await.unwrap();
        self.nodes.push(node);
        joined.map(|()| self.nodes.len() - 1)
    }

    /// Starts a stopped node again, at another address.
    pub(crate) async fn restart(&mut self, index: usize) -> Result<(), MembershipError> {
        let mut seeds = self.addresses();
        let (size, timing) = (self.size, self.timing);
        let node = &mut self.nodes[index];
        if seeds.is_empty() {
            seeds.clone_from(&node.seeds);
        }
        node.close().await;
        node.seeds = seeds;
        node.open(size, timing);
        let membership = node.membership().clone();
        tokio::time::timeout(PATIENCE, membership.join(node.observer.clone())).await.unwrap()
    }

    /// Starts all nodes again, at other addresses.
    pub(crate) async fn restart_all(&mut self) {
        let mut first = None;
        for node in &mut self.nodes {
            node.close().await;
            node.seeds = first.iter().cloned().collect();
            node.open(self.size, self.timing);
            first.get_or_insert_with(|| node.membership().address().to_string());
        }
        self.join_all().await;
    }

    /// Which node leads the catalog.
    pub(crate) async fn raft_leader(&self) -> usize {
        let mut found = None;
        eventually("a leader of the catalog", || {
            let Some(witness) = self.running().next() else { return false };
            let nodes = witness.membership().nodes();
            let leader = nodes.iter().find(|node| node.role == RaftRole::Leader);
            found = leader.and_then(|leader| self.nodes.iter().position(|node| node.name == leader.name));
            found.is_some_and(|index| self.nodes[index].is_running())
        })
        .await;
        found.unwrap()
    }
}

/// A test that returned while a node still wrote would let the process exit in
/// the midst of it, and RocksDB abort it.
impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            node.kill();
            let Some(database) = node.database.take() else { continue };
            let deadline = Instant::now() + PATIENCE;
            while Arc::strong_count(&database) > 1 && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}
