//! Every case of the corpus, with Leno between the client and an origin that reads strictly.

use std::collections::BTreeMap;

use leno_e2e::Sandbox;
use leno_smuggling::{Case, Connection, Ending, Front, LogLine, Origin, Record, corpus, exchange_http2};

/// What Leno made of a case.
struct Run {
    /// The client's, none for HTTP/2.
    port: Option<u16>,
    answers: usize,
    findings: Vec<String>,
}

#[test]
fn what_reaches_an_origin_is_what_leno_says_it_forwarded() -> anyhow::Result<()> {
    let cases = corpus()?;
    assert!(cases.len() >= 120, "only {} cases", cases.len());
    let origin = Origin::start(&cases)?;
    let sandbox = Sandbox::new()?;
    let front = Front::start(&sandbox, "front", origin.port)?;
    let mut findings = Vec::new();
    let (mut records, mut answers): (Vec<Record>, BTreeMap<u16, (usize, String)>) = (Vec::new(), BTreeMap::new());
    for case in &cases {
        let run = if case.http2.is_some() { run_http2(&front, case)? } else { run_http1(&front, case)? };
        let arrived = origin.take_records();
        findings.extend(run.findings.iter().map(|finding| format!("{}: {finding}", case.name)));
        findings.extend(origin.take_violations().iter().map(|text| format!("{}: the origin saw {text}", case.name)));
        let mut expected = case.records();
        if case.ending() == Ending::Open && case.http2.is_none() {
            expected.push(probe_record(case));
        }
        if arrived != expected {
            findings.push(format!("{}: at the origin arrived\n    {arrived:?}\n  not {expected:?}", case.name));
        }
        records.extend(arrived);
        if let Some(port) = run.port {
            // The system gives a port again to a later client.
            let (count, names) = answers.entry(port).or_default();
            *count += run.answers;
            names.push_str(&format!("{}; ", case.name));
        }
    }
    findings.extend(compare_with_log(&front, &records, &answers));
    assert!(findings.is_empty(), "{} of {} cases:\n{}", findings.len(), cases.len(), findings.join("\n"));
    println!("{} cases", cases.len());
    Ok(())
}

fn run_http2(front: &Front, case: &Case) -> anyhow::Result<Run> {
    let status = exchange_http2(&front.address, case)?;
    // Both say no: `h2` ends the stream where we would answer.
    let is_as_expected = match case.answers().as_slice() {
        [0 | 400] => matches!(status, 0 | 400 | 404),
        [expected] => status == *expected,
        _ => false,
    };
    let findings = if is_as_expected { Vec::new() } else { vec![format!("answered {status}")] };
    Ok(Run { port: None, answers: 1, findings })
}

fn run_http1(front: &Front, case: &Case) -> anyhow::Result<Run> {
    let mut findings = Vec::new();
    let mut connection = Connection::open(&front.address, case.head)?;
    let port = connection.port()?;
    connection.send(&case.bytes());
    let mut statuses = Vec::new();
    let mut bodies = Vec::new();
    for _ in case.answers() {
        match connection.answer() {
            Ok(Some(answer)) => {
                statuses.push(answer.status);
                bodies.push(String::from_utf8_lossy(&answer.body).into_owned());
            }
            Ok(None) => break,
            Err(error) => findings.push(format!("{error:#}")),
        }
    }
    if statuses != case.answers() {
        findings.push(format!("answered {statuses:?}, not {:?}", case.answers()));
    }
    if case.bodies.as_ref().is_some_and(|expected| *expected != bodies) {
        findings.push(format!("the answers say {bodies:?}"));
    }
    match case.ending() {
        Ending::Closed => {}
        Ending::Open => {
            connection.expect_bodies();
            let probe = "GET /probe{c} HTTP/1.1\r\nHost: probe.test\r\nConnection: close\r\n\r\n";
            connection.send(&case.fill(probe));
            match connection.answer() {
                Ok(Some(answer)) if answer.status == 200 && answer.body == b"ok" => statuses.push(200),
                answer => findings.push(format!("the next request on the connection got {answer:?}")),
            }
        }
        Ending::Waiting => connection.finish(),
    }
    match connection.answer() {
        Ok(None) => {}
        Err(_) if case.cut => statuses.push(200),
        answer => findings.push(format!("then came {answer:?}")),
    }
    Ok(Run { port: Some(port), answers: statuses.len(), findings })
}

fn probe_record(case: &Case) -> Record {
    Record {
        method: "GET".to_owned(),
        target: format!("/probe{}", case.mark()),
        host: "probe.test".to_owned(),
        body: String::new(),
    }
}

/// Leno's own account: a line for each answer, and the origin's requests among them.
fn compare_with_log(front: &Front, records: &[Record], answers: &BTreeMap<u16, (usize, String)>) -> Vec<String> {
    let mut findings = Vec::new();
    let total: usize = answers.values().map(|(count, _)| count).sum();
    let is_http1 = |line: &&LogLine| answers.contains_key(&line.client_port) && line.status != 0;
    let log = front.log("a line for each answer", |lines| lines.iter().filter(is_http1).count() >= total);
    for (port, (count, names)) in answers {
        let lines = log.iter().filter(is_http1).filter(|line| line.client_port == *port).count();
        if lines != *count {
            findings.push(format!("{names}{count} answers, {lines} lines in the access log"));
        }
    }
    // Scripted answers have no mark of the origin; what arrived with them was compared word for word.
    let mut forwarded: Vec<_> = log
        .iter()
        .filter(|line| line.is_final)
        .map(|line| (line.method.clone(), line.target.clone(), line.host.clone(), line.body_bytes))
        .collect();
    let mut arrived: Vec<_> = records
        .iter()
        .filter(|record| !record.target.starts_with("/r"))
        .map(|record| (record.method.clone(), record.target.clone(), record.host.clone(), record.body.len()))
        .collect();
    forwarded.sort();
    arrived.sort();
    let missing = arrived.iter().filter(|request| !forwarded.contains(request));
    findings.extend(missing.map(|request| format!("at the origin, but not in the log: {request:?}")));
    let excess = forwarded.iter().filter(|request| !arrived.contains(request));
    findings.extend(excess.map(|request| format!("in the log, but not at the origin: {request:?}")));
    if forwarded.len() != arrived.len() {
        findings.push(format!("{} requests in the log, {} at the origin", forwarded.len(), arrived.len()));
    }
    findings
}
