//! Planned changes of leadership (§6.5): nodes that are not to lead, which
//! queues are handed over to whom, and how leaders are spread anew. A plan is a
//! mark on the queue; its leader makes it come true with `Handover`, or gives it
//! up with `KeepLeading`. Only in-sync members are ever planned for.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use warren_replication::plan::{Leaders, Placement};
use warren_replication::types::{Epoch, NodeId, Process, QueueId};

use super::State;
use super::command::{Change, Command, Outcome};
use super::nodes::Node;
use super::queues::Queue;
use super::refusal::Refusal;
use super::replication::Compared;

/// A queue that is to be led by another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Move {
    /// Which.
    pub queue: QueueId,
    /// In which epoch.
    pub epoch: Epoch,
    /// Who leads it.
    pub from: NodeId,
    /// Who is to.
    pub to: NodeId,
}

/// What a node leads that others could.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Led {
    /// Queues with another in-sync replica that is live and willing.
    pub movable: usize,
    /// Queues with such a replica that is not in sync yet. Not those that any replica
    /// may lead when this node has stopped.
    pub waiting: usize,
    /// Queues of several replicas without one that could lead.
    pub stuck: usize,
}

/// What there is to do for nodes that are not to lead: groups whose primary is
/// one of them move, then their queues, at most so many of a node at a time.
#[must_use]
pub fn next_handovers(state: &State, live: &BTreeSet<Process>, most: usize) -> Vec<Command> {
    let mut commands = state.primaries_to_move(live);
    let mut moves = Vec::new();
    for node in state.nodes().filter(|node| !node.is_willing()) {
        let Some(led) = state.index.led.get(&node.process) else { continue };
        let led = led.iter().filter_map(|id| Some((*id, state.queues.get(id)?)));
        let (under_way, due): (Vec<_>, Vec<_>) = led.partition(|(_, queue)| queue.handover.is_some());
        let due = due.into_iter().filter_map(|(id, queue)| {
            let to = state.successor(queue, live)?;
            Some((id, queue.assignment.epoch, to))
        });
        moves.extend(due.take(most.saturating_sub(under_way.len())));
    }
    if !moves.is_empty() {
        commands.push(Command::PlanHandovers { moves });
    }
    commands
}

/// What there is to do where live nodes cannot reach each other although all of
/// them belong together: clients of a node that the leader cannot reach wait, and
/// a member that more nodes reach serves them all. Queues of groups stay with
/// their primary.
#[must_use]
pub fn next_moves_within_reach(
    state: &State,
    live: &BTreeSet<Process>,
    apart: &BTreeSet<(NodeId, NodeId)>,
    most: usize,
) -> Option<Command> {
    let missed = |node: NodeId| apart.iter().filter(|(from, _)| *from == node).count();
    let mut moves = Vec::new();
    for process in live.iter().filter(|process| missed(process.node) > 0) {
        let Some(led) = state.index.led.get(process) else { continue };
        let led = led.iter().filter_map(|id| Some((*id, state.queues.get(id)?)));
        let (under_way, due): (Vec<_>, Vec<_>) = led.partition(|(_, queue)| queue.handover.is_some());
        let due = due.into_iter().filter(|(_, queue)| queue.plan.group.is_none()).filter_map(|(id, queue)| {
            let reached = state.able(queue, live).filter(|to| !apart.contains(&(process.node, *to)));
            let better = reached.filter(|to| missed(*to) < missed(process.node));
            Some((id, queue.assignment.epoch, better.min_by_key(|to| missed(*to))?))
        });
        moves.extend(due.take(most.saturating_sub(under_way.len())));
    }
    (!moves.is_empty()).then_some(Command::PlanHandovers { moves })
}

