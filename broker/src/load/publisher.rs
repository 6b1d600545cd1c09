//! A publisher: keeps a window of unconfirmed messages full, or a rate, and
//! remembers what was confirmed. After a lost connection it sends what was not
//! confirmed again, under the same stamps.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use warren_amqp::{Method, Payload, PropertiesBuilder, ShortStr, basic, confirm};

use super::tally::Bits;
use super::{Bodies, Gap, Latencies, LoadError, Pace, Shared, Stamp, connect};
use crate::client::{CHANNEL, Client, Uri};

/// What a publisher does.
#[derive(Clone, Debug)]
pub struct PublisherPlan {
    /// Its number, from 0.
    pub id: u32,
    /// Where it connects; after a lost connection, to the next of these.
    pub uris: Vec<Uri>,
    /// Whether it connects again at all.
    pub reconnect: bool,
    /// To which queue.
    pub queue: ShortStr,
    /// Octets of a body.
    pub size: usize,
    /// Unconfirmed messages at most; 0 publishes without confirms.
    pub window: usize,
    /// Persistent messages.
    pub persistent: bool,
    /// Messages to send; without it, until [`Shared::stop_publishing`].
    pub messages: Option<u64>,
    /// Messages a second, and this publisher's place between two of them.
    pub rate: Option<(f64, f64)>,
    /// How long confirms are waited for after the last message.
    pub patience: Duration,
}

/// What a publisher did.
#[derive(Debug, Default)]
pub struct PublisherOutcome {
    /// Its number.
    pub id: u32,
    /// Messages sent (again does not count).
    pub attempted: u64,
    /// Which were confirmed.
    pub confirmed: Bits,
    /// Refused by a nack.
    pub refused: u64,
    /// Connections lost.
    pub connections_lost: u64,
    /// From the intended time of sending to the confirm, while measuring.
    pub latencies: Latencies,
}

/// Octets that wait for the socket at most before nothing more is made.
const BACKLOG: usize = 256 * 1024;
/// How often a publisher looks whether it is to stop.
const GLANCE: Duration = Duration::from_millis(20);
/// Between two attempts to connect again.
const RETRY: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug)]
struct Pending {
    sequence: u64,
    intended: u64,
    answered: bool,
}

/// One publisher, running.
#[derive(Debug)]
pub struct Publisher {
    plan: PublisherPlan,
    shared: Arc<Shared>,
    gaps: Vec<Arc<Gap>>,
    bodies: Bodies,
    publish: basic::Publish,
    properties: Bytes,
    /// What is unconfirmed, by delivery tag; the first has tag `first_tag`.
    pending: VecDeque<Pending>,
    first_tag: u64,
    /// Of `pending`, those without an answer yet.
    unanswered: usize,
    outcome: PublisherOutcome,
}

impl Publisher {
    /// Runs it to its end. `gaps` are told of each batch of confirms.
    ///
    /// # Errors
    /// The connection was lost and is not to be made again, or could not be made.
    pub async fn run(
        plan: PublisherPlan,
        shared: Arc<Shared>,
        gaps: Vec<Arc<Gap>>,
    ) -> Result<PublisherOutcome, LoadError> {
        let delivery_mode = Some(if plan.persistent { 2 } else { 1 });
        let mut publisher = Self {
            bodies: Bodies::new(plan.size),
            publish: basic::Publish { routing_key: plan.queue.clone(), ..Default::default() },
            properties: PropertiesBuilder { delivery_mode, ..Default::default() }.encode(),
            pending: VecDeque::with_capacity(plan.window.min(1 << 20)),
            first_tag: 1,
            unanswered: 0,
            outcome: PublisherOutcome { id: plan.id, ..Default::default() },
            plan,
            shared,
            gaps,
        };
        let mut client = publisher.connect(0).await?;
        let pace = publisher.plan.rate.map(|(rate, phase)| Pace::new(&publisher.shared, rate, phase));
        loop {
            let error = match publisher.publish_all(&mut client, pace.as_ref()).await {
                Ok(()) => break,
                Err(error) => error,
            };
            publisher.outcome.connections_lost += 1;
            if !publisher.plan.reconnect {
                return Err(error);
            }
            client = publisher.connect_again().await?;
        }
        // What matters is counted; how the connection ends does not.
        let _ = client.close().await;
        Ok(publisher.outcome)
    }

    async fn connect(&self, attempt: usize) -> Result<Client, LoadError> {
        let uris = &self.plan.uris;
        let Some(uri) = uris.get(attempt % uris.len().max(1)) else {
            return Err(LoadError::Task("a publisher has nowhere to connect to".to_owned()));
        };
        let mut client = connect(uri).await?;
        if self.plan.window > 0 {
            let Method::ConfirmSelectOk(_) = client.call(CHANNEL, &confirm::Select::default()).await? else {
                return Err(client.unexpected("answer to confirm.select").into());
            };
        }
        Ok(client)
    }

