//! HTTP/2 clients that mean harm, or take their time: memory stays flat, others are served, and what is under way is finished.

use std::time::Duration;

use leno_e2e::http2::{Frame, FrameSession, code, field, flag, kind, request_block};
use leno_e2e::{Load, Mesh, Workload, eventually, one_echo};
use nix::sys::signal::Signal;

/// More than allocator and page cache add by themselves, far less than any of the floods.
const SLACK_KIB: u64 = 16 * 1024;

struct Rig {
    client: Workload,
    address: String,
    _echo: Workload,
    _mesh: Mesh,
}

impl Rig {
    fn start() -> anyhow::Result<Self> {
        let (mesh, echo, client) = one_echo()?;
        let address = client.ready.upstreams["echo"].clone();
        let rig = Self { client, address, _echo: echo, _mesh: mesh };
        eventually("HTTP/2 reaches the application", Duration::from_secs(10), || {
            let mut session = rig.connect().ok()?;
            session.send(&Frame::request(1, flag::END_STREAM, "GET", "/", &[])).ok()?;
            session.receive_until("200", |frame| frame.status() == Some(200)).ok()
        });
        Ok(rig)
    }

    fn connect(&self) -> anyhow::Result<FrameSession> {
        FrameSession::connect(&self.address)
    }

    /// Resident memory of the sidecar.
    fn memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.client.ready.pid)).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says it");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Runs `attack` ten times while a well-behaved client goes on asking.
    fn withstands(&self, mut attack: impl FnMut(&mut FrameSession) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let mut attacks = |count| -> anyhow::Result<()> {
            for _ in 0..count {
                attack(&mut self.connect()?)?;
            }
            Ok(())
        };
        // What the first ones leave behind is pools and buffers at their working size.
        attacks(2)?;
        let before = self.memory_kib();
        let load = Load::start(&self.address, "echo:8080");
        attacks(8)?;
        let report = load.finish();
        assert!(report.failures.is_empty(), "{} of {}: {:?}", report.failures.len(), report.requests, report.failures);
        assert!(report.requests > 0 && report.slowest < Duration::from_secs(3), "{report:?}");
        let after = self.memory_kib();
        assert!(after < before + SLACK_KIB, "{before} KiB before, {after} KiB after");
        Ok(())
    }
}

/// Sends all in one go, or until the peer closes; what it said then.
fn send_all(session: &mut FrameSession, frames: impl IntoIterator<Item = Frame>) -> anyhow::Result<Option<u32>> {
    let bytes: Vec<_> = frames.into_iter().flat_map(|frame| frame.encode()).collect();
    // It may end before all is written.
    let _ = session.write(&bytes);
    session.end()
}

fn streams() -> impl Iterator<Item = u32> {
    (0..).map(|number| 2 * number + 1)
}

/// CVE-2023-44487, in one go: those that are reset before anybody has looked at them.
#[test]
fn rapid_resets_end_the_connection() -> anyhow::Result<()> {
    let rig = Rig::start()?;
    rig.withstands(|session| {
        let frames = streams().take(5_000).flat_map(|stream| {
            [Frame::request(stream, flag::END_STREAM, "GET", "/", &[]), Frame::reset(stream, code::CANCEL)]
        });
        let told = send_all(session, frames)?;
        assert!(told.is_none_or(|told| told == code::ENHANCE_YOUR_CALM), "{told:?}");
        Ok(())
    })
}

