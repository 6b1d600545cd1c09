//! Users, their permissions, and the questions that a channel asks before it
//! does what a client wants.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::State;
use super::command::{Change, Outcome};
use super::limits::UserLimits;
use super::pattern::Pattern;
use super::refusal::Refusal;

/// A user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The PHC string of its password.
    pub password_hash: String,
    /// `administrator`, `monitoring`, …
    pub tags: BTreeSet<String>,
    /// By vhost.
    pub permissions: BTreeMap<String, Permissions>,
    /// By vhost and topic exchange; one that is not named may be used with all
    /// routing keys.
    pub topics: BTreeMap<String, BTreeMap<String, TopicPermissions>>,
    /// How much it may use.
    pub limits: UserLimits,
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

/// Which routing keys a user may publish with (`write`) and bind by (`read`) at
/// a topic exchange. `{username}` and `{vhost}` stand for the user's own, which
/// match literally whatever is in them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicPermissions {
    /// As given.
    pub write: String,
    /// As given.
    pub read: String,
    /// With the variables replaced: write, read.
    patterns: (Pattern, Pattern),
}

impl TopicPermissions {
    /// For this user in this vhost.
    ///
    /// # Errors
    /// Which of the two is not a regular expression, and why.
    pub fn new(user: &str, vhost: &str, write: &str, read: &str) -> Result<Self, String> {
        let expanded = |verb: Verb, source: &str| {
            let source = source.replace("{username}", &regex::escape(user)).replace("{vhost}", &regex::escape(vhost));
            Pattern::check(&source).map_err(|error| format!("{}: {error}", verb.name()))?;
            Ok::<_, String>(Pattern::new(source))
        };
        let patterns = (expanded(Verb::Write, write)?, expanded(Verb::Read, read)?);
        Ok(Self { write: write.to_owned(), read: read.to_owned(), patterns })
    }

    /// Whether the routing key may be used so. There is nothing to configure.
    #[must_use]
    pub fn allow(&self, verb: Verb, routing_key: &str) -> bool {
        match verb {
            Verb::Write => self.patterns.0.allows(routing_key),
            Verb::Read => self.patterns.1.allows(routing_key),
            Verb::Configure => true,
        }
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

impl State {
    pub(super) fn put_user(
        &mut self,
        name: &str,
        password_hash: &str,
        tags: &BTreeSet<String>,
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, Refusal> {
        let user = self.users.entry(name.to_owned()).or_default();
        user.password_hash = password_hash.to_owned();
        user.tags.clone_from(tags);
        changes.push(Change::Users);
        Ok(Outcome::Done)
    }

    pub(super) fn delete_user(&mut self, name: &str, changes: &mut Vec<Change>) -> Result<Outcome, Refusal> {
        self.users.remove(name).ok_or_else(|| Refusal::UnknownUser(name.to_owned()))?;
        changes.push(Change::Users);
        Ok(Outcome::Done)
    }

    /// Sets what a user may do in a vhost; `None` = not even enter it.
    pub(super) fn set_permissions(
        &mut self,
        user: &str,
        vhost: &str,
        permissions: Option<&Permissions>,
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, Refusal> {
        self.vhost(vhost)?;
        let found = self.users.get_mut(user).ok_or_else(|| Refusal::UnknownUser(user.to_owned()))?;
        found.permissions.remove(vhost);
        found.permissions.extend(permissions.map(|permissions| (vhost.to_owned(), permissions.clone())));
        changes.push(Change::Users);
        Ok(Outcome::Done)
    }

    pub(super) fn set_topic_permissions(
        &mut self,
        user: &str,
        vhost: &str,
        exchange: &str,
        permissions: &TopicPermissions,
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, Refusal> {
        self.vhost(vhost)?;
        let found = self.users.get_mut(user).ok_or_else(|| Refusal::UnknownUser(user.to_owned()))?;
        found.topics.entry(vhost.to_owned()).or_default().insert(exchange.to_owned(), permissions.clone());
        changes.push(Change::Users);
        Ok(Outcome::Done)
    }

    pub(super) fn clear_topic_permissions(
        &mut self,
        user: &str,
        vhost: &str,
        exchange: Option<&str>,
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, Refusal> {
        self.vhost(vhost)?;
        let found = self.users.get_mut(user).ok_or_else(|| Refusal::UnknownUser(user.to_owned()))?;
        if let (Some(exchange), Some(topics)) = (exchange, found.topics.get_mut(vhost)) {
            topics.remove(exchange);
        }
        if exchange.is_none() || found.topics.get(vhost).is_some_and(BTreeMap::is_empty) {
            found.topics.remove(vhost);
        }
        changes.push(Change::Users);
        Ok(Outcome::Done)
    }
}
