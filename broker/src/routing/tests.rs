//! The compiled routes against the catalog itself: whatever changes, both lead
//! to the same queues.

use std::collections::BTreeSet;

use proptest::prelude::*;
use warren_amqp::{FieldTable, Value as Wire};
use warren_membership::catalog::{
    Addresses, Arguments, Bind, Binding, Command, DeclareExchange, DeclareQueue, Destination, DestinationName,
    ExchangeKind, Owner, State, Value,
};
use warren_replication::types::{Boot, Incarnation, NodeId, Process, QueueId};

use super::Routes;
use crate::connection::ports::Routing;

const ME: Process = Process { node: NodeId(1), incarnation: Incarnation(1), boot: Boot(1) };
const OWNER: Owner = Owner { process: ME, connection: 1 };

/// A catalog with the routes that follow it.
struct World {
    state: State,
    routes: Routes,
}

impl World {
    fn new() -> Self {
        let mut world = Self { state: State::default(), routes: Routes::new() };
        let me =
            Command::Register { name: "a".into(), process: ME, nonce: 1, addresses: Addresses::default(), voter: true };
        world.apply(&me);
        world.apply(&Command::PutVhost { name: "/".into() });
        world
    }

    fn apply(&mut self, command: &Command) {
        let (_, changes) = self.state.apply(command);
        self.routes.applied(&self.state, &changes);
    }

    fn declare(&mut self, name: &str) -> QueueId {
        self.apply(&queue(name));
        self.state.queue_named("/", name).unwrap().0
    }

    fn route(&self, exchange: &str, key: &str) -> Option<Vec<QueueId>> {
        self.routes.route("/", exchange, key, None)
    }
}

fn queue(name: &str) -> Command {
    Command::DeclareQueue(DeclareQueue {
        vhost: "/".into(),
        name: name.into(),
        server_named: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        arguments: Arguments::new(),
        owner: OWNER,
        live: vec![ME],
    })
}

fn exchange(name: &str, kind: ExchangeKind) -> Command {
    Command::DeclareExchange(DeclareExchange {
        vhost: "/".into(),
        name: name.into(),
        kind,
        durable: true,
        auto_delete: false,
        internal: false,
        arguments: Arguments::new(),
    })
}

fn binding(source: &str, destination: DestinationName, key: &str) -> Bind {
    Bind {
        vhost: "/".into(),
        exchange: source.into(),
        destination,
        routing_key: key.into(),
        arguments: Arguments::new(),
        owner: OWNER,
    }
}

fn to_queue(source: &str, queue: &str, key: &str) -> Bind {
    binding(source, DestinationName::Queue(queue.into()), key)
}

#[test]
fn the_default_exchange_leads_to_the_queue_of_that_name() {
    let mut world = World::new();
    assert_eq!(world.route("", "q"), Some(vec![]));
    let queue = world.declare("q");
    assert_eq!(world.route("", "q"), Some(vec![queue]));
    world.apply(&Command::DeleteQueue { queue });
    assert_eq!(world.route("", "q"), Some(vec![]));
    assert_eq!(world.route("nowhere", "q"), None);
    assert_eq!(world.routes.route("nowhere", "", "q", None), None);
}

#[test]
fn the_generation_grows_with_what_can_change_a_route() {
    let mut world = World::new();
    let before = world.routes.generation();
    world.apply(&Command::PutUser { name: "u".into(), password_hash: String::new(), tags: BTreeSet::new() });
    assert_eq!(world.routes.generation(), before);
    world.apply(&queue("q"));
    assert_ne!(world.routes.generation(), before);
    let before = world.routes.generation();
    world.apply(&queue("q"));
    assert_eq!(world.routes.generation(), before, "it was there");
    world.apply(&Command::Bind(to_queue("amq.topic", "q", "k")));
    assert_ne!(world.routes.generation(), before);
}

#[test]
fn bindings_that_differ_in_arguments_only_lead_once_and_go_one_by_one() {
    let mut world = World::new();
    let queue = world.declare("q");
    let other = Bind { arguments: Arguments::from([("n".into(), Value::I32(1))]), ..to_queue("amq.direct", "q", "k") };
    world.apply(&Command::Bind(to_queue("amq.direct", "q", "k")));
    world.apply(&Command::Bind(other.clone()));
    assert_eq!(world.route("amq.direct", "k"), Some(vec![queue]));
    world.apply(&Command::Unbind(other));
    assert_eq!(world.route("amq.direct", "k"), Some(vec![queue]));
    world.apply(&Command::Unbind(to_queue("amq.direct", "q", "k")));
    assert_eq!(world.route("amq.direct", "k"), Some(vec![]));
}

#[test]
fn headers_are_read_where_a_headers_exchange_can_be_met() {
    let mut world = World::new();
    let queue = world.declare("q");
    let wanted = Bind { arguments: Arguments::from([("a".into(), Value::I32(1))]), ..to_queue("amq.headers", "q", "") };
    world.apply(&Command::Bind(wanted));
    assert!(world.routes.reads_headers("/", "amq.headers") && !world.routes.reads_headers("/", "amq.fanout"));
    let route =
        |world: &World, exchange: &str, headers: FieldTable| world.routes.route("/", exchange, "", Some(&headers));
    assert_eq!(route(&world, "amq.headers", FieldTable::from([("a", Wire::from(1))])), Some(vec![queue]));
    assert_eq!(route(&world, "amq.headers", FieldTable::from([("a", Wire::from(2))])), Some(vec![]));
    assert_eq!(world.route("amq.headers", ""), Some(vec![]));

    let chain = binding("amq.fanout", DestinationName::Exchange("amq.headers".into()), "");
    world.apply(&Command::Bind(chain.clone()));
    assert!(world.routes.reads_headers("/", "amq.fanout"));
    assert_eq!(route(&world, "amq.fanout", FieldTable::from([("a", Wire::from(1i64))])), Some(vec![queue]));
    world.apply(&Command::Unbind(chain));
    assert!(!world.routes.reads_headers("/", "amq.fanout"));
}

