//! How much a vhost and a user may use. The catalog keeps the limits and holds
//! back queues by itself; connections and channels are counted by the nodes that
//! they are on.

use serde::{Deserialize, Serialize};

use super::State;
use super::command::{Change, Outcome};
use super::refusal::Refusal;

/// A vhost's limits; `None` = as many as there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct VhostLimits {
    /// Client connections, on all nodes together.
    pub max_connections: Option<u64>,
    /// Queues.
    pub max_queues: Option<u64>,
}

/// A user's limits; `None` = as many as there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct UserLimits {
    /// Client connections, on all nodes together.
    pub max_connections: Option<u64>,
    /// Channels, on all nodes together.
    pub max_channels: Option<u64>,
}

impl State {
    pub(super) fn limit_vhost(
        &mut self,
        name: &str,
        limits: VhostLimits,
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, Refusal> {
        let vhost = self.vhosts.get_mut(name).ok_or_else(|| Refusal::UnknownVhost(name.to_owned()))?;
        vhost.limits = limits;
        changes.push(Change::Users);
        Ok(Outcome::Done)
    }

    pub(super) fn limit_user(
        &mut self,
        name: &str,
        limits: UserLimits,
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, Refusal> {
        let user = self.users.get_mut(name).ok_or_else(|| Refusal::UnknownUser(name.to_owned()))?;
        user.limits = limits;
        changes.push(Change::Users);
        Ok(Outcome::Done)
    }

    /// Whether the vhost has room for another queue. As in RabbitMQ, only a queue
    /// that is not there yet is held against the limit.
    pub fn check_room(&self, vhost: &str, queue: &str) -> Result<(), Refusal> {
        let known = self.vhost(vhost)?;
        match known.limits.max_queues {
            Some(limit) if known.queues.len() as u64 >= limit => {
                Err(Refusal::QueueLimit { vhost: vhost.to_owned(), queue: queue.to_owned(), limit })
            }
            _ => Ok(()),
        }
    }
}
