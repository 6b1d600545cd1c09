//! The entry side of a queue that another node leads.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use bytes::Bytes;
use warren_replication::message::{ConsumerSpec, Delivery, Message, QueueWord, ToEntry, ToLeader};
use warren_replication::types::{
    Assignment, Boot, Clock, ConsumerKey, Epoch, Incarnation, Moment, NodeId, Offset, Process, QueueId, Session,
    Version,
};
use warren_shard::step::{Effects, Input, Local, QueueInfo};
use warren_shard::{Settings, Shard};

const QUEUE: QueueId = QueueId(1);
const ME: Process = Process { node: NodeId(1), incarnation: Incarnation(1), boot: Boot(1) };
const LEADER: Process = Process { node: NodeId(2), incarnation: Incarnation(2), boot: Boot(1) };

fn key(number: u64) -> ConsumerKey {
    ConsumerKey { process: ME, connection: number, channel: 1, number }
}

fn from_leader(word: ToEntry) -> Input {
    Input::Peer { from: LEADER, words: vec![(QUEUE, QueueWord::ToEntry(Epoch(1), word))] }
}

fn delivered(to: u64, count: u32) -> Input {
    let offset = Offset(0);
    let delivery = Delivery { consumer: key(to), offset, count, redelivered: count > 0, message: Message::default() };
    from_leader(ToEntry::Deliver { deliveries: vec![delivery], floor: Offset(0) })
}

/// What the leader is told in a turn.
fn turn(shard: &mut Shard, inputs: impl IntoIterator<Item = Input>) -> Vec<ToLeader> {
    let mut effects = Effects::default();
    shard.turn(Clock { now: Moment(1_000_000), wall: 1_000 }, inputs, &mut effects);
    let words = effects.words.into_iter().map(|(_, _, word)| word);
    words.filter_map(|word| if let QueueWord::ToLeader(_, word) = word { Some(word) } else { None }).collect()
}

/// A node with these consumers of a queue led elsewhere.
fn node(consumers: &[u64]) -> Shard {
    let mut shard = Shard::new(ME, Settings::default());
    let assignment = Arc::new(Assignment {
        epoch: Epoch(1),
        version: Version(1),
        leader: Some(LEADER),
        replicas: vec![LEADER.node],
        isr: [LEADER.member()].into(),
        min_in_sync: 1,
        ..Assignment::default()
    });
    let queue = Input::Queue(QueueInfo { queue: QUEUE, assignment, auto_delete: false, rules: Arc::default() });
    let consume = consumers.iter().map(|number| {
        let (key, tag) = (key(*number), Bytes::new());
        let spec = ConsumerSpec { key, tag, prefetch: 0, no_ack: false, exclusive: false, priority: 0, reading: None };
        Input::Local(QUEUE, Local::Consume(spec))
    });
    let lease = Input::Lease(Moment(u64::MAX));
    let said = turn(&mut shard, [lease, queue, Input::LinkUp(LEADER)].into_iter().chain(consume));
    assert!(matches!(said.as_slice(), [ToLeader::Claim { .. }, ToLeader::Consume { .. }, ..]), "{said:?}");
    shard
}

/// The node was cut off, and what its first client had went to another of its
/// clients meanwhile.
#[test]
fn an_outdated_return_takes_nothing_from_the_present_holder() {
    let mut shard = node(&[1, 2]);
    turn(&mut shard, [delivered(1, 0)]);
    turn(&mut shard, [delivered(2, 1)]);
    let give_back = || Input::Local(QUEUE, Local::Return(vec![Offset(0)]));
    assert_eq!(turn(&mut shard, [give_back()]), []);
    assert_eq!(turn(&mut shard, [give_back()]), [ToLeader::Return { offsets: vec![(Offset(0), 2)] }]);
}

#[test]
fn a_return_counts_once_the_outdated_channel_is_gone() {
    let mut shard = node(&[1, 2]);
    turn(&mut shard, [delivered(1, 0)]);
    turn(&mut shard, [delivered(2, 1)]);
    let session = Session { process: ME, connection: 1, channel: 1, opened: 0 };
    let said = turn(&mut shard, [Input::Local(QUEUE, Local::ChannelClosed { session })]);
    assert_eq!(said, [ToLeader::Cancel { consumer: key(1) }]);
    let said = turn(&mut shard, [Input::Local(QUEUE, Local::Return(vec![Offset(0)]))]);
    assert_eq!(said, [ToLeader::Return { offsets: vec![(Offset(0), 2)] }]);
}
