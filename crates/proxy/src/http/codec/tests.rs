use bytes::{Bytes, BytesMut};
use http::Method;

use super::*;
use crate::http::head::{Frame, Framing, RequestHead, ResponseHead, Version, as_text};
use crate::http::headers::Headers;
use crate::http::write_buffer::WriteBuffer;

const LIMITS: HeadLimits = HeadLimits { bytes: 1024, fields: 8 };

/// Feeds `bytes` in the given pieces; `None` when the head never ends.
fn request_in_pieces(
    bytes: &[u8],
    cuts: &[usize],
) -> Result<Option<(RequestHead, Framing, bool, BytesMut)>, Malformed> {
    let mut buffer = BytesMut::new();
    let mut scanner = HeadScanner::default();
    let mut from = 0;
    for cut in cuts.iter().copied().chain([bytes.len()]) {
        buffer.extend_from_slice(&bytes[from..cut]);
        from = cut;
        if let Some(length) = scanner.find_end(&buffer, LIMITS)? {
            buffer.extend_from_slice(&bytes[from..]);
            let mut head = RequestHead::default();
            let decoded = decode_request(&mut buffer, length, LIMITS, &mut head)?;
            return Ok(Some((head, decoded.framing, decoded.keep_alive, buffer)));
        }
    }
    Ok(None)
}

fn request(text: &str) -> Result<(RequestHead, Framing, bool), Malformed> {
    let found = request_in_pieces(text.as_bytes(), &[])?;
    let (head, framing, keep_alive, _) = found.expect("a complete head");
    Ok((head, framing, keep_alive))
}

fn response(text: &str, method: &Method) -> Result<(ResponseHead, Framing, bool), Malformed> {
    let mut buffer = BytesMut::from(text);
    let length = HeadScanner::default().find_end(&buffer, LIMITS)?.expect("a complete head");
    let mut head = ResponseHead::default();
    let decoded = decode_response(&mut buffer, length, LIMITS, method, &mut head)?;
    Ok((head, decoded.framing, decoded.keep_alive))
}

