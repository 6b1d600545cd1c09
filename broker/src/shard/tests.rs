//! Three nodes in one process: shards, links and stores are the real ones, only
//! the catalog is a few lines that apply every wish at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use warren_replication::message::{ConsumerSpec, Message, SettleReason};
use warren_replication::types::{
    Assignment, Boot, ConsumerKey, Epoch, Incarnation, NodeId, Offset, Process, QueueId, Session, Version,
};
use warren_shard::step::{Input, Local, QueueInfo, QueueStatus, ToChannel, Wish};
use warren_store::{ClusterId, LogStore, MemoryStore, Options, open};

use super::{Shards, ShardsConfig, StartError, Wishes, now};
use crate::peer::{LinkConfig, Links, connections, server};

const QUEUE: QueueId = QueueId(1);
const CONNECTION: u64 = 7;
const CHANNEL: u16 = 1;
const DEADLINE: Duration = Duration::from_secs(30);

fn process(node: u64, boot: u64) -> Process {
    Process { node: NodeId(node), incarnation: Incarnation(node), boot: Boot(boot) }
}

/// The catalog: one queue on three nodes.
struct Catalog {
    agreed: Mutex<Agreed>,
}

struct Agreed {
    assignment: Assignment,
    nodes: BTreeMap<Process, Shards>,
}

impl Catalog {
    fn new() -> Arc<Self> {
        let members = (1..=3).map(|node| process(node, 1).member()).collect();
        let assignment = Assignment {
            epoch: Epoch(1),
            version: Version(1),
            leader: Some(process(1, 1)),
            replicas: (1..=3).map(NodeId).collect(),
            isr: members,
            min_in_sync: 2,
            ..Assignment::default()
        };
        Arc::new(Self { agreed: Mutex::new(Agreed { assignment, nodes: BTreeMap::new() }) })
    }

    fn register(&self, process: Process, shards: &Shards) {
        let mut agreed = self.agreed.lock();
        agreed.nodes.insert(process, shards.clone());
        agreed.tell(|| Input::Registered(process.node, process.boot));
        agreed.tell_all();
    }

    /// The leader is dead: another one leads.
    fn elect(&self, dead: Process, leader: Process) {
        let mut agreed = self.agreed.lock();
        agreed.nodes.remove(&dead);
        let assignment = &mut agreed.assignment;
        assignment.predecessor = assignment.leader.replace(leader);
        assignment.epoch = assignment.epoch.next();
        assignment.version = assignment.version.next();
        assignment.isr.remove(&dead.member());
        agreed.tell_all();
    }

    fn in_sync(&self) -> usize {
        self.agreed.lock().assignment.isr.len()
    }
}

impl Agreed {
    fn tell(&self, input: impl Fn() -> Input) {
        self.nodes.values().for_each(|shards| shards.catalog(input()));
    }

    fn tell_all(&self) {
        let assignment = Arc::new(self.assignment.clone());
        let live: BTreeSet<Process> = self.nodes.keys().copied().collect();
        self.tell(|| Input::Live(live.clone()));
        self.tell(|| Input::Lease(now().plus_micros(3_600_000_000)));
        self.tell(|| {
            Input::Queue(QueueInfo {
                queue: QUEUE,
                assignment: assignment.clone(),
                handover: None,
                auto_delete: false,
                rules: Arc::default(),
            })
        });
    }
}

impl Wishes for Catalog {
    fn wish(&self, wishes: Vec<(QueueId, Wish)>) {
        let mut agreed = self.agreed.lock();
        for (_, wish) in wishes {
            let Wish::Isr { from, isr, .. } = wish else { panic!("unexpected wish {wish:?}") };
            let current = &mut agreed.assignment;
            if (from.epoch, from.version) == (current.epoch, current.version) {
                current.version = current.version.next();
                current.isr = isr;
            }
        }
        agreed.tell_all();
    }
}

struct Node {
    process: Process,
    shards: Shards,
    links: Links,
    address: SocketAddr,
    server: JoinHandle<()>,
    peers: watch::Sender<Vec<(NodeId, SocketAddr)>>,
}

