//! The operating system's side of nodes on this machine: starting them, telling
//! whether a pid is really theirs, stopping them.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::layout::Node;
use super::{CliError, ClusterError};

/// How a node's process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum End {
    /// By itself, when asked to.
    Clean,
    /// It did not end in time.
    Killed,
}

/// How often processes are looked at while waiting for them.
pub(super) const GLANCE: Duration = Duration::from_millis(50);

/// The program that nodes are run with: this one.
pub(super) fn program() -> Result<PathBuf, CliError> {
    std::env::current_exe().map_err(CliError::file("find", Path::new("/proc/self/exe")))
}

/// Starts a node, its output appended to its log. It is its own process group,
/// so that Ctrl-C at the terminal reaches only whoever started it.
pub(in crate::cli) fn start(node: &Node) -> Result<Child, CliError> {
    start_within(&[], node)
}

/// The same by a command that becomes the node, as `ip netns exec NAME` does.
pub(in crate::cli) fn start_within(command: &[String], node: &Node) -> Result<Child, CliError> {
    let path = node.log_file();
    let open = || OpenOptions::new().create(true).append(true).open(&path);
    let log = || -> Result<File, CliError> { open().map_err(CliError::file("open the log", &path)) };
    let program = program()?;
    let (first, rest) = match command {
        [] => (program.clone(), command),
        [first, rest @ ..] => (PathBuf::from(first), rest),
    };
    let mut whole = Command::new(first);
    if !command.is_empty() {
        whole.args(rest).arg(&program);
    }
    whole
        .arg("server")
        .arg("--config")
        .arg(node.config_file())
        .stdin(Stdio::null())
        .stdout(log()?)
        .stderr(log()?)
        .process_group(0)
        .spawn()
        .map_err(CliError::file("run", &program))
}

/// The process that runs a node now, if one does: the one in its pid file, if
/// that is really `warren server` with this node's configuration.
pub(in crate::cli) fn running(node: &Node) -> Option<Pid> {
    let text = std::fs::read_to_string(node.pid_file()).ok()?;
    let pid = text.trim().parse().ok().and_then(Pid::from_raw)?;
    is_server_of(pid, &node.config_file()).then_some(pid)
}

fn is_server_of(pid: Pid, config: &Path) -> bool {
    let process = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
    let Ok(line) = std::fs::read(process.join("cmdline")) else { return false };
    if line.is_empty() {
        // It ends: while it has threads it may hold its data and its ports.
        return std::fs::read_dir(process.join("task")).is_ok_and(|threads| threads.count() > 1);
    }
    let args: Vec<OsString> = line.split(|byte| *byte == 0).map(|arg| OsString::from_vec(arg.to_vec())).collect();
    if args.get(1).is_none_or(|arg| arg != "server") {
        return false;
    }
    let said = args.iter().position(|arg| arg == "--config").and_then(|index| args.get(index + 1));
    let (Some(said), Ok(from)) = (said, std::fs::read_link(process.join("cwd"))) else { return false };
    match (from.join(said).canonicalize(), config.canonicalize()) {
        (Ok(said), Ok(config)) => said == config,
        _ => false,
    }
}

/// Asks nodes to stop and waits for their end; those that take longer than
/// `patience`, or than `impatient` allows, are killed. Says who was running.
pub(in crate::cli) fn stop(
    nodes: &[Node],
    patience: Duration,
    impatient: &dyn Fn() -> bool,
) -> Result<Vec<(String, End)>, ClusterError> {
    let mut left: Vec<(&Node, Pid)> = nodes.iter().filter_map(|node| Some((node, running(node)?))).collect();
    for (_, pid) in &left {
        signal(*pid, Signal::TERM, "stop")?;
    }
    let mut ended = Vec::new();
    let deadline = Instant::now() + patience;
    let mut how = End::Clean;
    while !left.is_empty() {
        if how == End::Clean && (Instant::now() > deadline || impatient()) {
            how = End::Killed;
            for (_, pid) in &left {
                signal(*pid, Signal::KILL, "kill")?;
            }
        }
        left.retain(|(node, pid)| {
            let over = !is_server_of(*pid, &node.config_file());
            if over {
                ended.push((node.name.clone(), how));
            }
            !over
        });
        std::thread::sleep(GLANCE);
    }
    Ok(ended)
}

/// Sends a signal; a process that is gone already needs none.
pub(in crate::cli) fn signal(pid: Pid, signal: Signal, action: &'static str) -> Result<(), ClusterError> {
    match kill_process(pid, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(ClusterError::Process { action, pid: pid.as_raw_nonzero().get(), error: error.into() }),
    }
}

/// The last lines of a node's log.
pub(super) fn log_tail(node: &Node, lines: usize) -> String {
    let text = std::fs::read(node.log_file()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(64 * 1024)..]).into_owned();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
