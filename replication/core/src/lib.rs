//! The replication core: how a mirrored queue is kept. Pure state machines
//! without clock, disk, network, randomness or unordered iteration; the
//! protocol is stated in docs/REPLICATION.md, whose sections the code cites.
//!
//! [`replica::Replica`] is one replica of one queue: [`step::Event`]s in,
//! [`step::Action`]s out. [`step`] says what its driver owes it.

mod checkpoint;
mod codec;
pub mod consigned;
mod disk;
mod draft;
mod hollow;
mod isr;
pub mod keys;
mod leader;
pub mod ledger;
mod log;
mod marks;
pub mod message;
mod mirror;
#[cfg(test)]
mod model;
pub mod mutation;
mod own;
pub mod plan;
mod progress;
#[cfg(test)]
mod proof;
pub mod ranges;
pub mod record;
pub mod recovery;
pub mod replica;
#[cfg(test)]
mod scenarios;
pub mod session;
pub mod settings;
#[cfg(test)]
mod sim;
pub mod step;
mod trail;
pub mod types;

pub use checkpoint::CheckpointError;
pub use recovery::Recovery;
pub use replica::Replica;
pub use settings::Settings;
