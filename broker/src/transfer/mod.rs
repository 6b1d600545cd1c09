//! Moves messages on from their queues: what is dead to its queue's dead-letter
//! exchange, what is no longer delayed back to the exchange that delayed it.
//!
//! The leaders of this node say what is to be moved (`Effects::transfers`), and
//! keep it until they are told that it has arrived. In between this node is a
//! publisher like any other, with one session to all queues (§4.8): a message
//! has arrived when every queue that it reaches has confirmed it. So nothing is
//! lost on the way, whoever fails; a leader that takes over says it anew, and a
//! message may then arrive twice.
//!
//! - `mover.rs` who waits for whom; `task.rs` its task, and what drives it
//! - `death.rs` what a dead message's headers say, and where it may not go again
//!
//! Memory: leaders bound what each queue has under way, and a message under way
//! shares its body with the log entry that it lies in.

mod death;
mod mover;
mod task;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;

use parking_lot::RwLockReadGuard;
use tokio::sync::mpsc;
use warren_membership::catalog::State;
use warren_queue::DeadLetter;
use warren_replication::types::{Epoch, Offset, QueueId};
use warren_shard::step::{Local, Transfers};

use crate::connection::ports::Events;

pub use task::run;

/// What one leader says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moves {
    /// Which queue.
    pub queue: QueueId,
    /// Where its dead go, as the leader knows it.
    pub dead_letter: Option<DeadLetter>,
    /// What is to be done.
    pub transfers: Transfers,
}

/// From the shards, a turn at a time; never waits.
pub type ToMover = mpsc::UnboundedSender<Vec<Moves>>;

/// Where the mover is.
pub trait Surroundings: Send + Sync + 'static {
    /// The catalog as this node has applied it. Not to be held for long.
    fn catalog(&self) -> RwLockReadGuard<'_, State>;

    /// From now on answers to publishes of this connection go there.
    fn register(&self, connection: u64, to: Events);

    /// To the queues, in order for each.
    fn submit(&self, batch: Vec<(QueueId, Local)>);

    /// To the leaders of this node: these messages have arrived.
    fn transferred(&self, arrived: Vec<(QueueId, Epoch, Vec<Offset>)>);
}
