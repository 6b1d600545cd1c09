//! `warren config`: what is wrong with a configuration, and what it comes to.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::server::Settings;
use super::{CliError, output};
use crate::config::load;

/// What to do with a configuration.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say what is wrong with a configuration file, if anything is.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Show what a node would run with: file, environment and settings together.
    Show(Settings),
}

pub(super) fn run(args: &Args) -> Result<ExitCode, CliError> {
    match &args.action {
        Action::Check { file } => {
            load(Some(file), [], &[])?;
            output::say(&format!("{} is valid", file.display()))?;
        }
        Action::Show(settings) => {
            let mut config = settings.load()?;
            config.users.default_password = "(not shown)".to_owned();
            let text = toml::to_string(&config).map_err(|error| CliError::Node(error.to_string()))?;
            output::say(text.trim_end())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
