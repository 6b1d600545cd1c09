//! `warren permissions`: what users may do where.

use std::process::ExitCode;

use clap::Subcommand;

use super::client::{Client, Target, encode};
use super::{CliError, output};
use crate::management::model::PermissionsView;

/// What to do with permissions.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Let a user into a virtual host, by regular expressions for the names of
    /// queues and exchanges.
    Set {
        /// The user.
        user: String,
        /// What may be declared and deleted.
        #[arg(default_value = ".*")]
        configure: String,
        /// What may be published and bound to.
        #[arg(default_value = ".*")]
        write: String,
        /// What may be consumed and bound from.
        #[arg(default_value = ".*")]
        read: String,
        /// The virtual host.
        #[arg(long, default_value = "/")]
        vhost: String,
        #[command(flatten)]
        target: Target,
    },
    /// Keep a user out of a virtual host.
    Clear {
        /// The user.
        user: String,
        /// The virtual host.
        #[arg(long, default_value = "/")]
        vhost: String,
        #[command(flatten)]
        target: Target,
    },
}

pub(super) fn run(args: &Args) -> Result<ExitCode, CliError> {
    match &args.action {
        Action::Set { user, configure, write, read, vhost, target } => {
            let permissions =
                PermissionsView { configure: configure.clone(), write: write.clone(), read: read.clone() };
            Client::new(target).put::<()>(&path(vhost, user), &permissions)?;
            output::say(&format!("{user} may use {vhost}"))?;
        }
        Action::Clear { user, vhost, target } => {
            Client::new(target).delete::<()>(&path(vhost, user), &[])?;
            output::say(&format!("{user} may not use {vhost}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn path(vhost: &str, user: &str) -> String {
    format!("/api/permissions/{}/{}", encode(vhost), encode(user))
}
