//! `warren server`: one node, until it is told to stop.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{CliError, output};
use crate::config::{Config, load};
use crate::{node, telemetry};

/// Which node to run.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) settings: Settings,
}

/// Where a node's configuration comes from.
#[derive(Debug, clap::Args)]
pub(super) struct Settings {
    /// The configuration file; without one the defaults stand.
    #[arg(long, env = "WARREN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Override an option, such as amqp.listen=0.0.0.0:5672; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_setting)]
    set: Vec<(String, String)>,
}

impl Settings {
    pub(super) fn load(&self) -> Result<Config, CliError> {
        Ok(load(self.config.as_deref(), std::env::vars(), &self.set)?)
    }
}

/// Reads `section.option=value`.
pub(super) fn parse_setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if key.contains('.') => Ok((key.trim().to_owned(), value.trim().to_owned())),
        _ => Err("expected section.option=value".to_owned()),
    }
}

/// Runs until SIGTERM or SIGINT and a clean stop, or until the node cannot go on.
pub(super) fn run(args: &Args) -> Result<ExitCode, CliError> {
    let config = args.settings.load()?;
    telemetry::init(&config.log).map_err(|error| CliError::Node(format!("cannot start logging: {error}")))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::Node(format!("cannot start the runtime: {error}")))?;
    let pid_file = config.node.pid_file.clone().map(PidFile::write).transpose()?;
    let ended = runtime.block_on(async {
        let stop = stop_signal().map_err(|error| CliError::Node(format!("cannot listen for signals: {error}")))?;
        node::run(config, stop).await.map_err(|error| CliError::Node(error.to_string()))
    });
    // Who waits for the file to go may start the node anew: nothing holds its data.
    drop(runtime);
    drop(pid_file);
    ended.map(|()| ExitCode::SUCCESS)
}

/// Comes to its end when the process is asked to stop.
fn stop_signal() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("told to stop (SIGTERM)"),
            _ = interrupt.recv() => tracing::info!("told to stop (SIGINT)"),
        }
    })
}

/// The process's number in a file, for as long as the process runs.
struct PidFile(PathBuf);

impl PidFile {
    fn write(path: PathBuf) -> Result<Self, CliError> {
        if let Some(folder) = path.parent().filter(|folder| *folder != Path::new("")) {
            std::fs::create_dir_all(folder).map_err(CliError::file("make the folder", folder))?;
        }
        std::fs::write(&path, std::process::id().to_string()).map_err(CliError::file("write", &path))?;
        Ok(Self(path))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            output::complain(&format!("warren: cannot remove {}: {error}", self.0.display()));
        }
    }
}
