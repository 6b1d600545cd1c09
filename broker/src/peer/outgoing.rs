//! This node's streams to its peers: a task a peer that dials it, shakes hands
//! and dials again when the stream breaks; and the words that wait before the
//! stream, as one queue that all shards put into.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use rand::Rng;
use rustc_hash::FxHashMap;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::Endpoint;
use warren_peer::direct::DirectWord;
use warren_peer::link::link_client::LinkClient;
use warren_peer::link::{Hello, Turn};
use warren_peer::{direct, words};
use warren_replication::message::QueueWord;
use warren_replication::types::{NodeId, Process, QueueId};

use super::{Inner, MESSAGE_BYTES, PROTOCOL, TURN_BYTES};

/// The words of one turn for one peer, and what they weigh.
type Batch = (Said, usize);

enum Said {
    Queues(Vec<(QueueId, QueueWord)>),
    Direct(Vec<DirectWord>),
}

/// Where words for a peer go while its link is up. It belongs to one time that
/// the link is up: afterwards it takes nothing, even if there is a new one.
#[derive(Clone)]
pub struct LinkHandle {
    open: Arc<AtomicBool>,
    waiting: Arc<Waiting>,
}

impl LinkHandle {
    pub(super) fn new(waiting: Arc<Waiting>) -> Self {
        Self { open: Arc::new(AtomicBool::new(true)), waiting }
    }

    /// Puts a turn's words into the peer's stream; drops them if the link is
    /// down. Never waits: a peer that does not take what waits for it up to the
    /// budget gets its link reset.
    pub fn send(&self, words: Vec<(QueueId, QueueWord)>) {
        if self.open.load(Relaxed) {
            let weight = words.iter().map(|(_, word)| words::weight(word)).sum();
            self.waiting.put(Said::Queues(words), weight);
        }
    }

    /// The same for words of direct reply-to.
    pub fn send_direct(&self, words: Vec<DirectWord>) {
        if self.open.load(Relaxed) {
            let weight = words.iter().map(direct::weight).sum();
            self.waiting.put(Said::Direct(words), weight);
        }
    }

    pub(super) fn close(&self) {
        self.open.store(false, Relaxed);
    }
}

/// What waits before a stream.
pub(super) struct Waiting {
    queue: mpsc::UnboundedSender<Batch>,
    bytes: Arc<AtomicUsize>,
    budget: usize,
    overflow: Notify,
    reset: Notify,
}

