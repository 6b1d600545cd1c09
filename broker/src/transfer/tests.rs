//! The mover between a real catalog, real routes, and queues played by hand.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use warren_amqp::{FieldTable, Properties, PropertiesBuilder, Value as Wire};
use warren_membership::catalog::{
    Addresses, Arguments, Bind, Command, DeclareExchange, DeclareQueue, DestinationName, ExchangeKind, Owner, State,
    Value,
};
use warren_queue::{DeadLetter, Reason};
use warren_replication::message::Message;
use warren_replication::types::{Boot, Epoch, Incarnation, NodeId, Offset, Process, QueueId, Session};
use warren_shard::step::{Local, ToChannel, Transfer, Transfers};

use super::Moves;
use super::mover::Mover;
use crate::routing::Routes;

const ME: Process = Process { node: NodeId(1), incarnation: Incarnation(1), boot: Boot(1) };
const OWNER: Owner = Owner { process: ME, connection: 1 };
const EPOCH: Epoch = Epoch(3);

struct World {
    state: State,
    routes: Arc<Routes>,
    mover: Mover,
    now: Instant,
}

/// What a queue was given: queue, sequence, message.
type Given = (QueueId, u64, Message);

impl World {
    fn new() -> Self {
        let routes = Arc::new(Routes::new());
        let session = Session { process: ME, connection: 9, channel: 0, opened: 0 };
        let mover = Mover::new(session, Arc::clone(&routes) as _);
        let mut world = Self { state: State::default(), routes, mover, now: Instant::now() };
        world.apply(Command::Register {
            name: "a".into(),
            process: ME,
            nonce: 1,
            addresses: Addresses::default(),
            voter: true,
        });
        world.apply(Command::PutVhost { name: "/".into() });
        world
    }

    fn apply(&mut self, command: Command) {
        let (result, changes) = self.state.apply(&command);
        result.unwrap();
        self.routes.applied(&self.state, &changes);
    }

    fn queue(&mut self, name: &str) -> QueueId {
        self.apply(Command::DeclareQueue(DeclareQueue {
            vhost: "/".into(),
            name: name.into(),
            server_named: false,
            durable: true,
            exclusive: false,
            auto_delete: false,
            arguments: Arguments::new(),
            owner: OWNER,
            live: vec![ME],
        }));
        self.state.queue_named("/", name).unwrap().0
    }

    fn bind(&mut self, exchange: &str, queue: &str, key: &str) {
        self.apply(Command::Bind(Bind {
            vhost: "/".into(),
            exchange: exchange.into(),
            destination: DestinationName::Queue(queue.into()),
            routing_key: key.into(),
            arguments: Arguments::new(),
            owner: OWNER,
        }));
    }

    fn moves(&mut self, queue: QueueId, to: Option<DeadLetter>, transfers: Vec<Transfer>) {
        let moves = Moves { queue, dead_letter: to, transfers: Transfers::Move(EPOCH, transfers) };
        self.mover.moves(&self.state, self.now, vec![moves]);
    }

    fn answer(&mut self, answer: ToChannel) {
        self.mover.answers(&self.state, self.now, vec![(0, answer)]);
    }

    fn confirm(&mut self, queue: QueueId, sequence: u64) {
        self.answer(ToChannel::Confirmed(queue, vec![(sequence, sequence)]));
    }

    fn take(&mut self) -> (Vec<Given>, Vec<(QueueId, Vec<u64>)>) {
        let out = self.mover.take();
        let mut given = Vec::new();
        for (queue, word) in out.publishes {
            let Local::Publish { messages, .. } = word else { panic!("{word:?}") };
            given.extend(messages.into_iter().map(|(sequence, message)| (queue, sequence, message)));
        }
        let arrived = out.arrived.into_iter().map(|(queue, epoch, offsets)| {
            assert_eq!(epoch, EPOCH);
            (queue, offsets.into_iter().map(|offset| offset.0).collect())
        });
        (given, arrived.collect())
    }

