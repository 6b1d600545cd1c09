//! Which links the catalog wants, all nodes' together.

use std::collections::BTreeSet;

use tracing::warn;
use warren_membership::catalog::State;
use warren_replication::plan::Link;

use super::federation::{self, Here, Upstreams};
use super::plan::{LinkPlan, Origin};
use super::{shovel, sites};

/// The links wanted, compiled anew when what they come from has changed.
pub(super) struct Wanted {
    cluster: String,
    /// Revisions of parameters and policies that the plans come from.
    from: Option<(u64, u64)>,
    /// Whether a policy links anything: then the catalog's queues, exchanges and
    /// bindings count as well.
    by_policy: bool,
    plans: Vec<LinkPlan>,
    /// What was complained of already: it is said once, not at each look.
    told: BTreeSet<String>,
}

impl Wanted {
    pub(super) const fn new(cluster: String) -> Self {
        Self { cluster, from: None, by_policy: false, plans: Vec::new(), told: BTreeSet::new() }
    }

    pub(super) fn look(&mut self, catalog: &State) -> &[LinkPlan] {
        let from = (catalog.parameters().revision(), catalog.policies().revision());
        let changed = self.from.replace(from) != Some(from);
        if changed {
            self.by_policy = catalog.policies().link_anything();
        }
        if changed || self.by_policy {
            let mut found = Found::default();
            shovels(&self.cluster, catalog, &mut found);
            if self.by_policy {
                of_policies(&self.cluster, catalog, &mut found);
            }
            for error in found.errors.difference(&self.told) {
                warn!("{error}");
            }
            (self.plans, self.told) = (found.plans, found.errors);
        }
        &self.plans
    }
}

/// Plans, and what could not be one.
#[derive(Default)]
struct Found {
    plans: Vec<LinkPlan>,
    errors: BTreeSet<String>,
}

impl Found {
    fn add(&mut self, vhost: &str, what: &str, plan: Result<LinkPlan, String>) {
        match plan {
            Ok(plan) => self.plans.push(plan),
            Err(error) => {
                self.errors.insert(format!("{what} in vhost '{vhost}' cannot be linked: {error}"));
            }
        }
    }
}

fn shovels(cluster: &str, catalog: &State, found: &mut Found) {
    for (key, value) in catalog.parameters().of(shovel::COMPONENT) {
        // It was checked when it was set; but perhaps by another version.
        let read = serde_json::from_str(value).map_err(|error| error.to_string());
        let plan = read.and_then(|read| shovel::plan(cluster, &key.vhost, &key.name, Origin::Parameter, read));
        found.add(&key.vhost, &format!("shovel '{}'", key.name), plan);
    }
}

/// What policies link: queues and exchanges.
fn of_policies(cluster: &str, catalog: &State, found: &mut Found) {
    let policies = catalog.policies();
    for (_, queue) in catalog.queues().filter(|(_, queue)| queue.exclusive.is_none()) {
        let Some(link) = policies.queue_link(&queue.vhost, &queue.name) else { continue };
        let here = Here { cluster, vhost: &queue.vhost };
        let what = format!("queue '{}'", queue.name);
        if let Link::Sites(sites) = link {
            for site in sites.sites.iter().filter(|site| site.name != cluster) {
                let plan = sites::queue_link(here, &queue.name, sites, site);
                found.add(&queue.vhost, &what, plan);
            }
            continue;
        }
        let Some(wanted) = upstreams_of(link) else {
            found.add(&queue.vhost, &what, shovel_of(here, &queue.name, link));
            continue;
        };
        for (name, upstream) in federation::upstreams(catalog, &queue.vhost, &wanted) {
            let plan = upstream.and_then(|upstream| federation::queue_link(here, &queue.name, &name, &upstream));
            found.add(&queue.vhost, &what, plan);
        }
    }
    for (vhost, contents) in catalog.vhosts() {
        let here = Here { cluster, vhost };
        // The default exchange is never federated, nor what is internal.
        for (name, _) in contents.exchanges.iter().filter(|(name, exchange)| !name.is_empty() && !exchange.internal) {
            let Some(link) = policies.exchange_link(vhost, name) else { continue };
            if let Link::Sites(sites) = link {
                // One file may serve all sites: each passes over itself.
                for site in sites.sites.iter().filter(|site| site.name != cluster) {
                    let plan = sites::exchange_link(here, catalog, name, sites, site);
                    found.add(vhost, &format!("exchange '{name}'"), plan);
                }
            }
            let Some(wanted) = upstreams_of(link) else { continue };
            for (upstream_name, upstream) in federation::upstreams(catalog, vhost, &wanted) {
                let plan = upstream
                    .and_then(|upstream| federation::exchange_link(here, catalog, name, &upstream_name, &upstream));
                found.add(vhost, &format!("exchange '{name}'"), plan);
            }
        }
    }
}

fn upstreams_of(link: &Link) -> Option<Upstreams<'_>> {
    match link {
        Link::Upstream(name) => Some(Upstreams::One(name)),
        Link::UpstreamSet(name) => Some(Upstreams::Set(name)),
        Link::Shovel(_) | Link::Sites(_) => None,
    }
}

/// The shovel of a policy, from this queue; to one of the same name unless it says.
fn shovel_of(here: Here<'_>, queue: &str, link: &Link) -> Result<LinkPlan, String> {
    let Link::Shovel(text) = link else { return Err("not a shovel".to_owned()) };
    let mut value: serde_json::Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if let Some(object) = value.as_object_mut() {
        object.insert("src-uri".to_owned(), "amqp://".into());
        object.insert("src-queue".to_owned(), queue.into());
        if !object.contains_key("dest-queue") && !object.contains_key("dest-exchange") {
            object.insert("dest-queue".to_owned(), queue.into());
        }
    }
    let read = serde_json::from_value(value).map_err(|error| error.to_string())?;
    shovel::plan(here.cluster, here.vhost, queue, Origin::Policy, read)
}
