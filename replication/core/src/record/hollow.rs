//! Hollow entries (§3): an entry stored anew without the messages that are
//! settled. Everything else is as its leader encoded it, so that whoever replays
//! it comes to the same state at every index: its place, its time, its records, how
//! many messages it brought. A message that is gone takes its offset and is live
//! until its settle is applied, like any; only nobody has its body any more.
//!
//! Behind the records come the messages that are left, as runs: how many runs,
//! then for each how many are gone before it and how many are left.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

use super::{Entry, FIXED, HOLLOW, Head, KIND, LENGTHS, Lengths, RecordError, check, messages};
use crate::codec::{Malformed, Reader, Writer};
use crate::ranges::RangeSet;

/// The runs of messages that a hollow entry has left, and where they end.
pub(super) fn left(entry: &Bytes, records: usize, messages: u32) -> Result<(Vec<(u32, u32)>, usize), Malformed> {
    let mut reader = Reader::new(entry.get(records..).ok_or(Malformed("cut short"))?);
    let count = reader.count(2)?;
    let mut runs = Vec::with_capacity(count);
    let mut end = 0;
    for _ in 0..count {
        let first = reader.varint()?.checked_add(end).ok_or(Malformed("range overflows"))?;
        let length = reader.varint()?;
        end =
            first.checked_add(length).filter(|end| *end <= u64::from(messages)).ok_or(Malformed("range overflows"))?;
        // No more than `messages`, which is a u32.
        runs.push((first as u32, length as u32));
    }
    Ok((runs, entry.len() - reader.remaining()))
}

/// The entry without those of its messages that are not in `live`, or `None` if
/// that would save less than a quarter of it. What comes in has passed its
/// checksum; what comes out has one of its own.
///
/// # Errors
/// [`RecordError`]: the bytes are not a whole entry of a known format.
pub fn hollow(entry: &Bytes, live: &RangeSet) -> Result<Option<Bytes>, RecordError> {
    let head = Head::read(entry)?;
    let table = entry.get(head.table..head.payload).ok_or(Malformed("cut short"))?;
    let mut stays: Vec<(u32, u32)> = Vec::new();
    let mut parts: Vec<(&[u8], Range<usize>)> = Vec::new();
    let (mut at, mut dropped) = (head.payload, 0);
    for (nth, lengths) in head.stored().zip(table.chunks_exact(LENGTHS)) {
        let end = at.saturating_add(Lengths::read(lengths)?.total());
        if live.contains(head.first_offset.0.saturating_add(u64::from(nth))) {
            match stays.last_mut() {
                Some((first, count)) if *first + *count == nth => *count += 1,
                _ => stays.push((nth, 1)),
            }
            parts.push((lengths, at..end));
        } else {
            dropped += LENGTHS + (end - at);
        }
        at = end;
    }
    if at > entry.len() {
        return Err(RecordError::Malformed("cut short"));
    }
    if dropped == 0 || dropped * 4 < entry.len() {
        return Ok(None);
    }
    let mut out = BytesMut::with_capacity(entry.len() - dropped + 16);
    out.put_slice(entry.get(..head.records).ok_or(Malformed("cut short"))?);
    out[KIND] = HOLLOW;
    out.put_varint(stays.len() as u64);
    let mut end = 0;
    for (first, count) in stays {
        out.put_varint(u64::from(first - end));
        out.put_varint(u64::from(count));
        end = first + count;
    }
    for (lengths, _) in &parts {
        out.put_slice(lengths);
    }
    for (_, part) in parts {
        out.put_slice(entry.get(part).ok_or(Malformed("cut short"))?);
    }
    let crc = crc32c::crc32c(&out[KIND..]).to_le_bytes();
    out[..KIND].copy_from_slice(&crc);
    Ok(Some(out.freeze()))
}

/// The offsets of an encoded entry's messages that are gone from it; no checksum
/// is computed.
///
/// # Errors
/// [`RecordError`]: too short or of an unknown format.
pub fn gone(entry: &Bytes) -> Result<Vec<Range<u64>>, RecordError> {
    let head = Head::read(entry)?;
    let Some(left) = &head.left else { return Ok(Vec::new()) };
    let mut gone = Vec::with_capacity(left.len() + 1);
    let mut at = 0;
    let offset = |nth: u32| head.first_offset.0.saturating_add(u64::from(nth));
    for (first, count) in left.iter().copied().chain([(head.messages, 0)]) {
        gone.push(offset(at)..offset(first));
        at = first + count;
    }
    gone.retain(|range| !range.is_empty());
    Ok(gone)
}

