//! What the headers of a dead message say, exactly as RabbitMQ writes them
//! (`rabbit_dead_letter`): `x-death` has a table for each queue and reason that
//! the message died by, the latest first; `x-first-death-…` are kept for good.

use bytes::Bytes;
use warren_amqp::{FieldArray, FieldTable, Properties, PropertiesBuilder, Value};
use warren_queue::{DeadLetter, Reason};
use warren_replication::message::Message;

use crate::routing::copies;

const X_DEATH: &str = "x-death";
const FIRST_REASON: &str = "x-first-death-reason";
const FIRST_QUEUE: &str = "x-first-death-queue";
const FIRST_EXCHANGE: &str = "x-first-death-exchange";
const COUNT: &str = "count";
const QUEUE: &str = "queue";
const REASON: &str = "reason";

type Fields = Vec<(Bytes, Value)>;

fn name(name: &'static str) -> Bytes {
    Bytes::from_static(name.as_bytes())
}

/// The message as it goes to the dead-letter exchange; `time` in seconds since 1970.
pub(super) fn of(message: &Message, queue: &str, reason: Reason, to: &DeadLetter, time: u64) -> Message {
    let properties = Properties::parse(&message.properties).map(|properties| properties.to_builder());
    let mut properties = properties.unwrap_or_default();
    let headers = properties.headers.take().unwrap_or_default();

    // Those that the message shows, and not all that it may be routed by again.
    let keys = std::iter::once(message.routing_key.clone()).chain(copies::visible_keys(&headers).unwrap_or_default());
    let queue = Value::LongStr(Bytes::copy_from_slice(queue.as_bytes()));
    let mut death: Fields = vec![
        (name(REASON), Value::from(reason.as_str())),
        (name(QUEUE), queue),
        (name("time"), Value::Timestamp(time)),
        (name("exchange"), Value::LongStr(message.exchange.clone())),
        (name("routing-keys"), Value::Array(keys.map(Value::LongStr).collect())),
    ];
    // It is dead by now, and must not expire elsewhere for the same reason.
    death.extend(properties.expiration.take().map(|ttl| (name("original-expiration"), Value::LongStr(ttl))));

    let mut fields: Fields = headers.iter().collect();
    enter(&mut fields, death);
    if to.routing_key.is_some() {
        fields.retain(|(name, _)| !copies::is_one(name));
    }
    let properties = PropertiesBuilder { headers: Some(fields.into_iter().collect()), ..properties };
    Message {
        exchange: to.exchange.clone(),
        routing_key: to.routing_key.clone().unwrap_or_else(|| message.routing_key.clone()),
        properties: copies::with_headers(&message.properties, properties),
        body: message.body.clone(),
    }
}

/// Enters a death into a message's headers.
fn enter(headers: &mut Fields, mut death: Fields) {
    let new = |mut death: Fields| {
        death.insert(0, (name(COUNT), Value::I64(1)));
        death
    };
    let deaths = match field(headers, X_DEATH) {
        None => {
            for (first, of) in [(FIRST_REASON, REASON), (FIRST_QUEUE, QUEUE), (FIRST_EXCHANGE, "exchange")] {
                if let Some(value) = field(&death, of).cloned() {
                    set(headers, first, value);
                }
            }
            vec![new(death)]
        }
        Some(Value::Array(before)) => {
            let mut deaths = grouped(before);
            let same = deaths.iter().position(|before| is_same(before, &death));
            match same.map(|place| deaths.remove(place)) {
                Some(mut before) => {
                    count_up(&mut before);
                    death = before;
                }
                None => death = new(death),
            }
            sort(&mut death);
            deaths.insert(0, death);
            deaths
        }
        // Some clients turn headers into text and publish them again.
        Some(_) => vec![new(death)],
    };
    let tables = deaths.into_iter().map(|death| Value::Table(death.into_iter().collect::<FieldTable>()));
    set(headers, X_DEATH, Value::Array(tables.collect::<FieldArray>()));
}

