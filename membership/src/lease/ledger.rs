//! The Raft leader's book of node leases (§6.7): who may hold one and until
//! when, and how far each node has applied the catalog. A catalog change
//! answers its client only when no node that may hold a lease lacks it. Pure:
//! time is an argument.
//!
//! Why it is enough: a lease is granted with a read index that a majority
//! confirmed after the request, and counts only once its node has applied the
//! catalog up to there. So a lease whose read index is at or above a change is
//! never used without that change. And a lease that an earlier Raft leader
//! granted was asked for before this one took office: all of those are over
//! `lease_elsewhere` later.

use std::collections::BTreeMap;

use warren_replication::types::{Boot, Member, Moment, Process};

/// The book.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// The longest that a lease runs after its request arrived, by this clock (µs).
    span: u64,
    term: u64,
    /// Before this, every registered node may hold a lease of an earlier term.
    office_until: Moment,
    next_grant: u64,
    /// By disk: a later boot on the same disk proves the earlier process gone,
    /// another disk proves nothing.
    holders: BTreeMap<Member, Holder>,
}

#[derive(Debug)]
struct Holder {
    boot: Boot,
    applied: u64,
    released: bool,
    grants: Vec<Grant>,
}

#[derive(Clone, Copy, Debug)]
struct Grant {
    number: u64,
    /// 0 until a majority has confirmed one.
    read_index: u64,
    until: Moment,
}

/// A lease being granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GrantId {
    process: Process,
    number: u64,
}

impl Ledger {
    pub(crate) fn new(span_micros: u64) -> Self {
        Self { span: span_micros, term: 0, office_until: Moment(0), next_grant: 1, holders: BTreeMap::new() }
    }

    /// This process leads in a term. What it granted in an earlier one is over
    /// when the leases of all others are.
    pub(crate) fn take_office(&mut self, term: u64, now: Moment) {
        if term > self.term {
            self.term = term;
            self.office_until = now.plus_micros(self.span);
            for holder in self.holders.values_mut() {
                holder.grants.clear();
            }
        }
    }

    /// A request has arrived. Counted from here on, before its read index is
    /// taken: a change that commits in between waits for this node.
    pub(crate) fn request(&mut self, process: Process, now: Moment) -> GrantId {
        let number = self.next_grant;
        self.next_grant += 1;
        let until = now.plus_micros(self.span);
        let holder = self.holder(process);
        if holder.boot == process.boot {
            holder.released = false;
            holder.grants.retain(|grant| grant.until > now);
            holder.grants.push(Grant { number, read_index: 0, until });
        }
        GrantId { process, number }
    }

    /// A majority has confirmed this read index after the request.
    pub(crate) fn confirm(&mut self, id: GrantId, read_index: u64) {
        let holder = self.holder(id.process);
        if let Some(grant) = holder.grants.iter_mut().find(|grant| grant.number == id.number) {
            grant.read_index = read_index;
        }
    }

    /// The request was not answered with a lease.
    pub(crate) fn refuse(&mut self, id: GrantId) {
        self.holder(id.process).grants.retain(|grant| grant.number != id.number);
    }

    /// A process has applied the catalog up to here.
    pub(crate) fn applied(&mut self, process: Process, index: u64) {
        let holder = self.holder(process);
        if holder.boot == process.boot {
            holder.applied = holder.applied.max(index);
        }
    }

    /// Whether that would be news.
    pub(crate) fn lacks(&self, process: Process, index: u64) -> bool {
        self.holders.get(&process.member()).is_none_or(|holder| holder.boot < process.boot || holder.applied < index)
    }

    /// A process gave its lease up and will not ask again.
    pub(crate) fn release(&mut self, process: Process) {
        let holder = self.holder(process);
        if holder.boot == process.boot {
            holder.released = true;
            holder.grants.clear();
        }
    }

    /// Whether a disk's process may hold a lease that this leader granted.
    pub(crate) fn holds(&self, disk: Member, now: Moment) -> bool {
        self.holders.get(&disk).is_some_and(|holder| holder.grants.iter().any(|grant| grant.until > now))
    }

    /// When at the latest nobody without the change at this index holds a lease:
    /// `None` if that is so now. `disks` are those of all nodes with the boot
    /// that is registered, and those that nodes had before, without one.
    pub(crate) fn blocked(
        &self,
        index: u64,
        now: Moment,
        disks: impl Iterator<Item = (Member, Option<Boot>)>,
    ) -> Option<Moment> {
        disks.filter_map(|(disk, boot)| self.lease_end(disk, boot, index)).filter(|end| *end > now).max()
    }

    /// When the last lease of a disk's process that lacks the index ends. A
    /// registered boot voids those of earlier ones.
    fn lease_end(&self, disk: Member, boot: Option<Boot>, index: u64) -> Option<Moment> {
        let holder = self.holders.get(&disk).filter(|holder| boot.is_none_or(|boot| holder.boot == boot));
        let Some(holder) = holder else { return Some(self.office_until) };
        if holder.released || holder.applied >= index {
            return None;
        }
        let lacking = holder.grants.iter().filter(|grant| grant.read_index < index).map(|grant| grant.until);
        lacking.chain([self.office_until]).max()
    }

