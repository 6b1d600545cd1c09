//! Who leads what, changed by an operator (§6.5): nodes drained, leaders spread
//! anew.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Path, Query, State as Shared};
use serde::Deserialize;
use warren_membership::catalog::{self, Command, Move, Node, State};
use warren_replication::types::{NodeId, QueueId};

use super::access::{Administrator, Reader};
use super::model::{DrainView, MoveRow};
use super::queues::node_name;
use super::{Api, ApiError};

/// How far a drain is.
pub(super) async fn view(
    _: Reader,
    Shared(api): Shared<Api>,
    Path(name): Path<String>,
) -> Result<Json<DrainView>, ApiError> {
    let node = node(&api, &name)?;
    Ok(Json(view_of(&api, node, name)))
}

fn node(api: &Api, name: &str) -> Result<NodeId, ApiError> {
    let node = api.cluster.catalog().node_named(name).map(Node::id);
    node.ok_or_else(|| ApiError::not_found(format!("no node '{name}' in the cluster")))
}

fn view_of(api: &Api, node: NodeId, name: String) -> DrainView {
    let live: BTreeSet<_> = api.cluster.live().into_iter().collect();
    let catalog = api.cluster.catalog();
    let led = catalog.led_of(node, &live);
    let stuck = catalog.stuck_on(node, &live);
    DrainView {
        node: name,
        drained: catalog.node(node).is_some_and(|node| node.drained),
        moving: led.movable as u64,
        waiting: led.waiting as u64,
        stuck: stuck
            .into_iter()
            .filter_map(|id| place(&catalog, id))
            .map(|(name, at)| format!("{name} in {at}"))
            .collect(),
    }
}

fn place(catalog: &State, queue: QueueId) -> Option<(String, String)> {
    catalog.queue(queue).map(|queue| (queue.name.clone(), queue.vhost.clone()))
}

/// What the node leads goes to others, and nothing new comes.
pub(super) async fn drain(
    _: Administrator,
    Shared(api): Shared<Api>,
    Path(name): Path<String>,
) -> Result<Json<DrainView>, ApiError> {
    set(&api, name, true).await
}

/// The node may lead again.
pub(super) async fn undrain(
    _: Administrator,
    Shared(api): Shared<Api>,
    Path(name): Path<String>,
) -> Result<Json<DrainView>, ApiError> {
    set(&api, name, false).await
}

async fn set(api: &Api, name: String, drained: bool) -> Result<Json<DrainView>, ApiError> {
    let node = node(api, &name)?;
    api.cluster.propose(Command::Drain { node, drained }).await?;
    tracing::info!(node = name, drained, "node drained or undrained");
    Ok(Json(view_of(api, node, name)))
}

#[derive(Deserialize)]
pub(super) struct Among {
    vhost: Option<String>,
}

impl Among {
    fn moves(&self, api: &Api) -> Vec<(Move, MoveRow)> {
        let live: BTreeSet<_> = api.cluster.live().into_iter().collect();
        let catalog = api.cluster.catalog();
        let moves = catalog::rebalance(&catalog, &live).into_iter().filter_map(|step| {
            let (queue, vhost) = place(&catalog, step.queue)?;
            let (from, to) = (node_name(&catalog, step.from), node_name(&catalog, step.to));
            Some((step, MoveRow { queue, vhost, from, to }))
        });
        moves.filter(|(_, row)| self.vhost.as_ref().is_none_or(|vhost| *vhost == row.vhost)).collect()
    }
}

/// What spreading the leaders anew would do.
pub(super) async fn unbalanced(_: Reader, Shared(api): Shared<Api>, Query(among): Query<Among>) -> Json<Vec<MoveRow>> {
    Json(among.moves(&api).into_iter().map(|(_, row)| row).collect())
}

/// Spreads the leaders anew: says which queues are going to be handed over.
pub(super) async fn rebalance(
    _: Administrator,
    Shared(api): Shared<Api>,
    Query(among): Query<Among>,
) -> Result<Json<Vec<MoveRow>>, ApiError> {
    let (moves, rows): (Vec<Move>, Vec<MoveRow>) = among.moves(&api).into_iter().unzip();
    if !moves.is_empty() {
        let moves = moves.into_iter().map(|step| (step.queue, step.epoch, step.to)).collect();
        api.cluster.propose(Command::PlanHandovers { moves }).await?;
        tracing::info!(queues = rows.len(), "leaders are spread anew");
    }
    Ok(Json(rows))
}
