//! `/metrics`: the node's numbers, taken when they are asked for.

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Instant;

use axum::extract::State as Shared;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text::encode};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use warren_shard::step::QueueStatus;

use super::{Api, ApiError, Numbers};

/// Queues that have metrics of their own; beyond it only sums are told, so that
/// a scrape of a node with very many queues stays small. The largest go first.
const QUEUES: usize = 1000;

type Labels = Vec<(&'static str, String)>;
type Gauges = Family<Labels, Gauge<i64, AtomicI64>>;
type Levels = Family<Labels, Gauge<f64, AtomicU64>>;

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
    let Numbers { connections, lease_left, links_up, commit_seconds, commit_seconds_sum } = api.cluster.numbers();
    gauge(registry, "serving", "1 if the node serves clients", api.cluster.health().is_ok().into());
    gauge(registry, "connections", "Open client connections", connections);
    gauge(registry, "links_up", "Nodes that a peer link is up to", links_up);
    let lease = Gauge::<f64, AtomicU64>::default();
    lease.set(lease_left as f64 / 1e6);
    registry.register_with_unit("lease_left", "Time until the node's lease runs out", Unit::Seconds, lease);
    if !commit_seconds.is_empty() {
        registry.register_collector(Box::new(Commits { buckets: commit_seconds, sum: commit_seconds_sum }));
    }
    let (alive, alarms, leader) = (Gauges::default(), Gauges::default(), Gauges::default());
    for row in api.cluster.nodes() {
        let label = vec![("node", row.name.clone())];
        alive.get_or_create(&label).set(row.alive.into());
        leader.get_or_create(&label).set((row.raft == "leader").into());
        for alarm in row.alarms {
            alarms.get_or_create(&vec![("node", row.name.clone()), ("alarm", alarm)]).set(1);
        }
    }
    registry.register("node_alive", "1 if gossip holds the node for alive", alive);
    registry.register("node_leads_catalog", "1 if the node leads the catalog", leader);
    registry.register("node_alarm", "Alarms that block publishers", alarms);
    let (down, total) = {
        let catalog = api.cluster.catalog();
        (catalog.down().len() as u64, catalog.queues().len() as u64)
    };
    gauge(registry, "cluster_queues", "Queues of the cluster", total);
    gauge(registry, "cluster_queues_down", "Queues of the cluster that nobody leads", down);
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
    let rate = Levels::default();
    let catalog = api.cluster.catalog();
    for status in &led {
        let Some(queue) = catalog.queue(status.queue) else { continue };
        let labels = vec![("vhost", queue.vhost.clone()), ("queue", queue.name.clone())];
        for (family, value) in [
            (&ready, status.ready),
            (&unacked, status.unacked),
            (&consumers, status.consumers.into()),
            (&bytes, status.bytes),
            (&in_sync, queue.assignment.isr.len() as u64),
        ] {
            family.get_or_create(&labels).set(i64::try_from(value).unwrap_or(i64::MAX));
        }
        rate.get_or_create(&labels).set(api.sampler.rates(status.queue).publish);
    }
    registry.register("queue_messages_ready", "Messages ready in the queue", ready);
    registry.register("queue_messages_unacked", "Messages of the queue delivered and not acknowledged", unacked);
    registry.register("queue_consumers", "Consumers of the queue on all nodes", consumers);
    registry.register("queue_bytes", "Bytes of the queue's messages", bytes);
    registry.register("queue_in_sync", "Replicas of the queue that are in sync, its leader included", in_sync);
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
struct Commits {
    buckets: Vec<(f64, u64)>,
    sum: f64,
}

impl Collector for Commits {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut metric = encoder.encode_descriptor(
            "commit",
            "Time that a group commit with its fsync took",
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        let count = self.buckets.iter().map(|(_, count)| count).sum();
        metric.encode_histogram::<Labels>(self.sum, count, &self.buckets, None)
    }
}
