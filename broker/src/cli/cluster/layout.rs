//! What a cluster's folder holds: `node-i/` with `config.toml`, `pid`, `log` and
//! `data/` for each node, and `policy.toml` if there is one.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, Table, value};

use super::{CliError, ClusterError};
use crate::config::{Config, load};

/// All nodes of this machine's clusters are on the loopback address.
const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Where free ports are looked for: below the range that the system gives to
/// outgoing connections, so that a stopped node's port is free when it is back.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// The nodes of a cluster's folder.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) folder: PathBuf,
    pub(crate) nodes: Vec<Node>,
}

/// One node of the folder.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    pub(crate) config: Config,
}

/// What new nodes are to be like.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) nodes: Option<usize>,
    pub(crate) amqp_port: Option<u16>,
    pub(crate) http_port: Option<u16>,
    pub(crate) policy: Option<&'a Path>,
    pub(crate) settings: &'a [(String, String)],
}

/// How many nodes a new cluster has when nobody says.
const NODES: usize = 3;
const AMQP_PORT: u16 = 5672;
const HTTP_PORT: u16 = 15672;

impl Node {
    pub(crate) fn config_file(&self) -> PathBuf {
        self.folder.join("config.toml")
    }

    pub(crate) fn log_file(&self) -> PathBuf {
        self.folder.join("log")
    }

    pub(crate) fn pid_file(&self) -> PathBuf {
        self.config.node.pid_file.clone().unwrap_or_else(|| self.folder.join("pid"))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.config.http.listen)
    }

    fn read(folder: PathBuf) -> Result<Self, ClusterError> {
        let name = folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        match load(Some(&folder.join("config.toml")), [], &[]) {
            Ok(config) => Ok(Self { name, folder, config }),
            Err(error) => Err(ClusterError::Config { node: name, error }),
        }
    }
}

impl Layout {
    /// Finds the nodes of a folder.
    pub(crate) fn open(folder: &Path) -> Result<Self, CliError> {
        let layout = Self::find(folder)?;
        if layout.nodes.is_empty() {
            return Err(ClusterError::NoCluster(folder.to_owned()).into());
        }
        Ok(layout)
    }

    /// Finds the nodes of a folder, and makes those that are wanted and missing.
    pub(crate) fn open_or_make(folder: &Path, wanted: &Wanted<'_>) -> Result<Self, CliError> {
        std::fs::create_dir_all(folder).map_err(CliError::file("make the folder", folder))?;
        let folder = folder.canonicalize().map_err(CliError::file("find", folder))?;
        let mut layout = Self::find(&folder)?;
        layout.check(wanted)?;
        let count = wanted.nodes.unwrap_or(layout.nodes.len().max(if layout.nodes.is_empty() { NODES } else { 0 }));
        if count > layout.nodes.len() {
            layout.make(count, wanted)?;
        }
        Ok(layout)
    }

    fn find(folder: &Path) -> Result<Self, ClusterError> {
        let mut nodes = Vec::new();
        for number in 1.. {
            let node = folder.join(format!("node-{number}"));
            if !node.join("config.toml").is_file() {
                break;
            }
            nodes.push(Node::read(node)?);
        }
        Ok(Self { folder: folder.to_owned(), nodes })
    }

    /// What is there is kept as it is: options that say otherwise are refused.
    fn check(&self, wanted: &Wanted<'_>) -> Result<(), ClusterError> {
        let Some(first) = self.nodes.first() else { return Ok(()) };
        let differs =
            |found: String, option: String| Err(ClusterError::Differs { folder: self.folder.clone(), found, option });
        for (port, listen, option) in [
            (wanted.amqp_port, first.config.amqp.listen, "--amqp-port"),
            (wanted.http_port, first.config.http.listen, "--http-port"),
        ] {
            if let Some(port) = port.filter(|port| *port != 0 && *port != listen.port()) {
                return differs(format!("first node listens on {listen}"), format!("{option} {port}"));
            }
        }
        match wanted.nodes {
            Some(nodes) if nodes < self.nodes.len() => {
                differs(format!("nodes are {}", self.nodes.len()), format!("--nodes {nodes}"))
            }
            _ => Ok(()),
        }
    }

