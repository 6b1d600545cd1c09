//! Links on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::{Notify, OwnedSemaphorePermit, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use warren_peer::link::link_client::LinkClient;
use warren_peer::link::{Hello, Turn};
use warren_peer::words;
use warren_replication::message::{MirrorMessage, QueueWord};
use warren_replication::types::{Boot, Epoch, Incarnation, Index, NodeId, Process, QueueId, Version};
use warren_store::ClusterId;

use super::{LinkConfig, LinkEvents, LinkHandle, Links, PROTOCOL, TURN_BYTES, connections, server};

const CLUSTER: ClusterId = ClusterId(77);
const DEADLINE: Duration = Duration::from_secs(20);

fn process(node: u64, boot: u64) -> Process {
    Process { node: NodeId(node), incarnation: Incarnation(node * 10), boot: Boot(boot) }
}

fn durable(index: u64) -> (QueueId, QueueWord) {
    (
        QueueId(1),
        QueueWord::Mirror(MirrorMessage::Durable { epoch: Epoch(1), version: Version(1), index: Index(index) }),
    )
}

fn large(number: u8, bytes: usize) -> (QueueId, QueueWord) {
    let checkpoint = Bytes::from(vec![number; bytes]);
    (
        QueueId(1),
        QueueWord::Mirror(MirrorMessage::Install { epoch: Epoch(1), version: Version(1), checkpoint, anew: None }),
    )
}

/// What a node was told.
#[derive(Default)]
struct Told {
    ups: Vec<Process>,
    downs: Vec<Process>,
    words: Vec<(Process, QueueId, QueueWord)>,
    link: Option<LinkHandle>,
    old_links: Vec<LinkHandle>,
    /// Permits kept instead of dropped, while `hoard` is set.
    hoard: bool,
    rooms: Vec<OwnedSemaphorePermit>,
}

#[derive(Default)]
struct Recorder {
    told: Mutex<Told>,
    news: Notify,
}

impl Recorder {
    /// Waits until what was told satisfies a condition.
    async fn until<T>(&self, what: &str, mut found: impl FnMut(&mut Told) -> Option<T>) -> T {
        let waiting = async {
            loop {
                let news = self.news.notified();
                tokio::pin!(news);
                news.as_mut().enable();
                if let Some(value) = found(&mut self.told.lock()) {
                    return value;
                }
                news.await;
            }
        };
        timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("{what}: not within {DEADLINE:?}"))
    }
}

impl LinkEvents for Recorder {
    fn up(&self, process: Process, link: LinkHandle) {
        let mut told = self.told.lock();
        told.ups.push(process);
        told.link = Some(link);
        self.news.notify_waiters();
    }

    fn down(&self, process: Process) {
        let mut told = self.told.lock();
        told.downs.push(process);
        let link = told.link.take();
        told.old_links.extend(link);
        self.news.notify_waiters();
    }

    fn words(&self, from: Process, words: Vec<(QueueId, QueueWord)>, room: OwnedSemaphorePermit) {
        let mut told = self.told.lock();
        told.words.extend(words.into_iter().map(|(queue, word)| (from, queue, word)));
        if told.hoard {
            told.rooms.push(room);
        }
        self.news.notify_waiters();
    }
}

struct Node {
    links: Links,
    events: Arc<Recorder>,
    address: SocketAddr,
    server: JoinHandle<()>,
    peers: watch::Sender<Vec<(NodeId, SocketAddr)>>,
}

impl Node {
    async fn start(me: Process, address: Option<SocketAddr>, adjust: impl FnOnce(&mut LinkConfig)) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = TcpListener::bind(address.unwrap_or(any)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut config = LinkConfig::new(me, CLUSTER);
        adjust(&mut config);
        let events = Arc::new(Recorder::default());
        let links = Links::new(config.clone(), events.clone());
        let serving = server(&config).add_service(links.service()).serve_with_incoming(connections(listener));
        let server = tokio::spawn(async move { serving.await.unwrap() });
        let (peers, listed) = watch::channel(Vec::new());
        links.dial(listed);
        Self { links, events, address, server, peers }
    }

    fn knows(&self, others: &[&Node], ids: &[u64]) {
        let listed = others.iter().zip(ids).map(|(node, id)| (NodeId(*id), node.address)).collect();
        self.peers.send_replace(listed);
    }

    async fn up(&self) -> (Process, LinkHandle) {
        self.events.until("the link is up", |told| Some((*told.ups.last()?, told.link.clone()?))).await
    }

    async fn stop(self) -> SocketAddr {
        self.links.stop();
        self.server.abort();
        let _ = self.server.await;
        self.address
    }
}

