//! Federation: upstreams and upstream sets as RabbitMQ's parameters say them,
//! and the links that exchanges and queues of this cluster get by them.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use warren_amqp::{FieldTable, Value};
use warren_membership::catalog::{self, Arguments, State};

use super::json::{self, OneOrMany};
use super::mark::{Hops, Marks, RECEIVED_FROM};
use super::plan::{AckMode, Extent, From, Kind, LinkKey, LinkPlan, Origin, QueuePlan, SourcePlan, TargetPlan, To};
use crate::arguments::to_wire;
use crate::client::Uri;

/// The component of upstreams.
pub const UPSTREAM: &str = "federation-upstream";
/// The component of upstream sets.
pub(super) const UPSTREAM_SET: &str = "federation-upstream-set";
/// The set of all upstreams of a vhost, always there.
const ALL: &str = "all";

/// Unacknowledged messages at most, unless the upstream says.
const PREFETCH: u16 = 1000;
/// Seconds before a link connects again, unless the upstream says.
const RECONNECT: f64 = 5.0;
/// Times that a message is handed on, unless the upstream says.
const MAX_HOPS: u32 = 1;
/// Where the bindings of a federation queue have been, the latest last.
const BOUND_FROM: &str = "x-bound-from";

/// The value of a `federation-upstream` parameter, with RabbitMQ's names.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Upstream {
    uri: OneOrMany,
    #[serde(default)]
    exchange: Option<String>,
    #[serde(default)]
    queue: Option<String>,
    #[serde(default)]
    prefetch_count: Option<u16>,
    #[serde(default)]
    reconnect_delay: Option<f64>,
    #[serde(default)]
    ack_mode: Option<String>,
    #[serde(default)]
    trust_user_id: bool,
    #[serde(default)]
    max_hops: Option<u32>,
    #[serde(default)]
    expires: Option<i64>,
    #[serde(default)]
    message_ttl: Option<i64>,
    #[serde(default)]
    queue_type: Option<String>,
    /// Understood by RabbitMQ, without a meaning here: accepted and not used.
    #[serde(default, rename = "consumer-tag")]
    _consumer_tag: Option<Json>,
    #[serde(default, rename = "ha-policy")]
    _ha_policy: Option<Json>,
    #[serde(default, rename = "bind-nowait")]
    _bind_nowait: Option<Json>,
    #[serde(default, rename = "channel-use-mode")]
    _channel_use_mode: Option<Json>,
    #[serde(default, rename = "resource-cleanup-mode")]
    _resource_cleanup_mode: Option<Json>,
}

impl Upstream {
    /// Reads the value of a parameter.
    pub(super) fn read(value: &Json, vhost: &str) -> Result<Self, String> {
        let upstream: Self = serde_json::from_value(value.clone()).map_err(|error| error.to_string())?;
        json::uris("uri", &upstream.uri, vhost)?;
        ack(upstream.ack_mode.as_deref())?;
        if upstream.max_hops == Some(0) {
            return Err("max-hops: expected at least 1".to_owned());
        }
        delay(upstream.reconnect_delay)?;
        Ok(upstream)
    }
}

fn ack(mode: Option<&str>) -> Result<AckMode, String> {
    match mode {
        None | Some("on-confirm") => Ok(AckMode::OnConfirm),
        Some("on-publish") => Ok(AckMode::OnPublish),
        Some("no-ack") => Ok(AckMode::NoAck),
        Some(other) => Err(format!("ack-mode: expected one of no-ack, on-publish, on-confirm, found {other:?}")),
    }
}

fn delay(seconds: Option<f64>) -> Result<Duration, String> {
    Duration::try_from_secs_f64(seconds.unwrap_or(RECONNECT))
        .map_err(|_| "reconnect-delay: expected a number of seconds".to_owned())
}

/// Checks the value of a `federation-upstream-set` parameter.
pub(super) fn check_set(value: &Json) -> Result<(), String> {
    let entries = value.as_array().ok_or("expected a list of objects with the key `upstream`")?;
    for entry in entries {
        entry.get("upstream").and_then(Json::as_str).ok_or("each of the set needs the key `upstream`")?;
    }
    Ok(())
}

