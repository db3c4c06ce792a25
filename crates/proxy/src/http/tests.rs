//! The engine over real loopback sockets: a client, the proxy, an upstream that answers by script.

mod filters;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use leno_ir::{
    Cluster, Config, Direction, Discovery, Endpoint, EndpointSet, Forward, HttpConnectionManager, LocalityEndpoints,
    PathMatch, RetryOn, RetryPolicy, Route, RouteAction, RouteMatch, RouteSource, RouteTable, RouteUpgrade, Upgrade,
    UpstreamProtocol, VirtualHost,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use super::{HttpManager, serve};
use crate::connection::Connection;
use crate::drain::DrainSignal;
use crate::stream::Stream;
use crate::worker::Worker;

struct Rig {
    address: SocketAddr,
    drain: Rc<DrainSignal>,
}

/// A proxy in front of `upstreams`.
async fn proxy(
    upstreams: &[SocketAddr],
    protocol: UpstreamProtocol,
    edit: impl FnOnce(&mut HttpConnectionManager, &mut Forward),
) -> Rig {
    let endpoint = |address: &SocketAddr| Endpoint {
        weight: 1,
        health: Default::default(),
        workload: Default::default(),
        ..Endpoint::new(*address)
    };
    let endpoints = upstreams.iter().map(endpoint).collect();
    let set = EndpointSet {
        localities: vec![LocalityEndpoints { endpoints, weight: 1, ..LocalityEndpoints::default() }],
        ..EndpointSet::default()
    };
    let mut cluster = Cluster::new("c", Discovery::Static(Arc::new(set)));
    cluster.http.protocol = protocol;
    cluster.balancer = leno_ir::BalancerPolicy::RoundRobin;
    let mut config = Config::default();
    config.clusters.insert("c".to_owned(), Arc::new(cluster));
    let worker = Worker::for_tests(config);
    let mut forward = Forward::to("c");
    let mut manager = HttpConnectionManager::new("test", RouteSource::Rds(String::new()));
    edit(&mut manager, &mut forward);
    let route = |path| {
        let matches = RouteMatch { path, ..RouteMatch::any() };
        Route::new("r", matches, RouteAction::Forward(Box::new(forward.clone())))
    };
    let routes = vec![route(PathMatch::Connect), route(RouteMatch::any().path)];
    let host = VirtualHost {
        name: "v".to_owned(),
        domains: vec!["web".to_owned(), "tunnel:80".to_owned()],
        routes,
        ..Default::default()
    };
    manager.routes = RouteSource::Inline(Arc::new(RouteTable::new("t", vec![host])));
    let manager = Rc::new(HttpManager::new(&manager, "test", (&worker.stats.listener("test"), None), &worker));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound");
    let drain = Rc::new(DrainSignal::default());
    let signal = drain.clone();
    tokio::task::spawn_local(async move {
        loop {
            let (stream, remote) = listener.accept().await.expect("accepts");
            stream.set_nodelay(true).expect("a socket");
            let connection = Connection {
                id: 1,
                local: address,
                is_restored: false,
                direct_remote: ([127, 0, 0, 1], 1).into(),
                remote,
                direction: Direction::Outbound,
                listener: "l".into(),
                peer: None,
                local_identity: None,
                server_name: None,
                alpn: None,
                is_tls: false,
                mtls: false,
                shown: None,
                client_cert: String::new(),
                drain: signal.clone(),
                closed_by_client: std::cell::Cell::default(),
                rate_limiter: Default::default(),
            };
            let serving =
                serve(Stream::Plain(stream), BytesMut::new(), Rc::new(connection), manager.clone(), worker.clone());
            tokio::task::spawn_local(serving);
        }
    });
    Rig { address, drain }
}

/// An upstream whose n-th connection gets the n-th script: each step waits for the end of a request as told, then answers.
async fn upstream(scripts: Vec<Vec<(&'static str, &'static str)>>) -> (SocketAddr, Rc<std::cell::RefCell<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound");
    let heard = Rc::new(std::cell::RefCell::new(String::new()));
    let log = heard.clone();
    tokio::task::spawn_local(async move {
        for script in scripts {
            let (mut stream, _) = listener.accept().await.expect("accepts");
            let log = log.clone();
            tokio::task::spawn_local(async move {
                for (until, answer) in script {
                    let request = read_until(&mut stream, until).await;
                    log.borrow_mut().push_str(&request);
                    if !answer.is_empty() {
                        stream.write_all(answer.as_bytes()).await.expect("writes");
                    }
                }
            });
        }
        std::future::pending::<()>().await;
    });
    (address, heard)
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.ends_with(end) {
        let count = stream.read(&mut buffer).await.unwrap_or(0);
        if count == 0 {
            break;
        }
        text.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    text
}

async fn ask(stream: &mut TcpStream, request: &str, end: &str) -> String {
    stream.write_all(request.as_bytes()).await.expect("writes");
    read_until(stream, end).await
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let bounded = async { tokio::time::timeout(Duration::from_secs(10), test).await.expect("in time") };
    runtime.block_on(LocalSet::new().run_until(bounded));
}

const GET: &str = "GET /a HTTP/1.1\r\nHost: web\r\n\r\n";

#[test]
fn requests_follow_each_other_on_one_connection_each_side() {
    run(async {
        let answer = ("\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nserver: app\r\n\r\nhi");
        let (address, heard) = upstream(vec![vec![answer, answer]]).await;
        let rig = proxy(&[address], UpstreamProtocol::SameAsDownstream, |_, _| {}).await;
        let mut client = TcpStream::connect(rig.address).await.expect("connects");
        for _ in 0..2 {
            let response = ask(&mut client, GET, "hi").await;
            assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
            assert!(response.contains("server: app\r\n") && response.contains("x-envoy-upstream-service-time: "));
        }
        let heard = heard.borrow();
        assert!(heard.starts_with("GET /a HTTP/1.1\r\nHost: web\r\nx-request-id: "), "{heard}");
    });
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    run(async {
        let script = vec![
            ("\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1"),
            ("\r\n\r\n", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n2\r\n0\r\nx-t: 1\r\n\r\n"),
        ];
        let (address, _) = upstream(vec![script]).await;
        let rig = proxy(&[address], UpstreamProtocol::Http1, |_, _| {}).await;
        let mut client = TcpStream::connect(rig.address).await.expect("connects");
        let response = ask(&mut client, &GET.repeat(2), "x-t: 1\r\n\r\n").await;
        let bodies = response.find("\r\n\r\n1HTTP/1.1 200").zip(response.find("\r\n\r\n1\r\n2\r\n0\r\n"));
        assert!(bodies.is_some(), "{response}");
    });
}

#[test]
fn bad_requests_are_answered_once_and_never_forwarded() {
    run(async {
        let (address, heard) = upstream(vec![]).await;
        let rig =
            proxy(&[address], UpstreamProtocol::Http1, |manager, _| manager.max_request_headers_bytes = 512).await;
        let large = format!("GET / HTTP/1.1\r\nHost: web\r\nX: {}\r\n\r\n", "a".repeat(600));
        for (request, status) in [
            ("GET / HTTP/1.1\r\n\r\n", "400"),
            ("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "400"),
            ("GET / HTTP/1.1\nHost: web\n\n", "400"),
            (large.as_str(), "431"),
            ("GET / HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n", "404"),
        ] {
            let mut client = TcpStream::connect(rig.address).await.expect("connects");
            let response = ask(&mut client, request, "never").await;
            assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {response}");
            assert!(response.contains("connection: close\r\n"), "{response}");
        }
        assert!(heard.borrow().is_empty());
    });
}

#[test]
fn a_failed_connection_is_tried_elsewhere_and_a_stale_one_replaced() {
    run(async {
        let dead = TcpListener::bind("127.0.0.1:0").await.expect("loopback").local_addr().expect("bound");
        let answer = ("\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
        // The first connection closes when it gets its second request: stale.
        let (address, _) = upstream(vec![vec![answer, ("\r\n\r\n", "")], vec![answer]]).await;
        let rig = proxy(&[dead, address], UpstreamProtocol::Http1, |_, forward| {
            forward.retry = Some(RetryPolicy {
                on: vec![RetryOn::ConnectFailure],
                attempts: 2,
                back_off_base: Duration::from_millis(1),
                back_off_max: Duration::from_millis(2),
                avoid_previous_hosts: true,
                retry_non_idempotent: false,
                ..RetryPolicy::default()
            });
        })
        .await;
        let mut client = TcpStream::connect(rig.address).await.expect("connects");
        for _ in 0..2 {
            let response = ask(&mut client, GET, "hi").await;
            assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        }
    });
}

#[test]
fn a_body_is_sent_again_to_the_next_try() {
    run(async {
        let bad = vec![("hello", "HTTP/1.1 503 No\r\ncontent-length: 3\r\n\r\nbad")];
        let good = vec![("hello", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")];
        let (address, heard) = upstream(vec![bad, good]).await;
        let rig = proxy(&[address], UpstreamProtocol::Http1, |_, forward| {
            forward.retry = Some(RetryPolicy {
                on: vec![RetryOn::FiveXx],
                attempts: 1,
                back_off_base: Duration::from_millis(1),
                back_off_max: Duration::from_millis(2),
                avoid_previous_hosts: true,
                ..RetryPolicy::default()
            });
        })
        .await;
        let mut client = TcpStream::connect(rig.address).await.expect("connects");
        let response = ask(&mut client, "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\n\r\nhello", "hi").await;
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        assert_eq!(heard.borrow().matches("hello").count(), 2);
    });
}

#[test]
fn a_try_is_numbered_and_told_how_long_it_has() {
    run(async {
        let bad = ("\r\n\r\n", "HTTP/1.1 503 No\r\nretry-after: 0\r\ncontent-length: 3\r\n\r\nbad");
        let good = ("\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
        let (address, heard) = upstream(vec![vec![bad], vec![good]]).await;
        let rig = proxy(&[address], UpstreamProtocol::Http1, |_, forward| {
            forward.timeout = Some(Duration::from_secs(9));
            let back_off_base = Duration::from_millis(1);
            let on = vec![RetryOn::FiveXx];
            forward.retry = Some(RetryPolicy { on, back_off_base, ..RetryPolicy::default() });
        })
        .await;
        let mut client = TcpStream::connect(rig.address).await.expect("connects");
        let wish =
            "GET /a HTTP/1.1\r\nHost: web\r\nx-envoy-max-retries: 0\r\nX-Envoy-Upstream-Rq-Timeout-Ms: 1\r\n\r\n";
        let response = ask(&mut client, wish, "hi").await;
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "what strangers wish does not count: {response}");
        let heard = heard.borrow();
        assert!(heard.contains("x-envoy-expected-rq-timeout-ms: 9000\r\n"), "{heard}");
        assert!(
            !heard.contains("x-envoy-max-retries") && !heard.to_lowercase().contains("rq-timeout-ms: 1\r"),
            "{heard}"
        );
    });
}

#[test]
fn failures_have_their_status() {
    run(async {
        let (silent, _) = upstream(vec![vec![("never", "")]]).await;
        let rig =
            proxy(&[silent], UpstreamProtocol::Http1, |_, forward| forward.timeout = Some(Duration::from_millis(20)))
                .await;
        let mut client = TcpStream::connect(rig.address).await.expect("connects");
        let response = ask(&mut client, GET, "timeout").await;
        assert!(response.starts_with("HTTP/1.1 504 ") && response.ends_with("upstream request timeout"), "{response}");

        let (broken, _) = upstream(vec![vec![("\r\n\r\n", "HTTP/1.1 200 OK\r\nX : y\r\n\r\n")]]).await;
        let rig = proxy(&[broken], UpstreamProtocol::Http1, |_, _| {}).await;
        let mut client = TcpStream::connect(rig.address).await.expect("connects");
        let response = ask(&mut client, GET, "protocol error").await;
        assert!(response.starts_with("HTTP/1.1 502 ") && response.contains("server: leno\r\n"), "{response}");

        let rig = proxy(&[], UpstreamProtocol::Http1, |_, _| {}).await;
        let mut client = TcpStream::connect(rig.address).await.expect("connects");
        let response = ask(&mut client, GET, "no healthy upstream").await;
        assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    });
}

#[test]
fn a_head_that_does_not_end_is_answered_408() {
    run(async {
        let rig = proxy(&[], UpstreamProtocol::Http1, |manager, _| {
            manager.request_headers_timeout = Some(Duration::from_millis(20));
        })
        .await;
        let mut client = TcpStream::connect(rig.address).await.expect("connects");
        let response = ask(&mut client, "GET / HTTP/1.1\r\nHost", "never").await;
        assert!(response.starts_with("HTTP/1.1 408 "), "{response}");
    });
}

#[test]
fn an_upgrade_and_a_connect_become_tunnels() {
    run(async {
        let script = vec![
            (
                "\r\n\r\n",
                "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nwelcome",
            ),
            ("ping", "pong"),
        ];
        let (address, heard) = upstream(vec![script, vec![("ping", "pong")]]).await;
        let rig = proxy(&[address], UpstreamProtocol::Http1, |manager, forward| {
            manager.upgrades.push(Upgrade::new("connect"));
            forward.upgrades.push(RouteUpgrade::connect());
        })
        .await;
        let mut client = TcpStream::connect(rig.address).await.expect("connects");
        let upgrade = "GET / HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        let response = ask(&mut client, upgrade, "welcome").await;
        assert!(response.starts_with("HTTP/1.1 101 ") && response.contains("upgrade: websocket\r\n"), "{response}");
        assert_eq!(ask(&mut client, "ping", "pong").await, "pong");
        assert!(heard.borrow().contains("upgrade: websocket\r\n"));

        let mut client = TcpStream::connect(rig.address).await.expect("connects");
        let response = ask(&mut client, "CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\n\r\n", "\r\n\r\n").await;
        assert!(response.starts_with("HTTP/1.1 404 "), "web:80 is no domain of the table: {response}");
        let mut client = TcpStream::connect(rig.address).await.expect("connects");
        let response = ask(&mut client, "CONNECT tunnel:80 HTTP/1.1\r\nHost: web:80\r\n\r\n", "\r\n\r\n").await;
        assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
        assert_eq!(ask(&mut client, "ping", "pong").await, "pong");
    });
}

#[test]
fn drain_ends_idle_connections_soon_and_others_after_their_response() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("bound");
        let heard = Rc::new(std::cell::RefCell::new(String::new()));
        let log = heard.clone();
        let (answer, may_answer) = tokio::sync::oneshot::channel::<()>();
        tokio::task::spawn_local(async move {
            let (mut stream, _) = listener.accept().await.expect("accepts");
            let request = read_until(&mut stream, "\r\n\r\n").await;
            log.borrow_mut().push_str(&request);
            may_answer.await.expect("told");
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await.expect("writes");
        });
        let rig = proxy(&[address], UpstreamProtocol::Http1, |_, _| {}).await;
        let mut idle = TcpStream::connect(rig.address).await.expect("connects");
        let mut busy = TcpStream::connect(rig.address).await.expect("connects");
        busy.write_all(GET.as_bytes()).await.expect("writes");
        while heard.borrow().is_empty() {
            tokio::task::yield_now().await;
        }
        rig.drain.start();
        assert_eq!(read_until(&mut idle, "never").await, "");
        answer.send(()).expect("the upstream waits");
        let response = read_until(&mut busy, "never").await;
        assert!(response.contains("connection: close\r\n") && response.ends_with("hi"), "{response}");
    });
}

#[test]
fn a_request_that_was_on_its_way_when_the_drain_began_is_answered() {
    run(async {
        let answer = ("\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
        let (address, _) = upstream(vec![vec![answer, answer]]).await;
        let rig = proxy(&[address], UpstreamProtocol::Http1, |_, _| {}).await;
        let mut client = TcpStream::connect(rig.address).await.expect("connects");
        client.write_all(GET.as_bytes()).await.expect("writes");
        let first = read_until(&mut client, "hi").await;
        assert!(!first.contains("connection: close"), "{first}");
        rig.drain.start();
        // The connection hears of the drain before it hears of the request.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        client.write_all(GET.as_bytes()).await.expect("writes");
        let second = read_until(&mut client, "never").await;
        assert!(second.contains("connection: close\r\n") && second.ends_with("hi"), "{second}");
    });
}

async fn http2_client(address: SocketAddr) -> h2::client::SendRequest<Bytes> {
    let stream = TcpStream::connect(address).await.expect("connects");
    stream.set_nodelay(true).expect("a socket");
    let (sender, connection) = h2::client::handshake(stream).await.expect("http/2");
    tokio::task::spawn_local(async move { drop(connection.await) });
    sender.ready().await.expect("ready")
}

#[test]
fn http2_reaches_http1_and_gets_grpc_statuses_for_our_own_replies() {
    run(async {
        let answer = (
            "hello\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-t: 1\r\n\r\n",
        );
        let (address, _) = upstream(vec![vec![answer]]).await;
        let rig = proxy(&[address], UpstreamProtocol::Http1, |_, _| {}).await;
        let mut sender = http2_client(rig.address).await;
        let request = http::Request::post("http://web/x").body(()).expect("a request");
        let (response, mut body) = sender.send_request(request, false).expect("sends");
        body.send_data(Bytes::from_static(b"hello"), true).expect("sends");
        let (head, mut body) = response.await.expect("a response").into_parts();
        assert_eq!(head.status, 200);
        assert_eq!(body.data().await.expect("data").expect("data"), "hi");
        let trailers = body.trailers().await.expect("trailers").expect("trailers");
        assert_eq!(trailers.get("x-t").expect("there"), "1");

        let rig = proxy(&[], UpstreamProtocol::Http2, |_, _| {}).await;
        let mut sender = http2_client(rig.address).await;
        let request =
            http::Request::post("http://web/x").header("content-type", "application/grpc").body(()).expect("a request");
        let (response, _body) = sender.send_request(request, true).expect("sends");
        let head = response.await.expect("a response");
        assert_eq!((head.status().as_u16(), head.headers()["grpc-status"].as_bytes()), (200, &b"14"[..]));
        assert!(head.body().is_end_stream());
    });
}

/// A reset takes back what is not written yet, so it must not overtake the response (RFC 9113 §8.1).
#[test]
fn http2_gets_an_answer_that_is_earlier_than_the_end_of_its_request() {
    run(async {
        let rig = proxy(&[], UpstreamProtocol::Http2, |_, _| {}).await;
        let mut sender = http2_client(rig.address).await;
        for kind in ["application/grpc", "text/plain"] {
            for ends in [true, false] {
                let request = http::Request::post("http://web/x").header("content-type", kind).body(());
                let (response, mut body) = sender.send_request(request.expect("a request"), false).expect("sends");
                body.send_data(Bytes::from_static(b"hello"), ends).expect("sends");
                let (head, mut rest) = response.await.expect("a response").into_parts();
                if kind == "text/plain" {
                    assert_eq!(head.status, 503);
                    assert_eq!(rest.data().await.expect("data").expect("data"), "no healthy upstream");
                } else {
                    assert_eq!((head.status.as_u16(), head.headers["grpc-status"].as_bytes()), (200, &b"14"[..]));
                }
                if !ends {
                    let reason = std::future::poll_fn(|cx| body.poll_reset(cx)).await.expect("a reset");
                    assert_eq!(reason, h2::Reason::NO_ERROR, "the rest is not wanted");
                }
            }
        }
    });
}

/// An HTTP/2 upstream: echoes the body with a trailer; resets what asks for `/reset`.
async fn http2_upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound");
    tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).expect("a socket");
            tokio::task::spawn_local(async move {
                let mut connection = h2::server::handshake(stream).await.expect("http/2");
                while let Some(Ok((request, mut responder))) = connection.accept().await {
                    if request.uri().path() == "/reset" {
                        responder.send_reset(h2::Reason::ENHANCE_YOUR_CALM);
                        continue;
                    }
                    tokio::task::spawn_local(echo(request, responder));
                }
            });
        }
    });
    address
}

