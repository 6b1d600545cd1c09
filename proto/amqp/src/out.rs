//! From methods and messages to octets for a vectored write.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::frame::FRAME_OVERHEAD;
use crate::generated::{FRAME_BODY, FRAME_END, FRAME_HEADER, FRAME_HEARTBEAT, FRAME_METHOD, Method, basic};
use crate::method::{Arguments, MethodId};
use crate::properties::BASIC;
use crate::short_str::ShortStr;
use crate::wire::put_short_str;

/// Bodies from this size on are not copied but written from where they are.
const SHARE_FROM: usize = 16 * 1024;

/// Frames to be written, as a list of chunks. It is a [`Buf`]: write it with
/// `write_buf`/`write_all_buf`, which use vectored writes.
#[derive(Debug, Default)]
pub struct OutBuffer {
    chunks: VecDeque<Bytes>,
    /// Octets in `chunks`.
    chunked: usize,
    /// Behind the chunks.
    tail: BytesMut,
}

impl OutBuffer {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Octets to be written.
    #[inline]
    pub fn len(&self) -> usize {
        self.chunked + self.tail.len()
    }

    /// Whether all is written.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A method. The caller keeps it below the peer's frame-max, which only long
    /// tables can exceed.
    pub fn method(&mut self, channel: u16, method: &Method) {
        self.frame(FRAME_METHOD, channel, |to| method.encode(to));
    }

    /// A method, without the enum around it.
    #[inline]
    pub fn arguments<M: Arguments>(&mut self, channel: u16, method: &M) {
        self.frame(FRAME_METHOD, channel, |to| {
            put_id(to, M::ID);
            method.encode(to);
        });
    }

    /// A heartbeat.
    pub fn heartbeat(&mut self) {
        self.frame(FRAME_HEARTBEAT, 0, |_| {});
    }

    /// Octets that are no frame: the protocol header.
    pub fn raw(&mut self, octets: &[u8]) {
        self.tail.put_slice(octets);
    }

    /// A message behind a method that has content (`basic.publish`, `.return`,
    /// `.get-ok`; for deliveries see [`OutBuffer::deliver`]).
    pub fn content<M: Arguments>(
        &mut self,
        channel: u16,
        method: &M,
        properties: &Bytes,
        body: &Bytes,
        frame_max: u32,
    ) {
        self.arguments(channel, method);
        self.header_and_body(channel, properties, body, frame_max);
    }

    /// `basic.deliver` and its message, the hot path of a broker.
    #[inline]
    pub fn deliver(&mut self, channel: u16, delivery: &Delivery<'_>, properties: &Bytes, body: &Bytes, frame_max: u32) {
        let size =
            4 + 1 + delivery.consumer_tag.len() + 8 + 1 + 2 + delivery.exchange.len() + delivery.routing_key.len();
        let room = size + properties.len() + body.len().min(SHARE_FROM) + 12 + 3 * FRAME_OVERHEAD;
        self.tail.reserve(room);
        frame_head(&mut self.tail, FRAME_METHOD, channel, size);
        put_id(&mut self.tail, basic::Deliver::ID);
        put_short_str(&mut self.tail, delivery.consumer_tag);
        self.tail.put_u64(delivery.delivery_tag);
        self.tail.put_u8(u8::from(delivery.redelivered));
        put_short_str(&mut self.tail, delivery.exchange);
        put_short_str(&mut self.tail, delivery.routing_key);
        self.tail.put_u8(FRAME_END);
        self.header_and_body(channel, properties, body, frame_max);
    }

    /// `basic.publish` and its message, the hot path of a client.
    #[inline]
    pub fn publish(
        &mut self,
        channel: u16,
        publish: &basic::Publish,
        properties: &Bytes,
        body: &Bytes,
        frame_max: u32,
    ) {
        self.content(channel, publish, properties, body, frame_max);
    }

    /// `basic.ack`, of a broker to a publisher or of a consumer to a broker.
    #[inline]
    pub fn ack(&mut self, channel: u16, delivery_tag: u64, multiple: bool) {
        frame_head(&mut self.tail, FRAME_METHOD, channel, 4 + 8 + 1);
        put_id(&mut self.tail, basic::Ack::ID);
        self.tail.put_u64(delivery_tag);
        self.tail.put_u8(u8::from(multiple));
        self.tail.put_u8(FRAME_END);
    }

