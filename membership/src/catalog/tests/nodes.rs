use super::*;

fn forget(node: u64, live: Vec<Process>, force: bool) -> Command {
    Command::Forget { node: NodeId(node), live, force }
}

fn local(name: &str, node: u64) -> DeclareQueue {
    DeclareQueue { durable: false, owner: owner(node, 1), ..durable(name) }
}

#[test]
fn a_boot_registers_once_and_grows() {
    let mut world = World::of(3);
    world.ok(register(process(1, 5), 50));
    assert_eq!(world.changes, [Change::Node(NodeId(1), Incarnation(100), Boot(5))]);
    world.ok(register(process(1, 5), 50));
    assert_eq!(world.changes, [], "the same proposal again");
    for (boot, nonce) in [(5, 51), (4, 50), (1, 1)] {
        let text = world.refused(register(process(1, boot), nonce));
        assert!(text.contains("copied or rolled back"), "{text}");
    }
    assert!(world.state.is_registered(&process(1, 5)) && !world.state.is_registered(&process(1, 1)));
    assert_eq!(world.state.boot(NodeId(1)), Some(Boot(5)));
}

#[test]
fn two_names_with_one_id_are_refused() {
    let mut world = World::of(1);
    let Command::Register { process, nonce, addresses, voter, .. } = register(process(1, 2), 9) else { unreachable!() };
    let text = world.refused(Command::Register { name: "other".into(), process, nonce, addresses, voter });
    assert!(text.contains("'other' and 'a' have the same id"), "{text}");
}

#[test]
fn a_later_boot_ends_what_lived_in_the_earlier() {
    let mut world = World::of(3);
    let exclusive = DeclareQueue { exclusive: true, ..local("x", 2) };
    let gone = [world.declare(exclusive), world.declare(local("t", 2))];
    let stay = [world.declare(local("other node", 1)), world.declare(durable("q"))];
    world.ok(register(process(2, 2), 9));
    for id in gone {
        assert!(world.state.queue(id).is_none());
    }
    for id in stay {
        assert!(world.state.queue(id).is_some());
    }
    assert_eq!(world.of_queue(stay[1]).isr, members(&[1, 2, 3]), "the disk is the same");
    assert_eq!(world.changes.len(), 3);
    assert!(matches!(world.changes[2], Change::Node(NodeId(2), ..)));
}

#[test]
fn a_process_that_is_dropped_takes_only_its_own() {
    let mut world = World::of(3);
    let (gone, stays) = (world.declare(local("t", 2)), world.declare(local("u", 1)));
    world.ok(Command::DropProcess { process: process(2, 7) });
    assert!(world.state.queue(gone).is_some());
    world.ok(Command::DropProcess { process: process(2, 1) });
    assert!(world.state.queue(gone).is_none() && world.state.queue(stays).is_some());
}

#[test]
fn a_new_disk_is_in_sync_with_nothing() {
    let mut world = World::of(3);
    let [led, mirrored, below] = ["led", "mirrored", "below"].map(|name| world.declare(durable(name)));
    assert_eq!(world.of_queue(led).leader, Some(process(1, 1)));
    assert_eq!(world.of_queue(mirrored).leader, Some(process(2, 1)));
    for isr in [&[1, 3][..], &[3]] {
        world.change_isr(below, isr).unwrap();
    }
    assert_eq!(world.shape(below), "3 [3 1 2] {3} {1}");

    let new_disk = Process { incarnation: Incarnation(101), ..process(1, 1) };
    world.ok(register(new_disk, 9));
    assert_eq!(world.shape(led), "- [1 2 3] {2 3} {}");
    assert_eq!(world.shape(mirrored), "2 [2 3 1] {2 3} {}");
    assert_eq!(world.shape(below), "3 [3 1 2] {3} {}");
    assert!(world.state.needs_election(&live(&[2]).into_iter().collect()));
    world.elect(&[], &[new_disk, process(2, 1), process(3, 1)]);
    assert_eq!(world.shape(led), "2 [1 2 3] {2 3} {}", "not the empty disk");
    let old_process = (world.of_queue(led).predecessor, world.of_queue(led).predecessor_released);
    assert_eq!(old_process, (Some(process(1, 1)), false), "another disk does not prove the old process over");

    let text = world.refused(register(process(1, 9), 10));
    assert!(text.contains("given up"), "{text}");
    assert_eq!(world.state.retired().collect::<Vec<_>>(), [member(1)]);
}

#[test]
fn the_last_in_sync_disk_makes_room_for_the_eligible_or_stays() {
    let mut world = World::of(3);
    let [saved, lost] = ["saved", "lost"].map(|name| world.declare(durable(name)));
    for isr in [&[1, 2][..], &[1]] {
        world.change_isr(saved, isr).unwrap();
    }
    world.ok(Command::ApplyPolicies {
        revision: 1,
        policies: vec![policy("p", "lost", 0, Replicas::Count(3), MinInSync::Count(1))],
    });
    world.change_isr(lost, &[2]).unwrap();
    assert_eq!(world.shape(lost), "2 [2 3 1] {2} {}");

    world.ok(register(Process { incarnation: Incarnation(101), ..process(1, 1) }, 9));
    assert_eq!(world.shape(saved), "- [1 2 3] {2} {}");
    world.ok(register(Process { incarnation: Incarnation(201), ..process(2, 1) }, 10));
    assert_eq!(world.shape(lost), "- [2 3 1] {2} {}", "kept for the operator to decide");
    assert_eq!(world.of_queue(lost).isr, members(&[2]));
}

