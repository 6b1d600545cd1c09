//! `warren permissions`: what users may do where.

use std::process::ExitCode;

use clap::Subcommand;

use super::client::{Ask, encode};
use super::{CliError, output};
use crate::management::model::{PermissionsView, PutTopics, TopicsView};

/// What to do with permissions.
pub(super) type Args = Ask<Action>;

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Action {
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
    },
    /// Keep a user out of a virtual host.
    Clear {
        /// The user.
        user: String,
        /// The virtual host.
        #[arg(long, default_value = "/")]
        vhost: String,
    },
    /// Let a user publish to, and bind by, only some routing keys of a topic
    /// exchange. {username} and {vhost} in the expressions stand for the user's own.
    SetTopic {
        /// The user.
        user: String,
        /// The topic exchange.
        exchange: String,
        /// With which keys it may publish.
        write: String,
        /// By which keys it may bind.
        read: String,
        /// The virtual host.
        #[arg(long, default_value = "/")]
        vhost: String,
    },
    /// Let a user use every routing key again.
    ClearTopic {
        /// The user.
        user: String,
        /// Of this topic exchange only.
        #[arg(long)]
        exchange: Option<String>,
        /// The virtual host.
        #[arg(long, default_value = "/")]
        vhost: String,
    },
}

pub(super) fn run(args: &Args) -> Result<ExitCode, CliError> {
    let client = args.client();
    match &args.action {
        Action::Set { user, configure, write, read, vhost } => {
            let permissions =
                PermissionsView { configure: configure.clone(), write: write.clone(), read: read.clone() };
            client.put::<()>(&path("permissions", vhost, user), &permissions)?;
            output::say(&format!("{user} may use {vhost}"))?;
        }
        Action::Clear { user, vhost } => {
            client.delete::<()>(&path("permissions", vhost, user), &[])?;
            output::say(&format!("{user} may not use {vhost}"))?;
        }
        Action::SetTopic { user, exchange, write, read, vhost } => {
            let topics = TopicsView { write: write.clone(), read: read.clone() };
            let wanted = PutTopics { exchange: exchange.clone(), topics };
            client.put::<()>(&path("topic-permissions", vhost, user), &wanted)?;
            output::say(&format!("{user} may use some routing keys of {exchange} in {vhost}"))?;
        }
        Action::ClearTopic { user, exchange, vhost } => {
            let query = exchange.as_deref().map(|exchange| ("exchange", exchange));
            client.delete::<()>(&path("topic-permissions", vhost, user), query.as_slice())?;
            output::say(&format!("{user} may use every routing key"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn path(what: &str, vhost: &str, user: &str) -> String {
    format!("/api/{what}/{}/{}", encode(vhost), encode(user))
}
