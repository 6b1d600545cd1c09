//! The types of exchanges: their names, what they may be declared with, and
//! what a binding to one must look like. Texts are RabbitMQ's and its plugins'.

use serde::{Deserialize, Serialize};

use super::deduplication;
use super::refusal::{Refusal, Resource};
use super::value::{Arguments, Value};

/// How an exchange routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ExchangeKind {
    /// Key equals.
    Direct,
    /// Always.
    Fanout,
    /// Key matches a pattern of words.
    Topic,
    /// Headers match.
    Headers,
    /// One of the destinations, by a hash of the key, a header or a property.
    ConsistentHash,
    /// One of the destinations, by chance.
    Random,
    /// As another type does, once the message's `x-delay` is over.
    Delayed,
    /// Always, but each value of a header once.
    Deduplicating,
}

/// Which type a delayed-message exchange routes as.
const DELAYED_TYPE: &str = "x-delayed-type";
/// What a consistent-hash exchange goes by instead of the routing key.
const HASH_HEADER: &str = "hash-header";
const HASH_PROPERTY: &str = "hash-property";

/// What a consistent-hash exchange goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashOn {
    /// The routing key.
    RoutingKey,
    /// That header.
    Header(String),
    /// `correlation_id`
    CorrelationId,
    /// `message_id`
    MessageId,
    /// `timestamp`
    Timestamp,
}

impl ExchangeKind {
    const ALL: [Self; 8] = [
        Self::Direct,
        Self::Fanout,
        Self::Topic,
        Self::Headers,
        Self::ConsistentHash,
        Self::Random,
        Self::Delayed,
        Self::Deduplicating,
    ];

    /// As clients say it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Topic => "topic",
            Self::Headers => "headers",
            Self::ConsistentHash => "x-consistent-hash",
            Self::Random => "x-random",
            Self::Delayed => "x-delayed-message",
            Self::Deduplicating => "x-message-deduplication",
        }
    }

    /// From what a client says.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The type that an exchange of this type with these arguments routes as.
    #[must_use]
    pub fn routes_as(self, arguments: &Arguments) -> Self {
        match self {
            Self::Delayed => {
                arguments.get(DELAYED_TYPE).and_then(Value::as_str).and_then(Self::parse).unwrap_or(Self::Direct)
            }
            kind => kind,
        }
    }
}

impl HashOn {
    /// From the arguments of a consistent-hash exchange.
    #[must_use]
    pub fn of(arguments: &Arguments) -> Self {
        if let Some(header) = arguments.get(HASH_HEADER).and_then(Value::as_str) {
            return Self::Header(header.to_owned());
        }
        match arguments.get(HASH_PROPERTY).and_then(Value::as_str) {
            Some("correlation_id") => Self::CorrelationId,
            Some("message_id") => Self::MessageId,
            Some("timestamp") => Self::Timestamp,
            _ => Self::RoutingKey,
        }
    }
}

/// Whether a new exchange of that type may have these arguments.
pub(super) fn check_exchange(resource: &Resource, kind: ExchangeKind, arguments: &Arguments) -> Result<(), Refusal> {
    if let Some(other) = arguments.get("alternate-exchange").filter(|value| !matches!(value, Value::Text(_))) {
        let kind = other.kind();
        return Err(Refusal::Argument(format!("invalid type '{kind}' for arg 'alternate-exchange' in {resource}")));
    }
    match kind {
        ExchangeKind::ConsistentHash => check_hash(arguments),
        ExchangeKind::Deduplicating => deduplication::check(arguments),
        ExchangeKind::Delayed => match arguments.get(DELAYED_TYPE) {
            Some(Value::Text(text)) if text == ExchangeKind::Delayed.name() => Err(Refusal::Argument(
                "Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'".to_owned(),
            )),
            Some(Value::Text(text)) => {
                let text = String::from_utf8_lossy(text);
                let inner =
                    ExchangeKind::parse(&text).ok_or_else(|| Refusal::UnknownExchangeType(text.into_owned()))?;
                check_exchange(resource, inner, arguments)
            }
            _ => Err(Refusal::Argument(
                "Invalid argument, 'x-delayed-type' must be an existing exchange type".to_owned(),
            )),
        },
        _ => Ok(()),
    }
}

fn check_hash(arguments: &Arguments) -> Result<(), Refusal> {
    let refused = |text: String| Err(Refusal::Argument(text));
    match (arguments.get(HASH_HEADER), arguments.get(HASH_PROPERTY)) {
        (Some(_), Some(_)) => refused(format!("{HASH_HEADER} and {HASH_PROPERTY} are mutually exclusive")),
        // RabbitMQ closes the connection with an internal error.
        (Some(value), None) if value.as_str().is_none() => {
            refused(format!("{HASH_HEADER} must be a string, not {}", value.kind()))
        }
        (None, Some(value)) => match value.as_str() {
            Some("correlation_id" | "message_id" | "timestamp") => Ok(()),
            _ => refused(format!("Unsupported property: {value}")),
        },
        _ => Ok(()),
    }
}

/// Whether a binding to an exchange that routes as this type makes sense.
pub(super) fn check_binding(kind: ExchangeKind, routing_key: &str, arguments: &Arguments) -> Result<(), Refusal> {
    match kind {
        ExchangeKind::Headers => check_headers_binding(arguments),
        ExchangeKind::ConsistentHash => hash_weight(routing_key).map(drop),
        _ => Ok(()),
    }
}

/// The weight that a binding key of a consistent-hash exchange says.
fn hash_weight(routing_key: &str) -> Result<u64, Refusal> {
    let refused = |text: String| Err(Refusal::Argument(text));
    match routing_key.parse::<i128>() {
        Ok(weight) if weight <= 0 => refused("The binding key must be greater than 0".to_owned()),
        Ok(weight) => Ok(u64::try_from(weight).unwrap_or(u64::MAX)),
        Err(_) if routing_key.is_empty() => refused("The binding key must be an integer: <<>>".to_owned()),
        Err(_) => refused(format!("The binding key must be an integer: <<\"{routing_key}\">>")),
    }
}

fn check_headers_binding(arguments: &Arguments) -> Result<(), Refusal> {
    const MATCHES: [&str; 4] = ["all", "any", "all-with-x", "any-with-x"];
    match arguments.get("x-match") {
        None => Ok(()),
        Some(value @ Value::Text(_)) if value.as_str().is_some_and(|text| MATCHES.contains(&text)) => Ok(()),
        Some(value @ Value::Text(_)) => Err(Refusal::Argument(format!(
            "Invalid x-match field value <<\"{value}\">>; expected all, any, all-with-x, or any-with-x"
        ))),
        Some(value) => Err(Refusal::Argument(format!(
            "Invalid x-match field type {} (value {value}); expected longstr",
            value.kind()
        ))),
    }
}
