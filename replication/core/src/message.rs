//! What travels between nodes about a queue: the published message itself, the
//! words between leader and mirror (§4, §5) and those between entry node and
//! leader (§4.8, §6.8). Wire encoding is the broker's business.

use bytes::Bytes;

use crate::consigned::Consignment;
use crate::types::{ConsumerKey, Epoch, Index, NodeId, Offset, Position, Session, Version};

/// A published message: slices of the buffer that it was read into, or of the
/// log entry that holds it. Never copied on its way but into the log entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Message {
    /// Exchange name, at most 255 bytes of UTF-8.
    pub exchange: Bytes,
    /// Routing key, at most 255 bytes.
    pub routing_key: Bytes,
    /// The content header's property flags and list, as received (AMQP 0-9-1 §4.2.6.1).
    pub properties: Bytes,
    /// The body.
    pub body: Bytes,
}

impl Message {
    /// Whether it has the property `expiration`: bit 8 of the property flags.
    #[must_use]
    pub fn has_expiration(&self) -> bool {
        self.properties.first().is_some_and(|flags| flags & 1 != 0)
    }

    /// Bytes that the message weighs against budgets and limits.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.exchange.len() + self.routing_key.len() + self.properties.len() + self.body.len()
    }
}

/// Between leader and mirror. `epoch` is always the sender's view of the reign;
/// a receiver that knows a higher one answers [`MirrorMessage::Fenced`] (§5.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MirrorMessage {
    /// Leader to mirror: entries that follow `prev`. Without entries it is the
    /// first contact, a probe, or word of a newer commit index.
    Append {
        /// The leader's epoch.
        epoch: Epoch,
        /// The version that the leader has applied, by which the mirror is a replica.
        version: Version,
        /// The entry before the first one sent; the mirror must hold it.
        prev: Position,
        /// The leader's commit index.
        commit: Index,
        /// The last start of an epoch in the leader's log that is marked unclean,
        /// 0 if there is none (§5.2).
        unclean: Position,
        /// Encoded entries, dense from `prev.index + 1`, stored byte for byte.
        entries: Vec<Bytes>,
    },
    /// Leader to mirror: the log that you need starts here (§5.3). Replaces the
    /// mirror's copy; only a replica outside ISR and eligible set obeys.
    Install {
        /// The leader's epoch.
        epoch: Epoch,
        /// As in an append.
        version: Version,
        /// An encoded checkpoint: the state on which the log from its base follows.
        checkpoint: Bytes,
        /// An unclean election lies behind what we have in common: even what you
        /// have applied makes room, and is put aside (§5.2).
        anew: Option<Anew>,
    },
    /// Mirror to leader: everything up to here matches your log and survives
    /// power loss (§1, durable index).
    Durable {
        /// The epoch in which divergence was settled.
        epoch: Epoch,
        /// The highest version that a leader has told this copy (§6.6).
        version: Version,
        /// The highest such index.
        index: Index,
    },
    /// Mirror to leader: I do not hold `prev` (§5.2).
    Diverged {
        /// The epoch answered.
        epoch: Epoch,
        /// Where the mirror's log ends.
        last: Position,
        /// The index before the first entry that the mirror's log holds.
        base: Index,
        /// An unclean election has left what I have applied behind: I can only
        /// start anew (§5.2).
        left_behind: bool,
        /// The first index of each epoch in the mirror's log, oldest first.
        history: Vec<Position>,
    },
    /// Either way: I know a higher epoch (§5.1).
    Fenced {
        /// That epoch.
        epoch: Epoch,
    },
}

/// Why even what is applied makes room (§5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Anew {
    /// The last unclean start of an epoch in the leader's log.
    pub unclean: Position,
    /// The last entry that both have.
    pub common: Index,
}

/// How a consumer wants its messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConsumerSpec {
    /// Who it is.
    pub key: ConsumerKey,
    /// The consumer tag, for status only.
    pub tag: Bytes,
    /// Unacknowledged messages it may hold, 0 = any number (`basic.qos`).
    pub prefetch: u32,
    /// Whether the entry node settles each delivery once it is written out.
    pub no_ack: bool,
    /// Whether it wants the queue for itself.
    pub exclusive: bool,
    /// Consumer priority (`x-priority`), higher first.
    pub priority: i32,
    /// Of a stream only: where it reads.
    pub reading: Option<Reading>,
    /// The other site whose link it is: it gets what is consigned to that, and
    /// nothing else (§4.9).
    pub site: Option<Bytes>,
}

