//! A node's configuration: built-in defaults, then a TOML file, then `WARREN_*`
//! environment variables, then command-line settings, each overriding the ones
//! before. deploy/warren.toml is the commented sample of every option.

mod error;
mod load;
mod source;
mod units;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use error::{ConfigError, Problem};
pub(crate) use load::reason;
pub use load::{load, options};
pub use source::{Place, SourceError, SourceFile};
pub use units::{Period, Share, Size, UnitError};

/// Everything that a node can be told. Option names in files are those of the
/// fields with hyphens.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Who the node is and where its data lives.
    pub node: NodeConfig,
    /// The AMQP 0-9-1 listener and its limits.
    pub amqp: AmqpConfig,
    /// The same with encryption.
    pub tls: TlsConfig,
    /// Where peers reach this node.
    pub peer: PeerConfig,
    /// Where gossip and the catalog go.
    pub membership: MembershipConfig,
    /// Management API, metrics and health.
    pub http: HttpConfig,
    /// Which cluster, and how it is found.
    pub cluster: ClusterConfig,
    /// Time-outs and windows of the replication protocol.
    pub replication: ReplicationConfig,
    /// The policy file.
    pub policy: PolicyConfig,
    /// Logging.
    pub log: LogConfig,
    /// When publishers are held back.
    pub alarms: AlarmConfig,
    /// The user that a new cluster starts with.
    pub users: UserConfig,
}

/// `[node]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct NodeConfig {
    /// The node's name, for good; its identity in the cluster is made from it.
    pub name: String,
    /// What the node may be lost together with: a rack, a room, a data centre. Two
    /// copies of a queue are in one zone only if no other has a live node.
    pub zone: String,
    /// The folder that holds everything that the node keeps.
    pub data: PathBuf,
    /// Queue shards, 0 = one for each core.
    pub shards: usize,
    /// Where the process writes its number while it runs.
    pub pid_file: Option<PathBuf>,
    /// How long a node that is told to stop waits for another replica of the
    /// queues that only it has whole (§6.5).
    pub stop_wait: Period,
}

/// `[amqp]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct AmqpConfig {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Client connections taken at the same time.
    pub max_connections: usize,
    /// Heartbeat interval offered to clients, 0s = none.
    pub heartbeat: Period,
    /// Largest frame offered to clients.
    pub frame_max: Size,
    /// Channels a connection, offered to clients.
    pub channel_max: u16,
    /// How long a client may take from connecting to an open connection.
    pub handshake_timeout: Period,
    /// Bytes of one connection's publishes that may be under way inside the
    /// cluster before the connection is not read from.
    pub publish_budget: Size,
    /// The largest message body taken.
    pub max_message_size: Size,
    /// Bytes of publishes that one transaction may gather.
    pub transaction_budget: Size,
    /// How long a client may hold a delivery, 0s = for ever.
    pub consumer_timeout: Period,
    /// How long a queue without a leader is waited for.
    pub queue_timeout: Period,
}

/// `[tls]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TlsConfig {
    /// Where clients connect with TLS; absent = nowhere.
    pub listen: Option<SocketAddr>,
    /// The node's certificate and those between it and its authority, as PEM.
    pub certificate: Option<PathBuf>,
    /// The certificate's private key, as PEM.
    pub key: Option<PathBuf>,
    /// The authorities that clients' certificates are signed by, as PEM.
    pub authorities: Option<PathBuf>,
    /// Whether clients have to show one.
    pub client_certificates: ClientCertificates,
    /// What of a client's certificate is the user of an EXTERNAL login.
    pub login_from: LoginFrom,
}

/// What is asked of clients that connect with TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientCertificates {
    /// Nothing.
    #[default]
    Ignored,
    /// A certificate that is good, if any.
    Optional,
    /// A certificate that is good.
    Required,
}

/// Which part of a certificate is a user's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoginFrom {
    /// The subject's common names.
    CommonName,
    /// The whole subject, by RFC 4514.
    #[default]
    DistinguishedName,
}

/// `[peer]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PeerConfig {
    /// Where replication and catalog traffic of the other nodes is taken.
    pub listen: SocketAddr,
    /// The `host:port` that the other nodes dial, if it is not `listen`.
    pub advertise: Option<String>,
}

/// `[membership]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MembershipConfig {
    /// Where gossip (UDP) and the catalog (TCP, same port) are taken.
    pub listen: SocketAddr,
    /// The `host:port` under which the other nodes reach it, if it is not `listen`.
    pub advertise: Option<String>,
}

