//! The words of `warren_replication::message` as they travel, and back. What
//! comes in is trusted in nothing: garbage is an error, never a panic, and asks
//! for no more memory than a small multiple of its own size. Messages that come
//! in are slices of the buffer that was received.

use bytes::Bytes;
use warren_replication::consigned::Consignment;
use warren_replication::message::{
    Anew, Closing, ConsumeOutcome, ConsumerSpec, Delivery, Held, Message, MirrorMessage, QueueWord, ReadFrom, Reading,
    SettleReason, ToEntry, ToLeader,
};
use warren_replication::types::{
    Boot, ConsumerKey, Epoch, Incarnation, Index, NodeId, Offset, Position, Process, QueueId, Session, Version,
};

use crate::link::{self as wire, reading::From as WireFrom, settle::Reason, word::Word as Kind};
use crate::table::{Packer, Rows, Table, Unpacker};

/// A word that cannot be understood; the link it came on is of no further use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed word: {0}")]
pub struct WordError(pub &'static str);

/// A flag of a delivery's row: it may have been delivered before.
const REDELIVERED: u64 = 1;
/// A flag of a delivery's row: its consumer is that of the row before.
const SAME_CONSUMER: u64 = 2;
/// A flag of a delivery's row: it is consigned, under the number and floor that follow.
const CONSIGNED: u64 = 4;

/// About how many bytes a word takes on the wire; what link budgets count.
#[must_use]
pub fn weight(word: &QueueWord) -> usize {
    const WORD: usize = 48;
    const ROW: usize = 16;
    let content = match word {
        QueueWord::Mirror(MirrorMessage::Append { entries, .. }) => entries.iter().map(|entry| entry.len() + 6).sum(),
        QueueWord::Mirror(MirrorMessage::Install { checkpoint, .. }) => checkpoint.len(),
        QueueWord::Mirror(MirrorMessage::Diverged { history, .. }) => history.len() * ROW,
        QueueWord::Mirror(_) => 0,
        QueueWord::ToLeader(_, word) => match word {
            ToLeader::Publish { messages, .. } => messages.iter().map(|(_, message)| message.weight() + ROW).sum(),
            ToLeader::Claim { consumers, held, .. } => consumers.len() * 2 * WORD + held.len() * ROW,
            ToLeader::Settle { offsets, .. } => offsets.len(),
            ToLeader::Return { offsets, .. } => offsets.len() * 2,
            _ => 0,
        },
        QueueWord::ToEntry(_, word) => match word {
            ToEntry::Deliver { deliveries, .. } => {
                deliveries.iter().map(|delivery| delivery.message.weight() + ROW).sum()
            }
            ToEntry::Read { messages, .. } => {
                messages.iter().map(|(_, message)| message.weight() + ROW).sum::<usize>() + WORD
            }
            ToEntry::Got { delivery, .. } => delivery.message.weight() + WORD,
            ToEntry::Confirmed { ranges, .. } | ToEntry::Refused { ranges, .. } => ranges.len() * 4,
            ToEntry::Settled { offsets } | ToEntry::Returned { offsets } => offsets.len(),
            _ => 0,
        },
    };
    WORD + content
}

/// A word for the wire.
#[must_use]
pub fn encode(queue: QueueId, word: QueueWord) -> wire::Word {
    let (epoch, kind) = match word {
        QueueWord::Mirror(word) => encode_mirror(word),
        QueueWord::ToLeader(epoch, word) => (epoch, encode_to_leader(word)),
        QueueWord::ToEntry(epoch, word) => (epoch, encode_to_entry(word)),
    };
    wire::Word { queue: queue.0, epoch: epoch.0, word: Some(kind) }
}

/// A word from the wire.
///
/// # Errors
/// [`WordError`] if it is not one that [`encode`] makes.
pub fn decode(word: wire::Word) -> Result<(QueueId, QueueWord), WordError> {
    let epoch = Epoch(word.epoch);
    let kind = word.word.ok_or(WordError("a word of unknown kind"))?;
    let decoded = match kind {
        Kind::Append(_) | Kind::Install(_) | Kind::Durable(_) | Kind::Diverged(_) | Kind::Fenced(_) => {
            QueueWord::Mirror(decode_mirror(epoch, kind)?)
        }
        Kind::Confirmed(_)
        | Kind::Refused(_)
        | Kind::Again(_)
        | Kind::Deliver(_)
        | Kind::Settled(_)
        | Kind::Returned(_)
        | Kind::Consuming(_)
        | Kind::Empty(_)
        | Kind::Got(_)
        | Kind::Purged(_)
        | Kind::Counted(_)
        | Kind::Closed(_)
        | Kind::Read(_) => QueueWord::ToEntry(epoch, decode_to_entry(kind)?),
        _ => QueueWord::ToLeader(epoch, decode_to_leader(kind)?),
    };
    Ok((QueueId(word.queue), decoded))
}

fn encode_mirror(word: MirrorMessage) -> (Epoch, Kind) {
    match word {
        MirrorMessage::Append { epoch, version, prev, commit, unclean, entries } => {
            let append = wire::Append {
                version: version.0,
                prev_epoch: prev.epoch.0,
                prev_index: prev.index.0,
                commit: commit.0,
                entries,
                unclean_epoch: unclean.epoch.0,
                unclean_index: unclean.index.0,
            };
            (epoch, Kind::Append(append))
        }
        MirrorMessage::Install { epoch, version, checkpoint, anew } => {
            let anew = anew.map(|anew| wire::Anew {
                unclean_epoch: anew.unclean.epoch.0,
                unclean_index: anew.unclean.index.0,
                common: anew.common.0,
            });
            (epoch, Kind::Install(wire::Install { checkpoint, version: version.0, anew }))
        }
        MirrorMessage::Durable { epoch, version, index } => {
            (epoch, Kind::Durable(wire::Durable { version: version.0, index: index.0 }))
        }
        MirrorMessage::Diverged { epoch, last, base, left_behind, history } => {
            let diverged = wire::Diverged {
                last_epoch: last.epoch.0,
                last_index: last.index.0,
                base: base.0,
                left_behind,
                history: history.iter().flat_map(|position| [position.epoch.0, position.index.0]).collect(),
            };
            (epoch, Kind::Diverged(diverged))
        }
        MirrorMessage::Fenced { epoch } => (epoch, Kind::Fenced(wire::Nothing {})),
    }
}

fn decode_mirror(epoch: Epoch, kind: Kind) -> Result<MirrorMessage, WordError> {
    Ok(match kind {
        Kind::Append(append) => MirrorMessage::Append {
            epoch,
            version: Version(append.version),
            prev: position(append.prev_epoch, append.prev_index),
            commit: Index(append.commit),
            unclean: position(append.unclean_epoch, append.unclean_index),
            entries: append.entries,
        },
        Kind::Install(install) => MirrorMessage::Install {
            epoch,
            version: Version(install.version),
            checkpoint: install.checkpoint,
            anew: install.anew.map(|anew| Anew {
                unclean: position(anew.unclean_epoch, anew.unclean_index),
                common: Index(anew.common),
            }),
        },
        Kind::Durable(wire::Durable { version, index }) => {
            MirrorMessage::Durable { epoch, version: Version(version), index: Index(index) }
        }
        Kind::Diverged(diverged) => {
            let (pairs, []) = diverged.history.as_chunks() else {
                return Err(WordError("half a position"));
            };
            MirrorMessage::Diverged {
                epoch,
                last: position(diverged.last_epoch, diverged.last_index),
                base: Index(diverged.base),
                left_behind: diverged.left_behind,
                history: pairs.iter().map(|[epoch, index]| position(*epoch, *index)).collect(),
            }
        }
        Kind::Fenced(_) => MirrorMessage::Fenced { epoch },
        _ => return Err(WordError("not a mirror's word")),
    })
}

fn encode_to_leader(word: ToLeader) -> Kind {
    match word {
        ToLeader::Publish { session, floor, prev, messages } => {
            let weight = messages.iter().map(|(_, message)| message.weight()).sum();
            let mut packer = Packer::new(messages.len(), weight);
            for (sequence, message) in &messages {
                packer.table.near(*sequence);
                packer.message(0, message);
            }
            let (table, payload) = packer.finish();
            Kind::Publish(wire::Publish { session: Some(session_out(session)), floor, prev, table, payload })
        }
        ToLeader::EndSession { session } => Kind::EndSession(session_out(session)),
        ToLeader::Claim { node, consumers, held } => {
            let consumers = consumers.into_iter().map(spec_out).collect();
            Kind::Claim(wire::Claim { node: node.0, consumers, held: held_out(&held) })
        }
        ToLeader::Consume { spec } => Kind::Consume(spec_out(spec)),
        ToLeader::Cancel { consumer } => Kind::Cancel(key_out(consumer)),
        ToLeader::Written { consumer, messages } => {
            Kind::Written(wire::Written { consumer: Some(key_out(consumer)), messages })
        }
        ToLeader::Credit { consumer, messages } => {
            Kind::Credit(wire::Written { consumer: Some(key_out(consumer)), messages })
        }
        ToLeader::Settle { offsets, reason } => {
            let reason = match reason {
                SettleReason::Acked => Reason::Acked,
                SettleReason::Expired => Reason::Expired,
                SettleReason::Dropped => Reason::Dropped,
                SettleReason::DeadLettered => Reason::DeadLettered,
                SettleReason::Purged => Reason::Purged,
                SettleReason::Rejected => Reason::Rejected,
            };
            Kind::Settle(wire::Settle { offsets: offsets_out(&offsets), reason: reason.into() })
        }
        ToLeader::Return { offsets, unused } => {
            let mut table = Table::with_rows(offsets.len());
            for (offset, count) in offsets {
                table.near(offset.0);
                table.number(u64::from(count));
            }
            Kind::Return(wire::Return { table: table.finish(), unused })
        }
        ToLeader::Get { key } => Kind::Get(key_out(key)),
        ToLeader::Purge { request } => Kind::Purge(request),
        ToLeader::Count { request } => Kind::Count(request),
        ToLeader::Close { request, if_unused, if_empty } => Kind::Close(wire::Close { request, if_unused, if_empty }),
    }
}

fn decode_to_leader(kind: Kind) -> Result<ToLeader, WordError> {
    Ok(match kind {
        Kind::Publish(publish) => {
            let mut unpacker = Unpacker::new(&publish.table, publish.payload);
            let mut messages = Vec::new();
            while !unpacker.rows.is_empty() {
                let sequence = unpacker.rows.near()?;
                messages.push((sequence, unpacker.message()?.1));
            }
            unpacker.finish()?;
            ToLeader::Publish {
                session: session_in(publish.session)?,
                floor: publish.floor,
                prev: publish.prev,
                messages,
            }
        }
        Kind::EndSession(session) => ToLeader::EndSession { session: session_in(Some(session))? },
        Kind::Claim(claim) => ToLeader::Claim {
            node: NodeId(claim.node),
            consumers: claim.consumers.into_iter().map(spec_in).collect::<Result<_, _>>()?,
            held: held_in(&claim.held)?,
        },
        Kind::Consume(spec) => ToLeader::Consume { spec: spec_in(spec)? },
        Kind::Cancel(key) => ToLeader::Cancel { consumer: key_in(Some(key))? },
        Kind::Written(written) => ToLeader::Written { consumer: key_in(written.consumer)?, messages: written.messages },
        Kind::Credit(credit) => ToLeader::Credit { consumer: key_in(credit.consumer)?, messages: credit.messages },
        Kind::Settle(settle) => {
            let reason = match settle.reason() {
                Reason::Acked if settle.reason == 0 => SettleReason::Acked,
                Reason::Acked => return Err(WordError("an unknown reason")),
                Reason::Expired => SettleReason::Expired,
                Reason::Dropped => SettleReason::Dropped,
                Reason::DeadLettered => SettleReason::DeadLettered,
                Reason::Purged => SettleReason::Purged,
                Reason::Rejected => SettleReason::Rejected,
            };
            ToLeader::Settle { offsets: offsets_in(&settle.offsets)?, reason }
        }
        Kind::Return(wire::Return { table, unused }) => {
            let mut rows = Rows::new(&table);
            let mut offsets = Vec::new();
            while !rows.is_empty() {
                offsets.push((Offset(rows.near()?), rows.small()?));
            }
            ToLeader::Return { offsets, unused }
        }
        Kind::Get(key) => ToLeader::Get { key: key_in(Some(key))? },
        Kind::Purge(request) => ToLeader::Purge { request },
        Kind::Count(request) => ToLeader::Count { request },
        Kind::Close(wire::Close { request, if_unused, if_empty }) => ToLeader::Close { request, if_unused, if_empty },
        _ => return Err(WordError("not a word for a leader")),
    })
}

fn encode_to_entry(word: ToEntry) -> Kind {
    match word {
        ToEntry::Confirmed { session, ranges } => Kind::Confirmed(sequences_out(session, &ranges)),
        ToEntry::Refused { session, ranges } => Kind::Refused(sequences_out(session, &ranges)),
        ToEntry::Again { session, from } => Kind::Again(wire::Again { session: Some(session_out(session)), from }),
        ToEntry::Deliver { deliveries, floor } => {
            Kind::Deliver(wire::Deliveries { floor: floor.0, ..deliveries_out(&deliveries) })
        }
        ToEntry::Read { consumer, next, messages } => Kind::Read(read_out(consumer, next, &messages)),
        ToEntry::Settled { offsets } => Kind::Settled(offsets_out(&offsets)),
        ToEntry::Returned { offsets } => Kind::Returned(offsets_out(&offsets)),
        ToEntry::Consuming { consumer, outcome } => Kind::Consuming(wire::Consuming {
            consumer: Some(key_out(consumer)),
            attached: outcome == ConsumeOutcome::Attached,
        }),
        ToEntry::Empty { key, ready } => Kind::Empty(wire::Empty { key: Some(key_out(key)), ready }),
        ToEntry::Got { delivery, ready } => Kind::Got(wire::Got { delivery: Some(deliveries_out(&[delivery])), ready }),
        ToEntry::Purged { request, messages } => Kind::Purged(wire::Purged { request, messages }),
        ToEntry::Counted { request, ready, consumers } => Kind::Counted(wire::Counted { request, ready, consumers }),
        ToEntry::Closed { request, closing } => {
            let closing = match closing {
                Closing::InUse => wire::closed::Closing::InUse(wire::Nothing {}),
                Closing::NotEmpty => wire::closed::Closing::NotEmpty(wire::Nothing {}),
                Closing::Closed { at: (epoch, version), messages } => {
                    wire::closed::Closing::At(wire::ClosedAt { epoch: epoch.0, version: version.0, messages })
                }
            };
            Kind::Closed(wire::Closed { request, closing: Some(closing) })
        }
    }
}

fn decode_to_entry(kind: Kind) -> Result<ToEntry, WordError> {
    Ok(match kind {
        Kind::Confirmed(sequences) => {
            let (session, ranges) = sequences_in(sequences)?;
            ToEntry::Confirmed { session, ranges }
        }
        Kind::Refused(sequences) => {
            let (session, ranges) = sequences_in(sequences)?;
            ToEntry::Refused { session, ranges }
        }
        Kind::Again(again) => ToEntry::Again { session: session_in(again.session)?, from: again.from },
        Kind::Deliver(deliveries) => {
            let floor = Offset(deliveries.floor);
            ToEntry::Deliver { deliveries: deliveries_in(deliveries)?, floor }
        }
        Kind::Read(read) => read_in(read)?,
        Kind::Settled(table) => ToEntry::Settled { offsets: offsets_in(&table)? },
        Kind::Returned(table) => ToEntry::Returned { offsets: offsets_in(&table)? },
        Kind::Consuming(consuming) => ToEntry::Consuming {
            consumer: key_in(consuming.consumer)?,
            outcome: if consuming.attached { ConsumeOutcome::Attached } else { ConsumeOutcome::ExclusiveUse },
        },
        Kind::Empty(empty) => ToEntry::Empty { key: key_in(empty.key)?, ready: empty.ready },
        Kind::Got(got) => {
            let deliveries = deliveries_in(got.delivery.ok_or(WordError("no delivery"))?)?;
            let Ok([delivery]) = <[Delivery; 1]>::try_from(deliveries) else {
                return Err(WordError("not one delivery"));
            };
            ToEntry::Got { delivery, ready: got.ready }
        }
        Kind::Purged(purged) => ToEntry::Purged { request: purged.request, messages: purged.messages },
        Kind::Counted(counted) => {
            ToEntry::Counted { request: counted.request, ready: counted.ready, consumers: counted.consumers }
        }
        Kind::Closed(closed) => {
            let closing = match closed.closing.ok_or(WordError("closed, and nothing of how"))? {
                wire::closed::Closing::InUse(_) => Closing::InUse,
                wire::closed::Closing::NotEmpty(_) => Closing::NotEmpty,
                wire::closed::Closing::At(at) => {
                    Closing::Closed { at: (Epoch(at.epoch), Version(at.version)), messages: at.messages }
                }
            };
            ToEntry::Closed { request: closed.request, closing }
        }
        _ => return Err(WordError("not a word for an entry node")),
    })
}

fn position(epoch: u64, index: u64) -> Position {
    Position { epoch: Epoch(epoch), index: Index(index) }
}

/// A process for the wire.
#[must_use]
pub fn process_out(process: Process) -> wire::Process {
    wire::Process { node: process.node.0, incarnation: process.incarnation.0, boot: process.boot.0 }
}

/// A process from the wire.
#[must_use]
pub fn process_in(process: wire::Process) -> Process {
    Process { node: NodeId(process.node), incarnation: Incarnation(process.incarnation), boot: Boot(process.boot) }
}

fn some_process(process: Option<wire::Process>) -> Result<Process, WordError> {
    process.map(process_in).ok_or(WordError("no process"))
}

fn channel_in(channel: u32) -> Result<u16, WordError> {
    channel.try_into().map_err(|_| WordError("a channel number is too large"))
}

fn session_out(session: Session) -> wire::Session {
    wire::Session {
        process: Some(process_out(session.process)),
        connection: session.connection,
        channel: u32::from(session.channel),
        opened: session.opened,
    }
}

fn session_in(session: Option<wire::Session>) -> Result<Session, WordError> {
    let session = session.ok_or(WordError("no session"))?;
    Ok(Session {
        process: some_process(session.process)?,
        connection: session.connection,
        channel: channel_in(session.channel)?,
        opened: session.opened,
    })
}

fn key_out(key: ConsumerKey) -> wire::ConsumerKey {
    wire::ConsumerKey {
        process: Some(process_out(key.process)),
        connection: key.connection,
        channel: u32::from(key.channel),
        number: key.number,
    }
}

fn key_in(key: Option<wire::ConsumerKey>) -> Result<ConsumerKey, WordError> {
    let key = key.ok_or(WordError("no consumer"))?;
    Ok(ConsumerKey {
        process: some_process(key.process)?,
        connection: key.connection,
        channel: channel_in(key.channel)?,
        number: key.number,
    })
}

fn spec_out(spec: ConsumerSpec) -> wire::Consumer {
    wire::Consumer {
        key: Some(key_out(spec.key)),
        tag: spec.tag,
        prefetch: spec.prefetch,
        no_ack: spec.no_ack,
        exclusive: spec.exclusive,
        priority: spec.priority,
        reading: spec.reading.map(reading_out),
        site: spec.site,
    }
}

fn spec_in(spec: wire::Consumer) -> Result<ConsumerSpec, WordError> {
    Ok(ConsumerSpec {
        key: key_in(spec.key)?,
        tag: spec.tag,
        prefetch: spec.prefetch,
        no_ack: spec.no_ack,
        exclusive: spec.exclusive,
        priority: spec.priority,
        reading: spec.reading.map(reading_in).transpose()?,
        site: spec.site,
    })
}

fn reading_out(reading: Reading) -> wire::Reading {
    let from = match reading.from {
        ReadFrom::First => WireFrom::First(wire::Nothing {}),
        ReadFrom::Last => WireFrom::Last(wire::Nothing {}),
        ReadFrom::Next => WireFrom::Next(wire::Nothing {}),
        ReadFrom::Offset(offset) => WireFrom::Offset(offset.0),
        ReadFrom::Time(time) => WireFrom::Time(time),
    };
    wire::Reading { from: Some(from), unacked: reading.unacked }
}

fn reading_in(reading: wire::Reading) -> Result<Reading, WordError> {
    let from = match reading.from.ok_or(WordError("nowhere to read from"))? {
        WireFrom::First(_) => ReadFrom::First,
        WireFrom::Last(_) => ReadFrom::Last,
        WireFrom::Next(_) => ReadFrom::Next,
        WireFrom::Offset(offset) => ReadFrom::Offset(Offset(offset)),
        WireFrom::Time(time) => ReadFrom::Time(time),
    };
    Ok(Reading { from, unacked: reading.unacked })
}

fn offsets_out(offsets: &[Offset]) -> Bytes {
    let mut table = Table::with_rows(offsets.len());
    offsets.iter().for_each(|offset| table.near(offset.0));
    table.finish()
}

fn offsets_in(table: &[u8]) -> Result<Vec<Offset>, WordError> {
    let mut rows = Rows::new(table);
    // Each takes a byte at least.
    let mut offsets = Vec::with_capacity(table.len());
    while !rows.is_empty() {
        offsets.push(Offset(rows.near()?));
    }
    Ok(offsets)
}

fn sequences_out(session: Session, ranges: &[(u64, u64)]) -> wire::Sequences {
    let mut table = Table::with_rows(ranges.len());
    for (first, last) in ranges {
        table.near(*first);
        table.near(*last);
    }
    wire::Sequences { session: Some(session_out(session)), ranges: table.finish() }
}

fn sequences_in(sequences: wire::Sequences) -> Result<(Session, Vec<(u64, u64)>), WordError> {
    let mut rows = Rows::new(&sequences.ranges);
    let mut ranges = Vec::new();
    while !rows.is_empty() {
        ranges.push((rows.near()?, rows.near()?));
    }
    Ok((session_in(sequences.session)?, ranges))
}

fn held_out(held: &[Held]) -> Bytes {
    let mut table = Table::with_rows(held.len());
    let mut last = None;
    for held in held {
        let same = last == Some(held.consumer);
        table.number(if same { SAME_CONSUMER } else { 0 });
        if !same {
            table.consumer(&held.consumer);
        }
        last = Some(held.consumer);
        table.near(held.offset.0);
        table.number(u64::from(held.count));
    }
    table.finish()
}

fn held_in(table: &[u8]) -> Result<Vec<Held>, WordError> {
    let mut rows = Rows::new(table);
    let mut held = Vec::new();
    let mut last = None;
    while !rows.is_empty() {
        let flags = rows.number()?;
        let consumer = consumer_in(&mut rows, flags, &mut last)?;
        held.push(Held { consumer, offset: Offset(rows.near()?), count: rows.small()? });
    }
    Ok(held)
}

fn consumer_in(rows: &mut Rows<'_>, flags: u64, last: &mut Option<ConsumerKey>) -> Result<ConsumerKey, WordError> {
    if flags & SAME_CONSUMER == 0 {
        *last = Some(rows.consumer()?);
    }
    last.ok_or(WordError("no consumer"))
}

fn deliveries_out(deliveries: &[Delivery]) -> wire::Deliveries {
    let weight = deliveries.iter().map(|delivery| delivery.message.weight()).sum();
    let mut packer = Packer::new(deliveries.len(), weight);
    let mut last = None;
    for delivery in deliveries {
        let same = last == Some(delivery.consumer);
        let flags = if same { SAME_CONSUMER } else { 0 }
            | if delivery.redelivered { REDELIVERED } else { 0 }
            | if delivery.consignment.is_some() { CONSIGNED } else { 0 };
        packer.message(flags, &delivery.message);
        if !same {
            packer.table.consumer(&delivery.consumer);
        }
        last = Some(delivery.consumer);
        packer.table.near(delivery.offset.0);
        packer.table.number(u64::from(delivery.count));
        if let Some(Consignment { number, floor }) = delivery.consignment {
            packer.table.number(number);
            packer.table.number(floor);
        }
    }
    let (table, payload) = packer.finish();
    wire::Deliveries { table, payload, floor: 0 }
}

fn deliveries_in(deliveries: wire::Deliveries) -> Result<Vec<Delivery>, WordError> {
    let mut unpacker = Unpacker::new(&deliveries.table, deliveries.payload);
    let mut found = Vec::new();
    let mut last = None;
    while !unpacker.rows.is_empty() {
        let (flags, message): (u64, Message) = unpacker.message()?;
        found.push(Delivery {
            consumer: consumer_in(&mut unpacker.rows, flags, &mut last)?,
            offset: Offset(unpacker.rows.near()?),
            count: unpacker.rows.small()?,
            redelivered: flags & REDELIVERED != 0,
            consignment: if flags & CONSIGNED == 0 {
                None
            } else {
                Some(Consignment { number: unpacker.rows.number()?, floor: unpacker.rows.number()? })
            },
            message,
        });
    }
    unpacker.finish()?;
    Ok(found)
}

fn read_out(consumer: ConsumerKey, next: Offset, messages: &[(Offset, Message)]) -> wire::Read {
    let weight = messages.iter().map(|(_, message)| message.weight()).sum();
    let mut packer = Packer::new(messages.len(), weight);
    for (offset, message) in messages {
        packer.table.near(offset.0);
        packer.message(0, message);
    }
    let (table, payload) = packer.finish();
    wire::Read { consumer: Some(key_out(consumer)), next: next.0, table, payload }
}

fn read_in(read: wire::Read) -> Result<ToEntry, WordError> {
    let mut unpacker = Unpacker::new(&read.table, read.payload);
    let mut messages = Vec::new();
    while !unpacker.rows.is_empty() {
        let offset = Offset(unpacker.rows.near()?);
        messages.push((offset, unpacker.message()?.1));
    }
    unpacker.finish()?;
    Ok(ToEntry::Read { consumer: key_in(read.consumer)?, next: Offset(read.next), messages })
}
