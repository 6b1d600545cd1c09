//! Who belongs to the cluster, who is alive, and what the cluster has agreed on.
//!
//! * [`catalog`]: what is agreed on, a pure state machine; `raft/` agrees on it.
//! * [`placement`]: where queues should live, pure.
//! * `gossip.rs`, `liveness.rs`: who seems alive.
//! * `lease/`: node leases (§6.7). `controller.rs`: elections (§6); `elections.rs`:
//!   those of the catalog's own leader.
//! * `join.rs`: forming, joining, registering. `leave.rs`: the way out. `office.rs`:
//!   what the Raft leader does for the others; `service.rs` and `peers.rs` carry it
//!   over the wire.
//! * `propose.rs`: a command's way to the leader, in batches.
//!
//! All of it runs on a small runtime of its own and on one address of its own
//! (UDP for gossip, TCP for the catalog), so that a broker under load starves
//! neither heartbeats nor leases.

pub mod catalog;
pub mod clock;
pub mod config;
pub mod placement;

mod controller;
mod core;
mod elections;
mod gossip;
mod join;
mod lease;
mod leave;
mod liveness;
mod office;
mod peers;
mod propose;
mod raft;
mod service;
mod start;
mod view;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLockReadGuard};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use warren_replication::types::{Moment, NodeId, Process};
use warren_store::{ClusterId, Database, StoreError};

use crate::catalog::{Change, Command, Led, Outcome, State};
use crate::core::Core;
use crate::propose::Proposal;
use crate::start::Prepared;

pub use crate::config::{MembershipConfig, Timing};
pub use crate::controller::{View, decide};
pub use crate::gossip::{Load, Usage};
pub use crate::propose::ProposeError;
pub use crate::view::{NodeView, RaftRole};

/// Who is told what the catalog became. Called in log order, from one task,
/// under a read lock of the state: look things up in the `state` given (not by
/// [`Membership::state`]), be quick, never wait.
pub trait Observer: Send + Sync {
    /// The state was put in place as a whole: at the start, or by a snapshot.
    fn reset(&self, state: &State);

    /// These changes led to this state.
    fn applied(&self, state: &State, changes: &[Change]);
}

/// Why a node could not get into its cluster. None of these mends itself.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    /// An address that cannot be listened on.
    #[error("cannot listen on {address} for cluster membership: {error}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// Gossip did not start.
    #[error("gossip did not start: {0}")]
    Gossip(String),
    /// The folder belongs elsewhere.
    #[error("this data folder belongs to cluster {own}, the cluster at {at} is {theirs}")]
    OtherCluster {
        /// What the folder says.
        own: ClusterId,
        /// What the others say.
        theirs: ClusterId,
        /// Where they are.
        at: SocketAddr,
    },
    /// A new node sees two clusters of its cluster's name.
    #[error("there are several clusters named `{name}` here ({found}); this node cannot tell which one to join")]
    SeveralClusters {
        /// The name.
        name: String,
        /// Their ids.
        found: String,
    },
    /// The cluster does not take this node.
    #[error("the cluster refuses this node: {0}")]
    Refused(String),
    /// The catalog's own data or settings are at fault.
    #[error("the catalog cannot start: {0}")]
    Catalog(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It was stopped meanwhile, or had joined before.
    #[error("membership has stopped")]
    Stopped,
}

/// How long a write that is under way may take when a node ends.
const LAST_WRITE: Duration = Duration::from_secs(5);

/// A node's membership; clones are handles to the same. When the last one is
/// dropped it ends as by a crash: without a word to the others.
#[derive(Clone)]
pub struct Membership {
    inner: Arc<Inner>,
}

struct Inner {
    core: Arc<Core>,
    handle: Handle,
    runtime: Mutex<Option<Runtime>>,
    prepared: Mutex<Option<Prepared>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.get_mut().take() {
            runtime.shutdown_background();
        }
    }
}

