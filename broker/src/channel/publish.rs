//! `basic.publish`: from a whole message to the queues that it reaches, and the
//! queues' answers.

use bytes::Bytes;
use warren_amqp::{Properties, ReplyCode, ShortStr, basic};
use warren_replication::message::Message;
use warren_replication::types::QueueId;

use super::Channel;
use super::content::Publish;
use crate::connection::context::Context;
use crate::connection::fault::Fault;

/// What a publish costs its connection's budget besides its octets.
const OVERHEAD: usize = 128;
const NO_ROUTE: ShortStr = ShortStr::from_static("NO_ROUTE");

impl Channel {
    pub(super) fn publish(&mut self, ctx: &mut Context, publish: Publish) -> Result<(), Fault> {
        let Publish { method, properties, body } = publish;
        ctx.publishes = true;
        ctx.tally.published += 1;
        if method.immediate {
            return Err(Fault::not_implemented("immediate=true"));
        }
        let parsed = || Properties::parse(&properties).ok();
        let targets =
            ctx.routes.find(&*ctx.front.broker, &ctx.access, &method.exchange, &method.routing_key, parsed)?;
        if properties != self.good_properties {
            check(&properties, &ctx.access.user)?;
            // The first word are flags; what is short is copied rather than
            // keeping a read buffer alive.
            self.good_properties = Bytes::copy_from_slice(&properties);
        }
        if targets.is_empty() && method.mandatory {
            ctx.tally.returned += 1;
            let returned = basic::Return {
                reply_code: ReplyCode::NoRoute.code(),
                reply_text: NO_ROUTE,
                exchange: method.exchange.clone(),
                routing_key: method.routing_key.clone(),
            };
            ctx.out.frames.content(self.number, &returned, &properties, &body, ctx.frame_max);
        }
        let message = Message {
            exchange: method.exchange.into_bytes(),
            routing_key: method.routing_key.into_bytes(),
            properties,
            body,
        };
        let before = (self.confirms.waiting(), self.confirms.weight());
        let sequence = self.confirms.publish(&targets, message.weight() + OVERHEAD);
        ctx.unanswered.messages += self.confirms.waiting() - before.0;
        ctx.unanswered.bytes += self.confirms.weight() - before.1;
        self.note_due(ctx);
        if let Some((last, others)) = targets.split_last() {
            for queue in others {
                self.publish_to(ctx, *queue, sequence, message.clone());
            }
            self.publish_to(ctx, *last, sequence, message);
        }
        Ok(())
    }

    fn publish_to(&mut self, ctx: &mut Context, queue: QueueId, sequence: u64, message: Message) {
        self.queues.insert(queue);
        ctx.batch.publish(queue, self.session, sequence, message);
    }

    /// A queue answered publishes.
    pub(super) fn on_answered(&mut self, ctx: &mut Context, queue: QueueId, ranges: &[(u64, u64)], kept: bool) {
        let before = (self.confirms.waiting(), self.confirms.weight());
        self.confirms.answered(queue, ranges, kept);
        ctx.unanswered.messages -= before.0 - self.confirms.waiting();
        ctx.unanswered.bytes -= before.1 - self.confirms.weight();
        self.note_due(ctx);
    }

    fn note_due(&mut self, ctx: &mut Context) {
        if !self.is_confirming && self.confirms.has_due() {
            self.is_confirming = true;
            ctx.confirming.push(self.number);
        }
    }
}

/// Properties must be readable, an expiration a number, and a user id the
/// user's own.
fn check(properties: &Bytes, user: &str) -> Result<(), Fault> {
    let properties = Properties::parse(properties)
        .map_err(|error| Fault::new(error.reply_code(), format_args!("cannot decode content properties: {error}")))?;
    if let Some(expiration) = properties.expiration() {
        let text = String::from_utf8_lossy(&expiration);
        if let Some(why) = expiration_error(&text) {
            return Err(Fault::precondition_failed(format_args!("invalid expiration '{text}': {why}")));
        }
    }
    match properties.user_id() {
        Some(named) if named != user.as_bytes() => Err(Fault::precondition_failed(format_args!(
            "user_id property set to '{}' but authenticated user was '{user}'",
            String::from_utf8_lossy(&named)
        ))),
        _ => Ok(()),
    }
}

/// Ten years: the longest time to live, in milliseconds.
const MOST_EXPIRATION: u64 = 315_360_000_000;

/// What is wrong with an expiration, in RabbitMQ's words.
fn expiration_error(text: &str) -> Option<String> {
    let (negative, unsigned) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let end = unsigned.find(|c: char| !c.is_ascii_digit()).unwrap_or(unsigned.len());
    match unsigned.split_at(end) {
        ("", _) => Some("no_integer".to_owned()),
        (_, rest) if !rest.is_empty() => Some(format!("{{leftover_string,\"{rest}\"}}")),
        (digits, _) if negative && digits.bytes().any(|digit| digit != b'0') => {
            Some(format!("{{value_negative,{text}}}"))
        }
        (digits, _) => {
            let fits = digits.parse::<u64>().is_ok_and(|number| number <= MOST_EXPIRATION);
            (!fits).then(|| format!("{{value_too_large,{digits}}}"))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use warren_amqp::PropertiesBuilder;

    use super::*;

    #[test]
    fn properties_are_refused_for_what_is_wrong_with_them() {
        let good =
            PropertiesBuilder { user_id: Some("me".into()), expiration: Some("60000".into()), ..Default::default() };
        assert_eq!(check(&good.encode(), "me"), Ok(()));
        let text = check(&good.encode(), "you").unwrap_err().text;
        assert_eq!(text, "PRECONDITION_FAILED - user_id property set to 'me' but authenticated user was 'you'");
        for (bad, why) in [
            ("", "no_integer"),
            ("soon", "no_integer"),
            ("-1", "{value_negative,-1}"),
            ("1.5", "{leftover_string,\".5\"}"),
            ("315360000001", "{value_too_large,315360000001}"),
        ] {
            let properties = PropertiesBuilder { expiration: Some(bad.into()), ..Default::default() };
            let text = check(&properties.encode(), "me").unwrap_err().text;
            assert_eq!(text, format!("PRECONDITION_FAILED - invalid expiration '{bad}': {why}"));
        }
        assert_eq!((expiration_error("0"), expiration_error("315360000000")), (None, None));
        let cut = PropertiesBuilder { app_id: Some("warren".into()), ..Default::default() }.encode();
        assert!(check(&cut.slice(..cut.len() - 1), "me").unwrap_err().code.is_hard());
    }
}
