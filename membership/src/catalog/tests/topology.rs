use super::*;

fn exchange(name: &str, kind: ExchangeKind) -> DeclareExchange {
    DeclareExchange {
        vhost: "/".into(),
        name: name.into(),
        kind,
        durable: true,
        auto_delete: false,
        internal: false,
        arguments: Arguments::new(),
        owner: owner(1, 7),
        live: vec![process(1, 1)],
    }
}

fn text(name: &str, value: &str) -> (String, Value) {
    (name.to_owned(), Value::text(value))
}

fn bind(exchange: &str, queue: &str, key: &str) -> Bind {
    Bind {
        vhost: "/".into(),
        exchange: exchange.into(),
        destination: DestinationName::Queue(queue.into()),
        routing_key: key.into(),
        arguments: Arguments::new(),
        owner: owner(1, 7),
    }
}

fn to_exchange(source: &str, destination: &str) -> Bind {
    Bind { destination: DestinationName::Exchange(destination.into()), ..bind(source, "", "k") }
}

fn delete(name: &str, if_unused: bool) -> Command {
    Command::DeleteExchange { vhost: "/".into(), name: name.into(), if_unused }
}

#[test]
fn a_vhost_has_the_usual_exchanges() {
    let world = World::of(1);
    let expected = [
        ("", "direct"),
        ("amq.direct", "direct"),
        ("amq.fanout", "fanout"),
        ("amq.headers", "headers"),
        ("amq.match", "headers"),
        ("amq.rabbitmq.trace", "topic"),
        ("amq.topic", "topic"),
    ];
    let exchanges = &world.state.vhost("/").unwrap().exchanges;
    let got: Vec<_> = exchanges.iter().map(|(name, exchange)| (name.as_str(), exchange.kind.name())).collect();
    assert_eq!(got, expected);
    for (_, kind) in expected {
        assert_eq!(ExchangeKind::parse(kind).unwrap().name(), kind);
    }
    assert_eq!(ExchangeKind::parse("x-unheard-of"), None);
}

#[test]
fn a_redeclared_exchange_must_be_the_same() {
    let mut world = World::of(1);
    let first = exchange("x", ExchangeKind::Topic);
    world.ok(Command::DeclareExchange(first.clone()));
    world.ok(Command::DeclareExchange(first.clone()));
    assert_eq!(world.changes, []);
    assert!(world.state.check_declare_exchange(&first).unwrap());
    world.ok(Command::DeclareExchange(exchange("amq.topic", ExchangeKind::Topic)));
    let cases = [
        (
            DeclareExchange { kind: ExchangeKind::Direct, ..first.clone() },
            "'type'",
            "received 'direct' but current is 'topic'",
        ),
        (DeclareExchange { durable: false, ..first.clone() }, "'durable'", "received 'false' but current is 'true'"),
        (
            DeclareExchange { auto_delete: true, ..first.clone() },
            "'auto_delete'",
            "received 'true' but current is 'false'",
        ),
        (DeclareExchange { internal: true, ..first }, "'internal'", "received 'true' but current is 'false'"),
    ];
    for (declare, argument, difference) in cases {
        let expected =
            format!("PRECONDITION_FAILED - inequivalent arg {argument} for exchange 'x' in vhost '/': {difference}");
        assert_eq!(world.refused(Command::DeclareExchange(declare)), expected);
    }
}

#[test]
fn system_exchanges_are_the_brokers() {
    let mut world = World::of(1);
    let refusals = [
        (
            Command::DeclareExchange(exchange("", ExchangeKind::Direct)),
            "ACCESS_REFUSED - operation not permitted on the default exchange",
        ),
        (
            Command::DeclareExchange(exchange("amq.x", ExchangeKind::Direct)),
            "ACCESS_REFUSED - exchange name 'amq.x' contains reserved prefix 'amq.*'",
        ),
        (delete("", false), "ACCESS_REFUSED - operation not permitted on the default exchange"),
        (
            delete("amq.direct", false),
            "ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed",
        ),
        (Command::Bind(bind("", "q", "k")), "ACCESS_REFUSED - operation not permitted on the default exchange"),
        (
            Command::Bind(to_exchange("amq.direct", "")),
            "ACCESS_REFUSED - operation not permitted on the default exchange",
        ),
    ];
    for (command, text) in refusals {
        assert_eq!(world.refused(command), text);
    }
}

#[test]
fn bindings_need_both_ends() {
    let mut world = World::of(1);
    assert_eq!(world.refused(Command::Bind(bind("amq.direct", "q", "k"))), "NOT_FOUND - no queue 'q' in vhost '/'");
    world.declare(durable("q"));
    assert_eq!(world.refused(Command::Bind(bind("x", "q", "k"))), "NOT_FOUND - no exchange 'x' in vhost '/'");
    assert_eq!(world.refused(Command::Unbind(bind("x", "q", "k"))), "NOT_FOUND - no exchange 'x' in vhost '/'");
    let elsewhere = Bind { vhost: "v".into(), ..bind("x", "q", "k") };
    assert_eq!(world.refused(Command::Bind(elsewhere)), "NOT_ALLOWED - vhost v not found");
}

