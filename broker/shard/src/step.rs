//! What goes into a shard and what comes out of one turn of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use warren_queue::{Reason, Rules};
use warren_replication::consigned::Consignment;
use warren_replication::message::{Closing, ConsumerSpec, Message, QueueWord, SettleReason};
use warren_replication::step::Write;
use warren_replication::types::{
    Assignment, Boot, ConsumerKey, Epoch, Index, Lag, LogEnd, Member, Moment, NodeId, Offset, Process, QueueId, Session,
};

/// A queue's entry in the applied catalog, as far as a shard cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueInfo {
    /// Which queue.
    pub queue: QueueId,
    /// Who leads, who is in sync.
    pub assignment: Arc<Assignment>,
    /// To whom its leader is to hand it over (§6.5).
    pub handover: Option<NodeId>,
    /// Delete it when its last consumer is gone.
    pub auto_delete: bool,
    /// What it does beside keeping messages in order.
    pub rules: Arc<Rules>,
}

/// Into a shard.
#[derive(Clone, Debug)]
pub enum Input {
    /// From the channels of this node.
    Local(QueueId, Local),
    /// A turn's words from a peer, in order.
    Peer {
        /// Who the link's handshake said.
        from: Process,
        /// Queue by queue.
        words: Vec<(QueueId, QueueWord)>,
    },
    /// The link to this peer's process is up (both ways usable); what was in
    /// flight before is unknown. A link is a session: if a word may have been
    /// lost on it, both ends are told `LinkDown` and then `LinkUp`, and what was
    /// said before an end's `LinkUp` never arrives after the other end's.
    LinkUp(Process),
    /// The link to a peer broke. Nothing said over it arrives after this.
    LinkDown(NodeId),
    /// The store has fsynced all writes of effects with a ticket up to this one.
    Persisted(u64),
    /// These [`Transfer`]s are over: all targets have confirmed the messages, or
    /// there are none. For the leader of this epoch.
    Transferred(QueueId, Epoch, Vec<Offset>),
    /// Answer to a [`ReadRequest`].
    Read {
        /// The request's number.
        request: u64,
        /// Entries dense from the index asked for; short or empty if fewer are there.
        entries: Vec<Bytes>,
    },
    /// A queue was made or changed in the applied catalog.
    Queue(QueueInfo),
    /// A queue is gone from the applied catalog.
    Deleted(QueueId),
    /// The processes that membership holds for live now (this one included).
    Live(BTreeSet<Process>),
    /// The catalog has registered this boot of a node (§6.7: a later boot than
    /// the predecessor's ends the wait for its lease).
    Registered(NodeId, Boot),
    /// A node does not belong to the cluster any more: nobody waits for it.
    Forgotten(NodeId),
    /// These sites are lost for good: what is consigned to them is anybody's again
    /// (§4.9).
    LostSites(BTreeSet<Bytes>),
    /// The node's lease now runs until this moment (§6.7); `Moment(0)`: it was
    /// given up.
    Lease(Moment),
    /// A status query.
    Status {
        /// Echoed in [`Effects::statuses`].
        request: u64,
        /// Only of this queue, rather than of all.
        only: Option<QueueId>,
    },
    /// Time passed.
    Tick,
}

/// From a channel of this node about one queue.
#[derive(Clone, Debug)]
pub enum Local {
    /// Publishes of one session, in order; sequences grow.
    Publish {
        /// Whose.
        session: Session,
        /// Channel-wide sequence (from 1) and message.
        messages: Vec<(u64, Message)>,
    },
    /// The channel is gone: consumers cancelled, what it holds returned, its
    /// session ended once nothing is pending.
    ChannelClosed {
        /// Whose.
        session: Session,
    },
    /// `basic.consume`.
    Consume {
        /// What it wants.
        spec: ConsumerSpec,
        /// `x-cancel-on-ha-failover`: it does not go on with another leader.
        cancel_on_failover: bool,
    },
    /// `basic.cancel`.
    Cancel(ConsumerKey),
    /// So many deliveries of this consumer were written to its socket.
    Written(ConsumerKey, u32),
    /// So many deliveries of this consumer of a stream were acknowledged.
    Credit(ConsumerKey, u32),
    /// `basic.ack`, or reject without requeue.
    Settle(Vec<Offset>, SettleReason),
    /// Requeue.
    Return(Vec<Offset>),
    /// `basic.get` under this key.
    Get(ConsumerKey),
    /// `queue.purge`.
    Purge {
        /// Whose connection.
        connection: u64,
        /// Whose channel.
        channel: u16,
        /// Echoed.
        request: u64,
    },
    /// Ready messages and consumers.
    Count {
        /// Whose connection.
        connection: u64,
        /// Whose channel.
        channel: u16,
        /// Echoed.
        request: u64,
    },
    /// `queue.delete` on conditions: closes the queue if they hold.
    Close {
        /// Whose connection.
        connection: u64,
        /// Whose channel.
        channel: u16,
        /// Echoed.
        request: u64,
        /// Only without consumers.
        if_unused: bool,
        /// Only without ready messages.
        if_empty: bool,
    },
}

