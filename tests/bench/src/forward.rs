//! A byte forwarder: what the kernel's work alone costs a proxy. One thread, one connection there for each one here.
//!
//! Invariants  readiness is edge-triggered; a read that does not fill the buffer has emptied the socket (epoll(7)), so
//!             an exchange costs two reads, two writes and its share of the waits
//! Errors      either side's end or failure ends both

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

const LISTENER: Token = Token(usize::MAX);
const BUFFER_BYTES: usize = 64 * 1024;

/// Bytes that the other side could not take yet.
struct End {
    stream: TcpStream,
    pending: Vec<u8>,
}

struct Pair {
    ends: [End; 2],
}

pub(crate) fn run(listen: SocketAddr, target: SocketAddr) -> anyhow::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(listen)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut pairs: Vec<Option<Pair>> = Vec::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                accept(&poll, &listener, target, &mut pairs)?;
                continue;
            }
            let (at, side) = (event.token().0 / 2, event.token().0 % 2);
            let Some(Some(pair)) = pairs.get_mut(at) else { continue };
            let went =
                pair.flush(side).and_then(|()| if event.is_readable() { pair.copy(side, &mut buffer) } else { Ok(()) });
            if went.is_err() {
                pairs[at] = None;
            }
        }
    }
}

fn accept(poll: &Poll, listener: &TcpListener, target: SocketAddr, pairs: &mut Vec<Option<Pair>>) -> io::Result<()> {
    loop {
        let (mut near, _) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut far = TcpStream::connect(target)?;
        let at = pairs.iter().position(Option::is_none).unwrap_or(pairs.len());
        for (side, stream) in [&mut near, &mut far].into_iter().enumerate() {
            stream.set_nodelay(true)?;
            poll.registry().register(stream, Token(at * 2 + side), Interest::READABLE | Interest::WRITABLE)?;
        }
        let pair = Some(Pair { ends: [near, far].map(|stream| End { stream, pending: Vec::new() }) });
        if at == pairs.len() {
            pairs.push(pair);
        } else {
            pairs[at] = pair;
        }
    }
}

impl Pair {
    /// What waits to be written to `side`; then what waits behind it at the other side.
    fn flush(&mut self, side: usize) -> io::Result<()> {
        let end = &mut self.ends[side];
        if end.pending.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::take(&mut end.pending);
        end.write(&bytes)?;
        if self.ends[side].pending.is_empty() {
            // It was not read while its bytes could not go on, and an edge does not come twice.
            let mut buffer = vec![0; BUFFER_BYTES];
            return self.copy(1 - side, &mut buffer);
        }
        Ok(())
    }

    fn copy(&mut self, from: usize, buffer: &mut [u8]) -> io::Result<()> {
        while self.ends[1 - from].pending.is_empty() {
            let read = match self.ends[from].stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => read,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => return Ok(()),
                Err(error) => return Err(error),
            };
            self.ends[1 - from].write(&buffer[..read])?;
            if read < buffer.len() {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl End {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut written = 0;
        while written < bytes.len() {
            match self.stream.write(&bytes[written..]) {
                Ok(count) => written += count,
                // Not connected: the upstream side is still being opened.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => break,
                Err(error) => return Err(error),
            }
        }
        self.pending.extend_from_slice(&bytes[written..]);
        Ok(())
    }
}
