//! The two ends of a benchmark: an origin that costs next to nothing, and a load generator that does not wait.
//!
//! Used by `cargo xtask bench`; neither is part of the product.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Parser, Subcommand};

mod open_loop;
mod origin;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
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
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::OpenLoop { target, host, rate, seconds, connections } => {
            let plan =
                open_loop::Plan { target, host, rate, duration: Duration::from_secs(seconds.into()), connections };
            println!("{}", serde_json::to_string(&open_loop::run(&plan)?)?);
            Ok(())
        }
        Command::Origin { listen, body_bytes } => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(origin::run(listen, body_bytes)),
    }
}
