//! When publishers are held back: this node's memory and disk against their
//! limits, and what the other nodes say of theirs. An alarm on one live node
//! holds back the publishers of all, since their messages go everywhere; it
//! lifts by itself. Only reading from publishing connections stops: mirrors,
//! consumers and acknowledgements go on, or it could not. (`lag.rs` has an alarm
//! that is told with these, and holds back nobody by itself.)

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{info, warn};
use warren_membership::Membership;

use crate::config::{AlarmConfig, Share};
use crate::management::Resources;

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
    lag: watch::Receiver<Option<String>>,
    blocked: watch::Sender<Option<Arc<str>>>,
    measured: watch::Sender<Resources>,
) {
    let mut told: Vec<String> = Vec::new();
    let mut own: Vec<String> = Vec::new();
    loop {
        let resources = measure(&limits, &data);
        measured.send_replace(resources);
        let now = alarms(&resources);
        if now != own {
            match now.is_empty() {
                true => info!("resource alarms are over; publishers go on"),
                false => warn!(alarms = now.join(", "), "resource alarm: publishers are held back on all nodes"),
            }
            own = now;
        }
        // That one holds back nobody but publishers of its queues, by itself.
        let all: Vec<String> = own.iter().cloned().chain(lag.borrow().clone()).collect();
        if all != told {
            membership.set_alarms(all.clone());
            told = all;
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

fn measure(limits: &AlarmConfig, data: &Path) -> Resources {
    Resources {
        // What cannot be measured raises no alarm.
        memory_used: resident().unwrap_or(0),
        memory_limit: limit(limits.memory_high_watermark),
        disk_free: free(data).unwrap_or(u64::MAX),
        disk_free_limit: limits.disk_free_limit.get(),
    }
}

fn alarms(resources: &Resources) -> Vec<String> {
    let low_on_memory = resources.memory_used > resources.memory_limit;
    let low_on_disk = resources.disk_free < resources.disk_free_limit;
    [(low_on_memory, MEMORY), (low_on_disk, DISK)]
        .into_iter()
        .filter(|(raised, _)| *raised)
        .map(|(_, name)| name.to_owned())
        .collect()
}

fn limit(share: Share) -> u64 {
    share.of(total(Path::new("/")).unwrap_or(u64::MAX))
}

/// This process's resident memory in bytes.
fn resident() -> Option<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = pages.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// The memory that there is for this process in bytes: the machine's, or less if
/// a control group says so.
fn total(root: &Path) -> Option<u64> {
    let memory = std::fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = memory.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kib: u64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(group_limit(root).map_or(kib * 1024, |limit| limit.min(kib * 1024)))
}

/// The least that this process's control group, or one above it, allows. "max"
/// and what is not there limit nothing.
fn group_limit(root: &Path) -> Option<u64> {
    let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let limit = |file: PathBuf| std::fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    // Version 2 has one hierarchy, `0::/path`; version 1 one a controller.
    let mounted = root.join("sys/fs/cgroup");
    let (group, mount, name) = groups.lines().find_map(|line| match line.split(':').collect::<Vec<_>>()[..] {
        ["0", "", path] => Some((path, mounted.clone(), "memory.max")),
        [_, controllers, path] if controllers.split(',').any(|name| name == "memory") => {
            Some((path, mounted.join("memory"), "memory.limit_in_bytes"))
        }
        _ => None,
    })?;
    // Inside a container the path may be the host's; its own group is the mount then.
    let own = Path::new(group.trim_start_matches('/'));
    own.ancestors().filter_map(|above| limit(mount.join(above).join(name))).min()
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
        assert!(alarms(&measure(&calm, Path::new("/"))).is_empty());
        let strict = AlarmConfig { memory_high_watermark: Share::Percent(0), disk_free_limit: Size::bytes(u64::MAX) };
        assert_eq!(alarms(&measure(&strict, Path::new("/"))), [MEMORY, DISK]);
        assert!(resident().unwrap() < total(Path::new("/")).unwrap());
    }

    #[test]
    fn a_control_group_may_leave_less_than_the_machine_has() {
        let root = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("proc/meminfo", "MemTotal:       1000 kB\nMemFree: 1 kB\n");
        assert_eq!(total(root.path()), Some(1_024_000));
        write("proc/self/cgroup", "0::/a/b\n");
        write("sys/fs/cgroup/a/b/memory.max", "max\n");
        assert_eq!(total(root.path()), Some(1_024_000));
        write("sys/fs/cgroup/a/memory.max", "5000\n");
        assert_eq!(total(root.path()), Some(5000));
        write("proc/self/cgroup", "5:cpu:/x\n4:memory:/x\n");
        write("sys/fs/cgroup/memory/memory.limit_in_bytes", "7000\n");
        assert_eq!(total(root.path()), Some(7000));
        write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(total(root.path()), Some(1_024_000));
    }
}
