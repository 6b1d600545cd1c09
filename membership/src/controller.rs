//! The controller (§6): runs on every node, acts on the Raft leader's. It turns
//! liveness into elections, takes reconfigurations a step further, and keeps
//! Raft's voters as many as they should be. [`decide`] is pure; the driver
//! proposes what it says and looks again when anything moves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openraft::ChangeMembers;
use tokio::time::Instant;
use warren_replication::types::{NodeId, Process, QueueId};

use crate::catalog::{
    Command, State, next_handovers, next_moves_within_reach, next_reconfiguration, unclean_elections,
};
use crate::core::Core;
use crate::gossip::Gossip;
use crate::office::Denied;

/// How often the controller looks without being asked to, and how long it waits
/// after a proposal that came to nothing.
const ROUND: Duration = Duration::from_millis(250);
/// How soon the controller looks again after it had something to do, and while it
/// waits for others.
const AGAIN: Duration = Duration::from_millis(30);
/// Steps of reconfigurations in one command batch.
const STEPS: usize = 256;
/// Queues of one node that are handed over at the same time: each takes its
/// successor a moment, and none should wait for many others.
const HANDOVERS: usize = 64;
/// Live nodes without a link between them for so long are apart.
const APART: Duration = Duration::from_secs(2);
/// A learner that lacks fewer entries than this may vote.
const CAUGHT_UP: u64 = 64;

/// What the controller knows of who lives.
#[derive(Debug, Default)]
pub struct View {
    /// Registered processes that seem alive.
    pub live: BTreeSet<Process>,
    /// Those among the registered that gossip lost, or a majority found dead.
    pub dead: BTreeSet<Process>,
    /// Those among the dead that gossip lost too, and whose exclusive and
    /// transient queues are still to be dropped.
    pub departed: BTreeSet<Process>,
    /// For how long (ms) queues have been without a leader.
    pub down: BTreeMap<QueueId, u64>,
    /// Milliseconds since 1970.
    pub time: u64,
    /// Pairs of live nodes that have had no link for a while, both ways round.
    pub apart: BTreeSet<(NodeId, NodeId)>,
}

/// What is to be proposed. Pure: the node and the simulator decide by it.
#[must_use]
pub fn decide(state: &State, view: &View) -> Vec<Command> {
    let mut commands: Vec<Command> =
        view.departed.iter().map(|process| Command::DropProcess { process: *process }).collect();
    // Who is neither live nor dead yet is given time.
    let registered = state.nodes().map(|node| node.process);
    let spared: BTreeSet<Process> = registered.filter(|process| !view.dead.contains(process)).collect();
    if state.needs_election(&spared) {
        commands.push(Command::Elect {
            dead: view.dead.iter().copied().collect(),
            live: view.live.iter().copied().collect(),
            unwilling: Vec::new(),
            queues: Vec::new(),
        });
    }
    commands.extend(next_reconfiguration(state, &view.live, STEPS));
    let waited = |id| view.down.get(&id).copied().unwrap_or(0);
    commands.extend(unclean_elections(state, &view.live, waited, view.time));
    commands.extend(next_handovers(state, &view.live, HANDOVERS));
    commands.extend(next_moves_within_reach(state, &view.live, &view.apart, HANDOVERS));
    commands
}

/// What the driver remembers while it is in office.
struct Office {
    term: u64,
    since: Instant,
    dropped: BTreeSet<Process>,
    /// Queues without a leader, and since when as far as this one knows.
    down: BTreeMap<QueueId, Instant>,
    /// Since when pairs of live nodes have no link.
    apart: BTreeMap<(NodeId, NodeId), Instant>,
}

/// Watches, decides, proposes; as long as membership runs.
pub(crate) async fn run(core: Arc<Core>) {
    let Some(raft) = core.raft() else { return };
    let mut metrics = raft.server_metrics();
    let mut verdicts = core.liveness.verdicts();
    let mut nodes = core.catalog.nodes();
    // Processes that this one saw alive: their absence is their death, not this
    // node's being new.
    let mut witnessed = BTreeSet::new();
    let mut office: Option<Office> = None;
    loop {
        metrics.borrow_and_update();
        verdicts.borrow_and_update();
        nodes.borrow_and_update();
        witnessed.extend(core.liveness.live_list());
        match (core.leading(), &mut office) {
            (None, _) => office = None,
            (Some(term), Some(held)) if held.term == term => {}
            (Some(term), _) => {
                tracing::info!(term, "this node leads the catalog");
                office = Some(Office {
                    term,
                    since: Instant::now(),
                    dropped: BTreeSet::new(),
                    down: BTreeMap::new(),
                    apart: BTreeMap::new(),
                });
            }
        }
        let mut round = ROUND;
        if let Some(office) = &mut office {
            let busy = act(&core, office, &witnessed).await;
            // Replicas are about to say what they would lead with (§6.3).
            if busy || office.down.keys().any(|id| core.catalog.state().asks_for_offers(*id)) {
                round = AGAIN;
            }
        }
        tokio::select! {
            changed = metrics.changed() => if changed.is_err() { return },
            changed = verdicts.changed() => if changed.is_err() { return },
            changed = nodes.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(round) => {}
        }
    }
}

