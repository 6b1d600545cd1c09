//! Users, virtual hosts and permissions.

use std::collections::BTreeSet;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State as Shared};
use axum::http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use warren_membership::catalog::{Command, Pattern, Permissions, TopicPermissions, Vhost};

use super::access::{Administrator, Reader};
use super::model::{PermissionsView, PutTopics, PutUser, TopicsView, UserRow, VhostRow};
use super::{Api, ApiError, limits};
use crate::auth::{from_rabbitmq, hash};

/// Reads a JSON body.
pub(super) fn body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(bytes).map_err(|error| ApiError::bad_request(format!("the body does not fit: {error}")))
}

pub(super) async fn list(_: Reader, Shared(api): Shared<Api>) -> Json<Vec<UserRow>> {
    let catalog = api.cluster.catalog();
    let users = catalog.users().map(|(name, user)| UserRow {
        name: name.to_owned(),
        tags: user.tags.iter().cloned().collect(),
        permissions: user
            .permissions
            .iter()
            .map(|(vhost, may)| {
                let view = PermissionsView {
                    configure: may.configure.source().to_owned(),
                    write: may.write.source().to_owned(),
                    read: may.read.source().to_owned(),
                };
                (vhost.clone(), view)
            })
            .collect(),
        topics: user
            .topics
            .iter()
            .map(|(vhost, exchanges)| {
                let view = |may: &TopicPermissions| TopicsView { write: may.write.clone(), read: may.read.clone() };
                (vhost.clone(), exchanges.iter().map(|(exchange, may)| (exchange.clone(), view(may))).collect())
            })
            .collect(),
        limits: limits::of_user(&user.limits),
    });
    Json(users.collect())
}

pub(super) async fn put(
    _: Administrator,
    Shared(api): Shared<Api>,
    Path(name): Path<String>,
    bytes: Bytes,
) -> Result<Json<()>, ApiError> {
    let wanted: PutUser = body(&bytes)?;
    let known = api.cluster.catalog().user(&name).cloned();
    match (&known, wanted.create) {
        (Some(_), true) => {
            let reason = format!("user '{name}' exists already");
            return Err(ApiError::new(StatusCode::CONFLICT, "exists", reason));
        }
        (None, false) => return Err(ApiError::not_found(format!("no user '{name}'"))),
        _ => {}
    }
    let rabbitmqs = wanted.password_hash.map(|hash| from_rabbitmq(&hash));
    let rabbitmqs = rabbitmqs.transpose().map_err(|error| ApiError::bad_request(error.to_string()))?;
    let password_hash = match (wanted.password, &known) {
        (None, _) if rabbitmqs.is_some() => rabbitmqs.unwrap_or_default(),
        (Some(password), _) => hash(password)
            .await
            .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string()))?,
        (None, Some(user)) => user.password_hash.clone(),
        (None, None) => return Err(ApiError::bad_request("a new user needs a password")),
    };
    let tags: BTreeSet<String> = match wanted.tags {
        Some(tags) => tags.into_iter().collect(),
        None => known.map(|user| user.tags).unwrap_or_default(),
    };
    api.cluster.propose(Command::PutUser { name, password_hash, tags }).await?;
    Ok(Json(()))
}

pub(super) async fn delete(
    _: Administrator,
    Shared(api): Shared<Api>,
    Path(name): Path<String>,
) -> Result<Json<()>, ApiError> {
    api.cluster.propose(Command::DeleteUser { name }).await?;
    Ok(Json(()))
}

pub(super) async fn vhosts(_: Reader, Shared(api): Shared<Api>) -> Json<Vec<VhostRow>> {
    let catalog = api.cluster.catalog();
    let row =
        |(name, vhost): (&str, &Vhost)| VhostRow { name: name.to_owned(), limits: limits::of_vhost(&vhost.limits) };
    Json(catalog.vhosts().map(row).collect())
}

pub(super) async fn put_vhost(
    _: Administrator,
    Shared(api): Shared<Api>,
    Path(name): Path<String>,
) -> Result<Json<()>, ApiError> {
    api.cluster.propose(Command::PutVhost { name }).await?;
    Ok(Json(()))
}

pub(super) async fn delete_vhost(
    _: Administrator,
    Shared(api): Shared<Api>,
    Path(name): Path<String>,
) -> Result<Json<()>, ApiError> {
    api.cluster.propose(Command::DeleteVhost { name }).await?;
    Ok(Json(()))
}

pub(super) async fn permit(
    _: Administrator,
    Shared(api): Shared<Api>,
    Path((vhost, user)): Path<(String, String)>,
    bytes: Bytes,
) -> Result<Json<()>, ApiError> {
    let wanted: PermissionsView = body(&bytes)?;
    let pattern = |verb: &str, source: String| match Pattern::check(&source) {
        Ok(()) => Ok(Pattern::new(source)),
        Err(error) => Err(ApiError::bad_request(format!("{verb}: not a regular expression: {error}"))),
    };
    let permissions = Permissions {
        configure: pattern("configure", wanted.configure)?,
        write: pattern("write", wanted.write)?,
        read: pattern("read", wanted.read)?,
    };
    api.cluster.propose(Command::SetPermissions { user, vhost, permissions }).await?;
    Ok(Json(()))
}

pub(super) async fn forbid(
    _: Administrator,
    Shared(api): Shared<Api>,
    Path((vhost, user)): Path<(String, String)>,
) -> Result<Json<()>, ApiError> {
    api.cluster.propose(Command::ClearPermissions { user, vhost }).await?;
    Ok(Json(()))
}

pub(super) async fn permit_topics(
    _: Administrator,
    Shared(api): Shared<Api>,
    Path((vhost, user)): Path<(String, String)>,
    bytes: Bytes,
) -> Result<Json<()>, ApiError> {
    let PutTopics { exchange, topics } = body(&bytes)?;
    let permissions = TopicPermissions::new(&user, &vhost, &topics.write, &topics.read)
        .map_err(|error| ApiError::bad_request(format!("not a regular expression: {error}")))?;
    api.cluster.propose(Command::SetTopicPermissions { user, vhost, exchange, permissions }).await?;
    Ok(Json(()))
}

#[derive(Deserialize)]
pub(super) struct OfExchange {
    exchange: Option<String>,
}

pub(super) async fn forbid_topics(
    _: Administrator,
    Shared(api): Shared<Api>,
    Path((vhost, user)): Path<(String, String)>,
    Query(OfExchange { exchange }): Query<OfExchange>,
) -> Result<Json<()>, ApiError> {
    api.cluster.propose(Command::ClearTopicPermissions { user, vhost, exchange }).await?;
    Ok(Json(()))
}
