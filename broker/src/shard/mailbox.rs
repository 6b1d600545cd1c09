//! What comes into a shard's mailbox. The mailbox itself has no bound; what may
//! be in it has: publishes and settles count against the budget of the
//! connection that they came from, words of a peer against that peer's window,
//! answers of the disk against what the shard asked for. Everything else is a
//! few small inputs of membership.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use warren_replication::message::QueueWord;
use warren_replication::types::{NodeId, Process, QueueId};
use warren_shard::step::{Input, QueueStatus, ToChannel};

use crate::peer::LinkHandle;

/// One thing for a shard.
pub(super) enum Mail {
    /// An input as it is.
    Input(Input),
    /// What one read of one connection had for this shard.
    Inputs(Vec<Input>),
    /// Words of a peer, with their share of its window.
    Peer(Process, Vec<(QueueId, QueueWord)>, Arc<OwnedSemaphorePermit>),
    /// A link is up.
    LinkUp(Process, LinkHandle),
    /// A link broke.
    LinkDown(NodeId),
    /// Where events of a connection go.
    Register(u64, mpsc::UnboundedSender<Vec<(u16, ToChannel)>>),
    /// The connection is gone.
    Unregister(u64),
    /// Somebody asks how the queues are.
    Status(Option<QueueId>, oneshot::Sender<Vec<QueueStatus>>),
    /// The end.
    Stop,
}

/// Where a shard's mail is put in.
#[derive(Clone)]
pub(super) struct Mailbox {
    sender: mpsc::UnboundedSender<Mail>,
}

impl Mailbox {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Mail>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { sender }, receiver)
    }

    /// Never waits. After the shard's end the mail is dropped.
    pub(super) fn put(&self, mail: Mail) {
        let _ = self.sender.send(mail);
    }

    pub(super) async fn closed(&self) {
        self.sender.closed().await;
    }
}
