//! The catalog's side of the wire: checks who calls and whom they mean, and
//! hands on to Raft and to the office of its leader.

use std::sync::Arc;

use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, VoteRequest};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tonic::{Request, Response, Status};
use warren_peer::catalog::catalog_server::{Catalog, CatalogServer};
use warren_peer::catalog::{
    AppliedReport, ForgetRequest, Header, JoinReply, JoinRequest, LeaseReply, LeaseRequest, Nothing, Payload,
    Process as WireProcess, SuspectReport,
};
use warren_replication::types::{Boot, Incarnation, NodeId, Process};
use warren_store::ClusterId;

use crate::catalog::Command;
use crate::core::Core;
use crate::peers::MAX_MESSAGE;
use crate::raft::network::SnapshotAnswer;
use crate::raft::{Raft, TypeConfig};

/// The service of one node.
pub(crate) struct Service {
    core: Arc<Core>,
}

impl Service {
    pub(crate) fn server(core: Arc<Core>) -> CatalogServer<Self> {
        CatalogServer::new(Self { core }).max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE)
    }

    /// Only calls of the same cluster, meant for this node, are heard. A node
    /// without a cluster hears nobody: whoever speaks to it means an earlier
    /// owner of its name or address.
    fn check(&self, header: Option<Header>) -> Result<(), Status> {
        let header = self.addressed(header)?;
        match self.core.peers.cluster() {
            Some(own) if own.0 == header.cluster => Ok(()),
            Some(own) => Err(Status::failed_precondition(stranger(ClusterId(header.cluster), own, &self.core))),
            None => Err(Status::unavailable(format!("{} belongs to no cluster yet", self.core.config.node_name))),
        }
    }

    fn addressed(&self, header: Option<Header>) -> Result<Header, Status> {
        let header = header.ok_or_else(|| Status::invalid_argument("no header"))?;
        if header.to != 0 && header.to != self.core.node().0 {
            return Err(Status::unavailable(format!("this is {}, not node {}", self.core.config.node_name, header.to)));
        }
        Ok(header)
    }

    fn raft(&self) -> Result<&Raft, Status> {
        self.core.raft().ok_or_else(|| Status::unavailable("starting"))
    }

    fn payload<Q: DeserializeOwned>(&self, request: Request<Payload>) -> Result<Q, Status> {
        let payload = request.into_inner();
        self.check(payload.header)?;
        postcard::from_bytes(&payload.body).map_err(|error| Status::invalid_argument(error.to_string()))
    }
}

/// What a caller of another cluster is told.
pub(crate) fn stranger(caller: ClusterId, own: ClusterId, core: &Core) -> String {
    format!("this data folder belongs to cluster {caller}, the cluster at {} is {own}", core.address)
}

fn answer<A: Serialize>(answer: &A) -> Result<Response<Payload>, Status> {
    let body = postcard::to_stdvec(answer).map_err(|error| Status::internal(error.to_string()))?;
    Ok(Response::new(Payload { header: None, body: body.into() }))
}

fn failed(error: impl std::fmt::Display) -> Status {
    Status::unavailable(error.to_string())
}

/// A process in the wire's words.
pub(crate) fn to_wire(process: Process, header: Option<Header>) -> WireProcess {
    WireProcess { header, node: process.node.0, incarnation: process.incarnation.0, boot: process.boot.0 }
}

fn from_wire(process: Option<WireProcess>) -> Result<(Process, Option<Header>), Status> {
    let process = process.ok_or_else(|| Status::invalid_argument("no process"))?;
    let known =
        Process { node: NodeId(process.node), incarnation: Incarnation(process.incarnation), boot: Boot(process.boot) };
    Ok((known, process.header))
}

#[tonic::async_trait]
impl Catalog for Service {
    async fn append_entries(&self, request: Request<Payload>) -> Result<Response<Payload>, Status> {
        let question: AppendEntriesRequest<TypeConfig> = self.payload(request)?;
        let hearing = self.core.liveness.hear();
        let answered = self.raft()?.append_entries(question).await.map_err(failed)?;
        if !matches!(answered, AppendEntriesResponse::HigherVote(_)) {
            hearing.believe();
        }
        answer(&answered)
    }

    async fn vote(&self, request: Request<Payload>) -> Result<Response<Payload>, Status> {
        let question: VoteRequest<u64> = self.payload(request)?;
        answer(&self.raft()?.vote(question).await.map_err(failed)?)
    }

    async fn install_snapshot(&self, request: Request<Payload>) -> Result<Response<Payload>, Status> {
        let question: InstallSnapshotRequest<TypeConfig> = self.payload(request)?;
        let answered: SnapshotAnswer = match self.raft()?.install_snapshot(question).await {
            Ok(installed) => Ok(installed),
            Err(openraft::error::RaftError::APIError(mismatch)) => Err(mismatch),
            Err(error) => return Err(failed(error)),
        };
        answer(&answered)
    }

    async fn propose(&self, request: Request<Payload>) -> Result<Response<Payload>, Status> {
        let commands: Vec<Command> = self.payload(request)?;
        answer(&self.core.write(commands).await?)
    }

    async fn lease(&self, request: Request<LeaseRequest>) -> Result<Response<LeaseReply>, Status> {
        let request = request.into_inner();
        let (process, header) = from_wire(request.process)?;
        self.check(header)?;
        let read_index = self.core.grant(process, request.applied).await?;
        Ok(Response::new(LeaseReply { read_index }))
    }

    async fn applied(&self, request: Request<AppliedReport>) -> Result<Response<Nothing>, Status> {
        let request = request.into_inner();
        let (process, header) = from_wire(request.process)?;
        self.check(header)?;
        self.core.note_applied(process, request.applied)?;
        Ok(Response::new(Nothing {}))
    }

    async fn release(&self, request: Request<WireProcess>) -> Result<Response<Nothing>, Status> {
        let (process, header) = from_wire(Some(request.into_inner()))?;
        self.check(header)?;
        self.core.note_released(process)?;
        Ok(Response::new(Nothing {}))
    }

    async fn suspect(&self, request: Request<SuspectReport>) -> Result<Response<Nothing>, Status> {
        let request = request.into_inner();
        self.check(request.header)?;
        let from = request.header.map_or(NodeId(0), |header| NodeId(header.from));
        let (suspect, _) = from_wire(request.suspect)?;
        self.core.liveness.reported(suspect, from);
        Ok(Response::new(Nothing {}))
    }

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinReply>, Status> {
        let request = request.into_inner();
        let header = self.addressed(request.header)?;
        match self.core.peers.cluster() {
            Some(own) if header.cluster != 0 && header.cluster != own.0 => {
                return Err(Status::failed_precondition(stranger(ClusterId(header.cluster), own, &self.core)));
            }
            _ => {}
        }
        let (process, _) = from_wire(request.process)?;
        let cluster = self.core.admit(process, &request.name, &request.address).await?;
        Ok(Response::new(JoinReply { cluster: cluster.0 }))
    }

    async fn forget(&self, request: Request<ForgetRequest>) -> Result<Response<Payload>, Status> {
        let request = request.into_inner();
        self.check(request.header)?;
        answer(&self.core.expel(NodeId(request.node), request.force).await?)
    }
}
