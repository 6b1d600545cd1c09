//! A cluster of real processes, started as its users start it, on free ports and
//! in a folder of its own; gone when the value is dropped, also by a panic.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use toml_edit::DocumentMut;

/// How long anything that should happen by itself may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How often conditions are looked at.
const GLANCE: Duration = Duration::from_millis(50);

/// A test's helper has no better answer to a surprise than to end the test.
#[allow(clippy::panic)]
fn or_fail<T, E: Debug>(what: &str, result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{what}: {error:?}"),
    }
}

/// The `warren` program: `WARREN`, or what was built beside this test.
#[must_use]
pub fn program() -> PathBuf {
    if let Some(program) = std::env::var_os("WARREN") {
        return program.into();
    }
    let test = or_fail("the test's own path", std::env::current_exe());
    let built = test.parent().and_then(Path::parent).map(|folder| folder.join("warren")).unwrap_or_default();
    assert!(built.is_file(), "{} is not there: cargo build --release --package warren", built.display());
    built
}

/// Runs `warren` with these arguments to its end.
#[must_use]
pub fn warren(args: &[&str]) -> Output {
    or_fail("run warren", Command::new(program()).args(args).stdin(Stdio::null()).output())
}

/// Looks until there is something, for as long as [`PATIENCE`] lasts.
#[allow(clippy::panic)]
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look() {
            Ok(found) => return found,
            Err(instead) if Instant::now() > deadline => panic!("not {what} after {PATIENCE:?}, but {instead}"),
            Err(_) => std::thread::sleep(GLANCE),
        }
    }
}

/// A running cluster.
pub struct Cluster {
    folder: TempDir,
    restarted: Vec<Child>,
}

/// One node of it, by its number from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node(pub usize);

impl Cluster {
    /// Starts so many nodes and waits until they serve.
    #[must_use]
    pub fn start(nodes: usize) -> Self {
        Self::start_with(nodes, &[])
    }

    /// The same, with further options of `warren cluster up`.
    #[must_use]
    pub fn start_with(nodes: usize, options: &[&str]) -> Self {
        let folder = or_fail("make a folder", tempfile::Builder::new().prefix("warren-test-").tempdir());
        let cluster = Self { folder, restarted: Vec::new() };
        let nodes = nodes.to_string();
        let mut all = vec!["--nodes", &nodes, "--amqp-port", "0", "--http-port", "0"];
        all.extend(options);
        cluster.up(&all);
        cluster
    }

    /// `warren cluster up` with these options, on this cluster's folder.
    pub fn up(&self, options: &[&str]) {
        let mut args = vec!["cluster", "up", "--detach", "--data", self.path()];
        args.extend(options);
        let output = warren(&args);
        assert!(output.status.success(), "{args:?}: {output:?}");
    }

    /// Stops all nodes that run; true if every one stopped by itself.
    pub fn down(&self) -> bool {
        warren(&["cluster", "down", "--data", self.path()]).status.success()
    }

    /// The cluster's folder.
    #[must_use]
    pub fn path(&self) -> &str {
        self.folder.path().to_str().unwrap_or_default()
    }

    /// A node's folder.
    #[must_use]
    pub fn node_path(&self, node: Node) -> PathBuf {
        self.folder.path().join(format!("node-{}", node.0))
    }

    /// What a node's configuration says for `section.key`.
    #[must_use]
    pub fn setting(&self, node: Node, section: &str, key: &str) -> String {
        let path = self.node_path(node).join("config.toml");
        let text = or_fail("read the configuration", std::fs::read_to_string(path));
        let file: DocumentMut = or_fail("parse the configuration", text.parse());
        file.get(section).and_then(|table| table.get(key)?.as_str()).unwrap_or_default().to_owned()
    }

    /// Where a node takes clients.
    #[must_use]
    pub fn amqp(&self, node: Node) -> String {
        format!("amqp://guest:guest@{}", self.setting(node, "amqp", "listen"))
    }

    /// Where a node's API is.
    #[must_use]
    pub fn http(&self, node: Node) -> String {
        format!("http://{}", self.setting(node, "http", "listen"))
    }

    /// The process that a node runs in, by its pid file.
    #[must_use]
    pub fn pid(&self, node: Node) -> Option<Pid> {
        let text = std::fs::read_to_string(self.node_path(node).join("pid")).ok()?;
        Pid::from_raw(text.trim().parse().ok()?)
    }

