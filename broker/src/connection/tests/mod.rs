//! A connection against a broker in memory, by a client of our own codec.

mod closing;
mod consuming;
mod handshake;
mod malformed;
mod publishing;
mod replies;
mod topology;
mod transactions;

use bytes::Bytes;
use warren_amqp::{Method, PROTOCOL_HEADER, basic, confirm};

use super::testing::{Client, short};

const NO_PROPERTIES: Bytes = Bytes::from_static(&[0, 0]);

impl Client {
    pub(super) async fn expect_header_and_end(mut self) {
        let mut octets = [0; 8];
        self.read_exact(&mut octets).await;
        assert_eq!(octets, PROTOCOL_HEADER);
        self.expect_end().await;
    }

    pub(super) async fn ok<T>(&mut self, pick: impl FnOnce(Method) -> Option<T>) -> T {
        let (_, method) = self.method().await;
        let shown = format!("{method:?}");
        pick(method).unwrap_or_else(|| panic!("not {shown}"))
    }

    pub(super) async fn select_confirms(&mut self) {
        self.send(1, confirm::Select { nowait: false }).await;
        assert!(matches!(self.method().await, (1, Method::ConfirmSelectOk(_))));
    }

    pub(super) async fn consume(&mut self, queue: &str, tag: &str, no_ack: bool) {
        let consume = basic::Consume { queue: short(queue), consumer_tag: short(tag), no_ack, ..Default::default() };
        self.send(1, consume).await;
        let (_, method) = self.method().await;
        assert!(matches!(&method, Method::BasicConsumeOk(ok) if ok.consumer_tag == tag), "{method:?}");
    }

    pub(super) async fn ack(&mut self, delivery_tag: u64, multiple: bool) {
        self.send(1, basic::Ack { delivery_tag, multiple }).await;
    }
}
