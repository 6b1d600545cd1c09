//! Drills: a fault under load, with every message accounted for. A drill knows
//! its cluster by [`Cluster`] only; `cli/drill.rs` has one of this machine.

mod kill_leader;

pub use kill_leader::{KillLeader, Report};

use crate::client::Uri;
use crate::load::LoadError;
use crate::management::model::QueueRow;

/// A cluster that may be hurt.
pub trait Cluster {
    /// Its nodes' names and where clients connect to them.
    fn nodes(&self) -> Vec<(String, Uri)>;

    /// Ends a node's process on the spot, as `kill -9` does.
    ///
    /// # Errors
    /// Why it could not, as a sentence.
    fn kill(&mut self, node: &str) -> Result<(), String>;

    /// Starts a node again; it need not serve yet.
    ///
    /// # Errors
    /// Why it could not, as a sentence.
    fn start(&mut self, node: &str) -> Result<(), String>;

    /// A queue of the default virtual host, as this node sees it now.
    ///
    /// # Errors
    /// Why the node did not say, as a sentence.
    fn queue(&self, node: &str, queue: &str) -> Result<Option<QueueRow>, String>;
}

/// Why a drill could not be done: not what it found, but what kept it from looking.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// The load generator.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The cluster could not be hurt, mended or asked.
    #[error("{0}")]
    Cluster(String),
    /// Something that the drill begins with did not come about.
    #[error("{what} did not come about in {seconds} s")]
    Late {
        /// What.
        what: &'static str,
        /// How long was waited.
        seconds: u64,
    },
}
