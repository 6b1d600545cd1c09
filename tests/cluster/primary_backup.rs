//! The primary-backup sample of `deploy/` as written: who serves clients, who
//! takes over, and that the queues move together.

use std::path::Path;

use warren_tests::processes::{Cluster, Node, eventually, warren};

/// Publishes so many messages to two queues, which it empties first.
fn publish(cluster: &Cluster, node: Node, messages: &str) -> Result<(), String> {
    let uri = cluster.amqp(node);
    let what = ["bench", "--uri", &uri, "--publishers", "2", "--consumers", "0", "--queues", "2", "--keep"];
    let output = warren(&[&what[..], &["--queue-prefix", "kept", "--size", "100", "--messages", messages]].concat());
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn serves(cluster: &Cluster, node: Node) -> bool {
    cluster.json(node, "/health/primary").is_ok()
}

/// Leader and ready messages of each queue.
fn queues(cluster: &Cluster, node: Node) -> Vec<(String, u64)> {
    let queues = cluster.json(node, "/api/queues").unwrap();
    let of = |queue: &serde_json::Value| {
        assert_eq!(queue["mode"], "primary-backup");
        (queue["leader"].as_str().unwrap_or("nobody").to_owned(), queue["ready"].as_u64().unwrap_or(0))
    };
    queues.as_array().unwrap().iter().map(of).collect()
}

fn await_primary(cluster: &Cluster, ask: Node, primary: Node, ready: u64) {
    eventually(&format!("node-{} the primary", primary.0), || {
        let queues = queues(cluster, ask);
        let right = queues.len() == 2 && queues.iter().all(|(leader, _)| *leader == format!("node-{}", primary.0));
        let complete = queues.iter().map(|(_, ready)| ready).sum::<u64>() == ready;
        if right && complete && serves(cluster, primary) { Ok(()) } else { Err(format!("{queues:?}")) }
    });
}

#[test]
fn the_backup_turns_clients_away_until_it_leads_everything() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/primary-backup.toml");
    let mut cluster = Cluster::start_with(3, &["--policy", sample.to_str().unwrap()]);
    eventually("node-2 a backup", || if serves(&cluster, Node(2)) { Err("it serves".into()) } else { Ok(()) });
    assert!(serves(&cluster, Node(1)));
    let refused = publish(&cluster, Node(2), "1").unwrap_err();
    assert!(refused.contains("backup of policy 'pair'") && refused.contains("primary 'node-1' at"), "{refused}");
    publish(&cluster, Node(1), "500").unwrap();
    await_primary(&cluster, Node(1), Node(1), 500);

    cluster.kill(Node(1));
    await_primary(&cluster, Node(3), Node(2), 500);
    publish(&cluster, Node(2), "300").unwrap();

    // The former primary comes back as a backup; it leads again when told to.
    cluster.restart(Node(1));
    eventually("the primary moved by hand", || {
        let moved = cluster.ask(Node(3), &["policy", "primary", "pair", "node-1"]);
        if moved.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&moved.stderr).into_owned()) }
    });
    await_primary(&cluster, Node(3), Node(1), 300);
    assert!(!serves(&cluster, Node(2)));
    publish(&cluster, Node(1), "100").unwrap();
    await_primary(&cluster, Node(2), Node(1), 100);
}
