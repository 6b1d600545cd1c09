//! The mover's task: takes what has piled up, lets the mover work on it, and
//! passes on what comes of it.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::time::sleep_until;
use warren_replication::types::{Process, Session};

use super::mover::{Mover, Outgoing};
use super::{Moves, Surroundings};
use crate::connection::ports::Routing;

/// The mover's number among this node's connections: clients' count from 1.
const CONNECTION: u64 = u64::MAX;
/// How much is taken at a time; bounds for how long the catalog is held.
const MOST: usize = 64;

/// Moves messages until the shards are gone.
pub async fn run(
    mut moves: mpsc::UnboundedReceiver<Vec<Moves>>,
    me: Process,
    routing: Arc<dyn Routing>,
    around: Arc<dyn Surroundings>,
) {
    let session = Session { process: me, connection: CONNECTION, channel: 0, opened: 0 };
    let mut mover = Mover::new(session, routing);
    let (to, mut answers) = mpsc::unbounded_channel();
    around.register(CONNECTION, to);
    let (mut moved, mut answered) = (Vec::new(), Vec::new());
    loop {
        let retry = mover.next_retry();
        let is_retrying = retry.is_some();
        let due = async move {
            if let Some(due) = retry {
                sleep_until(due.into()).await;
            }
        };
        tokio::select! {
            count = moves.recv_many(&mut moved, MOST) => if count == 0 { return },
            count = answers.recv_many(&mut answered, MOST) => if count == 0 { return },
            () = due, if is_retrying => {}
        }
        let now = Instant::now();
        {
            let catalog = around.catalog();
            moved.drain(..).for_each(|moves| mover.moves(&catalog, now, moves));
            answered.drain(..).for_each(|events| mover.answers(&catalog, now, events));
            mover.retry(&catalog, now);
        }
        let Outgoing { publishes, arrived } = mover.take();
        if !publishes.is_empty() {
            around.submit(publishes);
        }
        if !arrived.is_empty() {
            around.transferred(arrived);
        }
    }
}
