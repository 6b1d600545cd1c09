//! What links write on the messages that pass: nothing, `x-shovelled` or
//! `x-received-from`, in RabbitMQ's form, so that either broker understands
//! where a message has been.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use warren_amqp::{FieldArray, FieldTable, Properties, PropertiesBuilder, Value};
use warren_shard::origin;

/// Where federated messages have been, the latest first.
pub(super) const RECEIVED_FROM: &str = "x-received-from";
/// The product that says itself where its messages were.
pub(super) const WARREN: &str = "Warren";
const SHOVELLED: &str = "x-shovelled";
const SHOVELLED_AT: &str = "x-shovelled-timestamp";

/// What is written on a link's messages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Marks {
    /// Put before what the header has already: the header's name and the entry.
    pub passed: Option<(&'static str, FieldTable)>,
    /// When the message passed.
    pub timestamp: bool,
    /// Properties that are set to this, whatever they were.
    pub properties: Overrides,
    /// Who published is not for the far end to know.
    pub drop_user: bool,
    /// What messages say of their place at the source is not the source's word: a
    /// client there may have written it.
    pub distrust: bool,
    /// Federation: messages that have been here, or made so many hops, go no further.
    pub hops: Option<Hops>,
}

/// When a federated message has gone far enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hops {
    /// Times that it may be handed on.
    pub max: usize,
    /// This cluster and vhost: what has been here does not come again.
    pub here: (String, String),
    /// Clusters from which it comes by a link of its own.
    pub direct: Vec<String>,
}

/// `publish-properties`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides(pub PropertiesBuilder);

impl Overrides {
    fn is_empty(&self) -> bool {
        self.0 == PropertiesBuilder::default()
    }

    fn apply(&self, to: &mut PropertiesBuilder) {
        macro_rules! over {
            ($($field:ident),*) => {$(if self.0.$field.is_some() { to.$field.clone_from(&self.0.$field); })*};
        }
        over!(content_type, content_encoding, delivery_mode, priority, correlation_id, reply_to, expiration);
        over!(message_id, timestamp, kind, user_id, app_id, cluster_id);
        if let Some(headers) = &self.0.headers {
            to.headers = Some(headers.clone());
        }
    }
}

impl Marks {
    /// `add-forward-headers` of a shovel.
    #[must_use]
    pub fn shovelled(entry: FieldTable) -> Option<(&'static str, FieldTable)> {
        Some((SHOVELLED, entry))
    }

    /// With what only the source itself knows: its cluster's name.
    pub(super) fn of_source(&self, server: &FieldTable) -> Self {
        let mut marks = self.clone();
        marks.distrust = server.get("product").is_none_or(|product| product.as_str() != Some(WARREN));
        if let Some((RECEIVED_FROM, entry)) = &mut marks.passed
            && let Some(cluster) = server.get("cluster_name")
        {
            *entry = with(entry, "cluster-name", cluster);
        }
        marks
    }

    /// The properties that the message goes on with; `None` if it does not.
    pub(super) fn apply(&self, properties: &Bytes, redelivered: bool) -> Option<Bytes> {
        if self.passed.is_none() && !self.timestamp && !self.drop_user && self.properties.is_empty() {
            return Some(properties.clone());
        }
        // What does not parse cannot be marked, and is for the target to judge.
        let Ok(parsed) = Properties::parse(properties) else { return Some(properties.clone()) };
        if self.hops.as_ref().is_some_and(|hops| hops.is_over(&parsed)) {
            return None;
        }
        let mut builder = parsed.to_builder();
        if self.distrust
            && let Some(headers) = builder.headers.as_ref().filter(|headers| headers.get(origin::HEADER).is_some())
        {
            builder.headers = Some(headers.iter().filter(|(key, _)| key != origin::HEADER.as_bytes()).collect());
        }
        if self.drop_user {
            builder.user_id = None;
        }
        self.properties.apply(&mut builder);
        if let Some((header, entry)) = &self.passed {
            let entry = match *header {
                RECEIVED_FROM => with(entry, "redelivered", redelivered.into()),
                _ => entry.clone(),
            };
            builder.headers = Some(prepend(builder.headers.as_ref(), header, entry));
        }
        if self.timestamp {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            let now = Value::I64(i64::try_from(now).unwrap_or(i64::MAX));
            builder.headers = Some(with(&builder.headers.unwrap_or_default(), SHOVELLED_AT, now));
        }
        Some(builder.encode())
    }
}

impl Hops {
    fn is_over(&self, properties: &Properties) -> bool {
        let Some(Value::Array(passed)) = properties.headers().and_then(|headers| headers.get(RECEIVED_FROM)) else {
            return false;
        };
        let been_here = |entry: &FieldTable| {
            let is = |name, wanted: &str| entry.get(name).is_some_and(|value| value.as_str() == Some(wanted));
            is("cluster-name", &self.here.0) && is("vhost", &self.here.1)
                || self.direct.iter().any(|direct| is("cluster-name", direct))
        };
        passed.iter().count() >= self.max
            || passed.iter().any(|entry| matches!(&entry, Value::Table(entry) if been_here(entry)))
    }
}

