//! A run of the benchmark: topology, publishers and consumers together or one
//! after the other, and what came of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinSet;

use super::consumer::{Consumer, ConsumerOutcome, ConsumerPlan};
use super::meter::{Counts, Quantiles};
use super::publisher::{Publisher, PublisherOutcome, PublisherPlan};
use super::topology::Topology;
use super::{Latencies, LoadError, Shared, Tally};
use crate::client::Uri;

/// What a run does.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Publishers use the first, consumers the second, more of each the next ones in turn.
    pub uris: Vec<Uri>,
    /// Which queues.
    pub topology: Topology,
    /// How many publishers.
    pub publishers: usize,
    /// How many consumers.
    pub consumers: usize,
    /// Octets of a body.
    pub size: usize,
    /// Unconfirmed messages of a publisher at most; 0 publishes without confirms.
    pub window: usize,
    /// Unacknowledged messages of a consumer at most.
    pub prefetch: u16,
    /// Consume without acknowledgements.
    pub no_ack: bool,
    /// Persistent messages.
    pub persistent: bool,
    /// Messages a second, of all publishers together.
    pub rate: Option<f64>,
    /// How much is sent.
    pub extent: Extent,
    /// Leave the queues there.
    pub keep: bool,
    /// How long is waited for what does not come.
    pub patience: Duration,
}

/// How much a run sends.
#[derive(Clone, Copy, Debug)]
pub enum Extent {
    /// For so long, measured after a warm-up.
    Time {
        /// Not measured.
        warm_up: Duration,
        /// Measured.
        measured: Duration,
    },
    /// So many messages, of all publishers together.
    Messages(u64),
    /// So many messages before the first consumer begins.
    Fill(u64),
}

/// What came of a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Messages sent.
    pub attempted: u64,
    /// Messages confirmed.
    pub confirmed: u64,
    /// Messages refused by a nack.
    pub refused: u64,
    /// Different messages delivered.
    pub delivered: u64,
    /// Confirmed and never delivered.
    pub lost: u64,
    /// Delivered more than once.
    pub duplicated: u64,
    /// Delivered behind a later one of the same publisher.
    pub out_of_order: u64,
    /// Delivered with the mark of a redelivery.
    pub redelivered: u64,
    /// Delivered, but not of this run.
    pub foreign: u64,
    /// Seconds over which rates were measured.
    pub seconds: f64,
    /// Confirms a second.
    pub confirm_rate: f64,
    /// Deliveries a second.
    pub deliver_rate: f64,
    /// Milliseconds from when a message was to be sent to its confirm.
    pub confirm_latency: Quantiles,
    /// Milliseconds from when a message was to be sent to its delivery.
    pub end_to_end_latency: Quantiles,
}

impl Report {
    /// Whether nothing is missing, doubled or out of order.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.out_of_order == 0
    }
}

/// How often counters are looked at.
const GLANCE: Duration = Duration::from_millis(5);

struct Run<'a> {
    workload: &'a Workload,
    shared: Arc<Shared>,
    publishers: JoinSet<Result<PublisherOutcome, LoadError>>,
    consumers: JoinSet<Result<ConsumerOutcome, LoadError>>,
    published: Vec<PublisherOutcome>,
    consumed: Vec<ConsumerOutcome>,
}

impl Workload {
    /// Runs it.
    ///
    /// # Errors
    /// See [`LoadError`]; a connection that is lost ends the run.
    pub async fn run(&self, run: u32) -> Result<Report, LoadError> {
        let Some(uri) = self.uris.first() else {
            return Err(LoadError::Task("nowhere to connect to".to_owned()));
        };
        self.topology.declare(uri).await?;
        let run = Run {
            workload: self,
            shared: Arc::new(Shared::new(run)),
            publishers: JoinSet::new(),
            consumers: JoinSet::new(),
            published: Vec::new(),
            consumed: Vec::new(),
        };
        let report = match self.extent {
            Extent::Time { warm_up, measured } => run.timed(warm_up, measured).await,
            Extent::Messages(messages) => run.counted(messages).await,
            Extent::Fill(messages) => run.filled(messages).await,
        }?;
        if !self.keep {
            self.topology.delete(uri).await?;
        }
        Ok(report)
    }

    fn uris_from(&self, number: usize) -> Vec<Uri> {
        let count = self.uris.len().max(1);
        self.uris.iter().cycle().skip(number % count).take(count).cloned().collect()
    }
}

