//! A policy as the policy file spells it. Unknown keys, what is not built yet
//! and settings that cannot hold are told apart by name, so that the
//! reader of the file can point at the line.

use crate::types::Lag;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

use super::definition::{self, Definition};
use super::limits::{Limits, LimitsSource, Millis, Octets};
use super::link::{Link, RemoteSource};
use super::sites::{MultiActiveSource, Scope, Sites};
use super::{
    ApplyTo, Clients, FailBack, Leaders, MinInSync, Mirror, Mode, Policy, PrimaryBackup, Replicas, Synchronization,
};

/// One `[[policy]]` table, with the file's own key names.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PolicySource {
    /// Unique in its vhost.
    pub name: String,
    /// Default `/`.
    #[serde(default = "root")]
    pub vhost: String,
    /// Regular expression.
    pub pattern: String,
    /// Default 0.
    #[serde(default)]
    pub priority: i64,
    /// `queues`, `exchanges` or `all` (default).
    #[serde(default)]
    pub apply_to: ApplyToSource,
    /// `mirror`, `primary-backup`, `remote` or `multi-active`; without one the policy leaves open where
    /// queues live.
    #[serde(default)]
    pub mode: Option<String>,
    /// Settings of mode `mirror`.
    #[serde(default)]
    pub mirror: Option<MirrorSource>,
    /// Settings of mode `primary-backup`.
    #[serde(default)]
    pub primary_backup: Option<PrimaryBackupSource>,
    /// What queues keep, and for how long.
    #[serde(default)]
    pub limits: Option<LimitsSource>,
    /// Instead of all these: RabbitMQ's keys.
    #[serde(default)]
    pub definition: Option<Definition>,
    /// An operator's policy, which caps limits only.
    #[serde(default)]
    pub operator: bool,
    /// Settings of mode `remote`, beside which `mirror` says where queues live.
    #[serde(default)]
    pub remote: Option<RemoteSource>,
    /// Settings of mode `multi-active`.
    #[serde(default)]
    pub multi_active: Option<MultiActiveSource>,
}

fn root() -> String {
    "/".to_owned()
}

/// `apply-to`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApplyToSource {
    /// The default.
    #[default]
    All,
    /// Queues only.
    Queues,
    /// Exchanges only.
    Exchanges,
}

/// `mirror = { … }`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct MirrorSource {
    /// A number, `"all"`, or a list of node names.
    #[serde(default)]
    pub replicas: Option<ReplicasSource>,
    /// A number, or `"majority"`.
    #[serde(default)]
    pub min_in_sync: Option<MinInSyncSource>,
    /// `balanced`, `client-local` or `first`.
    #[serde(default)]
    pub leaders: Option<LeadersSource>,
    /// Whether any replica may lead when none that has everything comes back.
    #[serde(default)]
    pub unclean: bool,
    /// After how long.
    #[serde(default)]
    pub unclean_after: Option<Millis>,
    /// `when-synced` or `always`; without it a planned stop is as any other end.
    #[serde(default)]
    pub promote_on_shutdown: Option<PromoteSource>,
    /// `automatic` (default) or `manual`.
    #[serde(default)]
    pub synchronization: SynchronizationSource,
}

/// `primary-backup = { … }`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PrimaryBackupSource {
    /// By name, preferred primary first.
    pub nodes: Vec<String>,
    /// A number (default 1), or `"majority"`.
    #[serde(default)]
    pub min_in_sync: Option<MinInSyncSource>,
    /// `sync` (default) or `async`.
    #[serde(default)]
    pub replication: ReplicationSource,
    /// With `async`: by how much a backup may trail.
    #[serde(default)]
    pub max_lag: Option<LagSource>,
    /// Whether any replica may lead when none that has everything comes back.
    #[serde(default)]
    pub unclean: bool,
    /// After how long.
    #[serde(default)]
    pub unclean_after: Option<Millis>,
    /// `when-synced` or `always`; without it a planned stop is as any other end.
    #[serde(default)]
    pub promote_on_shutdown: Option<PromoteSource>,
    /// `automatic` (default) or `manual`.
    #[serde(default)]
    pub synchronization: SynchronizationSource,
    /// `manual` (default) or `auto`.
    #[serde(default)]
    pub fail_back: FailBackSource,
    /// `primary` (default) or `any`.
    #[serde(default)]
    pub clients: ClientsSource,
}

