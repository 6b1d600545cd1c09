//! From a policy to a plan: where a queue lives, what a confirm of it means,
//! who takes it over. Nothing else in the code asks for a policy's mode by name.
//!
//! A [`Policy`] is what an operator wrote; [`Policy::plan`] and
//! [`Plan::unnamed`] make the [`Plan`] that the catalog keeps with each queue.
//! Whether a policy's pattern matches a queue's name is the catalog's business.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::types::Lag;

mod definition;
mod limits;
mod link;
mod sites;
mod source;

pub use definition::{Definition, Setting};
pub use limits::{Limits, Overflow};
pub use link::{Link, RemoteSource};
pub use sites::{Credentials, MultiActiveSource, Scope, Site, Sites};
pub use source::{PolicyError, PolicySource};

/// One `[[policy]]` of the policy file, checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Policy {
    /// Its name, unique in its vhost.
    pub name: String,
    /// Where it applies.
    pub vhost: String,
    /// A regular expression, found anywhere in the queue's name.
    pub pattern: String,
    /// The highest wins; of equals the first by name.
    pub priority: i64,
    /// What it applies to.
    pub apply_to: ApplyTo,
    /// Where queues live and who leads them; `None` leaves that as it is
    /// without a policy.
    pub mode: Option<Mode>,
    /// What queues keep, and for how long.
    pub limits: Limits,
    /// What queues or exchanges are linked with elsewhere.
    pub link: Option<Link>,
    /// Whether it is an operator's: it then only caps the limits of the policy
    /// that is in force beside it, as RabbitMQ's operator policies do.
    pub operator: bool,
}

/// Which resources a policy is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ApplyTo {
    /// Queues and whatever else policies come to cover.
    #[default]
    All,
    /// Queues only.
    Queues,
    /// Exchanges only.
    Exchanges,
}

/// A policy's mode with its settings.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Mode {
    /// Any nodes of one cluster, every in-sync mirror before the confirm.
    Mirror(Mirror),
    /// An ordered list of nodes; all queues of the policy are led by the first
    /// of them that can, and move together.
    PrimaryBackup(PrimaryBackup),
}

impl Mode {
    /// As in the policy file.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Mirror(_) => "mirror",
            Self::PrimaryBackup(_) => "primary-backup",
        }
    }
}

/// `primary-backup = { nodes, replication, max-lag, min-in-sync, fail-back, clients, synchronization, unclean,
/// promote-on-shutdown }`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PrimaryBackup {
    /// By name, preferred primary first.
    pub nodes: Vec<String>,
    /// How many in-sync members a commit needs.
    pub min_in_sync: MinInSync,
    /// Whether the preferred node becomes primary again by itself.
    pub fail_back: FailBack,
    /// Whom backups serve.
    pub clients: Clients,
    /// By how much backups may trail what is confirmed; `None`: not at all.
    pub max_lag: Option<Lag>,
    /// As [`Plan::synchronization`].
    pub synchronization: Synchronization,
    /// As [`Plan::unclean_after`].
    pub unclean_after: Option<u64>,
    /// As [`Plan::unclean_after_stop`].
    pub unclean_after_stop: Option<u64>,
}

/// What happens when a node before the present primary is back and in sync.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FailBack {
    /// Nothing, until an operator says so.
    #[default]
    Manual,
    /// It becomes the primary.
    Auto,
}

/// Whom backups serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Clients {
    /// Nobody: they close AMQP connections to the vhost, naming the primary.
    #[default]
    Primary,
    /// Clients of every node.
    Any,
}

/// When a copy is made for a replica that has nothing to go on from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Synchronization {
    /// At once.
    #[default]
    Automatic,
    /// When an operator says so, nothing is left of what was there before it came,
    /// or it is needed (§5.3).
    Manual,
}

/// `mirror = { replicas, min-in-sync, leaders, synchronization, unclean, promote-on-shutdown }`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mirror {
    /// Where.
    pub replicas: Replicas,
    /// How many in-sync members a commit needs.
    pub min_in_sync: MinInSync,
    /// Who leads.
    pub leaders: Leaders,
    /// As [`Plan::synchronization`].
    pub synchronization: Synchronization,
    /// As [`Plan::unclean_after`].
    pub unclean_after: Option<u64>,
    /// As [`Plan::unclean_after_stop`].
    pub unclean_after_stop: Option<u64>,
}

/// How many replicas, or which.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Replicas {
    /// So many, or as many as there are nodes.
    Count(u32),
    /// Every node, also those that join later.
    All,
    /// These nodes, by name, best leader first.
    Nodes(Vec<String>),
}

