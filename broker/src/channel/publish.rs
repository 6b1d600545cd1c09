//! `basic.publish`: from a whole message to the queues that it reaches, and the
//! queues' answers.

use std::sync::Arc;

use bytes::Bytes;
use tracing::debug;
use warren_amqp::{Properties, ReplyCode, ShortStr, basic};
use warren_replication::message::Message;
use warren_replication::types::QueueId;

use super::content::Publish;
use super::{Channel, Waiting};
use crate::connection::access::Access;
use crate::connection::context::Context;
use crate::connection::fault::Fault;
use crate::direct::{self, Address};
use crate::remote;
use crate::routing::copies;

/// What a publish costs its connection's budget besides its octets.
const OVERHEAD: usize = 128;
const NO_ROUTE: ShortStr = ShortStr::from_static("NO_ROUTE");

/// A publish whose queues are known.
#[derive(Debug)]
pub(super) struct Routed {
    pub(super) targets: Arc<[QueueId]>,
    /// Requesters whom it answers.
    pub(super) replies: Vec<Address>,
    pub(super) publish: Publish,
}

impl Channel {
    pub(super) fn publish(&mut self, ctx: &mut Context, publish: Publish) -> Result<(), Fault> {
        let Publish { method, mut properties, body } = publish;
        ctx.tally.published += 1;
        if method.immediate {
            return Err(Fault::not_implemented("immediate=true"));
        }
        let parsed = || Properties::parse(&properties).ok();
        let mut targets =
            ctx.routes.find(&*ctx.front.broker, &ctx.access, &method.exchange, &method.routing_key, parsed)?;
        if properties != self.checked.properties {
            let asks = check(&properties, &ctx.access, || ctx.access.may_impersonate(&ctx.front.broker.catalog()))?;
            // The first word are flags; what is short is copied rather than
            // keeping a read buffer alive.
            self.checked = Checked { properties: Bytes::copy_from_slice(&properties), asks };
        }
        let mut replies = Vec::new();
        if method.exchange.is_empty() {
            replies.extend(Address::parse(method.routing_key.as_bytes()));
        }
        if self.checked.asks != Asks::default() {
            (targets, properties) = self.arrange(ctx, &method, &properties, targets, &mut replies)?;
        }
        if self.session.brings_origins() {
            targets = without_site_links(ctx, targets);
        }
        let routed = Routed { targets, replies, publish: Publish { method, properties, body } };
        match &mut self.transaction {
            None => self.send(ctx, routed),
            Some(transaction) => transaction.publish(routed, ctx.front.settings.transaction_budget)?,
        }
        Ok(())
    }

    /// What its properties ask for beside the ordinary: further routing keys, an
    /// address for replies.
    fn arrange(
        &self,
        ctx: &mut Context,
        method: &basic::Publish,
        properties: &Bytes,
        mut targets: Arc<[QueueId]>,
        replies: &mut Vec<Address>,
    ) -> Result<(Arc<[QueueId]>, Bytes), Fault> {
        let mut parsed = parse(properties)?;
        if self.checked.asks.reply {
            parsed = parse(&self.addressed(&parsed)?)?;
        }
        // A message that moves here from another site's queue has been copied there.
        let copies = self.checked.asks.copies && !(self.session.brings_origins() && method.exchange.is_empty());
        let headers = parsed.headers().filter(|_| copies);
        let Some(headers) = headers else { return Ok((targets, copies::kept(&parsed))) };
        let selected = copies::keys(&headers).map_err(Fault::precondition_failed)?;
        if method.exchange.is_empty() {
            replies.extend(selected.iter().filter_map(|key| Address::parse(key)));
            replies.sort_unstable();
            replies.dedup();
        }
        let keys: Vec<&str> = std::iter::once(method.routing_key.as_str())
            .chain(selected.iter().filter_map(|key| std::str::from_utf8(key).ok()))
            .collect();
        targets = ctx.routes.find_all(&ctx.access, &method.exchange, &keys, &parsed)?;
        Ok((targets, copies::kept(&parsed)))
    }

    /// Sends a publish to its queues, or back.
    pub(super) fn send(&mut self, ctx: &mut Context, routed: Routed) {
        let Routed { targets, replies, publish: Publish { method, properties, body } } = routed;
        if targets.is_empty() && method.mandatory {
            ctx.tally.returned += 1;
            let returned = basic::Return {
                reply_code: ReplyCode::NoRoute.code(),
                reply_text: NO_ROUTE,
                exchange: method.exchange.clone(),
                routing_key: method.routing_key.clone(),
            };
            let shown = copies::shown(&properties);
            ctx.out.frames.content(self.number, &returned, shown.as_ref().unwrap_or(&properties), &body, ctx.frame_max);
        }
        let message = Message {
            exchange: method.exchange.into_bytes(),
            routing_key: method.routing_key.into_bytes(),
            properties,
            body,
        };
        ctx.replies.extend(replies.into_iter().map(|address| {
            let shown = copies::shown(&message.properties);
            let properties = shown.unwrap_or_else(|| message.properties.clone());
            (address, Message { properties, ..message.clone() })
        }));
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
    }