#[test]
fn exchanges_in_a_circle_end() {
    let mut world = World::new();
    let queue = world.declare("q");
    for (from, to) in [("amq.fanout", "amq.topic"), ("amq.topic", "amq.fanout")] {
        world.apply(&Command::Bind(binding(from, DestinationName::Exchange(to.into()), "#")));
    }
    world.apply(&Command::Bind(to_queue("amq.fanout", "q", "")));
    assert_eq!(world.route("amq.topic", "x"), Some(vec![queue]));
}

#[test]
fn a_state_ahead_of_its_changes_ends_in_the_same_routes() {
    let mut world = World::new();
    let mut changes = vec![];
    for command in [
        queue("q"),
        exchange("x", ExchangeKind::Fanout),
        Command::Bind(to_queue("x", "q", "k")),
        Command::DeleteExchange { vhost: "/".into(), name: "x".into(), if_unused: false },
        Command::DeleteVhost { name: "/".into() },
        Command::PutVhost { name: "/".into() },
        queue("q"),
        exchange("x", ExchangeKind::Direct),
        Command::Bind(to_queue("x", "q", "k")),
    ] {
        changes.extend(world.state.apply(&command).1);
    }
    world.routes.applied(&world.state, &changes);
    let queue = world.state.queue_named("/", "q").unwrap().0;
    assert_eq!((world.route("x", "k"), world.route("x", "other")), (Some(vec![queue]), Some(vec![])));
    assert_eq!(world.route("", "q"), Some(vec![queue]));
}

/// What the catalog's own records say.
fn naive(state: &State, exchange: &str, key: &str, seen: &mut BTreeSet<String>) -> BTreeSet<QueueId> {
    let Ok(found) = state.exchange("/", exchange) else { return BTreeSet::new() };
    if exchange.is_empty() {
        return state.queue_named("/", key).map(|(id, _)| id).into_iter().collect();
    }
    if !seen.insert(exchange.to_owned()) {
        return BTreeSet::new();
    }
    let leads = |binding: &Binding| match found.kind {
        ExchangeKind::Fanout => true,
        ExchangeKind::Direct => binding.routing_key == key,
        ExchangeKind::Topic => binding.routing_key == key || binding.routing_key == "#" || binding.routing_key == "*",
        ExchangeKind::Headers => binding.arguments.is_empty(),
    };
    let mut queues = BTreeSet::new();
    for binding in found.bindings.iter().filter(|binding| leads(binding)) {
        match &binding.destination {
            Destination::Queue(id) => {
                queues.insert(*id);
            }
            Destination::Exchange(name) => queues.extend(naive(state, name, key, seen)),
        }
    }
    queues
}

fn command() -> impl Strategy<Value = Command> {
    let names = prop::sample::select(vec!["x1", "x2", "x3", "amq.topic", "amq.headers"]);
    let kinds = prop::sample::select(vec![
        ExchangeKind::Direct,
        ExchangeKind::Fanout,
        ExchangeKind::Topic,
        ExchangeKind::Headers,
    ]);
    let queues = prop::sample::select(vec!["q1", "q2", "q3"]);
    let keys = prop::sample::select(vec!["k", "l", "*", "#"]);
    let bind = (names.clone(), queues.clone(), names.clone(), keys, 0u8..4, 0i32..2).prop_map(
        |(from, queue, to, key, kind, extra)| {
            let destination =
                if kind & 1 == 0 { DestinationName::Queue(queue.into()) } else { DestinationName::Exchange(to.into()) };
            let arguments =
                if extra == 0 { Arguments::new() } else { Arguments::from([("n".to_owned(), Value::I32(extra))]) };
            let bind = Bind { arguments, ..binding(from, destination, key) };
            if kind & 2 == 0 { Command::Bind(bind) } else { Command::Unbind(bind) }
        },
    );
    prop_oneof![
        3 => (names.clone(), kinds).prop_map(|(name, kind)| exchange(name, kind)),
        1 => names.prop_map(|name| Command::DeleteExchange { vhost: "/".into(), name: name.into(), if_unused: false }),
        3 => queues.prop_map(queue),
        1 => (1u64..9).prop_map(|id| Command::DeleteQueue { queue: QueueId(id) }),
        8 => bind,
    ]
}

proptest! {
    #[test]
    fn routes_followed_change_by_change_are_the_catalogs(commands in prop::collection::vec(command(), 1..60)) {
        let mut world = World::new();
        for command in &commands {
            world.apply(command);
            let rebuilt = Routes::new();
            rebuilt.reset(&world.state);
            for exchange in ["", "x1", "x2", "x3", "amq.topic", "amq.headers"] {
                for key in ["k", "l", "q1"] {
                    let expected = world.state.exchange("/", exchange).is_ok().then(|| {
                        naive(&world.state, exchange, key, &mut BTreeSet::new()).into_iter().collect::<Vec<_>>()
                    });
                    prop_assert_eq!(world.route(exchange, key), expected.clone(), "{} {}", exchange, key);
                    prop_assert_eq!(rebuilt.route("/", exchange, key, None), expected);
                }
                prop_assert_eq!(world.routes.reads_headers("/", exchange), rebuilt.reads_headers("/", exchange));
            }
        }
    }
}
