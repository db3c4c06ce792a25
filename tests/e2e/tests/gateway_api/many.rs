//! What takes more than one request to see: shares, copies, frames.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::ensure;
use leno_e2e::Session;

use crate::ask::Ask;
use crate::site::Site;

/// As upstream: so many requests, and shares that are so near.
const REQUESTS: u32 = 500;
const NEAR: f64 = 0.05;

/// Whether backends come up as often as they should.
pub(crate) fn are_near(
    weights: &BTreeMap<String, f64>,
    mut ask: impl FnMut() -> anyhow::Result<String>,
) -> anyhow::Result<()> {
    // The first answer tells that the route is there.
    ask()?;
    let mut counts = BTreeMap::<String, u32>::new();
    for _ in 0..REQUESTS {
        *counts.entry(ask()?).or_default() += 1;
    }
    let unknown = counts.keys().find(|name| !weights.contains_key(*name));
    ensure!(unknown.is_none(), "{unknown:?} has answered");
    for (name, weight) in weights {
        let share = f64::from(counts.get(name).copied().unwrap_or(0)) / f64::from(REQUESTS);
        let is_right = if *weight == 0.0 { share == 0.0 } else { (share - weight).abs() <= NEAR };
        ensure!(is_right, "{name} has {share} of the requests, not {weight}");
    }
    Ok(())
}

pub(crate) fn own_header(site: &mut Site, ask: &Ask, header: &str, times: u32) -> anyhow::Result<()> {
    for _ in 0..times {
        let (response, _) = ask.answer_of(site)?;
        let saw = response.json()?;
        ensure!(saw["headers"][header] == saw["app"], "{} got {header}: {}", saw["app"], saw["headers"][header]);
    }
    Ok(())
}

pub(crate) fn mirrored(site: &mut Site, ask: &Ask, to: &[String], percent: Option<u32>) -> anyhow::Result<()> {
    let Some(percent) = percent else {
        let (_, path) = ask.answer_of(site)?;
        return to.iter().try_for_each(|app| copies_reach(site, app, &path, 1).map(drop));
    };
    let (_, path) = ask.answer_of(site)?;
    let before: Vec<_> = to.iter().map(|app| site.seen(app, &path)).collect();
    for _ in 0..REQUESTS {
        ask.answer_of(site)?;
    }
    let share = f64::from(percent) / 100.0;
    let (wanted, all) = (f64::from(REQUESTS) * share, f64::from(REQUESTS));
    // Three standard deviations, as upstream.
    let margin = 3.0 * (all * share * (1.0 - share)).sqrt();
    for (app, before) in to.iter().zip(before) {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of requests")]
        let least = before + (wanted - margin) as u64;
        let copies = copies_reach(site, app, &path, least)? - before;
        #[allow(clippy::cast_precision_loss, reason = "a number of requests")]
        let is_near = copies as f64 <= wanted + margin;
        ensure!(is_near, "{app} got {copies} copies, not about {wanted}");
    }
    Ok(())
}

/// Copies are on their way for a while.
fn copies_reach(site: &Site, app: &str, path: &str, least: u64) -> anyhow::Result<u64> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let copies = site.seen(app, path);
        if copies >= least {
            return Ok(copies);
        }
        ensure!(Instant::now() < deadline, "{app} got {copies} copies of {path}, not {least}");
        site.pause();
    }
}

/// Short masked frames (RFC 6455 §5.2), each of which comes back bare.
pub(crate) fn web_socket(site: &mut Site, gateway: &str, path: &str, frames: &[String]) -> anyhow::Result<()> {
    let address = format!("{}:{}", site.gateway(gateway)?, site.port(gateway, None)?);
    let mut session = Session::connect(&address)?;
    let head = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let answer = session.request("GET", path, &head, b"")?;
    ensure!(answer.status == 101, "{} in place of a web socket", answer.status);
    for (kind, text) in frames.iter().enumerate() {
        let (kind, length) = (0x80 | u8::try_from(kind + 1)?, u8::try_from(text.len())?);
        let mask = [7, 11, 13, 17];
        let masked = text.bytes().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        let frame: Vec<u8> = [kind, 0x80 | length].into_iter().chain(mask).chain(masked).collect();
        session.send(&frame)?;
        let mut back = Vec::new();
        while back.len() < text.len() + 2 {
            back.extend(session.receive_some()?);
        }
        ensure!(back[..2] == [kind, length] && back[2..] == *text.as_bytes(), "{back:?} came back for {text}");
    }
    Ok(())
}
