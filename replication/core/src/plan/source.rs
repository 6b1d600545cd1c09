//! A policy as the policy file spells it. Unknown keys, modes that are not
//! built yet and settings that cannot hold are told apart by name, so that the
//! reader of the file can point at the line.

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

use super::{ApplyTo, Leaders, MinInSync, Mirror, Mode, Policy, Replicas};

/// One `[[policy]]` table, with the file's own key names. `limits` and the
/// tables of other modes are taken as they are, to be refused by name.
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
    /// `queues` or `all` (default).
    #[serde(default)]
    pub apply_to: ApplyToSource,
    /// `mirror`, for now.
    pub mode: String,
    /// Settings of mode `mirror`.
    #[serde(default)]
    pub mirror: Option<MirrorSource>,
    /// Not supported yet.
    #[serde(default)]
    pub limits: Option<de::IgnoredAny>,
    /// Not supported yet.
    #[serde(default)]
    pub primary_backup: Option<de::IgnoredAny>,
    /// Not supported yet.
    #[serde(default)]
    pub remote: Option<de::IgnoredAny>,
    /// Not supported yet.
    #[serde(default)]
    pub multi_active: Option<de::IgnoredAny>,
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
    /// A mode of the design that is not built yet.
    #[error("mode \"{0}\" is not supported yet; this version knows \"mirror\"")]
    ModeNotSupported(String),
    /// No such mode.
    #[error("unknown mode \"{0}\", expected \"mirror\"")]
    UnknownMode(String),
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
    /// The key of the policy's table that the error is about.
    #[must_use]
    pub const fn key(&self) -> &'static str {
        match self {
            Self::ModeNotSupported(_) | Self::UnknownMode(_) => "mode",
            Self::KeyNotSupported(key) | Self::Invalid { key, .. } => key,
        }
    }
}

impl TryFrom<PolicySource> for Policy {
    type Error = PolicyError;

    fn try_from(source: PolicySource) -> Result<Self, PolicyError> {
        match source.mode.as_str() {
            "mirror" => {}
            "primary-backup" | "remote" | "multi-active" => return Err(PolicyError::ModeNotSupported(source.mode)),
            _ => return Err(PolicyError::UnknownMode(source.mode)),
        }
        let other_modes = [
            ("limits", source.limits.is_some()),
            ("primary-backup", source.primary_backup.is_some()),
            ("remote", source.remote.is_some()),
            ("multi-active", source.multi_active.is_some()),
        ];
        if let Some((key, _)) = other_modes.into_iter().find(|(_, given)| *given) {
            return Err(PolicyError::KeyNotSupported(key));
        }
        let invalid = |key, problem: &str| PolicyError::Invalid { key, problem: problem.to_owned() };
        if source.name.is_empty() {
            return Err(invalid("name", "must not be empty"));
        }
        let mirror = source.mirror.unwrap_or_default();
        let mirror = Mirror {
            replicas: mirror.replicas.map_or_else(Replicas::default, |given| given.0),
            min_in_sync: mirror.min_in_sync.map_or_else(MinInSync::default, |given| given.0),
            leaders: match mirror.leaders {
                None | Some(LeadersSource::Balanced) => Leaders::Balanced,
                Some(LeadersSource::ClientLocal) => Leaders::ClientLocal,
                Some(LeadersSource::First) => Leaders::First,
            },
        };
        check(&mirror)?;
        Ok(Self {
            name: source.name,
            vhost: source.vhost,
            pattern: source.pattern,
            priority: source.priority,
            apply_to: match source.apply_to {
                ApplyToSource::All => ApplyTo::All,
                ApplyToSource::Queues => ApplyTo::Queues,
            },
            mode: Mode::Mirror(mirror),
        })
    }
}

fn check(mirror: &Mirror) -> Result<(), PolicyError> {
    let invalid = |key, problem: String| Err(PolicyError::Invalid { key, problem });
    let most = match &mirror.replicas {
        Replicas::Count(0) => return invalid("replicas", "must be at least 1".into()),
        Replicas::Count(n) => Some(*n),
        Replicas::All => None,
        Replicas::Nodes(names) if names.is_empty() => return invalid("replicas", "names no node".into()),
        Replicas::Nodes(names) => {
            if let Some(twice) = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
                return invalid("replicas", format!("names '{}' twice", twice.1));
            }
            u32::try_from(names.len()).ok()
        }
    };
    if mirror.leaders == Leaders::First && !matches!(mirror.replicas, Replicas::Nodes(_)) {
        return invalid("leaders", "\"first\" needs `replicas` to be a list of node names".into());
    }
    match (mirror.min_in_sync, most) {
        (MinInSync::Count(0), _) => invalid("min-in-sync", "must be at least 1".into()),
        (MinInSync::Count(min), Some(most)) if min > most => {
            invalid("min-in-sync", format!("{min} is more than the {most} replicas there can be"))
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
