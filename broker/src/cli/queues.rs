//! `warren queues`: who leads each queue, who has all of it, what is in it;
//! leaders spread anew; and copies on an operator's word.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Subcommand;

use super::client::{Client, Target, encode};
use super::{CliError, output};
use crate::config::Period;
use crate::management::model::{LagRow, MoveRow, QueueAction, QueueRow};

/// How often it is looked whether queues have moved.
const GLANCE: Duration = Duration::from_millis(200);

/// Which queues to show, or what to do with them.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
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

#[derive(Debug, Subcommand)]
enum Action {
    /// Spread leaders evenly over the nodes, as far as policies and in-sync
    /// replicas let them: queues are handed over, clients notice nothing.
    Rebalance {
        /// Only this virtual host's queues move.
        #[arg(long, value_name = "VHOST")]
        only: Option<String>,
        /// Only say what would move.
        #[arg(long)]
        dry_run: bool,
        /// How long to wait until they have moved.
        #[arg(long, default_value = "30s", value_name = "TIME")]
        timeout: Period,
        /// For programs: JSON.
        #[arg(long)]
        json: bool,
    },
    /// Give the replicas of a queue that wait for it (policy key `synchronization`)
    /// their copies. The queue serves meanwhile.
    Sync {
        #[command(flatten)]
        queue: Named,
        /// Wait until they are in sync, for so long.
        #[arg(long, value_name = "TIME")]
        wait: Option<Period>,
    },
    /// Let the replicas that are not in sync yet wait again.
    CancelSync {
        #[command(flatten)]
        queue: Named,
    },
}

/// One queue.
#[derive(Debug, clap::Args)]
struct Named {
    /// The queue's name.
    queue: String,
    /// Its virtual host.
    #[arg(long, default_value = "/", value_name = "VHOST")]
    vhost: String,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, CliError> {
    if let Some(Action::Rebalance { only, dry_run, timeout, json }) = &args.action {
        return rebalance(&Client::new(&args.target), only.as_deref(), *dry_run, timeout.get(), *json);
    }
    match &args.action {
        Some(Action::Sync { queue, wait }) => {
            return sync(&Client::new(&args.target), queue, wait.map(|wait| wait.get()));
        }
        Some(Action::CancelSync { queue }) => {
            act(&Client::new(&args.target), queue, "cancel_sync")?;
            output::say(&format!("no copy of {} is made any more", queue.queue))?;
            return Ok(ExitCode::SUCCESS);
        }
        _ => {}
    }
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

fn act(client: &Client, queue: &Named, action: &str) -> Result<(), CliError> {
    let path = format!("/api/queues/{}/{}/actions", encode(&queue.vhost), encode(&queue.queue));
    Ok(client.post(&path, &QueueAction { action: action.to_owned() })?)
}

/// The mirrors of a queue that are on their way into the in-sync set, and how far.
fn lagging(client: &Client, queue: &Named) -> Result<Vec<String>, CliError> {
    let query = [("vhost", queue.vhost.as_str()), ("name", queue.queue.as_str())];
    let rows: Vec<QueueRow> = client.get("/api/queues", &query)?;
    let Some(row) = rows.into_iter().next() else { return Ok(Vec::new()) };
    Ok(row.lagging.into_iter().map(|(node, mirror)| format!("{node}: {}", mirror.why)).collect())
}

fn sync(client: &Client, queue: &Named, wait: Option<Duration>) -> Result<ExitCode, CliError> {
    act(client, queue, "sync")?;
    let Some(wait) = wait else {
        output::say(&format!("copies of {} are being made; `warren queues` shows how far they are", queue.queue))?;
        return Ok(ExitCode::SUCCESS);
    };
    let deadline = Instant::now() + wait;
    loop {
        let left = lagging(client, queue)?;
        if left.is_empty() {
            output::say(&format!("{} is in sync", queue.queue))?;
            return Ok(ExitCode::SUCCESS);
        }
        if Instant::now() >= deadline {
            output::say(&format!("{} is not in sync yet: {}", queue.queue, left.join("; ")))?;
            return Ok(ExitCode::FAILURE);
        }
        std::thread::sleep(GLANCE);
    }
}

fn rebalance(
    client: &Client,
    vhost: Option<&str>,
    dry_run: bool,
    timeout: Duration,
    json: bool,
) -> Result<ExitCode, CliError> {
    let query = vhost.map(|vhost| format!("?vhost={}", encode(vhost))).unwrap_or_default();
    let path = format!("/api/queues/rebalance{query}");
    let moves: Vec<MoveRow> = if dry_run { client.get(&path, &[])? } else { client.post(&path, &())? };
    if json {
        output::json(&moves)?;
    } else if moves.is_empty() {
        output::say("leaders are as they should be")?;
    } else {
        let cells = |step: &MoveRow| [step.vhost.clone(), step.queue.clone(), step.from.clone(), step.to.clone()];
        output::table(["vhost", "queue", "leader", "next leader"], moves.iter().map(cells))?;
    }
    if dry_run || moves.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let deadline = Instant::now() + timeout;
    loop {
        let rows: Vec<QueueRow> = client.get("/api/queues", &[])?;
        let elsewhere = |step: &&MoveRow| {
            let row = rows.iter().find(|row| row.name == step.queue && row.vhost == step.vhost);
            // One that was deleted meanwhile is in nobody's way.
            row.is_some_and(|row| row.leader.as_ref() != Some(&step.to))
        };
        let left = moves.iter().filter(elsewhere).count();
        if left == 0 || Instant::now() >= deadline {
            if !json {
                output::say(&format!("{} of {} queues have moved", moves.len() - left, moves.len()))?;
            }
            return Ok(if left == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        std::thread::sleep(GLANCE);
    }
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
