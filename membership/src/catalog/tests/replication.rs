use super::*;
use warren_replication::types::{Epoch, Version};

/// A queue on nodes 1 to 3, led by 1, all in sync, with such a minimum.
fn mirrored(min_in_sync: u32) -> (World, QueueId) {
    let mut world = World::of(3);
    let all = policy("p", "", 0, named(&["a", "b", "c"]), MinInSync::Count(min_in_sync));
    world.ok(Command::ApplyPolicies { revision: 1, policies: vec![all] });
    let id = world.declare(durable("q"));
    assert_eq!(world.shape(id), "1 [1 2 3] {1 2 3} {}");
    (world, id)
}

fn compared(world: &World, id: QueueId) -> (Epoch, Version) {
    (world.of_queue(id).epoch, world.of_queue(id).version)
}

#[test]
fn a_change_compares_epoch_and_version() {
    let (mut world, id) = mirrored(2);
    let (epoch, version) = compared(&world, id);
    world.change_isr(id, &[1, 2]).unwrap();
    assert_eq!(compared(&world, id), (epoch, version.next()));
    for (epoch, version) in [(epoch, version), (epoch.next(), version.next()), (Epoch(0), version.next())] {
        let text = world.refused(Command::ChangeIsr {
            queue: id,
            epoch,
            version,
            isr: members(&[1]),
            trailing: BTreeSet::new(),
        });
        assert!(text.contains("is at epoch 1 version 2"), "{text}");
    }
    let text = world.refused(Command::ChangeIsr {
        queue: QueueId(99),
        epoch,
        version,
        isr: members(&[1]),
        trailing: BTreeSet::new(),
    });
    assert!(text.contains("queue 99 is gone"), "{text}");
}

#[test]
fn an_invalid_change_ends_with_a_higher_version_too() {
    let (mut world, id) = mirrored(2);
    world.change_isr(id, &[1]).unwrap();
    world.ok(register(Process { incarnation: Incarnation(7), ..process(2, 1) }, 9));
    for (isr, why) in
        [(&[2, 3][..], "leader is always in sync"), (&[1, 4], "no replica"), (&[1, 2], "another disk"), (&[], "leader")]
    {
        let (epoch, version) = compared(&world, id);
        let before = world.shape(id);
        let refusal = world.change_isr(id, isr).unwrap_err().text();
        assert!(refusal.contains(why), "{refusal}");
        assert_eq!((compared(&world, id), world.shape(id)), ((epoch, version.next()), before));
        assert_eq!(world.changes, [Change::Queue(id)]);
    }
}

#[test]
fn below_the_minimum_those_that_leave_stay_safe_to_lead() {
    let (mut world, id) = mirrored(2);
    let steps: [(&[u64], &str); 6] = [
        (&[1, 2], "1 [1 2 3] {1 2} {}"),
        (&[1], "1 [1 2 3] {1} {2}"),
        (&[1, 3], "1 [1 2 3] {1 3} {}"),
        (&[1], "1 [1 2 3] {1} {3}"),
        (&[1, 3], "1 [1 2 3] {1 3} {}"),
        (&[1, 2, 3], "1 [1 2 3] {1 2 3} {}"),
    ];
    for (isr, shape) in steps {
        world.change_isr(id, isr).unwrap();
        assert_eq!(world.shape(id), shape);
    }
    let (mut world, id) = mirrored(3);
    for (isr, shape) in
        [(&[1, 2][..], "1 [1 2 3] {1 2} {3}"), (&[1], "1 [1 2 3] {1} {2 3}"), (&[1, 3], "1 [1 2 3] {1 3} {2}")]
    {
        world.change_isr(id, isr).unwrap();
        assert_eq!(world.shape(id), shape);
    }
}

#[test]
fn the_first_live_in_sync_replica_takes_over() {
    let (mut world, id) = mirrored(2);
    world.change_isr(id, &[1, 3]).unwrap();
    assert_eq!(world.elect(&live(&[1]), &live(&[2, 3])), Outcome::Elected { led: 1, down: 0 });
    assert_eq!(world.shape(id), "3 [1 2 3] {3} {1}", "2 was not in sync");
    let assignment = world.of_queue(id);
    assert_eq!((assignment.epoch, assignment.leader), (Epoch(2), Some(process(3, 1))));
    assert_eq!((assignment.predecessor, assignment.predecessor_released), (Some(process(1, 1)), false));
}

#[test]
fn the_unwilling_are_passed_over() {
    let (mut world, id) = mirrored(2);
    world.ok(Command::Elect { dead: live(&[1]), live: live(&[2, 3]), unwilling: vec![NodeId(2)], queues: vec![] });
    assert_eq!(world.shape(id), "3 [1 2 3] {2 3} {}");
}

