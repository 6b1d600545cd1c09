//! A network for a drill: each node in a network namespace of its own, joined by
//! a bridge that the drill makes and removes. Packets are cut off one way at a
//! time, by sending those of one node to another to an address that nobody has;
//! nothing of the machine's own network is touched.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use toml_edit::{Array, DocumentMut, value};

use super::host::run;
use crate::cli::CliError;

/// Where packets go that nobody is to get.
const NOBODY: &str = "02:00:00:00:00:ff";
/// The ports are the same for all: each has an address of its own.
const AMQP: u16 = 5672;
const HTTP: u16 = 15672;
const PEER: u16 = 5680;
const MEMBERSHIP: u16 = 5681;

/// The network, gone with this value.
pub(super) struct Network {
    /// What the names of its parts begin with.
    name: String,
    addresses: Vec<IpAddr>,
    cut: Vec<(usize, usize)>,
    slow: Vec<usize>,
    lossy: Vec<usize>,
}

impl Network {
    /// Whether one can be made here.
    ///
    /// # Errors
    /// Why not, as a sentence.
    pub(super) fn able(slow: bool, lossy: bool) -> Result<(), String> {
        let probe = Self::new(0);
        let name = format!("{}p", probe.name);
        run("ip", &["netns", "add", &name]).map_err(|error| format!("no network namespaces: {error}"))?;
        let netem = ["netns", "exec", &name, "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"];
        let delayed = if slow { run("ip", &netem) } else { Ok(()) };
        let lost = if lossy { drop_packets(&name, 1) } else { Ok(()) };
        run("ip", &["netns", "del", &name])?;
        delayed.map_err(|error| format!("packets cannot be delayed: {error}"))?;
        lost.map_err(|error| format!("packets cannot be lost: {error}"))
    }

    fn new(nodes: usize) -> Self {
        let number: u16 = rand::random();
        let [third, _] = number.to_be_bytes();
        let addresses = (1..=nodes).map(|node| {
            let last = u8::try_from(node).unwrap_or(u8::MAX);
            IpAddr::V4(Ipv4Addr::new(10, 213, third, last))
        });
        // A device's name has 15 letters at most.
        Self {
            name: format!("wd{number:04x}"),
            addresses: addresses.collect(),
            cut: Vec::new(),
            slow: Vec::new(),
            lossy: Vec::new(),
        }
    }

    /// Makes a network for so many nodes.
    ///
    /// # Errors
    /// What the system said.
    pub(super) fn make(nodes: usize) -> Result<Self, String> {
        let network = Self::new(nodes);
        let bridge = network.bridge();
        run("ip", &["link", "add", &bridge, "type", "bridge"])?;
        let here = network.addresses.first().map(|address| match address {
            IpAddr::V4(address) => {
                let [a, b, c, _] = address.octets();
                format!("{a}.{b}.{c}.254/24")
            }
            IpAddr::V6(address) => address.to_string(),
        });
        run("ip", &["addr", "add", &here.unwrap_or_default(), "dev", &bridge])?;
        run("ip", &["link", "set", &bridge, "up"])?;
        for (node, address) in network.addresses.iter().enumerate() {
            let (space, outer, inner) = (network.space(node), network.end(node), format!("{}i", network.end(node)));
            run("ip", &["netns", "add", &space])?;
            run("ip", &["link", "add", &outer, "type", "veth", "peer", "name", &inner])?;
            run("ip", &["link", "set", &inner, "netns", &space])?;
            run("ip", &["link", "set", &outer, "master", &bridge])?;
            run("ip", &["link", "set", &outer, "up"])?;
            run("ip", &["-n", &space, "link", "set", &inner, "name", "eth0"])?;
            run("ip", &["-n", &space, "addr", "add", &format!("{address}/24"), "dev", "eth0"])?;
            run("ip", &["-n", &space, "link", "set", "eth0", "up"])?;
            run("ip", &["-n", &space, "link", "set", "lo", "up"])?;
        }
        Ok(network)
    }

    fn bridge(&self) -> String {
        format!("{}br", self.name)
    }

    fn space(&self, node: usize) -> String {
        format!("{}n{node}", self.name)
    }