/// To a channel of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToChannel {
    /// These publishes reached what a confirm promises in this queue.
    Confirmed(QueueId, Vec<(u64, u64)>),
    /// These did not and will not be tried again: nack.
    Refused(QueueId, Vec<(u64, u64)>),
    /// A delivery for a consumer.
    Deliver {
        /// From where (for the ack).
        queue: QueueId,
        /// The consumer's number on this process.
        consumer: u64,
        /// For the ack.
        offset: Offset,
        /// Below it nothing is left in the queue.
        floor: Offset,
        /// Whether it may have been delivered before.
        redelivered: bool,
        /// To a link of another site: under which number (§4.9).
        consignment: Option<Consignment>,
        /// How often it was delivered and returned before, if the queue's
        /// [`Rules::counted`] wants it said.
        count: Option<u32>,
        /// The message.
        message: Message,
    },
    /// Messages that a consumer of a stream reads.
    Read {
        /// From where.
        queue: QueueId,
        /// The consumer's number on this process.
        consumer: u64,
        /// In order.
        messages: Vec<(Offset, Message)>,
    },
    /// `basic.consume` ended: `Ok`, or somebody has the queue exclusively.
    Consuming {
        /// The consumer's number.
        consumer: u64,
        /// False: 403.
        attached: bool,
    },
    /// The consumer was cancelled by the broker: its queue is deleted, or has
    /// another leader and that is what it wanted then. What it holds goes back.
    Cancelled {
        /// The consumer's number.
        consumer: u64,
    },
    /// Answer to `basic.get`.
    Got {
        /// The get's number.
        get: u64,
        /// From where.
        queue: QueueId,
        /// As of a delivery.
        count: Option<u32>,
        /// Offset, redelivered, message and ready messages that remain; `None` = empty.
        found: Option<(Offset, bool, Message, u64)>,
    },
    /// Answer to purge.
    Purged {
        /// Echo.
        request: u64,
        /// How many.
        messages: u64,
    },
    /// Answer to count.
    Counted {
        /// Echo.
        request: u64,
        /// Ready.
        ready: u64,
        /// Consumers.
        consumers: u32,
    },
    /// Answer to close.
    Closed {
        /// Echo.
        request: u64,
        /// What came of it.
        closing: Closing,
    },
    /// The queue was deleted while a consume, get, purge, count or close was waiting: 404.
    Gone {
        /// The consumer's or get's number, or the request.
        request: u64,
    },
}

/// A wish for the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// §4.3; repeated until a higher (epoch, version) is applied.
    Isr {
        /// Compare-and-set base.
        from: Arc<Assignment>,
        /// The in-sync set wanted.
        isr: BTreeSet<Member>,
        /// The trailing set wanted (§4.2).
        trailing: BTreeSet<Member>,
    },
    /// What this node would lead with if something may be missing (§6.3).
    Offer {
        /// The state that leaves the queue without a leader.
        to: Arc<Assignment>,
        /// Where the log ends.
        end: LogEnd,
    },
    /// Elect again, this process will not lead (§4.6).
    Resign(Arc<Assignment>),
    /// The planned successor has what it needs, and this leader hands out nothing
    /// more: elect (§6.5). Repeated until a higher (epoch, version) is applied.
    HandOver {
        /// Compare-and-set base.
        from: Arc<Assignment>,
        /// To whom.
        to: NodeId,
    },
    /// The planned successor does not get there in time: this leader goes on (§6.5).
    KeepLeading(Arc<Assignment>),
    /// Delete the queue, if it is still so in the catalog: auto-delete and its last
    /// consumer gone, or not used for as long as it may be.
    DeleteUnused(Arc<Assignment>),
}

