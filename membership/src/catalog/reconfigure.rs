//! From the replicas that a queue has to those that its plan wants (§6.6): one
//! leaving node a command, only while the target members in sync are enough,
//! the leader last and by handover.

use std::collections::BTreeSet;

use warren_replication::types::{NodeId, Process, QueueId};

use super::State;
use super::command::{Change, Command, Outcome};
use super::queues::Queue;
use super::refusal::Refusal;
use super::replication::{Compared, set_isr};

/// The next steps of all queues whose replicas are not what their plan wants,
/// at most so many: one step a queue. The controller proposes them, and asks
/// again when they are applied.
#[must_use]
pub fn next_reconfiguration(state: &State, live: &BTreeSet<Process>, most: usize) -> Vec<Command> {
    let queues = state.index.moving.iter().filter_map(|id| Some((*id, state.queues.get(id)?)));
    let steps = queues.filter_map(|(id, queue)| next_step(state, id, queue, live));
    steps.chain(state.group_steps(live)).take(most).collect()
}

fn next_step(state: &State, id: QueueId, queue: &Queue, live: &BTreeSet<Process>) -> Option<Command> {
    let assignment = &queue.assignment;
    let leader = assignment.leader?;
    if !enough(queue) {
        return None;
    }
    let (epoch, version) = (assignment.epoch, assignment.version);
    let mirror = queue.leaving().find(|node| *node != leader.node);
    if let Some(node) = mirror {
        return Some(Command::Retire { queue: id, epoch, version, node });
    }
    if queue.handover.is_some() {
        return None;
    }
    let to = state.successor(queue, live)?;
    Some(Command::PlanHandovers { moves: vec![(id, epoch, to)] })
}

/// Whether the target members in sync could stand alone: as many as the plan's
/// minimum, and at least one. Until then the old arrangement stays (docs/PROOF.md, point 35).
fn enough(queue: &Queue) -> bool {
    let in_sync = queue.assignment.isr.iter().filter(|member| queue.target.contains(&member.node)).count();
    in_sync >= queue.planned_min().max(1) as usize
}

impl State {
    pub(super) fn retire(
        &mut self,
        id: QueueId,
        compared: Compared,
        node: NodeId,
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, Refusal> {
        let queue = self.compared(id, compared)?;
        let leads = queue.assignment.leader.is_none_or(|leader| leader.node == node);
        if leads || !enough(queue) || !queue.leaving().any(|leaving| leaving == node) {
            return Err(Refusal::Stale(format!("node {node} cannot leave queue {id} now")));
        }
        self.amend(id, changes, |_, assignment| {
            let isr = assignment.isr.iter().filter(|member| member.node != node).copied().collect();
            set_isr(assignment, isr);
            assignment.eligible.retain(|member| member.node != node);
            assignment.trailing.retain(|member| member.node != node);
            assignment.replicas.retain(|replica| *replica != node);
        });
        Ok(Outcome::Done)
    }
}
