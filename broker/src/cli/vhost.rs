//! `warren vhost`: virtual hosts, and how much may be in them.

use std::process::ExitCode;

use clap::Subcommand;

use super::client::{Ask, encode};
use super::limit::Limit;
use super::{CliError, limit, output};
use crate::management::model::VhostRow;

/// What to do with virtual hosts.
pub(super) type Args = Ask<Action>;

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Action {
    /// Make a virtual host; done already if it is there.
    Add {
        /// Its name.
        name: String,
    },
    /// Remove a virtual host with all its queues and their messages; connections
    /// to it are closed.
    Delete {
        /// Its name.
        name: String,
    },
    /// Limit a virtual host's connections (max-connections) and queues (max-queues).
    Limit {
        #[command(subcommand)]
        limit: Limit,
    },
    /// Show all virtual hosts.
    List {
        /// For programs: JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(args: &Args) -> Result<ExitCode, CliError> {
    let client = args.client();
    match &args.action {
        Action::Add { name } => {
            client.put::<()>(&path(name), &())?;
            output::say(&format!("{name} is there; `warren permissions set` lets users in"))?;
        }
        Action::Delete { name } => {
            client.delete::<()>(&path(name), &[])?;
            output::say(&format!("{name} is gone"))?;
        }
        Action::Limit { limit } => limit.carry_out(&client, "/api/vhost-limits")?,
        Action::List { json } => {
            let vhosts: Vec<VhostRow> = client.get("/api/vhosts", &[])?;
            if *json {
                output::json(&vhosts)?;
            } else {
                let rows = vhosts.into_iter().map(|vhost| [vhost.name, limit::shown(&vhost.limits)]);
                output::table(["vhost", "limits"], rows)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn path(name: &str) -> String {
    format!("/api/vhosts/{}", encode(name))
}
