//! What goes into the core and what comes out of it. The driver's duties:
//!
//! 1. Feed every event of one replica from one place, in order.
//! 2. Carry out the actions of a step in order; `Write`s reach the store in the
//!    order in which they were given, and `Event::Persisted` comes back in it.
//! 3. `Event::Persisted` only after the store has fsynced; if a write fails, end
//!    the process (a failed fsync is never retried, §1).
//! 4. Answer every `Read` with `Event::LogRead`, possibly short, possibly empty.
//! 5. Adopt nothing of an assignment but by `Event::Assigned`, in catalog order.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::keys::Key;
use crate::message::{Message, MirrorMessage, SettleReason};
use crate::types::{Assignment, Index, LogEnd, Member, NodeId, Offset, Process, Session};

/// Into a replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The applied catalog has this of the queue now.
    Assigned(Arc<Assignment>),
    /// A peer's word; `from` is who the link's handshake said.
    Mirror {
        /// The process at the other end.
        from: Process,
        /// The word.
        message: MirrorMessage,
    },
    /// A link to a peer's process came up: whatever was in flight is unknown.
    /// Only a leader takes note; links that it was not told of it takes for up.
    LinkUp(Process),
    /// The link to a node broke. Told before the next `LinkUp` of that node.
    LinkDown(NodeId),
    /// Every write action up to and including this ordinal (1 for the first
    /// `Action::Write` of this replica's life) is on disk.
    Persisted(u64),
    /// The answer to `Action::Read`, dense from the index asked for.
    LogRead {
        /// For which mirror it was read, or that it was for this node itself.
        reader: NodeId,
        /// The first entry's index.
        first: Index,
        /// Encoded entries.
        entries: Vec<Bytes>,
    },
    /// Time passed; at least every 100 ms.
    Tick,
}

/// What a leader is asked to put into its log in this turn; sealed into one
/// entry by `Replica::seal` (§4.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Proposal {
    /// Messages of one session, in order (§4.8).
    Publish {
        /// Whose.
        session: Session,
        /// Its floor.
        floor: u64,
        /// The predecessor of the first one.
        prev: u64,
        /// Sequences and messages.
        messages: Vec<(u64, Message)>,
        /// On what terms new ones are taken; without any all are.
        terms: Option<Box<Terms>>,
    },
    /// Final for these offsets.
    Settle {
        /// Ascending.
        offsets: Vec<Offset>,
        /// Why.
        reason: SettleReason,
    },
    /// The same for whole ranges of offsets, however many messages they hold.
    SettleRanges {
        /// Ascending.
        ranges: Vec<Range<u64>>,
        /// Why.
        reason: SettleReason,
    },
    /// Back to their places, with the counts that they then have.
    Return {
        /// Offset and count.
        offsets: Vec<(Offset, u32)>,
    },
    /// Only links of this site may be given these from the commit on (§4.9).
    Consign {
        /// Whose they are to be.
        site: Bytes,
        /// In the order of their numbers.
        offsets: Vec<Offset>,
    },
    /// Anybody may be given these again.
    Reclaim {
        /// Which.
        offsets: Vec<Offset>,
    },
    /// Nothing at or above this was delivered before this record commits.
    Horizon(Offset),
    /// The session is over.
    EndSession(Session),
}

/// What a queue with limits, or one that knows its messages by keys, says to new
/// messages (§4.8). It is only asked of those that are new.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Terms {
    /// So many messages may come, and bytes of bodies; the others are refused.
    pub room: Option<(u64, u64)>,
    /// The refused ones are kept nonetheless, to be moved on.
    pub keep: bool,
    /// By message, if keys count: its keys, and how long (ms) each keeps others out.
    pub keys: Vec<Vec<(Key, u64)>>,
    /// So many keys are remembered at most.
    pub most_keys: u32,
    /// By message, if links bring them: where each comes from. What was taken from
    /// there already is confirmed without being taken.
    pub origins: Vec<Option<Origin>>,
}

/// Where a message of another site was before: known for good by the place, as
/// an exact set without order (§4.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The queue there; see [`Session::of_origin`].
    pub session: Session,
    /// The message's place in it, from 1.
    pub sequence: u64,
    /// Nothing of that queue below this will come again.
    pub floor: u64,
}

