//! One channel: what a client does on it, in order. A channel is plain state in
//! its connection's task; `connection` hands it frames, events and answers.
//!
//! - `content.rs` frames to commands; `publish.rs` and `routes.rs` on to queues;
//!   `confirms.rs` and the answers back
//! - `consume.rs` consumers, gets and deliveries; `unacked.rs`, `settle.rs` what
//!   clients hold and give up
//! - `patience.rs` what may not take too long
//! - `reply.rs` direct reply-to
//! - `streams.rs` what of that is otherwise for streams
//! - `topology.rs` exchanges, queues and bindings
//! - `tx.rs` transactions: publishes and acknowledgements held until the commit
//!
//! Order: a command that must wait (for the catalog, or for a queue's answer)
//! leaves [`Channel::waiting`] set, and all later commands of the channel are
//! deferred until it is done. Other channels go on. What is deferred counts
//! against the connection, which stops reading when it is too much.

use std::collections::VecDeque;

use rustc_hash::{FxHashMap, FxHashSet};
use warren_amqp::{Arguments as _, Method, MethodId, Payload, ShortStr, access, basic, channel, confirm};
use warren_replication::types::{Offset, QueueId, Session};
use warren_shard::step::{Local, ToChannel};

use crate::connection::context::{Agreed, Context};
use crate::connection::fault::Fault;

pub mod confirms;
pub mod consume;
pub mod content;
mod patience;
pub mod publish;
mod reply;
pub mod routes;
pub mod settle;
pub mod streams;
pub mod topology;
mod tx;
pub mod unacked;

use confirms::{Answer, ConfirmBook};
use consume::{Consumer, Parked};
use content::{Command, Incoming};
use patience::Patience;
use publish::Checked;
use reply::Requester;
use topology::{AfterAgreement, AfterCount, Deletion};
use tx::Transaction;
use unacked::Unacked;

/// An open channel.
pub struct Channel {
    number: u16,
    session: Session,
    /// Consumers, gets and requests of this opening have numbers from here on.
    first_number: u64,
    incoming: Incoming,
    confirms: ConfirmBook,
    /// Whether the connection knows that confirms are due.
    is_confirming: bool,
    unacked: Unacked,
    /// After `tx.select`: what the next commit does.
    transaction: Option<Box<Transaction>>,
    consumers: FxHashMap<u64, Consumer>,
    tags: FxHashMap<ShortStr, u64>,
    /// A consumer wants to know where its messages come from.
    says_origins: bool,
    /// Its consumer of direct replies.
    requester: Option<Requester>,
    /// For consumers to come (`basic.qos`).
    prefetch: u32,
    /// For the channel as a whole (`basic.qos` with `global`), 0 = no limit.
    channel_prefetch: u32,
    /// Deliveries beyond `channel_prefetch`; bounded by the delivery windows.
    parked: VecDeque<Parked>,
    /// The streams that it consumes from, by name for errors.
    streams: FxHashMap<QueueId, String>,
    /// Where properties of messages from streams are put together.
    scratch: bytes::BytesMut,
    /// What an empty queue name means.
    last_queue: String,
    /// Queues to be told when the channel closes.
    queues: FxHashSet<QueueId>,
    /// The properties that were looked at last: publishers repeat them.
    checked: Checked,
    waiting: Option<Waiting>,
    patience: Patience,
    /// The last method executed, whose answer may be what is awaited.
    method: MethodId,
    deferred: VecDeque<Command>,
    /// The client has closed it.
    is_closed: bool,
}

/// The answer that the channel's next command waits for.
#[derive(Debug)]
pub(crate) enum Waiting {
    Agreement {
        proposal: u64,
        then: AfterAgreement,
    },
    Attach {
        consumer: u64,
        nowait: bool,
    },
    Get {
        get: u64,
        no_ack: bool,
        queue: String,
    },
    Purge {
        request: u64,
        nowait: bool,
        queue: String,
    },
    Count {
        request: u64,
        then: AfterCount,
    },
    Close {
        request: u64,
        deletion: Deletion,
    },
    /// A commit's publishes; whether a queue has refused one.
    Commit {
        refused: bool,
    },
}

