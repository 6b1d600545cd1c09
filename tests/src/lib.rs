//! What the tests of whole clusters share. `sim/` runs clusters in one thread,
//! `cluster/` runs real processes, `pika/` real clients.

pub mod processes;
