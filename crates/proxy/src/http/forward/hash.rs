//! The hash of a request, for clusters that balance by hash; others never come here.
//!
//! Invariants  the same parts give the same hash in every worker, proxy and Envoy
//! Cost        no allocation unless a header has more than four lines, or a cookie is to be set
//! Source      Envoy hash_policy.cc, `Router::Filter::addDownstreamSetCookie` and `makeSetCookieValue` (v1.31)

use std::io::Write as _;
use std::net::IpAddr;

use leno_ir::{HashCookie, HashPolicy, HashSource};
use leno_routing::RequestView as _;
use smallvec::SmallVec;
use xxhash_rust::xxh64::xxh64;

use crate::connection::Connection;
use crate::exchange::HeaderLookup;
use crate::http::cookie::{SetCookie, cookie_value};
use crate::http::head::RequestHead;

/// What came of a route's hash policies.
#[derive(Debug, Default)]
pub(super) struct RequestHash {
    /// `None`: the request has none of the parts.
    pub(super) hash: Option<u64>,
    /// Values of `Set-Cookie` for the response.
    pub(super) set_cookies: Vec<String>,
}

impl RequestHash {
    pub(super) fn of(policies: &[HashPolicy], request: &RequestHead, connection: &Connection) -> Self {
        let mut made = Self::default();
        made.add(policies, request, connection, Self::cookie);
        made
    }

    fn add(&mut self, policies: &[HashPolicy], request: &RequestHead, connection: &Connection, of_cookie: OfCookie) {
        let made = self;
        for policy in policies {
            let part = match &policy.source {
                HashSource::Cookie(cookie) => of_cookie(made, cookie, request, connection),
                HashSource::Header(name) => header(request, name),
                HashSource::QueryParameter(name) => query(request.path(), name).map(hash_of),
                HashSource::SourceIp => Some(hash_of_ip(connection.remote.ip())),
            };
            if let Some(part) = part {
                // Turned, so that equal parts do not cancel each other out.
                made.hash = Some(made.hash.map_or(0, |hash| hash.rotate_left(1)) ^ part);
            }
            if policy.terminal && made.hash.is_some() {
                break;
            }
        }
    }

    fn cookie(&mut self, cookie: &HashCookie, request: &RequestHead, connection: &Connection) -> Option<u64> {
        if let Some(value) = cookie_value(request, &cookie.name) {
            return Some(hash_of(value));
        }
        // `None`: cookies of that name are not ours to set.
        let ttl = cookie.ttl?;
        // The same for all requests of a connection, so that those that race for the first cookie agree.
        let seed = format!("{}{}", connection.remote, connection.local);
        let value = format!("{:016x}", hash_of(seed.as_bytes()));
        let HashCookie { name, path, attributes, .. } = cookie;
        self.set_cookies.push(SetCookie { name, ttl, path, attributes }.with_value(&value));
        Some(hash_of(value.as_bytes()))
    }
}

type OfCookie = fn(&mut RequestHash, &HashCookie, &RequestHead, &Connection) -> Option<u64>;

/// The hash that decides between the clusters of a route. A cookie that is not there yet is no part of it.
pub(crate) fn request_hash(policies: &[HashPolicy], request: &RequestHead, connection: &Connection) -> Option<u64> {
    let mut made = RequestHash::default();
    made.add(policies, request, connection, |_, cookie, request, _| cookie_value(request, &cookie.name).map(hash_of));
    made.hash
}

/// What a TCP connection from there is hashed to, as an HTTP request is.
pub(crate) fn hash_of_ip(ip: IpAddr) -> u64 {
    // The longest text of an IPv6 address has 45 characters.
    let mut text = [0_u8; 45];
    let length = text.len();
    let mut rest = &mut text[..];
    // A text that did not fit would be cut, in the same place each time.
    let _ = write!(rest, "{ip}");
    let unused = rest.len();
    hash_of(text.get(..length - unused).unwrap_or_default())
}

fn hash_of(bytes: &[u8]) -> u64 {
    xxh64(bytes, 0)
}

/// Several lines in any order have one hash.
fn header(request: &RequestHead, name: &str) -> Option<u64> {
    if name.starts_with(':') || name == "host" {
        return HeaderLookup::header(request, name).map(hash_of);
    }
    let mut values: SmallVec<[&[u8]; 4]> = request.headers.get_all(name).collect();
    if values.len() > 1 {
        values.sort_unstable();
    }
    let chained = values.iter().fold(0, |seed, value| xxh64(value, seed));
    (!values.is_empty()).then_some(chained)
}

