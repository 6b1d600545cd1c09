//! The beginning of a process's membership; `leave.rs` is its end.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use warren_replication::types::Process;
use warren_store::Database;

use crate::config::MembershipConfig;
use crate::core::{Core, Parts};
use crate::gossip::{Gossip, Record};
use crate::lease::keeper;
use crate::peers::Peers;
use crate::propose::{self, Proposal, QUEUED, Write};
use crate::raft::log::Log;
use crate::raft::machine::Machine;
use crate::raft::network::Network;
use crate::raft::{Raft, TypeConfig};
use crate::service::Service;
use crate::{MembershipError, Observer, controller, elections, join, liveness, raft};

/// Threads of membership's runtime.
const THREADS: usize = 2;
/// Tries to find a port that is free for TCP and UDP.
const PORT_TRIES: usize = 32;

/// What waits for [`run`].
pub(crate) struct Prepared {
    listener: TcpListener,
    listen: SocketAddr,
    proposals: mpsc::Receiver<Proposal>,
    writes: mpsc::Receiver<Write>,
}

/// Takes the address, makes the boot durable.
pub(crate) fn prepare(
    config: MembershipConfig,
    database: Arc<Database>,
) -> Result<(Runtime, Arc<Core>, Prepared), MembershipError> {
    let failed = |error| MembershipError::Listen { address: config.listen, error };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("membership")
        .enable_all()
        .build()
        .map_err(failed)?;
    let listener = listen(config.listen).map_err(failed)?;
    let listen = listener.local_addr().map_err(failed)?;
    let mut address = config.advertise.unwrap_or(listen);
    if address.port() == 0 {
        address.set_port(listen.port());
    }
    let process = Process { node: database.node(), incarnation: database.incarnation(), boot: database.next_boot()? };
    let peers = Arc::new(Peers::new(process.node, database.cluster()?));
    let (proposals, proposed) = mpsc::channel(QUEUED);
    let (writes, written) = mpsc::channel(QUEUED);
    let core = Core::new(Parts { config, process, address, database, peers, proposals, writes });
    Ok((runtime, Arc::new(core), Prepared { listener, listen, proposals: proposed, writes: written }))
}

/// Listens (TCP) where UDP is free too.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let mut tries = if address.port() == 0 { PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        match UdpSocket::bind(listener.local_addr()?) {
            Ok(_) => return Ok(listener),
            Err(error) if tries == 0 => return Err(error),
            Err(_) => {}
        }
    }
}

/// Starts everything and joins.
pub(crate) async fn run(
    core: Arc<Core>,
    prepared: Prepared,
    observer: Arc<dyn Observer>,
) -> Result<(), MembershipError> {
    let Prepared { listener, listen, proposals, writes } = prepared;
    let listener = tokio::net::TcpListener::from_std(listener)
        .map_err(|error| MembershipError::Listen { address: listen, error })?;
    if core.catalog.observe(observer).is_err() {
        return Err(MembershipError::Stopped);
    }
    let gossip = Gossip::start(&core.config, listen, record(&core)).await.map_err(MembershipError::Gossip)?;
    let raft = start_raft(&core).await.map_err(|error| MembershipError::Catalog(error.to_string()))?;
    if !core.set_gossip(gossip) || !core.set_raft(raft) {
        return Err(MembershipError::Stopped);
    }
    let server = tonic::transport::Server::builder()
        .tcp_nodelay(true)
        .add_service(Service::server(core.clone()))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "the catalog's port failed");
        }
    });
    tokio::spawn(propose::forward(core.clone(), proposals));
    tokio::spawn(propose::write(core.clone(), writes));
    tokio::spawn(liveness::run(core.clone()));
    tokio::spawn(elections::run(core.clone()));
    tokio::spawn(controller::run(core.clone()));
    tokio::spawn(keeper::report(core.clone()));
    join::join(&core).await?;
    tokio::spawn(keeper::keep(core));
    Ok(())
}

async fn start_raft(core: &Arc<Core>) -> Result<Raft, Box<dyn std::error::Error + Send + Sync>> {
    let config = raft::config(&core.config.cluster_name, &core.config.timing)?;
    let network = Network { peers: core.peers.clone() };
    let log = Log::new(core.database.clone());
    let machine = Machine::load(core.clone())?;
    Ok(openraft::Raft::<TypeConfig>::new(core.node().0, config, network, log, machine).await?)
}

fn record(core: &Core) -> Record {
    Record {
        name: core.config.node_name.clone(),
        node: core.process.node.0,
        incarnation: core.process.incarnation.0,
        boot: core.process.boot.0,
        version: core.config.version.clone(),
        catalog: core.address,
        peer: core.config.peer_address,
        amqp: core.config.amqp_address.clone(),
        http: core.config.http_address.clone(),
        cluster: core.peers.cluster().map(|cluster| cluster.0),
        leaving: false,
    }
}

/// See [`crate::Membership::failed`].
pub(crate) async fn failed(core: &Core) -> String {
    if let Some(raft) = core.raft() {
        let mut metrics = raft.metrics();
        let fatal = metrics.wait_for(|metrics| metrics.running_state.is_err()).await;
        let reason = fatal.ok().and_then(|metrics| metrics.running_state.as_ref().err().map(ToString::to_string));
        if let (Some(reason), false) = (reason, core.is_stopping()) {
            return reason;
        }
    }
    std::future::pending().await
}
