//! `warren bench`: how fast a broker is, any of AMQP 0-9-1.

use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;
use warren_amqp::Value;

use super::{CliError, output};
use crate::client::Uri;
use crate::config::Period;
use crate::load::{Extent, Quantiles, Report, STAMP_SIZE, Topology, Workload};

/// What to measure.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Throughput: as given. Latency: with --rate, measured from when each message should have been sent. \
A long queue: with --fill, which publishes before it consumes.")]
pub(super) struct Args {
    /// Where to connect; may be repeated. Publishers use the first, consumers the
    /// second, and if there are more of them the next ones in turn.
    #[arg(long, value_name = "URI", default_value = "amqp://guest:guest@127.0.0.1:5672")]
    uri: Vec<Uri>,
    /// Publishers, each with its own connection.
    #[arg(long, value_name = "N", default_value_t = 1)]
    publishers: usize,
    /// Consumers, each with its own connection.
    #[arg(long, value_name = "N", default_value_t = 1)]
    consumers: usize,
    /// Queues; publishers and consumers are dealt out to them.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    queues: u32,
    /// Octets of a message's body.
    #[arg(long, value_name = "OCTETS", default_value_t = 1024)]
    size: usize,
    /// Unconfirmed messages of a publisher at most; 0 publishes without confirms.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    window: usize,
    /// Unacknowledged messages of a consumer at most; 0 is no limit.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    prefetch: u16,
    /// Consume without acknowledgements.
    #[arg(long)]
    no_ack: bool,
    /// Messages a second, of all publishers together.
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,
    /// How long to measure.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    duration: Period,
    /// How long to run before measuring.
    #[arg(long, value_name = "TIME", default_value = "2s")]
    warm_up: Period,
    /// Send so many messages, however long it takes.
    #[arg(long, value_name = "N", conflicts_with_all = ["duration", "warm_up"])]
    messages: Option<u64>,
    /// Send so many messages, and only then consume them.
    #[arg(long, value_name = "N", conflicts_with_all = ["duration", "warm_up", "messages"])]
    fill: Option<u64>,
    /// The queues' type: sets x-queue-type.
    #[arg(long, value_name = "TYPE")]
    queue_type: Option<String>,
    /// A queue's argument, as in x-max-length=1000; may be repeated.
    #[arg(long = "argument", value_name = "NAME=VALUE", value_parser = argument)]
    arguments: Vec<(String, Value)>,
    /// Queues that do not outlive a restart, and messages that are not persistent.
    #[arg(long)]
    transient: bool,
    /// The queues' names: this, a dash and a number.
    #[arg(long, value_name = "TEXT", default_value = "bench")]
    queue_prefix: String,
    /// Leave the queues there.
    #[arg(long)]
    keep: bool,
    /// How long to wait for what does not come.
    #[arg(long, value_name = "TIME", default_value = "30s")]
    patience: Period,
    /// For programs: JSON.
    #[arg(long)]
    json: bool,
}

/// Measures and reports; fails if a message was lost, doubled or out of order.
pub(super) fn run(args: &Args) -> Result<ExitCode, CliError> {
    if args.size < STAMP_SIZE {
        return Err(CliError::Usage(format!("--size must be at least {STAMP_SIZE}: messages are numbered")));
    }
    let workload = workload(args);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, |cores| cores.get().min(8)))
        .enable_all()
        .build()
        .map_err(|error| CliError::Usage(format!("cannot start a runtime: {error}")))?;
    let report = runtime.block_on(workload.run(rand::random()))?;
    if args.json {
        output::json(&Document { workload: Summary::of(args), report: &report })?;
    } else {
        show(args, &report)?;
    }
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn workload(args: &Args) -> Workload {
    let mut arguments = args.arguments.clone();
    if let Some(kind) = &args.queue_type {
        arguments.push(("x-queue-type".to_owned(), Value::text(kind)));
    }
    Workload {
        uris: args.uri.clone(),
        topology: Topology {
            prefix: args.queue_prefix.clone(),
            queues: args.queues as usize,
            durable: !args.transient,
            arguments,
        },
        publishers: args.publishers,
        consumers: args.consumers,
        size: args.size,
        window: args.window,
        prefetch: args.prefetch,
        no_ack: args.no_ack,
        persistent: !args.transient,
        rate: args.rate,
        extent: match (args.messages, args.fill) {
            (_, Some(messages)) => Extent::Fill(messages),
            (Some(messages), None) => Extent::Messages(messages),
            (None, None) => Extent::Time { warm_up: args.warm_up.get(), measured: args.duration.get() },
        },
        keep: args.keep,
        patience: args.patience.get().max(Duration::from_secs(1)),
    }
}

