//! Listeners, TCP, detection, mutual TLS and drain of a running proxy, over loopback.

mod net {
    pub(crate) mod certificates;
    pub(crate) mod harness;
    mod http2_settings;
    mod reload;
}

use std::net::SocketAddr;
use std::time::Duration;

use leno_ir::{BalancerPolicy, CidrRange, HttpCodec, NetworkFilter, StringMatch, UpstreamProtocol};
use leno_proxy::ResourceType;
use net::certificates::Authority;
use net::harness::{
    Harness, Upstream, cluster, config, detecting_listener, http_listener, mtls_cluster, of_codec, read_all,
    tcp_listener, timely, with_server_tls,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn bytes_flow_both_ways_and_a_half_closed_side_stays_open() {
    let harness = Harness::start();
    // Says how much it got only after the client has ended its side.
    let upstream = Upstream::start(|mut stream| async move {
        let sent = read_all(&mut stream).await;
        stream.write_all(format!("got {}", sent.len()).as_bytes()).await.expect("client reads");
    })
    .await;
    harness.apply(config([tcp_listener("tcp", "app")], [cluster("app", [upstream.address])])).await;
    let mut client = harness.connect("tcp").await;
    client.write_all(&vec![7; 1_000_000]).await.expect("proxy reads");
    client.shutdown().await.expect("half-close");
    assert_eq!(read_all(&mut client).await, b"got 1000000");
    harness.shutdown().await;
}

#[tokio::test]
async fn listeners_come_and_go_while_connections_live_on() {
    let harness = Harness::start();
    let echo = Upstream::echo().await;
    harness.apply(config([tcp_listener("a", "app")], [cluster("app", [echo.address])])).await;
    let mut client = harness.connect("a").await;
    echo_once(&mut client, b"one").await;
    let a = harness.address("a").await;

    harness.apply(config([tcp_listener("b", "app")], [cluster("app", [echo.address])])).await;
    echo_once(&mut client, b"two").await;
    echo_once(&mut harness.connect("b").await, b"three").await;
    assert!(TcpStream::connect(a).await.is_err(), "the removed listener still accepts");
    drop(client);
    harness.shutdown().await;
}

#[tokio::test]
async fn a_listener_that_cannot_bind_is_rejected_by_name_and_the_rest_runs() {
    let harness = Harness::start();
    let echo = Upstream::echo().await;
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let mut blocked = tcp_listener("blocked", "app");
    blocked.address = taken.local_addr().expect("bound");
    let rejections = harness
        .proxy
        .apply(config([tcp_listener("fine", "app"), blocked], [cluster("app", [echo.address])]).into())
        .await;
    assert_eq!(rejections.len(), 1);
    assert_eq!((rejections[0].resource_type, rejections[0].name.as_str()), (ResourceType::Listener, "blocked"));
    echo_once(&mut harness.connect("fine").await, b"x").await;
    assert!(harness.proxy.config().listeners.keys().eq(["fine"]));
    harness.shutdown().await;
}

#[tokio::test]
async fn the_last_good_listener_stays_when_its_new_address_is_taken() {
    let harness = Harness::start();
    let echo = Upstream::echo().await;
    let clusters = || [cluster("app", [echo.address])];
    harness.apply(config([tcp_listener("l", "app")], clusters())).await;
    let before = harness.address("l").await;
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let mut moved = tcp_listener("l", "app");
    moved.address = taken.local_addr().expect("bound");
    assert_eq!(harness.proxy.apply(config([moved], clusters()).into()).await.len(), 1);
    assert_eq!(harness.address("l").await, before);
    echo_once(&mut harness.connect("l").await, b"still here").await;
    harness.shutdown().await;
}

#[tokio::test]
async fn another_endpoint_is_tried_when_one_refuses() {
    let harness = Harness::start();
    let echo = Upstream::echo().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("bound");
    harness.apply(config([tcp_listener("tcp", "app")], [cluster("app", [closed, echo.address])])).await;
    for _ in 0..20 {
        echo_once(&mut harness.connect("tcp").await, b"x").await;
    }
    harness.shutdown().await;
}

#[tokio::test]
async fn connections_from_one_address_go_to_one_endpoint_where_that_is_wanted() {
    let harness = Harness::start();
    let upstreams = [Upstream::echo().await, Upstream::echo().await, Upstream::echo().await];
    let mut hashed = cluster("app", upstreams.each_ref().map(|upstream| upstream.address));
    hashed.balancer = BalancerPolicy::Maglev { table_size: BalancerPolicy::MAGLEV_TABLE_SIZE };
    let mut by_source = tcp_listener("by-source", "app");
    if let NetworkFilter::Tcp(proxy) = &mut by_source.filter_chains[0].filter {
        proxy.hash_source_ip = true;
    }
    harness.apply(config([by_source, tcp_listener("by-chance", "app")], [hashed])).await;
    let used = || upstreams.iter().filter(|upstream| upstream.connections() > 0).count();
    for _ in 0..20 {
        echo_once(&mut harness.connect("by-source").await, b"x").await;
    }
    assert_eq!(used(), 1);
    for _ in 0..40 {
        echo_once(&mut harness.connect("by-chance").await, b"x").await;
    }
    assert_eq!(used(), 3);
    harness.shutdown().await;
}

#[tokio::test]
async fn a_server_that_speaks_first_is_heard_although_the_port_may_be_http() {
    let harness = Harness::start();
    let greeter = Upstream::start(|mut stream| async move {
        stream.write_all(b"220 hello\r\n").await.expect("client reads");
        let said = read_all(&mut stream).await;
        stream.write_all(&said).await.expect("client reads");
    })
    .await;
    harness.apply(config([detecting_listener("auto", "app", "app")], [cluster("app", [greeter.address])])).await;
    let mut client = harness.connect("auto").await;
    let mut greeting = [0; 11];
    timely(client.read_exact(&mut greeting)).await.expect("greeted without saying a word");
    assert_eq!(&greeting, b"220 hello\r\n");
    client.write_all(b"QUIT\r\n").await.expect("proxy reads");
    client.shutdown().await.expect("half-close");
    assert_eq!(read_all(&mut client).await, b"QUIT\r\n");
    harness.shutdown().await;
}

#[tokio::test]
async fn a_client_that_speaks_something_else_first_gets_tcp() {
    let harness = Harness::start();
    let echo = Upstream::echo().await;
    harness.apply(config([detecting_listener("auto", "app", "app")], [cluster("app", [echo.address])])).await;
    let mut client = harness.connect("auto").await;
    echo_once(&mut client, b"*1\r\n$4\r\nPING\r\n").await;
    harness.shutdown().await;
}

#[tokio::test]
async fn two_proxies_speak_mutual_tls_and_the_wrong_service_is_refused() {
    let authority = Authority::new();
    let server = Harness::with_identity(authority.identity("reviews"));
    let client = Harness::with_identity(authority.identity("web"));
    let echo = Upstream::echo().await;
    let inbound = with_server_tls(tcp_listener("inbound", "app"));
    server.apply(config([inbound], [cluster("app", [echo.address])])).await;
    let peer = server.address("inbound").await;
    let expecting = |account: &str| {
        let id = format!("spiffe://cluster.local/ns/default/sa/{account}");
        mtls_cluster(account, [peer], vec![StringMatch::exact(id)])
    };
    let listeners = [tcp_listener("right", "reviews"), tcp_listener("wrong", "ratings")];
    client.apply(config(listeners, [expecting("reviews"), expecting("ratings")])).await;
    echo_once(&mut client.connect("right").await, b"hello").await;
    let mut wrong = client.connect("wrong").await;
    // The proxy hears the end of the client's side and closes; no byte reaches the wrong service.
    let _ = wrong.write_all(b"secret").await;
    let mut answer = Vec::new();
    let _ = timely(wrong.read_to_end(&mut answer)).await;
    assert_eq!(answer, b"");
    assert_eq!(echo.connections(), 1);
    client.shutdown().await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_client_of_another_trust_is_refused() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let server = Harness::with_identity(ours.identity("reviews"));
    let client = Harness::with_identity(theirs.identity("web"));
    let echo = Upstream::echo().await;
    server.apply(config([with_server_tls(tcp_listener("inbound", "app"))], [cluster("app", [echo.address])])).await;
    let peer = server.address("inbound").await;
    client.apply(config([tcp_listener("out", "reviews")], [mtls_cluster("reviews", [peer], Vec::new())])).await;
    let mut stream = client.connect("out").await;
    let _ = stream.write_all(b"secret").await;
    let _ = timely(stream.read_to_end(&mut Vec::new())).await;
    assert_eq!(echo.connections(), 0);
    client.shutdown().await;
    server.shutdown().await;
}

#[tokio::test]
async fn drain_waits_for_connections_under_way_and_refuses_new_ones() {
    let harness = Harness::start();
    let echo = Upstream::echo().await;
    harness.apply(config([tcp_listener("tcp", "app")], [cluster("app", [echo.address])])).await;
    let address = harness.address("tcp").await;
    let mut client = harness.connect("tcp").await;
    echo_once(&mut client, b"before").await;
    let (all_finished, ()) = tokio::join!(timely(harness.proxy.drain(Duration::from_secs(30))), async {
        until_refused(address).await;
        echo_once(&mut client, b"after").await;
        drop(client);
    });
    assert!(all_finished);
    harness.proxy.stop().await;
}

#[tokio::test]
async fn drain_ends_at_the_deadline() {
    let harness = Harness::start();
    let echo = Upstream::echo().await;
    harness.apply(config([tcp_listener("tcp", "app")], [cluster("app", [echo.address])])).await;
    let mut client = harness.connect("tcp").await;
    echo_once(&mut client, b"x").await;
    assert!(!timely(harness.proxy.shutdown(Duration::from_millis(50))).await);
    let _ = timely(client.read_to_end(&mut Vec::new())).await;
}

#[tokio::test]
async fn a_new_endpoint_set_takes_effect_at_once() {
    let harness = Harness::start();
    let (first, second) = (Upstream::echo().await, Upstream::echo().await);
    harness.apply(config([tcp_listener("tcp", "app")], [cluster("app", [first.address])])).await;
    echo_once(&mut harness.connect("tcp").await, b"x").await;
    harness.apply(config([tcp_listener("tcp", "app")], [cluster("app", [second.address])])).await;
    echo_once(&mut harness.connect("tcp").await, b"x").await;
    assert_eq!((first.connections(), second.connections()), (1, 1));
    harness.shutdown().await;
}

#[tokio::test]
async fn a_cluster_without_endpoints_closes_the_connection() {
    let harness = Harness::start();
    let listeners = [tcp_listener("unknown", "gone"), tcp_listener("known", "empty")];
    harness.apply(config(listeners, [cluster("empty", [])])).await;
    for name in ["unknown", "known"] {
        assert_eq!(read_all(&mut harness.connect(name).await).await, b"");
    }
    harness.shutdown().await;
}

async fn echo_once(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).await.expect("proxy reads");
    let mut back = vec![0; bytes.len()];
    timely(stream.read_exact(&mut back)).await.expect("echoed");
    assert_eq!(back, bytes);
}

