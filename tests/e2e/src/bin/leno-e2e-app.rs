//! The application behind the sidecars of the tests: well behaved or not, as its arguments say.
//!
//! Listens on `$LENO_ADDRESS:$PORT`, as `leno run` sets them.
#![forbid(unsafe_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};

use nix::sys::signal::{SigSet, Signal};
use serde_json::json;

static REQUESTS: AtomicU64 = AtomicU64::new(0);
/// Requests that are being answered.
static ACTIVE: AtomicU64 = AtomicU64::new(0);
/// Keys of `/hold` that were not released yet, and how many requests wait.
static HELD: Mutex<(Vec<String>, usize)> = Mutex::new((Vec::new(), 0));
static RELEASED: Condvar = Condvar::new();

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let name = option(&arguments, "--name").unwrap_or_default();
    match arguments.first().map(String::as_str) {
        Some("wait") => loop {
            std::thread::park();
        },
        Some("exit") => {
            let code = arguments.get(1).and_then(|code| code.parse().ok()).unwrap_or(0);
            std::process::exit(code);
        }
        Some("environment") => {
            for (key, value) in std::env::vars() {
                println!("{key}={value}");
            }
            Ok(())
        }
        // SIGTERM waits for the requests under way.
        Some("graceful") => {
            end_gracefully();
            serve(move |stream| echo(stream, &name))
        }
        Some("echo") => serve(move |stream| echo(stream, &name)),
        // Never answers.
        Some("hang") => serve(|mut stream| drain(&mut stream)),
        // Ends each connection in the middle of the first request.
        Some("reset") => serve(|mut stream| {
            let mut byte = [0];
            let _ = stream.read(&mut byte);
        }),
        Some("garbage") => serve(|mut stream| {
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer);
            let _ = stream.write_all(b"\x00\x01 this is no HTTP\r\n\r\n");
            drain(&mut stream);
        }),
        // Speaks first, then says everything twice.
        Some("banner") => serve(|mut stream| {
            let _ = stream.write_all(b"220 hello\r\n");
            let Ok(reader) = stream.try_clone() else { return };
            for line in BufReader::new(reader).lines().map_while(Result::ok) {
                if stream.write_all(format!("{line} {line}\r\n").as_bytes()).is_err() {
                    return;
                }
            }
        }),
        other => {
            eprintln!("leno-e2e-app: {other:?} is nothing this program does");
            std::process::exit(2);
        }
    }
}

fn option(arguments: &[String], name: &str) -> Option<String> {
    let at = arguments.iter().position(|argument| argument == name)?;
    arguments.get(at + 1).cloned()
}

fn serve(handle: impl Fn(TcpStream) + Clone + Send + 'static) -> std::io::Result<()> {
    let address = std::env::var("LENO_ADDRESS").unwrap_or_else(|_| "127.0.0.1".to_owned());
    let port = std::env::var("PORT").unwrap_or_else(|_| "8080".to_owned());
    let listener = TcpListener::bind(format!("{address}:{port}"))?;
    for stream in listener.incoming() {
        let (stream, handle) = (stream?, handle.clone());
        std::thread::spawn(move || handle(stream));
    }
    Ok(())
}

fn drain(stream: &mut TcpStream) {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).is_ok_and(|read| read > 0) {}
}

/// Ends at SIGTERM once nothing is being answered. Called before any other thread starts: they inherit the mask.
fn end_gracefully() {
    let mut set = SigSet::empty();
    set.add(Signal::SIGTERM);
    set.thread_block().expect("a thread may block signals");
    std::thread::spawn(move || {
        set.wait().expect("a blocked signal can be awaited");
        println!("SIGTERM");
        let held = HELD.lock().expect("no panic");
        drop(RELEASED.wait_while(held, |_| ACTIVE.load(Ordering::SeqCst) > 0).expect("no panic"));
        std::process::exit(0);
    });
}

/// Until `/release` is asked for with the same key.
fn hold(key: &str) {
    let mut held = HELD.lock().expect("no panic");
    held.0.push(key.to_owned());
    held.1 += 1;
    let mut held = RELEASED.wait_while(held, |held| held.0.iter().any(|each| each == key)).expect("no panic");
    held.1 -= 1;
}

fn release(key: &str) {
    HELD.lock().expect("no panic").0.retain(|each| each != key);
    RELEASED.notify_all();
}

