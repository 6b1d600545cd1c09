//! Log entries and their encoding (§3). An entry is what one turn of the shard
//! gathered for the queue: one (epoch, index), many records. The leader encodes
//! it once; those bytes are sent, stored and read back unchanged, and messages
//! are slices of them. Where settled messages would fill a log that an older one
//! keeps, a replica stores the entry anew without them: [`hollow()`].
//!
//! ```text
//!  0 crc32c of all that follows     u32
//!  4 format, 2, or 3 if hollow      u8
//!  5 epoch, index, first offset     u64 each
//! 29 messages                       u32
//! 33 length of the records          u32
//! 37 time                           u64, milliseconds since 1970
//! 45 marks                          u8
//! 46 records                        without any message in them
//!    if hollow: which messages are left
//!    per message its four lengths   u8 exchange, u8 routing key, u32 properties, u32 body
//!    per message its four parts
//! ```
//!
//! So a mirror reads the records only, weights cost one pass over the lengths,
//! and nothing but the CRC touches the bodies.

mod hollow;
mod kinds;

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

use crate::codec::{Malformed, Reader};
use crate::message::Message;
use crate::types::{Epoch, Index, Offset, Position};
pub use hollow::{gone, hollow, is_same};
pub use kinds::Record;
pub(crate) use kinds::push_run;

const FORMAT: u8 = 2;
const HOLLOW: u8 = 3;
/// Where the format is.
const KIND: usize = 4;
const FIXED: usize = 46;
/// Where the length of the records is.
const LENGTH: Range<usize> = 33..37;
/// Mark: some message has an expiration of its own.
const EXPIRING: u8 = 1;
const LENGTHS: usize = 10;

/// Why bytes are no entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The bytes are not what was written: fetch the entry again (§5.4).
    #[error("entry fails its checksum")]
    Checksum,
    /// Written by a version that this one does not know.
    #[error("entry format {0} is not known here")]
    Format(u8),
    /// Not an entry at all, or cut short.
    #[error("entry is malformed: {0}")]
    Malformed(&'static str),
}

impl From<Malformed> for RecordError {
    fn from(Malformed(what): Malformed) -> Self {
        Self::Malformed(what)
    }
}

/// An entry without its messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Epoch and index.
    pub position: Position,
    /// The offset of its first message, or the queue's next offset if it has none.
    pub first_offset: Offset,
    /// When its leader appended it: milliseconds since 1970 by the leader's wall
    /// clock, and never before the entry ahead of it.
    pub time: u64,
    /// How many messages it holds.
    pub messages: u32,
    /// Whether some of them has an expiration of its own.
    pub expiring: bool,
    /// What it says, in order.
    pub records: Vec<Record>,
}

impl Entry {
    /// Reads an entry, checksum included, bodies untouched otherwise.
    ///
    /// # Errors
    /// [`RecordError`]: the bytes are not a whole entry of a known format.
    pub fn decode(entry: &Bytes) -> Result<Self, RecordError> {
        check(entry)?;
        let head = Head::read(entry)?;
        let mut reader = Reader::new(entry.get(FIXED..head.records).ok_or(Malformed("cut short"))?);
        let mut records = Vec::with_capacity(2);
        while reader.remaining() > 0 {
            records.push(Record::decode(&mut reader)?);
        }
        let published = records.iter().try_fold(0u64, |sum, record| match record {
            Record::Publish { runs, .. } | Record::Refuse { runs, kept: true, .. } => runs
                .iter()
                .try_fold(sum, |sum, (first, last)| last.checked_sub(*first)?.checked_add(1)?.checked_add(sum)),
            _ => Some(sum),
        });
        if published != Some(u64::from(head.messages)) {
            return Err(RecordError::Malformed("sequences and messages differ in number"));
        }
        Ok(Self {
            position: head.position,
            first_offset: head.first_offset,
            time: head.time,
            messages: head.messages,
            expiring: head.expiring,
            records,
        })
    }

    /// Whether its epoch begins with it, and its leader may lack what was
    /// committed before (§6.3).
    #[must_use]
    pub fn is_unclean_start(&self) -> bool {
        matches!(self.records.first(), Some(Record::EpochStart { unclean: true, .. }))
    }

    /// The offsets of its messages.
    #[must_use]
    pub fn offsets(&self) -> Range<u64> {
        self.first_offset.0..self.first_offset.0.saturating_add(u64::from(self.messages))
    }

