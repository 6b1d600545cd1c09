//! Kill the node that leads a mirrored queue in the middle of traffic, start it
//! again, and account for every message.
//!
//! Publisher 0 and the consumer are clients of surviving nodes: they must notice
//! nothing but a pause. Publisher 1 is a client of the node that is killed: it
//! connects again and sends again what was not confirmed, so that some of its
//! messages may arrive twice, and none may be missing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::{Cluster, DrillError};
use crate::client::Uri;
use crate::load::{
    Consumer, ConsumerOutcome, ConsumerPlan, Gap, LoadError, Publisher, PublisherOutcome, PublisherPlan, Shared, Tally,
    Topology, outcome,
};
use crate::management::model::QueueRow;

/// What to do.
#[derive(Clone, Debug)]
pub struct KillLeader {
    /// The queue's name begins with this.
    pub queue_prefix: String,
    /// Messages a second of each publisher; without it, as many as the window lets through.
    pub rate: Option<f64>,
    /// Unconfirmed messages of a publisher at most.
    pub window: usize,
    /// Octets of a message.
    pub size: usize,
    /// Unacknowledged messages of the consumer at most.
    pub prefetch: u16,
    /// Load before the kill.
    pub before: Duration,
    /// From the kill to the restart.
    pub down: Duration,
    /// Load after the mirror is back in sync.
    pub after: Duration,
    /// For whatever should come about by itself.
    pub patience: Duration,
    /// A longer pause of the survivors' publisher than this is a failure.
    pub most_gap: Option<Duration>,
}

/// What was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Nothing was found wrong.
    pub passed: bool,
    /// What was, in sentences.
    pub failures: Vec<String>,
    /// The queue.
    pub queue: String,
    /// The node that led it and was killed.
    pub killed: String,
    /// Who leads it at the end.
    pub leader: Option<String>,
    /// The queue's epoch before the kill.
    pub epoch_before: u64,
    /// And at the end.
    pub epoch_after: u64,
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
    /// Delivered more than once, of the survivors' publisher.
    pub duplicated: u64,
    /// Delivered more than once, of the publisher that had to send again.
    pub duplicated_by_resending: u64,
    /// Delivered behind a later one of the same publisher.
    pub out_of_order: u64,
    /// Delivered with the mark of a redelivery.
    pub redelivered: u64,
    /// Connections to surviving nodes that were lost.
    pub survivors_connections_lost: u64,
    /// Connections to the killed node that were lost.
    pub victims_connections_lost: u64,
    /// Longest time without a confirm, of the survivors' publisher, in milliseconds.
    pub longest_confirm_gap_ms: u64,
    /// The same of the publisher that had to connect again.
    pub longest_confirm_gap_of_victims_client_ms: u64,
    /// Longest time without a delivery, in milliseconds.
    pub longest_delivery_gap_ms: u64,
    /// From the restart to the mirror being in sync again, in milliseconds.
    pub back_in_sync_ms: Option<u64>,
    /// From the kill to the same.
    pub back_in_sync_since_kill_ms: Option<u64>,
}

/// How often a condition is looked at.
const GLANCE: Duration = Duration::from_millis(50);
/// After the last message was seen, for duplicates that come late.
const LINGER: Duration = Duration::from_millis(500);

const SURVIVORS: u32 = 0;
const VICTIMS: u32 = 1;

impl KillLeader {
    /// Does it; `say` is told of each step.
    ///
    /// # Errors
    /// It could not be done. What it found wrong is in the report instead.
    pub fn run(&self, cluster: &mut impl Cluster, runtime: &Runtime, say: &dyn Fn(&str)) -> Result<Report, DrillError> {
        let run: u32 = rand::random();
        let topology = Topology {
            prefix: format!("{}-{run:08x}", self.queue_prefix),
            queues: 1,
            durable: true,
            arguments: Vec::new(),
        };
        let queue = topology.queue_of(0);
        let nodes = cluster.nodes();
        let Some((first, uri)) = nodes.first() else {
            return Err(DrillError::Cluster("the cluster has no nodes".to_owned()));
        };
        runtime.block_on(topology.declare(uri))?;
        let begun = self.until("a leader and mirrors in sync", || {
            let row = cluster.queue(first, queue.as_str()).ok().flatten()?;
            (row.leader.is_some() && !row.mirrors.is_empty() && is_in_sync(&row)).then_some(row)
        })?;
        let killed = begun.leader.clone().unwrap_or_default();
        let (survivors, victims): (Vec<_>, Vec<_>) = nodes.iter().cloned().partition(|(name, _)| *name != killed);
        let [(asked, one), rest @ ..] = survivors.as_slice() else {
            return Err(DrillError::Cluster("the cluster has no second node".to_owned()));
        };
        let other = rest.first().map_or(one, |(_, uri)| uri);
        let Some((_, victim)) = victims.first() else {
            return Err(DrillError::Cluster(format!("the queue is led by {killed}, which is no node of this cluster")));
        };
        say(&format!("{queue} is led by {killed} and mirrored on {}", begun.mirrors.join(" and ")));

        let load = Load::start(self, runtime, run, topology.clone(), [one, other, victim]);
        let drilled = self.drill(cluster, &load, &killed, asked, queue.as_str(), say);
        // The load is stopped in any case; what kept the drill from its end comes first.
        let drained = load.stop(self, runtime);
        let sync = drilled?;
        let (published, consumed, load) = drained?;
        let ended = cluster.queue(asked, queue.as_str()).ok().flatten();
        let deleted = runtime.block_on(topology.delete(one));
        let mut report = Report {
            queue: queue.to_string(),
            killed,
            leader: ended.as_ref().and_then(|row| row.leader.clone()),
            epoch_before: begun.epoch,
            epoch_after: ended.as_ref().map_or(0, |row| row.epoch),
            longest_confirm_gap_ms: millis(load.confirms.longest()),
            longest_confirm_gap_of_victims_client_ms: millis(load.victims_confirms.longest()),
            longest_delivery_gap_ms: millis(load.deliveries.longest()),
            back_in_sync_ms: sync.map(|(since_start, _)| millis(since_start)),
            back_in_sync_since_kill_ms: sync.map(|(_, since_kill)| millis(since_kill)),
            ..Report::default()
        };
        report.count(&published, &consumed);
        self.judge(&mut report, &published);
        deleted?;
        Ok(report)
    }