/// One table for each queue and reason, as RabbitMQ groups what older releases
/// have written: from two tables on it turns their order around.
fn grouped(before: &FieldArray) -> Vec<Fields> {
    let tables = before.iter().filter_map(|value| match value {
        Value::Table(table) => Some(table.iter().collect::<Fields>()),
        _ => None,
    });
    let tables: Vec<Fields> = tables.collect();
    if tables.len() < 2 {
        return tables;
    }
    let mut grouped: Vec<Fields> = Vec::with_capacity(tables.len());
    for table in &tables {
        if !grouped.iter().any(|known| is_same(known, table)) {
            let mut table = table.clone();
            if field(&table, COUNT).is_none() {
                let times = tables.iter().filter(|other| is_same(other, &table)).count();
                set(&mut table, COUNT, Value::I64(times as i64));
            }
            grouped.push(table);
        }
    }
    grouped.reverse();
    grouped
}

fn is_same(one: &Fields, other: &Fields) -> bool {
    [QUEUE, REASON].iter().all(|key| field(one, key) == field(other, key))
}

fn count_up(death: &mut Fields) {
    match death.iter_mut().find(|(name, _)| name == COUNT) {
        Some((_, count)) => *count = Value::I64(count.as_i64().unwrap_or(0).saturating_add(1)),
        None => death.insert(0, (name(COUNT), Value::I64(1))),
    }
}

fn field<'a>(fields: &'a Fields, key: &str) -> Option<&'a Value> {
    fields.iter().find(|(name, _)| name == key).map(|(_, value)| value)
}

/// Sets a field as RabbitMQ does: all are sorted by name then.
fn set(fields: &mut Fields, key: &'static str, value: Value) {
    match fields.iter_mut().find(|(name, _)| name == key) {
        Some((_, old)) => *old = value,
        None => fields.push((name(key), value)),
    }
    sort(fields);
}

fn sort(fields: &mut Fields) {
    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
}

/// The tables of `x-death`, of a message that has one: to look for circles.
pub(super) fn deaths(properties: &Properties) -> Vec<FieldTable> {
    let headers = properties.headers();
    let Some(Value::Array(deaths)) = headers.and_then(|headers| headers.get(X_DEATH)) else { return Vec::new() };
    // What is no table was put there by a client: then so was the circle.
    deaths.iter().map(|death| if let Value::Table(table) = death { table } else { FieldTable::default() }).collect()
}

