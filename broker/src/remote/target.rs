//! The end of a link that publishes.

use bytes::Bytes;
use warren_amqp::{Method, Payload, ShortStr, basic};

use super::connector::Connector;
use super::ends;
use super::error::LinkError;
use super::plan::{AckMode, LinkPlan, To};
use super::source::Delivery;
use crate::client::{CHANNEL, Client, ClientError};

/// An answer of the target.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) sequence: u64,
    pub(super) multiple: bool,
    pub(super) taken: bool,
}

/// The publishing end, connected.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) client: Client,
    /// What stays the same from message to message.
    publish: basic::Publish,
    keeps_exchange: bool,
    keeps_key: bool,
    /// The broker is out of memory or disk, and takes nothing for now.
    pub(super) blocked: Option<ShortStr>,
}

impl Target {
    pub(super) async fn open(plan: &LinkPlan, connector: &Connector, attempt: usize) -> Result<Self, LinkError> {
        let uris = &plan.target.uris;
        let uri = uris.get(attempt % uris.len().max(1)).ok_or(LinkError::NoUri("target"))?;
        let (name, to) = (plan.key.to_string(), &plan.target.to);
        let brings = plan.source.site.is_some();
        let connector = if brings { connector.bringing_origins() } else { connector.clone() };
        let confirms = plan.ack == AckMode::OnConfirm;
        let client = ends::open_target(&connector, uri, &name, to, confirms).await.map_err(LinkError::target)?;
        let (publish, keeps_exchange, keeps_key) = match to {
            // A queue that went away must not swallow anything: the message
            // comes back, and the link makes the queue again.
            To::Queue(queue) => {
                let routing_key = ShortStr::truncated(&queue.name);
                (basic::Publish { routing_key, mandatory: confirms, ..Default::default() }, false, false)
            }
            To::Exchange { name, key } => {
                let exchange = ShortStr::truncated(name.as_deref().unwrap_or_default());
                let routing_key = ShortStr::truncated(key.as_deref().unwrap_or_default());
                (basic::Publish { exchange, routing_key, ..Default::default() }, name.is_none(), key.is_none())
            }
        };
        Ok(Self { client, publish, keeps_exchange, keeps_key, blocked: None })
    }

    pub(super) fn publish(&mut self, delivery: Delivery, properties: &Bytes) {
        if self.keeps_exchange {
            self.publish.exchange = delivery.exchange;
        }
        if self.keeps_key {
            self.publish.routing_key = delivery.routing_key;
        }
        let frame_max = self.client.frame_max();
        self.client.out.publish(CHANNEL, &self.publish, properties, &delivery.body, frame_max);
    }

    /// The next answer of what was read.
    pub(super) fn next(&mut self) -> Result<Option<Answer>, LinkError> {
        while let Some(frame) = self.client.next_frame().map_err(LinkError::target)? {
            let Payload::Method(method) = frame.payload else { continue };
            match method {
                Method::BasicAck(ack) => {
                    return Ok(Some(Answer { sequence: ack.delivery_tag, multiple: ack.multiple, taken: true }));
                }
                Method::BasicNack(nack) => {
                    return Ok(Some(Answer { sequence: nack.delivery_tag, multiple: nack.multiple, taken: false }));
                }
                Method::BasicReturn(returned) => return Err(LinkError::Unroutable(returned.routing_key.to_string())),
                Method::ConnectionBlocked(blocked) => self.blocked = Some(blocked.reason),
                Method::ConnectionUnblocked(_) => self.blocked = None,
                _ => {}
            }
        }
        Ok(None)
    }

    pub(super) async fn close(self) -> Result<(), ClientError> {
        self.client.close().await
    }
}
