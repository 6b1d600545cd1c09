//! The streams of peers to this node: greeting, and words on their way to the
//! shards.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use warren_peer::link::{Hello, LinkAnswer, Turn, link_server};
use warren_peer::{direct, words};
use warren_replication::types::{NodeId, Process};

use super::state::Taken;
use super::{Inner, PROTOCOL};

/// The service that peers dial.
pub struct LinkService {
    links: Arc<Inner>,
}

impl LinkService {
    pub(super) fn new(links: Arc<Inner>) -> Self {
        Self { links }
    }
}

type Answers = Pin<Box<dyn Stream<Item = Result<LinkAnswer, Status>> + Send>>;

#[tonic::async_trait]
impl link_server::Link for LinkService {
    type LinkStream = Answers;

    async fn link(&self, request: Request<Streaming<Turn>>) -> Result<Response<Answers>, Status> {
        let mut turns = request.into_inner();
        let handshake = self.links.config.handshake;
        let first = timeout(handshake, turns.message())
            .await
            .map_err(|_| Status::deadline_exceeded("no hello"))??
            .and_then(|turn| turn.hello)
            .ok_or_else(|| Status::invalid_argument("the first turn is not a hello"))?;
        let from = check(&first, &self.links)?;
        let stale = |error: super::state::Stale| Status::failed_precondition(error.to_string());
        let (stream, changed) = self.links.peers.greeted(from).map_err(stale)?;

        let welcome = LinkAnswer { welcome: Some(words::process_out(self.links.peers.me())) };
        let (answers, answered) = mpsc::channel(2);
        // There is room: this is the first.
        let _ = answers.try_send(Ok(welcome));
        let links = self.links.clone();
        tokio::spawn(async move {
            let guard = Guard { links: links.clone(), node: from.node, stream };
            let listening = listen(&links, from, stream, changed, turns);
            let ended = tokio::select! {
                ended = links.stop.run_until_cancelled(listening) => ended,
                // The peer has hung up.
                () = answers.closed() => Some(Ok(())),
            };
            drop(guard);
            let status = match ended {
                None => Status::unavailable("the node stops"),
                Some(Ok(())) => return,
                Some(Err(status)) => status,
            };
            tracing::debug!(node = %from.node, %status, "a peer's stream ended");
            let _ = answers.try_send(Err(status));
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answered))))
    }
}

/// Who says hello, if it is one of us who means this node.
fn check(hello: &Hello, links: &Inner) -> Result<Process, Status> {
    let me = links.config.me;
    if hello.protocol != PROTOCOL {
        return Err(Status::failed_precondition(format!(
            "protocol {} is spoken here, not {}",
            PROTOCOL, hello.protocol
        )));
    }
    if hello.cluster != links.config.cluster.0 {
        let theirs = warren_store::ClusterId(hello.cluster);
        return Err(Status::failed_precondition(format!(
            "this node belongs to cluster {}, not to {theirs}",
            links.config.cluster
        )));
    }
    if hello.to != me.node.0 {
        return Err(Status::failed_precondition(format!("this is node {}, not {}", me.node, hello.to)));
    }
    match hello.from.map(words::process_in) {
        Some(from) if from.node != me.node => Ok(from),
        Some(_) => Err(Status::failed_precondition("two nodes have the same name")),
        None => Err(Status::invalid_argument("the hello names no process")),
    }
}

/// Takes words off the stream and hands them to the shards while the link is
/// up; holds them while it is not. What waits in the shards' mailboxes is bounded
/// by the window; then nothing is read, and HTTP/2 makes the peer wait.
async fn listen(
    links: &Inner,
    from: Process,
    stream: u64,
    mut changed: watch::Receiver<()>,
    mut turns: Streaming<Turn>,
) -> Result<(), Status> {
    let window = links.config.window;
    let room = Arc::new(Semaphore::new(window));
    while let Some(turn) = turns.message().await? {
        let invalid = |error: words::WordError| Status::invalid_argument(error.to_string());
        if !turn.direct.is_empty() {
            let direct: Result<Vec<_>, _> = turn.direct.into_iter().map(direct::decode).collect();
            links.peers.direct(from, direct.map_err(invalid)?);
        }
        let mut decoded = Vec::with_capacity(turn.words.len());
        let mut weight = 0;
        for word in turn.words {
            let (queue, word) = words::decode(word).map_err(invalid)?;
            weight += words::weight(&word);
            decoded.push((queue, word));
        }
        let share = u32::try_from(weight.min(window)).unwrap_or(u32::MAX);
        let gone = |_| Status::unavailable("the node stops");
        let mut permit = room.clone().acquire_many_owned(share).await.map_err(gone)?;
        loop {
            changed.mark_unchanged();
            let stale = |error: super::state::Stale| Status::aborted(error.to_string());
            match links.peers.words(from, stream, decoded, permit).map_err(stale)? {
                Taken::Yes => break,
                Taken::NotYet(words, room) => (decoded, permit) = (words, room),
            }
            changed.changed().await.map_err(|_| Status::aborted("the peer is forgotten"))?;
        }
    }
    Ok(())
}

/// Says that the stream ended, however that comes about.
struct Guard {
    links: Arc<Inner>,
    node: NodeId,
    stream: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.links.peers.incoming_ended(self.node, self.stream);
    }
}
