//! What the rules of a queue demand, on a leader of one replica: when messages
//! expire, move on, make room, come first, or are given up.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use bytes::Bytes;
use warren_amqp::{FieldTable, PropertiesBuilder, Value};
use warren_queue::{DeadLetter, Deduplicate, Kind, Once, Overflow, Reason, Rules};
use warren_replication::message::{ConsumerSpec, Message, SettleReason};
use warren_replication::ranges::RangeSet;
use warren_replication::record;
use warren_replication::step::Write;
use warren_replication::types::{
    Assignment, Boot, Clock, ConsumerKey, Epoch, Incarnation, Moment, NodeId, Offset, Process, QueueId, Session,
    Version,
};
use warren_shard::step::{Effects, Input, Local, QueueInfo, ReadRequest, ToChannel, Transfers, Wish};
use warren_shard::{Settings, Shard};

const QUEUE: QueueId = QueueId(1);
const ME: Process = Process { node: NodeId(1), incarnation: Incarnation(1), boot: Boot(1) };

/// A node that leads the queue by some rules, and a disk that always syncs.
struct Node {
    shard: Shard,
    rules: Rules,
    epoch: u64,
    version: u64,
    now: Moment,
    log: Vec<Bytes>,
    ticket: u64,
    reads: Vec<ReadRequest>,
    published: u64,
    /// Where it publishes.
    exchange: Bytes,
    numbers: u64,
    heard: Vec<ToChannel>,
    moved: Vec<(Reason, Offset, Bytes)>,
    /// Whoever moves messages answers at once.
    mover: bool,
    wishes: Vec<Wish>,
}

impl Node {
    fn new(rules: Rules) -> Self {
        let mut settings = Settings { transfer_messages: 4, read_bytes: 64, ..Settings::default() };
        // Time stands still in a turn.
        settings.replica.settle_delay = 0;
        let mut node = Self {
            shard: Shard::new(ME, settings),
            rules,
            epoch: 0,
            version: 0,
            now: Moment(1_000_000),
            log: Vec::new(),
            ticket: 0,
            reads: Vec::new(),
            published: 0,
            exchange: Bytes::new(),
            numbers: 0,
            heard: Vec::new(),
            moved: Vec::new(),
            mover: true,
            wishes: Vec::new(),
        };
        let lease = Input::Lease(node.now.plus_micros(3_600_000_000));
        node.turn([lease, Input::Registered(ME.node, ME.boot), Input::Live([ME].into())]);
        node.reign();
        node
    }

    fn dead_lettering(rules: Rules) -> Self {
        let dead_letter = Some(DeadLetter { exchange: Bytes::from_static(b"dlx"), routing_key: None });
        Self::new(Rules { dead_letter, ..rules })
    }

    /// The catalog: this node leads, anew.
    fn reign(&mut self) {
        self.epoch += 1;
        self.catalog();
    }

    fn catalog(&mut self) {
        self.version += 1;
        let assignment = Arc::new(Assignment {
            epoch: Epoch(self.epoch),
            version: Version(self.version),
            leader: Some(ME),
            replicas: vec![ME.node],
            isr: [ME.member()].into(),
            min_in_sync: 1,
            predecessor: (self.epoch > 1).then_some(ME),
            ..Assignment::default()
        });
        let rules = Arc::new(self.rules.clone());
        self.turn([Input::Queue(QueueInfo { queue: QUEUE, assignment, handover: None, auto_delete: false, rules })]);
        self.settle_down();
    }

