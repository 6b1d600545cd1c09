//! Arguments of `queue.declare`: which are understood and what they must be; and
//! when two declares, of queues or exchanges, are the same. Texts are RabbitMQ's.

use std::fmt::Display;

use super::command::DeclareQueue;
use super::refusal::{Inequivalence, Refusal, Resource};
use super::streams;
use super::value::{Arguments, Value};

/// What a redeclared queue is compared by; other arguments mean nothing here,
/// and are ignored as RabbitMQ ignores them.
pub(super) const OF_QUEUES: &[&str] = &[
    "x-queue-type",
    "x-queue-mode",
    "x-queue-version",
    "x-queue-leader-locator",
    "x-queue-master-locator",
    "x-expires",
    "x-message-ttl",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-max-priority",
    "x-overflow",
    "x-single-active-consumer",
    "x-delivery-limit",
    "x-quorum-initial-group-size",
    "x-initial-cluster-size",
    "x-max-age",
    "x-stream-max-segment-size-bytes",
    "x-stream-filter-size-bytes",
];

/// What means nothing to queues of the classic type, and is refused.
const NOT_OF_CLASSIC: &[&str] = &[
    "x-delivery-limit",
    "x-dead-letter-strategy",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-quorum-initial-group-size",
    "x-initial-cluster-size",
    "x-max-age",
    "x-stream-max-segment-size-bytes",
    "x-stream-filter-size-bytes",
];

/// The same of the quorum type.
const NOT_OF_QUORUM: &[&str] = &[
    "x-max-priority",
    "x-queue-mode",
    "x-queue-version",
    "x-queue-master-locator",
    "x-initial-cluster-size",
    "x-max-age",
    "x-stream-max-segment-size-bytes",
    "x-stream-filter-size-bytes",
];

/// The longest time of `x-expires` and `x-message-ttl`: ten years.
const MAX_TIME: i64 = 315_360_000_000;

const OVERFLOWS: &[&str] = &["drop-head", "reject-publish", "reject-publish-dlx"];
const STRATEGIES: &[&str] = &["at-most-once", "at-least-once"];

/// What a redeclared exchange is compared by.
pub(super) const OF_EXCHANGES: &[&str] = &["alternate-exchange"];

/// The queue types that are known; a quorum queue, and a stream, is one whose
/// minimum of in-sync mirrors is a majority whatever its policy says.
const TYPES: &[&str] = &["classic", "quorum", "stream"];

/// Where RabbitMQ lets a queue's leader be asked for.
const LOCATORS: &[&str] = &["client-local", "balanced", "min-masters", "random"];

/// Whether the arguments ask for a quorum queue.
pub(super) fn is_quorum(arguments: &Arguments) -> bool {
    queue_type(arguments) == "quorum"
}

/// The type of queue that the arguments ask for.
fn queue_type(arguments: &Arguments) -> &'static str {
    match arguments.get("x-queue-type").and_then(Value::as_str) {
        Some("quorum") => "quorum",
        Some("stream") => "stream",
        _ => "classic",
    }
}

/// Whether the arguments ask for a leader where the client is (`true`) or where
/// there is least (`false`).
pub(super) fn client_local(arguments: &Arguments) -> Option<bool> {
    let locator = arguments.get("x-queue-leader-locator").or_else(|| arguments.get("x-queue-master-locator"));
    locator.and_then(Value::as_str).map(|name| name == "client-local")
}

