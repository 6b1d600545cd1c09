//! Links to the other nodes: everything that queues of two nodes say to each
//! other goes over one stream each way.
//!
//! * `outgoing.rs`: dials each peer, and the queue of words before its stream.
//! * `incoming.rs`: the service that peers dial.
//! * `state.rs`: which streams there are, and when a link is up.
//!
//! A link is *up* while this node's stream to a peer's process is welcomed and
//! that same process's stream to this node is greeted. When one of the two ends
//! the other is ended with it, so what was said before a link came up never
//! reaches the other side after it. Shards hear of every change, in order with
//! the words.

mod incoming;
mod outgoing;
mod state;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;
use warren_peer::direct::DirectWord;
use warren_peer::link::link_server::LinkServer;
use warren_replication::message::QueueWord;
use warren_replication::types::{NodeId, Process, QueueId};
use warren_store::ClusterId;

pub use incoming::LinkService;
pub use outgoing::LinkHandle;
pub use state::LinkView;

use state::Peers;

/// The version of what is said on a link; nodes of another one are refused.
const PROTOCOL: u32 = 1;

/// A tonic message gets no more words once it weighs so much. A word alone may
/// weigh more (an entry is as large as one turn of its queue).
const TURN_BYTES: usize = 8 << 20;

/// The largest tonic message taken.
const MESSAGE_BYTES: usize = 256 << 20;

/// What a link needs to know, and its bounds.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// This process.
    pub me: Process,
    /// Nodes of other clusters are refused.
    pub cluster: ClusterId,
    /// Bytes of words that may wait for one peer; beyond it the link is reset,
    /// so that everyone sends again from what they have instead.
    pub budget: usize,
    /// Bytes of words of one peer that may wait in the shards' mailboxes;
    /// beyond it nothing more is read from its stream.
    pub window: usize,
    /// How long a peer may take for a connection and for its welcome.
    pub handshake: Duration,
    /// First and longest wait between two attempts to reach a peer.
    pub backoff: (Duration, Duration),
    /// A ping after so much silence…
    pub keep_alive: Duration,
    /// …and the link is broken when it is not answered for so long.
    pub keep_alive_timeout: Duration,
}

impl LinkConfig {
    /// The defaults for this process of this cluster.
    #[must_use]
    pub fn new(me: Process, cluster: ClusterId) -> Self {
        Self {
            me,
            cluster,
            budget: 64 << 20,
            window: 16 << 20,
            handshake: Duration::from_secs(3),
            backoff: (Duration::from_millis(50), Duration::from_secs(1)),
            keep_alive: Duration::from_secs(1),
            keep_alive_timeout: Duration::from_secs(3),
        }
    }
}

/// Who is told of links. Called in order for each peer; must not wait.
pub trait LinkEvents: Send + Sync + 'static {
    /// The link to this process is up; words for it go there.
    fn up(&self, process: Process, link: LinkHandle);

    /// The link broke; its handle takes nothing any more.
    fn down(&self, process: Process);

    /// Words came, in order. `room` is to be dropped once they are processed:
    /// it is their share of the peer's window.
    fn words(&self, from: Process, words: Vec<(QueueId, QueueWord)>, room: OwnedSemaphorePermit);

    /// Words of direct reply-to came. Unlike the others they may come before the
    /// link is up, or after it broke.
    fn direct(&self, _from: Process, _words: Vec<DirectWord>) {}
}

/// All links of a node. Clones are handles to the same.
#[derive(Clone)]
pub struct Links {
    inner: Arc<Inner>,
}

struct Inner {
    config: LinkConfig,
    peers: Peers,
    stop: CancellationToken,
}

impl Links {
    /// Links that report to `events`. Nothing is dialled and nobody is taken yet.
    #[must_use]
    pub fn new(config: LinkConfig, events: Arc<dyn LinkEvents>) -> Self {
        let peers = Peers::new(config.me, events);
        Self { inner: Arc::new(Inner { config, peers, stop: CancellationToken::new() }) }
    }

    /// The service that peers dial, for [`server`].
    #[must_use]
    pub fn service(&self) -> LinkServer<LinkService> {
        LinkServer::new(LinkService::new(self.inner.clone()))
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES)
    }

    /// Keeps a stream to each of these nodes, as the list changes, until
    /// [`Links::stop`].
    pub fn dial(&self, peers: watch::Receiver<Vec<(NodeId, SocketAddr)>>) {
        tokio::spawn(outgoing::dial_all(self.inner.clone(), peers));
    }

    /// How the links are, by node.
    #[must_use]
    pub fn view(&self) -> Vec<LinkView> {
        self.inner.peers.view()
    }

    /// Breaks all links and makes no new ones.
    pub fn stop(&self) {
        self.inner.stop.cancel();
    }
}

/// The connections that a link's server takes from a listener.
#[must_use]
pub fn connections(listener: TcpListener) -> TcpIncoming {
    TcpIncoming::from(listener).with_nodelay(Some(true))
}

/// A gRPC server as links need it: windows large enough for a window of words,
/// no waiting for full packets, a peer that has gone silent noticed in seconds.
#[must_use]
pub fn server(config: &LinkConfig) -> tonic::transport::Server {
    let window = u32::try_from(config.window).unwrap_or(u32::MAX / 4);
    tonic::transport::Server::builder()
        .tcp_nodelay(true)
        .initial_stream_window_size(window)
        .initial_connection_window_size(window.saturating_mul(2))
        .http2_adaptive_window(Some(false))
        .max_frame_size(256 << 10)
        .http2_keepalive_interval(Some(config.keep_alive))
        .http2_keepalive_timeout(Some(config.keep_alive_timeout))
}