/// Who should lead what for leaders to be spread evenly, as far as plans and
/// in-sync sets let them: queues that are led at random go from the node that
/// leads most to the one that leads least, the others to the node that their plan
/// names first. Nothing else moves.
#[must_use]
pub fn rebalance(state: &State, live: &BTreeSet<Process>) -> Vec<Move> {
    let mut moves = BTreeMap::new();
    let mut led: BTreeMap<NodeId, usize> = BTreeMap::new();
    let mut free: Vec<(QueueId, &Queue, NodeId)> = Vec::new();
    for (id, queue) in state.queues() {
        let Some(leader) = queue.assignment.leader else { continue };
        let mut at = queue.handover.unwrap_or(leader.node);
        if queue.plan.placement != Placement::Local && queue.handover.is_none() {
            match queue.plan.leaders {
                Leaders::Balanced | Leaders::ClientLocal => free.push((id, queue, at)),
                // The group's own steps see to it.
                Leaders::Primary => {}
                Leaders::First => {
                    let first = state.able(queue, live).next();
                    let better = first.filter(|to| place(queue, *to) < place(queue, at));
                    if let Some(to) = better {
                        moves.insert(id, Move { queue: id, epoch: queue.assignment.epoch, from: at, to });
                        at = to;
                    }
                }
            }
        }
        *led.entry(at).or_default() += 1;
    }
    // Each move makes the numbers more even, so this ends.
    loop {
        let mut moved = false;
        for (id, queue, at) in &mut free {
            let has = |node: &NodeId| led.get(node).copied().unwrap_or_default();
            let least = state.able(queue, live).min_by_key(|node| (has(node), *node));
            let Some(to) = least.filter(|to| has(to) + 1 < has(at)) else { continue };
            *led.entry(*at).or_default() -= 1;
            *led.entry(to).or_default() += 1;
            *at = to;
            moved = true;
            let from = queue.assignment.leader.map_or(to, |leader| leader.node);
            moves.insert(*id, Move { queue: *id, epoch: queue.assignment.epoch, from, to });
        }
        if !moved {
            return moves.into_values().filter(|step| step.from != step.to).collect();
        }
    }
}

/// Where the node stands in the queue's order.
fn place(queue: &Queue, node: NodeId) -> usize {
    queue.target.iter().position(|other| *other == node).unwrap_or(usize::MAX)
}

impl State {
    /// Whether a node may be given queues to lead.
    pub(super) fn is_willing(&self, node: NodeId) -> bool {
        self.nodes.get(&node).is_some_and(Node::is_willing)
    }

    /// Whether an operator has drained a node.
    pub(super) fn is_drained(&self, node: NodeId) -> bool {
        self.nodes.get(&node).is_some_and(|node| node.drained)
    }

