//! A command's way into the catalog. Each node gathers what its callers propose
//! into batches and takes them to the Raft leader, again and again until one
//! answers ([`forward`]); the leader gathers what reaches it into entries
//! ([`write()`]). So a write and a round trip are paid per batch, twice over.
//!
//! A batch whose answer is lost is proposed again: commands are made such that
//! it does no harm (declaring twice is declaring, compare-and-set fails the
//! second time).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use warren_peer::catalog::{ForgetRequest, Payload};
use warren_replication::types::NodeId;

use crate::catalog::{Command, Outcome, Refusal};
use crate::core::Core;
use crate::office::{Denied, stopped};
use crate::raft::{Batch, LogId, Outcomes};

/// Commands of one batch at most.
const BATCH: usize = 512;
/// Batches of a node under way to the leader at most.
const FORWARDED: usize = 32;
/// Entries under way in Raft at most: one being written, one being gathered into.
const WRITTEN: usize = 2;
/// Proposals that wait to be gathered; callers wait when it is full.
pub(crate) const QUEUED: usize = 4096;
/// How long to wait before asking a leader again, unless it changes before.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a leader may take over one batch. It answers when all lease holders
/// have applied it, which takes a lease's length at most.
const ANSWER: Duration = Duration::from_secs(3);

/// Why a proposal came to nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProposeError {
    /// The catalog was asked and refuses.
    #[error("{0}")]
    Refused(Refusal),
    /// No leader with a majority was found in time. The command may yet be
    /// applied: look at the state, or propose it again.
    #[error("the catalog cannot be written: {0}")]
    Unavailable(String),
    /// This node may not write to the catalog of that cluster: it is a stranger,
    /// or was forgotten.
    #[error("{0}")]
    Denied(String),
    /// Membership has stopped.
    #[error("membership has stopped")]
    Stopped,
}

/// A command and who waits for it.
pub(crate) struct Proposal {
    pub(crate) command: Command,
    pub(crate) deadline: Instant,
    pub(crate) answer: oneshot::Sender<Result<Outcome, ProposeError>>,
}

/// A batch that the leader is to write.
pub(crate) struct Write {
    pub(crate) commands: Vec<Command>,
    pub(crate) answer: oneshot::Sender<Result<Written, Denied>>,
}

/// A batch that was committed and applied here.
pub(crate) struct Written {
    pub(crate) log_id: LogId,
    pub(crate) outcomes: Outcomes,
}

/// Takes this node's proposals to the leader.
pub(crate) async fn forward(core: Arc<Core>, mut inbox: mpsc::Receiver<Proposal>) {
    let permits = Arc::new(Semaphore::new(FORWARDED));
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let mut batch = Vec::new();
        if inbox.recv_many(&mut batch, BATCH).await == 0 {
            return;
        }
        let core = core.clone();
        tokio::spawn(async move {
            settle(&core, batch).await;
            drop(permit);
        });
    }
}

/// Proposes a batch until it is answered or out of time.
async fn settle(core: &Core, batch: Vec<Proposal>) {
    let Some(deadline) = batch.iter().map(|proposal| proposal.deadline).max() else { return };
    let commands: Vec<Command> = batch.iter().map(|proposal| proposal.command.clone()).collect();
    let result = persist(core, commands, deadline).await;
    match result {
        Ok(outcomes) => {
            for (proposal, outcome) in batch.into_iter().zip(outcomes) {
                // A caller that has gone away does not want to know.
                let _ = proposal.answer.send(outcome.map_err(ProposeError::Refused));
            }
        }
        Err(error) => {
            for proposal in batch {
                let _ = proposal.answer.send(Err(error.clone()));
            }
        }
    }
}

/// Proposes commands until they are answered or the deadline has passed.
pub(crate) async fn persist(core: &Core, commands: Vec<Command>, deadline: Instant) -> Result<Outcomes, ProposeError> {
    loop {
        let denied = match attempt(core, &commands, deadline).await {
            Ok(outcomes) => return Ok(outcomes),
            Err(Denied::Refused(why)) => return Err(ProposeError::Denied(why)),
            Err(denied) => denied,
        };
        if Instant::now() + PAUSE >= deadline {
            return Err(ProposeError::Unavailable(denied.to_string()));
        }
        core.leader_moves(PAUSE).await;
    }
}

async fn attempt(core: &Core, commands: &[Command], deadline: Instant) -> Result<Outcomes, Denied> {
    let Some(leader) = core.leader() else { return Err(Denied::Unavailable("no leader is known".to_owned())) };
    let until = deadline.min(Instant::now() + ANSWER);
    let answered = async {
        if leader == core.node() {
            return core.write(commands.to_vec()).await;
        }
        let answer = core.ask_to_write(leader, commands).await?;
        if answer.len() == commands.len() {
            Ok(answer)
        } else {
            Err(Denied::Unavailable("an answer of another length".to_owned()))
        }
    };
    tokio::time::timeout_at(until, answered)
        .await
        .unwrap_or_else(|_| Err(Denied::Unavailable(format!("no answer from the leader, node {leader}"))))
}

