use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::rr::{Name, RecordType};
use leno_ir::{DnsLookupFamily, DnsResolver};

use super::hosts::SystemNames;
use super::question::{QuestionError, Reply, ask};

/// c-ares' defaults, which are Envoy's.
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);
const QUERY_TRIES: u32 = 4;

/// Looks up names as one cluster wants it.
#[derive(Debug)]
pub(super) struct Resolver {
    config: DnsResolver,
}

/// The addresses of a name.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Answer {
    pub(super) addresses: Vec<IpAddr>,
    /// How long they may be kept; zero when nothing says so.
    pub(super) ttl: Duration,
}

/// Why a name could not be looked up.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookupError {
    #[error("it is no name")]
    Name,
    #[error("there is no name server")]
    NoServer,
    #[error(transparent)]
    Question(#[from] QuestionError),
    #[error("no name server answers in time")]
    Timeout,
}

impl Resolver {
    pub(super) fn new(config: &DnsResolver) -> Self {
        Self { config: config.clone() }
    }

    pub(super) async fn look_up(&self, name: &str, family: DnsLookupFamily) -> Result<Answer, LookupError> {
        if let Ok(ip) = name.parse() {
            return Ok(Answer { addresses: vec![ip], ttl: Duration::ZERO });
        }
        // Read anew each time, as they may change while we run; a look-up costs more.
        let system = SystemNames::read();
        if let Some(known) = system.hosts.get(name.trim_end_matches('.').to_ascii_lowercase().as_str()) {
            let (v6, v4): (Vec<IpAddr>, Vec<IpAddr>) = known.iter().partition(|ip| ip.is_ipv6());
            let reply = |addresses| Ok(Reply { addresses, ttl: Duration::ZERO });
            return combine(family, async { reply(v4) }, async { reply(v6) }).await;
        }
        let servers = if self.config.servers.is_empty() { &system.servers } else { &self.config.servers };
        if servers.is_empty() {
            return Err(LookupError::NoServer);
        }
        let mut last = Ok(Answer::default());
        for name in self.candidates(name, &system)? {
            let asked = |kind| self.ask_servers(servers, &name, kind);
            last = combine(family, asked(RecordType::A), asked(RecordType::AAAA)).await;
            if last.as_ref().is_ok_and(|answer| !answer.addresses.is_empty()) {
                break;
            }
        }
        last
    }

    /// The names to try, the likeliest first.
    fn candidates(&self, name: &str, system: &SystemNames) -> Result<Vec<Name>, LookupError> {
        let absolute = |name: &str| {
            let mut parsed = Name::from_ascii(name).map_err(|_| LookupError::Name)?;
            parsed.set_fqdn(true);
            Ok(parsed)
        };
        let mut names = vec![absolute(name)?];
        if !name.ends_with('.') && !self.config.no_search_domain {
            let searched = system.search.iter().map(|domain| absolute(&format!("{name}.{domain}")));
            let searched: Vec<_> = searched.collect::<Result<_, LookupError>>()?;
            let dots = name.bytes().filter(|byte| *byte == b'.').count();
            let at = if dots >= system.ndots { names.len() } else { 0 };
            names.splice(at..at, searched);
        }
        Ok(names)
    }

    /// Each server in turn, until one answers.
    async fn ask_servers(&self, servers: &[SocketAddr], name: &Name, kind: RecordType) -> Result<Reply, LookupError> {
        let timeout = self.config.query_timeout.unwrap_or(QUERY_TIMEOUT);
        let mut last = LookupError::NoServer;
        for _ in 0..self.config.query_tries.unwrap_or(QUERY_TRIES).max(1) {
            for server in servers {
                match tokio::time::timeout(timeout, ask(*server, name, kind, self.config.use_tcp)).await {
                    Ok(Ok(reply)) => return Ok(reply),
                    // It has answered: to ask again would change nothing.
                    Ok(Err(error @ QuestionError::Code(_))) => last = error.into(),
                    Ok(Err(error)) => last = error.into(),
                    Err(_) => last = LookupError::Timeout,
                }
            }
            if matches!(last, LookupError::Question(QuestionError::Code(_))) {
                break;
            }
        }
        Err(last)
    }
}