impl Run<'_> {
    fn start_publishers(&mut self, messages: Option<u64>) {
        let workload = self.workload;
        let count = workload.publishers.max(1);
        for number in 0..workload.publishers {
            // The first ones take what does not divide.
            let share = |all: u64| all / count as u64 + u64::from((number as u64) < all % count as u64);
            let plan = PublisherPlan {
                id: u32::try_from(number).unwrap_or(u32::MAX),
                uris: workload.uris_from(2 * number),
                reconnect: false,
                queue: workload.topology.queue_of(number),
                size: workload.size,
                window: workload.window,
                persistent: workload.persistent,
                messages: messages.map(share),
                rate: workload.rate.map(|rate| (rate / count as f64, number as f64 / count as f64)),
                patience: workload.patience,
            };
            self.publishers.spawn(Publisher::run(plan, Arc::clone(&self.shared), Vec::new()));
        }
    }

    fn start_consumers(&mut self) {
        for number in 0..self.workload.consumers {
            let plan = ConsumerPlan {
                uris: self.workload.uris_from(2 * number + 1),
                reconnect: false,
                queue: self.workload.topology.queue_of(number),
                prefetch: self.workload.prefetch,
                no_ack: self.workload.no_ack,
                patience: self.workload.patience,
            };
            self.consumers.spawn(Consumer::run(plan, Arc::clone(&self.shared), Vec::new()));
        }
    }

    async fn timed(mut self, warm_up: Duration, measured: Duration) -> Result<Report, LoadError> {
        self.start_consumers();
        self.start_publishers(None);
        self.pass(warm_up).await?;
        self.shared.measuring.store(true, Ordering::Relaxed);
        let begin = self.shared.counts();
        self.pass(measured).await?;
        self.shared.measuring.store(false, Ordering::Relaxed);
        let end = self.shared.counts();
        self.shared.stop_publishing.store(true, Ordering::Relaxed);
        self.drain().await?;
        Ok(self.report(begin, end, begin, end))
    }

    async fn counted(mut self, messages: u64) -> Result<Report, LoadError> {
        self.shared.measuring.store(true, Ordering::Relaxed);
        self.start_consumers();
        let begin = self.shared.counts();
        self.start_publishers(Some(messages));
        let confirmed = self.until_published().await?;
        let delivered = self.drain().await?;
        Ok(self.report(begin, confirmed, begin, delivered))
    }

    async fn filled(mut self, messages: u64) -> Result<Report, LoadError> {
        self.shared.measuring.store(true, Ordering::Relaxed);
        let begin = self.shared.counts();
        self.start_publishers(Some(messages));
        let filled = self.until_published().await?;
        let draining = self.shared.counts();
        self.start_consumers();
        let drained = self.drain().await?;
        Ok(self.report(begin, filled, draining, drained))
    }

    /// Lets time pass, unless somebody fails.
    async fn pass(&mut self, time: Duration) -> Result<(), LoadError> {
        let over = tokio::time::sleep(time);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return Ok(()),
                Some(ended) = self.publishers.join_next() => self.published.push(outcome(ended)?),
                Some(ended) = self.consumers.join_next() => self.consumed.push(outcome(ended)?),
            }
        }
    }

    /// Waits for the publishers' end.
    async fn until_published(&mut self) -> Result<Counts, LoadError> {
        while !self.publishers.is_empty() {
            self.pass(GLANCE).await?;
        }
        Ok(self.shared.counts())
    }

    /// Waits until all that was confirmed is delivered, or nothing more comes.
    async fn drain(&mut self) -> Result<Counts, LoadError> {
        self.until_published().await?;
        let mut last = self.shared.counts();
        let patience = self.workload.patience.as_nanos() as u64;
        while !self.consumers.is_empty() {
            let now = self.shared.counts();
            if now.delivered != last.delivered {
                last = now;
            }
            if now.delivered >= now.confirmed || now.at.saturating_sub(last.at) > patience {
                break;
            }
            self.pass(GLANCE).await?;
        }
        self.shared.stop_consuming.store(true, Ordering::Relaxed);
        while let Some(ended) = self.consumers.join_next().await {
            self.consumed.push(outcome(ended)?);
        }
        Ok(last)
    }

    fn report(self, publish: Counts, confirmed: Counts, consume: Counts, delivered: Counts) -> Report {
        let mut tally = Tally::default();
        let (mut confirm_latency, mut end_to_end_latency) = (Latencies::default(), Latencies::default());
        for consumer in &self.consumed {
            tally.merge(&consumer.tally);
            end_to_end_latency.merge(&consumer.latencies);
        }
        for publisher in &self.published {
            confirm_latency.merge(&publisher.latencies);
        }
        let consuming = !self.consumed.is_empty();
        let rate = |count: u64, seconds: f64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        Report {
            attempted: self.published.iter().map(|publisher| publisher.attempted).sum(),
            confirmed: self.published.iter().map(|publisher| publisher.confirmed.len()).sum(),
            refused: self.published.iter().map(|publisher| publisher.refused).sum(),
            delivered: tally.delivered(),
            lost: if consuming {
                self.published.iter().map(|publisher| tally.lost(publisher.id, &publisher.confirmed)).sum()
            } else {
                0
            },
            duplicated: tally.duplicated(),
            out_of_order: tally.out_of_order(),
            redelivered: tally.redelivered,
            foreign: tally.foreign,
            seconds: confirmed.seconds_since(&publish),
            confirm_rate: rate(confirmed.confirmed - publish.confirmed, confirmed.seconds_since(&publish)),
            deliver_rate: rate(delivered.delivered - consume.delivered, delivered.seconds_since(&consume)),
            confirm_latency: confirm_latency.quantiles(),
            end_to_end_latency: end_to_end_latency.quantiles(),
        }
    }
}

/// What a task came to.
pub fn outcome<T>(ended: Result<Result<T, LoadError>, tokio::task::JoinError>) -> Result<T, LoadError> {
    ended.map_err(|error| LoadError::Task(error.to_string()))?
}
