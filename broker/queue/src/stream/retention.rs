//! What a stream keeps: not more than so many bytes, nothing older than so long,
//! and the newest part of its log in any case.

/// What is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// `x-max-length-bytes`: bytes of log.
    pub max_bytes: Option<u64>,
    /// `x-max-age`, in milliseconds.
    pub max_age: Option<u64>,
}

/// A part of a stream's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first message.
    pub first: u64,
    /// Bytes of log from here to the end.
    pub bytes: u64,
    /// When it begins: milliseconds since 1970, not before those before it.
    pub time: u64,
}

impl Retention {
    /// Whether anything is ever dropped.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        self.max_bytes.is_some() || self.max_age.is_some()
    }

    /// The first message to keep, if something before it is to go now. Of the
    /// spans, ascending and without a gap between them, only whole ones go: one
    /// that reaches beyond the size, or whose successor too is older than the age,
    /// so that nothing goes that is younger. The last one stays. Looks at no more
    /// spans than go.
    pub fn keep_from(&self, now: u64, spans: impl IntoIterator<Item = Span>) -> Option<u64> {
        let oldest = self.max_age.map(|age| now.saturating_sub(age));
        let mut spans = spans.into_iter();
        let mut span = spans.next()?;
        let mut keep = None;
        for next in spans {
            let too_large = self.max_bytes.is_some_and(|most| span.bytes > most);
            let too_old = oldest.is_some_and(|oldest| next.time <= oldest);
            if !too_large && !too_old {
                break;
            }
            keep = Some(next.first);
            span = next;
        }
        keep
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// §3: retention drops nothing that is younger than allowed, nothing that
        /// fits, and never the last span; what is left fits, as far as spans go.
        #[test]
        fn only_what_is_too_old_or_too_much_goes(
            parts in prop::collection::vec((1u64..9, 1u64..100, 0u64..50), 1..40),
            max_bytes in prop::option::of(0u64..2_000),
            max_age in prop::option::of(0u64..1_000),
            later in 0u64..500,
        ) {
            let total: u64 = parts.iter().map(|(_, bytes, _)| bytes).sum();
            let (mut first, mut before, mut time) = (0, 0, 1_000);
            let mut spans = Vec::new();
            for (messages, bytes, gap) in parts {
                time += gap;
                spans.push(Span { first, bytes: total - before, time });
                first += messages;
                before += bytes;
            }
            let now = time + later;
            let retention = Retention { max_bytes, max_age };
            let keep = retention.keep_from(now, spans.iter().copied());
            let at = keep.map_or(0, |keep| spans.iter().position(|span| span.first == keep).unwrap_or(usize::MAX));
            prop_assert!(at < spans.len());
            let fits = |n: usize| max_bytes.is_none_or(|most| spans[n].bytes <= most);
            let aged = |n: usize| max_age.is_some_and(|age| n + 1 < spans.len() && spans[n + 1].time + age <= now);
            for n in 0..at {
                prop_assert!(!fits(n) || aged(n), "span {n} goes for no reason");
            }
            if at + 1 < spans.len() {
                prop_assert!(fits(at) && !aged(at), "span {at} should go");
            }
        }
    }
}
