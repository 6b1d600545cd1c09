use super::*;

fn with(key: &str, value: Value) -> DeclareQueue {
    DeclareQueue { arguments: Arguments::from([(key.to_owned(), value)]), ..durable("q") }
}

fn exclusive(name: &str) -> DeclareQueue {
    DeclareQueue { durable: false, exclusive: true, ..durable(name) }
}

#[test]
fn a_declare_makes_a_queue_once() {
    let mut world = World::of(3);
    let id = world.declare(durable("q"));
    assert_eq!(world.changes, [Change::QueueDeclared(id), Change::Queue(id)]);
    assert_eq!(world.ok(Command::DeclareQueue(durable("q"))), Outcome::Queue { queue: id, created: false });
    assert_eq!(world.changes, []);
    assert_eq!(world.state.check_declare_queue(&durable("q")), Ok(Some(id)));
    assert_eq!(world.state.check_declare_queue(&durable("other")), Ok(None));
    assert_eq!(world.state.queue_named("/", "q").unwrap().0, id);
    world.ok(Command::DeleteQueue { queue: id, compared: None });
    assert_ne!(world.declare(durable("q")), id, "a re-declared queue is another one (§1)");
    assert!(world.state.next_queue() > id);
}

/// What a leader decided of its queue holds as long as nothing changed.
#[test]
fn a_queue_that_was_closed_for_its_deletion_is_deleted_as_it_was_then() {
    let mut world = World::of(3);
    let id = world.declare(durable("q"));
    let now = world.of_queue(id);
    let closed = Command::DeleteQueue { queue: id, compared: Some((now.epoch, now.version)) };
    let (epoch, version, isr) = (now.epoch, now.version, now.isr.clone());
    world.ok(Command::ChangeIsr { queue: id, epoch, version, isr, trailing: BTreeSet::new() });
    assert!(world.refused(closed.clone()).contains("not 1 and 1"), "any change ends it, also one that changes nothing");
    assert!(world.state.queue(id).is_some());
    let now = (world.of_queue(id).epoch, world.of_queue(id).version);
    world.ok(Command::DeleteQueue { queue: id, compared: Some(now) });
    assert!(world.state.queue(id).is_none());
    assert_eq!(world.ok(closed), Outcome::Done, "absent is done");
}

#[test]
fn a_redeclared_queue_must_be_the_same() {
    let mut world = World::of(3);
    world.declare(with("x-queue-mode", Value::text("lazy")));
    let same = with("x-queue-mode", Value::text("lazy"));
    let cases = [
        (DeclareQueue { durable: false, ..same.clone() }, "'durable'", "received 'false' but current is 'true'"),
        (DeclareQueue { auto_delete: true, ..same.clone() }, "'auto_delete'", "received 'true' but current is 'false'"),
        (durable("q"), "'x-queue-mode'", "received none but current is the value 'lazy' of type 'longstr'"),
        (with("x-queue-mode", Value::text("default")), "'x-queue-mode'", "received 'default' but current is 'lazy'"),
    ];
    for (declare, argument, difference) in cases {
        let expected =
            format!("PRECONDITION_FAILED - inequivalent arg {argument} for queue 'q' in vhost '/': {difference}");
        assert_eq!(world.refused(Command::DeclareQueue(declare)), expected);
    }
    let mut more = same;
    more.arguments.insert("x-unknown".into(), Value::Bool(true));
    more.arguments.insert("x-queue-type".into(), Value::text("classic"));
    world.declare(more.clone());
    more.arguments.insert("x-message-ttl".into(), Value::I32(5));
    let text = world.refused(Command::DeclareQueue(more));
    assert!(text.ends_with("received the value '5' of type 'signedint' but current is none"), "{text}");
}

