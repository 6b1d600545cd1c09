//! A stream with one replica, led by the only node: where readers begin, what
//! gives them room, and what they get of a log that is far longer than memory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use warren_queue::{Kind, Rules};
use warren_replication::message::{ConsumerSpec, Message, ReadFrom, Reading};
use warren_replication::record;
use warren_replication::step::Write;
use warren_replication::types::{
    Assignment, Boot, Clock, ConsumerKey, Epoch, Incarnation, Moment, NodeId, Offset, Process, QueueId, Session,
    Version,
};
use warren_shard::step::{Effects, Input, Local, QueueInfo, QueueStatus, ReadRequest, ToChannel};
use warren_shard::{Settings, Shard};

const QUEUE: QueueId = QueueId(1);
const ME: Process = Process { node: NodeId(1), incarnation: Incarnation(1), boot: Boot(1) };
const SECOND: u64 = 1_000_000;

fn key(number: u64) -> ConsumerKey {
    ConsumerKey { process: ME, connection: 1, channel: 1, number }
}

/// The node: its shard, a disk that is as fast as a turn, and what each reader read.
struct Node {
    shard: Shard,
    rules: Arc<Rules>,
    now: Moment,
    /// By index, what was not released.
    log: BTreeMap<u64, Bytes>,
    published: u64,
    read: BTreeMap<u64, Vec<u64>>,
    reads: usize,
    /// Readers that acknowledge and write nothing.
    idle: BTreeSet<u64>,
}

impl Node {
    fn new(rules: Rules, settings: Settings) -> Self {
        let max_age = match rules.kind {
            Kind::Stream { max_age } => max_age,
            _ => None,
        };
        let mut node = Self {
            shard: Shard::new(ME, settings),
            rules: Arc::new(Rules { kind: Kind::Stream { max_age }, ..rules }),
            now: Moment(1_000 * SECOND),
            log: BTreeMap::new(),
            published: 0,
            read: BTreeMap::new(),
            reads: 0,
            idle: BTreeSet::new(),
        };
        let lease = Input::Lease(Moment(u64::MAX));
        let reign = node.reign(1);
        node.turns(vec![lease, Input::Registered(ME.node, ME.boot), Input::Live([ME].into()), reign]);
        node
    }

    fn reign(&self, epoch: u64) -> Input {
        let assignment = Arc::new(Assignment {
            epoch: Epoch(epoch),
            version: Version(epoch),
            leader: Some(ME),
            replicas: vec![ME.node],
            isr: [ME.member()].into(),
            min_in_sync: 1,
            predecessor: (epoch > 1).then_some(ME),
            ..Assignment::default()
        });
        Input::Queue(QueueInfo {
            queue: QUEUE,
            assignment,
            handover: None,
            auto_delete: false,
            rules: Arc::clone(&self.rules),
        })
    }

    /// Turns until nothing more happens; readers write and acknowledge at once.
    fn turns(&mut self, mut inputs: Vec<Input>) {
        while !inputs.is_empty() {
            self.now = self.now.plus_micros(1_000);
            let mut effects = Effects::default();
            let clock = Clock { now: self.now, wall: self.now.0 / 1_000 };
            self.shard.turn(clock, std::mem::take(&mut inputs), &mut effects);
            let written = !effects.writes.is_empty();
            for (_, write) in effects.writes {
                match write {
                    Some(Write::Append { first, entries }) => self.log.extend((first.0..).zip(entries)),
                    Some(Write::Checkpoint { release, .. }) => self.log = self.log.split_off(&(release.0 + 1)),
                    _ => {}
                }
            }
            if written {
                inputs.push(Input::Persisted(effects.ticket));
            }
            for ReadRequest { request, first, max_bytes, .. } in effects.reads {
                self.reads += 1;
                inputs.push(Input::Read { request, entries: self.entries(first.0, max_bytes) });
            }
            for (_, _, reply) in effects.replies {
                let ToChannel::Read { consumer, messages, .. } = reply else { continue };
                let all = self.read.entry(consumer).or_default();
                for (offset, message) in &messages {
                    assert_eq!(message.body, body(offset.0), "the message is the one of its offset");
                    assert!(all.last().is_none_or(|last| *last < offset.0), "{consumer}: {offset} after {all:?}");
                    all.push(offset.0);
                }
                if !self.idle.contains(&consumer) {
                    let count = messages.len() as u32;
                    inputs.push(Input::Local(QUEUE, Local::Written(key(consumer), count)));
                    inputs.push(Input::Local(QUEUE, Local::Credit(key(consumer), count)));
                }
            }
        }
    }

