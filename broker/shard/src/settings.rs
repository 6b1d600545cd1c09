//! Every bound and wait of a shard, by name.

use warren_queue::Window;

/// Bounds (bytes, messages) and waits (microseconds) of one shard.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Those of each replica.
    pub replica: warren_replication::settings::Settings,
    /// What may be on its way to one consumer and not yet written.
    pub window: Window,
    /// L of §6.7: how long a node's lease runs.
    pub lease: u64,
    /// How long a leader that is to hand over waits for its successor (§6.5).
    pub drain_timeout: u64,
    /// How long a new leader waits for the claims of live nodes (§6.8).
    pub reattach_grace: u64,
    /// After this an unconfirmed publish is nacked (§4.5).
    pub confirm_timeout: u64,
    /// After this without a word from the leader an entry side with something
    /// outstanding claims and sends everything again; doubled each time.
    pub resend_after: u64,
    /// After this without its process a session is ended by the leader. Must
    /// be well above `confirm_timeout`: by then nobody waits for an old publish.
    pub session_linger: u64,
    /// How many messages ahead of the first ready one the horizon is put.
    pub horizon_ahead: u64,
    /// Bytes of message bodies that one queue keeps ready to deliver.
    pub queue_cache: usize,
    /// The same for all queues of the shard; beyond it a queue keeps one read's
    /// worth.
    pub shard_cache: usize,
    /// Bytes of one read of the log for deliveries.
    pub read_bytes: usize,
    /// Messages that are moving on to an exchange and have not arrived yet.
    pub transfer_messages: usize,
    /// Bytes of them; the message that crosses it still goes.
    pub transfer_bytes: usize,
    /// Bytes of the one read by which a new leader learns what a message weighs.
    pub sample_bytes: usize,
    /// Bytes of words of a later epoch kept per queue until the catalog says so.
    pub early_bytes: usize,
    /// Sessions ended lately whose end is said again to a new leader.
    pub ended_sessions: usize,
    /// Bytes of publishes in one word when everything is sent again.
    pub resend_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            replica: warren_replication::settings::Settings::default(),
            window: Window::default(),
            lease: 600_000,
            drain_timeout: 5_000_000,
            reattach_grace: 2_000_000,
            confirm_timeout: 30_000_000,
            resend_after: 3_000_000,
            session_linger: 600_000_000,
            horizon_ahead: 8_192,
            queue_cache: 4 << 20,
            shard_cache: 64 << 20,
            read_bytes: 256 << 10,
            transfer_messages: 1_024,
            transfer_bytes: 1 << 20,
            sample_bytes: 16 << 10,
            early_bytes: 1 << 20,
            ended_sessions: 256,
            resend_bytes: 1 << 20,
        }
    }
}

impl Settings {
    /// How long a successor waits for its predecessor's lease, L·(1+ρ)/(1−ρ)
    /// with ρ = 1 % (§6.7).
    #[must_use]
    pub fn lease_wait(&self) -> u64 {
        self.lease + self.lease.div_ceil(99) * 2
    }
}