/// True if there was something to do.
async fn act(core: &Core, office: &mut Office, witnessed: &BTreeSet<Process>) -> bool {
    let view = look(core, office, witnessed);
    let commands = decide(&core.catalog.state(), &view);
    let busy = !commands.is_empty();
    if !commands.is_empty() {
        for command in &commands {
            if let Command::Elect { dead, .. } = command {
                tracing::info!(?dead, "electing for the queues of dead processes and for those that are down");
            }
        }
        // Not waited for until all lease holders have applied it: a dead one
        // would hold up what comes next. What it did not do is decided anew.
        match tokio::time::timeout(ROUND * 4, core.commit(commands)).await {
            Ok(Ok(_)) => office.dropped.extend(view.departed),
            Ok(Err(Denied::NotLeader)) => return false,
            Ok(Err(error)) => tracing::warn!(%error, "the controller's proposal failed"),
            Err(_) => tracing::warn!("the controller's proposal is not answered"),
        }
    }
    if let Err(error) = keep_voters(core).await {
        tracing::debug!(%error, "the catalog's voters are not yet as they should be");
    }
    busy
}

fn look(core: &Core, office: &mut Office, witnessed: &BTreeSet<Process>) -> View {
    let convicted = core.liveness.convicted();
    let live: BTreeSet<Process> =
        core.liveness.live_list().into_iter().filter(|process| !convicted.contains(process)).collect();
    let apart = apart(core, office, &live);
    let state = core.catalog.state();
    let absent = state.nodes().map(|node| node.process).filter(|process| !live.contains(process));
    // One full detector interval after taking office whoever was not heard is
    // dead (§6.1); before, whoever was heard once and is no more.
    let settled = office.since.elapsed() >= core.config.timing.detector();
    let dead: BTreeSet<Process> = absent
        .filter(|process| {
            settled || convicted.contains(process) || (witnessed.contains(process) && core.liveness.lost(process))
        })
        .collect();
    let departed = dead
        .iter()
        .filter(|process| core.liveness.lost(process) && !office.dropped.contains(process))
        .copied()
        .collect();
    office.down.retain(|id, _| state.queue(*id).is_some_and(|queue| queue.assignment.leader.is_none()));
    for id in state.down() {
        office.down.entry(id).or_insert_with(Instant::now);
    }
    let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let down = office.down.iter().map(|(id, since)| (*id, millis(since.elapsed()))).collect();
    let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis);
    View { live, dead, departed, down, time, apart }
}

/// Pairs of live nodes that say that they have had no link for a while.
fn apart(core: &Core, office: &mut Office, live: &BTreeSet<Process>) -> BTreeSet<(NodeId, NodeId)> {
    let roster = core.gossip().map(Gossip::roster).map(|roster| roster.borrow().clone()).unwrap_or_default();
    let linked = |a: &Process, b: &Process| roster.get(a).is_none_or(|seen| seen.links.contains(&b.node));
    let pairs = live.iter().flat_map(|a| live.iter().map(move |b| (a, b))).filter(|(a, b)| a.node != b.node);
    let now: BTreeSet<(NodeId, NodeId)> =
        pairs.filter(|(a, b)| !linked(a, b) || !linked(b, a)).map(|(a, b)| (a.node, b.node)).collect();
    office.apart.retain(|pair, _| now.contains(pair));
    for pair in now {
        office.apart.entry(pair).or_insert_with(Instant::now);
    }
    office.apart.iter().filter(|(_, since)| since.elapsed() >= APART).map(|(pair, _)| *pair).collect()
}

/// How many of so many members vote: all up to three, then the largest odd
/// number up to five.
pub(crate) const fn voters_wanted(members: usize) -> usize {
    match members {
        0..=3 => members,
        4 => 3,
        _ => 5,
    }
}

/// Makes one learner a voter, or one voter a learner, if there are too few or
/// too many.
async fn keep_voters(core: &Core) -> Result<(), Denied> {
    let Some(raft) = core.raft() else { return Ok(()) };
    let Ok(_one_at_a_time) = core.belonging.try_lock() else { return Ok(()) };
    let (members, voters, last, replication) = {
        let metrics = raft.metrics();
        let metrics = metrics.borrow();
        let membership = metrics.membership_config.membership();
        let members: Vec<u64> = membership.nodes().map(|(id, _)| *id).collect();
        let voters: BTreeSet<u64> = membership.voter_ids().collect();
        (members, voters, metrics.last_log_index.unwrap_or(0), metrics.replication.clone())
    };
    let wanted = voters_wanted(members.len());
    let live = |id: u64| core.liveness.live_process(NodeId(id)).is_some();
    if voters.len() < wanted {
        let caught_up = |id: u64| {
            let matched = replication.as_ref().and_then(|all| all.get(&id).copied().flatten());
            matched.is_some_and(|matched| matched.index + CAUGHT_UP >= last)
        };
        let learner = members.iter().copied().find(|id| !voters.contains(id) && live(*id) && caught_up(*id));
        if let Some(learner) = learner {
            raft.change_membership(ChangeMembers::AddVoterIds([learner].into()), true).await?;
            tracing::info!(node = %NodeId(learner), "a node votes in the catalog from now on");
        }
    } else if voters.len() > wanted {
        let surplus = voters.iter().copied().filter(|id| *id != core.node().0).min_by_key(|id| live(*id));
        if let Some(surplus) = surplus {
            raft.change_membership(ChangeMembers::RemoveVoters([surplus].into()), true).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voters_are_odd_beyond_three_and_at_most_five() {
        let wanted: Vec<usize> = (1..=8).map(voters_wanted).collect();
        assert_eq!(wanted, [1, 2, 3, 3, 5, 5, 5, 5]);
    }
}
