use super::*;
use crate::catalog::next_reconfiguration;

fn apply(world: &mut World, revision: u64, policies: Vec<Policy>) {
    world.ok(Command::ApplyPolicies { revision, policies });
}

fn policy_of(world: &World, id: QueueId) -> &str {
    world.queue(id).plan.policy.as_deref().unwrap_or("-")
}

/// What the controller would do next, applied.
fn step(world: &mut World, of: &[u64]) -> Vec<String> {
    let steps = next_reconfiguration(&world.state, &live(of).into_iter().collect(), 100);
    let said = |command: &Command| match command {
        Command::Retire { node, .. } => format!("retire {node}"),
        Command::PlanHandovers { moves } => format!("hand over to {}", moves[0].2),
        other => panic!("{other:?}"),
    };
    let said = steps.into_iter().map(|command| (said(&command), world.ok(command)).0).collect();
    world.hand_over(of);
    said
}

#[test]
fn the_best_matching_policy_is_in_force() {
    let mut world = World::of(3);
    let count = |name, pattern, priority| policy(name, pattern, priority, Replicas::Count(1), MinInSync::Majority);
    let mut elsewhere = count("elsewhere", "", 99);
    elsewhere.vhost = "v".into();
    apply(
        &mut world,
        1,
        vec![count("all", "", 0), count("b", "^or", 5), count("a", "ders", 5), count("low", "^orders", 1), elsewhere],
    );
    for (name, expected) in [("orders", "a"), ("or", "b"), ("my orders", "a"), ("other", "all")] {
        let id = world.declare(durable(name));
        assert_eq!(policy_of(&world, id), expected, "{name}");
    }
    let names: Vec<_> = world.state.policies().iter().map(|policy| policy.name.as_str()).collect();
    assert_eq!(names, ["elsewhere", "a", "b", "low", "all"]);
    let exclusive = world.declare(DeclareQueue { exclusive: true, ..durable("x") });
    assert_eq!(policy_of(&world, exclusive), "-", "exclusive queues stay where their connection is");
    let transient = world.declare(DeclareQueue { durable: false, ..durable("t") });
    assert_eq!((policy_of(&world, transient), world.queue(transient).local), ("all", None));
}

#[test]
fn an_older_set_of_policies_is_refused() {
    let mut world = World::of(1);
    apply(&mut world, 5, vec![]);
    for revision in [5, 4] {
        assert!(world.refused(Command::ApplyPolicies { revision, policies: vec![] }).contains("not newer"));
    }
    assert_eq!(world.state.policies().revision(), 5);
}

#[test]
fn only_what_a_new_set_changes_is_told() {
    let mut world = World::of(3);
    let (one, _) = (world.declare(durable("one")), world.declare(durable("two")));
    apply(&mut world, 1, vec![policy("p", "one", 0, Replicas::Count(3), MinInSync::Count(3))]);
    assert_eq!(world.changes, [Change::Policies, Change::Queue(one)]);
    apply(&mut world, 2, vec![policy("p", "one", 0, Replicas::Count(3), MinInSync::Count(3))]);
    assert_eq!(world.changes, [Change::Policies]);
}

#[test]
fn a_lower_minimum_counts_at_once_a_higher_one_when_it_is_met() {
    let mut world = World::of(3);
    let id = world.declare(durable("q"));
    world.change_isr(id, &[1, 2]).unwrap();
    world.change_isr(id, &[1]).unwrap();
    assert_eq!(world.shape(id), "1 [1 2 3] {1} {2}");
    let with = |min| vec![policy("p", "", 0, Replicas::Count(3), MinInSync::Count(min))];
    apply(&mut world, 1, with(1));
    assert_eq!((world.of_queue(id).min_in_sync, world.shape(id).as_str()), (1, "1 [1 2 3] {1} {}"));
    apply(&mut world, 2, with(3));
    let mut minima = vec![world.of_queue(id).min_in_sync];
    for isr in [&[1, 2][..], &[1, 2, 3]] {
        world.change_isr(id, isr).unwrap();
        minima.push(world.of_queue(id).min_in_sync);
    }
    assert_eq!(minima, [1, 2, 3]);
}

