//! The policies in force, which of them a queue has, and what a new set of them
//! means for the queues that are there (§6.6).

use serde::{Deserialize, Serialize};
use warren_replication::plan::Policy;

use super::pattern::Pattern;

/// The whole set in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policies {
    revision: u64,
    /// Best first: the first that matches wins.
    ranked: Vec<Ranked>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Ranked {
    policy: Policy,
    pattern: Pattern,
}

impl Policies {
    /// A set, as a file or a command gives it.
    #[must_use]
    pub fn new(revision: u64, policies: Vec<Policy>) -> Self {
        let mut ranked: Vec<Ranked> = policies
            .into_iter()
            .map(|policy| Ranked { pattern: Pattern::new(policy.pattern.clone()), policy })
            .collect();
        ranked.sort_by(|a, b| b.policy.priority.cmp(&a.policy.priority).then_with(|| a.policy.name.cmp(&b.policy.name)));
        Self { revision, ranked }
    }

    /// Which edition is in force; 0 = none was ever applied.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// All, best first.
    pub fn iter(&self) -> impl Iterator<Item = &Policy> {
        self.ranked.iter().map(|ranked| &ranked.policy)
    }

    /// Those that match a queue's name, best first: the first one is in force.
    pub fn matching(&self, vhost: &str, queue: &str) -> impl Iterator<Item = &Policy> {
        self.ranked
            .iter()
            .filter(move |ranked| ranked.policy.vhost == vhost && ranked.pattern.is_match(queue))
            .map(|ranked| &ranked.policy)
    }
}
