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

use crate::connection::{Caller, Front};
use crate::tls;

/// Sockets taken beyond the limit of connections: clients in the handshake, of
/// whom the last to come are told that there is no room.
const IN_HANDSHAKE: usize = 1024;
/// How long to wait when the system has no more sockets to give.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Sockets that listen, not yet accepting.
#[derive(Debug)]
pub struct Listener {
    plain: TcpListener,
    address: SocketAddr,
    secured: Option<(TcpListener, Arc<tls::Server>)>,
}

impl Listener {
    /// Listens there, and for those who encrypt where that says; port 0 takes a
    /// free one.
    ///
    /// # Errors
    /// An address cannot be listened on; the error says which.
    pub async fn bind(plain: SocketAddr, secured: Option<(SocketAddr, tls::Server)>) -> io::Result<Self> {
        let plain = bind(plain).await?;
        let address = plain.local_addr()?;
        let secured = match secured {
            Some((address, server)) => Some((bind(address).await?, Arc::new(server))),
            None => None,
        };
        Ok(Self { plain, address, secured })
    }

    /// Where clients reach it that don't encrypt.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves clients until `stop`, then closes their connections (320) and
    /// returns when the last is closed.
    pub async fn run(self, front: Arc<Front>, stop: CancellationToken) {
        let connections = TaskTracker::new();
        info!(address = %self.address, "AMQP clients are served");
        let plain = accept(self.plain, None, Arc::clone(&front), connections.clone(), stop.clone());
        let secured = async {
            let Some((socket, server)) = self.secured else { return };
            match socket.local_addr() {
                Ok(address) => info!(%address, "AMQP clients are served with TLS"),
                Err(error) => warn!(%error, "the TLS listener has no address"),
            }
            let accepting = accept(socket, Some(Arc::clone(&server)), front, connections.clone(), stop);
            tokio::select! {
                () = accepting => {}
                () = server.follow() => {}
            }
        };
        tokio::join!(plain, secured);
        connections.close();
        connections.wait().await;
    }
}

async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"));
    TcpListener::bind(address).await.map_err(named)
}

async fn accept(
    socket: TcpListener,
    tls: Option<Arc<tls::Server>>,
    front: Arc<Front>,
    connections: TaskTracker,
    stop: CancellationToken,
) {
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
                let front = Arc::clone(&front);
                match &tls {
                    None => connections.spawn(serve(stream, peer, front, stop.clone())),
                    Some(tls) => connections.spawn(serve_secured(stream, peer, Arc::clone(tls), front, stop.clone())),
                };
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
    let _open = front.open_socket();
    send_at_once(&stream);
    let (reader, writer) = stream.into_split();
    Arc::clone(&front).serve(reader, writer, Caller::from(peer.ip()), stop).await;
}

async fn serve_secured(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Arc<tls::Server>,
    front: Arc<Front>,
    stop: CancellationToken,
) {
    let _open = front.open_socket();
    send_at_once(&stream);
    let secured = tokio::select! {
        secured = tokio::time::timeout(front.settings.handshake_timeout, tls.accept(stream)) => secured,
        () = stop.cancelled() => return,
    };
    match secured {
        Ok(Ok(tls::Secured { stream, certified })) => {
            let (reader, writer) = tokio::io::split(stream);
            Arc::clone(&front).serve(reader, writer, Caller { address: peer.ip(), certified }, stop).await;
        }
        Ok(Err(error)) => warn!(%peer, %error, "no TLS with this client"),
        Err(_) => debug!(%peer, "the TLS handshake timed out"),
    }
}

fn send_at_once(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "cannot set TCP_NODELAY");
    }
}
