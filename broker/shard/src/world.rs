//! What a queue needs to know of the world around it: the time, the lease, who
//! is live, within reach, or certainly no more.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use rustc_hash::FxHashMap;
use warren_replication::types::{Boot, Clock, Moment, NodeId, Process};

use crate::settings::Settings;

/// What one turn of one queue looks at.
pub(crate) struct World<'a> {
    pub(crate) now: Moment,
    /// The wall clock, in milliseconds since 1970.
    pub(crate) wall: u64,
    pub(crate) me: Process,
    pub(crate) lease: Moment,
    pub(crate) live: &'a BTreeSet<Process>,
    /// When processes that are not live any more were last seen live.
    pub(crate) left: &'a BTreeMap<Process, Moment>,
    /// The latest boot that the catalog has registered of a node.
    pub(crate) boots: &'a FxHashMap<NodeId, Boot>,
    /// The processes at the other ends of the links.
    pub(crate) links: &'a FxHashMap<NodeId, Process>,
    /// Sites that are given up for lost.
    pub(crate) lost: &'a BTreeSet<Bytes>,
    pub(crate) settings: &'a Settings,
}

impl World<'_> {
    /// What the clocks say.
    pub(crate) fn clock(&self) -> Clock {
        Clock { now: self.now, wall: self.wall }
    }

    /// Whether this node may hand out messages now (§6.7).
    pub(crate) fn leased(&self) -> bool {
        self.now < self.lease
    }

    /// Whether a word to this process gets there.
    pub(crate) fn linked(&self, process: Process) -> bool {
        process == self.me || self.links.get(&process.node) == Some(&process)
    }

    /// Whether a later boot of its node has been registered: it is no more.
    pub(crate) fn is_over(&self, process: Process) -> bool {
        self.boots.get(&process.node).is_some_and(|boot| *boot > process.boot)
    }

    /// Whether its clients count as gone: it is over, or neither live nor within
    /// reach. It claims anew if that was a mistake (§6.8).
    pub(crate) fn is_gone(&self, process: Process) -> bool {
        self.is_over(process) || (!self.live.contains(&process) && !self.linked(process))
    }
}
