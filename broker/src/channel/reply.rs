//! Direct reply-to on one channel: its consumer of the pseudo-queue, requests
//! that carry its address, and replies.

use warren_amqp::{Delivery, Properties, ShortStr, basic};
use warren_membership::catalog::{Outcome, Refusal};
use warren_replication::message::Message;

use super::topology::AfterAgreement;
use super::{Channel, Waiting};
use crate::connection::context::Context;
use crate::connection::fault::Fault;
use crate::connection::ports::ProposalError;
use crate::direct::{self, Address};

/// The channel's consumer of the pseudo-queue.
#[derive(Debug)]
pub(super) struct Requester {
    tag: ShortStr,
    number: u64,
    pub(super) address: Address,
}

impl Channel {
    /// `basic.consume` from the pseudo-queue.
    pub(super) fn consume_replies(&mut self, ctx: &mut Context, consume: &basic::Consume) -> Result<(), Fault> {
        if self.requester.is_some() {
            return Err(Fault::precondition_failed("reply consumer already set"));
        }
        if !consume.no_ack {
            return Err(Fault::precondition_failed("reply consumer cannot acknowledge"));
        }
        let (tag, number) = (super::consume::own_tag(&consume.consumer_tag), ctx.next_number());
        let inbox = ctx.inbox.get_or_insert_default();
        let address = ctx.front.broker.direct().open(inbox, self.number, number);
        ctx.reply(self.number, consume.nowait, &basic::ConsumeOk { consumer_tag: tag.clone() });
        self.requester = Some(Requester { tag, number, address });
        Ok(())
    }

    /// Ends the consumer of that tag, or any.
    pub(super) fn cancel_replies(&mut self, ctx: &Context, tag: Option<&ShortStr>) {
        let is_meant = |requester: &mut Requester| tag.is_none_or(|tag| *tag == requester.tag);
        if let Some(requester) = self.requester.take_if(is_meant) {
            ctx.broker().direct().close(requester.address);
        }
    }

    /// The properties of a request, with the channel's address in them.
    pub(super) fn addressed(&self, properties: &Properties) -> Result<bytes::Bytes, Fault> {
        let requester = self.requester.as_ref();
        let requester = requester.ok_or_else(|| Fault::precondition_failed("fast reply consumer does not exist"))?;
        let mut addressed = properties.to_builder();
        addressed.reply_to = Some(requester.address.to_string().into());
        Ok(addressed.encode())
    }

    /// A reply came. Its tag is the next one's: as in RabbitMQ it takes none.
    pub(crate) fn on_reply(&mut self, ctx: &mut Context, number: u64, message: Message) {
        let Some(requester) = self.requester.as_ref().filter(|requester| requester.number == number) else { return };
        let routing_key = ShortStr::try_from(message.routing_key).unwrap_or_default();
        let delivery = Delivery {
            consumer_tag: &requester.tag,
            delivery_tag: self.unacked.last_tag() + 1,
            redelivered: false,
            exchange: &ShortStr::default(),
            routing_key: &routing_key,
        };
        ctx.out.frames.deliver(self.number, &delivery, &message.properties, &message.body, ctx.frame_max);
    }

    /// `queue.declare` of the pseudo-queue or of an address: whether somebody is there.
    pub(super) fn declare_address(&mut self, ctx: &mut Context, name: String, nowait: bool) {
        let is_present = Address::parse(name.as_bytes()).map(|address| ctx.broker().direct().is_present(address));
        let (is_pseudo, resource) = (name == direct::QUEUE, ctx.access.queue(&name));
        let answer = async move {
            let found = match is_present {
                _ if is_pseudo => true,
                Some(is_present) => is_present.await,
                None => false,
            };
            if found { Ok(Outcome::Done) } else { Err(ProposalError::Refused(Refusal::NotFound(resource))) }
        };
        let proposal = ctx.expect(self.number, answer);
        self.waiting = Some(Waiting::Agreement { proposal, then: AfterAgreement::AddressFound { name, nowait } });
    }
}
