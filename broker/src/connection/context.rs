//! What the channels of one connection share while it runs.

use std::sync::Arc;

use tokio::task::JoinSet;
use warren_amqp::Arguments;
use warren_membership::catalog::{Command, Outcome, Owner};
use warren_replication::message::Message;
use warren_replication::types::{ConsumerKey, Process};

use super::Front;
use super::access::Access;
use super::batch::Batch;
use super::handshake::Capabilities;
use super::outbox::Outbox;
use super::ports::{Broker, ProposalError};
use super::registry::Seat;
use super::tally::Tally;
use crate::channel::routes::Routes;
use crate::direct::{Address, Inbox};

/// The connection, as its channels see it.
pub struct Context {
    /// The node's AMQP front.
    pub front: Arc<Front>,
    /// This run of this node.
    pub process: Process,
    /// The connection's number, never reused on this process.
    pub connection: u64,
    /// User and vhost.
    pub access: Access,
    /// Where it is counted.
    pub seat: Seat,
    /// What this turn counted.
    pub tally: Tally,
    /// What the client understands.
    pub capabilities: Capabilities,
    /// Agreed limit of frames, overhead included.
    pub frame_max: u32,
    /// To the client.
    pub out: Outbox,
    /// To the queues.
    pub batch: Batch,
    /// Where publishes go.
    pub routes: Routes,
    /// Replies for repliers elsewhere, and for this connection's requesters, once
    /// there are any.
    pub replies: Vec<(Address, Message)>,
    /// See `replies`.
    pub inbox: Option<Inbox>,
    /// What the cluster is asked to agree on.
    pub proposals: JoinSet<Agreed>,
    /// Publishes without an answer of their queues, over all channels.
    pub unanswered: Unanswered,
    /// Octets of commands that wait for an earlier one of their channel.
    pub deferred: usize,
    /// Whether this connection publishes (alarms hold back only those).
    pub publishes: bool,
    /// Whether it has, or may have, exclusive queues.
    pub owns_queues: bool,
    /// Channels with confirms to be sent at the end of the turn.
    pub confirming: Vec<u16>,
    /// The next sequence of a channel that opens: above all used before, so
    /// that late answers to an earlier use of its number mean nothing to it.
    pub first_sequence: u64,
    /// How many channels were opened.
    pub opened: u32,
    /// The number of the last proposal.
    pub last_proposal: u64,
}

/// What waits for queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unanswered {
    /// Publishes.
    pub messages: usize,
    /// Their octets.
    pub bytes: usize,
}

/// A proposal's end.
#[derive(Debug)]
pub struct Agreed {
    /// Whose.
    pub channel: u16,
    /// Which.
    pub proposal: u64,
    /// What came of it.
    pub result: Result<Outcome, ProposalError>,
}

impl Context {
    /// The node.
    #[must_use]
    pub fn broker(&self) -> &dyn Broker {
        &*self.front.broker
    }

    /// This connection as owner of exclusive queues.
    #[must_use]
    pub fn owner(&self) -> Owner {
        Owner { process: self.process, connection: self.connection }
    }

    /// The next number for a consumer, a get or a request.
    pub fn next_number(&self) -> u64 {
        self.front.next_number()
    }

    /// A consumer of this connection, or a get.
    #[must_use]
    pub fn consumer_key(&self, channel: u16, number: u64) -> ConsumerKey {
        ConsumerKey { process: self.process, connection: self.connection, channel, number }
    }

    /// Sends a method, unless the client does not want to hear (`no-wait`).
    pub fn reply<M: Arguments>(&mut self, channel: u16, nowait: bool, method: &M) {
        if !nowait {
            self.out.frames.arguments(channel, method);
        }
    }

    /// Asks the cluster to agree; the answer comes as [`Agreed`] with this number.
    pub fn propose(&mut self, channel: u16, command: Command) -> u64 {
        let answer = self.front.broker.propose(command);
        self.expect(channel, answer)
    }

    /// Waits for an answer as for one to a proposal.
    pub fn expect(
        &mut self,
        channel: u16,
        answer: impl Future<Output = Result<Outcome, ProposalError>> + Send + 'static,
    ) -> u64 {
        self.last_proposal += 1;
        let proposal = self.last_proposal;
        self.proposals.spawn(async move { Agreed { channel, proposal, result: answer.await } });
        proposal
    }
}
