//! `warren vhost limit` and `warren user limit`: the same for both, but for what
//! can be limited.

use std::collections::BTreeMap;

use clap::Subcommand;

use super::client::{Client, encode};
use super::{CliError, output};

/// What to do with the limits of one virtual host or user.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Limit {
    /// Set limits; those that are not named stay as they are.
    Set {
        /// The name of what is limited.
        name: String,
        /// As in RabbitMQ: {"max-connections": 100}; a negative number lifts the limit.
        definition: String,
    },
    /// Lift all limits.
    Clear {
        /// The name of what is limited.
        name: String,
    },
}

impl Limit {
    /// Asks for it, at this place of the API.
    pub(super) fn carry_out(&self, client: &Client, place: &str) -> Result<(), CliError> {
        match self {
            Self::Set { name, definition } => {
                let definition: BTreeMap<String, i64> = serde_json::from_str(definition).map_err(|error| {
                    CliError::Usage(format!("expected limits such as {{\"max-connections\": 100}}: {error}"))
                })?;
                client.put::<()>(&format!("{place}/{}", encode(name)), &definition)?;
                output::say(&format!("{name} is limited"))
            }
            Self::Clear { name } => {
                client.delete::<()>(&format!("{place}/{}", encode(name)), &[])?;
                output::say(&format!("{name} has no limits"))
            }
        }
    }
}

/// Limits for people.
pub(super) fn shown(limits: &BTreeMap<String, u64>) -> String {
    let limits: Vec<String> = limits.iter().map(|(name, limit)| format!("{name} {limit}")).collect();
    output::names(&limits)
}