/// Where a consumer of a stream is. Its entry node keeps this as it goes, and
/// says it to every next leader (§6.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reading {
    /// The first message that it has not been given.
    pub from: ReadFrom,
    /// Messages that it was given and has not acknowledged: they count against
    /// its prefetch, and are not held.
    pub unacked: u32,
}

/// `x-stream-offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReadFrom {
    /// The oldest message that is kept.
    First,
    /// The newest message.
    Last,
    /// What is published from now on.
    Next,
    /// This message, or the first one after it that is kept.
    Offset(Offset),
    /// The first message of that time or later (milliseconds since 1970).
    Time(u64),
}

/// Why messages leave the queue for good (§3, `Settle`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SettleReason {
    /// A consumer acknowledged them, or rejected them and nobody wants them.
    Acked,
    /// Their time had come.
    Expired,
    /// A length limit.
    Dropped,
    /// All dead-letter targets have confirmed them.
    DeadLettered,
    /// `queue.purge`.
    Purged,
    /// A consumer rejected them without requeue. Only an entry node says so; the
    /// leader decides whether they are dead-lettered or gone.
    Rejected,
}

/// A message that an entry node holds for a consumer, in a claim (§6.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Held {
    /// Which message.
    pub offset: Offset,
    /// The delivery count that it was delivered with.
    pub count: u32,
    /// Who holds it.
    pub consumer: ConsumerKey,
}

/// Entry node to leader. Every word carries the epoch whose leader it is meant
/// for; a leader of a later epoch drops it, since the entry node re-sends (§6.8).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ToLeader {
    /// Publishes of one session, in order (§4.8).
    Publish {
        /// Whose.
        session: Session,
        /// Nothing below this sequence will be sent again.
        floor: u64,
        /// The sequence sent to this queue before the first one here, 0 = none.
        prev: u64,
        /// Growing sequences (from 1), each following the one before it in this queue.
        messages: Vec<(u64, Message)>,
    },
    /// The session will send nothing more and waits for nothing.
    EndSession {
        /// Whose.
        session: Session,
    },
    /// First word to the leader of a new epoch, or after the link came back:
    /// what this entry node's clients hold and want here (§6.8). May be empty.
    Claim {
        /// The sender's process is in the link; its node for the grace count.
        node: NodeId,
        /// Consumers in the order in which they were attached.
        consumers: Vec<ConsumerSpec>,
        /// Messages delivered and not yet told settled or returned.
        held: Vec<Held>,
    },
    /// `basic.consume`; answered by [`ToEntry::Consuming`].
    Consume {
        /// What it wants.
        spec: ConsumerSpec,
    },
    /// `basic.cancel`, or its channel closed; what it holds stays held.
    Cancel {
        /// Who.
        consumer: ConsumerKey,
    },
    /// The entry node has written so many deliveries out to the client: the
    /// leader may send as many again (the delivery window, not prefetch).
    Written {
        /// To whom.
        consumer: ConsumerKey,
        /// How many.
        messages: u32,
    },
    /// A stream's consumer has acknowledged so many messages: it may be given as
    /// many more. Nothing leaves the stream.
    Credit {
        /// Whose.
        consumer: ConsumerKey,
        /// How many.
        messages: u32,
    },
    /// Acknowledged or discarded deliveries, as ascending offsets; kept and
    /// re-sent until [`ToEntry::Settled`].
    Settle {
        /// Which.
        offsets: Vec<Offset>,
        /// Why.
        reason: SettleReason,
    },
    /// Give messages back to their place, with the count that each then has;
    /// kept and re-sent until [`ToEntry::Returned`].
    Return {
        /// Which, and the delivery count after this return (count held + 1).
        offsets: Vec<(Offset, u32)>,
        /// Their holder said so, and did not just go away: nothing has become of
        /// them. What was consigned to a site and given to no other link before is
        /// anybody's again (§4.9).
        unused: bool,
    },
    /// `basic.get`: one message, held under `key` until settled.
    Get {
        /// The number under which it is held and answered.
        key: ConsumerKey,
    },
    /// `queue.purge`; `request` is echoed.
    Purge {
        /// To tell answers apart.
        request: u64,
    },
    /// Ask for counts; `request` is echoed.
    Count {
        /// To tell answers apart.
        request: u64,
    },
    /// Let nothing in any more, if the conditions hold, for the queue is to be
    /// deleted; `request` is echoed.
    Close {
        /// To tell answers apart.
        request: u64,
        /// Only without consumers.
        if_unused: bool,
        /// Only without ready messages.
        if_empty: bool,
    },
}

