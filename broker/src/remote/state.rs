//! What a link shows of itself: its state, what it moved, how fast, how far it
//! is behind, and what went wrong last.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use parking_lot::Mutex;

/// Not known.
const UNKNOWN: u64 = u64::MAX;

/// How a link is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Connecting.
    Starting,
    /// Moving what there is.
    Running,
    /// Nobody waits for messages here: a federated queue's link rests.
    Idle,
    /// The target takes nothing for now, and why.
    Blocked(String),
    /// The last run failed; it will connect again.
    Waiting,
    /// It is done, or will not connect again.
    Terminated,
}

impl Condition {
    /// One word; RabbitMQ's where it has one.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Idle => "idle",
            Self::Blocked(_) => "blocked",
            Self::Waiting => "waiting",
            Self::Terminated => "terminated",
        }
    }
}

/// A link's state, shared between the link and who asks.
#[derive(Debug)]
pub struct LinkState {
    moved: AtomicU64,
    bytes: AtomicU64,
    refused: AtomicU64,
    unconfirmed: AtomicU64,
    ready: AtomicU64,
    told: Mutex<Told>,
}

#[derive(Debug)]
struct Told {
    condition: Condition,
    since: SystemTime,
    last_error: Option<(String, SystemTime)>,
    failures: u64,
    /// When the rate was last measured, and how many had been moved by then.
    measured: (Instant, u64),
    rate: f64,
}

/// A link's state at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// How it is.
    pub condition: Condition,
    /// Since when.
    pub since: SystemTime,
    /// What went wrong last, and when.
    pub last_error: Option<(String, SystemTime)>,
    /// Runs that failed.
    pub failures: u64,
    /// Messages that arrived.
    pub moved: u64,
    /// Octets of their bodies.
    pub bytes: u64,
    /// Messages that the target refused; they stay in the source.
    pub refused: u64,
    /// Messages on their way.
    pub unconfirmed: u64,
    /// Messages that wait at the source, as far as it is known.
    pub lag: Option<u64>,
    /// Messages a second, lately.
    pub rate: f64,
}

impl Default for LinkState {
    fn default() -> Self {
        Self {
            moved: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            unconfirmed: AtomicU64::new(0),
            ready: AtomicU64::new(UNKNOWN),
            told: Mutex::new(Told {
                condition: Condition::Starting,
                since: SystemTime::now(),
                last_error: None,
                failures: 0,
                measured: (Instant::now(), 0),
                rate: 0.0,
            }),
        }
    }
}

impl LinkState {
    /// How the link is from now on.
    pub(super) fn is(&self, condition: Condition) {
        let mut told = self.told.lock();
        if told.condition != condition {
            (told.condition, told.since) = (condition, SystemTime::now());
        }
    }

    /// A run failed.
    pub(super) fn failed(&self, error: String) {
        self.ready.store(UNKNOWN, Ordering::Relaxed);
        self.unconfirmed.store(0, Ordering::Relaxed);
        let mut told = self.told.lock();
        told.failures += 1;
        told.last_error = Some((error, SystemTime::now()));
    }

    pub(super) fn moved(&self, messages: u64) {
        self.moved.fetch_add(messages, Ordering::Relaxed);
    }

    pub(super) fn took(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn refused(&self, messages: u64) {
        self.refused.fetch_add(messages, Ordering::Relaxed);
    }

    /// What can only be told now and then.
    pub(super) fn measure(&self, unconfirmed: u64, ready: Option<u64>) {
        self.unconfirmed.store(unconfirmed, Ordering::Relaxed);
        self.ready.store(ready.unwrap_or(UNKNOWN), Ordering::Relaxed);
        let moved = self.moved.load(Ordering::Relaxed);
        let mut told = self.told.lock();
        let (at, before) = told.measured;
        let seconds = at.elapsed().as_secs_f64();
        // The last seconds count more than those before.
        let weight = (seconds / 3.0).min(1.0);
        told.rate += weight * (moved.saturating_sub(before) as f64 / seconds.max(1e-3) - told.rate);
        if told.rate < 0.05 {
            told.rate = 0.0;
        }
        told.measured = (Instant::now(), moved);
    }

    /// Messages that arrived so far.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    /// The state now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let told = self.told.lock();
        let ready = self.ready.load(Ordering::Relaxed);
        let unconfirmed = self.unconfirmed.load(Ordering::Relaxed);
        Snapshot {
            condition: told.condition.clone(),
            since: told.since,
            last_error: told.last_error.clone(),
            failures: told.failures,
            moved: self.moved.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            unconfirmed,
            lag: (ready != UNKNOWN).then(|| ready + unconfirmed),
            rate: told.rate,
        }
    }
}