#[test]
fn a_joining_node_completes_what_lacks_replicas() {
    let mut world = World::of(1);
    let (mirrored, alone) =
        (world.declare(DeclareQueue { live: live(&[1]), ..durable("q") }), world.declare(local("t", 1)));
    assert_eq!((world.shape(mirrored).as_str(), world.of_queue(mirrored).min_in_sync), ("1 [1] {1} {}", 1));
    world.ok(register(process(2, 1), 2));
    world.ok(register(process(3, 1), 3));
    world.ok(register(process(4, 1), 4));
    assert_eq!(world.shape(mirrored), "1 [1 2 3] {1} {}");
    assert_eq!(world.shape(alone), "1 [1] {1} {}");
    assert_eq!(world.of_queue(mirrored).min_in_sync, 1, "the old minimum until there is somebody in sync");
    world.change_isr(mirrored, &[1, 2]).unwrap();
    assert_eq!(world.of_queue(mirrored).min_in_sync, 2);
    world.change_isr(mirrored, &[1, 2, 3]).unwrap();
    assert_eq!(world.of_queue(mirrored).min_in_sync, 2);
}

#[test]
fn a_node_is_forgotten_when_it_is_dead_and_nothing_depends_on_it() {
    let mut world = World::of(4);
    let queue = world.declare(durable("q"));
    let gone = world.declare(local("t", 1));
    assert!(world.refused(forget(1, live(&[1, 2]), true)).contains("is alive"));
    assert!(world.refused(forget(9, vec![], true)).contains("no such node"));
    world.ok(forget(1, live(&[2, 3, 4]), false));
    assert_eq!(world.shape(queue), "2 [2 3 4] {2 3} {}", "led on, and a new replica is on its way");
    assert!(world.state.queue(gone).is_none() && world.state.node(NodeId(1)).is_none());
    assert_eq!(world.changes.last(), Some(&Change::NodeForgotten(NodeId(1))));
    assert!(world.refused(register(process(1, 2), 9)).contains("empty it to join anew"));
    world.ok(register(Process { incarnation: Incarnation(1), ..process(1, 1) }, 10));
}

#[test]
fn the_last_copy_is_given_up_only_with_force() {
    let mut world = World::of(3);
    world.ok(Command::ApplyPolicies {
        revision: 1,
        policies: vec![policy("p", "lost", 0, Replicas::Count(3), MinInSync::Count(1))],
    });
    let (lost, stays) = (world.declare(durable("lost")), world.declare(durable("stays")));
    world.change_isr(lost, &[1]).unwrap();
    let text = world.refused(forget(1, live(&[2, 3]), false));
    assert!(text.contains("last in-sync copy of 1 queue(s), 'lost' among them"), "{text}");
    world.ok(forget(1, live(&[2, 3]), true));
    assert!(world.state.queue(lost).is_none());
    assert_eq!(world.shape(stays), "2 [2 3] {2 3} {}");
}

#[test]
fn an_eligible_copy_is_enough_to_let_the_last_in_sync_one_go() {
    let mut world = World::of(3);
    let queue = world.declare(durable("q"));
    for isr in [&[1, 2][..], &[1]] {
        world.change_isr(queue, isr).unwrap();
    }
    assert_eq!(world.shape(queue), "1 [1 2 3] {1} {2}");
    world.ok(forget(1, live(&[2, 3]), false));
    assert_eq!(world.shape(queue), "2 [2 3] {2} {}");
}

#[test]
fn a_cluster_keeps_its_name() {
    let mut world = World::of(1);
    world.ok(Command::Form { cluster: "one".into() });
    world.ok(Command::Form { cluster: "one".into() });
    assert!(world.refused(Command::Form { cluster: "two".into() }).contains("as 'one' before"));
    assert_eq!(world.state.cluster(), Some("one"));
}

/// Found by the property test: a queue that goes with one node's process had its
/// last copy on another, which was forgotten.
#[test]
fn a_transient_queue_on_its_way_home_keeps_its_last_copy() {
    let mut world = World::of(3);
    world.ok(Command::ApplyPolicies {
        revision: 1,
        policies: vec![policy("p", "", 0, Replicas::All, MinInSync::Count(1))],
    });
    let queue = world.declare(local("t", 1));
    world.ok(Command::ApplyPolicies { revision: 2, policies: vec![] });
    assert_eq!(world.queue(queue).local, Some(process(1, 1)));
    world.elect(&live(&[1]), &live(&[2, 3]));
    world.change_isr(queue, &[2]).unwrap();
    assert_eq!(world.shape(queue), "2 [1 2 3] {2} {}");
    assert!(world.refused(forget(2, live(&[1, 3]), false)).contains("last in-sync copy"));
    world.ok(forget(2, live(&[1, 3]), true));
    assert!(world.state.queue(queue).is_none());
}
