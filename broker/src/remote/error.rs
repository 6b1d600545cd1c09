//! Why a link's run came to its end.

use crate::client::ClientError;

/// Why a link's run came to its end before its time.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// One of its connections.
    #[error("{end}: {error}")]
    Client {
        /// `source` or `target`.
        end: &'static str,
        /// What came of it.
        error: ClientError,
    },
    /// The source ended the consumer: its queue is gone or has moved.
    #[error("source: the consumer was cancelled: the queue is gone, or its node is")]
    Cancelled,
    /// The target has no queue for a message that is for a queue.
    #[error("target: queue '{0}' is not there any more")]
    Unroutable(String),
    /// A message that is too large to be held.
    #[error("source: a message of {0} octets is too large")]
    TooLarge(u64),
    /// Another site than the one that was meant.
    #[error("source: the cluster there calls itself '{said}', not '{expected}'")]
    Stranger {
        /// The policy's name for it.
        expected: String,
        /// Its own.
        said: String,
    },
    /// A queue cannot be shared with it.
    #[error("source: '{0}' is no Warren: queues are shared between Warrens only")]
    NoWarren(String),
    /// A message that must arrive here, once, was not taken: it comes again.
    #[error("target: a message was refused, or its confirm took too long")]
    Refused,
    /// Nothing to log in with.
    #[error("source: the credentials for site '{site}' cannot be read: {what}")]
    Credentials {
        /// Which site.
        site: String,
        /// What is wrong.
        what: String,
    },
    /// Somebody still has messages that come before those that can be had now.
    #[error("source: messages that come first are not back in the queue yet")]
    OutOfOrder,
    /// Nowhere to connect to.
    #[error("{0}: no URI")]
    NoUri(&'static str),
}

impl LinkError {
    pub(super) const fn source(error: ClientError) -> Self {
        Self::Client { end: "source", error }
    }

    pub(super) const fn target(error: ClientError) -> Self {
        Self::Client { end: "target", error }
    }
}
