//! The exchanges of all vhosts, compiled; each answers for itself, and here is
//! how they lead to each other and how catalog changes reach them.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;
use warren_amqp::FieldTable;
use warren_membership::catalog::{Arguments, Change, Destination, Exchange as Declared, ExchangeKind, State};
use warren_replication::types::QueueId;

use super::direct::Direct;
use super::fanout::Fanout;
use super::headers::Headers;
use super::targets::Found;
use super::topic::Topic;
use crate::arguments::from_wire;

/// All vhosts by name.
#[derive(Debug, Default)]
pub(super) struct Table(FxHashMap<Box<str>, Vhost>);

#[derive(Debug, Default)]
struct Vhost {
    /// What the default exchange routes by.
    queues: FxHashMap<Box<str>, QueueId>,
    exchanges: FxHashMap<Box<str>, Exchange>,
    /// How many bindings lead from exchange to exchange.
    chains: usize,
}

#[derive(Debug)]
enum Exchange {
    Direct(Direct),
    Fanout(Fanout),
    Topic(Topic),
    Headers(Headers),
}

impl Exchange {
    fn new(kind: ExchangeKind) -> Self {
        match kind {
            ExchangeKind::Direct => Self::Direct(Direct::default()),
            ExchangeKind::Fanout => Self::Fanout(Fanout::default()),
            ExchangeKind::Topic => Self::Topic(Topic::default()),
            ExchangeKind::Headers => Self::Headers(Headers::default()),
        }
    }

    fn bind(&mut self, key: &str, arguments: &Arguments, destination: &Destination) {
        let destination = destination.clone();
        match self {
            Self::Direct(direct) => direct.insert(key, destination),
            Self::Fanout(fanout) => fanout.insert(destination),
            Self::Topic(topic) => topic.insert(key, destination),
            Self::Headers(headers) => headers.insert(arguments, destination),
        }
    }

    fn unbind(&mut self, key: &str, arguments: &Arguments, destination: &Destination) {
        match self {
            Self::Direct(direct) => direct.remove(key, destination),
            Self::Fanout(fanout) => fanout.remove(destination),
            Self::Topic(topic) => topic.remove(key, destination),
            Self::Headers(headers) => headers.remove(arguments, destination),
        }
    }
}

impl Vhost {
    /// Those exchanges, with nothing bound.
    fn with(exchanges: &BTreeMap<String, Declared>) -> Self {
        let compiled = exchanges.iter().map(|(name, declared)| (name.as_str().into(), Exchange::new(declared.kind)));
        Self { exchanges: compiled.collect(), ..Self::default() }
    }

    fn bind(&mut self, source: &str, key: &str, arguments: &Arguments, destination: &Destination) {
        if let Some(exchange) = self.exchanges.get_mut(source) {
            exchange.bind(key, arguments, destination);
            self.chains += usize::from(matches!(destination, Destination::Exchange(_)));
        }
    }

    fn unbind(&mut self, source: &str, key: &str, arguments: &Arguments, destination: &Destination) {
        if let Some(exchange) = self.exchanges.get_mut(source) {
            exchange.unbind(key, arguments, destination);
            self.chains = self.chains.saturating_sub(usize::from(matches!(destination, Destination::Exchange(_))));
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

    /// Whether a change can change a route.
    pub(super) fn concerns(change: &Change) -> bool {
        match change {
            Change::Vhost(_)
            | Change::VhostDeleted(_)
            | Change::Exchange { .. }
            | Change::ExchangeDeleted { .. }
            | Change::Bound(_)
            | Change::Unbound(_)
            | Change::QueueDeclared(_)
            | Change::QueueDeleted { .. } => true,
            Change::Queue(_)
            | Change::Node(..)
            | Change::NodeForgotten(_)
            | Change::Policies
            | Change::Primaries
            | Change::Users => false,
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
                    table.exchanges.insert(name.as_str().into(), Exchange::new(made.kind));
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
                if let Some((table, queue)) = made {
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
            | Change::Policies
            | Change::Primaries
            | Change::Users => {}
        }
    }

    /// Whether a headers exchange can be met on the way.
    pub(super) fn reads_headers(&self, vhost: &str, exchange: &str) -> bool {
        let Some(vhost) = self.0.get(vhost) else { return false };
        match vhost.exchanges.get(exchange) {
            Some(Exchange::Headers(_)) => true,
            // Exchanges bound to exchanges are rare: then any may be behind.
            Some(_) => {
                vhost.chains > 0 && vhost.exchanges.values().any(|exchange| matches!(exchange, Exchange::Headers(_)))
            }
            None => false,
        }
    }

    /// The queues that a message reaches, sorted, each once.
    pub(super) fn route(
        &self,
        vhost: &str,
        exchange: &str,
        routing_key: &str,
        headers: Option<&FieldTable>,
    ) -> Option<Vec<QueueId>> {
        let vhost = self.0.get(vhost)?;
        if exchange.is_empty() {
            return Some(vhost.queues.get(routing_key).copied().into_iter().collect());
        }
        let mut found = Found::default();
        found.exchanges.push(&**vhost.exchanges.get_key_value(exchange)?.0);
        let mut visited = BTreeSet::new();
        while let Some(name) = found.exchanges.pop() {
            // Exchanges may lead to each other in a circle.
            let Some(exchange) = vhost.exchanges.get(name).filter(|_| visited.insert(name)) else { continue };
            match exchange {
                Exchange::Direct(direct) => direct.route(routing_key, &mut found),
                Exchange::Fanout(fanout) => fanout.route(&mut found),
                Exchange::Topic(topic) => topic.route(routing_key, &mut found),
                Exchange::Headers(exchange) => {
                    let headers = headers.map(from_wire).unwrap_or_default();
                    exchange.route(&headers, &mut found);
                }
            }
        }
        found.queues.sort_unstable();
        found.queues.dedup();
        Some(found.queues)
    }
}
