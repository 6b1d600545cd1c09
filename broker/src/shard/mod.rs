//! Drives the node's shards: one task each, with one mailbox, that runs a turn
//! of `warren_shard::Shard` over whatever has piled up and carries out what the
//! turn says. Nothing here knows what a queue is.
//!
//! * `mailbox.rs`: what comes in, and what bounds it.
//! * `driver.rs`: the task.
//! * `reader.rs`: threads that read logs, so that no turn waits for a disk.
//! * `recovery.rs`: from the store to replicas, at start.

mod driver;
mod mailbox;
mod reader;
mod recovery;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use warren_replication::message::QueueWord;
use warren_replication::types::{Clock, Epoch, Moment, Offset, Process, QueueId};
use warren_shard::step::{Input, Local, QueueStatus, ToChannel, Wish};
use warren_store::{CommitStats, GroupCommit, LogStore, StoreError};

use crate::peer::{LinkEvents, LinkHandle};
use crate::transfer::ToMover;

use driver::Driver;
use mailbox::{Mail, Mailbox};
use reader::Readers;

pub use recovery::RecoveryFailure;

/// What shards ask of the catalog. Called from a shard's task: must not wait.
pub trait Wishes: Send + Sync + 'static {
    /// The wishes of one turn. Those that matter are repeated by the shard until
    /// the applied catalog shows an answer.
    fn wish(&self, wishes: Vec<(QueueId, Wish)>);
}

/// What a node's shards need.
pub struct ShardsConfig {
    /// This process.
    pub me: Process,
    /// How many shards; a queue belongs to the one of its id modulo this. It may
    /// differ from start to start.
    pub count: usize,
    /// Of each shard.
    pub settings: warren_shard::Settings,
    /// Where logs are.
    pub store: Arc<dyn LogStore>,
    /// Who hears wishes.
    pub wishes: Arc<dyn Wishes>,
    /// Who moves messages on.
    pub transfers: ToMover,
}