    /// Queues given something, and what has arrived.
    fn told(&mut self) -> (Vec<u64>, Vec<(QueueId, Vec<u64>)>) {
        let (given, arrived) = self.take();
        (given.into_iter().map(|(queue, ..)| queue.0).collect(), arrived)
    }
}

fn to(exchange: &'static str, key: Option<&'static str>) -> DeadLetter {
    DeadLetter { exchange: exchange.into(), routing_key: key.map(Bytes::from) }
}

fn dead(offset: u64, reason: Reason) -> Transfer {
    let properties = PropertiesBuilder::default().encode();
    let message = Message { exchange: "x".into(), routing_key: "k".into(), properties, body: "body".into() };
    Transfer { offset: Offset(offset), reason, count: 0, message }
}

#[test]
fn a_message_has_arrived_when_all_its_queues_have_confirmed_it() {
    let mut world = World::new();
    let (source, one, two) = (world.queue("source"), world.queue("one"), world.queue("two"));
    world.bind("amq.fanout", "one", "");
    world.bind("amq.fanout", "two", "");
    world.moves(source, Some(to("amq.fanout", None)), vec![dead(7, Reason::Rejected), dead(8, Reason::Rejected)]);
    let (given, arrived) = world.take();
    assert!(arrived.is_empty());
    let places: Vec<_> = given.iter().map(|(queue, sequence, _)| (*queue, *sequence)).collect();
    assert_eq!(places, [(one, 1), (one, 2), (two, 1), (two, 2)]);
    let message = &given[0].2;
    assert_eq!(
        (&message.exchange[..], &message.routing_key[..], &message.body[..]),
        (&b"amq.fanout"[..], &b"k"[..], &b"body"[..])
    );
    assert!(Properties::parse(&message.properties).unwrap().headers().unwrap().get("x-death").is_some());

    world.answer(ToChannel::Confirmed(one, vec![(1, 2)]));
    assert_eq!(world.told(), (vec![], vec![]));
    world.confirm(two, 2);
    assert_eq!(world.told(), (vec![], vec![(source, vec![8])]));
    world.confirm(two, 2);
    world.confirm(two, 1);
    assert_eq!(world.told(), (vec![], vec![(source, vec![7])]));
}

#[test]
fn what_leads_nowhere_has_arrived_at_once() {
    let mut world = World::new();
    let source = world.queue("source");
    for to in [Some(to("nowhere", None)), Some(to("amq.direct", None)), Some(to("", Some("gone"))), None] {
        world.moves(source, to, vec![dead(1, Reason::Expired)]);
        assert_eq!(world.told(), (vec![], vec![(source, vec![1])]));
    }
}

#[test]
fn a_refused_message_is_tried_again_only_where_it_was_refused() {
    let mut world = World::new();
    let (source, one, two) = (world.queue("source"), world.queue("one"), world.queue("two"));
    world.bind("amq.fanout", "one", "");
    world.bind("amq.fanout", "two", "");
    world.moves(source, Some(to("amq.fanout", None)), vec![dead(7, Reason::Rejected)]);
    world.take();
    world.confirm(one, 1);
    world.answer(ToChannel::Refused(two, vec![(1, 1)]));
    assert_eq!(world.told(), (vec![], vec![]));
    let mut waits = vec![];
    for sequence in 2..12 {
        let due = world.mover.next_retry().unwrap();
        waits.push(due - world.now);
        world.mover.retry(&world.state, world.now);
        assert_eq!(world.told(), (vec![], vec![]), "it is not yet due");
        world.now = due;
        world.mover.retry(&world.state, world.now);
        assert_eq!(world.told(), (vec![two.0], vec![]));
        world.answer(ToChannel::Refused(two, vec![(sequence, sequence)]));
    }
    assert!(waits.is_sorted() && waits[0] < Duration::from_secs(1) && waits[9] == Duration::from_secs(30));
    world.now = world.mover.next_retry().unwrap();
    world.mover.retry(&world.state, world.now);
    world.confirm(two, 12);
    assert_eq!(world.told(), (vec![two.0], vec![(source, vec![7])]));
    assert_eq!(world.mover.next_retry(), None);
}

