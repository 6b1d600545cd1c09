//! Queues, cluster-wide: what the catalog says of each, with what its leader
//! says of it. Every node tells what it leads at [`LOCAL`]; the node that is
//! asked puts them together.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State as Shared};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;
use warren_membership::catalog::{Queue, State, Takeover};
use warren_replication::types::{Lag, NodeId, QueueId};
use warren_shard::step::{Lagging, SiteStatus};

use super::Api;
use super::access::Reader;
use super::model::{LagRow, LaggingRow, LocalQueue, LocalQueues, QueueRow, Rates, SiteShare, UncleanRow};

/// Where a node tells of the queues that it leads.
pub(super) const LOCAL: &str = "/api/local/queues";

/// How long another node may take to tell of its queues.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Deserialize)]
pub(super) struct Filter {
    vhost: Option<String>,
    name: Option<String>,
}

/// What each node tells of itself: `Err` says why it does not.
pub(super) type Told<T> = BTreeMap<NodeId, Result<T, String>>;

pub(super) async fn local(_: Reader, Shared(api): Shared<Api>) -> Json<LocalQueues> {
    Json(led_here(&api).await)
}

async fn led_here(api: &Api) -> LocalQueues {
    let statuses = api.cluster.statuses().await;
    let catalog = api.cluster.catalog();
    let led = statuses.into_iter().filter(|status| status.leading).map(|status| {
        let of = status.log.0;
        let lagging = status.lagging.into_iter().map(|Lagging { node, state: (state, why), durable }| {
            (node_name(&catalog, node), LaggingRow { state: state.to_owned(), why, entry: durable, of })
        });
        let max_lag = catalog.queue(status.queue).and_then(|queue| queue.assignment.max_lag);
        let trailing =
            status.lags.iter().map(|(node, lag)| (node_name(&catalog, *node), lag_row(lag, max_lag.as_ref())));
        let queue = LocalQueue {
            trailing: trailing.collect(),
            state: status.state.0.to_owned(),
            why: status.state.1,
            lagging: lagging.collect(),
            ready: status.ready,
            unacked: status.unacked,
            consumers: status.consumers,
            bytes: status.bytes,
            rates: api.sampler.rates(status.queue),
            sites: status.sites.into_iter().map(share).collect(),
        };
        (status.queue.0, queue)
    });
    led.collect()
}

pub(super) async fn list(
    Reader { authorization }: Reader,
    Shared(api): Shared<Api>,
    Query(filter): Query<Filter>,
) -> Json<Vec<QueueRow>> {
    let told = ask_led(&api, &authorization).await;
    let catalog = api.cluster.catalog();
    let wanted = |queue: &Queue| {
        filter.vhost.as_ref().is_none_or(|vhost| *vhost == queue.vhost)
            && filter.name.as_ref().is_none_or(|name| *name == queue.name)
    };
    let mut rows: Vec<QueueRow> = catalog
        .queues()
        .filter(|(_, queue)| wanted(queue))
        .map(|(id, queue)| row(&catalog, id, queue, &told))
        .collect();
    rows.sort_by(|a, b| (&a.vhost, &a.name).cmp(&(&b.vhost, &b.name)));
    Json(rows)
}

/// What every live node tells of the queues that it leads.
pub(super) async fn ask_led(api: &Api, authorization: &str) -> Told<LocalQueues> {
    ask_all(api, authorization, LOCAL, led_here(api)).await
}

/// Asks every live node for what it tells at that path, all at once.
pub(super) async fn ask_all<T: DeserializeOwned + Send + 'static>(
    api: &Api,
    authorization: &str,
    path: &'static str,
    of_this_one: impl Future<Output = T>,
) -> Told<T> {
    let mut others = Vec::new();
    let mut told = Told::<T>::new();
    let mut here = None;
    {
        let catalog = api.cluster.catalog();
        let live = api.cluster.live();
        for node in catalog.nodes() {
            if node.name == api.cluster.name() {
                here = Some(node.id());
            } else if live.iter().any(|process| process.node == node.id()) {
                others.push((node.id(), node.addresses.http.clone()));
            } else {
                told.insert(node.id(), Err("is down".to_owned()));
            }
        }
    }
    let mut asking = JoinSet::new();
    for (node, address) in others {
        let authorization = authorization.to_owned();
        asking.spawn_blocking(move || (node, ask(&address, path, &authorization)));
    }
    if let Some(here) = here {
        told.insert(here, Ok(of_this_one.await));
    }
    while let Some(answer) = asking.join_next().await {
        if let Ok((node, answer)) = answer {
            told.insert(node, answer);
        }
    }
    told
}

fn ask<T: DeserializeOwned>(address: &str, path: &str, authorization: &str) -> Result<T, String> {
    let agent = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).build().new_agent();
    let answer = agent.get(format!("http://{address}{path}")).header("authorization", authorization).call();
    let told = answer.and_then(|mut answer| answer.body_mut().with_config().limit(u64::MAX).read_json());
    told.map_err(|error| format!("did not answer over HTTP ({error})"))
}

