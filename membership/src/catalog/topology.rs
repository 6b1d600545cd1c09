//! Vhosts and exchanges; their bindings are in `bindings.rs`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use warren_replication::types::QueueId;

use super::State;
use super::arguments;
use super::command::{Change, DeclareExchange, Outcome};
use super::kinds::{self, ExchangeKind};
use super::limits::VhostLimits;
use super::refusal::{Refusal, Resource};
use super::value::{Arguments, Value};

/// A vhost and what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vhost {
    /// By name; the default exchange is `""`.
    pub exchanges: BTreeMap<String, Exchange>,
    /// By name.
    pub queues: BTreeMap<String, QueueId>,
    /// How much it may use.
    pub limits: VhostLimits,
    /// The exchanges that de-duplicate.
    pub(super) deduplicating: BTreeSet<String>,
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
    /// Where a delayed-message exchange keeps what is not yet due.
    pub waiting_room: Option<QueueId>,
}

impl Exchange {
    /// The type that it routes as.
    #[must_use]
    pub fn routes_as(&self) -> ExchangeKind {
        self.kind.routes_as(&self.arguments)
    }

    /// Where what it cannot route goes (`alternate-exchange`).
    #[must_use]
    pub fn alternate(&self) -> Option<&str> {
        self.arguments.get("alternate-exchange").and_then(Value::as_str)
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

/// The exchanges that every vhost has, besides the default one.
const PREDECLARED: [(&str, ExchangeKind); 6] = [
    ("amq.direct", ExchangeKind::Direct),
    ("amq.fanout", ExchangeKind::Fanout),
    ("amq.headers", ExchangeKind::Headers),
    ("amq.match", ExchangeKind::Headers),
    ("amq.rabbitmq.trace", ExchangeKind::Topic),
    ("amq.topic", ExchangeKind::Topic),
];

/// Whether only the broker makes things of this name.
pub(super) fn is_reserved(name: &str) -> bool {
    name.starts_with("amq.")
}

impl Exchange {
    fn new(kind: ExchangeKind) -> Self {
        Self {
            kind,
            durable: true,
            auto_delete: false,
            internal: false,
            arguments: Arguments::new(),
            bindings: BTreeSet::new(),
            bound_to: BTreeSet::new(),
            waiting_room: None,
        }
    }
}

impl State {
    pub(super) fn put_vhost(&mut self, name: &str, changes: &mut Vec<Change>) -> Result<Outcome, Refusal> {
        if self.vhosts.contains_key(name) {
            return Ok(Outcome::Done);
        }
        let mut vhost = Vhost::default();
        vhost.exchanges.insert(String::new(), Exchange::new(ExchangeKind::Direct));
        for (exchange, kind) in PREDECLARED {
            let internal = exchange == "amq.rabbitmq.trace";
            vhost.exchanges.insert(exchange.to_owned(), Exchange { internal, ..Exchange::new(kind) });
        }
        self.vhosts.insert(name.to_owned(), vhost);
        changes.push(Change::Vhost(name.to_owned()));
        Ok(Outcome::Done)
    }

    pub(super) fn delete_vhost(&mut self, name: &str, changes: &mut Vec<Change>) -> Result<Outcome, Refusal> {
        let queues: Vec<QueueId> = self.vhost(name)?.queues.values().copied().collect();
        for id in queues {
            self.remove_queue(id, changes);
        }
        let exchanges: Vec<String> = self.vhost(name)?.exchanges.keys().cloned().collect();
        for exchange in exchanges {
            self.remove_exchange(name, &exchange, changes);
        }
        self.clear_parameters_of(name, changes);
        self.vhosts.remove(name);
        changes.push(Change::VhostDeleted(name.to_owned()));
        for user in self.users.values_mut() {
            user.permissions.remove(name);
            user.topics.remove(name);
        }
        changes.push(Change::Users);
        Ok(Outcome::Done)
    }

    /// What a declare would meet: `true` if the exchange is there and the same,
    /// `false` if it would be made, else why it is refused. A channel asks this
    /// of its node's applied catalog first.
    pub fn check_declare_exchange(&self, declare: &DeclareExchange) -> Result<bool, Refusal> {
        let resource = || Resource::exchange(&declare.vhost, &declare.name);
        if declare.name.is_empty() {
            return Err(Refusal::DefaultExchange);
        }
        let Some(exchange) = self.vhost(&declare.vhost)?.exchanges.get(&declare.name) else {
            if is_reserved(&declare.name) {
                return Err(Refusal::Reserved(resource()));
            }
            kinds::check_exchange(&resource(), declare.kind, &declare.arguments)?;
            return Ok(false);
        };
        arguments::same_flag(resource, "type", declare.kind.name(), exchange.kind.name())?;
        arguments::same_flag(resource, "durable", declare.durable, exchange.durable)?;
        arguments::same_flag(resource, "auto_delete", declare.auto_delete, exchange.auto_delete)?;
        arguments::same_flag(resource, "internal", declare.internal, exchange.internal)?;
        arguments::same(resource, arguments::OF_EXCHANGES, &declare.arguments, &exchange.arguments)?;
        Ok(true)
    }

    pub(super) fn declare_exchange(
        &mut self,
        declare: &DeclareExchange,
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, Refusal> {
        if self.check_declare_exchange(declare)? {
            return Ok(Outcome::Done);
        }
        let waiting_room = match declare.kind {
            ExchangeKind::Delayed => Some(self.make_waiting_room(declare, changes)?),
            _ => None,
        };
        let exchange = Exchange {
            waiting_room,
            durable: declare.durable,
            auto_delete: declare.auto_delete,
            internal: declare.internal,
            arguments: declare.arguments.clone(),
            ..Exchange::new(declare.kind)
        };
        let alternate = exchange.alternate().map(|name| Destination::Exchange(name.to_owned()));
        if let Some(vhost) = self.vhosts.get_mut(&declare.vhost) {
            if exchange.deduplicates() {
                vhost.deduplicating.insert(declare.name.clone());
            }
            vhost.exchanges.insert(declare.name.clone(), exchange);
        }
        changes.push(Change::Exchange { vhost: declare.vhost.clone(), name: declare.name.clone() });
        self.note_once(&declare.vhost, &alternate, changes);
        Ok(Outcome::Done)
    }

    pub(super) fn delete_exchange(
        &mut self,
        vhost: &str,
        name: &str,
        if_unused: bool,
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, Refusal> {
        if name.is_empty() {
            return Err(Refusal::DefaultExchange);
        }
        let resource = || Resource::exchange(vhost, name);
        if is_reserved(name) {
            return Err(Refusal::SystemExchange(resource()));
        }
        match self.vhost(vhost)?.exchanges.get(name) {
            Some(exchange) if if_unused && !exchange.bindings.is_empty() => Err(Refusal::InUse(resource())),
            Some(_) => {
                self.remove_exchange(vhost, name, changes);
                Ok(Outcome::Done)
            }
            // As in RabbitMQ, deleting what is not there succeeds.
            None => Ok(Outcome::Done),
        }
    }
}
