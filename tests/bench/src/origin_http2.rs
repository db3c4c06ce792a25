//! An HTTP/2 origin (prior knowledge) that does not read heads: a stream that ends is answered from prepared bytes.
//!
//! Shape       stream without DATA -> HEADERS, 1 KB of DATA; with DATA -> gRPC-like: HEADERS, 128 bytes, trailers
//! Invariants  header blocks are not decoded, so our own use no dynamic table; the connection's window is kept to
//! Source      RFC 9113 §4.1, §6; RFC 7541 §6.1, §6.2.2, appendix A

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;

use leno_runtime::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD_BYTES: usize = 9;
const GRPC_BYTES: usize = 128;
/// Given back to the client in pieces of this size.
const WINDOW_STEP: u32 = 16 * 1024 * 1024;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// Heads and bodies, made once.
struct Answers {
    plain_head: Vec<u8>,
    grpc_head: Vec<u8>,
    grpc_trailers: Vec<u8>,
    body: Vec<u8>,
}

pub(crate) async fn run(listen: SocketAddr, body_bytes: usize) -> anyhow::Result<()> {
    let length = body_bytes.to_string();
    let answers = Rc::new(Answers {
        plain_head: [
            // :status 200, indexed.
            &[0x88][..],
            &literal("content-type", "application/octet-stream"),
            &literal("content-length", &length),
            &literal("server", "origin"),
        ]
        .concat(),
        grpc_head: [&[0x88][..], &literal("content-type", "application/grpc")].concat(),
        grpc_trailers: literal("grpc-status", "0"),
        body: vec![b'x'; body_bytes.max(GRPC_BYTES)],
    });
    let listener = TcpListener::bind(listen).await?;
    let tasks = Tasks::new();
    LocalSet::new()
        .run_until(async {
            loop {
                let (stream, _) = listener.accept().await?;
                let connection = Connection::new(answers.clone(), body_bytes);
                tasks.spawn_local("origin", async move {
                    // A client that goes away ends its connection; nothing to report.
                    let _ = connection.serve(stream).await;
                });
            }
        })
        .await
}

/// A header field without indexing, name and value as they are.
fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut block = vec![0];
    for text in [name, value] {
        // All of ours are shorter than the 127 bytes that one length byte holds.
        block.push(text.len() as u8);
        block.extend_from_slice(text.as_bytes());
    }
    block
}

struct Connection {
    answers: Rc<Answers>,
    body_bytes: usize,
    window: i64,
    /// Ended streams that wait for the window, and whether they sent data.
    waiting: VecDeque<(u32, bool)>,
    /// Streams that sent data.
    with_data: Vec<u32>,
    received: u32,
    out: Vec<u8>,
}

impl Connection {
    fn new(answers: Rc<Answers>, body_bytes: usize) -> Self {
        let mut connection = Self {
            answers,
            body_bytes,
            window: 65_535,
            waiting: VecDeque::new(),
            with_data: Vec::new(),
            received: 0,
            out: Vec::new(),
        };
        // SETTINGS_INITIAL_WINDOW_SIZE (4) and SETTINGS_MAX_CONCURRENT_STREAMS (3).
        let settings = [&[0, 4][..], &1_048_576_u32.to_be_bytes(), &[0, 3], &1000_u32.to_be_bytes()].concat();
        connection.frame(SETTINGS, 0, 0, &settings);
        connection.frame(WINDOW_UPDATE, 0, 0, &(2 * WINDOW_STEP).to_be_bytes());
        connection
    }

    async fn serve(mut self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut buffer = vec![0; 256 * 1024];
        let (mut filled, mut greeted) = (0, false);
        loop {
            if !self.out.is_empty() {
                stream.write_all(&self.out).await?;
                self.out.clear();
            }
            let read = stream.read(&mut buffer[filled..]).await?;
            if read == 0 {
                return Ok(());
            }
            filled += read;
            let mut at = 0;
            if !greeted {
                if filled < PREFACE.len() {
                    continue;
                }
                if !buffer.starts_with(PREFACE) {
                    return Ok(());
                }
                (at, greeted) = (PREFACE.len(), true);
            }
            while filled - at >= HEAD_BYTES {
                let head = &buffer[at..at + HEAD_BYTES];
                let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
                let (kind, flags) = (head[3], head[4]);
                let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
                if filled - at < HEAD_BYTES + length {
                    break;
                }
                self.take(kind, flags, stream, &buffer[at + HEAD_BYTES..at + HEAD_BYTES + length]);
                at += HEAD_BYTES + length;
            }
            self.answer();
            buffer.copy_within(at..filled, 0);
            filled -= at;
            if filled == buffer.len() {
                return Ok(());
            }
        }
    }

    fn take(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        match kind {
            HEADERS if flags & END_STREAM != 0 => self.waiting.push_back((stream, false)),
            DATA => {
                self.received += payload.len() as u32;
                if self.received >= WINDOW_STEP {
                    let received = std::mem::take(&mut self.received);
                    self.frame(WINDOW_UPDATE, 0, 0, &received.to_be_bytes());
                }
                if flags & END_STREAM != 0 {
                    self.with_data.retain(|with| *with != stream);
                    self.waiting.push_back((stream, true));
                } else if !self.with_data.contains(&stream) {
                    self.with_data.push(stream);
                }
            }
            SETTINGS if flags & ACK == 0 => self.frame(SETTINGS, ACK, 0, &[]),
            PING if flags & ACK == 0 => self.frame(PING, ACK, 0, payload),
            WINDOW_UPDATE if stream == 0 && payload.len() == 4 => {
                let bytes = [payload[0], payload[1], payload[2], payload[3]];
                self.window += i64::from(u32::from_be_bytes(bytes));
            }
            _ => {}
        }
    }

    fn answer(&mut self) {
        let answers = self.answers.clone();
        while let Some(&(stream, grpc)) = self.waiting.front() {
            let length = if grpc { GRPC_BYTES } else { self.body_bytes };
            if self.window < length as i64 {
                return;
            }
            self.window -= length as i64;
            self.waiting.pop_front();
            if grpc {
                self.frame(HEADERS, END_HEADERS, stream, &answers.grpc_head);
                self.frame(DATA, 0, stream, &answers.body[..length]);
                self.frame(HEADERS, END_HEADERS | END_STREAM, stream, &answers.grpc_trailers);
            } else {
                self.frame(HEADERS, END_HEADERS, stream, &answers.plain_head);
                self.frame(DATA, END_STREAM, stream, &answers.body[..length]);
            }
        }
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = (payload.len() as u32).to_be_bytes();
        self.out.extend_from_slice(&[length[1], length[2], length[3], kind, flags]);
        self.out.extend_from_slice(&stream.to_be_bytes());
        self.out.extend_from_slice(payload);
    }
}
