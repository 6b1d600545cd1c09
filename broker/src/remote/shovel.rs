//! Shovels: what RabbitMQ's `shovel` parameters say, checked, as link plans.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use warren_amqp::{FieldTable, PropertiesBuilder, Value};

use super::json::{self, OneOrMany};
use super::mark::{Marks, Overrides};
use super::plan::{AckMode, Extent, From, Kind, LinkKey, LinkPlan, Origin, QueuePlan, SourcePlan, TargetPlan, To};
use crate::client::Uri;

/// The component of these parameters.
pub const COMPONENT: &str = "shovel";

/// Unacknowledged messages at most, unless the parameter says.
const PREFETCH: u16 = 1000;
/// The longest text that a property takes.
const SHORT: usize = 255;
/// Seconds before a shovel connects again, unless the parameter says.
const RECONNECT: u64 = 1;

/// The value of a `shovel` parameter, with RabbitMQ's names. Those of AMQP 1.0
/// are refused by name.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Definition {
    #[serde(default)]
    src_protocol: Option<String>,
    src_uri: OneOrMany,
    #[serde(default)]
    src_queue: Option<String>,
    #[serde(default)]
    src_queue_args: Map<String, Json>,
    #[serde(default)]
    src_exchange: Option<String>,
    #[serde(default)]
    src_exchange_key: Option<String>,
    #[serde(default, alias = "prefetch-count")]
    src_prefetch_count: Option<u16>,
    #[serde(default, alias = "delete-after")]
    src_delete_after: Option<Json>,
    #[serde(default)]
    src_consumer_args: Map<String, Json>,
    #[serde(default)]
    src_predeclared: bool,
    #[serde(default)]
    dest_protocol: Option<String>,
    dest_uri: OneOrMany,
    #[serde(default)]
    dest_queue: Option<String>,
    #[serde(default)]
    dest_queue_args: Map<String, Json>,
    #[serde(default)]
    dest_exchange: Option<String>,
    #[serde(default)]
    dest_exchange_key: Option<String>,
    #[serde(default, alias = "add-forward-headers")]
    dest_add_forward_headers: bool,
    #[serde(default, alias = "add-timestamp-header")]
    dest_add_timestamp_header: bool,
    #[serde(default, alias = "publish-properties")]
    dest_publish_properties: Map<String, Json>,
    #[serde(default)]
    dest_predeclared: bool,
    #[serde(default)]
    ack_mode: Option<String>,
    #[serde(default)]
    reconnect_delay: Option<f64>,
}

/// The plan of a shovel.
///
/// # Errors
/// What is wrong with its definition, as a sentence.
pub(super) fn plan(
    cluster: &str,
    vhost: &str,
    name: &str,
    origin: Origin,
    definition: Definition,
) -> Result<LinkPlan, String> {
    let given = definition;
    for (key, protocol) in [("src-protocol", &given.src_protocol), ("dest-protocol", &given.dest_protocol)] {
        match protocol.as_deref() {
            None | Some("amqp091") => {}
            Some(other) => return Err(format!("{key}: protocol {other:?} is not supported, expected \"amqp091\"")),
        }
    }
    let source = SourcePlan {
        uris: json::uris("src-uri", &given.src_uri, vhost)?,
        from: match (&given.src_queue, &given.src_exchange) {
            (Some(_), Some(_)) => return Err("Cannot specify 'src-exchange' and 'src-queue'".to_owned()),
            (None, None) => return Err("Must specify 'src-exchange' or 'src-queue'".to_owned()),
            (Some(queue), None) => From::Queue(queue_plan(queue, &given.src_queue_args, given.src_predeclared)?),
            (None, Some(exchange)) => {
                From::Exchange { name: exchange.clone(), key: given.src_exchange_key.clone().unwrap_or_default() }
            }
        },
        prefetch: given.src_prefetch_count.unwrap_or(PREFETCH),
        consumer: json::table(&given.src_consumer_args)?,
        site: None,
    };
    let target = TargetPlan {
        uris: json::uris("dest-uri", &given.dest_uri, vhost)?,
        to: match (&given.dest_queue, &given.dest_exchange) {
            (Some(_), Some(_)) => return Err("Cannot specify 'dest-exchange' and 'dest-queue'".to_owned()),
            (Some(queue), None) => To::Queue(queue_plan(queue, &given.dest_queue_args, given.dest_predeclared)?),
            (None, exchange) => To::Exchange { name: exchange.clone(), key: given.dest_exchange_key.clone() },
        },
    };
    let ack = match given.ack_mode.as_deref() {
        None | Some("on-confirm") => AckMode::OnConfirm,
        Some("on-publish") => AckMode::OnPublish,
        Some("no-ack") => AckMode::NoAck,
        Some(other) => {
            return Err(format!("ack-mode: expected one of no-ack, on-publish, on-confirm, found {other:?}"));
        }
    };
    let extent = match &given.src_delete_after {
        None => Extent::Forever,
        Some(Json::String(text)) if text == "never" => Extent::Forever,
        Some(Json::String(text)) if text == "queue-length" && given.src_queue.is_some() => Extent::QueueLength,
        Some(Json::Number(number)) => match number.as_u64() {
            Some(messages) if messages > 0 => Extent::Messages(messages),
            _ => return Err("src-delete-after: expected a number above 0".to_owned()),
        },
        Some(other) => {
            return Err(format!("src-delete-after: expected \"never\", \"queue-length\" or a number, found {other}"));
        }
    };
    if ack == AckMode::NoAck && extent != Extent::Forever {
        return Err("ack-mode: no-ack does not go with src-delete-after".to_owned());
    }
    let reconnect = match given.reconnect_delay {
        None => Some(Duration::from_secs(RECONNECT)),
        Some(0.0) => None,
        Some(seconds) => match Duration::try_from_secs_f64(seconds) {
            Ok(delay) => Some(delay),
            Err(_) => return Err("reconnect-delay: expected a number of seconds, 0 for never".to_owned()),
        },
    };
    let marks = Marks {
        passed: given
            .dest_add_forward_headers
            .then(|| forwarded(cluster, vhost, name, origin, &source, &target))
            .flatten(),
        timestamp: given.dest_add_timestamp_header,
        properties: overrides(&given.dest_publish_properties)?,
        ..Marks::default()
    };
    let key = LinkKey { kind: Kind::Shovel, vhost: vhost.to_owned(), name: name.to_owned(), upstream: String::new() };
    Ok(LinkPlan { key, origin, source, target, ack, extent, marks, reconnect })
}

