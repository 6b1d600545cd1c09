//! What is otherwise for streams: where their consumers begin, the offset that
//! each of their messages carries, acknowledgements that only give credit, and
//! what streams refuse, in RabbitMQ's words.

use std::fmt::Display;
use std::time::{SystemTime, UNIX_EPOCH};

use rustc_hash::FxHashMap;
use warren_amqp::{basic, with_long_header};
use warren_membership::catalog::Value;
use warren_membership::catalog::streams::parse_age;
use warren_replication::message::{Message, ReadFrom, Reading};
use warren_replication::types::{Offset, QueueId};

use super::Channel;
use super::consume::Parked;
use super::settle::Fate;
use super::unacked::Held;
use crate::arguments::value_from_wire;
use crate::connection::context::Context;
use crate::connection::fault::Fault;

/// The consumer's argument, and the header of each of its messages.
const OFFSET: &str = "x-stream-offset";

/// What no stream does.
pub(super) fn refuse(ctx: &Context, queue: QueueId, name: &str, what: &str) -> Result<(), Fault> {
    let is_stream = ctx.broker().catalog().queue(queue).is_some_and(|queue| queue.is_stream());
    if is_stream { Err(unsupported(what, ctx.access.queue(name))) } else { Ok(()) }
}

fn unsupported(what: &str, resource: impl Display) -> Fault {
    Fault::not_implemented(format_args!("{what} not supported by stream queues {resource}"))
}

impl Channel {
    /// Where a new consumer reads, if the queue is a stream.
    pub(super) fn reading(
        &mut self,
        ctx: &Context,
        queue: QueueId,
        name: &str,
        consume: &basic::Consume,
    ) -> Result<Option<Reading>, Fault> {
        let resource = ctx.access.queue(name);
        let unfit = |argument: &str, kind: &str| {
            Fault::precondition_failed(format_args!(
                "invalid arg '{argument}' for {resource} of queue type rabbit_{kind}_queue"
            ))
        };
        let asked = consume.arguments.get(OFFSET).map(value_from_wire);
        if !ctx.broker().catalog().queue(queue).is_some_and(|queue| queue.is_stream()) {
            return if asked.is_none() { Ok(None) } else { Err(unfit(OFFSET, "classic")) };
        }
        if self.prefetch == 0 {
            let text = format_args!("consumer prefetch count is not set for '{resource}'");
            return Err(Fault::precondition_failed(text));
        }
        if consume.no_ack {
            return Err(unsupported("automatic acknowledgement", resource));
        }
        if self.channel_prefetch != 0 {
            return Err(Fault::not_implemented(format_args!("{resource} does not support global qos")));
        }
        if consume.arguments.get("x-priority").is_some() {
            return Err(unfit("x-priority", "stream"));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        let from = asked.as_ref().map_or(Ok(ReadFrom::Next), |asked| read_from(asked, now)).map_err(|said| {
            Fault::precondition_failed(format_args!(
                "invalid arg '{OFFSET}' for {resource}: {{invalid_stream_offset_arg,{said}}}"
            ))
        })?;
        self.streams.insert(queue, name.to_owned());
        Ok(Some(Reading { from, unacked: 0 }))
    }

    /// Messages that a consumer reads.
    pub(super) fn on_read(&mut self, ctx: &mut Context, queue: QueueId, number: u64, messages: Vec<(Offset, Message)>) {
        // Cancelled meanwhile: nobody misses them.
        if !self.consumers.contains_key(&number) {
            return;
        }
        for (offset, mut message) in messages {
            self.prepare(&mut message, None);
            let said = i64::try_from(offset.0).unwrap_or(i64::MAX);
            // What cannot be read was not let in.
            if let Ok(properties) = with_long_header(&message.properties, OFFSET, said, &mut self.scratch) {
                message.properties = properties;
            }
            self.on_delivery(ctx, number, Parked { consumer: number, queue, offset, redelivered: false, message });
        }
    }

    /// As `settle`, where some of what the client holds may be of streams: to
    /// acknowledge that gives its consumer room, and nothing else can be done.
    pub(super) fn settle_among_streams(
        &mut self,
        ctx: &mut Context,
        tag: u64,
        multiple: bool,
        fate: Fate,
    ) -> Result<(), Fault> {
        let (streams, number) = (&self.streams, self.number);
        let mut refused = None;
        self.unacked.take(tag, multiple, |_, held| {
            refused = refused.take().or(meet(streams, ctx, number, held, fate));
        })?;
        self.refused_settle(ctx, refused.cloned().as_deref())
    }

    /// The same for what a transaction settles.
    pub(super) fn settle_of_transaction(
        &self,
        ctx: &mut Context,
        settles: impl IntoIterator<Item = (Held, Fate)>,
    ) -> Result<(), Fault> {
        let mut refused = None;
        for (held, fate) in settles {
            refused = refused.or(meet(&self.streams, ctx, self.number, held, fate));
        }
        self.refused_settle(ctx, refused.map(String::as_str))
    }

    fn refused_settle(&self, ctx: &Context, stream: Option<&str>) -> Result<(), Fault> {
        match stream {
            Some(name) => Err(unsupported("basic.nack and basic.reject", ctx.access.queue(name))),
            None => Ok(()),
        }
    }

    /// What was read from a stream cannot go back to it.
    pub(super) fn refuse_to_recover(&self, ctx: &Context) -> Result<(), Fault> {
        if self.streams.is_empty() {
            return Ok(());
        }
        match self.unacked.iter().find_map(|held| self.streams.get(&held.queue)) {
            Some(name) => Err(unsupported("basic.recover", ctx.access.queue(name))),
            None => Ok(()),
        }
    }
}

/// Does what was decided of a delivery; the stream's name, if it refuses that.
fn meet<'a>(
    streams: &'a FxHashMap<QueueId, String>,
    ctx: &mut Context,
    channel: u16,
    held: Held,
    fate: Fate,
) -> Option<&'a String> {
    match (streams.get(&held.queue), held.consumer) {
        (None, _) => fate.meet(&mut ctx.batch, held),
        (Some(_), Some(consumer)) if fate == Fate::Acked => {
            ctx.batch.credit(held.queue, ctx.consumer_key(channel, consumer));
        }
        (refused, _) => return refused,
    }
    None
}

