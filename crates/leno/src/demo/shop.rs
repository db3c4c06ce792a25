//! The demo shop: five small HTTP services and a customer, ordinary programs that know nothing of a mesh.
//!
//! Shape       web -> details, reviews -> ratings; `customer` asks web
//!             They listen on `$LENO_ADDRESS:$PORT` and reach others as any program would: `details` by the address in
//!             `DETAILS_SERVICE_HOST`, the rest through `HTTP_PROXY`.
//! Errors      an upstream that fails makes the page fail with 502, so that the mesh's work can be seen

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use clap::{Args, ValueEnum};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use leno_runtime::Tasks;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{Instant, MissedTickBehavior};

use super::client::{HttpClient, Reply};

#[derive(Args, Debug)]
pub(crate) struct ShopArgs {
    /// Which part of the shop to be.
    part: Part,
    /// Shown in answers.
    #[arg(long, default_value = "v1")]
    version: String,
    /// Requests per second that the customer sends.
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// Answer every request with 503.
    #[arg(long)]
    failing: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Part {
    Customer,
    Details,
    Ratings,
    Reviews,
    Web,
}

pub(crate) async fn run(args: ShopArgs) -> anyhow::Result<()> {
    let shop = std::sync::Arc::new(Shop {
        part: args.part,
        version: args.version,
        failing: args.failing,
        upstreams: HttpClient::from_environment(),
    });
    if args.part == Part::Customer {
        return shop.buy(args.rate.max(1)).await;
    }
    let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(9080);
    let address = std::env::var("LENO_ADDRESS").ok().and_then(|text| text.parse().ok());
    let address = SocketAddr::new(address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), port);
    let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
    shop.serve(listener).await
}

struct Shop {
    part: Part,
    version: String,
    failing: bool,
    upstreams: HttpClient,
}

impl Shop {
    async fn serve(self: std::sync::Arc<Self>, listener: TcpListener) -> anyhow::Result<()> {
        let tasks = Tasks::new();
        loop {
            let (stream, _) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    continue;
                }
            };
            let shop = self.clone();
            tasks.spawn("shop-connection", async move {
                let service = hyper::service::service_fn(move |request| {
                    let shop = shop.clone();
                    async move { Ok::<_, std::convert::Infallible>(shop.answer(request).await) }
                });
                let io = hyper_util::rt::TokioIo::new(stream);
                // A peer that goes away in mid-request is everyday life for a server.
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
            });
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if self.failing {
            return json_response(
                StatusCode::SERVICE_UNAVAILABLE,
                &json!({"error": "out of order", "version": self.version}),
            );
        }
        let result = match self.part {
            Part::Details => Ok(json!({"title": "The Comedy of Errors", "pages": 200})),
            Part::Ratings => Ok(json!({"stars": [5, 4]})),
            Part::Reviews => self.reviews().await,
            Part::Web | Part::Customer => self.page().await,
        };
        match result {
            Ok(mut body) => {
                body["version"] = Value::from(self.version.clone());
                body["path"] = Value::from(request.uri().path());
                json_response(StatusCode::OK, &body)
            }
            Err(error) => json_response(StatusCode::BAD_GATEWAY, &json!({"error": format!("{error:#}")})),
        }
    }

    async fn page(&self) -> anyhow::Result<Value> {
        let (details, reviews) =
            tokio::try_join!(self.ask("details", "/details/1"), self.ask("reviews", "/reviews/1"))?;
        Ok(json!({"details": details, "reviews": reviews}))
    }

    async fn reviews(&self) -> anyhow::Result<Value> {
        let text = json!(["An extremely entertaining play.", "Refreshingly thoughtful."]);
        // As in the shop everybody knows: v1 shows no stars.
        if self.version == "v1" {
            return Ok(json!({"text": text}));
        }
        Ok(json!({"text": text, "ratings": self.ask("ratings", "/ratings/1").await?}))
    }

    async fn ask(&self, service: &str, path: &str) -> anyhow::Result<Value> {
        let reply = self.upstreams.get(service, 9080, path).await.with_context(|| format!("asking {service}"))?;
        anyhow::ensure!(reply.status == 200, "{service} answered {}", reply.status);
        serde_json::from_slice(&reply.body).with_context(|| format!("reading the answer of {service}"))
    }

    /// Sends `rate` requests a second, each on its own time whatever the others do, until the process is told to stop.
    async fn buy(self: std::sync::Arc<Self>, rate: u32) -> anyhow::Result<()> {
        let tasks = Tasks::new();
        let mut ticks = tokio::time::interval_at(Instant::now(), Duration::from_secs(1) / rate);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let in_flight = std::sync::Arc::new(tokio::sync::Semaphore::new(256));
        loop {
            ticks.tick().await;
            // Past 256 open requests the shop is beyond help; do not pile up more.
            let Ok(permit) = in_flight.clone().try_acquire_owned() else { continue };
            let shop = self.clone();
            tasks.spawn("customer", async move {
                let result = shop.upstreams.get("web", 9080, "/product").await;
                if let Ok(Reply { status: 200, .. }) = result {
                } else {
                    tracing::debug!(?result, "the shop did not answer");
                }
                drop(permit);
            });
        }
    }
}

fn json_response(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}
