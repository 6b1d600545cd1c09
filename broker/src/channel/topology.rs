//! Exchanges, queues and bindings: what the catalog must agree on, and what
//! queues are asked about themselves. A declaration that changes nothing is
//! answered from the catalog as applied here.

use warren_amqp::{FieldTable, ReplyCode, ShortStr, exchange, queue};
use warren_membership::catalog::{
    Bind, Binding, Command, DeclareExchange, DeclareQueue, Destination, DestinationName, ExchangeKind, Outcome,
    Refusal, Verb,
};
use warren_replication::message::Closing;
use warren_replication::types::{Epoch, QueueId, Version};
use warren_shard::step::Local;

use super::consume::unique_name;
use super::{Channel, Waiting, streams};
use crate::arguments::from_wire;
use crate::connection::context::Context;
use crate::connection::fault::Fault;
use crate::connection::ports::ProposalError;
use crate::direct::Address;

/// What follows when the catalog has agreed.
#[derive(Debug)]
pub(crate) enum AfterAgreement {
    /// This answer, if the client wants one.
    Reply(Option<TopologyOk>),
    /// `queue.declare-ok`, with counts if the queue was there.
    QueueDeclared { name: String, nowait: bool },
    /// `queue.declare-ok` for an address of direct reply-to.
    AddressFound { name: String, nowait: bool },
    /// `queue.delete-ok`.
    QueueDeleted { deletion: Deletion, messages: u64 },
}

/// A `queue.delete` under way.
#[derive(Clone, Debug)]
pub(crate) struct Deletion {
    queue: QueueId,
    name: String,
    if_unused: bool,
    if_empty: bool,
    nowait: bool,
}

/// Answers without content.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TopologyOk {
    ExchangeDeclared,
    ExchangeDeleted,
    ExchangeBound,
    ExchangeUnbound,
    QueueBound,
    QueueUnbound,
}

/// What follows when a queue has told its counts.
#[derive(Debug)]
pub(crate) enum AfterCount {
    /// `queue.declare-ok`.
    Declared { name: String },
    /// Delete it, whatever it holds.
    Delete(Deletion),
}

/// RabbitMQ takes line breaks out of names.
fn stripped(name: &ShortStr) -> String {
    name.as_str().replace(['\r', '\n'], "")
}