    /// Connects to where it can, and sends again what was not confirmed.
    async fn connect_again(&mut self) -> Result<Client, LoadError> {
        let began = self.shared.now();
        let mut attempt = 0;
        let mut client = loop {
            match self.connect(attempt).await {
                Ok(client) => break client,
                Err(error) if self.shared.now() - began > self.plan.patience.as_nanos() as u64 => return Err(error),
                Err(_) => tokio::time::sleep(RETRY).await,
            }
            attempt += 1;
        };
        self.pending.retain(|pending| !pending.answered);
        self.first_tag = 1;
        for pending in self.pending.clone() {
            self.send(&mut client, pending.sequence, pending.intended);
        }
        Ok(client)
    }

    fn send(&mut self, client: &mut Client, sequence: u64, intended: u64) {
        let stamp = Stamp { run: self.shared.run, publisher: self.plan.id, sequence, intended };
        let body = self.bodies.stamped(&stamp);
        let frame_max = client.frame_max();
        client.out.publish(CHANNEL, &self.publish, &self.properties, &body, frame_max);
    }

    async fn publish_all(&mut self, client: &mut Client, pace: Option<&Pace>) -> Result<(), LoadError> {
        let mut over_since = None;
        loop {
            let over = self.fill(client, pace);
            let left = if self.plan.window > 0 { self.unanswered } else { client.out.len() };
            if over {
                let since = *over_since.get_or_insert_with(|| self.shared.now());
                let waited = self.shared.now() - since;
                if left == 0 || waited > self.plan.patience.as_nanos() as u64 {
                    return Ok(());
                }
            }
            match pace {
                Some(pace) if !over => client.turn(pace.next()).await?,
                _ => client.turn(tokio::time::sleep(GLANCE)).await?,
            }
            self.take_confirms(client)?;
        }
    }

    /// Sends what may be sent; true if there will be nothing more.
    fn fill(&mut self, client: &mut Client, pace: Option<&Pace>) -> bool {
        let messages = self.plan.messages.unwrap_or(u64::MAX);
        let window = if self.plan.window == 0 { usize::MAX } else { self.plan.window };
        let before = self.outcome.attempted;
        let mut over = self.shared.stop_publishing.load(Ordering::Relaxed);
        let mut now = self.shared.now();
        while !over && self.unanswered < window && client.out.len() < BACKLOG {
            let sequence = self.outcome.attempted;
            if sequence >= messages {
                over = true;
                break;
            }
            let intended = match pace {
                Some(pace) => {
                    let intended = pace.intended(sequence);
                    if intended > now {
                        break;
                    }
                    intended
                }
                None => {
                    // Not every message has its own reading of the clock.
                    if sequence.is_multiple_of(8) {
                        now = self.shared.now();
                    }
                    now
                }
            };
            self.send(client, sequence, intended);
            self.outcome.attempted += 1;
            if self.plan.window > 0 {
                self.pending.push_back(Pending { sequence, intended, answered: false });
                self.unanswered += 1;
            } else {
                self.outcome.confirmed.insert(sequence);
            }
        }
        let sent = self.outcome.attempted - before;
        if sent > 0 {
            self.shared.attempted.fetch_add(sent, Ordering::Relaxed);
            if self.plan.window == 0 {
                self.shared.confirmed.fetch_add(sent, Ordering::Relaxed);
            }
        }
        over
    }

    fn take_confirms(&mut self, client: &mut Client) -> Result<(), LoadError> {
        let before = self.outcome.confirmed.len();
        let now = self.shared.now();
        let measuring = self.shared.measuring.load(Ordering::Relaxed);
        while let Some(frame) = client.next_frame()? {
            match frame.payload {
                Payload::Method(Method::BasicAck(ack)) => {
                    self.answer(ack.delivery_tag, ack.multiple, measuring.then_some(now), true);
                }
                Payload::Method(Method::BasicNack(nack)) => self.answer(nack.delivery_tag, nack.multiple, None, false),
                _ => {}
            }
        }
        let confirmed = self.outcome.confirmed.len() - before;
        if confirmed > 0 && self.plan.window > 0 {
            self.shared.confirmed.fetch_add(confirmed, Ordering::Relaxed);
            for gap in &self.gaps {
                gap.event(now);
            }
        }
        Ok(())
    }

    fn answer(&mut self, tag: u64, multiple: bool, now: Option<u64>, confirmed: bool) {
        let Some(last) = tag.checked_sub(self.first_tag).and_then(|index| usize::try_from(index).ok()) else {
            return;
        };
        let first = if multiple { 0 } else { last };
        for index in first..=last.min(self.pending.len().saturating_sub(1)) {
            let Some(pending) = self.pending.get_mut(index).filter(|pending| !pending.answered) else { continue };
            pending.answered = true;
            self.unanswered -= 1;
            if confirmed {
                self.outcome.confirmed.insert(pending.sequence);
            } else {
                self.outcome.refused += 1;
            }
            if let Some(now) = now {
                self.outcome.latencies.record(now.saturating_sub(pending.intended));
            }
        }
        while self.pending.front().is_some_and(|pending| pending.answered) {
            self.pending.pop_front();
            self.first_tag += 1;
        }
    }
}