/// A message that moves on from its queue to an exchange: dead, or no longer
/// delayed. It stays in the queue, unavailable, until [`Input::Transferred`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Its number in the queue.
    pub offset: Offset,
    /// Why.
    pub reason: Reason,
    /// How often it was delivered and returned.
    pub count: u32,
    /// The message.
    pub message: Message,
}

/// A leader's word to whoever moves its messages on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transfers {
    /// Move these; bounded by `Settings`, in queue order per reason.
    Move(Epoch, Vec<Transfer>),
    /// This process leads the queue no more: forget them.
    Over,
}

/// A read of a queue's own log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRequest {
    /// Echoed in [`Input::Read`].
    pub request: u64,
    /// Whose log.
    pub queue: QueueId,
    /// From here on.
    pub first: Index,
    /// About so many bytes, at least one entry.
    pub max_bytes: usize,
}

/// A queue as one shard sees it, for status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueStatus {
    /// Which.
    pub queue: QueueId,
    /// Whether this process leads it.
    pub leading: bool,
    /// `running`, or why not: a word and a sentence.
    pub state: (&'static str, String),
    /// Ready messages (leader only; else live messages known here).
    pub ready: u64,
    /// Delivered and unacknowledged.
    pub unacked: u64,
    /// About how many bytes of ready and unacked messages: what was there when
    /// this process began to lead is estimated by a sample.
    pub bytes: u64,
    /// Consumers on all nodes.
    pub consumers: u32,
    /// Consumers wait and nothing is ready (leader only).
    pub wanting: bool,
    /// Leader only: what other sites have of it.
    pub sites: Vec<SiteStatus>,
    /// Last index, durable index and commit index here.
    pub log: (u64, u64, u64),
    /// Leader only: each mirror that is not in sync and does not trail either.
    pub lagging: Vec<Lagging>,
    /// Leader only: what each trailing mirror lacks of what is confirmed (§4.2).
    pub lags: Vec<(NodeId, Lag)>,
    /// Totals since this process leads: published, delivered, settled.
    pub totals: (u64, u64, u64),
}

/// A mirror that is not in sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lagging {
    /// Which.
    pub node: NodeId,
    /// What its leader does about it: a word and a sentence.
    pub state: (&'static str, String),
    /// The last entry of the log that it is known to have, of [`QueueStatus::log`].
    pub durable: u64,
}

impl Lagging {
    /// The word for one whose copy waits for an operator (§5.3).
    pub const WAITS: &'static str = "unsynchronised";
}

/// What another site has of a queue (§4.9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteStatus {
    /// Its name.
    pub site: String,
    /// Messages consigned to it.
    pub consigned: u64,
    /// Whether a link of it is here.
    pub linked: bool,
}

/// Out of one turn. The driver checks the lease if `leased` says so, sends
/// `words` and `replies` at once, and hands `writes` to the group commit.
#[derive(Debug, Default)]
pub struct Effects {
    /// For the store, in order. `None` = drop all that is stored of the queue.
    pub writes: Vec<(QueueId, Option<Write>)>,
    /// The ticket under which `Input::Persisted` answers `writes`, if any.
    pub ticket: u64,
    /// For peers, in order per peer; those that vouch for a write are only here
    /// once it is on disk.
    pub words: Vec<(NodeId, QueueId, QueueWord)>,
    /// For connections of this node: connection, channel, event; in order.
    pub replies: Vec<(u64, u16, ToChannel)>,
    /// For the catalog.
    pub wishes: Vec<(QueueId, Wish)>,
    /// For whoever moves messages on.
    pub transfers: Vec<(QueueId, Transfers)>,
    /// For the store.
    pub reads: Vec<ReadRequest>,
    /// Answers to status queries.
    pub statuses: Vec<(u64, Vec<QueueStatus>)>,
    /// True if `words` or `replies` hold anything that only a lease allows
    /// (§6.7): check it once more before sending; if it ran out, let
    /// `Shard::lease_lost` take that back before the rest goes.
    pub leased: bool,
    /// Broken promises and other things an operator must see.
    pub alarms: Vec<(QueueId, String)>,
}
