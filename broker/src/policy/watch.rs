//! Keeping the cluster's policies what the policy file says.
//!
//! Every node may have a policy file, usually the same. The rule that keeps them
//! from fighting: **the file that changed last is in force.** A node proposes its
//! file's policies when the file changes under it, when told to (SIGHUP), and at
//! its start only if the file differs from what this node read before it
//! stopped. It proposes nothing if the cluster has these policies already, so of
//! three nodes with the same new file the first one changes the cluster and the
//! others find it done. Policies given by `warren policy apply` stay until a
//! file changes. A file with a mistake changes nothing and is logged.

use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustc_hash::FxHasher;
use tokio::signal::unix::{Signal, SignalKind, signal};
use warren_membership::catalog::{Command, Refusal};
use warren_replication::plan::Policy;

use super::file;
use crate::connection::ports::ProposalError;
use crate::management::Cluster;
use crate::management::model::PoliciesApplied;

/// How often the file is looked at.
const POLL: Duration = Duration::from_secs(2);

/// A file that changes twice within this time is still being written.
const SETTLED: Duration = Duration::from_millis(200);

/// How often a proposal that met another one is made again.
const ATTEMPTS: usize = 5;

/// Makes these the cluster's policies.
///
/// # Errors
/// If the catalog refuses them or cannot be asked.
pub async fn apply(cluster: &dyn Cluster, policies: &[Policy]) -> Result<PoliciesApplied, ProposalError> {
    let mut attempt = 1;
    loop {
        let (revision, same) = {
            let catalog = cluster.catalog();
            let now = catalog.policies();
            (now.revision(), now.revision() > 0 && same_policies(now.iter(), policies))
        };
        if same {
            return Ok(PoliciesApplied { revision, policies: policies.len(), changed: false });
        }
        let command = Command::ApplyPolicies { revision: revision + 1, policies: policies.to_vec() };
        match cluster.propose(command).await {
            Ok(_) => {
                return Ok(PoliciesApplied { revision: revision + 1, policies: policies.len(), changed: true });
            }
            // Somebody else's came first: look again, it may be the same.
            Err(ProposalError::Refused(Refusal::Policy(_)))
                if attempt < ATTEMPTS && cluster.catalog().policies().revision() > revision =>
            {
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

fn same_policies<'a>(now: impl Iterator<Item = &'a Policy>, wanted: &[Policy]) -> bool {
    let key = |policy: &&'a Policy| (policy.vhost.clone(), policy.name.clone());
    let mut now: Vec<&Policy> = now.collect();
    now.sort_by_key(key);
    let mut wanted: Vec<&Policy> = wanted.iter().collect();
    wanted.sort_by_key(|policy| (policy.vhost.clone(), policy.name.clone()));
    now == wanted
}

/// Follows the file until the task is dropped. `memory` is where the node keeps
/// what it last read from it, across restarts.
///
/// # Errors
/// If SIGHUP cannot be listened for.
pub async fn watch(cluster: Arc<dyn Cluster>, path: PathBuf, memory: PathBuf) -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut follower = Follower::new(path, memory);
    loop {
        follower.look(&*cluster).await;
        if told(&mut hangup).await {
            tracing::info!(file = %follower.path.display(), "told to read the policy file again");
            follower.forget();
        }
    }
}

/// Waits for the next look: true if by SIGHUP.
async fn told(hangup: &mut Signal) -> bool {
    tokio::select! {
        _ = hangup.recv() => true,
        () = tokio::time::sleep(POLL) => false,
    }
}

/// What is known of the file.
struct Follower {
    path: PathBuf,
    memory: PathBuf,
    /// Modification time and length when it was last read.
    seen: Option<(SystemTime, u64)>,
    /// Hash of what was last in force or reported as wrong.
    handled: Option<u64>,
}

impl Follower {
    fn new(path: PathBuf, memory: PathBuf) -> Self {
        let handled = std::fs::read_to_string(&memory).ok().and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
        Self { path, memory, seen: None, handled }
    }

    /// The file counts as changed, whatever it says.
    fn forget(&mut self) {
        self.seen = None;
        self.handled = None;
    }

    /// When the file was written last, and how long it is.
    fn stamp(&self) -> std::io::Result<(SystemTime, u64)> {
        let data = std::fs::metadata(&self.path)?;
        Ok((data.modified()?, data.len()))
    }

    /// Applies the file if it has changed since it was last handled.
    async fn look(&mut self, cluster: &dyn Cluster) {
        let stamp = match self.stamp() {
            Ok(stamp) => stamp,
            Err(error) => {
                if self.handled != Some(0) {
                    tracing::error!(file = %self.path.display(), %error, "cannot read the policy file; policies stay as they are");
                    self.handled = Some(0);
                }
                return;
            }
        };
        if self.seen == Some(stamp) {
            return;
        }
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(file = %self.path.display(), %error, "cannot read the policy file; policies stay as they are");
                self.seen = Some(stamp);
                return;
            }
        };
        // A file is emptied before it is written, and an empty one says: no policies.
        tokio::time::sleep(SETTLED).await;
        if self.stamp().ok() != Some(stamp) {
            return;
        }
        let hash = hash(&text);
        if self.handled != Some(hash) && !self.take(cluster, text).await {
            return;
        }
        self.seen = Some(stamp);
        self.remember(hash);
    }

    /// Whether the file is dealt with; if not, it is tried again at the next look.
    async fn take(&self, cluster: &dyn Cluster, text: String) -> bool {
        let file = self.path.display();
        let policies = match file::parse(&self.path, text) {
            Ok(policies) => policies,
            Err(error) => {
                tracing::error!(%file, "the policy file has mistakes; policies stay as they are:\n{error}");
                return true;
            }
        };
        for warning in file::warnings(&policies) {
            tracing::warn!(%file, "{warning}");
        }
        match apply(cluster, &policies).await {
            Ok(applied) if applied.changed => {
                tracing::info!(%file, revision = applied.revision, policies = applied.policies, "policies applied");
                true
            }
            Ok(applied) => {
                tracing::info!(%file, revision = applied.revision, "the policy file's policies are in force");
                true
            }
            Err(ProposalError::Refused(refusal)) => {
                tracing::error!(%file, %refusal, "the policy file was refused; policies stay as they are");
                true
            }
            Err(error) => {
                tracing::warn!(%file, %error, "the policy file waits for the catalog");
                false
            }
        }
    }

    fn remember(&mut self, hash: u64) {
        self.handled = Some(hash);
        if let Err(error) = std::fs::write(&self.memory, format!("{hash:016x}\n")) {
            tracing::warn!(file = %self.memory.display(), %error, "cannot note which policy file was read");
        }
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(text.as_bytes());
    // 0 says "there is no file".
    hasher.finish().max(1)
}

/// Where a node notes which file it read, in its data folder.
#[must_use]
pub fn memory(data: &Path) -> PathBuf {
    data.join("policy-file.seen")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::management::fake::FakeCluster;

    fn text(name: &str) -> String {
        format!("[[policy]]\nname = {name:?}\npattern = \"\"\nmode = \"mirror\"\n")
    }

    struct Place {
        folder: tempfile::TempDir,
        written: u64,
    }

    impl Place {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().unwrap(), written: 0 }
        }

        fn follower(&self) -> Follower {
            Follower::new(self.folder.path().join("policy.toml"), memory(self.folder.path()))
        }

        /// Writes the file with a time of its own, as an editor does later.
        fn write(&mut self, text: &str) {
            let path = self.folder.path().join("policy.toml");
            std::fs::write(&path, text).unwrap();
            self.written += 1;
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(self.written);
            std::fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
        }
    }

    fn in_force(cluster: &FakeCluster) -> (u64, Vec<String>) {
        let catalog = cluster.catalog();
        (catalog.policies().revision(), catalog.policies().iter().map(|policy| policy.name.clone()).collect())
    }

    #[tokio::test]
    async fn a_changed_file_is_applied_once() {
        let cluster = FakeCluster::new();
        let mut place = Place::new();
        place.write(&text("a"));
        let mut follower = place.follower();
        follower.look(&cluster).await;
        follower.look(&cluster).await;
        assert_eq!(in_force(&cluster), (1, vec!["a".to_owned()]));
        place.write(&text("b"));
        follower.look(&cluster).await;
        assert_eq!(in_force(&cluster), (2, vec!["b".to_owned()]));
    }

    #[tokio::test]
    async fn a_file_that_is_being_written_is_left_alone() {
        let cluster = FakeCluster::new();
        let mut place = Place::new();
        place.write(&text("a"));
        let mut follower = place.follower();
        follower.look(&cluster).await;
        place.write("");
        tokio::join!(follower.look(&cluster), async {
            place.write(&text("b"));
        });
        assert_eq!(in_force(&cluster), (1, vec!["a".to_owned()]), "it was empty for a moment only");
        follower.look(&cluster).await;
        assert_eq!(in_force(&cluster), (2, vec!["b".to_owned()]));
    }

    #[tokio::test]
    async fn nodes_with_the_same_file_do_not_fight() {
        let cluster = FakeCluster::new();
        let (mut here, mut there) = (Place::new(), Place::new());
        here.write(&text("a"));
        there.write(&text("a"));
        here.follower().look(&cluster).await;
        there.follower().look(&cluster).await;
        assert_eq!(in_force(&cluster).0, 1);
    }

    #[tokio::test]
    async fn an_old_file_of_a_restarted_node_does_not_come_back() {
        let cluster = FakeCluster::new();
        let mut place = Place::new();
        place.write(&text("old"));
        place.follower().look(&cluster).await;
        let newer = file::parse(Path::new("x"), text("newer")).unwrap();
        assert!(apply(&cluster, &newer).await.unwrap().changed);
        let mut restarted = place.follower();
        restarted.look(&cluster).await;
        assert_eq!(in_force(&cluster).1, ["newer"]);
        restarted.forget();
        restarted.look(&cluster).await;
        assert_eq!(in_force(&cluster).1, ["old"]);
    }

    #[tokio::test]
    async fn a_file_with_a_mistake_changes_nothing() {
        let cluster = FakeCluster::new();
        let mut place = Place::new();
        place.write(&text("a"));
        let mut follower = place.follower();
        follower.look(&cluster).await;
        place.write("[[policy]]\nnmae = 1\n");
        follower.look(&cluster).await;
        std::fs::remove_file(place.folder.path().join("policy.toml")).unwrap();
        follower.look(&cluster).await;
        assert_eq!(in_force(&cluster), (1, vec!["a".to_owned()]));
        place.write(&text("b"));
        follower.look(&cluster).await;
        assert_eq!(in_force(&cluster), (2, vec!["b".to_owned()]));
    }

    #[tokio::test]
    async fn a_catalog_that_cannot_answer_is_asked_again() {
        let cluster = FakeCluster::new();
        let mut place = Place::new();
        place.write(&text("a"));
        let mut follower = place.follower();
        cluster.answer(false);
        follower.look(&cluster).await;
        assert_eq!(in_force(&cluster).0, 0);
        cluster.answer(true);
        follower.look(&cluster).await;
        assert_eq!(in_force(&cluster).0, 1);
    }
}
