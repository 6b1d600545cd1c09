//! Messages that are consigned to another site (§4.9 of docs/REPLICATION.md): of
//! all consumers only that site's links get them. To everybody else such a message
//! is as one that somebody has and has not acknowledged.

use std::hash::Hash;

use rustc_hash::FxHashMap;

use super::{Delivered, Hold, Queue, Stage};
use crate::ready::Ready;

/// Where a consigned message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The record that consigns it is on its way into the log.
    Coming,
    /// No link has it.
    Waiting,
    /// A link has it; it is a hold as well.
    Held {
        /// No link was ever given it before.
        first: bool,
    },
    /// The record that takes it back is on its way into the log.
    Leaving,
}

#[derive(Clone, Copy, Debug)]
struct Ticket {
    site: u32,
    place: Place,
    /// Where it goes back to when it is taken back.
    lane: u8,
    /// Its time came meanwhile.
    overdue: bool,
}

/// What one site has waiting.
#[derive(Debug, Default)]
struct Site {
    waiting: Ready,
    /// Those of them that no link was ever given: consigned in this reign.
    unsent: Ready,
    /// On their way into the log, either way.
    coming: u64,
    leaving: u64,
}

#[derive(Debug, Default)]
pub(super) struct Consigned {
    tickets: FxHashMap<u64, Ticket>,
    sites: Vec<Site>,
}

impl Consigned {
    pub(super) fn contains(&self, offset: u64) -> bool {
        self.tickets.contains_key(&offset)
    }

    /// Those that no link has.
    pub(super) fn idle(&self) -> u64 {
        self.sites.iter().map(|site| site.waiting.len() + site.coming + site.leaving).sum()
    }

    pub(super) fn waiting_below(&self, offset: u64) -> u64 {
        self.sites.iter().map(|site| site.waiting.len_below(offset)).sum()
    }

    fn site(&mut self, site: u32) -> &mut Site {
        let at = site as usize;
        if self.sites.len() <= at {
            self.sites.resize_with(at + 1, Site::default);
        }
        &mut self.sites[at]
    }

    /// Nobody's any more: it leaves the queue, or is ready again. Its ticket, if it
    /// had one.
    fn end(&mut self, offset: u64) -> Option<Ticket> {
        let ticket = self.tickets.remove(&offset)?;
        let site = self.site(ticket.site);
        match ticket.place {
            Place::Coming => site.coming -= 1,
            Place::Leaving => site.leaving -= 1,
            Place::Held { .. } => {}
            Place::Waiting => {
                site.waiting.remove(offset);
                site.unsent.remove(offset);
            }
        }
        Some(ticket)
    }

    /// It leaves the queue; true if it was consigned.
    pub(super) fn forget(&mut self, offset: u64) -> bool {
        self.end(offset).is_some()
    }

    /// A link no longer has it: it waits for the next one of its site. False if it
    /// is not consigned.
    pub(super) fn put_back(&mut self, offset: u64, overdue: bool) -> bool {
        let Some(ticket) = self.tickets.get_mut(&offset) else { return false };
        ticket.place = Place::Waiting;
        ticket.overdue = overdue;
        let site = ticket.site;
        self.site(site).waiting.insert(offset);
        true
    }

    /// Its time has come. False if it is not consigned.
    pub(super) fn is_due(&mut self, offset: u64) -> bool {
        self.tickets.get_mut(&offset).map(|ticket| ticket.overdue = true).is_some()
    }

    /// Its priority is known now.
    pub(super) fn learn(&mut self, offset: u64, lane: u8) {
        if let Some(ticket) = self.tickets.get_mut(&offset) {
            ticket.lane = lane;
        }
    }

    /// A link of this site, or somebody of whom that is not known, has it from now on.
    pub(super) fn claim(&mut self, offset: u64, site: Option<u32>) -> Option<u8> {
        let ticket = self.tickets.get(&offset)?;
        if ticket.place != Place::Waiting || site.is_some_and(|site| site != ticket.site) {
            return None;
        }
        let (site, lane) = (ticket.site, ticket.lane);
        let site = self.site(site);
        site.waiting.remove(offset);
        let first = site.unsent.remove(offset);
        let ticket = self.tickets.get_mut(&offset)?;
        ticket.place = Place::Held { first };
        Some(lane)
    }
}

impl<K: Copy + Eq + Hash> Queue<K> {
    /// How many more messages are to be consigned to a site, that its links may get
    /// them: as they have room, and only while no consumer here has.
    #[must_use]
    pub fn wanted_by(&self, site: u32) -> u64 {
        if !self.open || self.has_room() {
            return 0;
        }
        let at_hand = self.consigned.sites.get(site as usize).map_or(0, |site| site.waiting.len() + site.coming);
        self.consumers.room_of(site).saturating_sub(at_hand)
    }

