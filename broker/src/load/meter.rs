//! What publishers and consumers measure, and what they share: counters written
//! once a batch, read while they run.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

/// Latencies, in nanoseconds, to three digits.
#[derive(Clone, Debug)]
pub struct Latencies(Option<Histogram<u64>>);

impl Default for Latencies {
    fn default() -> Self {
        // From a microsecond to an hour.
        Self(Histogram::new_with_bounds(1000, 3_600_000_000_000, 3).ok())
    }
}

impl Latencies {
    /// Counts one.
    #[inline]
    pub fn record(&mut self, nanos: u64) {
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(nanos);
        }
    }

    /// Adds another's.
    pub fn merge(&mut self, other: &Latencies) {
        if let (Some(ours), Some(theirs)) = (&mut self.0, &other.0) {
            // Only different bounds could fail, and all have the same.
            let _ = ours.add(theirs);
        }
    }

    /// What people look at.
    #[must_use]
    pub fn quantiles(&self) -> Quantiles {
        let Some(histogram) = self.0.as_ref().filter(|histogram| !histogram.is_empty()) else {
            return Quantiles::default();
        };
        let at = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1e6;
        Quantiles { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: histogram.max() as f64 / 1e6 }
    }
}

/// Of latencies, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "their names say it")]
pub struct Quantiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

/// The longest time between two events of a kind.
#[derive(Debug, Default)]
pub struct Gap {
    last: AtomicU64,
    longest: AtomicU64,
}

impl Gap {
    /// It happened (in nanoseconds of [`Shared::now`]).
    pub fn event(&self, now: u64) {
        let last = self.last.swap(now, Ordering::Relaxed);
        if last != 0 {
            self.longest.fetch_max(now.saturating_sub(last), Ordering::Relaxed);
        }
    }

    /// What was before does not count.
    pub fn restart(&self, now: u64) {
        self.last.store(now, Ordering::Relaxed);
        self.longest.store(0, Ordering::Relaxed);
    }

    /// The longest gap, of which the one since the last event is one.
    #[must_use]
    pub fn longest(&self, now: u64) -> Duration {
        let last = self.last.load(Ordering::Relaxed);
        let open = if last == 0 { 0 } else { now.saturating_sub(last) };
        Duration::from_nanos(open.max(self.longest.load(Ordering::Relaxed)))
    }
}

/// What all publishers and consumers of a run share.
#[derive(Debug)]
pub struct Shared {
    /// Which run: in every message's stamp.
    pub run: u32,
    began: Instant,
    /// Latencies count.
    pub measuring: AtomicBool,
    /// Publishers send nothing new.
    pub stop_publishing: AtomicBool,
    /// Consumers are done.
    pub stop_consuming: AtomicBool,
    /// Messages sent.
    pub attempted: AtomicU64,
    /// Messages confirmed.
    pub confirmed: AtomicU64,
    /// Different messages delivered.
    pub delivered: AtomicU64,
}

impl Shared {
    /// A run that begins now.
    #[must_use]
    pub fn new(run: u32) -> Self {
        Self {
            run,
            began: Instant::now(),
            measuring: AtomicBool::new(false),
            stop_publishing: AtomicBool::new(false),
            stop_consuming: AtomicBool::new(false),
            attempted: AtomicU64::new(0),
            confirmed: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
        }
    }

    /// Nanoseconds since the run began.
    #[inline]
    #[must_use]
    pub fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The counters at this moment.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            at: self.now(),
            attempted: self.attempted.load(Ordering::Relaxed),
            confirmed: self.confirmed.load(Ordering::Relaxed),
            delivered: self.delivered.load(Ordering::Relaxed),
        }
    }
}

/// [`Shared::counts`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// When, in nanoseconds since the run began.
    pub at: u64,
    /// Messages sent.
    pub attempted: u64,
    /// Messages confirmed.
    pub confirmed: u64,
    /// Different messages delivered.
    pub delivered: u64,
}

impl Counts {
    /// Seconds from `earlier` to this.
    #[must_use]
    pub fn seconds_since(&self, earlier: &Counts) -> f64 {
        self.at.saturating_sub(earlier.at) as f64 / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gap_counts_from_the_restart() {
        let gap = Gap::default();
        for now in [100, 5000, 5100] {
            gap.event(now);
        }
        assert_eq!(gap.longest(5100), Duration::from_nanos(4900));
        gap.restart(6000);
        gap.event(6300);
        gap.event(6500);
        assert_eq!(gap.longest(6600), Duration::from_nanos(300));
        assert_eq!(gap.longest(9500), Duration::from_nanos(3000), "it is not over");
    }

    #[test]
    fn quantiles_are_milliseconds() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.quantiles(), Quantiles::default());
        for millis in 1..=100 {
            latencies.record(millis * 1_000_000);
        }
        let mut both = Latencies::default();
        both.merge(&latencies);
        let quantiles = both.quantiles();
        assert!((quantiles.p50 - 50.0).abs() < 0.2 && (quantiles.max - 100.0).abs() < 0.2, "{quantiles:?}");
    }
}
