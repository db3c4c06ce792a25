use leno_e2e::{Sandbox, StaticProxy, eventually};

/// Leno with one upstream, and its access log.
#[derive(Debug)]
pub struct Front {
    pub address: String,
    log: std::path::PathBuf,
    _proxy: StaticProxy,
}

/// One line of the access log.
#[derive(Clone, Debug)]
pub struct LogLine {
    pub client_port: u16,
    pub method: String,
    pub target: String,
    pub host: String,
    pub status: u16,
    /// The last server answered, not one of the proxies on the way.
    pub is_final: bool,
    pub body_bytes: usize,
}

const BOOTSTRAP: &str = include_str!("../peers/leno.yaml");

impl Front {
    /// # Errors
    /// When Leno does not start.
    pub fn start(sandbox: &Sandbox, name: &str, upstream: u16) -> anyhow::Result<Self> {
        let log = sandbox.path(&format!("{name}.access"));
        let text = BOOTSTRAP.replace("UPSTREAM", &upstream.to_string()).replace("LOG", &log.display().to_string());
        let file = sandbox.write(&format!("{name}.yaml"), &text)?;
        let proxy = sandbox.leno(&file)?;
        Ok(Self { address: proxy.address.clone(), log, _proxy: proxy })
    }

    pub fn port(&self) -> u16 {
        self.address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("an address has a port")
    }

    /// Waits until `is_complete`: the log is written from time to time.
    pub fn log(&self, what: &str, is_complete: impl Fn(&[LogLine]) -> bool) -> Vec<LogLine> {
        eventually(what, leno_e2e::LIMIT, || {
            let text = std::fs::read(&self.log).ok()?;
            let lines: Vec<_> = String::from_utf8_lossy(&text).lines().filter_map(parse).collect();
            is_complete(&lines).then_some(lines)
        })
    }
}

fn parse(line: &str) -> Option<LogLine> {
    let parts: Vec<_> = line.split('|').collect();
    let [client, method, target, host, status, is_final, bytes] = parts.as_slice() else { return None };
    Some(LogLine {
        client_port: client.rsplit(':').next()?.parse().ok()?,
        method: (*method).to_owned(),
        target: (*target).to_owned(),
        host: if *host == "-" { String::new() } else { (*host).to_owned() },
        status: status.parse().ok()?,
        is_final: *is_final == "1",
        body_bytes: bytes.parse().ok()?,
    })
}
