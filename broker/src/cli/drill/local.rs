//! A cluster of this machine that drills hurt: one that is there, or three nodes
//! made for the drill, which go when it is over.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::clock;
use super::host;
use super::network::{self, Network};
use crate::cli::client::{Client, Target, encode};
use crate::cli::cluster::layout::{Layout, Node, Wanted};
use crate::cli::cluster::process;
use crate::cli::{CliError, output};
use crate::client::Uri;
use crate::drill::{Cluster, Fault, Plan, Step};
use crate::management::model::{ClusterView, DrainView, MoveRow, QueueRow};

/// How many nodes a drill's own cluster has.
const NODES: usize = 3;
/// How long a node may take to stop, or all to serve.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a node that may be frozen is waited for.
const IMPATIENCE: Duration = Duration::from_secs(2);
const GLANCE: Duration = Duration::from_millis(50);

/// A cluster of this machine.
pub(super) struct Local {
    layout: Layout,
    network: Option<Network>,
    /// The folder that goes at the end.
    own: Option<PathBuf>,
    disks: Vec<PathBuf>,
    /// The nodes have wall clocks of their own.
    clocks: bool,
}

fn jumps(plan: &Plan) -> bool {
    plan.step.iter().any(|step| matches!(step, Step::Jump { .. }))
}

impl Local {
    /// Whether the drill can be done here.
    ///
    /// # Errors
    /// Why not, as a sentence.
    pub(super) fn able(plan: &Plan, data: Option<&Path>) -> Result<(), String> {
        let clocks = jumps(plan);
        if (plan.network || plan.disk.is_some() || clocks) && data.is_some() {
            return Err("it needs nodes with networks, disks or clocks of their own; leave --data out".to_owned());
        }
        if clocks {
            clock::able()?;
        }
        if (plan.network || plan.disk.is_some()) && !rustix::process::geteuid().is_root() {
            return Err("networks and disks can be made by root only".to_owned());
        }
        if plan.network {
            let slow = plan.step.iter().any(|step| matches!(step, Step::Slow { .. }));
            let lossy = plan.step.iter().any(|step| matches!(step, Step::Lose { .. }));
            Network::able(slow, lossy)?;
        }
        Ok(())
    }

    /// One that runs.
    pub(super) fn open(folder: &Path) -> Result<Self, CliError> {
        Ok(Self { layout: Layout::open(folder)?, network: None, own: None, disks: Vec::new(), clocks: false })
    }

    /// Three nodes for this drill.
    pub(super) fn make(plan: &Plan) -> Result<Self, CliError> {
        let folder = std::env::temp_dir().join(format!("warren-drill-{:08x}", rand::random::<u32>()));
        let network = plan.network.then(|| Network::make(NODES)).transpose().map_err(CliError::Usage)?;
        let mut settings: Vec<(String, String)> = plan.settings.clone().into_iter().collect();
        if network.is_some() {
            // Clients come over the bridge.
            settings.push(("users.loopback-only".to_owned(), "[]".to_owned()));
        }
        let wanted =
            Wanted { nodes: Some(NODES), amqp_port: Some(0), http_port: Some(0), policy: None, settings: &settings };
        let layout = Layout::open_or_make(&folder, &wanted)?;
        let mut local = Self { layout, network, own: Some(folder), disks: Vec::new(), clocks: jumps(plan) };
        if let Some(network) = &local.network {
            for (node, address) in local.layout.nodes.iter().zip(network.addresses()) {
                network::listen(&node.config_file(), *address, network.addresses())?;
            }
            local.layout = Layout::open(&local.layout.folder)?;
        }
        if let Some(size) = plan.disk {
            for node in &local.layout.nodes {
                host::mount(&node.config.node.data, size.get()).map_err(CliError::Usage)?;
                local.disks.push(node.config.node.data.clone());
            }
        }
        let names: Vec<String> = local.layout.nodes.iter().map(|node| node.name.clone()).collect();
        for name in &names {
            local.start(name).map_err(CliError::Usage)?;
        }
        local.wait_until_all_serve()?;
        Ok(local)
    }

