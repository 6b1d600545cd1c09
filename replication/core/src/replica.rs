//! One replica of one queue.

use std::sync::Arc;

use crate::ledger::Ledger;
use crate::recovery::Recovery;
use crate::settings::Settings;
use crate::step::{Action, Event, Proposal};
use crate::types::{Assignment, Epoch, Index, Moment, NodeId, Offset, Position, Process};

/// What a mirror is doing, as its leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MirrorState {
    /// Not in contact.
    Unreachable,
    /// The point of divergence is being found.
    Comparing,
    /// It starts anew from a checkpoint.
    Installing,
    /// It gets entries that it lacks.
    CatchingUp,
    /// It has everything.
    Current,
}

/// A mirror as its leader sees it, for status.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MirrorStatus {
    /// Which node.
    pub node: NodeId,
    /// Its durable index as reported in this epoch.
    pub durable: Option<Index>,
    /// Whether the applied catalog has it in the in-sync set.
    pub in_sync: bool,
    /// What it is doing.
    pub state: MirrorState,
    /// For how long (µs) the oldest entry that it has not reported durable has been waiting.
    pub behind: u64,
}

/// A replica: leader or mirror, as the applied catalog says.
#[derive(Clone, Debug)]
pub struct Replica {
    recovery: Recovery,
}

impl Replica {
    /// A replica of what was recovered, or of an empty queue.
    #[must_use]
    pub fn new(_me: Process, recovery: Recovery, _settings: Settings) -> Self {
        Self { recovery }
    }
    /// Takes one event.
    pub fn step(&mut self, _now: Moment, _event: Event, _out: &mut Vec<Action>) {}
    /// Leader only.
    pub fn propose(&mut self, _now: Moment, _p: Proposal, _out: &mut Vec<Action>) {}
    /// Leader only: one entry of all proposals since the last, if any.
    pub fn seal(&mut self, _now: Moment, _out: &mut Vec<Action>) {}
    /// Leads.
    pub fn is_leading(&self) -> bool { false }
    /// Assignment.
    pub fn assignment(&self) -> Option<&Arc<Assignment>> { None }
    /// Committed state.
    pub fn ledger(&self) -> &Ledger { &self.recovery.ledger }
    /// Epoch.
    pub fn known_epoch(&self) -> Epoch { self.recovery.epoch }
    /// Last entry.
    pub fn last(&self) -> Position { self.recovery.log.last() }
    /// Index up to which the own log is fsynced.
    pub fn durable(&self) -> Index { Index(0) }
    /// Commit index.
    pub fn commit(&self) -> Index { self.recovery.ledger.applied().index }
    /// The mirrors, leader only.
    pub fn mirrors(&self, _now: Moment) -> Vec<MirrorStatus> { Vec::new() }
    /// An entry at or before the one holding the offset.
    pub fn locate(&self, offset: Offset) -> Index { self.recovery.log.locate(offset) }
    /// Whether nothing here waits for time: no tick is needed until the next event.
    pub fn is_quiet(&self) -> bool { true }
}
