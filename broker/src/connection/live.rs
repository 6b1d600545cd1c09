//! The node behind its connections: membership, shards and routes.

use std::sync::Arc;

use parking_lot::RwLockReadGuard;
use tokio::sync::watch;
use warren_membership::catalog::{Command, State};
use warren_membership::{Membership, ProposeError};
use warren_replication::types::{Process, QueueId};
use warren_shard::step::Local;

use super::ports::{Broker, Events, Proposal, ProposalError, Routing};
use crate::routing::Routes;
use crate::shard::Shards;

/// What [`super::Front`] is given by a running node.
pub struct LiveBroker {
    /// Who is here, and what is agreed on.
    pub membership: Membership,
    /// This node's queues and its way to the others'.
    pub shards: Shards,
    /// Where publishes go.
    pub routes: Arc<Routes>,
    /// Why publishers are held back, if they are.
    pub blocked: watch::Receiver<Option<Arc<str>>>,
}

impl Broker for LiveBroker {
    fn process(&self) -> Process {
        self.membership.process()
    }

    fn live(&self) -> Vec<Process> {
        self.membership.live().borrow().iter().copied().collect()
    }

    fn submit(&self, batch: Vec<(QueueId, Local)>) {
        self.shards.submit(batch);
    }

    fn register(&self, connection: u64, to: Events) {
        self.shards.register(connection, to);
    }

    fn unregister(&self, connection: u64) {
        self.shards.unregister(connection);
    }

    fn catalog(&self) -> RwLockReadGuard<'_, State> {
        self.membership.state()
    }

    fn propose(&self, command: Command) -> Proposal {
        let membership = self.membership.clone();
        Box::pin(async move {
            membership.propose(command).await.map_err(|error| match error {
                ProposeError::Refused(refusal) => ProposalError::Refused(refusal),
                other => ProposalError::Unavailable(other.to_string()),
            })
        })
    }

    fn routing(&self) -> Arc<dyn Routing> {
        Arc::clone(&self.routes) as Arc<dyn Routing>
    }

    fn blocked(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.blocked.clone()
    }
}
