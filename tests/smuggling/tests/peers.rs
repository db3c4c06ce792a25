//! The corpus through pairs: Leno in front of other people's servers and proxies, and behind their proxies.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use leno_e2e::Sandbox;
use leno_smuggling::{Case, Connection, Front, LogLine, Origin, Peer, Record, corpus, talk_until_quiet};

/// Connections at once: a peer that waits for more keeps one busy.
const CLIENTS: usize = 16;

#[test]
fn leno_in_front_of_haproxy() -> anyhow::Result<()> {
    in_front_of_proxy("haproxy")
}

#[test]
fn leno_in_front_of_nginx() -> anyhow::Result<()> {
    in_front_of_proxy("nginx")
}

#[test]
fn leno_in_front_of_envoy() -> anyhow::Result<()> {
    in_front_of_proxy("envoy")
}

#[test]
fn leno_in_front_of_node() -> anyhow::Result<()> {
    in_front_of_server("node")
}

#[test]
fn leno_in_front_of_go() -> anyhow::Result<()> {
    in_front_of_server("go")
}

#[test]
fn leno_in_front_of_python() -> anyhow::Result<()> {
    in_front_of_server("python")
}

#[test]
fn leno_behind_haproxy() -> anyhow::Result<()> {
    behind("haproxy")
}

#[test]
fn leno_behind_nginx() -> anyhow::Result<()> {
    behind("nginx")
}

#[test]
fn leno_behind_envoy() -> anyhow::Result<()> {
    behind("envoy")
}

/// Cases of HTTP/1 whose origin behaves: with others the last server's account is not the point.
fn cases() -> anyhow::Result<Vec<Case>> {
    Ok(corpus()?.into_iter().filter(|case| case.http2.is_none() && case.response.is_none()).collect())
}

fn in_front_of_proxy(name: &str) -> anyhow::Result<()> {
    let (sandbox, origin) = (Sandbox::new()?, Origin::start(&[])?);
    let Some(peer) = Peer::proxy(name, &sandbox, origin.port)? else { return Ok(()) };
    let front = Front::start(&sandbox, "front", peer.port)?;
    let answers = send_through_leno(&front)?;
    judge(&front, answers, origin.take_records(), origin.take_violations())
}

fn in_front_of_server(name: &str) -> anyhow::Result<()> {
    let sandbox = Sandbox::new()?;
    let Some(peer) = Peer::server(name, &sandbox)? else { return Ok(()) };
    let front = Front::start(&sandbox, "front", peer.port)?;
    let answers = send_through_leno(&front)?;
    judge(&front, answers, peer.records()?, Vec::new())
}

/// Leno decides how many answers there are, whoever is behind it: each request it forwards has one.
fn send_through_leno(front: &Front) -> anyhow::Result<usize> {
    let findings = Mutex::new(Vec::new());
    let total = for_each_case(|case| {
        let mut connection = Connection::open(&front.address, case.head)?;
        connection.send(&case.bytes());
        let mut count = 0;
        for _ in case.answers() {
            count += usize::from(connection.answer()?.is_some());
        }
        connection.finish();
        while connection.answer()?.is_some() {
            count += 1;
        }
        if count != case.answers().len() {
            let finding = format!("{}: {count} answers, not {}", case.name, case.answers().len());
            findings.lock().expect("nobody panics").push(finding);
        }
        Ok(count)
    })?;
    let findings = findings.into_inner()?;
    assert!(findings.is_empty(), "{}", findings.join("\n"));
    Ok(total)
}

fn behind(name: &str) -> anyhow::Result<()> {
    let (sandbox, origin) = (Sandbox::new()?, Origin::start(&[])?);
    let front = Front::start(&sandbox, "front", origin.port)?;
    let Some(peer) = Peer::proxy(name, &sandbox, front.port())? else { return Ok(()) };
    let address = format!("127.0.0.1:{}", peer.port);
    let answers: Mutex<BTreeMap<String, usize>> = Mutex::default();
    for_each_case(|case| {
        let heard = talk_until_quiet(&address, &case.bytes(), case.head)?;
        answers.lock().expect("nobody panics").insert(case.mark(), heard.len());
        Ok(heard.len())
    })?;
    let records = origin.take_records();
    for (mark, heard) in answers.into_inner()? {
        let served = records.iter().filter(|record| record.target.contains(&mark)).count();
        assert!(served <= heard, "case {mark}: {served} requests at the origin, {heard} answers: {records:?}");
    }
    judge(&front, 0, records, origin.take_violations())
}

/// What the last server parsed is what Leno's access log says that it answered.
fn judge(front: &Front, answers: usize, records: Vec<Record>, violations: Vec<String>) -> anyhow::Result<()> {
    assert!(violations.is_empty(), "the origin saw {violations:#?}");
    assert!(records.len() >= 40, "only {} requests arrived: the pair does not work", records.len());
    let served = |lines: &[LogLine]| lines.iter().filter(|line| line.is_final).count();
    let answered = |lines: &[LogLine]| lines.iter().filter(|line| line.status != 0).count();
    let log =
        front.log("the access log is complete", |lines| served(lines) >= records.len() && answered(lines) >= answers);
    let mut forwarded: Vec<_> = log
        .iter()
        .filter(|line| line.is_final)
        .map(|line| (line.method.clone(), line.target.clone(), line.host.clone(), line.body_bytes))
        .collect();
    let mut arrived: Vec<_> =
        records.into_iter().map(|record| (record.method, record.target, record.host, record.body.len())).collect();
    forwarded.sort();
    arrived.sort();
    assert_eq!(arrived, forwarded, "left: at the last server; right: in the access log");
    if answers > 0 {
        assert_eq!(answered(&log), answers, "lines in the access log, and answers");
    }
    println!("{} requests arrived", arrived.len());
    Ok(())
}

/// The sum of what `send` says.
fn for_each_case(send: impl Fn(&Case) -> anyhow::Result<usize> + Sync) -> anyhow::Result<usize> {
    let cases = cases()?;
    let next = AtomicUsize::new(0);
    let (cases, next, send) = (&cases, &next, &send);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(move || -> anyhow::Result<usize> {
                    let mut total = 0;
                    while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                        total += send(case).map_err(|error| error.context(case.name.clone()))?;
                    }
                    Ok(total)
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().expect("no client panics")).sum()
    })
}