    /// Leaves the folder, for whoever wants to look why.
    pub(super) fn keep(&mut self) {
        if let Some(folder) = self.own.take() {
            output::complain(&format!("what the nodes have logged and stored is left in {}", folder.display()));
            self.down();
        }
    }

    fn wait_until_all_serve(&self) -> Result<(), CliError> {
        let deadline = Instant::now() + PATIENCE;
        for node in &self.layout.nodes {
            while let Err(why) = self.view(&node.name) {
                if Instant::now() > deadline {
                    return Err(CliError::Usage(format!("{} does not serve: {why}", node.name)));
                }
                std::thread::sleep(GLANCE);
            }
        }
        Ok(())
    }

    fn down(&self) {
        for node in &self.layout.nodes {
            if let Some(pid) = process::running(node) {
                // Frozen ones too; what fails here is found by the removal.
                let _ = process::signal(pid, Signal::KILL, "kill");
            }
        }
        let deadline = Instant::now() + PATIENCE;
        while self.layout.nodes.iter().any(|node| process::running(node).is_some()) && Instant::now() < deadline {
            std::thread::sleep(GLANCE);
        }
        for disk in &self.disks {
            host::unmount(disk);
        }
    }

    fn node(&self, name: &str) -> Result<&Node, String> {
        let found = self.layout.nodes.iter().find(|node| node.config.node.name == name);
        found.ok_or_else(|| format!("{name} is no node of {}", self.layout.folder.display()))
    }

    fn place(&self, name: &str) -> Result<usize, String> {
        let found = self.layout.nodes.iter().position(|node| node.config.node.name == name);
        found.ok_or_else(|| format!("{name} is no node of {}", self.layout.folder.display()))
    }

    fn network(&mut self) -> Result<&mut Network, String> {
        self.network.as_mut().ok_or_else(|| "the nodes have no network of their own".to_owned())
    }

    fn signal(&self, name: &str, signal: Signal, action: &'static str) -> Result<(), String> {
        let node = self.node(name)?;
        let pid = process::running(node).ok_or_else(|| format!("{name} does not run"))?;
        process::signal(pid, signal, action).map_err(|error| error.to_string())
    }

    fn start(&self, name: &str) -> Result<(), String> {
        let node = self.node(name)?;
        // A process that was just killed may not be gone yet.
        self.until_ended(name)?;
        let mut within = match &self.network {
            Some(network) => network.prefix(self.place(name)?)?,
            None => Vec::new(),
        };
        if self.clocks {
            within.extend(clock::prefix(&node.folder)?);
        }
        // The node outlives the drill; it writes its pid file itself.
        process::start_within(&within, node).map(drop).map_err(|error| error.to_string())
    }

    fn until_ended(&self, name: &str) -> Result<(), String> {
        let node = self.node(name)?;
        let deadline = Instant::now() + PATIENCE;
        while process::running(node).is_some() {
            if Instant::now() > deadline {
                return Err(format!("{name} did not end in {} s", PATIENCE.as_secs()));
            }
            std::thread::sleep(GLANCE);
        }
        Ok(())
    }

    fn client(&self, node: &Node) -> Client {
        let target = Target {
            node: node.url(),
            username: node.config.users.default_user.clone(),
            password: node.config.users.default_password.clone(),
        };
        Client::impatient(&target, IMPATIENCE)
    }

