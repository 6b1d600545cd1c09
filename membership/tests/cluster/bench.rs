//! How many declares a second: batches must form on the way.

use std::time::Instant;

use crate::cluster::{Cluster, vhost};

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_declares_share_entries() {
    const DECLARES: u64 = 4_000;
    let cluster = Cluster::of(3).await;
    let leader = cluster.raft_leader().await;
    let node = &cluster.nodes[(leader + 1) % 3];
    node.propose(vhost("/")).await.unwrap();
    let applied = node.membership().applied();
    let first = *applied.borrow();
    let begun = Instant::now();
    let declares: Vec<_> = (0..DECLARES)
        .map(|number| {
            let (membership, command) = (node.membership().clone(), node.declare(&format!("q{number}")));
            tokio::spawn(async move { membership.propose(command).await })
        })
        .collect();
    for declared in declares {
        declared.await.unwrap().unwrap();
    }
    let entries = *applied.borrow() - first;
    println!("{DECLARES} declares in {:?} and {entries} entries", begun.elapsed());
    assert!(entries < DECLARES / 4, "{entries} entries");
    assert!(cluster.nodes.iter().all(|node| node.membership().state().queues().len() as u64 == DECLARES));
}
