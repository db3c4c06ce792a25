use std::path::Path;

use anyhow::Context;
use serde::Deserialize;

use crate::origin::Record;

/// What a client sends on one connection, and what has to come of it.
///
/// In texts every character is one byte, and `{c}` is the case's number in three digits: requests of different cases differ.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub name: String,
    /// HTTP/1, as it is.
    #[serde(default)]
    pub send: String,
    /// Or one HTTP/2 request.
    pub http2: Option<Http2>,
    /// What the origin answers instead of its usual 200.
    pub response: Option<String>,
    /// The origin closes after `response`.
    #[serde(default)]
    pub response_closes: bool,
    /// Requests that reach the origin complete: `METHOD target host body`.
    #[serde(default)]
    pub forwarded: Vec<String>,
    /// Status codes of the final answers; unless given one 400, or a 200 for each request forwarded. 0 in HTTP/2: the stream or the connection was ended instead.
    answers: Option<Vec<u16>>,
    /// Bodies of the answers, where they matter.
    #[serde(default)]
    pub bodies: Option<Vec<String>>,
    /// Unless given, the connection is closed exactly when nothing was forwarded.
    ending: Option<Ending>,
    /// The last answer is cut off, and the client can see that.
    #[serde(default)]
    pub cut: bool,
    /// Answers have no bodies, because the requests are `HEAD`.
    #[serde(default)]
    pub head: bool,
    #[serde(skip)]
    number: usize,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http2 {
    pub fields: Vec<(String, String)>,
    #[serde(default)]
    pub data: String,
    #[serde(default)]
    pub trailers: Vec<(String, String)>,
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Leno closes it.
    Closed,
    /// Another request is served on it.
    Open,
    /// Leno waits for the rest of a message.
    Waiting,
}

impl Case {
    pub fn bytes(&self) -> Vec<u8> {
        self.fill(&self.send)
    }

    pub fn response_bytes(&self) -> Option<Vec<u8>> {
        self.response.as_deref().map(|text| self.fill(text))
    }

    pub fn fill(&self, text: &str) -> Vec<u8> {
        latin1(&text.replace("{c}", &self.mark()))
    }

    /// Three digits that are in the target of every request of this case.
    pub fn mark(&self) -> String {
        format!("{:03}", self.number)
    }

    pub fn answers(&self) -> Vec<u16> {
        match &self.answers {
            Some(answers) => answers.clone(),
            None if self.forwarded.is_empty() => vec![400],
            None => vec![200; self.forwarded.len()],
        }
    }

    pub fn ending(&self) -> Ending {
        self.ending.unwrap_or(if self.forwarded.is_empty() { Ending::Closed } else { Ending::Open })
    }

    pub fn records(&self) -> Vec<Record> {
        let parts = |text: &String| {
            let filled = self.fill(text);
            let mut parts =
                filled.splitn(4, |byte| *byte == b' ').map(|part| String::from_utf8_lossy(part).into_owned());
            let mut next = || parts.next().unwrap_or_default();
            Record { method: next(), target: next(), host: next(), body: next() }
        };
        self.forwarded.iter().map(parts).collect()
    }
}

/// One byte for each character.
pub(crate) fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|character| u8::try_from(u32::from(character)).expect("texts of the corpus are bytes")).collect()
}

/// Every case of `corpus/*.yaml`, numbered.
///
/// # Errors
/// When a file cannot be read.
pub fn corpus() -> anyhow::Result<Vec<Case>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut files: Vec<_> =
        std::fs::read_dir(&directory)?.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<_>>()?;
    files.sort();
    let mut cases: Vec<Case> = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file)?;
        let more: Vec<Case> = serde_saphyr::from_str(&text).with_context(|| format!("reading {}", file.display()))?;
        cases.extend(more);
    }
    for (number, case) in cases.iter_mut().enumerate() {
        case.number = number;
    }
    Ok(cases)
}
