//! Policies in force, why a queue has its plan, and a new set of them.

use std::path::Path as FilePath;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State as Shared};
use axum::http::StatusCode;
use serde::Deserialize;
use warren_membership::catalog::policies::Policies;
use warren_membership::catalog::{Command, Node, State};
use warren_replication::plan::{ApplyTo, Group, Leaders, Link, Mode, Policy, Synchronization};

use super::access::{Administrator, Reader};
use super::model::{
    Explanation, HealthView, MovePrimary, PlanDiff, PoliciesApplied, PoliciesView, PolicyDiff, PolicyRow, PolicyText,
};
use super::{Api, ApiError, queues};
use crate::policy;

pub(super) async fn list(_: Reader, Shared(api): Shared<Api>) -> Json<PoliciesView> {
    let catalog = api.cluster.catalog();
    let policies = catalog.policies();
    Json(PoliciesView { revision: policies.revision(), policies: policies.iter().map(row).collect() })
}

/// Who gets a copy, and who leads at last, in words.
fn takeovers(
    synchronization: Synchronization,
    after: Option<u64>,
    after_stop: Option<u64>,
) -> impl Iterator<Item = String> {
    let stop = match (after, after_stop) {
        (_, Some(0)) => Some("promote-on-shutdown always".to_owned()),
        (Some(_), None) => Some("promote-on-shutdown when-synced".to_owned()),
        _ => None,
    };
    let manual = synchronization == Synchronization::Manual;
    let unclean = after.map(|after| format!("unclean after {after} ms"));
    [manual.then(|| "synchronization manual".to_owned()), unclean, stop].into_iter().flatten()
}

fn row(policy: &Policy) -> PolicyRow {
    let mut definition = Vec::new();
    match &policy.mode {
        Some(Mode::Mirror(mirror)) => {
            let leaders = match mirror.leaders {
                Leaders::Balanced => "balanced",
                Leaders::ClientLocal => "client-local",
                Leaders::First | Leaders::Primary => "first",
            };
            definition.push(format!("{}; in sync at least {}; leaders {leaders}", mirror.replicas, mirror.min_in_sync));
            definition.extend(takeovers(mirror.synchronization, mirror.unclean_after, mirror.unclean_after_stop));
        }
        Some(Mode::PrimaryBackup(settings)) => {
            let nodes = settings.nodes.join(" > ");
            definition.push(match &settings.max_lag {
                None => format!("{nodes}; in sync at least {}", settings.min_in_sync),
                Some(max_lag) => format!("{nodes}; trailing by at most {max_lag}"),
            });
            let (after, after_stop) = (settings.unclean_after, settings.unclean_after_stop);
            definition.extend(takeovers(settings.synchronization, after, after_stop));
        }
        None => {}
    }
    definition.extend(policy.link.as_ref().map(Link::explain));
    definition.extend(policy.limits.listed().iter().map(|(key, value)| format!("{key} {value}")));
    PolicyRow {
        name: policy.name.clone(),
        vhost: policy.vhost.clone(),
        pattern: policy.pattern.clone(),
        apply_to: match policy.apply_to {
            ApplyTo::All => "all",
            ApplyTo::Queues => "queues",
            ApplyTo::Exchanges => "exchanges",
        }
        .to_owned(),
        priority: policy.priority,
        mode: match (&policy.mode, &policy.link) {
            (_, Some(Link::Sites(_))) => "multi-active",
            (_, Some(_)) => "remote",
            (Some(mode), None) => mode.name(),
            (None, None) if policy.operator => "operator",
            (None, None) => "-",
        }
        .to_owned(),
        definition: definition.join("; "),
    }
}

#[derive(Deserialize)]
pub(super) struct Vhost {
    #[serde(default = "default_vhost")]
    vhost: String,
}

fn default_vhost() -> String {
    "/".to_owned()
}

