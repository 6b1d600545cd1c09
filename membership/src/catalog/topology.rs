//! Vhosts, exchanges and bindings.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use warren_replication::types::QueueId;

use super::value::Arguments;

/// A vhost and what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vhost {
    /// By name; the default exchange is `""`.
    pub exchanges: BTreeMap<String, Exchange>,
    /// By name.
    pub queues: BTreeMap<String, QueueId>,
}

/// An exchange with what is bound to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// Its type.
    pub kind: ExchangeKind,
    /// As declared.
    pub durable: bool,
    /// Goes with its last binding.
    pub auto_delete: bool,
    /// Clients may not publish to it.
    pub internal: bool,
    /// As declared.
    pub arguments: Arguments,
    /// What it leads to; ordered by destination first.
    pub bindings: BTreeSet<Binding>,
    /// Exchanges that this one is bound to.
    pub bound_to: BTreeSet<String>,
}

/// How an exchange routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ExchangeKind {
    /// Key equals.
    Direct,
    /// Always.
    Fanout,
    /// Key matches a pattern of words.
    Topic,
    /// Headers match.
    Headers,
}

impl ExchangeKind {
    /// As clients say it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Topic => "topic",
            Self::Headers => "headers",
        }
    }

    /// From what a client says.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Direct, Self::Fanout, Self::Topic, Self::Headers].into_iter().find(|kind| kind.name() == name)
    }
}

/// Where a binding leads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Destination {
    /// A queue.
    Queue(QueueId),
    /// An exchange, by name.
    Exchange(String),
}

/// One way out of an exchange.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Binding {
    /// Where it leads.
    pub destination: Destination,
    /// The binding key.
    pub routing_key: String,
    /// As declared.
    pub arguments: Arguments,
}
