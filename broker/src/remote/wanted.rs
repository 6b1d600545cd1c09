//! Which links the catalog wants, all nodes' together.

use tracing::warn;
use warren_membership::catalog::State;
use warren_replication::plan::Link;

use super::federation::{self, Here, Upstreams};
use super::plan::{LinkPlan, Origin};
use super::shovel;

/// The links wanted, compiled anew when what they come from has changed.
pub(super) struct Wanted {
    cluster: String,
    /// Revisions of parameters and policies that the plans come from.
    from: Option<(u64, u64)>,
    /// Whether a policy links anything: then the catalog's queues, exchanges and
    /// bindings count as well.
    by_policy: bool,
    plans: Vec<LinkPlan>,
}

impl Wanted {
    pub(super) const fn new(cluster: String) -> Self {
        Self { cluster, from: None, by_policy: false, plans: Vec::new() }
    }

    pub(super) fn look(&mut self, catalog: &State) -> &[LinkPlan] {
        let from = (catalog.parameters().revision(), catalog.policies().revision());
        let changed = self.from.replace(from) != Some(from);
        if changed {
            self.by_policy = catalog.policies().link_anything();
        }
        if changed || self.by_policy {
            self.plans = shovels(&self.cluster, catalog);
            if self.by_policy {
                self.plans.extend(of_policies(&self.cluster, catalog));
            }
        }
        &self.plans
    }
}

fn shovels(cluster: &str, catalog: &State) -> Vec<LinkPlan> {
    let mut plans = Vec::new();
    for (key, value) in catalog.parameters().of(shovel::COMPONENT) {
        let read = serde_json::from_str(value).map_err(|error| error.to_string());
        match read.and_then(|read| shovel::plan(cluster, &key.vhost, &key.name, Origin::Parameter, read)) {
            Ok(plan) => plans.push(plan),
            // It was checked when it was set; another version may have done so.
            Err(error) => warn!(shovel = key.name, vhost = key.vhost, error, "a shovel's definition does not fit"),
        }
    }
    plans
}

/// What policies link: queues and exchanges.
fn of_policies(cluster: &str, catalog: &State) -> Vec<LinkPlan> {
    let policies = catalog.policies();
    let mut plans = Vec::new();
    let mut add = |what: &str, plan: Result<LinkPlan, String>| match plan {
        Ok(plan) => plans.push(plan),
        Err(error) => warn!(what, error, "a policy's link cannot be made"),
    };
    for (_, queue) in catalog.queues().filter(|(_, queue)| queue.exclusive.is_none()) {
        let Some(link) = policies.queue_link(&queue.vhost, &queue.name) else { continue };
        let here = Here { cluster, vhost: &queue.vhost };
        match upstreams_of(link) {
            Some(wanted) => {
                for (name, upstream) in federation::upstreams(catalog, &queue.vhost, &wanted) {
                    let plan =
                        upstream.and_then(|upstream| federation::queue_link(here, &queue.name, &name, &upstream));
                    add(&queue.name, plan);
                }
            }
            None => add(&queue.name, shovel_of(here, &queue.name, link)),
        }
    }
    for (vhost, contents) in catalog.vhosts() {
        // The default exchange is never federated, nor what is internal.
        for (name, _) in contents.exchanges.iter().filter(|(name, exchange)| !name.is_empty() && !exchange.internal) {
            let Some(wanted) = policies.exchange_link(vhost, name).and_then(upstreams_of) else { continue };
            for (upstream_name, upstream) in federation::upstreams(catalog, vhost, &wanted) {
                let here = Here { cluster, vhost };
                let plan = upstream
                    .and_then(|upstream| federation::exchange_link(here, catalog, name, &upstream_name, &upstream));
                add(name, plan);
            }
        }
    }
    plans
}

fn upstreams_of(link: &Link) -> Option<Upstreams<'_>> {
    match link {
        Link::Upstream(name) => Some(Upstreams::One(name)),
        Link::UpstreamSet(name) => Some(Upstreams::Set(name)),
        Link::Shovel(_) => None,
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
