//! The broker: one node of a Warren cluster, and the command line around it.
//! docs/ARCHITECTURE.md follows a message through these modules.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
pub mod arguments;
pub mod auth;
pub mod channel;
pub mod cli;
pub mod client;
pub mod config;
pub mod connection;
pub mod direct;
pub mod drill;
pub mod listener;
pub mod load;
pub mod management;
pub mod migrate;
pub mod node;
pub mod peer;
pub mod policy;
pub mod remote;
pub mod routing;
pub mod shard;
pub mod telemetry;
pub mod tls;
pub mod transfer;
