use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use leno_ir::AccessLogSink;

/// Messages a writer may be behind: 64 × 16 KiB = 1 MiB a file; beyond that lines are dropped and counted.
const QUEUE: usize = 64;

/// The files of all workers. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct AccessLogs {
    writers: Arc<Mutex<Vec<Writer>>>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Writer {
    name: AccessLogSink,
    sender: SyncSender<Message>,
    thread: JoinHandle<()>,
}

#[derive(Debug)]
enum Message {
    /// Told when everything before it is with the system.
    #[cfg(test)]
    Flush(SyncSender<()>),
    Lines {
        bytes: Vec<u8>,
        count: u64,
    },
    Reopen,
    Stop,
}

/// Where lines of one file go to.
#[derive(Clone, Debug)]
pub(super) struct Sink {
    /// `None`: no thread could be started.
    sender: Option<SyncSender<Message>>,
    dropped: Arc<AtomicU64>,
}

impl AccessLogs {
    /// `dropped` counts the lines that were not written.
    pub(crate) fn new(dropped: Arc<AtomicU64>) -> Self {
        Self { writers: Arc::default(), dropped }
    }

    /// Counts what is not written.
    pub(super) fn dropped(&self) -> Arc<AtomicU64> {
        self.dropped.clone()
    }

    pub(super) fn sink(&self, name: &AccessLogSink) -> Sink {
        let mut writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        let known = writers.iter().find(|writer| writer.name == *name).map(|writer| writer.sender.clone());
        let sender = known.or_else(|| match Writer::start(name, self.dropped.clone()) {
            Ok(writer) => {
                let sender = writer.sender.clone();
                writers.push(writer);
                Some(sender)
            }
            Err(error) => {
                tracing::error!(%error, sink = ?name, "access log has no writer; its lines are dropped");
                None
            }
        });
        Sink { sender, dropped: self.dropped.clone() }
    }

    /// Opens every file anew, after somebody moved the old ones away.
    pub(crate) fn reopen(&self) {
        self.tell_all(|| Message::Reopen);
    }

    /// Waits until everything handed over so far is with the system. Blocks; for the end and for tests.
    #[cfg(test)]
    pub(crate) fn flush(&self) {
        let mut waiting = Vec::new();
        self.tell_all(|| {
            let (done, wait) = sync_channel(1);
            waiting.push(wait);
            Message::Flush(done)
        });
        for wait in waiting {
            // An error means that the writer has ended, with nothing left to write.
            let _ = wait.recv();
        }
    }

    /// Writes what is left and ends the threads. Blocks; flush the workers' buffers before.
    pub(crate) fn close(&self) {
        let writers = std::mem::take(&mut *self.writers.lock().unwrap_or_else(PoisonError::into_inner));
        for writer in writers {
            let _ = writer.sender.send(Message::Stop);
            // A panic of the thread was reported on standard error by the runtime.
            let _ = writer.thread.join();
        }
    }

    fn tell_all(&self, mut message: impl FnMut() -> Message) {
        let writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        for writer in writers.iter() {
            // An error means that the writer has ended.
            let _ = writer.sender.send(message());
        }
    }
}

impl Sink {
    /// An empty buffer of the usual size.
    pub(super) fn spare(&self) -> Vec<u8> {
        Vec::with_capacity(super::CHUNK_BYTES + 1024)
    }

    /// Never waits.
    pub(super) fn send(&self, bytes: Vec<u8>, count: u64) {
        let Some(sender) = &self.sender else {
            self.dropped.fetch_add(count, Ordering::Relaxed);
            return;
        };
        match sender.try_send(Message::Lines { bytes, count }) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.dropped.fetch_add(count, Ordering::Relaxed);
            }
        }
    }
}

impl Writer {
    fn start(name: &AccessLogSink, dropped: Arc<AtomicU64>) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE);
        let sink = name.clone();
        let run = move || Output { sink, file: None, dropped, has_complained: false }.run(&receiver);
        let thread = std::thread::Builder::new().name("leno-access-log".to_owned()).spawn(run)?;
        Ok(Self { name: name.clone(), sender, thread })
    }
}

/// What the thread of one file holds.
#[derive(Debug)]
struct Output {
    sink: AccessLogSink,
    file: Option<File>,
    dropped: Arc<AtomicU64>,
    /// Whether the present run of failures was reported.
    has_complained: bool,
}

impl Output {
    fn run(mut self, messages: &Receiver<Message>) {
        while let Ok(message) = messages.recv() {
            match message {
                #[cfg(test)]
                Message::Flush(done) => {
                    let _ = done.send(());
                }
                Message::Lines { bytes, count } => self.write(&bytes, count),
                Message::Reopen => {
                    self.file = None;
                    // Nothing, into the new file: whoever moved the old one away sees at once that it is free.
                    self.write(b"", 0);
                }
                Message::Stop => return,
            }
        }
    }

    fn write(&mut self, bytes: &[u8], count: u64) {
        match self.try_write(bytes) {
            Ok(()) => self.has_complained = false,
            Err(error) => {
                self.dropped.fetch_add(count, Ordering::Relaxed);
                self.file = None;
                if !std::mem::replace(&mut self.has_complained, true) {
                    tracing::warn!(%error, sink = ?self.sink, "access log cannot be written; lines are dropped");
                }
            }
        }
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &self.sink {
            // Those have no thread.
            AccessLogSink::Grpc(_) | AccessLogSink::OpenTelemetry(_) => Ok(()),
            AccessLogSink::Stderr => io::stderr().lock().write_all(bytes),
            AccessLogSink::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(bytes)?;
                out.flush()
            }
            AccessLogSink::File(path) => {
                let file = match &mut self.file {
                    Some(file) => file,
                    empty => empty.insert(open(path)?),
                };
                file.write_all(bytes)
            }
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}
