//! `/metrics`: the node's numbers, taken when they are asked for.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::State as Shared;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text::encode};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use warren_shard::step::QueueStatus;
use warren_store::{COMMIT_BOUNDS, CommitStats};

use super::{Api, ApiError, Numbers};
use crate::connection::tally::Tally;

/// Queues that have metrics of their own; beyond it only sums are told, so that
/// a scrape of a node with very many queues stays small. The largest go first.
const QUEUES: usize = 1000;

type Labels = Vec<(&'static str, String)>;
type Gauges = Family<Labels, Gauge<i64, AtomicI64>>;
type Levels = Family<Labels, Gauge<f64, AtomicU64>>;
type Counters = Family<Labels, Counter>;

pub(super) async fn show(Shared(api): Shared<Api>) -> Result<impl IntoResponse, ApiError> {
    let statuses = api.cluster.statuses().await;
    api.sampler.look_if_stale(&statuses, Instant::now());
    let mut registry = Registry::with_prefix("warren");
    node(&mut registry, &api);
    queues(&mut registry, &api, statuses);
    process(&mut registry);
    let mut text = String::new();
    encode(&mut text, &registry)
        .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text))
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let gauge = Gauge::<i64, AtomicI64>::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    registry.register(name, help, gauge);
}

fn node(registry: &mut Registry, api: &Api) {
    let Numbers { connections, channels, tally, lease_left, links_up, commits, resources } = api.cluster.numbers();
    gauge(registry, "serving", "1 if the node serves clients", api.cluster.health().is_ok().into());
    gauge(registry, "connections", "Open client connections", connections);
    gauge(registry, "channels", "Open channels", channels);
    clients(registry, &tally);
    gauge(registry, "links_up", "Nodes that a peer link is up to", links_up);
    let lease = Gauge::<f64, AtomicU64>::default();
    lease.set(lease_left as f64 / 1e6);
    registry.register_with_unit("lease_left", "Time until the node's lease runs out", Unit::Seconds, lease);
    registry.register_collector(Box::new(Commits(commits)));
    for (name, help, bytes) in [
        ("memory_used_bytes", "Resident memory as the memory alarm sees it", resources.memory_used),
        ("memory_limit_bytes", "Resident memory above which publishers are blocked", resources.memory_limit),
        ("disk_free_bytes", "Free space on the data folder's disk", resources.disk_free),
        ("disk_free_limit_bytes", "Free space below which publishers are blocked", resources.disk_free_limit),
    ] {
        gauge(registry, name, help, bytes);
    }
    let (alive, alarms, leader) = (Gauges::default(), Gauges::default(), Gauges::default());
    for row in api.cluster.nodes() {
        let label = vec![("node", row.name.clone())];
        alive.get_or_create(&label).set(row.alive.into());
        leader.get_or_create(&label).set((row.raft == "leader").into());
        for alarm in row.alarms {
            // Behind its name some say more.
            let alarm = alarm.split(':').next().unwrap_or_default().to_owned();
            alarms.get_or_create(&vec![("node", row.name.clone()), ("alarm", alarm)]).set(1);
        }
    }
    registry.register("node_alive", "1 if gossip holds the node for alive", alive);
    registry.register("node_leads_catalog", "1 if the node leads the catalog", leader);
    registry.register(
        "node_alarm",
        "Alarms: memory and disk hold back publishers everywhere, max-lag those of its queues",
        alarms,
    );
    let (down, total, unclean) = {
        let catalog = api.cluster.catalog();
        (catalog.down().len() as u64, catalog.queues().len() as u64, catalog.unclean_takeovers())
    };
    gauge(registry, "cluster_queues", "Queues of the cluster", total);
    gauge(registry, "cluster_queues_down", "Queues of the cluster that nobody leads", down);
    registry.register(
        "cluster_unclean_takeovers",
        "Takeovers of queues after which confirmed messages may be missing",
        ConstCounter::new(unclean),
    );
}

/// What this node's clients have done, wherever their queues are led.
fn clients(registry: &mut Registry, tally: &Tally) {
    for (name, help, total) in [
        ("connections_opened", "Client connections that came to an open vhost", tally.connections),
        ("connections_closed", "Client connections that ended after that", tally.connections_closed),
        ("channels_opened", "Channels opened", tally.channels),
        ("channels_closed", "Channels closed", tally.channels_closed),
        ("consumers_created", "Consumers made by clients of this node", tally.consumers),
        ("client_messages_published", "Messages that clients of this node published", tally.published),
        ("client_messages_confirmed", "Publishes confirmed to clients of this node", tally.confirmed),
        ("client_messages_nacked", "Publishes refused to clients of this node", tally.nacked),
        ("client_messages_returned", "Mandatory messages returned to clients of this node", tally.returned),
        ("client_messages_delivered", "Messages handed to clients of this node", tally.delivered),
        ("client_messages_redelivered", "Those that may have been delivered before", tally.redelivered),
        ("client_messages_acked", "Messages that clients of this node acknowledged or rejected", tally.acked),
        ("client_messages_requeued", "Messages that clients of this node gave back", tally.requeued),
    ] {
        registry.register(name, help, ConstCounter::new(total));
    }
}

