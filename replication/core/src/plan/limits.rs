//! The limits that a policy sets: RabbitMQ's policy keys for what a queue keeps
//! and for how long, whatever its mode.

use std::fmt;

use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Limits of a queue; what is `None` is not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Limits {
    /// Milliseconds that a message may wait.
    pub message_ttl: Option<u64>,
    /// Milliseconds without use after which the queue goes.
    pub expires: Option<u64>,
    /// Ready messages at most.
    pub max_length: Option<u64>,
    /// Bytes of ready messages' bodies at most.
    pub max_length_bytes: Option<u64>,
    /// What happens beyond them.
    pub overflow: Option<Overflow>,
    /// Where dead messages go.
    pub dead_letter_exchange: Option<String>,
    /// The routing key they get.
    pub dead_letter_routing_key: Option<String>,
    /// How often a message may be returned.
    pub delivery_limit: Option<u32>,
}

/// `overflow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overflow {
    /// The oldest messages make room.
    DropHead,
    /// New messages are refused.
    RejectPublish,
    /// New messages are refused and dead-lettered.
    RejectPublishDlx,
}

impl Limits {
    /// These limits under an operator's: of two numbers the lower one holds, and
    /// what the operator sets alone holds too.
    #[must_use]
    pub fn under(&self, operator: &Self) -> Self {
        fn lower<T: Ord + Copy>(a: Option<T>, b: Option<T>) -> Option<T> {
            a.into_iter().chain(b).min()
        }
        Self {
            message_ttl: lower(self.message_ttl, operator.message_ttl),
            expires: lower(self.expires, operator.expires),
            max_length: lower(self.max_length, operator.max_length),
            max_length_bytes: lower(self.max_length_bytes, operator.max_length_bytes),
            overflow: operator.overflow.or(self.overflow),
            dead_letter_exchange: self.dead_letter_exchange.clone(),
            dead_letter_routing_key: self.dead_letter_routing_key.clone(),
            delivery_limit: lower(self.delivery_limit, operator.delivery_limit),
        }
    }

    /// Key and value of what is set, as RabbitMQ's policies name them.
    #[must_use]
    pub fn listed(&self) -> Vec<(&'static str, String)> {
        let number = |n: Option<u64>| n.map(|n| n.to_string());
        [
            ("message-ttl", number(self.message_ttl)),
            ("expires", number(self.expires)),
            ("max-length", number(self.max_length)),
            ("max-length-bytes", number(self.max_length_bytes)),
            ("overflow", self.overflow.map(|overflow| overflow.as_str().to_owned())),
            ("dead-letter-exchange", self.dead_letter_exchange.clone()),
            ("dead-letter-routing-key", self.dead_letter_routing_key.clone()),
            ("delivery-limit", self.delivery_limit.map(|n| n.to_string())),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
    }
}

impl Overflow {
    /// As policies and arguments spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DropHead => "drop-head",
            Self::RejectPublish => "reject-publish",
            Self::RejectPublishDlx => "reject-publish-dlx",
        }
    }
}

/// `limits = { … }` as a policy file spells it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LimitsSource {
    #[serde(default)]
    message_ttl: Option<Millis>,
    #[serde(default)]
    expires: Option<Millis>,
    #[serde(default)]
    max_length: Option<u64>,
    #[serde(default)]
    max_length_bytes: Option<Octets>,
    #[serde(default)]
    overflow: Option<Overflow>,
    #[serde(default)]
    dead_letter_exchange: Option<String>,
    #[serde(default)]
    dead_letter_routing_key: Option<String>,
    #[serde(default)]
    delivery_limit: Option<u32>,
}

impl From<LimitsSource> for Limits {
    fn from(source: LimitsSource) -> Self {
        Self {
            message_ttl: source.message_ttl.map(|millis| millis.0),
            expires: source.expires.map(|millis| millis.0),
            max_length: source.max_length,
            max_length_bytes: source.max_length_bytes.map(|octets| octets.0),
            overflow: source.overflow,
            dead_letter_exchange: source.dead_letter_exchange,
            dead_letter_routing_key: source.dead_letter_routing_key,
            delivery_limit: source.delivery_limit,
        }
    }
}

/// Milliseconds, or a number with a unit.
#[derive(Clone, Copy, Debug)]
pub struct Millis(pub u64);

/// Bytes, or a number with a unit.
#[derive(Clone, Copy, Debug)]
pub struct Octets(pub u64);

const TIMES: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZES: &[(&str, u64)] = &[
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

/// A whole number followed by one of these units.
fn measured(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

struct Measure {
    units: &'static [(&'static str, u64)],
    expected: &'static str,
}

impl Visitor<'_> for Measure {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_u64<E: de::Error>(self, n: u64) -> Result<u64, E> {
        Ok(n)
    }

    fn visit_i64<E: de::Error>(self, n: i64) -> Result<u64, E> {
        u64::try_from(n).map_err(|_| E::invalid_value(Unexpected::Signed(n), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
        measured(text, self.units).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "milliseconds, or a time like \"30s\" or \"1h\"";
        deserializer.deserialize_any(Measure { units: TIMES, expected }).map(Self)
    }
}

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "bytes, or a size like \"64KiB\" or \"1GB\"";
        deserializer.deserialize_any(Measure { units: SIZES, expected }).map(Self)
    }
}
