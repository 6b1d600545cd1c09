//! The kinds of records, and how each is written.

use bytes::{BufMut, Bytes, BytesMut};

use crate::codec::{Malformed, Reader, Writer};
use crate::consigned::{put_site, site};
use crate::keys::Key;
use crate::message::SettleReason;
use crate::types::{Offset, Process, Session};

/// One record of an entry (§3). Idempotent: a settle or return of an offset
/// that is not live does nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Record {
    /// The entry's next messages are of this session.
    Publish {
        /// Whose.
        session: Session,
        /// Nothing below it will be sent again.
        floor: u64,
        /// Their sequences in order, as inclusive ranges.
        runs: Vec<(u64, u64)>,
    },
    /// Publishes of this session that were refused, for good.
    Refuse {
        /// Whose.
        session: Session,
        /// Nothing below it will be sent again.
        floor: u64,
        /// Their sequences in order, as inclusive ranges.
        runs: Vec<(u64, u64)>,
        /// They are the entry's next messages all the same: to be moved on.
        kept: bool,
    },
    /// Publishes of this session that the queue knew by their keys: confirmed,
    /// and nothing else becomes of them.
    Duplicate {
        /// Whose.
        session: Session,
        /// Nothing below it will be sent again.
        floor: u64,
        /// Their sequences in order, as inclusive ranges.
        runs: Vec<(u64, u64)>,
    },
    /// Messages with these keys were taken: they keep others out until then.
    Keys {
        /// Key, and time (ms).
        keys: Vec<(Key, u64)>,
        /// So many are remembered at most.
        most: u32,
    },
    /// Gone for good.
    Settle {
        /// Why.
        reason: SettleReason,
        /// Inclusive offset ranges.
        ranges: Vec<(u64, u64)>,
    },
    /// Back to their places; counts only if it is the stored count + 1.
    Return {
        /// Offset and delivery count.
        offsets: Vec<(Offset, u32)>,
    },
    /// Only links of this site may be given these, until it settles them or gives
    /// them back. Counts for what is live and consigned to nobody.
    Consign {
        /// Whose they are now.
        site: Bytes,
        /// The number of the first; the others follow.
        first: u64,
        /// Inclusive offset ranges, in the order of the numbers.
        runs: Vec<(u64, u64)>,
    },
    /// Anybody may be given these again.
    Reclaim {
        /// Inclusive offset ranges.
        ranges: Vec<(u64, u64)>,
    },
    /// Nothing at or above this was delivered before this record committed.
    Horizon(Offset),
    /// The session is over.
    EndSession(Session),
    /// The first record of an epoch.
    EpochStart {
        /// Who leads it.
        leader: Process,
        /// The leader may lack what was committed before (§6.3).
        unclean: bool,
    },
}

const PUBLISH: u8 = 1;
const SETTLE: u8 = 2;
const RETURN: u8 = 3;
const HORIZON: u8 = 4;
const END_SESSION: u8 = 5;
const EPOCH_START: u8 = 6;
const REFUSE: u8 = 7;
const DUPLICATE: u8 = 8;
const KEYS: u8 = 9;
const UNCLEAN_START: u8 = 10;
const CONSIGN: u8 = 11;
const RECLAIM: u8 = 12;

