//! The words of the protocol as types (§1): who a node is, what the catalog
//! says of a queue, where a record and a message stand.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub u64);

        impl $name {
            /// The number that follows this one.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }

            /// The number before this one; of 0 it is 0.
            #[must_use]
            pub const fn before(self) -> Self {
                Self(self.0.saturating_sub(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// A queue's identity: growing, never reused; a re-declared queue of the
    /// same name has another one (§1).
    QueueId
);
number!(
    /// A broker node, for good: a stable hash of its configured name.
    NodeId
);
number!(
    /// A node's disk identity: drawn when its data folder is made (§1).
    Incarnation
);
number!(
    /// One run of a node's process: made durable and registered in the catalog
    /// before the process answers anybody about a queue (§1).
    Boot
);
number!(
    /// The reign of one leader process over one queue, minted by the catalog (§1).
    Epoch
);
number!(
    /// Grows with every change of a queue's catalog entry within an epoch (§1).
    Version
);
number!(
    /// The place of an entry in a queue's log, dense from 1; 0 is "nothing" (§1).
    Index
);
number!(
    /// A message's permanent number in its queue, from 0 (§1).
    Offset
);

/// A moment on the node's own suspend-counting clock (`CLOCK_BOOTTIME`), in
/// microseconds. Moments of different processes are never compared (§6.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// This moment, later by so many microseconds.
    #[must_use]
    pub const fn plus_micros(self, micros: u64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// Microseconds since an earlier moment, 0 if it is not earlier.
    #[must_use]
    pub const fn micros_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// One disk of one node: what in-sync and eligible sets consist of (§1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Member {
    /// The node.
    pub node: NodeId,
    /// Its disk.
    pub incarnation: Incarnation,
}

/// One process of one node: what an epoch is led by (§4.0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Process {
    /// The node.
    pub node: NodeId,
    /// Its disk.
    pub incarnation: Incarnation,
    /// This run of it.
    pub boot: Boot,
}

impl Process {
    /// The disk that this process writes to.
    #[must_use]
    pub const fn member(self) -> Member {
        Member { node: self.node, incarnation: self.incarnation }
    }
}

/// By how much a trailing replica may lack what is confirmed: the first bound
/// that is reached counts (§4.2). Also how much it lacks now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lag {
    /// Messages.
    pub messages: u64,
    /// Bytes of log.
    pub bytes: u64,
    /// Microseconds between the oldest and the newest of them.
    pub micros: u64,
}

impl Lag {
    /// Whether it is as good as this bound: an entry more would be too much.
    #[must_use]
    pub fn is_near(&self, most: &Self) -> bool {
        let near = |now: u64, most: u64| now > most - most / 8;
        near(self.messages, most.messages) || near(self.bytes, most.bytes) || near(self.micros, most.micros)
    }
}

/// Where a replica's log ends, all of it on its disk: what it would lead with,
/// were it elected although it may lack something (§6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogEnd {
    /// Its last entry: the longest log is the one that ends highest.
    pub last: Position,
    /// Of the messages below this offset it has all that are in the queue; 0 if
    /// nothing is known.
    pub kept: Offset,
    /// The offset that it would give to its next message. No other log has given
    /// out this one or any behind it.
    pub next: Offset,
}

