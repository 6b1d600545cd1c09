//! A checkpoint (§3): a queue's derived state at a committed and durable index,
//! with where its log begins and its whole epoch history. With nothing live and
//! taken at the base it is also what a mirror that starts anew installs (§5.3).

use bytes::{BufMut, Bytes, BytesMut};

use crate::codec::{Malformed, Reader, Writer};
use crate::ledger::Ledger;
use crate::log::{Log, Whole, position_in};
use crate::marks::Marks;
use crate::mutation::{self, Mutation};
use crate::types::{Epoch, Index, Offset, Position, QueueId};

const VERSION: u8 = 4;

/// Why bytes are no checkpoint of this queue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The bytes are not what was written.
    #[error("checkpoint fails its checksum")]
    Checksum,
    /// Written by a version that this one does not know.
    #[error("checkpoint version {0} is not known here")]
    Version(u8),
    /// Another queue's.
    #[error("checkpoint is of queue {0}")]
    Queue(QueueId),
    /// It says something impossible.
    #[error("checkpoint is malformed: {0}")]
    Malformed(&'static str),
}

impl From<Malformed> for CheckpointError {
    fn from(Malformed(what): Malformed) -> Self {
        Self::Malformed(what)
    }
}

/// Encodes the checkpoint of this log and ledger, at the ledger's index.
pub(crate) fn encode(queue: QueueId, log: &Log, ledger: &Ledger) -> Bytes {
    encode_with(queue, log, ledger, log.whole())
}

fn encode_with(queue: QueueId, log: &Log, ledger: &Ledger, whole: Whole) -> Bytes {
    let index = ledger.applied().index;
    let known = log.history().partition_point(|first| first.index <= index);
    let mut out = BytesMut::with_capacity(256);
    out.put_u32_le(0);
    out.put_u8(VERSION);
    out.put_u64_le(queue.0);
    out.put_position(log.base());
    out.put_varint(log.base_offset().0);
    let forgotten = if mutation::on(Mutation::CutHistory) { known.saturating_sub(1) } else { 0 };
    out.put_varint((known - forgotten) as u64);
    for position in log.history().iter().take(known).skip(forgotten) {
        out.put_position(*position);
    }
    let unclean = log.unclean().partition_point(|start| start.index <= index);
    out.put_varint(unclean as u64);
    for position in log.unclean().iter().take(unclean) {
        out.put_position(*position);
    }
    out.put_position(whole.at);
    out.put_varint(whole.from.0);
    log.marks().up_to(index).encode(&mut out);
    out.put_varint(log.applied_bytes());
    ledger.encode(&mut out);
    let crc = crc32c::crc32c(&out[4..]).to_le_bytes();
    out[..4].copy_from_slice(&crc);
    out.freeze()
}

/// Encodes what a mirror that starts anew begins with: the log's base, nothing
/// live there, and the sessions as they are now (§5.3).
pub(crate) fn encode_base(queue: QueueId, epoch: Epoch, log: &Log, ledger: &Ledger) -> Bytes {
    let whole = Whole { at: ledger.applied(), from: epoch };
    encode_with(queue, log, &ledger.at_base(log.base(), log.base_offset()), whole)
}

/// A decoded checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// Where the log begins (exclusive).
    pub(crate) base: Position,
    /// The offset of the first message after the base.
    pub(crate) base_offset: Offset,
    /// The first position of every epoch up to the ledger's index.
    pub(crate) history: Vec<Position>,
    /// Those of them that are marked unclean (§6.3).
    pub(crate) unclean: Vec<Position>,
    /// What makes the copy a whole one; it may lie behind the ledger's index.
    pub(crate) whole: Whole,
    /// Where offsets lie in the log, sparse.
    pub(crate) marks: Marks,
    /// Bytes of log up to the ledger's index, counted as in `marks`.
    pub(crate) bytes: u64,
    /// The state; its index is the checkpoint's.
    pub(crate) ledger: Ledger,
}

