//! Rules of queues by chance, messages that suit them, and what the rules allow
//! to become of a message.

use std::sync::Arc;

use bytes::Bytes;
use warren_amqp::{FieldTable, Properties, PropertiesBuilder, Value};
use warren_queue::{DeadLetter, Deduplicate, Kind, Overflow, Rules};
use warren_replication::message::{Message, SettleReason};

use crate::rng::Rng;

/// A queue's rules: often none, else a few at once.
pub(crate) fn any(rng: &mut Rng) -> Arc<Rules> {
    if rng.percent(40) {
        return Arc::default();
    }
    if rng.percent(15) {
        return Arc::new(Rules { kind: Kind::Delayed, ..Rules::default() });
    }
    let mut rules = Rules::default();
    if rng.percent(40) {
        rules.max_priority = rng.between(1, 4) as u8;
    }
    if rng.percent(40) {
        rules.message_ttl = rng.pick(&[0, 50, 400, 3_000]);
    }
    if rng.percent(30) {
        rules.max_length = Some(rng.between(0, 20));
    }
    if rng.percent(20) {
        rules.max_bytes = Some(rng.between(50, 1_000));
    }
    rules.overflow =
        rng.pick(&[Overflow::DropHead, Overflow::RejectPublish, Overflow::RejectPublishDeadLetter]).unwrap_or_default();
    if rng.percent(50) {
        rules.dead_letter = Some(DeadLetter { exchange: Bytes::from_static(b"dlx"), routing_key: None });
    }
    if rng.percent(30) {
        rules.delivery_limit = Some(rng.between(0, 3) as u32);
    }
    rules.single_active = rng.percent(15);
    if rng.percent(20) {
        rules.deduplicate = Some(Deduplicate { window: rng.between(100, 2_000), values: 1_000 });
    }
    Arc::new(rules)
}

/// Properties of a message for a queue of these rules.
pub(crate) fn properties(rules: &Rules, rng: &mut Rng) -> Bytes {
    let mut properties = PropertiesBuilder::default();
    if rng.percent(5) && rules.kind != Kind::Delayed {
        properties.expiration = Some(Bytes::from(rng.between(0, 500).to_string()));
    }
    if rules.max_priority > 0 && rng.percent(80) {
        properties.priority = Some(rng.below(6) as u8);
    }
    if rules.kind == Kind::Delayed && rng.percent(90) {
        let delay = rng.between(0, 600) as i64;
        properties.headers = Some(FieldTable::from([("x-delay", Value::I64(delay))]));
    }
    if rules.deduplicate.is_some() && rng.percent(70) {
        let value = Value::I64(rng.below(40) as i64);
        properties.headers = Some(FieldTable::from([("x-deduplication-header", value)]));
    }
    properties.encode()
}

fn parsed(message: &Message) -> Option<Properties> {
    Properties::parse(&message.properties).ok()
}

/// For how long a message waits, if not for ever.
pub(crate) fn wait(rules: &Rules, message: &Message) -> Option<u64> {
    let properties = parsed(message)?;
    if rules.kind == Kind::Delayed {
        let delay = properties.headers().and_then(|headers| headers.get("x-delay")?.as_i64());
        return Some(delay.unwrap_or(0) as u64);
    }
    let own = properties.expiration().and_then(|text| std::str::from_utf8(&text).ok()?.parse().ok());
    own.into_iter().chain(rules.message_ttl).min()
}

/// By what the queue knows a message, if it does.
pub(crate) fn value(rules: &Rules, message: &Message) -> Option<i64> {
    rules.deduplicate?;
    parsed(message)?.headers()?.get("x-deduplication-header")?.as_i64()
}

/// Whether a message may leave the queue for this reason.
pub(crate) fn allow(rules: &Rules, reason: SettleReason) -> bool {
    match reason {
        SettleReason::Acked | SettleReason::Purged => true,
        SettleReason::Rejected => rules.dead_letter.is_none(),
        SettleReason::Expired => rules.dead_letter.is_none() && rules.kind != Kind::Delayed,
        SettleReason::Dropped => {
            let limited = rules.max_length.is_some() || rules.max_bytes.is_some() || rules.delivery_limit.is_some();
            limited && rules.dead_letter.is_none()
        }
        SettleReason::DeadLettered => rules.dead_letter.is_some() || rules.kind == Kind::Delayed,
    }
}
