//! What connections need of the node that they are on. Tests put a broker in
//! memory behind it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use parking_lot::RwLockReadGuard;
use tokio::sync::{mpsc, watch};
use warren_amqp::Properties;
use warren_membership::Usage;
use warren_membership::catalog::{Command, Outcome, Refusal, State};
use warren_replication::types::{Process, QueueId};
use warren_shard::step::{Local, ToChannel};

use crate::auth::Passwords;
use crate::direct::Direct;

/// Events for the channels of one connection, in order: a shard's turn is one
/// item. Bounded by what the channels have asked for (publishes in the budget,
/// deliveries in the windows, requests one a channel).
pub type Events = mpsc::UnboundedSender<Vec<(u16, ToChannel)>>;

/// A proposal's answer, later.
pub type Proposal = Pin<Box<dyn Future<Output = Result<Outcome, ProposalError>> + Send>>;

/// Why a proposal did not come to its outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposalError {
    /// The catalog's state machine says no.
    #[error("{0}")]
    Refused(Refusal),
    /// No answer: it may or may not have been agreed on.
    #[error("the cluster could not agree: {0}")]
    Unavailable(String),
}

/// The node behind a connection.
pub trait Broker: Send + Sync + 'static {
    /// This run of this node.
    fn process(&self) -> Process;

    /// The processes that membership holds for live, this one included.
    fn live(&self) -> Vec<Process>;

    /// To the queues, in order for each.
    fn submit(&self, batch: Vec<(QueueId, Local)>);

    /// What the cluster is told apart from others by, whatever their names are.
    fn cluster_number(&self) -> u64;

    /// From now on events for this connection go there.
    fn register(&self, connection: u64, to: Events);

    /// No events for this connection any more.
    fn unregister(&self, connection: u64);

    /// The catalog as this node has applied it. Not to be held for long.
    fn catalog(&self) -> RwLockReadGuard<'_, State>;

    /// Asks the cluster to agree; answers when all nodes that serve know of it.
    fn propose(&self, command: Command) -> Proposal;

    /// What clients use on the other nodes of what is limited, as gossip has it.
    fn usage_elsewhere(&self) -> Usage;

    /// The routes of all vhosts; asked once a connection.
    fn routing(&self) -> Arc<dyn Routing>;

    /// Who checks passwords.
    fn passwords(&self) -> &Passwords;

    /// Direct reply-to.
    fn direct(&self) -> &Direct;

    /// Why publishers are held back on all nodes (an alarm), if they are.
    fn blocked(&self) -> watch::Receiver<Option<Arc<str>>>;
}

/// Where publishes go, as the catalog is applied here.
pub trait Routing: Send + Sync {
    /// Another number whenever a route may have changed, from when the change
    /// can be seen.
    fn generation(&self) -> u64;

    /// Whether routes from this exchange depend on more than routing keys: then
    /// they are found for each message anew.
    fn reads_properties(&self, vhost: &str, exchange: &str) -> bool;

    /// The queues that a message with these routing keys (its own, and those that
    /// its sender selected) reaches, sorted, each once; `None` without such an
    /// exchange.
    fn route(
        &self,
        vhost: &str,
        exchange: &str,
        routing_keys: &[&str],
        properties: Option<&Properties>,
    ) -> Option<Vec<QueueId>>;
}