/// `x-stream-offset`, or what of it cannot be understood, as RabbitMQ prints it.
fn read_from(asked: &Value, now: u64) -> Result<ReadFrom, String> {
    match asked {
        Value::Text(_) => match asked.as_str() {
            Some("first") => Ok(ReadFrom::First),
            Some("last") => Ok(ReadFrom::Last),
            Some("next") => Ok(ReadFrom::Next),
            text => {
                let age = text.and_then(parse_age);
                age.map(|age| ReadFrom::Time(now.saturating_sub(age)))
                    .ok_or_else(|| format!("{{longstr,<<\"{asked}\">>}}"))
            }
        },
        Value::Timestamp(seconds) => Ok(ReadFrom::Time(seconds.saturating_mul(1_000))),
        other => match other.as_integer() {
            // What was before the first message is the first message.
            Some(offset) => Ok(ReadFrom::Offset(Offset(u64::try_from(offset).unwrap_or(0)))),
            None => Err(format!("{{{},{asked}}}", other.kind())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_words_numbers_times_and_ages() {
        let now = 1_000_000_000;
        for (asked, from) in [
            (Value::text("first"), ReadFrom::First),
            (Value::text("last"), ReadFrom::Last),
            (Value::text("next"), ReadFrom::Next),
            (Value::text("1h"), ReadFrom::Time(now - 3_600_000)),
            (Value::text("99Y"), ReadFrom::Time(0)),
            (Value::I64(5), ReadFrom::Offset(Offset(5))),
            (Value::I32(-1), ReadFrom::Offset(Offset(0))),
            (Value::Timestamp(7), ReadFrom::Time(7_000)),
        ] {
            assert_eq!(read_from(&asked, now), Ok(from));
        }
        assert_eq!(read_from(&Value::text("5"), now), Err("{longstr,<<\"5\">>}".to_owned()));
        assert_eq!(read_from(&Value::Bool(true), now), Err("{bool,true}".to_owned()));
        assert_eq!(read_from(&Value::Void, now).map_err(|said| said.starts_with("{void,")), Err(true));
    }
}