impl Core {
    async fn ask_to_write(&self, leader: NodeId, commands: &[Command]) -> Result<Outcomes, Denied> {
        let body = postcard::to_stdvec(commands).map_err(|error| Denied::Refused(error.to_string()))?;
        let mut client = self.peers.client(leader).map_err(|error| Denied::Unavailable(error.to_string()))?;
        let payload = Payload { header: Some(self.peers.header(leader)), body: body.into() };
        let answer = client.propose(payload).await.map_err(Denied::from)?.into_inner();
        postcard::from_bytes(&answer.body).map_err(|error| Denied::Unavailable(error.to_string()))
    }

    /// Waits until another leader is known, or for so long.
    pub(crate) async fn leader_moves(&self, at_most: Duration) {
        let Some(raft) = self.raft() else {
            tokio::time::sleep(at_most).await;
            return;
        };
        let mut metrics = raft.server_metrics();
        let before = metrics.borrow_and_update().current_leader;
        let moved = metrics.wait_for(|metrics| metrics.current_leader != before);
        // Running out of time is as good an answer.
        let _ = tokio::time::timeout(at_most, moved).await;
    }
}

/// Has a node forgotten by the leader.
pub(crate) async fn forget(core: &Core, node: NodeId, force: bool, deadline: Instant) -> Result<(), ProposeError> {
    loop {
        let asked = async {
            let leader = core.leader().ok_or_else(|| Denied::Unavailable("no leader is known".to_owned()))?;
            if leader == core.node() {
                return core.expel(node, force).await;
            }
            let mut client = core.peers.client(leader).map_err(|error| Denied::Unavailable(error.to_string()))?;
            let request = ForgetRequest { header: Some(core.peers.header(leader)), node: node.0, force };
            let answer = client.forget(request).await?.into_inner();
            postcard::from_bytes(&answer.body).map_err(|error| Denied::Unavailable(error.to_string()))
        };
        let answered = tokio::time::timeout_at(deadline, asked).await;
        match answered.unwrap_or_else(|_| Err(Denied::Unavailable("no answer".to_owned()))) {
            Ok(outcomes) => {
                let refusal = outcomes.into_iter().find_map(Result::err);
                return refusal.map_or(Ok(()), |refusal| Err(ProposeError::Refused(refusal)));
            }
            Err(Denied::Refused(why)) => return Err(ProposeError::Denied(why)),
            Err(denied) if Instant::now() + PAUSE >= deadline => {
                return Err(ProposeError::Unavailable(denied.to_string()));
            }
            Err(_) => core.leader_moves(PAUSE).await,
        }
    }
}

/// Writes what reaches this node as Raft leader.
pub(crate) async fn write(core: Arc<Core>, mut inbox: mpsc::Receiver<Write>) {
    let permits = Arc::new(Semaphore::new(WRITTEN));
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let mut writes = Vec::new();
        if inbox.recv_many(&mut writes, BATCH).await == 0 {
            return;
        }
        let mut commands = Vec::new();
        let mut shares = Vec::with_capacity(writes.len());
        for write in writes {
            shares.push((write.commands.len(), write.answer));
            commands.extend(write.commands);
        }
        let Some(raft) = core.raft().cloned() else {
            deny(shares, &Denied::NotLeader);
            continue;
        };
        match raft.client_write_ff(Batch(commands)).await {
            Ok(receiver) => {
                tokio::spawn(async move {
                    match receiver.await {
                        Ok(Ok(response)) => divide(shares, response.log_id, response.data),
                        Ok(Err(error)) => deny(shares, &Denied::from(openraft::error::RaftError::APIError(error))),
                        Err(_) => deny(shares, &stopped()),
                    }
                    drop(permit);
                });
            }
            Err(_) => deny(shares, &stopped()),
        }
    }
}

type Share = (usize, oneshot::Sender<Result<Written, Denied>>);

fn divide(shares: Vec<Share>, log_id: LogId, outcomes: Outcomes) {
    let mut outcomes = outcomes.into_iter();
    for (count, answer) in shares {
        let outcomes = outcomes.by_ref().take(count).collect();
        let _ = answer.send(Ok(Written { log_id, outcomes }));
    }
}

fn deny(shares: Vec<Share>, denied: &Denied) {
    for (_, answer) in shares {
        let _ = answer.send(Err(denied.clone()));
    }
}