/// CVE-2023-44487, each reset sent when its request is on its way to the application.
#[test]
fn slow_resets_end_the_connection_too_and_finish_what_is_under_way_first() -> anyhow::Result<()> {
    let rig = Rig::start()?;
    let mut session = rig.connect()?;
    session.send(&Frame::request(1, flag::END_STREAM, "GET", "/hold/slow", &[]))?;
    // A PING's answer shows that what came before it was read.
    let round_trip = |session: &mut FrameSession| -> anyhow::Result<Option<u32>> {
        session.send(&Frame::new(kind::PING, 0, 0, *b"are you "))?;
        loop {
            match session.receive()? {
                Some(frame) if frame.kind == kind::PING && frame.flags == flag::ACK => return Ok(None),
                Some(frame) => {
                    if let Some((_, code)) = frame.goaway() {
                        return Ok(Some(code));
                    }
                }
                None => return Ok(Some(u32::MAX)),
            }
        }
    };
    let mut ended = None;
    let mut streams = streams().skip(1);
    let mut count = 0;
    while ended.is_none() && count < 2_000 {
        for stream in streams.by_ref().take(10) {
            session.send(&Frame::request(stream, flag::END_STREAM, "GET", "/hold/reset", &[]))?;
            ended = ended.or(round_trip(&mut session)?);
            session.send(&Frame::reset(stream, code::CANCEL))?;
            count += 1;
        }
        ended = ended.or(round_trip(&mut session)?);
    }
    assert_eq!(ended, Some(code::NO_ERROR), "first it is asked to leave, after {count}");
    assert!((250..500).contains(&count), "{count}");
    // What is under way is finished.
    rig.client.get("echo:8080", "/release/slow")?;
    rig.client.get("echo:8080", "/release/reset")?;
    session.receive_until("the answer", |frame| frame.stream == 1 && frame.status() == Some(200))?;
    // Who goes on is cut off.
    let rest = streams.take(2_000).flat_map(|stream| {
        [Frame::request(stream, flag::END_STREAM, "GET", "/", &[]), Frame::reset(stream, code::CANCEL)]
    });
    let told = send_all(&mut session, rest)?;
    assert!(told.is_none_or(|told| told == code::ENHANCE_YOUR_CALM), "{told:?}");
    Ok(())
}