#[test]
fn a_queue_that_is_deleted_meanwhile_is_not_waited_for() {
    let mut world = World::new();
    let (source, one) = (world.queue("source"), world.queue("one"));
    world.moves(source, Some(to("", Some("one"))), vec![dead(7, Reason::Rejected)]);
    world.take();
    world.apply(Command::DeleteQueue { queue: one, compared: None });
    world.answer(ToChannel::Refused(one, vec![(1, 1)]));
    assert_eq!(world.told(), (vec![], vec![(source, vec![7])]));
}

#[test]
fn who_leads_no_more_is_not_answered() {
    let mut world = World::new();
    let (source, one) = (world.queue("source"), world.queue("one"));
    let over = |queue| Moves { queue, dead_letter: None, transfers: Transfers::Over };
    world.moves(source, Some(to("", Some("one"))), vec![dead(7, Reason::Rejected), dead(8, Reason::Rejected)]);
    world.take();
    world.answer(ToChannel::Refused(one, vec![(2, 2)]));
    world.mover.moves(&world.state, world.now, vec![over(source)]);
    assert_eq!(world.mover.next_retry(), None);
    world.confirm(one, 1);
    assert_eq!(world.told(), (vec![], vec![]));
}

#[test]
fn only_what_a_client_rejected_comes_back_to_its_queue() {
    let mut world = World::new();
    let source = world.queue("source");
    for (reason, goes) in
        [(Reason::Expired, false), (Reason::MaxLength, false), (Reason::DeliveryLimit, false), (Reason::Rejected, true)]
    {
        world.moves(source, Some(to("", Some("source"))), vec![dead(1, reason)]);
        let (given, arrived) = world.told();
        assert_eq!((given.is_empty(), arrived.is_empty()), (!goes, goes), "{reason:?}");
    }
}

#[test]
fn senders_keys_count_for_the_dead_unless_the_queue_has_its_own() {
    let mut world = World::new();
    let (source, k, other) = (world.queue("source"), world.queue("k"), world.queue("other"));
    let cc = FieldTable::from([("CC", Wire::Array([Wire::from("other")].into_iter().collect()))]);
    let properties = PropertiesBuilder { headers: Some(cc), ..PropertiesBuilder::default() }.encode();
    let mut transfer = dead(1, Reason::Rejected);
    transfer.message.properties = properties;
    world.moves(source, Some(to("", None)), vec![transfer.clone()]);
    assert_eq!(world.told().0, [k.0, other.0]);
    world.moves(source, Some(to("", Some("k"))), vec![transfer]);
    assert_eq!(world.told().0, [k.0]);
}

#[test]
fn a_message_that_is_due_goes_where_its_exchange_leads_and_is_not_delayed_again() {
    let mut world = World::new();
    let queue = world.queue("q");
    world.apply(Command::DeclareExchange(DeclareExchange {
        vhost: "/".into(),
        name: "later".into(),
        kind: ExchangeKind::Delayed,
        durable: true,
        auto_delete: false,
        internal: false,
        arguments: Arguments::from([("x-delayed-type".to_owned(), Value::text("direct"))]),
        owner: OWNER,
        live: vec![ME],
    }));
    world.bind("later", "q", "k");
    let room = world.state.exchange("/", "later").unwrap().waiting_room.unwrap();
    let headers = FieldTable::from([("x-delay", Wire::from(50))]);
    let mut transfer = dead(1, Reason::Due);
    transfer.message.properties = PropertiesBuilder { headers: Some(headers), ..PropertiesBuilder::default() }.encode();
    world.moves(room, None, vec![transfer]);
    let (given, _) = world.take();
    let [(to, sequence, message)] = &given[..] else { panic!("{given:?}") };
    assert_eq!((*to, &message.exchange[..], &message.routing_key[..]), (queue, &b"x"[..], &b"k"[..]));
    let headers = Properties::parse(&message.properties).unwrap().headers().unwrap();
    assert_eq!(headers, FieldTable::from([("x-delay", Wire::from(-50))]));
    let sequence = *sequence;
    world.confirm(queue, sequence);
    assert_eq!(world.told().1, [(room, vec![1])]);
}
