//! What the data folder guards against: two processes, another node's or
//! cluster's data, a log put back to an older state.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use warren_replication::step::Write;
use warren_replication::types::{Boot, Index, QueueId};
use warren_store::{ClusterId, Database, LogStore, Options, StoreError, node_id, open};

fn start(folder: &Path) -> Arc<Database> {
    open(folder, &Options::new("a")).unwrap()
}

/// §3: what is overwritten by less gives its space back, also in a log that
/// nobody writes to any more.
#[test]
fn the_space_of_overwritten_entries_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let tables = || -> u64 {
        let files = fs::read_dir(folder.path().join("db")).unwrap().filter_map(Result::ok);
        let tables = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "sst"));
        tables.filter_map(|file| Some(file.metadata().ok()?.len())).sum()
    };
    let store = open(folder.path(), &Options { memtable_bytes: 1 << 20, ..Options::new("a") }).unwrap();
    let mut noise = 1u64;
    for index in 1..=200 {
        let body: Vec<u8> = (0..64 << 10)
            .map(|_| {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (noise >> 56) as u8
            })
            .collect();
        let write = Write::Append { first: Index(index), entries: vec![Bytes::from(body)] };
        store.commit(&[(QueueId(1), Some(write))]).unwrap();
    }
    let checkpoint = Write::Checkpoint { checkpoint: Bytes::from_static(b"c"), release: Index(0) };
    store.commit(&[(QueueId(1), Some(checkpoint))]).unwrap();
    let entries = (1..=200).map(|index| (Index(index), Bytes::from_static(b"small"))).collect();
    let write = Write::Rewrite { entries, over: Some((Index(1), Index(200))) };
    store.commit(&[(QueueId(1), Some(write))]).unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while tables() > 1 << 20 {
        assert!(std::time::Instant::now() < deadline, "{} bytes of tables are left", tables());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // It may be closed while that goes on, and be opened at once.
    let again = Write::Rewrite { entries: Vec::new(), over: Some((Index(1), Index(200))) };
    store.commit(&[(QueueId(1), Some(again))]).unwrap();
    drop(store);
    let store = open(folder.path(), &Options::new("a")).unwrap();
    assert_eq!(store.read(QueueId(1), Index(1), usize::MAX).unwrap().len(), 200);
}

#[test]
fn identity_is_drawn_once_and_boots_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let first = start(folder.path());
    let incarnation = first.incarnation();
    assert_eq!(first.node(), node_id("a"));
    assert_eq!(first.next_boot().unwrap(), Boot(1));
    drop(first);

    let second = start(folder.path());
    assert_eq!(second.incarnation(), incarnation);
    assert_eq!(second.next_boot().unwrap(), Boot(2));

    let elsewhere = tempfile::tempdir().unwrap();
    assert_ne!(start(elsewhere.path()).incarnation(), incarnation);
}

#[test]
fn node_ids_are_the_published_hash() {
    // Test vectors of FNV-1a, 64 bits.
    assert_eq!(node_id("").0, 0xcbf2_9ce4_8422_2325);
    assert_eq!(node_id("a").0, 0xaf63_dc4c_8601_ec8c);
    assert_eq!(node_id("foobar").0, 0x8594_4171_f739_67e8);
}

#[test]
fn a_folder_serves_one_process_node_and_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let database = start(folder.path());
    let again = open(folder.path(), &Options::new("a")).err().unwrap();
    assert!(matches!(again, StoreError::Locked { .. }), "{again}");

    assert_eq!(database.cluster().unwrap(), None);
    database.set_cluster(ClusterId(5)).unwrap();
    database.set_cluster(ClusterId(5)).unwrap();
    let other = database.set_cluster(ClusterId(6)).unwrap_err();
    assert!(matches!(other, StoreError::OtherCluster { stored: ClusterId(5), given: ClusterId(6) }));
    drop(database);

    let error = open(folder.path(), &Options::new("b")).err().unwrap();
    assert!(error.to_string().contains("holds the data of node 'a', but this node is called 'b'"), "{error}");
    assert_eq!(start(folder.path()).cluster().unwrap(), Some(ClusterId(5)));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        if file.file_type().unwrap().is_dir() {
            copy(&file.path(), &to.join(file.file_name()));
        } else {
            fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
}

#[test]
fn a_database_that_ends_before_what_was_vouched_for_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let older = tempfile::tempdir().unwrap();
    let database = start(folder.path());
    let append = |index: u64| {
        let entries = vec![Bytes::from_static(b"x")];
        let write = Write::Append { first: Index(index), entries };
        database.commit(&[(QueueId(1), Some(write))]).unwrap();
    };
    append(1);
    copy(folder.path(), older.path());
    append(2);
    append(3);
    drop(database);

    // A stop vouches for everything; with the older database beside that, it shows.
    fs::copy(folder.path().join("vouched"), older.path().join("vouched")).unwrap();
    let error = open(older.path(), &Options::new("a")).err().unwrap();
    assert!(matches!(error, StoreError::RolledBack { .. }), "{error}");
    start(folder.path());
}

#[test]
fn a_torn_last_write_is_no_rollback() {
    let folder = tempfile::tempdir().unwrap();
    let copied = tempfile::tempdir().unwrap();
    let database = start(folder.path());
    let commit = |index: u64| {
        let entries = vec![Bytes::from(vec![7; 5000])];
        let write = Write::Append { first: Index(index), entries };
        database.commit(&[(QueueId(1), Some(write))]).unwrap();
    };
    commit(1);
    commit(2);
    // Power loss in the middle of a third commit: nothing of it was promised.
    copy(folder.path(), copied.path());
    let before = wal_end(copied.path());
    commit(3);
    fs::remove_dir_all(copied.path()).unwrap();
    copy(folder.path(), copied.path());
    let (wal, end) = wal_end(copied.path());
    assert!(end > before.1 + 2000, "the third commit is in the same file");
    fs::File::options().write(true).open(wal).unwrap().set_len(before.1 + 2000).unwrap();

    let database = start(copied.path());
    let found = database.read(QueueId(1), Index(1), usize::MAX).unwrap();
    assert_eq!(found.len(), 2);
}

/// The newest write-ahead log file and its length.
fn wal_end(folder: &Path) -> (std::path::PathBuf, u64) {
    let files = fs::read_dir(folder.join("db")).unwrap().map(|file| file.unwrap().path());
    let newest = files.filter(|path| path.extension().is_some_and(|end| end == "log")).max().unwrap();
    let length = fs::metadata(&newest).unwrap().len();
    (newest, length)
}
