//! Runtime parameters, and the links that come of them, cluster-wide: every node
//! tells of those that it runs at [`LOCAL`]; the node that is asked puts them
//! together.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use serde_json::Value;
use warren_membership::catalog::{Command, ParameterKey};

use super::access::{Administrator, Reader};
use super::model::{LinkRow, ParameterRow, ParameterValue};
use super::{Api, ApiError, queues, users};
use crate::client::Uri;
use crate::remote::{self, From, Kind, LinkKey, LinkPlan, SHOVEL, Snapshot, To};

/// Where a node tells of the links that it runs.
pub(super) const LOCAL: &str = "/api/local/links";

pub(super) async fn parameters(_: Administrator, Shared(api): Shared<Api>) -> Json<Vec<ParameterRow>> {
    Json(rows(&api, |_| true))
}

pub(super) async fn parameters_of(
    _: Administrator,
    Shared(api): Shared<Api>,
    Path(component): Path<String>,
) -> Json<Vec<ParameterRow>> {
    Json(rows(&api, |key| key.component == component))
}

pub(super) async fn parameters_in(
    _: Administrator,
    Shared(api): Shared<Api>,
    Path((component, vhost)): Path<(String, String)>,
) -> Json<Vec<ParameterRow>> {
    Json(rows(&api, |key| key.component == component && key.vhost == vhost))
}

fn rows(api: &Api, wanted: impl Fn(&ParameterKey) -> bool) -> Vec<ParameterRow> {
    let catalog = api.cluster.catalog();
    let wanted = catalog.parameters().iter().filter(|(key, _)| wanted(key));
    wanted.map(|(key, value)| row(key, value)).collect()
}

fn row(key: &ParameterKey, value: &str) -> ParameterRow {
    ParameterRow {
        component: key.component.clone(),
        vhost: key.vhost.clone(),
        name: key.name.clone(),
        // It was JSON when it was set.
        value: serde_json::from_str(value).unwrap_or(Value::Null),
    }
}

/// Component, vhost and name, as they are in paths.
type Named = Path<(String, String, String)>;

fn key(Path((component, vhost, name)): Named) -> ParameterKey {
    ParameterKey { component, vhost, name }
}

pub(super) async fn parameter(
    _: Administrator,
    Shared(api): Shared<Api>,
    named: Named,
) -> Result<Json<ParameterRow>, ApiError> {
    let key = key(named);
    let catalog = api.cluster.catalog();
    let value = catalog.parameters().get(&key);
    value.map(|value| Json(row(&key, value))).ok_or_else(|| ApiError::not_found(format!("no parameter '{}'", key.name)))
}

pub(super) async fn set(
    _: Administrator,
    Shared(api): Shared<Api>,
    named: Named,
    bytes: Bytes,
) -> Result<Json<()>, ApiError> {
    let ParameterValue { value } = users::body(&bytes)?;
    let key = key(named);
    remote::check(api.cluster.cluster(), &key, &value).map_err(ApiError::bad_request)?;
    api.cluster.propose(Command::SetParameter { key, value: value.to_string() }).await?;
    Ok(Json(()))
}

pub(super) async fn clear(_: Administrator, Shared(api): Shared<Api>, named: Named) -> Result<Json<()>, ApiError> {
    api.cluster.propose(Command::ClearParameter { key: key(named) }).await?;
    Ok(Json(()))
}

pub(super) async fn local(_: Reader, Shared(api): Shared<Api>) -> Json<Vec<LinkRow>> {
    Json(run_here(&api))
}

fn run_here(api: &Api) -> Vec<LinkRow> {
    api.cluster.links().iter().map(|(plan, state)| link(api.cluster.name(), plan, state)).collect()
}

