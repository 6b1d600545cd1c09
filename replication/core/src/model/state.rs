//! A state of the model: replicas, disks, words on their way, the catalog, what
//! happened so far, and the promises as predicates over it.
//!
//! What keeps the number of states small: words to different processes are not
//! ordered among each other; of the catalog's history only what somebody still
//! has to apply counts; a sync is a step of its own only while a crash may still
//! come (when a write is on disk can else be told by its answer only, which may
//! be late anyway); every part is shared and hashed once, when it changes, and
//! states are compared by these hashes.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use super::bound::Bound;
use crate::message::MirrorMessage;
use crate::recovery::Recovery;
use crate::replica::Replica;
use crate::settings::Settings;
use crate::sim::catalog::Catalog;
use crate::sim::disk::Disk;
use crate::sim::oracle::{Allowed, Oracle};
use crate::step::Event;
use crate::types::{Assignment, Clock, Epoch, Incarnation, Lag, LogEnd, Member, Moment, Process, QueueId};

pub(super) const QUEUE: QueueId = QueueId(7);

/// Ordinary steps take no time; a tick happens when all that waits for time is due.
pub(super) const NOW: Clock = Clock { now: Moment(0), wall: 0 };
pub(super) const LATER: Clock = Clock { now: Moment(WAIT), wall: 0 };
const WAIT: u64 = 1_000;

/// A part of a state, with its hash.
#[derive(Debug)]
pub(crate) struct Shared<T> {
    hash: u64,
    value: Arc<T>,
}

impl<T: Hash> Shared<T> {
    pub(super) fn new(value: T) -> Self {
        // Always the same keys: paths are found again by hash.
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        Self { hash: hasher.finish(), value: Arc::new(value) }
    }

    pub(super) fn change<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R
    where
        T: Clone,
    {
        let mut value = T::clone(&self.value);
        let result = change(&mut value);
        *self = Self::new(value);
        result
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self { hash: self.hash, value: Arc::clone(&self.value) }
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl<T> Eq for Shared<T> {}

impl<T> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.hash);
    }
}

/// A node: its process, if it runs, and its disk.
#[derive(Clone, Debug, Hash)]
pub(super) struct Node {
    pub(super) process: Process,
    pub(super) replica: Option<Replica>,
    pub(super) disk: Disk,
}

/// Words of one process to another, or to the catalog (`None`).
pub(super) type Link = (Process, Option<Process>);

/// On its way; may never arrive, or behind later ones of its link.
#[derive(Clone, Debug, Hash)]
pub(crate) enum Word {
    /// Between replicas.
    Mirror { to: Process, from: Process, message: MirrorMessage },
    /// To the catalog.
    Wish { by: Process, from: Arc<Assignment>, isr: BTreeSet<Member>, trailing: BTreeSet<Member> },
    /// What a replica would lead with (§6.3).
    Offer { by: Process, to: Arc<Assignment>, end: LogEnd },
}

impl Word {
    pub(super) fn link(&self) -> Link {
        match self {
            Self::Mirror { to, from, .. } => (*from, Some(*to)),
            Self::Wish { by, .. } | Self::Offer { by, .. } => (*by, None),
        }
    }
}

/// Which promise of §2 was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Promise {
    /// 1, 9: a member that may lead lacks what was committed.
    Kept,
    /// 2: two leaders, or one without what was committed.
    Leader,
    /// 2, 4, 5: committed twice, differently, or out of order.
    Committed,
    /// 3: a replica has applied what was not committed.
    Applied,
    /// §6.3: a takeover cost more than the plan allows, or than was reported.
    Bounded,
    /// A replica says so itself.
    Broken,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct Spent {
    pub(super) published: u8,
    pub(super) settled: u8,
    pub(super) elected: u8,
    pub(super) crashed: u8,
    pub(super) disks: u8,
    pub(super) doubled: u8,
    pub(super) overtaken: u8,
    pub(super) ticked: u8,
    /// The epoch to which the publisher has sent everything again.
    pub(super) resent: Epoch,
}

