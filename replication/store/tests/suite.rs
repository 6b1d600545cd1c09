//! One suite for both stores: what the trait promises is checked against the
//! RocksDB database and its in-memory twin alike, and both are compared on
//! random histories with restarts in between.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use warren_replication::step::Write;
use warren_replication::types::{Epoch, Index, QueueId};
use warren_store::{LogStore, MemoryStore, Options, StoreError, StoredQueue, open};

type Batch = Vec<(QueueId, Option<Write>)>;

/// A store that can be stopped and started again.
trait Machine {
    fn store(&self) -> &dyn LogStore;
    fn restart(&mut self);
}

struct Rocks {
    folder: tempfile::TempDir,
    store: Option<Arc<warren_store::Database>>,
}

impl Rocks {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Some(open(folder.path(), &Options::new("a")).unwrap());
        Self { folder, store }
    }
}

impl Machine for Rocks {
    fn store(&self) -> &dyn LogStore {
        &**self.store.as_ref().unwrap()
    }

    fn restart(&mut self) {
        self.store = None;
        self.store = Some(open(self.folder.path(), &Options::new("a")).unwrap());
    }
}

struct Memory(MemoryStore);

impl Machine for Memory {
    fn store(&self) -> &dyn LogStore {
        &self.0
    }

    fn restart(&mut self) {
        self.0.crash(0).unwrap();
    }
}

fn machines() -> Vec<Box<dyn Machine>> {
    vec![Box::new(Rocks::new()), Box::new(Memory(MemoryStore::new()))]
}

const Q: QueueId = QueueId(7);

fn entry(index: u64) -> Bytes {
    Bytes::from(format!("entry {index}"))
}

fn append(first: u64, count: u64) -> (QueueId, Option<Write>) {
    let entries = (first..first + count).map(entry).collect();
    (Q, Some(Write::Append { first: Index(first), entries }))
}

fn truncate(from: u64) -> (QueueId, Option<Write>) {
    (Q, Some(Write::Truncate { from: Index(from), aside: false }))
}

fn checkpoint(text: &'static str, release: u64) -> (QueueId, Option<Write>) {
    (Q, Some(Write::Checkpoint { checkpoint: Bytes::from(text), release: Index(release) }))
}

fn install(text: &'static str) -> (QueueId, Option<Write>) {
    (Q, Some(Write::Install { checkpoint: Bytes::from(text), aside: None }))
}

fn all(store: &dyn LogStore, queue: QueueId) -> Vec<(u64, Bytes)> {
    let mut found = Vec::new();
    store
        .entries(queue, &mut |index, entry| {
            found.push((index.0, entry));
            Ok(())
        })
        .unwrap();
    found
}

fn indices(store: &dyn LogStore) -> Vec<u64> {
    all(store, Q).into_iter().map(|(index, _)| index).collect()
}

#[test]
fn what_is_appended_is_read_back_dense_and_bounded() {
    for machine in machines() {
        let store = machine.store();
        store.commit(&[append(1, 10)]).unwrap();
        store.commit(&[append(11, 5)]).unwrap();
        assert_eq!(all(store, Q), (1..16).map(|i| (i, entry(i))).collect::<Vec<_>>());
        assert_eq!(store.read(Q, Index(3), usize::MAX).unwrap().len(), 13);
        assert_eq!(store.read(Q, Index(3), 0).unwrap(), [entry(3)], "at least one");
        assert_eq!(store.read(Q, Index(3), 8).unwrap(), [entry(3), entry(4)], "about so many bytes");
        assert!(store.read(Q, Index(16), 100).unwrap().is_empty());
        assert!(store.read(QueueId(8), Index(1), 100).unwrap().is_empty());
    }
}

#[test]
fn a_log_may_begin_anywhere_once_and_only_continues_afterwards() {
    for mut machine in machines() {
        machine.store().commit(&[append(100, 3)]).unwrap();
        machine.restart();
        for wrong in [append(102, 1), append(104, 1), append(1, 1)] {
            let error = machine.store().commit(&[wrong]).unwrap_err();
            assert!(matches!(error, StoreError::Gap { queue: Q, expected: Index(103), .. }), "{error}");
        }
        machine.store().commit(&[append(103, 1)]).unwrap();
        assert_eq!(indices(machine.store()), [100, 101, 102, 103]);
    }
}

#[test]
fn a_batch_with_a_bad_write_leaves_nothing_behind() {
    for mut machine in machines() {
        machine.store().commit(&[append(1, 2)]).unwrap();
        machine.store().commit(&[append(3, 2), append(9, 1)]).unwrap_err();
        machine.restart();
        assert_eq!(indices(machine.store()), [1, 2]);
    }
}