    /// Makes the nodes up to so many. Those that are there already are the seeds
    /// of the new ones; a new cluster's nodes are each other's.
    fn make(&mut self, count: usize, wanted: &Wanted<'_>) -> Result<(), CliError> {
        let first = self.nodes.len();
        let mut ports = Ports::new(&self.nodes);
        let mut listens = Vec::new();
        for index in first..count {
            let amqp = self.port(index, wanted.amqp_port, AMQP_PORT, &mut ports, |config| config.amqp.listen)?;
            let http = self.port(index, wanted.http_port, HTTP_PORT, &mut ports, |config| config.http.listen)?;
            listens.push((amqp, http, ports.free()?, ports.free()?));
        }
        let mut seeds: Vec<String> = self.nodes.iter().map(|node| node.config.membership.listen.to_string()).collect();
        seeds.extend(listens.iter().map(|listen| listen.3.to_string()));
        let expected = self.nodes.first().map_or(count, |node| node.config.cluster.size());
        if let Some(policy) = wanted.policy {
            let copy = self.policy_file();
            if !copy.exists() {
                std::fs::copy(policy, &copy).map_err(CliError::file("copy the policy file", policy))?;
            }
        }
        for (index, (amqp, http, peer, membership)) in (first..count).zip(listens) {
            let name = format!("node-{}", index + 1);
            let folder = self.folder.join(&name);
            let mut file = DocumentMut::new();
            set(&mut file, "node.name", value(&name));
            set(&mut file, "node.data", value("data"));
            set(&mut file, "node.pid-file", value("pid"));
            set(&mut file, "amqp.listen", value(amqp.to_string()));
            set(&mut file, "peer.listen", value(peer.to_string()));
            set(&mut file, "membership.listen", value(membership.to_string()));
            set(&mut file, "http.listen", value(http.to_string()));
            set(&mut file, "cluster.seeds", value(seeds.iter().collect::<toml_edit::Array>()));
            set(&mut file, "cluster.expected-size", value(i64::try_from(expected).unwrap_or(i64::MAX)));
            if self.policy_file().exists() {
                set(&mut file, "policy.file", value("../policy.toml"));
            }
            for (key, text) in wanted.settings {
                let parsed = text.parse::<toml_edit::Value>().unwrap_or_else(|_| text.as_str().into());
                set(&mut file, key, Item::Value(parsed));
            }
            let text = format!(
                "# {name} of a cluster on this machine, written by `warren cluster up` and then\n\
                 # left alone. deploy/warren.toml says what else can stand here.\n{file}"
            );
            std::fs::create_dir_all(&folder).map_err(CliError::file("make the folder", &folder))?;
            let path = folder.join("config.toml");
            std::fs::write(&path, text).map_err(CliError::file("write", &path))?;
            self.nodes.push(Node::read(folder)?);
        }
        Ok(())
    }

    fn policy_file(&self) -> PathBuf {
        self.folder.join("policy.toml")
    }

    /// The address of a new node's listener: counted on from the first node's
    /// port, or free ones if the first port is 0.
    fn port(
        &self,
        index: usize,
        asked: Option<u16>,
        default: u16,
        ports: &mut Ports,
        of: impl Fn(&Config) -> SocketAddr,
    ) -> Result<SocketAddr, ClusterError> {
        let first = match (asked, self.nodes.first()) {
            (Some(0), _) => return ports.free(),
            (Some(port), _) => port,
            (None, Some(node)) => of(&node.config).port(),
            (None, None) => default,
        };
        let port = u16::try_from(index).ok().and_then(|index| first.checked_add(index));
        port.map(|port| SocketAddr::new(HOST, port)).ok_or(ClusterError::PortRange { first, nodes: index })
    }
}

/// Sets `section.key`, as a table of its own a section.
fn set(file: &mut DocumentMut, key: &str, item: Item) {
    let (section, key) = key.split_once('.').unwrap_or(("node", key));
    let table = file.entry(section).or_insert_with(|| Item::Table(Table::new()));
    if let Some(table) = table.as_table_like_mut() {
        table.insert(key, item);
    }
}

/// Looks for ports that nobody uses, neither TCP nor UDP.
struct Ports {
    next: u16,
    given: BTreeSet<u16>,
}

