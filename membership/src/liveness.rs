//! Which processes this node holds for live: those that gossip does, less those
//! whose streams were reset and whose catalog port then refused a connection. A
//! killed process is so found within milliseconds, a silent one by gossip.
//!
//! The controller convicts on more: a majority of the other live nodes must
//! have found the same (§6.1). All of it only triggers; what is safe is decided
//! by the catalog.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use warren_peer::catalog::SuspectReport;
use warren_replication::types::{NodeId, Process};

use crate::core::Core;
use crate::gossip::Roster;
use crate::service::to_wire;

/// When a suspect's port is tried, after the reset: a process that dies closes
/// its streams a little before its ports.
const PROBES: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(10), Duration::from_millis(30), Duration::from_millis(80)];
const PROBE_TIMEOUT: Duration = Duration::from_millis(100);
/// How often old suspicions are looked through.
const SWEEP: Duration = Duration::from_millis(200);
/// What this node thinks of the others' processes.
pub(crate) struct Liveness {
    me: Process,
    live: watch::Sender<BTreeSet<Process>>,
    /// Those that gossip holds for live, registered or not, suspected or not.
    gossiped: Mutex<BTreeSet<Process>>,
    links: watch::Sender<Vec<(NodeId, SocketAddr)>>,
    suspicions: Mutex<Suspicions>,
    /// Something to look at again.
    poke: Notify,
    /// For the controller: a verdict may have changed.
    verdicts: watch::Sender<()>,
    /// When the Raft leader was last heard.
    heard: Mutex<Instant>,
    /// So much of what it says is being written to the disk here.
    hearing: AtomicUsize,
}

#[derive(Default)]
struct Suspicions {
    /// Found dead by this node.
    found: BTreeMap<Process, Instant>,
    /// Found dead by others, told to this one as Raft leader.
    reports: BTreeMap<Process, BTreeMap<NodeId, Instant>>,
    probing: BTreeSet<Process>,
}

impl Liveness {
    pub(crate) fn new(me: Process) -> Self {
        Self {
            me,
            live: watch::channel(BTreeSet::from([me])).0,
            gossiped: Mutex::default(),
            links: watch::channel(Vec::new()).0,
            suspicions: Mutex::default(),
            poke: Notify::new(),
            verdicts: watch::channel(()).0,
            heard: Mutex::new(Instant::now()),
            hearing: AtomicUsize::new(0),
        }
    }

    /// Registered processes that seem alive, this one always included.
    pub(crate) fn live(&self) -> watch::Receiver<BTreeSet<Process>> {
        self.live.subscribe()
    }

    pub(crate) fn live_list(&self) -> Vec<Process> {
        self.live.borrow().iter().copied().collect()
    }

    pub(crate) fn live_process(&self, node: NodeId) -> Option<Process> {
        self.live.borrow().iter().find(|process| process.node == node).copied()
    }