fn queues(registry: &mut Registry, api: &Api, statuses: Vec<QueueStatus>) {
    let copies = statuses.len() as u64;
    let mut led: Vec<QueueStatus> = statuses.into_iter().filter(|status| status.leading).collect();
    gauge(registry, "queue_copies", "Queues that the node has a copy of", copies);
    gauge(registry, "queues_led", "Queues that the node leads", led.len() as u64);
    let paused = led.iter().filter(|status| status.state.0 != "running").count();
    gauge(registry, "queues_led_not_running", "Queues led here that wait for something", paused as u64);
    let sum = |of: fn(&QueueStatus) -> u64| led.iter().map(of).sum::<u64>();
    gauge(registry, "messages_ready", "Messages ready in queues led here", sum(|status| status.ready));
    gauge(registry, "messages_unacked", "Messages delivered and not acknowledged", sum(|status| status.unacked));
    gauge(registry, "messages_bytes", "Bytes of messages in queues led here", sum(|status| status.bytes));
    let [published, delivered, settled] = api.sampler.totals();
    for (name, help, total) in [
        ("messages_published", "Messages committed to queues led here", published),
        ("messages_delivered", "Messages handed out by queues led here", delivered),
        ("messages_settled", "Messages gone for good from queues led here", settled),
    ] {
        registry.register(name, help, ConstCounter::new(total));
    }
    led.sort_by(|a, b| b.ready.cmp(&a.ready).then(a.queue.cmp(&b.queue)));
    led.truncate(QUEUES);
    let [ready, unacked, consumers, bytes, in_sync] = [(); 5].map(|()| Gauges::default());
    let [published, delivered, settled] = [(); 3].map(|()| Counters::default());
    let rate = Levels::default();
    let [behind_messages, behind_bytes] = [(); 2].map(|()| Gauges::default());
    let behind_seconds = Levels::default();
    let catalog = api.cluster.catalog();
    for status in &led {
        let Some(queue) = catalog.queue(status.queue) else { continue };
        let labels = vec![("vhost", queue.vhost.clone()), ("queue", queue.name.clone())];
        for (node, lag) in &status.lags {
            let backup = super::queues::node_name(&catalog, *node);
            let labels: Labels = labels.iter().cloned().chain([("backup", backup)]).collect();
            let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
            behind_messages.get_or_create(&labels).set(count(lag.messages));
            behind_bytes.get_or_create(&labels).set(count(lag.bytes));
            behind_seconds.get_or_create(&labels).set(lag.micros as f64 / 1e6);
        }
        for (family, value) in [
            (&ready, status.ready),
            (&unacked, status.unacked),
            (&consumers, status.consumers.into()),
            (&bytes, status.bytes),
            (&in_sync, queue.assignment.isr.len() as u64),
        ] {
            family.get_or_create(&labels).set(i64::try_from(value).unwrap_or(i64::MAX));
        }
        let totals = [(&published, status.totals.0), (&delivered, status.totals.1), (&settled, status.totals.2)];
        for (family, total) in totals {
            family.get_or_create(&labels).inner().store(total, Ordering::Relaxed);
        }
        rate.get_or_create(&labels).set(api.sampler.rates(status.queue).publish);
    }
    registry.register("queue_messages_ready", "Messages ready in the queue", ready);
    registry.register("queue_messages_unacked", "Messages of the queue delivered and not acknowledged", unacked);
    registry.register("queue_consumers", "Consumers of the queue on all nodes", consumers);
    registry.register("queue_bytes", "Bytes of the queue's messages", bytes);
    registry.register("queue_in_sync", "Replicas of the queue that are in sync, its leader included", in_sync);
    for (name, help, family) in [
        ("queue_messages_published", "Messages committed to the queue since its leader leads it", published),
        ("queue_messages_delivered", "Messages handed out since its leader leads it", delivered),
        ("queue_messages_settled", "Messages gone for good since its leader leads it", settled),
    ] {
        registry.register(name, help, family);
    }
    registry.register("queue_backup_lag_messages", "Confirmed messages that a trailing backup lacks", behind_messages);
    registry.register("queue_backup_lag_bytes", "Bytes of log confirmed that a trailing backup lacks", behind_bytes);
    let help = "Since the oldest message was confirmed that a trailing backup lacks";
    registry.register_with_unit("queue_backup_lag", help, Unit::Seconds, behind_seconds);
    registry.register("queue_publish_rate", "Messages published to the queue a second", rate);
}

fn process(registry: &mut Registry) {
    if let Some(bytes) = resident_bytes() {
        gauge(registry, "process_resident_memory_bytes", "Resident memory of the node's process", bytes);
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        gauge(registry, "process_open_files", "Open files and sockets of the node's process", files.count() as u64);
    }
}

/// Resident memory of this process, where the system tells it.
pub(crate) fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// The histogram of group commits, counted by the store's own thread.
#[derive(Debug)]
struct Commits(CommitStats);

impl Collector for Commits {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut metric = encoder.encode_descriptor(
            "commit",
            "Time that a group commit with its fsync took",
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        let seconds = |micros: u64| micros as f64 / 1e6;
        let bounds = COMMIT_BOUNDS.iter().map(|bound| seconds(*bound)).chain([f64::INFINITY]);
        // The encoder makes them cumulative.
        let buckets: Vec<(f64, u64)> = bounds.zip(self.0.by_time).collect();
        let count = self.0.by_time.iter().sum();
        metric.encode_histogram::<Labels>(seconds(self.0.total), count, &buckets, None)
    }
}
