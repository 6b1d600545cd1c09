//! Plans under which something may be lost (§4.2, §6.3).

use warren_replication::plan::{Clients, FailBack, Group, PrimaryBackup, Synchronization};
use warren_replication::types::{Epoch, Index, Lag, LogEnd, Offset, Position};

use super::*;
use crate::catalog::{next_handovers, next_reconfiguration, unclean_elections};

const MAX_LAG: Lag = Lag { messages: 10, bytes: 1_000, micros: 1_000_000 };

fn group() -> Group {
    Group { vhost: "/".into(), policy: "pair".into() }
}

/// Queue `p1` on `a`, `b` and `c`, whose backups trail.
fn trailing(fail_back: FailBack) -> (World, QueueId) {
    let settings = PrimaryBackup {
        nodes: ["a", "b", "c"].map(str::to_owned).to_vec(),
        min_in_sync: MinInSync::Count(1),
        fail_back,
        clients: Clients::Any,
        max_lag: Some(MAX_LAG),
        synchronization: Synchronization::Automatic,
        unclean_after: None,
        unclean_after_stop: None,
    };
    let mode = Some(Mode::PrimaryBackup(settings));
    let pair = Policy { mode, ..policy("pair", "^p", 0, Replicas::All, MinInSync::Majority) };
    let mut world = World::of(3);
    world.ok(Command::ApplyPolicies { revision: 1, policies: vec![pair] });
    let id = world.declare(durable("p1"));
    assert_eq!(world.of_queue(id).max_lag, Some(MAX_LAG));
    world.trail(id, &[1], &[2, 3]);
    (world, id)
}

impl World {
    fn trail(&mut self, id: QueueId, isr: &[u64], trailing: &[u64]) {
        let (epoch, version) = (self.of_queue(id).epoch, self.of_queue(id).version);
        let (isr, trailing) = (members(isr), members(trailing));
        self.ok(Command::ChangeIsr { queue: id, epoch, version, isr, trailing });
    }

    fn offer(&mut self, id: QueueId, node: u64, end: (u64, u64)) {
        let (epoch, process) = (self.of_queue(id).epoch, process(node, 1));
        let last = Position { epoch: Epoch(end.0), index: Index(end.1) };
        let end = LogEnd { last, kept: Offset(end.1), next: Offset(1 << 32) };
        self.ok(Command::Offer { queue: id, epoch, process, end });
    }

    fn unclean(&self, of: &[u64], waited: u64) -> Option<Command> {
        let live = live(of).into_iter().collect();
        unclean_elections(&self.state, &live, |_| waited, 77)
    }
}

#[test]
fn the_longest_log_that_trails_takes_over_at_once_and_alone() {
    let (mut world, id) = trailing(FailBack::Manual);
    world.elect(&live(&[1]), &live(&[2, 3]));
    assert_eq!(world.of_queue(id).leader, None);
    assert_eq!(world.unclean(&[2, 3], 0), None, "nobody has answered");
    world.offer(id, 2, (1, 40));
    assert_eq!(world.unclean(&[2, 3], 0), None, "the other one has not answered");
    assert!(world.unclean(&[2, 3], 1_000).is_some());
    world.offer(id, 3, (1, 41));
    let command = world.unclean(&[2, 3], 0).unwrap();
    world.ok(command);
    let assignment = world.of_queue(id).clone();
    assert_eq!(assignment.leader, Some(process(3, 1)));
    assert_eq!((assignment.isr, assignment.trailing, assignment.eligible), (members(&[3]), members(&[]), members(&[])));
    assert_eq!((assignment.unclean, assignment.offers.len()), (assignment.epoch, 0));
    assert_eq!(world.state.unclean_takeovers(), 1);
    let takeover = world.queue(id).takeover.clone().unwrap();
    assert_eq!((takeover.node, takeover.former, takeover.kept), (NodeId(3), Some(NodeId(1)), Offset(41)));
    assert_eq!((takeover.at_most, takeover.time), (Some(MAX_LAG), 77));
}

#[test]
fn whoever_has_everything_is_elected_instead() {
    let (mut world, id) = trailing(FailBack::Manual);
    world.elect(&live(&[1]), &live(&[2, 3]));
    world.offer(id, 2, (1, 40));
    let command = world.unclean(&[2], 0).unwrap();
    let Command::ElectUnclean { queues, time, .. } = command else { panic!() };
    assert_eq!(world.unclean(&[1, 2], 5_000), None);
    world.ok(Command::ElectUnclean { queues, live: live(&[1, 2]), time });
    let assignment = world.of_queue(id);
    assert_eq!((assignment.leader, assignment.unclean), (Some(process(1, 1)), Epoch(0)));
    assert_eq!(assignment.trailing, members(&[2, 3]));
}