/// `[http]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct HttpConfig {
    /// Where the management API, `/metrics` and `/health` are served.
    pub listen: SocketAddr,
    /// The `host:port` under which the other nodes reach it, if it is not `listen`.
    pub advertise: Option<String>,
}

/// `[cluster]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClusterConfig {
    /// The cluster's name; nodes of other clusters are refused.
    pub name: String,
    /// Membership addresses (`host:port`) of some nodes; the first one forms a new
    /// cluster. Empty = a cluster of this node alone.
    pub seeds: Vec<String>,
    /// How many nodes a new cluster waits for before it forms; absent = as many
    /// as there are seeds.
    pub expected_size: Option<usize>,
    /// How long a node may serve consumers without the catalog's renewal (§6.7).
    pub lease: Period,
}

/// `[replication]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ReplicationConfig {
    /// A mirror that leaves an entry unanswered this long leaves the in-sync set (§4.4).
    pub mirror_timeout: Period,
    /// A leader whose own disk leaves a write unanswered this long resigns (§4.6).
    pub disk_stall_timeout: Period,
    /// Bytes under way to one mirror of one queue.
    pub window: Size,
    /// Bytes of a queue's newest entries kept in memory for its mirrors.
    pub tail: Size,
    /// Bytes of log after which a queue's checkpoint is written anew.
    pub checkpoint: Size,
    /// How long a leader that is to hand over waits until its successor has
    /// everything; then it goes on (§6.5).
    pub drain_timeout: Period,
    /// How long a new leader waits for the claims of live nodes (§6.8).
    pub reattach_grace: Period,
    /// How long a publish may wait for a confirm before it is nacked (§4.5).
    pub confirm_timeout: Period,
}

/// `[policy]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PolicyConfig {
    /// The policy file; absent = policies come from `warren policy apply` alone.
    pub file: Option<PathBuf>,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LogConfig {
    /// What is logged where no module says otherwise.
    pub level: Level,
    /// One line a happening, for people (`text`) or for machines (`json`).
    pub format: LogFormat,
    /// Levels of single modules, by name as in the log's lines.
    pub modules: BTreeMap<String, Level>,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing.
    Off,
    /// What an operator must see to.
    Error,
    /// What may need an operator.
    Warn,
    /// What happened to the node and the cluster.
    Info,
    /// What happened to single connections and queues.
    Debug,
    /// Everything.
    Trace,
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[alarms]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct AlarmConfig {
    /// Resident memory above which publishers are blocked on all nodes.
    pub memory_high_watermark: Share,
    /// Free disk space below which publishers are blocked on all nodes.
    pub disk_free_limit: Size,
}

/// `[users]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct UserConfig {
    /// The administrator made when a cluster forms.
    pub default_user: String,
    /// Its password.
    pub default_password: String,
    /// Users who may connect from the node's own machine only.
    pub loopback_only: Vec<String>,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            name: "warren-1".to_owned(),
            zone: String::new(),
            data: PathBuf::from("data"),
            shards: 0,
            pid_file: None,
            stop_wait: Period::secs(10),
        }
    }
}

impl Default for AmqpConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 5672)),
            max_connections: 10_000,
            heartbeat: Period::secs(60),
            frame_max: Size::bytes(128 * 1024),
            channel_max: 2047,
            handshake_timeout: Period::secs(10),
            publish_budget: Size::mib(16),
            max_message_size: Size::mib(128),
            transaction_budget: Size::mib(256),
            consumer_timeout: Period::secs(30 * 60),
            queue_timeout: Period::secs(30),
        }
    }
}

impl Default for PeerConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 7100)), advertise: None }
    }
}

impl Default for MembershipConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 7200)), advertise: None }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 15672)), advertise: None }
    }
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self { name: "warren".to_owned(), seeds: Vec::new(), expected_size: None, lease: Period::millis(600) }
    }
}

