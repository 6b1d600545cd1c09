//! `warren vhost`: virtual hosts.

use std::process::ExitCode;

use clap::Subcommand;

use super::client::{Client, Target, encode};
use super::{CliError, output};

/// What to do with virtual hosts.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a virtual host; done already if it is there.
    Add {
        /// Its name.
        name: String,
        #[command(flatten)]
        target: Target,
    },
    /// Remove a virtual host with all its queues and their messages.
    Delete {
        /// Its name.
        name: String,
        #[command(flatten)]
        target: Target,
    },
    /// Show all virtual hosts.
    List {
        #[command(flatten)]
        target: Target,
        /// For programs: JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(args: &Args) -> Result<ExitCode, CliError> {
    match &args.action {
        Action::Add { name, target } => {
            Client::new(target).put::<()>(&path(name), &())?;
            output::say(&format!("{name} is there; `warren permissions set` lets users in"))?;
        }
        Action::Delete { name, target } => {
            Client::new(target).delete::<()>(&path(name), &[])?;
            output::say(&format!("{name} is gone"))?;
        }
        Action::List { target, json } => {
            let vhosts: Vec<String> = Client::new(target).get("/api/vhosts", &[])?;
            if *json {
                output::json(&vhosts)?;
            } else {
                output::table(["vhost"], vhosts.into_iter().map(|vhost| [vhost]))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn path(name: &str) -> String {
    format!("/api/vhosts/{}", encode(name))
}