/// `--json`.
#[derive(Serialize)]
struct Document<'a> {
    workload: Summary<'a>,
    #[serde(flatten)]
    report: &'a Report,
}

/// What was measured, in the words of the command line.
#[derive(Serialize)]
struct Summary<'a> {
    publishers: usize,
    consumers: usize,
    queues: u32,
    size: usize,
    window: usize,
    prefetch: u16,
    rate: Option<f64>,
    fill: Option<u64>,
    queue_type: Option<&'a str>,
    persistent: bool,
}

impl<'a> Summary<'a> {
    fn of(args: &'a Args) -> Self {
        Self {
            publishers: args.publishers,
            consumers: args.consumers,
            queues: args.queues,
            size: args.size,
            window: args.window,
            prefetch: args.prefetch,
            rate: args.rate,
            fill: args.fill,
            queue_type: args.queue_type.as_deref(),
            persistent: !args.transient,
        }
    }
}

fn show(args: &Args, report: &Report) -> Result<(), CliError> {
    let latency = |latency: &Quantiles| {
        [latency.p50, latency.p90, latency.p99, latency.p999, latency.max].map(|millis| format!("{millis:.2}"))
    };
    let row = |name: &str, count: u64, rate: f64, quantiles: &Quantiles| {
        let [p50, p90, p99, p999, max] = latency(quantiles);
        [name.to_owned(), count.to_string(), format!("{rate:.0}"), p50, p90, p99, p999, max]
    };
    let mut rows = Vec::new();
    if args.window > 0 {
        rows.push(row("confirmed", report.confirmed, report.confirm_rate, &report.confirm_latency));
    } else {
        rows.push(row("published", report.confirmed, report.confirm_rate, &report.confirm_latency));
    }
    if args.consumers > 0 {
        rows.push(row("delivered", report.delivered, report.deliver_rate, &report.end_to_end_latency));
    }
    output::table(["", "messages", "a second", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms"], rows)?;
    output::say(&format!(
        "attempted {}, refused {}, lost {}, duplicated {}, out of order {}, redelivered {}, foreign {}",
        report.attempted,
        report.refused,
        report.lost,
        report.duplicated,
        report.out_of_order,
        report.redelivered,
        report.foreign
    ))
}

fn rate(text: &str) -> Result<f64, String> {
    match text.replace('_', "").parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err("expected a number above 0".to_owned()),
    }
}

/// `name=value`; numbers and truth values are sent as such.
fn argument(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    if name.is_empty() || name.len() > 255 {
        return Err("a name has 1 to 255 octets".to_owned());
    }
    let value = match value.parse::<i64>() {
        Ok(number) => Value::I64(number),
        Err(_) => match value.parse::<bool>() {
            Ok(truth) => Value::Bool(truth),
            Err(_) => Value::text(value),
        },
    };
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn arguments_are_sent_as_what_they_look_like() {
        assert_eq!(argument("x-max-length=10").unwrap(), ("x-max-length".to_owned(), Value::I64(10)));
        assert_eq!(argument("x-single-active-consumer=true").unwrap().1, Value::Bool(true));
        assert_eq!(argument("x-overflow=reject-publish").unwrap().1.as_str(), Some("reject-publish"));
        assert!(argument("novalue").is_err() && argument("=1").is_err());
        assert!(rate("0").is_err() && rate("x").is_err() && rate("2_000").unwrap() > 1999.0);
    }
}
