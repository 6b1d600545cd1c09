//! Several runs of one drill, summed up.

use serde::Serialize;

use super::Report;

/// A figure over several runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Figure {
    /// Half of the runs were no worse.
    pub median: u64,
    /// The worst run.
    pub worst: u64,
}

impl Figure {
    fn of(mut values: Vec<u64>) -> Option<Self> {
        values.sort_unstable();
        let worst = *values.last()?;
        let median = *values.get((values.len() - 1) / 2)?;
        Some(Self { median, worst })
    }
}

/// What several runs of a drill found.
#[derive(Clone, Debug, Serialize)]
pub struct Repeated {
    /// The drill's name.
    pub drill: String,
    /// All runs passed.
    pub passed: bool,
    /// Why it was not done, if it was not.
    pub skipped: Option<String>,
    /// The longest time without a confirm, in milliseconds.
    pub confirm_gap_ms: Option<Figure>,
    /// The longest time without a delivery, in milliseconds.
    pub delivery_gap_ms: Option<Figure>,
    /// From the first fault to all replicas being in sync, in milliseconds.
    pub redundancy_ms: Option<Figure>,
    /// The runs.
    pub runs: Vec<Report>,
}

impl Repeated {
    /// Sums up.
    #[must_use]
    pub fn of(drill: &str, runs: Vec<Report>) -> Self {
        let figure = |value: fn(&Report) -> Option<u64>| Figure::of(runs.iter().filter_map(value).collect());
        Self {
            drill: drill.to_owned(),
            passed: runs.iter().all(|run| run.passed),
            skipped: None,
            confirm_gap_ms: figure(|run| Some(run.longest_confirm_gap_ms)),
            delivery_gap_ms: figure(|run| Some(run.longest_delivery_gap_ms)),
            redundancy_ms: figure(|run| run.back_in_sync_since_fault_ms),
            runs,
        }
    }

    /// It could not be done here.
    #[must_use]
    pub fn skipped(drill: &str, why: String) -> Self {
        Self { skipped: Some(why), ..Self::of(drill, Vec::new()) }
    }

    /// The sum of a count over all runs.
    #[must_use]
    pub fn sum(&self, count: fn(&Report) -> u64) -> u64 {
        self.runs.iter().map(count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_of_the_better_half_and_one_failure_fails_all() {
        let run = |gap| Report { passed: gap < 40, longest_confirm_gap_ms: gap, ..Report::default() };
        let repeated = Repeated::of("x", [30, 10, 20, 39].map(run).into());
        assert_eq!(repeated.confirm_gap_ms, Some(Figure { median: 20, worst: 39 }));
        assert_eq!((repeated.passed, repeated.redundancy_ms), (true, None));
        assert!(!Repeated::of("x", [30, 40].map(run).into()).passed);
    }
}