/// `replication`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplicationSource {
    /// Every in-sync backup before the confirm.
    #[default]
    Sync,
    /// The primary before the confirm; backups trail.
    Async,
}

/// `max-lag = { messages, bytes, time }`: what is left out is no bound.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LagSource {
    /// Messages.
    #[serde(default)]
    pub messages: Option<u64>,
    /// Bytes of log.
    #[serde(default)]
    pub bytes: Option<Octets>,
    /// How long confirms may run ahead.
    #[serde(default)]
    pub time: Option<Millis>,
}

/// Without `max-lag`: what a failure may cost at most.
const MAX_LAG: Lag = Lag { messages: 10_000, bytes: 64 << 20, micros: 2_000_000 };
/// Without `unclean-after`: so long (ms) a queue waits for who has everything.
pub(super) const UNCLEAN_AFTER: u64 = 10_000;

/// `fail-back`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailBackSource {
    /// By an operator.
    #[default]
    Manual,
    /// By itself.
    Auto,
}

/// `synchronization`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SynchronizationSource {
    /// By itself.
    #[default]
    Automatic,
    /// By an operator.
    Manual,
}

impl From<SynchronizationSource> for Synchronization {
    fn from(source: SynchronizationSource) -> Self {
        match source {
            SynchronizationSource::Automatic => Self::Automatic,
            SynchronizationSource::Manual => Self::Manual,
        }
    }
}

/// `promote-on-shutdown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PromoteSource {
    /// Only a replica that has everything.
    WhenSynced,
    /// Any replica, at once.
    Always,
}

/// `clients`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientsSource {
    /// At the primary only.
    #[default]
    Primary,
    /// At every node.
    Any,
}

/// `leaders`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeadersSource {
    /// Fewest queues led.
    Balanced,
    /// Where the client is.
    ClientLocal,
    /// In the order named.
    First,
}

/// `replicas` as written.
#[derive(Debug)]
pub struct ReplicasSource(pub Replicas);

/// `min-in-sync` as written.
#[derive(Debug)]
pub struct MinInSyncSource(pub MinInSync);

/// What is wrong with a policy that could be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// No such mode.
    #[error("unknown mode \"{0}\", expected \"mirror\", \"primary-backup\", \"remote\" or \"multi-active\"")]
    UnknownMode(String),
    /// A key of the `definition`.
    #[error("`{key}` {problem}")]
    Definition {
        /// The key, RabbitMQ's.
        key: String,
        /// What is wrong.
        problem: String,
    },
    /// A key of the design that is not built yet.
    #[error("`{0}` is not supported yet")]
    KeyNotSupported(&'static str),
    /// A setting that cannot hold.
    #[error("`{key}`: {problem}")]
    Invalid {
        /// The key.
        key: &'static str,
        /// What is wrong.
        problem: String,
    },
}

impl PolicyError {
    /// The key of the policy's table that the error is about; a dot leads into a
    /// table in it.
    #[must_use]
    pub const fn key(&self) -> &'static str {
        match self {
            Self::UnknownMode(_) => "mode",
            Self::Definition { .. } => "definition",
            Self::KeyNotSupported(key) | Self::Invalid { key, .. } => key,
        }
    }
}

impl TryFrom<PolicySource> for Policy {
    type Error = PolicyError;

