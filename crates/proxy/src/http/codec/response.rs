use std::mem::MaybeUninit;

use bytes::BytesMut;
use http::Method;

use super::connection::Facts;
use super::request::syntax;
use super::{HeadLimits, MOST_FIELDS, Malformed};
use crate::http::head::{Framing, ResponseHead};

#[derive(Debug)]
pub(in crate::http) struct DecodedResponse {
    pub(in crate::http) framing: Framing,
    /// The server will take another request on this connection.
    pub(in crate::http) keep_alive: bool,
}

/// Takes the complete head (`length` bytes) off `buffer`; `method` is that of the request it answers.
pub(in crate::http) fn decode_response(
    buffer: &mut BytesMut,
    length: usize,
    limits: HeadLimits,
    method: &Method,
    head: &mut ResponseHead,
) -> Result<DecodedResponse, Malformed> {
    let block = buffer.split_to(length.min(buffer.len())).freeze();
    let mut fields = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; MOST_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let room = limits.fields.min(MOST_FIELDS);
    match httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        &block,
        &mut fields[..room],
    ) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(Malformed::StartLine),
        Err(error) => return Err(syntax(error)),
    }
    let (Some(status @ 100..=599), Some(version)) = (response.code, response.version) else {
        return Err(Malformed::StartLine);
    };
    head.status = status;
    head.headers.reset(block.clone());
    for field in response.headers.iter() {
        head.headers.push_received(field.name.as_bytes(), field.value);
    }
    let facts = Facts::gather(&head.headers)?;
    if facts.is_chunked && version == 0 {
        return Err(Malformed::TransferEncoding);
    }
    facts.strip(&mut head.headers);
    let framing = framing(&facts, status, method);
    if status == 204 || (100..200).contains(&status) || (is_tunnel(status, method) && status != 101) {
        // RFC 9110 §8.6 forbids it there; what follows is not a body.
        head.headers.remove("content-length");
    }
    let is_delimited = framing != Framing::UntilClose;
    let keep_alive = is_delimited && !facts.closes && (version == 1 || facts.keeps_alive);
    head.upgrade = facts.upgrade;
    Ok(DecodedResponse { framing, keep_alive })
}

fn is_tunnel(status: u16, method: &Method) -> bool {
    status == 101 || (*method == Method::CONNECT && (200..300).contains(&status))
}

/// RFC 9112 §6.3.
fn framing(facts: &Facts, status: u16, method: &Method) -> Framing {
    if is_tunnel(status, method) {
        return Framing::UntilClose;
    }
    if *method == Method::HEAD || matches!(status, 100..=199 | 204 | 304) {
        return Framing::None;
    }
    match facts.framing() {
        Framing::None => Framing::UntilClose,
        framing => framing,
    }
}
