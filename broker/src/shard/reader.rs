//! Reads of logs that are no longer in memory: for mirrors that are behind, and
//! for consumers of long queues. Two threads a node do them, so that a turn
//! never waits for the disk, and the disk is never asked for everything at once.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use parking_lot::Mutex;
use warren_shard::step::{Input, ReadRequest};
use warren_store::LogStore;

use super::fatal;
use super::mailbox::{Mail, Mailbox};

const THREADS: usize = 2;

/// Where reads are asked for.
#[derive(Clone)]
pub(super) struct Readers {
    requests: Sender<(usize, ReadRequest)>,
}

impl Readers {
    /// Starts the threads; answers go to the mailbox of the shard that asked.
    /// They end when the last handle is dropped.
    pub(super) fn start(store: Arc<dyn LogStore>, mailboxes: Vec<Mailbox>) -> std::io::Result<Self> {
        let (requests, receiver) = channel();
        let receiver = Arc::new(Mutex::new(receiver));
        for number in 0..THREADS {
            let (store, receiver, mailboxes) = (store.clone(), receiver.clone(), mailboxes.clone());
            std::thread::Builder::new()
                .name(format!("log-reader-{number}"))
                .spawn(move || run(&*store, &receiver, &mailboxes))?;
        }
        Ok(Self { requests })
    }

    /// Asks for a read on behalf of a shard.
    pub(super) fn read(&self, shard: usize, request: ReadRequest) {
        let _ = self.requests.send((shard, request));
    }
}

fn run(store: &dyn LogStore, requests: &Mutex<Receiver<(usize, ReadRequest)>>, mailboxes: &[Mailbox]) {
    loop {
        let Ok((shard, request)) = requests.lock().recv() else { return };
        match store.read(request.queue, request.first, request.max_bytes) {
            Ok(entries) => mailboxes[shard].put(Mail::Input(Input::Read { request: request.request, entries })),
            // A hole or a bad block: this copy must not go on vouching for it (§5.4).
            Err(error) => fatal("a read of the log failed", &error),
        }
    }
}