impl Channel {
    /// A channel that opens.
    pub fn open(ctx: &mut Context, number: u16) -> Self {
        ctx.opened += 1;
        ctx.tally.channels += 1;
        let session =
            Session { process: ctx.process, connection: ctx.connection, channel: number, opened: ctx.opened - 1 };
        Self {
            number,
            session,
            first_number: ctx.next_number(),
            incoming: Incoming::default(),
            confirms: ConfirmBook::new(ctx.first_sequence),
            is_confirming: false,
            unacked: Unacked::default(),
            transaction: None,
            consumers: FxHashMap::default(),
            tags: FxHashMap::default(),
            says_origins: false,
            requester: None,
            prefetch: 0,
            channel_prefetch: 0,
            parked: VecDeque::new(),
            streams: FxHashMap::default(),
            scratch: bytes::BytesMut::new(),
            last_queue: String::new(),
            queues: FxHashSet::default(),
            checked: Checked::default(),
            waiting: None,
            patience: Patience::default(),
            method: MethodId::default(),
            deferred: VecDeque::new(),
            is_closed: false,
        }
    }

    /// Takes a frame of this channel.
    ///
    /// # Errors
    /// What closes the channel or the connection.
    pub fn on_frame(&mut self, ctx: &mut Context, payload: Payload) -> Result<(), Fault> {
        let max_size = ctx.front.settings.max_message_size;
        let Some(command) = self.incoming.on_frame(payload, max_size)? else { return Ok(()) };
        if self.waiting.is_none() {
            return self.execute(ctx, command);
        }
        ctx.deferred += command.weight();
        self.deferred.push_back(command);
        Ok(())
    }

    /// Takes an event from a queue.
    ///
    /// # Errors
    /// What closes the channel or the connection.
    pub fn on_event(&mut self, ctx: &mut Context, event: ToChannel) -> Result<(), Fault> {
        let method = self.method;
        match event {
            ToChannel::Confirmed(queue, ranges) => self.on_answered(ctx, queue, &ranges, true),
            ToChannel::Refused(queue, ranges) => self.on_answered(ctx, queue, &ranges, false),
            ToChannel::Deliver { queue, consumer, offset, floor, redelivered, consignment, count, mut message } => {
                self.prepare(&mut message, count);
                if self.says_origins {
                    // What is consigned is known by its number (§4.9).
                    let place = consignment.map_or((offset, floor), |to| (Offset(to.number), Offset(to.floor)));
                    self.say_origin(&mut message, consumer, place);
                }
                self.on_delivery(ctx, consumer, Parked { consumer, queue, offset, redelivered, message });
                Ok(())
            }
            ToChannel::Read { queue, consumer, messages } => {
                self.on_read(ctx, queue, consumer, messages);
                Ok(())
            }
            ToChannel::Consuming { consumer, attached } => self.on_consuming(ctx, consumer, attached),
            ToChannel::Cancelled { consumer } => {
                self.unacked.lose(consumer);
                self.on_cancelled(ctx, consumer)
            }
            ToChannel::Got { get, queue, count, mut found } => {
                if let Some((_, _, message, _)) = &mut found {
                    self.prepare(message, count);
                }
                self.on_got(ctx, get, queue, found)
            }
            ToChannel::Purged { request, messages } => self.on_purged(ctx, request, messages),
            ToChannel::Counted { request, ready, consumers } => self.on_counted(ctx, request, ready, consumers),
            ToChannel::Closed { request, closing } => self.on_closed(ctx, request, closing),
            ToChannel::Gone { request } => self.on_gone(ctx, request),
        }
        .map_err(|fault| fault.in_method(method))?;
        self.resume(ctx)
    }

    /// Takes the answer to a proposal.
    ///
    /// # Errors
    /// What closes the channel or the connection.
    pub fn on_agreed(&mut self, ctx: &mut Context, agreed: Agreed) -> Result<(), Fault> {
        match self.waiting.take() {
            Some(Waiting::Agreement { proposal, then }) if proposal == agreed.proposal => {
                let method = self.method;
                self.after_agreement(ctx, then, agreed.result).map_err(|fault| fault.in_method(method))?;
            }
            other => self.waiting = other,
        }
        self.resume(ctx)
    }

    /// Whether commands wait.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Whether its client has closed it and nothing is to be done any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// The channel ends, by whatever cause: queues take back what it holds.
    pub fn close(mut self, ctx: &mut Context) {
        self.cancel_replies(ctx, None);
        ctx.seat.close_channel();
        ctx.tally.channels_closed += 1;
        ctx.unanswered.messages -= self.confirms.waiting();
        ctx.unanswered.bytes -= self.confirms.weight();
        ctx.deferred -= self.deferred.iter().map(Command::weight).sum::<usize>();
        ctx.first_sequence = ctx.first_sequence.max(self.confirms.next_sequence());
        for queue in self.queues {
            ctx.batch.push(queue, Local::ChannelClosed { session: self.session });
        }
    }

