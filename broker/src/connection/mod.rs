//! One client connection, from its first octet to its last. A connection is one
//! task that owns everything of it: socket, channels, what waits to be written
//! and what waits for queues; nothing in it is locked.
//!
//! - `handshake.rs` until the vhost is open; `access.rs` what the user may do,
//!   `registry.rs` how much
//! - `session.rs` turns of a running connection: read, act, submit, write
//! - `closing.rs` its end, whoever wants it
//! - `tally.rs` what is counted for operators
//! - `outbox.rs` to the client, `batch.rs` to the queues, `context.rs` what the
//!   channels share; `fault.rs` errors in RabbitMQ's words
//! - `ports.rs` what it needs of the node
//!
//! Memory of a connection is bounded: publishes whose queues have not answered
//! by [`Settings::publish_budget`], commands that wait for an earlier one by
//! [`Settings::deferred_budget`], what waits to be written by the delivery
//! windows and [`Settings::outbox_budget`]. Above any of them the socket is not
//! read; what one read brings in may overshoot.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info_span};
use warren_amqp::FrameReader;
use warren_replication::types::BRINGS_ORIGINS;

pub mod access;
pub mod batch;
mod closing;
pub mod context;
pub mod fault;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod fuzzing;
mod handshake;
pub mod outbox;
pub mod ports;
pub mod registry;
mod session;
pub mod tally;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod testing;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;

pub use handshake::Caller;
use handshake::Peer;
use ports::Broker;
use registry::Registry;
use tally::Tallies;

/// What every connection of a node is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The product's version, for server-properties.
    pub version: String,
    /// The cluster's name, for server-properties.
    pub cluster_name: String,
    /// Most channels a connection.
    pub channel_max: u16,
    /// Largest frame in octets, overhead included.
    pub frame_max: u32,
    /// Heartbeat interval suggested, in seconds; 0 = none.
    pub heartbeat: u16,
    /// From the first octet to the open vhost.
    pub handshake_timeout: Duration,
    /// Most connections at a time.
    pub max_connections: usize,
    /// Largest message body in octets.
    pub max_message_size: u64,
    /// Octets of publishes without an answer above which nothing is read.
    pub publish_budget: usize,
    /// The same in messages.
    pub publish_budget_messages: usize,
    /// Octets that wait to be written above which nothing is read.
    pub outbox_budget: usize,
    /// Octets of deferred commands above which nothing is read.
    pub deferred_budget: usize,
    /// Octets of publishes that one transaction may gather.
    pub transaction_budget: usize,
    /// How long a client may hold a delivery; zero = for ever.
    pub consumer_timeout: Duration,
    /// How long a queue without a leader is waited for.
    pub queue_timeout: Duration,
    /// How long a close is waited for: of the peer, or of commands under way.
    pub close_timeout: Duration,
    /// Users that may connect only from this machine.
    pub loopback_users: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            cluster_name: "warren".to_owned(),
            channel_max: 2047,
            frame_max: 131_072,
            heartbeat: 60,
            handshake_timeout: Duration::from_secs(10),
            max_connections: 65_536,
            max_message_size: 128 << 20,
            publish_budget: 16 << 20,
            publish_budget_messages: 100_000,
            outbox_budget: 4 << 20,
            deferred_budget: 1 << 20,
            transaction_budget: 256 << 20,
            consumer_timeout: Duration::from_secs(30 * 60),
            queue_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(10),
            loopback_users: vec!["guest".to_owned()],
        }
    }
}

/// The AMQP side of a node: what its connections have in common.
pub struct Front {
    /// The node behind.
    pub broker: Arc<dyn Broker>,
    /// Limits and names.
    pub settings: Settings,
    /// Connections whose vhost is open.
    pub registry: Arc<Registry>,
    /// What clients have done.
    pub tallies: Tallies,
    /// Numbers of connections; of consumers, gets and requests. Unique on this
    /// process, so that late words never meet somebody new.
    connections: AtomicU64,
    numbers: AtomicU64,
    /// Sockets, those in the handshake included.
    sockets: AtomicUsize,
}

impl Front {
    /// The front of this node.
    #[must_use]
    pub fn new(broker: Arc<dyn Broker>, settings: Settings) -> Self {
        Self {
            broker,
            settings,
            registry: Arc::default(),
            tallies: Tallies::default(),
            connections: AtomicU64::new(0),
            numbers: AtomicU64::new(0),
            sockets: AtomicUsize::new(0),
        }
    }

    /// A number that no consumer, get or request of this process had before.
    pub fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A socket is open for as long as the answer lives.
    pub fn open_socket(&self) -> impl Drop + Send + '_ {
        Counted::up(&self.sockets)
    }

    /// Sockets that are open now, those in the handshake included.
    #[must_use]
    pub fn open_sockets(&self) -> usize {
        self.sockets.load(Ordering::Relaxed)
    }

    /// Connections since the start.
    #[must_use]
    pub fn accepted_connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Serves one client until one side closes, or until `stop`.
    pub async fn serve<R, W>(self: Arc<Self>, reader: R, writer: W, caller: Caller, stop: CancellationToken)
    where
        R: AsyncRead + Unpin + Send,
        W: AsyncWrite + Unpin + Send,
    {
        let number = self.next_connection();
        let span = info_span!("connection", number, peer = %caller.address);
        self.run(reader, writer, Peer::Client(caller), number, stop).instrument(span).await;
    }

    /// Serves one of the node's own links, which needs no login, until one side
    /// closes, or until `stop`. The caller vouches for who has the other end.
    /// With `origins`, what it publishes says where it comes from at another site.
    pub async fn serve_link(self: Arc<Self>, stream: UnixStream, origins: bool, stop: CancellationToken) {
        let number = self.next_connection() | if origins { BRINGS_ORIGINS } else { 0 };
        let (reader, writer) = stream.into_split();
        self.run(reader, writer, Peer::Link, number, stop).instrument(info_span!("link", number)).await;
    }

    fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    async fn run<R, W>(self: Arc<Self>, reader: R, writer: W, peer: Peer, number: u64, stop: CancellationToken)
    where
        R: AsyncRead + Unpin + Send,
        W: AsyncWrite + Unpin + Send,
    {
        let front = Arc::clone(&self);
        let mut wire = Wire { reader, writer, frames: FrameReader::new(front.settings.frame_max) };
        let handshake = handshake::handshake(&front, &mut wire, number, peer);
        let opened = tokio::select! {
            opened = tokio::time::timeout(front.settings.handshake_timeout, handshake) => opened,
            () = stop.cancelled() => return,
        };
        match opened {
            Ok(Ok(opened)) => session::Session::new(front, wire, number, opened, stop).run().await,
            Ok(Err(refused)) => handshake::refuse(&front, &mut wire, refused).await,
            Err(_) => debug!("handshake timed out"),
        }
    }
}

/// A connection's two ends, and the frames that are read from it.
struct Wire<R, W> {
    reader: R,
    writer: W,
    frames: FrameReader,
}

/// Counts while it lives.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn up(gauge: &'a AtomicUsize) -> Self {
        gauge.fetch_add(1, Ordering::Relaxed);
        Self(gauge)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
