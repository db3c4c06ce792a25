use leno_e2e::http2::{Frame, FrameSession, flag, kind};

use crate::case::{Case, latin1};

/// Sends the request of `case`, and waits for its answer: its status, or 0 when the stream or the connection ends instead.
///
/// # Errors
/// When nothing comes for long.
pub fn exchange(address: &str, case: &Case) -> anyhow::Result<u16> {
    let Some(request) = &case.http2 else { anyhow::bail!("{}: not a case of HTTP/2", case.name) };
    let block = |fields: &[(String, String)]| -> Vec<u8> {
        fields.iter().flat_map(|(name, value)| field(&latin1(name), &case.fill(value))).collect()
    };
    let (data, trailers) = (case.fill(&request.data), block(&request.trailers));
    let mut session = FrameSession::connect(address)?;
    let ends = |is_last: bool| if is_last { flag::END_STREAM } else { 0 };
    let is_alone = data.is_empty() && trailers.is_empty();
    let mut bytes = Frame::new(kind::HEADERS, flag::END_HEADERS | ends(is_alone), 1, block(&request.fields)).encode();
    if !data.is_empty() {
        bytes.extend(Frame::new(kind::DATA, ends(trailers.is_empty()), 1, data).encode());
    }
    if !trailers.is_empty() {
        bytes.extend(Frame::new(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 1, trailers).encode());
    }
    session.write(&bytes)?;
    while let Some(frame) = session.receive()? {
        match frame.kind {
            kind::HEADERS => return Ok(frame.status().unwrap_or(999)),
            kind::RST_STREAM | kind::GOAWAY => return Ok(0),
            _ => {}
        }
    }
    Ok(0)
}

/// A field without index and Huffman code (RFC 7541 §6.2.2), whatever its bytes.
fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    for part in [name, value] {
        assert!(part.len() < 127, "fields of the corpus are short");
        bytes.push(part.len() as u8);
        bytes.extend_from_slice(part);
    }
    bytes
}