#[test]
fn an_eligible_member_takes_the_place_of_the_last_in_sync_one() {
    let (mut world, id) = mirrored(2);
    world.change_isr(id, &[1, 2]).unwrap();
    world.change_isr(id, &[1]).unwrap();
    world.elect(&live(&[1]), &live(&[3]));
    assert_eq!(world.shape(id), "- [1 2 3] {1} {2}", "3 may lack what was committed");
    assert_eq!(world.of_queue(id).epoch, Epoch(2), "the old leader is fenced all the same");
    world.elect(&[], &live(&[2, 3]));
    assert_eq!(world.shape(id), "2 [1 2 3] {2} {1}");
    assert_eq!(world.of_queue(id).predecessor, Some(process(1, 1)));
}

#[test]
fn a_queue_that_is_down_comes_back_with_a_member() {
    let (mut world, id) = mirrored(1);
    world.change_isr(id, &[1]).unwrap();
    world.elect(&live(&[1]), &live(&[2, 3]));
    assert_eq!(world.shape(id), "- [1 2 3] {1} {}");
    assert_eq!(world.state.down().collect::<Vec<_>>(), [id]);
    let now = compared(&world, id);
    assert!(!world.state.needs_election(&live(&[2, 3]).into_iter().collect()));
    assert_eq!(world.elect(&[], &live(&[2, 3])), Outcome::Elected { led: 0, down: 1 });
    assert_eq!((compared(&world, id), world.changes.len()), (now, 0), "nothing changes while nobody can lead");
    let text = world.change_isr(id, &[1]).unwrap_err().text();
    assert!(text.contains("no leader"), "{text}");

    world.ok(register(process(1, 2), 9));
    let back = [process(1, 2), process(2, 1)];
    assert!(world.state.needs_election(&back.into_iter().collect()));
    assert_eq!(world.elect(&[], &back), Outcome::Elected { led: 1, down: 0 });
    assert_eq!(world.of_queue(id).leader, Some(process(1, 2)));
    assert!(world.of_queue(id).predecessor_released, "the later boot proves the earlier one over");
}

#[test]
fn a_later_boot_is_elected_under_a_new_epoch() {
    let (mut world, id) = mirrored(2);
    world.ok(register(process(1, 2), 9));
    assert_eq!(world.of_queue(id).leader, Some(process(1, 1)), "left to the next election");
    assert!(world.state.needs_election(&[process(1, 2), process(2, 1), process(3, 1)].into_iter().collect()));
    world.elect(&[], &[process(1, 2), process(2, 1), process(3, 1)]);
    let assignment = world.of_queue(id);
    assert_eq!((assignment.leader, assignment.epoch), (Some(process(1, 2)), Epoch(2)));
    assert_eq!(world.shape(id), "1 [1 2 3] {1 2 3} {}");
}

#[test]
fn only_registered_processes_are_elected_and_only_they_are_dead() {
    let (mut world, id) = mirrored(2);
    world.ok(register(process(1, 2), 9));
    world.ok(register(process(2, 2), 10));
    // The controller is behind: it speaks of earlier boots.
    world.elect(&live(&[1, 2]), &live(&[2, 3]));
    assert_eq!(world.shape(id), "3 [1 2 3] {1 2 3} {}");
}

#[test]
fn the_dead_leave_the_sets_that_others_lead() {
    let (mut world, id) = mirrored(2);
    assert_eq!(world.elect(&live(&[3]), &live(&[1, 2])), Outcome::Elected { led: 0, down: 0 });
    assert_eq!(world.shape(id), "1 [1 2 3] {1 2} {}");
    assert_eq!(world.of_queue(id).epoch, Epoch(1));
    world.elect(&live(&[2, 3]), &live(&[1]));
    assert_eq!(world.shape(id), "1 [1 2 3] {1} {2}");
    world.elect(&live(&[1, 2, 3]), &[]);
    assert_eq!(world.shape(id), "- [1 2 3] {1} {2}", "never the last one");
}

#[test]
fn one_command_serves_all_queues_of_a_dead_node() {
    let mut world = World::of(3);
    let ids: Vec<_> = (0..30).map(|n| world.declare(durable(&n.to_string()))).collect();
    assert_eq!(world.state.led_by(NodeId(1)), 10);
    // One of them cannot be saved: only node 1 is in sync.
    for isr in [&[1, 2][..], &[1]] {
        world.change_isr(ids[0], isr).unwrap();
    }
    assert_eq!(world.elect(&live(&[1]), &live(&[3])), Outcome::Elected { led: 9, down: 1 });
    assert_eq!((world.state.led_by(NodeId(1)), world.state.hosted_by(NodeId(1))), (0, 30));
    for id in &ids[1..] {
        assert!(!world.of_queue(*id).isr.contains(&member(1)));
    }
}

