//! What a link does: shovels, federated exchanges and federated queues all come
//! to a [`LinkPlan`], and one mechanism ([`super::link`]) carries it out.

use std::fmt;
use std::time::Duration;

use warren_amqp::FieldTable;

use super::mark::Marks;
use super::sites::FarEnd;
use crate::client::Uri;

/// Which link; unique in a cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkKey {
    /// What kind of link.
    pub kind: Kind,
    /// Whose virtual host.
    pub vhost: String,
    /// The shovel's name, or the federated queue's or exchange's.
    pub name: String,
    /// The upstream's name; empty for a shovel.
    pub upstream: String,
}

impl fmt::Display for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} in vhost '{}'", self.kind.name(), self.name, self.vhost)?;
        if self.upstream.is_empty() { Ok(()) } else { write!(f, " from {}", self.upstream) }
    }
}

/// What kind of link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Moves messages from one place to another.
    Shovel,
    /// Copies to an exchange what an upstream's exchange routes.
    ExchangeFederation,
    /// Moves messages of an upstream's queue to where consumers wait.
    QueueFederation,
    /// Takes from another site of a multi-active policy what was published there.
    Site,
    /// Moves messages of another site's queue of that name to where consumers wait.
    SiteQueue,
}

impl Kind {
    /// As shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shovel => "shovel",
            Self::ExchangeFederation => "exchange-federation",
            Self::QueueFederation => "queue-federation",
            Self::Site => "site",
            Self::SiteQueue => "site-queue",
        }
    }
}

/// Who asked for a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A runtime parameter; a shovel that is done removes it.
    Parameter,
    /// The policy file.
    Policy,
}

impl Origin {
    /// RabbitMQ's word: a shovel is `dynamic` or `static`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Parameter => "dynamic",
            Self::Policy => "static",
        }
    }
}

/// When the source may forget a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AckMode {
    /// When the target has confirmed it: nothing is lost, whatever fails.
    #[default]
    OnConfirm,
    /// When it was written to the target.
    OnPublish,
    /// When it was written to us.
    NoAck,
}

impl AckMode {
    /// As parameters say it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OnConfirm => "on-confirm",
            Self::OnPublish => "on-publish",
            Self::NoAck => "no-ack",
        }
    }
}

/// When a link is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Extent {
    /// When it is removed.
    #[default]
    Forever,
    /// When it has moved as many as were in its source queue at its start.
    QueueLength,
    /// When it has moved so many.
    Messages(u64),
    /// When its source queue is empty.
    UntilEmpty,
}

/// A link, as it is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkPlan {
    /// Which.
    pub key: LinkKey,
    /// Who asked for it.
    pub origin: Origin,
    /// Where messages come from.
    pub source: SourcePlan,
    /// Where they go.
    pub target: TargetPlan,
    /// When the source may forget them.
    pub ack: AckMode,
    /// When it is done.
    pub extent: Extent,
    /// What is written on the messages.
    pub marks: Marks,
    /// Before it connects again; the wait grows with each failure. `None`: it
    /// does not.
    pub reconnect: Option<Duration>,
}

impl LinkPlan {
    /// A shovel of its own that empties a queue into the one of the same name,
    /// which must be there.
    #[must_use]
    pub fn emptying(from: Uri, to: Uri, queue: &str, prefetch: u16, reconnect: Duration) -> Self {
        let there = || QueuePlan { name: queue.to_owned(), arguments: None };
        Self {
            key: LinkKey {
                kind: Kind::Shovel,
                vhost: from.vhost.clone(),
                name: queue.to_owned(),
                upstream: String::new(),
            },
            origin: Origin::Policy,
            source: SourcePlan {
                uris: vec![from],
                from: From::Queue(there()),
                prefetch,
                consumer: FieldTable::default(),
                site: None,
            },
            target: TargetPlan { uris: vec![to], to: To::Queue(there()) },
            ack: AckMode::OnConfirm,
            extent: Extent::UntilEmpty,
            marks: Marks::default(),
            reconnect: Some(reconnect),
        }
    }
}

/// Where a link's messages come from.
#[derive(Clone, Debug, PartialEq)]
pub struct SourcePlan {
    /// Which brokers, tried in turn.
    pub uris: Vec<Uri>,
    /// From what.
    pub from: From,
    /// Unacknowledged messages at most.
    pub prefetch: u16,
    /// `x-…` arguments of the consumer.
    pub consumer: FieldTable,
    /// The site that it has to be. The link is then alone with its queue, so that
    /// its messages keep their order, and brings where they come from.
    pub site: Option<FarEnd>,
}

/// What a link consumes.
#[derive(Clone, Debug, PartialEq)]
pub enum From {
    /// A queue, made if it is not there.
    Queue(QueuePlan),
    /// An exchange, by a queue of the link's own that goes with its connection.
    Exchange {
        /// The exchange.
        name: String,
        /// The binding key.
        key: String,
    },
    /// An exchange, by a queue that outlives the connection, bound as the
    /// downstream exchange is.
    Federated {
        /// The exchange of the upstream, made if it is not there.
        exchange: String,
        /// Its type.
        kind: String,
        /// The link's queue there.
        queue: QueuePlan,
        /// What is to be bound: keys and arguments.
        bindings: Vec<(String, FieldTable)>,
    },
}

/// A queue that a link needs.
#[derive(Clone, Debug, PartialEq)]
pub struct QueuePlan {
    /// Its name.
    pub name: String,
    /// With what it is declared if it is not there; `None`: it must be there.
    pub arguments: Option<FieldTable>,
}

/// Where a link's messages go.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetPlan {
    /// Which brokers, tried in turn.
    pub uris: Vec<Uri>,
    /// To what.
    pub to: To,
}

/// What a link publishes to.
#[derive(Clone, Debug, PartialEq)]
pub enum To {
    /// A queue, made if it is not there. If it goes away, the link does not
    /// publish into the void but makes it again.
    Queue(QueuePlan),
    /// An exchange; what is not said stays as the message came.
    Exchange {
        /// The exchange.
        name: Option<String>,
        /// The routing key.
        key: Option<String>,
    },
}