/// Out of a replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// For the store; numbered from 1 by order of appearance.
    Write(Write),
    /// To a peer.
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        message: MirrorMessage,
    },
    /// Read the own log: for a mirror that is behind; or, as this node, to go over
    /// it and give space back, which may wait for everything else (§3).
    Read {
        /// For whom.
        reader: NodeId,
        /// From here on.
        first: Index,
        /// About so many bytes, at least one entry.
        max_bytes: usize,
    },
    /// Ask the catalog for a change of the in-sync set, compare-and-set on
    /// (epoch, version) of the assignment it was computed from (§4.3). Repeated
    /// until a higher (epoch, version) is applied.
    ProposeIsr {
        /// The assignment that it compares with.
        from: Arc<Assignment>,
        /// The whole in-sync set wanted.
        isr: BTreeSet<Member>,
        /// The whole trailing set wanted.
        trailing: BTreeSet<Member>,
    },
    /// Nobody leads, and this replica may only if something may be missing: tell
    /// the catalog what it would lead with (§6.3). Repeated until the applied
    /// catalog shows it.
    Offer {
        /// The assignment that leaves the queue without a leader.
        to: Arc<Assignment>,
        /// Where the log ends.
        end: LogEnd,
    },
    /// This process leads the queue from now on, in the assignment's epoch. The
    /// ledger is at the commit index; what the tail holds follows as `Committed`.
    Leading,
    /// It leads no more.
    Stepped,
    /// Leader only: an entry is committed; in log order, each exactly once per
    /// epoch. Derived state (ledger) has it already.
    Committed(Committed),
    /// Leader only: these were known already (§4.8), answer now.
    Repeated {
        /// Whose.
        session: Session,
        /// Committed sequences as inclusive ranges.
        confirmed: Vec<(u64, u64)>,
        /// Refused earlier.
        refused: Vec<(u64, u64)>,
    },
    /// Leader only: a predecessor is missing.
    Again {
        /// Whose.
        session: Session,
        /// The sequence to continue from.
        from: u64,
    },
    /// Resign: the disk stalls, or has damaged an entry (§4.6, §5.4). It leads
    /// no more; repeated until a higher epoch is known.
    Resign,
    /// A broken promise was found (§5.2): the replica has stopped; say it loudly.
    Broken(String),
}

/// What a committed entry did, for delivery and confirms.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Committed {
    /// The entry's index.
    pub index: Index,
    /// When it was appended ([`crate::record::Entry::time`]).
    pub time: u64,
    /// Whether some of its messages has an expiration of its own.
    pub expiring: bool,
    /// New messages: consecutive offsets from here…
    pub first_offset: Offset,
    /// …and as many as this, each with its weight, in order. The messages
    /// themselves are sliced out of the entry by `record::messages`.
    pub weights: Vec<u32>,
    /// The entry as encoded, if it is still in memory. It is, unless commits
    /// trail by more than `Settings::tail_bytes`, or a restart lies between:
    /// then read it from the store when needed.
    pub entry: Option<Bytes>,
    /// Whom to confirm: sessions with inclusive ranges of sequences.
    pub confirmed: Vec<(Session, Vec<(u64, u64)>)>,
    /// Whom to tell that these were refused.
    pub refused: Vec<(Session, Vec<(u64, u64)>)>,
    /// Offsets settled for good, only those that were live, as ranges: one entry
    /// may end a million.
    pub settled: Vec<Range<u64>>,
    /// Returned, only those that counted: offset and count.
    pub returned: Vec<(Offset, u32)>,
    /// Settles and returns that were proposed and changed nothing (unknown
    /// offset, stale count): the proposer must hear of them all the same.
    pub ignored: Vec<Offset>,
    /// Consigned by this entry, only those that counted: sites with offsets.
    pub consigned: Vec<(Bytes, Vec<u64>)>,
    /// Consigned no more, though not settled: offsets.
    pub reclaimed: Vec<u64>,
    /// The horizon after this entry.
    pub horizon: Offset,
}

/// One change to one queue's part of the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Write {
    /// Put encoded entries, dense from `first`.
    Append {
        /// Index of the first one.
        first: Index,
        /// Encoded entries.
        entries: Vec<Bytes>,
    },
    /// Drop the entries from here on (§5.2).
    Truncate {
        /// First index to go.
        from: Index,
        /// Whether some of it may have been confirmed, so that it is put aside
        /// for the operator: an unclean election lies between (§5.2).
        aside: bool,
    },
    /// Drop the whole log; put this checkpoint (§5.3).
    Install {
        /// The encoded checkpoint, whose log follows.
        checkpoint: Bytes,
        /// The entries from here on are put aside for the operator (§5.2).
        aside: Option<Index>,
    },
    /// Put the durable epoch (§5.1).
    Epoch(crate::types::Epoch),
    /// Put these entries in the place of those that are there, which they are
    /// without the bodies of settled messages (§3).
    Rewrite {
        /// Ascending.
        entries: Vec<(Index, Bytes)>,
        /// From the first to the last of these it is done: their space may be given
        /// back.
        over: Option<(Index, Index)>,
    },
    /// Put a checkpoint, and drop the entries up to and including `release`.
    Checkpoint {
        /// Encoded.
        checkpoint: Bytes,
        /// Last index that may go (`Index(0)` = none).
        release: Index,
    },
}
