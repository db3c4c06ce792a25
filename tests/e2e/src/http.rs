//! A plain HTTP/1.1 client that shows exactly what came back.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, bail};

#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// # Errors
    /// When the body is not JSON.
    pub fn json(&self) -> anyhow::Result<serde_json::Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("reading JSON from {:?}", self.text()))
    }
}

/// One request on a connection of its own.
///
/// # Errors
/// When the connection fails or the answer is not HTTP.
pub fn request(
    address: &str,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> anyhow::Result<Response> {
    Session::connect(address)?.request(method, target, headers, body)
}

/// A keep-alive connection.
#[derive(Debug)]
pub struct Session {
    /// `None`: there are the bytes in the buffer and no more.
    stream: Option<TcpStream>,
    address: String,
    buffer: Vec<u8>,
}

/// The headers of a request for this authority.
pub(crate) fn with_host<'a>(authority: &'a str, headers: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("host", authority)], headers].concat()
}

impl Session {
    /// # Errors
    /// When nothing listens at `address`.
    pub fn connect(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: Some(stream), address: address.to_owned(), buffer: Vec::new() })
    }

    /// What a peer has said, to be read as answers.
    pub fn of_bytes(buffer: Vec<u8>) -> Self {
        Self { stream: None, address: "the peer".to_owned(), buffer }
    }

    /// # Errors
    /// As [`request`].
    pub fn request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> anyhow::Result<Response> {
        let mut head = format!("{method} {target} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head += &format!("host: {}\r\n", self.address);
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            head += &format!("content-length: {}\r\n", body.len());
        }
        head += "\r\n";
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        self.send(&bytes)?;
        self.receive(method == "HEAD")
    }

    /// Bytes as they are.
    ///
    /// # Errors
    /// When the peer has gone.
    pub fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let stream = self.stream.as_mut().context("there is no connection")?;
        stream.write_all(bytes).with_context(|| format!("sending to {}", self.address))
    }

    /// The next response.
    ///
    /// # Errors
    /// When the connection ends first or it is no HTTP.
    pub fn receive(&mut self, head_only: bool) -> anyhow::Result<Response> {
        loop {
            let end = loop {
                if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                    break at + 4;
                }
                self.fill()?;
            };
            let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
            self.buffer.drain(..end);
            let mut lines = head.lines();
            let status =
                lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).context("no status line")?;
            let headers: Vec<_> = lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
                .collect();
            if (100..200).contains(&status) && status != 101 {
                continue;
            }
            let mut response = Response { status, headers, body: Vec::new() };
            if !head_only && !matches!(status, 101 | 204 | 304) {
                response.body = self.body(&response)?;
            }
            return Ok(response);
        }
    }

    fn body(&mut self, response: &Response) -> anyhow::Result<Vec<u8>> {
        if response.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            return self.chunked();
        }
        if let Some(length) = response.header("content-length") {
            let length: usize = length.parse().context("content-length is no number")?;
            return self.take(length);
        }
        while self.fill().is_ok() {}
        Ok(std::mem::take(&mut self.buffer))
    }

    fn chunked(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = usize::from_str_radix(line.split(';').next().unwrap_or("").trim(), 16).context("chunk size")?;
            if size == 0 {
                while !self.line()?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.take(size)?);
            self.line()?;
        }
    }

    fn line(&mut self) -> anyhow::Result<String> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..at]).into_owned();
                self.buffer.drain(..at + 2);
                return Ok(line);
            }
            self.fill()?;
        }
    }

    fn take(&mut self, length: usize) -> anyhow::Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.fill()?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    /// The next bytes, whatever they are.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn receive_some(&mut self) -> anyhow::Result<Vec<u8>> {
        if self.buffer.is_empty() {
            self.fill()?;
        }
        Ok(std::mem::take(&mut self.buffer))
    }

    /// Reads until the peer closes.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.fill().is_ok() {}
        std::mem::take(&mut self.buffer)
    }

    fn fill(&mut self) -> anyhow::Result<()> {
        let mut chunk = [0; 16 * 1024];
        let read = match &mut self.stream {
            Some(stream) => stream.read(&mut chunk).with_context(|| format!("reading from {}", self.address))?,
            None => 0,
        };
        if read == 0 {
            bail!("{} closed the connection after {:?}", self.address, String::from_utf8_lossy(&self.buffer));
        }
        self.buffer.extend_from_slice(&chunk[..read]);
        Ok(())
    }
}