    /// Somebody speaks as Raft leader, and is heard until this is dropped, which
    /// may take as long as the disk does.
    pub(crate) fn hear(&self) -> Hearing<'_> {
        self.hearing.fetch_add(1, Ordering::AcqRel);
        Hearing { liveness: self, believed: false }
    }

    /// When the Raft leader, whoever it is, was last heard.
    pub(crate) fn last_heard(&self) -> Instant {
        match self.hearing.load(Ordering::Acquire) {
            0 => *self.heard.lock(),
            _ => Instant::now(),
        }
    }

    /// Whether gossip holds a process for dead, or has not heard of it.
    pub(crate) fn lost(&self, process: &Process) -> bool {
        *process != self.me && !self.gossiped.lock().contains(process)
    }

    /// Where the links of all other registered nodes are dialled.
    pub(crate) fn links(&self) -> watch::Receiver<Vec<(NodeId, SocketAddr)>> {
        self.links.subscribe()
    }

    /// Fires when the controller should look again.
    pub(crate) fn verdicts(&self) -> watch::Receiver<()> {
        self.verdicts.subscribe()
    }

    /// Another node found a process dead.
    pub(crate) fn reported(&self, suspect: Process, by: NodeId) {
        if suspect != self.me {
            self.suspicions.lock().reports.entry(suspect).or_default().insert(by, Instant::now());
            self.verdicts.send_replace(());
        }
    }

    /// Those that a majority of the other live nodes found dead, this node's own
    /// finding counted.
    pub(crate) fn convicted(&self) -> BTreeSet<Process> {
        let suspicions = self.suspicions.lock();
        let suspects: BTreeSet<Process> = suspicions.found.keys().chain(suspicions.reports.keys()).copied().collect();
        let live = self.live.borrow();
        let convicts = suspects.into_iter().filter(|suspect| {
            let found_it = |node: NodeId| {
                (node == self.me.node && suspicions.found.contains_key(suspect))
                    || suspicions.reports.get(suspect).is_some_and(|by| by.contains_key(&node))
            };
            let others: Vec<NodeId> =
                live.iter().map(|process| process.node).filter(|node| *node != suspect.node).collect();
            2 * others.iter().filter(|node| found_it(**node)).count() > others.len()
        });
        convicts.collect()
    }

    fn condemn(&self, suspect: Process) {
        self.suspicions.lock().found.insert(suspect, Instant::now());
        self.verdicts.send_replace(());
        self.poke.notify_one();
    }

    /// Forgets findings that gossip did not bear out in time.
    fn sweep(&self, memory: Duration) {
        let mut suspicions = self.suspicions.lock();
        suspicions.found.retain(|_, at| at.elapsed() < memory);
        for by in suspicions.reports.values_mut() {
            by.retain(|_, at| at.elapsed() < memory);
        }
        suspicions.reports.retain(|_, by| !by.is_empty());
    }

    fn found(&self) -> Vec<Process> {
        self.suspicions.lock().found.keys().copied().collect()
    }
}

/// See [`Liveness::hear`].
pub(crate) struct Hearing<'a> {
    liveness: &'a Liveness,
    believed: bool,
}

impl Hearing<'_> {
    /// It was the leader.
    pub(crate) fn believe(mut self) {
        self.believed = true;
    }
}

impl Drop for Hearing<'_> {
    fn drop(&mut self) {
        if self.believed {
            *self.liveness.heard.lock() = Instant::now();
        }
        self.liveness.hearing.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Streams to a process were reset: finds out whether it still answers, and if
/// not, tells whom it concerns.
pub(crate) async fn suspect(core: Arc<Core>, suspect: Process) {
    let liveness = &core.liveness;
    if suspect == liveness.me || !liveness.live.borrow().contains(&suspect) {
        return;
    }
    if !liveness.suspicions.lock().probing.insert(suspect) {
        return;
    }
    let refused = refuses(&core, suspect.node).await;
    liveness.suspicions.lock().probing.remove(&suspect);
    if refused {
        tracing::info!(node = %suspect.node, "a node's streams were reset and its port refuses: taken for dead");
        liveness.condemn(suspect);
        tell_leader(&core, suspect).await;
    }
}

async fn refuses(core: &Core, node: NodeId) -> bool {
    let Some(address) = core.peers.address(node) else { return true };
    for pause in PROBES {
        tokio::time::sleep(pause).await;
        match tokio::time::timeout(PROBE_TIMEOUT, TcpStream::connect(&address)).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) | Err(_) => return true,
        }
    }
    false
}

async fn tell_leader(core: &Core, suspect: Process) {
    let Some(leader) = core.leader().filter(|leader| *leader != suspect.node && *leader != core.node()) else { return };
    let Ok(mut client) = core.peers.client(leader) else { return };
    let header = Some(core.peers.header(leader));
    let report = SuspectReport { header, suspect: Some(to_wire(suspect, None)) };
    // Told again when the next leader takes office, if this one does not hear.
    let _ = tokio::time::timeout(PROBE_TIMEOUT, client.suspect(report)).await;
}

