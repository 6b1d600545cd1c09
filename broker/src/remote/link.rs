//! One link, for as long as it is to be: runs that end by an error, waits
//! between them, and its end.
//!
//! A run moves messages between two connections without a task, lock or channel
//! in between. What is on its way is bounded: by the prefetch where the source
//! counts acknowledgements, by [`WINDOW`] and [`BACKLOG`] everywhere. On
//! confirm, the source forgets a message only when the target has it for good,
//! so that neither end's failure, nor the network's, nor ours loses one; what
//! was confirmed and not yet acknowledged when something failed comes twice.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use warren_amqp::Properties;
use warren_shard::origin;

use super::backoff::Backoff;
use super::connector::Connector;
use super::error::LinkError;
use super::flow::Flow;
use super::mark::Marks;
use super::plan::{AckMode, Extent, Kind, LinkPlan};
use super::sites;
use super::source::{Delivery, Source};
use super::state::{Condition, LinkState};
use super::target::Target;
use crate::client::Turn;

/// Octets that wait for the target's socket at most before nothing more is taken.
const BACKLOG: usize = 512 * 1024;
/// Messages without an answer of the target at most, whatever the prefetch.
const WINDOW: usize = 10_000;
/// How often a run looks around.
const TICK: Duration = Duration::from_millis(250);
/// The same, of a run that ends with its source: it looks for the end.
const TICK_TO_END: Duration = Duration::from_millis(50);
/// A source counts as empty when it was found so in so many looks in a row: what
/// is ready may be none while deliveries are still on their way.
const QUIET: u32 = 2;
/// Every so many looks the source is asked how long its queue is.
const ASK_EVERY: u32 = 8;
/// How long a link that is stopped waits for the answers to what is on its way.
const DRAIN: Duration = Duration::from_secs(3);
/// After a refusal of the target nothing is taken for so long; twice as long
/// after the next one.
const AFTER_REFUSAL: Duration = Duration::from_millis(250);
const AFTER_REFUSALS: Duration = Duration::from_secs(10);

/// How often a link that is to keep the order looks whether its queue's first
/// message is there, and how long it waits in between.
const ORDER_PATIENCE: u32 = 60;
const BEFORE_ORDER: Duration = Duration::from_millis(500);

/// Whether somebody waits for what a link brings.
pub(super) trait Demand: Send + Sync {
    /// Asked every few hundred milliseconds; `all`: not only for who waits now.
    fn wanted(&self, all: bool) -> Pin<Box<dyn Future<Output = bool> + Send + '_>>;
}

/// How a link ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It has moved all that it was to move.
    Done,
    /// It was stopped.
    Stopped,
    /// A run failed, and it is not to connect again.
    Failed,
}

/// Runs a link of its own, beside no broker, until it is done or stopped.
pub async fn run(plan: &LinkPlan, connector: &Connector, state: &LinkState, stop: &CancellationToken) -> Ended {
    Link { plan, connector, state, stop, demand: None }.run().await
}

/// One link.
pub(super) struct Link<'a> {
    pub(super) plan: &'a LinkPlan,
    pub(super) connector: &'a Connector,
    pub(super) state: &'a LinkState,
    pub(super) stop: &'a CancellationToken,
    /// Without: always.
    pub(super) demand: Option<&'a dyn Demand>,
}

impl Link<'_> {
    /// Runs it until it is done or stopped.
    pub(super) async fn run(&self) -> Ended {
        let key = &self.plan.key;
        let first = self.plan.reconnect.unwrap_or_default();
        let is_site = self.plan.source.site.is_some();
        let mut backoff = if is_site { Backoff::of_site(first) } else { Backoff::new(first) };
        let mut attempt = 0;
        // Only what comes by an exchange's link is in order.
        let order = if self.plan.key.kind == Kind::Site { ORDER_PATIENCE } else { 0 };
        let mut patience = order;
        loop {
            self.state.is(Condition::Starting);
            let before = self.state.total();
            let error = tokio::select! {
                ran = self.attempt(attempt, patience > 0) => match ran {
                    Ok(ended) => {
                        self.state.is(Condition::Terminated);
                        return ended;
                    }
                    Err(error) => error,
                },
                // While it runs, the run itself sees the stop, and drains.
                () = self.stopped_for(DRAIN + TICK) => return Ended::Stopped,
            };
            // What a link that failed had taken is on its way back into its queue.
            if let LinkError::OutOfOrder = error {
                patience -= 1;
                tokio::select! {
                    () = tokio::time::sleep(BEFORE_ORDER) => continue,
                    () = self.stop.cancelled() => return Ended::Stopped,
                }
            }
            patience = order;
            attempt += 1;
            if self.state.total() > before {
                backoff.reset();
            }
            self.state.failed(error.to_string());
            if self.plan.reconnect.is_none() {
                warn!(link = %key, %error, "a link ended and is not to connect again");
                self.state.is(Condition::Terminated);
                return Ended::Failed;
            }
            let wait = backoff.next();
            warn!(link = %key, %error, again_in_ms = wait.as_millis(), "a link was interrupted");
            self.state.is(Condition::Waiting);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stop.cancelled() => return Ended::Stopped,
            }
        }
    }

    async fn stopped_for(&self, time: Duration) {
        self.stop.cancelled().await;
        tokio::time::sleep(time).await;
    }

    async fn attempt(&self, attempt: usize, in_order: bool) -> Result<Ended, LinkError> {
        let opened = async {
            // The target first: nothing is taken before it can go somewhere.
            let target = Target::open(self.plan, self.connector, attempt).await?;
            let source = Source::open(self.plan, self.connector, attempt, self.demand.is_none()).await?;
            Ok((target, source))
        };
        let (target, source) = tokio::select! {
            opened = opened => opened?,
            () = self.stop.cancelled() => return Ok(Ended::Stopped),
        };
        info!(link = %self.plan.key, source = %source.client.uri(), target = %target.client.uri(), "a link runs");
        let left = match self.plan.extent {
            Extent::Forever | Extent::UntilEmpty => None,
            Extent::QueueLength => Some(source.length),
            Extent::Messages(messages) => Some(messages.saturating_sub(self.state.total())),
        };
        let marks = self.plan.marks.of_source(source.client.server_properties());
        let run = Run {
            link: self,
            marks,
            source,
            target,
            flow: Flow::new(),
            left,
            last_tag: 0,
            refusals: Refusals::default(),
            quiet: 0,
            took: false,
            in_order,
        };
        run.forward().await
    }
}

