//! Every row of the table of goals.

use super::peers::Kind::{Direct, Envoy, EnvoyHttp2, Floor, Haproxy, Leno, LenoHttp2, LenoStatic};
use super::scenario::Goal::{AtMost, Times};
use super::scenario::{CPU, Figure, Load, Scenario, Shape, Work};
use super::trials;

pub(crate) fn all() -> Vec<Scenario> {
    let mut all = http();
    all.extend(mesh());
    all.extend(connections());
    all.extend(trials());
    all
}

fn http() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "http1",
            about: "HTTP/1.1, plaintext, 1 KB, 64 connections, one worker",
            peers: &[Leno, Envoy, Haproxy, Floor],
            shape: Shape::Static,
            work: Work::Load(Load::Http1),
            figures: const { &[CPU.with(&[Times(0.90, "haproxy"), Times(0.35, "envoy"), Times(1.25, "floor")])] },
        },
        Scenario {
            name: "http1-sidecar",
            about: "the same; Leno as a sidecar that has joined a control plane, with all that a mesh switches on",
            peers: &[Leno, Envoy, Haproxy, Floor],
            shape: Shape::Single,
            work: Work::Load(Load::Http1),
            figures: const { &[CPU] },
        },
        Scenario {
            name: "http2",
            about: "HTTP/2 to HTTP/2, plaintext, GET, 1 KB, 4 connections x 16 streams",
            peers: &[Leno, Envoy, Haproxy],
            shape: Shape::Http2Single,
            work: Work::Load(Load::Http2Get),
            figures: const { &[CPU.with(&[Times(0.45, "envoy")])] },
        },
        Scenario {
            name: "http2-grpc",
            about: "the same with a gRPC-like POST: 128 bytes there and back, trailers",
            peers: &[Leno, Envoy, Haproxy],
            shape: Shape::Http2Single,
            work: Work::Load(Load::Http2Post),
            figures: const { &[CPU.with(&[Times(0.45, "envoy")])] },
        },
    ]
}

fn mesh() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "mesh",
            about: "two sidecars, mutual TLS 1.3, routing, metrics, access log, RBAC but for leno and leno-h2 (HAProxy: TLS alone); 64 connections; CPU of both",
            peers: &[Leno, LenoHttp2, LenoStatic, Envoy, EnvoyHttp2, Haproxy],
            shape: Shape::Sidecars,
            work: Work::Load(Load::Http1),
            figures: const { &[CPU.with(&[Times(0.40, "envoy-h2"), Times(0.90, "haproxy")])] },
        },
        Scenario {
            name: "mesh-latency",
            about: "the same two sidecars at 1,000 requests/s, open loop: what they add to the bare connection",
            peers: &[Leno, LenoHttp2, LenoStatic, Envoy, EnvoyHttp2, Haproxy, Direct],
            shape: Shape::Sidecars,
            work: Work::Load(Load::OpenLoop),
            figures: const {
                &[
                    Figure {
                        name: "p50",
                        unit: "us",
                        of: Some(|sample| sample.p50_us.unwrap_or(0.0)),
                        added_to_direct: true,
                        goals: &[Times(0.50, "envoy"), Times(0.50, "envoy-h2"), Times(1.00, "haproxy")],
                    },
                    Figure {
                        name: "p99",
                        unit: "us",
                        of: Some(|sample| sample.p99_us.unwrap_or(0.0)),
                        added_to_direct: true,
                        goals: &[Times(0.50, "envoy"), Times(0.50, "envoy-h2"), Times(1.00, "haproxy")],
                    },
                    CPU.with(&[Times(0.45, "envoy"), Times(0.45, "envoy-h2")]),
                ]
            },
        },
    ]
}

const PER_GIGABYTE: Figure = Figure {
    name: "CPU per GB",
    unit: "s",
    of: Some(|sample| sample.cpu_us_per_request * sample.requests as f64 / 1e6 / (sample.bytes.max(1) as f64 / 1e9)),
    added_to_direct: false,
    goals: &[],
};

