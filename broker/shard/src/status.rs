//! A queue as an operator sees it: its state is a word and the reason for it.

use warren_queue::Counts;
use warren_replication::replica::MirrorState;
use warren_replication::types::{Assignment, Offset, QueueId};

use crate::cell::{Cell, Copy};
use crate::step::{Lagging, QueueStatus};
use crate::stream::Stream;
use crate::takeover::Waits;
use crate::world::World;

/// The status of a queue, if the catalog has shown it here.
pub(crate) fn of(queue: QueueId, cell: &mut Cell, world: &World<'_>) -> Option<QueueStatus> {
    let assignment = cell.assignment()?.clone();
    let leading = cell.is_leading();
    let (waits, counts, totals) = match cell.stream() {
        Some(stream) => {
            let counts = stream_counts(stream, cell.copy());
            (counts.is_none().then_some(Waits::Log), counts, stream.totals)
        }
        None => {
            let waits = cell.leader_mut().and_then(|leader| leader.waits(world));
            let (counts, totals) =
                cell.leader().map_or((None, (0, 0, 0)), |leader| (leader.queue().map(|q| q.counts()), leader.totals));
            (waits, counts, totals)
        }
    };
    let copy = cell.copy();
    let live = copy.map_or(0, |copy| copy.replica.ledger().live().len());
    let sites = cell.leader().zip(copy).map(|(leader, copy)| leader.site_statuses(copy.replica.ledger()));
    let log =
        copy.map_or((0, 0, 0), |copy| (copy.replica.last().index.0, copy.replica.durable().0, copy.replica.commit().0));
    let in_sync = assignment.isr.len();
    let wanted = assignment.min_in_sync as usize;
    let state = if assignment.leader.is_none() {
        ("down", "no member of the in-sync or eligible set can lead".to_owned())
    } else if !leading {
        ("running", "led by another node".to_owned())
    } else if in_sync < wanted {
        ("short", format!("{in_sync} of at least {wanted} members are in sync: publishes are kept and not confirmed"))
    } else {
        match waits {
            None => ("running", alone(&assignment).unwrap_or_default()),
            Some(Waits::Log) => ("taking-over", "the inherited log is being committed".to_owned()),
            Some(Waits::Predecessor) => {
                ("taking-over", "the last leader's lease may still run: no deliveries yet".to_owned())
            }
            Some(Waits::Claims) => ("taking-over", "nodes are still to say what their clients hold".to_owned()),
            Some(Waits::Successor) => ("handing-over", "another node is about to lead".to_owned()),
            Some(Waits::Lease) => ("paused", "this node has no lease: no deliveries".to_owned()),
        }
    };
    let mut lags = Vec::new();
    let mut lagging = Vec::new();
    for mirror in copy.filter(|_| leading).map(|copy| copy.replica.mirrors(world.now)).unwrap_or_default() {
        lags.extend(mirror.lag.map(|lag| (mirror.node, lag)));
        if mirror.in_sync || mirror.lag.is_some() {
            continue;
        }
        let durable = mirror.durable.map_or(0, |index| index.0);
        let state = match mirror.state {
            MirrorState::Unreachable => ("unreachable", "out of reach".to_owned()),
            MirrorState::Waiting => (Lagging::WAITS, "it waits for `warren queues sync`".to_owned()),
            MirrorState::Comparing => ("comparing", "its log is being compared".to_owned()),
            MirrorState::Installing => ("syncing", "it starts anew from a checkpoint".to_owned()),
            MirrorState::CatchingUp => {
                let text = format!("catching up, {} ms behind, entry {durable} of {}", mirror.behind / 1000, log.0);
                ("syncing", text)
            }
            MirrorState::Current => ("syncing", "about to be in sync".to_owned()),
        };
        lagging.push(Lagging { node: mirror.node, state, durable });
    }
    Some(QueueStatus {
        queue,
        leading,
        state,
        ready: counts.map_or(live, |counts| counts.ready),
        unacked: counts.map_or(0, |counts| counts.unacked),
        bytes: counts.map_or(0, |counts| counts.bytes),
        consumers: counts.map_or(0, |counts| counts.consumers),
        wanting: counts.is_some_and(|counts| counts.wanting),
        sites: sites.unwrap_or_default(),
        log,
        lagging,
        lags,
        totals,
    })
}

/// Why a failure of the leader would stop the queue, if it would because nobody
/// trails within `max-lag` (§4.2).
fn alone(assignment: &Assignment) -> Option<String> {
    assignment.lacks_backup().then(|| "no backup is within max-lag: none would take over".to_owned())
}

/// A stream's messages are all ready, for everybody, and some are given out besides.
fn stream_counts(stream: &Stream, copy: Option<&Copy>) -> Option<Counts> {
    let (consumers, unacked) = stream.counts()?;
    let live = copy?.replica.ledger().live();
    let bytes =
        live.first().and_then(|first| copy?.replica.parts(Offset(first)).next()).map_or(0, |(_, bytes, _)| bytes);
    Some(Counts { ready: live.len(), unacked, consumers, bytes, wanting: false })
}
