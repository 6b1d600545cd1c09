//! Words survive the wire, messages come back as slices of what was received,
//! and garbage is an error.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use warren_peer::link as wire;
use warren_peer::words;
use warren_replication::consigned::Consignment;
use warren_replication::message::{
    Anew, Closing, ConsumeOutcome, ConsumerSpec, Delivery, Held, Message, MirrorMessage, QueueWord, ReadFrom, Reading,
    SettleReason, ToEntry, ToLeader,
};
use warren_replication::types::{
    Boot, ConsumerKey, Epoch, Incarnation, Index, NodeId, Offset, Position, Process, QueueId, Session, Version,
};

fn bytes(most: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..most).prop_map(Bytes::from)
}

fn message() -> impl Strategy<Value = Message> {
    let route = prop::sample::select(vec!["", "orders"]);
    (route, "[ab]{0,1}", prop_oneof![Just(Bytes::from_static(b"\x10\x00\x02")), bytes(8)], bytes(40)).prop_map(
        |(exchange, key, properties, body)| Message {
            exchange: Bytes::from(exchange),
            routing_key: Bytes::from(key),
            properties,
            body,
        },
    )
}

fn process() -> impl Strategy<Value = Process> {
    let few = (0..3u64, Just(u64::MAX), 0..3u64);
    prop_oneof![few, any::<(u64, u64, u64)>()].prop_map(|(node, incarnation, boot)| Process {
        node: NodeId(node),
        incarnation: Incarnation(incarnation),
        boot: Boot(boot),
    })
}

fn key() -> impl Strategy<Value = ConsumerKey> {
    (process(), any::<u64>(), any::<u16>(), 0..4u64).prop_map(|(process, connection, channel, number)| ConsumerKey {
        process,
        connection,
        channel,
        number,
    })
}

fn session() -> impl Strategy<Value = Session> {
    (process(), any::<u64>(), any::<u16>(), any::<u32>()).prop_map(|(process, connection, channel, opened)| Session {
        process,
        connection,
        channel,
        opened,
    })
}

fn reading() -> impl Strategy<Value = Reading> {
    let from = prop_oneof![
        prop::sample::select(vec![ReadFrom::First, ReadFrom::Last, ReadFrom::Next]),
        offset().prop_map(ReadFrom::Offset),
        any::<u64>().prop_map(ReadFrom::Time),
    ];
    (from, any::<u32>()).prop_map(|(from, unacked)| Reading { from, unacked })
}

fn spec() -> impl Strategy<Value = ConsumerSpec> {
    let flags = (any::<bool>(), any::<bool>());
    let more = (prop::option::of(reading()), prop::option::of(bytes(10)));
    (key(), bytes(10), any::<u32>(), flags, any::<i32>(), more).prop_map(
        |(key, tag, prefetch, (no_ack, exclusive), priority, (reading, site))| ConsumerSpec {
            key,
            tag,
            prefetch,
            no_ack,
            exclusive,
            priority,
            reading,
            site,
        },
    )
}

fn offset() -> impl Strategy<Value = Offset> {
    prop_oneof![0..1000u64, any::<u64>()].prop_map(Offset)
}

fn position() -> impl Strategy<Value = Position> {
    any::<(u64, u64)>().prop_map(|(epoch, index)| Position { epoch: Epoch(epoch), index: Index(index) })
}

fn delivery() -> impl Strategy<Value = Delivery> {
    let consignment = any::<(u64, u64)>().prop_map(|(number, floor)| Consignment { number, floor });
    (key(), offset(), any::<u32>(), any::<bool>(), prop::option::of(consignment), message()).prop_map(
        |(consumer, offset, count, redelivered, consignment, message)| Delivery {
            consumer,
            offset,
            count,
            redelivered,
            consignment,
            message,
        },
    )
}