impl Record {
    pub(super) fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Publish { session, floor, runs } => {
                out.put_u8(PUBLISH);
                out.put_session(session);
                out.put_varint(*floor);
                put_runs(out, runs);
            }
            Self::Refuse { session, floor, runs, kept } => {
                out.put_u8(REFUSE);
                out.put_session(session);
                out.put_varint(*floor);
                put_runs(out, runs);
                out.put_u8(u8::from(*kept));
            }
            Self::Duplicate { session, floor, runs } => {
                out.put_u8(DUPLICATE);
                out.put_session(session);
                out.put_varint(*floor);
                put_runs(out, runs);
            }
            Self::Keys { keys, most } => {
                out.put_u8(KEYS);
                out.put_varint(u64::from(*most));
                out.put_varint(keys.len() as u64);
                for (key, until) in keys {
                    out.put_varint(*until);
                    out.put_u128_le(*key);
                }
            }
            Self::Settle { reason, ranges } => {
                out.put_u8(SETTLE);
                out.put_u8(reason_code(*reason));
                put_runs(out, ranges);
            }
            Self::Return { offsets } => {
                out.put_u8(RETURN);
                out.put_varint(offsets.len() as u64);
                for (offset, count) in offsets {
                    out.put_varint(offset.0);
                    out.put_varint(u64::from(*count));
                }
            }
            Self::Consign { site, first, runs } => {
                out.put_u8(CONSIGN);
                put_site(out, site);
                out.put_varint(*first);
                put_runs(out, runs);
            }
            Self::Reclaim { ranges } => {
                out.put_u8(RECLAIM);
                put_runs(out, ranges);
            }
            Self::Horizon(offset) => {
                out.put_u8(HORIZON);
                out.put_varint(offset.0);
            }
            Self::EndSession(session) => {
                out.put_u8(END_SESSION);
                out.put_session(session);
            }
            Self::EpochStart { leader, unclean } => {
                out.put_u8(if *unclean { UNCLEAN_START } else { EPOCH_START });
                out.put_process(*leader);
            }
        }
    }

    pub(super) fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match from.u8()? {
            PUBLISH => Self::Publish { session: from.session()?, floor: from.varint()?, runs: runs(from)? },
            REFUSE => Self::Refuse {
                session: from.session()?,
                floor: from.varint()?,
                runs: runs(from)?,
                kept: from.u8()? != 0,
            },
            DUPLICATE => Self::Duplicate { session: from.session()?, floor: from.varint()?, runs: runs(from)? },
            KEYS => {
                let most = u32::try_from(from.varint()?).map_err(|_| Malformed("count too large"))?;
                let count = from.count(17)?;
                let mut keys = Vec::with_capacity(count);
                for _ in 0..count {
                    let until = from.varint()?;
                    keys.push((from.u128()?, until));
                }
                Self::Keys { keys, most }
            }
            SETTLE => Self::Settle { reason: reason(from.u8()?)?, ranges: runs(from)? },
            RETURN => {
                let count = from.count(2)?;
                let mut offsets = Vec::with_capacity(count);
                for _ in 0..count {
                    let offset = Offset(from.varint()?);
                    let count = u32::try_from(from.varint()?).map_err(|_| Malformed("count too large"))?;
                    offsets.push((offset, count));
                }
                Self::Return { offsets }
            }
            CONSIGN => Self::Consign { site: site(from)?, first: from.varint()?, runs: runs(from)? },
            RECLAIM => Self::Reclaim { ranges: runs(from)? },
            HORIZON => Self::Horizon(Offset(from.varint()?)),
            END_SESSION => Self::EndSession(from.session()?),
            EPOCH_START => Self::EpochStart { leader: from.process()?, unclean: false },
            UNCLEAN_START => Self::EpochStart { leader: from.process()?, unclean: true },
            _ => return Err(Malformed("unknown record")),
        })
    }
}

/// Inclusive ranges, not necessarily ascending: first and length of each.
fn put_runs(out: &mut BytesMut, runs: &[(u64, u64)]) {
    out.put_varint(runs.len() as u64);
    for (first, last) in runs {
        out.put_varint(*first);
        out.put_varint(last - first);
    }
}

fn runs(from: &mut Reader<'_>) -> Result<Vec<(u64, u64)>, Malformed> {
    let count = from.count(2)?;
    let mut runs = Vec::with_capacity(count);
    for _ in 0..count {
        let first = from.varint()?;
        // The last number of all is never used, so that `last + 1` is a number.
        let last = first.checked_add(from.varint()?).filter(|&last| last < u64::MAX);
        runs.push((first, last.ok_or(Malformed("range overflows"))?));
    }
    Ok(runs)
}

/// Appends a number to runs, joining it to the last one where it follows.
pub(crate) fn push_run(runs: &mut Vec<(u64, u64)>, value: u64) {
    match runs.last_mut() {
        Some((_, last)) if *last + 1 == value => *last = value,
        _ => runs.push((value, value)),
    }
}

fn reason_code(reason: SettleReason) -> u8 {
    match reason {
        SettleReason::Acked => 0,
        SettleReason::Expired => 1,
        SettleReason::Dropped => 2,
        SettleReason::DeadLettered => 3,
        SettleReason::Purged => 4,
        SettleReason::Rejected => 5,
    }
}

fn reason(code: u8) -> Result<SettleReason, Malformed> {
    Ok(match code {
        0 => SettleReason::Acked,
        1 => SettleReason::Expired,
        2 => SettleReason::Dropped,
        3 => SettleReason::DeadLettered,
        4 => SettleReason::Purged,
        5 => SettleReason::Rejected,
        _ => return Err(Malformed("unknown reason")),
    })
}
