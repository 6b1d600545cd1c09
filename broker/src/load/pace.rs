//! A fixed rate. Timers of the runtime tick in milliseconds; latencies are
//! fractions of one, so a thread of its own sleeps until each message is due.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::Shared;

/// At high rates messages are sent in small batches, this often.
const TICK: Duration = Duration::from_micros(200);

/// Wakes a publisher whenever its next message is due.
#[derive(Debug)]
pub struct Pace {
    begin: u64,
    interval: f64,
    due: Arc<Notify>,
    over: Arc<AtomicBool>,
}

impl Pace {
    /// So many messages a second from now on. `phase` (0 to 1) spreads several
    /// publishers over the interval between two messages.
    #[must_use]
    pub fn new(shared: &Shared, rate: f64, phase: f64) -> Self {
        let interval = 1e9 / rate;
        let pace = Self {
            begin: shared.now() + (interval * phase) as u64,
            interval,
            due: Arc::new(Notify::new()),
            over: Arc::new(AtomicBool::new(false)),
        };
        let tick = interval.max(TICK.as_nanos() as f64);
        let first = interval * phase;
        let (due, over) = (Arc::clone(&pace.due), Arc::clone(&pace.over));
        std::thread::spawn(move || {
            let begin = std::time::Instant::now();
            for count in 0_u32.. {
                // Not added up, so that ticks never run ahead of what is due.
                let next = begin + Duration::from_nanos((first + tick * f64::from(count)) as u64);
                std::thread::sleep(next.saturating_duration_since(std::time::Instant::now()));
                if over.load(Ordering::Relaxed) {
                    break;
                }
                due.notify_one();
            }
        });
        pace
    }

    /// When the message of this number is to be sent (nanoseconds of [`Shared::now`]).
    #[inline]
    #[must_use]
    pub fn intended(&self, number: u64) -> u64 {
        self.begin + (number as f64 * self.interval) as u64
    }

    /// Waits until the next message is due.
    pub async fn next(&self) {
        self.due.notified().await;
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}
