//! What other sites get of a queue (§4.9): messages are consigned to them, by a
//! record, before a link may be given them, and are theirs until they settle them,
//! give them back unused, or are given up for lost.

use bytes::Bytes;
use warren_replication::ledger::Ledger;
use warren_replication::message::Delivery;
use warren_replication::mutation::{self, Mutation};
use warren_replication::step::Proposal;
use warren_replication::types::Offset;

use super::{Leader, Log, weight};
use crate::bodies::Budget;
use crate::step::SiteStatus;
use crate::world::World;

/// The number of a site, given at its first use.
pub(super) fn number(sites: &mut Vec<Bytes>, site: &Bytes) -> u32 {
    let at = sites.iter().position(|known| known == site).unwrap_or_else(|| {
        sites.push(site.clone());
        sites.len() - 1
    });
    at as u32
}

impl Leader {
    /// Whether a link of another site has room for what nobody here wants.
    pub(super) fn is_wanted_elsewhere(&self) -> bool {
        let mut sites = 0..self.sites.len() as u32;
        self.queue.as_ref().is_some_and(|queue| sites.any(|site| queue.wanted_by(site) > 0))
    }

    /// Consigns what consumers here leave to the sites that want it, as much to each
    /// as to the others; and takes back what no site has or will have.
    pub(super) fn consign(&mut self, log: &mut Log<'_>, world: &World<'_>) {
        let Some(queue) = &mut self.queue else { return };
        if self.sites.is_empty() {
            return;
        }
        let mut back = queue.take_unsent();
        for (site, at) in self.sites.iter().zip(0..) {
            if world.lost.contains(site) {
                back.extend(queue.take_consigned(at).unwrap_or_default());
            }
        }
        if !back.is_empty() {
            back.sort_unstable();
            log.propose(Proposal::Reclaim { offsets: back.into_iter().map(Offset).collect() });
        }
        let mut wanting: Vec<(u32, u64, Vec<Offset>)> = (0..self.sites.len() as u32)
            .map(|site| (site, queue.wanted_by(site), Vec::new()))
            .filter(|(_, wanted, _)| *wanted > 0)
            .collect();
        'more: loop {
            let mut consigned = false;
            for (site, wanted, offsets) in &mut wanting {
                if offsets.len() as u64 == *wanted {
                    continue;
                }
                let Some(offset) = queue.consign(*site) else { break 'more };
                offsets.push(Offset(offset));
                consigned = true;
            }
            if !consigned {
                break;
            }
        }
        for (site, _, offsets) in wanting {
            if !offsets.is_empty() {
                if mutation::on(Mutation::ConsignUncommitted) {
                    offsets.iter().for_each(|offset| queue.consigned(offset.0));
                }
                let site = self.sites[site as usize].clone();
                log.propose(Proposal::Consign { site, offsets });
            }
        }
    }

    /// What each site has, of those that have something or a link.
    pub(crate) fn site_statuses(&self, ledger: &Ledger) -> Vec<SiteStatus> {
        let Some(queue) = &self.queue else { return Vec::new() };
        let statuses = self.sites.iter().zip(0..).map(|(site, at)| SiteStatus {
            site: String::from_utf8_lossy(site).into_owned(),
            consigned: ledger.consigned().count(site),
            linked: queue.is_linked(at),
        });
        statuses.filter(|status| status.linked || status.consigned > 0).collect()
    }

    /// What is consigned for good goes to the sites' links.
    pub(super) fn deliver_to_sites(&mut self, log: &Log<'_>, budget: &mut Budget) {
        let Some(queue) = &mut self.queue else { return };
        if self.sites.is_empty() {
            return;
        }
        let floor = log.ledger().live().first().map_or(log.ledger().next_offset(), Offset);
        for site in 0..self.sites.len() as u32 {
            while let Some(offset) = queue.deliverable_to(site) {
                let Some(message) = self.supply.bodies.take(offset, budget) else {
                    self.supply.bodies.miss(offset);
                    break;
                };
                let offset = Offset(offset);
                let count = log.ledger().count(offset);
                let Some(given) = queue.deliver_to(site, weight(&message), count) else { return };
                self.totals.1 += 1;
                let consignment = log.ledger().consigned().consignment(offset.0);
                let redelivered = given.redelivered;
                let delivery = Delivery { consumer: given.key, offset, count, redelivered, consignment, message };
                let outbox = self.outboxes.to(given.key.process);
                outbox.deliveries.push(delivery);
                outbox.floor = floor;
            }
        }
    }
}