#[test]
fn arguments_are_checked_when_a_queue_is_made() {
    let mut world = World::of(3);
    let cases = [
        ("x-queue-type", Value::text("mine"), "\"unsupported queue type 'mine'\""),
        ("x-queue-type", Value::I32(1), "{unacceptable_type,signedint}"),
        ("x-queue-mode", Value::text("fast"), "\"unsupported queue mode 'fast'\""),
        ("x-queue-version", Value::I32(3), "\"unsupported queue version '3'\""),
        ("x-queue-version", Value::I32(-1), "{value_negative,-1}"),
        ("x-queue-version", Value::text("2"), "\"expected integer, got longstr\""),
        ("x-queue-leader-locator", Value::text("there"), "invalid_queue_locator_arg"),
        ("x-message-ttl", Value::I32(-1), "{value_negative,-1}"),
        ("x-message-ttl", Value::text("a"), "\"expected integer, got longstr\""),
        ("x-message-ttl", Value::I64(315_360_000_001), "{value_too_large,315360000001}"),
        ("x-expires", Value::I32(0), "{value_zero,0}"),
        ("x-expires", Value::Bool(true), "\"expected integer, got bool\""),
        ("x-max-length", Value::I32(-1), "{value_negative,-1}"),
        ("x-max-length-bytes", Value::text("a"), "\"expected integer, got longstr\""),
        ("x-max-priority", Value::I32(256), "{max_value_exceeded,256}"),
        ("x-overflow", Value::text("a"), "invalid_overflow"),
        ("x-overflow", Value::I32(1), "{unacceptable_type,signedint}"),
        ("x-single-active-consumer", Value::text("true"), "{unacceptable_type,longstr}"),
        ("x-dead-letter-routing-key", Value::text("k"), "routing_key_but_no_dlx_defined"),
        ("x-dead-letter-routing-key", Value::I32(1), "{unacceptable_type,signedint}"),
    ];
    for (key, value, fault) in cases {
        let expected = format!("PRECONDITION_FAILED - invalid arg '{key}' for queue 'q' in vhost '/': {fault}");
        assert_eq!(world.refused(Command::DeclareQueue(with(key, value))), expected);
    }
    for (quorum, key) in
        [(false, "x-delivery-limit"), (false, "x-max-age"), (true, "x-max-priority"), (true, "x-queue-mode")]
    {
        let mut declare = with(key, Value::I32(1));
        let kind = if quorum { "quorum" } else { "classic" };
        declare.arguments.insert("x-queue-type".into(), Value::text(kind));
        let expected = format!(
            "PRECONDITION_FAILED - invalid arg '{key}' for queue 'q' in vhost '/' of queue type rabbit_{kind}_queue"
        );
        assert_eq!(world.refused(Command::DeclareQueue(declare)), expected);
    }
    let text = world.refused(Command::DeclareQueue(with("x-dead-letter-exchange", Value::I32(1))));
    let expected = "invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'";
    assert_eq!(text, format!("PRECONDITION_FAILED - {expected}"));
    for (key, value) in
        [("x-queue-version", Value::U8(2)), ("x-ha-policy", Value::text("all")), ("anything", Value::Void)]
    {
        let id = world.declare(with(key, value));
        world.ok(Command::DeleteQueue { queue: id, compared: None });
    }
}

#[test]
fn a_quorum_queue_is_durable_and_shared() {
    let mut world = World::of(3);
    let quorum = with("x-queue-type", Value::text("quorum"));
    let cases = [
        (DeclareQueue { durable: false, ..quorum.clone() }, "non-durable"),
        (DeclareQueue { exclusive: true, ..quorum.clone() }, "exclusive-owner"),
        (DeclareQueue { auto_delete: true, ..quorum.clone() }, "auto-delete"),
    ];
    for (declare, property) in cases {
        let expected = format!("PRECONDITION_FAILED - invalid property '{property}' for queue 'q' in vhost '/'");
        assert_eq!(world.refused(Command::DeclareQueue(declare)), expected);
    }
    let once = policy("p", "", 0, Replicas::Count(3), MinInSync::Count(1));
    world.ok(Command::ApplyPolicies { revision: 1, policies: vec![once] });
    let (quorum, classic) = (world.declare(quorum), world.declare(durable("classic")));
    assert_eq!((world.of_queue(quorum).min_in_sync, world.of_queue(classic).min_in_sync), (2, 1));
}

#[test]
fn reserved_names_are_the_brokers() {
    let mut world = World::of(3);
    let text = world.refused(Command::DeclareQueue(durable("amq.gen-1")));
    assert_eq!(text, "ACCESS_REFUSED - queue name 'amq.gen-1' contains reserved prefix 'amq.*'");
    world.declare(DeclareQueue { server_named: true, ..durable("amq.gen-1") });
    assert_eq!(world.refused(Command::DeclareQueue(durable("amq.gen-1"))), text, "nor by whom it was made for");
    for kind in ["quorum", "stream"] {
        let declare = with("x-queue-type", Value::text(kind));
        let text = world.refused(Command::DeclareQueue(DeclareQueue { server_named: true, ..declare }));
        let expected = format!("Cannot declare a server-named queue for type rabbit_{kind}_queue");
        assert_eq!(text, format!("PRECONDITION_FAILED - {expected}"));
    }
    let text = world.refused(Command::DeclareQueue(DeclareQueue { vhost: "v".into(), ..durable("q") }));
    assert_eq!(text, "NOT_ALLOWED - vhost v not found");
}

