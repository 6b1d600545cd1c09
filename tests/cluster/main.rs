//! Clusters of real processes, as operators see them: they form, survive kills,
//! find their data, grow and shrink, take policies, and say clearly what is
//! wrong. What clients see is in `tests/pika`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod forming;
mod operating;
mod policies;
mod primary_backup;
mod restarting;
