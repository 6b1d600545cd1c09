//! What a node's membership is told by its configuration, and the timing that
//! everything in this crate shares.

use std::net::SocketAddr;
use std::time::Duration;

/// One node's membership.
#[derive(Clone, Debug)]
pub struct MembershipConfig {
    /// The node's name, unique in the cluster and kept for good: its id is
    /// [`warren_store::node_id`] of it.
    pub node_name: String,
    /// The cluster's name; nodes that gossip another one are not heard.
    pub cluster_name: String,
    /// Membership addresses (`host:port`) of nodes to meet first. The node that
    /// is listed first forms the cluster; so does a node without seeds.
    pub seeds: Vec<String>,
    /// How many nodes must be there before the cluster is formed, and how many a
    /// new node waits for before it serves.
    pub expected_size: usize,
    /// Where gossip (UDP) and the catalog (TCP, same port) listen; port 0 takes
    /// any port that is free for both.
    pub listen: SocketAddr,
    /// Where the others reach `listen`, if that is another address; a port 0
    /// stands for the port listened on.
    pub advertise: Option<SocketAddr>,
    /// Where the others reach this node's peer links.
    pub peer_address: SocketAddr,
    /// What this node may be lost together with; empty: nothing that is known.
    pub zone: String,
    /// Where clients reach this node, for show.
    pub amqp_address: String,
    /// Where operators reach this node, for show.
    pub http_address: String,
    /// The product's version that runs here.
    pub version: String,
    /// How fast things are noticed.
    pub timing: Timing,
}

/// Times; the defaults suit three nodes in one data centre.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long a node lease runs (§6.7); renewed each third of it.
    pub lease: Duration,
    /// How often the Raft leader is heard when nothing happens.
    pub heartbeat: Duration,
    /// The Raft lease: for so long after the leader was heard nobody votes for
    /// another. A dead leader is waited for as long; a live one is safe by
    /// `silence`.
    pub raft_lease: Duration,
    /// A Raft leader that is live by gossip may be silent for so long before
    /// another node wants to be it: a busy machine is no reason.
    pub silence: Duration,
    /// How often a node gossips.
    pub gossip: Duration,
    /// How many mean gossip intervals of silence make a node dead.
    pub phi: f64,
    /// How long a proposal is tried before it is given up.
    pub propose: Duration,
    /// How long a new node waits for the other `expected_size` nodes to register.
    pub form: Duration,
    /// After how many entries of the catalog's log its state is written out
    /// anew; as many are kept for nodes that were away for a while.
    pub snapshot_entries: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease: Duration::from_millis(600),
            heartbeat: Duration::from_millis(50),
            raft_lease: Duration::from_millis(100),
            silence: Duration::from_millis(1_500),
            gossip: Duration::from_millis(100),
            phi: 20.0,
            propose: Duration::from_secs(10),
            form: Duration::from_secs(30),
            snapshot_entries: 5_000,
        }
    }
}

impl Timing {
    /// The longest silence of a live node that gossip does not yet take for
    /// death, with the interval as configured: one full detector interval (§6.1).
    #[must_use]
    pub fn detector(&self) -> Duration {
        // Heartbeats arrive by requests and by answers: their mean interval is
        // about half the gossip interval.
        self.gossip.mul_f64(self.phi / 2.0) + self.gossip
    }

    /// How long a holder's lease can still run after a moment that is not before
    /// its request was sent, by any other clock of the cluster: L·(1+ρ)/(1−ρ)
    /// (§6.7).
    #[must_use]
    pub fn lease_elsewhere(&self) -> Duration {
        self.lease.mul_f64((1.0 + CLOCK_DRIFT) / (1.0 - CLOCK_DRIFT))
    }
}

/// ρ of §6.7: how much the rate of a node's clock may be off.
pub const CLOCK_DRIFT: f64 = 0.01;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_runs_a_little_longer_elsewhere() {
        let timing = Timing::default();
        assert!(timing.lease_elsewhere() > timing.lease);
        assert!(timing.lease_elsewhere() < timing.lease.mul_f64(1.03));
    }
}
