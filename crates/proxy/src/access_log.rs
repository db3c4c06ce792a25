//! The access log: one line per finished exchange, gathered per worker and written by one thread per file.
//!
//! Shape       n `AccessLogger` (per filter chain and worker) -> `WorkerLogs` (a buffer per file) -> bounded channel
//!             -> `AccessLogs` (1 thread per file)
//! Invariants  a worker never waits for a disk: when the writer is behind or the disk is full, lines are dropped and counted
//! Cost        per line: formatting into a reused buffer; one message per 16 KiB or per `WorkerLogs::flush`
//! Source      Envoy access log v1.31; Istio's default format

mod filter;
mod metadata;
mod remote;
mod values;
mod writer;

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use leno_ir::{AccessLog, AccessLogFilter, AccessLogFormat, AccessLogSink, JsonFormat};
use leno_telemetry::access_log::{FormatError, Member, Program, STANDARD_FORMAT};

use crate::connection::Connection;
use crate::exchange::{Exchange, HeaderLookup};
use crate::worker::Worker;

pub(crate) use writer::AccessLogs;

pub(crate) use filter::holds as filter_holds;
use remote::{RemoteLog, Template};
pub(crate) use values::LineValues;
use writer::Sink;

/// Bytes gathered before they are handed to the writer. Chosen: some 50 lines, so that a message is rare.
const CHUNK_BYTES: usize = 16 * 1024;

/// The buffers of one worker. Flush it at least every second and at the end.
#[derive(Clone, Debug)]
pub(crate) struct WorkerLogs {
    logs: AccessLogs,
    buffers: Rc<RefCell<Vec<Rc<Buffer>>>>,
    remote: Rc<RefCell<Vec<Weak<RemoteLog>>>>,
}

/// Lines of one file that are not with the writer yet.
#[derive(Debug)]
struct Buffer {
    name: AccessLogSink,
    sink: Sink,
    lines: RefCell<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    bytes: Vec<u8>,
    count: u64,
}

/// Writes the lines of one filter chain.
#[derive(Clone, Debug)]
pub(crate) struct AccessLogger {
    outputs: Vec<Output>,
    wants_trailers: bool,
}

#[derive(Clone, Debug)]
struct Output {
    target: Target,
    filter: Option<Rc<AccessLogFilter>>,
}

#[derive(Clone, Debug)]
enum Target {
    Lines { program: Rc<Program>, buffer: Rc<Buffer> },
    Remote { log: Rc<RemoteLog>, template: Option<Rc<Template>> },
}

/// Whether a log can be written as configured; for checks before a configuration is activated.
///
/// # Errors
/// Names the operator that is not understood.
pub(crate) fn check(log: &AccessLog) -> Result<(), FormatError> {
    match &log.sink {
        AccessLogSink::Grpc(_) => Ok(()),
        AccessLogSink::OpenTelemetry(log) => Template::new(log).map(|_| ()),
        AccessLogSink::File(_) | AccessLogSink::Stderr | AccessLogSink::Stdout => program(log).map(|_| ()),
    }
}

fn program(log: &AccessLog) -> Result<Program, FormatError> {
    let program = match &log.format {
        AccessLogFormat::Json(fields) => {
            Program::json(fields.iter().map(|(key, format)| (key.as_str(), member(format))))
        }
        AccessLogFormat::Standard => Program::text(STANDARD_FORMAT),
        AccessLogFormat::Text(format) => Program::text(format),
    };
    Ok(program?.omitting_empty(log.omit_empty))
}

pub(crate) fn member(format: &JsonFormat) -> Member {
    match format {
        JsonFormat::List(members) => Member::List(members.iter().map(member).collect()),
        JsonFormat::Literal(text) => Member::Literal(text.clone()),
        JsonFormat::Object(fields) => {
            Member::Object(fields.iter().map(|(key, format)| (key.clone(), member(format))).collect())
        }
        JsonFormat::Text(text) => Member::Text(text.clone()),
    }
}

impl WorkerLogs {
    pub(crate) fn new(logs: AccessLogs) -> Self {
        Self { logs, buffers: Rc::default(), remote: Rc::default() }
    }

    /// Hands all lines to the writers.
    pub(crate) fn flush(&self) {
        for buffer in self.buffers.borrow().iter() {
            buffer.flush();
        }
        // A file that no filter chain writes to any more is closed once its last lines are out.
        self.buffers
            .borrow_mut()
            .retain(|buffer| Rc::strong_count(buffer) > 1 || !buffer.lines.borrow().bytes.is_empty());
    }

