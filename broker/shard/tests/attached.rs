//! The entry side of a queue that another node leads.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use bytes::Bytes;
use warren_replication::message::{
    ConsumeOutcome, ConsumerSpec, Delivery, Held, Message, QueueWord, SettleReason, ToEntry, ToLeader,
};
use warren_replication::types::{
    Assignment, Boot, Clock, ConsumerKey, Epoch, Incarnation, Moment, NodeId, Offset, Process, QueueId, Session,
    Version,
};
use warren_shard::step::{Effects, Input, Local, QueueInfo, ToChannel};
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
    let delivery = Delivery {
        consumer: key(to),
        offset,
        count,
        redelivered: count > 0,
        consignment: None,
        message: Message::default(),
    };
    from_leader(ToEntry::Deliver { deliveries: vec![delivery], floor: Offset(0) })
}

/// What the leader is told in a turn.
fn turn(shard: &mut Shard, inputs: impl IntoIterator<Item = Input>) -> Vec<ToLeader> {
    both(shard, inputs).0
}

/// What the leader is told in a turn, and what the channels are.
fn both(shard: &mut Shard, inputs: impl IntoIterator<Item = Input>) -> (Vec<ToLeader>, Vec<ToChannel>) {
    let mut effects = Effects::default();
    shard.turn(Clock { now: Moment(1_000_000), wall: 1_000 }, inputs, &mut effects);
    let heard = effects.replies.into_iter().map(|(_, _, event)| event).collect();
    let words = effects.words.into_iter().map(|(_, _, word)| word);
    let said = words.filter_map(|word| if let QueueWord::ToLeader(_, word) = word { Some(word) } else { None });
    (said.collect(), heard)
}

/// A queue led elsewhere, in its nth reign.
fn reign(nth: u64) -> Input {
    let assignment = Arc::new(Assignment {
        epoch: Epoch(nth),
        version: Version(nth),
        leader: Some(LEADER),
        replicas: vec![LEADER.node],
        isr: [LEADER.member()].into(),
        min_in_sync: 1,
        ..Assignment::default()
    });
    Input::Queue(QueueInfo { queue: QUEUE, assignment, handover: None, auto_delete: false, rules: Arc::default() })
}

fn consume(number: u64, cancel_on_failover: bool, no_ack: bool) -> Input {
    let (key, tag) = (key(number), Bytes::new());
    let spec = ConsumerSpec { key, tag, prefetch: 0, no_ack, exclusive: false, priority: 0, reading: None, site: None };
    Input::Local(QUEUE, Local::Consume { spec, cancel_on_failover })
}

/// A node with these consumers of the queue.
fn node(consumers: &[u64]) -> Shard {
    let mut shard = Shard::new(ME, Settings::default());
    let consume = consumers.iter().map(|number| consume(*number, false, false));
    let lease = Input::Lease(Moment(u64::MAX));
    let said = turn(&mut shard, [lease, reign(1), Input::LinkUp(LEADER)].into_iter().chain(consume));
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
    assert_eq!(turn(&mut shard, [give_back()]), [ToLeader::Return { offsets: vec![(Offset(0), 2)], unused: true }]);
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
    assert_eq!(said, [ToLeader::Return { offsets: vec![(Offset(0), 2)], unused: true }]);
}

/// `x-cancel-on-ha-failover`: it is cancelled once, what it holds goes back, and
/// what it settled before stays settled; the others go on.
#[test]
fn a_consumer_that_wants_to_be_told_of_another_leader_is_cancelled_then() {
    let mut shard = node(&[1]);
    turn(&mut shard, [consume(2, true, false)]);
    let attached = |number| ToEntry::Consuming { consumer: key(number), outcome: ConsumeOutcome::Attached };
    turn(&mut shard, [from_leader(attached(1)), from_leader(attached(2))]);
    let delivery = |offset, to| Delivery {
        consumer: key(to),
        offset: Offset(offset),
        count: 0,
        redelivered: false,
        consignment: None,
        message: Message::default(),
    };
    let deliveries = vec![delivery(0, 1), delivery(1, 2), delivery(2, 2)];
    turn(&mut shard, [from_leader(ToEntry::Deliver { floor: Offset(0), deliveries })]);
    turn(&mut shard, [Input::Local(QUEUE, Local::Settle(vec![Offset(2)], SettleReason::Acked))]);
    // A link that breaks is no other leader.
    let (_, heard) = both(&mut shard, [Input::LinkDown(LEADER.node), Input::LinkUp(LEADER)]);
    assert_eq!(heard, []);
    let (said, heard) = both(&mut shard, [reign(2)]);
    assert_eq!(heard, [ToChannel::Cancelled { consumer: 2 }]);
    let [ToLeader::Claim { consumers, held, .. }, rest @ ..] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!(consumers.iter().map(|spec| spec.key).collect::<Vec<_>>(), [key(1)]);
    let claimed = |offset, to| Held { offset: Offset(offset), count: 0, consumer: key(to) };
    assert_eq!(*held, [claimed(0, 1), claimed(1, 2), claimed(2, 2)]);
    assert_eq!(
        rest,
        [
            ToLeader::Settle { offsets: vec![Offset(2)], reason: SettleReason::Acked },
            ToLeader::Return { offsets: vec![(Offset(1), 1)], unused: false },
        ]
    );
    assert_eq!(both(&mut shard, [reign(3)]).1, [], "it is told once");
}