fn queue_plan(name: &str, arguments: &Map<String, Json>, predeclared: bool) -> Result<QueuePlan, String> {
    let arguments = if predeclared { None } else { Some(json::table(arguments)?) };
    Ok(QueuePlan { name: name.to_owned(), arguments })
}

/// What `add-forward-headers` writes, by RabbitMQ's names.
fn forwarded(
    cluster: &str,
    vhost: &str,
    name: &str,
    origin: Origin,
    source: &SourcePlan,
    target: &TargetPlan,
) -> Option<(&'static str, FieldTable)> {
    let mut fields = vec![
        ("shovelled-by", cluster.to_owned()),
        ("shovel-type", origin.name().to_owned()),
        ("shovel-name", name.to_owned()),
        ("shovel-vhost", vhost.to_owned()),
    ];
    // The one of several that is in use is not known here; RabbitMQ's users look
    // at the first.
    fields.extend(source.uris.first().map(|uri| ("src-uri", shown(uri))));
    fields.extend(target.uris.first().map(|uri| ("dest-uri", shown(uri))));
    match &source.from {
        From::Queue(queue) | From::Federated { queue, .. } => fields.push(("src-queue", queue.name.clone())),
        From::Exchange { name, key } => {
            fields.push(("src-exchange", name.clone()));
            fields.push(("src-exchange-key", key.clone()));
        }
    }
    match &target.to {
        To::Queue(queue) => fields.push(("dest-queue", queue.name.clone())),
        To::Exchange { name, key } => {
            fields.extend(name.clone().map(|name| ("dest-exchange", name)));
            fields.extend(key.clone().map(|key| ("dest-exchange-key", key)));
        }
    }
    let table: FieldTable =
        fields.into_iter().map(|(name, value)| (Bytes::from_static(name.as_bytes()), Value::text(value))).collect();
    Marks::shovelled(table)
}

/// A URI without who and how to prove it, which is nobody's business downstream.
fn shown(uri: &Uri) -> String {
    Uri { username: String::new(), password: String::new(), ..uri.clone() }.to_string()
}

