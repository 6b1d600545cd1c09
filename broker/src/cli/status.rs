//! `warren status`: the cluster's nodes.

use std::process::ExitCode;

use super::client::{Client, Target};
use super::{CliError, output};
use crate::management::model::{ClusterView, NodeRow};

/// Which cluster to look at.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    target: Target,
    /// For programs: JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, CliError> {
    let client = Client::new(&args.target);
    if args.json {
        output::json(&client.get::<ClusterView>("/api/nodes", &[])?)?;
    } else {
        show(&client)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows the cluster as a table.
pub(super) fn show(client: &Client) -> Result<(), CliError> {
    let view: ClusterView = client.get("/api/nodes", &[])?;
    let leader = view.raft_leader.as_deref().unwrap_or("nobody: no majority of nodes is there");
    output::say(&format!("cluster {} as {} sees it; the catalog is led by {leader}", view.cluster, view.answered_by))?;
    let header = ["node", "zone", "state", "catalog", "leads", "alarms", "amqp", "http", "version"];
    let nodes = view.nodes.len();
    output::table(header, view.nodes.into_iter().map(row))?;
    if nodes == 2 {
        // §6.9
        output::say(
            "two nodes cannot lose either: one is no majority of the catalog. A third, even a small one, helps",
        )?;
    }
    Ok(())
}

fn row(node: NodeRow) -> [String; 9] {
    [
        node.name,
        if node.zone.is_empty() { "-".to_owned() } else { node.zone },
        match (node.alive, node.drained) {
            (true, false) => "alive",
            (true, true) => "drained",
            (false, _) => "dead",
        }
        .to_owned(),
        node.raft,
        node.leads.to_string(),
        output::names(&node.alarms),
        node.amqp,
        node.http,
        node.version.unwrap_or_else(|| "-".to_owned()),
    ]
}