    fn try_from(source: PolicySource) -> Result<Self, PolicyError> {
        let invalid = |key, problem: &str| Err(PolicyError::Invalid { key, problem: problem.to_owned() });
        if source.name.is_empty() {
            return invalid("name", "must not be empty");
        }
        let own = source.mode.is_some() || source.limits.is_some();
        let (mode, limits, link) = match source.definition {
            Some(_) if own => return invalid("definition", "stands for itself: no `mode` and no `limits` beside it"),
            Some(definition) => definition::compile(&definition)?,
            None => {
                let link = match sites(source.mode.as_deref(), source.multi_active, source.apply_to)? {
                    Some(_) if source.remote.is_some() => {
                        return invalid("mode", "\"multi-active\" does not go with `remote`");
                    }
                    Some(sites) if sites.scope == Scope::Exchange && source.mirror.is_some() => {
                        return invalid("mirror", "is for queues, and the scope is \"exchange\"");
                    }
                    Some(sites) => Some(Link::Sites(sites)),
                    None => link(source.mode.as_deref(), source.remote)?,
                };
                // A link is beside where queues live, which is as without it.
                let local = if source.mirror.is_some() { Some("mirror".to_owned()) } else { None };
                let name = if link.is_some() { local } else { source.mode };
                let limits = source.limits.map(Limits::from).unwrap_or_default();
                (mode(name, source.mirror, source.primary_backup)?, limits, link)
            }
        };
        if source.operator && (mode.is_some() || link.is_some()) {
            return invalid("operator", "an operator's policy sets limits only");
        }
        if mode.is_none() && link.is_none() && limits == Limits::default() {
            return invalid("mode", "is missing: a policy has a `mode`, `limits`, or a `definition`");
        }
        Ok(Self {
            name: source.name,
            vhost: source.vhost,
            pattern: source.pattern,
            priority: source.priority,
            apply_to: match source.apply_to {
                ApplyToSource::All => ApplyTo::All,
                ApplyToSource::Queues => ApplyTo::Queues,
                ApplyToSource::Exchanges => ApplyTo::Exchanges,
            },
            mode,
            limits,
            link,
            operator: source.operator,
        })
    }
}

fn sites(
    mode: Option<&str>,
    settings: Option<MultiActiveSource>,
    apply_to: ApplyToSource,
) -> Result<Option<Sites>, PolicyError> {
    let invalid = |key, problem: &str| Err(PolicyError::Invalid { key, problem: problem.to_owned() });
    match (mode, settings) {
        (Some("multi-active"), Some(settings)) => {
            let sites = Sites::try_from(settings)?;
            match (sites.scope, apply_to) {
                (Scope::Exchange, ApplyToSource::Exchanges) | (Scope::Queue, ApplyToSource::Queues) => Ok(Some(sites)),
                (Scope::Exchange, _) => {
                    invalid("apply-to", "scope \"exchange\" is for exchanges: expected apply-to = \"exchanges\"")
                }
                (Scope::Queue, _) => {
                    invalid("apply-to", "scope \"queue\" is for queues: expected apply-to = \"queues\"")
                }
            }
        }
        (Some("multi-active"), None) => invalid("multi-active", "is missing: it names the other sites"),
        (_, Some(_)) => invalid("multi-active", "needs mode = \"multi-active\""),
        (_, None) => Ok(None),
    }
}

fn link(mode: Option<&str>, remote: Option<RemoteSource>) -> Result<Option<Link>, PolicyError> {
    let invalid = |problem: &str| Err(PolicyError::Invalid { key: "remote", problem: problem.to_owned() });
    match (mode, remote) {
        (Some("remote"), Some(remote)) => Link::try_from(remote).map(Some),
        (Some("remote"), None) => invalid("is missing: it says what to link with"),
        (_, Some(_)) => invalid("needs mode = \"remote\""),
        (_, None) => Ok(None),
    }
}