#[test]
fn binding_twice_is_binding_once() {
    let mut world = World::of(1);
    let queue = world.declare(durable("q"));
    world.ok(Command::Bind(bind("amq.direct", "q", "k")));
    assert!(matches!(&world.changes[..], [Change::Bound(change)] if change.destination == Destination::Queue(queue)));
    world.ok(Command::Bind(bind("amq.direct", "q", "k")));
    assert_eq!(world.changes, []);
    assert_eq!(world.state.bindings("/").count(), 1);
    world.ok(Command::Unbind(bind("amq.direct", "q", "other")));
    assert_eq!(world.changes, []);
    world.ok(Command::Unbind(bind("amq.direct", "q", "k")));
    assert!(matches!(world.changes[..], [Change::Unbound(_)]));
    assert!(world.queue(queue).bound_to.is_empty());
}

#[test]
fn a_deleted_queue_takes_only_its_bindings() {
    let mut world = World::of(1);
    let (gone, stays) = (world.declare(durable("gone")), world.declare(durable("stays")));
    for key in ["1", "2"] {
        world.ok(Command::Bind(bind("amq.topic", "gone", key)));
        world.ok(Command::Bind(bind("amq.topic", "stays", key)));
    }
    world.ok(Command::Unbind(bind("amq.topic", "gone", "1")));
    assert!(world.queue(gone).bound_to.contains("amq.topic"), "still bound by the other key");
    world.ok(Command::DeleteQueue { queue: gone, compared: None });
    assert_eq!(world.changes.len(), 2);
    assert!(matches!(&world.changes[1], Change::QueueDeleted { name, .. } if name == "gone"));
    let left: Vec<_> = world.state.bindings("/").map(|(_, binding)| binding.destination.clone()).collect();
    assert_eq!(left, [Destination::Queue(stays), Destination::Queue(stays)]);
}