#[test]
fn an_exclusive_queue_is_its_connections() {
    let mut world = World::of(3);
    let id = world.declare(exclusive("q"));
    let locked = "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be \
                  originally declared on another connection or the exclusive property value does not match that of \
                  the original declaration.";
    for other in [owner(1, 8), owner(2, 7)] {
        assert_eq!(world.refused(Command::DeclareQueue(DeclareQueue { owner: other, ..exclusive("q") })), locked);
        assert_eq!(world.queue(id).check_owner(&other).unwrap_err().text(), locked);
        let bind = Bind {
            vhost: "/".into(),
            exchange: "amq.fanout".into(),
            destination: DestinationName::Queue("q".into()),
            routing_key: String::new(),
            arguments: Arguments::new(),
            owner: other,
        };
        assert_eq!(world.refused(Command::Bind(bind)), locked);
    }
    assert_eq!(world.refused(Command::DeclareQueue(DeclareQueue { durable: false, ..durable("q") })), locked);
    assert_eq!(world.queue(id).check_owner(&owner(1, 7)), Ok(()));
    let shared = world.declare(durable("shared"));
    assert_eq!(world.queue(shared).check_owner(&owner(1, 8)), Ok(()));
    assert_eq!(world.refused(Command::DeclareQueue(exclusive("shared"))), locked.replace("'q'", "'shared'"));

    world.ok(Command::DropOwned { owner: owner(1, 8) });
    assert!(world.state.queue(id).is_some());
    world.ok(Command::DropOwned { owner: owner(1, 7) });
    assert!(world.state.queue(id).is_none() && world.state.queue(shared).is_some());
}

#[test]
fn what_does_not_last_lives_on_the_declaring_node() {
    let mut world = World::of(3);
    for declare in [
        exclusive("x"),
        DeclareQueue { durable: true, ..exclusive("dx") },
        DeclareQueue { durable: false, ..durable("t") },
    ] {
        let id = world.declare(declare);
        assert_eq!(world.shape(id), "1 [1] {1} {}");
        assert_eq!(world.queue(id).local, Some(process(1, 1)));
        assert_eq!(world.of_queue(id).min_in_sync, 1);
    }
}

#[test]
fn a_late_declare_of_an_ended_process_is_refused() {
    let mut world = World::of(3);
    world.ok(register(process(1, 2), 9));
    let text = world.refused(Command::DeclareQueue(exclusive("x")));
    assert!(text.contains("restarted or forgotten"), "{text}");
}

#[test]
fn the_live_replicas_are_in_sync_at_declare() {
    let mut world = World::of(3);
    let all = world.declare(durable("all"));
    assert_eq!(world.shape(all), "1 [1 2 3] {1 2 3} {}");
    assert_eq!((world.of_queue(all).min_in_sync, world.of_queue(all).predecessor_released), (2, true));
    let some = world.declare(DeclareQueue { live: live(&[1, 3]), ..durable("some") });
    assert_eq!(world.shape(some), "3 [3 1 2] {1 3} {}");
    world.ok(register(process(2, 2), 9));
    let stale = world.declare(DeclareQueue { live: live(&[1, 2, 3]), ..durable("stale") });
    assert_eq!(world.of_queue(stale).isr, members(&[1, 3]), "that run of node 2 is over");
}

#[test]
fn a_queue_that_nobody_live_can_hold_is_refused() {
    let mut world = World::of(3);
    let there = policy("p", "", 0, named(&["c"]), MinInSync::Count(1));
    world.ok(Command::ApplyPolicies { revision: 1, policies: vec![there] });
    let text = world.refused(Command::DeclareQueue(DeclareQueue { live: live(&[1, 2]), ..durable("q") }));
    assert_eq!(text, "PRECONDITION_FAILED - no node that policy names for queue 'q' in vhost '/' is alive");
}

#[test]
fn clients_may_ask_where_the_leader_is() {
    let mut world = World::of(3);
    for (key, expected) in [("x-queue-leader-locator", 3), ("x-queue-master-locator", 3)] {
        let mut declare = with(key, Value::text("client-local"));
        declare.owner = owner(3, 1);
        let id = world.declare(declare);
        assert_eq!(world.of_queue(id).leader.unwrap().node, NodeId(expected));
        world.ok(Command::DeleteQueue { queue: id, compared: None });
    }
}
