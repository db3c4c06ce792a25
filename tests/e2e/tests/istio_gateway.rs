//! Istio's Gateways, as its samples have them, from their objects to their traffic.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use leno_e2e::{LIMIT, Mesh, Pem, Workload, WorkloadOptions, eventually, need_program, over_tls, request, subsets};

/// As in Istio's sample `bookinfo`.
const BOOKINFO: &str = "apiVersion: v1
kind: Service
metadata: { name: productpage }
spec: { selector: { app: productpage }, ports: [{ name: http, port: 9080 }] }
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: bookinfo-gateway }
spec:
  selector:
    istio: ingressgateway
  servers:
  - port: { number: 8080, name: http, protocol: HTTP }
    hosts: ['*']
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: bookinfo }
spec:
  hosts: ['*']
  gateways: [bookinfo-gateway]
  http:
  - match:
    - uri: { exact: /productpage }
    - uri: { prefix: /static }
    - uri: { prefix: /api/v1/products }
    route:
    - destination: { host: productpage, port: { number: 9080 } }
";

/// A server of the service, on port 9080.
fn http(mesh: &Mesh, service: &str, version: &str, token: &str) -> anyhow::Result<Workload> {
    let name = format!("{service}-{version}");
    mesh.run(&WorkloadOptions {
        version,
        port: Some("9080:http"),
        app: &["echo", "--name", &name],
        ..WorkloadOptions::new(service, &name, token)
    })
}

#[test]
fn the_gateway_of_bookinfo_is_served_by_the_proxy_that_it_selects() -> anyhow::Result<()> {
    let mesh = Mesh::start(BOOKINFO)?;
    let token = mesh.token(&["productpage", "istio-ingressgateway", "other"], 3)?;
    let _page = http(&mesh, "productpage", "v1", &token)?;
    let gateway = mesh.gateway("default", "istio-ingressgateway", &token)?;
    let authority = format!("{}:8080", gateway.address);
    let get = |path: &str| request(&authority, "GET", path, &[("host", "any.example")], b"");
    let answer = eventually("the gateway reaches the page", LIMIT, || {
        get("/productpage").ok().filter(|answer| answer.status == 200)
    });
    assert_eq!(answer.json()?["app"], "productpage-v1");
    assert_eq!(get("/api/v1/products/1/reviews")?.status, 200);
    assert_eq!(get("/nothing")?.status, 404);

    // One that is not selected serves nothing.
    let other = mesh.gateway("default", "other", &token)?;
    assert!(TcpStream::connect((other.address, 8080)).is_err());

    // A second object joins the same host; what takes everything does not hide it.
    mesh.write_resources(
        "more.yaml",
        "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: more }
spec:
  hosts: ['*']
  gateways: [default/bookinfo-gateway, nobody]
  http:
  - match: [{ uri: { prefix: /more } }]
    rewrite: { uri: /less }
    route: [{ destination: { host: productpage } }]
",
    )?;
    let moved = eventually("the second object", LIMIT, || get("/more/1").ok().filter(|answer| answer.status == 200));
    assert_eq!(moved.json()?["path"], "/less/1");
    let said = mesh.cli_ok(&["describe", "virtualservice", "more"])?;
    assert!(said.contains("there is no Gateway default/nobody"), "{said}");
    Ok(())
}

