//! A name server on loopback, over UDP: answers from a table, or fails.
//!
//! Words, separated by `;`: `one.test=127.0.0.1,127.0.0.2` · `ttl=60` · `servfail` · `silent`; a name it does not have does not exist.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use anyhow::Context;
use tokio::net::UdpSocket;

use super::{Origin, lock};

#[derive(Debug, Default)]
struct Table {
    names: HashMap<String, Vec<IpAddr>>,
    ttl: u32,
    fails: bool,
    is_silent: bool,
}

impl Table {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut table = Self { ttl: 60, ..Self::default() };
        for word in text.split(';').map(str::trim).filter(|word| !word.is_empty()) {
            match word.split_once('=') {
                None if word == "servfail" => table.fails = true,
                None if word == "silent" => table.is_silent = true,
                Some(("ttl", seconds)) => table.ttl = seconds.parse()?,
                Some((name, addresses)) => {
                    let addresses = addresses.split(',').filter(|address| !address.is_empty());
                    let addresses = addresses.map(|address| Ok(address.parse()?)).collect::<anyhow::Result<_>>()?;
                    table.names.insert(name.to_owned(), addresses);
                }
                None => anyhow::bail!("a name server has no word {word}"),
            }
        }
        Ok(table)
    }
}

pub(super) async fn serve(socket: UdpSocket, origin: Arc<Origin>) {
    let mut buffer = [0; 512];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut buffer).await else { continue };
        let behaviour = lock(&origin.behaviour).clone();
        let answer =
            Table::parse(&behaviour).and_then(|table| answer(buffer.get(..length).unwrap_or_default(), &table));
        if let Ok(Some(answer)) = answer {
            let _ = socket.send_to(&answer, peer).await;
        }
    }
}

/// RFC 1035 §4.1, for questions for addresses. `None`: nothing is said.
fn answer(question: &[u8], table: &Table) -> anyhow::Result<Option<Vec<u8>>> {
    const TYPE_A: u16 = 1;
    const TYPE_AAAA: u16 = 28;
    if table.is_silent {
        return Ok(None);
    }
    let mut at = 12;
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*question.get(at).context("a name without an end")?);
        at += 1;
        if length == 0 {
            break;
        }
        let label = question.get(at..at + length).context("a label without an end")?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += length;
    }
    let end = at + 4;
    let kind = u16::from_be_bytes(question.get(at..at + 2).context("no type")?.try_into()?);
    let known = table.names.get(&labels.join("."));
    let is_wanted = |address: &&IpAddr| if address.is_ipv4() { kind == TYPE_A } else { kind == TYPE_AAAA };
    let found: Vec<IpAddr> = known.into_iter().flatten().filter(is_wanted).copied().collect();
    let status: u8 = match known {
        _ if table.fails => 2,
        None => 3,
        Some(_) => 0,
    };
    let found = if status == 0 { found } else { Vec::new() };
    let mut answer = Vec::from(question.get(..2).context("no id")?);
    // An answer, by one that may be asked on behalf of others.
    answer.extend([0x81, 0x80 | status, 0, 1]);
    answer.extend(u16::try_from(found.len())?.to_be_bytes());
    answer.extend([0; 4]);
    answer.extend(question.get(12..end).context("no question")?);
    for address in found {
        // The name is that of the question.
        answer.extend([0xc0, 12]);
        answer.extend(kind.to_be_bytes());
        answer.extend([0, 1]);
        answer.extend(table.ttl.to_be_bytes());
        match address {
            IpAddr::V4(address) => {
                answer.extend([0, 4]);
                answer.extend(address.octets());
            }
            IpAddr::V6(address) => {
                answer.extend([0, 16]);
                answer.extend(address.octets());
            }
        }
    }
    Ok(Some(answer))
}

/// A port on loopback.
pub(super) async fn bind() -> anyhow::Result<UdpSocket> {
    Ok(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?)
}
