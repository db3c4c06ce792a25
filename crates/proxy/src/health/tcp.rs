use leno_balance::{CheckFailure, CheckResult};
use leno_ir::TcpProbe;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::payload::contains_all;
use super::session::{Probe, Session};
use crate::stream::Stream;
use crate::upstream::ApplicationProtocol;

/// An answer longer than this without what is wanted in it is none. Chosen.
const MOST_BYTES: usize = 1 << 20;

pub(super) type TcpConnection = Stream;

const BROKEN: CheckResult = CheckResult::Failure(CheckFailure::Network);

pub(super) async fn ask(session: &mut Session, probe: &Probe, config: &TcpProbe) -> CheckResult {
    let kept = session.tcp.take();
    let mut stream = match kept {
        Some(stream) => stream,
        None => match probe.connect(session, ApplicationProtocol::Tcp).await {
            Ok(stream) => stream,
            Err(_) => return BROKEN,
        },
    };
    if !config.send.is_empty() && stream.write_all(&config.send).await.is_err() {
        return BROKEN;
    }
    if config.receive.is_empty() {
        // That it could be made was the question; as in Envoy it is not kept.
        return CheckResult::Success { degraded: false };
    }
    let mut answer = Vec::new();
    while !contains_all(&answer, &config.receive) {
        match stream.read_buf(&mut answer).await {
            Ok(read) if read > 0 && answer.len() <= MOST_BYTES => {}
            _ => return BROKEN,
        }
    }
    session.tcp = Some(stream);
    CheckResult::Success { degraded: false }
}