    fn turn(&mut self, inputs: impl IntoIterator<Item = Input>) {
        let mut effects = Effects::default();
        self.shard.turn(Clock { now: self.now, wall: self.now.0 / 1_000 }, inputs, &mut effects);
        self.ticket = self.ticket.max(effects.ticket);
        for (_, write) in effects.writes {
            if let Some(Write::Append { entries, .. }) = write {
                self.log.extend(entries);
            }
        }
        self.reads.append(&mut effects.reads);
        self.wishes.extend(effects.wishes.drain(..).map(|(_, wish)| wish));
        self.heard.extend(effects.replies.into_iter().map(|(_, _, reply)| reply));
        for (_, transfers) in effects.transfers {
            let Transfers::Move(epoch, transfers) = transfers else { continue };
            assert_eq!(epoch, Epoch(self.epoch));
            let offsets = transfers.iter().map(|transfer| transfer.offset).collect();
            self.moved.extend(transfers.into_iter().map(|t| (t.reason, t.offset, t.message.body)));
            if self.mover {
                self.turn([Input::Transferred(QUEUE, epoch, offsets)]);
            }
        }
    }

    fn settle_down(&mut self) {
        let mut synced = 0;
        while synced < self.ticket || !self.reads.is_empty() {
            synced = self.ticket;
            let mut inputs = vec![Input::Persisted(synced)];
            for ReadRequest { request, first, max_bytes, .. } in self.reads.split_off(0) {
                let mut bytes = 0;
                let entries = self.log[first.0 as usize - 1..].iter().take_while(|entry| {
                    let fits = bytes == 0 || bytes + entry.len() <= max_bytes;
                    bytes += entry.len();
                    fits
                });
                inputs.push(Input::Read { request, entries: entries.cloned().collect() });
            }
            self.turn(inputs);
        }
    }

    fn say(&mut self, local: Local) -> Vec<ToChannel> {
        self.heard.clear();
        self.turn([Input::Local(QUEUE, local)]);
        self.settle_down();
        std::mem::take(&mut self.heard)
    }

    fn publish(&mut self, body: &'static str, properties: &Bytes) -> Vec<ToChannel> {
        self.published += 1;
        let session = Session { process: ME, connection: 1, channel: 1, opened: 0 };
        let properties = properties.clone();
        let exchange = self.exchange.clone();
        let message = Message { exchange, body: Bytes::from_static(body.as_bytes()), properties, ..Message::default() };
        self.say(Local::Publish { session, messages: vec![(self.published, message)] })
    }

