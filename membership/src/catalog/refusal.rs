//! Why the catalog refuses a command, with the reply code and text that
//! RabbitMQ gives for it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::parameters::ParameterKey;

/// What a refusal is about: printed as RabbitMQ's `rs/1` does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Resource {
    /// A queue.
    Queue {
        /// Where.
        vhost: String,
        /// Its name.
        name: String,
    },
    /// An exchange.
    Exchange {
        /// Where.
        vhost: String,
        /// Its name.
        name: String,
    },
}

impl Resource {
    /// A queue.
    #[must_use]
    pub fn queue(vhost: &str, name: &str) -> Self {
        Self::Queue { vhost: vhost.to_owned(), name: name.to_owned() }
    }

    /// An exchange.
    #[must_use]
    pub fn exchange(vhost: &str, name: &str) -> Self {
        Self::Exchange { vhost: vhost.to_owned(), name: name.to_owned() }
    }

    /// `queue` or `exchange`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Queue { .. } => "queue",
            Self::Exchange { .. } => "exchange",
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Queue { name, .. } | Self::Exchange { name, .. } => name,
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue { vhost, name } => write!(f, "queue '{name}' in vhost '{vhost}'"),
            Self::Exchange { vhost, name } => write!(f, "exchange '{name}' in vhost '{vhost}'"),
        }
    }
}

/// How a declare differs from what is there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error, Serialize, Deserialize)]
#[error("inequivalent arg '{argument}' for {resource}: received {received} but current is {current}")]
pub struct Inequivalence {
    /// Which queue or exchange.
    pub resource: Resource,
    /// The property or argument that differs.
    pub argument: String,
    /// What the client said.
    pub received: String,
    /// What is.
    pub current: String,
}

/// The answer to a command that changed nothing (a [`Refusal::Stale`] may have
/// bumped a version, §4.3). Displayed as RabbitMQ's text without its code word.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    /// No such queue or exchange.
    #[error("no {0}")]
    NotFound(Resource),
    /// It exists with other properties.
    #[error("{0}")]
    Inequivalent(Box<Inequivalence>),
    /// Another connection owns the exclusive queue.
    #[error(
        "cannot obtain exclusive access to locked {0}. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration."
    )]
    Locked(Resource),
    /// Clients may not make `amq.` names.
    #[error("{} name '{}' contains reserved prefix 'amq.*'", .0.kind(), .0.name())]
    Reserved(Resource),
    /// Clients may not touch the default exchange.
    #[error("operation not permitted on the default exchange")]
    DefaultExchange,
    /// `amq.*` exchanges stay.
    #[error("deletion of system {0} not allowed")]
    SystemExchange(Resource),
    /// `if-unused`, and it is used.
    #[error("{0} in use")]
    InUse(Resource),
    /// An argument that is wrong or not yet supported; the text says which.
    #[error("{0}")]
    Argument(String),
    /// Publishing to, or declaring of, an exchange type that does not exist.
    #[error("unknown exchange type '{0}'")]
    UnknownExchangeType(String),
    /// The vhost has as many queues as it may.
    #[error("cannot declare queue '{queue}': queue limit in vhost '{vhost}' ({limit}) is reached")]
    QueueLimit {
        /// Where.
        vhost: String,
        /// What would be declared.
        queue: String,
        /// How many it may have.
        limit: u64,
    },
    /// No live node can hold a replica of the queue now.
    #[error("no node that policy names for {0} is alive")]
    NoReplica(Resource),
    /// No such vhost.
    #[error("vhost {0} not found")]
    UnknownVhost(String),
    /// No such user.
    #[error("user '{0}' not found")]
    UnknownUser(String),
    /// No such runtime parameter.
    #[error("no parameter '{}' of component '{}' in vhost '{}'", .0.name, .0.component, .0.vhost)]
    UnknownParameter(Box<ParameterKey>),
    /// Compare-and-set lost: the queue's entry has moved on, or the change was
    /// not valid on it. The proposer looks at the applied state and decides anew.
    #[error("{0}")]
    Stale(String),
    /// A node may not register or be forgotten so; the text says why.
    #[error("{0}")]
    Node(String),
    /// The policy set is older than the one in force, or does not fit.
    #[error("{0}")]
    Policy(String),
}

impl Refusal {
    /// AMQP 0-9-1 reply code and its name.
    #[must_use]
    pub const fn code(&self) -> (u16, &'static str) {
        match self {
            Self::NotFound(_) | Self::UnknownParameter(_) => (404, "NOT_FOUND"),
            Self::Locked(_) => (405, "RESOURCE_LOCKED"),
            Self::Reserved(_) | Self::DefaultExchange | Self::SystemExchange(_) => (403, "ACCESS_REFUSED"),
            Self::Inequivalent(_)
            | Self::InUse(_)
            | Self::Argument(_)
            | Self::Stale(_)
            | Self::Node(_)
            | Self::NoReplica(_)
            | Self::QueueLimit { .. }
            | Self::Policy(_) => (406, "PRECONDITION_FAILED"),
            Self::UnknownExchangeType(_) => (503, "COMMAND_INVALID"),
            Self::UnknownVhost(_) | Self::UnknownUser(_) => (530, "NOT_ALLOWED"),
        }
    }

    /// The reply text: `NOT_FOUND - no queue 'x' in vhost '/'`.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{} - {self}", self.code().1)
    }
}