impl Default for ReplicationConfig {
    fn default() -> Self {
        Self {
            mirror_timeout: Period::secs(2),
            disk_stall_timeout: Period::secs(5),
            window: Size::mib(16),
            tail: Size::mib(16),
            checkpoint: Size::mib(32),
            drain_timeout: Period::secs(5),
            reattach_grace: Period::secs(2),
            confirm_timeout: Period::secs(30),
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        let quiet = ["chitchat", "h2", "hyper", "tonic", "tower"];
        let mut modules: BTreeMap<_, _> = quiet.iter().map(|module| ((*module).to_owned(), Level::Warn)).collect();
        // It tells of every heartbeat that came late; what matters of it, membership tells.
        modules.insert("openraft".to_owned(), Level::Off);
        Self { level: Level::Info, format: LogFormat::Text, modules }
    }
}

impl Default for AlarmConfig {
    fn default() -> Self {
        Self { memory_high_watermark: Share::Percent(40), disk_free_limit: Size::mib(512) }
    }
}

impl Default for UserConfig {
    fn default() -> Self {
        Self {
            default_user: "guest".to_owned(),
            default_password: "guest".to_owned(),
            loopback_only: vec!["guest".to_owned()],
        }
    }
}

impl ClusterConfig {
    /// How many nodes a new cluster consists of when it forms.
    #[must_use]
    pub fn size(&self) -> usize {
        self.expected_size.unwrap_or(self.seeds.len()).max(1)
    }
}

impl PeerConfig {
    /// The address that the other nodes dial.
    #[must_use]
    pub fn advertised(&self) -> String {
        advertised(self.advertise.as_deref(), self.listen)
    }
}

impl MembershipConfig {
    /// The address under which the other nodes reach gossip and catalog.
    #[must_use]
    pub fn advertised(&self) -> String {
        advertised(self.advertise.as_deref(), self.listen)
    }
}

impl HttpConfig {
    /// The address under which the other nodes reach the management API.
    #[must_use]
    pub fn advertised(&self) -> String {
        advertised(self.advertise.as_deref(), self.listen)
    }
}

fn advertised(advertise: Option<&str>, listen: SocketAddr) -> String {
    advertise.map_or_else(|| listen.to_string(), str::to_owned)
}

impl Config {
    /// What is wrong although every single value is well formed.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut expect = |right: bool, key: &str, reason: &str| {
            if !right {
                problems.push(Problem::new(key, reason));
            }
        };
        let name = &self.node.name;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
        expect(
            !name.is_empty() && name.len() <= 128 && name.chars().all(plain),
            "node.name",
            "expected 1 to 128 letters, digits, '-', '_', '.' or '@'",
        );
        expect(!self.cluster.name.is_empty(), "cluster.name", "expected a name, found nothing");
        expect(self.node.shards <= 256, "node.shards", "expected at most 256");
        expect(self.amqp.max_connections > 0, "amqp.max-connections", "expected at least 1");
        expect(self.amqp.channel_max > 0, "amqp.channel-max", "expected at least 1");
        let frame_max = self.amqp.frame_max.get();
        expect(
            (4096..=u64::from(u32::MAX)).contains(&frame_max),
            "amqp.frame-max",
            "expected at least 4096 bytes and less than 4GiB",
        );
        expect(
            self.amqp.heartbeat.get().as_secs() <= u64::from(u16::MAX)
                && self.amqp.heartbeat.get().subsec_millis() == 0,
            "amqp.heartbeat",
            "expected whole seconds, at most 65535",
        );
        expect(
            (Period::millis(100)..=Period::secs(60)).contains(&self.cluster.lease),
            "cluster.lease",
            "expected 100ms to 60s",
        );
        let tls = &self.tls;
        for (path, key) in [(&tls.certificate, "tls.certificate"), (&tls.key, "tls.key")] {
            expect(tls.listen.is_none() || path.is_some(), key, "expected a file, since tls.listen is set");
        }
        expect(
            tls.client_certificates == ClientCertificates::Ignored || tls.authorities.is_some(),
            "tls.authorities",
            "expected a file with those who sign clients' certificates, since tls.client-certificates asks for them",
        );
        let seeds = &self.cluster.seeds;
        for (index, seed) in seeds.iter().enumerate() {
            expect(
                is_host_and_port(seed),
                &format!("cluster.seeds.{index}"),
                "expected host:port, the membership address of a node",
            );
        }
        expect(self.cluster.expected_size != Some(0), "cluster.expected-size", "expected at least 1");
        expect(
            self.cluster.size() == 1 || !seeds.is_empty(),
            "cluster.expected-size",
            "more than one node, but cluster.seeds is empty: expected the membership address of at least one node",
        );
        for (section, listen, advertise) in [
            ("peer", self.peer.listen, &self.peer.advertise),
            ("membership", self.membership.listen, &self.membership.advertise),
            ("http", self.http.listen, &self.http.advertise),
        ] {
            match advertise {
                Some(address) => expect(
                    is_host_and_port(address),
                    &format!("{section}.advertise"),
                    "expected host:port, as the other nodes reach it",
                ),
                None => expect(
                    !listen.ip().is_unspecified() || self.cluster.size() == 1,
                    &format!("{section}.listen"),
                    &format!(
                        "listens on every address: expected {section}.advertise to say which one the other nodes use"
                    ),
                ),
            }
        }
        problems
    }
}

fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
}