    /// Encodes the entry together with its messages, which must be as many as
    /// its publish records, and the refused ones that are kept, name.
    #[must_use]
    pub fn encode(
        position: Position,
        first_offset: Offset,
        time: u64,
        records: &[Record],
        messages: &[Message],
    ) -> Bytes {
        let payload: usize = messages.iter().map(|message| message.weight() + LENGTHS).sum();
        let mut out = BytesMut::with_capacity(FIXED + records.len() * 64 + payload);
        out.put_u32_le(0);
        out.put_u8(FORMAT);
        out.put_u64_le(position.epoch.0);
        out.put_u64_le(position.index.0);
        out.put_u64_le(first_offset.0);
        out.put_u32_le(messages.len() as u32);
        out.put_u32_le(0);
        out.put_u64_le(time);
        out.put_u8(if messages.iter().any(Message::has_expiration) { EXPIRING } else { 0 });
        for record in records {
            record.encode(&mut out);
        }
        let length = ((out.len() - FIXED) as u32).to_le_bytes();
        out[LENGTH].copy_from_slice(&length);
        for message in messages {
            out.put_u8(short(&message.exchange).len() as u8);
            out.put_u8(short(&message.routing_key).len() as u8);
            out.put_u32_le(message.properties.len() as u32);
            out.put_u32_le(message.body.len() as u32);
        }
        for message in messages {
            out.put_slice(short(&message.exchange));
            out.put_slice(short(&message.routing_key));
            out.put_slice(&message.properties);
            out.put_slice(&message.body);
        }
        let crc = crc32c::crc32c(&out[4..]).to_le_bytes();
        out[..4].copy_from_slice(&crc);
        out.freeze()
    }
}

/// AMQP short strings are at most 255 bytes; the protocol codec has seen to it.
fn short(name: &Bytes) -> &[u8] {
    &name[..name.len().min(255)]
}

/// Epoch and index of an encoded entry; no checksum is computed.
///
/// # Errors
/// [`RecordError`]: too short or of an unknown format.
pub fn position(entry: &Bytes) -> Result<Position, RecordError> {
    Ok(Head::read(entry)?.position)
}

/// The offsets of an encoded entry's messages; no checksum is computed.
///
/// # Errors
/// [`RecordError`]: too short or of an unknown format.
pub fn offsets(entry: &Bytes) -> Result<Range<u64>, RecordError> {
    let head = Head::read(entry)?;
    Ok(head.first_offset.0..head.first_offset.0.saturating_add(u64::from(head.messages)))
}

/// When the entry was appended ([`Entry::time`]); no checksum is computed.
///
/// # Errors
/// [`RecordError`]: too short or of an unknown format.
pub fn time(entry: &Bytes) -> Result<u64, RecordError> {
    Ok(Head::read(entry)?.time)
}

/// What each message of an encoded entry weighs, in order ([`Message::weight`]).
///
/// # Errors
/// [`RecordError`]: the entry is shorter than its lengths say.
pub fn weights(entry: &Bytes) -> Result<Vec<u32>, RecordError> {
    let head = Head::read(entry)?;
    let table = entry.get(head.table..head.payload).ok_or(Malformed("cut short"))?;
    let stored = table
        .chunks_exact(LENGTHS)
        .map(|lengths| Lengths::read(lengths).map_or(0, |l| u32::try_from(l.total()).unwrap_or(u32::MAX)));
    if head.left.is_none() {
        return Ok(stored.collect());
    }
    // What is gone weighs nothing.
    let mut weights = vec![0; head.messages as usize];
    for (nth, weight) in head.stored().zip(stored) {
        if let Some(of) = weights.get_mut(nth as usize) {
            *of = weight;
        }
    }
    Ok(weights)
}

/// The messages of an encoded entry as slices of it, with their offsets; of a
/// hollow one those that are left. The checksum was verified when the entry came
/// in; this computes none.
///
/// # Errors
/// [`RecordError`]: the entry is shorter than its lengths say.
pub fn messages(entry: &Bytes) -> Result<Vec<(Offset, Message)>, RecordError> {
    let head = Head::read(entry)?;
    let table = entry.get(head.table..head.payload).ok_or(Malformed("cut short"))?;
    let mut at = head.payload;
    let mut part = |length: usize| {
        let end = at.checked_add(length).filter(|&end| end <= entry.len()).ok_or(Malformed("cut short"))?;
        let slice = entry.slice(at..end);
        at = end;
        Ok::<_, Malformed>(slice)
    };
    let mut messages = Vec::with_capacity(table.len() / LENGTHS);
    for (nth, lengths) in head.stored().zip(table.chunks_exact(LENGTHS)) {
        let lengths = Lengths::read(lengths)?;
        let message = Message {
            exchange: part(lengths.exchange)?,
            routing_key: part(lengths.routing_key)?,
            properties: part(lengths.properties)?,
            body: part(lengths.body)?,
        };
        messages.push((Offset(head.first_offset.0.saturating_add(u64::from(nth))), message));
    }
    Ok(messages)
}