fn shown(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl Channel {
    // Exchanges.

    pub(super) fn declare_exchange(&mut self, ctx: &mut Context, declare: &exchange::Declare) -> Result<(), Fault> {
        let name = stripped(&declare.exchange);
        if name.is_empty() {
            return Err(Refusal::DefaultExchange.into());
        }
        let (vhost, ok) = (ctx.access.vhost.clone(), TopologyOk::ExchangeDeclared.unless(declare.nowait));
        if declare.passive {
            ctx.broker().catalog().exchange(&vhost, &name)?;
            self.topology_ok(ctx, ok);
            return Ok(());
        }
        if declare.kind.is_empty() {
            return Err(Fault::command_invalid("invalid exchange type ''"));
        }
        let kind = ExchangeKind::parse(declare.kind.as_str())
            .ok_or_else(|| Refusal::UnknownExchangeType(declare.kind.as_str().to_owned()))?;
        let command = DeclareExchange {
            vhost,
            name,
            kind,
            durable: declare.durable,
            auto_delete: declare.auto_delete,
            internal: declare.internal,
            arguments: from_wire(&declare.arguments),
            owner: ctx.owner(),
            live: ctx.broker().live(),
        };
        let is_there = {
            let catalog = ctx.broker().catalog();
            let resource = ctx.access.exchange(&command.name);
            ctx.access.check(&catalog, Verb::Configure, &resource)?;
            ctx.access.check_passing_on(&catalog, &resource, &command.arguments, "alternate-exchange")?;
            catalog.exchange(&command.vhost, &command.name).is_ok_and(|exchange| {
                exchange.kind == command.kind
                    && exchange.durable == command.durable
                    && exchange.auto_delete == command.auto_delete
                    && exchange.internal == command.internal
                    && exchange.arguments == command.arguments
            })
        };
        self.agree_unless(ctx, is_there, ok, || Command::DeclareExchange(command))
    }

    pub(super) fn delete_exchange(&mut self, ctx: &mut Context, delete: &exchange::Delete) -> Result<(), Fault> {
        let name = stripped(&delete.exchange);
        if name.is_empty() {
            return Err(Refusal::DefaultExchange.into());
        }
        let resource = ctx.access.exchange(&name);
        if name.starts_with("amq.") {
            return Err(Refusal::SystemExchange(resource).into());
        }
        let is_gone = {
            let catalog = ctx.broker().catalog();
            ctx.access.check(&catalog, Verb::Configure, &resource)?;
            catalog.exchange(&ctx.access.vhost, &name).is_err()
        };
        let command = Command::DeleteExchange { vhost: ctx.access.vhost.clone(), name, if_unused: delete.if_unused };
        self.agree_unless(ctx, is_gone, TopologyOk::ExchangeDeleted.unless(delete.nowait), || command)
    }

    pub(super) fn bind_exchange(&mut self, ctx: &mut Context, bind: &exchange::Bind) -> Result<(), Fault> {
        let ok = TopologyOk::ExchangeBound.unless(bind.nowait);
        self.change_exchange_binding(ctx, &bind.source, &bind.destination, &bind.routing_key, &bind.arguments, true, ok)
    }

    pub(super) fn unbind_exchange(&mut self, ctx: &mut Context, unbind: &exchange::Unbind) -> Result<(), Fault> {
        let ok = TopologyOk::ExchangeUnbound.unless(unbind.nowait);
        let exchange::Unbind { source, destination, routing_key, arguments, .. } = unbind;
        self.change_exchange_binding(ctx, source, destination, routing_key, arguments, false, ok)
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of two methods that are alike")]
    fn change_exchange_binding(
        &mut self,
        ctx: &mut Context,
        source: &ShortStr,
        destination: &ShortStr,
        routing_key: &ShortStr,
        arguments: &FieldTable,
        wanted: bool,
        ok: Option<TopologyOk>,
    ) -> Result<(), Fault> {
        let destination = stripped(destination);
        let place = {
            let catalog = ctx.broker().catalog();
            ctx.access.check(&catalog, Verb::Write, &ctx.access.exchange(&destination))?;
            if destination.is_empty() {
                return Err(Refusal::DefaultExchange.into());
            }
            let found = catalog.exchange(&ctx.access.vhost, &destination);
            found.map(|_| Destination::Exchange(destination.clone())).map_err(Fault::from)
        };
        let bind =
            self.binding(ctx, source, DestinationName::Exchange(destination), routing_key.as_str(), arguments)?;
        self.change_binding(ctx, bind, place, wanted, ok)
    }

    // Queues.

    pub(super) fn declare_queue(&mut self, ctx: &mut Context, declare: &queue::Declare) -> Result<(), Fault> {
        let asked = stripped(&declare.queue);
        if Address::is_reserved(&asked) {
            self.declare_address(ctx, asked, declare.nowait);
            return Ok(());
        }
        if declare.passive {
            let queue = self.accessible_queue(ctx, &asked, None)?;
            return self.declared_before(ctx, queue, asked, declare.nowait);
        }
        let server_named = asked.is_empty();
        let name = if server_named { unique_name("amq.gen") } else { asked };
        let command = DeclareQueue {
            vhost: ctx.access.vhost.clone(),
            name,
            server_named,
            durable: declare.durable,
            exclusive: declare.exclusive,
            auto_delete: declare.auto_delete,
            arguments: from_wire(&declare.arguments),
            owner: ctx.owner(),
            live: Vec::new(),
        };
        command.check_name()?;
        let present = {
            let catalog = ctx.broker().catalog();
            let resource = ctx.access.queue(&command.name);
            ctx.access.check(&catalog, Verb::Configure, &resource)?;
            let found = catalog.queue_named(&command.vhost, &command.name).ok();
            if found.is_none() {
                catalog.check_room(&command.vhost, &command.name)?;
                ctx.access.check_passing_on(&catalog, &resource, &command.arguments, "x-dead-letter-exchange")?;
            }
            found.and_then(|(id, queue)| {
                let same = queue.durable == command.durable
                    && queue.auto_delete == command.auto_delete
                    && queue.exclusive == command.exclusive.then_some(command.owner)
                    && queue.arguments == command.arguments;
                same.then_some(id)
            })
        };
        if let Some(queue) = present {
            return self.declared_before(ctx, queue, command.name, declare.nowait);
        }
        ctx.owns_queues |= declare.exclusive;
        let then = AfterAgreement::QueueDeclared { name: command.name.clone(), nowait: declare.nowait };
        let command = DeclareQueue { live: ctx.broker().live(), ..command };
        self.agree(ctx, Command::DeclareQueue(command), then);
        Ok(())
    }

    /// Answers with the counts of a queue that was there.
    fn declared_before(&mut self, ctx: &mut Context, queue: QueueId, name: String, nowait: bool) -> Result<(), Fault> {
        self.last_queue.clone_from(&name);
        if !nowait {
            self.count(ctx, queue, AfterCount::Declared { name });
        }
        Ok(())
    }

    pub(super) fn delete_queue(&mut self, ctx: &mut Context, delete: &queue::Delete) -> Result<(), Fault> {
        let name = stripped(&ShortStr::truncated(self.queue_name(&delete.queue)?));
        let found = self.accessible_queue(ctx, &name, Some(Verb::Configure));
        let queue = match found {
            Ok(queue) => queue,
            // As in RabbitMQ since 3.2, deleting what is not there succeeds.
            Err(fault) if fault.code == ReplyCode::NotFound => {
                ctx.reply(self.number, delete.nowait, &queue::DeleteOk { message_count: 0 });
                return Ok(());
            }
            Err(fault) => return Err(fault),
        };
        let queue::Delete { if_unused, if_empty, nowait, .. } = *delete;
        let mut deletion = Deletion { queue, name, if_unused, if_empty, nowait };
        let leads = {
            let catalog = ctx.broker().catalog();
            let Some(declared) = catalog.queue(queue) else { return Ok(()) };
            if declared.is_stream() {
                // As in RabbitMQ, which does not look at what a stream holds.
                (deletion.if_unused, deletion.if_empty) = (false, false);
            } else if !declared.is_classic() {
                let flags = [("if-unused", if_unused), ("if-empty", if_empty)];
                if let Some((flag, _)) = flags.into_iter().find(|(_, given)| *given) {
                    return Err(Fault::not_implemented(format_args!(
                        "cannot delete {}. queue.delete operations with {flag} flag set are not supported by quorum \
                         queues",
                        declared.resource()
                    )));
                }
            }
            declared.assignment.leader.is_some()
        };
        if deletion.if_unused || deletion.if_empty {
            self.close_queue(ctx, deletion);
        } else if nowait || !leads {
            self.delete(ctx, deletion, None, 0);
        } else {
            self.count(ctx, queue, AfterCount::Delete(deletion));
        }
        Ok(())
    }

    /// Asks the leader whether the conditions hold, and to see to it that they
    /// still do when the queue is deleted.
    fn close_queue(&mut self, ctx: &mut Context, deletion: Deletion) {
        let (request, connection, channel) = (ctx.next_number(), ctx.connection, self.number);
        let Deletion { queue, if_unused, if_empty, .. } = deletion;
        self.waiting = Some(Waiting::Close { request, deletion });
        ctx.batch.push(queue, Local::Close { connection, channel, request, if_unused, if_empty });
    }

    pub(super) fn on_closed(&mut self, ctx: &mut Context, request: u64, closing: Closing) -> Result<(), Fault> {
        let deletion = match self.waiting.take() {
            Some(Waiting::Close { request: asked, deletion }) if asked == request => deletion,
            other => {
                self.waiting = other;
                return Ok(());
            }
        };
        let resource = ctx.access.queue(&deletion.name);
        match closing {
            Closing::InUse => return Err(Refusal::InUse(resource).into()),
            Closing::NotEmpty => return Err(Fault::precondition_failed(format_args!("{resource} not empty"))),
            Closing::Closed { at, messages } => self.delete(ctx, deletion, Some(at), messages),
        }
        Ok(())
    }

    fn delete(&mut self, ctx: &mut Context, deletion: Deletion, compared: Option<(Epoch, Version)>, messages: u64) {
        let queue = deletion.queue;
        let then = AfterAgreement::QueueDeleted { deletion, messages };
        self.agree(ctx, Command::DeleteQueue { queue, compared }, then);
    }

    pub(super) fn purge_queue(&mut self, ctx: &mut Context, purge: &queue::Purge) -> Result<(), Fault> {
        let name = self.queue_name(&purge.queue)?.to_owned();
        let queue = self.accessible_queue(ctx, &name, Some(Verb::Read))?;
        streams::refuse(ctx, queue, &name, "queue.purge")?;
        let request = ctx.next_number();
        self.waiting = Some(Waiting::Purge { request, nowait: purge.nowait, queue: name });
        ctx.batch.push(queue, Local::Purge { connection: ctx.connection, channel: self.number, request });
        Ok(())
    }

    pub(super) fn bind_queue(&mut self, ctx: &mut Context, bind: &queue::Bind) -> Result<(), Fault> {
        let ok = TopologyOk::QueueBound.unless(bind.nowait);
        self.change_queue_binding(ctx, &bind.queue, &bind.exchange, &bind.routing_key, &bind.arguments, true, ok)
    }

    pub(super) fn unbind_queue(&mut self, ctx: &mut Context, unbind: &queue::Unbind) -> Result<(), Fault> {
        let ok = Some(TopologyOk::QueueUnbound);
        let queue::Unbind { queue, exchange, routing_key, arguments, .. } = unbind;
        self.change_queue_binding(ctx, queue, exchange, routing_key, arguments, false, ok)
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of two methods that are alike")]
    fn change_queue_binding(
        &mut self,
        ctx: &mut Context,
        queue: &ShortStr,
        exchange: &ShortStr,
        routing_key: &ShortStr,
        arguments: &FieldTable,
        wanted: bool,
        ok: Option<TopologyOk>,
    ) -> Result<(), Fault> {
        let name = self.queue_name(queue)?.to_owned();
        let routing_key = match (queue.as_str(), routing_key.as_str()) {
            ("", "") => name.clone(),
            (_, key) => key.to_owned(),
        };
        ctx.access.check(&ctx.broker().catalog(), Verb::Write, &ctx.access.queue(&name))?;
        let place = if wanted {
            self.accessible_queue(ctx, &name, None)
        } else {
            // Whoever owns it: the catalog refuses to remove a binding that is there.
            ctx.broker().catalog().queue_named(&ctx.access.vhost, &name).map(|(id, _)| id).map_err(Fault::from)
        };
        let place = place.map(Destination::Queue);
        let bind = self.binding(ctx, exchange, DestinationName::Queue(name), &routing_key, arguments)?;
        self.change_binding(ctx, bind, place, wanted, ok)
    }

    // What they share.

    /// Checks the source of a binding and puts it into the catalog's words.
    fn binding(
        &self,
        ctx: &Context,
        source: &ShortStr,
        destination: DestinationName,
        routing_key: &str,
        arguments: &FieldTable,
    ) -> Result<Bind, Fault> {
        let exchange = stripped(source);
        if exchange.is_empty() {
            return Err(Refusal::DefaultExchange.into());
        }
        let vhost = ctx.access.vhost.clone();
        let catalog = ctx.broker().catalog();
        ctx.access.check(&catalog, Verb::Read, &ctx.access.exchange(&exchange))?;
        if catalog.exchange(&vhost, &exchange).is_ok_and(|source| source.kind == ExchangeKind::Topic) {
            ctx.access.check_topic(&catalog, Verb::Read, &exchange, routing_key)?;
        }
        let arguments = from_wire(arguments);
        Ok(Bind { vhost, exchange, destination, routing_key: routing_key.to_owned(), arguments, owner: ctx.owner() })
    }

    /// Binds or unbinds. To unbind what is not there, from or to what is not
    /// there, is no mistake.
    fn change_binding(
        &mut self,
        ctx: &mut Context,
        bind: Bind,
        destination: Result<Destination, Fault>,
        wanted: bool,
        ok: Option<TopologyOk>,
    ) -> Result<(), Fault> {
        if wanted {
            // As in RabbitMQ, the source is missed first.
            ctx.broker().catalog().exchange(&bind.vhost, &bind.exchange)?;
        }
        let destination = match destination {
            Err(fault) if !wanted && fault.code == ReplyCode::NotFound => {
                self.topology_ok(ctx, ok);
                return Ok(());
            }
            other => other?,
        };
        let binding = Binding { destination, routing_key: bind.routing_key.clone(), arguments: bind.arguments.clone() };
        let is_bound = {
            let catalog = ctx.broker().catalog();
            match catalog.exchange(&bind.vhost, &bind.exchange) {
                Ok(exchange) => exchange.bindings.contains(&binding),
                Err(_) if !wanted => false,
                Err(refusal) => return Err(refusal.into()),
            }
        };
        let command = if wanted { Command::Bind(bind) } else { Command::Unbind(bind) };
        self.agree_unless(ctx, is_bound == wanted, ok, || command)
    }

    /// A queue by name that the user may do that to and that no other
    /// connection owns.
    pub(super) fn accessible_queue(&self, ctx: &Context, name: &str, verb: Option<Verb>) -> Result<QueueId, Fault> {
        let resource = ctx.access.queue(name);
        let catalog = ctx.broker().catalog();
        if let Some(verb) = verb {
            ctx.access.check(&catalog, verb, &resource)?;
        }
        let (id, queue) = catalog.queue_named(&ctx.access.vhost, name)?;
        match queue.exclusive {
            Some(owner) if owner != ctx.owner() => Err(Refusal::Locked(resource).into()),
            _ => Ok(id),
        }
    }

    fn agree(&mut self, ctx: &mut Context, command: Command, then: AfterAgreement) {
        let proposal = ctx.propose(self.number, command);
        self.waiting = Some(Waiting::Agreement { proposal, then });
    }

    fn agree_unless(
        &mut self,
        ctx: &mut Context,
        is_so: bool,
        ok: Option<TopologyOk>,
        command: impl FnOnce() -> Command,
    ) -> Result<(), Fault> {
        if is_so {
            self.topology_ok(ctx, ok);
        } else {
            self.agree(ctx, command(), AfterAgreement::Reply(ok));
        }
        Ok(())
    }

    pub(super) fn after_agreement(
        &mut self,
        ctx: &mut Context,
        then: AfterAgreement,
        result: Result<Outcome, ProposalError>,
    ) -> Result<(), Fault> {
        let outcome = match (result, &then) {
            (Ok(outcome), _) => outcome,
            // The leader decided on what is no longer so in the catalog.
            (Err(ProposalError::Refused(Refusal::Stale(_))), AfterAgreement::QueueDeleted { deletion, .. }) => {
                self.close_queue(ctx, deletion.clone());
                return Ok(());
            }
            (Err(ProposalError::Refused(refusal)), _) => return Err(refusal.into()),
            (Err(ProposalError::Unavailable(why)), _) => return Err(Fault::internal_error(why)),
        };
        match then {
            AfterAgreement::Reply(ok) => self.topology_ok(ctx, ok),
            AfterAgreement::AddressFound { name, nowait } => {
                self.declare_ok(ctx, nowait, &name, 0, 1);
                self.last_queue = name;
            }
            AfterAgreement::QueueDeleted { deletion, messages } => {
                ctx.reply(self.number, deletion.nowait, &queue::DeleteOk { message_count: shown(messages) });
            }
            AfterAgreement::QueueDeclared { name, nowait } => match outcome {
                Outcome::Queue { queue, created: false } => return self.declared_before(ctx, queue, name, nowait),
                _ => {
                    self.last_queue.clone_from(&name);
                    self.declare_ok(ctx, nowait, &name, 0, 0);
                }
            },
        }
        Ok(())
    }

    fn declare_ok(&self, ctx: &mut Context, nowait: bool, name: &str, ready: u64, consumers: u32) {
        let queue = ShortStr::truncated(name);
        ctx.reply(
            self.number,
            nowait,
            &queue::DeclareOk { queue, message_count: shown(ready), consumer_count: consumers },
        );
    }

    fn count(&mut self, ctx: &mut Context, queue: QueueId, then: AfterCount) {
        let request = ctx.next_number();
        self.waiting = Some(Waiting::Count { request, then });
        ctx.batch.push(queue, Local::Count { connection: ctx.connection, channel: self.number, request });
    }

    pub(super) fn on_counted(
        &mut self,
        ctx: &mut Context,
        request: u64,
        ready: u64,
        consumers: u32,
    ) -> Result<(), Fault> {
        let then = match self.waiting.take() {
            Some(Waiting::Count { request: asked, then }) if asked == request => then,
            other => {
                self.waiting = other;
                return Ok(());
            }
        };
        match then {
            AfterCount::Declared { name } => self.declare_ok(ctx, false, &name, ready, consumers),
            AfterCount::Delete(deletion) => self.delete(ctx, deletion, None, ready),
        }
        Ok(())
    }

    pub(super) fn on_purged(&mut self, ctx: &mut Context, request: u64, messages: u64) -> Result<(), Fault> {
        match self.waiting.take() {
            Some(Waiting::Purge { request: asked, nowait, .. }) if asked == request => {
                ctx.reply(self.number, nowait, &queue::PurgeOk { message_count: shown(messages) });
            }
            other => self.waiting = other,
        }
        Ok(())
    }

    /// The queue that was asked is gone.
    pub(super) fn on_gone(&mut self, ctx: &mut Context, number: u64) -> Result<(), Fault> {
        let name = match &self.waiting {
            Some(Waiting::Get { get, queue, .. }) if *get == number => queue.clone(),
            Some(Waiting::Purge { request, queue, .. }) if *request == number => queue.clone(),
            Some(Waiting::Attach { consumer, .. }) if *consumer == number => {
                self.forget(number).map(|consumer| consumer.queue_name).unwrap_or_default()
            }
            Some(Waiting::Count { request, then: AfterCount::Declared { name } }) if *request == number => name.clone(),
            Some(
                Waiting::Count { request, then: AfterCount::Delete(deletion) } | Waiting::Close { request, deletion },
            ) if *request == number => {
                let nowait = deletion.nowait;
                self.waiting = None;
                ctx.reply(self.number, nowait, &queue::DeleteOk { message_count: 0 });
                return Ok(());
            }
            _ => return Ok(()),
        };
        self.waiting = None;
        Err(Refusal::NotFound(ctx.access.queue(&name)).into())
    }

    fn topology_ok(&self, ctx: &mut Context, ok: Option<TopologyOk>) {
        let number = self.number;
        match ok {
            None => {}
            Some(TopologyOk::ExchangeDeclared) => ctx.reply(number, false, &exchange::DeclareOk),
            Some(TopologyOk::ExchangeDeleted) => ctx.reply(number, false, &exchange::DeleteOk),
            Some(TopologyOk::ExchangeBound) => ctx.reply(number, false, &exchange::BindOk),
            Some(TopologyOk::ExchangeUnbound) => ctx.reply(number, false, &exchange::UnbindOk),
            Some(TopologyOk::QueueBound) => ctx.reply(number, false, &queue::BindOk),
            Some(TopologyOk::QueueUnbound) => ctx.reply(number, false, &queue::UnbindOk),
        }
    }
}

impl TopologyOk {
    fn unless(self, nowait: bool) -> Option<Self> {
        (!nowait).then_some(self)
    }
}