    /// `kill -9`.
    pub fn kill(&self, node: Node) {
        let pid = self.pid(node);
        assert!(pid.is_some(), "{node:?} does not run");
        if let Some(pid) = pid {
            or_fail("kill the node", kill_process(pid, Signal::KILL));
        }
    }

    /// Runs a node that was stopped, as an operator does, and waits until it serves.
    pub fn restart(&mut self, node: Node) {
        let child = or_fail("run the node", self.server(node).spawn());
        self.restarted.push(child);
        eventually("serving", || match self.text(node, "/health") {
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        });
    }

    /// `warren server` for a node, to be run.
    #[must_use]
    pub fn server(&self, node: Node) -> Command {
        let path = self.node_path(node);
        let log = || or_fail("open the log", std::fs::File::options().append(true).open(path.join("log")));
        let mut command = Command::new(program());
        command.args(["server", "--config"]).arg(path.join("config.toml"));
        command.stdin(Stdio::null()).stdout(log()).stderr(log());
        command
    }

    /// `warren` with these arguments, asking this node.
    #[must_use]
    pub fn ask(&self, node: Node, args: &[&str]) -> Output {
        let url = self.http(node);
        let mut all = args.to_vec();
        all.extend(["--node", &url]);
        warren(&all)
    }

    /// `GET` as `guest`.
    ///
    /// # Errors
    /// What was answered instead.
    pub fn text(&self, node: Node, path: &str) -> Result<String, String> {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(10)))
            .build()
            .new_agent();
        let authorization = format!("Basic {}", STANDARD.encode("guest:guest"));
        let request = agent.get(format!("{}{path}", self.http(node))).header("authorization", authorization);
        let mut answer = request.call().map_err(|error| error.to_string())?;
        let text = answer.body_mut().read_to_string().map_err(|error| error.to_string())?;
        if answer.status().is_success() { Ok(text) } else { Err(format!("{}: {text}", answer.status())) }
    }

    /// `GET` JSON as `guest`.
    ///
    /// # Errors
    /// What was answered instead.
    pub fn json(&self, node: Node, path: &str) -> Result<Value, String> {
        serde_json::from_str(&self.text(node, path)?).map_err(|error| error.to_string())
    }

    /// A queue as a node tells of it.
    ///
    /// # Errors
    /// What was answered instead.
    pub fn queue(&self, node: Node, name: &str) -> Result<Value, String> {
        let queues = self.json(node, &format!("/api/queues?name={name}"))?;
        queues.get(0).cloned().ok_or_else(|| format!("there is no queue {name}"))
    }

    /// Waits until a node tells that all replicas of a queue are in sync.
    pub fn await_in_sync(&self, node: Node, name: &str, replicas: usize) -> Value {
        eventually(&format!("{name} in sync on {replicas} nodes"), || {
            let queue = self.queue(node, name)?;
            let in_sync = queue["in_sync"].as_array().map_or(0, Vec::len);
            if in_sync == replicas && queue["state"] == "running" { Ok(queue) } else { Err(queue.to_string()) }
        })
    }

    /// Waits until a node tells that so many nodes are alive, and who leads the catalog.
    pub fn await_alive(&self, node: Node, count: usize) -> Value {
        eventually(&format!("{count} nodes alive"), || {
            let view = self.json(node, "/api/nodes")?;
            let nodes = view["nodes"].as_array().cloned().unwrap_or_default();
            let alive = nodes.iter().filter(|node| node["alive"] == true).count();
            if alive == count && view["raft_leader"].is_string() { Ok(view) } else { Err(view.to_string()) }
        })
    }

    /// The number of the node of that name.
    #[must_use]
    pub fn named(&self, name: &str) -> Node {
        let number = name.strip_prefix("node-").and_then(|number| number.parse().ok());
        Node(or_fail("a node's name", number.ok_or(name)))
    }

    fn show_logs(&self) {
        for number in 1.. {
            let Ok(log) = std::fs::read_to_string(self.node_path(Node(number)).join("log")) else { return };
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- the end of node-{number}'s log");
            for line in &lines[lines.len().saturating_sub(40)..] {
                eprintln!("{line}");
            }
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_logs();
        }
        // Kills what does not stop; a test that cares about it has stopped the
        // cluster by itself before.
        let _ = warren(&["cluster", "down", "--timeout", "20s", "--data", self.path()]);
        for child in &mut self.restarted {
            let _ = child.wait();
        }
    }
}