/// Verifies an encoded entry's checksum.
///
/// # Errors
/// [`RecordError::Checksum`], or too short to have one.
pub fn check(entry: &Bytes) -> Result<(), RecordError> {
    let mut reader = Reader::new(entry);
    let crc = reader.u32()?;
    if crc32c::crc32c(reader.bytes(reader.remaining())?) == crc { Ok(()) } else { Err(RecordError::Checksum) }
}

struct Head {
    position: Position,
    first_offset: Offset,
    messages: u32,
    time: u64,
    expiring: bool,
    /// Which of its messages a hollow entry has left: first and number of each run.
    left: Option<Vec<(u32, u32)>>,
    /// Where the records end, where the lengths begin, and where they end.
    records: usize,
    table: usize,
    payload: usize,
}

impl Head {
    fn read(entry: &Bytes) -> Result<Self, RecordError> {
        let mut reader = Reader::new(entry);
        reader.u32()?;
        let format = reader.u8()?;
        if format != FORMAT && format != HOLLOW {
            return Err(RecordError::Format(format));
        }
        let position = Position { epoch: Epoch(reader.u64()?), index: Index(reader.u64()?) };
        let first_offset = Offset(reader.u64()?);
        let messages = reader.u32()?;
        let records = FIXED.saturating_add(reader.u32()? as usize);
        let time = reader.u64()?;
        let expiring = reader.u8()? & EXPIRING != 0;
        let (mut left, mut table, mut stored) = (None, records, messages as usize);
        if format == HOLLOW {
            let runs;
            (runs, table) = hollow::left(entry, records, messages)?;
            stored = runs.iter().map(|(_, count)| *count as usize).sum();
            left = Some(runs);
        }
        let payload = stored.saturating_mul(LENGTHS).saturating_add(table);
        if payload > entry.len() {
            return Err(RecordError::Malformed("cut short"));
        }
        Ok(Self { position, first_offset, messages, time, expiring, left, records, table, payload })
    }

    /// Which of its messages are here, ascending.
    fn stored(&self) -> impl Iterator<Item = u32> {
        let (runs, whole) = match &self.left {
            Some(runs) => (runs.as_slice(), 0..0),
            None => (&[][..], 0..self.messages),
        };
        whole.chain(runs.iter().flat_map(|(first, count)| *first..*first + *count))
    }
}

struct Lengths {
    exchange: usize,
    routing_key: usize,
    properties: usize,
    body: usize,
}

