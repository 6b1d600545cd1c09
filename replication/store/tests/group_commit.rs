//! The commit thread: everything that piled up in one commit, completions in
//! order, no completion after a failure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use warren_replication::step::Write;
use warren_replication::types::{Index, QueueId};
use warren_store::{GroupCommit, LogStore, MemoryStore, StoreError, StoredQueue, Submission};

const DEADLINE: Duration = Duration::from_secs(20);

/// A store that waits for a permit before each commit, and notes its size.
struct Gated {
    inner: MemoryStore,
    permits: Mutex<Receiver<()>>,
    sizes: Mutex<Vec<usize>>,
}

impl Gated {
    fn new() -> (Arc<Self>, Sender<()>) {
        let (sender, receiver) = channel();
        let store = Self { inner: MemoryStore::new(), permits: Mutex::new(receiver), sizes: Mutex::default() };
        (Arc::new(store), sender)
    }
}

impl LogStore for Gated {
    fn commit(&self, batch: &[(QueueId, Option<Write>)]) -> Result<(), StoreError> {
        self.permits.lock().recv_timeout(DEADLINE).expect("a permit");
        self.sizes.lock().push(batch.len());
        self.inner.commit(batch)
    }

    fn read(&self, queue: QueueId, first: Index, max_bytes: usize) -> Result<Vec<Bytes>, StoreError> {
        self.inner.read(queue, first, max_bytes)
    }

    fn recover(&self) -> Result<Vec<StoredQueue>, StoreError> {
        self.inner.recover()
    }

    fn entries(
        &self,
        queue: QueueId,
        visit: &mut dyn FnMut(Index, Bytes) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.inner.entries(queue, visit)
    }
}

fn submission(shard: usize, ticket: u64) -> Submission {
    let entries = vec![Bytes::from_static(b"x")];
    let write = Write::Append { first: Index(ticket), entries };
    Submission { shard, ticket, writes: vec![(QueueId(shard as u64), Some(write))] }
}

#[test]
fn what_piles_up_is_one_commit_and_each_shard_hears_of_its_last_ticket() {
    let (store, permits) = Gated::new();
    let (done, durable) = channel();
    let commit = GroupCommit::start(
        store.clone(),
        move |shard, ticket| done.send((shard, ticket)).unwrap(),
        |error| panic!("{error}"),
    )
    .unwrap();

    commit.submit(submission(1, 1));
    // Once the first is being committed, all that follows waits for the next commit.
    let started = std::time::Instant::now();
    while commit.stats().running.is_none() {
        assert!(started.elapsed() < DEADLINE, "the first commit began");
        std::thread::yield_now();
    }
    for ticket in 2..=50 {
        commit.submit(submission(1, ticket));
        commit.submit(submission(2, ticket - 1));
    }
    permits.send(()).unwrap();
    assert_eq!(durable.recv_timeout(DEADLINE).unwrap(), (1, 1));
    permits.send(()).unwrap();
    assert_eq!(durable.recv_timeout(DEADLINE).unwrap(), (1, 50));
    assert_eq!(durable.recv_timeout(DEADLINE).unwrap(), (2, 49));
    assert_eq!(*store.sizes.lock(), [1, 98]);

    let stats = commit.stats();
    assert_eq!((stats.commits, stats.submissions, stats.bytes), (2, 99, 99));
    assert!(stats.longest >= stats.last && stats.running.is_none());
}

#[test]
fn dropping_the_handle_commits_what_was_submitted() {
    let store = Arc::new(MemoryStore::new());
    let commit = GroupCommit::start(store.clone(), |_, _| {}, |error| panic!("{error}")).unwrap();
    for ticket in 1..=100 {
        commit.submit(submission(3, ticket));
    }
    drop(commit);
    assert_eq!(store.recover().unwrap()[0].log, (Index(1), Index(101)));
}

#[test]
fn after_a_failed_commit_nothing_is_said_to_be_durable() {
    let (done, durable) = channel();
    let (fail, failed) = channel();
    let commit = GroupCommit::start(
        Arc::new(MemoryStore::new()),
        move |shard, ticket| done.send((shard, ticket)).unwrap(),
        move |error| fail.send(error.to_string()).unwrap(),
    )
    .unwrap();
    commit.submit(submission(1, 1));
    assert_eq!(durable.recv_timeout(DEADLINE).unwrap(), (1, 1));
    commit.submit(submission(1, 3));
    assert!(failed.recv_timeout(DEADLINE).unwrap().contains("entry 2 is missing"));
    commit.submit(submission(1, 2));
    assert!(durable.recv_timeout(DEADLINE).is_err(), "the thread has ended");
}
