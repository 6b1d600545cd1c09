//! What messages are known by (§4.8): hashes of the value of their header
//! `x-deduplication-header`, one for the queue itself if it de-duplicates, and one
//! for each de-duplicating exchange that they came through. They are in the log,
//! so what they are made of must never change.

use warren_amqp::{FieldTable, Properties, Value};
use warren_queue::{Deduplicate, Rules};
use warren_replication::keys::Key;
use warren_replication::message::Message;
use warren_replication::step::Terms;

/// Whether these rules know messages by keys.
pub(crate) fn asks(rules: &Rules) -> bool {
    rules.deduplicate.is_some() || !rules.once.is_empty()
}

/// Says on what terms messages are taken that may be known already.
pub(crate) fn terms(rules: &Rules, messages: &[(u64, Message)], terms: &mut Terms) {
    terms.keys = messages.iter().map(|(_, message)| keys(rules, message)).collect();
    let exchanges = rules.once.iter().map(|once| (&once.by, once.known.values));
    let exchanges: std::collections::BTreeMap<_, _> = exchanges.collect();
    let own = rules.deduplicate.map(|known| known.values);
    terms.most_keys = exchanges.into_values().chain(own).fold(0, u32::saturating_add);
}

/// A message's keys, each with how long it keeps others out.
fn keys(rules: &Rules, message: &Message) -> Vec<(Key, u64)> {
    let mut through = rules.once.iter().filter(|once| once.exchange == message.exchange).peekable();
    if rules.deduplicate.is_none() && through.peek().is_none() {
        return Vec::new();
    }
    let headers = Properties::parse(&message.properties).ok().and_then(|properties| properties.headers());
    let Some(headers) = headers else { return Vec::new() };
    let Some((kind, value)) = headers.get("x-deduplication-header").and_then(value) else { return Vec::new() };
    let own = rules.deduplicate.map(|Deduplicate { window, .. }| (hash(std::iter::once(&kind).chain(&value)), window));
    let exchanges = through.map(|once| {
        let between = [0, kind];
        let scoped = b"x".iter().chain(&once.by).chain(&between).chain(&value);
        (hash(scoped), said_ttl(&headers).unwrap_or(once.known.window))
    });
    own.into_iter().chain(exchanges).collect()
}

/// The header `x-cache-ttl`, by which a message says how long (ms) an exchange
/// shall know it.
fn said_ttl(headers: &FieldTable) -> Option<u64> {
    headers.get("x-cache-ttl")?.as_i64().and_then(|ttl| u64::try_from(ttl).ok())
}

/// The kind and the octets of a value.
fn value(value: Value) -> Option<(u8, Vec<u8>)> {
    Some(match value {
        Value::LongStr(text) => (b'S', text.to_vec()),
        Value::Void => return None,
        Value::Bool(truth) => (b't', vec![u8::from(truth)]),
        other => match other.as_i64() {
            Some(number) => (b'l', number.to_le_bytes().to_vec()),
            None => (b'?', format!("{other:?}").into_bytes()),
        },
    })
}

/// FNV-1a of 128 bits.
fn hash<'a>(bytes: impl Iterator<Item = &'a u8>) -> Key {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.fold(BASIS, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use bytes::Bytes;
    use warren_amqp::PropertiesBuilder;
    use warren_queue::Once;

    use super::*;

    fn message(exchange: &'static str, headers: &[(&'static str, Value)]) -> Message {
        let headers = headers.iter().map(|(name, value)| (Bytes::from_static(name.as_bytes()), value.clone()));
        let properties = PropertiesBuilder { headers: Some(headers.collect()), ..PropertiesBuilder::default() };
        Message { exchange: exchange.into(), properties: properties.encode(), ..Message::default() }
    }

    fn once(exchange: &'static str, by: &'static str) -> Once {
        let known = Deduplicate { window: 50, values: 5 };
        Once { exchange: exchange.into(), by: by.into(), known }
    }

    #[test]
    fn a_value_is_known_to_each_exchange_and_to_the_queue_by_itself() {
        let value = || ("x-deduplication-header", Value::from("v"));
        let rules = Rules {
            deduplicate: Some(Deduplicate { window: 9, values: 7 }),
            once: vec![once("a", "a"), once("b", "a"), once("a", "c")],
            ..Rules::default()
        };
        let of = |message: &Message| keys(&rules, message);
        let (by_a, by_b, direct) =
            (of(&message("a", &[value()])), of(&message("b", &[value()])), of(&message("", &[value()])));
        assert_eq!((by_a.len(), by_b.len(), direct.len()), (3, 2, 1));
        assert_eq!((by_a[0], by_a[1].0), (direct[0], by_b[1].0), "by the same exchange, wherever it was published");
        assert!(by_a[1].0 != by_a[2].0 && by_a[0].0 != by_a[1].0);
        assert_eq!((by_a[0].1, by_a[1].1), (9, 50));
        let said = of(&message("a", &[value(), ("x-cache-ttl", Value::from(3))]));
        assert_eq!((said[0].1, said[1].1), (9, 3));
        assert_eq!(of(&message("a", &[])), []);
        let mut of_two = Terms::default();
        terms(&rules, &[(1, message("a", &[value()])), (2, message("a", &[]))], &mut of_two);
        assert_eq!((of_two.keys[0].len(), of_two.keys[1].len(), of_two.most_keys), (3, 0, 17));
        assert!(asks(&rules) && !asks(&Rules::default()));
    }
}
