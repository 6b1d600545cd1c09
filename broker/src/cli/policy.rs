//! `warren policy`: what a policy file says, what is in force, and why.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use warren_membership::catalog::policies::Policies;

use super::client::{Client, Target};
use super::{CliError, output};
use crate::management::model::{Explanation, MovePrimary, PoliciesApplied, PoliciesView, PolicyDiff, PolicyText};
use crate::policy;

/// What to do with policies.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say what is wrong with a policy file, if anything is; needs no cluster.
    Check {
        /// The policy file.
        file: PathBuf,
    },
    /// Make a file's policies the cluster's.
    Apply {
        /// The policy file.
        file: PathBuf,
        #[command(flatten)]
        target: Target,
    },
    /// Show the policies in force.
    List {
        #[command(flatten)]
        target: Target,
        /// For programs: JSON.
        #[arg(long)]
        json: bool,
    },
    /// Say what applying a file would change.
    Diff {
        /// The policy file.
        file: PathBuf,
        #[command(flatten)]
        target: Target,
    },
    /// Make another node the primary of a primary-backup policy.
    Primary {
        /// The policy.
        policy: String,
        /// The node's name; it has to be in sync in all of the policy's queues.
        #[arg(value_name = "NODE")]
        primary: String,
        /// The policy's virtual host.
        #[arg(long, default_value = "/")]
        vhost: String,
        #[command(flatten)]
        target: Target,
    },
    /// Say which policy a queue gets, why, and what that means.
    Explain {
        /// The queue's name; it need not exist.
        queue: String,
        /// Its virtual host.
        #[arg(long, default_value = "/")]
        vhost: String,
        /// Ask this policy file, without a cluster.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        #[command(flatten)]
        target: Target,
        /// For programs: JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(args: &Args) -> Result<ExitCode, CliError> {
    match &args.action {
        Action::Check { file } => check(file)?,
        Action::Apply { file, target } => apply(file, target)?,
        Action::List { target, json } => list(target, *json)?,
        Action::Diff { file, target } => diff(file, target)?,
        Action::Primary { policy, primary, vhost, target } => {
            let body = MovePrimary { vhost: vhost.clone(), policy: policy.clone(), node: primary.clone() };
            Client::new(target).put::<()>("/api/policies/primary", &body)?;
            output::say(&format!("{primary} is the primary of policy {policy}, as soon as it has everything"))?;
        }
        Action::Explain { queue, vhost, file, target, json } => {
            let explanation = match file {
                Some(file) => policy::explain(&Policies::new(1, policy::read(file)?), vhost, queue),
                None => Client::new(target).get("/api/policies/explain", &[("vhost", vhost), ("queue", queue)])?,
            };
            if *json {
                output::json(&explanation)?;
            } else {
                explain(&explanation)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn check(file: &Path) -> Result<(), CliError> {
    let policies = policy::read(file)?;
    for warning in policy::warnings(&policies) {
        output::say(&format!("warning: {warning}"))?;
    }
    output::say(&format!("{} is valid: {} policies", file.display(), policies.len()))
}

fn apply(file: &Path, target: &Target) -> Result<(), CliError> {
    // Checked here too, so that its mistakes name the file as it was given.
    check(file)?;
    let text = std::fs::read_to_string(file).map_err(CliError::file("read", file))?;
    let body = PolicyText { file: file.display().to_string(), text };
    let applied: PoliciesApplied = Client::new(target).post("/api/policies", &body)?;
    let how = if applied.changed { "applied" } else { "in force already" };
    output::say(&format!("{} policies {how}, revision {}", applied.policies, applied.revision))
}

fn diff(file: &Path, target: &Target) -> Result<(), CliError> {
    let text = std::fs::read_to_string(file).map_err(CliError::file("read", file))?;
    let wanted = PolicyText { file: file.display().to_string(), text };
    let diff: PolicyDiff = Client::new(target).post("/api/policies/diff", &wanted)?;
    for (sign, policies) in [("-", &diff.removed), ("+", &diff.added), ("~", &diff.changed)] {
        for policy in policies {
            output::say(&format!("{sign} policy {policy}"))?;
        }
    }
    for queue in &diff.queues {
        output::say(&format!("~ queue {} in vhost {}", queue.queue, queue.vhost))?;
        output::say(&format!("    now   {}", queue.now))?;
        output::say(&format!("    then  {}", queue.then))?;
    }
    let (policies, queues) = (diff.removed.len() + diff.added.len() + diff.changed.len(), diff.queues.len());
    output::say(&format!("{policies} policies and the plans of {queues} queues would change"))
}

fn list(target: &Target, json: bool) -> Result<(), CliError> {
    let view: PoliciesView = Client::new(target).get("/api/policies", &[])?;
    if json {
        return output::json(&view);
    }
    let header = ["vhost", "policy", "priority", "pattern", "applies to", "mode", "definition"];
    let rows = view.policies.into_iter().map(|policy| {
        [
            policy.vhost,
            policy.name,
            policy.priority.to_string(),
            policy.pattern,
            policy.apply_to,
            policy.mode,
            policy.definition,
        ]
    });
    output::table(header, rows)?;
    output::say(&format!("revision {}; the first one that matches is in force", view.revision))
}

fn explain(explanation: &Explanation) -> Result<(), CliError> {
    output::say(&format!("queue {} in vhost {}", explanation.queue, explanation.vhost))?;
    for line in &explanation.because {
        output::say(&format!("  {line}"))?;
    }
    output::say(&explanation.plan)?;
    if let Some(now) = &explanation.now {
        output::say(now)?;
    }
    Ok(())
}
