//! When publishers are held back: this node's memory and disk against their
//! limits, and what the other nodes say of theirs. An alarm on one live node
//! holds back the publishers of all, since their messages go everywhere; it
//! lifts by itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{info, warn};
use warren_membership::Membership;

use crate::config::{AlarmConfig, Share};

/// How often memory and disk are measured.
const LOOK: Duration = Duration::from_millis(500);

/// A measured resource crossed its limit.
const MEMORY: &str = "memory";
const DISK: &str = "disk";

/// Watches until the task is dropped.
pub(super) async fn watch(
    membership: Membership,
    limits: AlarmConfig,
    data: PathBuf,
    blocked: watch::Sender<Option<Arc<str>>>,
) {
    let mut own: Vec<String> = Vec::new();
    loop {
        let now = measure(&limits, &data);
        if now != own {
            match now.is_empty() {
                true => info!("resource alarms are over; publishers go on"),
                false => warn!(alarms = now.join(", "), "resource alarm: publishers are held back on all nodes"),
            }
            membership.set_alarms(now.clone());
            own = now;
        }
        let reason = reason(&membership, &own);
        blocked.send_if_modified(|blocked| {
            let changed = *blocked != reason;
            *blocked = reason;
            changed
        });
        tokio::time::sleep(LOOK).await;
    }
}

/// Why publishers are held back, in RabbitMQ's words, if they are.
fn reason(membership: &Membership, own: &[String]) -> Option<Arc<str>> {
    let mut raised: Vec<String> = own.to_vec();
    for node in membership.nodes().into_iter().filter(|node| node.alive) {
        raised.extend(node.alarms);
    }
    let low = |alarm: &str| raised.iter().any(|raised| raised == alarm);
    match (low(MEMORY), low(DISK)) {
        (true, true) => Some("low on memory & disk".into()),
        (true, false) => Some("low on memory".into()),
        (false, true) => Some("low on disk".into()),
        (false, false) => None,
    }
}

fn measure(limits: &AlarmConfig, data: &Path) -> Vec<String> {
    let mut alarms = Vec::new();
    if resident().is_some_and(|used| used > limit(limits.memory_high_watermark)) {
        alarms.push(MEMORY.to_owned());
    }
    if free(data).is_some_and(|free| free < limits.disk_free_limit.get()) {
        alarms.push(DISK.to_owned());
    }
    alarms
}

fn limit(share: Share) -> u64 {
    share.of(total().unwrap_or(u64::MAX))
}

/// This process's resident memory in bytes.
fn resident() -> Option<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = pages.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// The machine's memory in bytes.
fn total() -> Option<u64> {
    let memory = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = memory.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kib: u64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// Bytes free for us on the disk that the folder is on.
fn free(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail * disk.f_frsize)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::Size;

    #[test]
    fn both_resources_are_measured() {
        let calm = AlarmConfig { memory_high_watermark: Share::Percent(100), disk_free_limit: Size::bytes(0) };
        assert!(measure(&calm, Path::new("/")).is_empty());
        let strict = AlarmConfig { memory_high_watermark: Share::Percent(0), disk_free_limit: Size::bytes(u64::MAX) };
        assert_eq!(measure(&strict, Path::new("/")), [MEMORY, DISK]);
        assert!(resident().unwrap() < total().unwrap());
    }
}
