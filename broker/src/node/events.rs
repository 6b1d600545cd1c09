//! What happens in the cluster, told to the parts that work by it: the routes,
//! and the shards that hold the queues.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, watch};
use warren_membership::catalog::{Change, State};
use warren_membership::{Membership, Observer};
use warren_peer::direct::DirectWord;
use warren_replication::message::QueueWord;
use warren_replication::types::{Process, QueueId};
use warren_shard::step::{Input, QueueInfo};

use crate::direct::Direct;
use crate::peer::{LinkEvents, LinkHandle};
use crate::remote;
use crate::routing::Routes;
use crate::shard::Shards;

/// Tells routes and shards what the applied catalog became, in its order.
pub(super) struct CatalogEvents {
    routes: Arc<Routes>,
    shards: Shards,
    /// The queues that the shards know: at first those found on disk.
    known: Mutex<BTreeSet<QueueId>>,
    /// Told whenever somebody may have lost the right to be connected.
    users: watch::Sender<()>,
}

impl CatalogEvents {
    pub(super) fn new(routes: Arc<Routes>, shards: Shards, users: watch::Sender<()>) -> Self {
        let known = shards.recovered().iter().copied().collect();
        Self { routes, shards, known: Mutex::new(known), users }
    }

    fn queue(&self, state: &State, queue: QueueId) {
        let Some(record) = state.queue(queue) else { return };
        self.known.lock().insert(queue);
        self.shards.catalog(Input::Queue(QueueInfo {
            queue,
            assignment: Arc::clone(&record.assignment),
            handover: record.handover,
            auto_delete: record.auto_delete,
            rules: super::rules::rules(state, record),
        }));
    }

    fn lost_sites(&self, state: &State) {
        let lost = remote::lost(state).into_iter().map(Bytes::from).collect();
        self.shards.catalog(Input::LostSites(lost));
    }

    fn deleted(&self, queue: QueueId) {
        self.known.lock().remove(&queue);
        self.shards.catalog(Input::Deleted(queue));
    }
}

impl Observer for CatalogEvents {
    fn reset(&self, state: &State) {
        self.routes.reset(state);
        self.users.send_replace(());
        // An id that was not given yet is one not yet heard of, not a deleted one (§5.6).
        let gone = |queue: &QueueId| *queue < state.next_queue() && state.queue(*queue).is_none();
        let deleted: Vec<QueueId> = self.known.lock().iter().copied().filter(gone).collect();
        deleted.into_iter().for_each(|queue| self.deleted(queue));
        for node in state.nodes() {
            self.shards.catalog(Input::Registered(node.process.node, node.process.boot));
        }
        self.lost_sites(state);
        for (queue, _) in state.queues() {
            self.queue(state, queue);
        }
    }

    fn applied(&self, state: &State, changes: &[Change]) {
        self.routes.applied(state, changes);
        for change in changes {
            match change {
                Change::Queue(queue) => self.queue(state, *queue),
                Change::QueueDeleted { queue, .. } => self.deleted(*queue),
                Change::Users | Change::Primaries => {
                    self.users.send_replace(());
                }
                Change::Parameters => {
                    self.users.send_replace(());
                    self.lost_sites(state);
                }
                Change::NodeForgotten(node) => self.shards.catalog(Input::Forgotten(*node)),
                Change::Node(node, _, boot) => self.shards.catalog(Input::Registered(*node, *boot)),
                _ => {}
            }
        }
    }
}

/// Tells the shards of the node's lease and of who is live, from now on until
/// membership ends.
pub(super) fn follow(membership: &Membership, shards: &Shards) {
    forward(membership.lease(), shards.clone(), |until| Input::Lease(*until));
    forward(membership.live(), shards.clone(), |live| Input::Live(live.clone()));
}

fn forward<T: Send + Sync + 'static>(
    mut from: watch::Receiver<T>,
    shards: Shards,
    input: impl Fn(&T) -> Input + Send + 'static,
) {
    tokio::spawn(async move {
        loop {
            let input = input(&from.borrow_and_update());
            shards.catalog(input);
            if from.changed().await.is_err() {
                return;
            }
        }
    });
}

/// Tells the shards of links, and membership of those that break: a process
/// that was killed resets its streams long before gossip misses it (§6.1).
pub(super) struct PeerEvents {
    shards: Shards,
    membership: Membership,
    direct: Arc<Direct>,
    /// The processes that this node has a link to.
    linked: Mutex<BTreeSet<Process>>,
}

impl PeerEvents {
    pub(super) fn new(shards: Shards, membership: Membership, direct: Arc<Direct>) -> Self {
        Self { shards, membership, direct, linked: Mutex::default() }
    }

    fn tell(&self, change: impl FnOnce(&mut BTreeSet<Process>)) {
        let mut linked = self.linked.lock();
        change(&mut linked);
        self.membership.set_links(linked.iter().map(|process| process.node).collect());
    }
}

impl LinkEvents for PeerEvents {
    fn up(&self, process: Process, link: LinkHandle) {
        self.tell(|linked| {
            linked.insert(process);
        });
        self.direct.up(process.node, link.clone());
        self.shards.up(process, link);
    }

    fn down(&self, process: Process) {
        self.tell(|linked| {
            linked.remove(&process);
        });
        self.direct.down(process.node);
        self.shards.down(process);
        self.membership.suspect(process);
    }

    fn words(&self, from: Process, words: Vec<(QueueId, QueueWord)>, room: OwnedSemaphorePermit) {
        self.shards.words(from, words, room);
    }

    fn direct(&self, from: Process, words: Vec<DirectWord>) {
        self.direct.words(from.node, words);
    }
}
