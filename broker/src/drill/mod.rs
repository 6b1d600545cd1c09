//! Drills: faults under load, with every message accounted for. A drill knows
//! its cluster by [`Cluster`] only; `cli/drill` has one of this machine.
//!
//! `plan` is what a drill is, `run` does it, `load` keeps its clients, `watch`
//! what is seen meanwhile, `report` says what was found, `repeat` sums up
//! several, `page` draws them.

mod load;
mod page;
mod plan;
mod repeat;
mod report;
mod run;
mod watch;

pub use page::page;
pub use plan::{Consume, Plan, Roles, Step, Who};
pub use repeat::{Figure, Repeated};
pub use report::Report;
pub use run::{Drill, roles};
pub use watch::{Mark, Moment, Watch};

use std::time::Duration;

use crate::client::Uri;
use crate::load::LoadError;
use crate::management::model::QueueRow;

/// One thing that is done to one node, or to the network.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// Ends the process on the spot, as `kill -9` does.
    Kill(String),
    /// Asks it to stop and waits for its end.
    Stop(String),
    /// Starts it again; it need not serve yet.
    Start(String),
    /// SIGSTOP.
    Freeze(String),
    /// SIGCONT.
    Thaw(String),
    /// Removes what it has stored; it is down.
    Wipe(String),
    /// Cuts the end off its write-ahead log; it is down.
    Tear(String),
    /// Fills its disk.
    Fill(String),
    /// Frees it.
    Free(String),
    /// No packet from the first to the second.
    Cut(String, String),
    /// All packets arrive again, at once.
    Heal,
    /// Delays its packets by so much and loses so many of a hundred.
    Slow(String, Duration, u32),
    /// Loses so many of a hundred of its packets.
    Lose(String, u32),
    /// Gives what it leads to others; done when it leads nothing that they could.
    Drain(String),
    /// It may lead again.
    Undrain(String),
    /// Spreads leaders evenly.
    Rebalance,
    /// Its wall clock is so many seconds ahead of the true time from now on.
    Jump(String, i64),
}

/// A cluster that may be hurt.
pub trait Cluster {
    /// Its nodes' names and where clients connect to them.
    fn nodes(&self) -> Vec<(String, Uri)>;

    /// Does it.
    ///
    /// # Errors
    /// Why it could not, as a sentence.
    fn hurt(&mut self, fault: &Fault) -> Result<(), String>;

    /// A queue of the default virtual host, as this node sees it now.
    ///
    /// # Errors
    /// Why the node did not say, as a sentence.
    fn queue(&self, node: &str, queue: &str) -> Result<Option<QueueRow>, String>;

    /// Who leads the catalog, as this node sees it now.
    ///
    /// # Errors
    /// Why the node did not say, as a sentence.
    fn raft_leader(&self, node: &str) -> Result<Option<String>, String>;
}

/// Why a drill could not be done: not what it found, but what kept it from looking.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// The load generator.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The drill's file.
    #[error("not a drill: {0}")]
    Plan(String),
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
