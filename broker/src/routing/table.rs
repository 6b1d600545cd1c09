//! The exchanges of all vhosts, compiled; each answers for itself, and here is
//! how they lead to each other and how catalog changes reach them.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;
use warren_amqp::Properties;
use warren_membership::catalog::{Arguments, Change, Destination, Exchange as Declared, ExchangeKind, HashOn, State};
use warren_replication::types::QueueId;

use super::direct::Direct;
use super::fanout::Fanout;
use super::hashed::ConsistentHash;
use super::headers::Headers;
use super::message::Routed;
use super::random::Random;
use super::targets::Found;
use super::topic::Topic;

/// All vhosts by name.
#[derive(Debug, Default)]
pub(super) struct Table(FxHashMap<Box<str>, Vhost>);

#[derive(Debug, Default)]
struct Vhost {
    /// What the default exchange routes by.
    queues: FxHashMap<Box<str>, QueueId>,
    exchanges: FxHashMap<Box<str>, Exchange>,
}

#[derive(Debug)]
struct Exchange {
    kind: Kind,
    /// Exchanges that it leads to, with the number of bindings.
    chains: BTreeMap<Box<str>, usize>,
    /// Where goes what leads nowhere from here.
    alternate: Option<Box<str>>,
    /// Where a delayed-message exchange keeps what is not yet due.
    waiting_room: Option<QueueId>,
}

#[derive(Debug)]
enum Kind {
    Direct(Direct),
    Fanout(Fanout),
    Topic(Topic),
    Headers(Headers),
    ConsistentHash(ConsistentHash),
    Random(Random),
}

impl Exchange {
    fn new(declared: &Declared) -> Self {
        let kind = match declared.routes_as() {
            // A delayed one is never the type that another routes as.
            ExchangeKind::Direct | ExchangeKind::Delayed => Kind::Direct(Direct::default()),
            // That each value goes on once is the queues' business (§4.8).
            ExchangeKind::Fanout | ExchangeKind::Deduplicating => Kind::Fanout(Fanout::default()),
            ExchangeKind::Topic => Kind::Topic(Topic::default()),
            ExchangeKind::Headers => Kind::Headers(Headers::default()),
            ExchangeKind::ConsistentHash => Kind::ConsistentHash(ConsistentHash::new(HashOn::of(&declared.arguments))),
            ExchangeKind::Random => Kind::Random(Random::default()),
        };
        Self {
            kind,
            chains: BTreeMap::new(),
            alternate: declared.alternate().map(Into::into),
            waiting_room: declared.waiting_room,
        }
    }

    fn bind(&mut self, key: &str, arguments: &Arguments, destination: &Destination) {
        if let Destination::Exchange(name) = destination {
            *self.chains.entry(name.as_str().into()).or_default() += 1;
        }
        let destination = destination.clone();
        match &mut self.kind {
            Kind::Direct(direct) => direct.insert(key, destination),
            Kind::Fanout(fanout) => fanout.insert(destination),
            Kind::Topic(topic) => topic.insert(key, destination),
            Kind::Headers(headers) => headers.insert(arguments, destination),
            Kind::ConsistentHash(hash) => hash.insert(key, destination),
            Kind::Random(random) => random.insert(destination),
        }
    }

    fn unbind(&mut self, key: &str, arguments: &Arguments, destination: &Destination) {
        if let Destination::Exchange(name) = destination
            && let Some(bindings) = self.chains.get_mut(name.as_str())
        {
            *bindings -= 1;
            if *bindings == 0 {
                self.chains.remove(name.as_str());
            }
        }
        match &mut self.kind {
            Kind::Direct(direct) => direct.remove(key, destination),
            Kind::Fanout(fanout) => fanout.remove(destination),
            Kind::Topic(topic) => topic.remove(key, destination),
            Kind::Headers(headers) => headers.remove(arguments, destination),
            Kind::ConsistentHash(hash) => hash.remove(key, destination),
            Kind::Random(random) => random.remove(destination),
        }
    }

    /// Whether its own routes depend on more than routing keys.
    fn reads_properties(&self) -> bool {
        self.waiting_room.is_some()
            || match &self.kind {
                Kind::Headers(_) | Kind::Random(_) => true,
                Kind::ConsistentHash(hash) => hash.reads_properties(),
                Kind::Direct(_) | Kind::Fanout(_) | Kind::Topic(_) => false,
            }
    }

    /// Adds what a message reaches from here, exchanges among it; what reaches
    /// nothing goes to the alternate exchange.
    fn route<'a>(&'a self, message: &Routed<'_>, found: &mut Found<'a>) {
        if let Some(room) = self.waiting_room.filter(|_| message.is_delayed()) {
            found.queues.push(room);
            return;
        }
        let before = (found.queues.len(), found.exchanges.len());
        match &self.kind {
            Kind::Direct(direct) => message.keys.iter().for_each(|key| direct.route(key, found)),
            Kind::Fanout(fanout) => fanout.route(found),
            Kind::Topic(topic) => message.keys.iter().for_each(|key| topic.route(key, found)),
            Kind::Headers(headers) => headers.route(message.arguments(), found),
            Kind::ConsistentHash(hash) => hash.route(message, found),
            Kind::Random(random) => random.route(found),
        }
        if (found.queues.len(), found.exchanges.len()) == before {
            found.exchanges.extend(self.alternate.as_deref());
        }
    }
}

impl Vhost {
    /// Those exchanges, with nothing bound.
    fn with(exchanges: &BTreeMap<String, Declared>) -> Self {
        let compiled = exchanges.iter().map(|(name, declared)| (name.as_str().into(), Exchange::new(declared)));
        Self { exchanges: compiled.collect(), ..Self::default() }
    }

