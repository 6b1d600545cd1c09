//! Every bound and wait of a replica, by name.

/// Bounds (bytes, entries) and waits (microseconds) of one replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// Bytes in flight to one mirror; a mirror beyond it waits for its own
    /// acknowledgements and is then fed from memory or by reads.
    pub window_bytes: usize,
    /// Bytes of uncommitted entries kept in memory once they are durable here;
    /// older ones are read back when they are needed.
    pub tail_bytes: usize,
    /// Bytes of one append message or one read while a mirror is being fed.
    pub batch_bytes: usize,
    /// Bytes of proposals after which an entry is sealed before the turn ends.
    pub entry_bytes: usize,
    /// How long acknowledgements may wait for other records to share an entry,
    /// and so an fsync, with.
    pub settle_delay: u64,
    /// A mirror whose oldest unreported entry is older leaves the in-sync set (§4.4).
    pub mirror_timeout: u64,
    /// The same while the link to it is known to be broken.
    pub link_timeout: u64,
    /// A write of our own that takes longer makes a leader resign (§4.6).
    pub disk_stall_timeout: u64,
    /// How often a proposal or a resignation is repeated until the catalog's
    /// log answers it (§4.3).
    pub proposal_retry: u64,
    /// How long silence lasts while an answer of a mirror is due before it is
    /// asked again.
    pub resend: u64,
    /// How long a mirror that is being caught up may make no progress before
    /// the log is no longer kept for it (§5.3).
    pub catch_up_timeout: u64,
    /// Bytes of log after which a checkpoint is taken, and what it makes
    /// superfluous released: well below a memtable of the store, so that the
    /// messages of a short queue die there.
    pub checkpoint_bytes: u64,
    /// Entries after which a checkpoint is taken.
    pub checkpoint_entries: u64,
    /// Bytes of log, at most a quarter of them of live messages, that are worth
    /// going over to give the rest back (§3).
    pub hollow_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            window_bytes: 16 << 20,
            tail_bytes: 16 << 20,
            batch_bytes: 1 << 20,
            entry_bytes: 4 << 20,
            settle_delay: 5_000,
            mirror_timeout: 2_000_000,
            link_timeout: 200_000,
            disk_stall_timeout: 5_000_000,
            proposal_retry: 200_000,
            resend: 500_000,
            catch_up_timeout: 10_000_000,
            checkpoint_bytes: 4 << 20,
            checkpoint_entries: 4096,
            hollow_bytes: 32 << 20,
        }
    }
}
