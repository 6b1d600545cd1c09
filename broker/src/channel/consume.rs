//! Consumers, `basic.get`, and messages on their way to the client.

use bytes::Bytes;
use rand::distr::{Alphanumeric, SampleString};
use warren_amqp::{Delivery, ShortStr, basic, with_long_header};
use warren_membership::catalog::Verb;
use warren_replication::message::{ConsumerSpec, Message, SettleReason};
use warren_replication::types::{Offset, QueueId};
use warren_shard::origin::{self, Home};
use warren_shard::step::Local;

use super::unacked::Held;
use super::{Channel, Waiting, streams};
use crate::arguments::value_from_wire;
use crate::connection::context::Context;
use crate::connection::fault::Fault;
use crate::direct;
use crate::remote;
use crate::routing::copies;

/// The header that says how often a message was delivered before.
const DELIVERY_COUNT: &str = "x-delivery-count";
/// The argument of a consumer that does not want to go on with another leader.
const CANCEL_ON_FAILOVER: &str = "x-cancel-on-ha-failover";

/// A consumer of this channel.
#[derive(Debug)]
pub struct Consumer {
    tag: ShortStr,
    queue: QueueId,
    /// The queue's name, for errors.
    pub(super) queue_name: String,
    no_ack: bool,
    /// The queue as other sites know it, if it wants to be told.
    home: Option<Home>,
}

/// A message from a queue, not yet given to the client.
#[derive(Debug)]
pub struct Parked {
    /// For whom.
    pub consumer: u64,
    /// From where.
    pub queue: QueueId,
    /// Which.
    pub offset: Offset,
    /// Whether it may have been delivered before.
    pub redelivered: bool,
    /// The message.
    pub message: Message,
}

/// A name that nobody else has: RabbitMQ's prefix and 132 random bits.
pub(super) fn unique_name(prefix: &str) -> String {
    format!("{prefix}-{}", Alphanumeric.sample_string(&mut rand::rng(), 22))
}

/// The consumer's tag: the client's, or ours if it has none.
pub(super) fn own_tag(asked: &ShortStr) -> ShortStr {
    if asked.is_empty() { ShortStr::truncated(&unique_name("amq.ctag")) } else { asked.detached() }
}

impl Channel {
    pub(super) fn consume(&mut self, ctx: &mut Context, consume: basic::Consume) -> Result<(), Fault> {
        if self.tags.contains_key(consume.consumer_tag.as_bytes()) {
            return Err(Fault::not_allowed(format_args!("attempt to reuse consumer tag '{}'", consume.consumer_tag)));
        }
        let queue_name = self.queue_name(&consume.queue)?.to_owned();
        if queue_name == direct::QUEUE {
            return self.consume_replies(ctx, &consume);
        }
        let queue = self.accessible_queue(ctx, &queue_name, Some(Verb::Read))?;
        let tag = own_tag(&consume.consumer_tag);
        let cancel_on_failover = self.cancel_on_failover(ctx, queue, &queue_name, &consume)?;
        let reading = self.reading(ctx, queue, &queue_name, &consume)?;
        let number = ctx.next_number();
        let spec = ConsumerSpec {
            key: ctx.consumer_key(self.number, number),
            tag: tag.clone().into_bytes(),
            prefetch: self.prefetch,
            no_ack: consume.no_ack,
            exclusive: consume.exclusive,
            priority: priority(&consume).map_err(|got| {
                let resource = ctx.access.queue(&queue_name);
                Fault::precondition_failed(format_args!(
                    "invalid arg 'x-priority' for {resource}: \"expected integer, got {got}\""
                ))
            })?,
            reading,
            site: self.site(ctx, queue, &queue_name, &consume)?,
        };
        self.queues.insert(queue);
        self.tags.insert(tag.clone(), number);
        let asks = consume.arguments.get(origin::HEADER).is_some_and(|asks| asks.as_bool() == Some(true));
        let home = (asks || spec.site.is_some())
            .then(|| Home::new(ctx.broker().cluster_number(), &ctx.access.vhost, &queue_name, queue));
        self.says_origins |= home.is_some();
        self.consumers.insert(number, Consumer { tag, queue, queue_name, no_ack: consume.no_ack, home });
        self.waiting = Some(Waiting::Attach { consumer: number, nowait: consume.nowait });
        ctx.tally.consumers += 1;
        ctx.batch.push(queue, Local::Consume { spec, cancel_on_failover });
        Ok(())
    }

