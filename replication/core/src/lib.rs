//! The replication core: how a mirrored queue is kept. Pure state machines
//! without clock, disk, network, randomness or unordered iteration; the
//! protocol is stated in docs/REPLICATION.md, whose sections the code cites.

pub mod message;
pub mod plan;
pub mod step;
pub mod types;
