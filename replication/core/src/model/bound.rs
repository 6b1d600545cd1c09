//! How far the model goes: how often each thing may happen.

use std::fmt;
use std::str::FromStr;

/// A bound, as `messages=1,elections=1,…`; what is not named may not happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    /// Messages published.
    pub(crate) messages: u8,
    /// Messages settled.
    pub(crate) settles: u8,
    /// Elections, on true or false suspicion.
    pub(crate) elections: u8,
    /// Processes that end, with any suffix of their unsynced writes; each may start again.
    pub(crate) crashes: u8,
    /// Of which so many with their disks, while another member is whole.
    pub(crate) disks: u8,
    /// Words of replicas, or wishes to the catalog, that arrive twice.
    pub(crate) doubles: u8,
    /// Words that arrive ahead of earlier ones of their link, which arrive later
    /// or are lost. (That a link's last words are lost is free: they just do not
    /// arrive.)
    pub(crate) overtakes: u8,
    /// Times at which all that waits for time comes due at one node: words are
    /// sent again, mirrors that are behind are proposed for removal.
    pub(crate) ticks: u8,
    /// How many in-sync members a commit needs.
    pub(crate) minimum: u8,
    /// Entries after which a checkpoint is taken, 0 = none.
    pub(crate) checkpoint: u8,
    /// Messages by which mirrors may trail, 0 = none does (§4.2): one that trails
    /// may then lead.
    pub(crate) lag: u8,
    /// Replicas.
    pub(crate) nodes: u8,
}

impl Bound {
    fn fields(&mut self) -> [(&'static str, &mut u8); 12] {
        [
            ("messages", &mut self.messages),
            ("settles", &mut self.settles),
            ("elections", &mut self.elections),
            ("crashes", &mut self.crashes),
            ("disks", &mut self.disks),
            ("doubles", &mut self.doubles),
            ("overtakes", &mut self.overtakes),
            ("ticks", &mut self.ticks),
            ("minimum", &mut self.minimum),
            ("checkpoint", &mut self.checkpoint),
            ("lag", &mut self.lag),
            ("nodes", &mut self.nodes),
        ]
    }
}

impl Default for Bound {
    fn default() -> Self {
        Self {
            messages: 0,
            settles: 0,
            elections: 0,
            crashes: 0,
            disks: 0,
            doubles: 0,
            overtakes: 0,
            ticks: 0,
            minimum: 2,
            checkpoint: 0,
            lag: 0,
            nodes: 3,
        }
    }
}

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut bound = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').ok_or_else(|| format!("{part:?} is not name=number"))?;
            let value = value.parse().map_err(|_| format!("{value:?} is not a small number"))?;
            let found = bound.fields().into_iter().find(|(known, _)| *known == name);
            *found.ok_or_else(|| format!("a bound has no {name:?}"))?.1 = value;
        }
        Ok(bound)
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.clone();
        let parts: Vec<_> = shown
            .fields()
            .into_iter()
            .filter(|(name, value)| **value > 0 && (*name != "nodes" || **value != 3))
            .map(|(name, v)| format!("{name}={v}"))
            .collect();
        f.write_str(&parts.join(","))
    }
}

#[test]
fn a_bound_is_read_as_it_is_written() {
    let bound: Bound = "messages=2,doubles=1,minimum=1".parse().unwrap();
    assert_eq!(bound.to_string(), "messages=2,doubles=1,minimum=1");
    assert!("mesages=2".parse::<Bound>().is_err());
}
