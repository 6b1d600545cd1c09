//! Argument tables of queues, exchanges and bindings, as the catalog keeps
//! them: ordered, comparable, and of AMQP's types, so that what was declared
//! can be told again and compared as RabbitMQ does.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// `x-…` arguments by name.
pub type Arguments = BTreeMap<String, Value>;

/// One AMQP 0-9-1 field value. Floats are kept as their bits, so that tables
/// are `Eq` and `Ord`; use [`Value::same_as`] to compare by number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Value {
    /// `V`
    Void,
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
    /// `f`, as bits
    F32(u32),
    /// `d`, as bits
    F64(u64),
    /// `D`: decimal places and digits
    Decimal(u8, u32),
    /// `S`: not always text
    Text(Bytes),
    /// `x`
    Binary(Bytes),
    /// `T`: seconds
    Timestamp(u64),
    /// `A`
    Array(Vec<Value>),
    /// `F`
    Table(Arguments),
}

impl Value {
    /// A text value.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Text(Bytes::copy_from_slice(text.as_bytes()))
    }

    /// The text, if it is one and is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => std::str::from_utf8(text).ok(),
            _ => None,
        }
    }

    /// The number, if it is a whole one of any width.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match *self {
            Self::I8(n) => Some(n.into()),
            Self::U8(n) => Some(n.into()),
            Self::I16(n) => Some(n.into()),
            Self::U16(n) => Some(n.into()),
            Self::I32(n) => Some(n.into()),
            Self::U32(n) => Some(n.into()),
            Self::I64(n) => Some(n),
            _ => None,
        }
    }

    /// The name of the type, as RabbitMQ's messages say it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Void => "void",
            Self::Bool(_) => "bool",
            Self::I8(_) => "byte",
            Self::U8(_) => "unsignedbyte",
            Self::I16(_) => "short",
            Self::U16(_) => "unsignedshort",
            Self::I32(_) => "signedint",
            Self::U32(_) => "unsignedint",
            Self::I64(_) => "long",
            Self::F32(_) => "float",
            Self::F64(_) => "double",
            Self::Decimal(..) => "decimal",
            Self::Text(_) => "longstr",
            Self::Binary(_) => "binary",
            Self::Timestamp(_) => "timestamp",
            Self::Array(_) => "array",
            Self::Table(_) => "table",
        }
    }

    fn as_float(&self) -> Option<f64> {
        match *self {
            Self::F32(bits) => Some(f32::from_bits(bits).into()),
            Self::F64(bits) => Some(f64::from_bits(bits)),
            _ => None,
        }
    }

    /// Equality as RabbitMQ has it for arguments and headers: whole numbers of
    /// every width are one type, floats are another; everything else must be
    /// of the same type and value.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        if let (Some(a), Some(b)) = (self.as_integer(), other.as_integer()) {
            return a == b;
        }
        if let (Some(a), Some(b)) = (self.as_float(), other.as_float()) {
            return a.partial_cmp(&b) == Some(Ordering::Equal);
        }
        self == other
    }
}

impl fmt::Display for Value {
    /// The value alone, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // What RabbitMQ calls it.
            Self::Void => f.write_str("undefined"),
            Self::Bool(b) => b.fmt(f),
            Self::Decimal(places, digits) => write!(f, "{digits}e-{places}"),
            Self::Text(bytes) | Self::Binary(bytes) => f.write_str(&String::from_utf8_lossy(bytes)),
            Self::Timestamp(seconds) => seconds.fmt(f),
            Self::Array(values) => {
                f.write_str("[")?;
                for (i, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if i == 0 { "" } else { "," })?;
                }
                f.write_str("]")
            }
            Self::Table(table) => {
                f.write_str("{")?;
                for (i, (key, value)) in table.iter().enumerate() {
                    write!(f, "{}{key}={value}", if i == 0 { "" } else { "," })?;
                }
                f.write_str("}")
            }
            whole_or_float => match (whole_or_float.as_integer(), whole_or_float.as_float()) {
                (Some(n), _) => n.fmt(f),
                (None, Some(n)) => n.fmt(f),
                (None, None) => Ok(()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_across_widths_but_not_across_kinds() {
        assert!(Value::I32(5).same_as(&Value::I64(5)));
        assert!(Value::U8(5).same_as(&Value::I16(5)));
        assert!(!Value::I32(5).same_as(&Value::I64(6)));
        assert!(Value::F32(1.5f32.to_bits()).same_as(&Value::F64(1.5f64.to_bits())));
        assert!(!Value::I32(1).same_as(&Value::F64(1f64.to_bits())));
        assert!(!Value::I32(1).same_as(&Value::Bool(true)));
        assert!(Value::text("a").same_as(&Value::text("a")));
        assert!(!Value::text("a").same_as(&Value::Binary(Bytes::from_static(b"a"))));
    }

    #[test]
    fn values_print_for_people() {
        let table = Arguments::from([
            ("k".into(), Value::I8(-1)),
            ("l".into(), Value::Array(vec![Value::text("x"), Value::Void])),
        ]);
        assert_eq!(Value::Table(table).to_string(), "{k=-1,l=[x,undefined]}");
        assert_eq!(Value::F64(2.5f64.to_bits()).to_string(), "2.5");
    }
}