/// Deliveries of which most go to the same consumer.
fn deliveries() -> impl Strategy<Value = Vec<Delivery>> {
    (key(), vec((delivery(), 0..4u8), 0..20)).prop_map(|(consumer, rows)| {
        rows.into_iter()
            .map(|(delivery, other)| if other == 0 { delivery } else { Delivery { consumer, ..delivery } })
            .collect()
    })
}

fn ranges() -> impl Strategy<Value = Vec<(u64, u64)>> {
    vec(any::<(u64, u64)>(), 0..10)
}

fn reason() -> impl Strategy<Value = SettleReason> {
    prop::sample::select(vec![
        SettleReason::Acked,
        SettleReason::Expired,
        SettleReason::Dropped,
        SettleReason::DeadLettered,
        SettleReason::Purged,
        SettleReason::Rejected,
    ])
}

fn mirror() -> impl Strategy<Value = MirrorMessage> {
    let epoch = || any::<u64>().prop_map(Epoch);
    let index = || any::<u64>().prop_map(Index);
    prop_oneof![
        (epoch(), any::<u64>(), position(), index(), position(), vec(bytes(50), 0..5)).prop_map(
            |(epoch, version, prev, commit, unclean, entries)| {
                let version = Version(version);
                MirrorMessage::Append { epoch, version, prev, commit, unclean, entries }
            }
        ),
        (epoch(), any::<u64>(), bytes(50), prop::option::of((position(), index()))).prop_map(
            |(epoch, version, checkpoint, anew)| {
                let anew = anew.map(|(unclean, common)| Anew { unclean, common });
                MirrorMessage::Install { epoch, version: Version(version), checkpoint, anew }
            }
        ),
        (epoch(), any::<u64>(), index()).prop_map(|(epoch, version, index)| MirrorMessage::Durable {
            epoch,
            version: Version(version),
            index
        }),
        (epoch(), position(), index(), any::<bool>(), vec(position(), 0..5)).prop_map(
            |(epoch, last, base, left_behind, history)| MirrorMessage::Diverged {
                epoch,
                last,
                base,
                left_behind,
                history
            }
        ),
        epoch().prop_map(|epoch| MirrorMessage::Fenced { epoch }),
    ]
}

fn to_leader() -> impl Strategy<Value = ToLeader> {
    prop_oneof![
        (session(), any::<u64>(), any::<u64>(), vec((any::<u64>(), message()), 0..20))
            .prop_map(|(session, floor, prev, messages)| ToLeader::Publish { session, floor, prev, messages }),
        session().prop_map(|session| ToLeader::EndSession { session }),
        (any::<u64>(), vec(spec(), 0..4), vec((offset(), any::<u32>(), key()), 0..10)).prop_map(
            |(node, consumers, held)| ToLeader::Claim {
                node: NodeId(node),
                consumers,
                held: held.into_iter().map(|(offset, count, consumer)| Held { offset, count, consumer }).collect(),
            }
        ),
        spec().prop_map(|spec| ToLeader::Consume { spec }),
        key().prop_map(|consumer| ToLeader::Cancel { consumer }),
        (key(), any::<u32>()).prop_map(|(consumer, messages)| ToLeader::Written { consumer, messages }),
        (key(), any::<u32>()).prop_map(|(consumer, messages)| ToLeader::Credit { consumer, messages }),
        (vec(offset(), 0..30), reason()).prop_map(|(offsets, reason)| ToLeader::Settle { offsets, reason }),
        (vec((offset(), any::<u32>()), 0..30), any::<bool>())
            .prop_map(|(offsets, unused)| ToLeader::Return { offsets, unused }),
        key().prop_map(|key| ToLeader::Get { key }),
        any::<u64>().prop_map(|request| ToLeader::Purge { request }),
        any::<u64>().prop_map(|request| ToLeader::Count { request }),
        any::<(u64, bool, bool)>().prop_map(|(request, if_unused, if_empty)| ToLeader::Close {
            request,
            if_unused,
            if_empty
        }),
    ]
}