    /// Kill, restart, wait. How long the mirror took since its start and since
    /// the kill, if it came back.
    fn drill(
        &self,
        cluster: &mut impl Cluster,
        load: &Load,
        killed: &str,
        asked: &str,
        queue: &str,
        say: &dyn Fn(&str),
    ) -> Result<Option<(Duration, Duration)>, DrillError> {
        load.flows(self)?;
        say(&format!("load runs; killing {killed} in {:.1} s", self.before.as_secs_f64()));
        load.pass(self.before)?;
        load.restart_gaps();
        cluster.kill(killed).map_err(DrillError::Cluster)?;
        let dead = Instant::now();
        say(&format!("killed {killed}; starting it again in {:.1} s", self.down.as_secs_f64()));
        load.pass(self.down)?;
        cluster.start(killed).map_err(DrillError::Cluster)?;
        let started = Instant::now();
        say(&format!("started {killed} again"));
        let mut sync = None;
        while sync.is_none() && started.elapsed() < self.patience {
            load.pass(GLANCE)?;
            let row = cluster.queue(asked, queue).ok().flatten();
            if row.is_some_and(|row| is_in_sync(&row) && row.in_sync.iter().any(|name| name == killed)) {
                sync = Some((started.elapsed(), dead.elapsed()));
                say(&format!("{killed} is in sync again"));
            }
        }
        load.pass(self.after)?;
        Ok(sync)
    }

    fn until<T>(&self, what: &'static str, mut look: impl FnMut() -> Option<T>) -> Result<T, DrillError> {
        let deadline = Instant::now() + self.patience;
        loop {
            match look() {
                Some(found) => return Ok(found),
                None if Instant::now() > deadline => {
                    return Err(DrillError::Late { what, seconds: self.patience.as_secs() });
                }
                None => std::thread::sleep(GLANCE),
            }
        }
    }

    fn judge(&self, report: &mut Report, published: &[PublisherOutcome]) {
        let mut failures = Vec::new();
        let mut none = |count: u64, what: &str| {
            if count > 0 {
                failures.push(format!("{count} {what}"));
            }
        };
        none(report.lost, "confirmed messages were not delivered");
        none(report.duplicated, "deliveries of the survivors' publisher were duplicates");
        none(report.out_of_order, "messages were delivered out of order");
        none(report.survivors_connections_lost, "connections to surviving nodes were lost");
        let unanswered = |publisher: &PublisherOutcome| {
            publisher.attempted.saturating_sub(publisher.confirmed.len() + publisher.refused)
        };
        none(published.iter().map(unanswered).sum(), "messages were neither confirmed nor refused");
        none(report.refused, "messages were refused");
        if report.back_in_sync_ms.is_none() {
            failures.push(format!("{} was not in sync again after {} s", report.killed, self.patience.as_secs()));
        }
        if let Some(most) = self.most_gap.filter(|most| millis(*most) < report.longest_confirm_gap_ms) {
            let gap = report.longest_confirm_gap_ms;
            failures.push(format!("{gap} ms passed without a confirm, more than {} ms", millis(most)));
        }
        report.passed = failures.is_empty();
        report.failures = failures;
    }
}

