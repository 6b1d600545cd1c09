//! A shard: owns many queues and steps them, one turn at a time. Pure: the
//! driver in the `warren` crate does its IO, the simulator drives the same code.

pub mod step;
