//! What a peer that reads frames itself sees of the HTTP/2 options of listeners and clusters.

use std::num::NonZeroU32;
use std::time::Duration;

use leno_ir::{Http2Keepalive, Http2Options, HttpCodec, Listener, NetworkFilter, UpstreamProtocol};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::harness::{Harness, cluster, config, http_listener, of_codec, timely};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// RFC 9113 §6, §6.5.2.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const ENABLE_CONNECT_PROTOCOL: u16 = 8;

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    async fn read(stream: &mut TcpStream) -> Option<Self> {
        let mut head = [0; 9];
        timely(stream.read_exact(&mut head)).await.ok()?;
        let [a, b, c, kind, flags, place @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        timely(stream.read_exact(&mut payload)).await.ok()?;
        Some(Self { kind, flags, stream: u32::from_be_bytes(place), payload })
    }

    fn write(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    fn setting(&self, wanted: u16) -> Option<u32> {
        self.payload.chunks_exact(6).find_map(|setting| {
            let [high, low, value @ ..] = setting else { return None };
            (u16::from_be_bytes([*high, *low]) == wanted).then(|| u32::from_be_bytes(value.try_into().expect("four")))
        })
    }
}

/// The first frame of a kind.
async fn next(stream: &mut TcpStream, kind: u8) -> Frame {
    loop {
        let frame = Frame::read(stream).await.expect("the connection lives");
        if frame.kind == kind && frame.flags & ACK == 0 || frame.kind == HEADERS && kind == HEADERS {
            return frame;
        }
    }
}

fn options() -> Http2Options {
    Http2Options {
        stream_window_bytes: Some(70_000),
        connection_window_bytes: Some(100_000),
        keepalive: Some(Http2Keepalive { interval: Duration::from_millis(50), timeout: Duration::from_millis(200) }),
        ..Http2Options::mesh()
    }
}

fn listener(cluster: &str, change: impl Fn(&mut leno_ir::HttpConnectionManager)) -> Listener {
    let mut listener = of_codec(http_listener("front", cluster), HttpCodec::Http2);
    if let NetworkFilter::Http(manager) = &mut listener.filter_chains[0].filter {
        change(manager);
    }
    listener
}

async fn hello(stream: &mut TcpStream) {
    stream.write_all(PREFACE).await.expect("sent");
    stream.write_all(&Frame::write(SETTINGS, 0, 0, &[])).await.expect("sent");
}

#[tokio::test]
async fn a_client_is_told_windows_and_streams() {
    let harness = Harness::start();
    let front = listener("nobody", |manager| {
        manager.http2 = options();
        manager.limits.max_concurrent_streams = NonZeroU32::new(7);
    });
    harness.apply(config([front], [])).await;
    let mut client = harness.connect("front").await;
    hello(&mut client).await;
    let settings = next(&mut client, SETTINGS).await;
    assert_eq!(settings.setting(MAX_CONCURRENT_STREAMS), Some(7));
    assert_eq!(settings.setting(INITIAL_WINDOW_SIZE), Some(70_000));
    assert_eq!(settings.setting(ENABLE_CONNECT_PROTOCOL), Some(1));
    let update = next(&mut client, WINDOW_UPDATE).await;
    assert_eq!((update.stream, update.payload), (0, 34_465_u32.to_be_bytes().to_vec()), "65,535 are there anyway");
    harness.shutdown().await;
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_left() {
    let harness = Harness::start();
    harness.apply(config([listener("nobody", |manager| manager.http2 = options())], [])).await;
    let mut client = harness.connect("front").await;
    hello(&mut client).await;
    for _ in 0..2 {
        let ping = next(&mut client, PING).await;
        client.write_all(&Frame::write(PING, ACK, 0, &ping.payload)).await.expect("sent");
    }
    next(&mut client, PING).await;
    while Frame::read(&mut client).await.is_some() {}
    harness.shutdown().await;
}

#[tokio::test]
async fn an_upstream_is_told_windows_and_asked_whether_it_lives() {
    let harness = Harness::single();
    let server = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let mut back = cluster("back", [server.local_addr().expect("bound")]);
    back.http.protocol = UpstreamProtocol::Http2;
    back.http.http2 = options();
    harness.apply(config([http_listener("front", "back")], [back])).await;
    let mut client = harness.connect("front").await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("sent");
    let (mut upstream, _) = timely(server.accept()).await.expect("the proxy comes");
    let mut preface = vec![0; PREFACE.len()];
    timely(upstream.read_exact(&mut preface)).await.expect("a preface");
    upstream.write_all(&Frame::write(SETTINGS, 0, 0, &[])).await.expect("sent");
    let settings = next(&mut upstream, SETTINGS).await;
    assert_eq!(settings.setting(INITIAL_WINDOW_SIZE), Some(70_000));
    let update = next(&mut upstream, WINDOW_UPDATE).await;
    assert_eq!((update.stream, update.payload), (0, 34_465_u32.to_be_bytes().to_vec()));
    let ping = next(&mut upstream, PING).await;
    upstream.write_all(&Frame::write(PING, ACK, 0, &ping.payload)).await.expect("sent");
    next(&mut upstream, PING).await;
    // That one is not answered, so nobody waits for a response any more.
    let mut answer = Vec::new();
    timely(async {
        while !answer.ends_with(b"connection termination")
            && client.read_buf(&mut answer).await.is_ok_and(|read| read > 0)
        {}
    })
    .await;
    assert!(answer.starts_with(b"HTTP/1.1 503 "), "{}", String::from_utf8_lossy(&answer));
    harness.shutdown().await;
}

#[tokio::test]
async fn an_upstream_gets_no_more_streams_than_it_takes() {
    let harness = Harness::single();
    let server = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let mut back = cluster("back", [server.local_addr().expect("bound")]);
    back.http.protocol = UpstreamProtocol::Http2;
    harness.apply(config([http_listener("front", "back")], [back])).await;
    let mut first = harness.connect("front").await;
    first.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("sent");
    let (mut one, _) = timely(server.accept()).await.expect("the proxy comes");
    let mut preface = vec![0; PREFACE.len()];
    timely(one.read_exact(&mut preface)).await.expect("a preface");
    let only_one = [&MAX_CONCURRENT_STREAMS.to_be_bytes()[..], &1_u32.to_be_bytes()].concat();
    one.write_all(&Frame::write(SETTINGS, 0, 0, &only_one)).await.expect("sent");
    let request = next(&mut one, HEADERS).await;
    // The answer comes after the settings, so they are known by then; its end is kept back.
    one.write_all(&Frame::write(HEADERS, 4, request.stream, &[0x88])).await.expect("sent");
    one.write_all(&Frame::write(DATA, 0, request.stream, b"x")).await.expect("sent");
    let mut answer = Vec::new();
    timely(async {
        while !answer.ends_with(b"x\r\n") && first.read_buf(&mut answer).await.is_ok_and(|read| read > 0) {}
    })
    .await;
    let mut second = harness.connect("front").await;
    second.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("sent");
    let (other, _) = timely(server.accept()).await.expect("another connection");
    drop((one, other));
    harness.shutdown().await;
}