/// The first parameter of that name, as written.
fn query<'p>(path: &'p str, name: &str) -> Option<&'p [u8]> {
    let (_, query) = path.split_once('?')?;
    let mut parameters = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    parameters.find(|(key, _)| *key == name).map(|(_, value)| value.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn connection(remote: &str) -> Connection {
        Connection::for_tests(remote.parse::<std::net::SocketAddr>().expect("an address"))
    }

    fn request(path: &str, headers: &[(&str, &str)]) -> RequestHead {
        let mut head = RequestHead { path: path.to_owned().into(), authority: "shop".into(), ..RequestHead::default() };
        headers.iter().for_each(|(name, value)| head.headers.append(name.as_bytes(), value.as_bytes()));
        head
    }

    fn hash(source: &HashSource, request: &RequestHead) -> Option<u64> {
        RequestHash::of(&[source.clone().into()], request, &connection("10.0.0.1:4711")).hash
    }

    fn sticky(ttl: Option<Duration>) -> HashSource {
        HashSource::Cookie(HashCookie {
            name: "cart".into(),
            ttl,
            path: "/shop".into(),
            attributes: vec![("SameSite".into(), "Lax".into()), ("Secure".into(), String::new())],
        })
    }

    #[test]
    fn parts_are_hashed_as_envoy_does() {
        let user = HashSource::Header("x-user".into());
        let (one, other) = (hash_of(b"a"), xxh64(b"b", hash_of(b"a")));
        assert_eq!(hash(&user, &request("/", &[("X-User", "a")])), Some(one));
        assert_eq!(hash(&user, &request("/", &[("x-user", "b"), ("x-user", "a")])), Some(other));
        assert_eq!(hash(&user, &request("/", &[])), None);
        assert_eq!(hash(&HashSource::Header(":authority".into()), &request("/", &[])), Some(hash_of(b"shop")));
        let parameter = HashSource::QueryParameter("q".into());
        assert_eq!(hash(&parameter, &request("/x?p=1&q=%41&q=2", &[])), Some(hash_of(b"%41")));
        assert_eq!(hash(&parameter, &request("/x", &[])), None);
        assert_eq!(hash(&HashSource::SourceIp, &request("/", &[])), Some(hash_of(b"10.0.0.1")));
        assert_eq!(hash_of_ip("2001:db8::1".parse().expect("an address")), hash_of(b"2001:db8::1"));
        let both = [HashSource::SourceIp.into(), user.into()];
        let both = RequestHash::of(&both, &request("/", &[("x-user", "a")]), &connection("10.0.0.1:4711"));
        assert_eq!(both.hash, Some(hash_of(b"10.0.0.1").rotate_left(1) ^ one));
    }

    #[test]
    fn a_terminal_part_ends_it_when_there_is_a_hash() {
        let policies = |first: &str| {
            let terminal = HashPolicy { source: HashSource::Header(first.into()), terminal: true };
            [terminal, HashSource::SourceIp.into()]
        };
        let request = request("/", &[("x-user", "a")]);
        let of = |first| RequestHash::of(&policies(first), &request, &connection("10.0.0.1:1")).hash;
        assert_eq!(of("x-user"), Some(hash_of(b"a")));
        assert_eq!(of("x-other"), Some(hash_of(b"10.0.0.1")));
    }

    #[test]
    fn a_cookie_is_set_once_and_counts_from_then_on() {
        let policies = [HashPolicy::from(sticky(Some(Duration::from_secs(90))))];
        let first = RequestHash::of(&policies, &request("/", &[]), &connection("10.0.0.1:4711"));
        let value = format!("{:016x}", hash_of(b"10.0.0.1:4711127.0.0.1:8080"));
        let expected = format!("cart=\"{value}\"; Max-Age=90; Path=/shop; SameSite=Lax; Secure; HttpOnly");
        assert_eq!(first.set_cookies, [expected]);
        for line in [format!("a=b; cart={value}"), format!("cart=\"{value}\"")] {
            let next = RequestHash::of(&policies, &request("/", &[("cookie", &line)]), &connection("10.0.0.9:1"));
            assert_eq!((next.hash, next.set_cookies.len()), (first.hash, 0), "{line}");
        }
    }

    #[test]
    fn a_cookie_for_the_session_has_no_age_and_one_of_others_is_not_set() {
        let of = |ttl| {
            RequestHash::of(&[sticky(ttl).into()], &request("/", &[("cookie", "cart=")]), &connection("10.0.0.1:1"))
        };
        let session = of(Some(Duration::ZERO));
        assert!(session.hash.is_some() && !session.set_cookies[0].contains("Max-Age"));
        let passive = of(None);
        assert!(passive.hash.is_none() && passive.set_cookies.is_empty());
    }
}
