//! A consumer: acknowledges in batches, tallies what it sees, measures its age.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use warren_amqp::{Frame, Method, Payload, ShortStr, basic};

use super::{Gap, Latencies, LoadError, Shared, Stamp, Tally, connect};
use crate::client::{CHANNEL, Client, ClientError, Uri};

/// What a consumer does.
#[derive(Clone, Debug)]
pub struct ConsumerPlan {
    /// Where it connects; after a lost connection, to the next of these.
    pub uris: Vec<Uri>,
    /// Whether it connects again at all.
    pub reconnect: bool,
    /// From which queue.
    pub queue: ShortStr,
    /// Unacknowledged messages at most; 0 is no limit.
    pub prefetch: u16,
    /// Without acknowledgements.
    pub no_ack: bool,
    /// How long it tries to connect again.
    pub patience: Duration,
}

/// What a consumer saw.
#[derive(Debug, Default)]
pub struct ConsumerOutcome {
    /// Which messages.
    pub tally: Tally,
    /// Connections lost.
    pub connections_lost: u64,
    /// Cancelled by the broker.
    pub cancelled: u64,
    /// From the intended time of sending to the delivery, while measuring.
    pub latencies: Latencies,
}

/// How often a consumer looks whether it is to stop.
const GLANCE: Duration = Duration::from_millis(20);
/// Between two attempts to connect again.
const RETRY: Duration = Duration::from_millis(20);

/// One consumer, running.
#[derive(Debug)]
pub struct Consumer {
    plan: ConsumerPlan,
    shared: Arc<Shared>,
    gaps: Vec<Arc<Gap>>,
    /// The delivery whose body is not whole yet, and how much of it is missing.
    current: Option<basic::Deliver>,
    missing: u64,
    stamped: bool,
    /// The last delivery that is whole.
    last_tag: u64,
    outcome: ConsumerOutcome,
}

impl Consumer {
    /// Runs it until [`Shared::stop_consuming`]. `gaps` are told of each batch of deliveries.
    ///
    /// # Errors
    /// The connection was lost and is not to be made again, or could not be made.
    pub async fn run(
        plan: ConsumerPlan,
        shared: Arc<Shared>,
        gaps: Vec<Arc<Gap>>,
    ) -> Result<ConsumerOutcome, LoadError> {
        let mut consumer = Self {
            plan,
            shared,
            gaps,
            current: None,
            missing: 0,
            stamped: false,
            last_tag: 0,
            outcome: ConsumerOutcome::default(),
        };
        let mut client = consumer.connect(0).await?;
        loop {
            let error = match consumer.consume(&mut client).await {
                Ok(()) => break,
                Err(error) => error,
            };
            consumer.outcome.connections_lost += 1;
            if !consumer.plan.reconnect {
                return Err(error);
            }
            client = consumer.connect_again().await?;
        }
        // What matters is counted; how the connection ends does not.
        let _ = client.close().await;
        Ok(consumer.outcome)
    }

    async fn connect(&mut self, attempt: usize) -> Result<Client, LoadError> {
        let uris = &self.plan.uris;
        let Some(uri) = uris.get(attempt % uris.len().max(1)) else {
            return Err(LoadError::Task("a consumer has nowhere to connect to".to_owned()));
        };
        let mut client = connect(uri).await?;
        let qos = basic::Qos { prefetch_count: self.plan.prefetch, ..Default::default() };
        let Method::BasicQosOk(_) = client.call(CHANNEL, &qos).await? else {
            return Err(client.unexpected("answer to basic.qos").into());
        };
        let (queue, no_ack) = (self.plan.queue.clone(), self.plan.no_ack);
        let consume = basic::Consume { queue, no_ack, ..Default::default() };
        let Method::BasicConsumeOk(_) = client.call(CHANNEL, &consume).await? else {
            return Err(client.unexpected("answer to basic.consume").into());
        };
        (self.current, self.missing, self.last_tag) = (None, 0, 0);
        Ok(client)
    }

    async fn connect_again(&mut self) -> Result<Client, LoadError> {
        let began = self.shared.now();
        let mut attempt = 0;
        loop {
            match self.connect(attempt).await {
                Ok(client) => return Ok(client),
                Err(error) if self.shared.now() - began > self.plan.patience.as_nanos() as u64 => return Err(error),
                Err(_) => tokio::time::sleep(RETRY).await,
            }
            attempt += 1;
        }
    }

    async fn consume(&mut self, client: &mut Client) -> Result<(), LoadError> {
        while !self.shared.stop_consuming.load(Ordering::Relaxed) {
            self.take_deliveries(client)?;
            client.turn(tokio::time::sleep(GLANCE)).await?;
        }
        self.take_deliveries(client)
    }