fn mode(
    name: Option<String>,
    mirror: Option<MirrorSource>,
    primary_backup: Option<PrimaryBackupSource>,
) -> Result<Option<Mode>, PolicyError> {
    let invalid = |key, problem: &str| Err(PolicyError::Invalid { key, problem: problem.to_owned() });
    let is = |mode: &str| name.as_deref() == Some(mode);
    if mirror.is_some() && !is("mirror") {
        return invalid("mirror", "needs mode = \"mirror\"");
    }
    if primary_backup.is_some() && !is("primary-backup") {
        return invalid("primary-backup", "needs mode = \"primary-backup\"");
    }
    match name.as_deref() {
        None => Ok(None),
        Some("mirror") => {
            let mirror = mirror.unwrap_or_default();
            let unclean_after = unclean("mirror.unclean-after", mirror.unclean, mirror.unclean_after)?;
            let mirror = Mirror {
                replicas: mirror.replicas.map_or_else(Replicas::default, |given| given.0),
                min_in_sync: mirror.min_in_sync.map_or_else(MinInSync::default, |given| given.0),
                leaders: match mirror.leaders {
                    None | Some(LeadersSource::Balanced) => Leaders::Balanced,
                    Some(LeadersSource::ClientLocal) => Leaders::ClientLocal,
                    Some(LeadersSource::First) => Leaders::First,
                },
                unclean_after,
                unclean_after_stop: after_stop(mirror.promote_on_shutdown, unclean_after),
                synchronization: mirror.synchronization.into(),
            };
            check(&mirror)?;
            Ok(Some(Mode::Mirror(mirror)))
        }
        Some("primary-backup") => {
            let Some(given) = primary_backup else {
                return invalid("primary-backup", "is missing: it names the nodes, preferred primary first");
            };
            let max_lag = max_lag(given.replication, given.max_lag)?;
            let unclean_after = unclean("primary-backup.unclean-after", given.unclean, given.unclean_after)?;
            let settings = PrimaryBackup {
                nodes: given.nodes,
                min_in_sync: given.min_in_sync.map_or(MinInSync::Count(1), |given| given.0),
                fail_back: match given.fail_back {
                    FailBackSource::Manual => FailBack::Manual,
                    FailBackSource::Auto => FailBack::Auto,
                },
                clients: match given.clients {
                    ClientsSource::Primary => Clients::Primary,
                    ClientsSource::Any => Clients::Any,
                },
                max_lag,
                unclean_after,
                unclean_after_stop: after_stop(given.promote_on_shutdown, unclean_after),
                synchronization: given.synchronization.into(),
            };
            if max_lag.is_some() && given.promote_on_shutdown == Some(PromoteSource::WhenSynced) {
                return invalid(
                    "primary-backup.promote-on-shutdown",
                    "\"when-synced\" cannot hold with replication = \"async\": a backup that trails takes over",
                );
            }
            if max_lag.is_some() && settings.min_in_sync != MinInSync::Count(1) {
                return invalid(
                    "primary-backup.min-in-sync",
                    "has no meaning with replication = \"async\": only the primary is in sync",
                );
            }
            check_nodes("primary-backup.nodes", &settings.nodes)?;
            check_minimum(
                "primary-backup.min-in-sync",
                settings.min_in_sync,
                u32::try_from(settings.nodes.len()).ok(),
            )?;
            Ok(Some(Mode::PrimaryBackup(settings)))
        }
        Some(_) => Err(PolicyError::UnknownMode(name.unwrap_or_default())),
    }
}

fn max_lag(replication: ReplicationSource, given: Option<LagSource>) -> Result<Option<Lag>, PolicyError> {
    let invalid = |problem: &str| Err(PolicyError::Invalid { key: "primary-backup.max-lag", problem: problem.into() });
    match (replication, given) {
        (ReplicationSource::Sync, None) => Ok(None),
        (ReplicationSource::Sync, Some(_)) => invalid("needs replication = \"async\""),
        (ReplicationSource::Async, None) => Ok(Some(MAX_LAG)),
        (ReplicationSource::Async, Some(LagSource { messages: None, bytes: None, time: None })) => {
            invalid("names no bound: expected `messages`, `bytes` or `time`")
        }
        (ReplicationSource::Async, Some(given)) => Ok(Some(Lag {
            messages: given.messages.unwrap_or(u64::MAX),
            bytes: given.bytes.map_or(u64::MAX, |bytes| bytes.0),
            micros: given.time.map_or(u64::MAX, |time| time.0.saturating_mul(1_000)),
        })),
    }
}

