//! Streams (`x-queue-type: stream`): what they may be declared with, and ages as
//! their arguments write them. Texts are RabbitMQ's.

use super::arguments::OF_QUEUES;
use super::command::DeclareQueue;
use super::refusal::{Refusal, Resource};
use super::value::{Arguments, Value};

/// The arguments that mean something to a stream; RabbitMQ refuses it others
/// that mean something to queues.
const OF_STREAMS: &[&str] = &[
    "x-queue-type",
    "x-queue-leader-locator",
    "x-max-length-bytes",
    "x-max-age",
    "x-stream-max-segment-size-bytes",
    "x-stream-filter-size-bytes",
    "x-initial-cluster-size",
];

/// RabbitMQ's limit of `x-stream-max-segment-size-bytes`.
const MAX_SEGMENT: i64 = 3_000_000_000;

/// Whether the arguments ask for a stream.
#[must_use]
pub fn is_stream(arguments: &Arguments) -> bool {
    arguments.get("x-queue-type").and_then(Value::as_str) == Some("stream")
}

/// An age as `x-max-age` says it: a number and a unit of `Y`, `M`, `D`, `h`, `m`
/// or `s` (a year is 365 days, a month 30), in milliseconds.
#[must_use]
pub fn parse_age(text: &str) -> Option<u64> {
    let unit = text.chars().next_back()?;
    let digits = text.get(..text.len() - unit.len_utf8())?;
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let seconds: u64 = match unit {
        'Y' => 365 * 86_400,
        'M' => 30 * 86_400,
        'D' => 86_400,
        'h' => 3_600,
        'm' => 60,
        's' => 1,
        _ => return None,
    };
    let number = digits.parse::<u64>().unwrap_or(u64::MAX);
    (number > 0).then(|| number.saturating_mul(seconds * 1_000))
}

/// Whether a new stream may have these properties.
pub(super) fn check(declare: &DeclareQueue) -> Result<(), Refusal> {
    let resource = Resource::queue(&declare.vhost, &declare.name);
    let unfit = [
        ("auto-delete", declare.auto_delete),
        ("exclusive-owner", declare.exclusive),
        ("non-durable", !declare.durable),
    ];
    if let Some((property, _)) = unfit.into_iter().find(|(_, given)| *given) {
        return Err(Refusal::Argument(format!("invalid property '{property}' for {resource}")));
    }
    for (key, value) in &declare.arguments {
        if OF_QUEUES.contains(&key.as_str()) && !OF_STREAMS.contains(&key.as_str()) {
            return Err(Refusal::Argument(format!(
                "invalid arg '{key}' for {resource} of queue type rabbit_stream_queue"
            )));
        }
        if let Some(fault) = fault(key, value) {
            return Err(Refusal::Argument(format!("invalid arg '{key}' for {resource}: {fault}")));
        }
    }
    let segment = declare.arguments.get("x-stream-max-segment-size-bytes").and_then(Value::as_integer);
    if segment.is_some_and(|bytes| bytes > MAX_SEGMENT) {
        return Err(Refusal::Argument("Exceeded max value for x-stream-max-segment-size-bytes".to_owned()));
    }
    Ok(())
}

/// What is wrong with the value of an argument.
fn fault(key: &str, value: &Value) -> Option<String> {
    match (key, value) {
        ("x-max-age", Value::Text(_)) => {
            value.as_str().and_then(parse_age).is_none().then(|| "invalid_max_age".to_owned())
        }
        ("x-queue-leader-locator", Value::Text(_)) => {
            const LOCATORS: &[&str] = &["client-local", "balanced", "least-leaders", "random"];
            let known = value.as_str().is_some_and(|text| LOCATORS.contains(&text));
            (!known).then(|| "invalid_queue_locator_arg".to_owned())
        }
        ("x-max-age" | "x-queue-leader-locator", other) => Some(format!("{{unacceptable_type,{}}}", other.kind())),
        ("x-max-length-bytes" | "x-stream-max-segment-size-bytes" | "x-initial-cluster-size", _) => {
            match value.as_integer() {
                None => Some(format!("\"expected integer, got {}\"", value.kind())),
                Some(n) if n < 0 => Some(format!("{{value_negative,{n}}}")),
                Some(0) if key == "x-initial-cluster-size" => Some("{value_zero,0}".to_owned()),
                Some(_) => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_read_as_rabbitmq_reads_them() {
        for (text, seconds) in
            [("7D", 604_800), ("12h", 43_200), ("1Y", 31_536_000), ("2M", 5_184_000), ("5m", 300), ("30s", 30)]
        {
            assert_eq!(parse_age(text), Some(seconds * 1_000), "{text}");
        }
        assert_eq!(parse_age("99999999999999999999Y"), Some(u64::MAX));
        for text in ["", "D", "0D", "-1D", "abc", "10", "1y", "1d", "1.5h", "1H", "1D2h", "1é"] {
            assert_eq!(parse_age(text), None, "{text}");
        }
    }
}
