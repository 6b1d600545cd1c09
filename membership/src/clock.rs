//! The one clock of the protocol: `CLOCK_BOOTTIME`, which counts suspension, so
//! that a lease does not outlive a nap of the machine (§6.7); and the wall's, by
//! which messages age (§3).

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use warren_replication::types::Moment;

/// This moment.
#[must_use]
pub fn now() -> Moment {
    let time = clock_gettime(ClockId::Boottime);
    let micros = time.tv_sec.unsigned_abs() * 1_000_000 + time.tv_nsec.unsigned_abs() / 1_000;
    Moment(micros)
}

/// The wall clock, in milliseconds since 1970: for the age of messages only.
#[must_use]
pub fn wall() -> u64 {
    let time = clock_gettime(ClockId::Realtime);
    time.tv_sec.unsigned_abs() * 1_000 + time.tv_nsec.unsigned_abs() / 1_000_000
}

/// A duration in the clock's unit, saturating.
#[must_use]
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// How long from now until a moment; zero if it is past.
#[must_use]
pub fn until(moment: Moment) -> Duration {
    Duration::from_micros(moment.micros_since(now()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs() {
        let before = now();
        assert!(before.0 > 0);
        assert!(now() >= before);
        assert!(until(before) == Duration::ZERO);
        assert!(until(before.plus_micros(60_000_000)) > Duration::from_secs(50));
    }
}