/// Which upstreams something is federated with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Upstreams<'a> {
    /// One.
    One(&'a str),
    /// Those of a set.
    Set(&'a str),
}

/// The upstreams of a vhost by name; what a set's entry says overrides the upstream.
pub(super) fn upstreams(
    catalog: &State,
    vhost: &str,
    wanted: &Upstreams<'_>,
) -> Vec<(String, Result<Upstream, String>)> {
    let parameter = |component: &str, name: &str| {
        let key =
            catalog::ParameterKey { component: component.to_owned(), vhost: vhost.to_owned(), name: name.to_owned() };
        let text = catalog.parameters().get(&key).ok_or_else(|| format!("there is no {component} '{name}'"))?;
        serde_json::from_str::<Json>(text).map_err(|error| error.to_string())
    };
    let entries: Vec<(String, Map<String, Json>)> = match wanted {
        Upstreams::One(name) => vec![((*name).to_owned(), Map::new())],
        Upstreams::Set(ALL) => catalog
            .parameters()
            .of(UPSTREAM)
            .filter(|(key, _)| key.vhost == vhost)
            .map(|(key, _)| (key.name.clone(), Map::new()))
            .collect(),
        Upstreams::Set(name) => match parameter(UPSTREAM_SET, name) {
            Ok(Json::Array(entries)) => entries
                .into_iter()
                .filter_map(|entry| {
                    let Json::Object(mut entry) = entry else { return None };
                    let name = entry.remove("upstream")?.as_str()?.to_owned();
                    Some((name, entry))
                })
                .collect(),
            Ok(_) => vec![((*name).to_owned(), Map::new())],
            Err(error) => return vec![((*name).to_owned(), Err(error))],
        },
    };
    let read = |name: &str, overrides: Map<String, Json>| {
        let mut value = parameter(UPSTREAM, name)?;
        if let Json::Object(object) = &mut value {
            object.extend(overrides);
        }
        Upstream::read(&value, vhost)
    };
    entries.into_iter().map(|(name, overrides)| (name.clone(), read(&name, overrides))).collect()
}

/// This cluster, as its links name it to others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Here<'a> {
    pub(super) cluster: &'a str,
    pub(super) vhost: &'a str,
}

/// The link that copies to an exchange what the upstream's routes.
pub(super) fn exchange_link(
    here: Here<'_>,
    catalog: &State,
    exchange: &str,
    name: &str,
    upstream: &Upstream,
) -> Result<LinkPlan, String> {
    let theirs = upstream.exchange.clone().unwrap_or_else(|| exchange.to_owned());
    let uris = json::uris("uri", &upstream.uri, here.vhost)?;
    let max_hops = upstream.max_hops.unwrap_or(MAX_HOPS);
    let mut arguments = vec![("x-internal-purpose", Value::from("federation"))];
    arguments.extend(upstream.expires.map(|expires| ("x-expires", Value::I64(expires))));
    arguments.extend(upstream.message_ttl.map(|ttl| ("x-message-ttl", Value::I64(ttl))));
    arguments.extend(upstream.queue_type.clone().map(|kind| ("x-queue-type", Value::text(kind))));
    let queue = QueuePlan { name: queue_name(&theirs, here, exchange), arguments: Some(fields(arguments)) };
    let bindings = bindings(here, catalog, exchange, max_hops);
    let found = catalog.exchange(here.vhost, exchange).map_err(|refusal| refusal.to_string())?;
    let kind = found.kind.name().to_owned();
    let marks = Marks {
        passed: Some((RECEIVED_FROM, received_from(&uris, upstream, &theirs))),
        drop_user: !upstream.trust_user_id,
        hops: Some(Hops {
            max: usize::try_from(max_hops).unwrap_or(usize::MAX),
            here: (here.cluster.to_owned(), here.vhost.to_owned()),
            direct: Vec::new(),
        }),
        ..Marks::default()
    };
    let from = From::Federated { exchange: theirs, kind, queue, bindings };
    plan(
        here,
        Kind::ExchangeFederation,
        exchange,
        name,
        upstream,
        from,
        To::Exchange { name: Some(exchange.to_owned()), key: None },
        marks,
    )
}

/// The link that brings what waits in the upstream's queue to who waits here.
pub(super) fn queue_link(here: Here<'_>, queue: &str, name: &str, upstream: &Upstream) -> Result<LinkPlan, String> {
    let theirs = upstream.queue.clone().unwrap_or_else(|| queue.to_owned());
    let uris = json::uris("uri", &upstream.uri, here.vhost)?;
    let marks = Marks {
        passed: Some((RECEIVED_FROM, received_from(&uris, upstream, &theirs))),
        drop_user: !upstream.trust_user_id,
        ..Marks::default()
    };
    let from = From::Queue(QueuePlan { name: theirs, arguments: Some(FieldTable::default()) });
    let to = To::Queue(QueuePlan { name: queue.to_owned(), arguments: None });
    plan(here, Kind::QueueFederation, queue, name, upstream, from, to, marks)
}