impl Membership {
    /// Reads who this node is, makes this boot durable, and takes the membership
    /// address. Nothing is answered yet.
    ///
    /// # Errors
    /// If the address is taken or the store fails.
    pub fn open(config: MembershipConfig, database: Arc<Database>) -> Result<Self, MembershipError> {
        let (runtime, core, prepared) = start::prepare(config, database)?;
        let inner = Inner {
            core,
            handle: runtime.handle().clone(),
            runtime: Mutex::new(Some(runtime)),
            prepared: Mutex::new(Some(prepared)),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Forms or joins the cluster, or finds this node's place in it, and
    /// registers this boot (§1). Returns when the catalog applied here holds it;
    /// before that no peer may be answered about a queue. A new node also waits,
    /// for a bounded time, until the expected number of nodes is there.
    ///
    /// # Errors
    /// If the cluster refuses this node, or this node the cluster.
    pub async fn join(&self, observer: Arc<dyn Observer>) -> Result<(), MembershipError> {
        let prepared = self.inner.prepared.lock().take().ok_or(MembershipError::Stopped)?;
        let core = self.inner.core.clone();
        let joined = self.inner.handle.spawn(async move { start::run(core, prepared, observer).await });
        joined.await.map_err(|_| MembershipError::Stopped)?
    }

    /// This process.
    #[must_use]
    pub fn process(&self) -> Process {
        self.inner.core.process
    }

    /// Where others reach gossip and the catalog of this node.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.inner.core.address
    }

    /// The cluster that this node belongs to, once it does.
    #[must_use]
    pub fn cluster(&self) -> Option<ClusterId> {
        self.inner.core.peers.cluster()
    }

    /// The catalog as applied here. Applying waits while this is held.
    pub fn state(&self) -> RwLockReadGuard<'_, State> {
        self.inner.core.catalog.state()
    }