/// Whether a message with these deaths has come to a queue in a circle in which
/// no client took part, as a rejection would show: it would go round for ever.
pub(super) fn is_cycle(queue: &str, deaths: &[FieldTable]) -> bool {
    let text = |death: &FieldTable, key: &str, text: &str| death.get(key).is_some_and(|v| v.as_str() == Some(text));
    let Some(last) = deaths.iter().position(|death| text(death, QUEUE, queue)) else { return false };
    deaths[..=last].iter().all(|death| !death.is_empty() && !text(death, REASON, Reason::Rejected.as_str()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    const TIME: u64 = 1_795_375_331;

    fn text(text: &'static str) -> Value {
        Value::from(text)
    }

    fn keys(keys: &[&'static str]) -> Value {
        Value::Array(keys.iter().map(|key| text(key)).collect())
    }

    fn to(exchange: &'static str, key: Option<&'static str>) -> DeadLetter {
        DeadLetter { exchange: exchange.into(), routing_key: key.map(Into::into) }
    }

    fn headers(message: &Message) -> FieldTable {
        Properties::parse(&message.properties).unwrap().headers().unwrap()
    }

    fn message(routing_key: &'static str, properties: PropertiesBuilder) -> Message {
        let properties = properties.encode();
        Message { exchange: Bytes::new(), routing_key: routing_key.into(), properties, body: "x".into() }
    }

    fn with(fields: FieldTable) -> PropertiesBuilder {
        PropertiesBuilder { headers: Some(fields), ..PropertiesBuilder::default() }
    }

    /// What RabbitMQ 3.10.8 wrote when a message was rejected from `dq1` to
    /// exchange `dlx`, from there to `dq2`, on to `dq3`, to `dq2` again and to
    /// `dq3` again: every field with its type, in its order.
    #[test]
    fn headers_are_those_that_rabbitmq_writes() {
        let published = PropertiesBuilder {
            headers: Some(FieldTable::from([("CC", keys(&["cc2x"])), ("z", Value::from(1))])),
            expiration: Some("60000".into()),
            priority: Some(3),
            content_type: Some("t/x".into()),
            ..PropertiesBuilder::default()
        };
        let first = [
            ("x-first-death-exchange", text("")),
            ("x-first-death-queue", text("dq1")),
            ("x-first-death-reason", text("rejected")),
            ("z", Value::from(1)),
        ];
        let written = |cc: bool, deaths: &[&FieldTable]| {
            let deaths = Value::Array(deaths.iter().map(|death| Value::Table((*death).clone())).collect());
            let cc = cc.then(|| ("CC", keys(&["cc2x"])));
            let fields = cc.into_iter().chain([("x-death", deaths)]).chain(first.clone());
            fields.map(|(name, value)| (Bytes::from_static(name.as_bytes()), value)).collect::<FieldTable>()
        };
        let in_dq1 = FieldTable::from([
            ("count", Value::I64(1)),
            ("reason", text("rejected")),
            ("queue", text("dq1")),
            ("time", Value::Timestamp(TIME)),
            ("exchange", text("")),
            ("routing-keys", keys(&["dq1", "cc2x"])),
            ("original-expiration", text("60000")),
        ]);
        let later = |count, exchange, queue, routed: &[&'static str]| {
            FieldTable::from([
                ("count", Value::I64(count)),
                ("exchange", text(exchange)),
                ("queue", text(queue)),
                ("reason", text("rejected")),
                ("routing-keys", keys(routed)),
                ("time", Value::Timestamp(TIME)),
            ])
        };
        let in_dq2 = |count| later(count, "dlx", "dq2", &["dq1", "cc2x"]);
        let in_dq3 = later(1, "", "dq3", &["dq3"]);

        let die = |message: &Message, queue: &str, to: DeadLetter| of(message, queue, Reason::Rejected, &to, TIME);
        let one = die(&message("dq1", published), "dq1", to("dlx", None));
        assert_eq!(headers(&one), written(true, &[&in_dq1]));
        assert_eq!((&one.exchange[..], &one.routing_key[..]), (&b"dlx"[..], &b"dq1"[..]));
        let properties = Properties::parse(&one.properties).unwrap();
        assert_eq!((properties.expiration(), properties.priority()), (None, Some(3)));
        assert_eq!(properties.content_type().unwrap(), "t/x");

        let two = die(&one, "dq2", to("", Some("dq3")));
        assert_eq!(headers(&two), written(false, &[&in_dq2(1), &in_dq1]));
        assert_eq!((&two.exchange[..], &two.routing_key[..]), (&b""[..], &b"dq3"[..]));
        let three = die(&two, "dq3", to("", Some("dq2")));
        assert_eq!(headers(&three), written(false, &[&in_dq3, &in_dq1, &in_dq2(1)]));
        // A death that is met again keeps its fields, and counts.
        let four = die(&three, "dq2", to("", Some("dq3")));
        assert_eq!(headers(&four), written(false, &[&in_dq2(2), &in_dq1, &in_dq3]));
    }

    /// Blind copies are no more to be seen, and the message is routed by them again
    /// unless it gets a key of its own.
    #[test]
    fn blind_copies_go_on_unseen() {
        let headers_of = |fields| Properties::parse(&with(fields).encode()).unwrap();
        let published = copies::kept(&headers_of(FieldTable::from([("BCC", keys(&["b"])), ("CC", keys(&["c"]))])));
        let message =
            Message { exchange: Bytes::new(), routing_key: "k".into(), properties: published, body: "x".into() };
        let dead = of(&message, "q", Reason::Expired, &to("dlx", None), TIME);
        assert_eq!(copies::keys(&headers(&dead)).unwrap(), ["c", "b"]);
        let shown = copies::shown(&dead.properties).unwrap();
        let shown = Properties::parse(&shown).unwrap();
        assert_eq!(shown.headers().unwrap().get("BCC"), None);
        assert_eq!(deaths(&shown)[0].get("routing-keys"), Some(keys(&["k", "c"])));
        let again = of(&dead, "q", Reason::Expired, &to("dlx", Some("own")), TIME);
        assert_eq!(copies::keys(&headers(&again)), Ok(vec![]));
        assert_eq!(copies::shown(&again.properties), None);
    }

    #[test]
    fn headers_of_clients_are_taken_as_rabbitmq_takes_them() {
        let die = |fields| headers(&of(&message("mq1", with(fields)), "mq1", Reason::MaxLength, &to("", None), TIME));
        let fresh = FieldTable::from([
            ("count", Value::I64(1)),
            ("reason", text("maxlen")),
            ("queue", text("mq1")),
            ("time", Value::Timestamp(TIME)),
            ("exchange", text("")),
            ("routing-keys", keys(&["mq1"])),
        ]);
        let one = |death: FieldTable| Value::Array(FieldArray::from_iter([Value::Table(death)]));
        // No array: it is begun anew, and is not the first death.
        let junk = die(FieldTable::from([("x-death", text("junk"))]));
        assert_eq!(junk, FieldTable::from([("x-death", one(fresh))]));

        let foreign =
            FieldTable::from([("queue", text("other")), ("reason", text("rejected")), ("count", Value::I32(7))]);
        let kept = die(FieldTable::from([("x-first-death-queue", text("mine")), ("x-death", one(foreign.clone()))]));
        let Some(Value::Array(deaths)) = kept.get("x-death") else { panic!("{kept:?}") };
        assert_eq!(deaths.iter().count(), 2);
        assert_eq!(deaths.iter().nth(1), Some(Value::Table(foreign)));
        assert_eq!(kept.get("x-first-death-queue"), Some(text("mine")));
        assert_eq!(kept.get("x-first-death-reason"), None);
    }

    #[test]
    fn tables_of_one_queue_and_reason_become_one() {
        let death = |queue| FieldTable::from([("queue", text(queue)), ("reason", text("expired"))]);
        let tables = ["a", "b", "a", "a"].map(|queue| Value::Table(death(queue)));
        let before = FieldTable::from([("x-death", Value::Array(FieldArray::from_iter(tables)))]);
        let dead = of(&message("k", with(before)), "a", Reason::Expired, &to("", None), TIME);
        let deaths = deaths(&Properties::parse(&dead.properties).unwrap());
        let said: Vec<_> =
            deaths.iter().map(|death| (death.get("queue").unwrap(), death.get("count").unwrap())).collect();
        assert_eq!(said, [(text("a"), Value::I64(4)), (text("b"), Value::I64(1))]);
    }

    #[test]
    fn circles_without_a_client_are_found() {
        let deaths = |deaths: &[(&'static str, &'static str)]| -> Vec<FieldTable> {
            let table = |(queue, reason): &(&'static str, &'static str)| {
                FieldTable::from([("queue", text(queue)), ("reason", text(reason))])
            };
            deaths.iter().map(table).collect()
        };
        let cases = [
            ("a", vec![("a", "expired")], true),
            ("a", vec![("b", "expired"), ("a", "maxlen")], true),
            ("a", vec![("b", "rejected"), ("a", "expired")], false),
            ("a", vec![("b", "expired"), ("a", "rejected")], false),
            ("a", vec![("a", "expired"), ("b", "rejected")], true),
            ("c", vec![("b", "expired"), ("a", "expired")], false),
            ("a", vec![], false),
        ];
        for (queue, met, expected) in cases {
            assert_eq!(is_cycle(queue, &deaths(&met)), expected, "{queue} {met:?}");
        }
        // A client has put something there.
        assert!(!is_cycle("a", &[FieldTable::default(), deaths(&[("a", "expired")]).remove(0)]));
    }
}
