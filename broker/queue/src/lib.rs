//! What an AMQP queue is on the node that leads it: which messages are ready,
//! who holds which, which consumers wait and in what order they are served.
//!
//! Pure: no clock, disk, network or sibling crate. A message is its offset (a
//! number that grows with the order of publishing); its body, the log and the
//! wire are the caller's. Consumers are named by any small `Copy` key.
//!
//! Memory: ready messages cost ranges, not messages, so a million of them in
//! order cost one; a held message costs one small map entry; a consumer one
//! struct and at most [`Window::messages`] numbers.

mod consumers;
mod lanes;
mod queue;
mod ready;
mod rules;
pub mod stream;
mod timetable;

pub use consumers::{ExclusiveUse, Options, Window};
pub use queue::{Arrival, Counts, Delivered, Holder, Leave, Queue};
pub use ready::Ready;
pub use rules::{DeadLetter, Deduplicate, Kind, Once, Overflow, Reason, Rules};
