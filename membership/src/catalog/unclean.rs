//! Plans under which something may be lost: how far a queue's replicas may trail
//! now (§4.2), and who leads when nobody is left that has everything (§6.3).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use warren_replication::plan::{Group, Plan};
use warren_replication::types::{Assignment, Epoch, Lag, LogEnd, NodeId, Offset, Process, QueueId};

use super::State;
use super::command::{Change, Command, Outcome};
use super::nodes::Node;
use super::queues::Queue;
use super::refusal::Refusal;
use super::replication::set_isr;

/// A takeover by a replica that may have lacked something that was confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Takeover {
    /// The epoch that it leads.
    pub epoch: Epoch,
    /// Which node.
    pub node: NodeId,
    /// Who led before, and may have confirmed more.
    pub former: Option<NodeId>,
    /// Messages below this offset are all there; 0: it is not known which.
    pub kept: Offset,
    /// The offsets from here on were given out after it: those in between may be
    /// missing.
    pub next: Offset,
    /// No more than this is missing, if that is known.
    pub at_most: Option<Lag>,
    /// Milliseconds since 1970.
    pub time: u64,
}

/// What the plan means for a queue as it stands. While it moves, to other nodes
/// or to another leader, confirms wait for everybody: so nothing is lost by it.
pub(super) fn keep(
    queue: &Queue,
    assignment: &mut Assignment,
    nodes: &BTreeMap<NodeId, Node>,
    primaries: &BTreeMap<Group, NodeId>,
    moving: &BTreeMap<Group, NodeId>,
) {
    assignment.last_resort = unclean_after(&queue.plan, assignment, nodes).is_some();
    let Some(leader) = assignment.leader else { return };
    assignment.offers.clear();
    let settled = queue
        .plan
        .group
        .as_ref()
        .is_none_or(|group| primaries.get(group) == Some(&leader.node) && !moving.contains_key(group));
    let stays = assignment.replicas.iter().all(|node| queue.target.contains(node));
    assignment.max_lag = queue.plan.max_lag.filter(|_| settled && stays);
}

/// After how long (ms) without a leader any replica may lead, if ever: one whose
/// leader was stopped by plan has a patience of its own.
fn unclean_after(plan: &Plan, assignment: &Assignment, nodes: &BTreeMap<NodeId, Node>) -> Option<u64> {
    let former = assignment.predecessor.filter(|_| assignment.leader.is_none());
    let stopped = former.and_then(|former| nodes.get(&former.node)).is_some_and(|node| node.stopping);
    if stopped { plan.unclean_after_stop } else { plan.unclean_after }
}

/// Elections of the last resort that are due. `waited` says for how long (ms) a
/// queue has been without a leader.
#[must_use]
pub fn unclean_elections(
    state: &State,
    live: &BTreeSet<Process>,
    waited: impl Fn(QueueId) -> u64,
    time: u64,
) -> Option<Command> {
    let due = state.down().filter_map(|id| {
        let queue = state.queue(id)?;
        let assignment = &queue.assignment;
        if state.could_lead(id, live) {
            return None;
        }
        let waited = waited(id);
        let after = unclean_after(&queue.plan, assignment, &state.nodes);
        let last_resort = after.is_some_and(|after| waited >= after);
        let may = |process: &&Process| {
            let trails = assignment.trailing.contains(&process.member());
            state.is_registered(process) && (trails || (last_resort && assignment.replicas.contains(&process.node)))
        };
        let able: Vec<&Process> = live.iter().filter(may).collect();
        let answered = able.iter().filter(|process| assignment.offers.contains_key(process)).count();
        // Who has not said how long its log is, is waited for a little.
        let due = answered > 0 && (answered == able.len() || waited >= PATIENCE);
        due.then_some((id, assignment.epoch, last_resort))
    });
    let queues: Vec<_> = due.collect();
    (!queues.is_empty()).then(|| Command::ElectUnclean { queues, live: live.iter().copied().collect(), time })
}

