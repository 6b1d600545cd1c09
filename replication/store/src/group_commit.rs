//! One thread a node that writes to the disk: it takes all the writes that the
//! shards have handed in while it was syncing, makes one commit of them, and
//! tells each shard how far it has got. So the number of fsyncs follows the
//! disk's speed, not the number of queues or messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use warren_replication::step::Write;
use warren_replication::types::QueueId;

use crate::LogStore;
use crate::error::StoreError;

/// A commit takes no more submissions once it holds so many bytes of entries,
/// so that the write batch made of it stays small beside the memtables.
const COMMIT_BYTES: usize = 16 << 20;

/// Upper bounds of the times that commits are counted by, in microseconds; what
/// took longer than the last one is counted behind it.
pub const COMMIT_BOUNDS: [u64; 14] =
    [100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000];

/// How much a new measurement moves the average: 1/8.
const EWMA_SHIFT: u32 = 3;

/// The writes of one turn of one shard.
#[derive(Debug)]
pub struct Submission {
    /// Which shard, as it wants to be called in the completion.
    pub shard: usize,
    /// The turn's ticket; a shard's tickets grow.
    pub ticket: u64,
    /// What to write, in order.
    pub writes: Vec<(QueueId, Option<Write>)>,
}

/// What the commit thread has measured. Times are in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitStats {
    /// Commits done.
    pub commits: u64,
    /// Submissions in them.
    pub submissions: u64,
    /// Bytes of entries in them.
    pub bytes: u64,
    /// How long the last commit took.
    pub last: u64,
    /// Average over about the last eight commits.
    pub average: u64,
    /// The longest.
    pub longest: u64,
    /// All of them together.
    pub total: u64,
    /// Commits by how long they took: up to each of [`COMMIT_BOUNDS`] and longer
    /// than the one before, and longer than all.
    pub by_time: [u64; COMMIT_BOUNDS.len() + 1],
    /// How long the commit under way has been running; `None` if none is.
    /// Grows without end while the disk stalls.
    pub running: Option<u64>,
}

/// A handle on the commit thread. Dropping the last one ends it, after it has
/// committed what was submitted.
#[derive(Clone)]
pub struct GroupCommit {
    inner: Arc<Inner>,
}

struct Inner {
    submissions: Option<Sender<Submission>>,
    gauges: Arc<Gauges>,
    thread: Option<JoinHandle<()>>,
}

struct Gauges {
    commits: AtomicU64,
    submissions: AtomicU64,
    bytes: AtomicU64,
    last: AtomicU64,
    average: AtomicU64,
    longest: AtomicU64,
    total: AtomicU64,
    by_time: [AtomicU64; COMMIT_BOUNDS.len() + 1],
    /// When the commit under way began, in microseconds since `origin`, plus
    /// one; 0 = none.
    began: AtomicU64,
    origin: Instant,
}

impl GroupCommit {
    /// Starts the thread. After each commit it calls `durable(shard, ticket)`
    /// for every shard that had a part in it: all of that shard's submissions
    /// up to this ticket are on disk.
    ///
    /// After a failed commit it calls `failed` once and ends. `failed` must end
    /// the process: what is on disk is unknown (§1, durable index).
    ///
    /// # Errors
    /// If the system has no thread to give.
    pub fn start(
        store: Arc<dyn LogStore>,
        durable: impl FnMut(usize, u64) + Send + 'static,
        failed: impl FnOnce(StoreError) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = channel();
        let gauges = Arc::new(Gauges::new());
        let measured = gauges.clone();
        let thread = std::thread::Builder::new().name("group-commit".to_owned()).spawn(move || {
            if let Err(error) = run(&*store, &receiver, &measured, durable) {
                failed(error);
            }
        })?;
        Ok(Self { inner: Arc::new(Inner { submissions: Some(sender), gauges, thread: Some(thread) }) })
    }

