//! `warren drill`: faults on a cluster of this machine, under load, with every
//! message accounted for.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use rustix::process::Signal;

use super::client::{Client, Target};
use super::cluster::layout::{Layout, Node};
use super::cluster::process;
use super::{CliError, output};
use crate::client::Uri;
use crate::config::Period;
use crate::drill::{Cluster, KillLeader, Report};
use crate::load::STAMP_SIZE;
use crate::management::model::QueueRow;

/// Which drill.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    drill: Drill,
}

#[derive(Debug, Subcommand)]
enum Drill {
    /// Kill the node that leads a queue, start it again, and account for every message.
    KillLeader(KillLeaderArgs),
}

/// On which cluster, and with what load.
#[derive(Debug, clap::Args)]
struct KillLeaderArgs {
    /// The cluster's folder, as made by `warren cluster up`; its nodes must run.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Messages a second of each of the two publishers; 0 = as many as the window lets through.
    #[arg(long, value_name = "N", default_value_t = 2000)]
    rate: u32,
    /// Unconfirmed messages of a publisher at most.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    window: u32,
    /// Octets of a message's body.
    #[arg(long, value_name = "OCTETS", default_value_t = 1024)]
    size: usize,
    /// Unacknowledged messages of the consumer at most.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    prefetch: u16,
    /// Load before the kill.
    #[arg(long, value_name = "TIME", default_value = "3s")]
    before: Period,
    /// From the kill to the restart.
    #[arg(long, value_name = "TIME", default_value = "3s")]
    down: Period,
    /// Load after the mirror is back in sync.
    #[arg(long, value_name = "TIME", default_value = "2s")]
    after: Period,
    /// How long to wait for what should come about by itself.
    #[arg(long, value_name = "TIME", default_value = "60s")]
    patience: Period,
    /// Fail if the survivors' publisher waits longer than this for a confirm.
    #[arg(long, value_name = "TIME")]
    max_gap: Option<Period>,
    /// The queue's name begins with this.
    #[arg(long, value_name = "TEXT", default_value = "drill")]
    queue_prefix: String,
    /// For programs: JSON.
    #[arg(long)]
    json: bool,
}

/// Does it; the exit status says whether all was well.
pub(super) fn run(args: &Args) -> Result<ExitCode, CliError> {
    let Drill::KillLeader(args) = &args.drill;
    if args.size < STAMP_SIZE {
        return Err(CliError::Usage(format!("--size must be at least {STAMP_SIZE}: messages are numbered")));
    }
    let mut cluster = Local { layout: Layout::open(&args.data)? };
    let drill = KillLeader {
        queue_prefix: args.queue_prefix.clone(),
        rate: (args.rate > 0).then(|| f64::from(args.rate)),
        window: args.window as usize,
        size: args.size,
        prefetch: args.prefetch,
        before: args.before.get(),
        down: args.down.get(),
        after: args.after.get(),
        patience: args.patience.get(),
        most_gap: args.max_gap.map(Period::get),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::Usage(format!("cannot start a runtime: {error}")))?;
    let report = drill.run(&mut cluster, &runtime, &output::complain)?;
    if args.json {
        output::json(&report)?;
    } else {
        show(&report)?;
    }
    Ok(if report.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn show(report: &Report) -> Result<(), CliError> {
    let optional = |millis: Option<u64>| millis.map_or_else(|| "never".to_owned(), |millis| format!("{millis} ms"));
    let rows = [
        ("attempted", report.attempted.to_string()),
        ("confirmed", report.confirmed.to_string()),
        ("refused", report.refused.to_string()),
        ("delivered", report.delivered.to_string()),
        ("lost (confirmed, never delivered)", report.lost.to_string()),
        ("duplicated", report.duplicated.to_string()),
        ("duplicated by sending again", report.duplicated_by_resending.to_string()),
        ("out of order", report.out_of_order.to_string()),
        ("marked as redelivered", report.redelivered.to_string()),
        ("connections lost by survivors' clients", report.survivors_connections_lost.to_string()),
        ("connections lost by the killed node's client", report.victims_connections_lost.to_string()),
        ("longest gap without a confirm", format!("{} ms", report.longest_confirm_gap_ms)),
        ("the same for the killed node's client", format!("{} ms", report.longest_confirm_gap_of_victims_client_ms)),
        ("longest gap without a delivery", format!("{} ms", report.longest_delivery_gap_ms)),
        ("in sync again after the restart", optional(report.back_in_sync_ms)),
        ("in sync again after the kill", optional(report.back_in_sync_since_kill_ms)),
    ];
    let leader = report.leader.as_deref().unwrap_or("nobody");
    output::table(
        [&format!("{}: {} killed, {leader} leads", report.queue, report.killed), ""],
        rows.map(|(name, value)| [name.to_owned(), value]),
    )?;
    for failure in &report.failures {
        output::say(&format!("failed: {failure}"))?;
    }
    if report.passed { output::say("passed") } else { Ok(()) }
}

/// A cluster of this machine.
struct Local {
    layout: Layout,
}

impl Local {
    fn node(&self, name: &str) -> Result<&Node, String> {
        let found = self.layout.nodes.iter().find(|node| node.config.node.name == name);
        found.ok_or_else(|| format!("{name} is no node of {}", self.layout.folder.display()))
    }
}

impl Cluster for Local {
    fn nodes(&self) -> Vec<(String, Uri)> {
        let uri = |node: &Node| Uri {
            username: node.config.users.default_user.clone(),
            password: node.config.users.default_password.clone(),
            ..Uri::guest(&node.config.amqp.listen.to_string())
        };
        self.layout.nodes.iter().map(|node| (node.config.node.name.clone(), uri(node))).collect()
    }

    fn kill(&mut self, node: &str) -> Result<(), String> {
        let node = self.node(node)?;
        let pid = process::running(node).ok_or_else(|| format!("{} does not run", node.name))?;
        process::signal(pid, Signal::KILL, "kill").map_err(|error| error.to_string())
    }

    fn start(&mut self, node: &str) -> Result<(), String> {
        // The node outlives the drill; it writes its pid file itself.
        process::start(self.node(node)?).map(drop).map_err(|error| error.to_string())
    }

    fn queue(&self, node: &str, queue: &str) -> Result<Option<QueueRow>, String> {
        let node = self.node(node)?;
        let target = Target {
            node: node.url(),
            username: node.config.users.default_user.clone(),
            password: node.config.users.default_password.clone(),
        };
        let rows: Vec<QueueRow> = Client::new(&target)
            .get("/api/queues", &[("vhost", "/"), ("name", queue)])
            .map_err(|error| error.to_string())?;
        Ok(rows.into_iter().find(|row| row.name == queue))
    }
}
