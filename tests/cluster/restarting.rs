//! Nodes that are killed, and whole clusters that are, find their place and
//! their data.

use warren_tests::processes::{Cluster, Node, warren};

/// Publishes so many messages with confirms to a queue `kept-0`, through a node.
fn fill(cluster: &Cluster, node: Node, messages: &str) {
    let uri = cluster.amqp(node);
    let output = warren(&[
        "bench",
        "--uri",
        &uri,
        "--publishers",
        "1",
        "--consumers",
        "0",
        "--messages",
        messages,
        "--size",
        "256",
        "--queue-prefix",
        "kept",
        "--keep",
    ]);
    assert!(output.status.success(), "{output:?}");
}

fn the_queue(cluster: &Cluster, node: Node) -> String {
    let queues = cluster.json(node, "/api/queues").unwrap();
    queues[0]["name"].as_str().unwrap().to_owned()
}

#[test]
fn a_killed_leader_is_replaced_and_comes_back_as_a_mirror() {
    let mut cluster = Cluster::start(3);
    fill(&cluster, Node(1), "1000");
    let name = the_queue(&cluster, Node(1));
    let before = cluster.await_in_sync(Node(1), &name, 3);
    let leader = cluster.named(before["leader"].as_str().unwrap());
    let other = Node(leader.0 % 3 + 1);
    cluster.kill(leader);
    let after = cluster.await_in_sync(other, &name, 2);
    assert_ne!(after["leader"], before["leader"]);
    assert!(after["epoch"].as_u64() > before["epoch"].as_u64(), "{before} {after}");
    assert_eq!(after["ready"], 1000);
    assert!(after["why"].as_str().unwrap().contains(&format!("node-{} is not in sync", leader.0)), "{after}");
    cluster.restart(leader);
    let healed = cluster.await_in_sync(other, &name, 3);
    assert_eq!(healed["ready"], 1000);
    assert_eq!(healed["id"], before["id"]);
}

#[test]
fn a_cluster_that_is_killed_at_once_keeps_what_it_confirmed() {
    let cluster = Cluster::start(3);
    fill(&cluster, Node(2), "2000");
    let name = the_queue(&cluster, Node(2));
    for number in 1..=3 {
        cluster.kill(Node(number));
    }
    cluster.up(&[]);
    let queue = cluster.await_in_sync(Node(3), &name, 3);
    assert_eq!(queue["ready"], 2000, "{queue}");
}

#[test]
fn a_cluster_that_is_stopped_finds_its_data() {
    let cluster = Cluster::start(3);
    fill(&cluster, Node(3), "500");
    let name = the_queue(&cluster, Node(3));
    assert!(cluster.down(), "a clean stop");
    cluster.up(&[]);
    let queue = cluster.await_in_sync(Node(1), &name, 3);
    assert_eq!(queue["ready"], 500, "{queue}");
}