impl Default for Replicas {
    fn default() -> Self {
        Self::Count(3)
    }
}

/// How many in-sync members the catalog must show before anything commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MinInSync {
    /// So many, also if there are fewer nodes: the queue then waits for them.
    Count(u32),
    /// More than half of the replicas.
    #[default]
    Majority,
}

impl MinInSync {
    /// The number for a queue of so many replicas, at least 1.
    #[must_use]
    pub fn of(self, replicas: usize) -> u32 {
        let replicas = u32::try_from(replicas).unwrap_or(u32::MAX).max(1);
        match self {
            Self::Count(n) => n.max(1),
            Self::Majority => replicas / 2 + 1,
        }
    }
}

/// Who leads a new queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Leaders {
    /// The node that leads the fewest queues.
    #[default]
    Balanced,
    /// The node that the declaring client is connected to.
    ClientLocal,
    /// The first live node in the order named.
    First,
    /// The primary of the group ([`Plan::group`]).
    Primary,
}

/// The five answers for one queue (where, what a confirm means, who takes over,
/// who may connect, which link), as far as modes differ today.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Plan {
    /// The policy that won, if any.
    pub policy: Option<String>,
    /// Where the queue lives.
    pub placement: Placement,
    /// What a confirm means.
    pub min_in_sync: MinInSync,
    /// Who leads at first.
    pub leaders: Leaders,
    /// The queues that are led by one node all together, if it is one of them.
    pub group: Option<Group>,
    /// By how much replicas may trail what is confirmed (§4.2); `None`: a confirm
    /// waits for every one that is in sync.
    pub max_lag: Option<Lag>,
    /// Milliseconds without a leader after which any replica may lead, whatever
    /// it lacks (§6.3); `None`: never.
    pub unclean_after: Option<u64>,
    /// The same after its leader's node was stopped by plan: nobody waits for a
    /// node to come back that is meant to be away.
    pub unclean_after_stop: Option<u64>,
    /// When new copies are made.
    pub synchronization: Synchronization,
    /// What it keeps, and for how long.
    pub limits: Limits,
}

/// Queues that have one primary: those of a primary-backup policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Group {
    /// The policy's vhost.
    pub vhost: String,
    /// The policy's name.
    pub policy: String,
}

/// Where a queue lives.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Placement {
    /// On the declaring node only, gone with that node's process.
    Local,
    /// On nodes of the cluster.
    Mirrored(Replicas),
}

impl Policy {
    /// The plan of a queue that this policy is in force for; `lasting` as in
    /// [`Plan::unnamed`].
    #[must_use]
    pub fn plan(&self, lasting: bool) -> Plan {
        let plan = Plan { policy: Some(self.name.clone()), limits: self.limits.clone(), ..Plan::unnamed(lasting) };
        match &self.mode {
            None => plan,
            Some(Mode::Mirror(mirror)) => Plan {
                placement: Placement::Mirrored(mirror.replicas.clone()),
                min_in_sync: mirror.min_in_sync,
                leaders: mirror.leaders,
                unclean_after: mirror.unclean_after,
                unclean_after_stop: mirror.unclean_after_stop,
                synchronization: mirror.synchronization,
                ..plan
            },
            Some(Mode::PrimaryBackup(settings)) => Plan {
                placement: Placement::Mirrored(Replicas::Nodes(settings.nodes.clone())),
                min_in_sync: settings.min_in_sync,
                leaders: Leaders::Primary,
                group: Some(self.group()),
                max_lag: settings.max_lag,
                unclean_after: settings.unclean_after,
                unclean_after_stop: settings.unclean_after_stop,
                synchronization: settings.synchronization,
                ..plan
            },
        }
    }

    /// The group that its queues make, if it makes one.
    #[must_use]
    pub fn group(&self) -> Group {
        Group { vhost: self.vhost.clone(), policy: self.name.clone() }
    }

    /// Its settings as a primary-backup policy, if it is one.
    #[must_use]
    pub const fn primary_backup(&self) -> Option<&PrimaryBackup> {
        match &self.mode {
            Some(Mode::PrimaryBackup(settings)) => Some(settings),
            _ => None,
        }
    }

    /// Whether this policy wins over another that matches the same queue.
    #[must_use]
    pub fn beats(&self, other: &Self) -> bool {
        (other.priority, &self.name) < (self.priority, &other.name)
    }
}