#[test]
fn an_auto_delete_exchange_goes_with_its_last_binding() {
    let mut world = World::of(1);
    world.declare(durable("q"));
    for name in ["outer", "inner"] {
        world.ok(Command::DeclareExchange(DeclareExchange {
            auto_delete: true,
            ..exchange(name, ExchangeKind::Fanout)
        }));
    }
    world.ok(Command::Bind(to_exchange("outer", "inner")));
    world.ok(Command::Bind(bind("inner", "q", "1")));
    world.ok(Command::Bind(bind("inner", "q", "2")));
    world.ok(Command::Unbind(bind("inner", "q", "1")));
    assert!(world.state.exchange("/", "inner").is_ok());
    world.ok(Command::Unbind(bind("inner", "q", "2")));
    let gone: Vec<_> = world
        .changes
        .iter()
        .filter_map(|change| match change {
            Change::ExchangeDeleted { name, .. } => Some(name.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(gone, ["outer", "inner"], "the last binding of one was the last of the other");
    assert_eq!(world.state.bindings("/").count(), 0);
}

#[test]
fn if_unused_asks_for_bindings_from_the_exchange() {
    let mut world = World::of(1);
    world.declare(durable("q"));
    world.ok(Command::DeclareExchange(exchange("x", ExchangeKind::Direct)));
    world.ok(Command::DeclareExchange(exchange("y", ExchangeKind::Direct)));
    world.ok(Command::Bind(bind("x", "q", "k")));
    world.ok(Command::Bind(to_exchange("x", "y")));
    assert_eq!(world.refused(delete("x", true)), "PRECONDITION_FAILED - exchange 'x' in vhost '/' in use");
    world.ok(delete("y", true));
    world.ok(delete("x", false));
    world.ok(delete("x", true));
    assert_eq!(world.state.bindings("/").count(), 0);
    assert!(world.queue(QueueId(1)).bound_to.is_empty());
}

#[test]
fn headers_bindings_are_checked() {
    let mut world = World::of(1);
    world.declare(durable("q"));
    let with = |value| {
        Command::Bind(Bind { arguments: Arguments::from([("x-match".into(), value)]), ..bind("amq.headers", "q", "") })
    };
    for good in ["all", "any", "all-with-x", "any-with-x"] {
        world.ok(with(Value::text(good)));
    }
    assert_eq!(
        world.refused(with(Value::text("some"))),
        "PRECONDITION_FAILED - Invalid x-match field value <<\"some\">>; expected all, any, all-with-x, or any-with-x"
    );
    assert_eq!(
        world.refused(with(Value::I32(1))),
        "PRECONDITION_FAILED - Invalid x-match field type signedint (value 1); expected longstr"
    );
}

#[test]
fn a_deleted_vhost_leaves_nothing() {
    let mut world = World::of(1);
    let queue = world.declare(durable("q"));
    world.ok(Command::Bind(bind("amq.direct", "q", "k")));
    world.ok(Command::DeleteVhost { name: "/".into() });
    assert!(world.state.queue(queue).is_none());
    assert_eq!(world.changes.last(), Some(&Change::Users));
    assert!(world.changes.contains(&Change::VhostDeleted("/".into())));
    assert_eq!(world.refused(Command::DeleteVhost { name: "/".into() }), "NOT_ALLOWED - vhost / not found");
}

#[test]
fn arguments_of_exchanges_are_refused_as_by_rabbitmq() {
    use ExchangeKind::{ConsistentHash, Delayed, Direct};
    let cases = [
        (
            Direct,
            vec![("alternate-exchange".to_owned(), Value::I32(5))],
            "PRECONDITION_FAILED - invalid type 'signedint' for arg 'alternate-exchange' in exchange 'x' in vhost '/'",
        ),
        (
            ConsistentHash,
            vec![text("hash-header", "a"), text("hash-property", "message_id")],
            "PRECONDITION_FAILED - hash-header and hash-property are mutually exclusive",
        ),
        (ConsistentHash, vec![text("hash-property", "app_id")], "PRECONDITION_FAILED - Unsupported property: app_id"),
        (Delayed, vec![], "PRECONDITION_FAILED - Invalid argument, 'x-delayed-type' must be an existing exchange type"),
        (
            Delayed,
            vec![text("x-delayed-type", "x-delayed-message")],
            "PRECONDITION_FAILED - Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'",
        ),
        (Delayed, vec![text("x-delayed-type", "odd")], "COMMAND_INVALID - unknown exchange type 'odd'"),
    ];
    let mut world = World::of(1);
    for (kind, arguments, expected) in cases {
        let declare = DeclareExchange { arguments: arguments.into_iter().collect(), ..exchange("x", kind) };
        assert_eq!(world.refused(Command::DeclareExchange(declare)), expected);
    }
    assert_eq!(world.state.queues().len(), 0);
}

#[test]
fn an_alternate_exchange_is_part_of_what_an_exchange_is() {
    let mut world = World::of(1);
    let to = |name: &str| DeclareExchange {
        arguments: Arguments::from([text("alternate-exchange", name)]),
        ..exchange("x", ExchangeKind::Direct)
    };
    world.ok(Command::DeclareExchange(to("a")));
    assert_eq!(world.state.exchange("/", "x").unwrap().alternate(), Some("a"));
    let start = "PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for exchange 'x' in vhost '/': received";
    assert_eq!(world.refused(Command::DeclareExchange(to("b"))), format!("{start} 'b' but current is 'a'"));
    let none = exchange("x", ExchangeKind::Direct);
    assert_eq!(
        world.refused(Command::DeclareExchange(none)),
        format!("{start} none but current is the value 'a' of type 'longstr'")
    );
}

#[test]
fn binding_keys_of_a_consistent_hash_exchange_are_weights() {
    let mut world = World::of(1);
    world.declare(durable("q"));
    let delayed = DeclareExchange {
        arguments: Arguments::from([text("x-delayed-type", "x-consistent-hash")]),
        ..exchange("later", ExchangeKind::Delayed)
    };
    world.ok(Command::DeclareExchange(delayed));
    world.ok(Command::DeclareExchange(exchange("x", ExchangeKind::ConsistentHash)));
    for name in ["x", "later"] {
        for (key, why) in [
            ("xyz", "must be an integer: <<\"xyz\">>"),
            ("", "must be an integer: <<>>"),
            (" 3", "must be an integer: <<\" 3\">>"),
            ("1.5", "must be an integer: <<\"1.5\">>"),
            ("0", "must be greater than 0"),
            ("-1", "must be greater than 0"),
        ] {
            let refused = world.refused(Command::Bind(bind(name, "q", key)));
            assert_eq!(refused, format!("PRECONDITION_FAILED - The binding key {why}"));
        }
        world.ok(Command::Bind(bind(name, "q", "+3")));
    }
}

#[test]
fn a_waiting_room_comes_and_goes_with_its_exchange_and_no_client_finds_it() {
    let mut world = World::of(1);
    let declare = DeclareExchange {
        arguments: Arguments::from([text("x-delayed-type", "direct")]),
        ..exchange("x", ExchangeKind::Delayed)
    };
    world.ok(Command::DeclareExchange(declare.clone()));
    let room = world.state.exchange("/", "x").unwrap().waiting_room.unwrap();
    assert!(world.changes.contains(&Change::QueueDeclared(room)) && world.changes.contains(&Change::Queue(room)));
    let queue = world.queue(room);
    assert_eq!((queue.name.as_str(), queue.waiting_room_of.as_deref()), ("x-delayed-message:x", Some("x")));
    assert!(queue.durable);
    assert!(world.state.queue_named("/", "x-delayed-message:x").is_err());
    world.ok(Command::DeclareExchange(declare.clone()));
    assert_eq!((&world.changes[..], world.state.queues().len()), (&[][..], 1));

    // A queue that clients give that name is another one.
    world.declare(durable("x-delayed-message:x"));
    world.ok(delete("x", false));
    assert!(world.state.queue(room).is_none() && world.state.queue_named("/", "x-delayed-message:x").is_ok());
    world.ok(Command::DeclareExchange(declare));
    world.ok(Command::DeleteVhost { name: "/".into() });
    assert_eq!(world.state.queues().len(), 0);
}
