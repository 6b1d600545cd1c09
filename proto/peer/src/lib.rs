//! What nodes say to each other over gRPC: the code generated from the `.proto`
//! files, and the conversion of the replication's words into it.

#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all)]
pub mod link {
    //! `proto/link.proto`: the words of queues.
    tonic::include_proto!("warren.link");
}

#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all)]
pub mod catalog {
    //! `proto/catalog.proto`: Raft, proposals and leases of the catalog.
    tonic::include_proto!("warren.catalog");
}

pub mod direct;
mod table;
pub mod words;
