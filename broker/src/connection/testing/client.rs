//! A client, frame by frame.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use warren_amqp::{
    Arguments, BASIC, ContentHeader, FieldTable, Frame, Method, OutBuffer, PROTOCOL_HEADER, Payload, Value, basic,
    channel, connection, decode_frame,
};

use super::{PATIENCE, short};

/// One client.
pub(in crate::connection) struct Client {
    pub(super) stream: DuplexStream,
    pub(super) input: BytesMut,
    pub(super) served: JoinHandle<()>,
}

impl Client {
    pub(in crate::connection) async fn send_raw(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).await.unwrap();
    }

    /// False if the broker has closed.
    pub(in crate::connection) async fn try_send_raw(&mut self, octets: &[u8]) -> bool {
        self.stream.write_all(octets).await.is_ok()
    }

    pub(in crate::connection) async fn read_exact(&mut self, octets: &mut [u8]) {
        timeout(PATIENCE, self.stream.read_exact(octets)).await.expect("no answer").unwrap();
    }

    /// False if the broker does not read: the publish is then cut off.
    pub(in crate::connection) async fn try_publish_to(&mut self, channel: u16, queue: &str, body: &[u8]) -> bool {
        timeout(Duration::from_millis(300), self.publish_to(channel, queue, body)).await.is_ok()
    }

    pub(in crate::connection) async fn send<M: Arguments>(&mut self, channel: u16, method: M) {
        let mut out = OutBuffer::new();
        out.arguments(channel, &method);
        self.stream.write_all_buf(&mut out).await.unwrap();
    }

    pub(in crate::connection) async fn publish(
        &mut self,
        channel: u16,
        method: basic::Publish,
        properties: &Bytes,
        body: &[u8],
    ) {
        let mut out = OutBuffer::new();
        out.publish(channel, &method, properties, &Bytes::copy_from_slice(body), 4096);
        self.stream.write_all_buf(&mut out).await.unwrap();
    }

    /// To the default exchange, without properties.
    pub(in crate::connection) async fn publish_to(&mut self, channel: u16, queue: &str, body: &[u8]) {
        let method = basic::Publish { routing_key: short(queue), ..Default::default() };
        self.publish(channel, method, &Bytes::from_static(&[0, 0]), body).await;
    }

    /// The next frame; `None` at the end.
    pub(in crate::connection) async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = decode_frame(&mut self.input, u32::MAX).unwrap() {
                return Some(frame);
            }
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.input)).await.expect("no answer");
            if read.unwrap() == 0 {
                return None;
            }
        }
    }

    /// The next method.
    pub(in crate::connection) async fn method(&mut self) -> (u16, Method) {
        match self.frame().await {
            Some(Frame { channel, payload: Payload::Method(method) }) => (channel, method),
            other => panic!("no method but {other:?}"),
        }
    }

    /// The next method, however long it takes.
    pub(in crate::connection) async fn method_within(&mut self, patience: Duration) -> (u16, Method) {
        let read = timeout(patience, async {
            while self.input.is_empty() {
                self.stream.read_buf(&mut self.input).await.unwrap();
            }
        });
        read.await.expect("no answer");
        self.method().await
    }

    /// The content behind a method: properties and body.
    pub(in crate::connection) async fn content(&mut self) -> (Bytes, Bytes) {
        let Some(Frame { payload: Payload::Header(ContentHeader { class, body_size, properties }), .. }) =
            self.frame().await
        else {
            panic!("no header");
        };
        assert_eq!(class, BASIC);
        let mut body = BytesMut::new();
        while (body.len() as u64) < body_size {
            match self.frame().await {
                Some(Frame { payload: Payload::Body(part), .. }) => body.extend_from_slice(&part),
                other => panic!("no body but {other:?}"),
            }
        }
        (properties, body.freeze())
    }

    /// The next delivery: tag, redelivered, body.
    pub(in crate::connection) async fn delivery(&mut self) -> (u64, bool, Bytes) {
        let (_, Method::BasicDeliver(deliver)) = self.method().await else { panic!("no delivery") };
        let (_, body) = self.content().await;
        (deliver.delivery_tag, deliver.redelivered, body)
    }

    /// Login and open, up to where the broker refuses.
    pub(in crate::connection) async fn login(&mut self, user: &str, password: &str, knows_close: bool) {
        self.send_raw(&PROTOCOL_HEADER).await;
        assert!(matches!(self.method().await, (0, Method::ConnectionStart(_))));
        let capabilities = FieldTable::from([
            ("authentication_failure_close", Value::from(knows_close)),
            ("consumer_cancel_notify", Value::from(true)),
            ("connection.blocked", Value::from(true)),
        ]);
        let start_ok = connection::StartOk {
            client_properties: FieldTable::from([("capabilities", Value::from(capabilities))]),
            mechanism: short("PLAIN"),
            response: Bytes::from(format!("\0{user}\0{password}")),
            locale: short("en_US"),
        };
        self.send(0, start_ok).await;
    }

    pub(in crate::connection) async fn tune(&mut self, tuned: connection::TuneOk) {
        assert!(matches!(self.method().await, (0, Method::ConnectionTune(_))));
        self.send(0, tuned).await;
    }

    pub(in crate::connection) async fn open(&mut self, user: &str, vhost: &str) {
        self.login(user, user, true).await;
        self.tune(connection::TuneOk { channel_max: 10, frame_max: 4096, heartbeat: 0 }).await;
        self.send(0, connection::Open { virtual_host: short(vhost), ..Default::default() }).await;
        let (_, method) = self.method().await;
        assert!(matches!(method, Method::ConnectionOpenOk(_)), "{method:?}");
    }

    pub(in crate::connection) async fn open_channel(&mut self, number: u16) {
        self.send(number, channel::Open::default()).await;
        let (channel, method) = self.method().await;
        assert!(channel == number && matches!(method, Method::ChannelOpenOk(_)), "{method:?}");
    }

    pub(in crate::connection) async fn declare(&mut self, channel: u16, queue: &str) {
        let declare = warren_amqp::queue::Declare { queue: short(queue), durable: true, ..Default::default() };
        self.send(channel, declare).await;
        let (_, method) = self.method().await;
        assert!(matches!(method, Method::QueueDeclareOk(_)), "{method:?}");
    }

    /// The connection is closed by the broker with this; and the task ends well.
    pub(in crate::connection) async fn expect_close(mut self, code: u16, text: &str) {
        let close = loop {
            match self.frame().await {
                Some(Frame { channel: 0, payload: Payload::Method(Method::ConnectionClose(close)) }) => break close,
                Some(_) => {}
                None => panic!("closed without a word"),
            }
        };
        assert_eq!((close.reply_code, close.reply_text.as_str()), (code, text));
        self.send(0, connection::CloseOk).await;
        self.expect_end().await;
    }

    /// The channel is closed by the broker with this; the connection goes on.
    pub(in crate::connection) async fn expect_channel_close(&mut self, number: u16, code: u16, text: &str) {
        let (channel, method) = self.method().await;
        let Method::ChannelClose(close) = method else { panic!("{method:?}") };
        assert_eq!((channel, close.reply_code, close.reply_text.as_str()), (number, code, text));
        self.send(number, channel::CloseOk).await;
    }

    /// The broker closes the socket and its task ends without a panic.
    pub(in crate::connection) async fn expect_end(mut self) {
        assert_eq!(self.frame().await, None);
        drop(self.stream);
        timeout(PATIENCE, self.served).await.expect("the task goes on").expect("the task panicked");
    }

    pub(in crate::connection) async fn hang_up(self) {
        drop(self.stream);
        timeout(PATIENCE, self.served).await.expect("the task goes on").expect("the task panicked");
    }
}
