//! The end of a link that consumes.

use bytes::{Bytes, BytesMut};
use warren_amqp::{FieldTable, Method, Payload, ShortStr, basic, queue};

use super::connector::Connector;
use super::ends;
use super::error::LinkError;
use super::plan::{AckMode, Kind, LinkPlan};
use crate::client::{CHANNEL, Client, ClientError};

/// The largest message that a link hands on.
const MAX_BODY: u64 = 512 << 20;
/// What is set aside for a body before it has come.
const AHEAD: u64 = 1 << 20;

/// A message to be handed on.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) tag: u64,
    pub(super) redelivered: bool,
    pub(super) exchange: ShortStr,
    pub(super) routing_key: ShortStr,
    pub(super) properties: Bytes,
    pub(super) body: Bytes,
}

/// The consuming end, connected.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) client: Client,
    /// The queue that is consumed.
    queue: ShortStr,
    tag: ShortStr,
    arguments: FieldTable,
    no_ack: bool,
    exclusive: bool,
    /// Messages in it when the link came to it.
    pub(super) length: u64,
    /// Messages ready in it, as last heard.
    pub(super) ready: Option<u64>,
    /// Whether it is asked how long it is, and has not answered.
    asked: bool,
    partial: Option<Partial>,
    consuming: bool,
}

#[derive(Debug)]
struct Partial {
    method: basic::Deliver,
    properties: Bytes,
    missing: u64,
    body: BytesMut,
}

impl Source {
    /// Connects, makes what is missing, and begins to consume unless that waits
    /// for [`Source::consume`].
    pub(super) async fn open(
        plan: &LinkPlan,
        connector: &Connector,
        attempt: usize,
        at_once: bool,
    ) -> Result<Self, LinkError> {
        let uris = &plan.source.uris;
        let uri = uris.get(attempt % uris.len().max(1)).ok_or(LinkError::NoUri("source"))?;
        let name = plan.key.to_string();
        let mut uri = uri.clone();
        if let Some(site) = &plan.source.site {
            uri = site.complete(&uri)?;
            site.check(connector, &uri, plan).await?;
        }
        let (client, declared) =
            ends::open_source(connector, &uri, &name, &plan.source.from).await.map_err(LinkError::source)?;
        let mut source = Self {
            client,
            queue: declared.queue,
            tag: ShortStr::truncated(&format!("link-{}", plan.key.name)),
            arguments: plan.source.consumer.clone(),
            no_ack: plan.ack == AckMode::NoAck,
            exclusive: plan.key.kind == Kind::Site,
            length: declared.message_count.into(),
            ready: Some(declared.message_count.into()),
            asked: false,
            partial: None,
            consuming: false,
        };
        if !source.no_ack {
            let qos = basic::Qos { prefetch_count: plan.source.prefetch, ..Default::default() };
            let Method::BasicQosOk(_) = source.client.call(CHANNEL, &qos).await.map_err(LinkError::source)? else {
                return Err(LinkError::source(source.client.unexpected("answer to basic.qos")));
            };
        }
        if at_once {
            source.consume();
        }
        Ok(source)
    }

    /// Asks for messages, if it does not yet.
    pub(super) fn consume(&mut self) {
        if std::mem::replace(&mut self.consuming, true) {
            return;
        }
        let consume = basic::Consume {
            queue: self.queue.clone(),
            consumer_tag: self.tag.clone(),
            no_ack: self.no_ack,
            exclusive: self.exclusive,
            nowait: true,
            arguments: self.arguments.clone(),
            ..Default::default()
        };
        self.client.out.arguments(CHANNEL, &consume);
    }

    /// Asks for no more; what is on its way still comes.
    pub(super) fn pause(&mut self) {
        if std::mem::replace(&mut self.consuming, false) {
            let cancel = basic::Cancel { consumer_tag: self.tag.clone(), nowait: true };
            self.client.out.arguments(CHANNEL, &cancel);
        }
    }

    pub(super) const fn is_consuming(&self) -> bool {
        self.consuming
    }

    /// Asks how long the queue is; the answer is in [`Source::ready`] later.
    pub(super) fn ask_length(&mut self) {
        if std::mem::replace(&mut self.asked, true) {
            return;
        }
        let declare = queue::Declare { queue: self.queue.clone(), passive: true, ..Default::default() };
        self.client.out.arguments(CHANNEL, &declare);
    }

    /// The next message of what was read.
    pub(super) fn next(&mut self) -> Result<Option<Delivery>, LinkError> {
        while let Some(frame) = self.client.next_frame().map_err(LinkError::source)? {
            match frame.payload {
                Payload::Method(Method::BasicDeliver(method)) => {
                    let (properties, body) = (Bytes::new(), BytesMut::new());
                    self.partial = Some(Partial { method, properties, missing: 0, body });
                }
                Payload::Header(header) => {
                    let Some(partial) = &mut self.partial else { continue };
                    if header.body_size > MAX_BODY {
                        return Err(LinkError::TooLarge(header.body_size));
                    }
                    partial.properties = header.properties;
                    partial.missing = header.body_size;
                    if header.body_size == 0 {
                        return Ok(self.partial.take().map(|partial| partial.into_delivery(Bytes::new())));
                    }
                }
                Payload::Body(part) => {
                    if let Some(delivery) = self.body(part)? {
                        return Ok(Some(delivery));
                    }
                }
                Payload::Method(Method::BasicCancel(_)) => return Err(LinkError::Cancelled),
                Payload::Method(Method::QueueDeclareOk(ok)) => {
                    self.asked = false;
                    self.ready = Some(ok.message_count.into());
                }
                Payload::Method(Method::ConnectionBlocked(_) | Method::ConnectionUnblocked(_)) => {}
                Payload::Method(other) if frame.channel == CHANNEL => {
                    tracing::debug!(?other, "a link's source says something that is passed over");
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// A part of a body. One that comes in one frame, as nearly all do, is not copied.
    fn body(&mut self, part: Bytes) -> Result<Option<Delivery>, LinkError> {
        let Some(partial) = &mut self.partial else { return Ok(None) };
        let length = part.len() as u64;
        if length > partial.missing {
            return Err(LinkError::source(self.client.unexpected("body longer than its header says")));
        }
        if partial.body.is_empty() && length == partial.missing {
            return Ok(self.partial.take().map(|partial| partial.into_delivery(part)));
        }
        if partial.body.is_empty() {
            partial.body.reserve(usize::try_from(partial.missing.min(AHEAD)).unwrap_or(0));
        }
        partial.body.extend_from_slice(&part);
        partial.missing -= length;
        if partial.missing > 0 {
            return Ok(None);
        }
        Ok(self.partial.take().map(|mut partial| {
            let body = std::mem::take(&mut partial.body).freeze();
            partial.into_delivery(body)
        }))
    }

    pub(super) fn acknowledge(&mut self, through: u64) {
        if !self.no_ack {
            self.client.out.ack(CHANNEL, through, true);
        }
    }

    /// Returns a message to its queue.
    pub(super) fn refuse(&mut self, tag: u64) {
        if !self.no_ack {
            self.client.out.nack(CHANNEL, tag, false, true);
        }
    }

    /// Writes what is to be written and closes, so that every acknowledgement counts.
    pub(super) async fn close(self) -> Result<(), ClientError> {
        self.client.close().await
    }
}

impl Partial {
    fn into_delivery(self, body: Bytes) -> Delivery {
        Delivery {
            tag: self.method.delivery_tag,
            redelivered: self.method.redelivered,
            exchange: self.method.exchange,
            routing_key: self.method.routing_key,
            properties: self.properties,
            body,
        }
    }
}
