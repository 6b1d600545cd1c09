//! `warren user`: who may connect, and how much of it.

use std::io::Read;
use std::process::ExitCode;

use clap::Subcommand;

use super::client::{Ask, encode};
use super::limit::Limit;
use super::{CliError, limit, output};
use crate::management::model::{PutUser, UserRow};

/// What to do with users.
pub(super) type Args = Ask<Action>;

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Action {
    /// Make a user.
    Add {
        /// The user's name.
        name: String,
        /// The password; `-` reads it from standard input.
        new_password: String,
        /// Tags such as administrator or monitoring.
        #[arg(long, value_delimiter = ',')]
        tags: Vec<String>,
    },
    /// Change a user's password.
    Passwd {
        /// The user's name.
        name: String,
        /// The password; `-` reads it from standard input.
        new_password: String,
    },
    /// Remove a user; its connections are closed.
    Delete {
        /// The user's name.
        name: String,
    },
    /// Limit a user's connections (max-connections) and channels (max-channels).
    Limit {
        #[command(subcommand)]
        limit: Limit,
    },
    /// Show all users, what they may do, and how much.
    List {
        /// For programs: JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(args: &Args) -> Result<ExitCode, CliError> {
    let client = args.client();
    match &args.action {
        Action::Add { name, new_password, tags } => {
            let user = PutUser {
                password: Some(password(new_password)?),
                password_hash: None,
                tags: Some(tags.clone()),
                create: true,
            };
            client.put::<()>(&path(name), &user)?;
            output::say(&format!("{name} is there; `warren permissions set {name}` lets it do something"))?;
        }
        Action::Passwd { name, new_password } => {
            let user =
                PutUser { password: Some(password(new_password)?), password_hash: None, tags: None, create: false };
            client.put::<()>(&path(name), &user)?;
            output::say(&format!("{name} has a new password"))?;
        }
        Action::Delete { name } => {
            client.delete::<()>(&path(name), &[])?;
            output::say(&format!("{name} is gone"))?;
        }
        Action::Limit { limit } => limit.carry_out(&client, "/api/user-limits")?,
        Action::List { json } => {
            let users: Vec<UserRow> = client.get("/api/users", &[])?;
            if *json {
                output::json(&users)?;
            } else {
                let rows = users.into_iter().map(|user| {
                    let permissions = user.permissions.iter();
                    let permissions = permissions
                        .map(|(vhost, may)| format!("{vhost}: {} {} {}", may.configure, may.write, may.read));
                    let topics = user.topics.iter().flat_map(|(vhost, exchanges)| {
                        exchanges.iter().map(move |(name, may)| format!("{vhost}: {name}: {} {}", may.write, may.read))
                    });
                    let (permissions, topics): (Vec<String>, Vec<String>) = (permissions.collect(), topics.collect());
                    let tags = output::names(&user.tags);
                    [user.name, tags, permissions.join("\n"), topics.join("\n"), limit::shown(&user.limits)]
                });
                let header = ["user", "tags", "vhost: configure write read", "vhost: exchange: write read", "limits"];
                output::table(header, rows)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn path(name: &str) -> String {
    format!("/api/users/{}", encode(name))
}

fn password(said: &str) -> Result<String, CliError> {
    if said != "-" {
        return Ok(said.to_owned());
    }
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| CliError::Usage(format!("cannot read the password: {error}")))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(CliError::Usage("standard input held no password".to_owned()));
    }
    Ok(text.to_owned())
}
