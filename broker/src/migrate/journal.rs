//! What a migration remembers across interruptions: how many messages each
//! queue had when it was first looked at, on both sides.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::MigrateError;

/// The memory of one migration, in a file.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    memory: Memory,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Memory {
    /// Between which brokers.
    from: String,
    to: String,
    /// By virtual host, then name.
    queues: BTreeMap<String, BTreeMap<String, QueueCount>>,
}

/// A queue's messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueCount {
    /// In the source when it was first looked at.
    pub expected: u64,
    /// In the target before the first of them came.
    pub before: u64,
}

impl Journal {
    /// Reads the file, if it is there. One of another migration is refused.
    ///
    /// # Errors
    /// It cannot be read, or is about other brokers.
    pub fn open(path: &Path, from: &str, to: &str) -> Result<Self, MigrateError> {
        let failed = |error: &dyn std::fmt::Display| MigrateError::File(format!("{}: {error}", path.display()));
        let memory = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice::<Memory>(&bytes).map_err(|error| failed(&error))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Memory { from: from.to_owned(), to: to.to_owned(), queues: BTreeMap::new() }
            }
            Err(error) => return Err(failed(&error)),
        };
        if (memory.from.as_str(), memory.to.as_str()) != (from, to) {
            let other = format!("is the journal of another migration, from {} to {}", memory.from, memory.to);
            return Err(failed(&other));
        }
        Ok(Self { path: path.to_owned(), memory })
    }

    /// Whether there was an earlier run.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        !self.memory.queues.is_empty()
    }

    /// What is known of a queue.
    #[must_use]
    pub fn queue(&self, vhost: &str, name: &str) -> Option<QueueCount> {
        self.memory.queues.get(vhost)?.get(name).copied()
    }

    /// Remembers a queue, unless it is known.
    pub fn note(&mut self, vhost: &str, name: &str, count: QueueCount) {
        let queues = self.memory.queues.entry(vhost.to_owned()).or_default();
        queues.entry(name.to_owned()).or_insert(count);
    }

    /// Makes it durable: whole, or as it was.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self) -> Result<(), MigrateError> {
        let failed = |error: &dyn std::fmt::Display| MigrateError::File(format!("{}: {error}", self.path.display()));
        let bytes = serde_json::to_vec_pretty(&self.memory).map_err(|error| failed(&error))?;
        let beside = self.path.with_extension("new");
        let write = || {
            use std::io::Write;
            let mut file = std::fs::File::create(&beside)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            std::fs::rename(&beside, &self.path)
        };
        write().map_err(|error: std::io::Error| failed(&error))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_first_count_of_a_queue_is_kept_across_runs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.json");
        let mut journal = Journal::open(&path, "a", "b").unwrap();
        assert!(!journal.is_resumed());
        journal.note("/", "q", QueueCount { expected: 7, before: 1 });
        journal.save().unwrap();
        let mut again = Journal::open(&path, "a", "b").unwrap();
        assert!(again.is_resumed());
        again.note("/", "q", QueueCount { expected: 3, before: 5 });
        assert_eq!(again.queue("/", "q"), Some(QueueCount { expected: 7, before: 1 }));
        assert!(Journal::open(&path, "a", "c").unwrap_err().to_string().contains("another migration"));
    }
}
