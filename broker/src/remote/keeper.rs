//! Which links run on this node: those that the catalog wants and whose owner it
//! is, while it has a lease. Looked at again whenever the catalog or who is
//! live changes.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use warren_membership::catalog::{Command, ParameterKey};
use warren_membership::{Membership, clock};

use super::connector::Connector;
use super::ends;
use super::error::LinkError;
use super::link::{Demand, Ended, Link};
use super::placement;
use super::plan::{From, Kind, LinkKey, LinkPlan, Origin};
use super::shovel;
use super::sites;
use super::state::{LinkState, Snapshot};
use super::wanted::Wanted;
use crate::shard::Shards;

/// Between two looks at least: a busy catalog is not looked at for each change.
const PAUSE: Duration = Duration::from_millis(100);
/// Between two looks at most: the lease runs out without a word.
const LOOK: Duration = Duration::from_millis(500);

/// The links of this node.
#[derive(Default)]
pub struct Links {
    running: Mutex<BTreeMap<LinkKey, Running>>,
}

struct Running {
    plan: Arc<LinkPlan>,
    state: Arc<LinkState>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Links {
    /// All links that this node runs, or has run to their end.
    #[must_use]
    pub fn all(&self) -> Vec<(Arc<LinkPlan>, Snapshot)> {
        let running = self.running.lock();
        running.values().map(|link| (Arc::clone(&link.plan), link.state.snapshot())).collect()
    }

    /// Ends a link's run; the next look starts it anew. False if it is not here.
    pub fn restart(&self, key: &LinkKey) -> bool {
        let running = self.running.lock();
        running.get(key).is_some_and(|link| {
            link.stop.cancel();
            true
        })
    }

    /// Stops what is not wanted any more, starts what is.
    fn reconcile(
        &self,
        mut wanted: BTreeMap<LinkKey, LinkPlan>,
        start: impl Fn(Arc<LinkPlan>) -> Running,
        ended: impl Fn(Arc<LinkPlan>),
    ) {
        let mut running = self.running.lock();
        running.retain(|key, link| {
            let stays = wanted.get(key).is_some_and(|plan| *plan == *link.plan);
            if !stays {
                link.stop.cancel();
            }
            // One that is stopped is started again when it has ended: it is
            // never there twice.
            let gone = link.stop.is_cancelled() && link.task.is_finished();
            if gone {
                ended(Arc::clone(&link.plan));
            }
            !gone
        });
        wanted.retain(|key, _| !running.contains_key(key));
        for (key, plan) in wanted {
            running.insert(key, start(Arc::new(plan)));
        }
    }

    /// Stops all and waits for them, each for a bounded time.
    async fn stop(&self) {
        let all = std::mem::take(&mut *self.running.lock());
        for link in all.values() {
            link.stop.cancel();
        }
        for link in all.into_values() {
            // A link that failed has said so.
            let _ = link.task.await;
        }
    }
}

/// Keeps this node's links what the catalog wants until `stop`.
pub async fn keep(
    links: Arc<Links>,
    membership: Membership,
    cluster: String,
    connector: Connector,
    shards: Shards,
    stop: CancellationToken,
) {
    let mut wanted = Wanted::new(cluster);
    let (mut applied, mut live, lease) = (membership.applied(), membership.live(), membership.lease());
    let me = membership.process();
    loop {
        let mut here = BTreeMap::new();
        let mut all: Option<BTreeSet<LinkKey>> = None;
        // Without a lease others may run our links already.
        if lease.borrow().micros_since(clock::now()) > 0 {
            let live = live.borrow_and_update().clone();
            applied.mark_unchanged();
            let catalog = membership.state();
            let plans = wanted.look(&catalog);
            all = Some(plans.iter().map(|plan| plan.key.clone()).collect());
            for plan in plans {
                if placement::owner(plan, &catalog, live.iter()) == Some(me) {
                    here.insert(plan.key.clone(), plan.clone());
                }
            }
        }
        links.reconcile(
            here,
            |plan| start(plan, membership.clone(), connector.clone(), shards.clone()),
            |plan| {
                // One that runs elsewhere now leaves everything as it is.
                if all.as_ref().is_some_and(|all| !all.contains(&plan.key)) {
                    tokio::spawn(retire(plan, connector.clone()));
                }
            },
        );
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(PAUSE) => {}
        }
        tokio::select! {
            () = stop.cancelled() => break,
            _ = applied.changed() => {}
            _ = live.changed() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
    links.stop().await;
}

fn start(plan: Arc<LinkPlan>, membership: Membership, connector: Connector, shards: Shards) -> Running {
    let (state, stop) = (Arc::new(LinkState::default()), CancellationToken::new());
    let task = {
        let (plan, state, stop) = (Arc::clone(&plan), Arc::clone(&state), stop.clone());
        tokio::spawn(async move {
            let demand = Consumers { plan: &plan, membership: &membership, shards };
            let moves = matches!(plan.key.kind, Kind::QueueFederation | Kind::SiteQueue);
            let demand = moves.then_some(&demand as &dyn Demand);
            let link = Link { plan: &plan, connector: &connector, state: &state, stop: &stop, demand };
            let ended = link.run().await;
            info!(link = %plan.key, ?ended, moved = state.total(), "a link ended");
            if ended == Ended::Done && plan.origin == Origin::Parameter {
                forget(&plan.key, &membership).await;
            }
        })
    };
    Running { plan, state, stop, task }
}

/// The consumers of a federated queue, on the node that leads it.
struct Consumers<'a> {
    plan: &'a LinkPlan,
    membership: &'a Membership,
    shards: Shards,
}

impl Demand for Consumers<'_> {
    fn wanted(&self, all: bool) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        let key = &self.plan.key;
        let catalog = self.membership.state();
        let queue = catalog.queue_named(&key.vhost, &key.name).map(|(queue, _)| queue);
        // A site that is drained itself takes nothing in.
        let drained = key.kind == Kind::SiteQueue && sites::turned_away(&catalog, &key.vhost).is_some();
        drop(catalog);
        Box::pin(async move {
            let Some(queue) = queue.ok().filter(|_| !drained) else { return false };
            self.shards.status(queue).await.is_some_and(|status| status.leading && (status.wanting || all))
        })
    }
}

/// A federated exchange's link is wanted no more: what it made at its upstream
/// would gather messages for nobody.
async fn retire(plan: Arc<LinkPlan>, connector: Connector) {
    let From::Federated { queue, .. } = &plan.source.from else { return };
    for uri in &plan.source.uris {
        let removed = async {
            let Some(site) = &plan.source.site else {
                return ends::retire(&connector, uri, &plan.key.to_string(), queue, false)
                    .await
                    .map_err(LinkError::source);
            };
            let uri = site.complete(uri)?;
            ends::retire(&connector, &uri, &plan.key.to_string(), queue, true).await.map_err(LinkError::source)
        };
        match removed.await {
            Ok(()) => return,
            Err(error) => warn!(link = %plan.key, %error, "what a link made at its upstream could not be removed"),
        }
    }
}

/// A shovel that has moved what it was to move is no longer there.
async fn forget(key: &LinkKey, membership: &Membership) {
    let key =
        ParameterKey { component: shovel::COMPONENT.to_owned(), vhost: key.vhost.clone(), name: key.name.clone() };
    if let Err(error) = membership.propose(Command::ClearParameter { key }).await {
        warn!(%error, "a shovel that is done could not be removed");
    }
}
