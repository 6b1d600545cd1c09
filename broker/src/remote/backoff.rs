//! How long a link waits before it connects again.

use std::time::Duration;

use rand::Rng;

/// The longest wait, unless the plan says a longer one.
const MOST: Duration = Duration::from_secs(60);
/// The same of links between multi-active sites.
const MOST_OF_SITES: Duration = Duration::from_secs(5);
/// The wait doubles at most so often.
const DOUBLINGS: u32 = 10;

/// Waits that grow from failure to failure, each drawn anew between half of it
/// and all of it, so that links that lost the same broker do not come back to it
/// all at once.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    most: Duration,
    failures: u32,
}

impl Backoff {
    pub(super) const fn new(first: Duration) -> Self {
        Self { first, most: MOST, failures: 0 }
    }

    /// For a link that many wait for: it is soon there again.
    pub(super) const fn of_site(first: Duration) -> Self {
        Self { first, most: MOST_OF_SITES, failures: 0 }
    }

    /// A run did something before it failed.
    pub(super) const fn reset(&mut self) {
        self.failures = 0;
    }

    pub(super) fn next(&mut self) -> Duration {
        let whole = self.first.saturating_mul(1 << self.failures.min(DOUBLINGS)).min(self.most.max(self.first));
        self.failures += 1;
        whole.mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_start_anew() {
        let mut backoff = Backoff::new(Duration::from_secs(1));
        let mut most = Duration::from_secs(1);
        for _ in 0..20 {
            let wait = backoff.next();
            assert!(wait <= most && wait >= most / 2, "{wait:?} of {most:?}");
            most = (most * 2).min(MOST);
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_secs(1));
        let mut site = Backoff::of_site(Duration::from_secs(1));
        assert!((0..20).all(|_| site.next() <= MOST_OF_SITES));
        // A longer one that was asked for is kept.
        let mut slow = Backoff::new(Duration::from_secs(300));
        assert!(slow.next() >= Duration::from_secs(150) && slow.next() >= Duration::from_secs(150));
    }
}
