//! The two ends of a benchmark: origins that cost next to nothing, load generators, and the floor: no proxy at all.
//!
//! Used by `cargo xtask bench`; neither is part of the product.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Parser, Subcommand};
use leno_bench::mesh::ProxyArgs;

mod bulk;
mod clients;
mod connect;
mod forward;
mod idle;
mod large;
mod open_loop;
mod origin;
mod origin_http2;
mod scale;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Send bytes for some seconds to a sink and print how many arrived as JSON.
    Bulk {
        #[arg(long)]
        target: SocketAddr,
        #[arg(long, default_value_t = 3)]
        seconds: u32,
    },
    /// Connect many discovery clients to a control plane and print how soon changes reach them as JSON.
    Clients(clients::ClientsArgs),
    /// Serve a proxy configurations over xDS and print how long changes take as JSON.
    Configuration {
        #[command(flatten)]
        proxy: ProxyArgs,
        #[arg(long, default_value_t = 3)]
        seconds: u32,
    },
    /// Open connections that carry one request each and print how many did as JSON.
    Connect(connect::ConnectArgs),
    /// Copy bytes between connections: the floor under every proxy.
    Forward {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        target: SocketAddr,
    },
    /// Compile a large mesh and follow single changes of it; print how long that takes as JSON.
    Scale(scale::ScaleArgs),
    /// Hold keep-alive connections until standard input ends.
    Idle {
        #[arg(long)]
        target: SocketAddr,
        #[arg(long, default_value = "origin")]
        host: String,
        #[arg(long, default_value_t = 2000)]
        connections: usize,
    },
    /// Send requests at a fixed rate, whatever becomes of the earlier ones, and print latencies as JSON.
    OpenLoop {
        #[arg(long)]
        target: SocketAddr,
        /// Value of the Host header.
        #[arg(long, default_value = "origin")]
        host: String,
        #[arg(long, default_value_t = 1000)]
        rate: u32,
        #[arg(long, default_value_t = 5)]
        seconds: u32,
        /// Keep-alive connections to spread the requests over.
        #[arg(long, default_value_t = 32)]
        connections: usize,
    },
    /// Answer every request with 200 and a body of fixed size.
    Origin {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long, default_value_t = 1024)]
        body_bytes: usize,
        /// Speak HTTP/2, to clients that know it.
        #[arg(long)]
        http2: bool,
    },
    /// Read and forget.
    Sink {
        #[arg(long)]
        listen: SocketAddr,
    },
    /// Load and changing configuration for a long time; print what was seen as JSON.
    Soak {
        #[command(flatten)]
        proxy: ProxyArgs,
        #[arg(long, default_value_t = 30.0)]
        minutes: f64,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Bulk { target, seconds } => print(&bulk::send(target, seconds)?),
        Command::Clients(args) => clients::run(&args),
        Command::Configuration { proxy, seconds } => print(&leno_bench::configuration::run(&proxy, seconds)?),
        Command::Connect(args) => print(&connect::run(&args)?),
        Command::Forward { listen, target } => forward::run(listen, target),
        Command::Scale(args) => scale::run(&args),
        Command::Idle { target, host, connections } => idle::run(target, &host, connections),
        Command::OpenLoop { target, host, rate, seconds, connections } => {
            let plan =
                open_loop::Plan { target, host, rate, duration: Duration::from_secs(seconds.into()), connections };
            print(&open_loop::run(&plan)?)
        }
        Command::Origin { listen, body_bytes, http2 } => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            if http2 {
                runtime.block_on(origin_http2::run(listen, body_bytes))
            } else {
                runtime.block_on(origin::run(listen, body_bytes))
            }
        }
        Command::Sink { listen } => bulk::sink(listen),
        Command::Soak { proxy, minutes } => {
            print(&leno_bench::soak::run(&proxy, Duration::from_secs_f64(minutes * 60.0))?)
        }
    }
}

fn print(result: &impl serde::Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(result)?);
    Ok(())
}