fn closing() -> impl Strategy<Value = Closing> {
    prop_oneof![
        Just(Closing::InUse),
        Just(Closing::NotEmpty),
        any::<(u64, u64, u64)>()
            .prop_map(|(epoch, version, messages)| Closing::Closed { at: (Epoch(epoch), Version(version)), messages }),
    ]
}

fn to_entry() -> impl Strategy<Value = ToEntry> {
    prop_oneof![
        (session(), ranges()).prop_map(|(session, ranges)| ToEntry::Confirmed { session, ranges }),
        (session(), ranges()).prop_map(|(session, ranges)| ToEntry::Refused { session, ranges }),
        (session(), any::<u64>()).prop_map(|(session, from)| ToEntry::Again { session, from }),
        (deliveries(), any::<u64>())
            .prop_map(|(deliveries, floor)| ToEntry::Deliver { deliveries, floor: Offset(floor) }),
        (key(), offset(), vec((offset(), message()), 0..20)).prop_map(|(consumer, next, messages)| ToEntry::Read {
            consumer,
            next,
            messages
        }),
        vec(offset(), 0..30).prop_map(|offsets| ToEntry::Settled { offsets }),
        vec(offset(), 0..30).prop_map(|offsets| ToEntry::Returned { offsets }),
        (key(), any::<bool>()).prop_map(|(consumer, attached)| {
            let outcome = if attached { ConsumeOutcome::Attached } else { ConsumeOutcome::ExclusiveUse };
            ToEntry::Consuming { consumer, outcome }
        }),
        (key(), any::<u64>()).prop_map(|(key, ready)| ToEntry::Empty { key, ready }),
        (delivery(), any::<u64>()).prop_map(|(delivery, ready)| ToEntry::Got { delivery, ready }),
        any::<(u64, u64)>().prop_map(|(request, messages)| ToEntry::Purged { request, messages }),
        any::<(u64, u64, u32)>().prop_map(|(request, ready, consumers)| ToEntry::Counted { request, ready, consumers }),
        (any::<u64>(), closing()).prop_map(|(request, closing)| ToEntry::Closed { request, closing }),
    ]
}

fn word() -> impl Strategy<Value = QueueWord> {
    let epoch = || any::<u64>().prop_map(Epoch);
    prop_oneof![
        mirror().prop_map(QueueWord::Mirror),
        (epoch(), to_leader()).prop_map(|(epoch, word)| QueueWord::ToLeader(epoch, word)),
        (epoch(), to_entry()).prop_map(|(epoch, word)| QueueWord::ToEntry(epoch, word)),
    ]
}

fn send(words: Vec<(QueueId, QueueWord)>) -> Bytes {
    let words = words.into_iter().map(|(queue, word)| words::encode(queue, word)).collect();
    Bytes::from(prost::Message::encode_to_vec(&wire::Turn { words, ..wire::Turn::default() }))
}

fn receive(turn: Bytes) -> Vec<(QueueId, QueueWord)> {
    let turn: wire::Turn = prost::Message::decode(turn).unwrap();
    turn.words.into_iter().map(|word| words::decode(word).unwrap()).collect()
}

