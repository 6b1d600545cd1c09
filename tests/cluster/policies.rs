//! The policy file of running nodes.

use std::fs;
use std::path::PathBuf;

use warren_tests::processes::{Cluster, Node, eventually};

fn policy(name: &str, replicas: usize) -> String {
    format!(
        "[[policy]]\nname = {name:?}\npattern = \"^kept\"\nmode = \"mirror\"\nmirror = {{ replicas = {replicas}, min-in-sync = 1 }}\n"
    )
}

struct Place {
    cluster: Cluster,
    file: PathBuf,
}

impl Place {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policy.toml");
        fs::write(&file, text).unwrap();
        let cluster = Cluster::start_with(3, &["--policy", file.to_str().unwrap()]);
        let file = PathBuf::from(cluster.path()).join("policy.toml");
        Self { cluster, file }
    }

    fn await_policy(&self, node: Node, name: &str) -> u64 {
        eventually(&format!("policy {name} in force"), || {
            let view = self.cluster.json(node, "/api/policies")?;
            let found = view["policies"][0]["name"] == name;
            if found { Ok(view["revision"].as_u64().unwrap()) } else { Err(view.to_string()) }
        })
    }
}

#[test]
fn the_file_is_applied_once_and_again_when_it_changes() {
    let place = Place::new(&policy("first", 3));
    let first = place.await_policy(Node(1), "first");
    assert_eq!(first, 1, "three nodes with the same file apply it once");
    fs::write(&place.file, policy("second", 2)).unwrap();
    let second = place.await_policy(Node(3), "second");
    assert_eq!(second, 2);
    fs::write(&place.file, "[[policy]]\nname = 1\n").unwrap();
    eventually("a complaint in every log", || {
        for number in 1..=3 {
            let log = fs::read_to_string(place.cluster.node_path(Node(number)).join("log")).unwrap();
            if !log.contains("the policy file has mistakes") {
                return Err(format!("node-{number} says nothing"));
            }
        }
        Ok(())
    });
    assert_eq!(place.await_policy(Node(2), "second"), second);
}

#[test]
fn policies_are_applied_listed_and_explained_by_command() {
    let cluster = Cluster::start(3);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p.toml");
    fs::write(&file, policy("two", 2)).unwrap();
    let output = cluster.ask(Node(1), &["policy", "apply", file.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let listed = cluster.ask(Node(2), &["policy", "list"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("two"), "{listed:?}");
    let explained = cluster.ask(Node(3), &["policy", "explain", "kept-1"]);
    let said = String::from_utf8_lossy(&explained.stdout).into_owned();
    assert!(said.contains("two: matches by") && said.contains("Policy 'two' is in force"), "{said}");
    fs::write(&file, "[[policy]]\nname = \"x\"\npattern = \"\"\nmode = \"multi-active\"\n").unwrap();
    let refused = cluster.ask(Node(1), &["policy", "apply", file.to_str().unwrap()]);
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("p.toml:1:1: policy[0].multi-active: `multi-active`: is missing"), "{said}");
}