/// Asks for the addresses that `family` wants, in its order.
async fn combine(
    family: DnsLookupFamily,
    v4: impl Future<Output = Result<Reply, LookupError>>,
    v6: impl Future<Output = Result<Reply, LookupError>>,
) -> Result<Answer, LookupError> {
    let answer = |reply: Reply| Answer { addresses: reply.addresses, ttl: reply.ttl };
    match family {
        DnsLookupFamily::V4Only => v4.await.map(answer),
        DnsLookupFamily::V6Only => v6.await.map(answer),
        DnsLookupFamily::Auto => prefer(v6, v4).await,
        DnsLookupFamily::V4Preferred => prefer(v4, v6).await,
        DnsLookupFamily::All => {
            let (v4, v6) = (v4.await, v6.await);
            let both = match (v4, v6) {
                (Ok(mut v4), Ok(v6)) => {
                    v4.ttl = [v4.ttl, v6.ttl].into_iter().filter(|ttl| !ttl.is_zero()).min().unwrap_or_default();
                    v4.addresses.extend(v6.addresses);
                    v4
                }
                (Ok(one), Err(_)) | (Err(_), Ok(one)) => one,
                (Err(error), Err(_)) => return Err(error),
            };
            Ok(answer(both))
        }
    }
}

/// The first reply, or the other one when it has no address.
async fn prefer(
    first: impl Future<Output = Result<Reply, LookupError>>,
    other: impl Future<Output = Result<Reply, LookupError>>,
) -> Result<Answer, LookupError> {
    let reply = match first.await {
        Ok(reply) if !reply.addresses.is_empty() => reply,
        _ => other.await?,
    };
    Ok(Answer { addresses: reply.addresses, ttl: reply.ttl })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn families_are_asked_in_their_order() {
        let reply = |text: &str| {
            let addresses = text.split_whitespace().map(|ip| ip.parse().expect("an address")).collect();
            Ok(Reply { addresses, ttl: Duration::from_secs(9) })
        };
        let found = async |family, v4: &str, v6: &str| {
            let answer = combine(family, async { reply(v4) }, async { reply(v6) }).await.expect("no failure");
            answer.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        use DnsLookupFamily::{All, Auto, V4Only, V4Preferred, V6Only};
        assert_eq!(found(Auto, "1.1.1.1", "::1").await, "::1");
        assert_eq!(found(Auto, "1.1.1.1", "").await, "1.1.1.1");
        assert_eq!(found(V4Preferred, "1.1.1.1", "::1").await, "1.1.1.1");
        assert_eq!(found(V4Preferred, "", "::1").await, "::1");
        assert_eq!(
            (found(V4Only, "", "::1").await, found(V6Only, "1.1.1.1", "").await),
            (String::new(), String::new())
        );
        assert_eq!(found(All, "1.1.1.1", "::1").await, "1.1.1.1 ::1");
    }

    #[test]
    fn search_domains_come_first_for_short_names() {
        let system = SystemNames { search: vec!["a.test".into()], ndots: 1, ..SystemNames::default() };
        let names = |config: DnsResolver, name: &str| -> Vec<String> {
            let names = Resolver::new(&config).candidates(name, &system).expect("names");
            names.iter().map(ToString::to_string).collect()
        };
        assert_eq!(names(DnsResolver::default(), "web"), ["web.a.test.", "web."]);
        assert_eq!(names(DnsResolver::default(), "web.b"), ["web.b.", "web.b.a.test."]);
        assert_eq!(names(DnsResolver { no_search_domain: true, ..DnsResolver::default() }, "web"), ["web."]);
    }
}