/// Why shards did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A queue's copy cannot be used.
    #[error(transparent)]
    Recovery(#[from] RecoveryFailure),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system has no thread to give.
    #[error("no thread for the disk: {0}")]
    Thread(#[from] std::io::Error),
}

/// All shards of a node. Clones are handles to the same.
#[derive(Clone)]
pub struct Shards {
    inner: Arc<Inner>,
}

struct Inner {
    mailboxes: Vec<Mailbox>,
    commit: GroupCommit,
    /// Until when the node's lease runs: the newest word of it, which a shard
    /// looks at right before it sends (§6.7).
    lease: Arc<AtomicU64>,
    recovered: Vec<QueueId>,
}

impl Shards {
    /// Reads what the store holds and starts a task a shard, on the current
    /// runtime. Reading blocks: call it before anything else needs the runtime.
    ///
    /// # Errors
    /// If a queue's copy is damaged, or the store or the system fails.
    pub fn start(config: ShardsConfig) -> Result<Self, StartError> {
        let count = config.count.max(1);
        let mut shards: Vec<warren_shard::Shard> =
            (0..count).map(|_| warren_shard::Shard::new(config.me, config.settings.clone())).collect();
        let mut recovered = Vec::new();
        recovery::replicas(&*config.store, config.me, &config.settings.replica, |queue, replica| {
            shards[shard_of(queue, count)].recover(queue, replica);
            recovered.push(queue);
        })?;

        let (mailboxes, mails): (Vec<Mailbox>, Vec<_>) = (0..count).map(|_| Mailbox::new()).unzip();
        let durable = mailboxes.clone();
        let commit = GroupCommit::start(
            config.store.clone(),
            move |shard, ticket| durable[shard].put(Mail::Input(Input::Persisted(ticket))),
            |error| fatal("a write to the store failed", &error),
        )?;
        let readers = Readers::start(config.store, mailboxes.clone())?;
        let lease = Arc::new(AtomicU64::new(0));
        for (number, (shard, mails)) in shards.into_iter().zip(mails).enumerate() {
            let driver = Driver::new(
                number,
                shard,
                commit.clone(),
                readers.clone(),
                lease.clone(),
                config.wishes.clone(),
                config.transfers.clone(),
            );
            tokio::spawn(driver.run(mails));
        }
        Ok(Self { inner: Arc::new(Inner { mailboxes, commit, lease, recovered }) })
    }

    /// The queues that were found in the store: those that the applied catalog
    /// lacks are to be given to [`Shards::catalog`] as [`Input::Deleted`].
    #[must_use]
    pub fn recovered(&self) -> &[QueueId] {
        &self.inner.recovered
    }

    /// From the channels of this node, in order for each queue; one send a shard.
    /// What waits is bounded by the budget of each connection.
    pub fn submit(&self, batch: Vec<(QueueId, Local)>) {
        let count = self.inner.mailboxes.len();
        let inputs = batch.into_iter().map(|(queue, local)| (queue, Input::Local(queue, local)));
        if count == 1 {
            return self.inner.mailboxes[0].put(Mail::Inputs(inputs.map(|(_, input)| input).collect()));
        }
        let mut grouped: Vec<Vec<Input>> = (0..count).map(|_| Vec::new()).collect();
        inputs.for_each(|(queue, input)| grouped[shard_of(queue, count)].push(input));
        for (mailbox, inputs) in self.inner.mailboxes.iter().zip(grouped) {
            if !inputs.is_empty() {
                mailbox.put(Mail::Inputs(inputs));
            }
        }
    }

    /// From now on events for this connection go there: all of a turn in one send.
    pub fn register(&self, connection: u64, to: mpsc::UnboundedSender<Vec<(u16, ToChannel)>>) {
        self.all(|| Mail::Register(connection, to.clone()));
    }

    /// No events for this connection any more.
    pub fn unregister(&self, connection: u64) {
        self.all(|| Mail::Unregister(connection));
    }

    /// From the applied catalog and membership, in their order: to the queue's
    /// shard, or to all if no queue is concerned.
    pub fn catalog(&self, input: Input) {
        match &input {
            Input::Lease(until) => {
                self.inner.lease.store(until.0, Relaxed);
            }
            Input::Queue(info) => return self.of(info.queue).put(Mail::Input(input)),
            Input::Deleted(queue) => return self.of(*queue).put(Mail::Input(input)),
            _ => {}
        }
        self.all(|| Mail::Input(input.clone()));
    }

    /// Messages of queues led here have arrived where they were moved to.
    pub fn transferred(&self, arrived: Vec<(QueueId, Epoch, Vec<Offset>)>) {
        for (queue, epoch, offsets) in arrived {
            self.of(queue).put(Mail::Input(Input::Transferred(queue, epoch, offsets)));
        }
    }

    /// All queues of this node as their shards see them, by id.
    pub async fn statuses(&self) -> Vec<QueueStatus> {
        let asked: Vec<_> = self
            .inner
            .mailboxes
            .iter()
            .map(|mailbox| {
                let (answer, answered) = oneshot::channel();
                mailbox.put(Mail::Status(None, answer));
                answered
            })
            .collect();
        let mut statuses = Vec::new();
        for answered in asked {
            statuses.extend(answered.await.unwrap_or_default());
        }
        statuses.sort_unstable_by_key(|status| status.queue);
        statuses
    }

    /// One queue of this node as its shard sees it.
    pub async fn status(&self, queue: QueueId) -> Option<QueueStatus> {
        let (answer, answered) = oneshot::channel();
        self.of(queue).put(Mail::Status(Some(queue), answer));
        answered.await.ok()?.pop()
    }

    /// What the disk takes.
    #[must_use]
    pub fn commit_stats(&self) -> CommitStats {
        self.inner.commit.stats()
    }

    /// Ends the shards' tasks after what is in their mailboxes now.
    pub async fn stop(&self) {
        self.all(|| Mail::Stop);
        for mailbox in &self.inner.mailboxes {
            mailbox.closed().await;
        }
    }

    fn of(&self, queue: QueueId) -> &Mailbox {
        &self.inner.mailboxes[shard_of(queue, self.inner.mailboxes.len())]
    }

    fn all(&self, mail: impl Fn() -> Mail) {
        self.inner.mailboxes.iter().for_each(|mailbox| mailbox.put(mail()));
    }
}

impl LinkEvents for Shards {
    fn up(&self, process: Process, link: LinkHandle) {
        self.all(|| Mail::LinkUp(process, link.clone()));
    }

    fn down(&self, process: Process) {
        self.all(|| Mail::LinkDown(process.node));
    }

    fn words(&self, from: Process, words: Vec<(QueueId, QueueWord)>, room: OwnedSemaphorePermit) {
        let count = self.inner.mailboxes.len();
        let room = Arc::new(room);
        if count == 1 {
            return self.inner.mailboxes[0].put(Mail::Peer(from, words, room));
        }
        let mut grouped: Vec<Vec<(QueueId, QueueWord)>> = (0..count).map(|_| Vec::new()).collect();
        words.into_iter().for_each(|(queue, word)| grouped[shard_of(queue, count)].push((queue, word)));
        for (mailbox, words) in self.inner.mailboxes.iter().zip(grouped) {
            if !words.is_empty() {
                mailbox.put(Mail::Peer(from, words, room.clone()));
            }
        }
    }
}

/// Which shard a queue belongs to. Ids are dense, so this spreads them evenly.
fn shard_of(queue: QueueId, count: usize) -> usize {
    usize::try_from(queue.0 % count as u64).unwrap_or(0)
}

/// The moment it is, by the clock of leases.
fn now() -> Moment {
    warren_membership::clock::now()
}

fn clock() -> Clock {
    Clock { now: now(), wall: warren_membership::clock::wall() }
}

/// Ends the process: nothing that it says from here on could be trusted (§1,
/// durable index). Never returns, runs no destructors.
fn fatal(what: &str, error: &dyn std::error::Error) -> ! {
    tracing::error!(%error, "{what}; this process ends, start the node again once the cause is gone");
    std::process::abort()
}