    /// Hands in a turn's writes. Never blocks; what may wait here is bounded by
    /// the budgets of the connections and peers that the bytes came from.
    pub fn submit(&self, submission: Submission) {
        if let Some(sender) = &self.inner.submissions {
            // The thread is gone only after a failed commit, which ends the process.
            let _ = sender.send(submission);
        }
    }

    /// What was measured so far.
    #[must_use]
    pub fn stats(&self) -> CommitStats {
        self.inner.gauges.read()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.submissions = None;
        if let Some(thread) = self.thread.take() {
            // A completion may hold the last handle; a thread cannot join itself.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

fn run(
    store: &dyn LogStore,
    submissions: &Receiver<Submission>,
    gauges: &Gauges,
    mut durable: impl FnMut(usize, u64),
) -> Result<(), StoreError> {
    let mut batch = Vec::new();
    let mut done: Vec<(usize, u64)> = Vec::new();
    while let Ok(first) = submissions.recv() {
        let (mut count, mut bytes) = (0, 0);
        let mut next = Some(first);
        while let Some(mut submission) = next.take() {
            count += 1;
            bytes += weight(&submission.writes);
            batch.append(&mut submission.writes);
            match done.iter_mut().find(|(shard, _)| *shard == submission.shard) {
                Some((_, ticket)) => *ticket = submission.ticket,
                None => done.push((submission.shard, submission.ticket)),
            }
            if bytes < COMMIT_BYTES {
                next = submissions.try_recv().ok();
            }
        }
        let began = gauges.begin();
        store.commit(&batch)?;
        gauges.end(began, count, bytes as u64);
        batch.clear();
        for (shard, ticket) in done.drain(..) {
            durable(shard, ticket);
        }
    }
    Ok(())
}

fn weight(writes: &[(QueueId, Option<Write>)]) -> usize {
    let entries = writes.iter().map(|(_, write)| match write {
        Some(Write::Append { entries, .. }) => entries.iter().map(bytes::Bytes::len).sum(),
        Some(Write::Rewrite { entries, .. }) => entries.iter().map(|(_, entry)| entry.len()).sum(),
        Some(Write::Install { checkpoint, .. } | Write::Checkpoint { checkpoint, .. }) => checkpoint.len(),
        _ => 0,
    });
    entries.sum()
}

impl Gauges {
    fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            commits: zero(),
            submissions: zero(),
            bytes: zero(),
            last: zero(),
            average: zero(),
            longest: zero(),
            total: zero(),
            by_time: Default::default(),
            began: zero(),
            origin: Instant::now(),
        }
    }

    fn begin(&self) -> Instant {
        let now = Instant::now();
        self.began.store(micros(now.duration_since(self.origin)) + 1, Relaxed);
        now
    }

    fn end(&self, began: Instant, submissions: u64, bytes: u64) {
        let took = micros(began.elapsed());
        let average = self.average.load(Relaxed);
        let average = if average == 0 { took } else { average - (average >> EWMA_SHIFT) + (took >> EWMA_SHIFT) };
        self.began.store(0, Relaxed);
        self.commits.fetch_add(1, Relaxed);
        self.submissions.fetch_add(submissions, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
        self.last.store(took, Relaxed);
        self.average.store(average, Relaxed);
        self.longest.fetch_max(took, Relaxed);
        self.total.fetch_add(took, Relaxed);
        self.by_time[COMMIT_BOUNDS.partition_point(|bound| *bound < took)].fetch_add(1, Relaxed);
    }

    fn read(&self) -> CommitStats {
        let running = match self.began.load(Relaxed) {
            0 => None,
            began => Some((micros(self.origin.elapsed()) + 1).saturating_sub(began)),
        };
        CommitStats {
            commits: self.commits.load(Relaxed),
            submissions: self.submissions.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            last: self.last.load(Relaxed),
            average: self.average.load(Relaxed),
            longest: self.longest.load(Relaxed),
            total: self.total.load(Relaxed),
            by_time: std::array::from_fn(|place| self.by_time[place].load(Relaxed)),
            running,
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
