//! Where clients connect: accepts on the configured addresses, starts a task a
//! connection, and lets them close when the node stops.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::connection::Front;

/// Sockets taken beyond the limit of connections: clients in the handshake, of
/// whom the last to come are told that there is no room.
const IN_HANDSHAKE: usize = 1024;
/// How long to wait when the system has no more sockets to give.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Sockets that listen, not yet accepting.
#[derive(Debug)]
pub struct Listener {
    sockets: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
}

impl Listener {
    /// Listens on all of these; port 0 takes a free one.
    ///
    /// # Errors
    /// An address cannot be listened on; the error says which.
    pub async fn bind(addresses: &[SocketAddr]) -> io::Result<Self> {
        let mut listener = Self { sockets: Vec::new(), addresses: Vec::new() };
        for address in addresses {
            let named = |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"));
            let socket = TcpListener::bind(address).await.map_err(named)?;
            listener.addresses.push(socket.local_addr().map_err(named)?);
            listener.sockets.push(socket);
        }
        Ok(listener)
    }

    /// Where clients reach it.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves clients until `stop`, then closes their connections (320) and
    /// returns when the last is closed.
    pub async fn run(self, front: Arc<Front>, stop: CancellationToken) {
        let connections = TaskTracker::new();
        let accepting: Vec<_> = self
            .sockets
            .into_iter()
            .map(|socket| tokio::spawn(accept(socket, Arc::clone(&front), connections.clone(), stop.clone())))
            .collect();
        for address in &self.addresses {
            info!(%address, "AMQP clients are served");
        }
        for task in accepting {
            if let Err(error) = task.await {
                warn!(%error, "a listener ended");
            }
        }
        connections.close();
        connections.wait().await;
    }
}

async fn accept(socket: TcpListener, front: Arc<Front>, connections: TaskTracker, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((_, peer)) if front.open_sockets() >= front.settings.max_connections.saturating_add(IN_HANDSHAKE) => {
                warn!(%peer, "closed at once: too many clients in the handshake");
            }
            Ok((stream, peer)) => {
                connections.spawn(serve(stream, peer, Arc::clone(&front), stop.clone()));
            }
            Err(error) => {
                // Of one client, or of the whole process: too many open files.
                warn!(%error, "cannot accept");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, front: Arc<Front>, stop: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "cannot set TCP_NODELAY");
    }
    let (reader, writer) = stream.into_split();
    front.serve(reader, writer, peer.ip(), stop).await;
}