impl Waiting {
    fn new(budget: usize, hello: Turn) -> (Arc<Self>, Turns) {
        let (queue, receiver) = mpsc::unbounded_channel();
        let bytes = Arc::new(AtomicUsize::new(0));
        let turns = Turns {
            hello: Some(hello),
            receiver,
            bytes: bytes.clone(),
            rest: VecDeque::new(),
            rest_direct: VecDeque::new(),
        };
        (Arc::new(Self { queue, bytes, budget, overflow: Notify::new(), reset: Notify::new() }), turns)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// Ends the stream, with what waits for it.
    pub(super) fn reset(&self) {
        self.reset.notify_one();
    }

    fn put(&self, words: Said, weight: usize) {
        if self.bytes.fetch_add(weight, Relaxed) > self.budget {
            // What waits already is too much; the dialer ends the stream.
            self.overflow.notify_one();
            return;
        }
        // A stream that has ended has no receiver; its link goes down presently.
        let _ = self.queue.send((words, weight));
    }
}

/// The stream itself: hello first, then all that waits, several turns of shards
/// in one message if they are there, a large one in several.
pub(super) struct Turns {
    hello: Option<Turn>,
    receiver: mpsc::UnboundedReceiver<Batch>,
    bytes: Arc<AtomicUsize>,
    rest: VecDeque<(QueueId, QueueWord)>,
    rest_direct: VecDeque<DirectWord>,
}

impl Stream for Turns {
    type Item = Turn;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Turn>> {
        let this = &mut *self;
        if let Some(hello) = this.hello.take() {
            return Poll::Ready(Some(hello));
        }
        if this.rest.is_empty() && this.rest_direct.is_empty() {
            match this.receiver.poll_recv(context) {
                Poll::Ready(Some(batch)) => this.take(batch),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
        let mut turn = Turn::default();
        let mut weight = 0;
        loop {
            if let Some(word) = this.rest_direct.front() {
                weight += direct::weight(word);
                if weight > TURN_BYTES && !turn.direct.is_empty() {
                    break;
                }
                turn.direct.extend(this.rest_direct.pop_front().map(direct::encode));
                continue;
            }
            let Some((_, word)) = this.rest.front() else {
                match this.receiver.try_recv() {
                    Ok(batch) => this.take(batch),
                    Err(_) => break,
                }
                continue;
            };
            weight += words::weight(word);
            if weight > TURN_BYTES && !(turn.words.is_empty() && turn.direct.is_empty()) {
                break;
            }
            if let Some((queue, word)) = this.rest.pop_front() {
                turn.words.push(words::encode(queue, word));
            }
        }
        Poll::Ready(Some(turn))
    }
}

impl Turns {
    fn take(&mut self, (words, weight): Batch) {
        self.bytes.fetch_sub(weight, Relaxed);
        match words {
            Said::Queues(words) => self.rest.extend(words),
            Said::Direct(words) => self.rest_direct.extend(words),
        }
    }
}

/// Why a peer could not be spoken to.
#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error("cannot connect: {0}")]
    Connect(#[from] tonic::transport::Error),
    #[error("no answer within {0:?}")]
    Silent(Duration),
    #[error("{}", .0.message())]
    Refused(#[from] Status),
    #[error("the answer names no process")]
    NoWelcome,
    #[error("node {0} answers there")]
    OtherNode(NodeId),
    #[error(transparent)]
    Stale(#[from] super::state::Stale),
    #[error("it does not take what is sent: more than {0} bytes wait")]
    Overflow(usize),
    #[error("it ended the stream")]
    Ended,
    #[error("its own stream ended")]
    Halved,
}

/// Keeps one dialer for each peer in the list.
pub(super) async fn dial_all(links: Arc<Inner>, mut peers: watch::Receiver<Vec<(NodeId, SocketAddr)>>) {
    let mut dialers: FxHashMap<(NodeId, SocketAddr), CancellationToken> = FxHashMap::default();
    loop {
        let listed = peers.borrow_and_update().clone();
        dialers.retain(|peer, stop| {
            let keep = listed.contains(peer);
            if !keep {
                stop.cancel();
            }
            keep
        });
        for (node, address) in listed {
            if node == links.config.me.node {
                continue;
            }
            dialers.entry((node, address)).or_insert_with(|| {
                let stop = links.stop.child_token();
                let dialer = dial(links.clone(), node, address);
                let stopped = stop.clone();
                tokio::spawn(async move { stopped.run_until_cancelled(dialer).await });
                stop
            });
        }
        let ended = links.stop.run_until_cancelled(peers.changed()).await;
        if !matches!(ended, Some(Ok(()))) {
            // Stopped, or membership is gone and with it all news of peers.
            links.stop.cancelled().await;
            return;
        }
    }
}

async fn dial(links: Arc<Inner>, node: NodeId, address: SocketAddr) {
    let (shortest, longest) = links.config.backoff;
    let mut backoff = shortest;
    let mut said = String::new();
    loop {
        let mut met = false;
        let error = match speak(&links, node, address, &mut met).await {
            Ok(never) => match never {},
            Err(error) => error.to_string(),
        };
        // The same thing is said once, not every second.
        if met || error != said {
            tracing::warn!(%node, %address, %error, "no link to peer");
            said = error;
        }
        if met {
            backoff = shortest;
        }
        let jitter = rand::rng().random_range(0.5..1.0);
        sleep(backoff.mul_f64(jitter)).await;
        backoff = (backoff * 2).min(longest);
    }
}

/// One stream, from dialling to its end.
async fn speak(
    links: &Inner,
    node: NodeId,
    address: SocketAddr,
    met: &mut bool,
) -> Result<std::convert::Infallible, DialError> {
    let config = &links.config;
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?
        .connect_timeout(config.handshake)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(config.keep_alive)
        .keep_alive_timeout(config.keep_alive_timeout)
        .keep_alive_while_idle(true);
    let silent = |_| DialError::Silent(config.handshake);
    let channel = timeout(config.handshake, endpoint.connect()).await.map_err(silent)??;
    let mut client =
        LinkClient::new(channel).max_encoding_message_size(MESSAGE_BYTES).max_decoding_message_size(MESSAGE_BYTES);
    let hello = Hello {
        protocol: PROTOCOL,
        cluster: config.cluster.0,
        from: Some(words::process_out(links.peers.me())),
        to: node.0,
    };
    let (waiting, turns) = Waiting::new(config.budget, Turn { hello: Some(hello), ..Turn::default() });
    let welcome = async {
        let mut answers = client.link(turns).await?.into_inner();
        let answer = answers.message().await?;
        Ok::<_, Status>((answers, answer))
    };
    let (mut answers, answer) = timeout(config.handshake, welcome).await.map_err(silent)??;
    let process = answer.and_then(|answer| answer.welcome).ok_or(DialError::NoWelcome)?;
    let process: Process = words::process_in(process);
    if process.node != node {
        return Err(DialError::OtherNode(process.node));
    }
    let stream = links.peers.welcomed(process, waiting.clone())?;
    *met = true;
    let _guard = Guard { links, node, stream };
    tokio::select! {
        () = waiting.overflow.notified() => Err(DialError::Overflow(config.budget)),
        () = waiting.reset.notified() => Err(DialError::Halved),
        answer = async { while answers.message().await?.is_some() {} Ok::<_, Status>(()) } => {
            answer?;
            Err(DialError::Ended)
        }
    }
}

/// Says that the stream ended, however that comes about.
struct Guard<'a> {
    links: &'a Inner,
    node: NodeId,
    stream: u64,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.links.peers.outgoing_ended(self.node, self.stream);
    }
}
