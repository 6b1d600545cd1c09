//! Limits of virtual hosts and users, in RabbitMQ's JSON: `{"max-connections": 5}`.
//! What is not named stays as it is; a negative number lifts a limit.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use warren_membership::catalog::{Command, UserLimits, VhostLimits};

use super::access::Administrator;
use super::users::body;
use super::{Api, ApiError};

/// Limits by name, with those that are set.
pub(super) type Limits = BTreeMap<String, u64>;

fn set(limits: [(&str, Option<u64>); 2]) -> Limits {
    limits.into_iter().filter_map(|(name, limit)| Some((name.to_owned(), limit?))).collect()
}

pub(super) fn of_vhost(limits: &VhostLimits) -> Limits {
    set([("max-connections", limits.max_connections), ("max-queues", limits.max_queues)])
}

pub(super) fn of_user(limits: &UserLimits) -> Limits {
    set([("max-connections", limits.max_connections), ("max-channels", limits.max_channels)])
}

/// Changes what the body names.
fn amend(bytes: &[u8], mut known: [(&str, &mut Option<u64>); 2]) -> Result<(), ApiError> {
    let wanted: BTreeMap<String, i64> = body(bytes)?;
    for (name, limit) in wanted {
        let place = known.iter_mut().find(|(known, _)| *known == name);
        let Some((_, place)) = place else {
            let names = known.map(|(name, _)| name).join(" or ");
            return Err(ApiError::bad_request(format!("there is no limit '{name}', expected {names}")));
        };
        **place = u64::try_from(limit).ok();
    }
    Ok(())
}

pub(super) async fn limit_vhost(
    _: Administrator,
    Shared(api): Shared<Api>,
    Path(name): Path<String>,
    bytes: Bytes,
) -> Result<Json<()>, ApiError> {
    let mut limits = api.cluster.catalog().vhost(&name).map(|vhost| vhost.limits).unwrap_or_default();
    let VhostLimits { max_connections, max_queues } = &mut limits;
    amend(&bytes, [("max-connections", max_connections), ("max-queues", max_queues)])?;
    api.cluster.propose(Command::LimitVhost { name, limits }).await?;
    Ok(Json(()))
}

pub(super) async fn free_vhost(
    _: Administrator,
    Shared(api): Shared<Api>,
    Path(name): Path<String>,
) -> Result<Json<()>, ApiError> {
    api.cluster.propose(Command::LimitVhost { name, limits: VhostLimits::default() }).await?;
    Ok(Json(()))
}

pub(super) async fn limit_user(
    _: Administrator,
    Shared(api): Shared<Api>,
    Path(name): Path<String>,
    bytes: Bytes,
) -> Result<Json<()>, ApiError> {
    let mut limits = api.cluster.catalog().user(&name).map(|user| user.limits).unwrap_or_default();
    let UserLimits { max_connections, max_channels } = &mut limits;
    amend(&bytes, [("max-connections", max_connections), ("max-channels", max_channels)])?;
    api.cluster.propose(Command::LimitUser { name, limits }).await?;
    Ok(Json(()))
}

pub(super) async fn free_user(
    _: Administrator,
    Shared(api): Shared<Api>,
    Path(name): Path<String>,
) -> Result<Json<()>, ApiError> {
    api.cluster.propose(Command::LimitUser { name, limits: UserLimits::default() }).await?;
    Ok(Json(()))
}
