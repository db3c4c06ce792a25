//! Bytes as a case gives them.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::http1::parse_head;
use super::{body_value, grouped};
use crate::file::Talk;
use crate::origin::unescape;
use crate::stream::{End, Stream, header};

/// Everything that came, and how it ended. What looks like HTTP/1 is taken apart.
pub(crate) async fn talk(mut stream: Stream, lines: &[Talk], id: &str) -> anyhow::Result<Value> {
    let mut received = Vec::new();
    let mut end = None;
    for line in lines {
        match line {
            Talk::Send(text) => {
                let _ = stream.io.write_all(&unescape(&text.replace("${id}", id))).await;
            }
            Talk::SendHex(digits) => {
                let bytes =
                    (0..digits.len() / 2).filter_map(|at| u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok());
                let _ = stream.io.write_all(&bytes.collect::<Vec<_>>()).await;
            }
            Talk::SendSize(size) => {
                let _ = stream.io.write_all(&vec![b'x'; *size]).await;
            }
            Talk::Receive(text) => match stream.until(&unescape(text)).await {
                Ok(bytes) => received.extend(bytes),
                Err(how) => {
                    received.append(&mut stream.buffer);
                    end = Some(how);
                }
            },
            Talk::ReceiveSize(size) => match stream.exactly(*size).await {
                Ok(bytes) => received.extend(bytes),
                Err((bytes, how)) => {
                    received.extend(bytes);
                    end = Some(how);
                }
            },
            Talk::Rest => {
                let (bytes, how) = stream.rest().await;
                received.extend(bytes);
                end = Some(how);
            }
            Talk::Finish => {
                let _ = stream.io.shutdown().await;
            }
            Talk::Reset => {
                stream.reset();
                return Ok(json!({ "received": shown(&received), "connection": "reset by the client" }));
            }
            Talk::PauseMs(pause) => tokio::time::sleep(Duration::from_millis(*pause)).await,
        }
    }
    Ok(json!({ "received": shown(&received), "connection": end.map_or("open", End::name) }))
}

fn shown(bytes: &[u8]) -> Value {
    if !bytes.starts_with(b"HTTP/1.") {
        return body_value(bytes);
    }
    let mut answers = Vec::new();
    let mut rest = bytes;
    while rest.starts_with(b"HTTP/1.") {
        let Some(at) = rest.windows(4).position(|window| window == b"\r\n\r\n") else { break };
        let (head, after) = rest.split_at(at + 4);
        let (status, headers) = parse_head(head);
        let length = header(&headers, "content-length").and_then(|length| length.parse().ok());
        // Without a length, up to what looks like the next answer.
        let length =
            length.unwrap_or_else(|| after.windows(7).position(|window| window == b"HTTP/1.").unwrap_or(after.len()));
        let body = after.get(..length.min(after.len())).unwrap_or_default();
        rest = after.get(body.len()..).unwrap_or_default();
        let version = String::from_utf8_lossy(head.get(..8).unwrap_or_default()).into_owned();
        answers.push(json!({
            "version": version, "status": status, "headers": grouped(&headers), "body": body_value(body),
        }));
    }
    if !rest.is_empty() {
        answers.push(json!({ "rest": body_value(rest) }));
    }
    Value::Array(answers)
}
