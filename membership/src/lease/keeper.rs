//! This node's lease (§6.7): asked for at a moment t0, answered with a read
//! index that a majority confirmed after the request, it runs until t0 + L, and
//! counts from when this node has applied the catalog up to that index. Also
//! tells the Raft leader, after every step, how far this node has applied.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use warren_peer::catalog::{AppliedReport, LeaseRequest};
use warren_replication::types::Moment;

use crate::clock;
use crate::core::Core;
use crate::office::Denied;
use crate::service::to_wire;

/// How long to wait before asking again after a failure, unless the leader
/// changes before.
const RETRY: Duration = Duration::from_millis(20);

/// Keeps the lease renewed, as long as it is not given up.
pub(crate) async fn keep(core: Arc<Core>) {
    let lease = core.config.timing.lease;
    let mut leaseless = core.leaseless.subscribe();
    loop {
        let asked = clock::now();
        let granted = timeout(lease / 2, obtain(&core)).await;
        let pause = match granted {
            Ok(Ok(())) => {
                let until = asked.plus_micros(clock::micros(lease));
                core.lease.send_if_modified(|current| {
                    // Looked at under the lock that `give_up` ends it under.
                    let longer = until > *current && !*core.leaseless.borrow();
                    if longer {
                        *current = until;
                    }
                    longer
                });
                clock::until(asked.plus_micros(clock::micros(lease / 3)))
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "no lease yet");
                RETRY
            }
            Err(_) => Duration::ZERO,
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = leaseless.wait_for(|leaseless| *leaseless) => return,
        }
    }
}

/// Asks the leader, and waits until the answer counts.
async fn obtain(core: &Core) -> Result<(), Denied> {
    let mut applied = core.catalog.applied();
    let index = *applied.borrow();
    let leader = core.leader().ok_or_else(|| Denied::Unavailable("no leader is known".to_owned()))?;
    let read_index = if leader == core.node() {
        core.grant(core.process, index).await?
    } else {
        let mut client = core.peers.client(leader).map_err(|error| Denied::Unavailable(error.to_string()))?;
        let process = Some(to_wire(core.process, Some(core.peers.header(leader))));
        client.lease(LeaseRequest { process, applied: index }).await?.into_inner().read_index
    };
    let reached = applied.wait_for(|applied| *applied >= read_index).await;
    reached.map(|_| ()).map_err(|_| crate::office::stopped())
}

/// Tells the Raft leader how far this node has applied, whenever it has got
/// further: changes of the catalog are answered when all have.
pub(crate) async fn report(core: Arc<Core>) {
    let Some(raft) = core.raft() else { return };
    let mut applied = core.catalog.applied();
    let mut metrics = raft.server_metrics();
    loop {
        let index = *applied.borrow_and_update();
        metrics.borrow_and_update();
        // A report that is lost is made up for by the next one, or by a renewal.
        if let Err(error) = timeout(core.config.timing.lease / 2, tell(&core, index)).await.unwrap_or(Ok(())) {
            tracing::trace!(%error, "the leader was not told what is applied");
        }
        tokio::select! {
            changed = applied.changed() => if changed.is_err() { return },
            changed = metrics.changed() => if changed.is_err() { return },
        }
    }
}

async fn tell(core: &Core, index: u64) -> Result<(), Denied> {
    let Some(leader) = core.leader() else { return Ok(()) };
    if leader == core.node() {
        return core.note_applied(core.process, index);
    }
    let mut client = core.peers.client(leader).map_err(|error| Denied::Unavailable(error.to_string()))?;
    let process = Some(to_wire(core.process, Some(core.peers.header(leader))));
    client.applied(AppliedReport { process, applied: index }).await?;
    Ok(())
}

/// Ends this node's lease for good. False if that was done before.
pub(crate) fn give_up(core: &Core) -> bool {
    let news = !core.leaseless.send_replace(true);
    core.lease.send_replace(Moment(0));
    news
}

/// Tells the leader that this node uses no lease any more.
pub(crate) async fn release(core: &Core) {
    let Some(leader) = core.leader() else { return };
    let told = async {
        if leader == core.node() {
            return core.note_released(core.process);
        }
        let mut client = core.peers.client(leader).map_err(|error| Denied::Unavailable(error.to_string()))?;
        client.release(to_wire(core.process, Some(core.peers.header(leader)))).await?;
        Ok(())
    };
    if let Ok(Err(error)) = timeout(core.config.timing.lease, told).await {
        tracing::debug!(%error, "the leader was not told that the lease is given up; it waits for its end");
    }
}
