//! HTTP/1.1 of an origin.

use anyhow::Context;
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use super::script::{Act, Script};
use super::{Arrival, Origin};
use crate::stream::{Headers, Stream, header};

pub(super) async fn serve(mut stream: Stream, origin: &Origin, tls: Value) -> anyhow::Result<()> {
    for count in 1.. {
        let Ok(head) = stream.until(b"\r\n\r\n").await else { return Ok(()) };
        let (mut arrival, headers) = read_head(origin, &head, &tls)?;
        arrival.headers.clone_from(&headers);
        let at = origin.note(arrival.clone());
        let script = origin.script(&arrival)?.counted(count);
        if !script.is_early && !script.is_upgrade {
            let expects = header(&headers, "expect").is_some();
            if expects {
                stream.io.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            }
            if !read_body(&mut stream, origin, at, &headers).await {
                return Ok(());
            }
        }
        if let Some(delay) = script.delay {
            tokio::time::sleep(delay).await;
        }
        match &script.act {
            Act::Hang => {
                let _ = stream.rest().await;
                return Ok(());
            }
            Act::Close => return Ok(()),
            Act::Reset(_) => {
                stream.reset();
                return Ok(());
            }
            Act::Raw(bytes) => {
                stream.io.write_all(bytes).await?;
                return Ok(());
            }
            Act::Answer | Act::Cut | Act::CutByReset | Act::Stall => {}
        }
        if script.is_upgrade {
            return upgrade(stream, &origin.name, &arrival).await;
        }
        answer(&mut stream, origin, &script, &arrival.method).await?;
        match script.act {
            Act::Cut | Act::CutByReset => {
                // What was sent must arrive before the end does.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                if script.act == Act::CutByReset {
                    stream.reset();
                }
                return Ok(());
            }
            Act::Stall => {
                let _ = stream.rest().await;
                return Ok(());
            }
            _ if script.is_last || script.is_early => {
                if script.is_early {
                    let _ = read_body(&mut stream, origin, at, &headers).await;
                }
                if script.is_last {
                    return Ok(());
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn read_head(origin: &Origin, head: &[u8], tls: &Value) -> anyhow::Result<(Arrival, Headers)> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.lines();
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (method, path) = (first.next().context("no method")?, first.next().context("no path")?);
    let version = if first.next() == Some("HTTP/1.0") { "1.0" } else { "1.1" };
    let pair = |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    let arrival = Arrival {
        origin: origin.name.clone(),
        version,
        method: method.to_owned(),
        path: path.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        is_cut: false,
        trailers: Vec::new(),
        tls: tls.clone(),
    };
    Ok((arrival, lines.filter_map(pair).collect()))
}

/// Whether it came whole.
async fn read_body(stream: &mut Stream, origin: &Origin, at: usize, headers: &Headers) -> bool {
    let is_chunked = header(headers, "transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
    let (payload, is_whole) = if is_chunked {
        match stream.chunks().await {
            Ok(payload) => (payload, true),
            Err((body, _)) => ((body, Vec::new()), false),
        }
    } else {
        let length = header(headers, "content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
        match stream.exactly(length).await {
            Ok(body) => ((body, Vec::new()), true),
            Err((body, _)) => ((body, Vec::new()), false),
        }
    };
    origin.finish(at, payload.0, payload.1, !is_whole);
    is_whole
}

async fn answer(stream: &mut Stream, origin: &Origin, script: &Script, method: &str) -> anyhow::Result<()> {
    if let Some(status) = script.info {
        stream.io.write_all(format!("HTTP/1.1 {status} Info\r\nx-info: yes\r\n\r\n").as_bytes()).await?;
    }
    let (headers, body) = script.answer(&origin.name);
    let is_chunked = script.is_chunked || (!script.trailers.is_empty() && !script.is_trailers_only);
    let mut head = format!("HTTP/1.1 {} Status\r\n", script.status());
    for (name, value) in &headers {
        head += &format!("{name}: {value}\r\n");
    }
    if is_chunked {
        head += "transfer-encoding: chunked\r\n";
    } else if !matches!(script.status(), 204 | 304) && header(&headers, "content-length").is_none() {
        head += &format!("content-length: {}\r\n", body.len());
    }
    if script.is_last {
        head += "connection: close\r\n";
    }
    stream.io.write_all(format!("{head}\r\n").as_bytes()).await?;
    if method == "HEAD" {
        return Ok(());
    }
    let half = body.len() / 2;
    let pieces = [body.get(..half).unwrap_or_default(), body.get(half..).unwrap_or_default()];
    for (at, piece) in pieces.into_iter().enumerate() {
        if at == 1 && script.act != Act::Answer {
            return Ok(stream.io.flush().await?);
        }
        if let Some(pause) = script.slow {
            tokio::time::sleep(pause).await;
        }
        if is_chunked && !piece.is_empty() {
            stream.io.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await?;
        }
        stream.io.write_all(piece).await?;
        if is_chunked && !piece.is_empty() {
            stream.io.write_all(b"\r\n").await?;
        }
    }
    if is_chunked {
        let mut end = "0\r\n".to_owned();
        for (name, value) in &script.trailers {
            end += &format!("{name}: {value}\r\n");
        }
        stream.io.write_all(format!("{end}\r\n").as_bytes()).await?;
    }
    Ok(stream.io.flush().await?)
}

/// Takes any protocol and gives back what comes.
async fn upgrade(mut stream: Stream, name: &str, arrival: &Arrival) -> anyhow::Result<()> {
    let head = if arrival.method == "CONNECT" {
        format!("HTTP/1.1 200 Connected\r\nx-origin: {name}\r\n\r\n")
    } else {
        let protocol = header(&arrival.headers, "upgrade").unwrap_or("none");
        format!("HTTP/1.1 101 Switching\r\nx-origin: {name}\r\nconnection: upgrade\r\nupgrade: {protocol}\r\n\r\n")
    };
    stream.io.write_all(head.as_bytes()).await?;
    while !stream.buffer.is_empty() || stream.fill().await.is_ok() {
        let bytes = std::mem::take(&mut stream.buffer);
        stream.io.write_all(&bytes).await?;
    }
    Ok(())
}