/// Answers with what it was asked, as JSON. `/status/N` answers with N; `/hold/KEY` is answered when somebody asks for
/// `/release/KEY`, and `held` says how many wait; `/upgrade` switches to raw bytes and echoes them; `?delay=1s` waits. Answers have the headers
/// that `x-echo-set-header` asks for.
fn echo(mut stream: TcpStream, name: &str) {
    let Ok(reader) = stream.try_clone() else { return };
    let mut reader = BufReader::new(reader);
    while let Some(request) = read_request(&mut reader, &mut stream) {
        let number = REQUESTS.fetch_add(1, Ordering::Relaxed) + 1;
        if request.path == "/upgrade" {
            let _ = stream
                .write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = reader.read(&mut buffer) {
                if stream.write_all(&buffer[..read]).is_err() {
                    return;
                }
            }
            return;
        }
        ACTIVE.fetch_add(1, Ordering::SeqCst);
        match request.path.split_at(request.path.rfind('/').map_or(0, |at| at + 1)) {
            ("/hold/", key) => hold(key),
            ("/release/", key) => release(key),
            _ => {}
        }
        if let Some((_, delay)) = request.path.split_once("delay=") {
            pause(delay);
        }
        let status: u16 = request.path.strip_prefix("/status/").and_then(|code| code.parse().ok()).unwrap_or(200);
        // As one value each, joined.
        let mut headers = std::collections::BTreeMap::<&str, String>::new();
        for (key, value) in &request.headers {
            headers.entry(key).and_modify(|all| *all += &format!(",{value}")).or_insert_with(|| value.clone());
        }
        let extra = extra_headers(headers.get("x-echo-set-header").map_or("", String::as_str));
        let body = json!({
            "app": name,
            "method": request.method,
            "path": request.path,
            "headers": headers,
            "body": String::from_utf8_lossy(&request.body),
            "number": number,
            "held": HELD.lock().expect("no panic").1,
        })
        .to_string();
        let head = format!(
            "HTTP/1.1 {status} Status\r\ncontent-type: application/json\r\nx-app: {name}\r\n{extra}content-length: {}\r\n\r\n",
            body.len()
        );
        let body = if request.method == "HEAD" || status == 204 { "" } else { body.as_str() };
        let sent = stream.write_all(format!("{head}{body}").as_bytes());
        ACTIVE.fetch_sub(1, Ordering::SeqCst);
        // Whoever waits for the last one looks again.
        drop(HELD.lock());
        RELEASED.notify_all();
        if sent.is_err() {
            return;
        }
    }
}

/// `500ms` or `1s`.
#[allow(clippy::disallowed_methods, reason = "a slow backend is what was asked for")]
fn pause(text: &str) {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number = number.parse().unwrap_or(0);
    std::thread::sleep(std::time::Duration::from_millis(if unit == "s" { number * 1000 } else { number }));
}

/// `NAME:VALUE,NAME:VALUE` as lines of an answer's head.
fn extra_headers(wanted: &str) -> String {
    let pairs = wanted.split(',').filter_map(|pair| pair.split_once(':'));
    pairs.map(|(name, value)| format!("{}: {}\r\n", name.trim(), value.trim())).collect()
}

struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

fn read_request(reader: &mut BufReader<TcpStream>, stream: &mut TcpStream) -> Option<Request> {
    let start = read_line(reader)?;
    let mut parts = start.split(' ');
    let (method, path) = (parts.next()?.to_owned(), parts.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader)?;
        if line.is_empty() {
            break;
        }
        let (key, value) = line.split_once(':')?;
        headers.push((key.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let header = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    if header("expect").is_some() {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
    }
    let body = if header("transfer-encoding").is_some() {
        read_chunks(reader)?
    } else {
        let mut body = vec![0; header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0)];
        reader.read_exact(&mut body).ok()?;
        body
    };
    Some(Request { method, path, headers, body })
}

fn read_chunks(reader: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = usize::from_str_radix(read_line(reader)?.trim(), 16).ok()?;
        let mut chunk = vec![0; size];
        reader.read_exact(&mut chunk).ok()?;
        body.extend(chunk);
        if size == 0 {
            while !read_line(reader)?.is_empty() {}
            return Some(body);
        }
        read_line(reader)?;
    }
}

fn read_line(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    match reader.read_line(&mut line) {
        Ok(1..) => Some(line.trim_end().to_owned()),
        _ => None,
    }
}