#[test]
fn what_two_readers_could_frame_differently_is_refused() {
    use Malformed::*;
    let with = |lines: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let cases = [
        (with("Content-Length: 5\r\nContent-Length: 6\r\n"), ContentLength),
        (with("Content-Length: 5\r\nContent-Length: 5\r\n"), ContentLength),
        (with("Content-Length: 5, 5\r\n"), ContentLength),
        (with("Content-Length: +5\r\n"), ContentLength),
        (with("Content-Length: -1\r\n"), ContentLength),
        (with("Content-Length: 0x5\r\n"), ContentLength),
        (with("Content-Length: 5 5\r\n"), ContentLength),
        (with("Content-Length:\r\n"), ContentLength),
        (with("Content-Length: 99999999999999999999\r\n"), ContentLength),
        (with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), ContentLength),
        (with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), ContentLength),
        (with("Transfer-Encoding: xchunked\r\n"), TransferEncoding),
        (with("Transfer-Encoding: chunked, chunked\r\n"), TransferEncoding),
        (with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), TransferEncoding),
        (with("Transfer-Encoding: gzip, chunked\r\n"), TransferEncoding),
        (with("Transfer-Encoding: chunked, identity\r\n"), TransferEncoding),
        (with("Transfer-Encoding: identity\r\n"), TransferEncoding),
        (with("Transfer-Encoding: \"chunked\"\r\n"), TransferEncoding),
        (with("Transfer-Encoding:\r\n"), TransferEncoding),
        (with("Transfer-Encoding: \x0bchunked\r\n"), Header),
        (with("Transfer-Encoding : chunked\r\n"), Header),
        (with("Content-Length : 5\r\n"), Header),
        (with("X-A: 1\r\n Transfer-Encoding: chunked\r\n"), Header),
        (with("X-A: 1\r\n\tfolded\r\n"), Header),
        (with("X-A: a\0b\r\n"), Header),
        (with("X-A: a\x01b\r\n"), Header),
        (with("X-A: a\rb\r\n"), Header),
        (with("X A: b\r\n"), Header),
        (with(": b\r\n"), Header),
        (with("no-colon\r\n"), Header),
        (with("X-A: b\n"), BareLineEnd),
        (with("Host: b\r\n"), Host),
        ("POST / HTTP/1.1\n\r\n".to_owned(), BareLineEnd),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned(), Host),
        ("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n".to_owned(), Host),
        ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n".to_owned(), Host),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".to_owned(), Host),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), TransferEncoding),
        ("GET /\r\nHost: a\r\n\r\n".to_owned(), StartLine),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), StartLine),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n".to_owned(), StartLine),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n".to_owned(), StartLine),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), StartLine),
        ("GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), StartLine),
        ("GET a HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), StartLine),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), StartLine),
        ("GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), Host),
        ("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), Host),
        ("CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), StartLine),
        ("CONNECT /a:1 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), StartLine),
    ];
    for (text, expected) in cases {
        assert_eq!(request(&text).map(|_| ()), Err(expected), "{text:?}");
    }
}

#[test]
fn what_reads_well_may_still_be_wrong() {
    let cases = [
        ("GET / HTTP/1.1\r\n\r\n", Some(Fault::NoHost)),
        ("GET / HTTP/1.0\r\n\r\n", Some(Fault::NoHost)),
        ("GET /#f HTTP/1.1\r\nHost: a\r\n\r\n", Some(Fault::Fragment)),
        ("GET http://a#f HTTP/1.1\r\nHost: a\r\n\r\n", Some(Fault::Fragment)),
        ("GET http://a/ HTTP/1.0\r\n\r\n", None),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", None),
    ];
    for (text, expected) in cases {
        let mut buffer = BytesMut::from(text);
        let length = HeadScanner::default().find_end(&buffer, LIMITS).expect("good").expect("complete");
        let decoded = decode_request(&mut buffer, length, LIMITS, &mut RequestHead::default()).expect("good");
        assert_eq!(decoded.fault, expected, "{text:?}");
    }
}

#[test]
fn heads_above_the_limits_are_refused() {
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(1024));
    assert_eq!(request(&long).map(|_| ()), Err(Malformed::HeadTooLarge));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: a\r\n".repeat(8));
    assert_eq!(request(&many).map(|_| ()), Err(Malformed::HeadTooLarge));
    assert_eq!(Malformed::HeadTooLarge.status(), 431);
}

#[test]
fn the_four_forms_of_a_target_give_path_and_authority() {
    let cases = [
        ("GET /a?b HTTP/1.1", "/a?b", "h"),
        ("GET http://x:8/a?b HTTP/1.1", "/a?b", "x:8"),
        ("GET HTTP://x HTTP/1.1", "/", "x"),
        ("GET http://x?q HTTP/1.1", "/?q", "x"),
        ("OPTIONS * HTTP/1.1", "*", "h"),
        ("OPTIONS http://x HTTP/1.1", "*", "x"),
        ("CONNECT x:80 HTTP/1.1", "", "x:80"),
    ];
    for (line, path, authority) in cases {
        let (head, ..) = request(&format!("{line}\r\nHost: h\r\n\r\n")).expect(line);
        assert_eq!((as_text(&head.path), as_text(&head.authority)), (path, authority), "{line}");
    }
}

#[test]
fn connection_level_fields_stay_on_their_connection() {
    let (head, framing, keep_alive) = request(
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Hop, te\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\n\
         Proxy-Connection: x\r\nTransfer-Encoding: Chunked\r\nX-End: 2\r\n\r\n",
    )
    .expect("a good request");
    let names: Vec<_> = head.headers.iter().map(|(name, _)| as_text(name).to_owned()).collect();
    assert_eq!((names, framing, keep_alive), (vec!["TE".to_owned(), "X-End".to_owned()], Framing::Chunked, false));
}

#[test]
fn an_upgrade_needs_both_fields() {
    let (head, ..) =
        request("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").expect("good");
    assert_eq!(head.upgrade.as_deref(), Some(&b"websocket"[..]));
    let (head, ..) = request("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n").expect("good");
    assert!(head.upgrade.is_none() && head.headers.is_empty());
}

#[test]
fn http_10_keeps_alive_only_when_asked() {
    let (head, _, keep_alive) = request("GET / HTTP/1.0\r\n\r\n").expect("no host is needed");
    assert_eq!((head.version, keep_alive), (Version::Http10, false));
    assert!(request("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").expect("good").2);
}

#[test]
fn the_end_of_a_response_depends_on_its_request_and_status() {
    let (get, head, connect) = (Method::GET, Method::HEAD, Method::CONNECT);
    let cases = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", &get, Framing::Length(3), true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", &head, Framing::None, true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &get, Framing::Chunked, true),
        ("HTTP/1.1 200 OK\r\n\r\n", &get, Framing::UntilClose, false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", &get, Framing::Length(3), false),
        ("HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\n", &get, Framing::None, true),
        ("HTTP/1.1 304 No\r\nContent-Length: 3\r\n\r\n", &get, Framing::None, true),
        ("HTTP/1.1 200 OK\r\n\r\n", &connect, Framing::UntilClose, false),
        ("HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: w\r\n\r\n", &get, Framing::UntilClose, false),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", &get, Framing::Length(0), false),
    ];
    for (text, method, framing, keep_alive) in cases {
        let (_, found, alive) = response(text, method).expect(text);
        assert_eq!((found, alive), (framing, keep_alive), "{text:?}");
    }
    for bad in [
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 3\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX : a\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
        "HTTP/1.1 999 OK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
    ] {
        assert!(response(bad, &get).is_err(), "{bad:?}");
    }
}

type Body = (Vec<u8>, Option<Vec<(String, String)>>);

fn decode_body(bytes: &[u8], cuts: &[usize], framing: Framing) -> Result<Option<Body>, Malformed> {
    let mut decoder = BodyDecoder::new(framing, LIMITS);
    let (mut buffer, mut body, mut from) = (BytesMut::new(), Vec::new(), 0);
    for cut in cuts.iter().copied().chain([bytes.len()]) {
        buffer.extend_from_slice(&bytes[from..cut]);
        from = cut;
        while let Some(frame) = decoder.decode(&mut buffer)? {
            match frame {
                Frame::Data { bytes, last } => {
                    body.extend_from_slice(&bytes);
                    if last {
                        return Ok(Some((body, None)));
                    }
                }
                Frame::Trailers(trailers) => {
                    let text = |bytes: &[u8]| as_text(bytes).to_owned();
                    let fields = trailers.iter().map(|(name, value)| (text(name), text(value))).collect();
                    return Ok(Some((body, Some(fields))));
                }
                Frame::End => return Ok(Some((body, None))),
            }
        }
    }
    Ok(None)
}

#[test]
fn chunks_that_are_not_exactly_chunks_are_refused() {
    for bad in [
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "g\r\n",
        "\r\n",
        "-1\r\n",
        "0x5\r\nhello\r\n",
        " 5\r\nhello\r\n",
        "5 \r\nhello\r\n",
        "00000000000000005\r\nhello\r\n",
        "5;a\nb\r\nhello\r\n",
        "5;a\rb\r\nhello\r\n",
        "5;\0\r\nhello\r\n",
        "0\r\nX : a\r\n\r\n",
        "0\r\nX: a\n\r\n",
        "0\r\nX: a\r\n b\r\n\r\n",
    ] {
        assert!(decode_body(bad.as_bytes(), &[], Framing::Chunked).is_err(), "{bad:?}");
    }
    let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(600));
    assert_eq!(decode_body(long.as_bytes(), &[], Framing::Chunked).map(|_| ()), Err(Malformed::Chunk));
    let many = format!("1;{}\r\na\r\n", "b".repeat(400)).repeat(50);
    assert_eq!(decode_body(many.as_bytes(), &[], Framing::Chunked).map(|_| ()), Err(Malformed::Chunk));
}

#[test]
fn extensions_are_skipped_and_trailers_that_may_not_trail_dropped() {
    let body = b"5;a=\"b\"\r\nhello\r\nA\r\n, world!..\r\n0\r\nx-sum: 1\r\nContent-Length: 3\r\n\r\n";
    let expected = (b"hello, world!..".to_vec(), Some(vec![("x-sum".to_owned(), "1".to_owned())]));
    for cut in 0..body.len() {
        assert_eq!(decode_body(body, &[cut], Framing::Chunked), Ok(Some(expected.clone())), "cut at {cut}");
    }
}

#[test]
fn a_body_that_closes_early_is_not_complete() {
    let mut decoder = BodyDecoder::new(Framing::Length(5), LIMITS);
    assert!(matches!(decoder.decode(&mut BytesMut::from("abc")), Ok(Some(Frame::Data { last: false, .. }))));
    assert!(matches!(decoder.close(), Err(Malformed::Closed)));
    assert!(matches!(BodyDecoder::new(Framing::UntilClose, LIMITS).close(), Ok(Frame::End)));
}

#[test]
fn a_body_must_have_the_length_its_head_announced() {
    let mut out = WriteBuffer::default();
    let data = |text: &'static str, last| Frame::Data { bytes: Bytes::from_static(text.as_bytes()), last };
    assert!(BodyEncoder::new(Framing::Length(3)).encode(data("abcd", false), &mut out).is_err());
    assert!(BodyEncoder::new(Framing::Length(3)).encode(data("ab", true), &mut out).is_err());
    let mut encoder = BodyEncoder::new(Framing::Length(3));
    assert!(encoder.encode(data("abc", true), &mut out).is_ok() && encoder.is_done());
}

#[test]
fn a_request_is_the_same_wherever_it_is_cut() {
    let text = b"\r\nPOST /x HTTP/1.1\r\nHost: a\r\nX-Y:  z \r\nContent-Length: 4\r\n\r\nbodyGET";
    for first in 0..text.len() {
        for second in first..text.len() {
            let (head, framing, _, rest) = request_in_pieces(text, &[first, second]).expect("good").expect("complete");
            assert_eq!((head.headers.get("x-y"), framing), (Some(&b"z"[..]), Framing::Length(4)));
            assert_eq!(&rest[..], b"bodyGET");
        }
    }
}

#[test]
fn a_host_is_one_host_and_perhaps_a_port() {
    for good in [
        "",
        "a",
        "a.test:8080",
        "a.test:",
        "a_b",
        "10.0.0.1:1",
        "[::1]",
        "[::1]:80",
        "[fe80::1%25eth0]:80",
        "a%2fb",
        "a:65535",
    ] {
        assert!(is_host(good.as_bytes()), "{good}");
    }
    for bad in [
        ":80", "a:x", "a:80:81", "a:65536", "a:123456", "a:+1", "[::1", "[]", "[::1]x", "[::1]:x", "::1", "a]", "a[b]",
        "a b", "a,b", "u@a",
    ] {
        assert!(!is_host(bad.as_bytes()), "{bad}");
    }
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn chunked_bodies_survive_encoding_and_any_cut(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..8),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let mut out = WriteBuffer::default();
            let mut encoder = BodyEncoder::new(Framing::Chunked);
            for piece in &pieces {
                let frame = Frame::Data { bytes: Bytes::from(piece.clone()), last: false };
                encoder.encode(frame, &mut out).expect("any length");
            }
            encoder.encode(Frame::End, &mut out).expect("any length");
            let bytes = out.flat().clone();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.sort_unstable();
            prop_assert_eq!(decode_body(&bytes, &cuts, Framing::Chunked), Ok(Some((pieces.concat(), None))));
        }

        #[test]
        fn requests_survive_encoding(
            path in "/[a-z0-9/?=%]{0,40}",
            fields in prop::collection::vec(("x-[a-z]{1,9}", "[!-~]([ -~]{0,20}[!-~])?"), 0..6),
        ) {
            let mut head = RequestHead { path: Bytes::from(path), authority: Bytes::from_static(b"a:1"), ..RequestHead::default() };
            for (name, value) in &fields {
                head.headers.append(name.as_bytes(), value.as_bytes());
            }
            let mut out = WriteBuffer::default();
            encode_request(&head, Framing::Chunked, RequestStyle::default(), &mut out);
            let (again, framing, ..) = request_in_pieces(&out.flat().clone(), &[]).expect("good").expect("complete");
            prop_assert_eq!((&again.path, &again.authority, framing), (&head.path, &head.authority, Framing::Chunked));
            let lines = |headers: &Headers| headers.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect::<Vec<_>>();
            prop_assert_eq!(lines(&again.headers), lines(&head.headers));
        }

        #[test]
        fn no_bytes_make_the_codec_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = request_in_pieces(&bytes, &[]);
            let _ = decode_body(&bytes, &[], Framing::Chunked);
        }
    }
}
