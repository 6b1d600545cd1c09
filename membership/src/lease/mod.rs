//! Node leases (§6.7): [`ledger`] is the Raft leader's book of who may hold one,
//! [`keeper`] asks for this node's.

pub(crate) mod keeper;
pub(crate) mod ledger;
