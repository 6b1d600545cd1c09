//! `warren federation`: what this cluster takes from others.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Map, Value};

use super::client::{Client, Target};
use super::{CliError, output, parameters, shovel};
use crate::management::model::LinkRow;
use crate::remote::UPSTREAM;

/// What to do with federation.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show all links: where, how fast, how far behind, what went wrong.
    Status {
        #[command(flatten)]
        target: Target,
        /// For programs: JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make or change an upstream; policies say what is federated with it.
    Upstream(Box<Upstream>),
    /// Remove an upstream.
    Forget {
        /// Its name.
        name: String,
        /// Its virtual host.
        #[arg(long, default_value = "/")]
        vhost: String,
        #[command(flatten)]
        target: Target,
    },
}

/// An upstream: what else RabbitMQ's parameters know is for
/// `warren parameters set federation-upstream`.
#[derive(Debug, clap::Args)]
struct Upstream {
    /// Its name.
    name: String,
    /// Where it is; again for another node of it.
    #[arg(long, value_name = "URI", required = true)]
    uri: Vec<String>,
    /// Its virtual host here.
    #[arg(long, default_value = "/")]
    vhost: String,
    /// The exchange's name there, if it is another.
    #[arg(long)]
    exchange: Option<String>,
    /// The queue's name there, if it is another.
    #[arg(long)]
    queue: Option<String>,
    /// Times that a message may be handed on.
    #[arg(long, value_name = "COUNT")]
    max_hops: Option<u32>,
    /// Unacknowledged messages at most.
    #[arg(long, value_name = "COUNT")]
    prefetch: Option<u16>,
    /// Seconds before a link connects again.
    #[arg(long, value_name = "SECONDS")]
    reconnect_delay: Option<f64>,
    #[command(flatten)]
    target: Target,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, CliError> {
    match &args.action {
        Action::Status { target, json } => {
            let rows: Vec<LinkRow> = Client::new(target).get("/api/federation-links", &[])?;
            if *json { output::json(&rows)? } else { shovel::show(rows)? }
        }
        Action::Upstream(upstream) => {
            let mut object = Map::new();
            parameters::put(&mut object, "uri", Some(upstream.uri.clone()));
            parameters::put(&mut object, "exchange", upstream.exchange.clone());
            parameters::put(&mut object, "queue", upstream.queue.clone());
            parameters::put(&mut object, "max-hops", upstream.max_hops);
            parameters::put(&mut object, "prefetch-count", upstream.prefetch);
            parameters::put(&mut object, "reconnect-delay", upstream.reconnect_delay);
            parameters::set(&upstream.target, UPSTREAM, &upstream.vhost, &upstream.name, &Value::Object(object))?;
            output::say(&format!("upstream {} is set; a policy says what is federated with it", upstream.name))?;
        }
        Action::Forget { name, vhost, target } => {
            parameters::clear(target, UPSTREAM, vhost, name)?;
            output::say(&format!("upstream {name} is gone"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
