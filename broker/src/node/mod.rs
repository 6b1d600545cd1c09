//! One node: its parts put together, started in order and stopped in order.
//!
//! - `events.rs` from the catalog, gossip, leases and links to routes and shards
//! - `wishes.rs` from shards to the catalog
//! - `handle.rs` what connections and operators see of the node
//! - `clients.rs` what the other nodes are told of this one's clients, and who of
//!   these has to go
//! - `alarms.rs` memory and disk; `lag.rs` backups at `max-lag`; `settings.rs` from the configuration to the parts
//! - `first_user.rs` the administrator of a new cluster

mod alarms;
mod clients;
mod events;
mod first_user;
mod handle;
mod lag;
mod rules;
mod settings;
mod wishes;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};
use warren_membership::catalog::Led;
use warren_membership::{Membership, MembershipError};
use warren_replication::types::Moment;
use warren_shard::step::Input;
use warren_store::StoreError;

use crate::auth::Passwords;
use crate::config::Config;
use crate::connection::Front;
use crate::connection::ports::{Broker, Routing};
use crate::direct::Direct;
use crate::listener::Listener;
use crate::management::{self, Cluster, Resources};
use crate::peer::{LinkConfig, Links};
use crate::policy;
use crate::remote;
use crate::routing::Routes;
use crate::shard::{Shards, ShardsConfig, StartError};
use crate::transfer::{self, Surroundings};
use events::{CatalogEvents, PeerEvents};
use handle::Node;
use wishes::Proposals;

/// How long clients may take to say good-bye when the node stops.
const CLOSE_CLIENTS: Duration = Duration::from_secs(5);
/// How long links may take to finish what is on its way when the node stops.
const CLOSE_LINKS: Duration = Duration::from_secs(5);
/// How long handing over to the other nodes may take.
const HAND_OVER: Duration = Duration::from_secs(10);

