//! Status, queues, users, metrics: what operators and their programs are told.

use std::collections::BTreeSet;

use serde_json::Value;
use warren_tests::processes::{Cluster, Node, eventually, warren};

#[test]
fn operators_are_told_of_nodes_queues_and_numbers() {
    let cluster = Cluster::start(3);
    let uri = cluster.amqp(Node(1));
    let bench = [
        "bench",
        "--uri",
        &uri,
        "--publishers",
        "3",
        "--consumers",
        "0",
        "--messages",
        "300",
        "--queues",
        "3",
        "--keep",
    ];
    let output = warren(&bench);
    assert!(output.status.success(), "{output:?}");

    let output = cluster.ask(Node(2), &["queues", "--json"]);
    let queues: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(queues.len(), 3);
    let keys: BTreeSet<&str> = queues[0].as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "name",
        "vhost",
        "id",
        "mode",
        "leader",
        "mirrors",
        "in_sync",
        "epoch",
        "state",
        "why",
        "ready",
        "unacked",
        "consumers",
        "bytes",
        "rates",
    ];
    assert_eq!(keys, BTreeSet::from(expected));
    let leaders: BTreeSet<&str> = queues.iter().map(|queue| queue["leader"].as_str().unwrap()).collect();
    assert_eq!(leaders.len(), 3, "leaders are spread: {leaders:?}");

    eventually("every message told of, whoever is asked", || {
        for number in 1..=3 {
            let queues = cluster.json(Node(number), "/api/queues")?;
            let ready: u64 = queues.as_array().unwrap().iter().filter_map(|queue| queue["ready"].as_u64()).sum();
            if ready != 300 {
                return Err(format!("node-{number} tells of {ready}"));
            }
        }
        Ok(())
    });
    for (args, expected) in [(vec!["status"], "node-3"), (vec!["queues"], "3 of 3")] {
        let output = cluster.ask(Node(1), &args);
        assert!(String::from_utf8_lossy(&output.stdout).contains(expected), "{output:?}");
    }
    let metrics = cluster.text(Node(1), "/metrics").unwrap();
    for line in ["warren_serving 1", "warren_links_up 2", "warren_queues_led 1", "warren_messages_ready 100"] {
        assert!(metrics.lines().any(|found| found == line), "no {line:?} in\n{metrics}");
    }
}

#[test]
fn users_and_vhosts_are_the_whole_clusters() {
    let cluster = Cluster::start(3);
    for args in [
        vec!["user", "add", "amy", "secret", "--tags", "monitoring"],
        vec!["vhost", "add", "shop"],
        vec!["permissions", "set", "amy", "--vhost", "shop"],
    ] {
        let output = cluster.ask(Node(1), &args);
        assert!(output.status.success(), "{args:?}: {output:?}");
    }
    let address = cluster.setting(Node(3), "amqp", "listen");
    let uri = format!("amqp://amy:secret@{address}/shop");
    let output = warren(&["bench", "--uri", &uri, "--messages", "10"]);
    assert!(output.status.success(), "{output:?}");
    let elsewhere = format!("amqp://amy:secret@{address}");
    assert!(!warren(&["bench", "--uri", &elsewhere, "--messages", "10"]).status.success(), "vhost / is not amy's");
    let url = cluster.http(Node(2));
    let asked = warren(&["status", "--node", &url, "--username", "amy", "--password", "secret"]);
    assert!(asked.status.success(), "{asked:?}");
    let refused = warren(&["vhost", "add", "x", "--node", &url, "--username", "amy", "--password", "secret"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("needs the tag administrator"), "{refused:?}");
    let wrong = warren(&["status", "--node", &url, "--username", "amy", "--password", "wrong"]);
    assert!(!wrong.status.success());
    let output = cluster.ask(Node(2), &["user", "delete", "amy"]);
    assert!(output.status.success(), "{output:?}");
    assert!(!warren(&["bench", "--uri", &uri, "--messages", "10"]).status.success(), "amy is gone");
}