/// Whether both are the same entry: what one of them has lost, and nothing else,
/// sets them apart.
#[must_use]
pub fn is_same(one: &Bytes, other: &Bytes) -> bool {
    if one == other {
        return true;
    }
    let whole = |entry: &Bytes| {
        let head = Head::read(entry).ok()?;
        check(entry).ok()?;
        Some((Entry::decode(entry).ok()?, entry.slice(FIXED..head.records), messages(entry).ok()?))
    };
    let (Some(one), Some(other)) = (whole(one), whole(other)) else { return false };
    let mut others = other.2.iter().peekable();
    let agree = one.2.iter().all(|(offset, message)| {
        while others.next_if(|(other, _)| other < offset).is_some() {}
        others.next_if(|(other, _)| other == offset).is_none_or(|(_, other)| other == message)
    });
    agree && (one.0, one.1) == (other.0, other.1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::single_range_in_vec_init)]

    use proptest::prelude::*;

    use super::*;
    use crate::message::Message;
    use crate::record::{Record, offsets, position, time, weights};
    use crate::types::{Boot, Epoch, Incarnation, Index, NodeId, Offset, Position, Process, Session};

    fn entry(bodies: &[usize]) -> Bytes {
        let process = Process { node: NodeId(1), incarnation: Incarnation(2), boot: Boot(3) };
        let session = Session { process, connection: 4, channel: 5, opened: 6 };
        let messages: Vec<Message> = (0u8..)
            .zip(bodies)
            .map(|(nth, length)| Message {
                routing_key: Bytes::from(vec![nth; 3]),
                properties: Bytes::from_static(&[0, 0]),
                body: Bytes::from(vec![nth; *length]),
                ..Message::default()
            })
            .collect();
        let last = 7 + bodies.len() as u64;
        let records = match bodies.len() {
            0 => vec![Record::Horizon(Offset(9))],
            _ => vec![Record::Publish { session, floor: 7, runs: vec![(8, last)] }],
        };
        Entry::encode(Position { epoch: Epoch(3), index: Index(9) }, Offset(100), 55, &records, &messages)
    }

    proptest! {
        /// §3: a hollow entry says what its original says, but for the bodies of what
        /// is settled; also when it is hollowed again.
        #[test]
        fn a_hollow_entry_keeps_everything_but_what_is_settled(
            bodies in proptest::collection::vec(0usize..300, 0..12),
            settled in proptest::collection::vec((95u64..115, 0u64..8), 0..4),
        ) {
            let original = entry(&bodies);
            let mut live = RangeSet::new();
            live.insert(0..1_000);
            let mut now = original.clone();
            for (first, count) in settled {
                live.remove(first..first + count);
                let Some(hollow) = hollow(&now, &live).unwrap() else { continue };
                prop_assert!(hollow.len() < now.len());
                now = hollow;
                prop_assert!(is_same(&original, &now) && is_same(&now, &original));
                prop_assert_eq!(Entry::decode(&now), Entry::decode(&original));
                prop_assert_eq!(position(&now), position(&original));
                prop_assert_eq!((offsets(&now), time(&now)), (offsets(&original), time(&original)));
                let left: Vec<_> = messages(&original).unwrap().into_iter().filter(|(o, _)| live.contains(o.0)).collect();
                prop_assert_eq!(messages(&now).unwrap(), left);
                let weighed = weights(&now).unwrap();
                for ((offset, weight), whole) in offsets(&now).unwrap().zip(weighed).zip(weights(&original).unwrap()) {
                    prop_assert_eq!(weight, if live.contains(offset) { whole } else { 0 });
                }
                let gone: Vec<u64> = gone(&now).unwrap().into_iter().flatten().collect();
                prop_assert_eq!(gone, offsets(&now).unwrap().filter(|o| !live.contains(*o)).collect::<Vec<_>>());
            }
        }

        #[test]
        fn a_torn_or_flipped_hollow_entry_is_refused(length in 0usize..200, bit in 0usize..800) {
            let hollow = hollow(&entry(&[90, 90, 90, 20]), &RangeSet::from_iter([103..104])).unwrap().unwrap();
            prop_assert!(Entry::decode(&hollow.slice(..length.min(hollow.len() - 1))).is_err());
            let mut flipped = hollow.to_vec();
            let bit = bit % (flipped.len() * 8);
            flipped[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Entry::decode(&flipped.into()), Err(RecordError::Checksum));
        }
    }

    #[test]
    fn what_saves_little_stays_as_it_is() {
        let all = RangeSet::from_iter([0..1_000]);
        assert_eq!(hollow(&entry(&[50, 50]), &all), Ok(None));
        assert_eq!(hollow(&entry(&[]), &RangeSet::new()), Ok(None));
        let big = RangeSet::from_iter([100..101]);
        assert_eq!(hollow(&entry(&[5_000, 50]), &big), Ok(None));
        let empty = hollow(&entry(&[5_000, 50]), &RangeSet::new()).unwrap().unwrap();
        assert!(empty.len() < 120, "{} bytes", empty.len());
    }

    #[test]
    fn another_entry_is_not_the_same() {
        assert!(!is_same(&entry(&[1]), &entry(&[1, 1])));
        assert!(!is_same(&entry(&[1]), &entry(&[2])));
    }
}
