//! What the server's side of HTTP/2 promises for any bytes of a client, asserted. Only the fuzz targets enter here.

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWriteExt;

use super::convert;
use crate::http::codec::{HeadLimits, HeadScanner, RequestStyle, decode_request, encode_request};
use crate::http::head::{Framing, RequestHead};
use crate::http::write_buffer::WriteBuffer;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Each request that is not refused is exactly one request of HTTP/1, to the same host and path.
pub(crate) async fn requests(data: &[u8]) {
    let (mut client, server) = tokio::io::duplex(data.len() + PREFACE.len() + 1);
    // Both fit; the rest of what the client would hear is lost with it.
    let _ = client.write_all(PREFACE).await;
    let _ = client.write_all(data).await;
    let _ = client.shutdown().await;
    let listening = async {
        let mut sink = tokio::io::sink();
        let _ = tokio::io::copy(&mut client, &mut sink).await;
    };
    tokio::select! {
        () = serve(server) => {}
        () = listening => {}
    }
}

async fn serve(server: tokio::io::DuplexStream) {
    let Ok(mut connection) = h2::server::handshake(server).await else { return };
    while let Some(Ok((request, mut responder))) = connection.accept().await {
        let (parts, _body) = request.into_parts();
        let mut head = RequestHead::default();
        if convert::request_from(&parts, 100, &mut head).is_ok() {
            check(&head);
        }
        let _ = responder.send_response(http::Response::new(()), true).map(|_: h2::SendStream<Bytes>| ());
    }
}

fn check(head: &RequestHead) {
    let mut written = WriteBuffer::default();
    encode_request(head, Framing::Chunked, RequestStyle::default(), &mut written);
    let limits = HeadLimits { bytes: usize::MAX, fields: 200 };
    let mut bytes = BytesMut::from(written.to_bytes().as_slice());
    let length = HeadScanner::default().find_end(&bytes, limits);
    let length = length.expect("our own head is well formed").expect("and complete");
    assert_eq!(length, bytes.len(), "one request became more: {head:?}");
    let mut again = RequestHead::default();
    match decode_request(&mut bytes, length, limits, &mut again) {
        Ok(decoded) => {
            let framing = if head.headers.contains("content-length") { decoded.framing } else { Framing::Chunked };
            assert_eq!(decoded.framing, framing);
            assert_eq!((&again.method, &again.path, &again.authority), (&head.method, &head.path, &head.authority));
        }
        // With a length of its own the head was written with the wrong framing for it: that is this check's doing.
        Err(_) if head.headers.contains("content-length") => {}
        Err(refusal) => panic!("a request we pass on would be refused ({refusal}): {head:?}"),
    }
}