#[test]
fn listed_queues_are_elected_for_in_their_epoch_only() {
    let (mut world, id) = mirrored(2);
    let listed =
        |epoch| Command::Elect { dead: vec![], live: live(&[1, 2, 3]), unwilling: vec![], queues: vec![(id, epoch)] };
    world.ok(listed(Epoch(7)));
    assert_eq!(world.of_queue(id).epoch, Epoch(1));
    world.ok(listed(Epoch(1)));
    let assignment = world.of_queue(id);
    assert_eq!((assignment.epoch, assignment.leader), (Epoch(2), Some(process(1, 1))));
    assert!(assignment.predecessor_released, "nobody waits for itself");
}

#[test]
fn a_handover_goes_to_an_in_sync_member_and_needs_no_wait_once_released() {
    let (mut world, id) = mirrored(2);
    world.change_isr(id, &[1, 3]).unwrap();
    let (epoch, version) = compared(&world, id);
    let to = |to, live, released| Command::Handover { queue: id, epoch, version, to, live, released };
    for (target, among) in [
        (Some(NodeId(2)), live(&[1, 2, 3])),
        (Some(NodeId(3)), live(&[1, 2])),
        (Some(NodeId(1)), live(&[1])),
        (None, live(&[1, 2])),
    ] {
        let text = world.refused(to(target, among, true));
        assert!(text.contains("no other in-sync replica"), "{text}");
    }
    world.ok(to(None, live(&[1, 2, 3]), true));
    assert_eq!(world.shape(id), "3 [1 2 3] {1 3} {}");
    assert_eq!((world.of_queue(id).predecessor, world.of_queue(id).predecessor_released), (Some(process(1, 1)), true));
    assert!(world.refused(to(None, live(&[1, 2, 3]), true)).contains("is at epoch 2"));
}

#[test]
fn a_leader_that_resigns_is_followed_or_the_queue_is_down() {
    let (mut world, id) = mirrored(2);
    for (leader, expected) in [(1, "2 [1 2 3] {1 2 3} {}"), (2, "1 [1 2 3] {1 2 3} {}")] {
        let (epoch, version) = compared(&world, id);
        assert_eq!(world.of_queue(id).leader, Some(process(leader, 1)));
        world.ok(Command::Resign { queue: id, epoch, version, live: live(&[1, 2, 3]), released: false });
        assert_eq!(world.shape(id), expected);
    }
    let (epoch, version) = compared(&world, id);
    let alone = Command::Resign { queue: id, epoch, version, live: live(&[1]), released: false };
    assert_eq!(world.ok(alone), Outcome::Elected { led: 0, down: 1 });
    assert_eq!(world.shape(id), "- [1 2 3] {1 2 3} {}");
}

/// 1 leads and is cut off with a lease in hand; 2 is elected, and dies before it
/// has waited; 3 must not take the end of 2 for the end of 1.
#[test]
fn a_short_cut_past_one_predecessor_is_none_past_another() {
    let (mut world, id) = mirrored(1);
    world.elect(&live(&[1]), &live(&[2, 3]));
    assert_eq!(world.of_queue(id).leader, Some(process(2, 1)));

    let mut restarted = World { state: world.state.clone(), changes: vec![] };
    restarted.ok(register(process(2, 2), 9));
    restarted.elect(&[], &[process(3, 1)]);
    let assignment = restarted.of_queue(id);
    assert_eq!((assignment.predecessor, assignment.predecessor_released), (Some(process(1, 1)), false));

    world.elect(&live(&[2]), &live(&[3]));
    let assignment = world.of_queue(id);
    let never = Process { boot: Boot(u64::MAX), ..process(2, 1) };
    assert_eq!((assignment.predecessor, assignment.predecessor_released), (Some(never), false));
    world.ok(register(process(2, 2), 9));
    assert!(!world.state.node(NodeId(2)).unwrap().outlived(&never));
}

#[test]
fn a_former_leader_that_follows_again_holds_nobody_up() {
    let (mut world, id) = mirrored(1);
    world.elect(&live(&[1]), &live(&[2, 3]));
    assert!(!world.of_queue(id).predecessor_released);
    world.change_isr(id, &[1, 2, 3]).unwrap();
    assert!(world.of_queue(id).predecessor_released);
}