impl Checkpoint {
    pub(crate) fn decode(queue: QueueId, bytes: &Bytes) -> Result<Self, CheckpointError> {
        let mut from = Reader::new(bytes);
        if from.u32()? != crc32c::crc32c(bytes.get(4..).unwrap_or_default()) {
            return Err(CheckpointError::Checksum);
        }
        let version = from.u8()?;
        if version != VERSION {
            return Err(CheckpointError::Version(version));
        }
        let of = QueueId(from.u64()?);
        if of != queue {
            return Err(CheckpointError::Queue(of));
        }
        let base = from.position()?;
        let base_offset = Offset(from.varint()?);
        let count = from.count(2)?;
        let mut history: Vec<Position> = Vec::with_capacity(count);
        for _ in 0..count {
            let position = from.position()?;
            if history.last().is_some_and(|last| last.epoch >= position.epoch || last.index >= position.index) {
                return Err(CheckpointError::Malformed("epoch history goes back"));
            }
            history.push(position);
        }
        let count = from.count(2)?;
        let mut unclean: Vec<Position> = Vec::with_capacity(count);
        for _ in 0..count {
            let position = from.position()?;
            let ascends = unclean.last().is_none_or(|last| last.index < position.index);
            if !ascends || history.binary_search(&position).is_err() {
                return Err(CheckpointError::Malformed("an unclean start that is none of an epoch"));
            }
            unclean.push(position);
        }
        let whole = Whole { at: from.position()?, from: Epoch(from.varint()?) };
        let marks = Marks::decode(&mut from)?;
        let bytes = from.varint()?;
        let ledger = Ledger::decode(&mut from)?;
        if from.remaining() > 0 {
            return Err(CheckpointError::Malformed("bytes left over"));
        }
        if base.index > ledger.applied().index {
            return Err(CheckpointError::Malformed("base beyond the index"));
        }
        if history.first().map_or(Index(1), |first| first.index) != Index(1) {
            return Err(CheckpointError::Malformed("epoch history does not begin at the first entry"));
        }
        let known = |position: Position| position_in(&history, position.index) == position;
        if !known(base) || !known(ledger.applied()) {
            return Err(CheckpointError::Malformed("positions are not in the epoch history"));
        }
        if marks.last_bytes() > bytes {
            return Err(CheckpointError::Malformed("marks beyond the bytes of the log"));
        }
        Ok(Self { base, base_offset, history, unclean, whole, marks, bytes, ledger })
    }

    /// The log (empty after the checkpoint's index) and the ledger.
    pub(crate) fn open(self) -> (Log, Ledger) {
        let epochs = (self.history, self.unclean, self.whole);
        let end = (self.ledger.applied(), self.ledger.next_offset(), self.ledger.time());
        let log = Log::from_checkpoint(self.base, self.base_offset, epochs, self.marks, end, self.bytes);
        (log, self.ledger)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::marks::Mark;

    fn at(epoch: u64, index: u64) -> Position {
        Position { epoch: Epoch(epoch), index: Index(index) }
    }

    fn sample() -> Checkpoint {
        let mut marks = Marks::default();
        marks.push(Mark { offset: Offset(3), index: Index(6), bytes: 50, time: 5 });
        Checkpoint {
            base: at(1, 5),
            base_offset: Offset(3),
            history: vec![at(1, 1), at(4, 7)],
            unclean: vec![at(4, 7)],
            whole: Whole { at: at(4, 20), from: Epoch(5) },
            marks,
            bytes: 70,
            ledger: Ledger::default().at_base(at(4, 9), Offset(12)),
        }
    }

    fn encoded(sample: Checkpoint) -> Bytes {
        let (log, ledger) = sample.open();
        encode(QueueId(3), &log, &ledger)
    }

    #[test]
    fn a_checkpoint_comes_back_from_its_bytes() {
        let bytes = encoded(sample());
        assert_eq!(Checkpoint::decode(QueueId(3), &bytes).unwrap(), sample());
        assert_eq!(Checkpoint::decode(QueueId(4), &bytes), Err(CheckpointError::Queue(QueueId(3))));
    }

    #[test]
    fn a_checkpoint_of_a_later_version_is_refused_by_name() {
        let mut later = encoded(sample()).to_vec();
        later[4] = 99;
        let crc = crc32c::crc32c(&later[4..]).to_le_bytes();
        later[..4].copy_from_slice(&crc);
        assert_eq!(Checkpoint::decode(QueueId(3), &later.into()), Err(CheckpointError::Version(99)));
    }

    /// §3: what lies behind the checkpoint's index may yet be truncated.
    #[test]
    fn a_checkpoint_says_nothing_of_later_entries() {
        let mut earlier = sample();
        earlier.ledger = earlier.ledger.at_base(at(1, 5), Offset(3));
        let decoded = Checkpoint::decode(QueueId(3), &encoded(earlier)).unwrap();
        assert_eq!(decoded.history, [at(1, 1)]);
        assert_eq!(decoded.unclean, []);
        assert_eq!(decoded.marks, Marks::default());
    }

    #[test]
    fn any_flipped_bit_fails_the_checksum() {
        let bytes = encoded(sample());
        for at in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[at / 8] ^= 1 << (at % 8);
            assert_eq!(Checkpoint::decode(QueueId(3), &flipped.into()), Err(CheckpointError::Checksum));
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 13..120)) {
            bytes[4] = VERSION;
            bytes[5..13].copy_from_slice(&3u64.to_le_bytes());
            let crc = crc32c::crc32c(&bytes[4..]).to_le_bytes();
            bytes[..4].copy_from_slice(&crc);
            let _ = Checkpoint::decode(QueueId(3), &bytes.into());
        }
    }
}