impl Plan {
    /// The plan of a queue that no policy is in force for: up to three mirrors
    /// for one that is to last, else the declaring node alone.
    #[must_use]
    pub fn unnamed(lasting: bool) -> Self {
        let mirror = Mirror::default();
        Self {
            policy: None,
            placement: if lasting { Placement::Mirrored(mirror.replicas) } else { Placement::Local },
            min_in_sync: mirror.min_in_sync,
            leaders: if lasting { mirror.leaders } else { Leaders::ClientLocal },
            group: None,
            max_lag: None,
            unclean_after: None,
            unclean_after_stop: None,
            synchronization: Synchronization::default(),
            limits: Limits::default(),
        }
    }

    /// `mirror`, `primary-backup` or `local`, for status.
    #[must_use]
    pub const fn mode(&self) -> &'static str {
        match (&self.placement, &self.group) {
            (Placement::Local, _) => "local",
            (Placement::Mirrored(_), None) => "mirror",
            (Placement::Mirrored(_), Some(_)) => "primary-backup",
        }
    }

    /// What this plan means, in sentences for an operator.
    #[must_use]
    pub fn explain(&self) -> String {
        let origin = match &self.policy {
            Some(name) => format!("Policy '{name}' is in force"),
            None => "No policy matches; the default is in force".to_owned(),
        };
        let body = match &self.placement {
            Placement::Local => "the queue lives on the node that declared it, and goes with that node's process. \
                 A confirm means: on that node's disk."
                .to_owned(),
            Placement::Mirrored(replicas) if self.group.is_some() => format!(
                "the queue is kept on {replicas}. The first of them leads it, together with all other queues of \
                 the policy; if it fails, the next one {} takes them over. A confirm means: {}",
                if self.max_lag.is_some() { "that trails within the limit" } else { "that is in sync" },
                match &self.max_lag {
                    None => format!(
                        "on the disk of every node that is in sync, of which there are at least {}.",
                        self.min_in_sync
                    ),
                    Some(max_lag) => format!(
                        "on the primary's disk, and no backup trails by more than {max_lag}: so much may be lost \
                         with the primary. At the limit confirms wait for the backup."
                    ),
                },
            ),
            Placement::Mirrored(replicas) => format!(
                "the queue is mirrored on {replicas}; {}. A confirm means: on the disk of every in-sync mirror, \
                 of which there are at least {}. If the leader fails, the first live in-sync mirror takes over.",
                match self.leaders {
                    Leaders::Balanced => "the node that leads the fewest queues leads at first",
                    Leaders::ClientLocal => "the node that the declaring client uses leads at first",
                    Leaders::First | Leaders::Primary => "the first live node of the list leads at first",
                },
                self.min_in_sync,
            ),
        };
        let unclean = self.unclean_after.map_or_else(String::new, |after| {
            format!(
                " If none that has everything comes back within {}, any replica leads, and what it lacks is lost.",
                Span(after)
            )
        });
        let stop = match (self.unclean_after, self.unclean_after_stop) {
            (_, Some(0)) => {
                " A planned stop of the leader's node waits for nobody to come in sync: if nobody is, any replica leads \
                 at once, and what it lacks is lost."
            }
            (Some(_), None) => " After a planned stop of the leader's node it waits for that node.",
            _ => "",
        };
        let synchronization = match self.synchronization {
            Synchronization::Automatic => "",
            Synchronization::Manual => {
                " A replica without a copy to go on from gets one on `warren queues sync`, when what is older than it \
                 is consumed, or when fewer than the minimum are in sync."
            }
        };
        let limits: Vec<String> = self.limits.listed().iter().map(|(key, value)| format!("{key} {value}")).collect();
        let limits = if limits.is_empty() { String::new() } else { format!(" Limits: {}.", limits.join(", ")) };
        format!("{origin}: {body}{unclean}{stop}{synchronization}{limits}")
    }
}

/// Milliseconds, for people.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(1_000) { write!(f, "{} s", self.0 / 1_000) } else { write!(f, "{} ms", self.0) }
    }
}

/// The bounds that there are; as much as there is of them, of what was measured.
impl fmt::Display for Lag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = |n: u64| (n < u64::MAX).then_some(n);
        let parts = [
            bound(self.messages).map(|n| format!("{n} messages")),
            bound(self.bytes).map(|n| format!("{n} bytes")),
            bound(self.micros).map(|n| Span(n / 1_000).to_string()),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(&parts.join(" or "))
    }
}

impl fmt::Display for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(1) => f.write_str("one node"),
            Self::Count(n) => write!(f, "up to {n} nodes"),
            Self::All => f.write_str("all nodes"),
            Self::Nodes(names) => write!(f, "the nodes {}", names.join(", ")),
        }
    }
}

impl fmt::Display for MinInSync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(n) => n.fmt(f),
            Self::Majority => f.write_str("a majority of the replicas"),
        }
    }
}

#[cfg(test)]
#[path = "plan/tests.rs"]
mod tests;
