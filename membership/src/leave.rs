//! The end of a process's membership (§6.5): first it leads nothing more, then
//! nobody waits for it as a mirror, then it is gone.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;
use warren_replication::types::Process;

use crate::catalog::{Command, Led};
use crate::core::Core;
use crate::lease::keeper;
use crate::propose;

/// How long a stopping node tries to get a word into the catalog.
const WORD: Duration = Duration::from_secs(2);
/// Handovers in one batch.
const HANDOVERS: usize = 512;
/// How often it is said what is still waited for.
const SAY: Duration = Duration::from_secs(1);

/// Gives what this process leads to others, and waits until it is theirs: no
/// longer than this for queues whose other replicas have to catch up first, and
/// not at all where nobody could lead. Says what is left.
pub(crate) async fn stop_leading(core: &Core, wait: Duration) -> Led {
    let deadline = Instant::now() + wait;
    if core.liveness.live_list().len() > 1 {
        let told = propose::persist(core, vec![Command::Stop { process: core.process }], Instant::now() + WORD).await;
        if let Err(error) = told {
            tracing::warn!(%error, "the catalog was not told that this node stops; what it leads is elected for then");
            return Led::default();
        }
    }
    let mut applied = core.catalog.applied();
    let mut live = core.liveness.live();
    let mut said = Instant::now();
    loop {
        applied.borrow_and_update();
        let left = {
            let live = live.borrow_and_update().clone();
            core.catalog.state().led_of(core.node(), &live)
        };
        if left.movable + left.waiting == 0 || Instant::now() >= deadline {
            return left;
        }
        if said.elapsed() >= SAY {
            said = Instant::now();
            tracing::info!(left.movable, left.waiting, "waiting for other nodes to take queues over");
        }
        tokio::select! {
            changed = applied.changed() => if changed.is_err() { return left },
            changed = live.changed() => if changed.is_err() { return left },
            () = tokio::time::sleep(SAY) => {}
            () = tokio::time::sleep_until(deadline) => {}
        }
    }
}

/// Leaves the in-sync sets that others lead, so that nobody waits for this
/// process when it is gone.
pub(crate) async fn depart(core: &Core) {
    if core.liveness.live_list().len() > 1 {
        let departed = propose::persist(core, vec![Command::Depart { process: core.process }], Instant::now() + WORD);
        if let Err(error) = departed.await {
            tracing::warn!(%error, "the other nodes find out by themselves that this one is gone");
        }
    }
}

/// Hands over what is left, and tells the others of the end. If the lease was
/// given up before, the shards know by now, and no change of the catalog waits
/// for this node (§6.7).
pub(crate) async fn farewell(core: &Core) {
    core.stopping.send_replace(true);
    let released = !keeper::give_up(core);
    if released {
        keeper::release(core).await;
    }
    hand_over(core).await;
    if let Some(gossip) = core.gossip() {
        gossip.amend(|record| record.leaving = true).await;
    }
    if let Some(raft) = core.raft() {
        // Its log is on disk already; this only ends it in order, and lets the
        // Raft lease of the others run out as they hear of the end.
        let _ = raft.shutdown().await;
    }
    // The others hear of it in their next round of gossip.
    tokio::time::sleep(core.config.timing.gossip).await;
}

/// Hands every queue that this process still leads to an in-sync mirror, if there
/// is one. Only its shard knows whether a lease from before its own may still
/// run, so that the successors wait as for any (§6.7).
async fn hand_over(core: &Core) {
    let deadline = Instant::now() + WORD;
    let live: BTreeSet<Process> = core.liveness.live_list().into_iter().filter(|p| *p != core.process).collect();
    let commands: Vec<Command> = {
        let state = core.catalog.state();
        let led = state
            .queues()
            .filter(|(_, queue)| queue.assignment.leader == Some(core.process) && queue.assignment.isr.len() > 1);
        led.map(|(id, queue)| Command::Handover {
            queue: id,
            epoch: queue.assignment.epoch,
            version: queue.assignment.version,
            to: None,
            live: live.iter().copied().collect(),
            released: false,
        })
        .collect()
    };
    let all = commands.len();
    let mut handed = 0;
    for batch in commands.chunks(HANDOVERS) {
        match propose::persist(core, batch.to_vec(), deadline).await {
            Ok(outcomes) => handed += outcomes.iter().filter(|outcome| outcome.is_ok()).count(),
            Err(error) => {
                tracing::warn!(%error, "queues were not handed over; they are elected for when this node is gone");
                break;
            }
        }
    }
    if all > 0 {
        tracing::info!(handed, all, "handed over what was left");
    }
}
