//! The sites of multi-active policies: how the links with each are, what waits
//! for whom, and draining this one.

use axum::Json;
use axum::extract::State as Shared;
use warren_membership::catalog::Command;

use super::access::{Administrator, Reader};
use super::model::{Outbound, SiteRow, SitesView};
use super::{Api, ApiError, links, queues};
use crate::client::Uri;
use crate::remote::{self, Kind};

/// Every other site, with both directions.
pub(super) async fn list(reader: Reader, Shared(api): Shared<Api>) -> Json<SitesView> {
    let links = links::everywhere(&api, &reader.authorization, |kind| kind == Kind::Site.name()).await;
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
                    lag: queue.ready + queue.unacked,
                    connected: queue.consumers > 0,
                    queue: queue.name,
                    state: queue.state,
                    rate: queue.rates.deliver,
                }
            })
            .collect();
    }
    let drains = !remote::drained(&catalog).is_empty();
    let state = match (drains, sites.iter().flat_map(|row| &row.outbound).map(|out| out.lag).sum::<u64>()) {
        (false, _) => "active",
        (true, 0) => "drained",
        (true, _) => "draining",
    };
    Json(SitesView { site: here, state: state.to_owned(), sites })
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
