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