#[test]
fn truncation_and_new_entries_in_one_batch_leave_the_new_entries() {
    for mut machine in machines() {
        machine.store().commit(&[append(1, 10)]).unwrap();
        let other = Write::Append { first: Index(6), entries: vec![Bytes::from_static(b"other")] };
        machine.store().commit(&[truncate(6), (Q, Some(other))]).unwrap();
        for _ in 0..2 {
            let found = all(machine.store(), Q);
            assert_eq!(found.len(), 6);
            assert_eq!(found[5], (6, Bytes::from_static(b"other")));
            machine.restart();
        }
        machine.store().commit(&[truncate(1)]).unwrap();
        machine.restart();
        assert!(indices(machine.store()).is_empty());
        machine.store().commit(&[append(1, 1)]).unwrap();
        machine.restart();
        assert_eq!(indices(machine.store()), [1]);
    }
}

#[test]
fn a_checkpoint_releases_a_prefix() {
    for mut machine in machines() {
        machine.store().commit(&[append(1, 10), (Q, Some(Write::Epoch(Epoch(4))))]).unwrap();
        machine.store().commit(&[checkpoint("one", 0)]).unwrap();
        assert_eq!(indices(machine.store()).len(), 10);
        machine.store().commit(&[checkpoint("two", 7)]).unwrap();
        for _ in 0..2 {
            assert_eq!(indices(machine.store()), [8, 9, 10]);
            assert!(machine.store().read(Q, Index(7), 100).unwrap().is_empty(), "released");
            let expected = StoredQueue {
                queue: Q,
                epoch: Epoch(4),
                checkpoint: Some(Bytes::from_static(b"two")),
                log: (Index(8), Index(11)),
            };
            assert_eq!(machine.store().recover().unwrap(), [expected]);
            machine.restart();
        }
        machine.store().commit(&[checkpoint("three", 10)]).unwrap();
        machine.restart();
        assert!(indices(machine.store()).is_empty());
        machine.store().commit(&[append(11, 1)]).unwrap();
        assert_eq!(indices(machine.store()), [11]);
    }
}

#[test]
fn entries_are_stored_anew_in_their_places_only() {
    for mut machine in machines() {
        machine.store().commit(&[append(1, 10), checkpoint("one", 2)]).unwrap();
        let small = |index: u64| (Index(index), Bytes::from(format!("small {index}")));
        let rewrite = |indices: &[u64], over| {
            let entries = indices.iter().copied().map(small).collect();
            (Q, Some(Write::Rewrite { entries, over }))
        };
        machine.store().commit(&[rewrite(&[3, 5], None)]).unwrap();
        machine.store().commit(&[rewrite(&[10], Some((Index(3), Index(10)))), append(11, 1)]).unwrap();
        for _ in 0..2 {
            let found = all(machine.store(), Q);
            assert_eq!(found.iter().map(|(index, _)| *index).collect::<Vec<_>>(), (3..=11).collect::<Vec<_>>());
            for (index, bytes) in found {
                let anew = [3, 5, 10].contains(&index);
                assert_eq!(bytes, if anew { small(index).1 } else { entry(index) });
            }
            assert_eq!(machine.store().recover().unwrap()[0].log, (Index(3), Index(12)));
            machine.restart();
        }
        // What was released, or never was, does not come back by it.
        for index in [2, 12] {
            let error = machine.store().commit(&[rewrite(&[index], None)]).unwrap_err();
            assert!(matches!(error, StoreError::Gap { queue: Q, .. }), "{error}");
        }
        machine.store().commit(&[checkpoint("two", 5), rewrite(&[6], None)]).unwrap();
        assert_eq!(indices(machine.store()), [6, 7, 8, 9, 10, 11]);
    }
}

#[test]
fn an_installed_checkpoint_replaces_the_copy() {
    for mut machine in machines() {
        machine.store().commit(&[append(1, 10), checkpoint("old", 2)]).unwrap();
        machine.store().commit(&[install("new")]).unwrap();
        machine.restart();
        assert!(indices(machine.store()).is_empty());
        assert_eq!(machine.store().recover().unwrap()[0].checkpoint, Some(Bytes::from_static(b"new")));
        machine.store().commit(&[append(500, 2)]).unwrap();
        machine.restart();
        assert_eq!(indices(machine.store()), [500, 501]);
        // An index that the old copy held must not come back with the old bytes.
        machine.store().commit(&[install("newer"), append(5, 1)]).unwrap();
        machine.restart();
        assert_eq!(indices(machine.store()), [5]);
    }
}

#[test]
fn a_dropped_queue_leaves_nothing_and_no_other_queue_notices() {
    for mut machine in machines() {
        let neighbours = [QueueId(6), QueueId(8), QueueId(u64::MAX)];
        for queue in neighbours {
            let write = Write::Append { first: Index(1), entries: vec![entry(1)] };
            machine.store().commit(&[(queue, Some(write))]).unwrap();
        }
        machine.store().commit(&[append(1, 10), checkpoint("x", 3), (Q, Some(Write::Epoch(Epoch(1))))]).unwrap();
        machine.store().commit(&[append(11, 1), (Q, None)]).unwrap();
        for _ in 0..2 {
            assert!(indices(machine.store()).is_empty());
            let queues: Vec<QueueId> =
                machine.store().recover().unwrap().into_iter().map(|stored| stored.queue).collect();
            assert_eq!(queues, neighbours);
            for queue in neighbours {
                assert_eq!(all(machine.store(), queue), [(1, entry(1))]);
            }
            machine.restart();
        }
    }
}

