//! An echo server of the tests, as an application: `leno-e2e-echo NAME PORT[=lines] …` on `$LENO_ADDRESS`. HTTP/1.1, HTTP/2 and
//! gRPC unless it says lines.
#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::Context;
use leno_e2e::{Echo, Spoken};

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().context("a name")?;
    let address: IpAddr = match std::env::var("LENO_ADDRESS") {
        Ok(text) => text.parse()?,
        Err(_) => Ipv4Addr::LOCALHOST.into(),
    };
    let echo = Echo::new(&name)?;
    for argument in arguments {
        let (port, word) = argument.split_once('=').unwrap_or((&argument, "http"));
        let spoken = if word == "lines" { Spoken::Lines } else { Spoken::Http };
        echo.listen(SocketAddr::new(address, port.parse()?), spoken, None)?;
    }
    echo.serve_forever();
    Ok(())
}
