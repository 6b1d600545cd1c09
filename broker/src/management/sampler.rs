//! Rates and totals: what the queues led here did, looked at every few seconds.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use warren_replication::types::QueueId;
use warren_shard::step::QueueStatus;

use super::Cluster;
use super::model::Rates;

/// Over how long rates are taken.
const PERIOD: Duration = Duration::from_secs(5);

/// Messages published, delivered and settled.
pub(super) type Totals = [u64; 3];

/// What was seen so far.
#[derive(Default)]
pub(super) struct Sampler {
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    at: Option<Instant>,
    /// By queue: totals since this process leads it, and rates at the last look.
    queues: BTreeMap<QueueId, (Totals, Rates)>,
    /// Over all queues since this process runs; never falls.
    totals: Totals,
}

impl Sampler {
    /// Takes a look at all queues; those not led here are left out.
    pub(super) fn look(&self, statuses: &[QueueStatus], now: Instant) {
        let mut seen = self.seen.lock();
        let seconds = seen.at.map_or(0.0, |at| now.duration_since(at).as_secs_f64());
        let mut queues = BTreeMap::new();
        for status in statuses.iter().filter(|status| status.leading) {
            let (published, delivered, settled) = status.totals;
            let totals = [published, delivered, settled];
            let before = seen.queues.get(&status.queue).map(|(totals, _)| *totals);
            // Totals start again with each reign: less than before means that
            // all of it is new.
            let fresh = |index: usize| match before {
                Some(before) if before[index] <= totals[index] => totals[index] - before[index],
                _ => totals[index],
            };
            let rate = |index: usize| match before {
                Some(_) if seconds > 0.0 => fresh(index) as f64 / seconds,
                _ => 0.0,
            };
            let rates = Rates { publish: rate(0), deliver: rate(1), settle: rate(2) };
            for (index, total) in seen.totals.iter_mut().enumerate() {
                *total += fresh(index);
            }
            queues.insert(status.queue, (totals, rates));
        }
        seen.queues = queues;
        seen.at = Some(now);
    }

    /// The same, unless the last look was just now.
    pub(super) fn look_if_stale(&self, statuses: &[QueueStatus], now: Instant) {
        let fresh = self.seen.lock().at.is_some_and(|at| now.duration_since(at) < PERIOD / 5);
        if !fresh {
            self.look(statuses, now);
        }
    }

    /// A queue's rates at the last look.
    pub(super) fn rates(&self, queue: QueueId) -> Rates {
        self.seen.lock().queues.get(&queue).map(|(_, rates)| *rates).unwrap_or_default()
    }

    /// Over all queues led here, since this process runs.
    pub(super) fn totals(&self) -> Totals {
        self.seen.lock().totals
    }
}

/// Looks again and again.
pub(super) async fn run(cluster: &dyn Cluster, sampler: &Sampler) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let statuses = cluster.statuses().await;
        sampler.look(&statuses, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::management::fake::status;

    #[test]
    fn rates_are_per_second_and_totals_never_fall() {
        let sampler = Sampler::default();
        let start = Instant::now();
        let look = |seconds: u64, totals| {
            let status = QueueStatus { totals, ..status(QueueId(1)) };
            sampler.look(&[status], start + Duration::from_secs(seconds));
        };
        look(0, (10, 0, 0));
        assert_eq!(sampler.rates(QueueId(1)), Rates::default());
        look(5, (20, 5, 5));
        assert_eq!(sampler.rates(QueueId(1)), Rates { publish: 2.0, deliver: 1.0, settle: 1.0 });
        look(10, (4, 0, 0));
        assert_eq!(sampler.totals(), [24, 5, 5]);
        sampler.look(&[], start + Duration::from_secs(15));
        assert_eq!(sampler.totals(), [24, 5, 5]);
    }
}
