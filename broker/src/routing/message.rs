//! What routes are found by: a message's routing keys and properties. The keys
//! are several where headers name more of them (`copies`).

use std::cell::OnceCell;

use bytes::Bytes;
use warren_amqp::{FieldTable, Properties, PropertiesBuilder, Value};
use warren_membership::catalog::Arguments;

use super::copies;
use crate::arguments::from_wire;

/// How long (ms) a delayed-message exchange keeps a message.
const DELAY: &str = "x-delay";
/// The longest delay, as with RabbitMQ's plugin; above it there is none.
const LONGEST_DELAY: i64 = u32::MAX as i64;

/// A message on its way through exchanges. Properties are looked into once, and
/// only if an exchange asks.
pub(super) struct Routed<'m> {
    pub(super) keys: &'m [&'m str],
    pub(super) properties: Option<&'m Properties>,
    headers: OnceCell<Option<FieldTable>>,
    arguments: OnceCell<Arguments>,
}

impl<'m> Routed<'m> {
    pub(super) fn new(keys: &'m [&'m str], properties: Option<&'m Properties>) -> Self {
        Self { keys, properties, headers: OnceCell::new(), arguments: OnceCell::new() }
    }

    pub(super) fn headers(&self) -> Option<&FieldTable> {
        self.headers.get_or_init(|| self.properties?.headers()).as_ref()
    }

    /// Headers as binding arguments are compared with them.
    pub(super) fn arguments(&self) -> &Arguments {
        self.arguments.get_or_init(|| self.headers().map(from_wire).unwrap_or_default())
    }

    /// Whether a delayed-message exchange keeps it for now.
    pub(super) fn is_delayed(&self) -> bool {
        self.headers().is_some_and(|headers| delay(headers).is_some())
    }
}

/// How long (ms) a delayed-message exchange keeps a message with these headers;
/// not at all if they say no whole number, or none above 0.
#[must_use]
pub fn delay(headers: &FieldTable) -> Option<u64> {
    let delay = headers.get(DELAY)?.as_i64().filter(|delay| (1..=LONGEST_DELAY).contains(delay))?;
    Some(delay.unsigned_abs())
}

/// The properties of a message whose delay is over: `x-delay` is negated, as by
/// RabbitMQ's plugin, so that nobody delays it again.
#[must_use]
pub fn no_longer_delayed(properties: &Properties) -> Option<Bytes> {
    let headers = properties.headers()?;
    let negated = headers.iter().map(|(name, value)| match value {
        Value::I8(n) if name == DELAY => (name, Value::I8(-n)),
        Value::I16(n) if name == DELAY => (name, Value::I16(-n)),
        Value::I32(n) if name == DELAY => (name, Value::I32(-n)),
        // What is unsigned has no negative of its type.
        other if name == DELAY => {
            let n = other.as_i64().map_or(other, |n| Value::I64(-n));
            (name, n)
        }
        other => (name, other),
    });
    let headers = Some(negated.collect());
    Some(copies::with_headers(properties.as_bytes(), PropertiesBuilder { headers, ..properties.to_builder() }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn properties(headers: FieldTable) -> Properties {
        let builder = PropertiesBuilder { headers: Some(headers), priority: Some(3), ..PropertiesBuilder::default() };
        Properties::parse(&builder.encode()).unwrap()
    }

    #[test]
    fn delays_are_whole_numbers_above_0() {
        let of = |value: Value| delay(&FieldTable::from([("x-delay", value)]));
        let cases = [
            (Value::from(5), Some(5)),
            (Value::I8(5), Some(5)),
            (Value::U32(u32::MAX), Some(u32::MAX.into())),
            (Value::I64(i64::from(u32::MAX) + 1), None),
            (Value::from(0), None),
            (Value::from(-5), None),
            (Value::F64(5.0), None),
            (Value::from("5"), None),
        ];
        for (value, expected) in cases {
            assert_eq!(of(value.clone()), expected, "{value:?}");
        }
        assert_eq!(delay(&FieldTable::default()), None);
    }

    #[test]
    fn what_was_delayed_says_so_and_is_not_delayed_again() {
        for (before, after) in [(Value::I32(7), Value::I32(-7)), (Value::U16(7), Value::I64(-7))] {
            let headers = FieldTable::from([("a", Value::from(1)), ("x-delay", before), ("b", Value::from(2))]);
            let negated = Properties::parse(&no_longer_delayed(&properties(headers)).unwrap()).unwrap();
            let expected = FieldTable::from([("a", Value::from(1)), ("x-delay", after), ("b", Value::from(2))]);
            assert_eq!(negated.headers(), Some(expected.clone()));
            assert_eq!((delay(&expected), negated.priority()), (None, Some(3)));
        }
    }
}