/// Everything there is.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(super) nodes: Vec<Shared<Node>>,
    /// What is on its way, in the order in which it was sent.
    pub(super) words: BTreeMap<Link, Vec<Shared<Word>>>,
    /// Whether a sync is a step of its own.
    pub(super) slow_disks: bool,
    pub(super) catalog: Shared<Catalog>,
    /// How much of the catalog's history each node has applied.
    pub(super) applied: Vec<usize>,
    pub(super) oracle: Shared<Oracle>,
    /// By epoch: what an unclean leader was elected with, until one leads.
    pub(super) unclean: BTreeMap<Epoch, Allowed>,
    pub(super) spent: Spent,
    pub(super) violation: Option<Arc<(Promise, String)>>,
}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.nodes.hash(hasher);
        self.words.hash(hasher);
        self.oracle.hash(hasher);
        self.unclean.hash(hasher);
        self.spent.hash(hasher);
        self.catalog.registered.hash(hasher);
        // What everybody has applied is past.
        let all = self.catalog.history.len();
        for (node, applied) in self.nodes.iter().zip(&self.applied) {
            node.replica.as_ref().map(|_| all - applied).hash(hasher);
        }
        let running = self.nodes.iter().zip(&self.applied).filter(|(node, _)| node.replica.is_some());
        let oldest = running.map(|(_, applied)| *applied).min().unwrap_or(all);
        self.catalog.history[oldest.min(all - 1)..].hash(hasher);
        self.violation.as_ref().map(|violation| violation.0).hash(hasher);
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        let hash = |state: &Self| {
            let mut hasher = DefaultHasher::new();
            state.hash(&mut hasher);
            hasher.finish()
        };
        hash(self) == hash(other)
    }
}

pub(super) fn settings(bound: &Bound) -> Settings {
    Settings {
        settle_delay: 0,
        mirror_timeout: WAIT,
        link_timeout: WAIT,
        // Elections happen at any time anyway.
        disk_stall_timeout: u64::MAX,
        proposal_retry: WAIT,
        resend: WAIT,
        catch_up_timeout: WAIT,
        checkpoint_bytes: u64::MAX,
        checkpoint_entries: if bound.checkpoint > 0 { bound.checkpoint.into() } else { u64::MAX },
        ..Settings::default()
    }
}

impl State {
    /// All replicas in sync, at rest, with node 0 leading epoch 1; or trailing it.
    pub(super) fn settled(bound: &Bound) -> Self {
        let catalog = match bound.lag {
            0 => Catalog::new(bound.nodes.into(), bound.minimum.into()),
            messages => {
                let max_lag = Lag { messages: messages.into(), bytes: u64::MAX, micros: u64::MAX };
                Catalog::new(bound.nodes.into(), 1).losing(Some(max_lag), false)
            }
        };
        let nodes = catalog.registered.iter().map(|process| {
            let replica = Replica::new(*process, Recovery::empty(QUEUE), settings(bound));
            Shared::new(Node { process: *process, replica: Some(replica), disk: Disk::default() })
        });
        let count = usize::from(bound.nodes);
        let mut state = Self {
            nodes: nodes.collect(),
            words: BTreeMap::new(),
            slow_disks: false,
            applied: vec![0; count],
            catalog: Shared::new(catalog),
            oracle: Shared::new(Oracle::default()),
            unclean: BTreeMap::new(),
            spent: Spent::default(),
            violation: None,
        };
        for node in 0..count {
            state.apply_catalog(node);
        }
        state.sync(0);
        for _ in 0..4 {
            while let Some(link) = state.words.keys().next().copied() {
                state.deliver(&link, 0, true);
                (0..count).for_each(|node| state.sync(node));
            }
            for node in 0..count {
                while state.applied[node] < state.catalog.history.len() {
                    state.apply_catalog(node);
                }
            }
            state.step(0, NOW, Event::Tick);
        }
        assert!(state.violation.is_none() && state.oracle.head().0 == 1, "the model does not come to rest");
        state.spent.resent = Epoch(1);
        state.slow_disks = bound.crashes > 0;
        state
    }

    pub(super) fn promise(&self) -> Option<Promise> {
        self.violation.as_ref().map(|violation| violation.0)
    }

    pub(super) fn violation(&self) -> Option<String> {
        self.violation.as_ref().map(|violation| violation.1.clone())
    }

    pub(super) fn violate(&mut self, promise: Promise, what: String) {
        self.violation.get_or_insert_with(|| Arc::new((promise, what)));
    }

    pub(super) fn judge(&mut self, promise: Promise, verdict: Result<(), String>) {
        if let Err(what) = verdict {
            self.violate(promise, what);
        }
    }

    /// Promise 1, as strongly as it can be said: whoever the catalog might have
    /// lead has everything committed, on the platter, whether it runs or not.
    pub(super) fn check_members(&mut self) {
        if !self.unclean.is_empty() {
            // What the one lacks that is to lead is gone once it does.
            return;
        }
        let now = self.catalog.now();
        let members = now.isr.iter().chain(&now.eligible);
        let poor = members.copied().find(|member| {
            let node = &self.nodes[member.node.0 as usize];
            node.process.member() == *member && !node.disk.holds(QUEUE, self.oracle.log())
        });
        if let Some(member) = poor {
            let head = self.oracle.head();
            self.violate(Promise::Kept, format!("{member:?} may lead and lacks some of what is committed, {head}"));
        }
    }

    pub(super) fn incarnation_of_new_disk(&self) -> Incarnation {
        Incarnation(1_000 + u64::from(self.spent.disks))
    }
}
