//! The command line. One file a command, all of one shape: `Args` says what can
//! be asked, `run` does it and says how the process ends.

mod bench;
pub mod client;
mod cluster;
mod config;
mod drill;
mod error;
mod federation;
mod limit;
mod migrate;
mod node;
mod output;
mod parameters;
mod permissions;
mod policy;
mod queues;
mod salvage;
mod server;
mod shovel;
mod site;
mod status;
mod user;
mod vhost;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use error::CliError;

/// Warren: a RabbitMQ-compatible message broker cluster.
#[derive(Debug, Parser)]
#[command(name = "warren", version, about, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one node of a cluster.
    Server(server::Args),
    /// Run a whole cluster on this machine.
    Cluster(cluster::Args),
    /// Show the cluster's nodes, who leads the catalog, and alarms.
    Status(status::Args),
    /// Show queues: leader, mirrors, in sync or why not, messages, rates.
    Queues(queues::Args),
    /// Check, apply, list and explain policies.
    Policy(policy::Args),
    /// Change which nodes belong to the cluster.
    Node(node::Args),
    /// Manage users.
    User(user::Args),
    /// Manage virtual hosts.
    Vhost(vhost::Args),
    /// Manage what users may do in a virtual host.
    Permissions(permissions::Args),
    /// Manage runtime parameters: shovels, federation upstreams.
    Parameters(parameters::Args),
    /// Manage shovels, which move messages between queues, exchanges and brokers.
    Shovel(shovel::Args),
    /// Manage federation: what this cluster takes from others.
    Federation(federation::Args),
    /// Show the sites of multi-active policies, and drain this one.
    Site(site::Args),
    /// Take everything of a running RabbitMQ over, its messages included.
    Migrate(Box<migrate::Args>),
    /// Check and show node configuration.
    Config(config::Args),
    /// List the messages of a log that an unclean takeover left behind.
    Salvage(salvage::Args),
    /// Measure throughput and latency of any AMQP 0-9-1 broker.
    Bench(bench::Args),
    /// Hurt a cluster of this machine under load, and account for every message.
    Drill(drill::Args),
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Server(args) => server::run(&args),
        Command::Cluster(args) => cluster::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Queues(args) => queues::run(&args),
        Command::Policy(args) => policy::run(&args),
        Command::Node(args) => node::run(&args),
        Command::User(args) => user::run(&args),
        Command::Vhost(args) => vhost::run(&args),
        Command::Permissions(args) => permissions::run(&args),
        Command::Parameters(args) => parameters::run(&args),
        Command::Shovel(args) => shovel::run(&args),
        Command::Federation(args) => federation::run(&args),
        Command::Site(args) => site::run(&args),
        Command::Migrate(args) => migrate::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Salvage(args) => salvage::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Drill(args) => drill::run(&args),
    };
    match result {
        Ok(code) => code,
        Err(CliError::Closed) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&format!("warren: {error}"));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