/// Why a node did not start, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queues in it cannot be used, or there is no thread for them.
    #[error(transparent)]
    Shards(#[from] StartError),
    /// No place in the cluster.
    #[error(transparent)]
    Membership(#[from] MembershipError),
    /// An address of the configuration.
    #[error("{option} = {value}: {error}")]
    Address {
        /// The option.
        option: &'static str,
        /// What it says.
        value: String,
        /// What is wrong with it.
        error: io::Error,
    },
    /// One of the listeners failed.
    #[error("{0}")]
    Listener(#[from] io::Error),
    /// The first administrator could not be made.
    #[error("the default user cannot be made: {0}")]
    FirstUser(String),
    /// The node's part in the catalog failed while it ran.
    #[error("the catalog on this node failed: {0}")]
    Catalog(String),
    /// The server for the other nodes ended.
    #[error("the server for the other nodes ended: {0}")]
    PeerServer(String),
}

/// Runs a node until `stop`, then stops it so that nobody waits for it.
///
/// # Errors
/// If it cannot start, or cannot go on.
pub async fn run(config: Config, stop: impl Future<Output = ()>) -> Result<(), NodeError> {
    // Listeners first: what is wrong with an address is said before anything is done.
    let peer = bind("peer.listen", config.peer.listen).await?;
    let http = bind("http.listen", config.http.listen).await?;
    let amqp = Listener::bind(config.amqp.listen, settings::tls(&config)?).await?;

    let database = warren_store::open(&config.node.data, &warren_store::Options::new(&config.node.name))?;
    let membership = Membership::open(settings::membership(&config, &peer, &http, &amqp).await?, database.clone())?;
    let (transfers, moves) = mpsc::unbounded_channel();
    let shards = Shards::start(ShardsConfig {
        me: membership.process(),
        count: settings::shards(&config),
        settings: settings::shard(&config),
        store: database,
        wishes: Arc::new(Proposals::new(membership.clone())),
        transfers,
    })?;
    let routes = Arc::new(Routes::default());
    let (blocked, is_blocked) = watch::channel(None);
    let (measured, resources) = watch::channel(Resources::default());
    let node = Arc::new(Node {
        membership: membership.clone(),
        shards: shards.clone(),
        links: OnceLock::new(),
        routes: Arc::clone(&routes),
        direct: Arc::new(Direct::new(membership.process().node)),
        remote: Arc::default(),
        passwords: Passwords::default(),
        blocked: is_blocked,
        resources,
        serving: AtomicBool::new(false),
        front: OnceLock::new(),
        config,
    });
    let config = &node.config;
    let tasks = Tasks::default();
    // Operators can see why a node does not serve yet.
    tasks.until_failure(management::serve(Arc::clone(&node) as Arc<dyn Cluster>, http));

    let (users, users_changed) = watch::channel(());
    let observer = CatalogEvents::new(routes, shards.clone(), users);
    tokio::pin!(stop);
    tokio::select! {
        joined = membership.join(Arc::new(observer)) => joined?,
        () = &mut stop => return Ok(()),
    }
    let cluster = membership.cluster().ok_or(MembershipError::Stopped)?;
    events::follow(&membership, &shards);

    let link_config = LinkConfig::new(membership.process(), cluster);
    let links = Links::new(
        link_config.clone(),
        Arc::new(PeerEvents::new(shards.clone(), membership.clone(), Arc::clone(&node.direct))),
    );
    let server = crate::peer::server(&link_config).add_service(links.service());
    let peer_server = tokio::spawn(server.serve_with_incoming(crate::peer::connections(peer)));
    links.dial(membership.peers());
    // Set once, here.
    let _ = node.links.set(links.clone());

    let routing = Arc::clone(&node.routes) as Arc<dyn Routing>;
    tasks.spawn(transfer::run(moves, membership.process(), routing, Arc::clone(&node) as Arc<dyn Surroundings>));
    first_user::ensure(&membership, &config.users).await?;
    let data = config.node.data.clone();
    let (lag, lagging) = watch::channel(None);
    tasks.spawn(lag::watch(membership.clone(), shards.clone(), lag));
    tasks.spawn(alarms::watch(membership.clone(), config.alarms.clone(), data, lagging, blocked, measured));
    if let Some(file) = config.policy.file.clone() {
        let memory = policy::memory(&config.node.data);
        tasks.until_failure(policy::watch(Arc::clone(&node) as Arc<dyn Cluster>, file, memory));
    }

    let front = Arc::new(Front::new(Arc::clone(&node) as Arc<dyn Broker>, settings::front(config)));
    // Set once, here.
    let _ = node.front.set(Arc::clone(&front));
    tasks.spawn(clients::report_load(Arc::clone(&node), Arc::clone(&front)));
    tasks.spawn(clients::report_usage(Arc::clone(&node), Arc::clone(&front)));
    tasks.spawn(clients::evict(Arc::clone(&node), Arc::clone(&front), users_changed));
    let closing = CancellationToken::new();
    let links_stop = CancellationToken::new();
    let connector = remote::Connector::of(Arc::clone(&front), closing.clone());
    let kept = tokio::spawn(remote::keep(
        Arc::clone(&node.remote),
        membership.clone(),
        config.cluster.name.clone(),
        connector,
        shards.clone(),
        links_stop.clone(),
    ));
    let clients = tokio::spawn(amqp.run(front, closing.clone()));
    node.serving.store(true, Ordering::Release);
    info!(node = config.node.name, boot = %membership.process().boot, "serving");

    let ended = tokio::select! {
        () = &mut stop => Ok(()),
        reason = membership.failed() => Err(NodeError::Catalog(reason)),
        ended = peer_server => Err(NodeError::PeerServer(match ended {
            Ok(Ok(())) => "without a reason".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        })),
    };

    info!("stopping: queues are handed over, then clients are disconnected");
    node.serving.store(false, Ordering::Release);
    if ended.is_ok() {
        let left = membership.stop_leading(config.node.stop_wait.get()).await;
        if left != Led::default() {
            info!(left.movable, left.waiting, left.stuck, "queues that nobody else could take over");
        }
    }
    // Links first: they tell both ends what arrived while they still can.
    links_stop.cancel();
    if tokio::time::timeout(CLOSE_LINKS, kept).await.is_err() {
        info!("some links did not end in time");
    }
    closing.cancel();
    if tokio::time::timeout(CLOSE_CLIENTS, clients).await.is_err() {
        info!("some clients did not say good-bye in time");
    }
    if ended.is_ok() {
        membership.depart().await;
    }
    links.stop();
    // Shards deliver to consumers of other nodes until they know that the lease
    // has ended; only then may successors be told not to wait for it (§6.5).
    membership.give_up_lease();
    shards.catalog(Input::Lease(Moment(0)));
    shards.statuses().await;
    if ended.is_ok() && tokio::time::timeout(HAND_OVER, membership.shutdown()).await.is_err() {
        error!("queues were not handed over in time; the other nodes will elect without this one");
    }
    membership.end().await;
    shards.stop().await;
    ended
}

async fn bind(option: &'static str, address: SocketAddr) -> Result<TcpListener, NodeError> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|error| NodeError::Address { option, value: address.to_string(), error })
}

/// Tasks that end with the node.
#[derive(Default)]
struct Tasks(Mutex<tokio::task::JoinSet<()>>);

impl Tasks {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.lock().spawn(task);
    }

    fn until_failure(&self, task: impl Future<Output = io::Result<()>> + Send + 'static) {
        self.spawn(async move {
            if let Err(error) = task.await {
                error!(%error, "a part of the node ended");
            }
        });
    }
}
