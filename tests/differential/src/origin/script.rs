//! The words of `x-do`, separated by `;`.

use std::time::Duration;

use anyhow::{Context, bail};

use crate::stream::Headers;

#[derive(Clone, Debug, Default)]
pub(super) struct Script {
    pub(super) status: Option<u16>,
    /// All of this only for the first tries of a case id.
    pub(super) fail: Option<u32>,
    pub(super) delay: Option<Duration>,
    pub(super) act: Act,
    pub(super) headers: Headers,
    pub(super) trailers: Headers,
    pub(super) info: Option<u16>,
    pub(super) body: Option<Vec<u8>>,
    pub(super) is_chunked: bool,
    /// Between the pieces of the body.
    pub(super) slow: Option<Duration>,
    /// Answered before the request's body is read.
    pub(super) is_early: bool,
    pub(super) is_upgrade: bool,
    pub(super) has_no_body: bool,
    /// The connection is closed after the answer.
    pub(super) is_last: bool,
    /// No body and `grpc-status` in the head.
    pub(super) is_trailers_only: bool,
    /// The answer says in `x-count` which request of its connection this was, from 1.
    pub(super) tells_count: bool,
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) enum Act {
    #[default]
    Answer,
    Close,
    /// Half of the body, then the end.
    Cut,
    CutByReset,
    Hang,
    /// Head and half of the body, then nothing.
    Stall,
    Raw(Vec<u8>),
    /// Name of an HTTP/2 error code.
    Reset(String),
}

impl Script {
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut script = Self::default();
        let mut rest = text;
        while !rest.trim().is_empty() {
            if let Some(raw) = rest.trim_start().strip_prefix("raw=") {
                script.act = Act::Raw(unescape(raw));
                break;
            }
            let (word, after) = rest.split_once(';').unwrap_or((rest, ""));
            script.word(word.trim()).with_context(|| format!("reading \"{word}\" of x-do"))?;
            rest = after;
        }
        Ok(script)
    }

    fn word(&mut self, word: &str) -> anyhow::Result<()> {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let pair = || {
            let (name, value) = value.split_once(':').unwrap_or((value, ""));
            (name.to_owned(), value.trim().to_owned())
        };
        match name {
            "body" => self.body = Some(unescape(value)),
            "chunked" => self.is_chunked = true,
            "close" => self.act = Act::Close,
            "count" => self.tells_count = true,
            "cut" if value == "reset" => self.act = Act::CutByReset,
            "cut" => self.act = Act::Cut,
            "delay" => self.delay = Some(milliseconds(value)?),
            "early" => self.is_early = true,
            "empty" => self.has_no_body = true,
            "fail" => {
                self.fail = Some(value.parse()?);
                self.status = self.status.or(Some(503));
            }
            "grpc" | "grpc-head" => {
                self.headers.push(("content-type".to_owned(), "application/grpc".to_owned()));
                let status = ("grpc-status".to_owned(), value.to_owned());
                self.is_trailers_only = name == "grpc-head";
                if self.is_trailers_only { self.headers.push(status) } else { self.trailers.push(status) }
            }
            "hang" => self.act = Act::Hang,
            "header" => self.headers.push(pair()),
            "info" => self.info = Some(value.parse()?),
            "last" => self.is_last = true,
            "reset" => self.act = Act::Reset(value.to_owned()),
            "size" => self.body = Some(vec![b'x'; value.parse()?]),
            "slow" => self.slow = Some(milliseconds(value)?),
            "stall" => self.act = Act::Stall,
            "status" => self.status = Some(value.parse()?),
            "trailer" => self.trailers.push(pair()),
            "upgrade" => self.is_upgrade = true,
            _ => bail!("no such word"),
        }
        Ok(())
    }

    /// To be told by the answer, where that is wanted.
    pub(super) fn counted(mut self, count: u32) -> Self {
        if self.tells_count {
            self.headers.push(("x-count".to_owned(), count.to_string()));
        }
        self
    }

    pub(super) fn status(&self) -> u16 {
        self.status.unwrap_or(200)
    }

    /// Headers and body of the answer; a length unless it goes in chunks.
    pub(super) fn answer(&self, origin: &str) -> (Headers, Vec<u8>) {
        let without = self.has_no_body || self.is_trailers_only || matches!(self.status(), 204 | 304);
        let body = match &self.body {
            _ if without => Vec::new(),
            Some(body) => body.clone(),
            None => origin.as_bytes().to_vec(),
        };
        let mut headers = vec![("x-origin".to_owned(), origin.to_owned())];
        headers.extend(self.headers.iter().cloned());
        (headers, body)
    }
}

fn milliseconds(text: &str) -> anyhow::Result<Duration> {
    let text = text.strip_suffix("ms").unwrap_or(text);
    Ok(Duration::from_millis(text.parse()?))
}

/// `\r`, `\n`, `\0` and `\xHH`.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        let Some((&next, beyond)) = after.split_first().filter(|_| first == b'\\') else {
            bytes.push(first);
            continue;
        };
        rest = beyond;
        match next {
            b'r' => bytes.push(b'\r'),
            b'n' => bytes.push(b'\n'),
            b'0' => bytes.push(0),
            b'x' => {
                let digits = beyond.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
                bytes.extend(digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()));
                rest = beyond.get(2..).unwrap_or_default();
            }
            other => bytes.extend([b'\\', other]),
        }
    }
    bytes
}
