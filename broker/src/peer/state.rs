//! Which streams there are with each peer, and when its link is up. All changes
//! happen under one lock, and shards are told under it, so that they hear of
//! them in order and never get words of a stream that another one has replaced.

use std::sync::Arc;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::{OwnedSemaphorePermit, watch};
use warren_peer::direct::DirectWord;
use warren_replication::message::QueueWord;
use warren_replication::types::{NodeId, Process, QueueId};

use super::LinkEvents;
use super::outgoing::{LinkHandle, Waiting};

/// How a link is, for status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkView {
    /// The other node.
    pub node: NodeId,
    /// Its process, as far as it was met.
    pub process: Option<Process>,
    /// Whether words go both ways.
    pub up: bool,
    /// Bytes that wait for it.
    pub waiting: usize,
    /// How often the link came up so far.
    pub ups: u64,
}

/// A process that is not (or no longer) to be spoken with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stale {
    #[error("node {} has been met as boot {newer} already; this is boot {}", .process.node, .process.boot)]
    OlderBoot { process: Process, newer: u64 },
    #[error("the stream has been replaced by another one")]
    Replaced,
}

/// What became of words that came.
pub(super) enum Taken {
    /// The shards have them.
    Yes,
    /// The link is not up; they are given back.
    NotYet(Vec<(QueueId, QueueWord)>, OwnedSemaphorePermit),
}

pub(super) struct Peers {
    me: Process,
    events: Arc<dyn LinkEvents>,
    peers: Mutex<FxHashMap<NodeId, Peer>>,
}

#[derive(Default)]
struct Peer {
    /// The newest process met.
    process: Option<Process>,
    /// Our stream to it, once welcomed.
    outgoing: Option<(u64, Arc<Waiting>)>,
    /// Its stream to us, once greeted.
    incoming: Option<u64>,
    /// While the link is up.
    up: Option<LinkHandle>,
    ups: u64,
    streams: u64,
    /// Turns whenever anything of the above does.
    changed: watch::Sender<()>,
}

impl Peers {
    pub(super) fn new(me: Process, events: Arc<dyn LinkEvents>) -> Self {
        Self { me, events, peers: Mutex::default() }
    }

    /// Our stream to a process was welcomed by it.
    pub(super) fn welcomed(&self, process: Process, waiting: Arc<Waiting>) -> Result<u64, Stale> {
        self.change(process.node, |peer| {
            peer.meet(process)?;
            peer.streams += 1;
            peer.outgoing = Some((peer.streams, waiting));
            Ok(peer.streams)
        })
    }

    /// A process has opened its stream to us.
    pub(super) fn greeted(&self, process: Process) -> Result<(u64, watch::Receiver<()>), Stale> {
        self.change(process.node, |peer| {
            peer.meet(process)?;
            peer.streams += 1;
            peer.incoming = Some(peer.streams);
            Ok((peer.streams, peer.changed.subscribe()))
        })
    }

    /// Our stream ended.
    pub(super) fn outgoing_ended(&self, node: NodeId, stream: u64) {
        self.change(node, |peer| {
            if peer.outgoing.as_ref().is_some_and(|(current, _)| *current == stream) {
                peer.outgoing = None;
            }
        });
    }

    /// The peer's stream ended.
    pub(super) fn incoming_ended(&self, node: NodeId, stream: u64) {
        self.change(node, |peer| {
            if peer.incoming == Some(stream) {
                peer.incoming = None;
            }
        });
    }

    /// Hands words of a peer's stream to the shards, if the link is up.
    pub(super) fn words(
        &self,
        from: Process,
        stream: u64,
        words: Vec<(QueueId, QueueWord)>,
        room: OwnedSemaphorePermit,
    ) -> Result<Taken, Stale> {
        let peers = self.peers.lock();
        let peer = peers.get(&from.node).filter(|peer| peer.incoming == Some(stream)).ok_or(Stale::Replaced)?;
        if peer.up.is_none() {
            return Ok(Taken::NotYet(words, room));
        }
        self.events.words(from, words, room);
        Ok(Taken::Yes)
    }

    /// Hands on words of direct reply-to.
    pub(super) fn direct(&self, from: Process, words: Vec<DirectWord>) {
        self.events.direct(from, words);
    }

    pub(super) fn view(&self) -> Vec<LinkView> {
        let peers = self.peers.lock();
        let mut views: Vec<LinkView> = peers
            .iter()
            .map(|(node, peer)| LinkView {
                node: *node,
                process: peer.process,
                up: peer.up.is_some(),
                waiting: peer.outgoing.as_ref().map_or(0, |(_, waiting)| waiting.bytes()),
                ups: peer.ups,
            })
            .collect();
        views.sort_unstable_by_key(|view| view.node);
        views
    }

    /// Changes a peer's streams, and tells the shards what that makes of the
    /// link: a link whose streams are not the ones that it came up with is down.
    /// It takes the stream that is left with it, since words that were said
    /// before would otherwise come out of it after the next link came up (§6.8);
    /// so each time that a link is up has two streams of its own.
    fn change<T>(&self, node: NodeId, change: impl FnOnce(&mut Peer) -> T) -> T {
        let mut peers = self.peers.lock();
        let peer = peers.entry(node).or_default();
        let (before, streams) = (peer.process, peer.pair());
        let result = change(peer);
        if peer.pair() != streams {
            if let Some((link, process)) = peer.up.take().zip(before) {
                link.close();
                peer.end(streams);
                self.events.down(process);
                tracing::info!(node = %node, boot = %process.boot, "link down");
            }
            if let (Some((_, waiting)), Some(_), Some(process)) = (&peer.outgoing, peer.incoming, peer.process) {
                let link = LinkHandle::new(waiting.clone());
                peer.up = Some(link.clone());
                peer.ups += 1;
                self.events.up(process, link);
                tracing::info!(node = %node, boot = %process.boot, "link up");
            }
        }
        peer.changed.send_replace(());
        result
    }

    pub(super) fn me(&self) -> Process {
        self.me
    }
}

impl Peer {
    /// A newer process takes the place of the one known; an older one is refused.
    /// Boots of different disks cannot be compared: the last one to come counts
    /// here, and the catalog decides who belongs (§5.5).
    fn meet(&mut self, process: Process) -> Result<(), Stale> {
        let Some(known) = self.process.replace(process) else { return Ok(()) };
        if known == process {
            return Ok(());
        }
        if known.incarnation == process.incarnation && known.boot > process.boot {
            self.process = Some(known);
            return Err(Stale::OlderBoot { process, newer: known.boot.0 });
        }
        self.outgoing = None;
        self.incoming = None;
        Ok(())
    }

    /// Ends what is left of these two streams.
    fn end(&mut self, (outgoing, incoming): (Option<u64>, Option<u64>)) {
        if let Some((_, waiting)) = self.outgoing.take_if(|(stream, _)| Some(*stream) == outgoing) {
            waiting.reset();
        }
        // The next words of an incoming stream that is not current end it.
        self.incoming.take_if(|stream| Some(*stream) == incoming);
    }

    fn pair(&self) -> (Option<u64>, Option<u64>) {
        (self.outgoing.as_ref().map(|(stream, _)| *stream), self.incoming)
    }
}
