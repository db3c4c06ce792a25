//! Hot paths, each run a number of times with the same input, so that callgrind can count what one run costs.
//!
//! `leno-instructions` names them; `leno-instructions NAME COUNT` runs one. Used by `cargo xtask instructions`, which takes
//! the difference between two counts: what start and set-up cost cancels.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::process::ExitCode;

mod balance;
mod configuration;
mod routes;

/// Sets up, then runs the path that many times.
type Path = fn(u32);

const PATHS: [(&str, Path); 12] = [
    ("balancer-peak-ewma-100", balance::peak_ewma),
    ("balancer-round-robin-100", balance::round_robin),
    ("http1-decode-request", leno_proxy::measuring::decode_request),
    ("http1-decode-response", leno_proxy::measuring::decode_response),
    ("http1-encode-request", leno_proxy::measuring::encode_request),
    ("http1-encode-response", leno_proxy::measuring::encode_response),
    ("header-operations", leno_proxy::measuring::header_operations),
    ("route-first-of-100", routes::first),
    ("route-last-of-100", routes::last),
    ("read-bootstrap-of-100-routes", configuration::read_bootstrap),
    ("xds-decode-cluster", configuration::decode_cluster),
    ("xds-decode-100-routes", configuration::decode_route_table),
];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(name) = arguments.next() else {
        PATHS.iter().for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    };
    let count = arguments.next().and_then(|count| count.parse().ok());
    match (PATHS.iter().find(|(path, _)| *path == name), count) {
        (Some((_, run)), Some(count)) => {
            run(black_box(count));
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("leno-instructions: no path {name}, or no count");
            ExitCode::FAILURE
        }
    }
}
