//! Where this connection's publishes go: names resolved once, until routes or
//! permissions may have changed.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use warren_amqp::{Properties, ShortStr};
use warren_membership::catalog::{ExchangeKind, Refusal, Resource, Verb};
use warren_replication::types::QueueId;

use crate::connection::access::Access;
use crate::connection::fault::Fault;
use crate::connection::ports::{Broker, Routing};

/// The most routes remembered; beyond it they are forgotten and found anew.
const MOST_ROUTES: usize = 4096;

/// Routes found so far.
pub struct Routes {
    routing: Arc<dyn Routing>,
    /// Read before anything of `exchanges` was looked up: what is older than a
    /// change is never remembered beyond it.
    generation: u64,
    exchanges: FxHashMap<ShortStr, Exchange>,
    count: usize,
}

#[derive(Default)]
struct Exchange {
    reads_properties: bool,
    /// The user may not publish with every routing key.
    limits_topics: bool,
    by_key: FxHashMap<ShortStr, Arc<[QueueId]>>,
}

impl Routes {
    /// None yet.
    pub fn new(broker: &dyn Broker) -> Self {
        let routing = broker.routing();
        let generation = routing.generation();
        Self { routing, generation, exchanges: FxHashMap::default(), count: 0 }
    }

    /// Looks whether routes have changed; once a turn is enough, since what a
    /// channel itself changes is answered in a later turn.
    pub fn refresh(&mut self) {
        let generation = self.routing.generation();
        if generation != self.generation {
            self.generation = generation;
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.exchanges.clear();
        self.count = 0;
    }

    /// The queues that a publish reaches.
    ///
    /// # Errors
    /// No such exchange, or the user may not publish to it, or nobody may.
    pub fn find(
        &mut self,
        broker: &dyn Broker,
        access: &Access,
        exchange: &ShortStr,
        routing_key: &ShortStr,
        properties: impl FnOnce() -> Option<Properties>,
    ) -> Result<Arc<[QueueId]>, Fault> {
        if !self.exchanges.contains_key(exchange.as_bytes()) {
            self.admit(broker, access, exchange)?;
        }
        let known = self.exchanges.get_mut(exchange.as_bytes());
        if let Some(targets) = known.as_ref().and_then(|known| known.by_key.get(routing_key.as_bytes())) {
            return Ok(Arc::clone(targets));
        }
        let reads_properties = known.as_ref().is_some_and(|known| known.reads_properties);
        if known.as_ref().is_some_and(|known| known.limits_topics) {
            access.check_topic(&broker.catalog(), Verb::Write, exchange.as_str(), routing_key.as_str())?;
        }
        let properties = if reads_properties { properties() } else { None };
        let targets: Arc<[QueueId]> = self
            .routing
            .route(&access.vhost, exchange.as_str(), &[routing_key.as_str()], properties.as_ref())
            .ok_or_else(|| Refusal::NotFound(Resource::exchange(&access.vhost, exchange.as_str())))?
            .into();
        if let Some(known) = known.filter(|_| !reads_properties) {
            known.by_key.insert(routing_key.detached(), Arc::clone(&targets));
            self.count += 1;
            if self.count > MOST_ROUTES {
                self.forget();
            }
        }
        Ok(targets)
    }

    /// The queues that a publish with several routing keys reaches, from an exchange
    /// that [`Routes::find`] has found.
    ///
    /// # Errors
    /// There is no such exchange any more.
    pub fn find_all(
        &self,
        access: &Access,
        exchange: &ShortStr,
        routing_keys: &[&str],
        properties: &Properties,
    ) -> Result<Arc<[QueueId]>, Fault> {
        let found = self.routing.route(&access.vhost, exchange.as_str(), routing_keys, Some(properties));
        let found = found.ok_or_else(|| Refusal::NotFound(Resource::exchange(&access.vhost, exchange.as_str())))?;
        Ok(found.into())
    }

    fn admit(&mut self, broker: &dyn Broker, access: &Access, exchange: &ShortStr) -> Result<(), Fault> {
        let name = exchange.as_str();
        let limits_topics = {
            let catalog = broker.catalog();
            access.check(&catalog, Verb::Write, &Resource::exchange(&access.vhost, name))?;
            let known = catalog.exchange(&access.vhost, name)?;
            if known.internal {
                let resource = Resource::exchange(&access.vhost, name);
                return Err(Fault::access_refused(format_args!("cannot publish to internal {resource}")));
            }
            known.kind == ExchangeKind::Topic && catalog.topic_permissions(&access.user, &access.vhost, name).is_some()
        };
        let reads_properties = self.routing.reads_properties(&access.vhost, name);
        self.exchanges
            .insert(exchange.detached(), Exchange { reads_properties, limits_topics, by_key: FxHashMap::default() });
        Ok(())
    }
}