    fn bind(&mut self, source: &str, key: &str, arguments: &Arguments, destination: &Destination) {
        if let Some(exchange) = self.exchanges.get_mut(source) {
            exchange.bind(key, arguments, destination);
        }
    }

    fn unbind(&mut self, source: &str, key: &str, arguments: &Arguments, destination: &Destination) {
        if let Some(exchange) = self.exchanges.get_mut(source) {
            exchange.unbind(key, arguments, destination);
        }
    }
}

impl Table {
    pub(super) fn of(state: &State) -> Self {
        let mut table = Self::default();
        for (name, vhost) in state.vhosts() {
            let mut compiled = Vhost::with(&vhost.exchanges);
            compiled.queues = vhost.queues.iter().map(|(name, id)| (name.as_str().into(), *id)).collect();
            for (source, binding) in state.bindings(name) {
                compiled.bind(source, &binding.routing_key, &binding.arguments, &binding.destination);
            }
            table.0.insert(name.into(), compiled);
        }
        table
    }

    /// Whether a change can change a route, or whether a user may take it: what
    /// connections remember under a generation is both.
    pub(super) fn concerns(change: &Change) -> bool {
        match change {
            Change::Vhost(_)
            | Change::VhostDeleted(_)
            | Change::Exchange { .. }
            | Change::ExchangeDeleted { .. }
            | Change::Bound(_)
            | Change::Unbound(_)
            | Change::QueueDeclared(_)
            | Change::QueueDeleted { .. }
            | Change::Users => true,
            Change::Queue(_)
            | Change::Node(..)
            | Change::NodeForgotten(_)
            | Change::Drained(_)
            | Change::Policies
            | Change::Primaries
            | Change::Parameters => false,
        }
    }

    /// Follows one change. `state` may be ahead of it, by the later changes of
    /// the same batch: what it lacks again is left out, and so are their ends.
    pub(super) fn apply(&mut self, state: &State, change: &Change) {
        match change {
            Change::Vhost(name) => {
                // The exchanges that every vhost has are made with it, untold.
                if let Ok(made) = state.vhost(name) {
                    self.0.insert(name.as_str().into(), Vhost::with(&made.exchanges));
                }
            }
            Change::VhostDeleted(name) => {
                self.0.remove(name.as_str());
            }
            Change::Exchange { vhost, name } => {
                if let (Some(table), Ok(made)) = (self.0.get_mut(vhost.as_str()), state.exchange(vhost, name)) {
                    table.exchanges.insert(name.as_str().into(), Exchange::new(made));
                }
            }
            Change::ExchangeDeleted { vhost, name } => {
                if let Some(table) = self.0.get_mut(vhost.as_str()) {
                    table.exchanges.remove(name.as_str());
                }
            }
            Change::Bound(bound) => {
                if let Some(table) = self.0.get_mut(bound.vhost.as_str()) {
                    table.bind(&bound.exchange, &bound.routing_key, &bound.arguments, &bound.destination);
                }
            }
            Change::Unbound(bound) => {
                if let Some(table) = self.0.get_mut(bound.vhost.as_str()) {
                    table.unbind(&bound.exchange, &bound.routing_key, &bound.arguments, &bound.destination);
                }
            }
            Change::QueueDeclared(id) => {
                let made = state.queue(*id).and_then(|queue| Some((self.0.get_mut(queue.vhost.as_str())?, queue)));
                // What an exchange keeps its messages in has no name for clients.
                if let Some((table, queue)) = made.filter(|(_, queue)| queue.waiting_room_of.is_none()) {
                    table.queues.insert(queue.name.as_str().into(), *id);
                }
            }
            Change::QueueDeleted { queue, vhost, name } => {
                if let Some(table) = self.0.get_mut(vhost.as_str())
                    && table.queues.get(name.as_str()) == Some(queue)
                {
                    table.queues.remove(name.as_str());
                }
            }
            Change::Queue(_)
            | Change::Node(..)
            | Change::NodeForgotten(_)
            | Change::Drained(_)
            | Change::Policies
            | Change::Primaries
            | Change::Parameters
            | Change::Users => {}
        }
    }

    /// Whether an exchange can be met on the way that reads more than the keys.
    pub(super) fn reads_properties(&self, vhost: &str, exchange: &str) -> bool {
        let Some(vhost) = self.0.get(vhost) else { return false };
        let (mut ahead, mut visited) = (vec![exchange], BTreeSet::new());
        while let Some(name) = ahead.pop() {
            let Some(exchange) = vhost.exchanges.get(name).filter(|_| visited.insert(name)) else { continue };
            if exchange.reads_properties() {
                return true;
            }
            ahead.extend(exchange.chains.keys().map(|name| &**name).chain(exchange.alternate.as_deref()));
        }
        false
    }

    /// The queues that a message reaches, sorted, each once.
    pub(super) fn route(
        &self,
        vhost: &str,
        exchange: &str,
        routing_keys: &[&str],
        properties: Option<&Properties>,
    ) -> Option<Vec<QueueId>> {
        let vhost = self.0.get(vhost)?;
        let mut found = Found::default();
        if exchange.is_empty() {
            found.queues.extend(routing_keys.iter().filter_map(|key| vhost.queues.get(*key)));
        } else {
            found.exchanges.push(&**vhost.exchanges.get_key_value(exchange)?.0);
        }
        let message = Routed::new(routing_keys, properties);
        let mut visited = BTreeSet::new();
        while let Some(name) = found.exchanges.pop() {
            // Exchanges may lead to each other in a circle.
            if let Some(exchange) = vhost.exchanges.get(name).filter(|_| visited.insert(name)) {
                exchange.route(&message, &mut found);
            }
        }
        found.queues.sort_unstable();
        found.queues.dedup();
        Some(found.queues)
    }
}
