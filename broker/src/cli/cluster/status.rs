//! `warren cluster status`: which processes run, and what the cluster says.

use std::path::PathBuf;
use std::process::ExitCode;

use super::layout::Layout;
use super::{CliError, output, process};
use crate::cli::client::{Client, Target};
use crate::cli::status::show;

/// Which cluster to look at.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The cluster's folder.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

/// Succeeds if all nodes run.
pub(super) fn run(args: &Args) -> Result<ExitCode, CliError> {
    let layout = Layout::open(&args.data)?;
    let pids: Vec<_> = layout.nodes.iter().map(process::running).collect();
    let rows = layout.nodes.iter().zip(&pids).map(|(node, pid)| {
        [
            node.name.clone(),
            pid.map_or_else(|| "stopped".to_owned(), |pid| pid.as_raw_nonzero().to_string()),
            node.config.amqp.listen.to_string(),
            node.url(),
            node.log_file().display().to_string(),
        ]
    });
    output::table(["node", "pid", "amqp", "http", "log"], rows)?;
    if let Some((node, _)) = layout.nodes.iter().zip(&pids).find(|(_, pid)| pid.is_some()) {
        let user = &node.config.users;
        let target =
            Target { node: node.url(), username: user.default_user.clone(), password: user.default_password.clone() };
        show(&Client::new(&target))?;
    }
    Ok(if pids.iter().all(Option::is_some) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
