//! Hot paths, each run a number of times with the same input, so that callgrind can count what one run costs.
//!
//! `leno-instructions` names them, each with a sensible count; `leno-instructions NAME COUNT` runs one. Used by `cargo xtask instructions`, which takes
//! the difference between two counts: what start and set-up cost cancels.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::process::ExitCode;

mod balance;
mod configuration;
mod routes;

/// Sets up, then runs the path that many times.
type Path = fn(u32);

/// Name, runs that are enough for rare work to even out, path.
const PATHS: [(&str, u32, Path); 12] = [
    ("balancer-peak-ewma-100", 1000, balance::peak_ewma),
    ("balancer-round-robin-100", 1000, balance::round_robin),
    ("http1-decode-request", 1000, leno_proxy::measuring::decode_request),
    ("http1-decode-response", 1000, leno_proxy::measuring::decode_response),
    ("http1-encode-request", 1000, leno_proxy::measuring::encode_request),
    ("http1-encode-response", 1000, leno_proxy::measuring::encode_response),
    ("header-operations", 1000, leno_proxy::measuring::header_operations),
    ("route-first-of-100", 1000, routes::first),
    ("route-last-of-100", 1000, routes::last),
    ("read-bootstrap-of-100-routes", 10, configuration::read_bootstrap),
    ("xds-decode-cluster", 200, configuration::decode_cluster),
    ("xds-decode-100-routes", 50, configuration::decode_route_table),
];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(name) = arguments.next() else {
        PATHS.iter().for_each(|(name, runs, _)| println!("{name} {runs}"));
        return ExitCode::SUCCESS;
    };
    let count = arguments.next().and_then(|count| count.parse().ok());
    match (PATHS.iter().find(|(path, ..)| *path == name), count) {
        (Some((.., run)), Some(count)) => {
            run(black_box(count));
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("leno-instructions: no path {name}, or no count");
            ExitCode::FAILURE
        }
    }
}