    fn end(&self, node: usize) -> String {
        format!("{}v{node}", self.name)
    }

    pub(super) fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    fn address(&self, node: usize) -> Result<String, String> {
        self.addresses.get(node).map(IpAddr::to_string).ok_or_else(|| format!("there is no node {node}"))
    }

    /// What a command begins with to run where this node is.
    ///
    /// # Errors
    /// There is no such node.
    pub(super) fn prefix(&self, node: usize) -> Result<Vec<String>, String> {
        self.address(node)?;
        Ok(["ip", "netns", "exec", &self.space(node)].map(str::to_owned).into())
    }

    /// No packet of the first gets to the second.
    pub(super) fn cut(&mut self, from: usize, to: usize) -> Result<(), String> {
        let to_address = self.address(to)?;
        let space = self.space(from);
        run(
            "ip",
            &["-n", &space, "neigh", "replace", &to_address, "lladdr", NOBODY, "dev", "eth0", "nud", "permanent"],
        )?;
        self.cut.push((from, to));
        Ok(())
    }

    /// Delays what a node sends by this, and loses so many of a hundred.
    pub(super) fn slow(&mut self, node: usize, delay: Duration, loss: u32) -> Result<(), String> {
        let (space, delay, loss) = (self.space(node), format!("{}ms", delay.as_millis()), format!("{loss}%"));
        let rule = ["-n", &space, "qdisc", "replace", "dev", "eth0", "root", "netem", "delay", &delay, "loss", &loss];
        run("tc", &rule)?;
        self.slow.push(node);
        Ok(())
    }

    /// Loses so many of a hundred of the packets that a node sends.
    pub(super) fn lose(&mut self, node: usize, percent: u32) -> Result<(), String> {
        drop_packets(&self.space(node), percent)?;
        self.lossy.push(node);
        Ok(())
    }

    /// As it was.
    pub(super) fn heal(&mut self) -> Result<(), String> {
        for (from, to) in std::mem::take(&mut self.cut) {
            let address = self.address(to)?;
            run("ip", &["-n", &self.space(from), "neigh", "del", &address, "dev", "eth0"])?;
        }
        for node in std::mem::take(&mut self.slow) {
            run("tc", &["-n", &self.space(node), "qdisc", "del", "dev", "eth0", "root"])?;
        }
        for node in std::mem::take(&mut self.lossy) {
            run("ip", &["netns", "exec", &self.space(node), "nft", "flush", "ruleset"])?;
        }
        Ok(())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // What was never made cannot be removed, and that is well.
        for node in 0..self.addresses.len() {
            let _ = run("ip", &["netns", "del", &self.space(node)]);
            let _ = run("ip", &["link", "del", &self.end(node)]);
        }
        if !self.addresses.is_empty() {
            let _ = run("ip", &["link", "del", &self.bridge()]);
        }
    }
}

/// By nftables, in a namespace that has no other rules: netem is not in every kernel.
fn drop_packets(space: &str, percent: u32) -> Result<(), String> {
    let table = "add table ip drill";
    let chain = "add chain ip drill out { type filter hook output priority 0; }";
    let rule = format!("add rule ip drill out numgen random mod 100 < {percent} drop");
    run("ip", &["netns", "exec", space, "nft", &format!("{table}; {chain}; {rule}")])
}

/// Lets a node's configuration listen on its own address.
pub(super) fn listen(file: &Path, own: IpAddr, all: &[IpAddr]) -> Result<(), CliError> {
    let text = std::fs::read_to_string(file).map_err(CliError::file("read", file))?;
    let mut config: DocumentMut =
        text.parse().map_err(|error| CliError::Usage(format!("{}: {error}", file.display())))?;
    for (section, port) in [("amqp", AMQP), ("http", HTTP), ("peer", PEER), ("membership", MEMBERSHIP)] {
        config[section]["listen"] = value(SocketAddr::new(own, port).to_string());
    }
    let seeds: Array = all.iter().map(|address| SocketAddr::new(*address, MEMBERSHIP).to_string()).collect();
    config["cluster"]["seeds"] = value(seeds);
    std::fs::write(file, config.to_string()).map_err(CliError::file("write", file))
}
