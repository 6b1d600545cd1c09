//! From the configuration to what each part of the node is told.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use warren_membership::Timing;

use super::NodeError;
use crate::config::Config;
use crate::connection;
use crate::listener::Listener;
use crate::tls;

/// How many shards a node has.
pub(super) fn shards(config: &Config) -> usize {
    match config.node.shards {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        count => count,
    }
}

/// What shards are told.
pub(super) fn shard(config: &Config) -> warren_shard::Settings {
    let told = &config.replication;
    warren_shard::Settings {
        replica: warren_replication::settings::Settings {
            window_bytes: told.window.as_usize(),
            tail_bytes: told.tail.as_usize(),
            mirror_timeout: told.mirror_timeout.micros(),
            disk_stall_timeout: told.disk_stall_timeout.micros(),
            checkpoint_bytes: told.checkpoint.get(),
            ..warren_replication::settings::Settings::default()
        },
        lease: config.cluster.lease.micros(),
        drain_timeout: told.drain_timeout.micros(),
        reattach_grace: told.reattach_grace.micros(),
        confirm_timeout: told.confirm_timeout.micros(),
        ..warren_shard::Settings::default()
    }
}

/// What connections are told.
pub(super) fn front(config: &Config) -> connection::Settings {
    let told = &config.amqp;
    connection::Settings {
        cluster_name: config.cluster.name.clone(),
        channel_max: told.channel_max,
        frame_max: u32::try_from(told.frame_max.get()).unwrap_or(u32::MAX),
        heartbeat: u16::try_from(told.heartbeat.get().as_secs()).unwrap_or(u16::MAX),
        handshake_timeout: told.handshake_timeout.get(),
        max_connections: told.max_connections,
        max_message_size: told.max_message_size.get(),
        publish_budget: told.publish_budget.as_usize(),
        transaction_budget: told.transaction_budget.as_usize(),
        consumer_timeout: told.consumer_timeout.get(),
        queue_timeout: told.queue_timeout.get(),
        loopback_users: config.users.loopback_only.clone(),
        ..connection::Settings::default()
    }
}

/// Where and how clients are served with TLS, if they are.
pub(super) fn tls(config: &Config) -> io::Result<Option<(SocketAddr, tls::Server)>> {
    let Some(address) = config.tls.listen else { return Ok(None) };
    Ok(Some((address, tls::Server::new(config.tls.clone())?)))
}

/// What membership is told; addresses are resolved, ports that were 0 are known.
pub(super) async fn membership(
    config: &Config,
    peer: &TcpListener,
    http: &TcpListener,
    amqp: &Listener,
) -> Result<warren_membership::MembershipConfig, NodeError> {
    let peer = peer.local_addr()?;
    let http = http.local_addr()?;
    let advertise = match &config.membership.advertise {
        Some(address) => Some(resolve("membership.advertise", address).await?),
        None => None,
    };
    let peer_address = match &config.peer.advertise {
        Some(address) => resolve("peer.advertise", address).await?,
        None => peer,
    };
    Ok(warren_membership::MembershipConfig {
        node_name: config.node.name.clone(),
        cluster_name: config.cluster.name.clone(),
        seeds: config.cluster.seeds.clone(),
        expected_size: config.cluster.size(),
        listen: config.membership.listen,
        advertise,
        peer_address,
        zone: config.node.zone.clone(),
        amqp_address: amqp.address().to_string(),
        http_address: config.http.advertise.clone().unwrap_or_else(|| http.to_string()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        timing: Timing { lease: config.cluster.lease.get(), ..Timing::default() },
    })
}

async fn resolve(option: &'static str, address: &str) -> Result<SocketAddr, NodeError> {
    let failed = |error| NodeError::Address { option, value: address.to_owned(), error };
    let mut found = tokio::net::lookup_host(address).await.map_err(failed)?;
    found.next().ok_or_else(|| failed(io::Error::new(io::ErrorKind::NotFound, "no such host")))
}
