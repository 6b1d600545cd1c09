//! Where the other nodes' catalogs answer, and the channels to them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tonic::transport::{Channel, Endpoint};
use warren_peer::catalog::Header;
use warren_peer::catalog::catalog_client::CatalogClient;
use warren_replication::types::NodeId;
use warren_store::ClusterId;

/// Larger than any Raft message: a read of the log, or one entry of a full batch.
pub(crate) const MAX_MESSAGE: usize = 64 << 20;

const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
const KEEP_ALIVE: Duration = Duration::from_secs(1);

/// The catalog client of one node.
pub(crate) type Client = CatalogClient<Channel>;

/// Nobody has yet said where this node is.
#[derive(Debug, thiserror::Error)]
#[error("no usable address of node {0} is known")]
pub(crate) struct NoAddress(pub(crate) NodeId);

/// The book of addresses; channels are made when first used and shared.
pub(crate) struct Peers {
    me: NodeId,
    cluster: AtomicU64,
    book: Mutex<BTreeMap<NodeId, Place>>,
}

#[derive(Default)]
struct Place {
    /// What Raft's membership says: where it was when it joined.
    joined: String,
    /// What gossip says, which is newer if it says anything.
    gossiped: Option<SocketAddr>,
    client: Option<(String, Client)>,
}

impl Peers {
    pub(crate) fn new(me: NodeId, cluster: Option<ClusterId>) -> Self {
        Self { me, cluster: AtomicU64::new(cluster.map_or(0, |id| id.0)), book: Mutex::default() }
    }

    /// The cluster that this node belongs to, once it does.
    pub(crate) fn cluster(&self) -> Option<ClusterId> {
        match self.cluster.load(Ordering::Acquire) {
            0 => None,
            id => Some(ClusterId(id)),
        }
    }

    /// From now on this node belongs to the cluster; after that is on disk.
    pub(crate) fn belong_to(&self, cluster: ClusterId) {
        self.cluster.store(cluster.0, Ordering::Release);
    }

    /// What every call begins with.
    pub(crate) fn header(&self, to: NodeId) -> Header {
        Header { cluster: self.cluster.load(Ordering::Acquire), from: self.me.0, to: to.0 }
    }

    /// Where a node was when it joined.
    pub(crate) fn remember(&self, node: NodeId, address: &str) {
        let mut book = self.book.lock();
        let place = book.entry(node).or_default();
        if place.joined != address {
            address.clone_into(&mut place.joined);
        }
    }

    /// Where a node says that it is.
    pub(crate) fn heard(&self, node: NodeId, address: SocketAddr) {
        self.book.lock().entry(node).or_default().gossiped = Some(address);
    }

    /// Where a node's catalog is believed to answer.
    pub(crate) fn address(&self, node: NodeId) -> Option<String> {
        let book = self.book.lock();
        let place = book.get(&node)?;
        match place.gossiped {
            Some(address) => Some(address.to_string()),
            None if place.joined.is_empty() => None,
            None => Some(place.joined.clone()),
        }
    }

    /// The client of a node. Must be called on membership's runtime: a new
    /// channel's connection lives there.
    ///
    /// # Errors
    /// If no usable address is known.
    pub(crate) fn client(&self, node: NodeId) -> Result<Client, NoAddress> {
        let address = self.address(node).ok_or(NoAddress(node))?;
        let mut book = self.book.lock();
        let place = book.entry(node).or_default();
        match &place.client {
            Some((at, client)) if *at == address => Ok(client.clone()),
            _ => {
                let client = connect(&address).ok_or(NoAddress(node))?;
                place.client = Some((address, client.clone()));
                Ok(client)
            }
        }
    }
}

/// A client of whoever answers at an address; connects when used.
pub(crate) fn connect(address: &str) -> Option<Client> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).ok()?;
    let channel = endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .connect_lazy();
    Some(CatalogClient::new(channel).max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE))
}