    /// The holder of a process's disk; another one if the boot is a later one.
    fn holder(&mut self, process: Process) -> &mut Holder {
        let fresh = || Holder { boot: process.boot, applied: 0, released: false, grants: Vec::new() };
        let holder = self.holders.entry(process.member()).or_insert_with(fresh);
        if holder.boot < process.boot {
            *holder = fresh();
        }
        holder
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use warren_replication::types::{Incarnation, NodeId};

    use super::*;

    const SPAN: u64 = 600;

    fn process(node: u64, boot: u64) -> Process {
        Process { node: NodeId(node), incarnation: Incarnation(node), boot: Boot(boot) }
    }

    fn blocked(ledger: &Ledger, index: u64, now: Moment, all: &[(u64, u64)]) -> Option<Moment> {
        let disks = all.iter().map(|(node, boot)| (process(*node, *boot).member(), Some(Boot(*boot))));
        ledger.blocked(index, now, disks)
    }

    /// A leader long in office.
    fn ledger() -> Ledger {
        let mut ledger = Ledger::new(SPAN);
        ledger.take_office(1, Moment(0));
        ledger
    }

    #[test]
    fn a_holder_that_lacks_the_change_blocks_until_it_applied() {
        let mut ledger = ledger();
        let now = Moment(10_000);
        let grant = ledger.request(process(1, 1), now);
        ledger.confirm(grant, 7);
        assert_eq!(blocked(&ledger, 8, now, &[(1, 1)]), Some(now.plus_micros(SPAN)));
        assert!(ledger.lacks(process(1, 1), 8));
        ledger.applied(process(1, 1), 8);
        assert_eq!(blocked(&ledger, 8, now, &[(1, 1)]), None);
    }

    #[test]
    fn a_lease_that_has_the_change_in_its_read_index_does_not_block() {
        let mut ledger = ledger();
        let now = Moment(10_000);
        let grant = ledger.request(process(1, 1), now);
        ledger.confirm(grant, 8);
        assert_eq!(blocked(&ledger, 8, now, &[(1, 1)]), None);
    }

    #[test]
    fn a_request_counts_before_it_is_confirmed() {
        let mut ledger = ledger();
        let now = Moment(10_000);
        let grant = ledger.request(process(1, 1), now);
        assert!(blocked(&ledger, 1, now, &[(1, 1)]).is_some());
        ledger.refuse(grant);
        assert_eq!(blocked(&ledger, 1, now, &[(1, 1)]), None);
    }

    #[test]
    fn renewing_without_applying_does_not_block_for_ever() {
        let mut ledger = ledger();
        let mut now = Moment(10_000);
        let first = ledger.request(process(1, 1), now);
        ledger.confirm(first, 7);
        let end = now.plus_micros(SPAN);
        for _ in 0..10 {
            now = now.plus_micros(SPAN / 3);
            let renewed = ledger.request(process(1, 1), now);
            ledger.confirm(renewed, 8);
        }
        assert!(now > end);
        assert_eq!(blocked(&ledger, 8, now, &[(1, 1)]), None);
    }

    #[test]
    fn a_new_leader_takes_every_registered_node_for_a_holder() {
        let mut ledger = ledger();
        let now = Moment(10_000);
        ledger.take_office(2, now);
        assert_eq!(blocked(&ledger, 5, now, &[(1, 1), (2, 1)]), Some(now.plus_micros(SPAN)));
        ledger.applied(process(1, 1), 5);
        ledger.applied(process(2, 1), 4);
        assert_eq!(blocked(&ledger, 5, now, &[(1, 1)]), None);
        assert!(blocked(&ledger, 5, now, &[(1, 1), (2, 1)]).is_some());
        assert_eq!(blocked(&ledger, 5, now.plus_micros(SPAN), &[(1, 1), (2, 1)]), None);
    }

    #[test]
    fn a_later_boot_voids_the_lease_of_an_earlier_one() {
        let mut ledger = ledger();
        let now = Moment(10_000);
        let grant = ledger.request(process(1, 1), now);
        ledger.confirm(grant, 1);
        assert!(blocked(&ledger, 9, now, &[(1, 1)]).is_some());
        assert_eq!(blocked(&ledger, 9, now, &[(1, 2)]), None);
        let renewed = ledger.request(process(1, 2), now);
        ledger.confirm(renewed, 1);
        ledger.applied(process(1, 1), 100);
        assert!(blocked(&ledger, 9, now, &[(1, 2)]).is_some(), "the old boot's report is not the new one's");
    }

    #[test]
    fn a_released_lease_blocks_nobody() {
        let mut ledger = ledger();
        let now = Moment(10_000);
        ledger.take_office(2, now);
        let grant = ledger.request(process(1, 1), now);
        ledger.confirm(grant, 1);
        ledger.release(process(1, 1));
        assert_eq!(blocked(&ledger, 9, now, &[(1, 1)]), None);
    }

    #[test]
    fn another_disk_does_not_void_a_lease() {
        let mut ledger = ledger();
        let now = Moment(10_000);
        let grant = ledger.request(process(1, 5), now);
        ledger.confirm(grant, 1);
        let new = Member { incarnation: Incarnation(77), ..process(1, 1).member() };
        let disks = || [(new, Some(Boot(1))), (process(1, 5).member(), None)].into_iter();
        ledger.applied(Process { incarnation: new.incarnation, ..process(1, 1) }, 9);
        assert_eq!(ledger.blocked(9, now, disks()), Some(now.plus_micros(SPAN)));
        assert_eq!(ledger.blocked(9, now.plus_micros(SPAN), disks()), None);
    }
}
