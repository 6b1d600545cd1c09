//! `warren shovel`: what moves messages from one place to another.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Map, Value};

use super::client::{Client, Target};
use super::{CliError, output, parameters};
use crate::management::model::LinkRow;
use crate::remote::SHOVEL;

/// What to do with shovels.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show all shovels that run: where, how fast, how far behind, what went wrong.
    #[command(visible_alias = "list")]
    Status {
        #[command(flatten)]
        target: Target,
        /// For programs: JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make or change a shovel.
    Add(Box<Add>),
    /// Take a shovel down; messages stay where they are.
    Delete {
        /// Its name.
        name: String,
        /// Its virtual host.
        #[arg(long, default_value = "/")]
        vhost: String,
        #[command(flatten)]
        target: Target,
    },
}

/// A shovel: what else RabbitMQ's parameters know is for `warren parameters set shovel`.
#[derive(Debug, clap::Args)]
struct Add {
    /// Its name.
    name: String,
    /// Its virtual host.
    #[arg(long, default_value = "/")]
    vhost: String,
    /// Where messages come from; again for another node of that broker. Without a
    /// host, this cluster.
    #[arg(long, value_name = "URI", default_value = "amqp://")]
    src_uri: Vec<String>,
    /// Consume this queue.
    #[arg(long, value_name = "QUEUE", conflicts_with = "src_exchange", required_unless_present = "src_exchange")]
    src_queue: Option<String>,
    /// Take what this exchange routes.
    #[arg(long, value_name = "EXCHANGE")]
    src_exchange: Option<String>,
    /// By this binding key.
    #[arg(long, value_name = "KEY", requires = "src_exchange")]
    src_exchange_key: Option<String>,
    /// Where messages go; again for another node of that broker. Without a host,
    /// this cluster.
    #[arg(long, value_name = "URI", default_value = "amqp://")]
    dest_uri: Vec<String>,
    /// Publish to this queue.
    #[arg(long, value_name = "QUEUE", conflicts_with = "dest_exchange")]
    dest_queue: Option<String>,
    /// Publish to this exchange; without either, to the exchange that the message came by.
    #[arg(long, value_name = "EXCHANGE")]
    dest_exchange: Option<String>,
    /// With this routing key, rather than the message's own.
    #[arg(long, value_name = "KEY")]
    dest_exchange_key: Option<String>,
    /// When the source may forget a message: on-confirm, on-publish or no-ack.
    #[arg(long, value_name = "MODE")]
    ack_mode: Option<String>,
    /// Unacknowledged messages at most.
    #[arg(long, value_name = "COUNT")]
    prefetch: Option<u16>,
    /// Seconds before it connects again; 0: never.
    #[arg(long, value_name = "SECONDS")]
    reconnect_delay: Option<f64>,
    /// Write on each message where it has been.
    #[arg(long)]
    add_forward_headers: bool,
    /// Remove the shovel after so many messages, or after `queue-length`.
    #[arg(long, value_name = "WHEN")]
    delete_after: Option<String>,
    #[command(flatten)]
    target: Target,
}

impl Add {
    fn definition(&self) -> Value {
        let mut object = Map::new();
        parameters::put(&mut object, "src-uri", Some(self.src_uri.clone()));
        parameters::put(&mut object, "src-queue", self.src_queue.clone());
        parameters::put(&mut object, "src-exchange", self.src_exchange.clone());
        parameters::put(&mut object, "src-exchange-key", self.src_exchange_key.clone());
        parameters::put(&mut object, "dest-uri", Some(self.dest_uri.clone()));
        parameters::put(&mut object, "dest-queue", self.dest_queue.clone());
        parameters::put(&mut object, "dest-exchange", self.dest_exchange.clone());
        parameters::put(&mut object, "dest-exchange-key", self.dest_exchange_key.clone());
        parameters::put(&mut object, "ack-mode", self.ack_mode.clone());
        parameters::put(&mut object, "src-prefetch-count", self.prefetch);
        parameters::put(&mut object, "reconnect-delay", self.reconnect_delay);
        parameters::put(&mut object, "dest-add-forward-headers", self.add_forward_headers.then_some(true));
        let after = self.delete_after.as_ref().map(|after| match after.parse::<u64>() {
            Ok(messages) => Value::from(messages),
            Err(_) => Value::from(after.as_str()),
        });
        parameters::put(&mut object, "src-delete-after", after);
        Value::Object(object)
    }
}

pub(super) fn run(args: &Args) -> Result<ExitCode, CliError> {
    match &args.action {
        Action::Status { target, json } => {
            let rows: Vec<LinkRow> = Client::new(target).get("/api/shovels", &[])?;
            if *json { output::json(&rows)? } else { show(rows)? }
        }
        Action::Add(add) => {
            parameters::set(&add.target, SHOVEL, &add.vhost, &add.name, &add.definition())?;
            output::say(&format!("shovel {} is set; `warren shovel status` shows it at work", add.name))?;
        }
        Action::Delete { name, vhost, target } => {
            parameters::clear(target, SHOVEL, vhost, name)?;
            output::say(&format!("shovel {name} is gone"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Links as a table.
pub(super) fn show(rows: Vec<LinkRow>) -> Result<(), CliError> {
    let header = [
        "vhost",
        "name",
        "node",
        "state",
        "from",
        "to",
        "moved",
        "rate/s",
        "lag",
        "on the way",
        "failures",
        "last error",
    ];
    let rows = rows.into_iter().map(|row| {
        let end = |prefix: &str| {
            let part = |key: &str| row.ends.get(&format!("{prefix}_{key}")).cloned();
            let what = part("queue").or_else(|| part("exchange")).unwrap_or_else(|| "as it came".to_owned());
            format!("{what} at {}", part("uri").unwrap_or_default())
        };
        let (from, to) = (end("src"), end("dest"));
        let name = match &row.upstream {
            Some(upstream) => format!("{} from {upstream}", row.name),
            None => row.name.clone(),
        };
        let state = if row.why.is_empty() { row.state.clone() } else { format!("{}: {}", row.state, row.why) };
        [
            row.vhost,
            name,
            row.node,
            state,
            from,
            to,
            row.moved.to_string(),
            format!("{:.0}", row.rate),
            row.lag.map_or_else(|| "?".to_owned(), |lag| lag.to_string()),
            row.unconfirmed.to_string(),
            row.failures.to_string(),
            row.last_error.unwrap_or_default(),
        ]
    });
    output::table(header, rows)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        add: Add,
    }

    #[test]
    fn a_line_is_rabbitmqs_definition() {
        let line =
            ["add", "s", "--src-queue", "a", "--dest-uri", "amqp://far", "--dest-queue", "b", "--delete-after", "7"];
        let definition = Line::try_parse_from(line).unwrap().add.definition();
        let expected = serde_json::json!({
            "src-uri": ["amqp://"], "src-queue": "a", "dest-uri": ["amqp://far"], "dest-queue": "b",
            "src-delete-after": 7,
        });
        assert_eq!(definition, expected);
        assert!(Line::try_parse_from(["add", "s"]).is_err());
    }
}
