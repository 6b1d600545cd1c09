//! Reading and writing the core's own encodings: little-endian numbers and
//! LEB128 varints, every read bounds-checked, nothing here ever panics.

use bytes::{BufMut, BytesMut};

use crate::types::{Boot, Epoch, Incarnation, Index, NodeId, Position, Process, Session};

/// The bytes end before the value does, or say something impossible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed: {0}")]
pub struct Malformed(pub &'static str);

/// Takes values from the front of a slice.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn bytes(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        if self.rest.len() < n {
            return Err(Malformed("cut short"));
        }
        let (head, rest) = self.rest.split_at(n);
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.bytes(N)?.try_into().map_err(|_| Malformed("cut short"))
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn u128(&mut self) -> Result<u128, Malformed> {
        Ok(u128::from_le_bytes(self.array()?))
    }

    pub(crate) fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed("number too large"));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed("number too long"))
    }

    /// A count of things that take at least `each` bytes: refused when the rest
    /// could not hold them, so that garbage never asks for a large allocation.
    pub(crate) fn count(&mut self, each: usize) -> Result<usize, Malformed> {
        let count = usize::try_from(self.varint()?).map_err(|_| Malformed("count too large"))?;
        if count.saturating_mul(each.max(1)) > self.remaining() {
            return Err(Malformed("count exceeds the bytes there"));
        }
        Ok(count)
    }

    pub(crate) fn position(&mut self) -> Result<Position, Malformed> {
        Ok(Position { epoch: Epoch(self.varint()?), index: Index(self.varint()?) })
    }

    pub(crate) fn process(&mut self) -> Result<Process, Malformed> {
        Ok(Process { node: NodeId(self.u64()?), incarnation: Incarnation(self.u64()?), boot: Boot(self.u64()?) })
    }

    pub(crate) fn session(&mut self) -> Result<Session, Malformed> {
        Ok(Session { process: self.process()?, connection: self.varint()?, channel: self.u16()?, opened: self.u32()? })
    }
}

/// What the encoders write with, beyond [`BufMut`]'s own.
pub(crate) trait Writer {
    fn put_varint(&mut self, value: u64);
    fn put_position(&mut self, position: Position);
    fn put_process(&mut self, process: Process);
    fn put_session(&mut self, session: &Session);
}

impl Writer for BytesMut {
    fn put_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put_u8((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.put_u8(value as u8);
    }

    fn put_position(&mut self, position: Position) {
        self.put_varint(position.epoch.0);
        self.put_varint(position.index.0);
    }

    fn put_process(&mut self, process: Process) {
        self.put_u64_le(process.node.0);
        self.put_u64_le(process.incarnation.0);
        self.put_u64_le(process.boot.0);
    }

    fn put_session(&mut self, session: &Session) {
        self.put_process(session.process);
        self.put_varint(session.connection);
        self.put_u16_le(session.channel);
        self.put_u32_le(session.opened);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn varints_come_back() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut buf = BytesMut::new();
            buf.put_varint(value);
            assert_eq!(Reader::new(&buf).varint(), Ok(value));
            assert!(Reader::new(&buf[..buf.len() - 1]).varint().is_err());
        }
    }

    #[test]
    fn endless_varint_is_refused() {
        assert!(Reader::new(&[0xff; 11]).varint().is_err());
    }

    #[test]
    fn huge_count_is_refused_before_anything_is_allocated() {
        let mut buf = BytesMut::new();
        buf.put_varint(u64::MAX / 2);
        assert!(Reader::new(&buf).count(1).is_err());
    }
}