fn unclean(key: &'static str, unclean: bool, after: Option<Millis>) -> Result<Option<u64>, PolicyError> {
    match (unclean, after) {
        (true, after) => Ok(Some(after.map_or(UNCLEAN_AFTER, |after| after.0))),
        (false, None) => Ok(None),
        (false, Some(_)) => Err(PolicyError::Invalid { key, problem: "needs unclean = true".into() }),
    }
}

/// After how long any replica may lead when the leader's node was stopped by plan.
fn after_stop(promote: Option<PromoteSource>, unclean_after: Option<u64>) -> Option<u64> {
    match promote {
        Some(PromoteSource::Always) => Some(0),
        Some(PromoteSource::WhenSynced) => None,
        None => unclean_after,
    }
}

fn check(mirror: &Mirror) -> Result<(), PolicyError> {
    let invalid = |key, problem: String| Err(PolicyError::Invalid { key, problem });
    let most = match &mirror.replicas {
        Replicas::Count(0) => return invalid("mirror.replicas", "must be at least 1".into()),
        Replicas::Count(n) => Some(*n),
        Replicas::All => None,
        Replicas::Nodes(names) => {
            check_nodes("mirror.replicas", names)?;
            u32::try_from(names.len()).ok()
        }
    };
    if mirror.leaders == Leaders::First && !matches!(mirror.replicas, Replicas::Nodes(_)) {
        return invalid("mirror.leaders", "\"first\" needs `replicas` to be a list of node names".into());
    }
    check_minimum("mirror.min-in-sync", mirror.min_in_sync, most)
}

fn check_nodes(key: &'static str, names: &[String]) -> Result<(), PolicyError> {
    let invalid = |problem: String| Err(PolicyError::Invalid { key, problem });
    if names.is_empty() {
        return invalid("names no node".into());
    }
    match names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
        Some((_, twice)) => invalid(format!("names '{twice}' twice")),
        None => Ok(()),
    }
}

fn check_minimum(key: &'static str, minimum: MinInSync, most: Option<u32>) -> Result<(), PolicyError> {
    let invalid = |problem: String| Err(PolicyError::Invalid { key, problem });
    match (minimum, most) {
        (MinInSync::Count(0), _) => invalid("must be at least 1".into()),
        (MinInSync::Count(min), Some(most)) if min > most => {
            invalid(format!("{min} is more than the {most} replicas there can be"))
        }
        _ => Ok(()),
    }
}

impl<'de> Deserialize<'de> for ReplicasSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = ReplicasSource;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of replicas, \"all\", or a list of node names")
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Self::Value, E> {
                let n = u32::try_from(n).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(n), &self))?;
                Ok(ReplicasSource(Replicas::Count(n)))
            }
            fn visit_i64<E: de::Error>(self, n: i64) -> Result<Self::Value, E> {
                let n = u32::try_from(n).map_err(|_| E::invalid_value(de::Unexpected::Signed(n), &self))?;
                Ok(ReplicasSource(Replicas::Count(n)))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                if text == "all" {
                    return Ok(ReplicasSource(Replicas::All));
                }
                Err(E::invalid_value(de::Unexpected::Str(text), &self))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut names: A) -> Result<Self::Value, A::Error> {
                let mut nodes = Vec::new();
                while let Some(name) = names.next_element()? {
                    nodes.push(name);
                }
                Ok(ReplicasSource(Replicas::Nodes(nodes)))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl<'de> Deserialize<'de> for MinInSyncSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = MinInSyncSource;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of in-sync replicas, or \"majority\"")
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Self::Value, E> {
                let n = u32::try_from(n).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(n), &self))?;
                Ok(MinInSyncSource(MinInSync::Count(n)))
            }
            fn visit_i64<E: de::Error>(self, n: i64) -> Result<Self::Value, E> {
                let n = u32::try_from(n).map_err(|_| E::invalid_value(de::Unexpected::Signed(n), &self))?;
                Ok(MinInSyncSource(MinInSync::Count(n)))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                if text == "majority" {
                    return Ok(MinInSyncSource(MinInSync::Majority));
                }
                Err(E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Any)
    }
}
