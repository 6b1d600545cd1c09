//! A queue's rules, compiled from what the catalog has of it.

use std::sync::Arc;

use bytes::Bytes;
use warren_membership::catalog::{Arguments, Queue, State, Value, streams};
use warren_queue::{DeadLetter, Deduplicate, Kind, Once, Overflow, Rules};
use warren_replication::plan::{self, Limits};

/// So many values are remembered if nobody says how many.
const VALUES: u32 = 1_000_000;
/// And for so long (ms): a hundred years. Of too many the oldest go first.
const FOREVER: u64 = 100 * 365 * 86_400_000;

/// What a queue does beside keeping messages in order. The catalog has checked
/// the arguments when it was declared; what is no sense is as if not there.
pub(super) fn rules(state: &State, queue: &Queue) -> Arc<Rules> {
    if queue.waiting_room_of.is_some() {
        return Arc::new(Rules { kind: Kind::Delayed, ..Rules::default() });
    }
    let text = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let once = state.once(queue).into_iter().map(|once| {
        let known = Deduplicate { window: once.ttl.unwrap_or(FOREVER), values: once.size };
        Once { exchange: text(once.exchange), by: text(once.by), known }
    });
    Arc::new(Rules { once: once.collect(), ..compile(&queue.arguments, &queue.plan.limits) })
}

/// As RabbitMQ does it: of two numbers the lower one holds, of anything else what
/// the queue was declared with.
fn compile(arguments: &Arguments, policy: &Limits) -> Rules {
    let text = |key: &str| match arguments.get(key) {
        Some(Value::Text(text)) => Some(text.clone()),
        _ => None,
    };
    let word = |key: &str| arguments.get(key).and_then(Value::as_str);
    let number = |key: &str| arguments.get(key).and_then(Value::as_integer).and_then(|n| u64::try_from(n).ok());
    let flag = |key: &str| matches!(arguments.get(key), Some(Value::Bool(true)));
    let kind = if streams::is_stream(arguments) {
        Kind::Stream { max_age: word("x-max-age").and_then(streams::parse_age) }
    } else {
        Kind::Queue
    };
    let quorum = word("x-queue-type") == Some("quorum");
    let lower = |key: &str, policy: Option<u64>| number(key).into_iter().chain(policy).min();
    let policy_text = |text: &Option<String>| text.as_ref().map(|text| Bytes::copy_from_slice(text.as_bytes()));
    let delivery_limit = lower("x-delivery-limit", policy.delivery_limit.map(u64::from));
    let delivery_limit = delivery_limit.map(|limit| u32::try_from(limit).unwrap_or(u32::MAX));
    let routing_key = text("x-dead-letter-routing-key").or_else(|| policy_text(&policy.dead_letter_routing_key));
    let exchange = text("x-dead-letter-exchange").or_else(|| policy_text(&policy.dead_letter_exchange));
    Rules {
        kind,
        message_ttl: lower("x-message-ttl", policy.message_ttl),
        expires: lower("x-expires", policy.expires),
        max_length: lower("x-max-length", policy.max_length),
        max_bytes: lower("x-max-length-bytes", policy.max_length_bytes),
        overflow: match word("x-overflow").or(policy.overflow.map(plan::Overflow::as_str)) {
            Some("reject-publish") => Overflow::RejectPublish,
            Some("reject-publish-dlx") => Overflow::RejectPublishDeadLetter,
            _ => Overflow::DropHead,
        },
        dead_letter: exchange.map(|exchange| DeadLetter { exchange, routing_key }),
        max_priority: number("x-max-priority").map_or(0, |priority| u8::try_from(priority).unwrap_or(u8::MAX)),
        single_active: flag("x-single-active-consumer"),
        delivery_limit,
        counted: quorum || delivery_limit.is_some(),
        deduplicate: flag("x-message-deduplication").then(|| Deduplicate {
            window: number("x-cache-ttl").unwrap_or(FOREVER),
            values: number("x-cache-size").and_then(|n| u32::try_from(n).ok()).unwrap_or(VALUES),
        }),
        once: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_become_rules() {
        let of_arguments = |arguments: &Arguments| compile(arguments, &Limits::default());
        assert_eq!(of_arguments(&Arguments::new()), Rules::default());
        let arguments = Arguments::from([
            ("x-message-ttl".to_owned(), Value::I32(5)),
            ("x-max-priority".to_owned(), Value::U8(9)),
            ("x-overflow".to_owned(), Value::text("reject-publish")),
            ("x-dead-letter-exchange".to_owned(), Value::text("")),
            ("x-single-active-consumer".to_owned(), Value::Bool(true)),
            ("x-max-length".to_owned(), Value::text("no number")),
        ]);
        let rules = Rules {
            message_ttl: Some(5),
            max_priority: 9,
            overflow: Overflow::RejectPublish,
            dead_letter: Some(DeadLetter { exchange: Bytes::new(), routing_key: None }),
            single_active: true,
            ..Rules::default()
        };
        assert_eq!(of_arguments(&arguments), rules);
        let quorum = Arguments::from([
            ("x-queue-type".to_owned(), Value::text("quorum")),
            ("x-delivery-limit".to_owned(), Value::I64(3)),
        ]);
        assert_eq!(of_arguments(&quorum), Rules { delivery_limit: Some(3), counted: true, ..Rules::default() });
        let stream = Arguments::from([
            ("x-queue-type".to_owned(), Value::text("stream")),
            ("x-max-age".to_owned(), Value::text("1m")),
        ]);
        assert_eq!(of_arguments(&stream).kind, Kind::Stream { max_age: Some(60_000) });
    }

    #[test]
    fn a_policy_lowers_numbers_and_says_what_the_arguments_do_not() {
        let policy = Limits {
            message_ttl: Some(9),
            max_length: Some(3),
            overflow: Some(plan::Overflow::RejectPublish),
            dead_letter_exchange: Some("policy's".to_owned()),
            dead_letter_routing_key: Some("key".to_owned()),
            ..Limits::default()
        };
        let arguments = Arguments::from([
            ("x-message-ttl".to_owned(), Value::I32(5)),
            ("x-max-length".to_owned(), Value::I32(5)),
            ("x-dead-letter-exchange".to_owned(), Value::text("own")),
        ]);
        let rules = compile(&arguments, &policy);
        assert_eq!((rules.message_ttl, rules.max_length, rules.overflow), (Some(5), Some(3), Overflow::RejectPublish));
        let (exchange, routing_key) = (Bytes::from_static(b"own"), Some(Bytes::from_static(b"key")));
        assert_eq!(rules.dead_letter, Some(DeadLetter { exchange, routing_key }));
    }
}
