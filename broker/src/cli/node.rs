//! `warren node`: which nodes belong to the cluster, and which of them lead. A
//! node joins by starting with the cluster's seeds in its configuration.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Subcommand;

use super::client::{Ask, Client, encode};
use super::{CliError, output};
use crate::config::Period;
use crate::management::model::DrainView;

/// How often it is asked how far a drain is.
const GLANCE: Duration = Duration::from_millis(200);

/// What to do with a node.
pub(super) type Args = Ask<Action>;

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Action {
    /// Take a dead node out of the cluster for good.
    Forget {
        /// The node's name.
        name: String,
        /// Even if queues lose their last copy; they are deleted.
        #[arg(long)]
        force: bool,
    },
    /// Move everything that a node leads to other nodes, which have it in sync; it
    /// gets no new queues to lead and no new copies until it is undrained. Waits
    /// until it leads nothing that another node could.
    Drain {
        /// The node's name.
        name: String,
        /// How long to wait.
        #[arg(long, default_value = "60s", value_name = "TIME")]
        timeout: Period,
        /// For programs: JSON, once it is over.
        #[arg(long)]
        json: bool,
    },
    /// Let a drained node lead again; `warren queues rebalance` gives it its share.
    Undrain {
        /// The node's name.
        name: String,
    },
}

pub(super) fn run(args: &Args) -> Result<ExitCode, CliError> {
    let client = args.client();
    match &args.action {
        Action::Forget { name, force } => {
            let force = if *force { "true" } else { "false" };
            client.delete::<()>(&format!("/api/nodes/{}", encode(name)), &[("force", force)])?;
            output::say(&format!("{name} is forgotten"))?;
        }
        Action::Drain { name, timeout, json } => return drain(&client, name, timeout.get(), *json),
        Action::Undrain { name } => {
            client.delete::<DrainView>(&path(name), &[])?;
            output::say(&format!("{name} may lead again; `warren queues rebalance` gives it its share"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn path(name: &str) -> String {
    format!("/api/nodes/{}/drain", encode(name))
}

fn drain(client: &Client, name: &str, timeout: Duration, json: bool) -> Result<ExitCode, CliError> {
    let deadline = Instant::now() + timeout;
    let mut view: DrainView = client.put(&path(name), &())?;
    let mut said = None;
    while view.moving + view.waiting > 0 && Instant::now() < deadline {
        let now = (view.moving, view.waiting);
        if !json && said.replace(now) != Some(now) {
            let (moving, waiting) = now;
            output::say(&format!("{moving} queues are being handed over, {waiting} wait for a mirror to catch up"))?;
        }
        std::thread::sleep(GLANCE);
        view = client.get(&path(name), &[])?;
    }
    let left = view.moving + view.waiting;
    if json {
        output::json(&view)?;
    } else {
        for queue in &view.stuck {
            output::say(&format!("{queue} stays: no other replica of it is there"))?;
        }
        let state = if left == 0 { "is drained".to_owned() } else { format!("is being drained: {left} queues left") };
        output::say(&format!("{name} {state}"))?;
    }
    Ok(if left == 0 && view.stuck.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
