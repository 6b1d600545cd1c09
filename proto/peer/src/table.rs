//! Tables of numbers, and the messages beside them: how what comes in numbers
//! is packed, and unpacked without copying and without trusting anything.
//!
//! A table is a row of LEB128 varints. Growing numbers are written as the
//! difference to the one before. Of a message that has its route (exchange and
//! routing key) or its properties from the one before it, as most have, these
//! are not repeated.

use bytes::{BufMut, Bytes, BytesMut};
use warren_replication::message::Message;
use warren_replication::types::{Boot, ConsumerKey, Incarnation, NodeId, Process};

use crate::words::WordError;

const SAME_ROUTE: u64 = 1;
const SAME_PROPERTIES: u64 = 2;
/// The flags above take so many bits; those of the caller follow.
const OWN_BITS: u32 = 2;

/// Writes a table.
#[derive(Default)]
pub(crate) struct Table {
    bytes: BytesMut,
    last: u64,
}

impl Table {
    /// For so many rows of a few numbers each.
    pub(crate) fn with_rows(rows: usize) -> Self {
        Self { bytes: BytesMut::with_capacity(rows.saturating_mul(6)), last: 0 }
    }

    pub(crate) fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.put_u8(value as u8);
    }

    /// A number near the one that was written so before.
    pub(crate) fn near(&mut self, value: u64) {
        let difference = value.wrapping_sub(self.last) as i64;
        self.last = value;
        self.number(((difference << 1) ^ (difference >> 63)) as u64);
    }

    pub(crate) fn consumer(&mut self, key: &ConsumerKey) {
        self.bytes.put_u64_le(key.process.node.0);
        self.bytes.put_u64_le(key.process.incarnation.0);
        self.number(key.process.boot.0);
        self.number(key.connection);
        self.number(u64::from(key.channel));
        self.number(key.number);
    }

    pub(crate) fn finish(self) -> Bytes {
        self.bytes.freeze()
    }
}

/// Reads a table from the front.
pub(crate) struct Rows<'a> {
    rest: &'a [u8],
    last: u64,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(table: &'a [u8]) -> Self {
        Self { rest: table, last: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn number(&mut self) -> Result<u64, WordError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or(WordError("a table ends early"))?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return if shift == 63 && byte > 1 { Err(WordError("a number is too large")) } else { Ok(value) };
            }
        }
        Err(WordError("a number is too long"))
    }

    pub(crate) fn near(&mut self) -> Result<u64, WordError> {
        let number = self.number()?;
        let difference = (number >> 1) ^ (number & 1).wrapping_neg();
        self.last = self.last.wrapping_add(difference);
        Ok(self.last)
    }

    pub(crate) fn small<T: TryFrom<u64>>(&mut self) -> Result<T, WordError> {
        T::try_from(self.number()?).map_err(|_| WordError("a number is out of range"))
    }

    fn fixed(&mut self) -> Result<u64, WordError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(WordError("a table ends early"))?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    pub(crate) fn consumer(&mut self) -> Result<ConsumerKey, WordError> {
        let process = Process {
            node: NodeId(self.fixed()?),
            incarnation: Incarnation(self.fixed()?),
            boot: Boot(self.number()?),
        };
        Ok(ConsumerKey { process, connection: self.number()?, channel: self.small()?, number: self.number()? })
    }
}

/// Puts messages into a table and a payload.
pub(crate) struct Packer {
    pub(crate) table: Table,
    payload: BytesMut,
    last: Message,
}

impl Packer {
    /// For so many messages that weigh so much together.
    pub(crate) fn new(rows: usize, weight: usize) -> Self {
        Self { table: Table::with_rows(rows), payload: BytesMut::with_capacity(weight), last: Message::default() }
    }

    /// Writes the message, with flags of the caller in front.
    pub(crate) fn message(&mut self, flags: u64, message: &Message) {
        let mut flags = flags << OWN_BITS;
        if message.exchange == self.last.exchange && message.routing_key == self.last.routing_key {
            flags |= SAME_ROUTE;
        }
        if message.properties == self.last.properties {
            flags |= SAME_PROPERTIES;
        }
        self.table.number(flags);
        if flags & SAME_ROUTE == 0 {
            self.part(&message.exchange);
            self.part(&message.routing_key);
        }
        if flags & SAME_PROPERTIES == 0 {
            self.part(&message.properties);
        }
        self.part(&message.body);
        self.last = Message { body: Bytes::new(), ..message.clone() };
    }

    fn part(&mut self, part: &[u8]) {
        self.table.number(part.len() as u64);
        self.payload.put_slice(part);
    }

    pub(crate) fn finish(self) -> (Bytes, Bytes) {
        (self.table.finish(), self.payload.freeze())
    }
}

/// Takes messages out again, as slices of the payload.
pub(crate) struct Unpacker<'a> {
    pub(crate) rows: Rows<'a>,
    payload: Bytes,
    last: Message,
}

impl<'a> Unpacker<'a> {
    pub(crate) fn new(table: &'a [u8], payload: Bytes) -> Self {
        Self { rows: Rows::new(table), payload, last: Message::default() }
    }

    /// The next message with its caller's flags.
    pub(crate) fn message(&mut self) -> Result<(u64, Message), WordError> {
        let flags = self.rows.number()?;
        if flags & SAME_ROUTE == 0 {
            self.last.exchange = self.part()?;
            self.last.routing_key = self.part()?;
        }
        if flags & SAME_PROPERTIES == 0 {
            self.last.properties = self.part()?;
        }
        let message = Message { body: self.part()?, ..self.last.clone() };
        Ok((flags >> OWN_BITS, message))
    }

    fn part(&mut self) -> Result<Bytes, WordError> {
        let length: usize = self.rows.small()?;
        if length > self.payload.len() {
            return Err(WordError("a payload ends early"));
        }
        Ok(self.payload.split_to(length))
    }

    /// Nothing may be left over.
    pub(crate) fn finish(self) -> Result<(), WordError> {
        if self.payload.is_empty() { Ok(()) } else { Err(WordError("a payload is too long")) }
    }
}
