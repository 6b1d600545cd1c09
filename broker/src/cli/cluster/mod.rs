//! `warren cluster`: a whole cluster on this machine, for trying things out, for
//! tests and for drills. Its nodes are ordinary ones: each has its configuration
//! in `DIR/node-i/config.toml` and can be run by `warren server` alone.

pub(super) mod layout;
pub(super) mod process;
mod status;
mod up;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::{CliError, output};
use crate::config::{ConfigError, Period, SourceError};
use layout::Layout;

/// What can be asked of a cluster on this machine.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Start the nodes of a folder, making them first if there are none.
    Up(up::Args),
    /// Show which nodes of a folder run, and what the cluster says.
    Status(status::Args),
    /// Stop the nodes of a folder.
    Down(DownArgs),
}

/// Which folder's nodes to stop.
#[derive(Debug, clap::Args)]
struct DownArgs {
    /// The cluster's folder.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// How long nodes may take before they are killed.
    #[arg(long, value_name = "TIME", default_value = "60s")]
    timeout: Period,
}

/// Why a cluster on this machine was not started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Nothing to work with.
    #[error("{} holds no cluster: there is no node-1/config.toml in it", .0.display())]
    NoCluster(PathBuf),
    /// What is there differs from what was asked for.
    #[error("{folder} holds a cluster whose {found}; {option} does not fit. Leave the option out, or use another folder", folder = folder.display())]
    Differs {
        /// Which folder.
        folder: PathBuf,
        /// What it holds.
        found: String,
        /// What was asked for.
        option: String,
    },
    /// A node's configuration is wrong.
    #[error("{node}: {error}")]
    Config {
        /// Which node.
        node: String,
        /// What is wrong.
        error: ConfigError,
    },
    /// An address is taken.
    #[error("{node} cannot listen on {address} ({option}): {error}")]
    Taken {
        /// Which node.
        node: String,
        /// Where.
        address: std::net::SocketAddr,
        /// The option that says so.
        option: &'static str,
        /// What the system said.
        error: std::io::Error,
    },
    /// No free port was found.
    #[error("found no free ports on {0}")]
    NoPorts(std::net::IpAddr),
    /// The port range does not fit.
    #[error("ports {first} and the {nodes} that follow do not exist: they end at 65535")]
    PortRange {
        /// The first one.
        first: u16,
        /// How many.
        nodes: usize,
    },
    /// A node ended before it served.
    #[error("{node} ended before it served ({how}). The end of its log, {log}:\n{tail}", log = log.display())]
    Ended {
        /// Which node.
        node: String,
        /// Its exit status.
        how: String,
        /// Its log.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// The nodes did not serve in time.
    #[error("not all nodes serve after {waited}: {what}")]
    Late {
        /// How long.
        waited: Period,
        /// Which, and what they say.
        what: String,
    },
    /// The process could not be told.
    #[error("cannot {action} process {pid}: {error}")]
    Process {
        /// What was to be done.
        action: &'static str,
        /// With which.
        pid: i32,
        /// What the system said.
        error: std::io::Error,
    },
    /// A node's configuration file cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<ExitCode, CliError> {
    match &args.action {
        Action::Up(args) => up::run(args),
        Action::Status(args) => status::run(args),
        Action::Down(args) => down(args),
    }
}

fn down(args: &DownArgs) -> Result<ExitCode, CliError> {
    let layout = Layout::open(&args.data)?;
    let stopped = process::stop(&layout.nodes, args.timeout.get(), &|| false)?;
    for node in &layout.nodes {
        let ended = stopped.iter().find(|(name, _)| *name == node.name);
        let text = match ended {
            Some((_, process::End::Clean)) => "stopped",
            Some((_, process::End::Killed)) => "did not stop in time and was killed",
            None => "was not running",
        };
        output::say(&format!("{} {text}", node.name))?;
    }
    let killed = stopped.iter().any(|(_, end)| *end == process::End::Killed);
    Ok(if killed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
