//! Field tables and arrays. They stay in wire form, shared with the buffer
//! that they were read from and checked through once; reading them allocates
//! nothing, so that a table costs its own size and no more.
//!
//! Type letters are RabbitMQ's (which depart from the specification's):
//! `t` bool, `b` i8, `B` u8, `s` i16, `u` u16, `I` i32, `i` u32, `l` i64,
//! `f` f32, `d` f64, `D` decimal, `S` long string, `x` octets, `A` array,
//! `T` timestamp, `F` table, `V` void. `L` is read as `l`.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::short_str::ShortStr;
use crate::wire::{self, Cursor, WireError};

/// How deep tables and arrays may lie in each other.
pub const MAX_DEPTH: usize = 64;

/// A checked field table in wire form (without its length). Equal when the
/// octets are: order counts.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct FieldTable(Bytes);

/// A checked field array in wire form (without its length).
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct FieldArray(Bytes);

/// A field's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `t`
    Bool(bool),
    /// `b`
    I8(i8),
    /// `B`
    U8(u8),
    /// `s`
    I16(i16),
    /// `u`
    U16(u16),
    /// `I`
    I32(i32),
    /// `i`
    U32(u32),
    /// `l`
    I64(i64),
    /// `f`
    F32(f32),
    /// `d`
    F64(f64),
    /// `D`: `value` with the decimal point `scale` digits from the right.
    Decimal {
        /// Digits behind the point.
        scale: u8,
        /// All digits.
        value: u32,
    },
    /// `S`: text by habit, any octets in fact.
    LongStr(Bytes),
    /// `x`
    Octets(Bytes),
    /// `A`
    Array(FieldArray),
    /// `T`: seconds since 1970.
    Timestamp(u64),
    /// `F`
    Table(FieldTable),
    /// `V`
    Void,
}

impl Value {
    /// A long string.
    pub fn text(text: impl Into<String>) -> Self {
        Value::LongStr(Bytes::from(text.into()))
    }

    /// The text of a long string that is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::LongStr(octets) => std::str::from_utf8(octets).ok(),
            _ => None,
        }
    }

    /// The number, whatever its width.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::I8(n) => Some(i64::from(*n)),
            Value::U8(n) => Some(i64::from(*n)),
            Value::I16(n) => Some(i64::from(*n)),
            Value::U16(n) => Some(i64::from(*n)),
            Value::I32(n) => Some(i64::from(*n)),
            Value::U32(n) => Some(i64::from(*n)),
            Value::I64(n) => Some(*n),
            _ => None,
        }
    }

    /// The truth.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
        Ok(match from.u8()? {
            b't' => Value::Bool(from.u8()? != 0),
            b'b' => Value::I8(from.u8()?.cast_signed()),
            b'B' => Value::U8(from.u8()?),
            b's' => Value::I16(from.u16()?.cast_signed()),
            b'u' => Value::U16(from.u16()?),
            b'I' => Value::I32(from.u32()?.cast_signed()),
            b'i' => Value::U32(from.u32()?),
            b'l' | b'L' => Value::I64(from.u64()?.cast_signed()),
            b'f' => Value::F32(f32::from_bits(from.u32()?)),
            b'd' => Value::F64(f64::from_bits(from.u64()?)),
            b'D' => Value::Decimal { scale: from.u8()?, value: from.u32()? },
            b'S' => Value::LongStr(from.long_str()?),
            b'x' => Value::Octets(from.long_str()?),
            // What lies inside was checked together with the outermost.
            b'A' => Value::Array(FieldArray(from.long_str()?)),
            b'T' => Value::Timestamp(from.u64()?),
            b'F' => Value::Table(FieldTable(from.long_str()?)),
            b'V' => Value::Void,
            letter => return Err(WireError::FieldType(letter)),
        })
    }

    fn encode(&self, to: &mut BytesMut) {
        match self {
            Value::Bool(truth) => to.put_slice(&[b't', u8::from(*truth)]),
            Value::I8(n) => to.put_slice(&[b'b', n.cast_unsigned()]),
            Value::U8(n) => to.put_slice(&[b'B', *n]),
            Value::I16(n) => (to.put_u8(b's'), to.put_i16(*n)).1,
            Value::U16(n) => (to.put_u8(b'u'), to.put_u16(*n)).1,
            Value::I32(n) => (to.put_u8(b'I'), to.put_i32(*n)).1,
            Value::U32(n) => (to.put_u8(b'i'), to.put_u32(*n)).1,
            Value::I64(n) => (to.put_u8(b'l'), to.put_i64(*n)).1,
            Value::F32(n) => (to.put_u8(b'f'), to.put_f32(*n)).1,
            Value::F64(n) => (to.put_u8(b'd'), to.put_f64(*n)).1,
            Value::Decimal { scale, value } => (to.put_slice(&[b'D', *scale]), to.put_u32(*value)).1,
            Value::LongStr(octets) => (to.put_u8(b'S'), wire::put_long_str(to, octets)).1,
            Value::Octets(octets) => (to.put_u8(b'x'), wire::put_long_str(to, octets)).1,
            Value::Array(array) => (to.put_u8(b'A'), wire::put_long_str(to, &array.0)).1,
            Value::Timestamp(seconds) => (to.put_u8(b'T'), to.put_u64(*seconds)).1,
            Value::Table(table) => (to.put_u8(b'F'), wire::put_long_str(to, &table.0)).1,
            Value::Void => to.put_u8(b'V'),
        }
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Value::LongStr(Bytes::from_static(text.as_bytes()))
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Value::Bool(truth)
    }
}

