//! How a command can fail. Each is a sentence for the person at the terminal.

use std::path::{Path, PathBuf};

use super::client::ClientError;
use super::cluster::ClusterError;
use crate::config::{ConfigError, SourceError};

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The configuration is wrong.
    #[error("the configuration is not valid:\n{0}")]
    Config(#[from] ConfigError),
    /// A policy or other file is wrong.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The policy file is wrong.
    #[error("the policy file is not valid:\n{0}")]
    Policy(#[from] crate::policy::PolicyFileError),
    /// The node that was asked did not do it.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A cluster on this machine could not be started or stopped.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The load generator could not do its work.
    #[error(transparent)]
    Load(#[from] crate::load::LoadError),
    /// A drill could not be done.
    #[error(transparent)]
    Drill(#[from] crate::drill::DrillError),
    /// The node could not run.
    #[error("{0}")]
    Node(String),
    /// A file or a process of the operating system.
    #[error("cannot {action} {}: {error}", path.display())]
    File {
        /// What was to be done.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A migration cannot go on.
    #[error(transparent)]
    Migrate(#[from] crate::migrate::MigrateError),
    /// The arguments do not fit together.
    #[error("{0}")]
    Usage(String),
    /// Standard output could not be written.
    #[error("cannot write the output: {0}")]
    Output(std::io::Error),
    /// Whoever read the output has seen enough.
    #[error("the output was closed")]
    Closed,
}

impl CliError {
    /// For `map_err`: what could not be done with a file.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::File { action, path, error }
    }
}