/// What the applied catalog says of a queue's replication (§1). Adopted as a
/// whole, never field by field (§4.3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Assignment {
    /// The reign.
    pub epoch: Epoch,
    /// The change within the reign; changes are compare-and-set on (epoch, version).
    pub version: Version,
    /// Who leads; `None` while the queue is down (§6.3).
    pub leader: Option<Process>,
    /// The nodes that should hold the queue, best leader first.
    pub replicas: Vec<NodeId>,
    /// The in-sync replicas; the leader is always among them.
    pub isr: BTreeSet<Member>,
    /// Members safe to lead while the in-sync set is below the minimum (KIP-966).
    pub eligible: BTreeSet<Member>,
    /// How many in-sync members the catalog must show before anything commits.
    pub min_in_sync: u32,
    /// Who led before this epoch, for the lease wait (§6.7).
    pub predecessor: Option<Process>,
    /// Whether the predecessor gave up its lease for the queue (§6.5), so that
    /// nobody waits.
    pub predecessor_released: bool,
    /// How far commits run ahead of trailing members; `None`: they do not, and
    /// there come to be none.
    pub max_lag: Option<Lag>,
    /// Members that are not in sync, and may lack what is committed, but never
    /// more than `max_lag` (§4.2).
    pub trailing: BTreeSet<Member>,
    /// Whether any replica may lead when no member is left (§6.3).
    pub last_resort: bool,
    /// The last epoch whose leader may have lacked what was committed (§6.3), 0 if
    /// none did. The first leader from there on marks it in the log.
    pub unclean: Epoch,
    /// How many such epochs there were: each leaves a gap in the offsets.
    pub gaps: u64,
    /// Who waits for an operator's word before a copy is made anew for it (§5.3):
    /// `None` is nobody, else everybody but these, for whom it was said.
    pub manual: Option<BTreeSet<Member>>,
    /// While nobody leads: what those would lead with that may, but only so.
    pub offers: BTreeMap<Process, LogEnd>,
}

impl Assignment {
    /// Whether this disk may replace its copy (§5.3): nothing that is vouched for
    /// is on it.
    #[must_use]
    pub fn counts(&self, member: &Member) -> bool {
        self.isr.contains(member) || self.eligible.contains(member) || self.trailing.contains(member)
    }

    /// Whether nobody would take over from the leader, since none of its backups is
    /// within `max-lag` (§4.2).
    #[must_use]
    pub fn lacks_backup(&self) -> bool {
        self.max_lag.is_some() && self.trailing.is_empty() && self.replicas.len() > 1
    }
}

/// What a node's clocks say as an event happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Clock {
    /// The monotonic one: waits and leases go by it.
    pub now: Moment,
    /// The wall's, in milliseconds since 1970: entries carry it (§3), and
    /// nothing but the age of messages goes by it.
    pub wall: u64,
}

/// A position in a log: the entry's epoch and index. `Position::default()` is
/// the empty log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The epoch that the entry was appended in.
    pub epoch: Epoch,
    /// Its index.
    pub index: Index,
}

/// A publisher's session (§1): no session is ever met again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Session {
    /// The entry node's process.
    pub process: Process,
    /// The connection on that process, never reused there.
    pub connection: u64,
    /// The channel number.
    pub channel: u16,
    /// How many times this channel number was opened before on the connection.
    pub opened: u32,
}

/// Connections whose publishes bring their origins have numbers with this bit as
/// the highest: those of a node's own links to other sites, and nobody else's.
pub const BRINGS_ORIGINS: u64 = 1 << 62;

/// What no session of a client has together with channel 0.
const NEVER_OPENED: u32 = u32::MAX;

impl Session {
    /// The session under which a queue's messages are known that a link brought
    /// from another site (§4.8): that cluster, the queue's name as a number, and
    /// its id there. It has no process that waits for answers.
    #[must_use]
    pub const fn of_origin(cluster: u64, name: u64, queue: QueueId) -> Self {
        let process = Process { node: NodeId(cluster), incarnation: Incarnation(name), boot: Boot(0) };
        Self { process, connection: queue.0, channel: 0, opened: NEVER_OPENED }
    }

    /// Whether it stands for a queue of another site, not for a publisher.
    #[must_use]
    pub const fn is_origin(&self) -> bool {
        self.channel == 0 && self.opened == NEVER_OPENED
    }

    /// Whether what is published in it says where it comes from.
    #[must_use]
    pub const fn brings_origins(&self) -> bool {
        self.connection >> 62 == 1
    }
}

/// Where a consumer is attached: its entry node's process and its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConsumerKey {
    /// The entry node's process.
    pub process: Process,
    /// The connection on that process.
    pub connection: u64,
    /// The channel number.
    pub channel: u16,
    /// The consumer's number, unique on its process (also of a `basic.get`).
    pub number: u64,
}
