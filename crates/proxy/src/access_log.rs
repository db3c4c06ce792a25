//! The access log: one line per finished exchange, gathered per worker and written by one thread per file.
//!
//! Shape       n `AccessLogger` (per filter chain and worker) -> `WorkerLogs` (a buffer per file) -> bounded channel
//!             -> `AccessLogs` (1 thread per file)
//! Invariants  a worker never waits for a disk: when the writer is behind or the disk is full, lines are dropped and counted
//! Cost        per line: formatting into a reused buffer; one message per 16 KiB or per `WorkerLogs::flush`
//! Source      Envoy access log v1.31; Istio's default format

mod filter;
mod metadata;
mod values;
mod writer;

use std::cell::RefCell;
use std::rc::Rc;

use leno_ir::{AccessLog, AccessLogFilter, AccessLogFormat, AccessLogSink, JsonFormat};
use leno_telemetry::access_log::{FormatError, Member, Program, STANDARD_FORMAT};

use crate::connection::Connection;
use crate::exchange::{Exchange, HeaderLookup};

pub(crate) use writer::AccessLogs;

pub(crate) use values::LineValues;
use writer::Sink;

/// Bytes gathered before they are handed to the writer. Chosen: some 50 lines, so that a message is rare.
const CHUNK_BYTES: usize = 16 * 1024;

/// The buffers of one worker. Flush it at least every second and at the end.
#[derive(Clone, Debug)]
pub(crate) struct WorkerLogs {
    logs: AccessLogs,
    buffers: Rc<RefCell<Vec<Rc<Buffer>>>>,
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
}

#[derive(Clone, Debug)]
struct Output {
    program: Rc<Program>,
    filter: Option<Rc<AccessLogFilter>>,
    buffer: Rc<Buffer>,
}

/// Whether a log can be written as configured; for checks before a configuration is activated.
///
/// # Errors
/// Names the operator that is not understood.
pub(crate) fn check(log: &AccessLog) -> Result<(), FormatError> {
    program(log).map(|_| ())
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

fn member(format: &JsonFormat) -> Member {
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
        Self { logs, buffers: Rc::default() }
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
        let output = |log: &AccessLog| match program(log) {
            Ok(program) => Some(Output {
                program: Rc::new(program),
                filter: log.filter.clone().map(Rc::new),
                buffer: logs.buffer(&log.sink),
            }),
            Err(error) => {
                tracing::error!(%error, "access log is not written");
                None
            }
        };
        Self { outputs: configs.iter().filter_map(output).collect() }
    }

    pub(crate) fn log(
        &self,
        exchange: &Exchange,
        connection: &Connection,
        request: &dyn HeaderLookup,
        response: &dyn HeaderLookup,
    ) {
        for Output { program, filter, buffer } in &self.outputs {
            if let Some(filter) = filter
                && !filter::holds(filter, exchange, request, &mut rand::random)
            {
                continue;
            }
            let values = LineValues { exchange, connection, request, response };
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