impl Lengths {
    fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        Ok(Self {
            exchange: usize::from(reader.u8()?),
            routing_key: usize::from(reader.u8()?),
            properties: reader.u32()? as usize,
            body: reader.u32()? as usize,
        })
    }

    fn total(&self) -> usize {
        self.exchange.saturating_add(self.routing_key).saturating_add(self.properties).saturating_add(self.body)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::message::SettleReason;
    use crate::ranges::RangeSet;
    use crate::types::{Boot, Incarnation, NodeId, Process, Session};

    fn session(channel: u16) -> Session {
        let process = Process { node: NodeId(1), incarnation: Incarnation(2), boot: Boot(3) };
        Session { process, connection: 4, channel, opened: 5 }
    }

    fn message(text: &str) -> Message {
        Message {
            exchange: Bytes::from_static(b"amq.topic"),
            routing_key: Bytes::from(text.to_owned()),
            properties: Bytes::from_static(&[0x11, 0, 2, 1, b'5']),
            body: Bytes::from(text.repeat(7)),
        }
    }

    fn sample() -> (Vec<Record>, Vec<Message>, Bytes) {
        let leader = session(0).process;
        let records = vec![
            Record::EpochStart { leader, unclean: false },
            Record::EpochStart { leader, unclean: true },
            Record::Publish { session: session(1), floor: 3, runs: vec![(3, 4)] },
            Record::Refuse { session: session(1), floor: 3, runs: vec![(9, 9)], kept: true },
            Record::Refuse { session: session(2), floor: 3, runs: vec![(7, 9)], kept: false },
            Record::Duplicate { session: session(2), floor: 3, runs: vec![(10, 10)] },
            Record::Keys { keys: vec![(u128::MAX - 1, 12), (7, 1_700_000_000_000)], most: 9 },
            Record::Settle { reason: SettleReason::Purged, ranges: vec![(0, 99), (120, 120)] },
            Record::Return { offsets: vec![(Offset(100), 1), (Offset(101), 7)] },
            Record::Consign { site: Bytes::from_static(b"paris"), first: 1 << 40, runs: vec![(102, 104), (101, 101)] },
            Record::Reclaim { ranges: vec![(103, 103)] },
            Record::Horizon(Offset(130)),
            Record::EndSession(session(2)),
        ];
        let messages: Vec<_> = ["a", "bc", ""].map(message).into();
        let position = Position { epoch: Epoch(7), index: Index(42) };
        let bytes = Entry::encode(position, Offset(130), 1_700_000_000_000, &records, &messages);
        (records, messages, bytes)
    }

    #[test]
    fn an_entry_comes_back_whole() {
        let (records, written, bytes) = sample();
        let entry = Entry::decode(&bytes).unwrap();
        assert_eq!(entry.position, Position { epoch: Epoch(7), index: Index(42) });
        assert_eq!(entry.position, position(&bytes).unwrap());
        assert_eq!(entry.records, records);
        assert_eq!((entry.time, time(&bytes).unwrap(), entry.expiring), (1_700_000_000_000, 1_700_000_000_000, true));
        assert_eq!((entry.offsets(), offsets(&bytes).unwrap()), (130..133, 130..133));
        let read = messages(&bytes).unwrap();
        assert_eq!(read.iter().map(|(offset, _)| offset.0).collect::<Vec<_>>(), [130, 131, 132]);
        assert_eq!(read.into_iter().map(|(_, message)| message).collect::<Vec<_>>(), written);
        let weights: Vec<usize> = weights(&bytes).unwrap().into_iter().map(|weight| weight as usize).collect();
        assert_eq!(weights, written.iter().map(Message::weight).collect::<Vec<_>>());
    }

    #[test]
    fn messages_are_slices_of_the_entry() {
        let (_, _, bytes) = sample();
        let inside = bytes.as_ptr_range();
        for (_, message) in messages(&bytes).unwrap() {
            assert!(message.body.is_empty() || inside.contains(&message.body.as_ptr()));
        }
    }

    #[test]
    fn any_flipped_bit_fails_the_checksum() {
        let (_, _, bytes) = sample();
        for at in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[at / 8] ^= 1 << (at % 8);
            assert_eq!(Entry::decode(&flipped.into()), Err(RecordError::Checksum), "bit {at}");
        }
    }

    #[test]
    fn an_entry_of_a_later_version_is_refused_by_name() {
        let (_, _, bytes) = sample();
        let mut later = bytes.to_vec();
        later[KIND] = 99;
        let crc = crc32c::crc32c(&later[KIND..]).to_le_bytes();
        later[..KIND].copy_from_slice(&crc);
        assert_eq!(Entry::decode(&later.into()), Err(RecordError::Format(99)));
    }

    #[test]
    fn a_torn_entry_is_refused() {
        let (_, _, bytes) = sample();
        for length in 0..bytes.len() {
            assert!(Entry::decode(&bytes.slice(..length)).is_err(), "{length} bytes");
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), valid in any::<bool>()) {
            // With a right checksum and format, so that the rest is reached too.
            if valid && bytes.len() > FIXED {
                let records = bytes[33] % 64;
                bytes[4] = FORMAT + bytes[4] % 2;
                bytes[29..37].copy_from_slice(&[2, 0, 0, 0, records, 0, 0, 0]);
                let crc = crc32c::crc32c(&bytes[4..]).to_le_bytes();
                bytes[..4].copy_from_slice(&crc);
            }
            let bytes = Bytes::from(bytes);
            let _ = Entry::decode(&bytes);
            let _ = messages(&bytes);
            let _ = weights(&bytes);
            let _ = offsets(&bytes);
            let _ = gone(&bytes);
            let _ = hollow(&bytes, &RangeSet::new());
        }
    }
}
