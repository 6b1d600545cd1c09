//! A load generator for any AMQP 0-9-1 broker, on the broker's client and nothing
//! else of it: `warren bench` and the drills drive it.
//!
//! Each publisher and consumer is one task with one connection and one channel,
//! which reads and writes in turns and never per message: what can be counted
//! once a batch is. Bodies carry a [`Stamp`], so that loss, duplicates, order and
//! age are told at the consumer. Ages are measured from when a message *should*
//! have been sent, so that a stalled broker cannot hide behind a stalled sender.

mod consumer;
mod error;
mod meter;
mod pace;
mod publisher;
mod run;
mod stamp;
mod tally;
mod topology;

pub use consumer::{Consumer, ConsumerOutcome, ConsumerPlan};
pub use error::LoadError;
pub use meter::{Counts, Gap, Latencies, Quantiles, Shared};
pub use pace::Pace;
pub use publisher::{Publisher, PublisherOutcome, PublisherPlan};
pub use run::{Extent, Report, Workload, outcome};
pub use stamp::{Bodies, STAMP_SIZE, Stamp};
pub use tally::{Bits, Seen, Tally};
pub use topology::Topology;

use crate::client::{Client, ClientError, Manner, Uri};

/// Connects without heartbeats: the generator runs for a while, not for days.
async fn connect(uri: &Uri) -> Result<Client, ClientError> {
    let manner = Manner { product: "warren load generator", name: None, heartbeat: 0 };
    Client::connect(uri, &manner).await
}
