//! What the codec promises for any bytes, asserted. Only the fuzz targets enter here.
//!
//! Invariants  how bytes are cut into reads changes nothing; what was read, written and read again is the same messages

use bytes::BytesMut;
use http::Method;

use super::*;
use crate::http::head::{Frame, Framing, RequestHead, ResponseHead, Version};
use crate::http::headers::Headers;
use crate::http::write_buffer::WriteBuffer;

const LIMITS: HeadLimits = HeadLimits { bytes: 8 * 1024, fields: 32 };
/// What we write has a few lines more than what we read.
const WIDER: HeadLimits = HeadLimits { bytes: 16 * 1024, fields: 40 };

type Lines = Vec<(Vec<u8>, Vec<u8>)>;

/// A message as whoever is behind us understands it.
#[derive(Debug, Eq, PartialEq)]
struct Message {
    /// Method, path and authority, or the status.
    start: Vec<Vec<u8>>,
    lines: Lines,
    framing: Framing,
    body: Vec<u8>,
    trailers: Lines,
    /// The connection ends with it.
    is_last: bool,
}

/// The complete messages, and whether what follows them is refused.
#[derive(Debug, Default, Eq, PartialEq)]
struct Conversation {
    messages: Vec<Message>,
    is_refused: bool,
}

/// Reads one message's head; `None`: it is not complete.
type ReadHead<'r> =
    &'r dyn Fn(&mut BytesMut, usize, HeadLimits) -> Result<(Vec<Vec<u8>>, Headers, Framing, bool), Malformed>;

pub(crate) fn requests(data: &[u8]) {
    check(
        data,
        &|buffer, length, limits| {
            let mut head = RequestHead::default();
            let decoded = decode_request(buffer, length, limits, &mut head)?;
            let is_tunnel = head.method == Method::CONNECT || head.upgrade.is_some();
            let start = vec![head.method.as_str().as_bytes().to_vec(), head.path.to_vec(), head.authority.to_vec()];
            Ok((start, head.headers, decoded.framing, is_tunnel || !decoded.keep_alive))
        },
        &|message, out| {
            let [method, path, authority] = message.start.as_slice() else { return };
            let head = RequestHead {
                method: Method::from_bytes(method).expect("it was one"),
                path: path.clone().into(),
                authority: authority.clone().into(),
                headers: headers(&message.lines),
                ..RequestHead::default()
            };
            encode_request(&head, message.framing, RequestStyle::default(), out);
        },
    );
}

pub(crate) fn responses(data: &[u8]) {
    let Some((&method, data)) = data.split_first() else { return };
    let method = [Method::GET, Method::HEAD, Method::CONNECT][usize::from(method) % 3].clone();
    check(
        data,
        &|buffer, length, limits| {
            let mut head = ResponseHead::default();
            let decoded = decode_response(buffer, length, limits, &method, &mut head)?;
            let is_last = !decoded.keep_alive || decoded.framing == Framing::UntilClose;
            Ok((vec![head.status.to_string().into_bytes()], head.headers, decoded.framing, is_last))
        },
        &|message, out| {
            let status = message.start.first().and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
            let head = ResponseHead {
                status: status.expect("it was one"),
                headers: headers(&message.lines),
                ..ResponseHead::default()
            };
            encode_response(&head, message.framing, Version::Http11, !message.is_last, Names::default(), out);
        },
    );
}

fn check(data: &[u8], read_head: ReadHead<'_>, write_head: &dyn Fn(&Message, &mut WriteBuffer)) {
    let Some((&step, bytes)) = data.split_first() else { return };
    let conversation = read(bytes, bytes.len(), LIMITS, read_head);
    assert_eq!(
        conversation,
        read(bytes, usize::from(step), LIMITS, read_head),
        "cut into pieces it means something else"
    );
    for message in &conversation.messages {
        if matches!(message.start.as_slice(), [status] if status.as_slice() == b"101") {
            continue;
        }
        let mut written = WriteBuffer::default();
        write_head(message, &mut written);
        write_body(message, &mut written);
        let written = written.to_bytes();
        let again = read(&written, written.len(), WIDER, read_head);
        let [again] = again.messages.as_slice() else { panic!("one message became {again:?}: {message:?}") };
        assert_eq!((&again.start, &again.body, &again.trailers), (&message.start, &message.body, &message.trailers));
        assert_eq!(without_length(&again.lines), without_length(&message.lines));
    }
}

/// The length is there again, at another place.
fn without_length(lines: &Lines) -> Vec<&(Vec<u8>, Vec<u8>)> {
    lines.iter().filter(|(name, _)| !name.eq_ignore_ascii_case(b"content-length")).collect()
}

fn write_body(message: &Message, out: &mut WriteBuffer) {
    let mut encoder = BodyEncoder::with_trailers(message.framing, Some(Names::default()));
    let body = message.body.clone().into();
    encoder.encode(Frame::Data { bytes: body, last: false }, out).expect("it has its length");
    if !encoder.is_done() {
        let trailers = Frame::Trailers(headers(&message.trailers));
        encoder.encode(trailers, out).expect("it has its length");
    }
}

fn read(bytes: &[u8], step: usize, limits: HeadLimits, read_head: ReadHead<'_>) -> Conversation {
    let mut conversation = Conversation::default();
    let mut rest = bytes.chunks(step.max(1));
    let mut buffer = BytesMut::new();
    while !conversation.messages.last().is_some_and(|message| message.is_last) {
        match read_message(&mut buffer, &mut rest, limits, read_head) {
            Ok(Some(message)) => conversation.messages.push(message),
            Ok(None) => break,
            Err(_) => {
                conversation.is_refused = true;
                break;
            }
        }
    }
    conversation
}

fn read_message<'b>(
    buffer: &mut BytesMut,
    rest: &mut impl Iterator<Item = &'b [u8]>,
    limits: HeadLimits,
    read_head: ReadHead<'_>,
) -> Result<Option<Message>, Malformed> {
    let mut scanner = HeadScanner::default();
    let length = loop {
        if let Some(length) = scanner.find_end(buffer, limits)? {
            break length;
        }
        let Some(piece) = rest.next() else { return Ok(None) };
        buffer.extend_from_slice(piece);
    };
    let (start, head, framing, is_last) = read_head(buffer, length, limits)?;
    let mut decoder = BodyDecoder::new(framing, limits);
    let (mut body, mut trailers) = (Vec::new(), Vec::new());
    loop {
        match decoder.decode(buffer)? {
            Some(Frame::Data { bytes, last }) => {
                body.extend_from_slice(&bytes);
                if last {
                    break;
                }
            }
            Some(Frame::Trailers(lines)) => {
                trailers = self::lines(&lines);
                break;
            }
            Some(Frame::End) => break,
            None => match rest.next() {
                Some(piece) => buffer.extend_from_slice(piece),
                None if decoder.close().is_ok() => break,
                None => return Ok(None),
            },
        }
    }
    Ok(Some(Message { start, lines: lines(&head), framing, body, trailers, is_last }))
}

/// Names in lower case, as they are written unless somebody asks for another spelling.
fn lines(headers: &Headers) -> Lines {
    headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.to_vec())).collect()
}

fn headers(lines: &Lines) -> Headers {
    let mut headers = Headers::default();
    for (name, value) in lines {
        headers.append(name, value);
    }
    headers
}