    /// As the store reads: dense from there, the entry that crosses the bound too.
    fn entries(&self, first: u64, max_bytes: usize) -> Vec<Bytes> {
        let (mut bytes, mut expected) = (0, first);
        let mut entries = Vec::new();
        for (index, entry) in self.log.range(first..) {
            if *index != expected || bytes >= max_bytes {
                break;
            }
            bytes += entry.len();
            expected += 1;
            entries.push(entry.clone());
        }
        entries
    }

    /// One entry of so many messages.
    fn publish(&mut self, count: u64) {
        let session = Session { process: ME, connection: 1, channel: 1, opened: 0 };
        let messages = (self.published..self.published + count)
            .map(|offset| (offset + 1, Message { body: body(offset), ..Message::default() }))
            .collect();
        self.published += count;
        self.turns(vec![Input::Local(QUEUE, Local::Publish { session, messages })]);
    }

    fn consume(&mut self, number: u64, from: ReadFrom, prefetch: u32) {
        let spec = ConsumerSpec {
            key: key(number),
            tag: Bytes::new(),
            prefetch,
            no_ack: false,
            exclusive: false,
            priority: 0,
            reading: Some(Reading { from, unacked: 0 }),
            site: None,
        };
        self.turns(vec![Input::Local(QUEUE, Local::Consume { spec, cancel_on_failover: false })]);
    }

    fn read(&self, number: u64) -> Vec<u64> {
        self.read.get(&number).cloned().unwrap_or_default()
    }

    /// Waits, with ticks.
    fn wait(&mut self, micros: u64) {
        let until = self.now.plus_micros(micros);
        while self.now < until {
            self.now = self.now.plus_micros(100_000);
            self.turns(vec![Input::Tick]);
        }
    }

    fn status(&mut self) -> QueueStatus {
        let mut effects = Effects::default();
        let clock = Clock { now: self.now, wall: self.now.0 / 1_000 };
        self.shard.turn(clock, [Input::Status { request: 0, only: None }], &mut effects);
        effects.statuses[0].1[0].clone()
    }
}

fn body(offset: u64) -> Bytes {
    Bytes::from(format!("message {offset:050}"))
}

/// Memory for a handful of entries only, and a log whose map is sparse soon.
fn small() -> Settings {
    Settings { queue_cache: 8 << 10, shard_cache: 8 << 10, read_bytes: 2 << 10, ..Settings::default() }
}

#[test]
fn readers_begin_where_they_ask_to() {
    let mut node = Node::new(Rules::default(), Settings::default());
    node.publish(3);
    node.wait(10 * SECOND);
    let between = node.now.0 / 1_000 - 5_000;
    node.publish(3);
    let cases = [
        (1, ReadFrom::First, 0..8),
        (2, ReadFrom::Last, 5..8),
        (3, ReadFrom::Next, 6..8),
        (4, ReadFrom::Offset(Offset(4)), 4..8),
        (5, ReadFrom::Offset(Offset(7)), 7..8),
        (6, ReadFrom::Time(0), 0..8),
        (7, ReadFrom::Time(between), 3..8),
        (8, ReadFrom::Time(u64::MAX), 6..8),
    ];
    for (number, from, _) in &cases {
        node.consume(*number, *from, 100);
    }
    assert_eq!((node.status().consumers, node.status().ready), (8, 6));
    node.publish(2);
    for (number, from, expected) in cases {
        assert_eq!(node.read(number), expected.collect::<Vec<_>>(), "{from:?}");
    }
    assert_eq!((node.status().ready, node.status().unacked), (8, 0), "nothing leaves a stream by being read");
}