    /// Whether a consumer is to be cancelled when its queue gets another leader.
    /// As in RabbitMQ, that means something to classic queues only.
    fn cancel_on_failover(
        &self,
        ctx: &Context,
        queue: QueueId,
        name: &str,
        consume: &basic::Consume,
    ) -> Result<bool, Fault> {
        let Some(value) = consume.arguments.get(CANCEL_ON_FAILOVER) else { return Ok(false) };
        let wanted = value.as_bool().ok_or_else(|| {
            let (resource, kind) = (ctx.access.queue(name), value_from_wire(value).kind());
            Fault::precondition_failed(format_args!(
                "invalid arg '{CANCEL_ON_FAILOVER}' for {resource}: {{unacceptable_type,{kind}}}"
            ))
        })?;
        Ok(wanted && ctx.broker().catalog().queue(queue).is_some_and(|queue| queue.is_classic()))
    }

    /// The site whose link a consumer says it is: it then gets what is consigned to
    /// that, and nothing else.
    fn site(
        &self,
        ctx: &Context,
        queue: QueueId,
        name: &str,
        consume: &basic::Consume,
    ) -> Result<Option<Bytes>, Fault> {
        let Some(value) = consume.arguments.get(remote::FOR_SITE) else { return Ok(None) };
        streams::refuse(ctx, queue, name, "a link of another site")?;
        let resource = ctx.access.queue(name);
        let site = value.as_str().unwrap_or_default();
        if ctx.access.visitor.is_none() || consume.no_ack {
            return Err(Fault::access_refused(format_args!("only links of other sites consume {resource} for a site")));
        }
        let catalog = ctx.broker().catalog();
        if !remote::shares_queue(&catalog, &ctx.access.vhost, name, site) {
            return Err(Fault::precondition_failed(format_args!(
                "no multi-active policy shares {resource} with a site '{site}', or that is given up for lost"
            )));
        }
        Ok(Some(Bytes::copy_from_slice(site.as_bytes())))
    }

    pub(super) fn on_consuming(&mut self, ctx: &mut Context, number: u64, attached: bool) -> Result<(), Fault> {
        match self.waiting.take() {
            Some(Waiting::Attach { consumer, nowait }) if consumer == number => {
                if !attached {
                    let consumer = self.forget(number);
                    let resource = ctx.access.queue(consumer.as_ref().map_or("", |consumer| &consumer.queue_name));
                    return Err(Fault::access_refused(format_args!("{resource} in exclusive use")));
                }
                if let Some(consumer) = self.consumers.get(&number) {
                    let ok = basic::ConsumeOk { consumer_tag: consumer.tag.clone() };
                    ctx.reply(self.number, nowait, &ok);
                }
                Ok(())
            }
            other => {
                // Attached anew to the queue's next leader, or not.
                self.waiting = other;
                if attached { Ok(()) } else { self.on_cancelled(ctx, number) }
            }
        }
    }

    /// The broker took a consumer away.
    pub(super) fn on_cancelled(&mut self, ctx: &mut Context, number: u64) -> Result<(), Fault> {
        let Some(consumer) = self.forget(number) else { return Ok(()) };
        self.parked.retain(|parked| parked.consumer != number);
        if ctx.capabilities.consumer_cancel_notify {
            let cancel = basic::Cancel { consumer_tag: consumer.tag, nowait: true };
            ctx.reply(self.number, false, &cancel);
        }
        Ok(())
    }

    pub(super) fn cancel(&mut self, ctx: &mut Context, cancel: &basic::Cancel) -> Result<(), Fault> {
        self.cancel_replies(ctx, Some(&cancel.consumer_tag));
        let number = self.tags.get(cancel.consumer_tag.as_bytes()).copied();
        if let Some((number, consumer)) = number.and_then(|number| Some((number, self.forget(number)?))) {
            ctx.batch.push(consumer.queue, Local::Cancel(ctx.consumer_key(self.number, number)));
            self.parked.retain(|parked| {
                let stays = parked.consumer != number;
                if !stays && !self.streams.contains_key(&parked.queue) {
                    ctx.batch.give_back(parked.queue, parked.offset);
                }
                stays
            });
        }
        let ok = basic::CancelOk { consumer_tag: cancel.consumer_tag.clone() };
        ctx.reply(self.number, cancel.nowait, &ok);
        Ok(())
    }

    pub(super) fn get(&mut self, ctx: &mut Context, get: &basic::Get) -> Result<(), Fault> {
        let queue_name = self.queue_name(&get.queue)?.to_owned();
        let queue = self.accessible_queue(ctx, &queue_name, Some(Verb::Read))?;
        streams::refuse(ctx, queue, &queue_name, "basic.get")?;
        let number = ctx.next_number();
        self.queues.insert(queue);
        self.waiting = Some(Waiting::Get { get: number, no_ack: get.no_ack, queue: queue_name });
        ctx.batch.push(queue, Local::Get(ctx.consumer_key(self.number, number)));
        Ok(())
    }