async fn pair() -> (Node, Node) {
    let (a, b) = (Node::start(process(1, 1), None, |_| {}).await, Node::start(process(2, 1), None, |_| {}).await);
    a.knows(&[&b], &[2]);
    b.knows(&[&a], &[1]);
    (a, b)
}

fn indices(told: &Told) -> Vec<u64> {
    let index = |word: &QueueWord| match word {
        QueueWord::Mirror(MirrorMessage::Durable { index, .. }) => Some(index.0),
        _ => None,
    };
    told.words.iter().filter_map(|(_, _, word)| index(word)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_arrive_in_order_both_ways() {
    let (a, b) = pair().await;
    let (at_b, to_b) = a.up().await;
    let (at_a, to_a) = b.up().await;
    assert_eq!((at_b, at_a), (process(2, 1), process(1, 1)));
    for index in 0..500 {
        to_b.send(vec![durable(2 * index), durable(2 * index + 1)]);
        to_a.send(vec![durable(index)]);
    }
    b.events.until("all words at b", |told| (told.words.len() == 1000).then_some(())).await;
    a.events.until("all words at a", |told| (told.words.len() == 500).then_some(())).await;
    assert_eq!(indices(&b.events.told.lock()), (0..1000).collect::<Vec<_>>());
    assert_eq!(indices(&a.events.told.lock()), (0..500).collect::<Vec<_>>());
    assert!(b.events.told.lock().words.iter().all(|(from, _, _)| *from == process(1, 1)));
    let view = a.links.view();
    assert!(view.len() == 1 && view[0].up && view[0].node == NodeId(2), "{view:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_needs_both_directions() {
    let (a, b) = (Node::start(process(1, 1), None, |_| {}).await, Node::start(process(2, 1), None, |_| {}).await);
    a.knows(&[&b], &[2]);
    // One stream is there…
    let greeted = async {
        while b.links.view().first().is_none_or(|view| view.process.is_none()) {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, greeted).await.unwrap();
    assert!(!b.links.view()[0].up && b.events.told.lock().ups.is_empty());
    // …and now the other one.
    b.knows(&[&a], &[1]);
    a.up().await;
    b.up().await;
}

/// §6.8: what was said in one life of a link never comes out in the next one,
/// also when only the other direction's stream broke.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_stream_takes_the_other_one_with_it() {
    let a = Node::start(process(1, 1), None, |config| config.budget = 1 << 20).await;
    let b = Node::start(process(2, 1), None, |_| {}).await;
    a.knows(&[&b], &[2]);
    b.knows(&[&a], &[1]);
    let (_, to_b) = a.up().await;
    let (_, first_to_a) = b.up().await;
    // More than a's budget waits for b at once, so a resets its stream to b; only that one.
    let overflowed = async {
        while a.events.told.lock().downs.is_empty() {
            (0..3).for_each(|number| to_b.send(vec![large(number, 2 << 20)]));
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, overflowed).await.unwrap();
    b.events.until("b's link down", |told| (!told.downs.is_empty()).then_some(())).await;
    a.events.until("a's link up again", |told| (told.ups.len() == 2).then_some(())).await;
    let to_a = b.events.until("b's link up again", |told| told.link.clone()).await;
    first_to_a.send(vec![durable(7)]);
    to_a.send(vec![durable(8)]);
    a.events.until("the new word", |told| (!told.words.is_empty()).then_some(())).await;
    assert_eq!(indices(&a.events.told.lock()), [8]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_turn_goes_in_several_messages_and_arrives_whole() {
    let (a, b) = pair().await;
    let (_, to_b) = a.up().await;
    to_b.send((0..5).map(|number| large(number, 5 << 20)).chain([durable(9), large(5, 20 << 20)]).collect());
    b.events.until("all words", |told| (told.words.len() == 7).then_some(())).await;
    let told = b.events.told.lock();
    let first_bytes: Vec<Option<u8>> = told
        .words
        .iter()
        .map(|(_, _, word)| match word {
            QueueWord::Mirror(MirrorMessage::Install { checkpoint, .. }) => Some(checkpoint[0]),
            _ => None,
        })
        .collect();
    assert_eq!(first_bytes, [Some(0), Some(1), Some(2), Some(3), Some(4), None, Some(5)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_peer_is_met_again_and_old_handles_are_dead() {
    let (a, b) = pair().await;
    let (_, first) = a.up().await;
    let address = b.stop().await;
    a.events.until("the link is down", |told| (!told.downs.is_empty()).then_some(())).await;
    assert_eq!(a.events.told.lock().downs[0], process(2, 1));

    let b = Node::start(process(2, 2), Some(address), |_| {}).await;
    b.knows(&[&a], &[1]);
    let (again, second) = a
        .events
        .until("up again", |told| Some((*told.ups.last().filter(|up| **up == process(2, 2))?, told.link.clone()?)))
        .await;
    assert_eq!(again, process(2, 2));
    b.up().await;
    first.send(vec![durable(1)]);
    second.send(vec![durable(2)]);
    b.events.until("words", |told| (!told.words.is_empty()).then_some(())).await;
    assert_eq!(indices(&b.events.told.lock()), [2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_takes_nothing_gets_its_link_reset() {
    const BUDGET: usize = 8 << 20;
    let a = Node::start(process(1, 1), None, |config| config.budget = BUDGET).await;
    let b = Node::start(process(2, 1), None, |config| config.window = 1 << 20).await;
    b.events.told.lock().hoard = true;
    a.knows(&[&b], &[2]);
    b.knows(&[&a], &[1]);
    let (_, to_b) = a.up().await;
    let mut sent = 0;
    let filling = async {
        while a.events.told.lock().downs.is_empty() {
            to_b.send(vec![large(1, 256 << 10)]);
            sent += 256 << 10;
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, filling).await.expect("the link is reset");
    assert!(sent >= BUDGET);
    // Only what the window holds has arrived, and the one turn that filled it.
    let arrived = b.events.told.lock().words.len() * (256 << 10);
    assert!(arrived <= (1 << 20) + TURN_BYTES, "{arrived} bytes arrived");

    // Both sides hear of it, and the link comes back.
    b.events.until("down at b", |told| (!told.downs.is_empty()).then_some(())).await;
    {
        let mut told = b.events.told.lock();
        told.hoard = false;
        told.rooms.clear();
    }
    a.events.until("up again", |told| (told.ups.len() > 1).then_some(())).await;
    let (_, to_b) = a.up().await;
    to_b.send(vec![durable(5)]);
    b.events.until("words again", |told| (indices(told) == [5]).then_some(())).await;
}

/// What a node says to a hello.
async fn refusal(node: &Node, hello: Hello) -> String {
    let mut client = LinkClient::connect(format!("http://{}", node.address)).await.unwrap();
    let turn = Turn { hello: Some(hello), ..Turn::default() };
    let stream = tokio_stream::once(turn);
    client.link(stream).await.map(drop).expect_err("refused").message().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_refused_with_the_reason() {
    let (a, b) = pair().await;
    a.up().await;
    b.up().await;
    let hello = |adjust: fn(&mut Hello)| {
        let mut hello =
            Hello { protocol: PROTOCOL, cluster: CLUSTER.0, from: Some(words::process_out(process(3, 1))), to: 1 };
        adjust(&mut hello);
        hello
    };
    type Spoil = fn(&mut Hello);
    let cases: [(Spoil, &str); 6] = [
        (|hello| hello.cluster = 78, "belongs to cluster 000000000000004d, not to 000000000000004e"),
        (|hello| hello.protocol = 99, "protocol 1 is spoken here, not 99"),
        (|hello| hello.to = 5, "this is node 1, not 5"),
        (|hello| hello.from = Some(words::process_out(process(1, 9))), "two nodes have the same name"),
        (
            |hello| hello.from = Some(words::process_out(process(2, 0))),
            "has been met as boot 1 already; this is boot 0",
        ),
        (|hello| hello.from = None, "the hello names no process"),
    ];
    for (adjust, expected) in cases {
        let said = refusal(&a, hello(adjust)).await;
        assert!(said.contains(expected), "{said}");
    }
    let mut client = LinkClient::connect(format!("http://{}", a.address)).await.unwrap();
    let nothing = client.link(tokio_stream::once(Turn::default())).await.err().unwrap();
    assert_eq!(nothing.message(), "the first turn is not a hello");
    // None of this harmed the link that is there.
    assert!(a.links.view().iter().any(|view| view.node == NodeId(2) && view.up && view.ups == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_word_ends_the_stream() {
    let a = Node::start(process(1, 1), None, |_| {}).await;
    let mut client = LinkClient::connect(format!("http://{}", a.address)).await.unwrap();
    let hello = Hello { protocol: PROTOCOL, cluster: CLUSTER.0, from: Some(words::process_out(process(3, 1))), to: 1 };
    let bad = warren_peer::link::Word { queue: 1, epoch: 1, word: None };
    let turns = [Turn { hello: Some(hello), ..Turn::default() }, Turn { words: vec![bad], ..Turn::default() }];
    let mut answers = client.link(tokio_stream::iter(turns)).await.unwrap().into_inner();
    let welcome = answers.message().await.unwrap().unwrap().welcome.unwrap();
    assert_eq!(words::process_in(welcome), process(1, 1));
    let ended = within(answers.message()).await.unwrap_err();
    assert!(ended.message().contains("a word of unknown kind"), "{ended}");
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.expect("in time")
}
