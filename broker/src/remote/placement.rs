//! Which node runs a link. Every node answers alike from the same catalog, so
//! that each link has one owner; while nodes see a change at different times two
//! may run it for a moment, which may double messages and loses none.

use std::hash::{Hash, Hasher};

use rustc_hash::FxHasher;
use warren_membership::catalog::State;
use warren_replication::types::{NodeId, Process};

use super::plan::{From, LinkKey, LinkPlan, To};
use crate::client::Uri;

/// Who runs the link: the leader of its queue in this cluster, its source's
/// rather than its target's; without one, a live node by lot that stays the same
/// while that node lives.
pub(super) fn owner<'a>(plan: &LinkPlan, catalog: &State, live: impl Iterator<Item = &'a Process>) -> Option<Process> {
    for (vhost, queue) in homes(plan) {
        if let Ok((_, queue)) = catalog.queue_named(vhost, queue) {
            // Without a leader there is nothing to move.
            return queue.assignment.leader;
        }
    }
    live.filter(|process| catalog.is_registered(process)).max_by_key(|process| lot(&plan.key, process.node)).copied()
}

/// The link's queues in this cluster, best first.
fn homes(plan: &LinkPlan) -> impl Iterator<Item = (&str, &str)> {
    let source = match &plan.source.from {
        From::Queue(queue) => in_this_cluster(&plan.source.uris).map(|vhost| (vhost, queue.name.as_str())),
        _ => None,
    };
    let target = match &plan.target.to {
        To::Queue(queue) => in_this_cluster(&plan.target.uris).map(|vhost| (vhost, queue.name.as_str())),
        To::Exchange { .. } => None,
    };
    source.into_iter().chain(target)
}

fn in_this_cluster(uris: &[Uri]) -> Option<&str> {
    uris.first().filter(|uri| uri.is_local()).map(|uri| uri.vhost.as_str())
}

fn lot(key: &LinkKey, node: NodeId) -> (u64, NodeId) {
    let mut hasher = FxHasher::default();
    (key.kind.name(), &key.vhost, &key.name, &key.upstream, node.0).hash(&mut hasher);
    (hasher.finish(), node)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;
    use warren_membership::catalog::{Addresses, Command, DeclareQueue, Owner};
    use warren_replication::types::{Boot, Incarnation};

    use super::*;
    use crate::remote::plan::Origin;
    use crate::remote::shovel;

    fn process(node: u64) -> Process {
        Process { node: NodeId(node), incarnation: Incarnation(node), boot: Boot(1) }
    }

    fn three_nodes() -> State {
        let mut state = State::default();
        for node in 1..=3 {
            let command = Command::Register {
                name: format!("n{node}"),
                process: process(node),
                nonce: node,
                addresses: Addresses::default(),
                voter: true,
            };
            state.apply(&command).0.unwrap();
        }
        state.apply(&Command::PutVhost { name: "/".into() }).0.unwrap();
        state
    }

    fn shovel(name: &str, source: &str, target: &str) -> LinkPlan {
        let definition = json!({"src-uri": source, "src-queue": "a", "dest-uri": target, "dest-queue": "b"});
        shovel::plan("c", "/", name, Origin::Parameter, serde_json::from_value(definition).unwrap()).unwrap()
    }

    fn declare(state: &mut State, name: &str, on: u64) -> Process {
        let live = (1..=3).map(process).collect();
        let declare = DeclareQueue {
            vhost: "/".into(),
            name: name.into(),
            server_named: false,
            durable: false,
            exclusive: false,
            auto_delete: false,
            arguments: Default::default(),
            owner: Owner { process: process(on), connection: 1 },
            live,
        };
        state.apply(&Command::DeclareQueue(declare)).0.unwrap();
        state.queue_named("/", name).unwrap().1.assignment.leader.unwrap()
    }

    #[test]
    fn a_link_runs_on_its_queues_leader_the_sources_first() {
        let mut state = three_nodes();
        let live: Vec<Process> = (1..=3).map(process).collect();
        let target_leader = declare(&mut state, "b", 3);
        let inward = shovel("s", "amqp://far", "amqp://");
        assert_eq!(owner(&inward, &state, live.iter()), Some(target_leader));
        let source_leader = declare(&mut state, "a", 2);
        let both = shovel("s", "amqp://", "amqp://");
        assert_eq!(owner(&both, &state, live.iter()), Some(source_leader));
        assert_ne!(source_leader, target_leader);
    }

    #[test]
    fn links_without_a_queue_here_are_spread_and_move_only_from_a_dead_node() {
        let state = three_nodes();
        let live: Vec<Process> = (1..=3).map(process).collect();
        let far = |n: usize| shovel(&format!("s{n}"), "amqp://far", "amqp://farther");
        let mut owned = [0; 4];
        for n in 0..60 {
            let before = owner(&far(n), &state, live.iter()).unwrap();
            owned[usize::try_from(before.node.0).unwrap()] += 1;
            let after = owner(&far(n), &state, live.iter().filter(|process| process.node.0 != 1)).unwrap();
            assert!(before.node.0 == 1 || after == before);
        }
        assert!(owned[1..].iter().all(|count| *count > 5), "{owned:?}");
    }
}
