//! A drill's clients: two publishers with confirms and a consumer.
//!
//! Publisher 0 and the consumer are clients of nodes that nothing is done to, if
//! there are any: they must notice nothing but a pause. Publisher 1 is a client
//! of a node that is hurt: it connects again and sends again what was not
//! confirmed, so that some of its messages may arrive twice, and none may be
//! missing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::DrillError;
use super::plan::{Consume, Load as Wanted};
use crate::client::Uri;
use crate::load::{
    Consumer, ConsumerOutcome, ConsumerPlan, Gap, LoadError, Publisher, PublisherOutcome, PublisherPlan, Shared,
    Topology, outcome,
};

/// How often a condition is looked at.
pub(super) const GLANCE: Duration = Duration::from_millis(50);
/// After the last message was seen, for duplicates that come late.
const LINGER: Duration = Duration::from_millis(500);

/// The publisher of nodes that nothing is done to.
pub(super) const STEADY: u32 = 0;
/// The publisher of a node that is hurt.
pub(super) const HURT: u32 = 1;
/// Who publishes for [`super::Step::Publish`], once each.
const BULK: u32 = 2;

/// Where clients connect: nodes that nothing is done to, and the others.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub(super) steady: Vec<Uri>,
    pub(super) hurt: Vec<Uri>,
}

impl Places {
    /// Where the consumer, the steady publisher and the other one connect first,
    /// and then.
    fn lists(&self) -> [Vec<Uri>; 3] {
        let all = |from: usize| {
            let mut uris: Vec<Uri> = self.steady.iter().chain(&self.hurt).cloned().collect();
            let from = from % uris.len().max(1);
            uris.rotate_left(from);
            uris
        };
        let hurt: Vec<Uri> = self.hurt.iter().take(1).chain(self.steady.iter().rev()).cloned().collect();
        match self.steady.as_slice() {
            [] => [all(1), all(0), all(2)],
            [one] => [vec![one.clone()], vec![one.clone()], hurt],
            [one, other, ..] => [vec![other.clone()], vec![one.clone()], hurt],
        }
    }
}

/// The clients, running.
pub(super) struct Load {
    pub(super) shared: Arc<Shared>,
    pub(super) gaps: Gaps,
    publishers: Vec<JoinHandle<Result<PublisherOutcome, LoadError>>>,
    bulk: Vec<PublisherOutcome>,
    consumer: Option<JoinHandle<Result<ConsumerOutcome, LoadError>>>,
    consumes: ConsumerPlan,
    publishes: PublisherPlan,
}

/// The longest pauses.
#[derive(Clone, Default)]
pub(super) struct Gaps {
    pub(super) confirms: Arc<Gap>,
    pub(super) hurt_confirms: Arc<Gap>,
    pub(super) deliveries: Arc<Gap>,
}

/// What the clients did.
pub(super) struct Done {
    pub(super) published: Vec<PublisherOutcome>,
    pub(super) consumed: ConsumerOutcome,
}

impl Load {
    pub(super) fn start(
        wanted: &Wanted,
        patience: Duration,
        runtime: &Runtime,
        run: u32,
        topology: &Topology,
        places: &Places,
    ) -> Self {
        let shared = Arc::new(Shared::new(run));
        let gaps = Gaps::default();
        let [consumer, steady, hurt] = places.lists();
        let plan = |id: u32, uris: Vec<Uri>| PublisherPlan {
            id,
            uris,
            reconnect: true,
            queue: topology.queue_of(0),
            size: wanted.size,
            window: wanted.window,
            persistent: true,
            messages: None,
            rate: (wanted.rate > 0).then(|| (f64::from(wanted.rate), f64::from(id) / 2.0)),
            patience,
        };
        let publisher = |plan: PublisherPlan, gap: &Arc<Gap>| {
            runtime.spawn(Publisher::run(plan, Arc::clone(&shared), vec![Arc::clone(gap)]))
        };
        let mut load = Self {
            publishes: plan(BULK, steady.clone()),
            publishers: vec![
                publisher(plan(STEADY, steady), &gaps.confirms),
                publisher(plan(HURT, hurt), &gaps.hurt_confirms),
            ],
            bulk: Vec::new(),
            consumer: None,
            consumes: ConsumerPlan {
                uris: consumer,
                reconnect: true,
                queue: topology.queue_of(0),
                prefetch: wanted.prefetch,
                no_ack: false,
                patience,
            },
            shared,
            gaps,
        };
        if wanted.consume == Consume::Always {
            load.consume(runtime);
        }
        load
    }

    fn consume(&mut self, runtime: &Runtime) {
        if self.consumer.is_none() {
            let (shared, gap) = (Arc::clone(&self.shared), Arc::clone(&self.gaps.deliveries));
            self.consumer = Some(runtime.spawn(Consumer::run(self.consumes.clone(), shared, vec![gap])));
        }
    }

    /// So many messages, confirmed.
    pub(super) fn publish(&mut self, messages: u64, runtime: &Runtime) -> Result<(), DrillError> {
        let id = BULK + u32::try_from(self.bulk.len()).unwrap_or_default();
        let plan = PublisherPlan { id, messages: Some(messages), rate: None, ..self.publishes.clone() };
        let done = runtime.block_on(Publisher::run(plan, Arc::clone(&self.shared), Vec::new()))?;
        self.bulk.push(done);
        Ok(())
    }

    /// Whether messages flow.
    pub(super) fn flows(&self) -> bool {
        let counts = self.shared.counts();
        self.ended() || counts.confirmed > 0 && (self.consumer.is_none() || counts.delivered > 0)
    }

    /// Lets time pass, unless a client has given up.
    pub(super) fn pass(&self, time: Duration) -> Result<(), DrillError> {
        let until = Instant::now() + time;
        loop {
            if self.ended() {
                return Err(DrillError::Cluster("a client of the drill gave up".to_owned()));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(GLANCE));
        }
    }

    fn ended(&self) -> bool {
        self.consumer.as_ref().is_some_and(JoinHandle::is_finished)
            || self.publishers.iter().any(JoinHandle::is_finished)
    }

    /// What was before the fault does not count for gaps.
    pub(super) fn restart_gaps(&self) {
        for gap in [&self.gaps.confirms, &self.gaps.hurt_confirms, &self.gaps.deliveries] {
            gap.restart(self.shared.now());
        }
    }

    /// Publishers first; then, when all that was confirmed has arrived or
    /// nothing more comes, the consumer.
    pub(super) fn stop(mut self, patience: Duration, runtime: &Runtime) -> Result<Done, DrillError> {
        self.shared.stop_publishing.store(true, Ordering::Relaxed);
        let mut published = Vec::new();
        for publisher in std::mem::take(&mut self.publishers) {
            published.push(runtime.block_on(async { outcome(publisher.await) }));
        }
        self.consume(runtime);
        let mut last = self.shared.counts();
        while !self.ended() && last.delivered < self.shared.counts().confirmed {
            let now = self.shared.counts();
            if now.delivered != last.delivered {
                last = now;
            }
            if Duration::from_nanos(now.at.saturating_sub(last.at)) > patience {
                break;
            }
            std::thread::sleep(GLANCE);
        }
        std::thread::sleep(LINGER);
        self.shared.stop_consuming.store(true, Ordering::Relaxed);
        let consumed = match self.consumer {
            Some(consumer) => runtime.block_on(async { outcome(consumer.await) })?,
            None => ConsumerOutcome::default(),
        };
        let mut published = published.into_iter().collect::<Result<Vec<_>, LoadError>>()?;
        published.extend(self.bulk);
        Ok(Done { published, consumed })
    }
}