/// The table with this field set.
fn with(table: &FieldTable, name: &str, value: Value) -> FieldTable {
    let others = table.iter().filter(|(key, _)| key != name.as_bytes());
    others.chain([(Bytes::copy_from_slice(name.as_bytes()), value)]).collect()
}

/// The headers with this entry before the others of that header's array.
fn prepend(headers: Option<&FieldTable>, header: &str, entry: FieldTable) -> FieldTable {
    let nothing = FieldTable::default();
    let headers = headers.unwrap_or(&nothing);
    let before = match headers.get(header) {
        Some(Value::Array(before)) => before,
        _ => FieldArray::default(),
    };
    let array: FieldArray = [Value::Table(entry)].into_iter().chain(before.iter()).collect();
    with(headers, header, Value::Array(array))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn headers(properties: &Bytes) -> FieldTable {
        Properties::parse(properties).unwrap().headers().unwrap()
    }

    #[test]
    fn a_plain_shovel_touches_nothing() {
        let properties = PropertiesBuilder { user_id: Some("me".into()), ..Default::default() }.encode();
        assert_eq!(Marks::default().apply(&properties, false), Some(properties));
    }

    #[test]
    fn forward_headers_are_put_before_those_of_earlier_shovels() {
        let entry = |by| FieldTable::from([("shovelled-by", Value::from(by))]);
        let first = Marks { passed: Marks::shovelled(entry("a")), timestamp: true, ..Marks::default() };
        let second = Marks { passed: Marks::shovelled(entry("b")), ..Marks::default() };
        let bare = PropertiesBuilder { priority: Some(3), ..Default::default() }.encode();
        let passed = second.apply(&first.apply(&bare, false).unwrap(), false).unwrap();
        assert_eq!(Properties::parse(&passed).unwrap().priority(), Some(3));
        let Some(Value::Array(array)) = headers(&passed).get("x-shovelled") else { panic!("no array") };
        assert_eq!(array.iter().collect::<Vec<_>>(), [Value::Table(entry("b")), Value::Table(entry("a"))]);
        assert!(headers(&passed).get("x-shovelled-timestamp").unwrap().as_i64().unwrap() > 1_600_000_000);
    }

    #[test]
    fn properties_are_overridden_and_the_others_kept() {
        let wanted = Overrides(PropertiesBuilder { delivery_mode: Some(2), ..Default::default() });
        let marks = Marks { properties: wanted, drop_user: true, ..Marks::default() };
        let bare = PropertiesBuilder {
            delivery_mode: Some(1),
            app_id: Some("app".into()),
            user_id: Some("me".into()),
            ..Default::default()
        };
        let passed = marks.apply(&bare.encode(), false).unwrap();
        let passed = Properties::parse(&passed).unwrap();
        assert_eq!((passed.delivery_mode(), passed.app_id(), passed.user_id()), (Some(2), Some("app".into()), None));
    }

    #[test]
    fn only_warrens_word_for_a_place_is_passed_on() {
        let said = FieldTable::from([(origin::HEADER, Value::from("1-2-3-4-4")), ("k", Value::from("v"))]);
        let bare = PropertiesBuilder { headers: Some(said), ..Default::default() }.encode();
        let marks = Marks { passed: Some((RECEIVED_FROM, FieldTable::default())), ..Marks::default() };
        for (product, stays) in [("Warren", true), ("RabbitMQ", false)] {
            let server = FieldTable::from([("product", Value::from(product))]);
            let passed = headers(&marks.of_source(&server).apply(&bare, false).unwrap());
            assert_eq!((passed.get(origin::HEADER).is_some(), passed.get("k").is_some()), (stays, true), "{product}");
        }
    }

    #[test]
    fn a_federated_message_ends_where_it_has_been_or_after_its_hops() {
        let from = |cluster: &'static str| FieldTable::from([("cluster-name", cluster.into()), ("vhost", "/".into())]);
        let marks = |cluster, here: &str, max| Marks {
            passed: Some((RECEIVED_FROM, from(cluster))),
            hops: Some(Hops { max, here: (here.to_owned(), "/".to_owned()), direct: vec!["d".to_owned()] }),
            ..Marks::default()
        };
        let bare = PropertiesBuilder::default().encode();
        let at_b = marks("a", "b", 1).apply(&bare, true).unwrap();
        let Some(Value::Array(array)) = headers(&at_b).get(RECEIVED_FROM) else { panic!("no array") };
        assert_eq!(array.iter().count(), 1);
        // One hop is the default: it goes no further; nor back where it was.
        assert_eq!(marks("b", "c", 1).apply(&at_b, false), None);
        assert_eq!(marks("b", "a", 9).apply(&at_b, false), None);
        assert!(marks("b", "c", 2).apply(&at_b, false).is_some());
        // Nor to where it comes from its first site itself.
        let from_d = marks("d", "b", 9).apply(&bare, false).unwrap();
        assert_eq!(marks("b", "c", 9).apply(&from_d, false), None);
    }
}