#[test]
fn tls_ends_at_the_gateway_as_its_servers_say() -> anyhow::Result<()> {
    if !need_program("openssl") {
        return Ok(());
    }
    let mesh = Mesh::start(BOOKINFO)?;
    let own = Pem::make(mesh.path(), "shop", "DNS:*.shop.example")?;
    let client = Pem::make(mesh.path(), "client", "DNS:client.example")?;
    let stranger = Pem::make(mesh.path(), "stranger", "DNS:client.example")?;
    let servers = "---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: shop }
spec:
  selector: { istio: ingressgateway }
  servers:
  - port: { number: 8081, name: http, protocol: HTTP }
    hosts: ['*.shop.example']
    tls: { httpsRedirect: true }
  - port: { number: 8443, name: https, protocol: HTTPS }
    hosts: [www.shop.example]
    tls: { mode: SIMPLE, credentialName: shop-key }
  - port: { number: 8443, name: https-clients, protocol: HTTPS }
    hosts: [private.shop.example]
    tls: { mode: MUTUAL, credentialName: shop-clients, subjectAltNames: [client.example] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: shop }
spec:
  hosts: [www.shop.example, private.shop.example]
  gateways: [shop]
  http: [{ route: [{ destination: { host: productpage } }] }]
";
    let secrets = [own.secret("default", "shop-key", None)?, own.secret("default", "shop-clients", Some(&client))?];
    mesh.write_resources("shop.yaml", &format!("{servers}{}", secrets.concat()))?;
    let token = mesh.token(&["productpage", "istio-ingressgateway", "thief"], 3)?;
    let _page = http(&mesh, "productpage", "v1", &token)?;
    let gateway = mesh.gateway("default", "istio-ingressgateway", &token)?;
    let secure = format!("{}:8443", gateway.address);
    let get = |name: &str, shown: Option<&Pem>| over_tls(&secure, name, shown, ("GET", "/basket"), &[]);
    let answer = eventually("HTTPS", LIMIT, || get("www.shop.example", None).ok().filter(|one| one.status == 200));
    assert_eq!(answer.json()?["app"], "productpage-v1");
    assert!(get("elsewhere.example", None).is_err(), "nobody has this name");
    assert!(get("private.shop.example", None).is_err(), "a certificate is wanted");
    assert!(get("private.shop.example", Some(&stranger)).is_err(), "nobody vouches for it");
    let known = get("private.shop.example", Some(&client))?;
    assert_eq!(known.status, 200, "{}", known.text());

    let plain = format!("{}:8081", gateway.address);
    let redirect = request(&plain, "GET", "/basket", &[("host", "www.shop.example")], b"")?;
    assert_eq!((redirect.status, redirect.header("location")), (301, Some("https://www.shop.example/basket")));

    // Whoever gives himself the label gets no key.
    let thief = mesh.gateway_with("default", "thief", &token, &["--label", "istio=ingressgateway"])?;
    let plain = format!("{}:8080", thief.address);
    eventually("the plain port is served", LIMIT, || {
        request(&plain, "GET", "/productpage", &[], b"").ok().filter(|answer| answer.status == 200)
    });
    assert!(TcpStream::connect((thief.address, 8443)).is_err());
    Ok(())
}

/// What `banner` says back.
fn echoed(address: (std::net::Ipv4Addr, u16), word: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let greeting = lines.next().transpose()?;
    anyhow::ensure!(greeting.is_some(), "it hangs up");
    stream.write_all(format!("{word}\r\n").as_bytes())?;
    lines.next().transpose()?.ok_or_else(|| anyhow::anyhow!("it hangs up"))
}

/// As in Istio's sample `tcp-echo`.
#[test]
fn connections_go_where_tcp_routes_say() -> anyhow::Result<()> {
    let mesh = Mesh::start(&format!(
        "apiVersion: v1
kind: Service
metadata: {{ name: tcp-echo }}
spec: {{ selector: {{ app: tcp-echo }}, ports: [{{ name: tcp, port: 9000 }}] }}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{ name: tcp-echo-gateway }}
spec:
  selector: {{ istio: ingressgateway }}
  servers: [{{ port: {{ number: 31400, name: tcp, protocol: TCP }}, hosts: ['*'] }}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{ name: tcp-echo }}
spec:
  hosts: ['*']
  gateways: [tcp-echo-gateway]
  tcp:
  - match: [{{ port: 31400 }}]
    route: [{{ destination: {{ host: tcp-echo, port: {{ number: 9000 }}, subset: v1 }} }}]
{}",
        subsets("tcp-echo")
    ))?;
    let token = mesh.token(&["tcp-echo", "istio-ingressgateway"], 2)?;
    let _echo = mesh.run(&WorkloadOptions {
        port: Some("9000:tcp"),
        app: &["banner"],
        ..WorkloadOptions::new("tcp-echo", "tcp-echo-v1", &token)
    })?;
    let gateway = mesh.gateway("default", "istio-ingressgateway", &token)?;
    let answer = eventually("the echo", LIMIT, || echoed((gateway.address, 31400), "world").ok());
    assert_eq!(answer, "world world");
    Ok(())
}