impl Report {
    fn count(&mut self, published: &[PublisherOutcome], consumed: &ConsumerOutcome) {
        let tally: &Tally = &consumed.tally;
        let duplicated = |publisher| tally.publisher(publisher).map_or(0, |seen| seen.duplicated);
        self.attempted = published.iter().map(|publisher| publisher.attempted).sum();
        self.confirmed = published.iter().map(|publisher| publisher.confirmed.len()).sum();
        self.refused = published.iter().map(|publisher| publisher.refused).sum();
        self.lost = published.iter().map(|publisher| tally.lost(publisher.id, &publisher.confirmed)).sum();
        self.delivered = tally.delivered();
        self.duplicated = duplicated(SURVIVORS);
        self.duplicated_by_resending = duplicated(VICTIMS);
        self.out_of_order = tally.out_of_order();
        self.redelivered = tally.redelivered;
        for publisher in published {
            if publisher.id == VICTIMS {
                self.victims_connections_lost += publisher.connections_lost;
            } else {
                self.survivors_connections_lost += publisher.connections_lost;
            }
        }
        self.survivors_connections_lost += consumed.connections_lost;
    }
}

fn is_in_sync(row: &QueueRow) -> bool {
    row.in_sync.len() == row.mirrors.len() + 1
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Publishers and a consumer, running.
struct Load {
    shared: Arc<Shared>,
    confirms: Arc<Gap>,
    victims_confirms: Arc<Gap>,
    deliveries: Arc<Gap>,
    publishers: Vec<JoinHandle<Result<PublisherOutcome, LoadError>>>,
    consumer: JoinHandle<Result<ConsumerOutcome, LoadError>>,
}

impl Load {
    fn start(
        drill: &KillLeader,
        runtime: &Runtime,
        run: u32,
        topology: Topology,
        [one, other, victim]: [&Uri; 3],
    ) -> Self {
        let shared = Arc::new(Shared::new(run));
        let (confirms, victims_confirms, deliveries) = (Arc::default(), Arc::default(), Arc::default());
        let publisher = |id: u32, uris: Vec<Uri>, gap: &Arc<Gap>| {
            let plan = PublisherPlan {
                id,
                uris,
                reconnect: true,
                queue: topology.queue_of(0),
                size: drill.size,
                window: drill.window,
                persistent: true,
                messages: None,
                rate: drill.rate.map(|rate| (rate, f64::from(id) / 2.0)),
                patience: drill.patience,
            };
            runtime.spawn(Publisher::run(plan, Arc::clone(&shared), vec![Arc::clone(gap)]))
        };
        let publishers = vec![
            publisher(SURVIVORS, vec![one.clone()], &confirms),
            publisher(VICTIMS, vec![victim.clone(), other.clone()], &victims_confirms),
        ];
        let plan = ConsumerPlan {
            uris: vec![other.clone()],
            reconnect: true,
            queue: topology.queue_of(0),
            prefetch: drill.prefetch,
            no_ack: false,
            patience: drill.patience,
        };
        let consumer = runtime.spawn(Consumer::run(plan, Arc::clone(&shared), vec![Arc::clone(&deliveries)]));
        Self { shared, confirms, victims_confirms, deliveries, publishers, consumer }
    }

    /// Waits until messages arrive.
    fn flows(&self, drill: &KillLeader) -> Result<(), DrillError> {
        let arrives = || (self.ended() || self.shared.counts().delivered > 0).then_some(());
        drill.until("a first delivery", arrives)?;
        self.pass(Duration::ZERO)
    }

    /// Lets time pass, unless a client has given up.
    fn pass(&self, time: Duration) -> Result<(), DrillError> {
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
        self.consumer.is_finished() || self.publishers.iter().any(JoinHandle::is_finished)
    }

    /// What was before the fault does not count for gaps.
    fn restart_gaps(&self) {
        for gap in [&self.confirms, &self.victims_confirms, &self.deliveries] {
            gap.restart(self.shared.now());
        }
    }

    /// Publishers first; then, when all that was confirmed has arrived or
    /// nothing more comes, the consumer.
    fn stop(
        self,
        drill: &KillLeader,
        runtime: &Runtime,
    ) -> Result<(Vec<PublisherOutcome>, ConsumerOutcome, Gaps), DrillError> {
        self.shared.stop_publishing.store(true, Ordering::Relaxed);
        let gaps =
            Gaps { confirms: self.confirms, victims_confirms: self.victims_confirms, deliveries: self.deliveries };
        let mut published = Vec::new();
        for publisher in self.publishers {
            published.push(runtime.block_on(async { outcome(publisher.await) }));
        }
        let mut last = self.shared.counts();
        while !self.consumer.is_finished() && last.delivered < self.shared.counts().confirmed {
            let now = self.shared.counts();
            if now.delivered != last.delivered {
                last = now;
            }
            if Duration::from_nanos(now.at.saturating_sub(last.at)) > drill.patience {
                break;
            }
            std::thread::sleep(GLANCE);
        }
        std::thread::sleep(LINGER);
        self.shared.stop_consuming.store(true, Ordering::Relaxed);
        let consumed = runtime.block_on(async { outcome(self.consumer.await) });
        let published = published.into_iter().collect::<Result<Vec<_>, LoadError>>()?;
        Ok((published, consumed?, gaps))
    }
}

/// The longest pauses.
struct Gaps {
    confirms: Arc<Gap>,
    victims_confirms: Arc<Gap>,
    deliveries: Arc<Gap>,
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
