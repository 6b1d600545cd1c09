//! Planned changes of leadership (§6.5).

use warren_replication::plan::Leaders;
use warren_replication::types::Epoch;

use super::*;
use crate::catalog::{Led, Move, next_handovers, next_moves_within_reach, rebalance};

fn set(nodes: &[u64]) -> BTreeSet<Process> {
    live(nodes).into_iter().collect()
}

/// So many queues on nodes 1 to 3, all in sync.
fn queues(count: usize) -> (World, Vec<QueueId>) {
    let mut world = World::of(3);
    let ids = (0..count).map(|n| world.declare(durable(&format!("q{n}")))).collect();
    (world, ids)
}

fn leaders(world: &World, ids: &[QueueId]) -> Vec<u64> {
    ids.iter().map(|id| world.of_queue(*id).leader.map_or(0, |leader| leader.node.0)).collect()
}

fn plan(world: &mut World, id: QueueId, to: u64) -> Outcome {
    let epoch = world.of_queue(id).epoch;
    world.ok(Command::PlanHandovers { moves: vec![(id, epoch, NodeId(to))] })
}

fn next(world: &mut World, of: &[u64], most: usize) -> usize {
    let commands = next_handovers(&world.state, &set(of), most);
    let planned = |outcome| if let Outcome::Planned(count) = outcome { count as usize } else { 0 };
    commands.into_iter().map(|command| planned(world.ok(command))).sum()
}

#[test]
fn a_plan_is_a_mark_until_the_leader_makes_it_come_true() {
    let (mut world, ids) = queues(1);
    let (id, before) = (ids[0], world.of_queue(ids[0]).clone());
    assert_eq!(before.leader, Some(process(1, 1)));
    assert_eq!(plan(&mut world, id, 2), Outcome::Planned(1));
    let now = world.of_queue(id);
    assert_eq!((now.leader, now.epoch, now.version), (before.leader, before.epoch, before.version.next()));
    assert_eq!(world.queue(id).handover, Some(NodeId(2)));
    assert_eq!(plan(&mut world, id, 2), Outcome::Planned(0), "planned already");
    world.hand_over(&[1, 2, 3]);
    assert_eq!((leaders(&world, &ids), world.queue(id).handover), (vec![2], None));
    assert!(world.of_queue(id).predecessor_released);
}

#[test]
fn only_in_sync_willing_members_that_do_not_lead_are_planned_for() {
    let (mut world, ids) = queues(1);
    let id = ids[0];
    world.change_isr(id, &[1, 3]).unwrap();
    for to in [1, 2, 4] {
        assert_eq!(plan(&mut world, id, to), Outcome::Planned(0), "{to}");
    }
    world.ok(Command::Drain { node: NodeId(3), drained: true });
    assert_eq!(plan(&mut world, id, 3), Outcome::Planned(0), "drained");
    world.ok(Command::Drain { node: NodeId(3), drained: false });
    let stale = Command::PlanHandovers { moves: vec![(id, Epoch(9), NodeId(3))] };
    assert_eq!(world.ok(stale), Outcome::Planned(0), "of another epoch");
    assert_eq!(plan(&mut world, id, 3), Outcome::Planned(1));
}

#[test]
fn a_plan_ends_with_the_reign_with_its_targets_place_in_the_set_and_with_its_willingness() {
    let (mut world, ids) = queues(1);
    let id = ids[0];
    plan(&mut world, id, 2);
    world.change_isr(id, &[1, 3]).unwrap();
    assert_eq!(world.queue(id).handover, None, "not in sync any more");
    plan(&mut world, id, 3);
    world.ok(Command::Stop { process: process(3, 1) });
    assert_eq!(world.queue(id).handover, None, "it stops");
    world.ok(register(process(3, 2), 9));
    plan(&mut world, id, 3);
    assert_eq!(world.queue(id).handover, Some(NodeId(3)), "back");
    world.elect(&live(&[1]), &[process(2, 1), process(3, 2)]);
    assert_eq!(world.queue(id).handover, None, "elected for");
}

/// What the leader asked for before it went on can never come true after.
#[test]
fn a_leader_that_goes_on_has_made_its_handovers_void() {
    let (mut world, ids) = queues(1);
    let id = ids[0];
    plan(&mut world, id, 2);
    let Assignment { epoch, version, .. } = *world.of_queue(id);
    world.ok(Command::KeepLeading { queue: id, epoch, version });
    assert_eq!(world.queue(id).handover, None);
    let late =
        Command::Handover { queue: id, epoch, version, to: Some(NodeId(2)), live: live(&[1, 2, 3]), released: true };
    assert!(world.refused(late).contains("is at epoch 1 version 3"));
    assert!(world.refused(Command::KeepLeading { queue: id, epoch, version }).contains("is at epoch 1"));
}

