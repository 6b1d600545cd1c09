//! De-duplicating exchanges: what they may be declared with, and which queues
//! look at whose messages.

use super::*;

fn exchange(name: &str, kind: ExchangeKind, arguments: &[(&str, Value)]) -> DeclareExchange {
    let arguments = arguments.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    DeclareExchange {
        vhost: "/".into(),
        name: name.into(),
        kind,
        durable: true,
        auto_delete: false,
        internal: false,
        arguments,
        owner: owner(1, 7),
        live: live(&[1]),
    }
}

fn once(name: &str) -> DeclareExchange {
    exchange(name, ExchangeKind::Deduplicating, &[("x-cache-size", Value::I32(10)), ("x-cache-ttl", Value::text("50"))])
}

fn bind(exchange: &str, destination: DestinationName) -> Bind {
    Bind {
        vhost: "/".into(),
        exchange: exchange.into(),
        destination,
        routing_key: "k".into(),
        arguments: Arguments::new(),
        owner: owner(1, 7),
    }
}

fn to_queue(exchange: &str, queue: &str) -> Bind {
    bind(exchange, DestinationName::Queue(queue.into()))
}

fn to_exchange(source: &str, destination: &str) -> Bind {
    bind(source, DestinationName::Exchange(destination.into()))
}

impl World {
    /// `published by` of all that a queue takes once.
    fn taken_once(&self, id: QueueId) -> Vec<String> {
        let taken = self.state.once(self.queue(id));
        taken.iter().map(|once| format!("{} {}", once.exchange, once.by)).collect()
    }

    /// Whether the last command told to look at the queue again.
    fn told_of(&self, id: QueueId) -> bool {
        self.changes.contains(&Change::Queue(id))
    }
}

#[test]
fn arguments_are_those_of_the_plugin() {
    let mut world = World::of(1);
    let number = |value| [("x-cache-size", value)];
    let size = "PRECONDITION_FAILED - Missing or invalid argument, 'x-cache-size' must be an integer greater than 0";
    for arguments in [&[][..], &number(Value::I32(0)), &number(Value::text("some")), &number(Value::Bool(true))] {
        let declare = exchange("x", ExchangeKind::Deduplicating, arguments);
        assert_eq!(world.refused(Command::DeclareExchange(declare)), size);
    }
    for (key, value, must) in [
        ("x-cache-ttl", Value::I32(-1), "must be an integer greater than 0"),
        ("x-cache-persistence", Value::text("paper"), "must be either 'disk' or 'memory'"),
    ] {
        let declare = exchange("x", ExchangeKind::Deduplicating, &[("x-cache-size", Value::text("9")), (key, value)]);
        let text = world.refused(Command::DeclareExchange(declare));
        assert_eq!(text, format!("PRECONDITION_FAILED - Invalid argument, '{key}' {must}"));
    }
    world.ok(Command::DeclareExchange(once("x")));
}

#[test]
fn a_queue_takes_once_what_comes_through_a_deduplicating_exchange() {
    let mut world = World::of(1);
    let (near, far, other) =
        (world.declare(durable("near")), world.declare(durable("far")), world.declare(durable("o")));
    world.ok(Command::DeclareExchange(exchange("plain", ExchangeKind::Fanout, &[])));
    world.ok(Command::Bind(to_queue("plain", "far")));
    assert!(!world.told_of(far), "nobody de-duplicates here");
    world.ok(Command::DeclareExchange(once("x")));
    world.ok(Command::Bind(to_queue("x", "near")));
    assert!(world.told_of(near) && !world.told_of(other));
    let [found] = world.state.once(world.queue(near)).try_into().unwrap();
    assert_eq!((found.exchange, found.by, found.size, found.ttl), ("x", "x", 10, Some(50)));

    // Before it and behind it: by bindings, and as an alternate.
    world.ok(Command::DeclareExchange(exchange("first", ExchangeKind::Topic, &[])));
    let stray = exchange("stray", ExchangeKind::Direct, &[("alternate-exchange", Value::text("x"))]);
    world.ok(Command::DeclareExchange(stray));
    assert!(world.told_of(near));
    world.ok(Command::Bind(to_exchange("first", "x")));
    assert!(world.told_of(near));
    world.ok(Command::Bind(to_exchange("x", "plain")));
    assert!(world.told_of(far) && !world.told_of(near));
    for queue in [near, far] {
        assert_eq!(world.taken_once(queue), ["first x", "stray x", "x x"]);
    }
    world.ok(Command::Bind(to_queue("plain", "o")));
    assert!(world.told_of(other));
    assert_eq!(world.taken_once(other), world.taken_once(far));

    world.ok(Command::Unbind(to_exchange("first", "x")));
    assert!(world.told_of(near) && world.told_of(far));
    assert_eq!(world.taken_once(far), ["stray x", "x x"]);
    world.ok(Command::DeleteExchange { vhost: "/".into(), name: "x".into(), if_unused: false });
    assert!(world.told_of(near) && world.told_of(far) && world.told_of(other));
    assert_eq!((world.taken_once(near), world.taken_once(far)), (vec![], vec![]));
    world.ok(Command::Bind(to_queue("first", "o")));
    assert!(!world.told_of(other), "nobody de-duplicates any more");
}
