//! From shards' wishes to catalog commands. A command's answer means nothing to
//! a shard (§4.3: a proposal ends by what the applied catalog shows), so
//! failures are only logged; shards wish again.

use tracing::debug;
use warren_membership::Membership;
use warren_membership::catalog::Command;
use warren_replication::types::{Process, QueueId};
use warren_shard::step::Wish;

use crate::shard::Wishes;

/// Proposes what shards wish.
pub(super) struct Proposals {
    membership: Membership,
    /// Shards' tasks call from the broker's runtime; proposals run there too.
    runtime: tokio::runtime::Handle,
}

impl Proposals {
    pub(super) fn new(membership: Membership) -> Self {
        Self { membership, runtime: tokio::runtime::Handle::current() }
    }

    fn live(&self) -> Vec<Process> {
        self.membership.live().borrow().iter().copied().collect()
    }

    fn command(&self, queue: QueueId, wish: Wish) -> Command {
        match wish {
            Wish::Isr { from, isr, trailing } => {
                Command::ChangeIsr { queue, epoch: from.epoch, version: from.version, isr, trailing }
            }
            Wish::Offer { to, end } => {
                Command::Offer { queue, epoch: to.epoch, process: self.membership.process(), end }
            }
            Wish::Resign(from) => {
                Command::Resign { queue, epoch: from.epoch, version: from.version, live: self.live(), released: false }
            }
            Wish::HandOver { from, to } => Command::Handover {
                queue,
                epoch: from.epoch,
                version: from.version,
                to: Some(to),
                live: self.live(),
                released: true,
            },
            Wish::KeepLeading(from) => Command::KeepLeading { queue, epoch: from.epoch, version: from.version },
            Wish::DeleteUnused(from) => Command::DeleteQueue { queue, compared: Some((from.epoch, from.version)) },
        }
    }
}

impl Wishes for Proposals {
    fn wish(&self, wishes: Vec<(QueueId, Wish)>) {
        for (queue, wish) in wishes {
            let command = self.command(queue, wish);
            let membership = self.membership.clone();
            self.runtime.spawn(async move {
                if let Err(error) = membership.propose(command).await {
                    debug!(%queue, %error, "a queue's wish was not granted");
                }
            });
        }
    }
}
