//! A shard: some of a node's queues, stepped one turn at a time.
//!
//! Pure: [`Shard::turn`] takes what piled up in the mailbox and says what to
//! write, send, answer and ask for. Per queue it joins three parts: the
//! *replica* (the node's copy of the log), the *leader side* while this process
//! leads the queue (`warren_queue` over what is committed; for a stream its own), and the *entry side*
//! of the clients connected to this node. Entry side and leader speak the same
//! words whether they meet in one process or over a link (§4.8, §6.8 of
//! docs/REPLICATION.md).

mod bodies;
mod cell;
mod entry;
mod handover;
mod known;
mod leader;
pub mod origin;
mod outbox;
mod seek;
mod settings;
mod shard;
mod status;
pub mod step;
mod stream;
mod takeover;
mod world;

pub use settings::Settings;
pub use shard::Shard;