pub(super) fn row(catalog: &State, id: QueueId, queue: &Queue, told: &Told<LocalQueues>) -> QueueRow {
    let assignment = &queue.assignment;
    let leader = assignment.leader.map(|leader| leader.node);
    let name = |node: NodeId| node_name(catalog, node);
    let local = leader.and_then(|leader| told.get(&leader)).map(|told| match told {
        Ok(queues) => queues.get(&id.0).ok_or("does not lead it yet".to_owned()),
        Err(why) => Err(why.clone()),
    });
    let (state, mut why) = match (leader, &local) {
        (None, _) => ("down".to_owned(), vec![why_down(catalog, queue)]),
        (Some(_), Some(Ok(local))) => (local.state.clone(), vec![local.why.clone()]),
        (Some(leader), Some(Err(why))) => ("unknown".to_owned(), vec![format!("its leader {} {why}", name(leader))]),
        (Some(leader), None) => {
            ("unknown".to_owned(), vec![format!("its leader {} is not in the catalog", name(leader))])
        }
    };
    let trailing = match &local {
        Some(Ok(local)) => local.trailing.clone(),
        _ => BTreeMap::new(),
    };
    let mut mirrors = Vec::new();
    let mut in_sync = Vec::new();
    for &node in &assignment.replicas {
        if Some(node) != leader {
            mirrors.push(name(node));
        }
        if assignment.isr.iter().any(|member| member.node == node) {
            in_sync.push(name(node));
        } else if assignment.trailing.iter().any(|member| member.node == node) {
            if trailing.get(&name(node)).is_some_and(|lag| lag.at_limit) {
                why.push(format!("{} is at max-lag: confirms wait for it", name(node)));
            }
        } else {
            let reason = match (&local, told.get(&node)) {
                (Some(Ok(local)), _) if local.lagging.contains_key(&name(node)) => {
                    local.lagging[&name(node)].why.clone()
                }
                (_, Some(Err(why))) => format!("it {why}"),
                _ => "it is catching up".to_owned(),
            };
            why.push(format!("{} is not in sync: {reason}", name(node)));
        }
    }
    let waits = |local: &LocalQueue| local.lagging.values().any(|mirror| mirror.state == Lagging::WAITS);
    if let Some(Ok(local)) = &local
        && waits(local)
        && queue.leaving().next().is_some()
    {
        let leaving: Vec<String> = queue.leaving().map(name).collect();
        let leaving = leaving.join(" and ");
        why.push(format!("it is to leave {leaving}, and stays there until its new replicas are in sync"));
    }
    why.retain(|why| !why.is_empty());
    let blank = LocalQueue {
        state: String::new(),
        why: String::new(),
        lagging: BTreeMap::new(),
        trailing: BTreeMap::new(),
        ready: 0,
        unacked: 0,
        consumers: 0,
        bytes: 0,
        rates: Rates::default(),
        sites: Vec::new(),
    };
    let local = local.and_then(Result::ok).unwrap_or(&blank);
    QueueRow {
        name: queue.name.clone(),
        vhost: queue.vhost.clone(),
        id: id.0,
        mode: queue.plan.mode().to_owned(),
        leader: leader.map(name),
        mirrors,
        in_sync,
        trailing,
        lagging: local.lagging.clone(),
        unclean: queue.takeover.as_ref().map(|takeover| unclean(catalog, takeover)),
        epoch: assignment.epoch.0,
        state,
        why: why.join("; "),
        ready: local.ready,
        unacked: local.unacked,
        consumers: local.consumers,
        bytes: local.bytes,
        rates: local.rates,
        sites: local.sites.clone(),
    }
}

fn share(status: SiteStatus) -> SiteShare {
    SiteShare { site: status.site, consigned: status.consigned, linked: status.linked }
}

fn lag_row(lag: &Lag, max: Option<&Lag>) -> LagRow {
    let at_limit = max.is_some_and(|max| lag.is_near(max));
    LagRow { messages: lag.messages, bytes: lag.bytes, seconds: lag.micros as f64 / 1e6, at_limit }
}

fn unclean(catalog: &State, takeover: &Takeover) -> UncleanRow {
    let bound = |n: u64| (n < u64::MAX).then_some(n);
    UncleanRow {
        node: node_name(catalog, takeover.node),
        former: takeover.former.map(|node| node_name(catalog, node)),
        epoch: takeover.epoch.0,
        time: takeover.time,
        kept_below: takeover.kept.0,
        next_from: takeover.next.0,
        at_most: takeover
            .at_most
            .map(|lag| [bound(lag.messages), bound(lag.bytes), bound(lag.micros).map(|n| n / 1_000)]),
        says: says(catalog, takeover),
    }
}

/// What a takeover may have cost, in a sentence.
pub(super) fn says(catalog: &State, takeover: &Takeover) -> String {
    let (epoch, node) = (takeover.epoch, node_name(catalog, takeover.node));
    let former = takeover.former.map_or_else(|| "nobody".to_owned(), |node| node_name(catalog, node));
    let missing = match takeover.kept.0 {
        0 => "any message confirmed before may be missing".to_owned(),
        kept => format!("messages with offsets from {kept} up to {} may be missing", takeover.next.0 - 1),
    };
    let bound = takeover.at_most.map_or_else(String::new, |lag| format!(", at most {lag} of them"));
    format!("{node} took over from {former} in epoch {epoch} without having everything: {missing}{bound}")
}

/// A queue without a leader waits for whoever surely has all of it (§6.3).
fn why_down(catalog: &State, queue: &Queue) -> String {
    let assignment = &queue.assignment;
    let members: Vec<String> =
        assignment.isr.union(&assignment.eligible).map(|member| node_name(catalog, member.node)).collect();
    format!("no node that has all of it is up; it waits for {}", members.join(" or "))
}

/// A node's name, or its identity if the catalog has forgotten it.
pub(super) fn node_name(catalog: &State, node: NodeId) -> String {
    catalog.node(node).map_or_else(|| format!("node {:016x}", node.0), |node| node.name.clone())
}
