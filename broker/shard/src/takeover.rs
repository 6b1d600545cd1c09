//! What a new leader waits for before it delivers, gets, counts, settles or
//! decides anything: its inherited log to commit (§6.4), its predecessor's
//! lease to be over (§6.7), and the claims of the live entry nodes (§6.8).

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;
use warren_replication::types::{Assignment, Boot, Index, Moment, NodeId, Process};

use crate::settings::Settings;

/// Why a leader does not serve consumers yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// The inherited log is not committed.
    Log,
    /// The predecessor's lease may still run.
    Predecessor,
    /// Entry nodes have not claimed yet.
    Claims,
    /// This node has no lease.
    Lease,
    /// It gave its lease for the queue up: its successor is being elected (§6.5).
    Successor,
}

/// The state of one takeover.
#[derive(Debug)]
pub(crate) struct Takeover {
    predecessor: Option<Process>,
    /// The leases of the time before last until then.
    wait_until: Moment,
    grace_until: Moment,
    /// Nobody led before: nobody holds anything.
    first_reign: bool,
    /// The last index of the inherited log, the epoch's start included.
    pub(crate) inherited: Index,
    /// The next offset at the end of the inherited log.
    pub(crate) next_offset: u64,
    claimed: BTreeSet<Process>,
}

impl Takeover {
    pub(crate) fn new(
        me: Process,
        now: Moment,
        assignment: &Assignment,
        settings: &Settings,
        inherited: Index,
        next_offset: u64,
    ) -> Self {
        // An earlier process of this very node has ended, or this one would not
        // run; and this process' own lease is the one that it checks.
        // (A boot beyond its own stands for more than one: those it waits for.)
        let ended = |p: &Process| p.node == me.node && p.boot <= me.boot;
        let predecessor = assignment.predecessor.filter(|p| !ended(p) && !assignment.predecessor_released);
        Self {
            predecessor,
            wait_until: now.plus_micros(settings.lease_wait()),
            grace_until: now.plus_micros(settings.reattach_grace),
            first_reign: assignment.predecessor.is_none(),
            inherited,
            next_offset,
            claimed: BTreeSet::new(),
        }
    }

    /// The catalog says more of the same epoch.
    pub(crate) fn assigned(&mut self, assignment: &Assignment) {
        if assignment.predecessor_released {
            self.predecessor = None;
        }
    }

    /// A later boot of the predecessor's node ends the wait for it (§6.7).
    pub(crate) fn registered(&mut self, node: NodeId, boot: Boot) {
        if self.predecessor.is_some_and(|p| p.node == node && p.boot < boot) {
            self.predecessor = None;
        }
    }

    pub(crate) fn claimed(&mut self, process: Process) {
        self.claimed.insert(process);
    }

    /// Whether the predecessor has certainly stopped delivering.
    pub(crate) fn predecessor_over(&mut self, now: Moment) -> bool {
        if self.predecessor.is_some() && now >= self.wait_until {
            self.predecessor = None;
        }
        self.predecessor.is_none()
    }

    /// Whether everybody who may hold something has said so, or had the time to.
    /// Who is not live may sleep, and hand out what is on its way to it when it
    /// wakes: while its lease may run, others do not get that (§6.7).
    pub(crate) fn grace_over(&self, now: Moment, live: &BTreeSet<Process>, boots: &FxHashMap<NodeId, Boot>) -> bool {
        let claims = |(node, boot): (&NodeId, &Boot)| {
            self.claimed.iter().any(|process| process.node == *node && process.boot == *boot)
        };
        let live_have = || !live.is_empty() && live.iter().all(|process| self.claimed.contains(process));
        let others_have = || now >= self.wait_until || boots.iter().all(claims);
        self.first_reign || now >= self.grace_until || (live_have() && others_have())
    }
}

#[cfg(test)]
mod tests {
    use warren_replication::types::Incarnation;

    use super::*;

    fn over_at_once(predecessor: Process) -> bool {
        let me = Process { node: NodeId(1), incarnation: Incarnation(1), boot: Boot(3) };
        let assignment = Assignment { predecessor: Some(predecessor), ..Assignment::default() };
        Takeover::new(me, Moment(0), &assignment, &Settings::default(), Index(0), 0).predecessor_over(Moment(0))
    }

    #[test]
    fn an_earlier_self_has_ended_but_not_those_that_a_boot_beyond_stands_for() {
        let of = |node, boot| Process { node: NodeId(node), incarnation: Incarnation(1), boot: Boot(boot) };
        assert!(over_at_once(of(1, 2)) && over_at_once(of(1, 3)));
        assert!(!over_at_once(of(2, 1)) && !over_at_once(of(1, u64::MAX)));
    }
}