/// What came of [`ToLeader::Close`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Closing {
    /// It has consumers.
    InUse,
    /// It has messages.
    NotEmpty,
    /// It is closed until its entry in the catalog changes.
    Closed {
        /// The entry as it is: the deletion compares with it.
        at: (Epoch, Version),
        /// Ready messages, which go with it.
        messages: u64,
    },
}

/// How `basic.consume` ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConsumeOutcome {
    /// Attached.
    Attached,
    /// Somebody has or wants the queue exclusively (403).
    ExclusiveUse,
}

/// One message on its way to a consumer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Delivery {
    /// To whom.
    pub consumer: ConsumerKey,
    /// Its number in the queue.
    pub offset: Offset,
    /// How often it was delivered and returned before.
    pub count: u32,
    /// Whether it may have been delivered before (§2.6).
    pub redelivered: bool,
    /// To a site's link: under which number (§4.9).
    pub consignment: Option<Consignment>,
    /// The message.
    pub message: Message,
}

/// Leader to entry node. An entry node that has re-sent to a later epoch
/// ignores these (§6.8).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ToEntry {
    /// Committed: these sequences (inclusive ranges) are confirmed.
    Confirmed {
        /// Whose.
        session: Session,
        /// Which.
        ranges: Vec<(u64, u64)>,
    },
    /// Refused (limits, or the queue is gone): nack.
    Refused {
        /// Whose.
        session: Session,
        /// Which.
        ranges: Vec<(u64, u64)>,
    },
    /// A predecessor is missing: send again from this sequence on (§4.8).
    Again {
        /// Whose.
        session: Session,
        /// The sequence after the last one taken.
        from: u64,
    },
    /// Messages for consumers, and for `basic.get`.
    Deliver {
        /// In order per consumer.
        deliveries: Vec<Delivery>,
        /// Everything below is settled, and will be handed out no more.
        floor: Offset,
    },
    /// What a stream's consumer reads next. It is held by nobody, and committed in
    /// every reign, so that it needs no lease (§6.8).
    Read {
        /// Whose.
        consumer: ConsumerKey,
        /// Where it goes on after these, also if there are none.
        next: Offset,
        /// In order.
        messages: Vec<(Offset, Message)>,
    },
    /// A settle is committed: forget these.
    Settled {
        /// Which.
        offsets: Vec<Offset>,
    },
    /// A return is committed, or did not count: forget these.
    Returned {
        /// Which.
        offsets: Vec<Offset>,
    },
    /// Answer to `basic.consume`.
    Consuming {
        /// Whose.
        consumer: ConsumerKey,
        /// How it ended.
        outcome: ConsumeOutcome,
    },
    /// `basic.get` found nothing.
    Empty {
        /// Whose.
        key: ConsumerKey,
        /// Always 0 ready messages, said for symmetry with `basic.get-ok`.
        ready: u64,
    },
    /// A `basic.get`'s message; `ready` messages remain.
    Got {
        /// The message, addressed to the get's key.
        delivery: Delivery,
        /// Ready messages that remain.
        ready: u64,
    },
    /// Purged so many ready messages; committed.
    Purged {
        /// Echo.
        request: u64,
        /// How many.
        messages: u64,
    },
    /// Counts.
    Counted {
        /// Echo.
        request: u64,
        /// Ready messages.
        ready: u64,
        /// Consumers on all nodes.
        consumers: u32,
    },
    /// Answer to [`ToLeader::Close`].
    Closed {
        /// Echo.
        request: u64,
        /// What came of it.
        closing: Closing,
    },
}

/// One word about one queue, as it travels in a peer link's turn.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum QueueWord {
    /// Replication, either way; the epoch is inside.
    Mirror(MirrorMessage),
    /// Entry node to leader.
    ToLeader(Epoch, ToLeader),
    /// Leader to entry node.
    ToEntry(Epoch, ToEntry),
}
