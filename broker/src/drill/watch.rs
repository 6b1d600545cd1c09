//! What is seen while a drill runs: counters several times a second, and when
//! what was done.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;

use crate::load::Shared;

/// How often counters are read.
const INTERVAL: Duration = Duration::from_millis(50);

/// The counters at a moment.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Moment {
    /// Milliseconds since the load began.
    pub at: u64,
    /// Messages confirmed so far.
    pub confirmed: u64,
    /// Messages delivered so far.
    pub delivered: u64,
}

/// Something that was done.
#[derive(Clone, Debug, Serialize)]
pub struct Mark {
    /// Milliseconds since the load began.
    pub at: u64,
    /// What.
    pub what: String,
}

/// What was seen.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Watch {
    /// The counters, several times a second.
    pub moments: Vec<Moment>,
    /// What was done.
    pub marks: Vec<Mark>,
}

/// Somebody who watches, until he is asked what he saw.
pub(super) struct Watcher {
    shared: Arc<Shared>,
    seen: Arc<RwLock<Watch>>,
    over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Watcher {
    pub(super) fn begin(shared: &Arc<Shared>) -> Self {
        let (seen, over) = (Arc::<RwLock<Watch>>::default(), Arc::<AtomicBool>::default());
        let thread = std::thread::spawn({
            let (shared, seen, over) = (Arc::clone(shared), Arc::clone(&seen), Arc::clone(&over));
            move || {
                while !over.load(Ordering::Relaxed) {
                    let counts = shared.counts();
                    let moment =
                        Moment { at: millis(counts.at), confirmed: counts.confirmed, delivered: counts.delivered };
                    seen.write().unwrap_or_else(PoisonError::into_inner).moments.push(moment);
                    std::thread::sleep(INTERVAL);
                }
            }
        });
        Self { shared: Arc::clone(shared), seen, over, thread }
    }

    pub(super) fn mark(&self, what: &str) {
        let mark = Mark { at: millis(self.shared.now()), what: what.to_owned() };
        self.seen.write().unwrap_or_else(PoisonError::into_inner).marks.push(mark);
    }

    pub(super) fn end(self) -> Watch {
        self.over.store(true, Ordering::Relaxed);
        // It only sleeps and counts; there is nothing to learn of its end.
        let _ = self.thread.join();
        std::mem::take(&mut self.seen.write().unwrap_or_else(PoisonError::into_inner))
    }
}

fn millis(nanos: u64) -> u64 {
    nanos / 1_000_000
}
