//! `warren migrate`: everything of a running RabbitMQ, its messages included,
//! to a Warren cluster; interrupted at any point and run again, it goes on.
//!
//! - `definitions.rs` what RabbitMQ exports; `settings.rs` users, permissions and
//!   parameters; `topology.rs` exchanges, queues and bindings; `policies.rs`
//!   policies, as a policy file
//! - `messages.rs` moves what is in the queues: a shovel each, which ends when
//!   its queue is empty
//! - `journal.rs` what there was to move when it was first looked at, so that
//!   the end can be compared with it after any number of interruptions
//!
//! A queue's messages leave RabbitMQ only when Warren has confirmed them, so the
//! state of the move is in the queues themselves; a message can come twice when
//! a move was interrupted between the two, and none can be lost.

mod definitions;
mod journal;
mod messages;
mod policies;
mod settings;
mod topology;

pub use definitions::Definitions;
pub use journal::{Journal, QueueCount};
pub use messages::{Move, Progress, Verdict, lengths};
pub use policies::policy_file;
pub use settings::Settings;
pub use topology::declare;

/// What could not be taken over, in sentences.
#[derive(Debug, Default)]
pub struct Problems(Vec<String>);

impl Problems {
    /// One more.
    pub fn add(&mut self, problem: impl Into<String>) {
        self.0.push(problem.into());
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[String] {
        &self.0
    }
}

/// Why a migration cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// An AMQP connection.
    #[error(transparent)]
    Amqp(#[from] crate::client::ClientError),
    /// The management API of either side.
    #[error("{0}")]
    Http(String),
    /// A file.
    #[error("{0}")]
    File(String),
}
