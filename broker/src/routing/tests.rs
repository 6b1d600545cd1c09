//! The compiled routes against the catalog itself: whatever changes, both lead
//! to the same queues.

use std::collections::BTreeSet;

use proptest::prelude::*;
use warren_amqp::{FieldTable, Properties, PropertiesBuilder, Value as Wire};
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

    fn with_headers(&self, exchange: &str, keys: &[&str], headers: FieldTable) -> Option<Vec<QueueId>> {
        let properties = PropertiesBuilder { headers: Some(headers), ..PropertiesBuilder::default() }.encode();
        self.routes.route("/", exchange, keys, Some(&Properties::parse(&properties).unwrap()))
    }

    fn route(&self, exchange: &str, key: &str) -> Option<Vec<QueueId>> {
        self.routes.route("/", exchange, &[key], None)
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
        owner: OWNER,
        live: vec![ME],
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
    world.apply(&Command::DeleteQueue { queue, compared: None });
    assert_eq!(world.route("", "q"), Some(vec![]));
    assert_eq!(world.route("nowhere", "q"), None);
    assert_eq!(world.routes.route("nowhere", "", &["q"], None), None);
}

#[test]
fn the_generation_grows_with_what_can_change_a_route() {
    let mut world = World::new();
    let before = world.routes.generation();
    world.apply(&Command::PutUser { name: "u".into(), password_hash: String::new(), tags: BTreeSet::new() });
    assert_ne!(world.routes.generation(), before, "permissions are remembered under it, too");
    let before = world.routes.generation();
    world.apply(&Command::ApplyPolicies { revision: 1, policies: Vec::new() });
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
    assert!(world.routes.reads_properties("/", "amq.headers") && !world.routes.reads_properties("/", "amq.fanout"));
    let route = |world: &World, exchange: &str, headers: FieldTable| world.with_headers(exchange, &[""], headers);
    assert_eq!(route(&world, "amq.headers", FieldTable::from([("a", Wire::from(1))])), Some(vec![queue]));
    assert_eq!(route(&world, "amq.headers", FieldTable::from([("a", Wire::from(2))])), Some(vec![]));
    assert_eq!(world.route("amq.headers", ""), Some(vec![]));

    let chain = binding("amq.fanout", DestinationName::Exchange("amq.headers".into()), "");
    world.apply(&Command::Bind(chain.clone()));
    assert!(world.routes.reads_properties("/", "amq.fanout"));
    assert_eq!(route(&world, "amq.fanout", FieldTable::from([("a", Wire::from(1i64))])), Some(vec![queue]));
    world.apply(&Command::Unbind(chain));
    assert!(!world.routes.reads_properties("/", "amq.fanout"));
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

fn with(name: &str, kind: ExchangeKind, arguments: &[(&str, &str)]) -> Command {
    let arguments = arguments.iter().map(|(name, text)| ((*name).to_owned(), Value::text(text))).collect();
    let Command::DeclareExchange(declare) = exchange(name, kind) else { unreachable!() };
    Command::DeclareExchange(DeclareExchange { arguments, ..declare })
}

#[test]
fn what_leads_nowhere_goes_to_the_alternate_exchange_once() {
    let mut world = World::new();
    let (lost, found) = (world.declare("lost"), world.declare("found"));
    world.apply(&with("a", ExchangeKind::Direct, &[("alternate-exchange", "b")]));
    assert_eq!(world.route("a", "k"), Some(vec![]), "there is no such exchange yet");
    world.apply(&with("b", ExchangeKind::Direct, &[("alternate-exchange", "c")]));
    world.apply(&with("c", ExchangeKind::Fanout, &[("alternate-exchange", "a")]));
    assert_eq!(world.route("a", "k"), Some(vec![]), "a circle ends");
    world.apply(&Command::Bind(to_queue("c", "lost", "")));
    world.apply(&Command::Bind(to_queue("b", "found", "k")));
    assert_eq!((world.route("a", "k"), world.route("a", "l")), (Some(vec![found]), Some(vec![lost])));
    world.apply(&Command::Bind(to_queue("a", "found", "l")));
    assert_eq!(world.route("a", "l"), Some(vec![found]));

    // As in RabbitMQ, what leads to an exchange leads somewhere.
    world.apply(&exchange("dead-end", ExchangeKind::Direct));
    world.apply(&Command::Bind(binding("a", DestinationName::Exchange("dead-end".into()), "m")));
    assert_eq!(world.route("a", "m"), Some(vec![]));

    assert!(!world.routes.reads_properties("/", "a"));
    world.apply(&with("d", ExchangeKind::Direct, &[("alternate-exchange", "amq.headers")]));
    assert!(world.routes.reads_properties("/", "d"));
}

#[test]
fn several_keys_lead_to_each_queue_once() {
    let mut world = World::new();
    let (p, q) = (world.declare("p"), world.declare("q"));
    for (exchange, queue, key) in [("amq.direct", "p", "k"), ("amq.topic", "q", "l.#"), ("amq.topic", "p", "k")] {
        world.apply(&Command::Bind(to_queue(exchange, queue, key)));
    }
    let route = |exchange, keys: &[&str]| world.routes.route("/", exchange, keys, None).unwrap();
    assert_eq!(route("", &["p", "q", "p", "nothing"]), [p, q]);
    assert_eq!(route("amq.direct", &["x", "k", "k"]), [p]);
    assert_eq!(route("amq.topic", &["k", "l.m", "l"]), [p, q]);
    assert_eq!(route("amq.topic", &[]), []);
}

#[test]
fn a_delayed_message_goes_to_the_waiting_room_of_its_exchange() {
    let mut world = World::new();
    let queue = world.declare("q");
    world.apply(&with("later", ExchangeKind::Delayed, &[("x-delayed-type", "topic")]));
    world.apply(&Command::Bind(to_queue("later", "q", "k.*")));
    let room = world.state.exchange("/", "later").unwrap().waiting_room.unwrap();
    assert!(world.routes.reads_properties("/", "later"));
    let delayed = |delay: i32| FieldTable::from([("x-delay", Wire::from(delay))]);
    let route = |world: &World, exchange: &str, delay| world.with_headers(exchange, &["k.l"], delayed(delay)).unwrap();
    assert_eq!(route(&world, "later", 5), [room]);
    assert_eq!((route(&world, "later", 0), route(&world, "later", -5)), (vec![queue], vec![queue]));
    assert_eq!(world.route("later", "k.l"), Some(vec![queue]));
    assert_eq!(world.route("later", "k"), Some(vec![]));
    // By its hidden name nobody finds it.
    assert_eq!(world.route("", "x-delayed-message:later"), Some(vec![]));
    // Behind another exchange, too, whatever else that leads to.
    world.apply(&Command::Bind(binding("amq.fanout", DestinationName::Exchange("later".into()), "")));
    world.apply(&Command::Bind(to_queue("amq.fanout", "q", "")));
    assert_eq!(route(&world, "amq.fanout", 5), [queue, room]);
    let rebuilt = Routes::new();
    rebuilt.reset(&world.state);
    assert_eq!(rebuilt.route("/", "", &["x-delayed-message:later"], None), Some(vec![]));
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
        other => panic!("{other:?} is not modelled"),
    };
    let mut queues = BTreeSet::new();
    let leading: Vec<&Binding> = found.bindings.iter().filter(|binding| leads(binding)).collect();
    if let Some(alternate) = found.alternate().filter(|_| leading.is_empty()) {
        return naive(state, alternate, key, seen);
    }
    for binding in leading {
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
        3 => (names.clone(), kinds, names.clone(), any::<bool>()).prop_map(|(name, kind, other, has)| {
            if has { with(name, kind, &[("alternate-exchange", other)]) } else { exchange(name, kind) }
        }),
        1 => names.prop_map(|name| Command::DeleteExchange { vhost: "/".into(), name: name.into(), if_unused: false }),
        3 => queues.prop_map(queue),
        1 => (1u64..9).prop_map(|id| Command::DeleteQueue { queue: QueueId(id), compared: None }),
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
                    prop_assert_eq!(rebuilt.route("/", exchange, &[key], None), expected);
                }
                prop_assert_eq!(world.routes.reads_properties("/", exchange), rebuilt.reads_properties("/", exchange));
            }
        }
    }
}