impl Node {
    async fn start(catalog: &Arc<Catalog>, me: Process, store: Arc<dyn LogStore>, address: Option<SocketAddr>) -> Self {
        let shards = Shards::start(ShardsConfig {
            me,
            count: 2,
            settings: warren_shard::Settings::default(),
            store,
            wishes: catalog.clone(),
            transfers: mpsc::unbounded_channel().0,
        })
        .unwrap();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = TcpListener::bind(address.unwrap_or(any)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = LinkConfig::new(me, ClusterId(1));
        let links = Links::new(config.clone(), Arc::new(shards.clone()));
        let serving = server(&config).add_service(links.service()).serve_with_incoming(connections(listener));
        let server = tokio::spawn(async move { serving.await.unwrap() });
        let (peers, listed) = watch::channel(Vec::new());
        links.dial(listed);
        catalog.register(me, &shards);
        Self { process: me, shards, links, address, server, peers }
    }

    async fn kill(self) {
        self.links.stop();
        self.server.abort();
        let _ = self.server.await;
        self.shards.stop().await;
    }

    async fn leads(&self) -> Option<QueueStatus> {
        self.shards.statuses().await.into_iter().find(|status| status.queue == QUEUE && status.leading)
    }
}

fn introduce(nodes: &[&Node]) {
    let all: Vec<_> = nodes.iter().map(|node| (node.process.node, node.address)).collect();
    nodes.iter().for_each(|node| drop(node.peers.send_replace(all.clone())));
}

/// A client's channel on a node.
struct Client<'a> {
    node: &'a Node,
    events: mpsc::UnboundedReceiver<Vec<(u16, ToChannel)>>,
    session: Session,
    published: u64,
    unconfirmed: BTreeSet<u64>,
    delivered: Vec<(Offset, Bytes, bool)>,
    attached: bool,
}

impl<'a> Client<'a> {
    fn connect(node: &'a Node) -> Self {
        let (to, events) = mpsc::unbounded_channel();
        node.shards.register(CONNECTION, to);
        let session = Session { process: node.process, connection: CONNECTION, channel: CHANNEL, opened: 0 };
        Self {
            node,
            events,
            session,
            published: 0,
            unconfirmed: BTreeSet::new(),
            delivered: Vec::new(),
            attached: false,
        }
    }

    fn publish(&mut self, bodies: impl IntoIterator<Item = u64>) {
        let mut messages = Vec::new();
        for body in bodies {
            self.published += 1;
            self.unconfirmed.insert(self.published);
            let body = Bytes::from(body.to_string());
            messages.push((self.published, Message { body, ..Message::default() }));
        }
        self.node.shards.submit(vec![(QUEUE, Local::Publish { session: self.session, messages })]);
    }

    fn key(&self) -> ConsumerKey {
        ConsumerKey { process: self.node.process, connection: CONNECTION, channel: CHANNEL, number: 1 }
    }

    fn consume(&self) {
        let spec = ConsumerSpec {
            key: self.key(),
            tag: Bytes::from_static(b"tag"),
            prefetch: 0,
            no_ack: false,
            exclusive: false,
            priority: 0,
            reading: None,
            site: None,
        };
        self.node.shards.submit(vec![(QUEUE, Local::Consume { spec, cancel_on_failover: false })]);
    }

    /// Takes events until the condition holds; acknowledges what is delivered.
    async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let end = Instant::now() + DEADLINE;
        while !done(self) {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(Some(events)) = timeout(left, self.events.recv()).await else {
                panic!(
                    "{what}: not in time; {} unconfirmed, {} delivered",
                    self.unconfirmed.len(),
                    self.delivered.len()
                )
            };
            let mut acks = Vec::new();
            for (_, event) in events {
                match event {
                    ToChannel::Confirmed(_, ranges) => {
                        self.unconfirmed
                            .retain(|sequence| !ranges.iter().any(|(first, last)| (first..=last).contains(&sequence)));
                    }
                    ToChannel::Deliver { offset, redelivered, message, .. } => {
                        acks.push(offset);
                        self.delivered.push((offset, message.body, redelivered));
                    }
                    ToChannel::Consuming { attached, .. } => self.attached = attached,
                    other => panic!("{other:?}"),
                }
            }
            if !acks.is_empty() {
                let count = u32::try_from(acks.len()).unwrap();
                self.node.shards.submit(vec![
                    (QUEUE, Local::Written(self.key(), count)),
                    (QUEUE, Local::Settle(acks, SettleReason::Acked)),
                ]);
            }
        }
    }

    fn bodies(&self) -> Vec<u64> {
        self.delivered.iter().map(|(_, body, _)| std::str::from_utf8(body).unwrap().parse().unwrap()).collect()
    }
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !holds().await {
        assert!(Instant::now() < end, "{what}: not in time");
        sleep(Duration::from_millis(10)).await;
    }
}