    fn publish_to(&mut self, ctx: &mut Context, queue: QueueId, sequence: u64, message: Message) {
        self.queues.insert(queue);
        ctx.batch.publish(queue, self.session, sequence, message);
    }

    /// A queue answered publishes.
    ///
    /// # Errors
    /// One of a commit's was refused.
    pub(super) fn on_answered(
        &mut self,
        ctx: &mut Context,
        queue: QueueId,
        ranges: &[(u64, u64)],
        kept: bool,
    ) -> Result<(), Fault> {
        let before = (self.confirms.waiting(), self.confirms.weight());
        self.confirms.answered(queue, ranges, kept);
        ctx.unanswered.messages -= before.0 - self.confirms.waiting();
        ctx.unanswered.bytes -= before.1 - self.confirms.weight();
        self.note_due(ctx);
        match self.waiting {
            Some(Waiting::Commit { refused }) => self.committed(ctx, refused || !kept),
            _ => Ok(()),
        }
    }

    fn note_due(&mut self, ctx: &mut Context) {
        if !self.is_confirming && self.confirms.has_due() {
            self.is_confirming = true;
            ctx.confirming.push(self.number);
        }
    }
}

/// Queues that messages of another site go to: not those in which they would wait
/// for a third, or for where they come from. Each site takes from each itself.
fn without_site_links(ctx: &Context, targets: Arc<[QueueId]>) -> Arc<[QueueId]> {
    let catalog = ctx.broker().catalog();
    let is_link = |target: &QueueId| catalog.queue(*target).is_some_and(|queue| remote::site_of(queue).is_some());
    if !targets.iter().any(is_link) {
        return targets;
    }
    targets.iter().filter(|target| !is_link(target)).copied().collect()
}

/// The properties looked at last, and what they ask for.
#[derive(Debug, Default)]
pub(super) struct Checked {
    properties: Bytes,
    asks: Asks,
}

/// What properties may ask for beside the ordinary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Asks {
    /// `reply-to` names the pseudo-queue.
    reply: bool,
    /// See [`copies`].
    copies: bool,
}

fn parse(properties: &Bytes) -> Result<Properties, Fault> {
    Properties::parse(properties).map_err(|error| {
        debug!(%error, "cannot decode content properties");
        Fault::crash()
    })
}

/// Properties must be readable, an expiration a number, and a user id the
/// user's own, if he is not one who may say another's.
fn check(properties: &Bytes, access: &Access, may_impersonate: impl FnOnce() -> bool) -> Result<Asks, Fault> {
    let properties = parse(properties)?;
    if let Some(expiration) = properties.expiration() {
        let text = String::from_utf8_lossy(&expiration);
        if let Some(why) = expiration_error(&text) {
            return Err(Fault::precondition_failed(format_args!("invalid expiration '{text}': {why}")));
        }
    }
    if let Some(mode) = properties.delivery_mode().filter(|mode| !matches!(mode, 1 | 2)) {
        return Err(Fault::precondition_failed(format_args!("invalid message: {{delivery_mode_unknown,{mode}}}")));
    }
    match properties.user_id() {
        Some(named) if named != access.user.as_bytes() && !may_impersonate() => {
            return Err(Fault::precondition_failed(format_args!(
                "user_id property set to '{}' but authenticated user was '{}'",
                String::from_utf8_lossy(&named),
                access.user
            )));
        }
        _ => {}
    }
    Ok(Asks {
        reply: properties.reply_to().is_some_and(|queue| queue == direct::QUEUE),
        copies: copies::are_asked_for(&properties),
    })
}

/// Ten years: the longest time to live, in milliseconds.
const MOST_EXPIRATION: u64 = 315_360_000_000;

/// What is wrong with an expiration, in RabbitMQ's words.
fn expiration_error(text: &str) -> Option<String> {
    let negative = text.starts_with('-');
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
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

    fn user(name: &str) -> Access {
        Access { user: name.to_owned(), vhost: "/".to_owned(), internal: false, visitor: None }
    }

    #[test]
    fn properties_are_refused_for_what_is_wrong_with_them() {
        let good =
            PropertiesBuilder { user_id: Some("me".into()), expiration: Some("60000".into()), ..Default::default() };
        let check = |properties: &Bytes, name: &str| check(properties, &user(name), || name == "impersonator");
        assert_eq!(check(&good.encode(), "me"), Ok(Asks::default()));
        assert_eq!(check(&good.encode(), "impersonator"), Ok(Asks::default()));
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
        for good in ["0", "-0", "+5", "315360000000"] {
            assert_eq!(expiration_error(good), None);
        }
        let cut = PropertiesBuilder { app_id: Some("warren".into()), ..Default::default() }.encode();
        assert_eq!(check(&cut.slice(..cut.len() - 1), "me"), Err(Fault::crash()));
    }
}