/// Whether a new queue may have these properties.
pub(super) fn check_queue(declare: &DeclareQueue) -> Result<(), Refusal> {
    let kind = queue_type(&declare.arguments);
    if declare.server_named && kind != "classic" {
        return Err(Refusal::Argument(format!("Cannot declare a server-named queue for type rabbit_{kind}_queue")));
    }
    if kind == "stream" {
        return streams::check(declare);
    }
    let resource = Resource::queue(&declare.vhost, &declare.name);
    let unknown = if kind == "quorum" { NOT_OF_QUORUM } else { NOT_OF_CLASSIC };
    for (key, value) in &declare.arguments {
        if unknown.contains(&key.as_str()) {
            let text = format!("invalid arg '{key}' for {resource} of queue type rabbit_{kind}_queue");
            return Err(Refusal::Argument(text));
        }
        let fault = match key.as_str() {
            "x-queue-type" => one_of(value, TYPES, |text| format!("\"unsupported queue type '{text}'\"")),
            "x-queue-mode" => {
                one_of(value, &["default", "lazy"], |text| format!("\"unsupported queue mode '{text}'\""))
            }
            "x-queue-version" => match value.as_integer() {
                Some(1 | 2) => None,
                Some(n) if n < 0 => Some(format!("{{value_negative,{n}}}")),
                Some(n) => Some(format!("\"unsupported queue version '{n}'\"")),
                None => Some(format!("\"expected integer, got {}\"", value.kind())),
            },
            "x-queue-leader-locator" | "x-queue-master-locator" => {
                one_of(value, LOCATORS, |_| "invalid_queue_locator_arg".to_owned())
            }
            "x-expires" => whole(value, |n| match n {
                0 => Some("{value_zero,0}".to_owned()),
                n => too_long(n),
            }),
            "x-message-ttl" => whole(value, too_long),
            "x-max-length" | "x-max-length-bytes" | "x-max-in-memory-length" | "x-max-in-memory-bytes" => {
                whole(value, |_| None)
            }
            "x-max-priority" => whole(value, |n| (n > 255).then(|| format!("{{max_value_exceeded,{n}}}"))),
            "x-quorum-initial-group-size" => whole(value, |n| (n == 0).then(|| "{value_zero,0}".to_owned())),
            "x-overflow" => one_of(value, OVERFLOWS, |_| "invalid_overflow".to_owned()),
            "x-dead-letter-strategy" => one_of(value, STRATEGIES, |_| "invalid_dlx_strategy".to_owned()),
            "x-single-active-consumer" => match value {
                Value::Bool(_) => None,
                other => Some(unacceptable(other)),
            },
            "x-dead-letter-exchange" => match value {
                Value::Text(_) => None,
                other => {
                    let kind = other.kind();
                    return Err(Refusal::Argument(format!("invalid type '{kind}' for arg '{key}' in {resource}")));
                }
            },
            "x-dead-letter-routing-key" => match value {
                Value::Text(_) if declare.arguments.contains_key("x-dead-letter-exchange") => None,
                Value::Text(_) => Some("routing_key_but_no_dlx_defined".to_owned()),
                other => Some(unacceptable(other)),
            },
            _ => None,
        };
        if let Some(fault) = fault {
            return Err(Refusal::Argument(format!("invalid arg '{key}' for {resource}: {fault}")));
        }
    }
    if kind == "quorum" {
        let unfit = [
            ("non-durable", !declare.durable),
            ("exclusive-owner", declare.exclusive),
            ("auto-delete", declare.auto_delete),
        ];
        if let Some((property, _)) = unfit.into_iter().find(|(_, given)| *given) {
            return Err(Refusal::Argument(format!("invalid property '{property}' for {resource}")));
        }
    }
    Ok(())
}

/// What is wrong with a whole number that must not be negative.
fn whole(value: &Value, fault: impl Fn(i64) -> Option<String>) -> Option<String> {
    match value.as_integer() {
        None => Some(format!("\"expected integer, got {}\"", value.kind())),
        Some(n) if n < 0 => Some(format!("{{value_negative,{n}}}")),
        Some(n) => fault(n),
    }
}

fn too_long(millis: i64) -> Option<String> {
    (millis > MAX_TIME).then(|| format!("{{value_too_large,{millis}}}"))
}

fn unacceptable(value: &Value) -> String {
    format!("{{unacceptable_type,{}}}", value.kind())
}

fn one_of(value: &Value, known: &[&str], otherwise: impl Fn(&str) -> String) -> Option<String> {
    match value {
        Value::Text(bytes) => {
            let text = String::from_utf8_lossy(bytes);
            (!known.contains(&text.as_ref())).then(|| otherwise(&text))
        }
        other => Some(unacceptable(other)),
    }
}

/// Whether a property is as it was.
pub(super) fn same_flag<T: PartialEq + Display>(
    resource: impl Fn() -> Resource,
    name: &str,
    received: T,
    current: T,
) -> Result<(), Refusal> {
    if received == current {
        return Ok(());
    }
    let (received, current) = (format!("'{received}'"), format!("'{current}'"));
    Err(inequivalent(resource(), name, received, current))
}

/// Whether the arguments that mean something are as they were.
pub(super) fn same(
    resource: impl Fn() -> Resource,
    keys: &[&str],
    received: &Arguments,
    current: &Arguments,
) -> Result<(), Refusal> {
    // RabbitMQ names the type only where one of the two says nothing.
    let said = |value: Option<&Value>, other: Option<&Value>| match (value, other) {
        (None, _) => "none".to_owned(),
        (Some(value), None) => format!("the value '{value}' of type '{}'", value.kind()),
        (Some(value), Some(_)) => format!("'{value}'"),
    };
    for key in keys {
        let (new, old) = (received.get(*key), current.get(*key));
        let equal = match (new, old) {
            (Some(new), Some(old)) => new.same_as(old),
            (None, None) => true,
            // A queue without a type is a classic one.
            (Some(only), None) | (None, Some(only)) => *key == "x-queue-type" && only.as_str() == Some("classic"),
        };
        if !equal {
            return Err(inequivalent(resource(), key, said(new, old), said(old, new)));
        }
    }
    Ok(())
}

fn inequivalent(resource: Resource, argument: &str, received: String, current: String) -> Refusal {
    Refusal::Inequivalent(Box::new(Inequivalence { resource, argument: argument.to_owned(), received, current }))
}
