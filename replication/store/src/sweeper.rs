//! Gives the space of overwritten entries back (§3). RocksDB keeps what is
//! overwritten until a compaction meets both, which in a log that nobody writes to
//! any more is never. So the part is compacted, by a thread that is there from the
//! first time on, beside everything else: nothing waits for it, and what it has not
//! done when the process ends is done with the next part, or never noticed.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use rocksdb::{CompactOptions, DB};

use crate::database::{LOG, column};
use crate::error::StoreError;

/// First and last key of a part of a log.
pub(crate) type Part = ([u8; 16], [u8; 16]);

/// The thread, once there was something to do for it.
#[derive(Default)]
pub(crate) struct Sweeper {
    running: Option<(Sender<Part>, JoinHandle<()>)>,
}

impl Sweeper {
    /// Has the space of what is overwritten in these parts given back.
    pub(crate) fn sweep(&mut self, db: &Arc<DB>, parts: Vec<Part>) -> Result<(), StoreError> {
        let (sender, _) = match &mut self.running {
            Some(running) => running,
            none => {
                let (sender, receiver) = channel();
                let db = Arc::clone(db);
                let thread = std::thread::Builder::new().name("sweeper".to_owned()).spawn(move || run(&db, &receiver));
                let thread = thread.map_err(|source| StoreError::File { path: "sweeper".into(), source })?;
                none.insert((sender, thread))
            }
        };
        for part in parts {
            // It ends with the store only.
            let _ = sender.send(part);
        }
        Ok(())
    }

    /// Ends it, in the middle of a part if need be: the store is being closed.
    pub(crate) fn stop(&mut self, db: &DB) {
        if let Some((sender, thread)) = self.running.take() {
            drop(sender);
            db.cancel_all_background_work(true);
            if thread.join().is_err() {
                tracing::warn!("the thread that gives space back has failed");
            }
        }
    }
}

fn run(db: &DB, parts: &Receiver<Part>) {
    while let Ok((first, last)) = parts.recv() {
        let Ok(log) = column(db, LOG) else { return };
        let began = Instant::now();
        let mut options = CompactOptions::default();
        // Others' compactions need not wait for it.
        options.set_exclusive_manual_compaction(false);
        db.compact_range_cf_opt(log, Some(first), Some(last), &options);
        let queue = first.first_chunk().map_or(0, |id| u64::from_be_bytes(*id));
        tracing::info!(queue, took = ?began.elapsed(), "space of settled messages was given back");
    }
}