    /// Consigns the deliverable message to this site: it is its own once that is
    /// committed ([`Queue::consigned`]).
    pub fn consign(&mut self, site: u32) -> Option<u64> {
        self.deliverable()?;
        let (offset, lane) = self.ready.pop()?;
        self.consigned.site(site).coming += 1;
        self.consigned.tickets.insert(offset, Ticket { site, place: Place::Coming, lane, overdue: false });
        Some(offset)
    }

    /// It is committed that the message is this site's.
    pub fn consigned(&mut self, offset: u64) {
        let Some(ticket) = self.consigned.tickets.get_mut(&offset).filter(|t| t.place == Place::Coming) else { return };
        ticket.place = Place::Waiting;
        let site = ticket.site;
        let site = self.consigned.site(site);
        site.coming -= 1;
        site.waiting.insert(offset);
        site.unsent.insert(offset);
    }

    /// An earlier leader consigned the message, and maybe gave it to a link.
    pub fn inherit_consigned(&mut self, offset: u64, site: u32) {
        let lane = self.ready.remove(offset).unwrap_or(0);
        self.consigned.site(site).waiting.insert(offset);
        self.consigned.tickets.insert(offset, Ticket { site, place: Place::Waiting, lane, overdue: false });
    }

    /// Whether the link that has this message is the only one that ever was given it,
    /// and that once: then nothing has become of it if that link says so.
    #[must_use]
    pub fn is_first_sent(&self, offset: u64) -> bool {
        self.consigned.tickets.get(&offset).is_some_and(|ticket| ticket.place == Place::Held { first: true })
    }

    /// Whether a link of this site is attached.
    #[must_use]
    pub fn is_linked(&self, site: u32) -> bool {
        self.consumers.is_linked(site)
    }

    /// Whether this message is a site's, or about to be.
    #[must_use]
    pub fn is_consigned(&self, offset: u64) -> bool {
        self.consigned.contains(offset)
    }

    /// Whether somebody is to be given this message, sooner or later: its body is needed.
    #[must_use]
    pub fn is_to_go_out(&self, offset: u64) -> bool {
        let waits = |ticket: &Ticket| matches!(ticket.place, Place::Coming | Place::Waiting);
        self.ready.contains(offset) || self.consigned.tickets.get(&offset).is_some_and(waits)
    }

    /// The message that goes next to a link of this site, if one has room.
    #[must_use]
    pub fn deliverable_to(&self, site: u32) -> Option<u64> {
        if !self.open {
            return None;
        }
        self.consumers.front_of(site)?;
        self.consigned.sites.get(site as usize)?.waiting.first()
    }

    /// Gives that message to the link whose turn it is. `weight` is the message's,
    /// `count` its committed delivery count.
    pub fn deliver_to(&mut self, site: u32, weight: u32, count: u32) -> Option<Delivered<K>> {
        let offset = self.deliverable_to(site)?;
        let slot = self.consumers.front_of(site)?;
        let key = self.consumers.key(slot)?;
        let overdue = self.consigned.tickets.get(&offset)?.overdue;
        let lane = self.consigned.claim(offset, Some(site))?;
        self.take(offset, Hold { slot, weight, count, stage: Stage::Held, lane, overdue });
        self.consumers.served(slot, weight);
        Some(Delivered { key, offset, redelivered: self.redelivered(offset, count) })
    }

    /// What was consigned to sites whose links have gone since, before any of them
    /// was given it: it is to be taken back, by a record.
    pub fn take_unsent(&mut self) -> Vec<u64> {
        let mut unsent = Vec::new();
        for (site, number) in self.consigned.sites.iter_mut().zip(0..) {
            if !site.unsent.is_empty() && !self.consumers.is_linked(number) {
                unsent.extend(std::mem::take(&mut site.unsent).ranges().flatten());
            }
        }
        unsent.iter().for_each(|offset| self.leave_site(*offset));
        unsent
    }

    /// Everything that waits for a link of this site: it is to be taken back, by a
    /// record. `None` if the site has a link here.
    pub fn take_consigned(&mut self, site: u32) -> Option<Vec<u64>> {
        if self.consumers.is_linked(site) {
            return None;
        }
        let all: Vec<u64> = self.consigned.site(site).waiting.ranges().flatten().collect();
        all.iter().for_each(|offset| self.leave_site(*offset));
        Some(all)
    }

    fn leave_site(&mut self, offset: u64) {
        let Some(ticket) = self.consigned.tickets.get_mut(&offset) else { return };
        ticket.place = Place::Leaving;
        let site = ticket.site;
        let site = self.consigned.site(site);
        site.waiting.remove(offset);
        site.unsent.remove(offset);
        site.leaving += 1;
    }

    /// It is committed that the message is no site's any more.
    pub fn reclaimed(&mut self, offset: u64) {
        let Some(ticket) = self.consigned.end(offset) else { return };
        match self.holds.get_mut(&offset) {
            // It goes back where it came from, once its link has given it back.
            Some(hold) => hold.lane = ticket.lane,
            None if ticket.overdue => {
                self.leaving.insert(offset);
                self.overdue.push(offset);
            }
            None => self.ready.insert(offset, ticket.lane),
        }
    }
}