async fn until_refused(address: SocketAddr) {
    timely(async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn pooled_connections_survive_a_configuration_that_does_not_touch_their_cluster() {
    let harness = Harness::single();
    let app = Upstream::http("ok").await;
    let clusters = |other| [cluster("app", [app.address]), cluster("other", [other])];
    harness.apply(config([http_listener("web", "app")], clusters(app.address))).await;
    assert_eq!(get(&mut harness.connect("web").await).await, "ok");
    let elsewhere = ([127, 0, 0, 1], 9).into();
    let listeners = [http_listener("web", "app"), tcp_listener("more", "other")];
    harness.apply(config(listeners, clusters(elsewhere))).await;
    assert_eq!(get(&mut harness.connect("web").await).await, "ok");
    assert_eq!(app.connections(), 1, "the second request should have used the first one's connection");
    harness.shutdown().await;
}

#[tokio::test]
async fn a_changed_filter_chain_ends_its_own_connections_and_no_others() {
    let (harness, upstream) = (Harness::single(), Upstream::http("hello").await);
    let by_port = |wait: u64| {
        let mut listener = http_listener("chains", "app");
        let mut other = listener.filter_chains[0].clone();
        other.name = "other".to_owned();
        other.matches.source_prefix_ranges = vec![CidrRange::new([127, 0, 0, 2].into(), 32).expect("short enough")];
        if let NetworkFilter::Http(manager) = &mut other.filter {
            manager.idle_timeout = Some(Duration::from_secs(wait));
        }
        listener.filter_chains.push(other);
        config([listener], [cluster("app", [upstream.address])])
    };
    harness.apply(by_port(100)).await;
    let address = harness.address("chains").await;
    let from = |ip: [u8; 4]| async move {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind((ip, 0).into()).expect("a loopback address");
        socket.connect(address).await.expect("connects")
    };
    let (mut same, mut changed) = (from([127, 0, 0, 1]).await, from([127, 0, 0, 2]).await);
    for client in [&mut same, &mut changed] {
        assert_eq!(get(client).await, "hello");
    }
    harness.apply(by_port(200)).await;
    assert_eq!(read_all(&mut changed).await, b"", "its chain has changed");
    assert_eq!(get(&mut same).await, "hello", "its chain has not");
    assert_eq!(get(&mut from([127, 0, 0, 2]).await).await, "hello");
    harness.shutdown().await;
}

#[tokio::test]
async fn a_removed_endpoint_gets_no_request_although_its_connection_is_pooled() {
    let harness = Harness::single();
    let (old, new) = (Upstream::http("old").await, Upstream::http("new").await);
    harness.apply(config([http_listener("web", "app")], [cluster("app", [old.address])])).await;
    let mut client = harness.connect("web").await;
    assert_eq!(get(&mut client).await, "old");
    harness.apply(config([http_listener("web", "app")], [cluster("app", [new.address])])).await;
    assert_eq!(get(&mut client).await, "new");
    harness.shutdown().await;
}

#[tokio::test]
async fn http_and_tcp_share_a_port_and_a_peer_over_mutual_tls() {
    let authority = Authority::new();
    let server = Harness::with_identity(authority.identity("reviews"));
    let client = Harness::with_identity(authority.identity("web"));
    let app = Upstream::http("over mutual tls").await;
    let inbound = with_server_tls(detecting_listener("inbound", "app", "app"));
    server.apply(config([inbound], [cluster("app", [app.address])])).await;
    let peer = server.address("inbound").await;
    let outbound = detecting_listener("outbound", "reviews", "reviews");
    client.apply(config([outbound], [mtls_cluster("reviews", [peer], Vec::new())])).await;
    assert_eq!(get(&mut client.connect("outbound").await).await, "over mutual tls");
    client.shutdown().await;
    server.shutdown().await;
}

#[tokio::test]
async fn drain_lets_a_request_under_way_finish_and_then_closes() {
    let harness = Harness::start();
    let (release, held) = tokio::sync::watch::channel(false);
    let app = Upstream::start(move |mut stream| {
        let mut held = held.clone();
        async move {
            let mut head = [0; 1024];
            let _ = stream.read(&mut head).await;
            let _ = held.wait_for(|free| *free).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone").await;
            let _ = stream.read(&mut head).await;
        }
    })
    .await;
    harness.apply(config([http_listener("web", "app")], [cluster("app", [app.address])])).await;
    let address = harness.address("web").await;
    let mut client = harness.connect("web").await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: app\r\n\r\n").await.expect("proxy reads");
    timely(async {
        while app.connections() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (all_finished, answer) = tokio::join!(timely(harness.proxy.drain(Duration::from_secs(30))), async {
        until_refused(address).await;
        release.send_replace(true);
        String::from_utf8(read_all(&mut client).await).expect("text")
    });
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
    assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
    assert!(all_finished);
    harness.proxy.stop().await;
}

#[tokio::test]
async fn the_resolver_answers_names_of_listeners_and_survives_garbage() {
    let block = leno_proxy::claim_block(None, 40, &[]).expect("a free block");
    let address = block.dns_address();
    let harness = Harness::with_dns(block);
    let mut listener = tcp_listener("outbound|80||web.shop.svc.cluster.local", "app");
    let (echo, vip) = (Upstream::echo().await, address.ip());
    listener.address = (vip, 0).into();
    harness.apply(config([listener], [cluster("app", [echo.address])])).await;
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    socket.connect(address).await.expect("loopback");
    socket.send(&[0xff; 40]).await.expect("sent");
    for (name, code, answers) in
        [("web.shop", 0, 1), ("web", 0, 1), ("WEB.shop.svc.cluster.local", 0, 1), ("example.com", 5, 0)]
    {
        let answer = ask(&socket, name).await;
        assert_eq!((answer[3] & 0xf, answer[7]), (code, answers), "{name}");
        assert!(answers == 0 || answer.ends_with(&[127, vip_byte(vip), 0, 1]), "{name}");
    }
    harness.shutdown().await;
}

fn vip_byte(address: std::net::IpAddr) -> u8 {
    match address {
        std::net::IpAddr::V4(address) => address.octets()[1],
        std::net::IpAddr::V6(_) => 0,
    }
}

/// Asks for the A records of `name`.
async fn ask(socket: &tokio::net::UdpSocket, name: &str) -> Vec<u8> {
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(label.len() as u8);
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1]);
    socket.send(&query).await.expect("sent");
    let mut answer = vec![0; 512];
    let length = timely(socket.recv(&mut answer)).await.expect("answered");
    answer.truncate(length);
    answer
}

/// One request on a connection that is kept; gives the body.
async fn get(stream: &mut TcpStream) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: app\r\n\r\n").await.expect("proxy reads");
    let mut bytes = Vec::new();
    let body = timely(async {
        loop {
            assert!(stream.read_buf(&mut bytes).await.expect("answered") > 0, "closed: {}", bytes.escape_ascii());
            let text = String::from_utf8_lossy(&bytes).to_lowercase();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
            if length == Some(body.len()) {
                return body.to_owned();
            }
        }
    });
    body.await
}

/// `tests/e2e/tests/h2spec.rs` does the same with a sidecar, whose ports serve HTTP/1 as well.
#[tokio::test(flavor = "multi_thread")]
async fn all_cases_of_h2spec_pass_on_a_listener_of_http2_alone() {
    let Some(h2spec) = std::env::var_os("LENO_H2SPEC") else {
        assert!(std::env::var("CI").map_or(true, |ci| ci != "true"), "LENO_H2SPEC is not set: a tool is missing");
        eprintln!("DID NOT RUN: LENO_H2SPEC is not set");
        return;
    };
    let harness = Harness::start();
    // An answer before the end of the request would hide what is wrong with the rest.
    let upstream = Upstream::patient("hello").await;
    let mut app = cluster("app", [upstream.address]);
    app.http.protocol = UpstreamProtocol::Http1;
    harness.apply(config([of_codec(http_listener("http2", "app"), HttpCodec::Http2)], [app])).await;
    let port = harness.address("http2").await.port().to_string();
    let run = move || {
        let sections = ["generic", "http2", "hpack", "--strict", "--timeout", "5", "--port", &port];
        std::process::Command::new(h2spec).args(sections).output()
    };
    let report = tokio::task::spawn_blocking(run).await.expect("joins").expect("h2spec runs");
    let text = String::from_utf8_lossy(&report.stdout);
    assert!(text.contains("146 tests, 146 passed, 0 skipped, 0 failed"), "{text}");
    harness.shutdown().await;
}
