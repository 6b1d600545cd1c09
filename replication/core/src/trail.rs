//! What a leader under `max-lag` has in its log beyond its trailing mirrors'
//! disks, measured: how far commits may run ahead of each of them (§4.2).

use std::collections::VecDeque;

use crate::types::{Index, Lag, Moment};

/// So many entries are told apart at most; commits then wait for mirrors that
/// are further behind, whatever `max-lag` is.
const STEPS: usize = 1 << 16;

/// One entry, with everything up to its end counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Step {
    messages: u64,
    bytes: u64,
    at: Moment,
}

/// The entries of this epoch from some index on, dense.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Trail {
    /// The index of the first step.
    first: Index,
    /// Counted up to before the first step; from some point on, only differences
    /// mean anything.
    before: (u64, u64),
    steps: VecDeque<Step>,
}

impl Trail {
    pub(crate) fn push(&mut self, index: Index, messages: u32, bytes: usize, at: Moment) {
        if self.steps.is_empty() || index.0 != self.first.0 + self.steps.len() as u64 {
            self.steps.clear();
            self.first = index;
        }
        let (messages_before, bytes_before) = self.steps.back().map_or(self.before, |step| (step.messages, step.bytes));
        let messages = messages_before + u64::from(messages);
        self.steps.push_back(Step { messages, bytes: bytes_before + bytes as u64, at });
        if self.steps.len() > STEPS {
            self.forget(self.first);
        }
    }

    /// Every mirror that trails has everything up to here.
    pub(crate) fn forget(&mut self, through: Index) {
        while self.first <= through
            && let Some(step) = self.steps.pop_front()
        {
            self.before = (step.messages, step.bytes);
            self.first = self.first.next();
        }
    }

    /// Nobody trails: what nobody could begin to trail from is forgotten.
    pub(crate) fn keep_within(&mut self, commit: Index, max: &Lag) {
        while self.first <= commit && !self.steps.is_empty() && self.reach(self.first.before(), max) < commit {
            self.forget(self.first);
        }
    }

    /// What is counted up to the end of this entry; `None` if that is not known
    /// any more.
    fn at(&self, index: Index) -> Option<(u64, u64)> {
        match (index.0 + 1).checked_sub(self.first.0)? {
            0 => Some(self.before),
            nth => self.steps.get(usize::try_from(nth).ok()? - 1).map(|step| (step.messages, step.bytes)),
        }
    }

    /// Up to here may be committed while a mirror has this much on its disk:
    /// never more than `max` would be lost with the leader.
    pub(crate) fn reach(&self, durable: Index, max: &Lag) -> Index {
        let Some((messages, bytes)) = self.at(durable) else { return durable };
        let skip = usize::try_from(durable.0 + 1 - self.first.0).unwrap_or(usize::MAX);
        let Some(oldest) = self.steps.get(skip) else { return durable };
        let allowed = |step: &Step| {
            step.messages - messages <= max.messages
                && step.bytes - bytes <= max.bytes
                && step.at.micros_since(oldest.at) <= max.micros
        };
        let has = |step: &Step| step.messages <= messages && step.bytes <= bytes;
        let within = self.steps.partition_point(|step| has(step) || allowed(step));
        durable.max(Index(self.first.0 + within as u64).before())
    }

    /// What is committed and not on a mirror's disk.
    pub(crate) fn lag(&self, durable: Index, commit: Index, now: Moment) -> Lag {
        let (Some(has), Some(committed)) = (self.at(durable), self.at(commit)) else { return Lag::default() };
        let skip = usize::try_from(durable.0 + 1 - self.first.0).unwrap_or(usize::MAX);
        let oldest = if durable < commit { self.steps.get(skip) } else { None };
        Lag {
            messages: committed.0.saturating_sub(has.0),
            bytes: committed.1.saturating_sub(has.1),
            micros: oldest.map_or(0, |oldest| now.micros_since(oldest.at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten entries from index 5 on, each of 3 messages and 100 bytes, 10 µs apart.
    fn trail() -> Trail {
        let mut trail = Trail::default();
        for nth in 0..10 {
            trail.push(Index(5 + nth), 3, 100, Moment(nth * 10));
        }
        trail
    }

    fn lag(messages: u64, bytes: u64, micros: u64) -> Lag {
        Lag { messages, bytes, micros }
    }

    #[test]
    fn commits_run_ahead_as_far_as_each_bound_allows() {
        let trail = trail();
        let all = u64::MAX;
        for (max, reach) in [
            (lag(all, all, all), 14),
            (lag(0, all, all), 7),
            (lag(2, all, all), 7),
            (lag(3, all, all), 8),
            (lag(8, all, all), 9),
            (lag(all, 99, all), 7),
            (lag(all, 250, all), 9),
            (lag(all, all, 0), 8),
            (lag(all, all, 25), 10),
            (lag(6, 100, 50), 8),
        ] {
            assert_eq!(trail.reach(Index(7), &max), Index(reach), "{max:?}");
        }
        assert_eq!(trail.reach(Index(14), &lag(1, 1, 1)), Index(14));
    }

    /// What was appended before anybody counted is waited for.
    #[test]
    fn of_what_is_not_counted_nothing_runs_ahead() {
        let all = lag(u64::MAX, u64::MAX, u64::MAX);
        let mut trail = trail();
        assert_eq!(trail.reach(Index(3), &all), Index(3));
        assert_eq!(trail.reach(Index(4), &all), Index(14));
        trail.forget(Index(8));
        assert_eq!(trail.reach(Index(6), &all), Index(6));
        assert_eq!(trail.reach(Index(8), &lag(3, 1_000, 1_000)), Index(9));
    }

    #[test]
    fn the_lag_is_what_a_failure_would_cost_now() {
        let trail = trail();
        assert_eq!(trail.lag(Index(7), Index(9), Moment(100)), lag(6, 200, 70));
        assert_eq!(trail.lag(Index(9), Index(9), Moment(100)), lag(0, 0, 0));
    }
}
