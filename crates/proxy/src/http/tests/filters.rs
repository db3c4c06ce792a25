use leno_ir::{CorsPolicy, FilterOverride, HttpFilter, HttpFilterConfig, RouteFilterConfig, StringMatch};

use super::*;

/// A proxy with one filter, called `f`, and what the route says about it.
async fn filtered(address: SocketAddr, config: HttpFilterConfig, said: Option<FilterOverride>) -> Rig {
    proxy(&[address], UpstreamProtocol::Http1, |manager, forward| {
        manager.filters = vec![HttpFilter { name: "f".into(), disabled: false, config }];
        forward.clusters[0].filters.extend(said.map(|said| ("f".to_owned(), said)));
    })
    .await
}

fn cors() -> FilterOverride {
    FilterOverride::Config(RouteFilterConfig::Cors(CorsPolicy {
        allow_origins: vec![StringMatch::exact("https://a.test")],
        allow_methods: "*".into(),
        allow_credentials: Some(true),
        max_age: "9".into(),
        ..CorsPolicy::default()
    }))
}

const OK: (&str, &str) = ("\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");

#[test]
fn cors_answers_preflights_and_marks_responses() {
    run(async {
        let (address, heard) = upstream(vec![vec![OK, OK]]).await;
        let rig = filtered(address, HttpFilterConfig::Cors, Some(cors())).await;
        let mut client = TcpStream::connect(rig.address).await.expect("connects");
        let preflight = "OPTIONS /a HTTP/1.1\r\nhost: web\r\norigin: https://a.test\r\n\
                         access-control-request-method: PUT\r\n\r\n";
        let answer = ask(&mut client, preflight, "\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        for header in ["allow-origin: https://a.test", "allow-credentials: true", "allow-methods: PUT", "max-age: 9"] {
            assert!(answer.contains(&format!("access-control-{header}\r\n")), "{answer}");
        }
        assert!(heard.borrow().is_empty());
        for (origin, is_marked) in [("https://a.test", true), ("https://b.test", false)] {
            let get = format!("GET /a HTTP/1.1\r\nhost: web\r\norigin: {origin}\r\n\r\n");
            let answer = ask(&mut client, &get, "hi").await;
            assert_eq!(answer.contains("access-control-allow-origin: "), is_marked, "{answer}");
        }
    });
}

#[test]
fn a_filter_that_a_route_turns_off_does_nothing() {
    run(async {
        let (address, heard) = upstream(vec![vec![OK]]).await;
        let rig = filtered(address, HttpFilterConfig::Cors, Some(FilterOverride::Disabled)).await;
        let mut client = TcpStream::connect(rig.address).await.expect("connects");
        let preflight = "OPTIONS /a HTTP/1.1\r\nhost: web\r\norigin: https://a.test\r\n\
                         access-control-request-method: PUT\r\n\r\n";
        let answer = ask(&mut client, preflight, "hi").await;
        assert!(!answer.contains("access-control") && heard.borrow().starts_with("OPTIONS"), "{answer}");
    });
}
