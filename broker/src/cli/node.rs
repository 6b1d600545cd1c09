//! `warren node`: which nodes belong to the cluster. A node joins by starting
//! with the cluster's seeds in its configuration.

use std::process::ExitCode;

use clap::Subcommand;

use super::client::{Client, Target, encode};
use super::{CliError, output};

/// What to do with a node.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Take a dead node out of the cluster for good.
    Forget {
        /// The node's name.
        name: String,
        /// Even if queues lose their last copy; they are deleted.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        target: Target,
    },
}

pub(super) fn run(args: &Args) -> Result<ExitCode, CliError> {
    let Action::Forget { name, force, target } = &args.action;
    let force = if *force { "true" } else { "false" };
    Client::new(target).delete::<()>(&format!("/api/nodes/{}", encode(name)), &[("force", force)])?;
    output::say(&format!("{name} is forgotten"))?;
    Ok(ExitCode::SUCCESS)
}