    /// Lets those that go to services be sent, once the clusters of `worker` are there.
    pub(crate) fn start_remote(&self, worker: &Rc<Worker>) {
        let mut remote = self.remote.borrow_mut();
        remote.retain(|log| log.strong_count() > 0);
        remote.iter().filter_map(Weak::upgrade).for_each(|log| log.start(worker));
    }

    /// Sends what services have not got yet, for a moment.
    pub(crate) async fn finish_remote(&self) {
        let logs: Vec<_> = self.remote.borrow().iter().filter_map(Weak::upgrade).collect();
        for log in logs {
            log.finish().await;
        }
    }

    fn remote(&self, sink: &AccessLogSink) -> Rc<RemoteLog> {
        let mut remote = self.remote.borrow_mut();
        if let Some(log) = remote.iter().filter_map(Weak::upgrade).find(|log| log.is_for(sink)) {
            return log;
        }
        let log = Rc::new(RemoteLog::new(sink, self.logs.dropped()));
        remote.push(Rc::downgrade(&log));
        log
    }

    fn buffer(&self, name: &AccessLogSink) -> Rc<Buffer> {
        let mut buffers = self.buffers.borrow_mut();
        if let Some(buffer) = buffers.iter().find(|buffer| buffer.name == *name) {
            return buffer.clone();
        }
        let sink = self.logs.sink(name);
        let buffer = Rc::new(Buffer { name: name.clone(), sink, lines: RefCell::default() });
        buffers.push(buffer.clone());
        buffer
    }
}

impl Buffer {
    fn flush(&self) {
        let mut lines = self.lines.borrow_mut();
        if lines.count > 0 {
            let spare = self.sink.spare();
            let bytes = std::mem::replace(&mut lines.bytes, spare);
            self.sink.send(bytes, std::mem::take(&mut lines.count));
        }
    }
}

impl AccessLogger {
    /// A log whose format is not understood is left out, with an error in the process log; `check` tells beforehand.
    pub(crate) fn new(configs: &[AccessLog], logs: &WorkerLogs) -> Self {
        let target = |log: &AccessLog| {
            Ok(match &log.sink {
                AccessLogSink::Grpc(_) => Target::Remote { log: logs.remote(&log.sink), template: None },
                AccessLogSink::OpenTelemetry(of) => {
                    let template = Some(Rc::new(Template::new(of)?));
                    Target::Remote { log: logs.remote(&log.sink), template }
                }
                AccessLogSink::File(_) | AccessLogSink::Stderr | AccessLogSink::Stdout => {
                    Target::Lines { program: Rc::new(program(log)?), buffer: logs.buffer(&log.sink) }
                }
            })
        };
        let output = |log: &AccessLog| match target(log) {
            Ok(target) => Some(Output { target, filter: log.filter.clone().map(Rc::new) }),
            Err::<_, FormatError>(error) => {
                tracing::error!(%error, "access log is not written");
                None
            }
        };
        let outputs: Vec<_> = configs.iter().filter_map(output).collect();
        let wants_trailers = outputs.iter().any(|output| match &output.target {
            Target::Lines { program, .. } => program.wants_trailers(),
            Target::Remote { .. } => true,
        });
        Self { outputs, wants_trailers }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.outputs.is_empty()
    }

    /// Whether a line may show trailers of a response.
    pub(crate) fn wants_trailers(&self) -> bool {
        self.wants_trailers
    }

    pub(crate) fn log(
        &self,
        exchange: &Exchange,
        connection: &Connection,
        request: &dyn HeaderLookup,
        response: &dyn HeaderLookup,
    ) {
        for Output { target, filter } in &self.outputs {
            if let Some(filter) = filter
                && !filter::holds(filter, exchange, request, &mut rand::random)
            {
                continue;
            }
            let values = LineValues { exchange, connection, request, response };
            let (program, buffer) = match target {
                Target::Lines { program, buffer } => (program, buffer),
                Target::Remote { log, template } => {
                    log.add(&values, template.as_deref());
                    continue;
                }
            };
            let mut lines = buffer.lines.borrow_mut();
            program.write_line(&values, &mut lines.bytes);
            lines.count += 1;
            let is_full = lines.bytes.len() >= CHUNK_BYTES;
            drop(lines);
            if is_full {
                buffer.flush();
            }
        }
    }
}

#[cfg(test)]
mod tests;
