//! `warren cluster up`: make what is missing, start what is stopped, wait until
//! all serve, say what to do next, and stay (or not).

use std::path::PathBuf;
use std::process::{Child, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::layout::{Layout, Node, Wanted};
use super::process::{self, GLANCE};
use super::{CliError, ClusterError, output};
use crate::cli::server::parse_setting;
use crate::config::Period;

/// How long a killed process may take to let go of its ports.
const LET_GO: Duration = Duration::from_secs(5);

/// What cluster to run.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The cluster's folder; made if it is not there.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// How many nodes; more than are there are added. [default: 3, or those that are there]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=99))]
    nodes: Option<u16>,
    /// AMQP port of the first node, counted on for the others; 0 = free ones. [default: 5672]
    #[arg(long, value_name = "PORT")]
    amqp_port: Option<u16>,
    /// HTTP port of the first node, counted on for the others; 0 = free ones. [default: 15672]
    #[arg(long, value_name = "PORT")]
    http_port: Option<u16>,
    /// A policy file for a new cluster; it is copied to DIR/policy.toml.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// A setting for the configuration of new nodes, such as cluster.lease=1s.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_setting)]
    set: Vec<(String, String)>,
    /// Leave the nodes running and return, once they serve.
    #[arg(long)]
    detach: bool,
    /// How long to wait until all nodes serve.
    #[arg(long, value_name = "TIME", default_value = "60s")]
    timeout: Period,
}

/// How long nodes may take to stop before they are killed.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn run(args: &Args) -> Result<ExitCode, CliError> {
    let interrupts = Interrupts::watch()?;
    let layout = Layout::open_or_make(
        &args.data,
        &Wanted {
            nodes: args.nodes.map(usize::from),
            amqp_port: args.amqp_port,
            http_port: args.http_port,
            policy: args.policy.as_deref(),
            settings: &args.set,
        },
    )?;
    let mut started = Vec::new();
    let outcome = start(&layout, &mut started, args, &interrupts);
    if !matches!(outcome, Ok(true)) {
        process::stop(&layout.nodes, STOP_PATIENCE, &|| interrupts.count() > 1)?;
        return outcome.map(|_| ExitCode::FAILURE);
    }
    greet(&layout, args.detach)?;
    if args.detach {
        return Ok(ExitCode::SUCCESS);
    }
    attend(&mut started, &interrupts);
    output::say("stopping…")?;
    let ended = process::stop(&layout.nodes, STOP_PATIENCE, &|| interrupts.count() > 1)?;
    let clean = ended.iter().all(|(_, end)| *end == process::End::Clean);
    output::say(if clean { "all nodes have stopped" } else { "some nodes did not stop in time and were killed" })?;
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Starts what is stopped and waits until all serve; false if interrupted.
fn start(
    layout: &Layout,
    started: &mut Vec<(String, Child)>,
    args: &Args,
    interrupts: &Interrupts,
) -> Result<bool, CliError> {
    start_stopped(layout, started)?;
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(2)))
        .build()
        .new_agent();
    let deadline = Instant::now() + args.timeout.get();
    let mut waiting: Vec<&Node> = layout.nodes.iter().collect();
    let mut says = String::new();
    while interrupts.count() == 0 {
        for (name, child) in started.iter_mut() {
            if let (Ok(Some(status)), Some(node)) = (child.try_wait(), layout.nodes.iter().find(|n| n.name == *name)) {
                let (log, tail) = (node.log_file(), process::log_tail(node, 10));
                return Err(ClusterError::Ended { node: name.clone(), how: status.to_string(), log, tail }.into());
            }
        }
        // One that was just killed looks as if it ran, for a moment.
        start_stopped(layout, started)?;
        waiting.retain(|node| match serves(&agent, node) {
            Ok(()) => false,
            Err(reason) => {
                says = format!("{}: {reason}", node.name);
                true
            }
        });
        if waiting.is_empty() {
            return Ok(true);
        }
        if Instant::now() > deadline {
            return Err(ClusterError::Late { waited: args.timeout, what: says }.into());
        }
        std::thread::sleep(GLANCE);
    }
    Ok(false)
}