    fn publish_all(&mut self, bodies: &[&'static str]) {
        for body in bodies {
            self.publish(body, &plain());
        }
    }

    fn key(&mut self) -> ConsumerKey {
        self.numbers += 1;
        ConsumerKey { process: ME, connection: 1, channel: 1, number: self.numbers }
    }

    fn get(&mut self) -> Option<(Offset, String)> {
        let key = self.key();
        let heard = self.say(Local::Get(key));
        heard.into_iter().find_map(|event| match event {
            ToChannel::Got { found, .. } => {
                Some(found.map(|found| (found.0, String::from_utf8(found.2.body.to_vec()).unwrap())))
            }
            _ => None,
        })?
    }

    fn body(&mut self) -> String {
        self.get().map_or_else(|| "-".to_owned(), |(_, body)| body)
    }

    fn ready(&mut self) -> u64 {
        let heard = self.say(Local::Count { connection: 1, channel: 1, request: 0 });
        heard
            .into_iter()
            .find_map(|e| if let ToChannel::Counted { ready, .. } = e { Some(ready) } else { None })
            .unwrap()
    }

    /// Time passes, with ticks.
    fn pass(&mut self, millis: u64) {
        let until = self.now.plus_micros(millis * 1_000);
        while self.now < until {
            self.now = until.min(self.now.plus_micros(50_000));
            self.turn([Input::Tick]);
            self.settle_down();
        }
    }

    fn moved(&mut self) -> Vec<(Reason, String)> {
        let text = |body: Bytes| String::from_utf8(body.to_vec()).unwrap();
        std::mem::take(&mut self.moved).into_iter().map(|(reason, _, body)| (reason, text(body))).collect()
    }

    fn live(&self) -> u64 {
        self.shard.replica(QUEUE).unwrap().ledger().live().len()
    }
}

fn plain() -> Bytes {
    PropertiesBuilder::default().encode()
}

fn expiring(millis: &'static str) -> Bytes {
    PropertiesBuilder { expiration: Some(Bytes::from_static(millis.as_bytes())), ..Default::default() }.encode()
}

fn priority(priority: u8) -> Bytes {
    PropertiesBuilder { priority: Some(priority), ..Default::default() }.encode()
}

fn delayed(millis: i64) -> Bytes {
    let headers = FieldTable::from([("x-delay", Value::I64(millis))]);
    PropertiesBuilder { headers: Some(headers), ..Default::default() }.encode()
}

fn moves(reason: Reason, bodies: &[&str]) -> Vec<(Reason, String)> {
    bodies.iter().map(|body| (reason, (*body).to_owned())).collect()
}

#[test]
fn higher_priorities_come_first_and_returns_go_back_to_their_place() {
    let mut node = Node::new(Rules { max_priority: 5, ..Rules::default() });
    for (body, level) in [("a0", 0), ("b3", 3), ("c9", 9), ("d5", 5), ("e3", 3)] {
        node.publish(body, &priority(level));
    }
    node.publish("f", &plain());
    let (offset, body) = node.get().unwrap();
    assert_eq!(body, "c9", "above the highest is the highest, and it came before");
    node.say(Local::Return(vec![offset]));
    node.reign();
    for body in ["c9", "d5", "b3", "e3", "a0", "f", "-"] {
        assert_eq!(node.body(), body);
    }
}

#[test]
fn messages_expire_wherever_they_are_and_by_the_shorter_time() {
    let mut node = Node::new(Rules { message_ttl: Some(1_000), ..Rules::default() });
    node.publish("queue's", &plain());
    node.publish("own", &expiring("200"));
    node.publish("longer", &expiring("9000"));
    node.pass(300);
    assert_eq!((node.ready(), node.live()), (2, 2));
    node.reign();
    assert_eq!(node.ready(), 2, "their age is the same whoever leads");
    node.pass(800);
    assert_eq!((node.ready(), node.live()), (0, 0));
}

/// §6.3: a mirror was fed an entry without what was settled, and leads without the
/// settle: what has no body stays settled, whatever the queue wants to know of it.
#[test]
fn what_is_live_without_its_body_is_settled_by_the_next_leader() {
    for rules in [Rules::default(), Rules { message_ttl: Some(3_600_000), ..Rules::default() }] {
        let mut node = Node::dead_lettering(rules);
        let long = "what nobody can have any more, for it is not there, and would be rather long";
        node.publish_all(&["a", long, "b", long]);
        for entry in &mut node.log {
            let offsets = record::offsets(entry).unwrap();
            let live = RangeSet::from_iter([0..1, 2..3]);
            if offsets == (1..2) || offsets == (3..4) {
                *entry = record::hollow(entry, &live).unwrap().unwrap();
            }
        }
        node.reign();
        assert_eq!((node.body(), node.body(), node.body()), ("a".into(), "b".into(), "-".into()));
        assert_eq!((node.ready(), node.live()), (0, 2));
    }
}

#[test]
fn an_expiration_counts_on_a_plain_queue_too() {
    let mut node = Node::new(Rules::default());
    node.publish_all(&["a", "b"]);
    node.publish("own", &expiring("200"));
    node.publish_all(&["c"]);
    node.reign();
    assert_eq!(node.ready(), 4);
    node.pass(300);
    assert_eq!(node.ready(), 3);
    for body in ["a", "b", "c", "-"] {
        assert_eq!(node.body(), body);
    }
}

#[test]
fn what_expires_while_it_is_held_does_so_as_it_comes_back() {
    let mut node = Node::dead_lettering(Rules { message_ttl: Some(100), ..Rules::default() });
    node.publish_all(&["kept", "returned"]);
    let (kept, returned) = (node.get().unwrap().0, node.get().unwrap().0);
    node.pass(500);
    assert_eq!(node.moved(), []);
    node.say(Local::Settle(vec![kept], SettleReason::Acked));
    node.say(Local::Return(vec![returned]));
    assert_eq!(node.body(), "-");
    node.pass(100);
    assert_eq!(node.moved(), moves(Reason::Expired, &["returned"]));
    assert_eq!(node.live(), 0);
}

#[test]
fn what_lives_for_no_time_reaches_only_those_who_wait() {
    let mut node = Node::new(Rules { message_ttl: Some(0), ..Rules::default() });
    node.publish_all(&["nobody's"]);
    assert_eq!(node.body(), "-");
    let spec = ConsumerSpec {
        key: node.key(),
        tag: Bytes::new(),
        prefetch: 1,
        no_ack: false,
        exclusive: false,
        priority: 0,
        reading: None,
        site: None,
    };
    node.say(Local::Consume { spec, cancel_on_failover: false });
    let heard = node.publish("somebody's", &plain());
    assert!(heard.iter().any(|event| matches!(event, ToChannel::Deliver { .. })), "{heard:?}");
    node.publish_all(&["too many"]);
    node.pass(100);
    assert_eq!(node.live(), 1, "only what is held");
}

#[test]
fn rejected_messages_move_on_and_are_settled_once_they_have_arrived() {
    let mut node = Node::dead_lettering(Rules::default());
    node.mover = false;
    node.publish_all(&["a", "b"]);
    let a = node.get().unwrap().0;
    node.say(Local::Settle(vec![a], SettleReason::Rejected));
    assert_eq!(node.moved(), moves(Reason::Rejected, &["a"]));
    assert_eq!((node.ready(), node.live()), (1, 2), "it is gone for consumers, and kept until it has arrived");
    // Another leader, to whom the entry side says it again.
    node.reign();
    assert_eq!(node.moved(), moves(Reason::Rejected, &["a"]));
    node.turn([Input::Transferred(QUEUE, Epoch(1), vec![a])]);
    node.settle_down();
    assert_eq!(node.live(), 2, "of an earlier reign");
    node.turn([Input::Transferred(QUEUE, Epoch(2), vec![a])]);
    node.settle_down();
    assert_eq!((node.ready(), node.live()), (1, 1));
}

#[test]
fn without_a_dead_letter_exchange_the_rejected_are_gone() {
    let mut node = Node::new(Rules::default());
    node.publish_all(&["a"]);
    let a = node.get().unwrap().0;
    node.say(Local::Settle(vec![a], SettleReason::Rejected));
    assert_eq!((node.moved(), node.live()), (vec![], 0));
}

#[test]
fn the_moving_are_bounded_and_all_arrive_in_order() {
    let mut node = Node::dead_lettering(Rules { message_ttl: Some(100), ..Rules::default() });
    node.mover = false;
    let bodies = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    node.publish_all(&bodies);
    node.pass(200);
    assert_eq!(node.moved.len(), 4, "as many as the settings say");
    let first = node.moved.iter().map(|(_, offset, _)| *offset).collect();
    node.mover = true;
    node.turn([Input::Transferred(QUEUE, Epoch(1), first)]);
    node.settle_down();
    assert_eq!(node.moved(), moves(Reason::Expired, &bodies));
    assert_eq!(node.live(), 0);
}

#[test]
fn the_head_makes_room_by_number_and_by_bytes_of_bodies() {
    let mut node = Node::dead_lettering(Rules { max_length: Some(2), ..Rules::default() });
    node.publish_all(&["a", "b", "c", "d"]);
    assert_eq!(node.moved(), moves(Reason::MaxLength, &["a", "b"]));
    let mut node = Node::new(Rules { max_bytes: Some(10), ..Rules::default() });
    node.publish_all(&["four", "four", "two!"]);
    assert_eq!((node.ready(), node.live()), (2, 2));
    node.reign();
    node.publish_all(&["nine nine"]);
    assert_eq!((node.ready(), node.body()), (1, "nine nine".to_owned()));
}

#[test]
fn a_message_that_comes_back_too_often_is_dead() {
    let mut node = Node::dead_lettering(Rules { delivery_limit: Some(2), counted: true, ..Rules::default() });
    node.publish_all(&["poison"]);
    for count in 0..3 {
        let key = node.key();
        let heard = node.say(Local::Get(key));
        let [ToChannel::Got { count: said, found: Some((offset, ..)), .. }] = heard.as_slice() else {
            panic!("{heard:?}")
        };
        assert_eq!(*said, Some(count));
        let offset = *offset;
        assert_eq!(node.moved(), []);
        node.say(Local::Return(vec![offset]));
    }
    assert_eq!(node.moved(), moves(Reason::DeliveryLimit, &["poison"]));
    assert_eq!((node.body(), node.live()), ("-".to_owned(), 0));
}

#[test]
fn the_delayed_move_on_when_they_are_due() {
    let mut node = Node::new(Rules { kind: Kind::Delayed, ..Rules::default() });
    node.publish("later", &delayed(500));
    node.publish("soon", &delayed(100));
    node.publish("now", &plain());
    node.pass(50);
    assert_eq!(node.moved(), moves(Reason::Due, &["now"]));
    node.pass(150);
    assert_eq!(node.moved(), moves(Reason::Due, &["soon"]));
    node.reign();
    node.pass(100);
    assert_eq!((node.moved(), node.live()), (vec![], 1));
    node.pass(300);
    assert_eq!((node.moved(), node.live()), (moves(Reason::Due, &["later"]), 0));
}

#[test]
fn new_rules_hold_for_what_is_there() {
    let mut node = Node::new(Rules::default());
    node.publish_all(&["a", "b", "c"]);
    node.rules.max_length = Some(1);
    node.catalog();
    assert_eq!(node.ready(), 1);
    node.rules.message_ttl = Some(100);
    node.catalog();
    node.pass(200);
    assert_eq!((node.ready(), node.live()), (0, 0));
}

#[test]
fn a_queue_that_nobody_uses_expires() {
    let mut node = Node::new(Rules { expires: Some(1_000), ..Rules::default() });
    node.pass(900);
    node.ready();
    node.pass(900);
    assert_eq!(node.wishes, [], "it was asked for meanwhile");
    node.pass(200);
    assert!(matches!(node.wishes.as_slice(), [Wish::DeleteUnused(_)]), "{:?}", node.wishes);
}

#[test]
fn only_one_consumer_is_active_and_the_next_takes_over() {
    let mut node = Node::new(Rules { single_active: true, ..Rules::default() });
    let mut specs = Vec::new();
    for _ in 0..2 {
        let key = node.key();
        let spec = ConsumerSpec {
            key,
            tag: Bytes::new(),
            prefetch: 0,
            no_ack: false,
            exclusive: false,
            priority: 0,
            reading: None,
            site: None,
        };
        node.say(Local::Consume { spec, cancel_on_failover: false });
        specs.push(key);
    }
    let to = |node: &mut Node| -> Vec<u64> {
        let heard = node.publish("m", &plain());
        heard
            .iter()
            .filter_map(|e| if let ToChannel::Deliver { consumer, .. } = e { Some(*consumer) } else { None })
            .collect()
    };
    assert_eq!(to(&mut node), [specs[0].number]);
    assert_eq!(to(&mut node), [specs[0].number]);
    node.reign();
    assert_eq!(to(&mut node), [specs[0].number], "whoever has messages stays the one");
    node.say(Local::Cancel(specs[0]));
    assert_eq!(to(&mut node), [specs[1].number]);
}

fn refused(heard: &[ToChannel]) -> bool {
    let (mut refused, mut confirmed) = (false, false);
    for event in heard {
        refused |= matches!(event, ToChannel::Refused(..));
        confirmed |= matches!(event, ToChannel::Confirmed(..));
    }
    assert!(refused != confirmed, "{heard:?}");
    refused
}

#[test]
fn a_full_queue_refuses_until_there_is_room() {
    let full =
        Rules { max_length: Some(2), max_bytes: Some(10), overflow: Overflow::RejectPublish, ..Rules::default() };
    let mut node = Node::new(full);
    assert!(!refused(&node.publish("four", &plain())));
    assert!(refused(&node.publish("too large", &plain())), "by bytes");
    assert!(!refused(&node.publish("six...", &plain())));
    assert!(refused(&node.publish("", &plain())), "by number");
    node.reign();
    assert!(refused(&node.publish("", &plain())));
    assert_eq!(node.body(), "four");
    assert!(!refused(&node.publish("nice", &plain())), "what is held is not counted");
    assert_eq!((node.body(), node.body(), node.body()), ("six...".into(), "nice".into(), "-".into()));
}

#[test]
fn what_is_refused_moves_on_if_it_is_to() {
    let overflow = Overflow::RejectPublishDeadLetter;
    let mut node = Node::dead_lettering(Rules { max_length: Some(1), overflow, ..Rules::default() });
    node.mover = false;
    assert!(!refused(&node.publish("in", &plain())));
    assert!(refused(&node.publish("out", &plain())));
    assert_eq!((node.moved(), node.ready()), (moves(Reason::MaxLength, &["out"]), 1));
    node.mover = true;
    node.reign();
    assert_eq!((node.moved(), node.ready(), node.live()), (moves(Reason::MaxLength, &["out"]), 1, 1));
}

#[test]
fn a_value_seen_before_is_confirmed_and_not_taken() {
    let known = Deduplicate { window: 1_000, values: 100 };
    let mut node = Node::new(Rules { deduplicate: Some(known), ..Rules::default() });
    let value = |value: &'static str| {
        let headers = FieldTable::from([("x-deduplication-header", Value::from(value))]);
        PropertiesBuilder { headers: Some(headers), ..Default::default() }.encode()
    };
    for (body, properties) in [("a", value("1")), ("b", value("2")), ("c", value("1")), ("d", plain()), ("e", plain())]
    {
        assert!(!refused(&node.publish(body, &properties)));
    }
    let a = node.get().unwrap().0;
    node.say(Local::Settle(vec![a], SettleReason::Acked));
    node.pass(100);
    node.reign();
    assert!(!refused(&node.publish("f", &value("1"))));
    assert_eq!(node.ready(), 3, "it is gone and still known, also to the next leader");
    node.pass(1_000);
    node.publish("g", &value("1"));
    assert_eq!(node.ready(), 4);
}

