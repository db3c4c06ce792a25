//! Open-loop load: request n is due at start + n / rate; its latency counts from then, so queueing is not hidden.
//!
//! One blocking thread per connection: the kernel wakes a thread within about 60 us of its time, a task timer of a
//! runtime only to the millisecond.
//!
//! Units       microseconds in the output

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) target: SocketAddr,
    pub(crate) host: String,
    pub(crate) rate: u32,
    pub(crate) duration: Duration,
    pub(crate) connections: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct Latencies {
    requests: usize,
    errors: usize,
    p50_us: u64,
    p90_us: u64,
    p99_us: u64,
    p999_us: u64,
    max_us: u64,
}

#[derive(Debug, Default)]
struct Results {
    micros: Vec<u64>,
    errors: usize,
}

pub(crate) fn run(plan: &Plan) -> anyhow::Result<Latencies> {
    let start = Instant::now() + Duration::from_millis(50);
    let mut threads = Vec::with_capacity(plan.connections);
    for number in 0..plan.connections {
        let stream = TcpStream::connect(plan.target).context("connecting to the target")?;
        stream.set_nodelay(true)?;
        let plan = plan.clone();
        threads.push(std::thread::spawn(move || send(&plan, number, start, stream)));
    }
    let mut results = Results::default();
    for thread in threads {
        let part = thread.join().map_err(|_panic| anyhow::anyhow!("a load thread panicked"))?;
        results.micros.extend(part.micros);
        results.errors += part.errors;
    }
    results.micros.sort_unstable();
    let at = |quantile: f64| {
        let last = results.micros.len().saturating_sub(1);
        results.micros.get((quantile * last as f64).round() as usize).copied().unwrap_or(0)
    };
    Ok(Latencies {
        requests: results.micros.len(),
        errors: results.errors,
        p50_us: at(0.5),
        p90_us: at(0.9),
        p99_us: at(0.99),
        p999_us: at(0.999),
        max_us: at(1.0),
    })
}

/// Connection `number` sends every request whose number is congruent to it.
fn send(plan: &Plan, number: usize, start: Instant, mut stream: TcpStream) -> Results {
    let mut results = Results::default();
    let request = format!("GET /bench HTTP/1.1\r\nhost: {}\r\nuser-agent: bench\r\n\r\n", plan.host);
    let total = plan.duration.as_secs_f64() * f64::from(plan.rate);
    let mut buffer = vec![0; 64 * 1024];
    let mut n = number;
    while (n as f64) < total {
        let due = start + Duration::from_secs_f64(n as f64 / f64::from(plan.rate));
        wait_until(due);
        match exchange(&mut stream, request.as_bytes(), &mut buffer) {
            Ok(200) => results.micros.push(due.elapsed().as_micros() as u64),
            outcome => {
                results.errors += 1;
                if outcome.is_err() {
                    return results;
                }
            }
        }
        n += plan.connections;
    }
    results
}

#[allow(clippy::disallowed_methods, reason = "pacing is this program's work")]
fn wait_until(due: Instant) {
    std::thread::sleep(due.saturating_duration_since(Instant::now()));
}

/// One request, one response with `content-length`; the value is the status.
fn exchange(stream: &mut TcpStream, request: &[u8], buffer: &mut [u8]) -> std::io::Result<u16> {
    stream.write_all(request)?;
    answer(stream, buffer)
}

pub(crate) fn answer(stream: &mut TcpStream, buffer: &mut [u8]) -> std::io::Result<u16> {
    let mut filled = 0;
    loop {
        filled += read_some(stream, &mut buffer[filled..])?;
        let Some(end) = buffer[..filled].windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
        let length: usize = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .and_then(|value| value.trim().parse().ok())
            .unwrap_or(0);
        while filled < end + 4 + length {
            filled += read_some(stream, &mut buffer[filled..])?;
        }
        return Ok(head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0));
    }
}

fn read_some(stream: &mut TcpStream, buffer: &mut [u8]) -> std::io::Result<usize> {
    match stream.read(buffer)? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        read => Ok(read),
    }
}
