//! The cluster's nodes, and forgetting one.

use axum::Json;
use axum::extract::{Path, Query, State as Shared};
use serde::Deserialize;
use warren_membership::catalog::Node;

use super::access::{Administrator, Reader};
use super::model::ClusterView;
use super::{Api, ApiError};

pub(super) async fn list(_: Reader, Shared(api): Shared<Api>) -> Json<ClusterView> {
    let mut nodes = api.cluster.nodes();
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    let raft_leader = nodes.iter().find(|node| node.raft == "leader").map(|node| node.name.clone());
    Json(ClusterView {
        cluster: api.cluster.cluster().to_owned(),
        answered_by: api.cluster.name().to_owned(),
        raft_leader,
        nodes,
    })
}

#[derive(Deserialize)]
pub(super) struct Forgetting {
    #[serde(default)]
    force: bool,
}

pub(super) async fn forget(
    _: Administrator,
    Shared(api): Shared<Api>,
    Path(name): Path<String>,
    Query(forgetting): Query<Forgetting>,
) -> Result<Json<()>, ApiError> {
    let node = api.cluster.catalog().node_named(&name).map(Node::id);
    let node = node.ok_or_else(|| ApiError::not_found(format!("no node '{name}' in the cluster")))?;
    api.cluster.forget(node, forgetting.force).await?;
    tracing::info!(node = name, "node forgotten");
    Ok(Json(()))
}