#[test]
fn the_visitor_s_error_ends_the_stream() {
    for machine in machines() {
        machine.store().commit(&[append(1, 3)]).unwrap();
        let mut seen = 0;
        let error = machine.store().entries(Q, &mut |index, _| {
            seen += 1;
            Err(StoreError::Damaged { queue: Q, index, reason: "checksum".into() })
        });
        assert!(matches!(error, Err(StoreError::Damaged { index: Index(1), .. })));
        assert_eq!(seen, 1);
    }
}

#[test]
fn a_crash_keeps_a_prefix_of_what_was_not_synced() {
    let store = MemoryStore::new();
    store.commit(&[append(1, 1)]).unwrap();
    for index in 2..6 {
        store.write(&[append(index, 1)]).unwrap();
    }
    assert_eq!(indices(&store), [1, 2, 3, 4, 5], "readers see what is not synced yet");
    store.crash(2).unwrap();
    assert_eq!(indices(&store), [1, 2, 3]);
    store.write(&[append(4, 1)]).unwrap();
    store.sync().unwrap();
    store.crash(0).unwrap();
    assert_eq!(indices(&store), [1, 2, 3, 4]);
}

/// A step of a random history, on two queues.
#[derive(Clone, Debug)]
enum Step {
    Append(u8),
    Truncate(u8),
    Checkpoint(u8),
    Install(u64),
    Rewrite(u8, u8),
    Epoch(u64),
    Drop,
    Restart,
}

fn step() -> impl Strategy<Value = (u64, Step)> {
    let step = prop_oneof![
        8 => (1..20u8).prop_map(Step::Append),
        2 => any::<u8>().prop_map(Step::Truncate),
        3 => any::<u8>().prop_map(Step::Checkpoint),
        1 => (1..1000u64).prop_map(Step::Install),
        2 => (any::<u8>(), 1..9u8).prop_map(|(share, count)| Step::Rewrite(share, count)),
        1 => (1..1000u64).prop_map(Step::Epoch),
        1 => Just(Step::Drop),
        1 => Just(Step::Restart),
    ];
    (1..3u64, step)
}

/// Makes a valid write of a step, from the log as the model has it.
fn batch_of(model: &dyn LogStore, queue: QueueId, step: &Step, number: u64) -> Batch {
    let stored = model.recover().unwrap().into_iter().find(|stored| stored.queue == queue);
    let (first, next) = stored.map_or((0, 0), |stored| (stored.log.0.0, stored.log.1.0));
    let part = |share: u8| first + (next - first) * u64::from(share) / 255;
    let text = Bytes::from(format!("checkpoint {number}"));
    let write = match step {
        Step::Append(count) => {
            let entries = (0..*count).map(|i| Bytes::from(format!("{number}/{i}"))).collect();
            Write::Append { first: Index(next.max(1)), entries }
        }
        // Nobody truncates a log that holds nothing, or goes over it.
        Step::Truncate(_) | Step::Rewrite(..) if first == next => return Vec::new(),
        Step::Truncate(share) => Write::Truncate { from: Index(part(*share).max(1)), aside: false },
        Step::Checkpoint(share) => {
            Write::Checkpoint { checkpoint: text, release: Index(part(*share).saturating_sub(1)) }
        }
        Step::Install(base) => {
            let install = (queue, Some(Write::Install { checkpoint: text, aside: None }));
            let write = Write::Append { first: Index(*base), entries: vec![entry(*base)] };
            return vec![install, (queue, Some(write))];
        }
        Step::Rewrite(share, count) => {
            let part = part(*share)..next.min(part(*share) + u64::from(*count));
            let over = (!part.is_empty()).then(|| (Index(part.start), Index(part.end - 1)));
            let entries = part.map(|index| (Index(index), Bytes::from(format!("{number}")))).collect();
            Write::Rewrite { entries, over }
        }
        Step::Epoch(epoch) => Write::Epoch(Epoch(*epoch)),
        Step::Drop | Step::Restart => return vec![(queue, None)],
    };
    vec![(queue, Some(write))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn both_stores_agree_on_any_history(steps in prop::collection::vec(step(), 1..40)) {
        let (mut rocks, model) = (Rocks::new(), MemoryStore::new());
        for (number, (queue, step)) in (0..).zip(&steps) {
            let queue = QueueId(*queue);
            if matches!(step, Step::Restart) {
                rocks.restart();
            } else {
                let batch = batch_of(&model, queue, step, number);
                model.commit(&batch).unwrap();
                rocks.store().commit(&batch).unwrap();
            }
            prop_assert_eq!(rocks.store().recover().unwrap(), model.recover().unwrap());
            prop_assert_eq!(all(rocks.store(), queue), all(&model, queue));
        }
    }
}
