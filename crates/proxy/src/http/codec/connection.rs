use bytes::Bytes;

use super::Malformed;
use crate::http::head::Framing;
use crate::http::headers::Headers;

/// As in Envoy, which refuses this many in one line.
const MOST_OPTIONS: usize = 10;

/// What the header lines say about the connection and the body, gathered in one pass.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) content_length: Option<u64>,
    pub(super) is_chunked: bool,
    pub(super) closes: bool,
    pub(super) keeps_alive: bool,
    pub(super) upgrade: Option<Bytes>,
    wants_upgrade: bool,
    has_hop_by_hop: bool,
    /// `Connection` names fields beyond the usual ones.
    lists_fields: bool,
    /// `Connection` of a request names what it must not, see [`is_protected`], or too much.
    pub(super) lists_protected: bool,
}

impl Facts {
    pub(super) fn gather(headers: &Headers) -> Result<Self, Malformed> {
        let mut facts = Self::default();
        let mut upgrade: Option<&[u8]> = None;
        for (name, value) in headers.iter() {
            match name.len() {
                14 if name.eq_ignore_ascii_case(b"content-length") => facts.add_content_length(value)?,
                17 if name.eq_ignore_ascii_case(b"transfer-encoding") => facts.add_transfer_encoding(value)?,
                10 if name.eq_ignore_ascii_case(b"connection") => facts.add_connection(value),
                7 if name.eq_ignore_ascii_case(b"upgrade") => {
                    upgrade = Some(value);
                    facts.has_hop_by_hop = true;
                }
                _ => facts.has_hop_by_hop |= is_hop_by_hop(name),
            }
        }
        if facts.is_chunked && facts.content_length.is_some() {
            return Err(Malformed::ContentLength);
        }
        if facts.wants_upgrade {
            facts.upgrade = upgrade.map(Bytes::copy_from_slice);
        }
        Ok(facts)
    }

    /// RFC 9110 §8.6: digits only; a second line or a list, even of equal values, is refused.
    fn add_content_length(&mut self, value: &[u8]) -> Result<(), Malformed> {
        let is_number = !value.is_empty() && value.len() <= 18 && value.iter().all(u8::is_ascii_digit);
        if self.content_length.is_some() || !is_number {
            return Err(Malformed::ContentLength);
        }
        self.content_length = Some(value.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')));
        Ok(())
    }

    /// RFC 9112 §6.1: the one coding we take is `chunked`, once.
    fn add_transfer_encoding(&mut self, value: &[u8]) -> Result<(), Malformed> {
        if self.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Malformed::TransferEncoding);
        }
        self.is_chunked = true;
        self.has_hop_by_hop = true;
        Ok(())
    }

    fn add_connection(&mut self, value: &[u8]) {
        self.has_hop_by_hop = true;
        self.lists_protected |= options(value).count() >= MOST_OPTIONS;
        for option in options(value) {
            if option.eq_ignore_ascii_case(b"close") {
                self.closes = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keeps_alive = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.wants_upgrade = true;
            } else {
                self.lists_fields = true;
                self.lists_protected |= is_protected(option);
            }
        }
    }

    /// Removes what concerns only the connection the message came on (RFC 9110 §7.6.1). `TE: trailers` stays, because
    /// gRPC needs it end to end.
    pub(super) fn strip(&self, headers: &mut Headers) {
        if !self.has_hop_by_hop {
            return;
        }
        if self.lists_fields {
            let listed: Vec<Vec<u8>> = headers
                .get_all("connection")
                .flat_map(options)
                .filter(|option| !is_end_to_end(option))
                .map(<[u8]>::to_vec)
                .collect();
            for name in listed {
                headers.remove_bytes(&name);
            }
        }
        let takes_trailers = headers.get_all("te").any(|value| !is_trailers(value) && options(value).any(is_trailers));
        headers.retain(|name, value| !is_hop_by_hop(name) || is_te_trailers(name, value));
        if takes_trailers {
            headers.set("te", b"trailers");
        }
    }

    pub(super) fn framing(&self) -> Framing {
        match self.content_length {
            _ if self.is_chunked => Framing::Chunked,
            Some(length) => Framing::Length(length),
            None => Framing::None,
        }
    }
}

fn options(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|option| !option.is_empty())
}

/// `Connection` must not name these (RFC 9110 §7.6.1); a client could otherwise remove what the next hop relies on.
fn is_end_to_end(name: &[u8]) -> bool {
    const KEPT: [&[u8]; 3] = [b"content-length", b"te", b"x-forwarded-client-cert"];
    KEPT.iter().any(|kept| kept.eq_ignore_ascii_case(name))
}

/// Whoever has these taken away hides where a request comes from, or changes where it goes. Envoy's list.
fn is_protected(name: &[u8]) -> bool {
    const PROTECTED: [&[u8]; 4] = [b"host", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"];
    name.first() == Some(&b':') || PROTECTED.iter().any(|protected| protected.eq_ignore_ascii_case(name))
}

fn is_te_trailers(name: &[u8], value: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"te") && is_trailers(value)
}

fn is_trailers(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(b"trailers")
}

pub(in crate::http) fn is_hop_by_hop(name: &[u8]) -> bool {
    let hop: &[u8] = match name.len() {
        2 => b"te",
        7 => b"upgrade",
        10 => return name.eq_ignore_ascii_case(b"connection") || name.eq_ignore_ascii_case(b"keep-alive"),
        16 => b"proxy-connection",
        17 => b"transfer-encoding",
        _ => return false,
    };
    name.eq_ignore_ascii_case(hop)
}
