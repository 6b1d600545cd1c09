//! Clusters form by themselves, grow, shrink, and refuse strangers.

use std::path::Path;
use std::process::{Command, Stdio};

use warren_tests::processes::{Cluster, Node, eventually, warren};

#[test]
fn three_nodes_form_a_cluster_and_all_of_them_know() {
    let cluster = Cluster::start(3);
    for number in 1..=3 {
        let view = cluster.await_alive(Node(number), 3);
        assert_eq!(view["answered_by"], format!("node-{number}"));
        let nodes = view["nodes"].as_array().unwrap();
        let leaders: Vec<_> = nodes.iter().filter(|node| node["raft"] == "leader").collect();
        assert_eq!(leaders.len(), 1, "{view}");
        assert_eq!(leaders[0]["name"], view["raft_leader"]);
    }
    assert!(cluster.down(), "a clean stop");
    assert!(cluster.pid(Node(1)).is_none(), "a stopped node leaves no pid file");
}

#[test]
fn a_node_joins_and_is_forgotten_when_it_is_dead() {
    let cluster = Cluster::start(3);
    cluster.up(&["--nodes", "4", "--amqp-port", "0", "--http-port", "0"]);
    cluster.await_alive(Node(1), 4);
    let refused = cluster.ask(Node(1), &["node", "forget", "node-4"]);
    assert!(!refused.status.success(), "a live node is not forgotten: {refused:?}");
    cluster.kill(Node(4));
    cluster.await_alive(Node(1), 3);
    eventually("forgotten", || {
        let output = cluster.ask(Node(1), &["node", "forget", "node-4"]);
        if output.status.success() { Ok(()) } else { Err(format!("{output:?}")) }
    });
    let view = cluster.await_alive(Node(2), 3);
    assert_eq!(view["nodes"].as_array().unwrap().len(), 3, "{view}");
    let output = cluster.ask(Node(1), &["node", "forget", "node-9"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("no node 'node-9'"), "{output:?}");
}

#[test]
fn data_of_another_cluster_is_refused_with_a_clear_error() {
    let (one, other) = (Cluster::start(3), Cluster::start(3));
    assert!(one.down() && other.down());
    let (mine, theirs) = (one.node_path(Node(3)).join("data"), other.node_path(Node(3)).join("data"));
    replace(&mine, &theirs);
    let output = warren(&["cluster", "up", "--detach", "--timeout", "30s", "--data", one.path()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("belongs to cluster"), "{said}");
    assert!(one.pid(Node(1)).is_none(), "nodes that came up are stopped again");
}

#[test]
fn data_of_another_node_is_refused_with_a_clear_error() {
    let cluster = Cluster::start(2);
    assert!(cluster.down());
    let (first, second) = (cluster.node_path(Node(1)).join("data"), cluster.node_path(Node(2)).join("data"));
    replace(&second, &first);
    let output = cluster.server(Node(2)).stderr(Stdio::piped()).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("node-1"), "{said}");
}

#[test]
fn a_mistake_in_the_configuration_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.toml");
    std::fs::write(&file, "[amqp]\nheartbeat = \"soon\"\n").unwrap();
    let file = file.to_str().unwrap();
    for args in [vec!["config", "check", file], vec!["server", "--config", file]] {
        let output = warren(&args);
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(&format!("{file}:2:1: amqp.heartbeat: ")), "{said}");
    }
}

/// Puts a copy of one data folder in another's place.
fn replace(folder: &Path, by: &Path) {
    std::fs::remove_dir_all(folder).unwrap();
    assert!(Command::new("cp").arg("-r").args([by, folder]).status().unwrap().success());
}
