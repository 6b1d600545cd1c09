//! Policies in force, why a queue has its plan, and a new set of them.

use std::path::Path as FilePath;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State as Shared};
use serde::Deserialize;
use warren_replication::plan::{ApplyTo, Leaders, Mode, Policy};

use super::access::{Administrator, Reader};
use super::model::{Explanation, PoliciesApplied, PoliciesView, PolicyRow, PolicyText};
use super::{Api, ApiError, queues};
use crate::policy;

pub(super) async fn list(_: Reader, Shared(api): Shared<Api>) -> Json<PoliciesView> {
    let catalog = api.cluster.catalog();
    let policies = catalog.policies();
    Json(PoliciesView { revision: policies.revision(), policies: policies.iter().map(row).collect() })
}

fn row(policy: &Policy) -> PolicyRow {
    let Mode::Mirror(mirror) = &policy.mode;
    let leaders = match mirror.leaders {
        Leaders::Balanced => "balanced",
        Leaders::ClientLocal => "client-local",
        Leaders::First => "first",
    };
    PolicyRow {
        name: policy.name.clone(),
        vhost: policy.vhost.clone(),
        pattern: policy.pattern.clone(),
        apply_to: match policy.apply_to {
            ApplyTo::All => "all",
            ApplyTo::Queues => "queues",
        }
        .to_owned(),
        priority: policy.priority,
        mode: policy.mode.name().to_owned(),
        definition: format!("{}; in sync at least {}; leaders {leaders}", mirror.replicas, mirror.min_in_sync),
    }
}

pub(super) async fn apply(
    _: Administrator,
    Shared(api): Shared<Api>,
    body: Bytes,
) -> Result<Json<PoliciesApplied>, ApiError> {
    let PolicyText { file, text } = super::users::body(&body)?;
    let policies =
        policy::parse(FilePath::new(&file), text).map_err(|error| ApiError::bad_request(error.to_string()))?;
    let applied = policy::apply(&*api.cluster, &policies).await?;
    tracing::info!(file, revision = applied.revision, changed = applied.changed, "policies applied over HTTP");
    Ok(Json(applied))
}

#[derive(Deserialize)]
pub(super) struct Which {
    vhost: String,
    queue: String,
}

pub(super) async fn explain(_: Reader, Shared(api): Shared<Api>, Query(which): Query<Which>) -> Json<Explanation> {
    let catalog = api.cluster.catalog();
    let mut explanation = policy::explain(catalog.policies(), &which.vhost, &which.queue);
    if let Ok((_, queue)) = catalog.queue_named(&which.vhost, &which.queue) {
        // What is there has the plan that the catalog gave it: a queue that is
        // not durable, or exclusive, is kept otherwise than its name says.
        explanation.policy.clone_from(&queue.plan.policy);
        explanation.plan = queue.plan.explain();
        let names = |nodes: &mut dyn Iterator<Item = warren_replication::types::NodeId>| {
            nodes.map(|node| queues::node_name(&catalog, node)).collect::<Vec<_>>().join(", ")
        };
        let assignment = &queue.assignment;
        explanation.now = Some(format!(
            "the queue exists: on {}, in sync on {}, led by {} in epoch {}",
            names(&mut assignment.replicas.iter().copied()),
            names(&mut assignment.isr.iter().map(|member| member.node)),
            assignment.leader.map_or_else(|| "nobody".to_owned(), |leader| queues::node_name(&catalog, leader.node)),
            assignment.epoch,
        ));
    }
    Json(explanation)
}