/// Whoever does not trail within the limit may lack more than was agreed.
#[test]
fn a_replica_that_does_not_trail_is_not_asked() {
    let (mut world, id) = trailing(FailBack::Manual);
    world.trail(id, &[1], &[3]);
    world.elect(&live(&[1]), &live(&[2]));
    let epoch = world.of_queue(id).epoch;
    let end = LogEnd::default();
    world.refused(Command::Offer { queue: id, epoch, process: process(2, 1), end });
    assert_eq!(world.unclean(&[2], u64::MAX), None);
}

#[test]
fn a_last_resort_is_waited_for() {
    let mut world = World::of(3);
    let mut last = policy("p", "^p", 0, Replicas::Count(2), MinInSync::Count(1));
    last.mode = Some(Mode::Mirror(Mirror {
        replicas: Replicas::Count(2),
        min_in_sync: MinInSync::Count(1),
        unclean_after: Some(10_000),
        ..Mirror::default()
    }));
    world.ok(Command::ApplyPolicies { revision: 1, policies: vec![last] });
    let id = world.declare(durable("p1"));
    let (leader, other) = (world.of_queue(id).replicas[0].0, world.of_queue(id).replicas[1].0);
    world.change_isr(id, &[leader]).unwrap();
    world.elect(&live(&[leader]), &live(&[other]));
    world.offer(id, other, (1, 4));
    assert_eq!(world.unclean(&[other], 9_999), None);
    let command = world.unclean(&[other], 10_000).unwrap();
    world.ok(command);
    assert_eq!(world.of_queue(id).leader, Some(process(other, 1)));
    assert_eq!(world.queue(id).takeover.as_ref().unwrap().at_most, None);
}

/// §6.5: a planned move loses nothing, so what trails is brought up first.
#[test]
fn a_primary_that_is_moved_waits_until_the_next_one_has_everything() {
    let (mut world, id) = trailing(FailBack::Manual);
    let to = |to: u64| Command::MovePrimary { group: group(), to: NodeId(to), live: live(&[1, 2, 3]) };
    world.ok(to(2));
    assert_eq!(world.of_queue(id).max_lag, None, "confirms wait for everybody");
    assert_eq!(world.state.primary(&group()).unwrap().id(), NodeId(1));
    let all: BTreeSet<Process> = live(&[1, 2, 3]).into_iter().collect();
    assert_eq!(next_reconfiguration(&world.state, &all, 9), []);
    world.trail(id, &[1, 2], &[3]);
    let steps = next_reconfiguration(&world.state, &all, 9);
    assert_eq!(steps, [to(2)]);
    world.ok(to(2));
    assert_eq!(world.state.primary(&group()).unwrap().id(), NodeId(2));
}

/// §6.5: work on the primary's node costs nothing that is confirmed.
#[test]
fn a_drained_primary_whose_backups_trail_hands_over_when_one_has_everything() {
    let (mut world, id) = trailing(FailBack::Manual);
    let all: BTreeSet<Process> = live(&[1, 2, 3]).into_iter().collect();
    world.ok(Command::Drain { node: NodeId(1), drained: true });
    for command in next_handovers(&world.state, &all, 9) {
        world.ok(command);
    }
    assert_eq!((world.of_queue(id).max_lag, world.state.next_primary(&group())), (None, Some(NodeId(2))));
    assert_eq!(next_handovers(&world.state, &all, 9), [], "it is asked for once");
    world.trail(id, &[1, 2], &[3]);
    for command in next_reconfiguration(&world.state, &all, 9) {
        world.ok(command);
    }
    assert_eq!(world.queue(id).handover, Some(NodeId(2)));
    world.hand_over(&[1, 2, 3]);
    let assignment = world.of_queue(id);
    assert_eq!((assignment.leader, assignment.max_lag), (Some(process(2, 1)), Some(MAX_LAG)));
    assert_eq!(world.state.unclean_takeovers(), 0);
}

#[test]
fn a_move_is_given_up_when_the_next_primary_dies() {
    let (mut world, id) = trailing(FailBack::Manual);
    world.ok(Command::MovePrimary { group: group(), to: NodeId(2), live: live(&[1, 2, 3]) });
    let rest: BTreeSet<Process> = live(&[1, 3]).into_iter().collect();
    for command in next_reconfiguration(&world.state, &rest, 9) {
        world.ok(command);
    }
    assert_eq!((world.of_queue(id).max_lag, world.state.next_primary(&group())), (Some(MAX_LAG), None));
}
