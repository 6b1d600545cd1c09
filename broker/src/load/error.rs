//! Why a part of the load generator came to its end.

use crate::client::ClientError;

/// Why a part of the load generator came to its end.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Its connection did.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A task of the load generator itself failed.
    #[error("the load generator failed: {0}")]
    Task(String),
}