#[test]
fn a_policy_that_replaces_all_replicas_moves_the_queue_step_by_step() {
    let mut world = World::of(5);
    let id = world.declare(durable("q"));
    apply(&mut world, 1, vec![policy("p", "", 0, named(&["d", "e"]), MinInSync::Count(2))]);
    assert_eq!(world.shape(id), "1 [4 5 1 2 3] {1 2 3} {}");
    assert_eq!(step(&mut world, &[1, 2, 3, 4, 5]), [""; 0], "nobody leaves before the new ones are in sync");
    world.change_isr(id, &[1, 2, 3, 4]).unwrap();
    assert_eq!(step(&mut world, &[1, 2, 3, 4, 5]), [""; 0]);
    world.change_isr(id, &[1, 2, 3, 4, 5]).unwrap();
    let steps: Vec<_> = std::iter::from_fn(|| step(&mut world, &[1, 2, 3, 4, 5]).pop()).collect();
    assert_eq!(steps, ["retire 2", "retire 3", "hand over to 4", "retire 1"]);
    assert_eq!(world.shape(id), "4 [4 5] {4 5} {}");
    assert_eq!(world.queue(id).leaving().count(), 0);
}

#[test]
fn the_leader_stays_where_a_number_of_replicas_shrinks() {
    let mut world = World::of(3);
    let id = world.declare(DeclareQueue { owner: owner(2, 1), ..durable("q") });
    world.elect(&live(&[1]), &live(&[2, 3]));
    assert_eq!(world.shape(id), "2 [1 2 3] {2 3} {}");
    apply(&mut world, 1, vec![policy("p", "", 0, Replicas::Count(2), MinInSync::Majority)]);
    assert_eq!(world.shape(id), "2 [2 3 1] {2 3} {}");
    assert_eq!(step(&mut world, &[2, 3]), ["retire 1"]);
    assert_eq!(world.shape(id), "2 [2 3] {2 3} {}");
}

#[test]
fn a_node_leaves_only_as_agreed() {
    let mut world = World::of(4);
    let id = world.declare(durable("q"));
    apply(&mut world, 1, vec![policy("p", "", 0, named(&["b", "d"]), MinInSync::Count(1))]);
    assert_eq!(world.shape(id), "1 [2 4 1 3] {1 2 3} {}");
    let retire = |world: &World, node| {
        let (epoch, version) = (world.of_queue(id).epoch, world.of_queue(id).version);
        Command::Retire { queue: id, epoch, version, node: NodeId(node) }
    };
    for node in [1, 2, 4] {
        let text = world.refused(retire(&world, node));
        assert!(text.contains("cannot leave"), "{node} is the leader or wanted: {text}");
    }
    world.ok(retire(&world, 3));
    assert_eq!(world.shape(id), "1 [2 4 1] {1 2} {}");
    world.change_isr(id, &[1]).unwrap();
    assert_eq!(step(&mut world, &[1, 2, 3, 4]), [""; 0], "no target member is in sync");
}

#[test]
fn a_queue_without_a_leader_waits_for_its_election() {
    let mut world = World::of(4);
    let id = world.declare(durable("q"));
    apply(&mut world, 1, vec![policy("p", "", 0, named(&["b"]), MinInSync::Count(1))]);
    world.elect(&live(&[1, 2, 3]), &[]);
    assert_eq!(world.shape(id), "- [2 1 3] {1 2 3} {}");
    assert_eq!(step(&mut world, &[2]), [""; 0]);
}

#[test]
fn a_transient_queue_follows_its_policy_both_ways() {
    let mut world = World::of(3);
    let id = world.declare(DeclareQueue { durable: false, owner: owner(2, 1), ..durable("t") });
    assert_eq!(world.shape(id), "2 [2] {2} {}");
    apply(&mut world, 1, vec![policy("p", "", 0, Replicas::All, MinInSync::Majority)]);
    assert_eq!((world.shape(id).as_str(), world.queue(id).local), ("2 [2 1 3] {2} {}", None));
    world.ok(register(process(2, 2), 9));
    assert!(world.state.queue(id).is_some(), "it is mirrored now");
    world.elect(&[], &[process(1, 1), process(2, 2), process(3, 1)]);
    apply(&mut world, 2, vec![]);
    assert_eq!((world.shape(id).as_str(), world.queue(id).local), ("2 [2 1 3] {2} {}", Some(process(2, 2))));
    world.ok(register(process(2, 3), 10));
    assert!(world.state.queue(id).is_none());
}