impl Ports {
    /// Starts somewhere that depends on the process, so that clusters which are
    /// made at the same time do not choose the same.
    fn new(nodes: &[Node]) -> Self {
        let span = u32::from(PORTS.end - PORTS.start);
        let spread = std::process::id().wrapping_mul(61) % span;
        let given = nodes
            .iter()
            .flat_map(|node| {
                let config = &node.config;
                [config.amqp.listen, config.http.listen, config.peer.listen, config.membership.listen]
            })
            .map(|listen| listen.port())
            .collect();
        Self { next: PORTS.start + u16::try_from(spread).unwrap_or(0), given }
    }

    fn free(&mut self) -> Result<SocketAddr, ClusterError> {
        for _ in PORTS {
            let port = self.next;
            self.next = if port + 1 == PORTS.end { PORTS.start } else { port + 1 };
            let address = SocketAddr::new(HOST, port);
            let unused = TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok();
            if unused && self.given.insert(port) {
                return Ok(address);
            }
        }
        Err(ClusterError::NoPorts(HOST))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn wanted(nodes: Option<usize>, amqp_port: Option<u16>) -> Wanted<'static> {
        Wanted { nodes, amqp_port, http_port: Some(0), policy: None, settings: &[] }
    }

    #[test]
    fn a_new_folder_gets_nodes_that_know_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::open_or_make(folder.path(), &wanted(None, Some(30_100))).unwrap();
        assert_eq!(layout.nodes.len(), 3);
        let seeds: Vec<_> = layout.nodes.iter().map(|node| node.config.membership.listen.to_string()).collect();
        for (index, node) in layout.nodes.iter().enumerate() {
            assert_eq!(node.config.amqp.listen.port(), 30_100 + index as u16);
            assert_eq!(node.config.cluster.seeds, seeds);
            assert_eq!(node.config.cluster.size(), 3);
            assert_eq!(node.config.node.data, layout.folder.join(format!("node-{}/data", index + 1)));
        }
        let all: BTreeSet<_> = layout
            .nodes
            .iter()
            .flat_map(|n| [n.config.http.listen, n.config.peer.listen, n.config.membership.listen])
            .collect();
        assert_eq!(all.len(), 9);
    }

    #[test]
    fn a_folder_is_found_again_as_it_was_and_can_grow() {
        let folder = tempfile::tempdir().unwrap();
        let made = Layout::open_or_make(folder.path(), &wanted(Some(1), Some(0))).unwrap();
        let found = Layout::open_or_make(folder.path(), &wanted(None, None)).unwrap();
        assert_eq!(found.nodes[0].config, made.nodes[0].config);
        assert_eq!(found.nodes.len(), 1);
        let grown = Layout::open_or_make(folder.path(), &wanted(Some(2), Some(0))).unwrap();
        assert_eq!(grown.nodes[0].config, made.nodes[0].config);
        assert_eq!(grown.nodes[1].config.cluster.seeds[0], made.nodes[0].config.membership.listen.to_string());
        assert_eq!(grown.nodes[1].config.cluster.size(), 1);
    }

    #[test]
    fn options_that_do_not_fit_what_is_there_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Layout::open(folder.path()).unwrap_err().to_string().contains("holds no cluster"));
        Layout::open_or_make(folder.path(), &wanted(Some(3), Some(30_200))).unwrap();
        for (wrong, option) in [(wanted(Some(2), None), "--nodes 2"), (wanted(None, Some(30_300)), "--amqp-port 30300")]
        {
            let error = Layout::open_or_make(folder.path(), &wrong).unwrap_err().to_string();
            assert!(error.contains(option), "{error}");
        }
    }

    #[test]
    fn settings_and_the_policy_file_reach_every_node() {
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("mine.toml");
        std::fs::write(&policy, "").unwrap();
        let settings = [("cluster.lease".to_owned(), "1s".to_owned()), ("node.shards".to_owned(), "2".to_owned())];
        let wanted = Wanted { policy: Some(&policy), settings: &settings, ..wanted(Some(2), Some(0)) };
        let layout = Layout::open_or_make(&folder.path().join("c"), &wanted).unwrap();
        for node in &layout.nodes {
            assert_eq!(node.config.node.shards, 2);
            assert_eq!(node.config.cluster.lease.to_string(), "1s");
            assert!(node.config.policy.file.as_ref().unwrap().exists());
        }
    }
}