#[test]
fn acknowledgements_give_room_and_nothing_else_does() {
    let mut node = Node::new(Rules::default(), Settings::default());
    node.idle.insert(1);
    node.publish(10);
    node.consume(1, ReadFrom::First, 3);
    let written = |count| Input::Local(QUEUE, Local::Written(key(1), count));
    let acked = |count| Input::Local(QUEUE, Local::Credit(key(1), count));
    node.turns(vec![written(3)]);
    assert_eq!((node.read(1), node.status().unacked), (vec![0, 1, 2], 3));
    node.turns(vec![acked(2)]);
    assert_eq!(node.read(1), [0, 1, 2, 3, 4]);
    node.turns(vec![Input::Local(QUEUE, Local::Cancel(key(1))), acked(3)]);
    assert_eq!((node.read(1).len(), node.status().consumers), (5, 0));
}

/// §6.8: an entry node tells the next leader where its readers are, also those
/// that have not read anything yet.
#[test]
fn readers_go_on_under_the_next_leader_without_gap_or_repetition() {
    let mut node = Node::new(Rules::default(), small());
    node.publish(5);
    node.idle.insert(2);
    node.consume(1, ReadFrom::First, 10);
    node.consume(2, ReadFrom::First, 3);
    node.consume(3, ReadFrom::Next, 10);
    node.turns(vec![Input::Local(QUEUE, Local::Credit(key(2), 1))]);
    assert_eq!(node.read(2), [0, 1, 2, 3]);
    let reign = node.reign(2);
    let session = Session { process: ME, connection: 1, channel: 1, opened: 0 };
    let message = Message { body: body(5), ..Message::default() };
    node.published += 1;
    let publish = Local::Publish { session, messages: vec![(6, message)] };
    node.turns(vec![reign, Input::Local(QUEUE, publish)]);
    node.publish(2);
    assert_eq!(node.read(1), (0..8).collect::<Vec<_>>());
    assert_eq!(node.read(3), [5, 6, 7]);
    assert_eq!(node.read(2), [0, 1, 2, 3], "it still has three that it has not acknowledged");
    node.turns(vec![Input::Local(QUEUE, Local::Credit(key(2), 2))]);
    assert_eq!(node.read(2), [0, 1, 2, 3, 4, 5]);
}

/// A claim that has waited for the inherited log knows nothing of a consumer that
/// comes in the very turn in which that is committed.
#[test]
fn a_consumer_that_comes_as_the_log_is_inherited_is_not_forgotten() {
    let mut node = Node::new(Rules::default(), Settings::default());
    node.publish(2);
    let mut effects = Effects::default();
    let clock = |now: Moment| Clock { now, wall: now.0 / 1_000 };
    node.now = node.now.plus_micros(1_000);
    let reign = node.reign(2);
    node.shard.turn(clock(node.now), [reign], &mut effects);
    for (_, write) in effects.writes.drain(..) {
        if let Some(Write::Append { first, entries }) = write {
            node.log.extend((first.0..).zip(entries));
        }
    }
    let spec = ConsumerSpec {
        key: key(1),
        tag: Bytes::new(),
        prefetch: 10,
        no_ack: false,
        exclusive: false,
        priority: 0,
        reading: Some(Reading { from: ReadFrom::First, unacked: 0 }),
        site: None,
    };
    node.turns(vec![
        Input::Persisted(effects.ticket),
        Input::Local(QUEUE, Local::Consume { spec, cancel_on_failover: false }),
    ]);
    assert_eq!((node.read(1), node.status().consumers), (vec![0, 1], 1));
}

