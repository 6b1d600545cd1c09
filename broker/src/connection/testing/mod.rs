//! What connections are tested with: a node with a broker in memory behind it, the
//! real catalog and queues simple enough to be seen through (`broker`); and clients
//! that speak by our codec (`client`).

mod broker;
mod client;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio_util::sync::CancellationToken;
use warren_amqp::ShortStr;
use warren_replication::types::{Boot, Incarnation, NodeId, Process};

pub(super) use broker::FakeBroker;
pub(super) use client::Client;

use super::ports::Broker;
use super::{Caller, Front, Settings};

/// Nothing here takes longer, or the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) const ME: Process = Process { node: NodeId(7), incarnation: Incarnation(1), boot: Boot(1) };

/// A node's front with a fake broker behind, and how to stop it.
pub(super) struct Node {
    pub(super) broker: Arc<FakeBroker>,
    pub(super) front: Arc<Front>,
    pub(super) stop: CancellationToken,
}

impl Node {
    pub(super) fn new() -> Self {
        Self::with(Settings { close_timeout: Duration::from_millis(500), ..Settings::default() })
    }

    pub(super) fn with(settings: Settings) -> Self {
        let broker = FakeBroker::new();
        let front = Arc::new(Front::new(Arc::clone(&broker) as Arc<dyn Broker>, settings));
        Self { broker, front, stop: CancellationToken::new() }
    }

    /// A client that has said nothing yet.
    pub(super) fn raw(&self) -> Client {
        self.raw_from(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    pub(super) fn raw_from(&self, peer: IpAddr) -> Client {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (reader, writer) = tokio::io::split(far);
        let (front, stop) = (Arc::clone(&self.front), self.stop.clone());
        let served = tokio::spawn(async move {
            let _open = front.open_socket();
            Arc::clone(&front).serve(reader, writer, Caller::from(peer), stop).await;
        });
        Client { stream: near, input: BytesMut::new(), served }
    }

    /// A client with its vhost open.
    pub(super) async fn connect(&self) -> Client {
        let mut client = self.raw();
        client.open("guest", "/").await;
        client
    }

    /// A client with channel 1 open.
    pub(super) async fn channel(&self) -> Client {
        let mut client = self.connect().await;
        client.open_channel(1).await;
        client
    }
}

pub(super) fn short(text: &str) -> ShortStr {
    ShortStr::try_from(text).unwrap()
}