    /// Makes of a message as it is kept one for clients: without what it hides, and
    /// with how often it was delivered before, where the queue counts (as RabbitMQ's
    /// quorum queues do, from the second time on).
    pub(super) fn prepare(&mut self, message: &mut Message, count: Option<u32>) {
        if let Some(shown) = copies::shown(&message.properties) {
            message.properties = shown;
        }
        let Some(count) = count.filter(|count| *count > 0) else { return };
        // What cannot be read was not let in.
        if let Ok(properties) = with_long_header(&message.properties, DELIVERY_COUNT, count.into(), &mut self.scratch) {
            message.properties = properties;
        }
    }

    /// Writes the message's place in its queue into its headers, for a link of
    /// another site, which knows messages by it (§4.8).
    pub(super) fn say_origin(&self, message: &mut Message, consumer: u64, (offset, floor): (Offset, Offset)) {
        if let Some(home) = self.consumers.get(&consumer).and_then(|consumer| consumer.home) {
            message.properties = home.mark(&message.properties, offset, floor);
        }
    }

    pub(super) fn on_got(
        &mut self,
        ctx: &mut Context,
        number: u64,
        queue: QueueId,
        found: Option<(Offset, bool, Message, u64)>,
    ) -> Result<(), Fault> {
        let no_ack = match self.waiting.take() {
            Some(Waiting::Get { get, no_ack, .. }) if get == number => no_ack,
            other => {
                // Not asked for by this opening of the channel: its closing gave it back.
                self.waiting = other;
                return Ok(());
            }
        };
        let Some((offset, redelivered, message, ready)) = found else {
            ctx.reply(self.number, false, &basic::GetEmpty::default());
            return Ok(());
        };
        let delivery_tag = if no_ack {
            ctx.batch.settle(queue, offset, SettleReason::Acked);
            self.unacked.pass()
        } else {
            self.unacked.hold(Held { queue, offset, consumer: None, gone: false })
        };
        let ok = basic::GetOk {
            delivery_tag,
            redelivered,
            exchange: short(message.exchange),
            routing_key: short(message.routing_key),
            message_count: u32::try_from(ready).unwrap_or(u32::MAX),
        };
        ctx.out.frames.content(self.number, &ok, &message.properties, &message.body, ctx.frame_max);
        ctx.tally.delivered += 1;
        ctx.tally.redelivered += u64::from(redelivered);
        Ok(())
    }

    /// A message for a consumer came from its queue.
    pub(super) fn on_delivery(&mut self, ctx: &mut Context, number: u64, parked: Parked) {
        match self.consumers.get(&number) {
            Some(consumer) if !(consumer.no_ack || self.parked.is_empty() && self.has_room()) => {
                self.parked.push_back(parked);
            }
            Some(_) => self.deliver(ctx, parked),
            // It crossed a `basic.cancel` of this opening of the channel.
            // Counted as written too, for the order of what a no-ack consumer settles.
            None if number >= self.first_number => {
                ctx.batch.push(parked.queue, Local::Return(vec![parked.offset]));
                ctx.batch.written(parked.queue, ctx.consumer_key(self.number, number), 1);
            }
            // Meant for an earlier opening, whose closing gave it back.
            None => {}
        }
    }

    pub(super) fn deliver(&mut self, ctx: &mut Context, parked: Parked) {
        let Parked { consumer: number, queue, offset, redelivered, message } = parked;
        let Some(consumer) = self.consumers.get(&number) else { return };
        let delivery_tag = if consumer.no_ack {
            self.unacked.pass()
        } else {
            self.unacked.hold(Held { queue, offset, consumer: Some(number), gone: false })
        };
        let (exchange, routing_key) = (short(message.exchange), short(message.routing_key));
        let delivery = Delivery {
            consumer_tag: &consumer.tag,
            delivery_tag,
            redelivered,
            exchange: &exchange,
            routing_key: &routing_key,
        };
        ctx.out.frames.deliver(self.number, &delivery, &message.properties, &message.body, ctx.frame_max);
        ctx.tally.delivered += 1;
        ctx.tally.redelivered += u64::from(redelivered);
        ctx.out.delivered(queue, ctx.consumer_key(self.number, number));
    }

    /// Takes a consumer off the books.
    pub(super) fn forget(&mut self, number: u64) -> Option<Consumer> {
        let consumer = self.consumers.remove(&number)?;
        self.tags.remove(consumer.tag.as_bytes());
        Some(consumer)
    }
}

/// Names that were short strings when they were published.
fn short(name: Bytes) -> ShortStr {
    ShortStr::try_from(name).unwrap_or_default()
}

/// The consumer's priority, or the type of what is none.
fn priority(consume: &basic::Consume) -> Result<i32, &'static str> {
    let Some(value) = consume.arguments.get("x-priority").map(value_from_wire) else { return Ok(0) };
    // Beyond what fits, all are alike.
    let clamped = |priority: i64| i32::try_from(priority).unwrap_or(if priority < 0 { i32::MIN } else { i32::MAX });
    value.as_integer().map(clamped).ok_or(value.kind())
}