async fn echo(request: http::Request<h2::RecvStream>, mut responder: h2::server::SendResponse<Bytes>) {
    let mut body = request.into_body();
    let mut sender = responder.send_response(http::Response::new(()), false).expect("sends");
    while let Some(Ok(data)) = body.data().await {
        let _ = body.flow_control().release_capacity(data.len());
        let mut data = data;
        while !data.is_empty() {
            sender.reserve_capacity(data.len());
            let Some(Ok(room)) = std::future::poll_fn(|cx| sender.poll_capacity(cx)).await else { return };
            sender.send_data(data.split_to(room.min(data.len())), false).expect("sends");
        }
    }
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    sender.send_trailers(trailers).expect("sends");
}

#[test]
fn http1_and_http2_reach_http2_with_bodies_larger_than_every_window() {
    run(async {
        let address = http2_upstream().await;
        let rig = proxy(&[address], UpstreamProtocol::Http2, |_, _| {}).await;
        let mut sender = http2_client(rig.address).await;
        let request = http::Request::post("http://web/x").body(()).expect("a request");
        let (response, mut body) = sender.send_request(request, false).expect("sends");
        const SIZE: usize = 3 << 20;
        tokio::task::spawn_local(async move {
            let mut data = Bytes::from(vec![7; SIZE]);
            while !data.is_empty() {
                body.reserve_capacity(data.len());
                let Some(Ok(room)) = std::future::poll_fn(|cx| body.poll_capacity(cx)).await else { return };
                let piece = data.split_to(room.min(data.len()));
                body.send_data(piece, data.is_empty()).expect("sends");
            }
        });
        let mut body = response.await.expect("a response").into_body();
        let mut size = 0;
        while let Some(data) = body.data().await {
            let data = data.expect("data");
            size += data.len();
            let _ = body.flow_control().release_capacity(data.len());
        }
        assert_eq!(size, SIZE);
        assert!(body.trailers().await.expect("trailers").is_some());

        let mut client = TcpStream::connect(rig.address).await.expect("connects");
        let request = "POST / HTTP/1.1\r\nHost: web\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(ask(&mut client, request, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
        let response = ask(&mut client, "hello", "grpc-status: 0\r\n\r\n").await;
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n") && response.contains("5\r\nhello\r\n0\r\n"), "{response}");

        let response = ask(&mut client, &GET.replace("/a", "/reset"), "remote reset").await;
        assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    });
}