    fn drain(&self, name: &str) -> Result<(), String> {
        let client = self.client(self.node(name)?);
        let mut view: DrainView = client.put(&drain_path(name), &()).map_err(|error| error.to_string())?;
        let deadline = Instant::now() + PATIENCE;
        while view.moving + view.waiting > 0 {
            if Instant::now() > deadline {
                return Err(format!("{name} still leads queues after {} s", PATIENCE.as_secs()));
            }
            std::thread::sleep(GLANCE);
            view = client.get(&drain_path(name), &[]).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn view(&self, node: &str) -> Result<ClusterView, String> {
        self.client(self.node(node)?).get("/api/nodes", &[]).map_err(|error| error.to_string())
    }
}

fn drain_path(node: &str) -> String {
    format!("/api/nodes/{}/drain", encode(node))
}

impl Drop for Local {
    fn drop(&mut self) {
        if let Some(folder) = self.own.take() {
            self.down();
            if let Err(error) = std::fs::remove_dir_all(&folder) {
                output::complain(&format!("cannot remove {}: {error}", folder.display()));
            }
        }
    }
}

impl Cluster for Local {
    fn nodes(&self) -> Vec<(String, Uri)> {
        let uri = |node: &Node| Uri {
            username: node.config.users.default_user.clone(),
            password: node.config.users.default_password.clone(),
            ..Uri::guest(&node.config.amqp.listen.to_string())
        };
        self.layout.nodes.iter().map(|node| (node.config.node.name.clone(), uri(node))).collect()
    }

    fn hurt(&mut self, fault: &Fault) -> Result<(), String> {
        match fault {
            // One that ended by itself, as on a full disk, is as good.
            Fault::Kill(node) if process::running(self.node(node)?).is_none() => Ok(()),
            Fault::Kill(node) => self.signal(node, Signal::KILL, "kill"),
            Fault::Stop(node) => {
                let stopped = process::stop(std::slice::from_ref(self.node(node)?), PATIENCE, &|| false);
                match stopped.map_err(|error| error.to_string())?.as_slice() {
                    [(_, process::End::Clean)] => Ok(()),
                    [] => Err(format!("{node} does not run")),
                    _ => Err(format!("{node} did not end in {} s", PATIENCE.as_secs())),
                }
            }
            Fault::Start(node) => self.start(node),
            Fault::Freeze(node) => self.signal(node, Signal::STOP, "freeze"),
            Fault::Thaw(node) => self.signal(node, Signal::CONT, "thaw"),
            Fault::Wipe(node) => {
                self.until_ended(node)?;
                host::wipe(&self.node(node)?.config.node.data)
            }
            Fault::Tear(node) => {
                self.until_ended(node)?;
                host::tear(&self.node(node)?.config.node.data)
            }
            Fault::Fill(node) => host::fill(&self.node(node)?.config.node.data),
            Fault::Free(node) => host::free(&self.node(node)?.config.node.data),
            Fault::Cut(from, to) => {
                let (from, to) = (self.place(from)?, self.place(to)?);
                self.network()?.cut(from, to)
            }
            Fault::Heal => self.network()?.heal(),
            Fault::Slow(node, delay, loss) => {
                let node = self.place(node)?;
                self.network()?.slow(node, *delay, *loss)
            }
            Fault::Lose(node, percent) => {
                let node = self.place(node)?;
                self.network()?.lose(node, *percent)
            }
            Fault::Drain(node) => self.drain(node),
            Fault::Undrain(node) => {
                let undrained: Result<DrainView, _> = self.client(self.node(node)?).delete(&drain_path(node), &[]);
                undrained.map(drop).map_err(|error| error.to_string())
            }
            Fault::Rebalance => {
                let first = self.layout.nodes.first().ok_or("the cluster has no nodes")?;
                let moves: Result<Vec<MoveRow>, _> = self.client(first).post("/api/queues/rebalance", &());
                moves.map(drop).map_err(|error| error.to_string())
            }
            Fault::Jump(node, seconds) => clock::set(&self.node(node)?.folder, *seconds),
        }
    }

    fn queue(&self, node: &str, queue: &str) -> Result<Option<QueueRow>, String> {
        let client = self.client(self.node(node)?);
        let rows: Vec<QueueRow> =
            client.get("/api/queues", &[("vhost", "/"), ("name", queue)]).map_err(|error| error.to_string())?;
        Ok(rows.into_iter().find(|row| row.name == queue))
    }

    fn raft_leader(&self, node: &str) -> Result<Option<String>, String> {
        self.view(node).map(|view| view.raft_leader)
    }
}
