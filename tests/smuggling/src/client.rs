use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::answer::{Answer, take_answer};

/// A client that sends what it likes and reads carefully.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    is_head: bool,
    is_end: bool,
}

impl Connection {
    /// # Errors
    /// When nothing listens at `address`.
    pub fn open(address: &str, is_head: bool) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        Ok(Self { stream, received: Vec::new(), is_head, is_end: false })
    }

    /// The client's own port, which the access log knows.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn port(&self) -> anyhow::Result<u16> {
        Ok(self.stream.local_addr()?.port())
    }

    /// Who has refused us already may have closed: what it said is still there to be read.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub fn expect_bodies(&mut self) {
        self.is_head = false;
    }

    /// The next final answer; `None` when the connection has ended.
    ///
    /// # Errors
    /// When nothing comes for long, or half an answer does.
    pub fn answer(&mut self) -> anyhow::Result<Option<Answer>> {
        loop {
            if let Some(answer) = take_answer(&mut self.received, self.is_head, self.is_end) {
                return Ok(Some(answer));
            }
            if self.is_end {
                if self.received.is_empty() {
                    return Ok(None);
                }
                bail!("the connection ended within an answer: {:?}", String::from_utf8_lossy(&self.received));
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> anyhow::Result<()> {
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => self.is_end = true,
            Ok(count) => self.received.extend_from_slice(&chunk[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                self.is_end = true
            }
            Err(error) => return Err(error).context("waiting for an answer"),
        }
        Ok(())
    }

    pub fn finish(&mut self) {
        // Fails when the peer has closed already.
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

/// Answers until the connection ends or the peer has said nothing for a while: what others make of a case is not known
/// beforehand.
///
/// # Errors
/// When nothing listens at `address`.
pub fn talk_until_quiet(address: &str, bytes: &[u8], is_head: bool) -> anyhow::Result<Vec<Answer>> {
    let mut connection = Connection::open(address, is_head)?;
    connection.stream.set_read_timeout(Some(Duration::from_millis(1500)))?;
    connection.send(bytes);
    let mut answers = Vec::new();
    while let Ok(Some(answer)) = connection.answer() {
        answers.push(answer);
    }
    Ok(answers)
}
