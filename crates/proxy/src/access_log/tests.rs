use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use leno_ir::Direction;

use super::*;
use crate::exchange::{NoHeaders, Protocol};

fn connection() -> Connection {
    Connection {
        local: ([127, 1, 1, 0], 9080).into(),
        direct_remote: ([127, 0, 0, 1], 1).into(),
        direction: Direction::Outbound,
        listener: "test".into(),
        ..Connection::for_tests(([127, 0, 0, 1], 4000))
    }
}

fn exchange() -> Exchange {
    let mut exchange = Exchange::new(Protocol::Http11, Instant::now(), SystemTime::UNIX_EPOCH);
    exchange.status = 200;
    exchange.duration = Duration::from_micros(12_999);
    exchange.details = "via_upstream".into();
    exchange.upstream = Some(([10, 0, 0, 1], 8080).into());
    exchange
}

fn directory(name: &str) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("leno-access-log-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("temporary directory");
    directory
}

fn logger(path: PathBuf, format: AccessLogFormat) -> (AccessLogger, WorkerLogs, AccessLogs, Arc<AtomicU64>) {
    let dropped = Arc::new(AtomicU64::new(0));
    let logs = AccessLogs::new(dropped.clone());
    let worker = WorkerLogs::new(logs.clone());
    let logger = AccessLogger::new(&[AccessLog::new(AccessLogSink::File(path), format)], &worker);
    (logger, worker, logs, dropped)
}

#[test]
fn a_line_reaches_the_file_at_a_flush_and_a_moved_file_is_opened_anew() {
    let directory = directory("reopen");
    let path = directory.join("log");
    let format = AccessLogFormat::Text("%RESPONSE_CODE% %DURATION% %UPSTREAM_HOST% %RESPONSE_FLAGS%".to_owned());
    let (logger, worker, logs, dropped) = logger(path.clone(), format);
    let write = || {
        logger.log(&exchange(), &connection(), &NoHeaders, &NoHeaders);
        worker.flush();
        logs.flush();
    };
    write();
    let moved = directory.join("log.1");
    std::fs::rename(&path, &moved).expect("moved");
    write();
    logs.reopen();
    write();
    let lines = |path: &PathBuf| std::fs::read_to_string(path).expect("readable").lines().count();
    assert_eq!((lines(&moved), lines(&path)), (2, 1));
    let text = std::fs::read_to_string(&path).expect("readable");
    assert_eq!(text, "200 12 10.0.0.1:8080 -\n");
    logs.close();
    assert_eq!(dropped.load(Ordering::Relaxed), 0);
    std::fs::remove_dir_all(directory).expect("removed");
}

#[test]
fn a_full_disk_drops_lines_and_counts_them() {
    let (logger, worker, logs, dropped) = logger(PathBuf::from("/dev/full"), AccessLogFormat::Standard);
    for _ in 0..3 {
        logger.log(&exchange(), &connection(), &NoHeaders, &NoHeaders);
    }
    worker.flush();
    logs.close();
    assert_eq!(dropped.load(Ordering::Relaxed), 3);
}

#[test]
fn a_format_with_an_unknown_operator_is_refused_by_name() {
    let log = |format: &str| AccessLog::new(AccessLogSink::Stdout, AccessLogFormat::Text(format.to_owned()));
    let error = check(&log("%UPSTREAM_CLOCK(x)%")).expect_err("unknown");
    assert!(error.to_string().contains("UPSTREAM_CLOCK"));
    assert_eq!(check(&log("%PROTOCOL%")), Ok(()));
}
