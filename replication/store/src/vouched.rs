//! How far the write-ahead log is known to have been on disk, in a file beside
//! the database (§5.5d). Point-in-time recovery stops at the first bad block of
//! the log and says nothing. If that block was the last write, nobody was told
//! of it and all is well; if it was not, the node has lost what it vouched for,
//! and must not count as in sync. The file says which of the two it was.
//!
//! It trails by up to [`INTERVAL`], so that it costs one small fsync in that
//! time; a loss of less than that is left to the proof by peers (§5.5b).

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::StoreError;

const INTERVAL: Duration = Duration::from_secs(1);

/// The file: the sequence number and its complement, 8 bytes each, big-endian.
pub(crate) struct Vouched {
    path: PathBuf,
    file: File,
    sequence: u64,
    written: Option<Instant>,
}

impl Vouched {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let fail = |source| StoreError::File { path: path.to_owned(), source };
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path).map_err(fail)?;
        let mut bytes = [0; 16];
        let sequence = match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => {
                let number = u128::from_be_bytes(bytes);
                let (sequence, complement) = ((number >> 64) as u64, number as u64);
                if sequence != !complement {
                    return Err(StoreError::Identity("the file 'vouched' is damaged"));
                }
                sequence
            }
            // A new folder, or a power loss just as the file was made.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => 0,
            Err(error) => return Err(fail(error)),
        };
        Ok(Self { path: path.to_owned(), file, sequence, written: None })
    }

    /// Refuses a database that ends before what was vouched for.
    pub(crate) fn check(&self, found: u64) -> Result<(), StoreError> {
        if found < self.sequence {
            return Err(StoreError::RolledBack { found, vouched: self.sequence });
        }
        Ok(())
    }

    /// Notes that everything up to `sequence` is on disk, at most once in
    /// [`INTERVAL`]. `sequence` was read *before* the synced write that proves
    /// it: a write beside it that asked for no sync may have got a higher
    /// number since.
    pub(crate) fn note(&mut self, sequence: u64) -> Result<(), StoreError> {
        if self.written.is_some_and(|written| written.elapsed() < INTERVAL) {
            return Ok(());
        }
        self.write(sequence)
    }

    /// Notes it at once.
    pub(crate) fn write(&mut self, sequence: u64) -> Result<(), StoreError> {
        if sequence <= self.sequence {
            return Ok(());
        }
        let bytes = ((u128::from(sequence) << 64) | u128::from(!sequence)).to_be_bytes();
        self.file
            .write_all_at(&bytes, 0)
            .and_then(|()| self.file.sync_data())
            .map_err(|source| StoreError::File { path: self.path.clone(), source })?;
        self.sequence = sequence;
        self.written = Some(Instant::now());
        Ok(())
    }
}
