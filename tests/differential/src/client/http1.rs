//! HTTP/1.1 of the client.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::{Message, body_value, grouped, plain};
use crate::file::Request;
use crate::stream::{End, Headers, Stream, header};

/// The answer, and whether the connection is over.
pub(super) async fn exchange(
    stream: &mut Stream,
    request: &Request,
    message: &Message,
) -> anyhow::Result<(Value, bool)> {
    let mut head = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", request.method, request.path, request.host);
    for (name, value) in &message.headers {
        write!(head, "{name}: {value}\r\n")?;
    }
    let is_chunked = request.chunked || !message.trailers.is_empty();
    if is_chunked {
        head += "Transfer-Encoding: chunked\r\n";
    } else if !message.body.is_empty() && header(&message.headers, "content-length").is_none() {
        write!(head, "Content-Length: {}\r\n", message.body.len())?;
    }
    head += "\r\n";
    // A proxy that answers early and goes away is no fault of the case: what it said is read below.
    let _ = stream.io.write_all(head.as_bytes()).await;
    let mut infos = Vec::new();
    let mut first = None;
    if header(&message.headers, "expect").is_some() {
        match read_head(stream).await {
            Ok((100, _)) => infos.push(100),
            other => first = Some(other),
        }
    }
    if first.is_none() {
        if let Some(pause) = request.body_after_ms {
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        let _ = send_body(stream, message, is_chunked).await;
    }
    if let Some(after) = request.abort_ms {
        let read = tokio::time::timeout(Duration::from_millis(after), stream.fill()).await;
        let answered = matches!(read, Ok(Ok(())));
        return Ok((json!({ "aborted": true, "answered": answered }), true));
    }
    receive(stream, request, infos, first).await
}

async fn receive(
    stream: &mut Stream,
    request: &Request,
    mut infos: Vec<u16>,
    mut first: Option<Result<(u16, Headers), End>>,
) -> anyhow::Result<(Value, bool)> {
    let (status, headers) = loop {
        let head = match first.take() {
            Some(head) => head,
            None => read_head(stream).await,
        };
        match head {
            Ok((status, _)) if (100..200).contains(&status) && status != 101 => infos.push(status),
            Ok(head) => break head,
            Err(end) => return Ok((json!({ "failed": end.name(), "informational": infos }), true)),
        }
    };
    let has_body = request.method != "HEAD" && !matches!(status, 101 | 204 | 304);
    let is_chunked = header(&headers, "transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
    let length = header(&headers, "content-length").and_then(|value| value.parse().ok());
    let is_tunnel = request.method == "CONNECT" && status == 200;
    let (body, trailers, cut) = match length {
        _ if !has_body || is_tunnel => (Vec::new(), Headers::new(), None),
        _ if is_chunked => match stream.chunks().await {
            Ok((body, trailers)) => (body, trailers, None),
            Err((body, end)) => (body, Headers::new(), Some(end)),
        },
        Some(length) => match stream.exactly(length).await {
            Ok(body) => (body, Headers::new(), None),
            Err((body, end)) => (body, Headers::new(), Some(end)),
        },
        None => {
            let (body, end) = stream.rest().await;
            let cut = (end == End::Reset).then_some(end);
            (body, Headers::new(), cut)
        }
    };
    let closes = header(&headers, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let end = match cut {
        Some(end) => Some(end.name()),
        None if closes => match tokio::time::timeout(Duration::from_secs(3), stream.rest()).await {
            // Whether a reset overtakes the end depends on what was not read yet.
            Ok(_) => Some(End::Closed.name()),
            Err(_) => Some("open although it says close"),
        },
        None => None,
    };
    let mut answer = json!({
        "status": status,
        "headers": grouped(&headers),
        "body": body_value(&plain(header(&headers, "content-encoding"), &body)),
        "is_cut": cut.is_some(),
        "trailers": grouped(&trailers),
        "informational": infos,
        "connection": end.unwrap_or("open"),
    });
    if request.spelling {
        answer["spelling"] = spelling(&headers);
    }
    Ok((answer, end.is_some()))
}

/// Names of headers as they were written, sorted.
pub(crate) fn spelling(headers: &Headers) -> Value {
    let mut names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    json!(names)
}

/// Status and headers.
pub(super) async fn read_head(stream: &mut Stream) -> Result<(u16, Headers), End> {
    let head = stream.until(b"\r\n\r\n").await?;
    Ok(parse_head(&head))
}

pub(super) fn parse_head(head: &[u8]) -> (u16, Headers) {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0);
    let pair = |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    (status, lines.filter_map(pair).collect())
}

async fn send_body(stream: &mut Stream, message: &Message, is_chunked: bool) -> anyhow::Result<()> {
    if !is_chunked {
        return Ok(stream.io.write_all(&message.body).await?);
    }
    let (first, second) = message.body.split_at(message.body.len() / 2);
    for piece in [first, second] {
        if !piece.is_empty() {
            stream.io.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await?;
            stream.io.write_all(piece).await?;
            stream.io.write_all(b"\r\n").await?;
        }
    }
    let mut end = "0\r\n".to_owned();
    for (name, value) in &message.trailers {
        write!(end, "{name}: {value}\r\n")?;
    }
    Ok(stream.io.write_all(format!("{end}\r\n").as_bytes()).await?)
}
