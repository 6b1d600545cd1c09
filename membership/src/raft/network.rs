//! Raft's calls to the other nodes, over the channels of [`Peers`].

use std::sync::Arc;
use std::time::Duration;

use openraft::error::{InstallSnapshotError, NetworkError, RPCError, RaftError, Unreachable};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse, VoteRequest,
    VoteResponse,
};
use openraft::{AnyError, BasicNode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use warren_peer::catalog::Payload;
use warren_replication::types::NodeId;

use super::TypeConfig;
use crate::peers::Peers;

/// How long Raft leaves a node alone that could not be reached.
const UNREACHABLE_PAUSE: Duration = Duration::from_millis(50);

/// Makes [`Line`]s.
pub(crate) struct Network {
    pub(crate) peers: Arc<Peers>,
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Line;

    async fn new_client(&mut self, target: u64, node: &BasicNode) -> Line {
        let target = NodeId(target);
        self.peers.remember(target, &node.addr);
        Line { peers: self.peers.clone(), target }
    }
}

/// Raft's line to one node.
pub(crate) struct Line {
    peers: Arc<Peers>,
    target: NodeId,
}

type Failed<E> = RPCError<u64, BasicNode, E>;

enum Call {
    Append,
    Vote,
    Snapshot,
}

impl Line {
    async fn call<Q: Serialize, A: DeserializeOwned, E: std::error::Error>(
        &self,
        call: Call,
        question: &Q,
    ) -> Result<A, Failed<E>> {
        let unreachable = |error: &dyn std::error::Error| {
            RPCError::Unreachable(Unreachable::new(&AnyError::error(error.to_string())))
        };
        let body = postcard::to_stdvec(question).map_err(|error| RPCError::Network(NetworkError::new(&error)))?;
        let mut client = self.peers.client(self.target).map_err(|error| unreachable(&error))?;
        let payload = Payload { header: Some(self.peers.header(self.target)), body: body.into() };
        let answer = match call {
            Call::Append => client.append_entries(payload).await,
            Call::Vote => client.vote(payload).await,
            Call::Snapshot => client.install_snapshot(payload).await,
        };
        let answer = answer.map_err(|status| unreachable(&status))?.into_inner();
        postcard::from_bytes(&answer.body).map_err(|error| RPCError::Network(NetworkError::new(&error)))
    }
}

impl RaftNetwork<TypeConfig> for Line {
    async fn append_entries(
        &mut self,
        question: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, Failed<RaftError<u64>>> {
        self.call(Call::Append, &question).await
    }

    async fn install_snapshot(
        &mut self,
        question: InstallSnapshotRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<InstallSnapshotResponse<u64>, Failed<RaftError<u64, InstallSnapshotError>>> {
        let answer: SnapshotAnswer = self.call(Call::Snapshot, &question).await?;
        answer.map_err(|error| {
            RPCError::RemoteError(openraft::error::RemoteError::new(self.target.0, RaftError::APIError(error)))
        })
    }

    async fn vote(
        &mut self,
        question: VoteRequest<u64>,
        _option: RPCOption,
    ) -> Result<VoteResponse<u64>, Failed<RaftError<u64>>> {
        self.call(Call::Vote, &question).await
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(UNREACHABLE_PAUSE))
    }
}

/// An answer to a snapshot chunk: a receiver that lost its place says so, and
/// the sender begins anew.
pub(crate) type SnapshotAnswer = Result<InstallSnapshotResponse<u64>, InstallSnapshotError>;