fn link(node: &str, plan: &LinkPlan, state: &Snapshot) -> LinkRow {
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let key = &plan.key;
    LinkRow {
        kind: key.kind.name().to_owned(),
        name: key.name.clone(),
        vhost: key.vhost.clone(),
        upstream: Some(key.upstream.clone()).filter(|upstream| !upstream.is_empty()),
        origin: plan.origin.name().to_owned(),
        node: node.to_owned(),
        state: state.condition.word().to_owned(),
        why: match &state.condition {
            remote::Condition::Blocked(reason) => reason.clone(),
            _ => String::new(),
        },
        since: seconds(state.since),
        ends: ends(plan),
        moved: state.moved,
        bytes: state.bytes,
        rate: state.rate,
        lag: state.lag,
        unconfirmed: state.unconfirmed,
        refused: state.refused,
        failures: state.failures,
        last_error: state.last_error.as_ref().map(|(error, _)| error.clone()),
        last_error_at: state.last_error.as_ref().map(|(_, at)| seconds(*at)),
    }
}

/// Both ends, by the names that RabbitMQ's shovel status has for them.
fn ends(plan: &LinkPlan) -> BTreeMap<String, String> {
    let mut ends = BTreeMap::new();
    let mut tell = |key: &str, value: &str| ends.insert(key.to_owned(), value.to_owned());
    // Without passwords: that is how URIs are shown.
    let shown = |uris: &[Uri]| uris.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    tell("src_uri", &shown(&plan.source.uris));
    tell("dest_uri", &shown(&plan.target.uris));
    match &plan.source.from {
        From::Queue(queue) => drop(tell("src_queue", &queue.name)),
        From::Exchange { name, key } => {
            tell("src_exchange", name);
            tell("src_exchange_key", key);
        }
        From::Federated { exchange, queue, .. } => {
            tell("src_exchange", exchange);
            tell("src_queue", &queue.name);
        }
    }
    match &plan.target.to {
        To::Queue(queue) => drop(tell("dest_queue", &queue.name)),
        To::Exchange { name, key } => {
            name.as_ref().map(|name| tell("dest_exchange", name));
            key.as_ref().map(|key| tell("dest_exchange_key", key));
        }
    }
    ends
}

pub(super) async fn shovels(reader: Reader, Shared(api): Shared<Api>) -> Json<Vec<LinkRow>> {
    Json(everywhere(&api, &reader.authorization, |kind| kind == Kind::Shovel.name()).await)
}

pub(super) async fn federation(reader: Reader, Shared(api): Shared<Api>) -> Json<Vec<LinkRow>> {
    Json(
        everywhere(&api, &reader.authorization, |kind| {
            kind == Kind::ExchangeFederation.name() || kind == Kind::QueueFederation.name()
        })
        .await,
    )
}

pub(super) async fn everywhere(api: &Api, authorization: &str, wanted: impl Fn(&str) -> bool) -> Vec<LinkRow> {
    let told: queues::Told<Vec<LinkRow>> = queues::ask_all(api, authorization, LOCAL, async { run_here(api) }).await;
    let mut rows: Vec<LinkRow> = told.into_values().filter_map(Result::ok).flatten().collect();
    rows.retain(|row| wanted(&row.kind));
    rows.sort_by(|a, b| (&a.vhost, &a.name, &a.upstream).cmp(&(&b.vhost, &b.name, &b.upstream)));
    rows
}

/// RabbitMQ's way to set a shovel up, and to take it down.
pub(super) async fn put_shovel(
    who: Administrator,
    api: Shared<Api>,
    Path((vhost, name)): Path<(String, String)>,
    bytes: Bytes,
) -> Result<Json<()>, ApiError> {
    set(who, api, Path((SHOVEL.to_owned(), vhost, name)), bytes).await
}

pub(super) async fn delete_shovel(
    who: Administrator,
    api: Shared<Api>,
    Path((vhost, name)): Path<(String, String)>,
) -> Result<Json<()>, ApiError> {
    clear(who, api, Path((SHOVEL.to_owned(), vhost, name))).await
}

/// Ends a shovel's run on this node; it connects anew.
pub(super) async fn restart_shovel(
    _: Administrator,
    Shared(api): Shared<Api>,
    Path((vhost, name)): Path<(String, String)>,
) -> Result<Json<()>, ApiError> {
    let key = LinkKey { kind: Kind::Shovel, vhost, name, upstream: String::new() };
    match api.cluster.restart_link(&key) {
        true => Ok(Json(())),
        false => Err(ApiError::not_found(format!("this node does not run the shovel '{}'", key.name))),
    }
}