/// Milliseconds.
const PATIENCE: u64 = 1_000;

impl State {
    /// How many queues were ever led by who may have lacked something.
    #[must_use]
    pub const fn unclean_takeovers(&self) -> u64 {
        self.unclean
    }

    /// Whether the replicas of a queue without a leader are to say what they
    /// would lead with.
    #[must_use]
    pub fn asks_for_offers(&self, id: QueueId) -> bool {
        self.queues.get(&id).is_some_and(|queue| {
            let assignment = &queue.assignment;
            assignment.leader.is_none() && (assignment.last_resort || !assignment.trailing.is_empty())
        })
    }

    /// A replica says what it would lead with.
    pub(super) fn offer(
        &mut self,
        id: QueueId,
        epoch: Epoch,
        process: Process,
        end: LogEnd,
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, Refusal> {
        let queue = self.queues.get(&id).ok_or_else(|| Refusal::Stale(format!("queue {id} is gone")))?;
        let assignment = &queue.assignment;
        let trails = assignment.trailing.contains(&process.member());
        let may = trails || (assignment.last_resort && assignment.replicas.contains(&process.node));
        if assignment.leader.is_some() || assignment.epoch != epoch || !self.is_registered(&process) || !may {
            return Err(Refusal::Stale(format!("nobody is asked to lead queue {id} like that")));
        }
        self.amend(id, changes, |_, assignment| {
            assignment.offers.insert(process, end);
        });
        Ok(Outcome::Done)
    }

    pub(super) fn elect_unclean(
        &mut self,
        queues: &[(QueueId, Epoch, bool)],
        live: &[Process],
        time: u64,
        changes: &mut Vec<Change>,
    ) -> Outcome {
        let electable = self.electable(live, &[]);
        let (mut led, mut down) = (0, 0);
        for (id, epoch, last_resort) in queues {
            let Some(queue) = self.queues.get(id) else { continue };
            let old = &queue.assignment;
            if old.leader.is_some() || old.epoch != *epoch {
                continue;
            }
            let whole = |process: &Process| {
                let member = process.member();
                old.isr.contains(&member) || old.eligible.contains(&member)
            };
            if electable.values().any(whole) {
                led += u32::from(self.elect_one(*id, &electable, &BTreeSet::new(), false, changes).is_some());
                continue;
            }
            let may = |process: &Process| {
                electable.get(&process.node) == Some(process)
                    && (*last_resort || old.trailing.contains(&process.member()))
            };
            // The longest log; of several the first of the replicas.
            let place = |process: &Process| old.replicas.iter().position(|node| *node == process.node);
            let offers = old.offers.iter().filter(|(process, _)| may(process));
            let best = offers.max_by_key(|(process, end)| (end.last, std::cmp::Reverse(place(process))));
            let Some((leader, end)) = best.map(|(leader, end)| (*leader, *end)) else {
                down += 1;
                continue;
            };
            let bounded = old.trailing.contains(&leader.member());
            let former = old.predecessor.map(|process| process.node);
            let (predecessor, predecessor_released) = self.fence(old, Some(leader), false);
            self.unclean += 1;
            self.amend(*id, changes, |queue, assignment| {
                let at_most = if bounded { assignment.max_lag } else { None };
                assignment.epoch = assignment.epoch.next();
                assignment.unclean = assignment.epoch;
                assignment.gaps += 1;
                assignment.leader = Some(leader);
                assignment.predecessor = predecessor;
                assignment.predecessor_released = predecessor_released;
                set_isr(assignment, [leader.member()].into());
                // What they held, if it was more, is not in this log.
                assignment.eligible.clear();
                assignment.trailing.clear();
                let (epoch, node) = (assignment.epoch, leader.node);
                let LogEnd { kept, next, .. } = end;
                queue.takeover = Some(Takeover { epoch, node, former, kept, next, at_most, time });
            });
            led += 1;
        }
        Outcome::Elected { led, down }
    }
}
