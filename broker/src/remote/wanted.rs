//! Which links the catalog wants, all nodes' together.

use tracing::warn;
use warren_membership::catalog::State;

use super::plan::{LinkPlan, Origin};
use super::shovel;

/// The links wanted, compiled anew when what they come from has changed.
pub(super) struct Wanted {
    cluster: String,
    parameters: Option<u64>,
    plans: Vec<LinkPlan>,
}

impl Wanted {
    pub(super) const fn new(cluster: String) -> Self {
        Self { cluster, parameters: None, plans: Vec::new() }
    }

    pub(super) fn look(&mut self, catalog: &State) -> &[LinkPlan] {
        let revision = catalog.parameters().revision();
        if self.parameters.replace(revision) != Some(revision) {
            self.plans = shovels(&self.cluster, catalog);
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
