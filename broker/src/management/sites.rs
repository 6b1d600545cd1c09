//! The sites of multi-active policies: how the links with each are, what waits
//! for whom, draining this one and giving another up for lost.

use axum::Json;
use axum::extract::{Path, State as Shared};
use warren_membership::catalog::Command;
use warren_replication::plan::{Link, Scope};

use super::access::{Administrator, Reader};
use super::model::{Outbound, QueueRow, SiteRow, SitesView};
use super::{Api, ApiError, links, queues};
use crate::client::Uri;
use crate::remote::{self, Kind};

/// Every other site, with both directions.
pub(super) async fn list(reader: Reader, Shared(api): Shared<Api>) -> Json<SitesView> {
    let links = links::everywhere(&api, &reader.authorization, is_of_site).await;
    let told = queues::ask_led(&api, &reader.authorization).await;
    let here = api.cluster.cluster().to_owned();
    let catalog = api.cluster.catalog();
    let mut sites: Vec<SiteRow> = Vec::new();
    for (vhost, policy) in remote::site_policies(&catalog, None) {
        for site in policy.sites.iter().filter(|site| site.name != here) {
            if sites.iter().any(|row| row.site == site.name && row.vhost == vhost) {
                continue;
            }
            let uris = site.uris.iter().filter_map(|uri| uri.parse().ok()).map(|uri: Uri| uri.authority);
            sites.push(SiteRow {
                site: site.name.clone(),
                vhost: vhost.to_owned(),
                hosts: uris.collect(),
                inbound: Vec::new(),
                outbound: Vec::new(),
            });
        }
    }
    let queues: Vec<QueueRow> = catalog.queues().map(|(id, queue)| queues::row(&catalog, id, queue, &told)).collect();
    // One that no policy names any more may have something yet.
    for (queue, share) in queues.iter().flat_map(|queue| queue.sites.iter().map(move |share| (queue, share))) {
        if !sites.iter().any(|row| row.site == share.site && row.vhost == queue.vhost) {
            sites.push(SiteRow {
                site: share.site.clone(),
                vhost: queue.vhost.clone(),
                hosts: Vec::new(),
                inbound: Vec::new(),
                outbound: Vec::new(),
            });
        }
    }
    for row in &mut sites {
        let from_there = |link: &&super::model::LinkRow| {
            link.vhost == row.vhost && link.upstream.as_deref() == Some(row.site.as_str())
        };
        row.inbound = links.iter().filter(from_there).cloned().collect();
        let for_them = catalog
            .queues()
            .filter(|(_, queue)| queue.vhost == row.vhost && remote::site_of(queue) == Some(row.site.as_str()));
        row.outbound = for_them
            .map(|(id, queue)| {
                let queue = queues::row(&catalog, id, queue, &told);
                Outbound {
                    scope: "exchange".to_owned(),
                    lag: queue.ready + queue.unacked,
                    connected: queue.consumers > 0,
                    queue: queue.name,
                    state: queue.state,
                    rate: queue.rates.deliver,
                }
            })
            .collect();
        for queue in queues.iter().filter(|queue| queue.vhost == row.vhost) {
            let shares = queue.sites.iter().filter(|share| share.site == row.site);
            row.outbound.extend(shares.map(|share| Outbound {
                scope: "queue".to_owned(),
                lag: share.consigned,
                connected: share.linked,
                queue: queue.name.clone(),
                state: queue.state.clone(),
                rate: 0.0,
            }));
        }
    }
    let is_shared = |queue: &&QueueRow| {
        let link = catalog.policies().queue_link(&queue.vhost, &queue.name);
        matches!(link, Some(Link::Sites(sites)) if sites.scope == Scope::Queue)
    };
    let shared = queues.iter().filter(is_shared).map(|queue| queue.ready + queue.unacked).sum();
    let drains = !remote::drained(&catalog).is_empty();
    let waiting = sites.iter().flat_map(|row| &row.outbound).map(|out| out.lag).sum::<u64>() + shared;
    let state = match (drains, waiting) {
        (false, _) => "active",
        (true, 0) => "drained",
        (true, _) => "draining",
    };
    let lost = remote::lost(&catalog).into_iter().collect();
    Json(SitesView { site: here, state: state.to_owned(), shared, lost, sites })
}

fn is_of_site(kind: &str) -> bool {
    kind == Kind::Site.name() || kind == Kind::SiteQueue.name()
}

/// Gives a site up for lost: what is consigned to it is for anybody again, and its
/// links are refused.
pub(super) async fn give_up(
    _: Administrator,
    Shared(api): Shared<Api>,
    Path(site): Path<String>,
) -> Result<Json<()>, ApiError> {
    let given = remote::gives_up(&api.cluster.catalog(), &site);
    if let Some((key, value)) = given {
        api.cluster.propose(Command::SetParameter { key, value }).await?;
    }
    Ok(Json(()))
}

/// Takes a site's links again.
pub(super) async fn admit(
    _: Administrator,
    Shared(api): Shared<Api>,
    Path(site): Path<String>,
) -> Result<Json<()>, ApiError> {
    let given = remote::admits(&api.cluster.catalog(), &site);
    if given.is_empty() {
        return Err(ApiError::not_found(format!("site '{site}' is not given up for lost")));
    }
    for key in given {
        api.cluster.propose(Command::ClearParameter { key }).await?;
    }
    Ok(Json(()))
}

/// Turns this site's clients away for good, while what waits for the other sites
/// goes on moving.
pub(super) async fn drain(_: Administrator, Shared(api): Shared<Api>) -> Result<Json<()>, ApiError> {
    let wanted = remote::drains(&api.cluster.catalog());
    if wanted.is_empty() {
        return Err(ApiError::bad_request("no policy of mode \"multi-active\" is in force".to_owned()));
    }
    for (key, value) in wanted {
        api.cluster.propose(Command::SetParameter { key, value }).await?;
    }
    Ok(Json(()))
}

/// Takes clients again.
pub(super) async fn undrain(_: Administrator, Shared(api): Shared<Api>) -> Result<Json<()>, ApiError> {
    let drained = remote::drained(&api.cluster.catalog());
    for key in drained {
        api.cluster.propose(Command::ClearParameter { key }).await?;
    }
    Ok(Json(()))
}
