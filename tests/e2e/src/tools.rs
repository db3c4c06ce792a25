use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, Instant};

/// Longest wait for what takes a moment. Chosen: many times what a loaded machine needs, and an end to a test that hangs.
pub const LIMIT: Duration = Duration::from_secs(20);

/// The release binary under test.
///
/// # Panics
/// Without the environment variable `LENO`, which `cargo xtask test` sets.
pub fn leno() -> PathBuf {
    let path = std::env::var_os("LENO").expect("LENO names the binary under test; run cargo xtask test");
    PathBuf::from(path)
}

/// The application of the tests: `leno-e2e-app`, built beside them.
///
/// # Panics
/// When it is not there.
pub fn app() -> PathBuf {
    beside("leno-e2e-app")
}

/// The echo server of the tests: `leno-e2e-echo`, built beside them.
///
/// # Panics
/// When it is not there.
pub fn echo_server() -> PathBuf {
    beside("leno-e2e-echo")
}

fn beside(name: &str) -> PathBuf {
    let mut path = std::env::current_exe().expect("a running test has a path");
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path.push(name);
    assert!(path.exists(), "{} is not built", path.display());
    path
}

/// The value of a variable that `cargo xtask test` sets when a tool is there. `None` means that the test cannot run: it is
/// said aloud, and with CI=true it is a failure.
pub fn need(variable: &str) -> Option<PathBuf> {
    let found = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.exists());
    if found.is_none() {
        assert!(std::env::var("CI").map_or(true, |ci| ci != "true"), "{variable} is not set: a tool is missing");
        eprintln!("DID NOT RUN: {variable} is not set");
    }
    found
}

/// Whether a program is on the path, or where administrators have theirs. As with [`need`], a test that cannot run says so.
///
/// # Panics
/// When it is not there and CI=true.
pub fn need_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let is_there = directories.into_iter().any(|directory| directory.join(name).exists());
    if !is_there {
        assert!(std::env::var("CI").map_or(true, |ci| ci != "true"), "{name} is missing");
        eprintln!("DID NOT RUN: {name} is missing");
    }
    is_there
}

/// Asks until `probe` has an answer.
///
/// # Panics
/// When there is none within `limit`; `what` says what was awaited.
#[allow(clippy::disallowed_methods, reason = "polling another process needs a pause")]
pub fn eventually<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// All that a program has written.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Sum of the series of a metric that carry all of the given labels.
pub fn prometheus_sum(exposition: &str, metric: &str, labels: &[(&str, &str)]) -> f64 {
    exposition
        .lines()
        .filter(|line| line.strip_prefix(metric).is_some_and(|rest| rest.starts_with(['{', ' '])))
        .filter(|line| labels.iter().all(|(name, value)| line.contains(&format!("{name}=\"{value}\""))))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum()
}