/// CVE-2024-27316.
#[test]
fn heads_without_end_end_the_connection() -> anyhow::Result<()> {
    let rig = Rig::start()?;
    // One byte, a full frame, or nothing at a time.
    for piece in [b"x".to_vec(), field("x-more", &"y".repeat(16_000)), Vec::new()] {
        rig.withstands(|session| {
            let head = Frame::new(kind::HEADERS, flag::END_STREAM, 1, request_block("GET", "/", &[]));
            let more = (0..1_000).map(|_| Frame::new(kind::CONTINUATION, 0, 1, piece.clone()));
            let told = send_all(session, [head].into_iter().chain(more))?;
            assert!(told.is_none_or(|told| told != code::NO_ERROR), "{told:?}");
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn settings_and_pings_of_a_client_that_does_not_read_are_not_hoarded() -> anyhow::Result<()> {
    let rig = Rig::start()?;
    let settings = Frame::new(kind::SETTINGS, 0, 0, [0, 3, 0, 0, 0, 100]).encode().repeat(1_000);
    let pings = Frame::new(kind::PING, 0, 0, *b"flooding").encode().repeat(1_000);
    for frames in [settings, pings] {
        let mut held = Vec::new();
        let before = rig.memory_kib();
        for _ in 0..4 {
            let mut session = rig.connect()?;
            session.flood(&frames, 32 << 20)?;
            held.push(session);
        }
        assert_eq!(rig.client.get("echo:8080", "/")?.status, 200);
        let after = rig.memory_kib();
        assert!(after < before + SLACK_KIB, "{before} KiB before, {after} KiB after");
    }
    Ok(())
}

#[test]
fn empty_data_frames_end_the_connection() -> anyhow::Result<()> {
    let rig = Rig::start()?;
    rig.withstands(|session| {
        session.send(&Frame::request(1, 0, "POST", "/", &[]))?;
        let told = send_all(session, (0..200_000).map(|_| Frame::new(kind::DATA, 0, 1, [])))?;
        assert!(told.is_none_or(|told| told == code::ENHANCE_YOUR_CALM), "{told:?}");
        Ok(())
    })
}

/// CVE-2025-8671: faults that make the server reset the stream, so that the client need not.
#[test]
fn streams_that_we_have_to_reset_end_the_connection() -> anyhow::Result<()> {
    let rig = Rig::start()?;
    let window_update = |stream| Frame::new(kind::WINDOW_UPDATE, 0, stream, 0u32.to_be_bytes());
    let late_data = |stream| Frame::new(kind::DATA, 0, stream, *b"late");
    let too_much = |stream| Frame::new(kind::WINDOW_UPDATE, 0, stream, 0x7fff_ffff_u32.to_be_bytes());
    for fault in [&window_update as &dyn Fn(u32) -> Frame, &late_data, &too_much] {
        rig.withstands(|session| {
            let frames = streams()
                .take(5_000)
                .flat_map(|stream| [Frame::request(stream, flag::END_STREAM, "GET", "/", &[]), fault(stream)]);
            let told = send_all(session, frames)?;
            assert!(told.is_none_or(|told| told != code::NO_ERROR), "{told:?}");
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn heads_that_are_too_large_are_answered_431_and_ambiguous_lengths_400() -> anyhow::Result<()> {
    let rig = Rig::start()?;
    let long = "y".repeat(13_000);
    let large = [("x-1", &*long), ("x-2", &*long), ("x-3", &*long), ("x-4", &*long), ("x-5", &*long)];
    let mut session = rig.connect()?;
    // Five fields of 13,000 bytes are more than 60 KiB; each frame may have 16 KiB.
    session.send(&Frame::new(kind::HEADERS, flag::END_STREAM, 1, request_block("GET", "/", &[])))?;
    for (number, (name, value)) in (1..).zip(large) {
        let flags = if number == large.len() { flag::END_HEADERS } else { 0 };
        session.send(&Frame::new(kind::CONTINUATION, flags, 1, field(name, value)))?;
    }
    session.receive_until("431 for bytes", |frame| frame.stream == 1 && frame.status() == Some(431))?;

    let many = [("x", "y"); 101];
    session.send(&Frame::request(3, flag::END_STREAM, "GET", "/", &many))?;
    session.receive_until("431 for lines", |frame| frame.stream == 3 && frame.status() == Some(431))?;

    // HTTP/1 behind us must not take one request for two.
    session.send(&Frame::request(
        5,
        flag::END_STREAM,
        "POST",
        "/",
        &[("content-length", "0"), ("content-length", "0")],
    ))?;
    session.receive_until("400", |frame| frame.stream == 5 && frame.status() == Some(400))?;
    let different = [("content-length", "0"), ("content-length", "40")];
    session.send(&Frame::request(7, flag::END_STREAM, "POST", "/", &different))?;
    session.receive_until("a reset", |frame| frame.stream == 7 && frame.kind == kind::RST_STREAM)?;
    session.send(&Frame::request(9, flag::END_STREAM, "POST", "/", &[("content-length", "")]))?;
    session.receive_until("400", |frame| frame.stream == 9 && frame.status() == Some(400))?;
    session.send(&Frame::request(11, flag::END_STREAM, "GET", "/", &[]))?;
    session.receive_until("200", |frame| frame.stream == 11 && frame.status() == Some(200))?;
    Ok(())
}

/// RFC 9113 §6.8: a GOAWAY that promises nothing, a round trip, then the one that counts.
#[test]
fn drain_says_goodbye_twice_and_finishes_streams() -> anyhow::Result<()> {
    let rig = Rig::start()?;
    let mut session = rig.connect()?;
    session.send(&Frame::request(1, flag::END_STREAM, "GET", "/hold/drain", &[]))?;
    eventually("the application has the request", Duration::from_secs(10), || {
        (rig.client.get("echo:8080", "/").ok()?.json().ok()?["held"] == 1).then_some(())
    });
    let release = rig._echo.ready.address("app").to_owned();
    rig.client.signal_proxy(Signal::SIGTERM);

    let first = session.receive_until("the first GOAWAY", |frame| frame.kind == kind::GOAWAY)?;
    assert_eq!(first.goaway(), Some((0x7fff_ffff, code::NO_ERROR)));
    let ping = session.receive_until("PING", |frame| frame.kind == kind::PING && frame.flags == 0)?;
    // On its way when the first GOAWAY came.
    session.send(&Frame::request(3, flag::END_STREAM, "GET", "/", &[]))?;
    session
        .receive_until("the answer to the late request", |frame| frame.stream == 3 && frame.status() == Some(200))?;
    session.send(&Frame::new(kind::PING, flag::ACK, 0, ping.payload))?;
    let last = session.receive_until("the last GOAWAY", |frame| frame.kind == kind::GOAWAY)?;
    assert_eq!(last.goaway(), Some((3, code::NO_ERROR)));

    leno_e2e::request(&format!("{release}:8080"), "GET", "/release/drain", &[], b"")?;
    session.receive_until("the answer", |frame| frame.stream == 1 && frame.status() == Some(200))?;
    session.receive_until("its end", |frame| {
        frame.kind == kind::DATA && frame.flags == flag::END_STREAM && frame.stream == 1
    })?;
    assert_eq!(session.end()?, None, "nothing but the end follows");
    Ok(())
}
