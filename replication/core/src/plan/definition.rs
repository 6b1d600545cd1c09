//! RabbitMQ's policy keys (`definition = { "ha-mode" = "exactly", … }`) as a
//! mode and limits of our own, so that a policy moves over as it is.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use super::limits::{Limits, Overflow};
use super::link::Link;
use super::source::UNCLEAN_AFTER;
use super::{Leaders, MinInSync, Mirror, Mode, PolicyError, Replicas, Synchronization};

/// A policy's definition as RabbitMQ's JSON or our TOML gives it.
pub type Definition = BTreeMap<String, Setting>;

/// The value of one key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Setting {
    /// `true`
    Flag(bool),
    /// `3`
    Number(i64),
    /// `"all"`
    Text(String),
    /// `["a", "b"]`
    List(Vec<String>),
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => flag.fmt(f),
            Self::Number(n) => n.fmt(f),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::List(items) => write!(f, "{items:?}"),
        }
    }
}

/// What a definition comes to. Without `ha-mode` it leaves the mode open.
///
/// A mirrored queue of RabbitMQ goes on with whatever mirrors are in sync, down
/// to the last: so `min-in-sync` is 1 here. Mirrors synchronize by themselves
/// unless `ha-sync-mode` says `manual` by name (there it stops the queue, here it
/// does not). One leads that may lack confirmed messages only by `always`, said by
/// name: `ha-promote-on-failure` when nobody else has come back for a while,
/// `ha-promote-on-shutdown` when the leader's node is stopped by plan.
///
/// # Errors
/// An unknown key, or a value that does not fit.
pub(super) fn compile(definition: &Definition) -> Result<(Option<Mode>, Limits, Option<Link>), PolicyError> {
    let mut limits = Limits::default();
    let mut leaders = None;
    let mut link = None;
    let mut unclean_after = None;
    let mut unclean_after_stop = None;
    let mut synchronization = Synchronization::default();
    for (key, value) in definition {
        match key.as_str() {
            "ha-mode" | "ha-params" | "ha-sync-batch-size" | "queue-mode" | "queue-version" => {}
            "ha-sync-mode" => {
                one_of(key, value, &["automatic", "manual"])?;
                if said(value, "manual") {
                    synchronization = Synchronization::Manual;
                }
            }
            "ha-promote-on-shutdown" => {
                one_of(key, value, &["when-synced", "always"])?;
                unclean_after_stop = said(value, "always").then_some(0);
            }
            "ha-promote-on-failure" => {
                one_of(key, value, &["when-synced", "always"])?;
                unclean_after = said(value, "always").then_some(UNCLEAN_AFTER);
            }
            "queue-master-locator" | "queue-leader-locator" => {
                one_of(key, value, &["client-local", "min-masters", "random", "balanced"])?;
                leaders = Some(if said(value, "client-local") { Leaders::ClientLocal } else { Leaders::Balanced });
            }
            "message-ttl" => limits.message_ttl = Some(number(key, value)?),
            "expires" => limits.expires = Some(number(key, value)?.max(1)),
            "max-length" => limits.max_length = Some(number(key, value)?),
            "max-length-bytes" => limits.max_length_bytes = Some(number(key, value)?),
            "delivery-limit" => {
                limits.delivery_limit = Some(u32::try_from(number(key, value)?).unwrap_or(u32::MAX));
            }
            "overflow" => {
                let known = [Overflow::DropHead, Overflow::RejectPublish, Overflow::RejectPublishDlx];
                one_of(key, value, &known.map(Overflow::as_str))?;
                limits.overflow = known.into_iter().find(|overflow| said(value, overflow.as_str()));
            }
            "dead-letter-exchange" => limits.dead_letter_exchange = Some(text(key, value)?),
            "federation-upstream" if link.is_none() => link = Some(Link::Upstream(text(key, value)?)),
            "federation-upstream-set" if link.is_none() => link = Some(Link::UpstreamSet(text(key, value)?)),
            "federation-upstream-set" => return Err(wrong(key, "does not go with federation-upstream")),
            "dead-letter-routing-key" => limits.dead_letter_routing_key = Some(text(key, value)?),
            _ => return Err(wrong(key, "is no policy key that is known here")),
        }
    }
    let replicas = match (definition.get("ha-mode"), definition.get("ha-params")) {
        (None, None) => None,
        (None, Some(_)) => return Err(wrong("ha-params", "needs ha-mode")),
        (Some(mode), params) => Some(replicas(mode, params)?),
    };
    let takeovers = unclean_after.is_some() || unclean_after_stop.is_some();
    let manual = synchronization == Synchronization::Manual;
    let mode = (replicas.is_some() || leaders.is_some() || takeovers || manual).then(|| {
        let (replicas, min_in_sync) = match replicas {
            Some(replicas) => (replicas, MinInSync::Count(1)),
            None => (Replicas::default(), MinInSync::default()),
        };
        let leaders = leaders.unwrap_or_default();
        Mode::Mirror(Mirror { replicas, min_in_sync, leaders, synchronization, unclean_after, unclean_after_stop })
    });
    Ok((mode, limits, link))
}

fn replicas(mode: &Setting, params: Option<&Setting>) -> Result<Replicas, PolicyError> {
    let Setting::Text(mode) = mode else { return Err(wrong("ha-mode", "must be \"all\", \"exactly\" or \"nodes\"")) };
    match (mode.as_str(), params) {
        ("all", None) => Ok(Replicas::All),
        ("all", Some(_)) => Err(wrong("ha-params", "has no meaning with ha-mode \"all\"")),
        ("exactly", Some(Setting::Number(n))) if *n > 0 => Ok(Replicas::Count(u32::try_from(*n).unwrap_or(u32::MAX))),
        ("exactly", _) => Err(wrong("ha-params", "must be a number above 0 with ha-mode \"exactly\"")),
        // RabbitMQ's node names are `rabbit@host`, as are ours if one wants.
        ("nodes", Some(Setting::List(names))) if !names.is_empty() => Ok(Replicas::Nodes(names.clone())),
        ("nodes", _) => Err(wrong("ha-params", "must be a list of node names with ha-mode \"nodes\"")),
        _ => Err(wrong("ha-mode", "must be \"all\", \"exactly\" or \"nodes\"")),
    }
}

fn said(value: &Setting, text: &str) -> bool {
    matches!(value, Setting::Text(value) if value == text)
}

fn one_of(key: &str, value: &Setting, known: &[&str]) -> Result<(), PolicyError> {
    if matches!(value, Setting::Text(text) if known.contains(&text.as_str())) {
        return Ok(());
    }
    let known: Vec<String> = known.iter().map(|name| format!("{name:?}")).collect();
    Err(wrong(key, &format!("is {value}, expected {}", known.join(" or "))))
}

fn number(key: &str, value: &Setting) -> Result<u64, PolicyError> {
    match value {
        Setting::Number(n) => u64::try_from(*n).ok(),
        _ => None,
    }
    .ok_or_else(|| wrong(key, &format!("is {value}, expected a number from 0")))
}

fn text(key: &str, value: &Setting) -> Result<String, PolicyError> {
    match value {
        Setting::Text(text) => Ok(text.clone()),
        _ => Err(wrong(key, &format!("is {value}, expected text"))),
    }
}

fn wrong(key: &str, problem: &str) -> PolicyError {
    PolicyError::Definition { key: key.to_owned(), problem: problem.to_owned() }
}
