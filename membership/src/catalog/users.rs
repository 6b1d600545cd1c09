//! Users, their permissions, and the questions that a channel asks before it
//! does what a client wants.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::pattern::Pattern;

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The PHC string of its password.
    pub password_hash: String,
    /// `administrator`, `monitoring`, …
    pub tags: BTreeSet<String>,
    /// By vhost.
    pub permissions: BTreeMap<String, Permissions>,
}

/// What a user may do in a vhost: a regular expression per verb, found anywhere
/// in the name; the empty one allows nothing, as in RabbitMQ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permissions {
    /// Make and delete.
    pub configure: Pattern,
    /// Publish to, bind to.
    pub write: Pattern,
    /// Consume, get, purge, bind from.
    pub read: Pattern,
}

impl Permissions {
    /// Everything.
    #[must_use]
    pub fn all() -> Self {
        let any = || Pattern::new(".*");
        Self { configure: any(), write: any(), read: any() }
    }
}

/// What a client wants to do to a queue or exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Declare, delete.
    Configure,
    /// Publish, bind a queue.
    Write,
    /// Consume, get, purge, bind to an exchange.
    Read,
}

impl Verb {
    /// As RabbitMQ's refusals name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Configure => "configure",
            Self::Write => "write",
            Self::Read => "read",
        }
    }
}
