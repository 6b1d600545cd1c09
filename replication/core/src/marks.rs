//! Where in the log messages are: a sparse map from offsets, bytes and times to
//! entries, bounded however long the log is.

use std::collections::VecDeque;

use bytes::BytesMut;

use crate::codec::{Malformed, Reader, Writer};
use crate::types::{Index, Offset};

/// At most so many marks; beyond, every other one goes.
pub(crate) const MARKS: usize = 2048;

/// An entry with messages, as far as the map has to know it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Mark {
    /// Its first message.
    pub(crate) offset: Offset,
    pub(crate) index: Index,
    /// Bytes of the entries before it.
    pub(crate) bytes: u64,
    /// Its time.
    pub(crate) time: u64,
}

/// Sparse map from offsets (and bytes, and times) to entries, ascending in all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Marks {
    pub(crate) marks: VecDeque<Mark>,
    /// At least so many entries between two marks.
    stride: u64,
}

impl Default for Marks {
    fn default() -> Self {
        Self { marks: VecDeque::new(), stride: 1 }
    }
}

impl Marks {
    pub(crate) fn push(&mut self, mut mark: Mark) {
        if let Some(last) = self.marks.back() {
            if mark.index.0 < last.index.0 + self.stride {
                return;
            }
            // No entry is earlier than the one before it; a peer's might be.
            mark.time = mark.time.max(last.time);
        }
        self.marks.push_back(mark);
        if self.marks.len() > MARKS {
            self.stride *= 2;
            let mut nth = 0;
            self.marks.retain(|_| {
                nth += 1;
                nth % 2 == 1
            });
        }
    }

    pub(crate) fn truncate(&mut self, from: Index) {
        while self.marks.back().is_some_and(|mark| mark.index >= from) {
            self.marks.pop_back();
        }
    }

    /// The last mark at or before the offset.
    pub(crate) fn locate(&self, offset: Offset) -> Option<Mark> {
        let after = self.marks.partition_point(|mark| mark.offset <= offset);
        self.marks.get(after.checked_sub(1)?).copied()
    }

    /// The last mark at or before the offset whose entry is not beyond `limit + 1`.
    pub(crate) fn release_point(&self, offset: Offset, limit: Index) -> Option<Mark> {
        let after = self.marks.partition_point(|mark| mark.offset <= offset && mark.index <= limit.next());
        self.marks.get(after.checked_sub(1)?).copied()
    }

    /// Forgets the marks of released entries. An emptied queue starts over
    /// with the finest stride.
    pub(crate) fn release(&mut self, through: Index) {
        while self.marks.front().is_some_and(|mark| mark.index <= through) {
            self.marks.pop_front();
        }
        if self.marks.is_empty() {
            self.stride = 1;
        }
    }

    /// Without the marks of entries after this one.
    pub(crate) fn up_to(&self, index: Index) -> Self {
        let mut marks = self.clone();
        marks.truncate(index.next());
        marks
    }

    /// Bytes before the last mark's entry.
    pub(crate) fn last_bytes(&self) -> u64 {
        self.marks.back().map_or(0, |mark| mark.bytes)
    }

    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_varint(self.stride);
        out.put_varint(self.marks.len() as u64);
        let mut before = Mark::default();
        for mark in &self.marks {
            out.put_varint(mark.offset.0 - before.offset.0);
            out.put_varint(mark.index.0 - before.index.0);
            out.put_varint(mark.bytes - before.bytes);
            out.put_varint(mark.time - before.time);
            before = *mark;
        }
    }

    pub(crate) fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut marks = Self { marks: VecDeque::new(), stride: from.varint()?.max(1) };
        let mut at = Mark::default();
        let add = |from: &mut Reader<'_>, to: u64| -> Result<u64, Malformed> {
            to.checked_add(from.varint()?).ok_or(Malformed("mark overflows"))
        };
        for _ in 0..from.count(4)? {
            at.offset = Offset(add(from, at.offset.0)?);
            at.index = Index(add(from, at.index.0)?);
            at.bytes = add(from, at.bytes)?;
            at.time = add(from, at.time)?;
            marks.marks.push_back(at);
        }
        Ok(marks)
    }
}
