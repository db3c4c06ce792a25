//! HTTP/2 frame by frame, well formed or not, on a blocking socket.
//!
//! Source      RFC 9113 §4.1 (frames), RFC 7541 §6.2.2 (header fields without index, the only ones this writes)

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

/// Types of frames (RFC 9113 §6).
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub mod flag {
    pub const ACK: u8 = 1;
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;
}

/// Error codes (RFC 9113 §7).
pub mod code {
    pub const NO_ERROR: u32 = 0;
    pub const CANCEL: u32 = 8;
    pub const COMPRESSION_ERROR: u32 = 9;
    pub const ENHANCE_YOUR_CALM: u32 = 11;
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self { kind, flags, stream, payload: payload.into() }
    }

    /// A request's head in one frame.
    pub fn request(stream: u32, flags: u8, method: &str, path: &str, headers: &[(&str, &str)]) -> Self {
        Self::new(kind::HEADERS, flags | flag::END_HEADERS, stream, request_block(method, path, headers))
    }

    pub fn reset(stream: u32, code: u32) -> Self {
        Self::new(kind::RST_STREAM, 0, stream, code.to_be_bytes())
    }

    pub fn encode(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).expect("a frame of a test is short");
        let mut bytes = length.to_be_bytes()[1..].to_vec();
        bytes.extend([self.kind, self.flags]);
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }

    /// Last stream and error code of a GOAWAY.
    pub fn goaway(&self) -> Option<(u32, u32)> {
        let (last, rest) = self.payload.split_first_chunk()?;
        let (code, _) = rest.split_first_chunk()?;
        (self.kind == kind::GOAWAY).then(|| (u32::from_be_bytes(*last), u32::from_be_bytes(*code)))
    }

    /// Of a response whose head starts with an entry of the static table or a Huffman-coded number, as `h2` writes it.
    pub fn status(&self) -> Option<u16> {
        const STATUSES: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
        // The first block says that the table's size is 0 now.
        match self.payload.strip_prefix(&[0x20]).unwrap_or(&self.payload) {
            _ if self.kind != kind::HEADERS => None,
            [index @ 0x88..=0x8e, ..] => STATUSES.get(usize::from(index - 0x88)).copied(),
            // "431" in the code of RFC 7541 Appendix B: 011010 011001 00001, filled up with ones.
            [_, 0x83, 0x69, 0x90, 0xff, ..] => Some(431),
            _ => None,
        }
    }
}

/// The fields of a request to `echo`.
pub fn request_block(method: &str, path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "echo:8080")];
    pseudo.iter().chain(headers).flat_map(|(name, value)| field(name, value)).collect()
}

/// One field.
pub fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for part in [name, value] {
        write_length(part.len(), &mut bytes);
        bytes.extend(part.as_bytes());
    }
    bytes
}

/// RFC 7541 §5.1, with a prefix of seven bits.
fn write_length(length: usize, out: &mut Vec<u8>) {
    if length < 127 {
        out.push(length as u8);
        return;
    }
    out.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        out.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    out.push(rest as u8);
}

/// One connection, its preface sent.
#[derive(Debug)]
pub struct FrameSession {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl FrameSession {
    /// # Errors
    /// When nothing listens at `address`.
    pub fn connect(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.set_write_timeout(Some(Duration::from_secs(20)))?;
        let mut session = Self { stream, buffer: Vec::new() };
        session.write(PREFACE)?;
        // SETTINGS_HEADER_TABLE_SIZE 0, so that every block can be read by itself.
        session.send(&Frame::new(kind::SETTINGS, 0, 0, [0, 1, 0, 0, 0, 0]))?;
        Ok(session)
    }

    /// # Errors
    /// When the peer has gone.
    pub fn send(&mut self, frame: &Frame) -> anyhow::Result<()> {
        self.write(&frame.encode())
    }

    /// # Errors
    /// When the peer has gone.
    pub fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(bytes).context("sending frames")
    }

    /// Writes `bytes` again and again until the peer has taken `most` of them, reads no more for a second, or closes; reads
    /// nothing meanwhile. How many it took.
    ///
    /// # Errors
    /// When the socket cannot be set up.
    pub fn flood(&mut self, bytes: &[u8], most: usize) -> anyhow::Result<usize> {
        self.stream.set_write_timeout(Some(Duration::from_secs(1)))?;
        let mut written = 0;
        while written < most {
            // The next piece starts where the last one ended: a frame that was cut off is continued.
            match self.stream.write(&bytes[written % bytes.len()..]) {
                Ok(0) | Err(_) => break,
                Ok(count) => written += count,
            }
        }
        Ok(written)
    }

    /// The next frame; `None` when the connection has ended.
    ///
    /// # Errors
    /// When nothing comes for long.
    pub fn receive(&mut self) -> anyhow::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.take() {
                return Ok(Some(frame));
            }
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Ok(None),
                Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                    return Ok(None);
                }
                Err(error) => return Err(error).context("reading frames"),
            }
        }
    }

    fn take(&mut self) -> Option<Frame> {
        let (head, rest) = self.buffer.split_at_checked(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        let frame = Frame::new(head[3], head[4], stream, rest.get(..length)?);
        self.buffer.drain(..9 + length);
        Some(frame)
    }

    /// The first frame for which `wanted` holds; those before it are dropped.
    ///
    /// # Errors
    /// When the connection ends first.
    pub fn receive_until(&mut self, what: &str, wanted: impl Fn(&Frame) -> bool) -> anyhow::Result<Frame> {
        let begun = Instant::now();
        let mut last = None;
        while let Some(frame) = self.receive().with_context(|| format!("waiting for {what} after {last:?}"))? {
            if wanted(&frame) {
                return Ok(frame);
            }
            ensure!(begun.elapsed() < Duration::from_secs(20), "{what} has not come");
            last = Some(frame);
        }
        bail!("the connection ended before {what}, after {last:?}")
    }

    /// Reads to the end of the connection. The error code of the last GOAWAY before it.
    ///
    /// # Errors
    /// When it does not end.
    pub fn end(&mut self) -> anyhow::Result<Option<u32>> {
        let mut told = None;
        while let Some(frame) = self.receive()? {
            told = frame.goaway().map(|(_, code)| code).or(told);
        }
        Ok(told)
    }
}
