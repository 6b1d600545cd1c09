//! Primary-backup: one primary for all queues of the policy.

use warren_replication::plan::{Clients, FailBack, Group, PrimaryBackup, Synchronization};

use super::*;
use crate::catalog::next_reconfiguration;

fn pair(fail_back: FailBack) -> Policy {
    let nodes = ["b", "c"].map(str::to_owned).to_vec();
    let settings = PrimaryBackup {
        nodes,
        min_in_sync: MinInSync::Count(1),
        fail_back,
        clients: Clients::Primary,
        max_lag: None,
        synchronization: Synchronization::default(),
        unclean_after: None,
        unclean_after_stop: None,
    };
    Policy { mode: Some(Mode::PrimaryBackup(settings)), ..policy("pair", "^p", 0, Replicas::All, MinInSync::Majority) }
}

fn group() -> Group {
    Group { vhost: "/".into(), policy: "pair".into() }
}

fn world(fail_back: FailBack) -> (World, Vec<QueueId>) {
    let mut world = World::of(3);
    world.ok(Command::ApplyPolicies { revision: 1, policies: vec![pair(fail_back)] });
    let queues = ["p1", "p2", "p3"].map(|name| world.declare(durable(name))).to_vec();
    (world, queues)
}

fn leaders(world: &World, queues: &[QueueId]) -> Vec<u64> {
    let leader = |id: &QueueId| world.queue(*id).assignment.leader.map_or(0, |process| process.node.0);
    queues.iter().map(leader).collect()
}

fn primary(world: &World) -> u64 {
    world.state.primary(&group()).unwrap().id().0
}

fn elect(world: &mut World, dead: &[u64], live_ones: &[u64]) {
    let (dead, live) = (live(dead), live(live_ones));
    world.ok(Command::Elect { dead, live, unwilling: vec![], queues: vec![] });
}

fn steps(world: &mut World, of: &[u64]) {
    let live: BTreeSet<Process> = live(of).into_iter().collect();
    for command in next_reconfiguration(&world.state, &live, 100) {
        world.ok(command);
    }
    world.hand_over(of);
}

#[test]
fn all_queues_are_led_by_the_first_node_named() {
    let (world, queues) = world(FailBack::Manual);
    assert_eq!((primary(&world), leaders(&world, &queues)), (2, vec![2, 2, 2]));
    assert_eq!(world.queue(queues[0]).assignment.replicas, [NodeId(2), NodeId(3)]);
    let away = world.state.turns_away("/", NodeId(3)).map(|(group, primary)| (group.clone(), primary.unwrap().id()));
    assert_eq!(away, Some((group(), NodeId(2))));
    assert_eq!(world.state.turns_away("/", NodeId(2)), None);
    assert_eq!(world.state.turns_away("v", NodeId(3)), None);
}

#[test]
fn they_move_together_and_new_ones_follow() {
    let (mut world, mut queues) = world(FailBack::Manual);
    elect(&mut world, &[2], &[1, 3]);
    assert_eq!((primary(&world), leaders(&world, &queues)), (3, vec![3, 3, 3]));
    // The old primary is back: nothing moves by itself, a new queue follows.
    queues.push(world.declare(durable("p4")));
    steps(&mut world, &[1, 2, 3]);
    assert_eq!(leaders(&world, &queues), [3, 3, 3, 3]);
}

#[test]
fn a_primary_without_queues_is_replaced_too() {
    let mut world = World::of(3);
    world.ok(Command::ApplyPolicies { revision: 1, policies: vec![pair(FailBack::Manual)] });
    let live_ones = live(&[1, 3]).into_iter().collect();
    assert!(world.state.needs_election(&live_ones));
    elect(&mut world, &[2], &[1, 3]);
    assert!(!world.state.needs_election(&live_ones));
    assert_eq!(primary(&world), 3);
}

#[test]
fn the_backup_that_lacks_a_queue_leads_the_others_and_takes_it_over_when_in_sync() {
    let (mut world, queues) = world(FailBack::Manual);
    world.change_isr(queues[1], &[2]).unwrap();
    elect(&mut world, &[2], &[1, 3]);
    assert_eq!(leaders(&world, &queues), [3, 0, 3], "only the dead node has it");
    elect(&mut world, &[], &[1, 2, 3]);
    assert_eq!(leaders(&world, &queues), [3, 2, 3]);
    world.change_isr(queues[1], &[2, 3]).unwrap();
    steps(&mut world, &[1, 2, 3]);
    assert_eq!((primary(&world), leaders(&world, &queues)), (3, vec![3, 3, 3]));
}

#[test]
fn the_preferred_node_comes_back_only_in_sync_and_only_if_told_to() {
    let (mut world, queues) = world(FailBack::Auto);
    elect(&mut world, &[2], &[1, 3]);
    steps(&mut world, &[1, 2, 3]);
    assert_eq!(primary(&world), 3, "not in sync");
    for id in &queues {
        world.change_isr(*id, &[2, 3]).unwrap();
    }
    steps(&mut world, &[1, 3]);
    assert_eq!(primary(&world), 3, "not live");
    steps(&mut world, &[1, 2, 3]);
    assert_eq!((primary(&world), leaders(&world, &queues)), (2, vec![2, 2, 2]));
}

#[test]
fn a_primary_is_moved_by_hand_to_a_node_that_has_everything() {
    let (mut world, queues) = world(FailBack::Manual);
    let to = |to, of: &[u64]| Command::MovePrimary { group: group(), to: NodeId(to), live: live(of) };
    assert!(world.refused(to(1, &[1, 2, 3])).contains("none of policy 'pair'"));
    assert!(world.refused(to(3, &[1, 2])).contains("not live"));
    world.change_isr(queues[2], &[2]).unwrap();
    assert!(world.refused(to(3, &[1, 2, 3])).contains("in sync in 2 of 3"));
    world.change_isr(queues[2], &[2, 3]).unwrap();
    world.ok(to(3, &[1, 2, 3]));
    assert_eq!((primary(&world), leaders(&world, &queues)), (3, vec![2, 2, 2]), "each leader goes when it can");
    world.hand_over(&[1, 2, 3]);
    assert_eq!((primary(&world), leaders(&world, &queues)), (3, vec![3, 3, 3]));
}

#[test]
fn a_new_edition_of_the_policy_moves_nothing_and_its_end_ends_the_group() {
    let (mut world, queues) = world(FailBack::Manual);
    elect(&mut world, &[2], &[1, 3]);
    world.ok(Command::ApplyPolicies { revision: 2, policies: vec![pair(FailBack::Auto)] });
    assert_eq!(primary(&world), 3);
    world.ok(Command::ApplyPolicies { revision: 3, policies: vec![] });
    assert!(world.state.primary(&group()).is_none());
    assert_eq!(leaders(&world, &queues), [3, 3, 3]);
    assert!(world.state.turns_away("/", NodeId(2)).is_none());
}
