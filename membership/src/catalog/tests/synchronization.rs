//! Manual synchronization (§5.3), and what a planned stop lets a replica do.

use warren_replication::plan::Synchronization;
use warren_replication::types::LogEnd;

use super::*;
use crate::catalog::unclean_elections;

fn world(mirror: Mirror) -> (World, QueueId) {
    let mut world = World::of(3);
    let policy = Policy { mode: Some(Mode::Mirror(mirror)), ..policy("m", "", 0, Replicas::All, MinInSync::Majority) };
    world.ok(Command::ApplyPolicies { revision: 1, policies: vec![policy] });
    let id = world.declare(durable("q"));
    (world, id)
}

fn manual() -> (World, QueueId) {
    world(Mirror { synchronization: Synchronization::Manual, ..Mirror::default() })
}

/// Node 3 has another disk.
fn replace(world: &mut World) -> Process {
    let process = Process { incarnation: Incarnation(999), ..process(3, 2) };
    world.ok(register(process, 33));
    process
}

fn sync(world: &mut World, queue: QueueId, on: bool, live: &[Process]) -> Outcome {
    world.ok(Command::Synchronize { queue, on, live: live.to_vec() })
}

fn join(world: &mut World, id: QueueId, isr: BTreeSet<Member>) {
    let (epoch, version) = (world.of_queue(id).epoch, world.of_queue(id).version);
    world.ok(Command::ChangeIsr { queue: id, epoch, version, isr, trailing: BTreeSet::new() });
}

#[test]
fn a_word_is_kept_until_it_came_true_or_is_taken_back() {
    let (mut world, id) = manual();
    assert_eq!(world.of_queue(id).manual, Some(BTreeSet::new()));
    let third = replace(&mut world);
    let live = [process(1, 1), process(2, 1), third];
    assert_eq!(sync(&mut world, id, true, &live[..2]), Outcome::Planned(0), "who is away is not meant");
    assert_eq!(sync(&mut world, id, true, &live), Outcome::Planned(1));
    assert_eq!(world.of_queue(id).manual, Some([third.member()].into()));
    // Another leader knows of it.
    world.elect(&[process(1, 1)], &live[1..]);
    assert_eq!(world.of_queue(id).leader.map(|leader| leader.node.0), Some(2));
    assert_eq!(world.queue(id).called, [third.member()].into());
    assert_eq!(sync(&mut world, id, false, &live), Outcome::Planned(1));
    assert!(world.queue(id).called.is_empty());
    sync(&mut world, id, true, &live[1..]);
    join(&mut world, id, [member(2), third.member()].into());
    assert!(world.queue(id).called.is_empty(), "it came true");
}

#[test]
fn nobody_waits_for_a_word_while_fewer_than_the_minimum_are_in_sync() {
    let (mut world, id) = manual();
    let third = replace(&mut world);
    world.elect(&[process(2, 1)], &[process(1, 1), third]);
    assert_eq!((world.of_queue(id).isr.len(), &world.of_queue(id).manual), (1, &None));
    join(&mut world, id, [member(1), third.member()].into());
    assert_eq!(world.of_queue(id).manual, Some(BTreeSet::new()));
}

#[test]
fn a_drained_leader_that_is_alone_needs_no_other_word() {
    let (mut world, id) = world(Mirror {
        synchronization: Synchronization::Manual,
        min_in_sync: MinInSync::Count(1),
        ..Mirror::default()
    });
    world.change_isr(id, &[1]).unwrap();
    assert_eq!(world.of_queue(id).manual, Some(BTreeSet::new()));
    world.ok(Command::Drain { node: NodeId(1), drained: true });
    assert_eq!(world.of_queue(id).manual, None);
    world.ok(Command::Drain { node: NodeId(1), drained: false });
    assert_eq!(world.of_queue(id).manual, Some(BTreeSet::new()));
}

#[test]
fn what_synchronizes_by_itself_has_nothing_to_cancel() {
    let (mut world, id) = world(Mirror::default());
    assert_eq!(world.of_queue(id).manual, None);
    assert_eq!(sync(&mut world, id, true, &live(&[1, 2, 3])), Outcome::Planned(0));
    let cancel = Command::Synchronize { queue: id, on: false, live: live(&[1]) };
    assert!(world.refused(cancel).contains("by itself"));
}

/// Whether a replica that may lack something leads so many ms after its leader,
/// node 1, has stopped by plan, or was lost.
fn taken_over(mirror: Mirror, planned: bool, waited: u64) -> bool {
    let (mut world, id) = world(mirror);
    world.change_isr(id, &[1]).unwrap();
    if planned {
        world.ok(Command::Stop { process: process(1, 1) });
    }
    let others = live(&[2, 3]);
    world.elect(&[process(1, 1)], &others);
    assert_eq!(world.of_queue(id).leader, None);
    let epoch = world.of_queue(id).epoch;
    for process in others.clone() {
        let _ = world.apply(Command::Offer { queue: id, epoch, process, end: LogEnd::default() });
    }
    let live = others.iter().copied().collect();
    let elected = unclean_elections(&world.state, &live, |_| waited, 7).map(|command| world.ok(command));
    assert_eq!(elected.is_some(), world.of_queue(id).leader.is_some());
    elected.is_some()
}

#[test]
fn a_planned_stop_and_a_failure_each_have_their_own_rule() {
    let unclean = |after, stop| Mirror {
        min_in_sync: MinInSync::Count(1),
        unclean_after: after,
        unclean_after_stop: stop,
        ..Mirror::default()
    };
    for (after, stop, failure, at_once, later) in [
        (None, None, false, false, false),
        (None, Some(0), false, true, true),
        (Some(500), None, true, false, false),
        (Some(500), Some(500), true, false, true),
    ] {
        assert_eq!(taken_over(unclean(after, stop), false, 600), failure, "{after:?} {stop:?}");
        assert_eq!(taken_over(unclean(after, stop), true, 0), at_once, "{after:?} {stop:?}");
        assert_eq!(taken_over(unclean(after, stop), true, 600), later, "{after:?} {stop:?}");
    }
}

/// §6.5: nobody waits for a replica to come in sync whom nobody needs.
#[test]
fn a_stopping_node_waits_for_no_queue_that_any_replica_may_lead() {
    for (stop, waiting) in [(None, 1), (Some(0), 0)] {
        let (mut world, id) =
            world(Mirror { min_in_sync: MinInSync::Count(1), unclean_after_stop: stop, ..Mirror::default() });
        world.change_isr(id, &[1]).unwrap();
        let live = live(&[1, 2, 3]).into_iter().collect();
        assert_eq!(world.state.led_of(NodeId(1), &live).waiting, 1);
        world.ok(Command::Stop { process: process(1, 1) });
        assert_eq!(world.state.led_of(NodeId(1), &live).waiting, waiting);
    }
}