    /// Sends the confirms that are due.
    pub fn send_confirms(&mut self, ctx: &mut Context) {
        self.is_confirming = false;
        let (confirmed, nacked) = self.confirms.due();
        ctx.tally.confirmed += confirmed;
        ctx.tally.nacked += nacked;
        let (number, frames) = (self.number, &mut ctx.out.frames);
        self.confirms.answers(|answer| match answer {
            Answer::Ack { tag, multiple } => frames.ack(number, tag, multiple),
            Answer::Nack { tag } => frames.nack(number, tag, false, false),
        });
    }

    /// Executes what was deferred, up to the next command that must wait.
    fn resume(&mut self, ctx: &mut Context) -> Result<(), Fault> {
        while self.waiting.is_none() && !self.is_closed {
            let Some(command) = self.deferred.pop_front() else { break };
            ctx.deferred -= command.weight();
            self.execute(ctx, command)?;
        }
        Ok(())
    }

    fn execute(&mut self, ctx: &mut Context, command: Command) -> Result<(), Fault> {
        match command {
            Command::Publish(publish) => {
                self.publish(ctx, publish).map_err(|fault| fault.in_method(basic::Publish::ID))
            }
            Command::Method(method) => {
                let id = method.id();
                self.method = id;
                self.on_method(ctx, method).map_err(|fault| fault.in_method(id))
            }
        }
    }

    fn on_method(&mut self, ctx: &mut Context, method: Method) -> Result<(), Fault> {
        match method {
            Method::BasicAck(ack) => self.settle(ctx, ack.delivery_tag, ack.multiple, settle::Fate::Acked),
            Method::BasicNack(nack) => {
                self.settle(ctx, nack.delivery_tag, nack.multiple, settle::Fate::rejected(nack.requeue))
            }
            Method::BasicReject(reject) => {
                self.settle(ctx, reject.delivery_tag, false, settle::Fate::rejected(reject.requeue))
            }
            Method::BasicRecover(recover) => self.recover(ctx, recover.requeue, true),
            Method::BasicRecoverAsync(recover) => self.recover(ctx, recover.requeue, false),
            Method::BasicQos(qos) => self.qos(ctx, &qos),
            Method::BasicConsume(consume) => self.consume(ctx, consume),
            Method::BasicCancel(cancel) => self.cancel(ctx, &cancel),
            Method::BasicGet(get) => self.get(ctx, &get),
            Method::ExchangeDeclare(declare) => self.declare_exchange(ctx, &declare),
            Method::ExchangeDelete(delete) => self.delete_exchange(ctx, &delete),
            Method::ExchangeBind(bind) => self.bind_exchange(ctx, &bind),
            Method::ExchangeUnbind(unbind) => self.unbind_exchange(ctx, &unbind),
            Method::QueueDeclare(declare) => self.declare_queue(ctx, &declare),
            Method::QueueDelete(delete) => self.delete_queue(ctx, &delete),
            Method::QueueBind(bind) => self.bind_queue(ctx, &bind),
            Method::QueueUnbind(unbind) => self.unbind_queue(ctx, &unbind),
            Method::QueuePurge(purge) => self.purge_queue(ctx, &purge),
            Method::ConfirmSelect(_) if self.transaction.is_some() => {
                Err(Fault::precondition_failed("cannot switch from tx to confirm mode"))
            }
            Method::ConfirmSelect(select) => {
                self.confirms.select();
                ctx.reply(self.number, select.nowait, &confirm::SelectOk);
                Ok(())
            }
            Method::TxSelect(_) => self.select_transactions(ctx),
            Method::TxCommit(_) => self.commit(ctx),
            Method::TxRollback(_) => self.roll_back(ctx),
            Method::ChannelFlow(channel::Flow { active: true }) => {
                ctx.reply(self.number, false, &channel::FlowOk { active: true });
                Ok(())
            }
            Method::ChannelFlow(channel::Flow { active: false }) => Err(Fault::not_implemented("active=false")),
            Method::AccessRequest(_) => {
                ctx.reply(self.number, false, &access::RequestOk { ticket: 1 });
                Ok(())
            }
            Method::ChannelClose(_) => {
                self.is_closed = true;
                Ok(())
            }
            Method::ChannelOpen(_) => Err(Fault::channel_error("second 'channel.open' seen")),
            _ => Err(Fault::command_invalid("unimplemented method")),
        }
    }

    /// The queue that a name means to this client: an empty one is the last declared.
    fn queue_name<'a>(&'a self, name: &'a ShortStr) -> Result<&'a str, Fault> {
        match (name.as_str(), self.last_queue.as_str()) {
            ("", "") => Err(Fault::not_found("no previously declared queue")),
            ("", last) => Ok(last),
            (name, _) => Ok(name),
        }
    }
}
