//! Twenty seconds of `cargo xtask soak`: load, changing endpoints and routes, every answer checked.

use std::time::Duration;

use leno_bench::mesh::ProxyArgs;
use leno_bench::soak;

#[test]
fn answers_are_right_and_memory_is_flat_while_endpoints_and_routes_change() -> anyhow::Result<()> {
    let args = ProxyArgs { leno: leno_e2e::leno(), cpu: None, directory: None };
    let seen = soak::run(&args, Duration::from_secs(20))?;
    assert_eq!(seen.wrong, 0, "of {} answers: {:#?}", seen.requests, seen.wrong_answers);
    assert!(seen.requests > 1000 && seen.changes > 20, "{seen:?}");
    // Room for what pools and buffers grow to in the beginning; half an hour of `cargo xtask soak` looks closer.
    assert!(seen.rss_last_mb < seen.rss_first_mb * 1.1 + 8.0, "{seen:?}");
    Ok(())
}