#[test]
fn a_drained_node_gives_everything_away_a_few_at_a_time() {
    let (mut world, ids) = queues(9);
    let mine = leaders(&world, &ids).iter().filter(|leader| **leader == 1).count();
    assert_eq!(mine, 3);
    assert_eq!(next(&mut world, &[1, 2, 3], 2), 0, "nobody is drained");
    world.ok(Command::Drain { node: NodeId(1), drained: true });
    assert_eq!(world.changes, [Change::Drained(NodeId(1))]);
    assert_eq!(world.state.led_of(NodeId(1), &set(&[1, 2, 3])), Led { movable: 3, waiting: 0, stuck: 0 });
    assert_eq!(next(&mut world, &[1, 2, 3], 2), 2);
    assert_eq!(next(&mut world, &[1, 2, 3], 2), 0, "two are under way");
    world.hand_over(&[1, 2, 3]);
    assert_eq!(next(&mut world, &[1, 2, 3], 2), 1);
    world.hand_over(&[1, 2, 3]);
    assert_eq!(leaders(&world, &ids).iter().filter(|leader| **leader == 1).count(), 0);
    assert_eq!(world.state.led_of(NodeId(1), &set(&[1, 2, 3])), Led::default());
    assert!(world.of_queue(ids[0]).isr.contains(&member(1)), "it keeps its copies");
}

#[test]
fn what_nobody_else_has_stays_and_is_counted() {
    let (mut world, ids) = queues(3);
    let id = ids.iter().copied().find(|id| world.of_queue(*id).leader == Some(process(1, 1))).unwrap();
    world.change_isr(id, &[1]).unwrap();
    world.ok(Command::Drain { node: NodeId(1), drained: true });
    assert_eq!(world.state.led_of(NodeId(1), &set(&[1, 2])), Led { movable: 0, waiting: 1, stuck: 0 });
    assert_eq!(world.state.led_of(NodeId(1), &set(&[1])), Led { movable: 0, waiting: 0, stuck: 1 });
    assert_eq!(world.state.stuck_on(NodeId(1), &set(&[1])), [id]);
    assert_eq!(next(&mut world, &[1, 2, 3], 9), 0);
    world.change_isr(id, &[1, 3]).unwrap();
    assert_eq!(next(&mut world, &[1, 2, 3], 9), 1);
    assert_eq!(world.queue(id).handover, Some(NodeId(3)));
}

#[test]
fn a_drained_node_leads_only_when_nobody_else_can() {
    let (mut world, ids) = queues(1);
    world.ok(Command::Drain { node: NodeId(2), drained: true });
    world.elect(&live(&[1]), &live(&[2, 3]));
    assert_eq!(leaders(&world, &ids), [3]);
    world.elect(&live(&[3]), &live(&[2]));
    assert_eq!(leaders(&world, &ids), [2]);
}

#[test]
fn a_drained_node_gets_no_new_queues_and_no_new_copies_until_it_is_undrained() {
    let mut world = World::of(3);
    world.ok(Command::Drain { node: NodeId(1), drained: true });
    let ids: Vec<QueueId> = (0..4).map(|n| world.declare(durable(&format!("q{n}")))).collect();
    for id in &ids {
        assert!(!world.of_queue(*id).replicas.contains(&NodeId(1)), "{}", world.shape(*id));
    }
    // Its own boots change nothing: only an operator does.
    world.ok(register(process(1, 2), 9));
    assert!(world.state.node(NodeId(1)).unwrap().drained);
    world.ok(Command::Drain { node: NodeId(1), drained: false });
    for id in &ids {
        assert_eq!(world.of_queue(*id).replicas.len(), 3);
        assert_eq!(world.of_queue(*id).isr.len(), 2, "it has to catch up first");
    }
}

#[test]
fn a_plan_that_needs_a_drained_node_has_it() {
    let mut world = World::of(3);
    let all = policy("p", "", 0, named(&["a", "b", "c"]), MinInSync::Count(3));
    world.ok(Command::ApplyPolicies { revision: 1, policies: vec![all] });
    world.ok(Command::Drain { node: NodeId(1), drained: true });
    let id = world.declare(durable("q"));
    assert_eq!(world.of_queue(id).replicas.len(), 3);
    assert_ne!(world.of_queue(id).leader, Some(process(1, 1)));
}

