use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::answer::take_chunks;
use crate::case::Case;

/// A request as a server parsed it.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Record {
    pub method: String,
    pub target: String,
    pub host: String,
    pub body: String,
}

/// A server that knows only the strictest grammar: whatever else arrives is a violation, word for word.
#[derive(Clone, Debug)]
pub struct Origin {
    pub port: u16,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    records: Vec<Record>,
    violations: Vec<String>,
    /// By the mark of the case: the answer, and whether the connection closes after it.
    answers: HashMap<String, (Vec<u8>, bool)>,
}

impl Origin {
    /// # Errors
    /// When no port can be had.
    pub fn start(cases: &[Case]) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let mut seen = Seen::default();
        for case in cases {
            if let Some(answer) = case.response_bytes() {
                seen.answers.insert(case.mark(), (answer, case.response_closes));
            }
        }
        let origin = Self { port, seen: Arc::new(Mutex::new(seen)) };
        let serving = origin.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let origin = serving.clone();
                std::thread::spawn(move || origin.serve(stream));
            }
        });
        Ok(origin)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Seen) -> T) -> T {
        act(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What was recorded since the last call.
    pub fn take_records(&self) -> Vec<Record> {
        self.with(|seen| std::mem::take(&mut seen.records))
    }

    /// What was not the strictest HTTP since the last call.
    pub fn take_violations(&self) -> Vec<String> {
        self.with(|seen| std::mem::take(&mut seen.violations))
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut bytes = Vec::new();
        let mut chunk = [0; 16 * 1024];
        loop {
            match take_request(&mut bytes) {
                Ok(Some(record)) => {
                    let is_head = record.method == "HEAD";
                    let (answer, closes) = self.answer_to(&record.target, is_head);
                    self.with(|seen| seen.records.push(record));
                    if stream.write_all(&answer).is_err() || closes {
                        return;
                    }
                    continue;
                }
                Ok(None) => {}
                Err(violation) => {
                    let text = format!("{violation}: {:?}", String::from_utf8_lossy(&bytes));
                    return self.with(|seen| seen.violations.push(text));
                }
            }
            match stream.read(&mut chunk) {
                Ok(0) | Err(_) => return,
                Ok(count) => bytes.extend_from_slice(&chunk[..count]),
            }
        }
    }

    fn answer_to(&self, target: &str, is_head: bool) -> (Vec<u8>, bool) {
        let scripted = self.with(|seen| {
            seen.answers
                .iter()
                .find(|(mark, _)| target.contains(&format!("/r{mark}")))
                .map(|(_, answer)| answer.clone())
        });
        scripted.unwrap_or_else(|| {
            let body = if is_head { "" } else { "ok" };
            (format!("HTTP/1.1 200 OK\r\nx-final: 1\r\ncontent-length: 2\r\n\r\n{body}").into_bytes(), false)
        })
    }
}

fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Takes one complete request off `bytes`.
fn take_request(bytes: &mut Vec<u8>) -> Result<Option<Record>, &'static str> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4) else {
        let is_plausible = bytes.first().is_none_or(u8::is_ascii_uppercase);
        return if is_plausible { Ok(None) } else { Err("not the start of a request") };
    };
    let head: String = bytes[..end - 4].iter().map(|byte| char::from(*byte)).collect();
    let mut lines = head.split("\r\n");
    let mut line = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some("HTTP/1.1"), None) = (line.next(), line.next(), line.next(), line.next())
    else {
        return Err("request line");
    };
    if !is_token(method) || target.is_empty() || target.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err("request line");
    }
    let (mut hosts, mut lengths, mut codings) = (Vec::new(), Vec::new(), Vec::new());
    for line in lines {
        let (name, value) = line.split_once(':').ok_or("no colon")?;
        let value = value.strip_prefix(' ').unwrap_or(value);
        let is_clean = value.bytes().all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f));
        if !is_token(name) || !is_clean || value.trim_ascii() != value {
            return Err("field");
        }
        match name.to_ascii_lowercase().as_str() {
            "host" => hosts.push(value),
            "content-length" => lengths.push(value),
            "transfer-encoding" => codings.push(value),
            _ => {}
        }
    }
    let host = match hosts.as_slice() {
        [host] => (*host).to_owned(),
        _ => return Err("not one host"),
    };
    let (body, length) = match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => (Vec::new(), 0),
        ([length], []) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
            let length = length.parse().map_err(|_| "content-length")?;
            let Some(body) = bytes.get(end..).and_then(|rest| rest.get(..length)) else { return Ok(None) };
            (body.to_vec(), length)
        }
        ([], ["chunked"]) => match take_chunks(&bytes[end..]) {
            Some(taken) => taken,
            None => return Ok(None),
        },
        _ => return Err("framing"),
    };
    let record = Record {
        method: method.to_owned(),
        target: target.to_owned(),
        host,
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    bytes.drain(..end + length);
    Ok(Some(record))
}
