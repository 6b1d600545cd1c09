//! Reading and writing the protocol's elementary types. Reading never copies
//! (strings and tables are slices of the input) and never panics.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

use crate::short_str::ShortStr;
use crate::table::FieldTable;

/// What is wrong with the inside of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WireError {
    /// A field reaches past the end of its frame, table or array.
    #[error("truncated field")]
    Truncated,
    /// Octets are left behind the last field.
    #[error("{0} octets behind the last field")]
    Trailing(usize),
    /// A short string of a method is not UTF-8.
    #[error("malformed UTF-8 in shortstr")]
    Utf8,
    /// A field table holds a type letter that nobody knows.
    #[error("unknown field type {0:#04x}")]
    FieldType(u8),
    /// Tables and arrays within each other, deeper than [`crate::table::MAX_DEPTH`].
    #[error("field table nested too deeply")]
    TooDeep,
}

/// A place in a part of a buffer, such as a frame's payload.
#[derive(Debug)]
pub struct Cursor<'a> {
    source: &'a Bytes,
    at: usize,
    /// At most the length of `source`.
    end: usize,
}

impl<'a> Cursor<'a> {
    /// At the beginning of `source`.
    pub fn new(source: &'a Bytes) -> Self {
        Cursor { source, at: 0, end: source.len() }
    }

    /// At the beginning of a part of `source`: reading a part costs no reference
    /// count, unlike reading a slice.
    pub(crate) fn within(source: &'a Bytes, part: Range<usize>) -> Self {
        let end = part.end.min(source.len());
        Cursor { source, at: part.start.min(end), end }
    }

    /// Place in the source.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Octets left.
    pub fn remaining(&self) -> usize {
        self.end - self.at
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let rest = self.source.get(self.at..self.end).unwrap_or_default();
        let octets = rest.first_chunk::<N>().ok_or(WireError::Truncated)?;
        self.at += N;
        Ok(*octets)
    }

    /// An octet.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, WireError> {
        self.array::<1>().map(|[octet]| octet)
    }

    /// A short integer.
    #[inline]
    pub fn u16(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_be_bytes)
    }

    /// A long integer.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A long long integer or a timestamp.
    #[inline]
    pub fn u64(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_be_bytes)
    }

    /// The next `count` octets, shared with the source.
    #[inline]
    pub fn take(&mut self, count: usize) -> Result<Bytes, WireError> {
        if count > self.remaining() {
            return Err(WireError::Truncated);
        }
        let begin = self.at;
        self.at += count;
        Ok(if count == 0 { Bytes::new() } else { self.source.slice(begin..self.at) })
    }

    /// Passes over `count` octets.
    #[inline]
    pub fn skip(&mut self, count: usize) -> Result<(), WireError> {
        if count > self.remaining() {
            return Err(WireError::Truncated);
        }
        self.at += count;
        Ok(())
    }

    /// A short string of a method with content: any octets, as with RabbitMQ.
    #[inline]
    pub fn short_octets(&mut self) -> Result<ShortStr, WireError> {
        let length = self.u8()?;
        self.take(usize::from(length)).map(ShortStr::from_octets)
    }

    /// A short string of any other method, which must be UTF-8.
    #[inline]
    pub fn short_str(&mut self) -> Result<ShortStr, WireError> {
        let length = self.u8()?;
        ShortStr::from_utf8(self.take(usize::from(length))?)
    }

    /// A long string: any octets.
    #[inline]
    pub fn long_str(&mut self) -> Result<Bytes, WireError> {
        let length = self.u32()?;
        self.take(usize::try_from(length).map_err(|_| WireError::Truncated)?)
    }

    /// A field table, checked through.
    #[inline]
    pub fn table(&mut self) -> Result<FieldTable, WireError> {
        FieldTable::from_bytes(self.long_str()?)
    }

    /// Everything that is left.
    #[inline]
    pub fn rest(&mut self) -> Bytes {
        let begin = self.at;
        self.at = self.end;
        self.source.slice(begin..self.end)
    }

    /// Refuses octets behind the last field.
    #[inline]
    pub fn finish(&self) -> Result<(), WireError> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(WireError::Trailing(left)),
        }
    }
}

/// Writes a short string.
#[inline]
pub fn put_short_str(to: &mut BytesMut, text: &ShortStr) {
    put_short_bytes(to, text.as_bytes());
}

/// Writes up to 255 octets as a short string; what is longer is cut.
#[inline]
pub(crate) fn put_short_bytes(to: &mut BytesMut, octets: &[u8]) {
    let length = u8::try_from(octets.len()).unwrap_or(u8::MAX);
    to.put_u8(length);
    to.put_slice(octets.get(..usize::from(length)).unwrap_or_default());
}

/// Writes a long string; also a table or array in wire form.
#[inline]
pub fn put_long_str(to: &mut BytesMut, octets: &[u8]) {
    let length = u32::try_from(octets.len()).unwrap_or(u32::MAX);
    to.put_u32(length);
    to.put_slice(octets);
}
