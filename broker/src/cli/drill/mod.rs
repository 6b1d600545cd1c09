//! `warren drill`: faults on a cluster of this machine, under load, with every
//! message accounted for.

mod clock;
mod host;
mod local;
mod network;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{CliError, output};
use crate::config::Period;
use crate::drill::{Drill, Figure, Plan, Repeated, Report, Roles, page};
use crate::load::STAMP_SIZE;
use local::Local;

/// Which drills, on which cluster, under what load.
#[derive(Debug, clap::Args)]
#[command(after_help = "Without --data each drill gets three nodes of its own, which are removed at the end.")]
pub(super) struct Args {
    /// Drills of the catalogue by name, or files; `all` for the whole catalogue.
    #[arg(value_name = "DRILL", required_unless_present = "list")]
    drills: Vec<String>,
    /// Say what drills there are.
    #[arg(long)]
    list: bool,
    /// Say what would be done, and whether it can be done here, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// The folder of a cluster made by `warren cluster up`; its nodes must run.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Do each so many times; median and worst are shown.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Messages a second of each of the two publishers; 0 = as many as the window lets through.
    #[arg(long, value_name = "N")]
    rate: Option<u32>,
    /// Unconfirmed messages of a publisher at most.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    window: Option<u32>,
    /// Octets of a message's body.
    #[arg(long, value_name = "OCTETS")]
    size: Option<usize>,
    /// Unacknowledged messages of the consumer at most.
    #[arg(long, value_name = "N")]
    prefetch: Option<u16>,
    /// Load before the first fault.
    #[arg(long, value_name = "TIME")]
    before: Option<Period>,
    /// Load after the last step.
    #[arg(long, value_name = "TIME")]
    after: Option<Period>,
    /// How long to wait for what should come about by itself.
    #[arg(long, value_name = "TIME", default_value = "60s")]
    patience: Period,
    /// Fail if a client of a node that nothing is done to waits longer than this for a confirm.
    #[arg(long, value_name = "TIME")]
    max_gap: Option<Period>,
    /// The queue's name begins with this.
    #[arg(long, value_name = "TEXT", default_value = "drill")]
    queue_prefix: String,
    /// For programs: JSON.
    #[arg(long)]
    json: bool,
    /// A page with plots, for a browser.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Does them; the exit status says whether all was well.
pub(super) fn run(args: &Args) -> Result<ExitCode, CliError> {
    if args.list {
        let rows = Plan::catalogue()?.into_iter().map(|plan| [plan.name, plan.about]);
        return output::table(["drill", "what happens"], rows).map(|()| ExitCode::SUCCESS);
    }
    if args.size.is_some_and(|size| size < STAMP_SIZE) {
        return Err(CliError::Usage(format!("--size must be at least {STAMP_SIZE}: messages are numbered")));
    }
    let plans = plans(args)?;
    if args.dry_run {
        plans.iter().try_for_each(|plan| dry_run(plan, args))?;
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::Usage(format!("cannot start a runtime: {error}")))?;
    let mut done = Vec::new();
    for plan in plans {
        let found = match Local::able(&plan, args.data.as_deref()) {
            Ok(()) => repeat(&plan, args, &runtime)?,
            Err(why) => Repeated::skipped(&plan.name, why),
        };
        if !args.json {
            show(&found)?;
        }
        done.push(found);
    }
    if args.json {
        output::json(&done)?;
    } else if done.len() > 1 || args.repeat > 1 {
        summary(&done)?;
    }
    if let Some(file) = &args.html {
        std::fs::write(file, page(&done)).map_err(CliError::file("write", file))?;
    }
    let passed = done.iter().all(|drill| drill.passed);
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The drills that are meant, with the load that is asked for.
fn plans(args: &Args) -> Result<Vec<Plan>, CliError> {
    let catalogue = Plan::catalogue()?;
    let mut plans = Vec::new();
    for name in &args.drills {
        if name == "all" {
            plans.extend(catalogue.iter().cloned());
        } else if let Some(plan) = catalogue.iter().find(|plan| plan.name == *name) {
            plans.push(plan.clone());
        } else if Path::new(name).is_file() {
            let text = std::fs::read_to_string(name).map_err(CliError::file("read", Path::new(name)))?;
            plans.push(Plan::parse(&text)?);
        } else {
            return Err(CliError::Usage(format!("there is no drill {name:?}; --list says which there are")));
        }
    }
    for plan in &mut plans {
        let load = &mut plan.load;
        load.rate = args.rate.unwrap_or(load.rate);
        load.window = args.window.map_or(load.window, |window| window as usize);
        load.size = args.size.unwrap_or(load.size);
        load.prefetch = args.prefetch.unwrap_or(load.prefetch);
        load.before = args.before.unwrap_or(load.before);
        load.after = args.after.unwrap_or(load.after);
    }
    Ok(plans)
}

fn dry_run(plan: &Plan, args: &Args) -> Result<(), CliError> {
    output::say(&format!("{}: {}", plan.name, plan.about))?;
    for line in plan.story(&Roles::unknown()) {
        output::say(&format!("  {line}"))?;
    }
    match Local::able(plan, args.data.as_deref()) {
        Ok(()) => Ok(()),
        Err(why) => output::say(&format!("  cannot be done: {why}")),
    }
}

fn repeat(plan: &Plan, args: &Args, runtime: &tokio::runtime::Runtime) -> Result<Repeated, CliError> {
    let drill = Drill {
        plan: plan.clone(),
        queue_prefix: args.queue_prefix.clone(),
        patience: args.patience.get(),
        most_gap: args.max_gap.map(Period::get),
    };
    let mut cluster = match &args.data {
        Some(folder) => Local::open(folder)?,
        None => Local::make(plan)?,
    };
    output::complain(&format!("{}: {}", plan.name, plan.about));
    let mut runs = Vec::new();
    for _ in 0..args.repeat {
        match drill.run(&mut cluster, runtime, &output::complain) {
            Ok(report) => runs.push(report),
            Err(error) => {
                cluster.keep();
                return Err(error.into());
            }
        }
    }
    let found = Repeated::of(&plan.name, runs);
    if !found.passed {
        cluster.keep();
    }
    Ok(found)
}

fn show(drill: &Repeated) -> Result<(), CliError> {
    if let Some(why) = &drill.skipped {
        return output::say(&format!("{}: skipped: {why}", drill.drill));
    }
    for report in &drill.runs {
        show_run(report)?;
    }
    Ok(())
}

fn show_run(report: &Report) -> Result<(), CliError> {
    let optional = |millis: Option<u64>| millis.map_or_else(|| "never".to_owned(), |millis| format!("{millis} ms"));
    let rows = [
        ("attempted", report.attempted.to_string()),
        ("confirmed", report.confirmed.to_string()),
        ("refused", report.refused.to_string()),
        ("delivered", report.delivered.to_string()),
        ("lost (confirmed, never delivered)", report.lost.to_string()),
        ("duplicated", report.duplicated.to_string()),
        ("duplicated after a lost connection", report.duplicated_by_reconnect.to_string()),
        ("out of order", report.out_of_order.to_string()),
        ("marked as redelivered", report.redelivered.to_string()),
        ("connections lost by clients of other nodes", report.steady_connections_lost.to_string()),
        ("connections lost by clients of hurt nodes", report.hurt_connections_lost.to_string()),
        ("longest gap without a confirm", format!("{} ms", report.longest_confirm_gap_ms)),
        ("the same for a hurt node's client", format!("{} ms", report.longest_confirm_gap_of_hurt_client_ms)),
        ("longest gap without a delivery", format!("{} ms", report.longest_delivery_gap_ms)),
        ("all in sync after the last repair", optional(report.back_in_sync_ms)),
        ("all in sync after the first fault", optional(report.back_in_sync_since_fault_ms)),
    ];
    let (led, leads) = (&report.roles.leader, report.leader.as_deref().unwrap_or("nobody"));
    output::table(
        [&format!("{}: {led} led, {leads} leads", report.drill), ""],
        rows.map(|(name, value)| [name.to_owned(), value]),
    )?;
    for failure in &report.failures {
        output::say(&format!("failed: {failure}"))?;
    }
    if report.passed { output::say("passed") } else { Ok(()) }
}

/// A row a drill; of several runs, median and worst.
fn summary(drills: &[Repeated]) -> Result<(), CliError> {
    let figure = |figure: Option<Figure>| {
        figure.map_or_else(|| "-".to_owned(), |figure| format!("{} / {}", figure.median, figure.worst))
    };
    let rows = drills.iter().map(|drill| {
        let outcome = match (&drill.skipped, drill.passed) {
            (Some(_), _) => "skipped",
            (None, true) => "passed",
            (None, false) => "failed",
        };
        [
            drill.drill.clone(),
            outcome.to_owned(),
            drill.runs.len().to_string(),
            drill.sum(|run| run.confirmed).to_string(),
            drill.sum(|run| run.lost).to_string(),
            drill.sum(|run| run.duplicated).to_string(),
            drill.sum(|run| run.out_of_order).to_string(),
            figure(drill.confirm_gap_ms),
            figure(drill.delivery_gap_ms),
            figure(drill.redundancy_ms),
        ]
    });
    output::say("median / worst of the runs, in milliseconds:")?;
    let header = [
        "drill",
        "outcome",
        "runs",
        "confirmed",
        "lost",
        "duplicated",
        "out of order",
        "confirm gap",
        "delivery gap",
        "in sync again",
    ];
    output::table(header, rows)
}