/// A de-duplicating exchange's values are looked at where its messages are kept.
#[test]
fn what_comes_through_a_deduplicating_exchange_is_taken_once() {
    let known = Deduplicate { window: 1_000, values: 10 };
    let once = |exchange: &'static str| Once { exchange: exchange.into(), by: "x".into(), known };
    let mut node = Node::new(Rules { once: vec![once("x"), once("before")], ..Rules::default() });
    let value = |ttl: Option<i32>| {
        let ttl = ttl.map(|ttl| ("x-cache-ttl", Value::from(ttl)));
        let headers = [("x-deduplication-header", Value::from("1"))].into_iter().chain(ttl);
        let headers = headers.map(|(name, value)| (Bytes::from_static(name.as_bytes()), value)).collect();
        PropertiesBuilder { headers: Some(headers), ..Default::default() }.encode()
    };
    for (exchange, ready) in [("x", 1), ("x", 1), ("before", 1), ("", 2), ("", 3)] {
        node.exchange = exchange.into();
        assert!(!refused(&node.publish("a", &value(None))));
        assert_eq!(node.ready(), ready, "after one from {exchange:?}");
    }
    node.reign();
    node.exchange = "x".into();
    node.publish("a", &value(None));
    assert_eq!(node.ready(), 3, "the next leader knows it, too");
    node.publish("b", &plain());
    node.pass(1_000);
    node.publish("c", &value(Some(100)));
    node.pass(150);
    node.publish("d", &value(None));
    assert_eq!(node.ready(), 6, "a message may say for how long it is known");
}
