//! `warren migrate`: from a running RabbitMQ to this cluster.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::client::{Client, Target};
use super::{CliError, output};
use crate::client::Uri;
use crate::management::model::ClusterView;
use crate::migrate::{self, Definitions, Journal, Move, Problems, Progress, QueueCount, Settings, Verdict};

/// Takes everything of a RabbitMQ over: virtual hosts, users, permissions,
/// parameters, exchanges, queues, bindings, and the messages in the queues. It can
/// be stopped at any time; run again, it goes on.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// RabbitMQ's management API, http://user:password@host:15672, or a file of
    /// exported definitions.
    from: String,
    /// RabbitMQ's AMQP address, amqp://user:password@host:5672; by default the
    /// host and user of the management API.
    #[arg(long, value_name = "URI")]
    from_amqp: Option<Uri>,
    /// Where this cluster takes clients; by default the address of the node that
    /// is asked, with its user and password.
    #[arg(long, value_name = "URI")]
    to_amqp: Option<Uri>,
    /// Remembers what there was to move, across interruptions.
    #[arg(long, value_name = "FILE", default_value = "warren-migrate.json")]
    journal: PathBuf,
    /// Where RabbitMQ's policies are written as a policy file, to be read and applied.
    #[arg(long, value_name = "FILE", default_value = "warren-migrate-policy.toml")]
    policy_file: PathBuf,
    /// Definitions only: messages stay where they are.
    #[arg(long)]
    no_messages: bool,
    /// Queues that are moved at a time.
    #[arg(long, value_name = "COUNT", default_value_t = 8)]
    jobs: usize,
    /// Unacknowledged messages of each queue at most.
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    prefetch: u16,
    #[command(flatten)]
    target: Target,
}

/// How often the progress is shown.
const GLANCE: Duration = Duration::from_millis(200);

pub(super) fn run(args: &Args) -> Result<ExitCode, CliError> {
    let client = Client::new(&args.target);
    let (definitions, from) = source(args)?;
    let to = target(args, &client)?;
    let runtime = Runtime::new().map_err(|error| CliError::Node(format!("the runtime did not start: {error}")))?;
    let mut problems = Problems::default();

    output::say(&format!(
        "RabbitMQ {}: {} vhosts, {} users, {} exchanges, {} queues, {} bindings",
        definitions.rabbit_version.as_deref().unwrap_or("of unknown version"),
        definitions.vhosts.len(),
        definitions.users.len(),
        definitions.exchanges.len(),
        definitions.queues.len(),
        definitions.bindings.len(),
    ))?;
    Settings { client: &client, administrator: &args.target.username }.make(&definitions, &mut problems)?;
    let things = definitions.exchanges.len() + definitions.queues.len() + definitions.bindings.len();
    let bar = bar(things as u64, "definitions");
    runtime.block_on(migrate::declare(&to, &definitions, &mut problems, || bar.inc(1)))?;
    bar.finish_and_clear();
    policies(args, &definitions, &mut problems)?;
    for problem in problems.all() {
        output::say(&format!("not taken over: {problem}"))?;
    }
    output::say("definitions are there")?;
    let Some(from) = from.filter(|_| !args.no_messages) else { return Ok(ExitCode::SUCCESS) };
    messages(args, &runtime, &definitions, from, to)
}

/// The definitions, and where the messages are.
fn source(args: &Args) -> Result<(Definitions, Option<Uri>), CliError> {
    if !args.from.contains("://") {
        let path = Path::new(&args.from);
        let text = std::fs::read(path).map_err(CliError::file("read", path))?;
        let definitions = serde_json::from_slice(&text)
            .map_err(|error| CliError::Usage(format!("{}: not RabbitMQ's definitions: {error}", path.display())))?;
        return Ok((definitions, args.from_amqp.clone()));
    }
    let wrong = || CliError::Usage(format!("{}: expected http://user:password@host:port", args.from));
    let rest = args.from.strip_prefix("http://").ok_or_else(wrong)?;
    // The same form as AMQP's, but for the scheme and the default port.
    let uri: Uri = format!("amqp://{rest}").parse().map_err(|_| wrong())?;
    let target = Target {
        node: format!("http://{}", uri.authority),
        username: uri.username.clone(),
        password: uri.password.clone(),
    };
    let definitions = Client::new(&target).get("/api/definitions", &[])?;
    let host = uri.authority.rsplit_once(':').map_or("", |(host, _)| host);
    let amqp = Uri { authority: format!("{host}:5672"), ..uri.clone() };
    Ok((definitions, Some(args.from_amqp.clone().unwrap_or(amqp))))
}