#[test]
fn a_process_that_stops_leaves_the_sets_that_others_lead_and_is_not_taken_in_again() {
    let (mut world, ids) = queues(3);
    let [mut led, mut other] = [None; 2];
    for id in ids {
        if world.of_queue(id).leader == Some(process(1, 1)) { led = Some(id) } else { other = Some(id) }
    }
    let (led, other) = (led.unwrap(), other.unwrap());
    assert!(world.refused(Command::Depart { process: process(1, 7) }).contains("another process"));
    world.ok(Command::Depart { process: process(1, 1) });
    assert_eq!(world.of_queue(other).isr, members(&[2, 3]));
    assert_eq!(world.of_queue(led).isr, members(&[1, 2, 3]), "a leader is always in sync");
    assert!(world.change_isr(other, &[1, 2, 3]).is_err());
    assert_eq!(world.of_queue(other).isr, members(&[2, 3]));
    world.ok(register(process(1, 2), 9));
    world.change_isr(other, &[1, 2, 3]).unwrap();
    assert_eq!(world.of_queue(other).isr, members(&[1, 2, 3]));
}

#[test]
fn leaders_are_spread_evenly_and_no_more_is_moved_than_that_takes() {
    let (mut world, ids) = queues(9);
    assert_eq!(rebalance(&world.state, &set(&[1, 2, 3])), [], "they are");
    world.elect(&live(&[1]), &live(&[2, 3]));
    for id in &ids {
        world.change_isr(*id, &[1, 2, 3]).unwrap();
    }
    let by = |world: &World, node| leaders(world, &ids).iter().filter(|leader| **leader == node).count();
    assert_eq!(by(&world, 1), 0);
    assert_eq!(rebalance(&world.state, &set(&[2, 3])), [], "only to live nodes");
    let moves = rebalance(&world.state, &set(&[1, 2, 3]));
    assert_eq!(moves.len(), 3);
    assert!(moves.iter().all(|step| step.to == NodeId(1)));
    let moves = moves.into_iter().map(|Move { queue, epoch, to, .. }| (queue, epoch, to)).collect();
    assert_eq!(world.ok(Command::PlanHandovers { moves }), Outcome::Planned(3));
    world.hand_over(&[1, 2, 3]);
    assert_eq!([1, 2, 3].map(|node| by(&world, node)), [3, 3, 3]);
    assert_eq!(rebalance(&world.state, &set(&[1, 2, 3])), []);
}

#[test]
fn a_plan_that_names_its_first_leader_gets_it_back() {
    let mut world = World::of(3);
    let mut first = policy("p", "", 0, named(&["c", "a", "b"]), MinInSync::Majority);
    first.mode = Some(Mode::Mirror(Mirror {
        replicas: named(&["c", "a", "b"]),
        min_in_sync: MinInSync::Majority,
        leaders: Leaders::First,
        ..Mirror::default()
    }));
    world.ok(Command::ApplyPolicies { revision: 1, policies: vec![first] });
    let id = world.declare(durable("q"));
    world.elect(&live(&[3]), &live(&[1, 2]));
    assert_eq!(leaders(&world, &[id]), [1]);
    assert_eq!(rebalance(&world.state, &set(&[1, 2, 3])), [], "3 is not in sync");
    world.change_isr(id, &[1, 2, 3]).unwrap();
    let moves = rebalance(&world.state, &set(&[1, 2, 3]));
    assert_eq!(moves, [Move { queue: id, epoch: Epoch(2), from: NodeId(1), to: NodeId(3) }]);
}

/// 1 and 2 do not reach each other, 3 reaches both.
#[test]
fn queues_go_to_a_member_that_more_nodes_reach() {
    let (mut world, ids) = queues(6);
    let apart: BTreeSet<_> = [(1, 2), (2, 1)].map(|(a, b)| (NodeId(a), NodeId(b))).into();
    let moves = |world: &World, live: &[u64], apart: &BTreeSet<_>| {
        let planned = match next_moves_within_reach(&world.state, &set(live), apart, 99) {
            Some(Command::PlanHandovers { moves }) => moves,
            _ => Vec::new(),
        };
        let mut planned: Vec<(QueueId, u64)> = planned.into_iter().map(|(id, _, to)| (id, to.0)).collect();
        planned.sort_unstable();
        planned
    };
    assert_eq!(moves(&world, &[1, 2, 3], &BTreeSet::new()), []);
    let planned = moves(&world, &[1, 2, 3], &apart);
    let by_others: Vec<QueueId> = ids.iter().copied().filter(|id| leaders(&world, &[*id]) != [3]).collect();
    assert_eq!(planned, by_others.iter().map(|id| (*id, 3)).collect::<Vec<_>>());
    // All are apart from each other: nobody is any better.
    let all: BTreeSet<_> = [(1, 2), (2, 1), (1, 3), (3, 1), (2, 3), (3, 2)].map(|(a, b)| (NodeId(a), NodeId(b))).into();
    assert_eq!(moves(&world, &[1, 2, 3], &all), []);
    world.change_isr(by_others[0], &[leaders(&world, &by_others)[0]]).unwrap();
    assert_eq!(moves(&world, &[1, 2, 3], &apart).len(), by_others.len() - 1, "3 is not in sync in one");
}