#[allow(clippy::too_many_arguments, reason = "the parts of a plan")]
fn plan(
    here: Here<'_>,
    kind: Kind,
    name: &str,
    upstream_name: &str,
    upstream: &Upstream,
    from: From,
    to: To,
    marks: Marks,
) -> Result<LinkPlan, String> {
    let key = LinkKey { kind, vhost: here.vhost.to_owned(), name: name.to_owned(), upstream: upstream_name.to_owned() };
    // Everybody else who consumes there comes first, so that messages stay
    // where there is work for them.
    let consumer = FieldTable::from([("x-priority", Value::I32(-1))]);
    Ok(LinkPlan {
        key,
        origin: Origin::Policy,
        source: SourcePlan {
            uris: json::uris("uri", &upstream.uri, here.vhost)?,
            from,
            prefetch: upstream.prefetch_count.unwrap_or(PREFETCH),
            consumer,
            site: None,
        },
        target: TargetPlan { uris: vec![Uri::local(here.vhost)], to },
        ack: ack(upstream.ack_mode.as_deref())?,
        extent: Extent::Forever,
        marks,
        reconnect: Some(delay(upstream.reconnect_delay)?),
    })
}

/// RabbitMQ's name for the queue that keeps what is to be federated.
pub(super) fn queue_name(theirs: &str, here: Here<'_>, ours: &str) -> String {
    let mut name = format!("federation: {theirs} -> {}", here.cluster);
    if here.vhost != "/" {
        name.push_str(&format!(":{}", here.vhost));
    }
    if theirs != ours {
        name.push_str(&format!(":{ours}"));
    }
    name
}

/// The entry of `x-received-from` for messages that come from there. The
/// cluster's own name is known when it is connected; see `link.rs`.
fn received_from(uris: &[Uri], upstream: &Upstream, theirs: &str) -> FieldTable {
    let shown = uris.first().map(|uri| Uri { username: String::new(), password: String::new(), ..uri.clone() });
    let what = if upstream.queue.is_some() { "queue" } else { "exchange" };
    fields(vec![
        ("uri", Value::text(shown.map(|uri| uri.to_string()).unwrap_or_default())),
        (what, Value::text(theirs)),
        ("vhost", Value::text(uris.first().map(|uri| uri.vhost.clone()).unwrap_or_default())),
    ])
}

fn fields(fields: Vec<(&'static str, Value)>) -> FieldTable {
    fields.into_iter().map(|(name, value)| (Bytes::from_static(name.as_bytes()), value)).collect()
}

/// What is bound at the upstream: what is bound here. Bindings that federation
/// itself made here, for clusters further down, go up only so far as they have
/// hops left, so that they do not keep each other alive in a circle.
pub(super) fn bindings(here: Here<'_>, catalog: &State, exchange: &str, max_hops: u32) -> Vec<(String, FieldTable)> {
    let mut found: Vec<(String, FieldTable)> = Vec::new();
    for (source, binding) in catalog.bindings(here.vhost) {
        if source != exchange {
            continue;
        }
        let Some(hops) = hops_left(&binding.arguments, max_hops) else { continue };
        let mut arguments = binding.arguments.clone();
        let before = match arguments.remove(BOUND_FROM) {
            Some(catalog::Value::Array(before)) => before,
            _ => Vec::new(),
        };
        let entry = Arguments::from([
            ("cluster-name".to_owned(), catalog::Value::text(here.cluster)),
            ("vhost".to_owned(), catalog::Value::text(here.vhost)),
            ("exchange".to_owned(), catalog::Value::text(exchange)),
            ("hops".to_owned(), catalog::Value::I64(i64::from(hops))),
        ]);
        let been = before.iter().any(|entry| {
            let catalog::Value::Table(entry) = entry else { return false };
            let is = |key: &str, wanted: &str| entry.get(key).and_then(catalog::Value::as_str) == Some(wanted);
            is("cluster-name", here.cluster) && is("vhost", here.vhost)
        });
        if been {
            continue;
        }
        let bound_from = [catalog::Value::Table(entry)].into_iter().chain(before).collect();
        arguments.insert(BOUND_FROM.to_owned(), catalog::Value::Array(bound_from));
        let wanted = (binding.routing_key.clone(), to_wire(&arguments));
        if !found.contains(&wanted) {
            found.push(wanted);
        }
    }
    found
}

/// How many times a binding's messages may be handed on here; `None`: not once.
fn hops_left(arguments: &Arguments, max_hops: u32) -> Option<u32> {
    let Some(catalog::Value::Array(passed)) = arguments.get(BOUND_FROM) else { return Some(max_hops) };
    let Some(catalog::Value::Table(last)) = passed.first() else { return Some(max_hops) };
    let hops = last.get("hops").and_then(catalog::Value::as_integer).and_then(|hops| u32::try_from(hops).ok())?;
    Some(max_hops.min(hops.saturating_sub(1))).filter(|hops| *hops > 0)
}