    /// The index of the catalog's log that is applied here.
    #[must_use]
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.inner.core.catalog.applied()
    }

    /// Proposes a command and waits until every node that holds a lease has
    /// applied it (§6.7), the observer of this node included.
    ///
    /// # Errors
    /// If the catalog refuses it, or no leader takes it in time; it may then yet
    /// be applied.
    pub async fn propose(&self, command: Command) -> Result<Outcome, ProposeError> {
        let (answer, answered) = oneshot::channel();
        let deadline = Instant::now() + self.inner.core.config.timing.propose;
        let proposal = Proposal { command, deadline, answer };
        self.inner.core.proposals.send(proposal).await.map_err(|_| ProposeError::Stopped)?;
        answered.await.unwrap_or(Err(ProposeError::Stopped))
    }

    /// Until when this node's lease runs (§6.7); `Moment(0)`: it has none.
    #[must_use]
    pub fn lease(&self) -> watch::Receiver<Moment> {
        self.inner.core.lease.subscribe()
    }

    /// Registered processes that seem alive, this one always included.
    #[must_use]
    pub fn live(&self) -> watch::Receiver<BTreeSet<Process>> {
        self.inner.core.liveness.live()
    }

    /// All other registered nodes with the address of their peer links.
    #[must_use]
    pub fn peers(&self) -> watch::Receiver<Vec<(NodeId, SocketAddr)>> {
        self.inner.core.liveness.links()
    }

    /// All nodes of the cluster, for people.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeView> {
        view::nodes(&self.inner.core)
    }

    /// Streams to a process were reset. Cheap; call it for each reset. If the
    /// process does not answer either, its queues get other leaders without
    /// waiting for gossip (§6.1).
    pub fn suspect(&self, process: Process) {
        self.inner.handle.spawn(liveness::suspect(self.inner.core.clone(), process));
    }

    /// Tells the other nodes how loaded this one is.
    pub fn set_load(&self, load: Load) {
        let core = self.inner.core.clone();
        self.inner.handle.spawn(async move {
            if let Some(gossip) = core.gossip() {
                gossip.set_load(&load).await;
            }
        });
    }

    /// Tells the other nodes which alarms this one has; empty: none.
    pub fn set_alarms(&self, alarms: Vec<String>) {
        let core = self.inner.core.clone();
        self.inner.handle.spawn(async move {
            if let Some(gossip) = core.gossip() {
                gossip.set_alarms(&alarms).await;
            }
        });
    }

    /// Tells the other nodes what this one's clients use of what is limited.
    pub fn set_usage(&self, usage: Usage) {
        let core = self.inner.core.clone();
        self.inner.handle.spawn(async move {
            if let Some(gossip) = core.gossip() {
                gossip.set_usage(&usage).await;
            }
        });
    }

    /// Tells the other nodes which of them this one has a link to: what they cannot
    /// reach is better led by a node that all of them can (§6.8).
    pub fn set_links(&self, links: BTreeSet<NodeId>) {
        let core = self.inner.core.clone();
        *core.links.lock() = links;
        self.inner.handle.spawn(async move {
            if let Some(gossip) = core.gossip() {
                // Whatever it is by then: two of these may overtake each other.
                let links = core.links.lock().clone();
                gossip.set_links(&links).await;
            }
        });
    }

    /// What the clients of the other live nodes use of what is limited, as these
    /// last said.
    #[must_use]
    pub fn usage_elsewhere(&self) -> Usage {
        view::usage_elsewhere(&self.inner.core)
    }

    /// Takes a stopped node out of the cluster for good.
    ///
    /// # Errors
    /// If the node is alive or unknown, or (without `force`) has the last copy
    /// of a queue; or if no leader takes it in time.
    pub async fn forget(&self, node: NodeId, force: bool) -> Result<(), ProposeError> {
        let core = self.inner.core.clone();
        let deadline = Instant::now() + core.config.timing.propose;
        let forgotten = self.inner.handle.spawn(async move { propose::forget(&core, node, force, deadline).await });
        forgotten.await.unwrap_or(Err(ProposeError::Stopped))
    }

    /// Returns when this node's part in the catalog has failed (its disk has),
    /// with the reason: the process must end. Pending for ever otherwise.
    pub async fn failed(&self) -> String {
        start::failed(&self.inner.core).await
    }

    /// First step of a stop: everything that this node leads is led by others when
    /// this returns, as far as others are there and in sync, or get so in this
    /// time (§6.5). Says what is left.
    pub async fn stop_leading(&self, wait: Duration) -> Led {
        let core = self.inner.core.clone();
        let stopped = self.inner.handle.spawn(async move { leave::stop_leading(&core, wait).await });
        stopped.await.unwrap_or_default()
    }

    /// When it leads no more and its clients are gone: other leaders wait for this
    /// node's copies no more. Its links must end next, before they take it in again.
    pub async fn depart(&self) {
        let core = self.inner.core.clone();
        // A runtime that is gone has nobody to tell.
        let _ = self.inner.handle.spawn(async move { leave::depart(&core).await }).await;
    }

    /// Gives this node's lease up for good: `lease()` says `Moment(0)` from now
    /// on. Once the shards have seen it too, call
    /// [`Membership::shutdown`].
    pub fn give_up_lease(&self) {
        lease::keeper::give_up(&self.inner.core);
    }

    /// Stops on purpose: hands what this node still leads to in-sync mirrors, says
    /// good-bye, and ends. If the lease was given up before,
    /// the shards must have seen that by now: nobody waits for it then. Else it
    /// is given up here, and the others wait until it would have run out.
    pub async fn shutdown(&self) {
        let core = self.inner.core.clone();
        // A runtime that is gone has nothing to say good-bye with.
        let _ = self.inner.handle.spawn(async move { leave::farewell(&core).await }).await;
        self.end().await;
    }

    /// Ends without a word to the others, and waits for a write that is under
    /// way: a process that exits in the midst of one is aborted by RocksDB.
    pub async fn end(&self) {
        let runtime = self.inner.runtime.lock().take();
        if let Some(runtime) = runtime {
            // Its thread cannot panic, and the caller's runtime lives.
            let _ = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(LAST_WRITE)).await;
        }
    }

    /// Ends at once, as a crash does: nobody is told, nothing is handed over,
    /// and a write that is under way may come later.
    pub fn halt(&self) {
        if let Some(runtime) = self.inner.runtime.lock().take() {
            runtime.shutdown_background();
        }
    }
}
