//! What the Raft leader does for all nodes: writes to the catalog, leases,
//! suspicions, who belongs. Each is tried on whoever is asked, and denied by
//! those who do not lead. `service.rs` carries these over the wire.

use openraft::error::{CheckIsLeaderError, ClientWriteError, RaftError};
use openraft::{BasicNode, ChangeMembers};
use tokio::sync::oneshot;
use tonic::{Code, Status};
use warren_replication::types::{NodeId, Process};
use warren_store::ClusterId;

use crate::catalog::Command;
use crate::clock;
use crate::core::Core;
use crate::propose::{Write, Written};
use crate::raft::Outcomes;

/// Why a node did not do what it was asked; says what the asker does next.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Denied {
    /// Ask another node: this one does not lead.
    #[error("not the catalog's leader")]
    NotLeader,
    /// Ask again: it cannot be done at the moment.
    #[error("{0}")]
    Unavailable(String),
    /// Do not ask again: it is wrong to ask.
    #[error("{0}")]
    Refused(String),
}

impl From<Denied> for Status {
    fn from(denied: Denied) -> Self {
        let code = match denied {
            Denied::NotLeader => Code::Aborted,
            Denied::Unavailable(_) => Code::Unavailable,
            Denied::Refused(_) => Code::FailedPrecondition,
        };
        Self::new(code, denied.to_string())
    }
}

impl From<Status> for Denied {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::Aborted => Self::NotLeader,
            Code::FailedPrecondition => Self::Refused(status.message().to_owned()),
            _ => Self::Unavailable(status.message().to_owned()),
        }
    }
}

impl From<RaftError<u64, ClientWriteError<u64, BasicNode>>> for Denied {
    fn from(error: RaftError<u64, ClientWriteError<u64, BasicNode>>) -> Self {
        match error {
            RaftError::APIError(ClientWriteError::ForwardToLeader(_)) => Self::NotLeader,
            other => Self::Unavailable(other.to_string()),
        }
    }
}

impl Core {
    /// Writes commands to the catalog in one Raft entry with whatever else is
    /// written at the time. Answers when every node that holds a lease has
    /// applied them (§6.7).
    pub(crate) async fn write(&self, commands: Vec<Command>) -> Result<Outcomes, Denied> {
        let written = self.commit(commands).await?;
        self.applied_by_holders(written.log_id.index).await;
        Ok(written.outcomes)
    }

    /// Writes commands as above; answers when this node has applied them.
    pub(crate) async fn commit(&self, commands: Vec<Command>) -> Result<Written, Denied> {
        if self.leading().is_none() {
            return Err(Denied::NotLeader);
        }
        let (answer, written) = oneshot::channel();
        self.writes.send(Write { commands, answer }).await.map_err(|_| stopped())?;
        let written = written.await.map_err(|_| stopped())??;
        // Before anybody is answered in a term, the leases of earlier terms count.
        self.ledger.change(|ledger| {
            ledger.take_office(written.log_id.leader_id.term, clock::now());
            ledger.applied(self.process, written.log_id.index);
        });
        Ok(written)
    }

    /// Waits until no node that lacks the index may hold a lease.
    async fn applied_by_holders(&self, index: u64) {
        let mut moved = self.ledger.moved();
        loop {
            moved.borrow_and_update();
            let blocked = {
                let state = self.catalog.state();
                let nodes = state.nodes().map(|node| (node.process.member(), Some(node.process.boot)));
                let disks = nodes.chain(state.retired().map(|disk| (disk, None)));
                self.ledger.read(|ledger| ledger.blocked(index, clock::now(), disks))
            };
            let Some(end) = blocked else { return };
            tokio::select! {
                _ = moved.changed() => {}
                () = tokio::time::sleep(clock::until(end)) => {}
            }
        }
    }

    /// Grants a process a lease; it counts once the process has applied the
    /// catalog up to the index returned.
    pub(crate) async fn grant(&self, process: Process, applied: u64) -> Result<u64, Denied> {
        let term = self.leading().ok_or(Denied::NotLeader)?;
        let raft = self.raft().ok_or(Denied::NotLeader)?;
        let grant = {
            let state = self.catalog.state();
            if !state.is_registered(&process) {
                return Err(Denied::Unavailable(format!("node {} has not registered this boot", process.node)));
            }
            self.ledger.change(|ledger| {
                ledger.take_office(term, clock::now());
                ledger.applied(process, applied);
                ledger.request(process, clock::now())
            })
        };
        match raft.get_read_log_id().await {
            Ok((read, _)) => {
                let read = read.map_or(0, |id| id.index);
                self.ledger.change(|ledger| ledger.confirm(grant, read));
                Ok(read)
            }
            Err(error) => {
                self.ledger.change(|ledger| ledger.refuse(grant));
                Err(match error {
                    RaftError::APIError(CheckIsLeaderError::ForwardToLeader(_)) => Denied::NotLeader,
                    other => Denied::Unavailable(other.to_string()),
                })
            }
        }
    }

