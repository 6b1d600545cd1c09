//! Direct reply-to: replies go from the replier's connection to the requester's
//! channel, past all queues, over the link if they are on different nodes.
//!
//! A channel that consumes from the pseudo-queue [`QUEUE`] gets an address, which
//! names its node and a secret; its publishes carry the address as `reply-to`.
//! What is published to an address through the default exchange is a reply.
//! Nothing of this is kept: as in RabbitMQ a reply is lost with its requester, the
//! link, or a requester that does not read. What waits for a connection is bounded.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::debug;
use warren_peer::direct::{DirectWord, Say};
use warren_replication::message::Message;
use warren_replication::types::NodeId;

use crate::peer::LinkHandle;

/// The pseudo-queue that requesters consume from and name in `reply-to`.
pub const QUEUE: &str = "amq.rabbitmq.reply-to";
/// What names of the pseudo-queue's kind begin with.
const PREFIX: &str = "amq.rabbitmq.reply-to.";

/// Most replies that wait for one connection, and most of their octets.
const WAITING: usize = 4096;
const WAITING_BYTES: usize = 4 << 20;
/// How long another node may take to say whether a requester is there.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where replies to one channel go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    node: NodeId,
    secret: u128,
}

impl Address {
    /// The address in a routing key or a queue's name, if it is one.
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(name.strip_prefix(PREFIX.as_bytes())?).ok()?;
        let (node, secret) = text.split_once('.')?;
        if node.len() != 16 || secret.len() != 32 {
            return None;
        }
        let node = NodeId(u64::from_str_radix(node, 16).ok()?);
        Some(Self { node, secret: u128::from_str_radix(secret, 16).ok()? })
    }

    /// Whether a name is kept for addresses: no queue may have it.
    #[must_use]
    pub fn is_reserved(name: &str) -> bool {
        name.starts_with(QUEUE)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{:016x}.{:032x}", self.node.0, self.secret)
    }
}

/// A reply for a channel of this connection.
#[derive(Debug)]
pub struct Reply {
    /// Which channel.
    pub channel: u16,
    /// The channel's consumer.
    pub consumer: u64,
    /// The reply.
    pub message: Message,
}

/// Where the replies for one connection wait.
#[derive(Debug)]
pub struct Inbox {
    sender: mpsc::Sender<Reply>,
    receiver: mpsc::Receiver<Reply>,
    bytes: Arc<AtomicUsize>,
}

impl Default for Inbox {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        Self { sender, receiver, bytes: Arc::default() }
    }
}

impl Inbox {
    /// The next reply.
    pub async fn next(&mut self) -> Reply {
        loop {
            // The sender beside it keeps the channel open.
            if let Some(reply) = self.receiver.recv().await {
                return self.taken(reply);
            }
        }
    }

    /// The next reply if it is there.
    pub fn next_now(&mut self) -> Option<Reply> {
        let reply = self.receiver.try_recv().ok()?;
        Some(self.taken(reply))
    }

    fn taken(&self, reply: Reply) -> Reply {
        self.bytes.fetch_sub(reply.message.weight(), Relaxed);
        reply
    }
}

/// The requesters of this node, and the way to those of the others.
#[derive(Debug)]
pub struct Direct {
    node: NodeId,
    state: Mutex<State>,
    requests: AtomicU64,
}

#[derive(Default)]
struct State {
    requesters: FxHashMap<u128, Requester>,
    links: FxHashMap<NodeId, LinkHandle>,
    asked: FxHashMap<u64, oneshot::Sender<bool>>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("requesters", &self.requesters.len()).finish_non_exhaustive()
    }
}

struct Requester {
    channel: u16,
    consumer: u64,
    sender: mpsc::Sender<Reply>,
    bytes: Arc<AtomicUsize>,
}

impl Requester {
    fn take(&self, message: Message) {
        let weight = message.weight();
        let reply = Reply { channel: self.channel, consumer: self.consumer, message };
        if self.bytes.fetch_add(weight, Relaxed) > WAITING_BYTES || self.sender.try_send(reply).is_err() {
            self.bytes.fetch_sub(weight, Relaxed);
            debug!("a direct reply is dropped: its requester does not read");
        }
    }
}

impl Direct {
    /// Nobody yet, on this node.
    #[must_use]
    pub fn new(node: NodeId) -> Self {
        Self { node, state: Mutex::default(), requests: AtomicU64::new(0) }
    }

    /// A new requester, whose replies come to this inbox.
    pub fn open(&self, inbox: &Inbox, channel: u16, consumer: u64) -> Address {
        let address = Address { node: self.node, secret: rand::random() };
        let (sender, bytes) = (inbox.sender.clone(), Arc::clone(&inbox.bytes));
        self.state.lock().requesters.insert(address.secret, Requester { channel, consumer, sender, bytes });
        address
    }

    /// The requester is gone.
    pub fn close(&self, address: Address) {
        self.state.lock().requesters.remove(&address.secret);
    }

