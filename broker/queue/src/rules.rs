//! What a queue was told to do beside keeping messages in order: its `x-…`
//! arguments and its policy's keys, compiled once when the catalog changes.

use bytes::Bytes;

/// The rules of one queue. The default is a plain queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Who keeps messages, and how they are read.
    pub kind: Kind,
    /// `x-message-ttl`: milliseconds that a message may wait in the queue.
    pub message_ttl: Option<u64>,
    /// `x-expires`: milliseconds without consumers, gets and declares after
    /// which the queue is deleted.
    pub expires: Option<u64>,
    /// `x-max-length`: ready messages.
    pub max_length: Option<u64>,
    /// `x-max-length-bytes`: bytes of bodies of ready messages.
    pub max_bytes: Option<u64>,
    /// What happens beyond them.
    pub overflow: Overflow,
    /// Where messages go that are rejected, expired, dropped or delivered too often.
    pub dead_letter: Option<DeadLetter>,
    /// `x-max-priority`: 0 = no priorities.
    pub max_priority: u8,
    /// `x-single-active-consumer`.
    pub single_active: bool,
    /// `x-delivery-limit`: a message that was returned more often is dead.
    pub delivery_limit: Option<u32>,
    /// Consumers are told how often a message was delivered before
    /// (`x-delivery-count`): a quorum queue, or one with a delivery limit.
    pub counted: bool,
    /// `x-message-deduplication`: the value of a message's
    /// `x-deduplication-header` keeps others with the same value out.
    pub deduplicate: Option<Deduplicate>,
    /// The same for messages that come through a de-duplicating exchange; none for
    /// all but a few queues.
    pub once: Vec<Once>,
}

/// Messages published to an exchange come through a de-duplicating one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    /// The exchange that they name.
    pub exchange: Bytes,
    /// The de-duplicating exchange: values are its own.
    pub by: Bytes,
    /// How it remembers them.
    pub known: Deduplicate,
}

/// For how long and for how many messages a value is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deduplicate {
    /// `x-cache-ttl`, in milliseconds.
    pub window: u64,
    /// `x-cache-size`.
    pub values: u32,
}

/// Who keeps a queue's messages, and how they are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Each message goes to one consumer, and is gone when that settles it.
    #[default]
    Queue,
    /// The waiting room of a delayed-message exchange: nobody consumes; each
    /// message moves on to its exchange when its `x-delay` is over.
    Delayed,
    /// `x-queue-type: stream`: an append-only log that many read, by offset.
    Stream {
        /// `x-max-age`: milliseconds that messages are kept.
        max_age: Option<u64>,
    },
}

/// `x-overflow`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The oldest messages make room; they are dead-lettered as `maxlen`.
    #[default]
    DropHead,
    /// New messages are refused: their publisher gets a nack.
    RejectPublish,
    /// The same, and the new messages are dead-lettered.
    RejectPublishDeadLetter,
}

/// `x-dead-letter-exchange` and `x-dead-letter-routing-key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The exchange, "" = the default one.
    pub exchange: Bytes,
    /// The routing key, or each message's own.
    pub routing_key: Option<Bytes>,
}

/// Why a message moves on from its queue to an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Rejected or nacked without requeue.
    Rejected,
    /// Its time to live is over.
    Expired,
    /// A length limit.
    MaxLength,
    /// Returned more often than the delivery limit allows.
    DeliveryLimit,
    /// Not dead: its delay is over.
    Due,
}

impl Reason {
    /// As `x-death` says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::MaxLength => "maxlen",
            Self::DeliveryLimit => "delivery_limit",
            Self::Due => "due",
        }
    }
}
