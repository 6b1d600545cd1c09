//! Who asks, and what they may: HTTP basic authentication by the catalog's
//! users and tags, as RabbitMQ's management has it.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::{Api, ApiError, links, queues};
use crate::auth::is_allowed_from;

/// A user who may look: any of RabbitMQ's management tags.
pub(super) struct Reader {
    /// The request's `Authorization`, to be shown to the other nodes.
    pub(super) authorization: String,
}

/// A user who may change things.
pub(super) struct Administrator;

const ADMINISTRATOR: &str = "administrator";
const READERS: [&str; 4] = [ADMINISTRATOR, "monitoring", "policymaker", "management"];

impl FromRequestParts<Api> for Reader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let (authorization, user, tags) = identify(parts, api).await?;
        if READERS.iter().any(|tag| tags.contains(*tag)) {
            return Ok(Self { authorization });
        }
        Err(forbidden(&format!("user '{user}' needs one of the tags {}", READERS.join(", "))))
    }
}

impl FromRequestParts<Api> for Administrator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let (_, user, tags) = identify(parts, api).await?;
        if tags.contains(ADMINISTRATOR) {
            return Ok(Self);
        }
        Err(forbidden(&format!("user '{user}' needs the tag {ADMINISTRATOR}")))
    }
}

fn unauthorized(reason: &str) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, "not_authorised", reason)
}

fn forbidden(reason: &str) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, "forbidden", reason)
}

/// The request's `Authorization`, its user and the user's tags.
async fn identify(parts: &Parts, api: &Api) -> Result<(String, String, BTreeSet<String>), ApiError> {
    let authorization = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let authorization = authorization.ok_or_else(|| unauthorized("user and password wanted"))?;
    let (user, password) = decode(authorization).ok_or_else(|| unauthorized("not HTTP basic authentication"))?;
    let from = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    if !from.is_some_and(|from| may_ask_from(parts, api, &user, from)) {
        return Err(unauthorized(&format!("user '{user}' may ask from the node's own machine only")));
    }
    let known = api.cluster.catalog().user(&user).map(|known| (known.password_hash.clone(), known.tags.clone()));
    let wrong = || unauthorized("no such user, or another password");
    let (hash, tags) = known.ok_or_else(wrong)?;
    if !api.cluster.passwords().verify(&hash, &Bytes::from(password)).await {
        return Err(wrong());
    }
    Ok((authorization.to_owned(), user, tags))
}

/// Users of this machine only ask from it; or another node of the cluster passes
/// on what its own machine's user asked.
fn may_ask_from(parts: &Parts, api: &Api, user: &str, from: IpAddr) -> bool {
    if is_allowed_from(api.cluster.loopback_users(), user, from) {
        return true;
    }
    [queues::LOCAL, links::LOCAL].contains(&parts.uri.path())
        && api
            .cluster
            .catalog()
            .nodes()
            .any(|node| node.addresses.http.parse::<SocketAddr>().is_ok_and(|http| http.ip() == from.to_canonical()))
}

fn decode(authorization: &str) -> Option<(String, String)> {
    let (scheme, secret) = authorization.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(secret.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}