fn connections() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "bulk",
            about: "TCP bulk in one direction through one proxy, plaintext, Reno",
            peers: &[Leno, Envoy, Haproxy, Floor],
            shape: Shape::TcpSingle,
            work: Work::Load(Load::Bulk),
            figures: const { &[PER_GIGABYTE.with(&[Times(0.60, "envoy")])] },
        },
        Scenario {
            name: "bulk-mesh",
            about: "TCP bulk in one direction through two sidecars with mutual TLS, Reno; CPU of both",
            peers: &[Leno, Envoy, Haproxy],
            shape: Shape::TcpSidecars,
            work: Work::Load(Load::Bulk),
            figures: const { &[PER_GIGABYTE.with(&[Times(0.75, "envoy")])] },
        },
        Scenario {
            name: "connect",
            about: "connect, GET, close; plaintext",
            peers: &[Leno, Envoy, Haproxy],
            shape: Shape::Static,
            work: Work::Load(Load::Connect { resume: false }),
            figures: const { &[CPU] },
        },
        Scenario {
            name: "connect-tls",
            about: "connect, mutual TLS 1.3 in full, GET, close",
            peers: &[Leno, Envoy, Haproxy],
            shape: Shape::TlsSingle,
            work: Work::Load(Load::Connect { resume: false }),
            figures: const { &[CPU.with(&[Times(0.75, "envoy")])] },
        },
        Scenario {
            name: "connect-tls-resumed",
            about: "connect, mutual TLS 1.3 resumed where the proxy resumes, GET, close",
            peers: &[Leno, Envoy, Haproxy],
            shape: Shape::TlsSingle,
            work: Work::Load(Load::Connect { resume: true }),
            figures: const { &[CPU.with(&[Times(0.75, "envoy")]), Figure::named("resumed", "share", &[])] },
        },
    ]
}

fn trials() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "sidecar",
            about: "a sidecar with one worker that has joined a control plane; the demo",
            peers: &[Leno],
            shape: Shape::Single,
            work: Work::Trial(trials::sidecar),
            figures: const {
                &[
                    Figure::named("ready after", "ms", &[AtMost(150.0)]),
                    Figure::named("idle memory", "MB", &[AtMost(10.0)]),
                    Figure::named("demo up", "s", &[AtMost(3.0)]),
                ]
            },
        },
        Scenario {
            name: "start",
            about: "a proxy with a small bootstrap file: start to first proxied answer, memory then",
            peers: &[Leno, Envoy, Haproxy],
            shape: Shape::Static,
            work: Work::Trial(trials::start),
            figures: const {
                &[
                    Figure::named("first answer", "ms", &[AtMost(20.0)]),
                    Figure::named("idle memory", "MB", &[AtMost(10.0)]),
                ]
            },
        },
        Scenario {
            name: "large",
            about: "1,000 clusters x 10 endpoints and 1,000 routes from a bootstrap file",
            peers: &[Leno, Envoy],
            shape: Shape::Static,
            work: Work::Trial(trials::large),
            figures: const {
                &[Figure::named("first answer", "ms", &[AtMost(60.0)]), Figure::named("memory", "MB", &[AtMost(35.0)])]
            },
        },
        Scenario {
            name: "configuration",
            about: "over xDS: 1,000 clusters x 10 endpoints and 1,000 routes; one endpoint changed; requests meanwhile",
            peers: &[Leno],
            shape: Shape::Static,
            work: Work::Trial(trials::configuration),
            figures: const {
                &[
                    Figure::named("apply_ack_ms", "ms", &[AtMost(60.0)]),
                    Figure::named("apply_request_ms", "ms", &[]),
                    Figure::named("change_ack_ms", "ms", &[AtMost(1.0)]),
                    Figure::named("change_request_ms", "ms", &[AtMost(1.0)]),
                    Figure::named("slowest_changing_us", "us", &[AtMost(1000.0)]),
                    Figure::named("slowest_quiet_us", "us", &[]),
                    Figure::named("p999_changing_us", "us", &[]),
                    Figure::named("p999_quiet_us", "us", &[]),
                ]
            },
        },
        Scenario {
            name: "idle-connections",
            about: "2,000 idle keep-alive connections through both sidecars of the mesh hop: memory of both for each",
            peers: &[Leno, LenoHttp2, LenoStatic, Envoy, EnvoyHttp2, Haproxy],
            shape: Shape::Sidecars,
            work: Work::Trial(trials::idle_connections),
            figures: const {
                &[
                    Figure::named("memory", "KB", &[AtMost(12.0)]),
                    Figure::named("memory after 1,000 at once", "KB", &[]),
                ]
            },
        },
    ]
}
