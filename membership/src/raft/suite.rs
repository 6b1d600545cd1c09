//! openraft's own tests of log stores and state machines, on ours.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use openraft::testing::{StoreBuilder, Suite};
use tempfile::TempDir;
use tokio::sync::mpsc;
use warren_replication::types::Process;

use super::log::Log;
use super::machine::Machine;
use super::{StorageError, TypeConfig};
use crate::config::{MembershipConfig, Timing};
use crate::core::{Core, Parts};
use crate::peers::Peers;

struct Builder;

impl StoreBuilder<TypeConfig, Log, Machine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, Log, Machine), StorageError> {
        let dir = tempfile::tempdir().unwrap();
        let database = warren_store::open(dir.path(), &warren_store::Options::new("suite")).unwrap();
        let address = "127.0.0.1:1".parse().unwrap();
        let config = MembershipConfig {
            node_name: "suite".to_owned(),
            cluster_name: "suite".to_owned(),
            seeds: Vec::new(),
            expected_size: 1,
            listen: address,
            advertise: None,
            peer_address: address,
            zone: String::new(),
            amqp_address: String::new(),
            http_address: String::new(),
            version: String::new(),
            timing: Timing::default(),
        };
        let process =
            Process { node: database.node(), incarnation: database.incarnation(), boot: database.next_boot().unwrap() };
        let core = Core::new(Parts {
            config,
            process,
            address,
            database: database.clone(),
            peers: Arc::new(Peers::new(process.node, None)),
            proposals: mpsc::channel(1).0,
            writes: mpsc::channel(1).0,
        });
        Ok((dir, Log::new(database), Machine::load(Arc::new(core))?))
    }
}

#[test]
fn the_log_and_the_machine_are_what_raft_expects() {
    Suite::test_all(Builder).unwrap();
}