fn rocks(folder: &Path, name: &str) -> Arc<dyn LogStore> {
    open(folder.join(name), &Options::new(name)).unwrap()
}

async fn a_queue_survives_its_leader(stores: [Arc<dyn LogStore>; 3], again: impl FnOnce() -> Arc<dyn LogStore>) {
    let catalog = Catalog::new();
    let [one, two, three] = stores;
    let a = Node::start(&catalog, process(1, 1), one, None).await;
    let b = Node::start(&catalog, process(2, 1), two, None).await;
    let c = Node::start(&catalog, process(3, 1), three, None).await;
    introduce(&[&a, &b, &c]);

    // Published through one mirror, consumed through the other.
    let (mut publisher, mut consumer) = (Client::connect(&b), Client::connect(&c));
    consumer.consume();
    consumer.until("attached", |client| client.attached).await;
    for batch in 0..20 {
        publisher.publish(batch * 50..(batch + 1) * 50);
    }
    publisher.until("confirms", |client| client.unconfirmed.is_empty()).await;
    consumer.until("deliveries", |client| client.delivered.len() == 1000).await;
    assert_eq!(consumer.bodies(), (0..1000).collect::<Vec<_>>());
    eventually("all settled", async || a.leads().await.is_some_and(|s| s.ready == 0 && s.unacked == 0)).await;

    // The leader dies while more is published; nobody else notices.
    publisher.publish(1000..1500);
    let (dead, address) = (a.process, a.address);
    a.kill().await;
    publisher.publish(1500..2000);
    catalog.elect(dead, b.process);
    publisher.until("confirms of the successor", |client| client.unconfirmed.is_empty()).await;
    consumer.until("deliveries of the successor", |client| client.delivered.len() >= 2000).await;
    assert_eq!(consumer.bodies(), (0..2000).collect::<Vec<_>>(), "each once, in order");
    assert_eq!(catalog.in_sync(), 2);

    // It comes back, catches up, and is in sync again.
    let a = Node::start(&catalog, process(1, 2), again(), Some(address)).await;
    introduce(&[&a, &b, &c]);
    publisher.publish(2000..2100);
    publisher.until("confirms meanwhile", |client| client.unconfirmed.is_empty()).await;
    eventually("in sync again", async || catalog.in_sync() == 3).await;
    eventually("the same log everywhere", async || {
        let leader = b.leads().await.unwrap();
        let mirror = a.shards.statuses().await.into_iter().find(|status| status.queue == QUEUE).unwrap();
        !mirror.leading && mirror.log == leader.log && leader.log.0 == leader.log.2
    })
    .await;
    for node in [a, b, c] {
        node.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_survives_its_leader_in_memory() {
    let stores: [Arc<MemoryStore>; 3] = std::array::from_fn(|_| Arc::new(MemoryStore::new()));
    let first = stores[0].clone();
    let again = move || {
        first.crash(0).unwrap();
        first as Arc<dyn LogStore>
    };
    a_queue_survives_its_leader(stores.map(|store| store as Arc<dyn LogStore>), again).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_survives_its_leader_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let stores = ["a", "b", "c"].map(|name| rocks(folder.path(), name));
    // The killed node's last threads let go of the folder presently.
    let again = || {
        let end = Instant::now() + DEADLINE;
        loop {
            match open(folder.path().join("a"), &Options::new("a")) {
                Ok(store) => return store as Arc<dyn LogStore>,
                Err(error) => assert!(Instant::now() < end, "{error}"),
            }
            std::thread::yield_now();
        }
    };
    a_queue_survives_its_leader(stores, again).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_a_damaged_copy_does_not_start() {
    let store = Arc::new(MemoryStore::new());
    let entries = vec![Bytes::from_static(b"no entry at all")];
    let first = warren_replication::types::Index(1);
    store.commit(&[(QUEUE, Some(warren_replication::step::Write::Append { first, entries }))]).unwrap();
    let config = ShardsConfig {
        me: process(1, 1),
        count: 1,
        settings: warren_shard::Settings::default(),
        store,
        wishes: Catalog::new(),
        transfers: mpsc::unbounded_channel().0,
    };
    let error = Shards::start(config).err().unwrap();
    assert!(matches!(error, StartError::Recovery(_)), "{error}");
    assert!(error.to_string().contains("queue 1: entry after 0"), "{error}");
}