    /// `basic.nack`.
    #[inline]
    pub fn nack(&mut self, channel: u16, delivery_tag: u64, multiple: bool, requeue: bool) {
        frame_head(&mut self.tail, FRAME_METHOD, channel, 4 + 8 + 1);
        put_id(&mut self.tail, basic::Nack::ID);
        self.tail.put_u64(delivery_tag);
        self.tail.put_u8(u8::from(multiple) | u8::from(requeue) << 1);
        self.tail.put_u8(FRAME_END);
    }

    #[inline]
    fn header_and_body(&mut self, channel: u16, properties: &Bytes, body: &Bytes, frame_max: u32) {
        frame_head(&mut self.tail, FRAME_HEADER, channel, 12 + properties.len());
        self.tail.put_u16(BASIC);
        self.tail.put_u16(0);
        self.tail.put_u64(body.len() as u64);
        self.tail.put_slice(properties);
        self.tail.put_u8(FRAME_END);
        let most = most_body(frame_max);
        let mut begin = 0;
        while begin < body.len() {
            let end = body.len().min(begin.saturating_add(most));
            frame_head(&mut self.tail, FRAME_BODY, channel, end - begin);
            if body.len() >= SHARE_FROM {
                self.share(body.slice(begin..end));
            } else {
                self.tail.put_slice(body.get(begin..end).unwrap_or_default());
            }
            self.tail.put_u8(FRAME_END);
            begin = end;
        }
    }

    /// Adds a chunk that is not copied, behind a tail that is not empty (there is
    /// a frame's head in it), so that no chunk is.
    fn share(&mut self, chunk: Bytes) {
        let tail = self.tail.split().freeze();
        self.chunked += tail.len() + chunk.len();
        self.chunks.push_back(tail);
        self.chunks.push_back(chunk);
    }

    #[inline]
    fn frame(&mut self, kind: u8, channel: u16, payload: impl FnOnce(&mut BytesMut)) {
        let begin = self.tail.len();
        frame_head(&mut self.tail, kind, channel, 0);
        let inside = self.tail.len();
        payload(&mut self.tail);
        let size = u32::try_from(self.tail.len() - inside).unwrap_or(u32::MAX);
        if let Some(field) = self.tail.get_mut(begin + 3..inside) {
            field.copy_from_slice(&size.to_be_bytes());
        }
        self.tail.put_u8(FRAME_END);
    }
}

/// The arguments of a `basic.deliver`, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// The consumer's.
    pub consumer_tag: &'a ShortStr,
    /// The channel's number for it.
    pub delivery_tag: u64,
    /// Whether it may have been delivered before.
    pub redelivered: bool,
    /// Published to.
    pub exchange: &'a ShortStr,
    /// Published with.
    pub routing_key: &'a ShortStr,
}

/// Octets of body that fit a frame; 0 is no limit.
#[inline]
fn most_body(frame_max: u32) -> usize {
    match usize::try_from(frame_max) {
        Ok(0) | Err(_) => usize::try_from(u32::MAX).unwrap_or(usize::MAX),
        Ok(max) => max.saturating_sub(FRAME_OVERHEAD).max(1),
    }
}

#[inline]
fn frame_head(to: &mut BytesMut, kind: u8, channel: u16, size: usize) {
    to.put_u8(kind);
    to.put_u16(channel);
    to.put_u32(u32::try_from(size).unwrap_or(u32::MAX));
}

#[inline]
fn put_id(to: &mut BytesMut, id: MethodId) {
    to.put_u16(id.class);
    to.put_u16(id.method);
}

impl Buf for OutBuffer {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn chunk(&self) -> &[u8] {
        match self.chunks.front() {
            Some(chunk) => chunk,
            None => &self.tail,
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let parts = self.chunks.iter().map(|chunk| &chunk[..]).chain(std::iter::once(&self.tail[..]));
        let mut count = 0;
        for (slice, part) in slices.iter_mut().zip(parts.filter(|part| !part.is_empty())) {
            *slice = IoSlice::new(part);
            count += 1;
        }
        count
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(chunk) = self.chunks.front_mut() {
            let size = chunk.len();
            if count < size {
                chunk.advance(count);
                self.chunked -= count;
                return;
            }
            count -= size;
            self.chunked -= size;
            self.chunks.pop_front();
        }
        self.tail.advance(count);
    }
}