fn target(args: &Args, client: &Client) -> Result<Uri, CliError> {
    if let Some(uri) = &args.to_amqp {
        return Ok(uri.clone());
    }
    let view: ClusterView = client.get("/api/nodes", &[])?;
    let node = view.nodes.iter().find(|node| node.name == view.answered_by);
    let amqp = node.map(|node| node.amqp.clone()).filter(|amqp| !amqp.is_empty());
    let amqp = amqp.ok_or_else(|| CliError::Usage("the node does not say where it takes clients: --to-amqp".into()))?;
    let (username, password) = (args.target.username.clone(), args.target.password.clone());
    Ok(Uri { username, password, ..Uri::guest(&amqp) })
}

fn policies(args: &Args, definitions: &Definitions, problems: &mut Problems) -> Result<(), CliError> {
    let text = migrate::policy_file(definitions, problems);
    if text.is_empty() {
        return Ok(());
    }
    std::fs::write(&args.policy_file, text).map_err(CliError::file("write", &args.policy_file))?;
    output::say(&format!("policies are in {0}: read it, then `warren policy apply {0}`", args.policy_file.display()))
}

fn messages(
    args: &Args,
    runtime: &Runtime,
    definitions: &Definitions,
    from: Uri,
    to: Uri,
) -> Result<ExitCode, CliError> {
    let queues: Vec<(String, String)> =
        definitions.queues.iter().map(|queue| (queue.vhost.clone(), queue.name.clone())).collect();
    let lengths = |uri: &Uri| runtime.block_on(migrate::lengths(uri, &queues));
    let (source, before) = (lengths(&from)?, lengths(&to)?);
    let mut journal = Journal::open(&args.journal, &from.to_string(), &to.to_string())?;
    if journal.is_resumed() {
        output::say(&format!("going on with what {} remembers", args.journal.display()))?;
    }
    let of = |lengths: &BTreeMap<(String, String), u64>, name| lengths.get(name).copied().unwrap_or(0);
    for name in &queues {
        journal.note(&name.0, &name.1, QueueCount { expected: of(&source, name), before: of(&before, name) });
    }
    journal.save()?;

    let full: Vec<_> = queues.iter().filter(|name| of(&source, name) > 0).cloned().collect();
    let total: u64 = source.values().sum();
    let progress = Arc::new(Progress::default());
    let stop = CancellationToken::new();
    let bar = bar(total, "messages");
    let job = Move { from: from.clone(), to: to.clone(), jobs: args.jobs, prefetch: args.prefetch };
    let whole = runtime.block_on(async {
        let moving = job.run(full, &progress, &stop);
        tokio::pin!(moving);
        let mut ticks = tokio::time::interval(GLANCE);
        let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
        let mut stopping = false;
        loop {
            tokio::select! {
                whole = &mut moving => break whole,
                _ = ticks.tick() => {
                    bar.set_position(progress.moved());
                    bar.set_message(progress.trouble().unwrap_or_default());
                }
                _ = &mut interrupted, if !stopping => {
                    stopping = true;
                    stop.cancel();
                }
            }
        }
    });
    bar.finish_and_clear();
    output::say(&format!("{} messages of {} queues moved in this run", progress.moved(), progress.queues()))?;
    if !whole {
        output::say("stopped before the end; run again to go on")?;
        return Ok(ExitCode::FAILURE);
    }
    let verdict = Verdict::of(&journal, &queues, &lengths(&from)?, &lengths(&to)?);
    output::say(&format!(
        "{} messages expected, {} arrived, {} left behind, {} more than expected (twice after an interruption, or new)",
        verdict.expected, verdict.arrived, verdict.left, verdict.more
    ))?;
    for ((vhost, name), missing) in &verdict.short {
        output::say(&format!("queue '{name}' of vhost '{vhost}': {missing} fewer than expected"))?;
    }
    Ok(if verdict.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn bar(length: u64, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {per_sec} {eta} {msg}");
    let bar = ProgressBar::new(length).with_prefix(what);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