    fn take_deliveries(&mut self, client: &mut Client) -> Result<(), LoadError> {
        let before = self.last_tag;
        let now = self.shared.now();
        let taken = self.take(|| client.next_frame());
        if self.last_tag > before {
            if !self.plan.no_ack {
                client.out.ack(CHANNEL, self.last_tag, true);
            }
            for gap in &self.gaps {
                gap.event(now);
            }
        }
        if taken? {
            self.outcome.cancelled += 1;
            return Err(client.unexpected("basic.cancel").into());
        }
        Ok(())
    }

    /// Takes all frames that are there; true if the consumer is cancelled. What came
    /// before the connection ended counts.
    fn take(&mut self, mut next: impl FnMut() -> Result<Option<Frame>, ClientError>) -> Result<bool, ClientError> {
        let now = self.shared.measuring.load(Ordering::Relaxed).then(|| self.shared.now());
        let mut fresh = 0;
        let taken = loop {
            let frame = match next() {
                Ok(Some(frame)) => frame,
                Ok(None) => break Ok(false),
                Err(error) => break Err(error),
            };
            match frame.payload {
                Payload::Body(body) => fresh += u64::from(self.body(&body, now)),
                Payload::Header(header) => {
                    self.missing = header.body_size;
                    self.stamped = false;
                    if header.body_size == 0 {
                        self.whole();
                    }
                }
                Payload::Method(Method::BasicDeliver(deliver)) => self.current = Some(deliver),
                Payload::Method(Method::BasicCancel(_)) => break Ok(true),
                _ => {}
            }
        };
        self.shared.delivered.fetch_add(fresh, Ordering::Relaxed);
        taken
    }

    /// A part of a body; true if it is a message not seen before.
    fn body(&mut self, body: &[u8], now: Option<u64>) -> bool {
        let Some(deliver) = &self.current else { return false };
        let mut fresh = false;
        if !self.stamped {
            self.stamped = true;
            match Stamp::read(body).filter(|stamp| stamp.run == self.shared.run) {
                Some(stamp) => {
                    fresh = self.outcome.tally.deliver(&stamp, deliver.redelivered);
                    if let Some(now) = now {
                        self.outcome.latencies.record(now.saturating_sub(stamp.intended));
                    }
                }
                None => self.outcome.tally.foreign += 1,
            }
        }
        self.missing = self.missing.saturating_sub(body.len() as u64);
        if self.missing == 0 {
            self.whole();
        }
        fresh
    }

    fn whole(&mut self) {
        if let Some(deliver) = self.current.take() {
            self.last_tag = deliver.delivery_tag;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use warren_amqp::ContentHeader;

    use super::*;
    use crate::load::stamp::{Bodies, STAMP_SIZE};

    fn consumer(run: u32) -> Consumer {
        let plan = ConsumerPlan {
            uris: Vec::new(),
            reconnect: true,
            queue: ShortStr::default(),
            prefetch: 0,
            no_ack: false,
            patience: Duration::ZERO,
        };
        Consumer {
            plan,
            shared: Arc::new(Shared::new(run)),
            gaps: Vec::new(),
            current: None,
            missing: 0,
            stamped: false,
            last_tag: 0,
            outcome: ConsumerOutcome::default(),
        }
    }

    #[test]
    fn what_came_before_the_connection_ended_counts_also_in_parts() {
        let mut consumer = consumer(7);
        let stamp = Stamp { run: 7, publisher: 0, sequence: 0, intended: 0 };
        let body = Bodies::new(STAMP_SIZE + 10).stamped(&stamp);
        let deliver = basic::Deliver { delivery_tag: 1, ..Default::default() };
        let header = ContentHeader { class: 60, body_size: body.len() as u64, properties: bytes::Bytes::new() };
        let payloads = [
            Payload::Method(Method::BasicDeliver(deliver)),
            Payload::Header(header),
            Payload::Body(body.slice(..STAMP_SIZE)),
        ];
        let mut frames = payloads.into_iter().map(|payload| Frame { channel: 1, payload });
        let ended = || ClientError::Unexpected { uri: Box::new("amqp://localhost".parse().unwrap()), method: "end" };
        assert!(consumer.take(|| frames.next().map(Some).ok_or_else(ended)).is_err());
        assert_eq!(consumer.shared.counts().delivered, 1);
        assert_eq!((consumer.outcome.tally.delivered(), consumer.last_tag), (1, 0));
    }
}