/// Thousands of entries, memory for a few: every reader gets everything from its
/// place on, whatever others read, and finding a place costs few reads.
#[test]
fn a_long_log_is_read_by_many_from_anywhere() {
    let mut node = Node::new(Rules::default(), small());
    let mut times = Vec::new();
    for _ in 0..6_000 {
        node.publish(2);
        times.push(node.now.0 / 1_000);
    }
    for (number, offset) in [(1, 0), (2, 7_001), (3, 11_990)] {
        node.idle.insert(number);
        let before = node.reads;
        node.consume(number, ReadFrom::Offset(Offset(offset)), 1);
        assert_eq!(node.read(number), [offset]);
        assert!(node.reads - before < 10, "{} reads to find {offset}", node.reads - before);
    }
    node.idle.clear();
    let time = times[4_321];
    node.consume(4, ReadFrom::Time(time), 50);
    // Of that time or later, and none that is was left out.
    let first = node.read(4)[0];
    let at = |offset: u64| {
        let found = node.log.values().find(|entry| record::offsets(entry).unwrap().contains(&offset));
        record::time(found.unwrap()).unwrap()
    };
    assert!(at(first) >= time && at(first - 1) < time);
    for number in 1..=3 {
        node.turns(vec![
            Input::Local(QUEUE, Local::Written(key(number), 1)),
            Input::Local(QUEUE, Local::Credit(key(number), 1)),
        ]);
    }
    node.publish(1);
    for (number, offset) in [(1, 0), (2, 7_001), (3, 11_990), (4, first)] {
        assert_eq!(node.read(number), (offset..12_001).collect::<Vec<_>>());
    }
}

#[test]
fn what_is_beyond_the_size_goes_and_readers_begin_behind_it() {
    let rules = Rules { max_bytes: Some(10_000), ..Rules::default() };
    let replica = warren_replication::Settings { checkpoint_entries: 64, ..Default::default() };
    let mut node = Node::new(rules, Settings { replica, ..small() });
    node.idle.insert(1);
    node.publish(1);
    node.consume(1, ReadFrom::First, 1);
    for _ in 0..1_000 {
        node.publish(1);
    }
    node.wait(2 * SECOND);
    // Released with the next checkpoint.
    for _ in 0..100 {
        node.publish(1);
    }
    node.wait(2 * SECOND);
    let status = node.status();
    assert!(status.bytes <= 10_000 && status.bytes > 9_000, "{status:?}");
    assert!(node.log.len() < 300, "{} entries are kept", node.log.len());
    let first = 1_101 - status.ready;
    node.consume(2, ReadFrom::First, 10);
    node.consume(3, ReadFrom::Offset(Offset(5)), 10);
    for number in [2, 3] {
        assert_eq!(node.read(number), (first..1_101).collect::<Vec<_>>());
    }
    // One that was overtaken goes on behind what is gone.
    node.idle.clear();
    node.turns(vec![Input::Local(QUEUE, Local::Written(key(1), 1)), Input::Local(QUEUE, Local::Credit(key(1), 1))]);
    assert_eq!(node.read(1), std::iter::once(0).chain(first..1_101).collect::<Vec<_>>());
}

#[test]
fn what_is_too_old_goes_and_nothing_younger() {
    let rules = Rules { kind: Kind::Stream { max_age: Some(60_000) }, ..Rules::default() };
    let mut node = Node::new(rules, Settings::default());
    for _ in 0..100 {
        node.publish(1);
        node.wait(SECOND);
        let ready = node.status().ready;
        assert!(ready >= node.published.min(60), "{ready} of {}", node.published);
        assert!(ready <= 63, "{ready}");
    }
    node.wait(200 * SECOND);
    assert_eq!(node.status().ready, 1, "the newest entry stays");
}
