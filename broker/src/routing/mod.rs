//! From an exchange and a routing key to queues: what the applied catalog says,
//! compiled for publishing and kept up to date change by change, so that a
//! declare costs the same with a hundred thousand queues as with one.
//!
//! One short file per kind of exchange, pure: `direct.rs`, `fanout.rs`,
//! `topic.rs`, `headers.rs`, `hashed.rs`, `random.rs`; `message.rs` is what they
//! go by, `copies.rs` the further keys that headers name, `targets.rs` what they lead to, `table.rs` the exchanges of all vhosts.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use warren_amqp::Properties;
use warren_membership::catalog::{Change, State};
use warren_replication::types::QueueId;

use crate::connection::ports::Routing;

pub mod copies;
mod direct;
mod fanout;
mod hashed;
mod headers;
mod message;
mod random;
mod table;
mod targets;
mod topic;

use table::Table;

pub use message::{delay, no_longer_delayed};

/// The routes of all vhosts, as this node has applied the catalog.
///
/// Connections remember what they found under the generation that they read
/// *before* they looked; the generation grows *after* the table has changed. So
/// what was found in an old table is never remembered under a new generation.
#[derive(Default)]
pub struct Routes {
    table: RwLock<Table>,
    generation: AtomicU64,
}

impl Routes {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes over a whole state: at the start, and after a snapshot.
    pub fn reset(&self, state: &State) {
        let table = Table::of(state);
        *self.table.write() = table;
        self.changed();
    }

    /// Follows what a batch of commands changed.
    pub fn applied(&self, state: &State, changes: &[Change]) {
        if !changes.iter().any(Table::concerns) {
            return;
        }
        let mut table = self.table.write();
        for change in changes {
            table.apply(state, change);
        }
        drop(table);
        self.changed();
    }

    fn changed(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }
}

impl Routing for Routes {
    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn reads_properties(&self, vhost: &str, exchange: &str) -> bool {
        self.table.read().reads_properties(vhost, exchange)
    }

    fn route(
        &self,
        vhost: &str,
        exchange: &str,
        routing_keys: &[&str],
        properties: Option<&Properties>,
    ) -> Option<Vec<QueueId>> {
        self.table.read().route(vhost, exchange, routing_keys, properties)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