/// For load balancers: whether this node serves AMQP clients of a vhost.
pub(super) async fn is_primary(
    Shared(api): Shared<Api>,
    Query(Vhost { vhost }): Query<Vhost>,
) -> Result<Json<HealthView>, ApiError> {
    let unavailable = |reason| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", reason);
    api.cluster.health().map_err(unavailable)?;
    let catalog = api.cluster.catalog();
    let here = catalog.node_named(api.cluster.name()).and_then(|node| catalog.turns_away(&vhost, node.id()));
    if let Some((group, primary)) = here {
        let primary = primary.map_or("nobody", |node| node.name.as_str());
        return Err(unavailable(format!("a backup of policy '{}'; the primary is {primary}", group.policy)));
    }
    drop(catalog);
    Ok(Json(super::well(&api)))
}

/// What applying a policy file would change; nothing is.
pub(super) async fn diff(_: Reader, Shared(api): Shared<Api>, body: Bytes) -> Result<Json<PolicyDiff>, ApiError> {
    let PolicyText { file, text } = super::users::body(&body)?;
    let wanted = policy::parse(FilePath::new(&file), text).map_err(|error| ApiError::bad_request(error.to_string()))?;
    let catalog = api.cluster.catalog();
    let said = |policy: &Policy| format!("{} in vhost {}", policy.name, policy.vhost);
    let mut diff = PolicyDiff::default();
    for policy in &wanted {
        let mut now = catalog.policies().iter().filter(|now| (&now.name, &now.vhost) == (&policy.name, &policy.vhost));
        match now.next() {
            None => diff.added.push(said(policy)),
            Some(now) if now != policy => diff.changed.push(said(policy)),
            Some(_) => {}
        }
    }
    let stays = |now: &&Policy| wanted.iter().any(|policy| (&now.name, &now.vhost) == (&policy.name, &policy.vhost));
    diff.removed = catalog.policies().iter().filter(|now| !stays(now)).map(said).collect();
    let wanted = Policies::new(0, wanted);
    for (_, queue) in catalog.queues() {
        let then = State::plan_under(&wanted, queue);
        if then != *queue.plan {
            diff.queues.push(PlanDiff {
                queue: queue.name.clone(),
                vhost: queue.vhost.clone(),
                now: queue.plan.explain(),
                then: then.explain(),
            });
        }
    }
    Ok(Json(diff))
}

/// Makes another node the primary of a primary-backup policy.
pub(super) async fn move_primary(
    _: Administrator,
    Shared(api): Shared<Api>,
    body: Bytes,
) -> Result<Json<()>, ApiError> {
    let MovePrimary { vhost, policy, node } = super::users::body(&body)?;
    let to = api.cluster.catalog().node_named(&node).map(Node::id);
    let to = to.ok_or_else(|| ApiError::not_found(format!("no node '{node}'")))?;
    let group = Group { vhost, policy };
    api.cluster.propose(Command::MovePrimary { group, to, live: api.cluster.live() }).await?;
    Ok(Json(()))
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
        let zoned = |node: warren_replication::types::NodeId| {
            let zone = catalog.node(node).map_or("", |node| node.addresses.zone.as_str());
            let name = queues::node_name(&catalog, node);
            if zone.is_empty() { name } else { format!("{name} (zone {zone})") }
        };
        let assignment = &queue.assignment;
        explanation.now = Some(format!(
            "the queue exists: on {}, in sync on {}, led by {} in epoch {}",
            assignment.replicas.iter().map(|node| zoned(*node)).collect::<Vec<_>>().join(", "),
            names(&mut assignment.isr.iter().map(|member| member.node)),
            assignment.leader.map_or_else(|| "nobody".to_owned(), |leader| queues::node_name(&catalog, leader.node)),
            assignment.epoch,
        ));
        if let (Some(now), Some(takeover)) = (&mut explanation.now, &queue.takeover) {
            now.push_str("; ");
            now.push_str(&queues::says(&catalog, takeover));
        }
    }
    Json(explanation)
}