    /// Sends replies, as far as there is a way.
    pub fn send(&self, replies: Vec<(Address, Message)>) {
        let mut away: FxHashMap<NodeId, Vec<DirectWord>> = FxHashMap::default();
        let state = self.state.lock();
        for (address, message) in replies {
            if address.node != self.node {
                let word = DirectWord { secret: address.secret, say: Say::Reply(message) };
                away.entry(address.node).or_default().push(word);
            } else if let Some(requester) = state.requesters.get(&address.secret) {
                requester.take(message);
            }
        }
        for (node, words) in away {
            if let Some(link) = state.links.get(&node) {
                link.send_direct(words);
            }
        }
    }

    /// Whether the requester is there, as far as it can be found out.
    pub fn is_present(&self, address: Address) -> impl Future<Output = bool> + Send + use<> {
        let mut state = self.state.lock();
        let (answer, answered) = oneshot::channel();
        match state.links.get(&address.node) {
            _ if address.node == self.node => {
                // Somebody listens: just below.
                let _ = answer.send(state.requesters.contains_key(&address.secret));
            }
            Some(link) => {
                let request = self.requests.fetch_add(1, Relaxed);
                link.send_direct(vec![DirectWord { secret: address.secret, say: Say::Ask(request) }]);
                state.asked.retain(|_, asked| !asked.is_closed());
                state.asked.insert(request, answer);
            }
            None => {}
        }
        async move { matches!(timeout(PATIENCE, answered).await, Ok(Ok(true))) }
    }

    /// A link is up.
    pub fn up(&self, node: NodeId, link: LinkHandle) {
        self.state.lock().links.insert(node, link);
    }

    /// A link broke.
    pub fn down(&self, node: NodeId) {
        self.state.lock().links.remove(&node);
    }

    /// Words of another node.
    pub fn words(&self, from: NodeId, words: Vec<DirectWord>) {
        let mut answers = Vec::new();
        let mut state = self.state.lock();
        for DirectWord { secret, say } in words {
            match say {
                Say::Reply(message) => {
                    if let Some(requester) = state.requesters.get(&secret) {
                        requester.take(message);
                    }
                }
                Say::Ask(request) => {
                    let is_there = state.requesters.contains_key(&secret);
                    let say = if is_there { Say::Present(request) } else { Say::Absent(request) };
                    answers.push(DirectWord { secret, say });
                }
                Say::Present(request) | Say::Absent(request) => {
                    if let Some(asked) = state.asked.remove(&request) {
                        // Whoever asked may have gone.
                        let _ = asked.send(matches!(say, Say::Present(_)));
                    }
                }
            }
        }
        if let Some(link) = state.links.get(&from).filter(|_| !answers.is_empty()) {
            link.send_direct(answers);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn message(octets: usize) -> Message {
        Message { body: Bytes::from(vec![7; octets]), ..Message::default() }
    }

    #[test]
    fn addresses_are_read_back_and_nothing_else_is_one() {
        let address = Address { node: NodeId(0xabc), secret: 17 };
        assert_eq!(Address::parse(address.to_string().as_bytes()), Some(address));
        for other in ["", QUEUE, "amq.rabbitmq.reply-to.", "amq.rabbitmq.reply-to.1.2", "amq.gen-x"] {
            assert_eq!(Address::parse(other.as_bytes()), None);
        }
        assert!(Address::is_reserved(QUEUE) && !Address::is_reserved("amq.rabbitmq.x"));
    }

    #[tokio::test]
    async fn a_reply_reaches_the_requester_of_its_address_while_it_is_there() {
        let direct = Direct::new(NodeId(1));
        let mut inbox = Inbox::default();
        let address = direct.open(&inbox, 3, 9);
        assert!(direct.is_present(address).await);
        let stranger = Address { secret: address.secret ^ 1, ..address };
        direct.send(vec![(stranger, message(1)), (address, message(2))]);
        let reply = inbox.next().await;
        assert_eq!((reply.channel, reply.consumer, reply.message), (3, 9, message(2)));
        direct.close(address);
        assert!(!direct.is_present(address).await);
        assert!(!direct.is_present(Address { node: NodeId(2), ..address }).await, "nobody knows a way");
        direct.send(vec![(address, message(1))]);
        assert!(inbox.next_now().is_none());
    }

    #[test]
    fn what_waits_for_a_requester_that_does_not_read_is_bounded() {
        let direct = Direct::new(NodeId(1));
        let mut inbox = Inbox::default();
        let address = direct.open(&inbox, 1, 1);
        let large = WAITING_BYTES / 4;
        direct.send((0..100).map(|_| (address, message(large))).collect());
        let taken = std::iter::from_fn(|| inbox.next_now()).count();
        assert!((4..=6).contains(&taken), "{taken}");
        direct.send((0..2 * WAITING).map(|_| (address, message(0))).collect());
        assert_eq!(std::iter::from_fn(|| inbox.next_now()).count(), WAITING);
        assert_eq!(inbox.bytes.load(Relaxed), 0);
    }
}