/// Starts the nodes that do not run and were not started here.
fn start_stopped(layout: &Layout, started: &mut Vec<(String, Child)>) -> Result<(), CliError> {
    let is_stopped =
        |node: &&Node| started.iter().all(|(name, _)| *name != node.name) && process::running(node).is_none();
    let stopped: Vec<&Node> = layout.nodes.iter().filter(is_stopped).collect();
    for node in &stopped {
        check_ports(node)?;
    }
    for node in stopped {
        let child = process::start(node)?;
        std::fs::write(node.pid_file(), child.id().to_string()).map_err(CliError::file("write", &node.pid_file()))?;
        started.push((node.name.clone(), child));
    }
    Ok(())
}

/// Tells early, and by name, that somebody else has a node's port. A process
/// that was just killed keeps its own until the system has taken it apart.
fn check_ports(node: &Node) -> Result<(), ClusterError> {
    let config = &node.config;
    for (address, option) in [
        (config.amqp.listen, "amqp.listen"),
        (config.http.listen, "http.listen"),
        (config.peer.listen, "peer.listen"),
        (config.membership.listen, "membership.listen"),
    ] {
        let deadline = Instant::now() + LET_GO;
        while let Err(error) = std::net::TcpListener::bind(address) {
            if error.kind() != std::io::ErrorKind::AddrInUse || Instant::now() > deadline {
                return Err(ClusterError::Taken { node: node.name.clone(), address, option, error });
            }
            std::thread::sleep(GLANCE);
        }
    }
    Ok(())
}

fn serves(agent: &ureq::Agent, node: &Node) -> Result<(), String> {
    let mut answer = agent.get(format!("{}/health", node.url())).call().map_err(|error| error.to_string())?;
    if answer.status().is_success() {
        return Ok(());
    }
    let text = answer.body_mut().read_to_string().map_err(|error| error.to_string())?;
    Err(serde_json::from_str::<crate::management::model::ErrorBody>(&text).map_or(text, |body| body.reason))
}

/// Says what to connect to, how to see status and how to stop.
fn greet(layout: &Layout, detached: bool) -> Result<(), CliError> {
    let program = program_as_typed()?;
    let folder = layout.folder.display();
    let mut lines = vec![String::new(), format!("{} nodes serve; their data is in {folder}", layout.nodes.len())];
    for node in &layout.nodes {
        let user = &node.config.users;
        lines.push(format!(
            "  {}  amqp://{}:{}@{}  {}",
            node.name,
            user.default_user,
            user.default_password,
            node.config.amqp.listen,
            node.url(),
        ));
    }
    let first = layout.nodes.first().map_or_else(String::new, Node::url);
    lines.push(format!("nodes and queues:  {program} status --node {first}"));
    lines.push(format!("                   {program} queues --node {first}"));
    lines.push(format!("processes:         {program} cluster status --data {folder}"));
    lines.push(if detached {
        format!("stop:              {program} cluster down --data {folder}")
    } else {
        "stop:              Ctrl-C (the data stays, and is found again)".to_owned()
    });
    output::say(&lines.join("\n"))
}

/// `warren` if that is this program, else its path.
fn program_as_typed() -> Result<String, CliError> {
    let program = process::program()?;
    let on_path = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join("warren").canonicalize().is_ok_and(|p| p == program))
    });
    Ok(if on_path { "warren".to_owned() } else { program.display().to_string() })
}

/// Stays until interrupted, and says when a node ends in between.
fn attend(started: &mut Vec<(String, Child)>, interrupts: &Interrupts) {
    while interrupts.count() == 0 {
        started.retain_mut(|(name, child)| match child.try_wait() {
            Ok(Some(status)) => {
                output::complain(&format!("{name} (pid {}) ended: {status}", child.id()));
                false
            }
            _ => true,
        });
        std::thread::sleep(GLANCE);
    }
    // Children that are asked to stop are waited for elsewhere by their pid;
    // here they only have to be taken off the process table.
    for (_, mut child) in started.drain(..) {
        std::thread::spawn(move || child.wait());
    }
}

/// Counts SIGINT and SIGTERM instead of dying of them.
struct Interrupts {
    count: Arc<AtomicUsize>,
}

impl Interrupts {
    fn watch() -> Result<Self, CliError> {
        use tokio::signal::unix::{SignalKind, signal};
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| CliError::Node(format!("cannot start a runtime: {error}")))?;
        let failed = |error| CliError::Node(format!("cannot listen for signals: {error}"));
        let guard = runtime.enter();
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        drop(guard);
        std::thread::spawn(move || {
            runtime.block_on(async {
                loop {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                    }
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            });
        });
        Ok(Self { count })
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}
