//! `mode = "multi-active"`: clusters that each take writes at all times and take
//! from each other what was published there.

use serde::{Deserialize, Serialize};

use super::PolicyError;

/// What the policy's exchanges share with the other sites.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Sites {
    /// What is shared.
    pub scope: Scope,
    /// The other sites, all of them.
    pub sites: Vec<Site>,
    /// Messages on their way from each at most.
    pub prefetch: u16,
    /// Seconds before a link connects again; the wait grows with each failure.
    pub reconnect_delay: u32,
}

/// What sites share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// What is published to an exchange anywhere reaches its queues everywhere.
    Exchange,
    /// What is published to a queue anywhere is in the queue at one site, and moves to
    /// where consumers wait.
    Queue,
}

/// Another site.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Site {
    /// Its cluster's name.
    pub name: String,
    /// Its nodes, tried in turn.
    pub uris: Vec<String>,
    /// Where user and password are, if not in the URIs.
    pub credentials: Option<Credentials>,
}

/// Where the node that runs a link finds `user:password`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Credentials {
    /// In a file.
    File(String),
    /// In a variable of its environment.
    Env(String),
}

/// `multi-active = { … }`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct MultiActiveSource {
    /// `exchange` or `queue`.
    pub scope: String,
    /// The other sites.
    pub sites: Vec<SiteSource>,
    /// Default 1000.
    #[serde(default)]
    pub prefetch: Option<u16>,
    /// Seconds, default 1.
    #[serde(default)]
    pub reconnect_delay: Option<u32>,
}

/// One of `sites`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SiteSource {
    /// Its cluster's name.
    pub name: String,
    /// One URI, or a list.
    pub uri: UrisSource,
    /// File with `user:password`.
    #[serde(default)]
    pub credentials_file: Option<String>,
    /// Variable of the environment with `user:password`.
    #[serde(default)]
    pub credentials_env: Option<String>,
}

/// One text, or a list of them.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum UrisSource {
    /// One.
    One(String),
    /// A list.
    Many(Vec<String>),
}

/// Messages on their way at most, unless the policy says.
const PREFETCH: u16 = 1000;
/// Seconds before a link connects again, unless the policy says.
const RECONNECT: u32 = 1;

impl TryFrom<MultiActiveSource> for Sites {
    type Error = PolicyError;

    fn try_from(source: MultiActiveSource) -> Result<Self, PolicyError> {
        let invalid = |key, problem: String| Err(PolicyError::Invalid { key, problem });
        let scope = match source.scope.as_str() {
            "exchange" => Scope::Exchange,
            "queue" => Scope::Queue,
            other => {
                return invalid("multi-active.scope", format!("is {other:?}, expected \"exchange\" or \"queue\""));
            }
        };
        if source.sites.is_empty() {
            return invalid("multi-active.sites", "names no other site".to_owned());
        }
        if source.prefetch == Some(0) {
            return invalid("multi-active.prefetch", "must be at least 1".to_owned());
        }
        let mut sites: Vec<Site> = Vec::with_capacity(source.sites.len());
        for site in source.sites {
            let name = site.name;
            if name.is_empty() || name.len() > 64 {
                return invalid("multi-active.sites", format!("{name:?} is no name of a site"));
            }
            if sites.iter().any(|other| other.name == name) {
                return invalid("multi-active.sites", format!("names '{name}' twice"));
            }
            let uris = match site.uri {
                UrisSource::One(uri) => vec![uri],
                UrisSource::Many(uris) => uris,
            };
            if uris.is_empty() {
                return invalid("multi-active.sites", format!("site '{name}' has no `uri`"));
            }
            let credentials = match (site.credentials_file, site.credentials_env) {
                (Some(_), Some(_)) => {
                    let problem = "has both `credentials-file` and `credentials-env`";
                    return invalid("multi-active.sites", format!("site '{name}' {problem}"));
                }
                (Some(file), None) => Some(Credentials::File(file)),
                (None, env) => env.map(Credentials::Env),
            };
            sites.push(Site { name, uris, credentials });
        }
        Ok(Self {
            scope,
            sites,
            prefetch: source.prefetch.unwrap_or(PREFETCH),
            reconnect_delay: source.reconnect_delay.unwrap_or(RECONNECT),
        })
    }
}

impl Sites {
    /// In words.
    #[must_use]
    pub fn explain(&self) -> String {
        let names: Vec<String> = self.sites.iter().map(|site| format!("'{}'", site.name)).collect();
        match self.scope {
            Scope::Exchange => format!(
                "multi-active with {}: what is published to it at any of the sites is delivered at every one, each \
                 message once; a confirm means: kept at the site that took it, the others follow",
                names.join(", ")
            ),
            Scope::Queue => format!(
                "multi-active with {}: each site takes publishes; a message waits where it was published, moves to \
                 where consumers wait, and is handed out once over all sites",
                names.join(", ")
            ),
        }
    }
}
