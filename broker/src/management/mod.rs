//! The node's HTTP side: health, metrics, and the API under the `warren`
//! commands. What it needs of the node is [`Cluster`]; tests put a catalog in
//! memory behind it.
//!
//! `/health`, `/health/primary` and `/metrics` are open; everything else wants HTTP basic
//! authentication by a user of the catalog: one with any tag to look, one with
//! the tag `administrator` to change things.

mod access;
mod error;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod fake;
mod leaders;
mod limits;
mod links;
mod metrics;
pub mod model;
mod nodes;
mod policies;
mod queues;
mod sampler;
mod sites;
mod synchronization;
mod users;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::extract::State as Shared;
use axum::http::{Method, StatusCode, Uri};
use axum::routing::{delete, get, post, put};
use parking_lot::RwLockReadGuard;
use tokio::net::TcpListener;
use warren_membership::catalog::{Command, State};
use warren_replication::types::{NodeId, Process};
use warren_shard::step::QueueStatus;
use warren_store::CommitStats;

use crate::auth::Passwords;
use crate::connection::ports::{Proposal, ProposalError};
use crate::connection::tally::Tally;
use crate::remote::{LinkKey, LinkPlan, Snapshot};
use error::ApiError;
use model::{HealthView, NodeRow};
use sampler::Sampler;

/// An answer that takes its time.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The running node, as its operators' side needs it.
pub trait Cluster: Send + Sync + 'static {
    /// The node's configured name.
    fn name(&self) -> &str;

    /// The cluster's configured name.
    fn cluster(&self) -> &str;

    /// Whether the node serves clients, or why not.
    ///
    /// # Errors
    /// A sentence for people.
    fn health(&self) -> Result<(), String>;

    /// All nodes as membership sees them now.
    fn nodes(&self) -> Vec<NodeRow>;

    /// The processes that membership holds for live, this one included.
    fn live(&self) -> Vec<Process>;

    /// The catalog as this node has applied it. Not to be held for long.
    fn catalog(&self) -> RwLockReadGuard<'_, State>;

    /// Asks the cluster to agree; answers when all nodes that serve know of it.
    fn propose(&self, command: Command) -> Proposal;

    /// Takes a dead node out of the cluster for good.
    fn forget(&self, node: NodeId, force: bool) -> Answer<'_, Result<(), ProposalError>>;

    /// All queues that this node has a copy of.
    fn statuses(&self) -> Answer<'_, Vec<QueueStatus>>;

    /// Who checks passwords.
    fn passwords(&self) -> &Passwords;

    /// Users who may ask from the node's own machine only.
    fn loopback_users(&self) -> &[String];

    /// The links that this node runs.
    fn links(&self) -> Vec<(Arc<LinkPlan>, Snapshot)>;

    /// Ends a link's run, to be started anew; false if it does not run here.
    fn restart_link(&self, key: &LinkKey) -> bool;

    /// What only the node's own parts can count.
    fn numbers(&self) -> Numbers;
}

/// What the node's parts count, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    /// Open client connections.
    pub connections: u64,
    /// Microseconds until the node's lease runs out, 0 = it has.
    pub lease_left: u64,
    /// Nodes that a peer link is up to.
    pub links_up: u64,
    /// What clients have done since the node runs.
    pub tally: Tally,
    /// Open channels.
    pub channels: u64,
    /// What the disk took.
    pub commits: CommitStats,
    /// Memory and disk, as measured last, and their limits.
    pub resources: Resources,
}

/// What alarms are raised by, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Resident memory of the node's process.
    pub memory_used: u64,
    /// Above it, publishers are held back.
    pub memory_limit: u64,
    /// Free for us on the data folder's disk.
    pub disk_free: u64,
    /// Below it, publishers are held back.
    pub disk_free_limit: u64,
}

/// What all handlers share.
#[derive(Clone)]
struct Api {
    cluster: Arc<dyn Cluster>,
    sampler: Arc<Sampler>,
}

