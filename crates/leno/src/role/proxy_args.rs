//! What `leno proxy` and `leno run` are told: who the workload is, where it listens, how it joins.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

#[derive(Args, Clone, Debug)]
pub(crate) struct ProxyArgs {
    /// Address of the control plane's xDS port; may be repeated, the first that answers is used.
    #[arg(
        long,
        env = "LENO_CONTROL",
        default_value = "127.0.0.1:15012",
        value_delimiter = ',',
        value_name = "HOST:PORT"
    )]
    pub(crate) control: Vec<String>,
    /// The service that this workload is an instance of.
    #[arg(long, env = "LENO_SERVICE", value_name = "NAME", value_parser = parse_label_name)]
    pub(crate) service: String,
    /// The namespace of the workload.
    #[arg(long, short = 'n', env = "LENO_NAMESPACE", default_value = "default", value_parser = parse_label_name)]
    pub(crate) namespace: String,
    /// The identity within the namespace; the service's name unless given.
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    pub(crate) service_account: Option<String>,
    /// The version, as the label `version`.
    #[arg(long = "version", value_name = "VERSION", value_parser = parse_version)]
    pub(crate) workload_version: Option<String>,
    /// A further label of the workload; may be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_label)]
    pub(crate) labels: Vec<(String, String)>,
    /// A port on which the application listens, with its protocol (http, http2, grpc, tcp) if it should not be found out
    /// per connection; may be repeated.
    #[arg(long = "port", value_name = "PORT[:PROTOCOL]", value_parser = parse_port)]
    pub(crate) ports: Vec<AppPort>,
    /// Where the application listens: an IP address, or `own` for the workload's own loopback address.
    #[arg(long, default_value = "127.0.0.1", value_name = "IP|own")]
    pub(crate) app_address: String,
    /// Where peers reach the sidecar. Unless given, the address this host uses towards the control plane, or the
    /// workload's own loopback address when the control plane is on this host.
    #[arg(long, env = "LENO_WORKLOAD_ADDRESS", value_name = "IP")]
    pub(crate) address: Option<IpAddr>,
    /// The name of the workload; made from service, version and host unless given.
    #[arg(long, env = "LENO_WORKLOAD", value_name = "NAME", value_parser = parse_workload)]
    pub(crate) workload: Option<String>,
    /// Where the workload runs: region/zone/sub-zone.
    #[arg(long, default_value = "", value_name = "LOCALITY")]
    pub(crate) locality: leno_names::Locality,
    /// A join token, from `leno token create`. Not needed once the workload has its certificate.
    #[arg(long, env = "LENO_JOIN_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// A file with the join token.
    #[arg(long, conflicts_with = "token", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Where certificate and last configuration are kept; below the data directory unless given.
    #[arg(long, env = "LENO_STATE", value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Where the admin interface listens; port 15000 of the workload's own loopback address unless given.
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) admin: Option<SocketAddr>,
    /// Where the access log goes: a file, or `-` for standard output.
    #[arg(long, value_name = "FILE|-")]
    pub(crate) access_log: Option<String>,
    /// `json`, or a text with command operators such as %REQ(:METHOD)%; Istio's text format unless given.
    #[arg(long, requires = "access_log", value_name = "FORMAT")]
    pub(crate) access_log_format: Option<String>,
    /// Number of worker threads; at most the CPUs this process may use, 2 unless given.
    #[arg(long, env = "LENO_THREADS", value_name = "N")]
    pub(crate) threads: Option<std::num::NonZeroUsize>,
    /// How long open requests may take to finish after SIGTERM.
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration, value_name = "DURATION")]
    pub(crate) drain_deadline: Duration,
}

/// A port of the application.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct AppPort {
    pub(crate) number: u16,
    /// Empty: found out per connection.
    pub(crate) protocol: String,
}

impl ProxyArgs {
    pub(crate) fn service_account(&self) -> &str {
        self.service_account.as_deref().unwrap_or(&self.service)
    }

    /// All labels, `app` and `version` included.
    pub(crate) fn all_labels(&self) -> BTreeMap<String, String> {
        let mut labels: BTreeMap<_, _> = self.labels.iter().cloned().collect();
        labels.entry("app".to_owned()).or_insert_with(|| self.service.clone());
        if let Some(version) = &self.workload_version {
            labels.insert("version".to_owned(), version.clone());
        }
        labels
    }
}

/// Services and namespaces; also part of the paths of our files.
fn parse_label_name(text: &str) -> Result<String, leno_names::NameError> {
    leno_names::dns_label(text).map(|()| text.to_owned())
}

fn parse_name(text: &str) -> Result<String, leno_names::NameError> {
    leno_names::dns_name(text).map(|()| text.to_owned())
}

/// A name as the one that is made of service, version and host: its version may have upper case.
fn parse_workload(text: &str) -> Result<String, String> {
    let name = text.to_ascii_lowercase().replace('_', "-");
    leno_names::dns_name(&name).map(|()| text.to_owned()).map_err(|error| error.to_string())
}

/// What Kubernetes takes as the value of a label.
fn parse_version(text: &str) -> Result<String, String> {
    let inside = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let at_end = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    if bytes.len() <= 63 && bytes.iter().all(|b| inside(*b)) && at_end(bytes.first()) && at_end(bytes.last()) {
        return Ok(text.to_owned());
    }
    Err("a version is 1 to 63 letters, digits, \"-\", \"_\" and \".\", with a letter or digit at both ends".to_owned())
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

const PROTOCOLS: [&str; 4] = ["http", "http2", "grpc", "tcp"];

fn parse_port(text: &str) -> Result<AppPort, String> {
    let (number, protocol) = text.split_once(':').unwrap_or((text, ""));
    let number = number.parse().ok().filter(|number| *number != 0).ok_or("a port is a number from 1 to 65535")?;
    if protocol.is_empty() || PROTOCOLS.contains(&protocol) {
        Ok(AppPort { number, protocol: protocol.to_owned() })
    } else {
        Err(format!("\"{protocol}\" is not a protocol; valid are {}", PROTOCOLS.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_may_name_its_protocol() {
        assert_eq!(parse_port("9080"), Ok(AppPort { number: 9080, protocol: String::new() }));
        assert_eq!(parse_port("50051:grpc"), Ok(AppPort { number: 50051, protocol: "grpc".to_owned() }));
        for bad in ["0", "70000", "x", "80:htp"] {
            assert!(parse_port(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_cannot_leave_the_directory_of_their_files() {
        assert_eq!(parse_label_name("reviews").as_deref(), Ok("reviews"));
        assert_eq!(parse_version("1.2_a-B").as_deref(), Ok("1.2_a-B"));
        for bad in ["", "a/b", "../a", "..", "a b", &"a".repeat(64)] {
            let accepted = [parse_label_name(bad).is_ok(), parse_version(bad).is_ok()];
            assert_eq!(accepted, [false, false], "{bad}");
        }
        assert!(parse_name("a/b").is_err() && parse_name("..").is_err());
    }
}
