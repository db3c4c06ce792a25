//! Doors for the fuzz targets (`fuzz/`) to the parsers of foreign bytes. There only with `--cfg fuzzing`.

use crate::detect::{Question, Verdict, look, settle};
use crate::proxy_protocol::{MAX_HEADER_BYTES, Progress, encode, parse};

/// Any bytes as requests of HTTP/1.
pub fn http1_requests(data: &[u8]) {
    crate::http::codec::fuzzing::requests(data);
}

/// Any bytes as responses of HTTP/1.
pub fn http1_responses(data: &[u8]) {
    crate::http::codec::fuzzing::responses(data);
}

/// Any bytes as the first of a connection: a verdict, once given, is not changed by more bytes.
pub fn first_bytes(data: &[u8]) {
    let Some((&question, bytes)) = data.split_first() else { return };
    let question = Question { tls: question & 1 != 0, http: question & 2 != 0 };
    let whole = look(bytes, question);
    let step = (bytes.len() / 16).max(1);
    let early = bytes.chunks(step).scan(0, |seen, piece| {
        *seen += piece.len();
        Some(look(&bytes[..*seen], question))
    });
    match early.into_iter().find(|verdict| *verdict != Verdict::More) {
        // A method that nobody registered is known by its whole line, if that comes at once.
        None | Some(Verdict::Other) => {}
        Some(verdict) => assert_eq!(verdict, whole),
    }
    assert_ne!(settle(bytes, question), Verdict::More);
}

/// Any bytes as frames of an HTTP/2 client: what we would pass on in HTTP/1 is one request with the same lines.
pub async fn http2_requests(data: &[u8]) {
    crate::http::http2::fuzzing::requests(data).await;
}

/// Any packet as a DNS query.
pub fn dns_query(data: &[u8]) {
    crate::dns::fuzz(data);
}

/// Any bytes as the start of a connection that may have a PROXY header: the same is read of them however they were cut, and
/// what they say can be said again.
pub fn proxy_protocol(data: &[u8]) {
    let whole = parse(data);
    let step = (data.len() / 16).max(1);
    for end in (0..data.len()).step_by(step) {
        let early = parse(&data[..end]);
        assert!(early == Ok(Progress::More) || early == whole, "{early:?} of {end} bytes, then {whole:?}");
    }
    let Ok(Progress::Complete { header, length }) = whole else { return };
    assert!((1..=MAX_HEADER_BYTES.min(data.len())).contains(&length));
    let again = encode(header.version, header.addresses);
    let Ok(Progress::Complete { header: read, length }) = parse(&again) else {
        panic!("{header:?} was written as {again:?}");
    };
    assert_eq!(length, again.len());
    // Addresses of both families are written as one, which parts them from what was read.
    assert_eq!(read.addresses.is_some(), header.addresses.is_some());
}