    /// The nodes other than its leader's that could lead the queue, best first:
    /// wanted, live, willing and in sync.
    fn able<'a>(&'a self, queue: &'a Queue, live: &'a BTreeSet<Process>) -> impl Iterator<Item = NodeId> + 'a {
        let assignment = &queue.assignment;
        queue.target.iter().copied().filter(move |node| {
            let process = self.nodes.get(node).filter(|node| node.is_willing()).map(|node| node.process);
            let leads = assignment.leader.is_some_and(|leader| leader.node == *node);
            !leads && process.is_some_and(|p| live.contains(&p) && assignment.isr.contains(&p.member()))
        })
    }

    /// To whom its leader could hand the queue over. The queues of a group go to
    /// its primary only.
    pub(super) fn successor(&self, queue: &Queue, live: &BTreeSet<Process>) -> Option<NodeId> {
        let primary = queue.plan.group.as_ref().and_then(|group| self.primaries.get(group));
        self.able(queue, live).find(|node| primary.is_none_or(|primary| primary == node))
    }

    /// What a node leads, as far as others could. Queues that live with one
    /// process are not counted.
    #[must_use]
    pub fn led_of(&self, node: NodeId, live: &BTreeSet<Process>) -> Led {
        let mut of = Led::default();
        let Some(known) = self.nodes.get(&node) else { return of };
        let (process, stopping) = (known.process, known.stopping);
        for queue in self.index.led.get(&process).into_iter().flatten().filter_map(|id| self.queues.get(id)) {
            let other = |other: &NodeId| {
                *other != node && self.is_willing(*other) && live.iter().any(|process| process.node == *other)
            };
            if self.able(queue, live).next().is_some() {
                of.movable += 1;
            } else if queue.target.iter().any(other) && !(stopping && queue.plan.unclean_after_stop == Some(0)) {
                of.waiting += 1;
            } else if queue.target.len() > 1 {
                of.stuck += 1;
            }
        }
        of
    }

    /// The queues that a node leads and has nobody to hand over to.
    #[must_use]
    pub fn stuck_on(&self, node: NodeId, live: &BTreeSet<Process>) -> Vec<QueueId> {
        let Some(process) = self.nodes.get(&node).map(|node| node.process) else { return Vec::new() };
        let led = self.index.led.get(&process).into_iter().flatten().copied();
        let stuck = |id: &QueueId| {
            self.queues.get(id).is_some_and(|queue| queue.target.len() > 1 && self.able(queue, live).next().is_none())
        };
        led.filter(stuck).collect()
    }

    /// Groups whose primary is not to lead, and a node that has all their queues; or
    /// trails in them, and is brought in sync first (§4.2).
    fn primaries_to_move(&self, live: &BTreeSet<Process>) -> Vec<Command> {
        let due = self.groups().filter(|(_, _, primary)| !self.is_willing(*primary));
        let due = due.filter(|(group, ..)| self.next_primary(group).is_none());
        let moves = due.filter_map(|(group, settings, _)| {
            let named = settings.nodes.iter().filter_map(|name| self.node_named(name));
            let able: Vec<_> = named.filter(|node| node.is_willing() && live.contains(&node.process)).collect();
            let whole = able.iter().find(|node| self.has_all_of(group, &node.process));
            let trails = |node: &&&Node| settings.max_lag.is_some() && self.trails_in_all_of(group, &node.process);
            let to = whole.or_else(|| able.iter().find(trails))?;
            Some(Command::MovePrimary { group: group.clone(), to: to.id(), live: live.iter().copied().collect() })
        });
        moves.collect()
    }

    /// An operator's word whether a node is to lead (§6.5).
    pub(super) fn drain(&mut self, node: NodeId, drained: bool, changes: &mut Vec<Change>) -> Result<Outcome, Refusal> {
        let Some(known) = self.nodes.get_mut(&node) else {
            return Err(Refusal::Node("no such node is known".into()));
        };
        if known.drained == drained {
            return Ok(Outcome::Done);
        }
        known.drained = drained;
        changes.push(Change::Drained(node));
        self.weigh_copies(node, changes);
        if drained {
            self.unplan(node, changes);
        } else {
            // It may have copies again that it was left out of.
            self.replan_all(changes);
        }
        Ok(Outcome::Done)
    }

    /// A process is about to stop: it is given nothing more to lead.
    pub(super) fn stop(&mut self, process: &Process, changes: &mut Vec<Change>) -> Result<Outcome, Refusal> {
        let Some(known) = self.nodes.get_mut(&process.node).filter(|node| node.process == *process) else {
            return Err(Refusal::Stale("another process of the node is registered".into()));
        };
        if !known.stopping {
            known.stopping = true;
            changes.push(Change::Drained(process.node));
            self.unplan(process.node, changes);
            self.weigh_copies(process.node, changes);
        }
        Ok(Outcome::Done)
    }

    /// A stopping process leaves the in-sync sets that others lead, so that
    /// nobody waits for it when it is gone.
    pub(super) fn depart(&mut self, process: &Process, changes: &mut Vec<Change>) -> Result<Outcome, Refusal> {
        self.stop(process, changes)?;
        for id in self.index.hosted.get(&process.node).cloned().unwrap_or_default() {
            self.shrink(id, process.member(), changes);
        }
        Ok(Outcome::Done)
    }

    /// Nothing is handed over to this node any more.
    fn unplan(&mut self, node: NodeId, changes: &mut Vec<Change>) {
        let planned = |(_, queue): &(&QueueId, &Queue)| queue.handover == Some(node);
        let planned: Vec<QueueId> = self.queues.iter().filter(planned).map(|(id, _)| *id).collect();
        for id in planned {
            self.amend(id, changes, |queue, _| queue.handover = None);
        }
    }

    /// Marks queues to be handed over. One that has moved on, or cannot, is left
    /// as it is.
    pub(super) fn plan_handovers(&mut self, moves: &[(QueueId, Epoch, NodeId)], changes: &mut Vec<Change>) -> Outcome {
        let mut planned = 0;
        for (id, epoch, to) in moves {
            let fits = self.queues.get(id).is_some_and(|queue| {
                let assignment = &queue.assignment;
                let member = self.nodes.get(to).filter(|node| node.is_willing()).map(|node| node.process.member());
                assignment.epoch == *epoch
                    && queue.handover != Some(*to)
                    && assignment.leader.is_some_and(|leader| leader.node != *to)
                    && queue.target.contains(to)
                    && member.is_some_and(|member| assignment.isr.contains(&member))
            });
            if fits {
                self.amend(*id, changes, |queue, _| queue.handover = Some(*to));
                planned += 1;
            }
        }
        Outcome::Planned(planned)
    }

    /// The leader could not hand over in time: it goes on. The version grows, so
    /// that no `Handover` that it asked for before can come true any more.
    pub(super) fn keep_leading(
        &mut self,
        id: QueueId,
        compared: Compared,
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, Refusal> {
        self.compared(id, compared)?;
        self.amend(id, changes, |queue, _| queue.handover = None);
        Ok(Outcome::Done)
    }
}
