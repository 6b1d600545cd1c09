//! Bindings: making and removing them, and what goes with the last one.

use std::collections::BTreeSet;

use warren_replication::types::QueueId;

use super::State;
use super::command::{Bind, BindingChange, Change, DestinationName, Outcome};
use super::kinds::{self, ExchangeKind};
use super::queues::Queue;
use super::refusal::Refusal;
use super::topology::{Binding, Destination, Vhost};

impl State {
    pub(super) fn bind(&mut self, bind: &Bind, changes: &mut Vec<Change>) -> Result<Outcome, Refusal> {
        let (kind, binding) = self.check_bind(bind)?;
        kinds::check_binding(kind, &bind.routing_key, &bind.arguments)?;
        let Some(vhost) = self.vhosts.get_mut(&bind.vhost) else { return Ok(Outcome::Done) };
        let Some(exchange) = vhost.exchanges.get_mut(&bind.exchange) else { return Ok(Outcome::Done) };
        if !exchange.bindings.insert(binding.clone()) {
            return Ok(Outcome::Done);
        }
        let source = bind.exchange.clone();
        match &binding.destination {
            Destination::Queue(id) => self.queues.get_mut(id).map(|queue| queue.bound_to.insert(source)),
            Destination::Exchange(name) => {
                vhost.exchanges.get_mut(name).map(|exchange| exchange.bound_to.insert(source))
            }
        };
        let destination = binding.destination.clone();
        changes.push(Change::Bound(told(&bind.vhost, &bind.exchange, binding)));
        self.note_once(&bind.vhost, [&destination], changes);
        Ok(Outcome::Done)
    }

    pub(super) fn unbind(&mut self, bind: &Bind, changes: &mut Vec<Change>) -> Result<Outcome, Refusal> {
        let (_, binding) = self.check_bind(bind)?;
        let destination = binding.destination.clone();
        self.unbind_from(&bind.vhost, &bind.exchange, |known| *known == binding, &destination, changes);
        Ok(Outcome::Done)
    }

    /// The type that the source routes as, and the binding by ids. Refused as RabbitMQ does.
    fn check_bind(&self, bind: &Bind) -> Result<(ExchangeKind, Binding), Refusal> {
        if bind.exchange.is_empty() {
            return Err(Refusal::DefaultExchange);
        }
        let destination = match &bind.destination {
            DestinationName::Queue(name) => {
                let (id, queue) = self.queue_named(&bind.vhost, name)?;
                queue.check_owner(&bind.owner)?;
                Destination::Queue(id)
            }
            DestinationName::Exchange(name) if name.is_empty() => return Err(Refusal::DefaultExchange),
            DestinationName::Exchange(name) => {
                self.exchange(&bind.vhost, name)?;
                Destination::Exchange(name.clone())
            }
        };
        let kind = self.exchange(&bind.vhost, &bind.exchange)?.routes_as();
        let (routing_key, arguments) = (bind.routing_key.clone(), bind.arguments.clone());
        Ok((kind, Binding { destination, routing_key, arguments }))
    }

    /// Removes a queue's bindings; the queue itself is out of the state already.
    pub(super) fn unbind_queue(&mut self, id: QueueId, queue: &Queue, changes: &mut Vec<Change>) {
        for exchange in &queue.bound_to {
            self.unbind_from(&queue.vhost, exchange, |_| true, &Destination::Queue(id), changes);
        }
    }

    /// Removes an exchange with the bindings from it and to it.
    pub(super) fn remove_exchange(&mut self, vhost: &str, name: &str, changes: &mut Vec<Change>) {
        let Some(exchange) = self.vhosts.get_mut(vhost).and_then(|v| v.exchanges.remove(name)) else { return };
        let destinations: Vec<Destination> = exchange.bindings.iter().map(|bound| bound.destination.clone()).collect();
        for binding in exchange.bindings {
            let last = !self.leads_to(vhost, name, &binding.destination);
            if last {
                self.forget_source(vhost, name, &binding.destination);
            }
            changes.push(Change::Unbound(told(vhost, name, binding)));
        }
        for source in &exchange.bound_to {
            self.unbind_from(vhost, source, |_| true, &Destination::Exchange(name.to_owned()), changes);
        }
        if let Some(queue) = exchange.waiting_room {
            self.remove_queue(queue, changes);
        }
        changes.push(Change::ExchangeDeleted { vhost: vhost.to_owned(), name: name.to_owned() });
        self.note_once(vhost, &destinations, changes);
        if let Some(vhost) = self.vhosts.get_mut(vhost) {
            vhost.deduplicating.remove(name);
        }
    }

    /// Removes those bindings of an exchange that lead to a destination and are
    /// meant; an auto-delete exchange goes with its last one.
    fn unbind_from(
        &mut self,
        vhost: &str,
        source: &str,
        meant: impl Fn(&Binding) -> bool,
        destination: &Destination,
        changes: &mut Vec<Change>,
    ) {
        let Some(exchange) = self.vhosts.get_mut(vhost).and_then(|v| v.exchanges.get_mut(source)) else { return };
        let leading = |binding: &Binding| binding.destination == *destination;
        let gone: Vec<Binding> =
            to(&exchange.bindings, destination).take_while(|b| leading(b)).filter(|b| meant(b)).cloned().collect();
        for binding in &gone {
            exchange.bindings.remove(binding);
        }
        let unused = exchange.auto_delete && exchange.bindings.is_empty() && !gone.is_empty();
        if !self.leads_to(vhost, source, destination) {
            self.forget_source(vhost, source, destination);
        }
        if !gone.is_empty() {
            self.note_once(vhost, [destination], changes);
        }
        changes.extend(gone.into_iter().map(|binding| Change::Unbound(told(vhost, source, binding))));
        if unused {
            self.remove_exchange(vhost, source, changes);
        }
    }

    fn leads_to(&self, vhost: &str, source: &str, destination: &Destination) -> bool {
        let exchange = self.vhosts.get(vhost).and_then(|v: &Vhost| v.exchanges.get(source));
        exchange.is_some_and(|x| to(&x.bindings, destination).next().is_some_and(|b| b.destination == *destination))
    }

    /// The destination is no longer bound to the source.
    fn forget_source(&mut self, vhost: &str, source: &str, destination: &Destination) {
        let bound_to = match destination {
            Destination::Queue(id) => self.queues.get_mut(id).map(|queue| &mut queue.bound_to),
            Destination::Exchange(name) => {
                self.vhosts.get_mut(vhost).and_then(|v| v.exchanges.get_mut(name)).map(|x| &mut x.bound_to)
            }
        };
        if let Some(bound_to) = bound_to {
            bound_to.remove(source);
        }
    }
}

/// The bindings from the first one on that leads to the destination: they are
/// ordered by it, so that one queue's are found without a walk through all.
fn to<'a>(bindings: &'a BTreeSet<Binding>, destination: &Destination) -> impl Iterator<Item = &'a Binding> {
    let first =
        Binding { destination: destination.clone(), routing_key: String::new(), arguments: super::Arguments::new() };
    bindings.range(first..)
}

fn told(vhost: &str, exchange: &str, binding: Binding) -> BindingChange {
    let Binding { destination, routing_key, arguments } = binding;
    BindingChange { vhost: vhost.to_owned(), exchange: exchange.to_owned(), destination, routing_key, arguments }
}
