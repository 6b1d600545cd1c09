//! `warren parameters`: settings of parts of the broker that are changed while
//! it runs, as `rabbitmqctl set_parameter` knows them.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::Value;

use super::client::{Client, Target, encode};
use super::{CliError, output};
use crate::management::model::{ParameterRow, ParameterValue};

/// What to do with runtime parameters.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make or change a parameter.
    Set {
        #[command(flatten)]
        which: Which,
        /// Its value in JSON.
        value: Json,
        #[command(flatten)]
        target: Target,
    },
    /// Show parameters. URIs in them may hold passwords.
    List {
        /// Only this component's.
        component: Option<String>,
        #[command(flatten)]
        target: Target,
        /// For programs: JSON.
        #[arg(long)]
        json: bool,
    },
    /// Remove a parameter.
    Clear {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        target: Target,
    },
}

/// Which parameter.
#[derive(Debug, clap::Args)]
struct Which {
    /// Whose: shovel, federation-upstream, federation-upstream-set.
    component: String,
    /// Its name.
    name: String,
    /// Its virtual host.
    #[arg(long, default_value = "/")]
    vhost: String,
}

/// A text that is JSON.
#[derive(Clone, Debug)]
struct Json(Value);

impl std::str::FromStr for Json {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(text).map(Self)
    }
}

pub(super) fn run(args: &Args) -> Result<ExitCode, CliError> {
    match &args.action {
        Action::Set { which, value, target } => {
            set(target, &which.component, &which.vhost, &which.name, &value.0)?;
            output::say(&format!("{} {} is set", which.component, which.name))?;
        }
        Action::List { component, target, json } => {
            let path = component.as_ref().map_or_else(String::new, |component| format!("/{}", encode(component)));
            let rows: Vec<ParameterRow> = Client::new(target).get(&format!("/api/parameters{path}"), &[])?;
            if *json {
                output::json(&rows)?;
            } else {
                let rows = rows.into_iter().map(|row| [row.component, row.vhost, row.name, row.value.to_string()]);
                output::table(["component", "vhost", "name", "value"], rows)?;
            }
        }
        Action::Clear { which, target } => {
            clear(target, &which.component, &which.vhost, &which.name)?;
            output::say(&format!("{} {} is gone", which.component, which.name))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn path(component: &str, vhost: &str, name: &str) -> String {
    format!("/api/parameters/{}/{}/{}", encode(component), encode(vhost), encode(name))
}

pub(super) fn set(target: &Target, component: &str, vhost: &str, name: &str, value: &Value) -> Result<(), CliError> {
    let body = ParameterValue { value: value.clone() };
    Ok(Client::new(target).put::<()>(&path(component, vhost, name), &body)?)
}

pub(super) fn clear(target: &Target, component: &str, vhost: &str, name: &str) -> Result<(), CliError> {
    Ok(Client::new(target).delete::<()>(&path(component, vhost, name), &[])?)
}

/// Sets a key of a JSON object, if there is something to set it to.
pub(super) fn put<T: Into<Value>>(object: &mut serde_json::Map<String, Value>, key: &str, value: Option<T>) {
    if let Some(value) = value {
        object.insert(key.to_owned(), value.into());
    }
}