proptest! {
    #[test]
    fn words_survive_the_wire(sent in vec((any::<u64>().prop_map(QueueId), word()), 0..6)) {
        let estimated: usize = sent.iter().map(|(_, word)| words::weight(word)).sum();
        let turn = send(sent.clone());
        prop_assert!(turn.len() <= 4 * estimated + 1024, "{} bytes, estimated {estimated}", turn.len());
        prop_assert_eq!(receive(turn), sent);
    }

    #[test]
    fn garbage_is_an_error(garbage in vec(any::<u8>(), 0..200), table in vec(any::<u8>(), 0..60)) {
        if let Ok(turn) = <wire::Turn as prost::Message>::decode(Bytes::from(garbage.clone())) {
            turn.words.into_iter().for_each(|word| drop(words::decode(word)));
        }
        let (table, payload) = (Bytes::from(table), Bytes::from(garbage));
        let deliveries = wire::Deliveries { table: table.clone(), payload: payload.clone(), floor: 0 };
        let kinds = [
            wire::word::Word::Deliver(deliveries.clone()),
            wire::word::Word::Read(wire::Read { table: table.clone(), payload: payload.clone(), ..Default::default() }),
            wire::word::Word::Got(wire::Got { delivery: Some(deliveries), ready: 0 }),
            wire::word::Word::Publish(wire::Publish { table: table.clone(), payload, ..Default::default() }),
            wire::word::Word::Settled(table.clone()),
            wire::word::Word::Return(wire::Return { table: table.clone(), unused: true }),
            wire::word::Word::Confirmed(wire::Sequences { session: None, ranges: table.clone() }),
            wire::word::Word::Claim(wire::Claim { node: 0, consumers: vec![], held: table }),
        ];
        for kind in kinds {
            drop(words::decode(wire::Word { queue: 1, epoch: 1, word: Some(kind) }));
        }
    }

    #[test]
    fn a_cut_turn_is_an_error_or_shorter(word in word(), keep in 0.0..1.0f64) {
        let sent = vec![(QueueId(1), word)];
        let turn = send(sent.clone());
        let cut = turn.slice(..(turn.len() as f64 * keep) as usize);
        if let Ok(turn) = <wire::Turn as prost::Message>::decode(cut) {
            prop_assert!(turn.words.is_empty(), "half a word was taken for a whole one");
        }
    }
}

#[test]
fn messages_are_slices_of_what_was_received() {
    let body = Bytes::from(vec![7; 3000]);
    let message = Message { exchange: Bytes::from_static(b"x"), body, ..Message::default() };
    let publish = ToLeader::Publish {
        session: Session {
            process: Process { node: NodeId(1), incarnation: Incarnation(2), boot: Boot(3) },
            connection: 4,
            channel: 5,
            opened: 6,
        },
        floor: 0,
        prev: 0,
        messages: (1..=100).map(|sequence| (sequence, message.clone())).collect(),
    };
    let append = MirrorMessage::Append {
        epoch: Epoch(1),
        version: Version(1),
        prev: Position::default(),
        commit: Index(0),
        unclean: Position::default(),
        entries: vec![Bytes::from(vec![8; 5000])],
    };
    let turn =
        send(vec![(QueueId(1), QueueWord::ToLeader(Epoch(1), publish)), (QueueId(1), QueueWord::Mirror(append))]);
    let range = turn.as_ptr_range();
    let found = receive(turn.clone());
    let QueueWord::ToLeader(_, ToLeader::Publish { messages, .. }) = &found[0].1 else { panic!() };
    for (_, message) in messages {
        assert!(range.contains(&message.body.as_ptr()));
        assert!(range.contains(&message.exchange.as_ptr()));
    }
    let QueueWord::Mirror(MirrorMessage::Append { entries, .. }) = &found[1].1 else { panic!() };
    assert!(range.contains(&entries[0].as_ptr()));
}

#[test]
fn a_batch_costs_a_few_bytes_a_message() {
    let message = Message {
        exchange: Bytes::from_static(b"amq.topic"),
        routing_key: Bytes::from_static(b"orders.new"),
        properties: Bytes::from(vec![0; 60]),
        body: Bytes::from(vec![1; 100]),
    };
    let deliveries: Vec<Delivery> = (1000..2000)
        .map(|offset| Delivery {
            consumer: ConsumerKey {
                process: Process { node: NodeId(1), incarnation: Incarnation(2), boot: Boot(3) },
                connection: 4,
                channel: 5,
                number: 6,
            },
            offset: Offset(offset),
            count: 0,
            redelivered: false,
            consignment: None,
            message: message.clone(),
        })
        .collect();
    let turn =
        send(vec![(QueueId(1), QueueWord::ToEntry(Epoch(1), ToEntry::Deliver { deliveries, floor: Offset(0) }))]);
    assert!(turn.len() < 1000 * 105, "{} bytes", turn.len());
}