/// Keeps liveness as gossip, the catalog and suspicions are.
pub(crate) async fn run(core: Arc<Core>) {
    let Some(mut roster) = core.gossip().map(crate::gossip::Gossip::roster) else { return };
    let Some(mut raft) = core.raft().map(crate::raft::Raft::server_metrics) else { return };
    let mut nodes = core.catalog.nodes();
    let mut leader = None;
    let mut last_links = BTreeMap::new();
    let mut strangers = BTreeSet::new();
    let memory = core.config.timing.detector() * 2;
    loop {
        core.liveness.sweep(memory);
        let seen = roster.borrow_and_update().clone();
        nodes.borrow_and_update();
        refresh(&core, &seen, &mut last_links);
        note_strangers(&core, &seen, &mut strangers);
        let current = raft.borrow_and_update().current_leader.map(NodeId);
        if current != leader {
            leader = current;
            for suspect in core.liveness.found() {
                tell_leader(&core, suspect).await;
            }
        }
        tokio::select! {
            changed = roster.changed() => if changed.is_err() { return },
            changed = nodes.changed() => if changed.is_err() { return },
            changed = raft.changed() => if changed.is_err() { return },
            () = core.liveness.poke.notified() => {}
            () = tokio::time::sleep(SWEEP) => {}
        }
    }
}

fn refresh(core: &Core, roster: &Roster, last_links: &mut BTreeMap<NodeId, SocketAddr>) {
    let own = core.peers.cluster();
    let mut ours: Vec<_> = roster.values().filter(|seen| own.is_some() && seen.record.cluster() == own).collect();
    // The address of a node's later start is the one to remember.
    ours.sort_by_key(|seen| seen.started);
    let mut seen_live = BTreeSet::from([core.process]);
    for seen in ours {
        let process = seen.record.process();
        if process.node != core.node() {
            core.peers.heard(process.node, seen.record.catalog);
            last_links.insert(process.node, seen.record.peer);
            seen_live.insert(process);
        }
    }
    core.liveness.gossiped.lock().clone_from(&seen_live);
    let mut links = Vec::new();
    {
        let state = core.catalog.state();
        seen_live.retain(|process| *process == core.process || state.is_registered(process));
        for node in state.nodes().filter(|node| node.id() != core.node()) {
            let address = last_links.get(&node.id()).copied().or_else(|| node.addresses.peer.parse().ok());
            links.extend(address.map(|address| (node.id(), address)));
        }
    }
    for suspect in core.liveness.found() {
        seen_live.remove(&suspect);
    }
    let news = core.liveness.live.send_if_modified(|live| replace(live, seen_live));
    core.liveness.links.send_if_modified(|current| replace(current, links));
    if news {
        core.liveness.verdicts.send_replace(());
    }
}

/// Says once of each node of another cluster that it is here.
fn note_strangers(core: &Core, roster: &Roster, known: &mut BTreeSet<Process>) {
    let Some(own) = core.peers.cluster() else { return };
    for seen in roster.values() {
        if let Some(theirs) = seen.record.cluster().filter(|theirs| *theirs != own)
            && known.insert(seen.record.process())
        {
            tracing::error!(
                node = seen.record.name,
                at = %seen.record.catalog,
                %theirs,
                %own,
                "a node of another cluster of the same name gossips here; it is not heard"
            );
        }
    }
}

fn replace<T: PartialEq>(place: &mut T, value: T) -> bool {
    let changed = *place != value;
    *place = value;
    changed
}

#[cfg(test)]
mod tests {
    use warren_replication::types::{Boot, Incarnation};

    use super::*;

    #[test]
    fn a_leader_is_heard_for_as_long_as_the_disk_takes_for_its_word() {
        let liveness = Liveness::new(Process { node: NodeId(1), incarnation: Incarnation(1), boot: Boot(1) });
        let before = liveness.last_heard();
        let hearing = liveness.hear();
        std::thread::sleep(Duration::from_millis(2));
        assert!(liveness.last_heard() > before);
        // A leader of the past is not heard.
        drop(hearing);
        assert_eq!(liveness.last_heard(), before);
        liveness.hear().believe();
        let heard = liveness.last_heard();
        assert!(heard > before);
        assert_eq!(liveness.last_heard(), heard);
    }
}
