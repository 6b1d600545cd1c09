//! Moving what is in the queues: several at a time, each by a link that ends
//! when its queue is empty.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use warren_amqp::{Method, ShortStr, queue};

use super::topology::MANNER;
use super::{Journal, MigrateError};
use crate::client::{CHANNEL, Client, ClientError, Uri};
use crate::remote::{Connector, Ended, LinkPlan, LinkState, run_link};

const NOT_FOUND: u16 = 404;
/// Before a link that was interrupted connects again.
const RECONNECT: Duration = Duration::from_secs(1);

/// A queue by virtual host and name.
type Name = (String, String);

/// How many messages are ready in these queues; those that are not there are left out.
///
/// # Errors
/// The connection.
pub async fn lengths(uri: &Uri, queues: &[Name]) -> Result<BTreeMap<Name, u64>, MigrateError> {
    let mut lengths = BTreeMap::new();
    let mut connected: Option<(String, Client)> = None;
    for (vhost, name) in queues {
        let mut client = match connected.take() {
            Some((at, client)) if at == *vhost => client,
            _ => Client::connect(&Uri { vhost: vhost.clone(), ..uri.clone() }, &MANNER).await?,
        };
        let passive = queue::Declare { queue: ShortStr::truncated(name), passive: true, ..Default::default() };
        match client.call(CHANNEL, &passive).await {
            Ok(Method::QueueDeclareOk(found)) => {
                lengths.insert((vhost.clone(), name.clone()), found.message_count.into());
                connected = Some((vhost.clone(), client));
            }
            Ok(_) => return Err(client.unexpected("answer to queue.declare").into()),
            // The refusal costs the channel; the next one connects anew.
            Err(ClientError::Closed { code: NOT_FOUND, .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(lengths)
}

/// How far a move is, for who watches it.
#[derive(Debug, Default)]
pub struct Progress {
    finished: AtomicU64,
    queues: AtomicU64,
    running: Mutex<BTreeMap<Name, Arc<LinkState>>>,
}

impl Progress {
    /// Messages that arrived.
    #[must_use]
    pub fn moved(&self) -> u64 {
        let running = self.running.lock();
        self.finished.load(Ordering::Relaxed) + running.values().map(|state| state.total()).sum::<u64>()
    }

    /// Queues that are empty.
    #[must_use]
    pub fn queues(&self) -> u64 {
        self.queues.load(Ordering::Relaxed)
    }

    /// What interrupts the queues that are being moved now, if anything does.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let running = self.running.lock();
        running.iter().find_map(|((_, name), state)| {
            let snapshot = state.snapshot();
            snapshot.last_error.filter(|_| snapshot.moved == 0).map(|(error, _)| format!("{name}: {error}"))
        })
    }
}

/// A move of many queues.
#[derive(Clone, Debug)]
pub struct Move {
    /// Where from.
    pub from: Uri,
    /// Where to.
    pub to: Uri,
    /// Queues at a time.
    pub jobs: usize,
    /// Unacknowledged messages of each at most.
    pub prefetch: u16,
}

impl Move {
    /// Moves the messages of all these queues; true if all are empty, false if it
    /// was stopped before.
    pub async fn run(&self, queues: Vec<Name>, progress: &Arc<Progress>, stop: &CancellationToken) -> bool {
        let queues = Arc::new(Mutex::new(queues.into_iter()));
        let mut jobs = JoinSet::new();
        for _ in 0..self.jobs.max(1) {
            let (this, queues, progress, stop) =
                (self.clone(), Arc::clone(&queues), Arc::clone(progress), stop.clone());
            jobs.spawn(async move {
                loop {
                    let Some(name) = queues.lock().next() else { return true };
                    if !this.empty(name, &progress, &stop).await {
                        return false;
                    }
                }
            });
        }
        let mut all = true;
        while let Some(ended) = jobs.join_next().await {
            all &= ended.unwrap_or(false);
        }
        all
    }

    async fn empty(&self, name: Name, progress: &Progress, stop: &CancellationToken) -> bool {
        let (vhost, queue) = &name;
        let at = |uri: &Uri| Uri { vhost: vhost.clone(), ..uri.clone() };
        let plan = LinkPlan::emptying(at(&self.from), at(&self.to), queue, self.prefetch, RECONNECT);
        let state = Arc::new(LinkState::default());
        progress.running.lock().insert(name.clone(), Arc::clone(&state));
        let ended = run_link(&plan, &Connector::remote(), &state, stop).await;
        progress.running.lock().remove(&name);
        progress.finished.fetch_add(state.total(), Ordering::Relaxed);
        if ended == Ended::Done {
            progress.queues.fetch_add(1, Ordering::Relaxed);
        }
        ended == Ended::Done
    }
}

/// What the end of a migration is compared with its beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Messages that there were to move.
    pub expected: u64,
    /// Messages that are there.
    pub arrived: u64,
    /// Messages that are still in the source.
    pub left: u64,
    /// Queues that have fewer messages than they should, and how many fewer.
    pub short: Vec<(Name, u64)>,
    /// Messages more than expected: what came twice after an interruption, or
    /// was published meanwhile.
    pub more: u64,
}

impl Verdict {
    /// Compares what is in both brokers now with what the journal remembers.
    #[must_use]
    pub fn of(journal: &Journal, queues: &[Name], source: &BTreeMap<Name, u64>, target: &BTreeMap<Name, u64>) -> Self {
        let mut verdict = Self::default();
        for name in queues {
            let Some(count) = journal.queue(&name.0, &name.1) else { continue };
            let arrived = target.get(name).copied().unwrap_or(0).saturating_sub(count.before);
            let left = source.get(name).copied().unwrap_or(0);
            verdict.expected += count.expected;
            verdict.arrived += arrived;
            verdict.left += left;
            verdict.more += (arrived + left).saturating_sub(count.expected);
            if arrived + left < count.expected {
                verdict.short.push((name.clone(), count.expected - arrived - left));
            }
        }
        verdict
    }

    /// Whether everything is where it should be.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.left == 0 && self.short.is_empty()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::QueueCount;
    use super::*;

    #[test]
    fn the_verdict_counts_each_queue_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(&folder.path().join("j"), "a", "b").unwrap();
        let name = |name: &str| ("/".to_owned(), name.to_owned());
        let names = [name("whole"), name("short"), name("twice"), name("left")];
        for (_, queue) in &names {
            journal.note("/", queue, QueueCount { expected: 10, before: 2 });
        }
        let target = names.iter().cloned().zip([12, 11, 13, 8]).collect();
        let source = names.iter().cloned().zip([0, 0, 0, 4]).collect();
        let verdict = Verdict::of(&journal, &names, &source, &target);
        assert_eq!((verdict.expected, verdict.arrived, verdict.left, verdict.more), (40, 36, 4, 1));
        assert_eq!(verdict.short, [(name("short"), 1)]);
        assert!(!verdict.is_good());
    }
}