impl From<i32> for Value {
    fn from(n: i32) -> Self {
        Value::I32(n)
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Value::I64(n)
    }
}

impl From<FieldTable> for Value {
    fn from(table: FieldTable) -> Self {
        Value::Table(table)
    }
}

impl From<FieldArray> for Value {
    fn from(array: FieldArray) -> Self {
        Value::Array(array)
    }
}

impl FieldTable {
    /// From wire form (without the length), checking every field in it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_bytes(wire: Bytes) -> Result<Self, WireError> {
        check_table(&wire, 0)?;
        Ok(FieldTable(wire))
    }

    /// Wire form, without the length.
    #[inline]
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// Whether there is no field in it.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first field of that name.
    pub fn get(&self, name: &str) -> Option<Value> {
        self.iter().find(|(key, _)| key == name.as_bytes()).map(|(_, value)| value)
    }

    /// Its fields in order. Names are text by habit; nobody checks it.
    pub fn iter(&self) -> impl Iterator<Item = (Bytes, Value)> + '_ {
        let mut from = Cursor::new(&self.0);
        std::iter::from_fn(move || {
            let length = usize::from(from.u8().ok()?);
            Some((from.take(length).ok()?, Value::decode(&mut from).ok()?))
        })
    }

    /// A copy that does not keep the read buffer alive.
    pub fn detached(&self) -> Self {
        FieldTable(Bytes::copy_from_slice(&self.0))
    }
}

impl FieldArray {
    /// Its values in order.
    pub fn iter(&self) -> impl Iterator<Item = Value> + '_ {
        let mut from = Cursor::new(&self.0);
        std::iter::from_fn(move || Value::decode(&mut from).ok())
    }

    /// Wire form, without the length.
    #[inline]
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

impl FromIterator<(ShortStr, Value)> for FieldTable {
    fn from_iter<I: IntoIterator<Item = (ShortStr, Value)>>(fields: I) -> Self {
        let mut to = BytesMut::new();
        for (name, value) in fields {
            wire::put_short_str(&mut to, &name);
            value.encode(&mut to);
        }
        FieldTable(to.freeze())
    }
}

impl FromIterator<(Bytes, Value)> for FieldTable {
    /// As [`FieldTable::iter`] gives them; names longer than 255 octets are cut.
    fn from_iter<I: IntoIterator<Item = (Bytes, Value)>>(fields: I) -> Self {
        let mut to = BytesMut::new();
        for (name, value) in fields {
            wire::put_short_bytes(&mut to, &name);
            value.encode(&mut to);
        }
        FieldTable(to.freeze())
    }
}

impl<const N: usize> From<[(&'static str, Value); N]> for FieldTable {
    fn from(fields: [(&'static str, Value); N]) -> Self {
        fields.into_iter().map(|(name, value)| (Bytes::from_static(name.as_bytes()), value)).collect()
    }
}

impl FromIterator<Value> for FieldArray {
    fn from_iter<I: IntoIterator<Item = Value>>(values: I) -> Self {
        let mut to = BytesMut::new();
        for value in values {
            value.encode(&mut to);
        }
        FieldArray(to.freeze())
    }
}

impl fmt::Debug for FieldTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl fmt::Debug for FieldArray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Passes over `wire` as a table's fields, at this depth.
fn check_table(wire: &[u8], depth: usize) -> Result<(), WireError> {
    let mut rest = wire;
    while let Some((&length, behind)) = rest.split_first() {
        rest = check_value(behind.get(usize::from(length)..).ok_or(WireError::Truncated)?, depth)?;
    }
    Ok(())
}

/// Passes over one value, at this depth; what is behind it.
fn check_value(wire: &[u8], depth: usize) -> Result<&[u8], WireError> {
    let (&letter, behind) = wire.split_first().ok_or(WireError::Truncated)?;
    let width = match letter {
        b'V' => 0,
        b't' | b'b' | b'B' => 1,
        b's' | b'u' => 2,
        b'I' | b'i' | b'f' => 4,
        b'D' => 5,
        b'l' | b'L' | b'd' | b'T' => 8,
        b'S' | b'x' | b'A' | b'F' => {
            let (length, behind) = behind.split_first_chunk::<4>().ok_or(WireError::Truncated)?;
            let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| WireError::Truncated)?;
            let (inside, behind) = behind.split_at_checked(length).ok_or(WireError::Truncated)?;
            if depth >= MAX_DEPTH && matches!(letter, b'A' | b'F') {
                return Err(WireError::TooDeep);
            }
            match letter {
                b'F' => check_table(inside, depth + 1)?,
                b'A' => {
                    let mut rest = inside;
                    while !rest.is_empty() {
                        rest = check_value(rest, depth + 1)?;
                    }
                }
                _ => {}
            }
            return Ok(behind);
        }
        _ => return Err(WireError::FieldType(letter)),
    };
    behind.get(width..).ok_or(WireError::Truncated)
}
