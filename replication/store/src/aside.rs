//! Entries that an unclean election left behind (§5.2), in files of their own
//! for the operator: they may hold confirmed messages that nobody else has.
//!
//! A file is a row of encoded entries, each after its length (u32, little
//! endian). It is on disk before the log lets go of its entries.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use warren_replication::record;
use warren_replication::types::{Index, QueueId};

use crate::error::StoreError;

/// A file in the making.
pub(crate) struct Aside {
    folder: PathBuf,
    name: String,
    out: BufWriter<File>,
    entries: u64,
    messages: u64,
}

impl Aside {
    pub(crate) fn begin(folder: &Path, queue: QueueId, from: Index) -> Result<Self, StoreError> {
        fs::create_dir_all(folder).map_err(failed(folder))?;
        let path = folder.join("unfinished");
        let file = File::create(&path).map_err(failed(&path))?;
        let name = format!("queue-{queue}-from-{from}");
        Ok(Self { folder: folder.to_path_buf(), name, out: BufWriter::new(file), entries: 0, messages: 0 })
    }

    pub(crate) fn add(&mut self, entry: &[u8]) -> Result<(), StoreError> {
        let length = u32::try_from(entry.len()).unwrap_or(u32::MAX).to_le_bytes();
        if self.entries == 0
            && let Ok(position) = record::position(&Bytes::copy_from_slice(entry))
        {
            self.name = format!("{}-epoch-{}", self.name, position.epoch);
        }
        let offsets = record::offsets(&Bytes::copy_from_slice(entry)).unwrap_or_default();
        self.messages += offsets.end - offsets.start;
        self.entries += 1;
        let written = self.out.write_all(&length).and_then(|()| self.out.write_all(entry));
        written.map_err(failed(&self.folder))
    }

    /// Nothing is left of it if there was nothing.
    pub(crate) fn finish(self) -> Result<(), StoreError> {
        let unfinished = self.folder.join("unfinished");
        if self.entries == 0 {
            return fs::remove_file(&unfinished).map_err(failed(&unfinished));
        }
        let path = self.folder.join(format!("{}.log", self.name));
        let file = self.out.into_inner().map_err(|error| failed(&unfinished)(error.into_error()))?;
        file.sync_all().map_err(failed(&unfinished))?;
        fs::rename(&unfinished, &path).map_err(failed(&path))?;
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(failed(&self.folder))?;
        tracing::error!(
            file = %path.display(),
            entries = self.entries,
            messages = self.messages,
            "an unclean election left this part of a queue's log behind; it is put aside \
             (`warren salvage FILE` lists its messages)"
        );
        Ok(())
    }
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> StoreError {
    let path = path.to_path_buf();
    move |source| StoreError::File { path, source }
}

/// The entries of a file that was put aside, as far as it is whole.
///
/// # Errors
/// If it cannot be read.
pub fn read_aside(path: &Path) -> Result<Vec<Bytes>, StoreError> {
    let mut rest = Bytes::from(fs::read(path).map_err(failed(path))?);
    let mut entries = Vec::new();
    while let Some(length) = rest.first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        let body = rest.split_off(4);
        if body.len() < length {
            break;
        }
        entries.push(body.slice(..length));
        rest = body.slice(length..);
    }
    Ok(entries)
}
