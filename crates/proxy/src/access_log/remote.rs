//! Access logs that go to a service: entries are gathered beside the request and sent by a task of their own.
//!
//! Shape       n `AccessLogger` of a worker -> 1 `RemoteLog` for each service and log -> 1 task -> stream or calls of the worker's
//!             cluster
//! Invariants  a request never waits for the service; at most [`MOST_BYTES`] wait, what exceeds them is dropped and counted
//! Errors      a message that cannot be sent is tried once more on a new connection, then dropped and counted
//! Cost        per exchange: encoding into a buffer of the worker; one message per interval or per `buffer_bytes`
//! Source      Envoy grpc_access_logs, access_loggers.grpc.v3 and open_telemetry.v3, 1.40

mod entry;
mod message;
mod record;
mod tag;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use leno_ir::{AccessLogSink, GrpcAccessLog};
use prost::Message;
use tokio::sync::Notify;

use super::values::LineValues;
use crate::http::{CallError, ClientStream, call};
use crate::worker::Worker;
use message::{Identifier, Node};
pub(super) use record::Template;

/// Chosen: some thousand entries; a service that is away longer than that takes loses some.
const MOST_BYTES: usize = 1 << 20;
/// For a message to be taken by the connection or answered. Chosen: above any healthy service's time.
const PATIENCE: Duration = Duration::from_secs(5);
/// At the end, for what is left.
const FAREWELL: Duration = Duration::from_secs(1);

const STREAM: &str = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs";
const EXPORT: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

/// What all loggers of a worker that write one log share.
#[derive(Debug)]
pub(super) struct RemoteLog {
    sink: AccessLogSink,
    entries: RefCell<Entries>,
    /// There is enough to send, or nothing comes any more.
    ready: Notify,
    /// Everything was sent or given up.
    done: Notify,
    is_sending: Cell<bool>,
    has_task: Cell<bool>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Entries {
    bytes: Vec<u8>,
    count: u64,
}

impl RemoteLog {
    pub(super) fn new(sink: &AccessLogSink, dropped: Arc<AtomicU64>) -> Self {
        Self {
            sink: sink.clone(),
            entries: RefCell::default(),
            ready: Notify::new(),
            done: Notify::new(),
            is_sending: Cell::new(false),
            has_task: Cell::new(false),
            dropped,
        }
    }

    pub(super) fn is_for(&self, sink: &AccessLogSink) -> bool {
        self.sink == *sink
    }

    /// `template` is that of an OpenTelemetry log.
    pub(super) fn add(&self, values: &LineValues<'_>, template: Option<&Template>) {
        let mut entries = self.entries.borrow_mut();
        if entries.bytes.len() >= MOST_BYTES {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        match (&self.sink, template) {
            (AccessLogSink::Grpc(log), _) => entry::write(log, values, &mut entries.bytes),
            (_, Some(template)) => template.write(values, &mut entries.bytes),
            _ => return,
        }
        entries.count += 1;
        let enough = self.sink.service().map_or(0, |service| service.buffer_bytes);
        if entries.bytes.len() >= usize::try_from(enough).unwrap_or(usize::MAX) {
            self.ready.notify_one();
        }
    }

    /// Starts what sends, once.
    pub(super) fn start(self: &Rc<Self>, worker: &Rc<Worker>) {
        if !self.has_task.replace(true) {
            worker.tasks().spawn_local("access-log", send_all(self.clone(), worker.clone()));
        }
    }

    /// Sends what is there, as long as there is patience.
    pub(super) async fn finish(&self) {
        let sending = async {
            while self.is_sending.get() || self.entries.borrow().count > 0 {
                self.ready.notify_one();
                self.done.notified().await;
            }
        };
        // What is left then is counted by nobody, as the process ends.
        let _ = tokio::time::timeout(FAREWELL, sending).await;
    }
}

/// Until nobody logs there any more.
async fn send_all(log: Rc<RemoteLog>, worker: Rc<Worker>) {
    let Some(service) = log.sink.service().cloned() else { return };
    let mut sender = Sender { worker, stream: None };
    loop {
        // Whichever it is, what is there goes out.
        let _ = tokio::time::timeout(service.flush_interval, log.ready.notified()).await;
        let is_last = Rc::strong_count(&log) == 1;
        let Entries { bytes, count } = log.entries.take();
        if count > 0 {
            log.is_sending.set(true);
            if let Err(error) = sender.send(&log.sink, &bytes).await {
                log.dropped.fetch_add(count, Ordering::Relaxed);
                tracing::debug!(cluster = service.cluster, %error, "access log entries were dropped");
            }
            log.is_sending.set(false);
        }
        log.done.notify_waiters();
        if is_last {
            return;
        }
    }
}

struct Sender {
    worker: Rc<Worker>,
    /// `None`: none was opened, or it has ended.
    stream: Option<ClientStream>,
}

impl Sender {
    async fn send(&mut self, sink: &AccessLogSink, entries: &[u8]) -> Result<(), CallError> {
        match sink {
            AccessLogSink::Grpc(log) => {
                let is_new = self.stream.is_none();
                match self.stream(log, entries).await {
                    Err(_) if !is_new => self.stream(log, entries).await,
                    result => result,
                }
            }
            AccessLogSink::OpenTelemetry(log) => {
                let request = record::export(log, &self.node(), entries);
                call(self.worker.clone(), &log.service.cluster, EXPORT, &request, Some(PATIENCE)).await.map(|_| ())
            }
            AccessLogSink::File(_) | AccessLogSink::Stderr | AccessLogSink::Stdout => Ok(()),
        }
    }

    fn node(&self) -> Node {
        Node { id: self.worker.node_id().to_owned(), cluster: self.worker.local_cluster().to_owned() }
    }

    async fn stream(&mut self, log: &GrpcAccessLog, entries: &[u8]) -> Result<(), CallError> {
        let mut message = Vec::with_capacity(entries.len() + 64);
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                // The first message of a stream says whose it is.
                let identifier = Identifier { node: Some(self.node()), log_name: log.service.log_name.clone() };
                prost::encoding::bytes::encode(1, &identifier.encode_to_vec(), &mut message);
                ClientStream::open(&self.worker, &log.service.cluster, STREAM, PATIENCE).await?
            }
        };
        let list = if log.is_tcp { 3 } else { 2 };
        prost::encoding::bytes::encode(list, &entries.to_vec(), &mut message);
        stream.send(&message, PATIENCE).await?;
        self.stream = Some(stream);
        Ok(())
    }
}
