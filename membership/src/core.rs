//! What the parts of a node's membership share.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use warren_replication::types::{Moment, NodeId, Process};
use warren_store::Database;

use crate::clock;
use crate::config::MembershipConfig;
use crate::gossip::Gossip;
use crate::lease::ledger::Ledger;
use crate::liveness::Liveness;
use crate::peers::Peers;
use crate::propose::{Proposal, Write};
use crate::raft::Raft;
use crate::raft::machine::Catalog;

/// One process's membership, shared by its tasks.
pub(crate) struct Core {
    pub(crate) config: MembershipConfig,
    /// This process.
    pub(crate) process: Process,
    /// Tells this process from one with a copied data folder.
    pub(crate) nonce: u64,
    /// Where others reach gossip and the catalog of this node.
    pub(crate) address: SocketAddr,
    pub(crate) database: Arc<Database>,
    pub(crate) catalog: Catalog,
    pub(crate) peers: Arc<Peers>,
    pub(crate) liveness: Liveness,
    /// What this process as Raft leader knows of leases.
    pub(crate) ledger: LedgerBook,
    /// Until when this node's lease runs; `Moment(0)` if it has none.
    pub(crate) lease: watch::Sender<Moment>,
    /// Turned true once, when the lease is given up for good.
    pub(crate) leaseless: watch::Sender<bool>,
    /// Turned true once by a stop on purpose.
    pub(crate) stopping: watch::Sender<bool>,
    pub(crate) proposals: mpsc::Sender<Proposal>,
    pub(crate) writes: mpsc::Sender<Write>,
    /// The nodes that this one has a link to.
    pub(crate) links: Mutex<BTreeSet<NodeId>>,
    /// Held by whoever changes who belongs to Raft.
    pub(crate) belonging: tokio::sync::Mutex<()>,
    raft: OnceLock<Raft>,
    gossip: OnceLock<Gossip>,
}

/// What [`Core::new`] is made of.
pub(crate) struct Parts {
    pub(crate) config: MembershipConfig,
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    pub(crate) database: Arc<Database>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) proposals: mpsc::Sender<Proposal>,
    pub(crate) writes: mpsc::Sender<Write>,
}

impl Core {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { config, process, address, database, peers, proposals, writes } = parts;
        Self {
            process,
            nonce: rand::random(),
            address,
            database,
            catalog: Catalog::new(),
            peers,
            liveness: Liveness::new(process),
            ledger: LedgerBook::new(clock::micros(config.timing.lease_elsewhere())),
            lease: watch::channel(Moment(0)).0,
            leaseless: watch::channel(false).0,
            stopping: watch::channel(false).0,
            proposals,
            writes,
            links: Mutex::default(),
            belonging: tokio::sync::Mutex::default(),
            raft: OnceLock::new(),
            gossip: OnceLock::new(),
            config,
        }
    }

    /// Raft, once it runs.
    pub(crate) fn raft(&self) -> Option<&Raft> {
        self.raft.get()
    }

    /// Gossip, once it runs.
    pub(crate) fn gossip(&self) -> Option<&Gossip> {
        self.gossip.get()
    }

    /// Raft runs from now on. False if it did already.
    pub(crate) fn set_raft(&self, raft: Raft) -> bool {
        self.raft.set(raft).is_ok()
    }

    /// Gossip runs from now on. False if it did already.
    pub(crate) fn set_gossip(&self, gossip: Gossip) -> bool {
        self.gossip.set(gossip).is_ok()
    }

    /// This node.
    pub(crate) fn node(&self) -> NodeId {
        self.process.node
    }

    /// The Raft leader as far as this node knows; it may be gone already.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        self.raft()?.server_metrics().borrow().current_leader.map(NodeId)
    }

    /// The term that this node leads in, if it thinks that it leads.
    pub(crate) fn leading(&self) -> Option<u64> {
        let metrics = self.raft()?.server_metrics();
        let metrics = metrics.borrow();
        metrics.state.is_leader().then_some(metrics.vote.leader_id.term)
    }

    /// Whether this process was told to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }
}

/// The ledger with a word to those who wait for it to move.
pub(crate) struct LedgerBook {
    ledger: Mutex<Ledger>,
    moved: watch::Sender<()>,
}

impl LedgerBook {
    fn new(span_micros: u64) -> Self {
        Self { ledger: Mutex::new(Ledger::new(span_micros)), moved: watch::channel(()).0 }
    }

    /// Looks into the ledger.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Ledger) -> T) -> T {
        look(&self.ledger.lock())
    }

    /// Changes the ledger, and wakes who waits.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Ledger) -> T) -> T {
        let result = change(&mut self.ledger.lock());
        self.moved.send_replace(());
        result
    }

    /// Fires whenever the ledger changed.
    pub(crate) fn moved(&self) -> watch::Receiver<()> {
        self.moved.subscribe()
    }
}