    /// A process has applied the catalog up to here.
    pub(crate) fn note_applied(&self, process: Process, applied: u64) -> Result<(), Denied> {
        self.leading().ok_or(Denied::NotLeader)?;
        let state = self.catalog.state();
        if state.is_registered(&process) && self.ledger.read(|ledger| ledger.lacks(process, applied)) {
            self.ledger.change(|ledger| ledger.applied(process, applied));
        }
        Ok(())
    }

    /// A process gave its lease up.
    pub(crate) fn note_released(&self, process: Process) -> Result<(), Denied> {
        self.leading().ok_or(Denied::NotLeader)?;
        let state = self.catalog.state();
        if state.is_registered(&process) {
            self.ledger.change(|ledger| ledger.release(process));
        }
        Ok(())
    }

    /// A node without a cluster wants to join this one. It becomes a learner;
    /// the controller makes it a voter when it has caught up.
    pub(crate) async fn admit(&self, process: Process, name: &str, address: &str) -> Result<ClusterId, Denied> {
        self.leading().ok_or(Denied::NotLeader)?;
        let raft = self.raft().ok_or(Denied::NotLeader)?;
        let cluster = self.peers.cluster().ok_or_else(|| Denied::Unavailable("not in a cluster yet".to_owned()))?;
        if warren_store::node_id(name) != process.node {
            return Err(Denied::Refused(format!("`{name}` is not the name of node {}", process.node)));
        }
        if let Some(node) = self.catalog.state().node(process.node).filter(|node| node.name != name) {
            return Err(Denied::Refused(format!(
                "the names `{name}` and `{}` give the same node id; rename one of the nodes",
                node.name
            )));
        }
        let other_disk = |other: &Process| other.incarnation != process.incarnation;
        if self.liveness.live_process(process.node).as_ref().is_some_and(other_disk) {
            return Err(Denied::Unavailable(format!("a node named `{name}` with another data folder is alive")));
        }
        let _one_at_a_time = self.belonging.lock().await;
        let membership = raft.server_metrics().borrow().membership_config.clone();
        let id = process.node.0;
        if membership.nodes().any(|(member, _)| *member == id) {
            // Its disk is another one: what it voted and acknowledged is lost,
            // so the old member goes before the new one comes (§5.5).
            let voters: Vec<u64> = membership.voter_ids().collect();
            if voters.contains(&id) {
                if voters.len() == 1 {
                    return Err(Denied::Refused("the only voter of the catalog cannot lose its disk".to_owned()));
                }
                raft.change_membership(ChangeMembers::RemoveVoters([id].into()), false).await?;
            } else {
                raft.change_membership(ChangeMembers::RemoveNodes([id].into()), false).await?;
            }
        }
        raft.add_learner(id, BasicNode::new(address), false).await?;
        tracing::info!(node = name, %address, "a node joins the cluster");
        Ok(cluster)
    }

    /// Takes a node out of the cluster for good: out of Raft, then out of the
    /// catalog.
    pub(crate) async fn expel(&self, node: NodeId, force: bool) -> Result<Outcomes, Denied> {
        self.leading().ok_or(Denied::NotLeader)?;
        let raft = self.raft().ok_or(Denied::NotLeader)?;
        if self.liveness.live_process(node).is_some() {
            return Err(Denied::Refused("the node is alive; stop it first".to_owned()));
        }
        let disk = self.catalog.state().node(node).map(|node| node.process.member());
        if disk.is_some_and(|disk| self.ledger.read(|ledger| ledger.holds(disk, clock::now()))) {
            return Err(Denied::Unavailable("the node still holds a lease".to_owned()));
        }
        let live = self.liveness.live_list();
        // The catalog may refuse (last copies); then the node stays in Raft too.
        let outcomes = self.write(vec![Command::Forget { node, live, force }]).await?;
        if outcomes.iter().all(Result::is_ok) {
            let _one_at_a_time = self.belonging.lock().await;
            let membership = raft.server_metrics().borrow().membership_config.clone();
            if membership.voter_ids().any(|voter| voter == node.0) {
                raft.change_membership(ChangeMembers::RemoveVoters([node.0].into()), false).await?;
            } else if membership.nodes().any(|(member, _)| *member == node.0) {
                raft.change_membership(ChangeMembers::RemoveNodes([node.0].into()), false).await?;
            }
        }
        Ok(outcomes)
    }
}

pub(crate) fn stopped() -> Denied {
    Denied::Unavailable("membership has stopped".to_owned())
}
