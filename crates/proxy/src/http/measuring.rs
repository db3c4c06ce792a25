//! Heads like those of a browser and a web server, through the HTTP/1 codec.

use std::hint::black_box;

use bytes::BytesMut;
use http::Method;

use super::codec::{self, HeadLimits};
use super::head::{Framing, RequestHead, ResponseHead, Version};
use super::write_buffer::WriteBuffer;

const REQUEST: &[u8] = b"GET /catalogue/items?page=3&sort=price HTTP/1.1\r\n\
host: shop.example\r\n\
user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
accept-language: en-GB,en;q=0.5\r\n\
accept-encoding: gzip, deflate, br, zstd\r\n\
cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\
x-request-id: 7f5c0d8e-3b1a-4f0e-9a77-0a6f7f9b2c11\r\n\
connection: keep-alive\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
content-type: text/html; charset=utf-8\r\n\
content-length: 1024\r\n\
date: Sat, 21 Nov 2026 12:00:00 GMT\r\n\
server: shop\r\n\
cache-control: private, max-age=0\r\n\
etag: \"33a64df551425fcc55e4d42a148795d9f25f89d4\"\r\n\
vary: accept-encoding\r\n\r\n";

const LIMITS: HeadLimits = HeadLimits { bytes: 60 * 1024, fields: 100 };

fn request(buffer: &mut BytesMut, head: &mut RequestHead) {
    buffer.extend_from_slice(black_box(REQUEST));
    let end = codec::HeadScanner::default().find_end(buffer, LIMITS);
    let Ok(Some(length)) = end else { panic!("the request has no end: {end:?}") };
    black_box(codec::decode_request(buffer, length, LIMITS, head).expect("a good request"));
}

fn response(buffer: &mut BytesMut, head: &mut ResponseHead) {
    buffer.extend_from_slice(black_box(RESPONSE));
    let end = codec::HeadScanner::default().find_end(buffer, LIMITS);
    let Ok(Some(length)) = end else { panic!("the response has no end: {end:?}") };
    black_box(codec::decode_response(buffer, length, LIMITS, &Method::GET, head).expect("a good response"));
}

/// Finding the end is part of it.
pub fn decode_request(count: u32) {
    let (mut buffer, mut head) = (BytesMut::with_capacity(16 * 1024), RequestHead::default());
    (0..count).for_each(|_| request(&mut buffer, &mut head));
}

/// Finding the end is part of it.
pub fn decode_response(count: u32) {
    let (mut buffer, mut head) = (BytesMut::with_capacity(16 * 1024), ResponseHead::default());
    (0..count).for_each(|_| response(&mut buffer, &mut head));
}

pub fn encode_request(count: u32) {
    let mut head = RequestHead::default();
    request(&mut BytesMut::new(), &mut head);
    let mut out = WriteBuffer::default();
    for _ in 0..count {
        codec::encode_request(black_box(&head), Framing::None, codec::RequestStyle::default(), &mut out);
        out.flat().clear();
    }
}

pub fn encode_response(count: u32) {
    let mut head = ResponseHead::default();
    response(&mut BytesMut::new(), &mut head);
    let mut out = WriteBuffer::default();
    for _ in 0..count {
        codec::encode_response(
            black_box(&head),
            Framing::Length(1024),
            Version::Http11,
            true,
            codec::Names::default(),
            &mut out,
        );
        out.flat().clear();
    }
}

/// What a route with four operations does to a request.
pub fn header_operations(count: u32) {
    let mut received = RequestHead::default();
    request(&mut BytesMut::new(), &mut received);
    for _ in 0..count {
        let mut headers = received.headers.clone();
        headers.set("x-request-id", black_box(b"0b1c"));
        headers.append(b"x-forwarded-for", black_box(b"192.0.2.7"));
        headers.set("x-forwarded-proto", b"http");
        headers.remove("accept-language");
        black_box(headers.contains("traceparent"));
        black_box(&headers);
    }
}
