//! Copies of a queue on an operator's word (§5.3), by RabbitMQ's action on queues.

use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use warren_membership::catalog::{Command, Refusal};

use super::access::Administrator;
use super::model::QueueAction;
use super::users::body;
use super::{Api, ApiError};
use crate::connection::ports::ProposalError;

/// `sync`: replicas that wait for it get a copy; `cancel_sync`: no more.
pub(super) async fn act(
    _: Administrator,
    Shared(api): Shared<Api>,
    Path((vhost, name)): Path<(String, String)>,
    bytes: Bytes,
) -> Result<StatusCode, ApiError> {
    let QueueAction { action } = body(&bytes)?;
    let on = match action.as_str() {
        "sync" => true,
        "cancel_sync" => false,
        other => return Err(ApiError::bad_request(format!("unknown action '{other}', expected sync or cancel_sync"))),
    };
    let found = api.cluster.catalog().queue_named(&vhost, &name).map(|(id, _)| id);
    let queue = found.map_err(|refusal: Refusal| ProposalError::Refused(refusal))?;
    let live = api.cluster.live();
    api.cluster.propose(Command::Synchronize { queue, on, live }).await?;
    tracing::info!(queue = name, vhost, on, "an operator's word on who gets a copy of a queue");
    Ok(StatusCode::NO_CONTENT)
}
