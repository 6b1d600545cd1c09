//! Where a queue should live: which nodes, best leader first. Pure: the catalog
//! asks while it applies a declare, a registration, a farewell or a new policy,
//! so every node must come to the same answer.

use warren_replication::plan::{Leaders, Placement, Plan, Replicas};
use warren_replication::types::NodeId;

/// A node as placement sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Which.
    pub node: NodeId,
    /// Its configured name.
    pub name: &'a str,
    /// What it may be lost together with, as configured; empty: nothing.
    pub zone: &'a str,
    /// Whether it can hold a copy right now.
    pub live: bool,
    /// How many queues it leads.
    pub led: usize,
    /// How many queues it has a copy of.
    pub hosted: usize,
}

/// The nodes for a new queue, best leader first; live ones before others.
/// `local` is the declaring node, or the primary of the queue's group, `turn` any growing number: it spreads the
/// second places, so that the queues of a dead node go to several others.
#[must_use]
pub fn place(plan: &Plan, candidates: &[Candidate<'_>], local: NodeId, turn: u64) -> Vec<NodeId> {
    let replicas = match &plan.placement {
        Placement::Local => return vec![local],
        Placement::Mirrored(replicas) => replicas,
    };
    let mut pool = pool(replicas, candidates);
    if pool.is_empty() {
        return Vec::new();
    }
    let named = matches!(replicas, Replicas::Nodes(_));
    let balanced = || pool.iter().enumerate().min_by_key(|(_, c)| (!c.live, c.led, c.hosted, c.node));
    let first = || pool.iter().enumerate().min_by_key(|(i, c)| (!c.live, *i));
    let leader = match plan.leaders {
        Leaders::Balanced => balanced(),
        Leaders::First => first(),
        Leaders::ClientLocal | Leaders::Primary => {
            let here = pool.iter().enumerate().find(|(_, c)| c.node == local && c.live);
            here.or_else(|| if named { first() } else { balanced() })
        }
    };
    let leader = leader.map_or(0, |(i, _)| i);
    let leader = pool.remove(leader);
    if !named {
        pool = spread(vec![leader], pool, wanted(replicas, candidates.len())).split_off(1);
        if !pool.is_empty() {
            let places = pool.len() as u64;
            pool.rotate_left(usize::try_from(turn % places).unwrap_or(0));
        }
    }
    pool.sort_by_key(|c| !c.live);
    std::iter::once(leader).chain(pool).map(|c| c.node).collect()
}

/// The nodes for a queue that lives somewhere already, under a plan that may be
/// new: `current` is where it is, best first. It moves no more than it must.
#[must_use]
pub fn replace(plan: &Plan, candidates: &[Candidate<'_>], current: &[NodeId]) -> Vec<NodeId> {
    let replicas = match &plan.placement {
        Placement::Local => return current.iter().take(1).copied().collect(),
        Placement::Mirrored(replicas) => replicas,
    };
    let pool = pool(replicas, candidates);
    if matches!(plan.leaders, Leaders::First | Leaders::Primary) {
        return pool.iter().map(|c| c.node).collect();
    }
    let stays = |node: &&NodeId| pool.iter().any(|c| c.node == **node);
    let mut target: Vec<NodeId> = current.iter().filter(stays).copied().collect();
    let wanted = wanted(replicas, candidates.len());
    if matches!(replicas, Replicas::Nodes(_)) {
        let others: Vec<NodeId> = pool.iter().map(|c| c.node).filter(|node| !target.contains(node)).collect();
        target.extend(others);
        target.truncate(wanted);
        return target;
    }
    target.truncate(wanted);
    let (mut here, mut others): (Vec<_>, Vec<_>) = pool.into_iter().partition(|c| target.contains(&c.node));
    here.sort_by_key(|c| target.iter().position(|node| *node == c.node));
    // The last one that stands where another does makes room for one elsewhere.
    while let Some(nth) = crowded(&here) {
        let elsewhere = others.iter().enumerate().filter(|(_, c)| neighbours(&here, c) == 0);
        let Some((best, _)) = elsewhere.min_by_key(|(_, c)| (!c.live, c.hosted, c.node)) else { break };
        here.push(others.remove(best));
        others.push(here.remove(nth));
    }
    spread(here, others, wanted).iter().map(|c| c.node).collect()
}

/// How many of these are in a candidate's zone.
fn neighbours(chosen: &[&Candidate<'_>], candidate: &Candidate<'_>) -> usize {
    chosen.iter().filter(|c| !c.zone.is_empty() && c.zone == candidate.zone).count()
}

/// The last one that shares its zone with one before it.
fn crowded(chosen: &[&Candidate<'_>]) -> Option<usize> {
    (1..chosen.len()).rev().find(|nth| neighbours(&chosen[..*nth], chosen[*nth]) > 0)
}

/// Adds the best of the others until there are as many as wanted: live ones, in
/// zones that have none yet, with the fewest copies.
fn spread<'a>(
    mut chosen: Vec<&'a Candidate<'a>>,
    mut others: Vec<&'a Candidate<'a>>,
    wanted: usize,
) -> Vec<&'a Candidate<'a>> {
    while chosen.len() < wanted {
        let best = others.iter().enumerate();
        let best = best.min_by_key(|(_, c)| (!c.live, neighbours(&chosen, c), c.hosted, c.node)).map(|(nth, _)| nth);
        let Some(best) = best else { break };
        chosen.push(others.remove(best));
    }
    chosen
}

/// Those that may hold the queue at all; named ones in the order named.
fn pool<'a>(replicas: &Replicas, candidates: &'a [Candidate<'a>]) -> Vec<&'a Candidate<'a>> {
    match replicas {
        Replicas::Nodes(names) => names.iter().filter_map(|name| candidates.iter().find(|c| c.name == *name)).collect(),
        Replicas::All | Replicas::Count(_) => candidates.iter().collect(),
    }
}

/// How many replicas there should be of so many nodes.
fn wanted(replicas: &Replicas, nodes: usize) -> usize {
    match replicas {
        Replicas::Count(n) => usize::try_from(*n).unwrap_or(usize::MAX).clamp(1, nodes.max(1)),
        Replicas::All => nodes,
        Replicas::Nodes(names) => names.len(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use warren_replication::plan::MinInSync;

    fn plan(replicas: Replicas, leaders: Leaders) -> Plan {
        Plan {
            placement: Placement::Mirrored(replicas),
            min_in_sync: MinInSync::Majority,
            leaders,
            ..Plan::unnamed(true)
        }
    }

    /// Nodes `a`, `b`, … with (live, led, hosted).
    fn nodes(of: &[(bool, usize, usize)]) -> Vec<Candidate<'static>> {
        let named = (1..).map(NodeId).zip(["a", "b", "c", "d"]);
        let candidate = |((node, name), &(live, led, hosted))| Candidate { node, name, zone: "", live, led, hosted };
        named.zip(of).map(candidate).collect()
    }

    fn ids(nodes: &[NodeId]) -> Vec<u64> {
        nodes.iter().map(|n| n.0).collect()
    }

    fn names(names: &[&str]) -> Replicas {
        Replicas::Nodes(names.iter().map(|&n| n.to_owned()).collect())
    }

    #[test]
    fn leaders_and_mirrors_go_where_there_is_least() {
        let nodes = nodes(&[(true, 3, 5), (true, 1, 9), (true, 2, 1), (true, 9, 2)]);
        assert_eq!(ids(&place(&plan(Replicas::Count(3), Leaders::Balanced), &nodes, NodeId(1), 0)), [2, 3, 4]);
        assert_eq!(ids(&place(&plan(Replicas::Count(3), Leaders::Balanced), &nodes, NodeId(1), 1)), [2, 4, 3]);
        assert_eq!(ids(&place(&plan(Replicas::Count(9), Leaders::Balanced), &nodes, NodeId(1), 0)), [2, 3, 4, 1]);
        assert_eq!(ids(&place(&plan(Replicas::All, Leaders::ClientLocal), &nodes, NodeId(1), 0)), [1, 3, 4, 2]);
    }

    #[test]
    fn the_dead_come_last_and_lead_nothing() {
        let nodes = nodes(&[(false, 0, 0), (true, 5, 5), (true, 6, 6)]);
        assert_eq!(ids(&place(&plan(Replicas::Count(3), Leaders::Balanced), &nodes, NodeId(2), 1)), [2, 3, 1]);
        assert_eq!(ids(&place(&plan(Replicas::Count(2), Leaders::Balanced), &nodes, NodeId(2), 0)), [2, 3]);
        assert_eq!(ids(&place(&plan(Replicas::Count(3), Leaders::ClientLocal), &nodes, NodeId(1), 0))[0], 2);
    }

    #[test]
    fn named_nodes_keep_their_order() {
        let nodes = nodes(&[(true, 0, 0), (true, 5, 5), (true, 4, 6)]);
        let first = plan(names(&["c", "a", "unknown"]), Leaders::First);
        assert_eq!(ids(&place(&first, &nodes, NodeId(1), 1)), [3, 1]);
        assert_eq!(ids(&place(&plan(names(&["c", "b", "a"]), Leaders::Balanced), &nodes, NodeId(2), 1)), [1, 3, 2]);
        assert_eq!(ids(&place(&plan(names(&["c", "b", "a"]), Leaders::ClientLocal), &nodes, NodeId(2), 1)), [2, 3, 1]);
        assert_eq!(ids(&place(&plan(names(&["c", "a"]), Leaders::ClientLocal), &nodes, NodeId(2), 1)), [3, 1]);
        assert!(place(&plan(names(&["x"]), Leaders::First), &nodes, NodeId(1), 0).is_empty());
    }

    #[test]
    fn many_declares_spread_leaders_and_their_successors() {
        let mut nodes = nodes(&[(true, 0, 0), (true, 0, 0), (true, 0, 0)]);
        let mut successors = std::collections::BTreeMap::new();
        for turn in 0..300 {
            let placed = place(&plan(Replicas::Count(3), Leaders::Balanced), &nodes, NodeId(1), turn);
            for node in &mut nodes {
                node.hosted += 1;
                node.led += usize::from(node.node == placed[0]);
            }
            *successors.entry((placed[0], placed[1])).or_insert(0) += 1;
        }
        assert!(nodes.iter().all(|n| n.led == 100), "{nodes:?}");
        assert_eq!(successors.len(), 6);
        assert!(successors.values().all(|&n| n == 50), "{successors:?}");
    }

    /// Four nodes in these zones.
    fn zoned(zones: [&'static str; 4]) -> Vec<Candidate<'static>> {
        let mut nodes = nodes(&[(true, 0, 0), (true, 0, 1), (true, 0, 2), (true, 0, 3)]);
        nodes.iter_mut().zip(zones).for_each(|(node, zone)| node.zone = zone);
        nodes
    }

    #[test]
    fn two_copies_share_a_zone_only_if_no_other_has_a_live_node() {
        let two = plan(Replicas::Count(2), Leaders::Balanced);
        let three = plan(Replicas::Count(3), Leaders::Balanced);
        let nodes = zoned(["x", "x", "y", "z"]);
        assert_eq!(ids(&place(&two, &nodes, NodeId(1), 0)), [1, 3]);
        assert_eq!(ids(&place(&three, &nodes, NodeId(1), 0)), [1, 3, 4]);
        let mut nodes = zoned(["x", "x", "y", "y"]);
        assert_eq!(ids(&place(&three, &nodes, NodeId(1), 0)), [1, 3, 2]);
        (nodes[2].live, nodes[3].live) = (false, false);
        assert_eq!(ids(&place(&two, &nodes, NodeId(1), 0)), [1, 2]);
        assert_eq!(ids(&place(&two, &zoned(["x", "", "", "x"]), NodeId(1), 0)), [1, 2]);
    }

    /// Whoever leads stays, and who is alone in its zone.
    #[test]
    fn a_queue_moves_out_of_a_crowded_zone() {
        let at = |of: &[u64]| of.iter().map(|&n| NodeId(n)).collect::<Vec<_>>();
        let two = plan(Replicas::Count(2), Leaders::Balanced);
        let three = plan(Replicas::Count(3), Leaders::Balanced);
        assert_eq!(ids(&replace(&two, &zoned(["x", "x", "y", "z"]), &at(&[2, 1]))), [2, 3]);
        assert_eq!(ids(&replace(&three, &zoned(["x", "x", "y", "y"]), &at(&[1, 2, 4]))), [1, 2, 4]);
        assert_eq!(ids(&replace(&three, &zoned(["x", "x", "x", "y"]), &at(&[3, 2, 1]))), [3, 2, 4]);
        assert_eq!(ids(&replace(&two, &zoned(["x", "y", "y", "y"]), &at(&[1]))), [1, 2]);
    }

    #[test]
    fn a_queue_moves_no_more_than_it_must() {
        let nodes = nodes(&[(true, 0, 9), (true, 0, 1), (true, 0, 5), (true, 0, 0)]);
        let at = |of: &[u64]| of.iter().map(|&n| NodeId(n)).collect::<Vec<_>>();
        let cases: [(Plan, &[u64], &[u64]); 7] = [
            (plan(Replicas::Count(3), Leaders::Balanced), &[1], &[1, 4, 2]),
            (plan(Replicas::Count(2), Leaders::Balanced), &[3, 1, 2], &[3, 1]),
            (plan(Replicas::All, Leaders::Balanced), &[3, 1], &[3, 1, 4, 2]),
            (plan(names(&["b", "c"]), Leaders::Balanced), &[1, 3], &[3, 2]),
            (plan(names(&["b", "c"]), Leaders::First), &[1, 3], &[2, 3]),
            (plan(Replicas::Count(2), Leaders::Balanced), &[7], &[4, 2]),
            (Plan::unnamed(false), &[3, 1], &[3]),
        ];
        for (plan, current, expected) in cases {
            assert_eq!(ids(&replace(&plan, &nodes, &at(current))), expected, "{plan:?} from {current:?}");
        }
    }
}
