//! Memberships of several nodes in one process, on loopback.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bench;
mod cluster;

use std::time::{Duration, Instant};

use bytes::Bytes;
use tonic::Code;
use warren_membership::catalog::Command;
use warren_membership::{MembershipError, ProposeError, RaftRole, Timing, clock};
use warren_peer::catalog::catalog_client::CatalogClient;
use warren_peer::catalog::{Header, Payload};
use warren_replication::types::Moment;

use crate::cluster::{Cluster, Node, eventually, vhost};

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_form_a_cluster_and_each_may_propose() {
    let cluster = Cluster::of(3).await;
    for node in &cluster.nodes {
        let name = format!("from-{}", node.name);
        node.propose(vhost(&name)).await.unwrap();
        for other in &cluster.nodes {
            assert!(other.has_vhost(&name), "{} answered before {} had applied it", node.name, other.name);
        }
    }
    let nodes = cluster.nodes[0].membership().nodes();
    assert_eq!(nodes.len(), 3);
    assert!(nodes.iter().all(|node| node.alive && node.role != RaftRole::Learner && node.role != RaftRole::None));
    assert_eq!(cluster.nodes[1].membership().peers().borrow().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_of_a_killed_raft_leader_get_other_leaders() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.raft_leader().await;
    let queue = cluster.nodes[leader].declare_queue("q").await;
    let victim = cluster.nodes[leader].membership().process();
    assert_eq!(cluster.nodes[leader].leader_of(queue), Some(victim), "the first queue is led where it was declared");

    let killed = Instant::now();
    cluster.nodes[leader].kill();
    for survivor in cluster.running() {
        survivor.membership().suspect(victim);
    }
    let survivors: Vec<&Node> = cluster.running().collect();
    eventually("another leader of the queue", || {
        survivors.iter().all(|node| node.leader_of(queue).is_some_and(|leader| leader != victim))
    })
    .await;
    println!("kill of the Raft leader's node to the queue's election: {:?}", killed.elapsed());
    for survivor in survivors {
        assert!(!survivor.membership().live().borrow().contains(&victim));
        survivor.propose(vhost("after")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_of_a_killed_follower_get_other_leaders_at_once() {
    let mut cluster = Cluster::of(3).await;
    let raft_leader = cluster.raft_leader().await;
    let follower = (raft_leader + 1) % 3;
    let queue = cluster.nodes[follower].declare_queue_led_here().await;
    let victim = cluster.nodes[follower].membership().process();

    let killed = Instant::now();
    cluster.nodes[follower].kill();
    for survivor in cluster.running() {
        survivor.membership().suspect(victim);
    }
    let survivors: Vec<&Node> = cluster.running().collect();
    eventually("another leader of the queue", || {
        survivors.iter().all(|node| node.leader_of(queue).is_some_and(|leader| leader != victim))
    })
    .await;
    println!("kill of a follower's node to the queue's election: {:?}", killed.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_node_is_found_by_gossip() {
    let mut cluster = Cluster::of(3).await;
    let raft_leader = cluster.raft_leader().await;
    let follower = (raft_leader + 1) % 3;
    let queue = cluster.nodes[follower].declare_queue_led_here().await;
    let victim = cluster.nodes[follower].membership().process();
    let killed = Instant::now();
    cluster.nodes[follower].kill();
    let witness = &cluster.nodes[raft_leader];
    eventually("another leader of the queue", || witness.leader_of(queue).is_some_and(|leader| leader != victim)).await;
    println!("silence to the queue's election: {:?}", killed.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_node_registers_a_later_boot_at_another_address() {
    let mut cluster = Cluster::of(3).await;
    let before = cluster.nodes[1].membership().process();
    let address = cluster.nodes[1].membership().address();
    cluster.nodes[1].kill();
    cluster.restart(1).await.unwrap();
    let after = cluster.nodes[1].membership().process();
    assert_eq!(after.member(), before.member());
    assert!(after.boot > before.boot);
    assert_ne!(cluster.nodes[1].membership().address(), address);
    let others = [&cluster.nodes[0], &cluster.nodes[2]];
    eventually("the others to see the later boot", || {
        others.iter().all(|node| node.membership().live().borrow().contains(&after))
    })
    .await;
    cluster.nodes[1].propose(vhost("back")).await.unwrap();
    assert!(others.iter().all(|node| node.has_vhost("back")));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_restart() {
    let mut cluster = Cluster::of(3).await;
    cluster.nodes[0].propose(vhost("kept")).await.unwrap();
    for node in &mut cluster.nodes {
        node.kill();
    }
    cluster.restart_all().await;
    for node in &cluster.nodes {
        assert!(node.has_vhost("kept"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fourth_node_joins_and_is_forgotten() {
    let mut cluster = Cluster::of(3).await;
    cluster.nodes[0].propose(vhost("before")).await.unwrap();
    let fourth = cluster.add("d").await.unwrap();
    assert!(cluster.nodes[fourth].has_vhost("before"));
    let view = cluster.nodes[0].membership().nodes();
    let learner = view.iter().find(|node| node.name == "d").unwrap();
    assert_eq!(learner.role, RaftRole::Learner, "an even number of voters is one too many");

    let process = cluster.nodes[fourth].membership().process();
    eventually("the fourth to be alive to all", || {
        cluster.running().all(|node| node.membership().live().borrow().contains(&process))
    })
    .await;
    let refused = cluster.nodes[0].membership().forget(process.node, false).await;
    assert!(matches!(refused, Err(ProposeError::Denied(_))), "it is alive: {refused:?}");
    cluster.nodes[fourth].kill();
    let witness = &cluster.nodes[0];
    eventually("the fourth to be dead to all", || {
        cluster.running().all(|node| !node.membership().live().borrow().contains(&process))
    })
    .await;
    witness.membership().forget(process.node, false).await.unwrap();
    assert_eq!(witness.membership().nodes().len(), 3);

    let error = cluster.restart(fourth).await.unwrap_err();
    assert!(matches!(error, MembershipError::Refused(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_an_emptied_folder_joins_anew() {
    let mut cluster = Cluster::of(3).await;
    let before = cluster.nodes[2].membership().process();
    cluster.nodes[2].kill();
    cluster.nodes[2].wipe().await;
    cluster.restart(2).await.unwrap();
    let after = cluster.nodes[2].membership().process();
    assert_eq!(after.node, before.node);
    assert_ne!(after.incarnation, before.incarnation);
    cluster.nodes[2].propose(vhost("anew")).await.unwrap();
    eventually("it to vote again", || {
        let nodes = cluster.nodes[0].membership().nodes();
        nodes.iter().filter(|node| matches!(node.role, RaftRole::Voter | RaftRole::Leader)).count() == 3
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_of_another_cluster_is_refused() {
    let cluster = Cluster::of(1).await;
    let mut other = Cluster::of(1).await;
    other.nodes[0].kill();
    other.nodes[0].seeds = vec![cluster.nodes[0].membership().address().to_string()];
    let error = other.restart(0).await.unwrap_err();
    assert!(matches!(error, MembershipError::OtherCluster { .. }), "{error}");
    assert!(error.to_string().contains("this data folder belongs to cluster"));
    assert_eq!(cluster.nodes[0].membership().nodes().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_another_cluster_or_for_another_node_are_refused() {
    let cluster = Cluster::of(1).await;
    let node = cluster.nodes[0].membership();
    let own = node.cluster().unwrap().0;
    let mut client = CatalogClient::connect(format!("http://{}", node.address())).await.unwrap();
    let mut call = async |cluster: u64, to: u64| {
        let header = Some(Header { cluster, from: 7, to });
        client.propose(Payload { header, body: Bytes::new() }).await.unwrap_err()
    };
    let stranger = call(own + 1, node.process().node.0).await;
    assert_eq!(stranger.code(), Code::FailedPrecondition);
    assert!(stranger.message().contains("this data folder belongs to cluster"), "{stranger}");
    assert_eq!(call(own, 7).await.code(), Code::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_missed_too_much_gets_a_snapshot() {
    let timing = Timing { snapshot_entries: 20, ..Timing::default() };
    let mut cluster = Cluster::with(3, timing).await;
    cluster.nodes[2].kill();
    for number in 0..100 {
        cluster.nodes[0].propose(vhost(&format!("v{number}"))).await.unwrap();
    }
    cluster.restart(2).await.unwrap();
    assert!(cluster.nodes[2].has_vhost("v99"));
    assert!(cluster.nodes[2].observer.resets() > 1, "by a snapshot, not by the log");
    let fourth = cluster.add("d").await.unwrap();
    assert!(cluster.nodes[fourth].has_vhost("v99"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_machine_does_not_change_the_raft_leader() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.raft_leader().await;
    let until = Instant::now() + Duration::from_secs(3);
    let spinners: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(move || {
                let mut spins = 0u64;
                while Instant::now() < until {
                    spins = std::hint::black_box(spins + 1);
                }
            })
        })
        .collect();
    let mut number = 0;
    while Instant::now() < until {
        cluster.nodes[(leader + number) % 3].propose(vhost(&format!("v{number}"))).await.unwrap();
        number += 1;
    }
    for spinner in spinners {
        spinner.join().unwrap();
    }
    println!("{number} proposals, one by one, beside eight busy threads");
    assert_eq!(cluster.raft_leader().await, leader);
    let live = cluster.nodes[leader].membership().live();
    assert_eq!(live.borrow().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_runs_out_without_a_majority() {
    let mut cluster = Cluster::of(3).await;
    let lease = cluster.nodes[0].membership().lease();
    eventually("a lease", || *lease.borrow() > clock::now()).await;
    cluster.nodes[1].kill();
    cluster.nodes[2].kill();
    let cut = clock::now();
    eventually("its end", || *lease.borrow() < clock::now()).await;
    // What was asked for before the cut runs out within a lease's length.
    assert!(lease.borrow().micros_since(cut) <= clock::micros(Timing::default().lease));
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::await_holding_lock)] // The gate stays closed while it waits.
async fn a_change_waits_for_those_who_hold_a_lease() {
    let cluster = Cluster::of(3).await;
    let raft_leader = cluster.raft_leader().await;
    let slow = &cluster.nodes[(raft_leader + 1) % 3];
    let quick = &cluster.nodes[(raft_leader + 2) % 3];
    let lease = slow.membership().lease();
    eventually("a lease", || *lease.borrow() > clock::now()).await;

    let gate = slow.observer.close();
    let asked = clock::now();
    quick.propose(vhost("slow")).await.unwrap();
    let answered = clock::now();
    let end = *lease.borrow();
    assert!(answered >= end, "answered while the slow node's lease ran on for {}", end.micros_since(answered));
    assert!(answered.micros_since(asked) < 2_000_000, "it stops counting once its lease runs out");
    drop(gate);
    eventually("the lease to come back", || *lease.borrow() > clock::now()).await;
    assert!(slow.has_vhost("slow"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_on_purpose_holds_nobody_up() {
    let mut cluster = Cluster::of(3).await;
    let raft_leader = cluster.raft_leader().await;
    let leaving = (raft_leader + 1) % 3;
    let queue = cluster.nodes[leaving].declare_queue_led_here().await;
    let process = cluster.nodes[leaving].membership().process();
    let lease = cluster.nodes[leaving].membership().lease();
    cluster.nodes[leaving].shutdown().await;
    assert_eq!(*lease.borrow(), Moment(0));
    let witness = &cluster.nodes[raft_leader];
    let queue_leader = witness.leader_of(queue);
    assert!(queue_leader.is_some_and(|leader| leader != process), "handed over before the end: {queue_leader:?}");
    let assignment = witness.assignment(queue);
    assert_eq!(assignment.predecessor, Some(process));
    let asked = Instant::now();
    witness.propose(vhost("after")).await.unwrap();
    assert!(asked.elapsed() < Duration::from_millis(500), "a lease given up is not waited for");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_reach_the_proposer() {
    let cluster = Cluster::of(1).await;
    let delete = Command::DeleteVhost { name: "none".to_owned() };
    let refused = cluster.nodes[0].propose(delete).await;
    assert!(matches!(refused, Err(ProposeError::Refused(_))), "{refused:?}");
}
