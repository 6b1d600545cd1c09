//! `warren queues`: who leads each queue, who has all of it, what is in it.

use std::process::ExitCode;

use super::client::{Client, Target};
use super::{CliError, output};
use crate::management::model::{LagRow, QueueRow};

/// Which queues to show.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    target: Target,
    /// Only this virtual host.
    #[arg(long, value_name = "VHOST")]
    vhost: Option<String>,
    /// Only queues of this name.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// For programs: JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, CliError> {
    let mut query = Vec::new();
    query.extend(args.vhost.as_deref().map(|vhost| ("vhost", vhost)));
    query.extend(args.name.as_deref().map(|name| ("name", name)));
    let queues: Vec<QueueRow> = Client::new(&args.target).get("/api/queues", &query)?;
    if args.json {
        output::json(&queues)?;
    } else {
        let header = [
            "vhost",
            "queue",
            "leader",
            "mirrors",
            "in sync",
            "state",
            "ready",
            "unacked",
            "consumers",
            "size",
            "in/s",
            "out/s",
        ];
        output::table(header, queues.iter().map(row))?;
        for queue in queues.iter().filter(|queue| !queue.why.is_empty()) {
            output::say(&format!("{} in {}: {}", queue.name, queue.vhost, queue.why))?;
        }
        for queue in &queues {
            for (backup, lag) in queue.trailing.iter().filter(|(_, lag)| lag.messages > 0) {
                let LagRow { messages, bytes, seconds, .. } = lag;
                let size = output::bytes(*bytes);
                let text = format!("{backup} trails by {messages} messages, {size}, {seconds:.3} s");
                output::say(&format!("{} in {}: {text}", queue.name, queue.vhost))?;
            }
            if let Some(unclean) = &queue.unclean {
                output::say(&format!("{} in {}: {}", queue.name, queue.vhost, unclean.says))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn row(queue: &QueueRow) -> [String; 12] {
    let replicas = queue.mirrors.len() + 1;
    [
        queue.vhost.clone(),
        queue.name.clone(),
        queue.leader.clone().unwrap_or_else(|| "-".to_owned()),
        output::names(&queue.mirrors),
        match queue.trailing.len() {
            0 => format!("{} of {replicas}", queue.in_sync.len()),
            trailing => format!("{} of {replicas}, {trailing} trailing", queue.in_sync.len()),
        },
        queue.state.clone(),
        queue.ready.to_string(),
        queue.unacked.to_string(),
        queue.consumers.to_string(),
        output::bytes(queue.bytes),
        format!("{:.0}", queue.rates.publish),
        format!("{:.0}", queue.rates.deliver),
    ]
}