/// Serves until the task is dropped.
///
/// # Errors
/// If the listener fails.
pub async fn serve(cluster: Arc<dyn Cluster>, listener: TcpListener) -> std::io::Result<()> {
    let sampler = Arc::new(Sampler::default());
    let api = Api { cluster: Arc::clone(&cluster), sampler: Arc::clone(&sampler) };
    let service = router(api).into_make_service_with_connect_info::<SocketAddr>();
    tokio::select! {
        served = axum::serve(listener, service) => served,
        () = sampler::run(&*cluster, &sampler) => Ok(()),
    }
}

fn router(api: Api) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/health/primary", get(policies::is_primary))
        .route("/metrics", get(metrics::show))
        .route("/api/nodes", get(nodes::list))
        .route("/api/nodes/{name}", delete(nodes::forget))
        .route("/api/nodes/{name}/drain", get(leaders::view).put(leaders::drain).delete(leaders::undrain))
        .route("/api/queues", get(queues::list))
        .route("/api/queues/rebalance", get(leaders::unbalanced).post(leaders::rebalance))
        .route("/api/queues/{vhost}/{name}/actions", post(synchronization::act))
        .route(queues::LOCAL, get(queues::local))
        .route("/api/policies", get(policies::list).post(policies::apply))
        .route("/api/policies/explain", get(policies::explain))
        .route("/api/policies/diff", post(policies::diff))
        .route("/api/policies/primary", put(policies::move_primary))
        .route(links::LOCAL, get(links::local))
        .route("/api/parameters", get(links::parameters))
        .route("/api/parameters/{component}", get(links::parameters_of))
        .route("/api/parameters/{component}/{vhost}", get(links::parameters_in))
        .route("/api/parameters/{component}/{vhost}/{name}", get(links::parameter).put(links::set).delete(links::clear))
        .route("/api/shovels", get(links::shovels))
        .route("/api/shovels/vhost/{vhost}/{name}", put(links::put_shovel).delete(links::delete_shovel))
        .route("/api/shovels/vhost/{vhost}/{name}/restart", delete(links::restart_shovel))
        .route("/api/federation-links", get(links::federation))
        .route("/api/sites", get(sites::list))
        .route("/api/sites/drain", put(sites::drain).delete(sites::undrain))
        .route("/api/sites/{site}/lost", put(sites::give_up).delete(sites::admit))
        .route("/api/users", get(users::list))
        .route("/api/users/{name}", put(users::put).delete(users::delete))
        .route("/api/vhosts", get(users::vhosts))
        .route("/api/vhosts/{name}", put(users::put_vhost).delete(users::delete_vhost))
        .route("/api/vhost-limits/{name}", put(limits::limit_vhost).delete(limits::free_vhost))
        .route("/api/user-limits/{name}", put(limits::limit_user).delete(limits::free_user))
        .route("/api/topic-permissions/{vhost}/{user}", put(users::permit_topics).delete(users::forbid_topics))
        .route("/api/permissions/{vhost}/{user}", put(users::permit).delete(users::forbid))
        .fallback(nowhere)
        .method_not_allowed_fallback(not_so)
        .with_state(api)
}

async fn health(Shared(api): Shared<Api>) -> Result<axum::Json<HealthView>, ApiError> {
    match api.cluster.health() {
        Ok(()) => Ok(axum::Json(well(&api))),
        Err(reason) => Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", reason)),
    }
}

/// A node that serves, with the alarms of all live nodes: while there is one of
/// memory or disk, publishers are held back everywhere.
fn well(api: &Api) -> HealthView {
    let nodes = api.cluster.nodes().into_iter().filter(|node| node.alive);
    let alarms = nodes.flat_map(|node| node.alarms.into_iter().map(move |alarm| format!("{}: {alarm}", node.name)));
    HealthView { status: "ok".to_owned(), node: api.cluster.name().to_owned(), alarms: alarms.collect() }
}

async fn nowhere(uri: Uri) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "not_found", format!("there is nothing at {}", uri.path()))
}

async fn not_so(method: Method, uri: Uri) -> ApiError {
    let reason = format!("{} does not know {method}", uri.path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", reason)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