/// `publish-properties`, by the names of the AMQP specification.
fn overrides(given: &Map<String, Json>) -> Result<Overrides, String> {
    let mut builder = PropertiesBuilder::default();
    for (name, value) in given {
        let wrong = || format!("publish-properties: {name}: {value} does not fit");
        let text = || {
            let text = value.as_str().filter(|text| text.len() <= SHORT).ok_or_else(wrong)?;
            Ok::<_, String>(Some(Bytes::copy_from_slice(text.as_bytes())))
        };
        let octet = || value.as_u64().and_then(|n| u8::try_from(n).ok()).map(Some).ok_or_else(wrong);
        match name.as_str() {
            "content_type" => builder.content_type = text()?,
            "content_encoding" => builder.content_encoding = text()?,
            "headers" => builder.headers = Some(json::table(value.as_object().ok_or_else(wrong)?)?),
            "delivery_mode" => builder.delivery_mode = octet()?,
            "priority" => builder.priority = octet()?,
            "correlation_id" => builder.correlation_id = text()?,
            "reply_to" => builder.reply_to = text()?,
            "expiration" => builder.expiration = text()?,
            "message_id" => builder.message_id = text()?,
            "timestamp" => builder.timestamp = Some(value.as_u64().ok_or_else(wrong)?),
            "type" => builder.kind = text()?,
            "user_id" => builder.user_id = text()?,
            "app_id" => builder.app_id = text()?,
            "cluster_id" => builder.cluster_id = text()?,
            _ => return Err(format!("publish-properties: there is no property {name:?}")),
        }
    }
    Ok(Overrides(builder))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Json) -> Result<LinkPlan, String> {
        let definition = serde_json::from_value(value).map_err(|error| error.to_string())?;
        plan("here", "v", "s", Origin::Parameter, definition)
    }

    #[test]
    fn rabbitmqs_example_is_a_plan() {
        let plan = read(json!({
            "src-protocol": "amqp091", "src-uri": "amqp:///", "src-queue": "my-queue",
            "dest-protocol": "amqp091", "dest-uri": ["amqp://remote-server", "amqp://other:5673/x"],
            "dest-queue": "another-queue", "dest-queue-args": {"x-queue-type": "quorum"},
        }))
        .unwrap();
        assert_eq!((plan.ack, plan.extent, plan.source.prefetch), (AckMode::OnConfirm, Extent::Forever, 1000));
        assert_eq!(plan.reconnect, Some(Duration::from_secs(1)));
        assert!(plan.source.uris[0].is_local());
        assert_eq!(plan.target.uris[1].vhost, "x");
        assert!(matches!(&plan.target.to, To::Queue(queue) if queue.name == "another-queue"
            && queue.arguments.as_ref().unwrap().get("x-queue-type") == Some(Value::from("quorum"))));
    }

    #[test]
    fn a_local_uri_without_a_vhost_is_the_shovels_own() {
        let plan = read(json!({"src-uri": "amqp://", "src-exchange": "e", "dest-uri": "amqp:///w", "dest-queue": "q"}));
        let plan = plan.unwrap();
        assert_eq!((plan.source.uris[0].vhost.as_str(), plan.target.uris[0].vhost.as_str()), ("v", "w"));
    }

    #[test]
    fn old_names_of_keys_are_read() {
        let plan = read(json!({
            "src-uri": "amqp://", "src-queue": "a", "dest-uri": "amqp://", "dest-exchange": "x",
            "prefetch-count": 7, "delete-after": "queue-length", "add-forward-headers": true, "reconnect-delay": 0,
            "publish-properties": {"delivery_mode": 2, "headers": {"k": 1}},
        }))
        .unwrap();
        assert_eq!((plan.source.prefetch, plan.extent, plan.reconnect), (7, Extent::QueueLength, None));
        assert_eq!(plan.to_exchange(), (Some("x".to_owned()), None));
        assert_eq!(plan.marks.passed.unwrap().1.get("shovelled-by"), Some(Value::from("here")));
        assert_eq!(plan.marks.properties.0.delivery_mode, Some(2));
    }

    impl LinkPlan {
        fn to_exchange(&self) -> (Option<String>, Option<String>) {
            match &self.target.to {
                To::Exchange { name, key } => (name.clone(), key.clone()),
                To::Queue(_) => (None, None),
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let good = json!({"src-uri": "amqp://", "src-queue": "a", "dest-uri": "amqp://h", "dest-queue": "b"});
        assert!(read(good.clone()).is_ok());
        for (key, value, complaint) in [
            ("src-exchange", json!("e"), "Cannot specify"),
            ("src-uri", json!("http://h"), "src-uri"),
            ("src-uri", json!([]), "src-uri"),
            ("src-protocol", json!("amqp10"), "not supported"),
            ("ack-mode", json!("sometimes"), "ack-mode"),
            ("src-delete-after", json!(0), "src-delete-after"),
            ("src-delete-after", json!("soon"), "src-delete-after"),
            ("prefetch-count", json!(-1), "invalid value"),
            ("reconnect-delay", json!(-1), "reconnect-delay"),
            ("publish-properties", json!({"colour": 1}), "no property"),
            ("publish-properties", json!({"priority": "high"}), "does not fit"),
            ("unheard-of", json!(1), "unknown field"),
        ] {
            let mut bad = good.clone();
            bad[key] = value;
            let told = read(bad).unwrap_err();
            assert!(told.contains(complaint), "{key}: {told}");
        }
    }
}
