//! `warren user`: who may connect.

use std::io::Read;
use std::process::ExitCode;

use clap::Subcommand;

use super::client::{Client, Target, encode};
use super::{CliError, output};
use crate::management::model::{PutUser, UserRow};

/// What to do with users.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a user.
    Add {
        /// The user's name.
        name: String,
        /// The password; `-` reads it from standard input.
        new_password: String,
        /// Tags such as administrator or monitoring.
        #[arg(long, value_delimiter = ',')]
        tags: Vec<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Change a user's password.
    Passwd {
        /// The user's name.
        name: String,
        /// The password; `-` reads it from standard input.
        new_password: String,
        #[command(flatten)]
        target: Target,
    },
    /// Remove a user.
    Delete {
        /// The user's name.
        name: String,
        #[command(flatten)]
        target: Target,
    },
    /// Show all users and what they may do.
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
        Action::Add { name, new_password, tags, target } => {
            let user = PutUser { password: Some(password(new_password)?), tags: Some(tags.clone()), create: true };
            Client::new(target).put::<()>(&path(name), &user)?;
            output::say(&format!("{name} is there; `warren permissions set {name}` lets it do something"))?;
        }
        Action::Passwd { name, new_password, target } => {
            let user = PutUser { password: Some(password(new_password)?), tags: None, create: false };
            Client::new(target).put::<()>(&path(name), &user)?;
            output::say(&format!("{name} has a new password"))?;
        }
        Action::Delete { name, target } => {
            Client::new(target).delete::<()>(&path(name), &[])?;
            output::say(&format!("{name} is gone"))?;
        }
        Action::List { target, json } => {
            let users: Vec<UserRow> = Client::new(target).get("/api/users", &[])?;
            if *json {
                output::json(&users)?;
            } else {
                let rows = users.into_iter().map(|user| {
                    let permissions = user.permissions.iter();
                    let permissions: Vec<String> = permissions
                        .map(|(vhost, may)| format!("{vhost}: {} {} {}", may.configure, may.write, may.read))
                        .collect();
                    [user.name, output::names(&user.tags), permissions.join("\n")]
                });
                output::table(["user", "tags", "vhost: configure write read"], rows)?;
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