/// How the target's refusals slow a link down: what it refuses comes back from
/// the source at once, and must not go round and round.
#[derive(Debug, Default)]
struct Refusals {
    until: Option<Instant>,
    in_a_row: u32,
}

impl Refusals {
    fn refused(&mut self) {
        let pause = AFTER_REFUSAL.saturating_mul(1 << self.in_a_row.min(10)).min(AFTER_REFUSALS);
        self.in_a_row += 1;
        self.until = Some(Instant::now() + pause);
    }

    fn is_pausing(&mut self) -> bool {
        if self.until.is_some_and(|until| Instant::now() >= until) {
            self.until = None;
        }
        self.until.is_some()
    }
}

/// One run between two connections.
struct Run<'a> {
    link: &'a Link<'a>,
    source: Source,
    target: Target,
    marks: Marks,
    flow: Flow,
    /// Messages that are still to be taken, if they are counted.
    left: Option<u64>,
    /// The last delivery that was handed to the target's socket.
    last_tag: u64,
    refusals: Refusals,
    /// Looks in a row that found nothing left anywhere.
    quiet: u32,
    /// Whether anything was taken since the last look.
    took: bool,
    /// Whether the first message must be the first that its queue has left.
    in_order: bool,
}

impl Run<'_> {
    async fn forward(mut self) -> Result<Ended, LinkError> {
        let ends = self.link.plan.extent == Extent::UntilEmpty;
        let mut ticks = interval(if ends { TICK_TO_END } else { TICK });
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut tick = 0;
        let mut drained_by: Option<Instant> = None;
        loop {
            let draining = drained_by.is_some();
            if draining {
                self.give_back()?;
            } else {
                self.take_deliveries()?;
            }
            self.take_answers()?;
            self.settle()?;
            let on_the_way = !self.flow.is_empty() || !self.target.client.out.is_empty();
            if !on_the_way && (draining || self.is_done()) {
                return self.finish(draining).await;
            }
            if drained_by.is_some_and(|by| Instant::now() >= by) {
                return Ok(Ended::Stopped);
            }
            let stop = self.link.stop;
            let only_writes = draining || !self.has_room();
            tokio::select! {
                biased;
                () = stop.cancelled(), if !draining => {
                    drained_by = Some(Instant::now() + DRAIN);
                    self.source.pause();
                }
                turned = turn(&mut self.source, &mut self.target, only_writes) => turned?,
                _ = ticks.tick() => {
                    tick += 1;
                    self.look_around(tick).await?;
                }
                () = until(drained_by) => {}
            }
        }
    }

    /// Everything that was to be moved was.
    fn is_done(&self) -> bool {
        match self.link.plan.extent {
            Extent::UntilEmpty => self.quiet >= QUIET,
            _ => self.left == Some(0),
        }
    }

    async fn finish(self, stopped: bool) -> Result<Ended, LinkError> {
        // Closing in order makes the acknowledgements count.
        self.source.close().await.map_err(LinkError::source)?;
        // The messages are there; how this connection ends does not matter.
        let _ = self.target.close().await;
        Ok(if stopped { Ended::Stopped } else { Ended::Done })
    }

    fn has_room(&mut self) -> bool {
        self.left != Some(0)
            && self.flow.unanswered() < WINDOW
            && self.target.client.out.len() < BACKLOG
            && self.target.blocked.is_none()
            && !self.refusals.is_pausing()
    }

    fn take_deliveries(&mut self) -> Result<(), LinkError> {
        let mut bytes = 0;
        while self.has_room() {
            let Some(delivery) = self.source.next()? else { break };
            if std::mem::take(&mut self.in_order) && is_not_first(&delivery) {
                return Err(LinkError::OutOfOrder);
            }
            let plan = self.link.plan;
            if let Some(left) = &mut self.left {
                *left -= 1;
            }
            let tag = delivery.tag;
            match self.marks.apply(&delivery.properties, delivery.redelivered) {
                Some(properties) => {
                    bytes += delivery.body.len() as u64;
                    self.target.publish(delivery, &properties);
                    if plan.ack == AckMode::OnConfirm {
                        self.flow.published(tag);
                    } else {
                        self.link.state.moved(1);
                    }
                }
                // It has gone far enough; it is forgotten in its turn.
                None if plan.ack == AckMode::OnConfirm => self.flow.passed_over(tag),
                None => {}
            }
            (self.last_tag, self.took) = (tag, true);
        }
        if bytes > 0 {
            self.link.state.took(bytes);
        }
        Ok(())
    }

    fn take_answers(&mut self) -> Result<(), LinkError> {
        while let Some(answer) = self.target.next()? {
            self.flow.answered(answer.sequence, answer.multiple, answer.taken);
        }
        Ok(())
    }

    /// What has come of another site's queue and goes no further: nothing has become
    /// of it, and it is for others again.
    fn give_back(&mut self) -> Result<(), LinkError> {
        if self.link.plan.key.kind == Kind::SiteQueue {
            while let Some(delivery) = self.source.next()? {
                self.source.refuse(delivery.tag);
            }
        }
        Ok(())
    }

    /// Tells the source what it may forget.
    fn settle(&mut self) -> Result<(), LinkError> {
        match self.link.plan.ack {
            AckMode::OnConfirm => {
                let settled = self.flow.settle();
                // A refusal may be one that only came too late to be a confirm: what is
                // refused stays this site's, and is known if it is here (§4.9).
                if !settled.refused.is_empty() && self.link.plan.key.kind == Kind::SiteQueue {
                    return Err(LinkError::Refused);
                }
                for tag in &settled.refused {
                    self.source.refuse(*tag);
                }
                if !settled.refused.is_empty() {
                    let refused = settled.refused.len() as u64;
                    self.link.state.refused(refused);
                    self.refusals.refused();
                    // They are still to be moved.
                    self.left = self.left.map(|left| left + refused);
                } else if settled.taken > 0 {
                    self.refusals.in_a_row = 0;
                }
                if let Some(through) = settled.through {
                    self.source.acknowledge(through);
                    self.link.state.moved(settled.taken);
                }
            }
            AckMode::OnPublish if self.last_tag > 0 && self.target.client.out.is_empty() => {
                self.source.acknowledge(std::mem::take(&mut self.last_tag));
            }
            AckMode::OnPublish | AckMode::NoAck => {}
        }
        Ok(())
    }

    async fn look_around(&mut self, tick: u32) -> Result<(), LinkError> {
        self.source.client.keep_alive().map_err(LinkError::source)?;
        self.target.client.keep_alive().map_err(LinkError::target)?;
        if self.link.plan.extent == Extent::UntilEmpty {
            let empty = self.source.ready == Some(0) && self.flow.is_empty() && !std::mem::take(&mut self.took);
            self.quiet = if empty { self.quiet + 1 } else { 0 };
            self.source.ask_length();
        } else if tick.is_multiple_of(ASK_EVERY) {
            self.source.ask_length();
        }
        if let Some(demand) = self.link.demand {
            let all = sites::is_drained(self.source.client.server_properties());
            if demand.wanted(all).await { self.source.consume() } else { self.source.pause() }
        }
        let state = self.link.state;
        state.measure(self.flow.unanswered() as u64, self.source.ready);
        state.is(match &self.target.blocked {
            Some(reason) => Condition::Blocked(reason.to_string()),
            None if !self.source.is_consuming() && self.flow.is_empty() => Condition::Idle,
            None => Condition::Running,
        });
        Ok(())
    }
}

/// Whether there are earlier messages in the queue that this one came from, which
/// is known where the far end says it.
fn is_not_first(delivery: &Delivery) -> bool {
    let parsed = Properties::parse(&delivery.properties).ok();
    let origin = parsed.and_then(|parsed| parsed.headers()).and_then(|headers| origin::read(&headers));
    origin.is_some_and(|origin| origin.floor < origin.sequence)
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Waits until either end moved.
async fn turn(source: &mut Source, target: &mut Target, only_writes: bool) -> Result<(), LinkError> {
    let mut turns = (Turn::new(only_writes), Turn::new(false));
    poll_fn(|cx| {
        // Both, each time: neither end is to wait for the other.
        let polled = (
            source.client.poll_turn(&mut turns.0, cx).map_err(LinkError::source),
            target.client.poll_turn(&mut turns.1, cx).map_err(LinkError::target),
        );
        match polled {
            (Poll::Ready(Err(error)), _) | (_, Poll::Ready(Err(error))) => Poll::Ready(Err(error)),
            (Poll::Pending, Poll::Pending) => Poll::Pending,
            _ => Poll::Ready(Ok(())),
        }
    })
    .await
}
